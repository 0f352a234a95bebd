/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening addresses: every form becomes the sockets it means, every slip is
 * told with what to write, and two that cannot both be bound are known.
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

#include "conf/address.h"
#include "tests/support/conf_fake.h"

static struct fake fake;
static struct cab_arena *arena;

static int
setup(void **state)
{
	(void)state;
	fake_init(&fake, false);
	arena = arena_new();
	return arena == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static const struct {
	const char *text, *first, *second; /* canonical */
	enum cab_listen_kind kind;
} good[] = {
	{ "tcp://127.0.0.1:80", "tcp://127.0.0.1:80", NULL, CAB_TCP },
	{ "udp://[::1]:53", "udp://[::1]:53", NULL, CAB_UDP },
	{ "tcp://[0:0:0:0:0:0:0:1]:80", "tcp://[::1]:80", NULL, CAB_TCP },
	{ "tcp://*:80", "tcp://0.0.0.0:80", "tcp://[::]:80", CAB_TCP },
	{ "udp://*:0", "udp://0.0.0.0:0", "udp://[::]:0", CAB_UDP },
	{ "tcp://0.0.0.0:65535", "tcp://0.0.0.0:65535", NULL, CAB_TCP },
	{ "tcp://[::]:0", "tcp://[::]:0", NULL, CAB_TCP },
	{ "tcp://[fe80::1%1]:80", "tcp://[fe80::1%1]:80", NULL, CAB_TCP },
	{ "tcp://[fe80::1%lo]:80", "tcp://[fe80::1%1]:80", NULL, CAB_TCP },
	{ "tcp://localhost:7", "tcp://127.0.0.1:7", "tcp://[::1]:7", CAB_TCP },
	{ "tcp://*:daytime", "tcp://0.0.0.0:13", "tcp://[::]:13", CAB_TCP },
	{ "unix:///run/x.sock", "unix:///run/x.sock", NULL, CAB_UNIX },
	{ "unix://@name", "unix://@name", NULL, CAB_UNIX },
	{ "unixgram:///run/a b", "unixgram:///run/a b", NULL, CAB_UNIXGRAM },
	{ "unixgram://@x", "unixgram://@x", NULL, CAB_UNIXGRAM },
	{ "vsock://3:1024", "vsock://3:1024", NULL, CAB_VSOCK },
	{ "vsock://*:1024", "vsock://*:1024", NULL, CAB_VSOCK },
	{ "systemd://web.socket", "systemd://web.socket", NULL, CAB_SYSTEMD },
};

static void
every_form_becomes_its_sockets(void **state)
{
	struct cab_listen found[NAMES_HOSTS];
	char why[ADDRESS_WHY];
	size_t i, n;

	(void)state;
	for (i = 0; i < CAB_N(good); i++) {
		why[0] = '\0';
		n = 0;
		if (address_parse(
			&fake.names, arena, good[i].text, found, &n, why) != 0)
			fail_msg("%s: %s", good[i].text, why);
		assert_int_equal(n, good[i].second != NULL ? 2 : 1);
		assert_int_equal(found[0].kind, good[i].kind);
		assert_string_equal(found[0].text, good[i].first);
		assert_false(found[0].optional);
		if (n == 2) {
			assert_string_equal(found[1].text, good[i].second);
			assert_int_equal(found[1].optional,
			    strchr(good[i].text, '*') != NULL);
			assert_int_equal(address_is_pair(&found[0], &found[1]),
			    found[1].optional);
		}
		assert_int_equal(
		    found[0].addr.len == 0, good[i].kind == CAB_SYSTEMD);
	}
}

static void
canonical_text_reads_back(void **state)
{
	struct cab_listen found[NAMES_HOSTS], again[NAMES_HOSTS];
	char why[ADDRESS_WHY] = "";
	size_t i, j, n, one;

	(void)state;
	for (i = 0; i < CAB_N(good); i++) {
		n = 0;
		address_parse(&fake.names, arena, good[i].text, found, &n, why);
		for (j = 0; j < n; j++) {
			one = 0;
			assert_int_equal(address_parse(&fake.names, arena,
					     found[j].text, again, &one, why),
			    0);
			assert_int_equal(one, 1);
			assert_true(
			    sockaddr_equal(&found[j].addr, &again[0].addr));
		}
	}
}

static void
a_number_is_a_port_of_both_families(void **state)
{
	struct cab_listen found[NAMES_HOSTS];
	char why[ADDRESS_WHY] = "";
	size_t n = 0;

	(void)state;
	assert_int_equal(address_parse_port(arena, 13, found, &n, why), 0);
	assert_int_equal(n, 2);
	assert_string_equal(found[0].text, "tcp://0.0.0.0:13");
	assert_string_equal(found[1].text, "tcp://[::]:13");
	assert_true(found[1].optional);
	assert_int_equal(
	    address_parse_port(arena, 65536, found, &n, why), -EINVAL);
	assert_non_null(strstr(why, "65536"));
	assert_int_equal(address_parse_port(arena, -1, found, &n, why), -EINVAL);
	assert_int_equal(
	    address_parse_port(arena, 4294967376, found, &n, why), -EINVAL);
}

#define LONG10 "xxxxxxxxxx"
#define LONG110 \
	LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10 LONG10

static const struct {
	const char *text, *words;
} wrong[] = {
	{ "", "empty" },
	{ "80", "80 without quotes, or \"tcp://*:80\"" },
	{ "daytime", "write 13 without quotes" },
	{ "127.0.0.1:80", "\"tcp://127.0.0.1:80\"" },
	{ "*:80", "\"tcp://*:80\"" },
	{ "[::1]:80", "\"tcp://[::1]:80\"" },
	{ "/run/x.sock", "\"unix:///run/x.sock\"" },
	{ "@x", "\"unix://@x\"" },
	{ "localhost", "no address" },
	{ "tcp://", "port is missing" },
	{ "tcp://127.0.0.1", "\"tcp://127.0.0.1:PORT\"" },
	{ "tcp://80", "\"tcp://*:80\"" },
	{ "tcp://:80", "\"tcp://*:80\"" },
	{ "tcp://127.0.0.1:", "port is missing" },
	{ "tcp://127.0.0.1:65536", "not in 0 to 65535" },
	{ "tcp://127.0.0.1:4294967376", "not in 0 to 65535" },
	{ "tcp://127.0.0.1:18446744073709551623", "not in 0 to 65535" },
	{ "tcp://127.0.0.1:-1", "neither a port" },
	{ "tcp://127.0.0.1:+7", "neither a port" },
	{ "tcp://127.0.0.1: 7", "neither a port" },
	{ "tcp://127.0.0.1:7 ", "neither a port" },
	{ "tcp://127.0.0.1:07", "begins with a 0" },
	{ "tcp://127.0.0.1:0x7", "neither a port" },
	{ "tcp://127.0.0.1:7x", "neither a port" },
	{ "udp://*:daytime", "name of a udp service" },
	{ "tcp://127.0.0.1:7/path", "neither a port" },
	{ "tcp://127.0.0.256:7", "no address" },
	{ "tcp://010.0.0.1:7", "no address" },
	{ "tcp://**:7", "no address" },
	{ "tcp://a b:7", "no address" },
	{ "tcp://user@127.0.0.1:7", "no address" },
	{ "tcp://-x:7", "no address" },
	{ "tcp://127.0.0.1,127.0.0.2:7", "no address" },
	{ "tcp://no-such-host.invalid:7", "cannot find host" },
	{ "tcp://::1:7", "in brackets" },
	{ "tcp://fe80::1:7", "in brackets" },
	{ "tcp://[::1:7", "no \"]\"" },
	{ "tcp://[::1]7", "after the \"]\"" },
	{ "tcp://[::1]", "after the \"]\"" },
	{ "tcp://[::zz]:7", "not an IPv6 address" },
	{ "tcp://[]:7", "not an IPv6 address" },
	{ "tcp://[*]:7", "not an IPv6 address" },
	{ "tcp://[127.0.0.1]:7", "only IPv6" },
	{ "tcp://[::ffff:127.0.0.1]:7", "IPv4 address itself" },
	{ "tcp://[fe80::1]:7", "needs its interface" },
	{ "tcp://[fe80::1%nosuchif]:7", "zone" },
	{ "tpc://127.0.0.1:7", "did you mean \"tcp\"" },
	{ "TCP://127.0.0.1:7", "did you mean \"tcp\"" },
	{ "sctp://127.0.0.1:7", "known are tcp, udp" },
	{ " tcp://127.0.0.1:7", "unknown kind" },
	{ "://x", "unknown kind" },
	{ "tcp:127.0.0.1:7", "the kind is missing" },
	{ "unix://", "absolute path" },
	{ "unix://relative", "absolute path" },
	{ "unix://@", "does not name" },
	{ "unix:///", "does not name" },
	{ "unix:///run/", "does not name" },
	{ "unix:///" LONG110, "longer than 107" },
	{ "unix://@" LONG110, "longer than 107" },
	{ "unixgram://run/x", "\"unixgram:///run/x.sock\"" },
	{ "vsock://3", "CID:PORT" },
	{ "vsock://x:1", "numbers" },
	{ "vsock://1:99999999999", "numbers" },
	{ "vsock://-1:1", "numbers" },
	{ "systemd://", "FileDescriptorName" },
	{ "systemd://a:b", "neither" },
	{ "systemd://a b", "neither" },
};

static void
every_slip_is_told(void **state)
{
	struct cab_listen found[NAMES_HOSTS];
	char why[ADDRESS_WHY];
	size_t i, n;

	(void)state;
	for (i = 0; i < CAB_N(wrong); i++) {
		why[0] = '\0';
		n = 0;
		assert_int_equal(address_parse(&fake.names, arena,
				     wrong[i].text, found, &n, why),
		    -EINVAL);
		if (strstr(why, wrong[i].words) == NULL)
			fail_msg("%s: no \"%s\" in: %s", wrong[i].text,
			    wrong[i].words, why);
	}
}

static const struct {
	const char *a, *a_interface, *b, *b_interface;
	bool clash;
} pairs[] = {
	{ "tcp://127.0.0.1:80", NULL, "tcp://127.0.0.1:80", NULL, true },
	{ "tcp://127.0.0.1:80", NULL, "tcp://127.0.0.2:80", NULL, false },
	{ "tcp://127.0.0.1:80", NULL, "tcp://127.0.0.1:81", NULL, false },
	{ "tcp://127.0.0.1:80", NULL, "udp://127.0.0.1:80", NULL, false },
	{ "tcp://0.0.0.0:80", NULL, "tcp://127.0.0.1:80", NULL, true },
	{ "udp://0.0.0.0:80", NULL, "udp://127.0.0.1:80", NULL, true },
	{ "tcp://0.0.0.0:80", NULL, "tcp://[::]:80", NULL, false },
	{ "tcp://[::]:80", NULL, "tcp://[::1]:80", NULL, true },
	{ "tcp://[fe80::1%1]:80", NULL, "tcp://[fe80::1%2]:80", NULL, false },
	{ "tcp://0.0.0.0:0", NULL, "tcp://0.0.0.0:0", NULL, false },
	{ "tcp://0.0.0.0:80", "eth0", "tcp://0.0.0.0:80", "eth1", false },
	{ "tcp://0.0.0.0:80", "eth0", "tcp://0.0.0.0:80", "eth0", true },
	{ "tcp://0.0.0.0:80", "eth0", "tcp://0.0.0.0:80", NULL, true },
	{ "unix:///run/x", NULL, "unix:///run/x", NULL, true },
	{ "unix:///run/x", NULL, "unix:///run/y", NULL, false },
	{ "unix:///run/x", NULL, "unixgram:///run/x", NULL, true },
	{ "unix://@x", NULL, "unixgram://@x", NULL, false },
	{ "unix://@x", NULL, "unix://@x", NULL, true },
	{ "vsock://3:1", NULL, "vsock://4:1", NULL, false },
	{ "vsock://*:1", NULL, "vsock://4:1", NULL, true },
	{ "vsock://4:2", NULL, "vsock://4:1", NULL, false },
	{ "systemd://a", NULL, "systemd://a", NULL, true },
	{ "systemd://a", NULL, "systemd://b", NULL, false },
	{ "systemd://a", NULL, "unix://@a", NULL, false },
};

static void
clashes_are_those_of_the_kernel(void **state)
{
	struct cab_listen a[NAMES_HOSTS], b[NAMES_HOSTS];
	char why[ADDRESS_WHY] = "";
	size_t i, n = 0;

	(void)state;
	for (i = 0; i < CAB_N(pairs); i++) {
		assert_int_equal(
		    address_parse(&fake.names, arena, pairs[i].a, a, &n, why), 0);
		assert_int_equal(
		    address_parse(&fake.names, arena, pairs[i].b, b, &n, why), 0);
		if (address_conflict(&a[0], pairs[i].a_interface, &b[0],
			pairs[i].b_interface) != pairs[i].clash ||
		    address_conflict(&b[0], pairs[i].b_interface, &a[0],
			pairs[i].a_interface) != pairs[i].clash)
			fail_msg("%s and %s", pairs[i].a, pairs[i].b);
	}
}

static void
knows_streams_from_datagrams(void **state)
{
	static const unsigned expected[] = {
		[CAB_TCP] = CAB_STREAM,
		[CAB_UDP] = CAB_DGRAM,
		[CAB_UNIX] = CAB_STREAM,
		[CAB_UNIXGRAM] = CAB_DGRAM,
		[CAB_VSOCK] = CAB_STREAM,
		[CAB_SYSTEMD] = 0,
	};
	struct cab_listen l = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(expected); i++) {
		l.kind = (enum cab_listen_kind)i;
		assert_int_equal(address_transport(&l), expected[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_becomes_its_sockets),
		cmocka_unit_test(canonical_text_reads_back),
		cmocka_unit_test(a_number_is_a_port_of_both_families),
		cmocka_unit_test(every_slip_is_told),
		cmocka_unit_test(clashes_are_those_of_the_kernel),
		cmocka_unit_test(knows_streams_from_datagrams),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
