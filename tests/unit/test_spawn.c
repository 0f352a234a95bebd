/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plans: which identity, groups, capabilities and limits follow from a
 * service's options and from what the launcher is itself.  And the making of
 * processes, many of them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "launcher/spawn.h"

#define BIT(cap) (UINT64_C(1) << (cap))
#define ALL      (BIT(CAP_LAST_CAP + 1) - 1)

static struct child_plan plan;
static char **argv;

static const struct spawn_self *
root(void)
{
	static struct spawn_self self;

	self = (struct spawn_self){ .uid = 0,
		.def_uid = 65534,
		.def_gid = 65533,
		.permitted = ALL,
		.bounding = ALL,
		.nice = -3,
		.files = { 1024, 4096 } };
	return &self;
}

static const struct spawn_self *
user(void)
{
	static struct spawn_self self;

	self = (struct spawn_self){ .uid = 1000,
		.gid = 100,
		.def_uid = CHILD_KEEP_ID,
		.def_gid = CHILD_KEEP_ID,
		.bounding = ALL,
		.files = { 1024, 4096 },
		.groups = { 100, 27 },
		.n_groups = 2 };
	return &self;
}

static struct cab_exec
exec_options(void)
{
	return (struct cab_exec){ .program = "/bin/true",
		.directory = "/",
		.no_new_privileges = true };
}

static void
make(const struct spawn_self *self, const struct cab_exec *exec)
{
	free(argv);
	assert_int_equal(spawn_plan(self, exec, &plan, &argv), 0);
}

static int
teardown(void **state)
{
	(void)state;
	free(argv);
	argv = NULL;
	return 0;
}

static void
makes_arguments(void **state)
{
	static const char *const args[] = { "", "two words", "-x" };
	struct cab_exec exec = exec_options();

	(void)state;
	exec.args.v = args;
	exec.args.n = 3;
	make(root(), &exec);
	assert_ptr_equal(plan.argv, argv);
	assert_string_equal(argv[0], "/bin/true");
	assert_string_equal(argv[1], "");
	assert_string_equal(argv[2], "two words");
	assert_string_equal(argv[3], "-x");
	assert_null(argv[4]);
	exec.args.n = 0;
	make(root(), &exec);
	assert_string_equal(argv[0], "/bin/true");
	assert_null(argv[1]);
}

static void
chooses_the_user(void **state)
{
	static const uint32_t ids[] = { 7, 8 };
	struct cab_exec exec = exec_options();

	(void)state;
	/* None given: the daemon's, and no group that root has. */
	make(root(), &exec);
	assert_int_equal(plan.uid, 65534);
	assert_int_equal(plan.gid, 65533);
	assert_true(plan.set_groups);
	assert_int_equal(plan.n_groups, 0);
	exec.user = (struct cab_account){ "git", 33, 34 };
	exec.group_ids.v = ids;
	exec.group_ids.n = 2;
	make(root(), &exec);
	assert_int_equal(plan.uid, 33);
	assert_int_equal(plan.gid, 34);
	assert_true(plan.set_groups);
	assert_ptr_equal(plan.groups, ids);
	assert_int_equal(plan.n_groups, 2);
	exec.group = (struct cab_account){ "www", 35, 35 };
	make(root(), &exec);
	assert_int_equal(plan.uid, 33);
	assert_int_equal(plan.gid, 35);
}

static void
makes_do_with_the_groups_it_has(void **state)
{
	static const uint32_t held[] = { 27, 100 }, more[] = { 27, 28 };
	struct cab_exec exec = exec_options();

	(void)state;
	make(user(), &exec);
	assert_false(plan.set_groups);
	assert_int_equal(plan.uid, CHILD_KEEP_ID);
	exec.user = (struct cab_account){ "me", 1000, 100 };
	exec.group_ids.v = held;
	exec.group_ids.n = 2;
	make(user(), &exec);
	assert_false(plan.set_groups);
	/* One that it does not have: the step shall fail, not be left out. */
	exec.group_ids.v = more;
	make(user(), &exec);
	assert_true(plan.set_groups);
}

static void
gives_capabilities(void **state)
{
	static const char *const names[] = { "net_raw" };
	struct cab_exec exec = exec_options();

	(void)state;
	make(root(), &exec);
	assert_false(plan.all_capabilities);
	assert_int_equal(plan.capabilities, 0);
	assert_int_equal(plan.drop_bounding, ALL);
	assert_true(plan.no_new_privs);
	exec.capabilities.v = names;
	exec.capabilities.n = 1;
	exec.capability_bits = BIT(CAP_NET_RAW);
	make(root(), &exec);
	assert_int_equal(plan.capabilities, BIT(CAP_NET_RAW));
	assert_int_equal(plan.drop_bounding, ALL & ~BIT(CAP_NET_RAW));
	/* Root with a list has the list, without one what the daemon has. */
	exec.user = (struct cab_account){ "root", 0, 0 };
	make(root(), &exec);
	assert_false(plan.all_capabilities);
	assert_int_equal(plan.capabilities, BIT(CAP_NET_RAW));
	exec.capabilities.n = 0;
	exec.capability_bits = 0;
	make(root(), &exec);
	assert_true(plan.all_capabilities);
	assert_int_equal(plan.drop_bounding, 0);
	/* For sudo and its like. */
	exec = exec_options();
	exec.no_new_privileges = false;
	make(root(), &exec);
	assert_false(plan.no_new_privs);
	assert_int_equal(plan.drop_bounding, 0);
	assert_false(plan.all_capabilities);
	/* Without the right to, nothing is tried. */
	exec = exec_options();
	make(user(), &exec);
	assert_int_equal(plan.drop_bounding, 0);
}

static const struct rlimit *
limit_of(int resource)
{
	const struct rlimit *found = NULL;
	size_t i;

	for (i = 0; i < plan.n_limits; i++)
		if (plan.limits[i].resource == resource) {
			assert_null(found);
			found = &plan.limits[i].value;
		}
	return found;
}

static void
expect_limit(int resource, rlim_t soft, rlim_t hard)
{
	const struct rlimit *limit = limit_of(resource);

	assert_non_null(limit);
	assert_int_equal(limit->rlim_cur, soft);
	assert_int_equal(limit->rlim_max, hard);
}

static void
sets_limits(void **state)
{
	struct cab_exec exec = exec_options();

	(void)state;
	/* The launcher raises its own limit of descriptors; programs get the one before. */
	make(root(), &exec);
	assert_int_equal(plan.n_limits, 1);
	expect_limit(RLIMIT_NOFILE, 1024, 4096);
	assert_false(plan.set_nice);
	exec.rlimits = (struct cab_rlimits){ .cpu = 1500,
		.files = 64,
		.processes = 10,
		.address_space = 1 << 30,
		.data = 1 << 20,
		.stack = 1 << 19,
		.file_size = 1 << 18,
		.locked = 4096,
		.core = 0,
		.core_set = true };
	exec.nice = 5;
	exec.umask_bits = 077;
	make(root(), &exec);
	assert_int_equal(plan.n_limits, 9);
	expect_limit(RLIMIT_CPU, 2, 2);
	expect_limit(RLIMIT_NOFILE, 64, 64);
	expect_limit(RLIMIT_NPROC, 10, 10);
	expect_limit(RLIMIT_AS, 1 << 30, 1 << 30);
	expect_limit(RLIMIT_DATA, 1 << 20, 1 << 20);
	expect_limit(RLIMIT_STACK, 1 << 19, 1 << 19);
	expect_limit(RLIMIT_FSIZE, 1 << 18, 1 << 18);
	expect_limit(RLIMIT_MEMLOCK, 4096, 4096);
	expect_limit(RLIMIT_CORE, 0, 0);
	assert_true(plan.set_nice);
	assert_int_equal(plan.nice, 2);
	assert_int_equal(plan.umask_bits, 077);
	/* The most that can be asked for fits. */
	assert_true(plan.n_limits <= CHILD_LIMITS_MAX);
}

static void
looks_at_itself(void **state)
{
	struct spawn_self self = { .def_uid = 1, .def_gid = 2 };

	(void)state;
	spawn_self_look(&self);
	assert_int_equal(self.uid, geteuid());
	assert_int_equal(self.gid, getegid());
	assert_int_equal(self.def_uid, 1);
	assert_int_equal(self.def_gid, 2);
	assert_true(self.files.rlim_max > 0);
	if (self.uid != 0)
		assert_int_equal(self.permitted, 0);
	else
		assert_true((self.permitted & BIT(CAP_SETUID)) != 0);
}

/* The stack is reused, the memory shared: a thousand successes and failures in turn. */
static void
makes_many_processes(void **state)
{
	static char *envp[] = { NULL };
	struct cab_exec good = exec_options(), bad = exec_options();
	struct child_plan plans[2];
	char **argvs[2];
	sigset_t before, after;
	int null, i, status;
	pid_t pid;

	(void)state;
	bad.program = "/nonexistent";
	assert_int_equal(spawn_plan(user(), &good, &plans[0], &argvs[0]), 0);
	assert_int_equal(spawn_plan(user(), &bad, &plans[1], &argvs[1]), 0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigprocmask(SIG_SETMASK, NULL, &before);
	for (i = 0; i < 200; i++) {
		struct child_plan *p = &plans[i % 2];

		p->all_capabilities = true;
		p->n_limits = 0;
		p->in_out = p->error = null;
		p->envp = envp;
		pid = spawn_start(p);
		if (i % 2 == 1) {
			assert_int_equal(pid, -ENOENT);
			assert_int_equal(p->failed_step, CHILD_EXECUTE);
			continue;
		}
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (i = 1; i < SIGRTMAX; i++)
		assert_int_equal(sigismember(&before, i), sigismember(&after, i));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	fd_close(null);
	free(argvs[0]);
	free(argvs[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(makes_arguments, teardown),
		cmocka_unit_test_teardown(chooses_the_user, teardown),
		cmocka_unit_test_teardown(
		    makes_do_with_the_groups_it_has, teardown),
		cmocka_unit_test_teardown(gives_capabilities, teardown),
		cmocka_unit_test_teardown(sets_limits, teardown),
		cmocka_unit_test(looks_at_itself),
		cmocka_unit_test(makes_many_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
