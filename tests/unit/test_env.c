/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The environment of programs: golden lists for each kind of connection,
 * nothing inherited that was not asked for, no name twice.
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

#include "launcher/env.h"

#define PATH \
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"

static struct cab_exec exec;
static struct cab_service service = { .name = "web", .exec = &exec };
static const char *const own_text[] = { "CANARY=sings",
	"NOTIFY_SOCKET=/run/notify", "LISTEN_FDS=3", "LISTEN_PID=1",
	"WATCHDOG_USEC=1", "FDSTORE=2", "TCPREMOTEIP=6.6.6.6", "HOME=/root",
	"CANARY_TOO=x", "ODD", NULL };

#define OWN ((char *const *)(uintptr_t)own_text) /* typed as environ is */

static struct cab_peer
peer(const char *ip, uint16_t port)
{
	struct cab_sockaddr addr;
	struct cab_peer p;

	assert_int_equal(
	    sockaddr_parse_ip((struct cab_slice){ ip, strlen(ip) }, port, &addr),
	    0);
	peer_from_sockaddr(&p, &addr.sa, addr.len);
	return p;
}

static void
expect(const struct env_source *source, const char *want)
{
	char text[8192] = "", **env = env_make(source);
	size_t n = 0, i;

	assert_non_null(env);
	for (i = 0; env[i] != NULL; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n", env[i]);
	assert_string_equal(text, want);
	free(env);
}

static int
setup(void **state)
{
	(void)state;
	exec = (struct cab_exec){ .program = "/bin/true" };
	return 0;
}

static void
describes_ip_connections(void **state)
{
	struct cab_peer from = peer("192.0.2.1", 40000);
	struct cab_peer to = peer("192.0.2.2", 80);
	struct env_source source = { .service = &service,
		.proto = "TCP",
		.conn_id = 42,
		.peer = &from,
		.local = &to,
		.own = OWN };

	(void)state;
	expect(&source,
	    PATH "CABINETD_SERVICE=web\nCABINETD_CONN=42\nPROTO=TCP\n"
		 "TCPLOCALIP=192.0.2.2\nTCPLOCALPORT=80\n"
		 "REMOTE_ADDR=192.0.2.1\nREMOTE_HOST=192.0.2.1\n"
		 "TCPREMOTEIP=192.0.2.1\nTCPREMOTEPORT=40000\n"
		 "REMOTE_PORT=40000\n");
	/* As a v6 socket tells it. */
	from = peer("::ffff:192.0.2.1", 1);
	to = peer("::ffff:192.0.2.2", 2);
	expect(&source,
	    PATH "CABINETD_SERVICE=web\nCABINETD_CONN=42\nPROTO=TCP\n"
		 "TCPLOCALIP=192.0.2.2\nTCPLOCALPORT=2\n"
		 "REMOTE_ADDR=192.0.2.1\nREMOTE_HOST=192.0.2.1\n"
		 "TCPREMOTEIP=192.0.2.1\nTCPREMOTEPORT=1\nREMOTE_PORT=1\n");
	from = peer("fe80::1%3", 1);
	to = peer("2001:db8::2", 2);
	expect(&source,
	    PATH "CABINETD_SERVICE=web\nCABINETD_CONN=42\nPROTO=TCP\n"
		 "TCPLOCALIP=2001:db8::2\nTCPLOCALPORT=2\n"
		 "REMOTE_ADDR=fe80::1%3\nREMOTE_HOST=fe80::1%3\n"
		 "TCPREMOTEIP=fe80::1%3\nTCPREMOTEPORT=1\nREMOTE_PORT=1\n");
}

static void
describes_unix_connections(void **state)
{
	struct cab_peer from = { .family = AF_UNIX, .cred = { 1000, 100, 7 } };
	struct cab_peer to = { .family = AF_UNIX };
	struct env_source source = { .service = &service,
		.proto = "UNIX",
		.conn_id = 1,
		.peer = &from,
		.local = &to,
		.own = OWN };

	(void)state;
	expect(&source,
	    PATH "CABINETD_SERVICE=web\nCABINETD_CONN=1\nPROTO=UNIX\n"
		 "REMOTE_ADDR=unix\nREMOTE_HOST=unix\n"
		 "REMOTE_UID=1000\nREMOTE_GID=100\nREMOTE_PID=7\n");
	/* From another pid namespace it has no number. */
	from.cred.pid = 0;
	expect(&source,
	    PATH "CABINETD_SERVICE=web\nCABINETD_CONN=1\nPROTO=UNIX\n"
		 "REMOTE_ADDR=unix\nREMOTE_HOST=unix\n"
		 "REMOTE_UID=1000\nREMOTE_GID=100\n");
}

static void
describes_vsock_connections(void **state)
{
	struct cab_peer from = { .family = AF_VSOCK, .vsock = { 3, 70000 } };
	struct env_source source = { .service = &service,
		.proto = "VSOCK",
		.conn_id = 1,
		.peer = &from,
		.local = &from };

	(void)state;
	expect(&source,
	    PATH "CABINETD_SERVICE=web\nCABINETD_CONN=1\nPROTO=VSOCK\n"
		 "REMOTE_ADDR=vsock:3\nREMOTE_HOST=vsock:3\n"
		 "REMOTE_PORT=70000\n");
}

static void
describes_listening_sockets(void **state)
{
	struct cab_peer to = peer("::", 69);
	struct env_source source = {
		.service = &service, .proto = "UDP", .local = &to
	};

	(void)state;
	expect(&source,
	    PATH "CABINETD_SERVICE=web\nPROTO=UDP\nUDPLOCALIP=::\n"
		 "UDPLOCALPORT=69\n");
}

static void
describes_the_user(void **state)
{
	struct cab_peer to = { .family = AF_UNIX };
	struct env_source source = {
		.service = &service, .proto = "UNIX", .local = &to
	};

	(void)state;
	exec.user = (struct cab_account){ "git", 33, 33 };
	exec.home = "/srv/git";
	expect(&source,
	    PATH "CABINETD_SERVICE=web\nPROTO=UNIX\nUSER=git\nLOGNAME=git\n"
		 "HOME=/srv/git\nSHELL=/bin/sh\n");
	exec.home = NULL;
	expect(&source,
	    PATH "CABINETD_SERVICE=web\nPROTO=UNIX\nUSER=git\nLOGNAME=git\n"
		 "HOME=/\nSHELL=/bin/sh\n");
}

static void
passes_only_what_is_named(void **state)
{
	static const char *const names[] = { "CANARY", "ABSENT", "", "ODD",
		"CANARY=sings", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID",
		"WATCHDOG_USEC", "FDSTORE" };
	struct cab_peer to = { .family = AF_UNIX };
	struct env_source source = {
		.service = &service, .proto = "UNIX", .local = &to, .own = OWN
	};

	(void)state;
	exec.pass_env.v = names;
	exec.pass_env.n = CAB_N(names);
	expect(&source, PATH "CABINETD_SERVICE=web\nPROTO=UNIX\nCANARY=sings\n");
}

static void
lets_the_later_one_win(void **state)
{
	static const char *const pass[] = { "CANARY", "HOME" };
	static const char *const env[] = { "PATH=/only", "CANARY=quiet", "A=1",
		"A=2", "EMPTY=", "EQ=a=b", "A_B=3" };
	struct cab_peer to = { .family = AF_UNIX };
	struct env_source source = {
		.service = &service, .proto = "UNIX", .local = &to, .own = OWN
	};

	(void)state;
	exec.user = (struct cab_account){ "git", 33, 33 };
	exec.home = "/srv/git";
	exec.pass_env.v = pass;
	exec.pass_env.n = CAB_N(pass);
	exec.env.v = env;
	exec.env.n = CAB_N(env);
	expect(&source,
	    "CABINETD_SERVICE=web\nPROTO=UNIX\nUSER=git\nLOGNAME=git\n"
	    "SHELL=/bin/sh\nHOME=/root\nPATH=/only\nCANARY=quiet\nA=2\n"
	    "EMPTY=\nEQ=a=b\nA_B=3\n");
}

static void
survives_entries_that_are_none(void **state)
{
	static const char *const env[] = { "", "=", "=x", "NAME" };
	struct cab_peer to = { .family = AF_UNIX };
	struct env_source source = {
		.service = &service, .proto = "UNIX", .local = &to
	};

	(void)state;
	exec.env.v = env;
	exec.env.n = CAB_N(env);
	expect(&source, PATH "CABINETD_SERVICE=web\nPROTO=UNIX\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(describes_ip_connections, setup),
		cmocka_unit_test_setup(describes_unix_connections, setup),
		cmocka_unit_test_setup(describes_vsock_connections, setup),
		cmocka_unit_test_setup(describes_listening_sockets, setup),
		cmocka_unit_test_setup(describes_the_user, setup),
		cmocka_unit_test_setup(passes_only_what_is_named, setup),
		cmocka_unit_test_setup(lets_the_later_one_win, setup),
		cmocka_unit_test_setup(survives_entries_that_are_none, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
