/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What systemd is told about the daemon (sd_notify(3)).  Supervisor only; does
 * nothing when it was not started by systemd.
 */
#ifndef CAB_SUPERVISOR_NOTIFY_H
#define CAB_SUPERVISOR_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct notify_watchdog;

/* The daemon serves; the text is the status line. */
void notify_ready(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A reload has begun; notify_ready ends it, whichever way it went. */
void notify_reloading(void);

/* It stops, which may take so long, whatever TimeoutStopSec= says. */
void notify_stopping(uint64_t within_ms, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define NOTIFY_FDS 2

/* Any other note, with at most NOTIFY_FDS descriptors, which stay the caller's. */
void notify_fds(const char *state, const int *fds, unsigned n);

/* Returns when systemd has read all notes so far, or the time is up. */
void notify_barrier(int timeout_ms);

/*
 * Feeds systemd's watchdog from the event loop as long as healthy(arg) says so.
 * 0 (also when there is no watchdog, then *ret is NULL) or -errno.
 */
int notify_watchdog(sd_event *event, bool (*healthy)(void *arg), void *arg,
    struct notify_watchdog **ret);

/* Accepts NULL. */
void notify_watchdog_free(struct notify_watchdog *watchdog);

#endif
