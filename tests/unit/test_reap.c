/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of programs: their ends give everything back exactly once, time
 * limits reach the whole process group, and children that are nobody's are
 * taken too.  The programs are real, the clock is not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/quota.h"
#include "base/clock.h"
#include "base/fd.h"
#include "launcher/link.h"
#include "launcher/output.h"
#include "launcher/reap.h"
#include "launcher/start.h"
#include "tests/support/launch.h"

static struct launcher l;
static struct launch_conf conf;
static struct ticket_pool tickets;
static struct generation *gen;
static int board_fd;

static void
set_ms(uint64_t ms)
{
	struct cab_clock fake = { .mono_ns = ms * 1000000 };

	clock_fake(&fake);
}

static void
use_conf(void)
{
	struct cab_buf bytes = CAB_BUF_INIT(0);
	static const struct cab_desc *const none[] = { NULL };
	struct cab_conf *copy = NULL;
	char why[100];

	assert_int_equal(conf_encode(&conf.conf, &bytes), 0);
	assert_int_equal(
	    conf_decode(none, buf_slice(&bytes).p, buf_len(&bytes), &copy), 0);
	buf_release(&bytes);
	gen = generation_new(&l, copy, 1, why, sizeof(why));
	assert_non_null(gen);
	generation_use(&l, gen);
}

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	set_ms(1000000);
	l = (struct launcher){ .slot = BOARD_LAUNCHER,
		.max_outputs = 100,
		.self = { .uid = 1,
		    .def_uid = CHILD_KEEP_ID,
		    .def_gid = CHILD_KEEP_ID,
		    .files = { 256, 256 } } };
	memset(l.wakes, -1, sizeof(l.wakes));
	links_init(&l);
	assert_int_equal(loop_open(&l), 0);
	l.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	l.program_pool = pool_new(sizeof(struct program));
	l.output_pool = pool_new(sizeof(struct output));
	board_fd = board_create(&l.board);
	assert_true(board_fd >= 0);
	ticket_pool_init(&tickets, l.board, 0);
	conf = (struct launch_conf){ .n = 0 };
	log_open(CAB_LOG_STDERR, CAB_LOG_ERR, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	programs_release(&l);
	loop_close(&l);
	while (l.generations != NULL) {
		gen = l.generations;
		l.generations = gen->next;
		generation_free(&l, gen);
	}
	assert_null(l.states);
	fd_close(l.null_fd);
	fd_close(l.wakes[0]);
	fd_close(board_fd);
	pool_free(l.program_pool);
	pool_free(l.output_pool);
	board_unmap(l.board);
	clock_fake(NULL);
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, NULL);
	return 0;
}

/* A connection of service 0; our end. */
static int
start(void)
{
	struct msg_run run = { .generation = 1, .conn_id = 1 };
	int pair[2];

	assert_true(quota_take(l.board, 0, 0));
	run.ticket = ticket_new(&tickets, 0, BOARD_NO_SOURCE);
	assert_true(ticket_adopt(l.board, run.ticket, 0, BOARD_LAUNCHER));
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	start_connection(&l, gen, &gen->services[0], 0, &run, pair[1]);
	return pair[0];
}

static struct program *
only_program(void)
{
	unsigned i;

	for (i = 0; i < PROGRAM_BUCKETS; i++)
		if (l.buckets[i] != NULL)
			return l.buckets[i];
	fail_msg("no program runs");
	return NULL;
}

static void
reap_until_idle(void)
{
	int tries;

	for (tries = 0; l.n_programs > 0 && tries < 6000; tries++) {
		reap(&l);
		poll(NULL, 0, 5);
	}
	assert_int_equal(l.n_programs, 0);
}

static void
gives_everything_back_once(void **state)
{
	struct board_counters *count = start_counters(&l, 0);
	uint64_t woken = 0;
	int fd[3], i;

	(void)state;
	launch_script(&conf, "a", "read x; exit $x");
	use_conf();
	l.wakes[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (i = 0; i < 3; i++)
		fd[i] = start();
	assert_int_equal(l.n_programs, 3);
	assert_int_equal(gen->refs, 3);
	assert_int_equal(count->started, 3);
	assert_int_equal(atomic_load(&l.board->services[0].active), 3);
	atomic_store(&l.board->services[0].waiters, 1);
	reap(&l);
	assert_int_equal(l.n_programs, 3);
	for (i = 0; i < 3; i++)
		assert_int_equal(write(fd[i], i == 0 ? "0\n" : "1\n", 2), 2);
	reap_until_idle();
	reap(&l);
	assert_int_equal(gen->refs, 0);
	assert_int_equal(count->exited, 3);
	assert_int_equal(count->finished, 3);
	assert_int_equal(count->failed, 2);
	assert_int_equal(atomic_load(&l.board->services[0].active), 0);
	assert_int_equal(read(l.wakes[0], &woken, sizeof(woken)), 8);
	for (i = 0; i < 3; i++)
		fd_close(fd[i]);
}

static bool
is_gone(pid_t pid)
{
	int tries;

	for (tries = 0; tries < 6000; tries++) {
		/* Orphans become ours. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			continue;
		if (kill(pid, 0) < 0 && errno == ESRCH)
			return true;
		poll(NULL, 0, 5);
	}
	return false;
}

static void
ends_the_whole_group(void **state)
{
	struct program *program;
	char text[32];
	pid_t child;
	ssize_t n;
	int fd;

	(void)state;
	launch_script(&conf, "a",
	    "trap '' TERM; sleep 1000 <&- >&- & echo $!; "
	    "while :; do sleep 1000; done");
	conf.services[0].timeouts.total = 7000;
	use_conf();
	fd = start();
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	child = (pid_t)strtol(text, NULL, 10);
	program = only_program();
	assert_true(timer_armed(&program->limit.timer));
	assert_int_equal(program->limit.timer.due_ms, clock_ms() + 7000);
	/* First politely, which both of them ignore. */
	timer_cancel(&l.wheel, &program->limit.timer);
	program->limit.ring(&l, &program->limit);
	assert_int_equal(program->limit.timer.due_ms, clock_ms() + 5000);
	assert_int_equal(kill(child, 0), 0);
	assert_int_equal(kill(program->pid, 0), 0);
	/* Then not. */
	timer_cancel(&l.wheel, &program->limit.timer);
	program->limit.ring(&l, &program->limit);
	assert_false(timer_armed(&program->limit.timer));
	reap_until_idle();
	assert_true(is_gone(child));
	fd_close(fd);
}

static void
sets_no_limit_unless_asked(void **state)
{
	int fd;

	(void)state;
	launch_service(&conf, "a", "/bin/cat", NULL);
	use_conf();
	fd = start();
	assert_false(timer_armed(&only_program()->limit.timer));
	programs_kill(&l, SIGKILL);
	reap_until_idle();
	fd_close(fd);
}

static void
takes_children_that_are_nobodys(void **state)
{
	pid_t pid;
	int tries;

	(void)state;
	launch_service(&conf, "a", "/bin/cat", NULL);
	use_conf();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(3);
	for (tries = 0; tries < 6000 && kill(pid, 0) == 0; tries++) {
		reap(&l);
		poll(NULL, 0, 5);
	}
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(l.n_programs, 0);
}

static void
closes_when_it_cannot_start(void **state)
{
	struct board_counters *count = start_counters(&l, 0);
	char c;
	int fd;

	(void)state;
	launch_service(&conf, "a", "/nonexistent", NULL);
	use_conf();
	fd = start();
	assert_int_equal(read(fd, &c, 1), 0);
	fd_close(fd);
	assert_int_equal(count->failed, 1);
	assert_int_equal(count->started, 0);
	assert_int_equal(gen->services[0].state->spacing_ms, 100);
	/* While it pauses nothing is tried. */
	fd = start();
	assert_int_equal(read(fd, &c, 1), 0);
	fd_close(fd);
	assert_int_equal(count->failed, 2);
	assert_int_equal(gen->services[0].state->spacing_ms, 100);
	for (int i = 0; i < 10; i++) {
		set_ms(gen->services[0].state->retry_ms);
		fd = start();
		assert_int_equal(read(fd, &c, 1), 0);
		fd_close(fd);
	}
	assert_int_equal(gen->services[0].state->spacing_ms, 5000);
	assert_int_equal(atomic_load(&l.board->services[0].active), 0);
	assert_int_equal(gen->refs, 0);
	assert_int_equal(l.n_programs, 0);
}

#define REAP_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		REAP_TEST(gives_everything_back_once),
		REAP_TEST(ends_the_whole_group),
		REAP_TEST(sets_no_limit_unless_asked),
		REAP_TEST(takes_children_that_are_nobodys),
		REAP_TEST(closes_when_it_cannot_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
