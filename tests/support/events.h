/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's event loop, one turn at a time.  libsystemd_load comes first.
 */
#ifndef CAB_TESTS_EVENTS_H
#define CAB_TESTS_EVENTS_H

#include <systemd/sd-event.h>

/* Until something has been dealt with: 1; 0 after so long without, or -errno. */
int events_run(sd_event *event, uint64_t usec);

#endif
