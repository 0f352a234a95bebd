/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notes to systemd.  Supervisor only: the other roles never see NOTIFY_SOCKET.
 * A note that cannot be sent is lost; it never holds up serving.
 */
#include "supervisor/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/log.h"

struct notify_watchdog {
	sd_event_source *timer;
	uint64_t every; /* us */
	bool (*healthy)(void *arg);
	void *arg;
	bool starved;
};

static void __attribute__((format(printf, 2, 0)))
notify(const char *state, const char *fmt, va_list ap)
{
	char status[256];

	vsnprintf(status, sizeof(status), fmt, ap);
	(void)sd_notifyf(0, "%sSTATUS=%s", state, status);
}

void
notify_ready(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	notify("READY=1\n", fmt, ap);
	va_end(ap);
}

void
notify_reloading(void)
{
	struct timespec now;

	/* The time is for units of Type=notify-reload (systemd 253). */
	clock_gettime(CLOCK_MONOTONIC, &now);
	(void)sd_notifyf(0,
	    "RELOADING=1\nMONOTONIC_USEC=%" PRIu64
	    "\nSTATUS=Reading the configuration again",
	    (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void
notify_stopping(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	notify("STOPPING=1\n", fmt, ap);
	va_end(ap);
}

void
notify_status(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	notify("", fmt, ap);
	va_end(ap);
}

static int
on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct notify_watchdog *watchdog = arg;
	bool healthy = watchdog->healthy(watchdog->arg);

	(void)usec;
	if (healthy)
		(void)sd_notify(0, "WATCHDOG=1");
	else if (!watchdog->starved)
		log_error("a role has been out of service for too long: no "
			  "longer feeding systemd's watchdog");
	watchdog->starved = !healthy;
	(void)sd_event_source_set_time_relative(source, watchdog->every);
	return 0;
}

int
notify_watchdog(sd_event *event, bool (*healthy)(void *arg), void *arg,
    struct notify_watchdog **ret)
{
	struct notify_watchdog *watchdog;
	uint64_t every;
	int r;

	*ret = NULL;
	r = sd_watchdog_enabled(0, &every);
	if (r <= 0)
		return r;
	watchdog = calloc(1, sizeof(*watchdog));
	if (watchdog == NULL)
		return -ENOMEM;
	/* Two chances, should the machine be busy. */
	*watchdog = (struct notify_watchdog){
		.every = every / 3, .healthy = healthy, .arg = arg
	};
	r = sd_event_add_time(event, &watchdog->timer, CLOCK_MONOTONIC, 0,
	    every / 20, on_timer, watchdog);
	if (r >= 0)
		r = sd_event_source_set_enabled(watchdog->timer, SD_EVENT_ON);
	if (r < 0) {
		notify_watchdog_free(watchdog);
		return r;
	}
	*ret = watchdog;
	return 0;
}

void
notify_watchdog_free(struct notify_watchdog *watchdog)
{
	if (watchdog == NULL)
		return;
	sd_event_source_disable_unref(watchdog->timer);
	free(watchdog);
}
