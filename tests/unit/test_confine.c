/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of what services need beyond what the daemon was started with.
 */

#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/confine.h"

#define BIT(cap) (UINT64_C(1) << (cap))
#define ALL      UINT64_MAX

static struct cab_exec exec;
static struct cab_service service = {
	.name = "svc", .file = "f", .line = 7, .enabled = true, .exec = &exec
};
static struct cab_conf conf = { .user = { "cabinetd", 900, 900 },
	.services = &service,
	.n_services = 1 };
static struct confine confine;
static struct cab_diag diag;

static int
set_up(void **state)
{
	(void)state;
	service.enabled = true;
	exec = (struct cab_exec){ .program = "/bin/true",
		.directory = "/",
		.no_new_privileges = true };
	confine = (struct confine){ .root = true, .permitted = ALL };
	for (size_t i = 0; i < RLIM_NLIMITS; i++)
		confine.hard[i] = RLIM_INFINITY;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	diag_release(&diag);
	return 0;
}

/* Exactly one warning, of the service's place, that holds these words. */
static void
expect(const char *what, const char *remedy)
{
	diag_release(&diag);
	confine_check(&confine, &conf, &diag);
	assert_int_equal(diag.n, 1);
	assert_int_equal(diag.errors, 0);
	assert_int_equal(diag.findings[0].severity, CAB_WARNING);
	assert_string_equal(diag.findings[0].file, "f");
	assert_int_equal(diag.findings[0].line, 7);
	assert_non_null(strstr(diag.findings[0].text, what));
	assert_non_null(strstr(diag.findings[0].text, remedy));
}

static void
expect_none(void)
{
	diag_release(&diag);
	confine_check(&confine, &conf, &diag);
	assert_int_equal(diag.n, 0);
}

static void
all_is_well(void **state)
{
	(void)state;
	expect_none();
	confine.no_new_privs = true;
	expect_none();
	exec.user = (struct cab_account){ "git", 700, 700 };
	exec.capability_bits = BIT(CAP_NET_RAW);
	exec.nice = -5;
	exec.chroot = "/";
	exec.rlimits.files = 100000000;
	expect_none();
}

static void
other_users(void **state)
{
	(void)state;
	confine.permitted = ALL & ~BIT(CAP_SETUID);
	expect("service \"svc\": exec.user: it runs as cabinetd", "CAP_SETUID");
	confine.permitted = ALL & ~BIT(CAP_SETGID);
	exec.user = (struct cab_account){ "git", 700, 700 };
	expect("runs as git", "CapabilityBoundingSet=");
	exec.user = (struct cab_account){ "root", 0, 0 };
	expect_none();
	exec.group = (struct cab_account){ "git", 700, 700 };
	expect("runs as root", "CAP_SETGID");
	/* For a plain user that is an error of its own. */
	confine.root = false;
	expect_none();
}

static void
capabilities(void **state)
{
	(void)state;
	exec.capability_bits = BIT(CAP_NET_RAW) | BIT(CAP_CHOWN);
	confine.permitted = ALL & ~BIT(CAP_NET_RAW);
	expect("exec.capabilities: it has no cap_net_raw:", "add them");
	confine.permitted = ALL;
	exec.capability_bits = 0;
	exec.nice = -1;
	confine.permitted &= ~BIT(CAP_SYS_NICE);
	expect("exec.nice", "CAP_SYS_NICE");
	exec.nice = 1;
	exec.chroot = "/";
	confine.permitted &= ~BIT(CAP_SYS_CHROOT);
	expect("exec.chroot", "namespaces.conf");
}

static void
setuid_programs(void **state)
{
	(void)state;
	exec.no_new_privileges = false;
	expect_none();
	confine.no_new_privs = true;
	expect("exec.no_new_privileges", "/setuid.conf");
}

static void
limits(void **state)
{
	(void)state;
	confine.permitted &= ~BIT(CAP_SYS_RESOURCE);
	confine.hard[RLIMIT_NOFILE] = 1024;
	exec.rlimits.files = 1024;
	expect_none();
	exec.rlimits.files = 1025;
	expect("exec.rlimits.files: it is above LimitNOFILE= (1024)", "raise");
	exec.rlimits.files = 0;
	confine.hard[RLIMIT_CPU] = 2;
	exec.rlimits.cpu = 2001;
	expect("exec.rlimits.cpu", "raise");
}

static void
places(void **state)
{
	(void)state;
	exec.directory = "/nowhere/at/all";
	expect("exec.directory: /nowhere/at/all: No such file", "home.conf");
	exec.chroot = "/srv";
	expect_none();
}

static void
nothing_may_be_executed(void **state)
{
	static const char *const places[] = { "/proc", "/sys", "/dev/pts",
		"/run", "/dev/shm" };
	struct statvfs fs;

	(void)state;
	/* One of them is mounted noexec on most machines. */
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (statvfs(places[i], &fs) < 0 || !(fs.f_flag & ST_NOEXEC))
			continue;
		exec.chroot = places[i];
		exec.program = "/.";
		expect("/. may not be executed: ", "NoExecPaths=");
		return;
	}
	skip();
}

static void
only_what_is_served(void **state)
{
	(void)state;
	exec.no_new_privileges = false;
	confine.no_new_privs = true;
	service.enabled = false;
	expect_none();
	service.enabled = true;
	service.exec = NULL;
	expect_none();
	service.exec = &exec;
}

static void
looks_at_itself(void **state)
{
	struct rlimit limit;

	(void)state;
	confine_look(&confine);
	assert_int_equal(confine.root, geteuid() == 0);
	assert_int_equal(
	    confine.no_new_privs, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(confine.hard[RLIMIT_NOFILE], limit.rlim_max);
	if (!confine.root)
		assert_int_equal(confine.permitted & BIT(CAP_SYS_ADMIN), 0);
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	confine_look(&confine);
	assert_true(confine.no_new_privs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_is_well, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_users, set_up, tear_down),
		cmocka_unit_test_setup_teardown(capabilities, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    setuid_programs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(places, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    nothing_may_be_executed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    only_what_is_served, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    looks_at_itself, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
