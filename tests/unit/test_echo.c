/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of echo over the in-memory transport: every byte comes back, in order,
 * at any split, with a half-close, with a reader that is slow or stops; and as
 * a datagram.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/builtin.h"
#include "tests/support/mem.h"

#define BIG (300 * 1000)

static struct mem_service *service;

static int
set_up(void **state)
{
	(void)state;
	service = mem_service_new(&proto_echo, NULL, NULL, -1);
	return service == NULL;
}

static int
tear_down(void **state)
{
	(void)state;
	mem_service_free(service);
	return 0;
}

/* Bytes that do not repeat with any power of two; free(). */
static char *
pattern(size_t n)
{
	char *p = malloc(n);
	size_t i;

	assert_non_null(p);
	for (i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

static void
assert_output(struct mem_conn *conn, const char *want, size_t n)
{
	size_t got_n;
	const char *got = mem_output(conn, &got_n);

	assert_int_equal(got_n, n);
	if (n > 0)
		assert_memory_equal(got, want, n);
}

static void
test_every_split(void **state)
{
	static const char text[] = "hello\r\n\0\377\nworld";
	size_t n = sizeof(text) - 1, step;

	(void)state;
	for (step = 1; step <= n; step++) {
		struct mem_conn *conn = mem_open(service);

		mem_feed_split(conn, text, n, step);
		assert_output(conn, text, n);
		assert_false(mem_finished(conn));
		mem_free(conn);
	}
}

static void
test_answers_before_the_end(void **state)
{
	struct mem_conn *conn = mem_open(service);

	(void)state;
	assert_output(conn, "", 0);
	mem_feed(conn, "a", 1);
	assert_output(conn, "a", 1);
	mem_feed(conn, "bc", 2);
	assert_output(conn, "abc", 3);
	mem_free(conn);
}

static void
test_half_close_loses_nothing(void **state)
{
	char *data = pattern(BIG);
	struct mem_conn *conn = mem_open(service);

	(void)state;
	mem_feed(conn, data, BIG);
	mem_half_close(conn);
	assert_output(conn, data, BIG);
	assert_true(mem_finished(conn));
	assert_true(mem_closed(conn));
	mem_free(conn);
	free(data);
}

static void
test_half_close_without_a_byte(void **state)
{
	struct mem_conn *conn = mem_open(service);

	(void)state;
	mem_half_close(conn);
	assert_output(conn, "", 0);
	assert_true(mem_closed(conn));
	mem_free(conn);
}

/* The peer half-closes while its own bytes still wait for it to read. */
static void
test_slow_reader(void **state)
{
	static const size_t steps[] = { 1, 100, 4096, 65536, 70001 };
	char *data = pattern(BIG);
	size_t i, n;

	(void)state;
	for (i = 0; i < CAB_N(steps); i++) {
		struct mem_conn *conn = mem_open(service);
		size_t part = steps[i] == 1 ? 2000 : BIG;

		mem_window(conn, 0);
		mem_feed_split(conn, data, part, 65000);
		mem_half_close(conn);
		assert_output(conn, "", 0);
		assert_false(mem_finished(conn));
		for (n = 0; n <= part; n += steps[i])
			mem_window(conn, steps[i]);
		mem_window(conn, SIZE_MAX);
		assert_output(conn, data, part);
		assert_true(mem_finished(conn));
		mem_free(conn);
	}
	free(data);
}

static void
test_reset(void **state)
{
	struct mem_conn *conn = mem_open(service);

	(void)state;
	mem_window(conn, 1);
	mem_feed(conn, "abc", 3);
	mem_reset(conn);
	assert_true(mem_closed(conn));
	mem_free(conn);
}

static void
test_one_write_per_read(void **state)
{
	struct mem_conn *conn = mem_open(service);

	(void)state;
	mem_feed(conn, "abc", 3);
	assert_int_equal(mem_writes(conn), 1);
	mem_free(conn);
}

static void
test_datagram(void **state)
{
	struct cab_running *running = mem_running(service);
	char *data = pattern(65507), *reply = malloc(65507);
	static const size_t lengths[] = { 0, 1, 64, 65, 1472, 65507 };
	size_t i;

	(void)state;
	assert_non_null(reply);
	for (i = 0; i < CAB_N(lengths); i++) {
		struct cab_slice request = { data, lengths[i] };

		assert_int_equal(
		    proto_echo.datagram(running, request, reply, 65507),
		    lengths[i]);
		assert_memory_equal(reply, data, lengths[i]);
		/* Never half of one. */
		if (lengths[i] > 0)
			assert_int_equal(proto_echo.datagram(running, request,
					     reply, lengths[i] - 1),
			    -1);
	}
	free(reply);
	free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_answers_before_the_end),
		cmocka_unit_test(test_half_close_loses_nothing),
		cmocka_unit_test(test_half_close_without_a_byte),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_one_write_per_read),
		cmocka_unit_test(test_datagram),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
