/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The datagram rule: who gets an answer.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "access/udpguard.h"

static struct cab_peer
peer(const char *text, uint16_t port)
{
	struct cab_sockaddr addr;
	struct cab_peer p;

	assert_int_equal(
	    sockaddr_parse_ip(
		(struct cab_slice){ text, strlen(text) }, port, &addr),
	    0);
	peer_from_sockaddr(&p, &addr.sa, addr.len);
	return p;
}

static struct udpguard guard;

static bool
may(const char *from, uint16_t port, const char *to)
{
	struct cab_peer a = peer(from, port), b = peer(to, 7);

	return udpguard_may_reply(&guard, &a, &b);
}

static void
ports_that_answer_get_nothing(void **state)
{
	static const uint16_t bad[] = { 0, 7, 9, 13, 17, 19, 37, 53, 69, 111,
		123, 161, 389, 514, 520 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(may("192.0.2.1", bad[i], "192.0.2.2"));
	assert_true(may("192.0.2.1", 1023, "192.0.2.2"));
	assert_true(may("192.0.2.1", 40000, "192.0.2.2"));
	assert_true(may("2001:db8::1", 40000, "2001:db8::2"));
	assert_false(may("2001:db8::1", 53, "2001:db8::2"));
}

static void
own_ports_get_nothing(void **state)
{
	(void)state;
	assert_true(may("192.0.2.1", 10007, "192.0.2.2"));
	udpguard_serve(&guard, 10007);
	udpguard_serve(&guard, 65535);
	assert_false(may("192.0.2.1", 10007, "192.0.2.2"));
	assert_false(may("192.0.2.1", 65535, "192.0.2.2"));
	assert_true(may("192.0.2.1", 10008, "192.0.2.2"));
	assert_true(may("192.0.2.1", 10006, "192.0.2.2"));
}

static void
only_unicast_both_ways(void **state)
{
	(void)state;
	assert_false(may("255.255.255.255", 4000, "192.0.2.2"));
	assert_false(may("224.0.0.1", 4000, "192.0.2.2"));
	assert_false(may("0.0.0.0", 4000, "192.0.2.2"));
	assert_false(may("ff02::1", 4000, "2001:db8::2"));
	assert_false(may("::", 4000, "2001:db8::2"));
	assert_false(may("192.0.2.1", 4000, "255.255.255.255"));
	assert_false(may("192.0.2.1", 4000, "239.1.2.3"));
	assert_false(may("2001:db8::1", 4000, "ff05::1"));
	assert_true(may("127.0.0.1", 4000, "127.0.0.1"));
}

static void
reply_size(void **state)
{
	(void)state;
	assert_int_equal(udpguard_max_reply(0), 64);
	assert_int_equal(udpguard_max_reply(64), 64);
	assert_int_equal(udpguard_max_reply(65), 65);
	assert_int_equal(udpguard_max_reply(65507), 65507);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_that_answer_get_nothing),
		cmocka_unit_test(own_ports_get_nothing),
		cmocka_unit_test(only_unicast_both_ways),
		cmocka_unit_test(reply_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
