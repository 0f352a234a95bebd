/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of daytime over the in-memory transport and a fake clock: one line, at
 * once, in one write, then the end, whatever the peer does.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "proto/builtin.h"
#include "tests/support/mem.h"

#define LINE_LENGTH 26

static struct mem_service *service;

static int
set_up(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	service = mem_service_new(&proto_daytime, NULL, NULL, -1);
	return service == NULL;
}

static int
tear_down(void **state)
{
	(void)state;
	mem_service_free(service);
	return 0;
}

/* What the line must be, from the clock by another road. */
static void
expected(char line[LINE_LENGTH + 1])
{
	time_t now = clock_wall();
	struct tm tm;

	assert_non_null(localtime_r(&now, &tm));
	assert_int_equal(
	    strftime(line, LINE_LENGTH + 1, "%a %b %e %H:%M:%S %Y\r\n", &tm),
	    LINE_LENGTH);
}

static void
assert_line(struct mem_conn *conn)
{
	char want[LINE_LENGTH + 1];
	const char *got;
	size_t n;

	expected(want);
	got = mem_output(conn, &n);
	assert_int_equal(n, LINE_LENGTH);
	assert_memory_equal(got, want, LINE_LENGTH);
}

static void
test_line_then_end(void **state)
{
	struct mem_conn *conn = mem_open(service);

	(void)state;
	assert_line(conn);
	assert_int_equal(mem_writes(conn), 1);
	assert_true(mem_finished(conn));
	mem_free(conn);
}

static void
test_follows_the_clock(void **state)
{
	char first[LINE_LENGTH + 1], second[LINE_LENGTH + 1];
	struct mem_conn *conn;

	(void)state;
	expected(first);
	mem_advance(service, 86400 * 1000);
	expected(second);
	assert_string_not_equal(first, second);
	conn = mem_open(service);
	assert_line(conn);
	mem_free(conn);
}

static void
test_input_changes_nothing(void **state)
{
	struct mem_conn *conn = mem_open(service);

	(void)state;
	mem_feed(conn, "GET / HTTP/1.0\r\n\r\n", 18);
	mem_half_close(conn);
	assert_line(conn);
	assert_true(mem_finished(conn));
	mem_free(conn);
}

static void
test_datagram(void **state)
{
	char reply[64], want[LINE_LENGTH + 1];

	(void)state;
	expected(want);
	memset(reply, 'x', sizeof(reply));
	assert_int_equal(proto_daytime.datagram(mem_running(service),
			     CAB_SLICE(""), reply, sizeof(reply)),
	    LINE_LENGTH);
	assert_memory_equal(reply, want, LINE_LENGTH);
	assert_int_equal(reply[LINE_LENGTH], 'x');
	assert_int_equal(proto_daytime.datagram(mem_running(service),
			     CAB_SLICE("anything"), reply, LINE_LENGTH),
	    LINE_LENGTH);
	/* No part of a date. */
	assert_int_equal(proto_daytime.datagram(mem_running(service),
			     CAB_SLICE(""), reply, LINE_LENGTH - 1),
	    -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_then_end),
		cmocka_unit_test(test_follows_the_clock),
		cmocka_unit_test(test_input_changes_nothing),
		cmocka_unit_test(test_datagram),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
