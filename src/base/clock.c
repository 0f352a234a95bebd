/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cached clocks and the two date texts made from them once per second.
 * Every process; single-threaded.  Timers never see wall time, and nothing here
 * depends on the locale.
 */
#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>

struct cab_clock cab_clock;

static bool faked;

static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

void
clock_tick(void)
{
	static bool zone_read;
	struct timespec mono, wall;

	if (!zone_read) {
		/* Now: a sandbox may keep us from the zone's file later. */
		tzset();
		zone_read = true;
	}
	if (faked)
		return;
	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &wall);
	cab_clock.mono_ns = (uint64_t)mono.tv_sec * 1000000000 +
	    (uint64_t)mono.tv_nsec;
	cab_clock.wall_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec;
}

void
clock_fake(const struct cab_clock *fake)
{
	faked = fake != NULL;
	if (faked)
		cab_clock = *fake;
	else
		clock_tick();
}

/* Both texts have a fixed length, so the year has to be four digits. */
static unsigned
four_digits(const struct tm *tm)
{
	return (unsigned)(tm->tm_year + 1900) % 10000;
}

/* localtime_r and gmtime_r fail only for years that do not fit an int. */
static struct tm
broken_down(time_t now, struct tm *(*convert)(const time_t *, struct tm *))
{
	struct tm tm;

	if (convert(&now, &tm) == NULL)
		tm = (struct tm){ .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };
	return tm;
}

const char *
clock_daytime(void)
{
	static char text[96];
	static time_t made;
	time_t now = clock_wall();
	struct tm tm;

	if (text[0] != '\0' && made == now)
		return text;
	tm = broken_down(now, localtime_r);
	snprintf(text, sizeof(text), "%s %s %2d %02d:%02d:%02d %04u",
	    days[tm.tm_wday], months[tm.tm_mon], tm.tm_mday, tm.tm_hour,
	    tm.tm_min, tm.tm_sec, four_digits(&tm));
	made = now;
	return text;
}

const char *
clock_http_date(void)
{
	static char text[96];
	static time_t made;
	time_t now = clock_wall();
	struct tm tm;

	if (text[0] != '\0' && made == now)
		return text;
	tm = broken_down(now, gmtime_r);
	snprintf(text, sizeof(text), "%s, %02d %s %04u %02d:%02d:%02d GMT",
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], four_digits(&tm),
	    tm.tm_hour, tm.tm_min, tm.tm_sec);
	made = now;
	return text;
}
