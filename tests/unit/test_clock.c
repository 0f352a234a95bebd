/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clocks: the fake stands still, the real one moves on, and both date texts
 * have their RFC's form to the byte.
 *
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

#include "base/clock.h"

static void
set_wall(int64_t seconds)
{
	struct cab_clock fake = { .mono_ns = 5000000,
		.wall_ns = seconds * 1000000000 };

	clock_fake(&fake);
}

static void
writes_http_dates(void **state)
{
	(void)state;
	set_wall(784111777);
	assert_string_equal(clock_http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
	set_wall(784111778);
	assert_string_equal(clock_http_date(), "Sun, 06 Nov 1994 08:49:38 GMT");
	set_wall(0);
	assert_string_equal(clock_http_date(), "Thu, 01 Jan 1970 00:00:00 GMT");
	set_wall(951782400);
	assert_string_equal(clock_http_date(), "Tue, 29 Feb 2000 00:00:00 GMT");
	set_wall(-1);
	assert_string_equal(clock_http_date(), "Wed, 31 Dec 1969 23:59:59 GMT");
}

static void
writes_daytime_in_local_time(void **state)
{
	(void)state;
	set_wall(784111777);
	assert_string_equal(clock_daytime(), "Sun Nov  6 14:19:37 1994");
	set_wall(0);
	assert_string_equal(clock_daytime(), "Thu Jan  1 05:30:00 1970");
	assert_int_equal(strlen(clock_daytime()), 24);
}

/* Both lengths are promised to callers whatever the clock says. */
static void
keeps_lengths_at_any_time(void **state)
{
	static const int64_t walls[] = { -9000000000, -1, 1, 4102444800,
		9223372036 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(walls) / sizeof(walls[0]); i++) {
		set_wall(walls[i]);
		assert_int_equal(strlen(clock_daytime()), 24);
		assert_int_equal(strlen(clock_http_date()), 29);
	}
}

static void
stands_still_when_faked(void **state)
{
	struct cab_clock fake = { .mono_ns = 1234567890, .wall_ns = 99 };
	uint64_t before;

	(void)state;
	clock_fake(&fake);
	clock_tick();
	assert_int_equal(clock_ms(), 1234);
	assert_int_equal(clock_wall(), 0);
	assert_true(cab_clock.mono_ns == 1234567890);
	clock_fake(NULL);
	before = cab_clock.mono_ns;
	assert_true(before != 1234567890);
	assert_true(clock_wall() > 1600000000);
	do
		clock_tick();
	while (cab_clock.mono_ns == before);
	assert_true(cab_clock.mono_ns > before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_http_dates),
		cmocka_unit_test(writes_daytime_in_local_time),
		cmocka_unit_test(keeps_lengths_at_any_time),
		cmocka_unit_test(stands_still_when_faked),
	};

	/* The POSIX form needs no time zone files; half an hour shows mixed-up signs. */
	setenv("TZ", "XYZ-5:30", 1);
	setenv("LC_ALL", "C", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
