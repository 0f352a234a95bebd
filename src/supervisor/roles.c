/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of the other processes.  Supervisor only.  A role that dies gives
 * back what it held and is started again, with longer and longer pauses while
 * it keeps dying; its clients wait in the kernel's queue.  Nothing here waits
 * for a role: what its channel does not take stays in its outbox.
 */
#include "supervisor/role.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "ipc/chan.h"
#include "ipc/msg.h"

#define RESTART_FIRST (100 * ROLE_MSEC) /* before the second restart; doubles */
#define RESTART_MOST  (5 * ROLE_SEC)
#define HEALTHY       (10 * ROLE_SEC) /* having lived so long, a role starts afresh */
#define OUTAGE_MOST \
	(3 * RESTART_MOST)        /* out of service for longer is a fault */

/* Without a turn for so long, a role hangs.  The launcher waits for programs' files to be read. */
#define WORKER_SILENT_MS   2500
#define LAUNCHER_SILENT_MS 10000

static void role_start(struct role *role);

/* ---- death and restart ------------------------------------------------------------- */

/* Wakes the workers of the mask: places that they waited for are free. */
static void
wake_workers(struct roles *roles, uint64_t mask)
{
	const uint64_t one = 1;

	for (unsigned i = 0; i < BOARD_WORKERS; i++)
		if ((mask >> i & 1) != 0 && roles->wake[i] != NULL)
			(void)!write(roles->wake[i]->fd, &one, sizeof(one));
}

/* The pause before it is started again. */
static uint64_t
restart_pause(struct role *role)
{
	uint64_t pause = RESTART_FIRST;

	if (role->started != 0 && role_now() - role->started >= HEALTHY)
		role->failures = 0;
	if (role->failures++ == 0)
		return 0;
	for (unsigned i = 2; i < role->failures && pause < RESTART_MOST; i++)
		pause *= 2;
	return pause < RESTART_MOST ? pause : RESTART_MOST;
}

static void
role_again(struct role *role)
{
	struct event event;
	uint64_t pause;

	if (role->down == 0)
		role->down = role_now();
	pause = restart_pause(role);
	role_event(role, &event);
	event_said(&event);
	if (pause == 0) {
		event_log(&event, CAB_LOG_NOTICE, EVENT_ROLE_AGAIN,
		    "starting %s again", role->name);
		role_start(role);
		return;
	}
	event_log(&event, CAB_LOG_NOTICE, EVENT_ROLE_AGAIN,
	    "starting %s again in %u ms", role->name,
	    (unsigned)(pause / ROLE_MSEC));
	role_arm(role, pause);
}

void
role_log_death(const struct role *role, const siginfo_t *info)
{
	enum cab_log_level level = role->leaving ? CAB_LOG_WARNING : CAB_LOG_ERR;
	bool exited = info->si_code == CLD_EXITED;
	struct event event;

	if (info->si_pid == 0) {
		role_event(role, &event);
		event_said(&event);
		event_log(&event, role->wanted ? level : CAB_LOG_INFO,
		    EVENT_ROLE_ENDED,
		    "%s (pid %d), taken over from the supervisor before, ended",
		    role->name, (int)role->pid);
		return;
	}
	/* The launcher ends itself when it needs to start with other rights. */
	if (exited && info->si_status == 0)
		level = role->wanted ? CAB_LOG_NOTICE : CAB_LOG_DEBUG;
	role_event(role, &event);
	event_number(&event, exited ? FIELD_STATUS : FIELD_SIGNAL,
	    (uint64_t)info->si_status);
	event_said(&event);
	if (exited)
		event_log(&event, level, EVENT_ROLE_ENDED,
		    "%s (pid %d) ended with status %d", role->name,
		    (int)role->pid, info->si_status);
	else
		event_log(&event, level, EVENT_ROLE_ENDED,
		    "%s (pid %d) was killed by signal %d (%s)%s", role->name,
		    (int)role->pid, info->si_status, strsignal(info->si_status),
		    info->si_code == CLD_DUMPED ? ", core dumped" : "");
}

/* It has gone: takes back what it held. */
void
role_gone(struct role *role)
{
	struct roles *roles = role->roles;
	uint64_t wake = 0;

	role_close(role);
	(void)sd_event_source_set_enabled(role->timer, SD_EVENT_OFF);
	role->end = sd_event_source_disable_unref(role->end);
	role->pidfd = fd_close(role->pidfd);
	/* The scoreboard that a retired one had is not the one that we have. */
	if (!role->retired)
		wake = board_reclaim(roles->setup.board, role->slot);
	/* Not before that: our successor looks after those in the store alone. */
	if (role->stored[0] != '\0')
		store_remove(role->stored, 2);
	role->stored[0] = '\0';
	role->pid = 0;
	role->adopted = false;
	role->generation = 0;
	role->deadline = 0;
	role->leaving = false;
	if (role->retired)
		return;
	/* Nobody waits for its next turn. */
	atomic_store(&roles->setup.board->roles[role->slot].beat_ms, 0);
	wake_workers(roles, wake);
}

/* A worker that was dismissed may end just as it is wanted again: nothing has failed. */
static bool
ended_well(const struct role *role, const siginfo_t *info)
{
	return !role_is_launcher(role) && info->si_code == CLD_EXITED &&
	    info->si_status == 0;
}

void
role_died(struct role *role, const siginfo_t *info)
{
	struct roles *roles = role->roles;
	const struct roles_watch *watch = &roles->setup.watch;
	struct board *board = roles->setup.board;
	bool missed;

	/* What it managed to say before it died comes first: why it failed, for one. */
	role_receive(role);
	missed = role->generation != roles->generation;
	role_log_death(role, info);
	role_gone(role);
	if (role->wanted && !roles->stopping && missed)
		watch->died(watch->arg, role->name, ++role->misses);
	if (role->wanted && !roles->stopping) {
		if (!ended_well(role, info))
			atomic_fetch_add(&board->roles[role->slot].restarts, 1);
		role_again(role);
	} else if (roles->stopping && roles_running(roles) == 0) {
		watch->empty(watch->arg);
	}
}

/*
 * Not sd-event's child sources: those look once, when the pidfd fires, and a
 * process that a tracer holds cannot be waited for at that moment.  Its SIGCHLD
 * comes once more when the tracer lets go.
 */
void
roles_reap(struct roles *roles)
{
	for (unsigned i = 0; i < BOARD_ROLES; i++) {
		struct role *role = &roles->v[i];
		siginfo_t info = { 0 };

		if (role->pid > 0 && !role->adopted &&
		    waitid(P_PID, (id_t)role->pid, &info, WEXITED | WNOHANG) == 0 &&
		    info.si_pid == role->pid)
			role_died(role, &info);
	}
}

static int
on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct role *role = arg;
	struct event event;

	(void)source;
	(void)usec;
	if (role->pid == 0) {
		role_start(role);
	} else if (role->deadline != 0 && role_now() >= role->deadline) {
		role_event(role, &event);
		event_said(&event);
		event_log(&event, CAB_LOG_WARNING, EVENT_ROLE_HANGS,
		    "%s (pid %d) does not end: killing it", role->name,
		    (int)role->pid);
		role_kill(role);
	} else if (role_flush(role) != -EBUSY && role->deadline != 0) {
		role_arm(role, role->deadline - role_now());
	}

	return 0;
}

/* ---- starting ---------------------------------------------------------------------- */

/* With both, our successor can talk to it, and see and bring about its end. */
static void
role_keep(struct role *role)
{
	const int fds[] = { role->chan, role->pidfd };
	struct store_item item = { .kind = STORE_ROLE };

	if (!store_enabled() || role->pidfd < 0)
		return;
	item.v[STORE_EPOCH] = role->roles->setup.epoch;
	item.v[STORE_SLOT] = role->slot;
	item.v[STORE_PID] = (uint64_t)role->pid;
	store_name(&item, role->stored);
	store_put(role->stored, fds, 2);
}

static int
role_spawn(struct role *role)
{
	int fds[2], r;

	r = chan_pair(fds, 0);
	if (r < 0)
		return r;
	/* Ours alone: whether the far end blocks is the role's choice. */
	r = fd_set_nonblock(fds[0], 1);
	if (r == 0)
		r = role->roles->setup.spawn(role->title, fds[1]);
	fd_close(fds[1]);
	if (r < 0) {
		fd_close(fds[0]);
		return r;
	}
	role->pid = (pid_t)r;
	role->chan = fds[0];
	role->pidfd = pidfd_open(role->pid, 0);
	role_keep(role);
	outbox_init(&role->outbox);
	r = role_listen(role);
	/* Then it goes the way of all that fail: its end will be seen. */
	if (r < 0)
		role_fault(role, strerror(-r));
	return 0;
}

static void
role_start(struct role *role)
{
	struct board_role *row;
	struct event event;
	int r;

	if (role->pid != 0 || !role->wanted || role->roles->stopping)
		return;
	role->started = role_now();
	if (role->down == 0)
		role->down = role->started;
	board_use_worker(role->roles->setup.board, role->slot);
	row = &role->roles->setup.board->roles[role->slot];
	/* None of this is the new one's yet. */
	atomic_store(&row->beat_ms, 0);
	atomic_store(&row->generation, 0);
	atomic_store(&row->started_us, role->started);
	role->beat = (struct beat){ 0 };
	r = role_spawn(role);
	if (r < 0) {
		role_event(role, &event);
		event_said(&event);
		event_log(&event, CAB_LOG_ERR, EVENT_ROLE_CANNOT_START,
		    "cannot start %s: %s", role->name, strerror(-r));
		/* Counts as a death, so that nothing spins while memory is short. */
		role->failures += role->failures == 0;
		role_again(role);
		return;
	}
	log_debug("started %s, pid %d", role->name, (int)role->pid);
	role_greet(role);
}

void
roles_start(struct roles *roles)
{
	role_start(&roles->v[BOARD_LAUNCHER]);
	for (unsigned i = 0; i < roles->workers; i++)
		role_start(&roles->v[i]);
}

static struct batch *
batch_for(const struct role *role)
{
	const struct roles_batches *batches = &role->roles->batches;

	if (role_is_launcher(role))
		return batches->launcher;
	return role->wanted ? batches->workers : batches->dismissed;
}

static void
drop_batches(struct roles *roles)
{
	batch_unref(roles->batches.workers);
	batch_unref(roles->batches.launcher);
	batch_unref(roles->batches.dismissed);
}

void
roles_announce(struct roles *roles, uint64_t generation,
    const struct roles_batches *batches)
{
	drop_batches(roles);
	roles->batches = (struct roles_batches){ batch_ref(batches->workers),
		batch_ref(batches->launcher), batch_ref(batches->dismissed) };
	roles->generation = generation;
	atomic_store(&roles->setup.board->daemon.announced, generation);
	for (unsigned i = 0; i < BOARD_ROLES; i++) {
		struct role *role = &roles->v[i];

		role->misses = 0;
		if (!role->leaving)
			role_put(role, batch_for(role), true);
	}
}

/* ---- stopping ---------------------------------------------------------------------- */

static void
role_stop(struct role *role, uint64_t drain_ms)
{
	struct msg_stop body = { .drain_ms = drain_ms };
	uint64_t wait = (drain_ms + ROLES_STOP_GRACE_MS) * ROLE_MSEC;

	role->wanted = false;
	if (role->pid == 0) {
		(void)sd_event_source_set_enabled(role->timer, SD_EVENT_OFF);
		return;
	}
	if (role->leaving)
		return;
	role->leaving = true;
	role_send(role, MSG_STOP, &body, sizeof(body), NULL);
	role->deadline = role_now() + wait;
	role_arm(role, wait);
}

void
roles_stop(struct roles *roles, uint64_t drain_ms)
{
	const struct roles_watch *watch = &roles->setup.watch;

	roles->stopping = true;
	/* Whoever starts no more needs no sockets: the last copies close them. */
	roles_announce(roles, roles->generation, &(struct roles_batches){ 0 });
	for (unsigned i = 0; i < BOARD_ROLES; i++)
		role_stop(&roles->v[i], drain_ms);
	for (struct role *role = roles->retired; role != NULL; role = role->next)
		role_stop(role, drain_ms);
	if (roles_running(roles) == 0)
		watch->empty(watch->arg);
}

void
roles_kill(struct roles *roles)
{
	for (unsigned i = 0; i < BOARD_ROLES; i++)
		role_kill(&roles->v[i]);
	for (struct role *role = roles->retired; role != NULL; role = role->next)
		role_kill(role);
}

void
roles_kill_missing(struct roles *roles)
{
	for (unsigned i = 0; i < BOARD_ROLES; i++) {
		struct role *role = &roles->v[i];
		struct event event;

		if (!role->wanted || role->pid == 0 ||
		    role->generation == roles->generation)
			continue;
		role_event(role, &event);
		event_said(&event);
		event_log(&event, CAB_LOG_ERR, EVENT_ROLE_HANGS,
		    "%s (pid %d) does not answer: killing it", role->name,
		    (int)role->pid);
		role_kill(role);
	}
}

/* ---- those that hang ----------------------------------------------------------------- */

static void
role_check(struct role *role, uint64_t now_ms)
{
	const struct board_role *row =
	    &role->roles->setup.board->roles[role->slot];
	uint64_t most = role_is_launcher(role) ? LAUNCHER_SILENT_MS :
						 WORKER_SILENT_MS;
	struct event event;

	if (role->pid == 0 ||
	    !beat_late(&role->beat, atomic_load(&row->beat_ms), now_ms, most))
		return;
	role_event(role, &event);
	event_said(&event);
	event_log(&event, CAB_LOG_ERR, EVENT_ROLE_HANGS,
	    "%s (pid %d) hangs: killing it", role->name, (int)role->pid);
	atomic_fetch_add(&role->roles->setup.board->daemon.hangs, 1);
	role->beat.silent_ms = 0;
	/* The silence was the pause before it is started again. */
	role->failures = 0;
	if (role->down == 0)
		role->down = role_now();
	role_kill(role);
}

static int
on_check(sd_event_source *source, uint64_t usec, void *arg)
{
	struct roles *roles = arg;
	uint64_t now_ms = role_now() / ROLE_MSEC;

	(void)usec;
	for (unsigned i = 0; i < BOARD_ROLES; i++)
		role_check(&roles->v[i], now_ms);
	(void)sd_event_source_set_time_relative(
	    source, BEAT_CHECK_MS * ROLE_MSEC);
	return 0;
}

/* ---- the table --------------------------------------------------------------------- */

static int
make_wake(struct roles *roles, unsigned slot)
{
	int fd;

	if (roles->wake[slot] != NULL)
		return 0;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	roles->wake[slot] = shared_fd_new(fd);
	return roles->wake[slot] != NULL ? 0 : -ENOMEM;
}

static void
role_dismiss(struct role *role)
{
	role->wanted = false;
	if (role->pid == 0) {
		(void)sd_event_source_set_enabled(role->timer, SD_EVENT_OFF);
		return;
	}
	log_info("%s (pid %d) accepts no more clients, and ends after its last",
	    role->name, (int)role->pid);
	role_put(role, batch_for(role), true);
}

/* What runs in its slot serves again; if that is on its way out already, another follows it. */
static void
role_recall(struct role *role)
{
	role->wanted = true;
	role_put(role, batch_for(role), true);
	if (role->pid != 0)
		return;
	/* Its troubles were those of a time when it was wanted before. */
	role->down = 0;
	role->failures = 0;
}

void
roles_resize(struct roles *roles, unsigned workers)
{
	for (unsigned i = workers; i < roles->workers; i++)
		role_dismiss(&roles->v[i]);
	for (unsigned i = roles->workers; i < workers; i++) {
		int r = roles->wake[i] == NULL ? make_wake(roles, i) : 0;
		struct event event;

		if (r < 0) {
			role_event(&roles->v[i], &event);
			event_said(&event);
			event_log(&event, CAB_LOG_ERR, EVENT_ROLE_CANNOT_START,
			    "cannot start worker %u: %s", i, strerror(-r));
			workers = i;
			break;
		}
		for (unsigned k = 0; k < BOARD_ROLES; k++)
			if (roles->v[k].chan >= 0)
				role_send_wake(&roles->v[k], i);
		role_recall(&roles->v[i]);
	}
	roles->workers = workers;
	roles_start(roles);
}

int
role_init(struct role *role, struct roles *roles, uint32_t slot)
{
	*role = (struct role){
		.roles = roles, .slot = slot, .chan = -1, .pidfd = -1
	};
	outbox_init(&role->outbox);
	if (role_is_launcher(role)) {
		snprintf(role->name, sizeof(role->name), "launcher");
		snprintf(role->title, sizeof(role->title), ROLE_TITLE_LAUNCHER);
	} else {
		snprintf(role->name, sizeof(role->name), "worker %u", slot);
		snprintf(role->title, sizeof(role->title),
		    ROLE_TITLE_WORKER " %u", slot);
	}
	role->wanted = role_is_launcher(role) || slot < roles->workers;
	/* One source for life: arming must not fail for want of memory. */
	return sd_event_add_time(roles->setup.event, &role->timer,
	    CLOCK_MONOTONIC, UINT64_MAX, 1 * ROLE_MSEC, on_timer, role);
}

int
roles_new(struct roles **ret, const struct roles_setup *setup)
{
	struct roles *roles = calloc(1, sizeof(*roles));
	int fd, r = 0;

	if (roles == NULL)
		return -ENOMEM;
	roles->setup = *setup;
	roles->workers = setup->workers;
	for (unsigned i = 0; i < BOARD_ROLES; i++)
		roles->v[i].chan = roles->v[i].pidfd = -1;
	for (unsigned i = 0; i < BOARD_ROLES && r >= 0; i++)
		r = role_init(&roles->v[i], roles, i);
	for (unsigned i = 0; i < roles->workers && r >= 0; i++)
		r = make_wake(roles, i);
	if (r >= 0)
		r = sd_event_add_time_relative(setup->event, &roles->check,
		    CLOCK_MONOTONIC, BEAT_CHECK_MS * ROLE_MSEC, 10 * ROLE_MSEC,
		    on_check, roles);
	if (r >= 0)
		r = sd_event_source_set_enabled(roles->check, SD_EVENT_ON);
	if (r >= 0) {
		fd = fcntl(setup->board_fd, F_DUPFD_CLOEXEC, 3);
		r = fd < 0 ? -errno : 0;
		if (r == 0)
			roles->board = shared_fd_new(fd);
		if (r == 0 && roles->board == NULL)
			r = -ENOMEM;
	}
	if (r < 0) {
		roles_free(roles);
		return r;
	}
	*ret = roles;
	return 0;
}

static void
role_end(struct role *role)
{
	role_kill(role);
	if (role->pid > 0)
		(void)waitpid(role->pid, NULL, 0);
	if (role->stored[0] != '\0')
		store_remove(role->stored, 2);
}

void
roles_free(struct roles *roles)
{
	if (roles == NULL)
		return;
	for (unsigned i = 0; i < BOARD_ROLES; i++) {
		struct role *role = &roles->v[i];

		role->timer = sd_event_source_disable_unref(role->timer);
		role->end = sd_event_source_disable_unref(role->end);
		role_close(role);
		if (!role->adopted)
			role_end(role);
		fd_close(role->pidfd);
	}
	while (roles->retired != NULL)
		role_free_retired(roles->retired);
	roles->check = sd_event_source_disable_unref(roles->check);
	for (unsigned i = 0; i < BOARD_WORKERS; i++)
		shared_fd_unref(roles->wake[i]);
	shared_fd_unref(roles->board);
	drop_batches(roles);
	free(roles);
}

bool
roles_view(const struct roles *roles, uint32_t slot, struct role_view *ret)
{
	const struct role *role = &roles->v[slot];

	if (!role->wanted && role->pid == 0)
		return false;
	*ret = (struct role_view){ .name = role->name,
		.pid = role->pid,
		.started_us = role->started,
		.generation = role->generation,
		.leaving = role->leaving,
		.dismissed = !role->wanted,
		.adopted = role->adopted };
	return true;
}

int
roles_kill_connection(struct roles *roles, uint32_t slot, uint64_t conn_id)
{
	struct msg_kill body = { .conn_id = conn_id };

	if (slot >= BOARD_ROLES || roles->v[slot].chan < 0)
		return -ESRCH;
	role_send(&roles->v[slot], MSG_KILL, &body, sizeof(body), NULL);
	return 0;
}

void
roles_set_log_level(struct roles *roles, uint32_t level)
{
	struct msg_level body = { .level = level };

	if (roles->setup.log_level == level)
		return;
	roles->setup.log_level = level;
	for (unsigned i = 0; i < BOARD_ROLES; i++)
		if (roles->v[i].chan >= 0)
			role_send(&roles->v[i], MSG_LOG_LEVEL, &body,
			    sizeof(body), NULL);
}

const char *
roles_missing(const struct roles *roles)
{
	for (unsigned i = 0; i < BOARD_ROLES; i++)
		if (roles->v[i].wanted &&
		    roles->v[i].generation != roles->generation)
			return roles->v[i].name;
	return NULL;
}

bool
roles_healthy(const struct roles *roles)
{
	uint64_t now = role_now();

	for (unsigned i = 0; i < BOARD_ROLES; i++)
		if (roles->v[i].wanted && roles->v[i].down != 0 &&
		    now - roles->v[i].down > OUTAGE_MOST)
			return false;
	return true;
}

unsigned
roles_workers(const struct roles *roles)
{
	return roles->workers;
}

unsigned
roles_running(const struct roles *roles)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BOARD_ROLES; i++)
		n += roles->v[i].pid != 0;
	return n + roles->n_retired;
}

bool
roles_own(const struct roles *roles, pid_t pid)
{
	for (unsigned i = 0; i < BOARD_ROLES; i++)
		if (roles->v[i].pid == pid && !roles->v[i].adopted)
			return true;
	return false;
}
