/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libsystemd and the supervisor's event loop for unit tests.
 */
#ifndef CAB_TESTS_EVENTS_H
#define CAB_TESTS_EVENTS_H

#include <systemd/sd-event.h>

/* Set-up of a group of tests that reach into libsystemd: 0, or 1 with its reason on stderr. */
int events_load(void **state);

/* Until something has been dealt with: 1; 0 after so long without, or -errno. */
int events_run(sd_event *event, uint64_t usec);

#endif
