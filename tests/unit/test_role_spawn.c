/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of how a role is started.  The binary that is started again is this
 * test itself: under a role's title it looks around and tells over the channel.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/chan.h"
#include "ipc/msg.h"
#include "supervisor/spawn.h"

/* ---- in the role ------------------------------------------------------------------------ */

struct report {
	char title[64];
	int descriptors[16];       /* open ones, -1 after the last */
	bool null[2];              /* 0 and 1 are the null device */
	unsigned ignored, blocked; /* signals */
	bool own_group;
	uint64_t files;         /* descriptor limit */
	char environment[2048]; /* names, each with a blank */
};

static void
look_at_signals(struct report *report)
{
	struct sigaction action;
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	for (int i = 1; i < NSIG; i++) {
		report->blocked += sigismember(&mask, i) == 1;
		report->ignored += sigaction(i, NULL, &action) == 0 &&
		    action.sa_handler == SIG_IGN;
	}
}

static bool
is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	    st.st_rdev == makedev(1, 3);
}

static int
role(const char *title)
{
	struct report report = { .null = { is_null(0), is_null(1) },
		.own_group = getpgrp() == getpid() };
	struct rlimit limit;
	size_t n = 0, used = 0;

	snprintf(report.title, sizeof(report.title), "%s", title);
	for (int fd = 0; fd < 1000 && n < 15; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			report.descriptors[n++] = fd;
	report.descriptors[n] = -1;
	look_at_signals(&report);
	getrlimit(RLIMIT_NOFILE, &limit);
	report.files = limit.rlim_cur;
	for (char **e = environ; *e != NULL; e++)
		used += (size_t)snprintf(report.environment + used,
		    used < sizeof(report.environment) ?
			sizeof(report.environment) - used :
			0,
		    "%.*s ", (int)strcspn(*e, "="), *e);
	return chan_send(MSG_ROLE_FD, 1, &report, sizeof(report), NULL, 0) < 0;
}

/* ---- in the test ------------------------------------------------------------------------ */

static void
start(const char *title, struct report *report)
{
	static struct chan_msg msg;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(chan_pair(fds, 0), 0);
	pid = roles_spawn(title, fds[1]);
	assert_true(pid > 0);
	fd_close(fds[1]);
	assert_int_equal(chan_recv(fds[0], &msg), 1);
	assert_int_equal(msg.n, sizeof(*report));
	memcpy(report, msg.body, sizeof(*report));
	/* Our end is not open in the role: its own is the only one left. */
	assert_int_equal(chan_recv(fds[0], &msg), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fd_close(fds[0]);
}

static void
test_what_a_role_gets(void **state)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	struct report report;
	sigset_t mask, old;
	int other;

	(void)state;
	other = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	sigaction(SIGUSR1, &ignore, &before);
	sigfillset(&mask);
	sigprocmask(SIG_BLOCK, &mask, &old);
	start(ROLE_TITLE_WORKER " 7", &report);
	sigprocmask(SIG_SETMASK, &old, NULL);
	sigaction(SIGUSR1, &before, NULL);
	fd_close(other);
	assert_string_equal(report.title, "cabinetd: worker 7");
	assert_int_equal(report.descriptors[0], 0);
	assert_int_equal(report.descriptors[1], 1);
	assert_int_equal(report.descriptors[2], 2);
	assert_int_equal(report.descriptors[3], MSG_ROLE_FD);
	assert_int_equal(report.descriptors[4], -1);
	assert_true(report.null[0] && report.null[1]);
	assert_int_equal(report.ignored, 0);
	assert_int_equal(report.blocked, 0);
	assert_true(report.own_group);
}

/* Whatever number the channel has here. */
static void
test_channel_numbers(void **state)
{
	struct report report;
	int hold[8], n = 0;

	(void)state;
	start(ROLE_TITLE_CONFIG, &report);
	assert_int_equal(report.descriptors[4], -1);
	while (n < 8) {
		hold[n++] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		start(ROLE_TITLE_CONFIG, &report);
		assert_int_equal(report.descriptors[3], MSG_ROLE_FD);
		assert_int_equal(report.descriptors[4], -1);
	}
	while (n > 0)
		fd_close(hold[--n]);
}

static bool
has(const struct report *report, const char *name)
{
	char word[64];

	snprintf(word, sizeof(word), " %s ", name);
	return strstr(report->environment, word) != NULL ||
	    strncmp(report->environment, word + 1, strlen(word) - 1) == 0;
}

static void
test_environment(void **state)
{
	static const char *const names[] = { "NOTIFY_SOCKET", "LISTEN_FDS",
		"LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID",
		"PATH", "LANG", "TZ", "JOURNAL_STREAM", "MY_SECRET",
		"PATHOLOGY", "LISTENER" };
	struct report report;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], "PATH") != 0)
			setenv(names[i], "x", 1);
	setenv("TZ", "UTC", 1);
	start(ROLE_TITLE_WORKER " 0", &report);
	assert_true(has(&report, "PATH") && has(&report, "LANG") &&
	    has(&report, "TZ") && has(&report, "JOURNAL_STREAM"));
	assert_false(has(&report, "MY_SECRET"));
	assert_false(has(&report, "PATHOLOGY"));
	assert_false(has(&report, "NOTIFY_SOCKET"));
	/* Programs may be given what the launcher has. */
	start(ROLE_TITLE_LAUNCHER, &report);
	assert_true(has(&report, "PATH") && has(&report, "MY_SECRET") &&
	    has(&report, "LISTENER"));
	for (size_t i = 0; i < 6; i++)
		assert_false(has(&report, names[i]));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], "PATH") != 0)
			unsetenv(names[i]);
}

static void
test_limit(void **state)
{
	struct rlimit limit;
	struct report report;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < 300)
		skip();
	limit.rlim_cur = 256;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(roles_raise_limit() == limit.rlim_max);
	/* The launcher must be able to give programs what it was before. */
	start(ROLE_TITLE_LAUNCHER, &report);
	assert_int_equal(report.files, 256);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(limit.rlim_cur == limit.rlim_max);
	assert_true(roles_raise_limit() == limit.rlim_max);
	start(ROLE_TITLE_WORKER " 1", &report);
	assert_int_equal(report.files, 256);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_role_gets),
		cmocka_unit_test(test_channel_numbers),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_limit),
	};

	if (argc > 0 && strncmp(argv[0], "cabinetd: ", 10) == 0)
		return role(argv[0]);
	/* As the supervisor does with what it finds open. */
	for (int fd = 3; fd < 1000; fd++)
		(void)fd_set_cloexec(fd, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
