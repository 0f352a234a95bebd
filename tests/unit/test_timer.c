/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers: never early, at most a tick late, whatever callbacks arm and cancel,
 * and no wake-up without work nearby.  The time is a number of the test's.
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

#include "base/timer.h"

#define TURN ((uint64_t)CAB_TIMER_TICK_MS * CAB_TIMER_SLOTS)

struct item {
	struct cab_timer timer; /* first: the callback gets this */
	unsigned fired;
	struct item *cancels, *rearms;
	uint64_t rearm_ms;
};

static struct cab_wheel wheel;
static uint64_t now;
static unsigned total;

static void
fire(struct cab_timer *timer, void *arg)
{
	struct item *item = (struct item *)timer;

	assert_ptr_equal(arg, &total);
	assert_false(timer_armed(timer));
	assert_true(timer->due_ms <= now);
	item->fired++;
	total++;
	if (item->cancels != NULL)
		timer_cancel(&wheel, &item->cancels->timer);
	if (item->rearms != NULL)
		timer_arm(&wheel, &item->rearms->timer, item->rearm_ms);
}

static void
run_at(uint64_t ms)
{
	now = ms;
	wheel_run(&wheel, now, fire, &total);
}

static int
setup(void **state)
{
	(void)state;
	now = 1000003;
	total = 0;
	wheel_init(&wheel, now);
	return 0;
}

static void
fires_after_never_before(void **state)
{
	struct item item = { 0 };
	uint64_t due = now + 100, late;

	(void)state;
	assert_int_equal(wheel_timeout(&wheel, now), -1);
	timer_arm(&wheel, &item.timer, due);
	assert_true(timer_armed(&item.timer));
	run_at(due - 1);
	assert_int_equal(item.fired, 0);
	for (late = 0; item.fired == 0; late++)
		run_at(due + late);
	assert_true(late <= CAB_TIMER_TICK_MS);
	assert_int_equal(item.fired, 1);
	assert_int_equal(wheel_timeout(&wheel, now), -1);
}

static void
fires_past_times_at_the_next_run(void **state)
{
	struct item a = { 0 }, b = { 0 };

	(void)state;
	timer_arm(&wheel, &a.timer, 0);
	timer_arm(&wheel, &b.timer, now);
	assert_true(wheel_timeout(&wheel, now) <= CAB_TIMER_TICK_MS);
	run_at(now);
	assert_int_equal(a.fired, 1);
	timer_arm(&wheel, &a.timer, now - 500);
	assert_int_equal(wheel_timeout(&wheel, now), 0);
	run_at(now);
	assert_int_equal(a.fired, 2);
	run_at(now + CAB_TIMER_TICK_MS);
	assert_int_equal(b.fired, 1);
}

/* One, two and many turns of the wheel away, also at the very slot of now. */
static void
keeps_far_timers(void **state)
{
	static const uint64_t away[] = { TURN - 1, TURN, TURN + 1,
		2 * TURN - 16, 2 * TURN, 19 * TURN + 5, UINT64_C(1) << 40 };
	struct item item = { 0 };
	uint64_t due, t;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
		item.fired = 0;
		due = now + away[i];
		timer_arm(&wheel, &item.timer, due);
		/* Every slot is passed several times on the way. */
		for (t = now; away[i] < 30 * TURN && t < due; t += 13)
			run_at(t);
		run_at(due - 1);
		assert_int_equal(item.fired, 0);
		run_at(due + CAB_TIMER_TICK_MS);
		assert_int_equal(item.fired, 1);
	}
}

static void
survives_a_long_sleep(void **state)
{
	struct item items[50] = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < 50; i++)
		timer_arm(&wheel, &items[i].timer, now + i * 700);
	run_at(now + 100 * TURN);
	for (i = 0; i < 50; i++)
		assert_int_equal(items[i].fired, 1);
	assert_int_equal(wheel.armed, 0);
}

static void
moves_and_cancels(void **state)
{
	struct item a = { 0 };

	(void)state;
	timer_arm(&wheel, &a.timer, now + 50);
	timer_arm(&wheel, &a.timer, now + 5000);
	assert_int_equal(wheel.armed, 1);
	run_at(now + 100);
	assert_int_equal(a.fired, 0);
	timer_arm(&wheel, &a.timer, now + 20);
	run_at(now + 40);
	assert_int_equal(a.fired, 1);
	timer_arm(&wheel, &a.timer, now + 20);
	timer_cancel(&wheel, &a.timer);
	timer_cancel(&wheel, &a.timer);
	assert_false(timer_armed(&a.timer));
	assert_int_equal(wheel_timeout(&wheel, now), -1);
	run_at(now + TURN * 2);
	assert_int_equal(a.fired, 1);
}

/* All three are due in one run; the callback of one takes another out. */
static void
cancels_what_is_about_to_fire(void **state)
{
	struct item a = { 0 }, b = { 0 }, c = { 0 };
	uint64_t due = now + 30;

	(void)state;
	a.cancels = &b;
	b.cancels = &a;
	timer_arm(&wheel, &a.timer, due);
	timer_arm(&wheel, &c.timer, due);
	timer_arm(&wheel, &b.timer, due);
	run_at(due + CAB_TIMER_TICK_MS);
	assert_int_equal(a.fired + b.fired, 1);
	assert_int_equal(c.fired, 1);
	assert_int_equal(wheel.armed, 0);
}

/* Armed again for a time that has passed: next run, not an endless loop in this one. */
static void
rearms_from_the_callback(void **state)
{
	struct item a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	a.rearms = &a;
	a.rearm_ms = 0;
	b.rearms = &c;
	b.rearm_ms = now + 5000;
	timer_arm(&wheel, &a.timer, now);
	timer_arm(&wheel, &b.timer, now);
	timer_arm(&wheel, &c.timer, now);
	run_at(now + CAB_TIMER_TICK_MS);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 1);
	assert_true(c.fired <= 1);
	assert_int_equal(wheel_timeout(&wheel, now), 0);
	run_at(now);
	assert_int_equal(a.fired, 2);
	a.rearms = NULL;
	run_at(now);
	assert_int_equal(a.fired, 3);
	c.fired = 0;
	run_at(now + 5000 + CAB_TIMER_TICK_MS);
	assert_int_equal(c.fired, 1);
	assert_int_equal(wheel.armed, 0);
}

/* A loop that sleeps as told wakes a few times for a far timer, not 60 times a second. */
static void
sleeps_until_there_is_work(void **state)
{
	static struct item far[2000], near;
	unsigned wakes = 0;
	size_t i;

	(void)state;
	memset(far, 0, sizeof(far));
	for (i = 0; i < 2000; i++)
		timer_arm(&wheel, &far[i].timer, now + 300000);
	timer_arm(&wheel, &near.timer, now + 40);
	while (wheel.armed > 0) {
		int ms = wheel_timeout(&wheel, now);

		assert_true(ms >= 0);
		run_at(now + (uint64_t)ms);
		wakes++;
	}
	assert_int_equal(total, 2001);
	assert_true(wakes < 60);
}

static void
never_sleeps_past_a_timer(void **state)
{
	enum {
		N = 3000
	};
	struct item *items = calloc(N, sizeof(*items));
	unsigned seed = 3, i, step;

	(void)state;
	for (step = 0; step < 4000; step++) {
		struct item *item = &items[rand_r(&seed) % N];

		if (rand_r(&seed) % 5 == 0)
			timer_cancel(&wheel, &item->timer);
		else
			timer_arm(&wheel, &item->timer,
			    now + (uint64_t)rand_r(&seed) % 100000);
		if (rand_r(&seed) % 4 == 0) {
			int ms = wheel_timeout(&wheel, now);

			run_at(now + (ms < 0 ? 1 : (uint64_t)ms));
		}
		for (i = 0; step % 64 == 0 && i < N; i++)
			if (timer_armed(&items[i].timer))
				assert_true(
				    items[i].timer.due_ms + CAB_TIMER_TICK_MS >
				    now);
	}
	for (i = 0; i < N; i++)
		timer_cancel(&wheel, &items[i].timer);
	assert_int_equal(wheel.armed, 0);
	free(items);
}

static void
clamps_the_timeout(void **state)
{
	struct item a = { 0 };

	(void)state;
	timer_arm(&wheel, &a.timer, UINT64_MAX);
	assert_true(wheel_timeout(&wheel, now) != 0);
	timer_arm(&wheel, &a.timer, UINT64_MAX / 2);
	assert_int_equal(wheel_timeout(&wheel, now), INT32_MAX);
	run_at(now + 3 * TURN);
	assert_int_equal(a.fired, 0);
	timer_cancel(&wheel, &a.timer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fires_after_never_before, setup),
		cmocka_unit_test_setup(fires_past_times_at_the_next_run, setup),
		cmocka_unit_test_setup(keeps_far_timers, setup),
		cmocka_unit_test_setup(survives_a_long_sleep, setup),
		cmocka_unit_test_setup(moves_and_cancels, setup),
		cmocka_unit_test_setup(cancels_what_is_about_to_fire, setup),
		cmocka_unit_test_setup(rearms_from_the_callback, setup),
		cmocka_unit_test_setup(sleeps_until_there_is_work, setup),
		cmocka_unit_test_setup(never_sleeps_past_a_timer, setup),
		cmocka_unit_test_setup(clamps_the_timeout, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
