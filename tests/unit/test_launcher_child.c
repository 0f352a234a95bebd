/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps in the child: what a program finds of its descriptors, signals,
 * session, limits, identity and capabilities, and that a step that fails keeps
 * the program from running.  Steps that only root can take are skipped otherwise.
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
#include <linux/capability.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "launcher/spawn.h"

#define NOBODY 65534

static char out[65536]; /* of the last program */

/* A plan for `sh -c script` that changes nothing. */
static struct child_plan
plan_for(const char *script)
{
	static const char *argv[4] = { "/bin/sh", "-c" };
	static const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
	struct child_plan plan = { .program = "/bin/sh",
		.argv = (char *const *)argv,
		.envp = (char *const *)(uintptr_t)envp,
		.umask_bits = 022,
		.uid = CHILD_KEEP_ID,
		.gid = CHILD_KEEP_ID,
		.all_capabilities = true };

	argv[2] = script;
	return plan;
}

/* Its exit status; what it wrote is in out. */
static int
run(struct child_plan *plan)
{
	int pair[2], null, status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(null >= 0);
	plan->in_out = pair[1];
	plan->error = null;
	pid = spawn_start(plan);
	fd_close(pair[1]);
	fd_close(null);
	if (pid < 0) {
		fd_close(pair[0]);
		return pid;
	}
	while ((got = read(pair[0], out + n, sizeof(out) - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	fd_close(pair[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
expect(struct child_plan *plan, const char *want)
{
	assert_int_equal(run(plan), 0);
	assert_string_equal(out, want);
}

/* The program does not run, and the plan says where and why. */
static void
expect_failure(struct child_plan *plan, enum child_step step, int error)
{
	out[0] = '\0';
	assert_int_equal(run(plan), -error);
	assert_int_equal(plan->failed_step, step);
	assert_int_equal(plan->failed_errno, error);
	assert_string_equal(out, "");
	/* Nothing is left of the child. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static uint64_t
status_bits(const char *name)
{
	const char *line = strstr(out, name);

	assert_non_null(line);
	return strtoull(line + strlen(name), NULL, 16);
}

/* ---- what every program gets ------------------------------------------------------- */

static void
has_three_descriptors(void **state)
{
	struct child_plan plan = plan_for("ls /proc/$$/fd; true");
	int leaks[20], i;

	(void)state;
	/* Not close-on-exec, and one with a high number. */
	for (i = 0; i < 19; i++)
		leaks[i] = dup(STDIN_FILENO);
	leaks[19] = fcntl(STDIN_FILENO, F_DUPFD, 900);
	expect(&plan, "0\n1\n2\n");
	for (i = 0; i < 20; i++)
		fd_close(leaks[i]);
}

/* The child starts out with the very table of its parent. */
static void
leaves_the_launcher_its_descriptors(void **state)
{
	struct child_plan good = plan_for("true"), bad = plan_for("true");
	struct stat before[30], after;
	bool open_before[30];
	int i, dups[2];

	(void)state;
	/* Below and above those that the program gets. */
	dups[0] = dup(STDIN_FILENO);
	dups[1] = fcntl(STDIN_FILENO, F_DUPFD, 25);
	bad.program = "/nonexistent";
	for (i = 0; i < 30; i++)
		open_before[i] = fstat(i, &before[i]) == 0;
	expect(&good, "");
	expect_failure(&bad, CHILD_EXECUTE, ENOENT);
	for (i = 0; i < 30; i++) {
		assert_int_equal(fstat(i, &after) == 0, open_before[i]);
		if (!open_before[i])
			continue;
		assert_int_equal(after.st_ino, before[i].st_ino);
		assert_int_equal(after.st_dev, before[i].st_dev);
	}
	fd_close(dups[0]);
	fd_close(dups[1]);
}

static void
reads_and_writes_one_socket(void **state)
{
	struct child_plan plan = plan_for(
	    "test /proc/$$/fd/0 -ef /proc/$$/fd/1 && "
	    "test /proc/$$/fd/2 -ef /dev/null && readlink /proc/$$/fd/0");

	(void)state;
	assert_int_equal(run(&plan), 0);
	assert_memory_equal(out, "socket:", 7);
}

static void
has_default_signals(void **state)
{
	struct child_plan plan = plan_for("grep ^Sig /proc/self/status");
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old[65];
	sigset_t all, mask;
	int i;

	(void)state;
	for (i = 1; i <= 64; i++)
		/* Without SIGCHLD there would be no status to wait for. */
		if (i == SIGCHLD || sigaction(i, &ignore, &old[i]) < 0)
			old[i] = ignore;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	spawn_own_signals();
	assert_int_equal(run(&plan), 0);
	/* The launcher's own stay blocked. */
	sigprocmask(SIG_SETMASK, &mask, &all);
	assert_true(sigismember(&all, SIGTERM));
	assert_true(sigismember(&all, SIGPIPE));
	assert_false(sigismember(&all, SIGSEGV));
	for (i = 1; i <= 64; i++)
		if (old[i].sa_handler != SIG_IGN)
			sigaction(i, &old[i], NULL);
	assert_int_equal(status_bits("SigIgn:"), 0);
	assert_int_equal(status_bits("SigBlk:"), 0);
}

static void
leads_a_session(void **state)
{
	struct child_plan plan = plan_for("set -- $(cut -d' ' -f5-7 /proc/$$/stat);"
					  "echo $(($1 - $$)) $(($2 - $$)) $3");

	(void)state;
	expect(&plan, "0 0 0\n");
}

static void
has_only_its_environment(void **state)
{
	struct child_plan plan = plan_for("tr '\\0' '\\n' </proc/$$/environ");

	(void)state;
	setenv("CAB_LEAK", "yes", 1);
	expect(&plan, "PATH=/usr/bin:/bin\n");
	unsetenv("CAB_LEAK");
}

static void
has_its_limits_umask_and_niceness(void **state)
{
	struct child_plan plan = plan_for("umask; nice; ulimit -n; ulimit -Hn;"
					  "ulimit -c; ulimit -t");

	(void)state;
	plan.umask_bits = 027;
	plan.nice = 7;
	plan.set_nice = true;
	plan.limits[0] = (struct child_limit){ RLIMIT_NOFILE, { 64, 64 } };
	plan.limits[1] = (struct child_limit){ RLIMIT_CORE, { 0, 0 } };
	plan.limits[2] = (struct child_limit){ RLIMIT_CPU, { 9, 9 } };
	plan.n_limits = 3;
	expect(&plan, "0027\n7\n64\n64\n0\n9\n");
}

static void
enters_its_directory(void **state)
{
	struct child_plan plan = plan_for("pwd");

	(void)state;
	plan.directory = "/usr/bin";
	expect(&plan, "/usr/bin\n");
}

static void
gains_no_privileges_unless_it_may(void **state)
{
	struct child_plan plan = plan_for("grep ^NoNewPrivs /proc/self/status");

	(void)state;
	plan.no_new_privs = true;
	expect(&plan, "NoNewPrivs:\t1\n");
	if (geteuid() != 0)
		return; /* how we were started ourselves decides */
	plan.no_new_privs = false;
	expect(&plan, "NoNewPrivs:\t0\n");
}

/* ---- identity -------------------------------------------------------------------------- */

static void
need_root(void)
{
	if (geteuid() != 0)
		skip();
}

#define WHO "grep -E '^(Uid|Gid|Groups|Cap)' /proc/self/status | tr '\\t' ' '"

static void
becomes_its_user(void **state)
{
	static const uint32_t groups[] = { 1234, 4000000000 };
	struct child_plan plan = plan_for(WHO);

	(void)state;
	need_root();
	plan.uid = 4000000001;
	plan.gid = 2345;
	plan.groups = groups;
	plan.n_groups = 2;
	plan.set_groups = true;
	plan.all_capabilities = false;
	assert_int_equal(run(&plan), 0);
	assert_non_null(
	    strstr(out, "Uid: 4000000001 4000000001 4000000001 4000000001\n"));
	assert_non_null(strstr(out, "Gid: 2345 2345 2345 2345\n"));
	assert_non_null(strstr(out, "Groups: 1234 4000000000 \n"));
	assert_int_equal(status_bits("CapInh:"), 0);
	assert_int_equal(status_bits("CapPrm:"), 0);
	assert_int_equal(status_bits("CapEff:"), 0);
	assert_int_equal(status_bits("CapAmb:"), 0);
}

static void
loses_all_groups(void **state)
{
	struct child_plan plan =
	    plan_for("set -- $(grep ^Groups /proc/self/status); echo $#");

	(void)state;
	need_root();
	plan.uid = plan.gid = NOBODY;
	plan.set_groups = true;
	plan.all_capabilities = false;
	/* The word "Groups:" alone. */
	expect(&plan, "1\n");
}

static void
keeps_the_capabilities_it_was_given(void **state)
{
	const uint64_t raw = UINT64_C(1) << CAP_NET_RAW |
	    UINT64_C(1) << CAP_NET_BIND_SERVICE;
	struct child_plan plan = plan_for(WHO);

	(void)state;
	need_root();
	plan.uid = plan.gid = NOBODY;
	plan.set_groups = true;
	plan.all_capabilities = false;
	plan.capabilities = raw;
	plan.drop_bounding = ((UINT64_C(1) << (CAP_LAST_CAP + 1)) - 1) & ~raw;
	plan.no_new_privs = true;
	assert_int_equal(run(&plan), 0);
	assert_int_equal(status_bits("CapPrm:"), raw);
	assert_int_equal(status_bits("CapEff:"), raw);
	assert_int_equal(status_bits("CapAmb:"), raw);
	assert_int_equal(status_bits("CapBnd:"), raw);
	/* Root with a list has no more than the list either. */
	plan.uid = 0;
	assert_int_equal(run(&plan), 0);
	assert_non_null(strstr(out, "Uid: 0 0 0 0\n"));
	assert_int_equal(status_bits("CapPrm:"), raw);
	assert_int_equal(status_bits("CapBnd:"), raw);
}

static void
changes_its_root(void **state)
{
	char dir[] = "/tmp/cab-test-child-XXXXXX";
	struct child_plan plan = plan_for("echo never");

	(void)state;
	need_root();
	assert_non_null(mkdtemp(dir));
	plan.chroot = dir;
	/* In an empty root the same program is not there, and neither is a directory outside. */
	expect_failure(&plan, CHILD_EXECUTE, ENOENT);
	plan.directory = "/usr";
	expect_failure(&plan, CHILD_DIRECTORY, ENOENT);
	plan = plan_for("pwd");
	plan.chroot = "/";
	expect(&plan, "/\n");
	rmdir(dir);
}

/* ---- failures ---------------------------------------------------------------------------- */

static void
fails_at_the_step_that_fails(void **state)
{
	struct child_plan plan = plan_for("echo never");

	(void)state;
	plan.program = "/nonexistent/program";
	expect_failure(&plan, CHILD_EXECUTE, ENOENT);
	plan.program = "/etc/passwd";
	expect_failure(&plan, CHILD_EXECUTE, EACCES);
	plan = plan_for("echo never");
	plan.directory = "/nonexistent";
	expect_failure(&plan, CHILD_DIRECTORY, ENOENT);
	plan = plan_for("echo never");
	plan.chroot = "/nonexistent";
	expect_failure(&plan, CHILD_CHROOT, ENOENT);
	plan = plan_for("echo never");
	plan.limits[0] = (struct child_limit){ RLIMIT_NOFILE, { 100, 50 } };
	plan.n_limits = 1;
	expect_failure(&plan, CHILD_LIMITS, EINVAL);
}

/* In a child without privileges: what only root may do ends in EPERM at its step. */
static void
fails_without_rights(void **state)
{
	static const uint32_t groups[] = { 1 };
	struct child_plan plan = plan_for("echo never");

	(void)state;
	if (geteuid() == 0) {
		/* The tests run again as nobody from main(). */
		skip();
	}
	plan.uid = geteuid() + 1;
	expect_failure(&plan, CHILD_USER, EPERM);
	plan = plan_for("echo never");
	plan.gid = getegid() + 1;
	expect_failure(&plan, CHILD_GROUP, EPERM);
	plan = plan_for("echo never");
	plan.groups = groups;
	plan.n_groups = 1;
	plan.set_groups = true;
	expect_failure(&plan, CHILD_GROUPS, EPERM);
	plan = plan_for("echo never");
	plan.chroot = "/";
	expect_failure(&plan, CHILD_CHROOT, EPERM);
	plan = plan_for("echo never");
	plan.all_capabilities = false;
	plan.capabilities = 1;
	expect_failure(&plan, CHILD_CAPABILITIES, EPERM);
	plan = plan_for("echo never");
	plan.drop_bounding = 1;
	expect_failure(&plan, CHILD_BOUNDING, EPERM);
	/* Its own identity it may take. */
	plan = plan_for("echo fine");
	plan.uid = geteuid();
	plan.gid = getegid();
	plan.all_capabilities = false;
	expect(&plan, "fine\n");
}

static void
names_every_step(void **state)
{
	int step;

	(void)state;
	for (step = CHILD_NONE; step < CHILD_STEPS; step++)
		assert_non_null(child_step_text((enum child_step)step));
	assert_non_null(child_step_text(CHILD_STEPS));
}

static int
all_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_three_descriptors),
		cmocka_unit_test(leaves_the_launcher_its_descriptors),
		cmocka_unit_test(reads_and_writes_one_socket),
		cmocka_unit_test(has_default_signals),
		cmocka_unit_test(leads_a_session),
		cmocka_unit_test(has_only_its_environment),
		cmocka_unit_test(has_its_limits_umask_and_niceness),
		cmocka_unit_test(enters_its_directory),
		cmocka_unit_test(gains_no_privileges_unless_it_may),
		cmocka_unit_test(becomes_its_user),
		cmocka_unit_test(loses_all_groups),
		cmocka_unit_test(keeps_the_capabilities_it_was_given),
		cmocka_unit_test(changes_its_root),
		cmocka_unit_test(fails_at_the_step_that_fails),
		cmocka_unit_test(fails_without_rights),
		cmocka_unit_test(names_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* As root everything runs twice: once as nobody, in a process of its own. */
int
main(void)
{
	int status = 0;
	pid_t pid;

	if (geteuid() != 0)
		return all_tests();
	pid = fork();
	if (pid == 0) {
		if (setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) < 0)
			return EXIT_FAILURE;
		return all_tests();
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return EXIT_FAILURE;
	return all_tests();
}
