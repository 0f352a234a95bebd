/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of discard over the in-memory transport: it takes everything, answers
 * nothing, and ends when the peer does.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/builtin.h"
#include "tests/support/mem.h"

static struct mem_service *service;

static int
set_up(void **state)
{
	(void)state;
	service = mem_service_new(&proto_discard, NULL, NULL, -1);
	return service == NULL;
}

static int
tear_down(void **state)
{
	(void)state;
	mem_service_free(service);
	return 0;
}

static void
assert_silent(struct mem_conn *conn)
{
	size_t n;

	mem_output(conn, &n);
	assert_int_equal(n, 0);
	assert_int_equal(mem_writes(conn), 0);
}

static void
test_takes_everything(void **state)
{
	static char block[100000];
	struct mem_conn *conn = mem_open(service);
	int i;

	(void)state;
	memset(block, 'x', sizeof(block));
	for (i = 0; i < 20; i++)
		mem_feed(conn, block, sizeof(block));
	mem_feed_split(conn, block, 1000, 1);
	assert_silent(conn);
	assert_false(mem_finished(conn));
	mem_half_close(conn);
	assert_silent(conn);
	assert_true(mem_closed(conn));
	mem_free(conn);
}

static void
test_ends_with_the_peer(void **state)
{
	struct mem_conn *conn = mem_open(service);

	(void)state;
	assert_false(mem_finished(conn));
	mem_half_close(conn);
	assert_true(mem_closed(conn));
	mem_free(conn);

	conn = mem_open(service);
	mem_feed(conn, "abc", 3);
	mem_reset(conn);
	assert_true(mem_closed(conn));
	mem_free(conn);
}

static void
test_datagram(void **state)
{
	char reply[64];

	(void)state;
	assert_int_equal(proto_discard.datagram(mem_running(service),
			     CAB_SLICE("hello"), reply, sizeof(reply)),
	    -1);
	assert_int_equal(proto_discard.datagram(mem_running(service),
			     CAB_SLICE(""), reply, sizeof(reply)),
	    -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_everything),
		cmocka_unit_test(test_ends_with_the_peer),
		cmocka_unit_test(test_datagram),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
