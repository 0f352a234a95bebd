/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A turn of sd-event by the functions that the supervisor uses.  Tests only,
 * which are not linked with libsystemd, as the daemon is not.
 */
#include "tests/support/events.h"

#include <stdio.h>

#include "supervisor/libsystemd.h"

int
events_load(void **state)
{
	const char *missing = libsystemd_load();

	(void)state;
	if (missing != NULL)
		fprintf(stderr, "%s\n", missing);
	return missing != NULL;
}

int
events_run(sd_event *event, uint64_t usec)
{
	int r = sd_event_prepare(event);

	if (r == 0)
		r = sd_event_wait(event, usec);
	if (r <= 0)
		return r;
	r = sd_event_dispatch(event);
	return r < 0 ? r : 1;
}
