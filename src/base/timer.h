/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lazy timers on a hashed wheel, intrusive, no allocation, O(1).  A timer fires
 * at or after its time, never before, and at most one tick (CAB_TIMER_TICK_MS) late
 * plus the loop's own delay.  The owner of a timer may push its real deadline
 * forward by a plain store and re-arm when the timer fires.  Workers and launcher.
 */
#ifndef CAB_BASE_TIMER_H
#define CAB_BASE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#define CAB_TIMER_TICK_MS 16
#define CAB_TIMER_SLOTS 1024

struct cab_timer {
	struct cab_timer *next, **prev; /* prev NULL: not armed */
	uint64_t due_ms;                /* monotonic */
};

struct cab_wheel {
	struct cab_timer *slots[CAB_TIMER_SLOTS];
	uint64_t now_tick; /* ticks before this one have been fired */
	unsigned armed;
	uint64_t next_ms; /* no armed timer is due before this; UINT64_MAX when unknown to exist */
};

void wheel_init(struct cab_wheel *wheel, uint64_t now_ms);

/* Arms (or moves) a timer; due times in the past fire at the next run. */
void timer_arm(struct cab_wheel *wheel, struct cab_timer *timer, uint64_t due_ms);
void timer_cancel(struct cab_wheel *wheel, struct cab_timer *timer);

static inline bool
timer_armed(const struct cab_timer *timer)
{
	return timer->prev != 0;
}

/* Fires everything due at now_ms: each timer is disarmed, then handed to fire, which may arm or cancel any timer. */
void wheel_run(struct cab_wheel *wheel, uint64_t now_ms, void (*fire)(struct cab_timer *, void *), void *arg);

/* Milliseconds until wheel_run may have work, -1 for never; for epoll_wait. */
int wheel_timeout(const struct cab_wheel *wheel, uint64_t now_ms);

#endif
