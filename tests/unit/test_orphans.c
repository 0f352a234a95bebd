/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of programs that lost their launcher: they come to us, are buried when
 * they die, and ended at the end; children of our own are not touched.
 */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "supervisor/orphans.h"

/* Waits without taking the exit away. */
static void
wait_dead(pid_t pid)
{
	siginfo_t info;

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static bool
is_child(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0;
}

/* A process in a session of its own; with deaf it ignores SIGTERM. */
static pid_t
program(bool deaf)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, 0);
		setsid();
		if (deaf)
			sigaction(SIGTERM, &ignore, NULL);
		for (;;)
			pause();
	}
	return pid;
}

static pid_t owned;

static bool
is_owned(void *arg, pid_t pid)
{
	(void)arg;
	return pid == owned;
}

/* A parent that makes a program and dies; the program's id. */
static pid_t
orphan(bool deaf)
{
	int fds[2];
	pid_t parent, pid = -1;

	assert_int_equal(pipe(fds), 0);
	parent = fork();
	if (parent == 0) {
		pid = program(deaf);
		if (write(fds[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		_exit(0);
	}
	assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	return pid;
}

static void
test_adopt_and_reap(void **state)
{
	pid_t pid;

	(void)state;
	assert_int_equal(orphans_adopt(), 0);
	pid = orphan(false);
	assert_true(is_child(pid));
	orphans_reap(is_owned, NULL);
	assert_true(is_child(pid));
	kill(pid, SIGKILL);
	wait_dead(pid);
	orphans_reap(is_owned, NULL);
	assert_false(is_child(pid));
}

static void
test_own_children_are_left(void **state)
{
	pid_t pid, other;

	(void)state;
	owned = program(false);
	pid = program(false);
	other = program(false);
	kill(owned, SIGKILL);
	kill(pid, SIGKILL);
	wait_dead(owned);
	wait_dead(pid);
	orphans_reap(is_owned, NULL);
	assert_true(is_child(owned));
	assert_true(is_child(other));
	assert_false(is_child(pid));
	assert_int_equal(waitpid(owned, NULL, 0), owned);
	owned = 0;
	orphans_end();
	assert_false(is_child(other));
}

static void
test_end(void **state)
{
	pid_t meek, deaf;

	(void)state;
	assert_int_equal(orphans_adopt(), 0);
	meek = orphan(false);
	deaf = orphan(true);
	assert_true(is_child(meek) && is_child(deaf));
	orphans_end();
	assert_false(is_child(meek));
	assert_false(is_child(deaf));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	/* And when there is nobody. */
	orphans_end();
	orphans_reap(is_owned, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adopt_and_reap),
		cmocka_unit_test(test_own_children_are_left),
		cmocka_unit_test(test_end),
	};

	log_set_level(CAB_LOG_ERR - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
