/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is judged over several options, services, accounts and files: who
 * programs run as, what does not hold for them, and what cannot be together.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/capability.h>
#include <unistd.h>

#include "tests/support/conf_fake.h"

#define EXEC(options)                                                       \
	"services = ( { name = \"a\"; listen = \"tcp://127.0.0.1:9000\";\n" \
	"exec = { program = \"/bin/cat\"; " options " }; } );\n"
#define WITH(more)                                                          \
	"services = ( { name = \"a\"; listen = \"tcp://127.0.0.1:9000\";\n" \
	"exec = { program = \"/bin/cat\"; }; " more " } );\n"
#define ECHO(listen, more)                              \
	"services = ( { name = \"a\"; listen = " listen \
	"; protocol = \"echo\";\n" more " } );\n"

static struct cab_conf *
must_read(struct fake *fake, const char *text, size_t findings)
{
	struct cab_diag diag = { 0 };
	struct cab_conf *conf = fake_read(fake, text, &diag, NULL);

	if (conf == NULL || diag.n != findings)
		fail_msg("%s", fake_findings(&diag));
	diag_release(&diag);
	return conf;
}

/* ---- who runs it ------------------------------------------------------------------ */

static void
a_program_runs_as_the_daemons_user(void **state)
{
	const struct cab_exec *exec;
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	conf = must_read(&fake, EXEC(""), 0);
	exec = conf->services[0].exec;
	assert_string_equal(exec->user.name, "cabinetd");
	assert_int_equal(exec->user.id, 990);
	assert_string_equal(exec->group.name, "cabinetd");
	assert_int_equal(exec->group.id, 990);
	assert_int_equal(exec->group_ids.n, 2);
	assert_int_equal(exec->group_ids.v[1], 50);
	assert_string_equal(exec->home, "/home/cabinetd");
	assert_true(exec->no_new_privileges);
	assert_int_equal(exec->umask_bits, 022);
	assert_string_equal(exec->directory, "/");
	assert_false(exec->rlimits.core_set);
	conf_free(conf);
}

static void
a_program_runs_as_the_user_it_names(void **state)
{
	const struct cab_exec *exec;
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	conf = must_read(&fake,
	    EXEC("user = \"git\"; group = \"staff\"; rlimits = { core = 0; cpu "
		 "= \"30s\"; };"),
	    0);
	exec = conf->services[0].exec;
	assert_int_equal(exec->user.id, 1001);
	assert_int_equal(exec->group.id, 50);
	assert_int_equal(exec->group_ids.n, 1);
	assert_int_equal(exec->group_ids.v[0], 50);
	assert_true(exec->rlimits.core_set);
	assert_int_equal(exec->rlimits.cpu, 30000);
	conf_free(conf);

	fake_init(&fake, true);
	conf = must_read(&fake,
	    EXEC("user = \"root\"; groups = ( \"staff\", \"git\" );"), 0);
	exec = conf->services[0].exec;
	assert_int_equal(exec->user.id, 0);
	assert_int_equal(exec->group_ids.n, 2);
	assert_int_equal(exec->group_ids.v[0], 50);
	assert_int_equal(exec->group_ids.v[1], 1001);
	conf_free(conf);

	fake_init(&fake, true);
	conf = must_read(&fake, EXEC("user = \"git\"; groups = ();"), 0);
	assert_int_equal(conf->services[0].exec->group_ids.n, 0);
	conf_free(conf);

	/* A number is a user, too, and shown by name. */
	fake_init(&fake, true);
	conf = must_read(&fake, EXEC("user = \"1001\";"), 0);
	assert_string_equal(conf->services[0].exec->user.name, "git");
	conf_free(conf);
}

static void
nobody_stands_in_for_a_missing_account(void **state)
{
	struct cab_diag diag = { 0 };
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	fake.no_cabinetd = true;
	conf = fake_read(&fake, EXEC(""), &diag, NULL);
	assert_non_null(conf);
	assert_int_equal(diag.n, 1);
	assert_true(
	    fake_found(&diag, CAB_WARNING, NULL, 0, "\"nobody\" is taken"));
	assert_true(conf->user_fallback);
	assert_int_equal(conf->user.id, 65534);
	assert_int_equal(conf->services[0].exec->user.id, 65534);
	diag_release(&diag);
	conf_free(conf);

	/* Written down, it must be there. */
	fake_init(&fake, true);
	fake.no_cabinetd = true;
	assert_null(
	    fake_read(&fake, "\nuser = \"cabinetd\";\n" EXEC(""), &diag, NULL));
	assert_true(fake_found(&diag, CAB_ERROR, NULL, 2, "there is no user"));
	diag_release(&diag);
}

static void
a_plain_user_stays_who_he_is(void **state)
{
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, false);
	fake.no_cabinetd = true;
	conf = must_read(&fake, EXEC("user = \"tester\";"), 0);
	assert_string_equal(conf->user.name, geteuid() == 0 ? "root" : "tester");
	assert_int_equal(conf->user.id, geteuid());
	assert_false(conf->user_fallback);
	assert_int_equal(conf->services[0].exec->group_ids.n, 0);
	conf_free(conf);

	fake_init(&fake, false);
	conf = must_read(&fake, "user = \"cabinetd\";\n" EXEC(""), 0);
	assert_null(conf->services[0].exec->user.name);
	assert_int_equal(conf->services[0].exec->user.id, UINT32_MAX);
	conf_free(conf);
}

static void
workers_as_root_are_worth_a_warning(void **state)
{
	struct cab_diag diag = { 0 };
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	conf_free(fake_read(&fake, "user = \"root\";", &diag, NULL));
	assert_true(fake_found(&diag, CAB_WARNING, NULL, 1, "rights of root"));
	diag_release(&diag);
}

/* ---- findings ------------------------------------------------------------------------ */

static const struct {
	bool privileged;
	enum cab_severity severity;
	const char *text;
	int line;
	const char *words;
} table[] = {
	/* Programs and paths. */
	{ true, CAB_ERROR, EXEC("user = \"nosuch\";"), 2,
	    "exec.user: there is no user \"nosuch\"" },
	{ true, CAB_ERROR, EXEC("group = \"nosuch\";"), 2,
	    "exec.group: there is no group" },
	{ true, CAB_ERROR, EXEC("groups = \"nosuch\";"), 2, "exec.groups" },
	{ true, CAB_ERROR, EXEC("directory = \"/absent\";"), 2,
	    "exec.directory: /absent does not exist" },
	{ true, CAB_ERROR, EXEC("directory = \"/etc/passwd\";"), 2,
	    "is not a directory" },
	{ true, CAB_ERROR, EXEC("chroot = \"/absent\";"), 2,
	    "exec.chroot: /absent does not exist" },
	{ true, CAB_WARNING, EXEC("chroot = \"/srv\";"), 2,
	    "exec.program: /srv/bin/cat does not exist" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a\"; listen = 9;\nexec = { program = "
	    "\"/srv\"; }; } );",
	    2, "exec.program: /srv is a directory" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a\"; listen = 9;\nexec = { program = "
	    "\"/etc/passwd\"; }; } );",
	    2, "is not executable" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a\"; listen = 9; protocol = \"web\";\n"
	    "web = { root = \"/etc/passwd\"; }; } );",
	    2, "web.root: /etc/passwd is not a directory" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a\"; listen = 9; protocol = \"web\";\n"
	    "web = { secret = \"/srv\"; user = \"nosuch\"; }; } );",
	    2, "web.user" },
	{ true, CAB_ERROR, EXEC("capabilities = \"net_rw\";"), 2,
	    "did you mean \"net_raw\"" },
	{ true, CAB_ERROR, EXEC("pass_env = \"A=b\";"), 2,
	    "not the name of a variable" },
	{ false, CAB_ERROR, EXEC("user = \"nobody\";"), 2,
	    "only a daemon that is started as root" },
	{ false, CAB_ERROR, EXEC("group = \"nobody\";"), 2,
	    "only a daemon that is started as root" },
	{ false, CAB_ERROR, EXEC("groups = ();"), 2, "exec.groups: only" },
	{ false, CAB_ERROR, EXEC("chroot = \"/jail\";"), 2, "exec.chroot: only" },
	{ false, CAB_ERROR, EXEC("capabilities = \"kill\";"), 2,
	    "exec.capabilities: only" },
	{ false, CAB_ERROR, EXEC("nice = -1;"), 2, "exec.nice: only" },
	/* What does not hold for a program. */
	{ true, CAB_WARNING, WITH("timeouts = { idle = 5; };"), 2,
	    "do not hold for a program" },
	{ true, CAB_WARNING, WITH("timeouts = { first_byte = 5; };"), 2,
	    "do not hold for a program" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a\"; listen = ( 9,\n\"udp://*:9\" );\n"
	    "exec = { program = \"/bin/cat\"; }; } );",
	    1, "exec.wait = true" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a\"; listen = \"unixgram://@x\";\n"
	    "exec = { program = \"/bin/cat\"; }; } );",
	    1, "exec.wait = true" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a\"; listen = 9; exec = { program = "
	    "\"/bin/cat\"; wait = true; };\naccess = { allow = \"::1\"; }; } );",
	    2, "these rules would not hold" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a\"; listen = 9; exec = { program = "
	    "\"/bin/cat\"; wait = true; }; } );\n"
	    "defaults = { access = { deny = \"::1\"; }; };",
	    2, "these rules would not hold" },
	{ true, CAB_WARNING,
	    "services = ( { name = \"a\"; listen = 9; exec = { program = "
	    "\"/bin/cat\"; wait = true; };\nlimits = { rate = \"1/s\"; }; } );",
	    1, "no limit holds" },
	/* Services by themselves. */
	{ true, CAB_ERROR,
	    "services = ( { name = \"a\"; protocol = \"line\";\nlisten = ( 7, "
	    "\"udp://*:7\" ); } );",
	    2, "protocol \"line\" does not serve datagrams (udp://0.0.0.0:7)" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a b\"; listen = 7; protocol = \"echo\"; } );",
	    1, "may hold letters" },
	{ true, CAB_ERROR,
	    "services = ( { name = \"a/b\"; listen = 7; protocol = \"echo\"; } );",
	    1, "may hold letters" },
	{ true, CAB_WARNING,
	    ECHO("7",
		"access = { allow = ( \"10.0.0.0/8\", \"::1\" ); deny = "
		"( \"::1\" ); };"),
	    2, "::1 stands in both lists" },
	{ true, CAB_WARNING,
	    ECHO("7", "limits = { connections = 5; per_source = 6; };"), 2,
	    "one source can take every place" },
	{ false, CAB_WARNING, ECHO("\"tcp://127.0.0.1:1\"", ""), 1,
	    "only root can listen on port 1" },
	/* Services together. */
	{ true, CAB_ERROR,
	    "services = (\n{ name = \"a\"; listen = 7; protocol = \"echo\"; },\n"
	    "{ name = \"a\"; listen = 8; protocol = \"echo\"; } );",
	    3, FAKE_MAIN ":2 has the same name" },
	{ true, CAB_ERROR,
	    "services = (\n{ name = \"a\"; listen = 7; protocol = \"echo\"; },\n"
	    "{ name = \"b\"; protocol = \"echo\"; listen = ( 8,\n"
	    "\"tcp://127.0.0.1:7\" ); } );",
	    4,
	    "service \"b\": listen: tcp://127.0.0.1:7 clashes with "
	    "tcp://0.0.0.0:7 of service \"a\" in " FAKE_MAIN ":2" },
	{ true, CAB_ERROR, ECHO("( \"unix:///x\", \"unix:///x\" )", ""), 1,
	    "unix:///x clashes with" },
	{ true, CAB_ERROR, ECHO("( \"unix:///x\", \"unixgram:///x\" )", ""), 1,
	    "unixgram:///x clashes with" },
	{ true, CAB_ERROR, ECHO("( \"unix://@x\", \"unix://@x\" )", ""), 1,
	    "unix://@x clashes with" },
	{ true, CAB_ERROR,
	    ECHO("( \"tcp://127.0.0.1:7\", \"tcp://0.0.0.0:7\" )", ""), 1,
	    "tcp://0.0.0.0:7 clashes with tcp://127.0.0.1:7" },
	{ true, CAB_ERROR, ECHO("( \"tcp://[::1]:7\", \"tcp://[::]:7\" )", ""),
	    1, "tcp://[::]:7 clashes with tcp://[::1]:7" },
	{ true, CAB_ERROR, ECHO("( \"tcp://[::]:7\", \"tcp://[::1]:7\" )", ""),
	    1, "tcp://[::1]:7 clashes with tcp://[::]:7" },
	{ true, CAB_ERROR, ECHO("( \"udp://[::1]:7\", \"udp://[::1]:7\" )", ""),
	    1, "udp://[::1]:7 clashes with" },
	/* A wildcard on one interface, and an address on all of them. */
	{ true, CAB_ERROR,
	    "services = (\n{ name = \"a\"; listen = \"tcp://0.0.0.0:7\"; protocol "
	    "= \"echo\"; socket = { interface = \"eth0\"; }; },\n"
	    "{ name = \"b\"; listen = \"tcp://0.0.0.0:7\"; protocol = \"echo\"; "
	    "socket = { interface = \"eth1\"; }; },\n"
	    "{ name = \"c\"; listen = \"tcp://127.0.0.1:7\"; protocol = "
	    "\"echo\"; socket = { interface = \"eth0\"; }; } );",
	    4, "tcp://127.0.0.1:7 clashes with tcp://0.0.0.0:7 of service \"a\"" },
	{ true, CAB_ERROR, ECHO("( \"vsock://5:7\", \"vsock://*:7\" )", ""), 1,
	    "clashes with vsock://5:7" },
	{ true, CAB_ERROR, ECHO("( \"vsock://*:7\", \"vsock://5:7\" )", ""), 1,
	    "vsock://5:7 clashes with" },
	{ true, CAB_ERROR, ECHO("( \"vsock://5:7\", \"vsock://5:7\" )", ""), 1,
	    "vsock://5:7 clashes with" },
	{ true, CAB_ERROR, ECHO("( \"systemd://x\", \"systemd://x\" )", ""), 1,
	    "systemd://x clashes with" },
};

static void
judges(void **state)
{
	struct cab_diag diag;
	struct cab_conf *conf;
	struct fake fake;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(table); i++) {
		fake_init(&fake, table[i].privileged);
		diag = (struct cab_diag){ 0 };
		conf = fake_read(&fake, table[i].text, &diag, NULL);
		if (!fake_found(&diag, table[i].severity, NULL, table[i].line,
			table[i].words))
			fail_msg("no \"%s\" in line %d of\n%s\n%s",
			    table[i].words, table[i].line, table[i].text,
			    fake_findings(&diag));
		assert_int_equal(conf == NULL, table[i].severity == CAB_ERROR);
		diag_release(&diag);
		conf_free(conf);
	}
}

static const char *const fine[] = {
	/* Port 0 is another one each time; families and kinds are apart. */
	"services = ( { name = \"a\"; listen = ( 0, 0 ); protocol = \"echo\"; },"
	"{ name = \"b\"; listen = ( \"tcp://0.0.0.0:7\", \"udp://0.0.0.0:7\", "
	"\"tcp://[::]:7\" ); protocol = \"echo\"; } );",
	/* One port at several addresses, kinds and names. */
	ECHO("( \"tcp://127.0.0.1:7\", \"tcp://127.0.0.2:7\", "
	     "\"tcp://[::1]:7\", \"tcp://[::]:8\", \"tcp://0.0.0.0:9\", "
	     "\"udp://127.0.0.1:7\" )",
	    ""),
	ECHO("( \"unix:///x\", \"unix:///y\", \"unix://@x\", "
	     "\"unixgram://@x\", \"vsock://5:7\", \"vsock://6:7\", "
	     "\"vsock://*:8\", \"systemd://x\", \"systemd://y\" )",
	    ""),
	/* What is not served does not clash. */
	"services = ( { name = \"a\"; listen = 7; protocol = \"echo\"; },"
	"{ name = \"b\"; enabled = false; listen = 7; protocol = \"echo\"; } );",
	/* Different interfaces. */
	"services = ( { name = \"a\"; listen = 7; protocol = \"echo\"; socket = "
	"{ interface = \"eth0\"; }; },"
	"{ name = \"b\"; listen = 7; protocol = \"echo\"; socket = { interface = "
	"\"eth1\"; }; } );",
	"services = ( { name = \"a\"; listen = \"tcp://127.0.0.1:7\"; protocol = "
	"\"echo\"; socket = { interface = \"eth0\"; }; },"
	"{ name = \"b\"; listen = \"tcp://0.0.0.0:7\"; protocol = \"echo\"; "
	"socket = { interface = \"eth1\"; }; } );",
	/* A list that lets everybody in holds for a program that takes its clients itself. */
	"defaults = { access = { allow = \"10.0.0.0/8\"; }; };"
	"services = ( { name = \"a\"; listen = \"udp://*:69\"; exec = { program "
	"= \"/bin/cat\"; wait = true; };"
	"access = { allow = ( \"0.0.0.0/0\", \"::/0\" ); }; } );",
	/* Limits and timeouts of "defaults" are nobody's slip. */
	"defaults = { limits = { rate = \"5/s\"; }; timeouts = { idle = 5; }; };"
	"services = ( { name = \"a\"; listen = \"udp://*:69\"; exec = { program "
	"= \"/bin/cat\"; wait = true; }; } );",
	"services = ( { name = \"a\"; listen = \"systemd://x\"; protocol = "
	"\"line\"; } );",
	ECHO("7", "limits = { connections = 5; };"),
	ECHO("7", "limits = { connections = 0; per_source = 500; };"),
};

static void
says_nothing_of_what_is_fine(void **state)
{
	struct fake fake;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(fine); i++) {
		fake_init(&fake, true);
		conf_free(must_read(&fake, fine[i], 0));
	}
}

static void
both_halves_of_star_clash_as_one(void **state)
{
	struct cab_diag diag = { 0 };
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	assert_null(fake_read(&fake,
	    "services = ( { name = \"a\"; listen = 7; protocol = \"echo\"; },\n"
	    "{ name = \"b\"; listen = \"tcp://*:7\"; protocol = \"echo\"; } );",
	    &diag, NULL));
	assert_int_equal(diag.n, 1);
	diag_release(&diag);
}

static void
only_total_holds_for_a_program(void **state)
{
	const struct cab_timeouts *t;
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	conf = must_read(&fake, EXEC(""), 0);
	t = &conf->services[0].timeouts;
	assert_int_equal(t->first_byte, 0);
	assert_int_equal(t->idle, 0);
	assert_int_equal(t->total, 0);
	conf_free(conf);

	fake_init(&fake, true);
	conf = must_read(&fake,
	    EXEC("") "defaults = { timeouts = { total = 60; idle = 1; }; };", 0);
	t = &conf->services[0].timeouts;
	assert_int_equal(t->idle, 0);
	assert_int_equal(t->total, 60000);
	conf_free(conf);

	fake_init(&fake, true);
	conf = must_read(&fake, WITH("timeouts = { total = 5; };"), 0);
	assert_int_equal(conf->services[0].timeouts.total, 5000);
	conf_free(conf);
}

static void
capabilities_become_bits(void **state)
{
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	conf = must_read(&fake,
	    EXEC("capabilities = ( \"net_raw\", \"CAP_KILL\", \"cap_chown\" );"),
	    0);
	assert_int_equal(conf->services[0].exec->capability_bits,
	    UINT64_C(1) << CAP_NET_RAW | UINT64_C(1) << CAP_KILL |
		UINT64_C(1) << CAP_CHOWN);
	conf_free(conf);
}

static void
a_rate_for_sources_is_known_to_be_given(void **state)
{
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	conf = must_read(&fake,
	    ECHO("\"udp://*:7\"", "limits = { per_source_rate = 0; };"), 0);
	assert_true(conf->services[0].limits.per_source_rate_set);
	assert_int_equal(conf->services[0].limits.per_source_rate.count, 0);
	conf_free(conf);
}

static void
the_control_socket_is_the_users(void **state)
{
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	conf = must_read(&fake, ECHO("\"tcp://127.0.0.1:0\"", ""), 0);
	assert_string_equal(
	    conf->control, CAB_RUNSTATEDIR "/cabinetd/control.sock");
	conf_free(conf);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", "/run/user/1000", 1), 0);
	fake_init(&fake, false);
	conf = must_read(&fake, ECHO("\"tcp://127.0.0.1:0\"", ""), 0);
	assert_string_equal(
	    conf->control, "/run/user/1000/cabinetd/control.sock");
	conf_free(conf);
	assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
	fake_init(&fake, false);
	conf = must_read(&fake, ECHO("\"tcp://127.0.0.1:0\"", ""), 0);
	assert_null(conf->control);
	conf_free(conf);
	fake_init(&fake, false);
	conf = must_read(&fake,
	    "control = \"/tmp/c\";" ECHO("\"tcp://127.0.0.1:0\"", ""), 0);
	assert_string_equal(conf->control, "/tmp/c");
	conf_free(conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_runs_as_the_daemons_user),
		cmocka_unit_test(a_program_runs_as_the_user_it_names),
		cmocka_unit_test(nobody_stands_in_for_a_missing_account),
		cmocka_unit_test(a_plain_user_stays_who_he_is),
		cmocka_unit_test(workers_as_root_are_worth_a_warning),
		cmocka_unit_test(judges),
		cmocka_unit_test(says_nothing_of_what_is_fine),
		cmocka_unit_test(both_halves_of_star_clash_as_one),
		cmocka_unit_test(only_total_holds_for_a_program),
		cmocka_unit_test(capabilities_become_bits),
		cmocka_unit_test(a_rate_for_sources_is_known_to_be_given),
		cmocka_unit_test(the_control_socket_is_the_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
