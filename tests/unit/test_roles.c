/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the table of roles with small stand-ins for worker and launcher:
 * forked processes that speak the messages, and misbehave as their test says.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "ipc/chan.h"
#include "ipc/msg.h"
#include "supervisor/roles.h"
#include "tests/support/events.h"

#define PATIENCE \
	UINT64_C(20000000) /* us without any event before a test fails */

/* How the stand-ins behave. */
static struct {
	bool die_on_commit; /* every process of the role */
	bool refuse;        /* MSG_FAILED for every generation */
	bool mute;          /* no answer at all */
	bool talk_nonsense;
	bool ignore_stop;
	bool slow;      /* does not read until it is continued */
	bool busy;      /* has open connections when it is dismissed */
	unsigned slot;  /* of the one that misbehaves */
	uint64_t since; /* generation from which on it does */
} manner;

static sd_event *event;
static struct board *board;
static int board_fd = -1;
static struct roles *roles;
static pid_t pids[BOARD_ROLES];
static unsigned spawned;

/* What the watch has seen. */
static unsigned ready, failed, died, empty;
static char failed_text[256], failed_role[32];
static uint64_t failed_generation;

/* ---- the stand-in -------------------------------------------------------------------- */

/* Links seen, as a role would notice them: its far ends are told by their slot. */
struct stand_in {
	int chan;
	struct msg_hello hello;
	unsigned links, wakes, listeners;
};

static bool
misbehaves(const struct stand_in *self, uint64_t generation)
{
	return self->hello.slot == manner.slot && generation >= manner.since;
}

static void
on_commit(struct stand_in *self, const struct chan_msg *msg)
{
	static const char text[] = "service \"x\": no\nway";
	struct {
		struct msg_commit head;
		char text[sizeof(text) - 1];
	} body;

	memcpy(&body.head, msg->body, sizeof(body.head));
	memcpy(body.text, text, sizeof(body.text));
	if (misbehaves(self, body.head.generation)) {
		if (manner.mute)
			return;
		if (manner.die_on_commit)
			_exit(3);
		if (manner.talk_nonsense) {
			chan_send(self->chan, MSG_RUN, "x", 1, NULL, 0);
			return;
		}
		if (manner.refuse) {
			chan_send(self->chan, MSG_FAILED, &body,
			    offsetof(typeof(body), text) + sizeof(body.text),
			    NULL, 0);
			return;
		}
	}
	/* What it was given is told through the scoreboard. */
	atomic_store(&board->roles[self->hello.slot].connections,
	    self->listeners << 16 | self->wakes << 8 | self->links);
	chan_send(self->chan, MSG_READY, &body.head, sizeof(body.head), NULL, 0);
	self->listeners = 0;
}

/* Told, once more, through the scoreboard; what is open goes on. */
static void
on_dismiss(struct stand_in *self, const struct chan_msg *msg)
{
	atomic_store(&board->roles[self->hello.slot].generation, BOARD_DISMISSED);
	if (!manner.busy)
		_exit(0);
	chan_send(self->chan, MSG_READY, msg->body, msg->n, NULL, 0);
}

static void
on_message(struct stand_in *self, struct chan_msg *msg)
{
	switch (msg->type) {
	case MSG_HELLO:
		memcpy(&self->hello, msg->body, sizeof(self->hello));
		break;
	case MSG_LINK:
		self->links++;
		break;
	case MSG_WAKE:
		self->wakes++;
		break;
	case MSG_LISTENER:
		self->listeners++;
		break;
	case MSG_COMMIT:
		on_commit(self, msg);
		break;
	case MSG_DISMISS:
		on_dismiss(self, msg);
		break;
	case MSG_RETIRE:
		_exit(0);
	case MSG_STOP:
		if (!(manner.ignore_stop && misbehaves(self, UINT64_MAX)))
			_exit(0);
		break;
	case MSG_LOG_LEVEL:
		atomic_store(&board->roles[self->hello.slot].generation,
		    ((const struct msg_level *)(const void *)msg->body)->level);
		break;
	}
	chan_msg_release(msg);
}

static void __attribute__((noreturn)) stand_in(int chan)
{
	struct stand_in self = { .chan = chan };
	static struct chan_msg msg;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (manner.slow)
		raise(SIGSTOP);
	while ((r = chan_recv(chan, &msg)) == 1) {
		if (!msg_valid(&msg))
			_exit(9);
		on_message(&self, &msg);
	}
	_exit(r == 0 ? 0 : 8);
}

static pid_t
spawn(const char *title, int channel)
{
	unsigned slot = BOARD_LAUNCHER;
	pid_t pid;

	if (strcmp(title, ROLE_TITLE_LAUNCHER) != 0)
		assert_int_equal(
		    sscanf(title, ROLE_TITLE_WORKER " %u", &slot), 1);
	pid = fork();
	if (pid == 0) {
		int fd = fcntl(channel, F_DUPFD, 500);

		/* As after an exec: only the channel is left. */
		close_range(3, 499, 0);
		stand_in(fd);
	}
	pids[slot] = pid;
	spawned++;
	return pid;
}

/* ---- the rig -------------------------------------------------------------------------- */

static void
on_ready(void *arg)
{
	(void)arg;
	ready++;
}

static void
on_failed(void *arg, const char *role, uint64_t generation, const char *text)
{
	(void)arg;
	failed++;
	failed_generation = generation;
	snprintf(failed_role, sizeof(failed_role), "%s", role);
	snprintf(failed_text, sizeof(failed_text), "%s", text);
}

static void
on_died(void *arg, const char *role, unsigned times)
{
	(void)arg;
	(void)role;
	died = times;
}

static void
on_empty(void *arg)
{
	(void)arg;
	empty++;
}

static int
on_sigchld(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	(void)source;
	(void)info;
	(void)arg;
	if (roles != NULL)
		roles_reap(roles);
	return 0;
}

/* Turns the loop until the condition holds. */
#define turn_until(condition)                                      \
	do {                                                       \
		while (!(condition))                               \
			if (events_run(event, PATIENCE) <= 0)      \
				fail_msg("never: %s", #condition); \
	} while (0)

static struct batch *
new_batch(uint64_t generation, unsigned listeners, uint32_t last)
{
	struct msg_config config = { .generation = generation };
	struct msg_listener listener = { .generation = generation };
	struct msg_commit commit = { .generation = generation };
	struct shared_fd *fd = shared_fd_new(
	    open("/dev/null", O_RDONLY | O_CLOEXEC));
	struct batch *batch = batch_new();

	assert_int_equal(
	    batch_add(batch, MSG_CONFIG, &config, sizeof(config), fd), 0);
	for (unsigned i = 0; i < listeners; i++)
		assert_int_equal(batch_add(batch, MSG_LISTENER, &listener,
				     sizeof(listener), fd),
		    0);
	assert_int_equal(
	    batch_add(batch, last, &commit, sizeof(commit), NULL), 0);
	shared_fd_unref(fd);
	return batch;
}

static void
announce(uint64_t generation, unsigned listeners)
{
	struct roles_batches batches = { .dismissed = new_batch(
					     generation, 0, MSG_DISMISS) };

	batches.workers = batches.launcher = new_batch(
	    generation, listeners, MSG_COMMIT);
	roles_announce(roles, generation, &batches);
	batch_unref(batches.workers);
	batch_unref(batches.dismissed);
}

static void
make(unsigned workers)
{
	const struct roles_setup setup = { .event = event,
		.board = board,
		.board_fd = board_fd,
		.workers = workers,
		.log_level = CAB_LOG_INFO,
		.uid = UINT32_MAX,
		.gid = UINT32_MAX,
		.max_fds = 1000,
		.spawn = spawn,
		.watch = { on_ready, on_failed, on_died, on_empty, NULL } };

	assert_int_equal(roles_new(&roles, &setup), 0);
}

static void
start(unsigned workers)
{
	make(workers);
	announce(1, 3);
	roles_start(roles);
}

static int
set_up(void **state)
{
	sigset_t mask;

	(void)state;
	memset(&manner, 0, sizeof(manner));
	ready = failed = died = empty = spawned = 0;
	memset(pids, 0, sizeof(pids));
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	log_set_level(CAB_LOG_ERR - 1);
	board_fd = board_create(&board);
	return board_fd < 0 || sd_event_new(&event) < 0 ||
	    sd_event_add_signal(event, NULL, SIGCHLD, on_sigchld, NULL) < 0;
}

static int
tear_down(void **state)
{
	(void)state;
	roles_free(roles);
	roles = NULL;
	event = sd_event_unref(event);
	board_unmap(board);
	board_fd = fd_close(board_fd);
	/* None is left, not even as a zombie. */
	return waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD;
}

static uint32_t
told(unsigned slot)
{
	return atomic_load(&board->roles[slot].connections);
}

/* ---- tests ---------------------------------------------------------------------------- */

static void
test_start_and_stop(void **state)
{
	(void)state;
	start(2);
	assert_int_equal(roles_running(roles), 3);
	assert_non_null(roles_missing(roles));
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(ready, 3);
	assert_int_equal(spawned, 3);
	assert_int_equal(roles_workers(roles), 2);
	assert_true(roles_healthy(roles));
	/* Each had its batch, both wake-ups, and its links. */
	assert_int_equal(told(0), 3 << 16 | 2 << 8 | 1);
	assert_int_equal(told(1), 3 << 16 | 2 << 8 | 1);
	/* The launcher's came when the workers had started. */
	announce(2, 4);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(told(BOARD_LAUNCHER), 4 << 16 | 2 << 8 | 2);
	assert_true(roles_own(roles, pids[0]));
	assert_false(roles_own(roles, getpid()));
	roles_stop(roles, 1000);
	turn_until(empty == 1);
	assert_int_equal(roles_running(roles), 0);
	assert_int_equal(spawned, 3);
}

static void
test_more_generations(void **state)
{
	(void)state;
	start(2);
	turn_until(roles_missing(roles) == NULL);
	announce(2, 7);
	assert_non_null(roles_missing(roles));
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(told(1) >> 16, 7);
	assert_int_equal(ready, 6);
	assert_int_equal(failed, 0);
}

/* More messages than a channel holds, to somebody who does not read for a while. */
static void
test_a_slow_role_holds_up_nobody(void **state)
{
	int status;

	(void)state;
	manner.slow = true;
	start(1);
	for (unsigned slot = 0; slot <= BOARD_LAUNCHER; slot += BOARD_LAUNCHER)
		assert_int_equal(
		    waitpid(pids[slot], &status, WUNTRACED), pids[slot]);
	announce(2, 4000);
	announce(3, 5000);
	kill(pids[0], SIGCONT);
	kill(pids[BOARD_LAUNCHER], SIGCONT);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(told(0) >> 16, 5000);
}

static void
test_a_killed_worker_is_replaced(void **state)
{
	struct ticket_pool pool;

	(void)state;
	start(2);
	turn_until(roles_missing(roles) == NULL);
	ticket_pool_init(&pool, board, 1);
	atomic_store(&board->services[5].active, 1);
	assert_int_not_equal(
	    ticket_new(&pool, 5, BOARD_NO_SOURCE), BOARD_NO_TICKET);
	kill(pids[1], SIGKILL);
	turn_until(spawned == 4);
	/* What it held has been given back. */
	assert_int_equal(atomic_load(&board->services[5].active), 0);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(died, 0);
	assert_int_equal(told(1), 3 << 16 | 2 << 8 | 1);
	/* The launcher has the new worker's link too, as of its next message. */
	announce(2, 3);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(told(BOARD_LAUNCHER) & 0xff, 3);
	assert_int_equal(told(0) & 0xff, 1);
}

static void
test_a_killed_launcher_is_replaced(void **state)
{
	(void)state;
	start(2);
	turn_until(roles_missing(roles) == NULL);
	kill(pids[BOARD_LAUNCHER], SIGKILL);
	turn_until(spawned == 4);
	announce(2, 3);
	turn_until(roles_missing(roles) == NULL);
	/* New links for everybody. */
	assert_int_equal(told(BOARD_LAUNCHER) & 0xff, 2);
	assert_int_equal(told(0) & 0xff, 2);
	assert_int_equal(told(1) & 0xff, 2);
}

static void
test_pauses_between_restarts(void **state)
{
	(void)state;
	start(1);
	turn_until(roles_missing(roles) == NULL);
	/* The first one is at once, the second has to wait for a timer. */
	kill(pids[0], SIGKILL);
	turn_until(spawned == 3);
	kill(pids[0], SIGKILL);
	turn_until(roles_running(roles) == 1);
	assert_int_equal(spawned, 3);
	assert_non_null(roles_missing(roles));
	turn_until(spawned == 4);
	turn_until(roles_missing(roles) == NULL);
}

static void
test_refusal(void **state)
{
	(void)state;
	manner.refuse = true;
	manner.since = 2;
	start(2);
	turn_until(roles_missing(roles) == NULL);
	announce(2, 1);
	turn_until(failed == 1);
	assert_int_equal(failed_generation, 2);
	assert_string_equal(failed_role, "worker 0");
	assert_string_equal(failed_text, "service \\x22x\\x22: no\\x0away");
	turn_until(ready == 5);
	assert_string_equal(roles_missing(roles), "worker 0");
	/* It lives on and takes what it can use. */
	manner.refuse = false;
	assert_int_equal(spawned, 3);
}

static void
test_deaths_are_counted(void **state)
{
	(void)state;
	manner.die_on_commit = true;
	manner.since = 2;
	start(1);
	turn_until(roles_missing(roles) == NULL);
	announce(2, 1);
	turn_until(died == 3);
	assert_true(roles_healthy(roles));
	/* Back to something that it can use. */
	announce(1, 1);
	turn_until(roles_missing(roles) == NULL);
	announce(2, 1);
	turn_until(died == 1);
}

static void
test_a_role_that_breaks_the_rules_is_replaced(void **state)
{
	(void)state;
	manner.talk_nonsense = true;
	manner.since = 2;
	start(1);
	turn_until(roles_missing(roles) == NULL);
	announce(2, 1);
	turn_until(died == 2);
	assert_true(spawned >= 3);
}

static void
test_a_role_that_hangs_is_killed(void **state)
{
	pid_t old;

	(void)state;
	manner.mute = true;
	manner.since = 2;
	start(2);
	turn_until(roles_missing(roles) == NULL);
	announce(2, 1);
	turn_until(ready == 5);
	assert_string_equal(roles_missing(roles), "worker 0");
	old = pids[0];
	roles_kill_missing(roles);
	turn_until(pids[0] != old);
	assert_int_equal(died, 1);
	assert_int_equal(spawned, 4);
}

static void
test_a_role_that_does_not_stop_is_killed(void **state)
{
	(void)state;
	manner.ignore_stop = true;
	start(2);
	turn_until(roles_missing(roles) == NULL);
	roles_stop(roles, 0);
	turn_until(roles_running(roles) == 1);
	assert_int_equal(empty, 0);
	turn_until(empty == 1);
}

static void
test_kill_ends_at_once(void **state)
{
	(void)state;
	manner.ignore_stop = true;
	start(2);
	roles_stop(roles, 3600 * 1000);
	turn_until(roles_running(roles) == 1);
	roles_kill(roles);
	turn_until(empty == 1);
}

static void
test_stop_of_nobody(void **state)
{
	(void)state;
	start(1);
	turn_until(roles_missing(roles) == NULL);
	/* One that waits for its restart does not come back. */
	kill(pids[0], SIGKILL);
	turn_until(spawned == 3);
	kill(pids[0], SIGKILL);
	turn_until(roles_running(roles) == 1);
	roles_stop(roles, 1000);
	turn_until(empty == 1);
	roles_stop(roles, 1000);
	assert_int_equal(empty, 2);
	assert_int_equal(spawned, 3);
}

static void
test_another_number_of_workers(void **state)
{
	(void)state;
	start(1);
	turn_until(roles_missing(roles) == NULL);
	roles_resize(roles, 3);
	assert_int_equal(spawned, 4);
	turn_until(roles_missing(roles) == NULL);
	announce(2, 1);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(told(0), 1 << 16 | 3 << 8 | 1);
	assert_int_equal(told(2), 1 << 16 | 3 << 8 | 1);
	assert_int_equal(told(BOARD_LAUNCHER), 1 << 16 | 3 << 8 | 3);
	roles_resize(roles, 1);
	assert_int_equal(roles_workers(roles), 1);
	turn_until(roles_running(roles) == 2);
	assert_null(roles_missing(roles));
	roles_resize(roles, 2);
	turn_until(roles_running(roles) == 3 && roles_missing(roles) == NULL);
	assert_int_equal(spawned, 5);
}

static uint32_t
shown(unsigned slot)
{
	return atomic_load(&board->roles[slot].generation);
}

/* Wanted again when it has ended, but nobody knows it yet: another one comes. */
static void
test_dismissed_and_wanted_again(void **state)
{
	(void)state;
	start(2);
	turn_until(roles_missing(roles) == NULL);
	roles_resize(roles, 1);
	while (shown(1) != BOARD_DISMISSED)
		usleep(1000);
	roles_resize(roles, 2);
	assert_int_equal(spawned, 3);
	turn_until(spawned == 4 && roles_missing(roles) == NULL);
	assert_int_equal(atomic_load(&board->roles[1].restarts), 0);
}

/* What is open goes on: it is told of new generations, but nobody waits for it. */
static void
test_a_dismissed_one_goes_on(void **state)
{
	struct role_view view;

	(void)state;
	manner.busy = true;
	start(2);
	turn_until(roles_missing(roles) == NULL);
	roles_resize(roles, 1);
	turn_until(ready >= 1 && shown(1) == BOARD_DISMISSED);
	assert_int_equal(roles_workers(roles), 1);
	assert_int_equal(roles_running(roles), 3);
	assert_true(roles_view(roles, 1, &view) && view.dismissed);
	assert_true(roles_view(roles, 0, &view) && !view.dismissed);
	announce(2, 1);
	turn_until(roles_missing(roles) == NULL);
	turn_until(roles_view(roles, 1, &view) && view.generation == 2);
	assert_int_equal(roles_kill_connection(roles, 1, 5), 0);
	/* Recalled, it serves what the others do. */
	roles_resize(roles, 2);
	announce(3, 2);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(told(1) >> 16, 2);
	assert_int_equal(spawned, 3);
	assert_int_equal(atomic_load(&board->roles[1].restarts), 0);
	/* The end of one that is not wanted is nobody's loss. */
	roles_resize(roles, 1);
	kill(pids[1], SIGKILL);
	turn_until(roles_running(roles) == 2);
	roles_resize(roles, 2);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(spawned, 4);
	assert_int_equal(atomic_load(&board->roles[1].restarts), 0);
	kill(pids[1], SIGKILL);
	turn_until(spawned == 5 && roles_missing(roles) == NULL);
	assert_int_equal(atomic_load(&board->roles[1].restarts), 1);
	assert_true(roles_healthy(roles));
}

static void
test_a_stop_is_for_the_dismissed_too(void **state)
{
	(void)state;
	manner.busy = true;
	start(3);
	turn_until(roles_missing(roles) == NULL);
	roles_resize(roles, 1);
	roles_stop(roles, 1000);
	turn_until(empty == 1);
	assert_int_equal(roles_running(roles), 0);
}

static void
test_log_level(void **state)
{
	(void)state;
	start(1);
	turn_until(roles_missing(roles) == NULL);
	roles_set_log_level(roles, CAB_LOG_DEBUG);
	announce(2, 1);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(atomic_load(&board->roles[0].generation), CAB_LOG_DEBUG);
	assert_int_equal(atomic_load(&board->roles[BOARD_LAUNCHER].generation),
	    CAB_LOG_DEBUG);
}

static unsigned refusals;

static pid_t
no_memory(const char *title, int channel)
{
	if (refusals == 0)
		return spawn(title, channel);
	refusals--;
	return -ENOMEM;
}

static void
test_a_spawn_that_fails_is_tried_again(void **state)
{
	const struct roles_setup setup = { .event = event,
		.board = board,
		.board_fd = board_fd,
		.workers = 1,
		.spawn = no_memory,
		.watch = { on_ready, on_failed, on_died, on_empty, NULL } };

	(void)state;
	refusals = 3;
	assert_int_equal(roles_new(&roles, &setup), 0);
	announce(1, 1);
	roles_start(roles);
	assert_int_equal(roles_running(roles), 0);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(refusals, 0);
}

/* Whoever traces a process is told of its death first. */
static void
test_a_worker_that_dies_under_a_tracer(void **state)
{
	int fds[2], status;
	pid_t tracer;
	char c = 0;

	(void)state;
	start(1);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(pipe(fds), 0);
	tracer = fork();
	if (tracer == 0) {
		close(fds[0]);
		if (ptrace(PTRACE_SEIZE, pids[0], NULL, NULL) < 0)
			_exit(1);
		c = 'x';
		if (write(fds[1], &c, 1) != 1)
			_exit(2);
		/* It stays a zombie until we have looked, which takes us a while. */
		usleep(300000);
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], &c, 1) != 1) {
		close(fds[0]);
		waitpid(tracer, NULL, 0);
		skip(); /* not allowed here */
	}
	close(fds[0]);
	kill(pids[0], SIGKILL);
	turn_until(spawned == 3);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(waitpid(tracer, &status, 0), tracer);
	assert_int_equal(status, 0);
}

/* ---- of a supervisor before ---------------------------------------------------------- */

/* One that runs already, as the store would bring it; it has had its first words. */
static struct roles_found
left_behind(uint32_t slot)
{
	struct roles_found found = { .name = "cabinetd-role.1.0.1", .slot = slot };
	struct msg_hello hello = { .slot = slot };
	int fds[2];

	assert_int_equal(chan_pair(fds, 0), 0);
	assert_int_equal(chan_send(fds[0], MSG_HELLO, &hello, sizeof(hello),
			     &board_fd, 1),
	    0);
	found.pid = fork();
	if (found.pid == 0) {
		int fd = fcntl(fds[1], F_DUPFD, 500);

		close_range(3, 499, 0);
		stand_in(fd);
	}
	fd_close(fds[1]);
	found.chan = fds[0];
	found.pidfd = pidfd_open(found.pid, 0);
	assert_true(found.pidfd >= 0);
	return found;
}

/* Its exit status, or minus its signal. */
static int
end_of(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void
test_adopted_ones_go_on(void **state)
{
	struct roles_found worker = left_behind(0),
			   launcher = left_behind(BOARD_LAUNCHER);

	(void)state;
	atomic_store(&board->roles[0].generation, 1);
	atomic_store(&board->roles[BOARD_LAUNCHER].generation, 1);
	atomic_store(&board->roles[0].linked, 1);
	make(2);
	roles_adopt(roles, &worker);
	roles_adopt(roles, &launcher);
	roles_adopted(roles);
	announce(7, 2);
	roles_start(roles);
	turn_until(roles_missing(roles) == NULL);
	/* The second worker alone is new; the first keeps the link that it has. */
	assert_int_equal(spawned, 1);
	assert_int_equal(told(0), 2 << 16 | 2 << 8 | 0);
	assert_int_equal(told(1) & 0xff, 1);
	assert_false(roles_own(roles, worker.pid));
	/* It dies as any other does. */
	kill(worker.pid, SIGKILL);
	turn_until(spawned == 2);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(told(0) & 0xff, 1);
	assert_int_equal(end_of(worker.pid), -SIGKILL);
	roles_stop(roles, 1000);
	turn_until(empty == 1);
	assert_int_equal(end_of(launcher.pid), 0);
}

/* The supervisor before had dismissed it, or had not come to that. */
static void
test_an_adopted_one_that_is_not_wanted_goes_on(void **state)
{
	struct roles_found worker;
	struct role_view view;

	(void)state;
	manner.busy = true;
	worker = left_behind(1);
	atomic_store(&board->roles[1].generation, 1);
	atomic_store(&board->roles[1].linked, 1);
	make(1);
	roles_adopt(roles, &worker);
	roles_adopted(roles);
	announce(7, 2);
	roles_start(roles);
	turn_until(roles_missing(roles) == NULL && shown(1) == BOARD_DISMISSED);
	assert_true(roles_view(roles, 1, &view));
	assert_true(view.dismissed && !view.leaving && view.adopted);
	assert_int_equal(spawned, 2);
	kill(worker.pid, SIGKILL);
	turn_until(roles_running(roles) == 2);
	assert_int_equal(end_of(worker.pid), -SIGKILL);
	assert_int_equal(spawned, 2);
}

/* The supervisor before had died while it made it known to the launcher. */
static void
test_a_broken_link_is_made_anew(void **state)
{
	struct roles_found worker = left_behind(0),
			   launcher = left_behind(BOARD_LAUNCHER);

	(void)state;
	atomic_store(&board->roles[0].generation, 1);
	atomic_store(&board->roles[BOARD_LAUNCHER].generation, 1);
	make(1);
	roles_adopt(roles, &worker);
	roles_adopt(roles, &launcher);
	roles_adopted(roles);
	announce(2, 1);
	turn_until(roles_missing(roles) == NULL);
	assert_int_equal(told(0) & 0xff, 1);
	assert_int_equal(told(BOARD_LAUNCHER) & 0xff, 1);
	assert_int_equal(atomic_load(&board->roles[0].linked), 1);
	roles_kill(roles);
	roles_stop(roles, 0);
	turn_until(empty == 1);
	(void)end_of(worker.pid);
	(void)end_of(launcher.pid);
}

/* What it was still to be told is lost with the supervisor before. */
static void
test_one_that_has_not_begun_is_replaced(void **state)
{
	struct roles_found worker = left_behind(0);

	(void)state;
	make(1);
	roles_adopt(roles, &worker);
	roles_adopted(roles);
	announce(1, 1);
	roles_start(roles);
	turn_until(roles_missing(roles) == NULL);
	/* Of its channel's end or by force, whichever came first. */
	(void)end_of(worker.pid);
	assert_int_equal(spawned, 2);
}

static void
test_inherited_ones_finish(void **state)
{
	struct roles_found one = left_behind(0), two = left_behind(0);

	(void)state;
	make(1);
	roles_inherit(roles, &one);
	roles_inherit(roles, &two);
	announce(1, 1);
	roles_start(roles);
	turn_until(roles_missing(roles) == NULL);
	/* They serve until the others do. */
	assert_int_equal(roles_running(roles), 4);
	assert_int_equal(spawned, 2);
	roles_retire(roles, false);
	turn_until(roles_running(roles) == 2);
	assert_int_equal(end_of(one.pid), 0);
	assert_int_equal(end_of(two.pid), 0);
	assert_int_equal(died, 0);
}

static void
test_a_stop_is_for_the_inherited_too(void **state)
{
	struct roles_found one = left_behind(0);

	(void)state;
	start(1);
	turn_until(roles_missing(roles) == NULL);
	roles_inherit(roles, &one);
	roles_stop(roles, 1000);
	turn_until(empty == 1);
	assert_int_equal(end_of(one.pid), 0);
}

static void
test_who_is_left_is_not_ended(void **state)
{
	struct roles_found adopted = left_behind(0), inherited = left_behind(0);

	(void)state;
	atomic_store(&board->roles[0].generation, 1);
	make(1);
	roles_adopt(roles, &adopted);
	roles_inherit(roles, &inherited);
	announce(1, 1);
	roles_start(roles);
	turn_until(roles_missing(roles) == NULL);
	roles_leave(roles);
	roles_free(roles);
	roles = NULL;
	/* But here nobody keeps their channels open. */
	assert_int_equal(end_of(adopted.pid), 0);
	assert_int_equal(end_of(inherited.pid), 0);
	assert_int_equal(end_of(pids[BOARD_LAUNCHER]), 0);
}

static unsigned
open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
test_nothing_stays_open(void **state)
{
	unsigned before;

	(void)state;
	start(2);
	turn_until(roles_missing(roles) == NULL);
	before = open_descriptors();
	for (unsigned turn = 0; turn < 5; turn++) {
		kill(pids[turn % 2], SIGKILL);
		turn_until(spawned == 4 + turn);
		announce(turn + 2, 50);
		turn_until(roles_missing(roles) == NULL);
	}
	assert_int_equal(open_descriptors(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start_and_stop),
		TEST(test_more_generations),
		TEST(test_a_slow_role_holds_up_nobody),
		TEST(test_a_killed_worker_is_replaced),
		TEST(test_a_killed_launcher_is_replaced),
		TEST(test_pauses_between_restarts),
		TEST(test_refusal),
		TEST(test_deaths_are_counted),
		TEST(test_a_role_that_breaks_the_rules_is_replaced),
		TEST(test_a_role_that_hangs_is_killed),
		TEST(test_a_role_that_does_not_stop_is_killed),
		TEST(test_kill_ends_at_once),
		TEST(test_stop_of_nobody),
		TEST(test_another_number_of_workers),
		TEST(test_dismissed_and_wanted_again),
		TEST(test_a_dismissed_one_goes_on),
		TEST(test_a_stop_is_for_the_dismissed_too),
		TEST(test_an_adopted_one_that_is_not_wanted_goes_on),
		TEST(test_log_level),
		TEST(test_a_spawn_that_fails_is_tried_again),
		TEST(test_a_worker_that_dies_under_a_tracer),
		TEST(test_adopted_ones_go_on),
		TEST(test_a_broken_link_is_made_anew),
		TEST(test_one_that_has_not_begun_is_replaced),
		TEST(test_inherited_ones_finish),
		TEST(test_a_stop_is_for_the_inherited_too),
		TEST(test_who_is_left_is_not_ended),
		TEST(test_nothing_stays_open),
	};

	return cmocka_run_group_tests(tests, events_load, NULL);
}
