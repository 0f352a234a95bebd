/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rates: what passes, what does not, and that a refusal costs nothing.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "access/rate.h"

#define SECOND UINT64_C(1000000000)

static unsigned
take(_Atomic uint64_t *tat, const struct rate_limit *limit, unsigned tries,
    uint64_t now)
{
	unsigned n = 0;

	while (tries-- > 0)
		n += rate_take(tat, limit, now);
	return n;
}

static void
burst_then_the_long_run_rate(void **state)
{
	struct rate_limit limit = rate_make(10, 1000, 20);
	_Atomic uint64_t tat = 0;
	uint64_t now = 5 * SECOND;

	(void)state;
	assert_int_equal(take(&tat, &limit, 100, now), 20);
	assert_int_equal(take(&tat, &limit, 100, now + SECOND), 10);
	assert_int_equal(take(&tat, &limit, 100, now + SECOND + SECOND / 10), 1);
	assert_int_equal(take(&tat, &limit, 100, now + 100 * SECOND), 20);
}

static void
refusals_are_not_charged(void **state)
{
	struct rate_limit limit = rate_make(1, 1000, 1);
	_Atomic uint64_t tat = 0;

	(void)state;
	assert_true(rate_take(&tat, &limit, SECOND));
	assert_int_equal(take(&tat, &limit, 100000, SECOND + 1), 0);
	assert_true(rate_take(&tat, &limit, 2 * SECOND));
}

static void
no_limit_and_default_burst(void **state)
{
	struct rate_limit none = rate_make(0, 1000, 5),
			  twenty = rate_make(20, 60000, 0);
	struct rate_limit fast = rate_make(UINT32_MAX, 1, 0);
	_Atomic uint64_t tat = 0;

	(void)state;
	assert_int_equal(take(&tat, &none, 1000, 1), 1000);
	assert_int_equal(tat, 0);
	assert_int_equal(take(&tat, &twenty, 100, SECOND), 20);
	assert_int_equal(
	    take(&tat, &twenty, 100, 4 * SECOND), 1); /* one every 3 s */
	assert_int_equal(fast.interval_ns, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_then_the_long_run_rate),
		cmocka_unit_test(refusals_are_not_charged),
		cmocka_unit_test(no_limit_and_default_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
