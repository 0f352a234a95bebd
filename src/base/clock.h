/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time.  A process reads the clocks once per loop turn (clock_tick) and uses
 * the cached values in between; monotonic time for every timer, wall time only
 * for text.  Tests install a fake source.  Every process; single-threaded.
 */
#ifndef CAB_BASE_CLOCK_H
#define CAB_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

struct cab_clock {
	uint64_t mono_ns; /* CLOCK_MONOTONIC at the last tick */
	int64_t wall_ns;  /* CLOCK_REALTIME at the last tick */
};

extern struct cab_clock cab_clock;

/* Reads the clocks. */
void clock_tick(void);

/* Cached monotonic milliseconds and microseconds, and wall-clock seconds. */
static inline uint64_t
clock_ms(void)
{
	return cab_clock.mono_ns / 1000000;
}
static inline uint64_t
clock_us(void)
{
	return cab_clock.mono_ns / 1000;
}
static inline time_t
clock_wall(void)
{
	return (time_t)(cab_clock.wall_ns / 1000000000);
}

/* "Sat Nov 21 06:42:05 2026" (RFC 867 by custom; local time), made once per second.  n is always 24. */
const char *clock_daytime(void);

/* "Sat, 21 Nov 2026 06:42:05 GMT" (RFC 9110 section 5.6.7), made once per second.  29 bytes. */
const char *clock_http_date(void);

/* Replaces the clocks with fixed values until called with fake == NULL; for tests. */
void clock_fake(const struct cab_clock *fake);

#endif
