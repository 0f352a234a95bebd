/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hashed wheel: a timer hangs in the slot of its due tick modulo the number
 * of slots, and stays there turn after turn until it is due.  Workers and
 * launcher.  Arming and cancelling are constant time; nothing here allocates or
 * reads a clock.
 */
#include "base/timer.h"

#include <limits.h>
#include <stddef.h>

/* Timers looked at to find the next due one before a lower bound has to do. */
#define SCAN_TIMERS 256

/* The first tick at which the time has passed. */
static uint64_t
tick_after(uint64_t ms)
{
	return ms / CAB_TIMER_TICK_MS + (ms % CAB_TIMER_TICK_MS != 0);
}

static void
list_insert(struct cab_timer **head, struct cab_timer *timer)
{
	timer->next = *head;
	timer->prev = head;
	if (timer->next != NULL)
		timer->next->prev = &timer->next;
	*head = timer;
}

static void
list_remove(struct cab_timer *timer)
{
	*timer->prev = timer->next;
	if (timer->next != NULL)
		timer->next->prev = timer->prev;
	timer->next = NULL;
	timer->prev = NULL;
}

void
wheel_init(struct cab_wheel *wheel, uint64_t now_ms)
{
	*wheel = (struct cab_wheel){
		.now_tick = now_ms / CAB_TIMER_TICK_MS,
		.next_ms = UINT64_MAX,
	};
}

void
timer_arm(struct cab_wheel *wheel, struct cab_timer *timer, uint64_t due_ms)
{
	uint64_t tick = tick_after(due_ms), at;

	if (tick < wheel->now_tick)
		tick = wheel->now_tick;
	if (timer_armed(timer))
		list_remove(timer);
	else
		wheel->armed++;
	timer->due_ms = due_ms;
	list_insert(&wheel->slots[tick % CAB_TIMER_SLOTS], timer);
	if (__builtin_mul_overflow(tick, CAB_TIMER_TICK_MS, &at))
		at = UINT64_MAX;
	if (at < wheel->next_ms)
		wheel->next_ms = at;
}

void
timer_cancel(struct cab_wheel *wheel, struct cab_timer *timer)
{
	if (!timer_armed(timer))
		return;
	list_remove(timer);
	if (--wheel->armed == 0)
		wheel->next_ms = UINT64_MAX;
}

/* Moves what is due from the slots of the passed ticks to the list, in order of slots. */
static void
collect_due(struct cab_wheel *wheel, uint64_t now_ms, struct cab_timer **due)
{
	uint64_t tick = now_ms / CAB_TIMER_TICK_MS, first = wheel->now_tick;
	struct cab_timer *timer, *next;

	/* One turn visits every slot; more would only visit them again. */
	if (tick - first >= CAB_TIMER_SLOTS)
		first = tick - CAB_TIMER_SLOTS + 1;
	for (; first <= tick; first++) {
		timer = wheel->slots[first % CAB_TIMER_SLOTS];
		for (; timer != NULL; timer = next) {
			next = timer->next;
			if (timer->due_ms > now_ms)
				continue;
			list_remove(timer);
			list_insert(due, timer);
			due = &timer->next;
		}
	}
	wheel->now_tick = tick;
}

/*
 * The time before which nothing is due: exact when the next timer is found
 * within the budget, else the time of the slot where the search gave up.
 */
static uint64_t
find_next(const struct cab_wheel *wheel)
{
	uint64_t tick, far = UINT64_MAX;
	const struct cab_timer *timer;
	unsigned i, seen = 0;

	for (i = 1; i <= CAB_TIMER_SLOTS; i++) {
		tick = wheel->now_tick + i;
		timer = wheel->slots[tick % CAB_TIMER_SLOTS];
		for (; timer != NULL; timer = timer->next) {
			uint64_t due = tick_after(timer->due_ms);

			if (due <= tick || ++seen > SCAN_TIMERS)
				return tick * CAB_TIMER_TICK_MS;
			if (due < far)
				far = due;
		}
	}
	if (__builtin_mul_overflow(far, CAB_TIMER_TICK_MS, &far))
		far = UINT64_MAX;
	return far;
}

void
wheel_run(struct cab_wheel *wheel, uint64_t now_ms,
    void (*fire)(struct cab_timer *, void *), void *arg)
{
	struct cab_timer *due = NULL, *timer;

	if (now_ms < wheel->next_ms ||
	    now_ms / CAB_TIMER_TICK_MS < wheel->now_tick)
		return;
	collect_due(wheel, now_ms, &due);
	/* Before firing: what gets armed meanwhile lowers it again. */
	wheel->next_ms = find_next(wheel);
	while ((timer = due) != NULL) {
		list_remove(timer);
		wheel->armed--;
		fire(timer, arg);
	}
}

int
wheel_timeout(const struct cab_wheel *wheel, uint64_t now_ms)
{
	if (wheel->armed == 0 || wheel->next_ms == UINT64_MAX)
		return -1;
	if (wheel->next_ms <= now_ms)
		return 0;
	if (wheel->next_ms - now_ms > INT_MAX)
		return INT_MAX;
	return (int)(wheel->next_ms - now_ms);
}
