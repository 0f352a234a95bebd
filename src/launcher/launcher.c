/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The launcher role: set-up in a fixed order, the supervisor's messages, change
 * of configurations, and the end.  One process; root where the daemon is, with
 * few capabilities.  It never reads a byte from the network, and of what
 * workers send it believes only what link.c has checked.
 */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/event.h"
#include "base/fd.h"
#include "launcher/link.h"
#include "launcher/output.h"
#include "launcher/privilege.h"
#include "launcher/reap.h"
#include "launcher/wait.h"

#define KILL_AFTER_MS 2000 /* from SIGTERM to SIGKILL when the daemon stops */
#define MESSAGES      64   /* of the supervisor per turn */

static void fatal(int code, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

static void
fatal(int code, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event(CAB_LOG_ERR, EVENT_ROLE_GIVES_UP, "%s", text);
	exit(code);
}

/* ---- configurations -------------------------------------------------------------- */

static void
reply(struct launcher *l, uint32_t type, uint64_t number, const char *text)
{
	union {
		struct msg_commit head;
		char bytes[512];
	} body = { .head = { .generation = number } };
	size_t n = strnlen(text, sizeof(body) - sizeof(body.head));
	int r;

	memcpy(body.bytes + sizeof(body.head), text, n);
	r = chan_send(l->channel.fd, type, &body, sizeof(body.head) + n, NULL, 0);
	if (r < 0 && r != -EPIPE)
		fatal(EX_OSERR, "cannot answer the supervisor: %s", strerror(-r));
}

static void
pending_discard(struct launcher *l)
{
	wait_discard(l);
	generation_free(l, l->pending);
	l->pending = NULL;
}

static void
pending_fail(struct launcher *l, uint64_t number, const char *text)
{
	pending_discard(l);
	reply(l, MSG_FAILED, number, text);
	links_recheck(l);
}

static int
read_snapshot(struct launcher *l, int fd, uint64_t size, struct cab_conf **ret)
{
	char *bytes = NULL;
	size_t n = 0;
	int r;

	r = fd_read_all(fd, size, &bytes, &n);
	if (r == 0)
		r = n == size ? conf_decode(l->descs, bytes, n, ret) : -EBADMSG;
	free(bytes);
	return r;
}

static void
on_config(struct launcher *l, struct chan_msg *msg)
{
	const struct msg_config *m = (const void *)msg->body;
	CAB_AUTO_FD int fd = chan_take_fd(msg, 0);
	struct cab_conf *conf = NULL;
	char why[256];
	int r;

	pending_discard(l);
	r = read_snapshot(l, fd, m->n, &conf);
	if (r < 0) {
		snprintf(why, sizeof(why),
		    "the launcher cannot read the configuration: %s",
		    strerror(-r));
		pending_fail(l, m->generation, why);
		return;
	}
	l->pending = generation_new(l, conf, m->generation, why, sizeof(why));
	if (l->pending == NULL)
		pending_fail(l, m->generation, why);
}

static void
on_listener(struct launcher *l, struct chan_msg *msg)
{
	const struct msg_listener *m = (const void *)msg->body;
	struct program_service *service;
	int fd = chan_take_fd(msg, 0), r = 0;
	char why[256];

	/* Of a configuration that has been refused already. */
	if (l->pending == NULL || l->pending->number != m->generation) {
		fd_close(fd);
		return;
	}
	if (m->service >= l->pending->n_services || m->slot >= BOARD_SERVICES)
		fatal(EX_SOFTWARE,
		    "the supervisor named a service that there is not");
	service = &l->pending->services[m->service];
	service->slot = m->slot;
	if (service->conf == NULL || !service->conf->exec->wait)
		fd_close(fd);
	else
		r = wait_add(l, l->pending, service, fd);
	if (r == 0)
		return;
	snprintf(why, sizeof(why), "service %s: cannot take its socket: %s",
	    service->conf->name, strerror(-r));
	pending_fail(l, m->generation, why);
}

/*
 * The configuration needs what has been given up.  While nothing runs, a new
 * launcher is the answer: the supervisor starts one with this configuration.
 */
static void
lacks_privileges(struct launcher *l, const char *names)
{
	uint64_t number = l->pending->number;
	char why[400];

	links_drain(l);
	if (l->n_programs == 0) {
		log_notice("starting anew for programs that need more "
			   "capabilities: %s",
		    names);
		l->done = true;
		return;
	}
	snprintf(why, sizeof(why),
	    "a program needs capabilities that the launcher gave up when it "
	    "started (%s): try again when no program runs, or restart the daemon",
	    names);
	pending_fail(l, number, why);
}

/* False when the configuration cannot be used. */
static bool
take_privileges(struct launcher *l, struct generation *gen)
{
	struct privilege need = privilege_needed(l, gen->conf);
	char names[256];
	size_t i;
	int r;

	if (!privilege_held(l, &need, names, sizeof(names))) {
		lacks_privileges(l, names);
		return false;
	}
	if (l->generations != NULL)
		return true;
	r = privilege_keep(l, &need);
	if (r < 0)
		fatal(EX_OSERR, "cannot give up capabilities: %s", strerror(-r));
	/* What is gone from ours for good is not dropped once more in every child. */
	for (i = 0; i < gen->n_services; i++)
		gen->services[i].plan.drop_bounding &= l->self.bounding;
	return true;
}

static void
on_commit(struct launcher *l, struct chan_msg *msg)
{
	const struct msg_commit *m = (const void *)msg->body;
	struct generation *gen = l->pending;

	if (gen == NULL || gen->number != m->generation)
		return; /* MSG_FAILED has been sent */
	if (!take_privileges(l, gen))
		return;
	l->pending = NULL;
	generation_use(l, gen);
	wait_commit(l);
	atomic_store(&l->board->roles[l->slot].generation, (uint32_t)gen->number);
	reply(l, MSG_READY, gen->number, "");
	links_recheck(l);
}

/* ---- the other messages ------------------------------------------------------------- */

static void
on_link(struct launcher *l, struct chan_msg *msg)
{
	const struct msg_link *m = (const void *)msg->body;
	int fd = chan_take_fd(msg, 0);

	if (m->slot < BOARD_WORKERS)
		link_set(l, m->slot, fd);
	else
		fd_close(fd);
}

static void
on_wake(struct launcher *l, struct chan_msg *msg)
{
	const struct msg_link *m = (const void *)msg->body;
	int fd = chan_take_fd(msg, 0);

	if (m->slot >= BOARD_WORKERS) {
		fd_close(fd);
		return;
	}
	fd_close(l->wakes[m->slot]);
	l->wakes[m->slot] = fd;
}

static void
on_log_level(struct launcher *l, struct chan_msg *msg)
{
	const struct msg_level *m = (const void *)msg->body;

	(void)l;
	log_set_level((enum cab_log_level)m->level);
}

static void
on_kill(struct launcher *l, struct chan_msg *msg)
{
	const struct msg_kill *m = (const void *)msg->body;

	program_kill(l, m->conn_id);
}

/* ---- the end ------------------------------------------------------------------------- */

static void
check_done(struct launcher *l)
{
	if (!l->stopping || l->n_programs > 0)
		return;
	/* What a worker passed on before it stopped was admitted. */
	if (l->stop_stage == 0)
		links_drain(l);
	if (l->n_programs == 0)
		l->done = true;
}

static void
stop_step(struct launcher *l, struct alarm *alarm)
{
	if (l->stop_stage++ == 0) {
		links_stop(l);
		programs_kill(l, SIGTERM);
		alarm_set(l, alarm, KILL_AFTER_MS);
	} else {
		programs_kill(l, SIGKILL);
		/* A process that even this does not end is the kernel's. */
		l->done = true;
	}
	check_done(l);
}

static void
on_stop(struct launcher *l, struct chan_msg *msg)
{
	const struct msg_stop *m = (const void *)msg->body;

	l->stopping = true;
	l->stop_stage = 0;
	wait_stop(l);
	l->stop.ring = stop_step;
	if (m->drain_ms == 0)
		stop_step(l, &l->stop);
	else
		alarm_set(l, &l->stop, m->drain_ms);
	check_done(l);
}

/*
 * Another launcher is in our place.  Programs go on as long as they like, and
 * what workers of our time still have for us is started.
 */
static void
on_retire(struct launcher *l, struct chan_msg *msg)
{
	(void)msg;
	l->retired = true;
	/* Half of one may have come before its supervisor ended. */
	pending_discard(l);
	wait_stop(l);
}

/* Nobody is left who would look after the programs. */
static void
on_gone(struct launcher *l)
{
	if (!l->stopping)
		log_event(CAB_LOG_WARNING, EVENT_PROGRAMS_LOST,
		    "the supervisor is gone: ending %u programs", l->n_programs);
	programs_kill(l, SIGTERM);
	l->done = true;
}

/* ---- events --------------------------------------------------------------------------- */

static void (*const handlers[MSG_MAX])(struct launcher *, struct chan_msg *) = {
	[MSG_CONFIG] = on_config,
	[MSG_LISTENER] = on_listener,
	[MSG_COMMIT] = on_commit,
	[MSG_LINK] = on_link,
	[MSG_WAKE] = on_wake,
	[MSG_RETIRE] = on_retire,
	[MSG_STOP] = on_stop,
	[MSG_LOG_LEVEL] = on_log_level,
	[MSG_KILL] = on_kill,
};

static void
channel_ready(struct launcher *l, struct source *source, uint32_t events)
{
	static struct chan_msg msg;
	int i, r;

	(void)events;
	for (i = 0; i < MESSAGES; i++) {
		r = chan_recv(source->fd, &msg);
		if (r == -EAGAIN)
			return;
		if (r == 0) {
			on_gone(l);
			return;
		}
		if (r < 0)
			fatal(EX_SOFTWARE,
			    "cannot read from the supervisor: %s", strerror(-r));
		if (msg_valid(&msg) && handlers[msg.type] != NULL)
			handlers[msg.type](l, &msg);
		chan_msg_release(&msg);
	}
}

static void
signals_ready(struct launcher *l, struct source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	/* One SIGCHLD at most is pending; one that comes now makes the descriptor ready again. */
	(void)!read(source->fd, &info, sizeof(info));
	reap(l);
	check_done(l);
}

/* ---- set-up ---------------------------------------------------------------------------- */

/* Ends come through a descriptor; what a terminal or systemd sends to all is the supervisor's. */
static int
signals_open(struct launcher *l)
{
	sigset_t set;

	spawn_own_signals();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	l->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	l->signals.ready = signals_ready;
	if (l->signals.fd < 0)
		return -errno;
	return source_watch(l, &l->signals, EPOLLIN);
}

static void
on_hello(struct launcher *l)
{
	static struct chan_msg msg;
	const struct msg_hello *m = (const void *)msg.body;
	CAB_AUTO_FD int fd = -1;
	int r;

	do
		r = poll(&(struct pollfd){ l->channel.fd, POLLIN, 0 }, 1, -1);
	while (r < 0 && errno == EINTR);
	r = chan_recv(l->channel.fd, &msg);
	if (r == 0)
		exit(EX_UNAVAILABLE);
	if (r < 0 || msg.type != MSG_HELLO || !msg_valid(&msg) ||
	    m->slot >= BOARD_ROLES)
		fatal(EX_USAGE, "a launcher is started by the supervisor only");
	fd = chan_take_fd(&msg, 0);
	log_open((enum cab_log_target)m->log_target,
	    (enum cab_log_level)m->log_level, "launcher");
	l->slot = m->slot;
	l->self.def_uid = m->uid;
	l->self.def_gid = m->gid;
	r = board_map(fd, &l->board);
	if (r < 0)
		fatal(EX_OSERR, "cannot map the scoreboard: %s", strerror(-r));
}

static void
look_around(struct launcher *l)
{
	size_t files;

	spawn_self_look(&l->self);
	l->had_permitted = l->self.permitted;
	l->had_bounding = l->self.bounding;
	files = fd_raise_limit();
	l->max_outputs = files > LAUNCHER_FDS + BOARD_WORKERS * 2 + 64 ?
	    (unsigned)(files - LAUNCHER_FDS - BOARD_WORKERS * 2) :
	    64;
	/* Adopted by us, grandchildren that lost their parent leave no zombies. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	(void)prctl(PR_SET_NAME, "cabinetd", 0, 0, 0);
	/* Where programs start that have no other directory (spawn_plan). */
	if (chdir("/") < 0)
		fatal(EX_OSERR, "cannot enter /: %s", strerror(errno));
#ifndef CAB_SANITIZE
	/* The leak checker attaches to its own process. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static int
launcher_open(struct launcher *l)
{
	int r;

	l->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (l->null_fd < 0)
		return -errno;
	l->program_pool = pool_new(sizeof(struct program));
	l->output_pool = pool_new(sizeof(struct output));
	if (l->program_pool == NULL || l->output_pool == NULL)
		return -ENOMEM;
	r = loop_open(l);
	if (r == 0)
		r = signals_open(l);
	if (r == 0)
		r = fd_set_nonblock(l->channel.fd, 1);
	if (r == 0)
		r = fd_set_cloexec(l->channel.fd, 1);
	l->channel.ready = channel_ready;
	if (r == 0)
		r = source_watch(l, &l->channel, EPOLLIN);
	return r;
}

static void
launcher_release(struct launcher *l)
{
	unsigned i;

	programs_release(l);
	wait_release(l);
	links_release(l);
	pending_discard(l);
	loop_close(l);
	while (l->generations != NULL) {
		struct generation *gen = l->generations;

		l->generations = gen->next;
		generation_free(l, gen);
	}
	for (i = 0; i < BOARD_WORKERS; i++)
		fd_close(l->wakes[i]);
	pool_free(l->program_pool);
	pool_free(l->output_pool);
	board_unmap(l->board);
	fd_close(l->signals.fd);
	fd_close(l->channel.fd);
	fd_close(l->null_fd);
}

void
launcher_main(const struct cab_desc *const descs[])
{
	static struct launcher l;
	int r;

	l.descs = descs;
	l.environment = environ;
	l.channel.fd = MSG_ROLE_FD;
	memset(l.wakes, -1, sizeof(l.wakes));
	links_init(&l);
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, "launcher");
	clock_tick();
	on_hello(&l);
	look_around(&l);
	r = launcher_open(&l);
	if (r < 0)
		fatal(EX_OSERR, "cannot start: %s", strerror(-r));
	loop_run(&l);
	launcher_release(&l);
	exit(EX_OK);
}
