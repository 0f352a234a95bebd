/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rates as a generic cell rate algorithm (ITU-T I.371): all state is one
 * 64-bit theoretical arrival time, so that it can be shared between processes
 * with one compare-and-swap and never needs refilling.  Pure.
 */
#ifndef CAB_ACCESS_RATE_H
#define CAB_ACCESS_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rate_limit {
	uint64_t interval_ns; /* between two events in the long run; 0: no limit */
	uint64_t burst_ns;    /* how far ahead the arrival time may be */
};

/* count events per period, and at most burst at once (burst >= 1; 0 means count). */
struct rate_limit rate_make(uint32_t count, uint32_t period_ms, uint32_t burst);

/* That of one source: twice as many at once as per period, since clients come in bursts. */
struct rate_limit rate_make_source(uint32_t count, uint32_t period_ms);

/* Replies to one source's datagrams, where a service sets no rate of its own. */
#define RATE_DATAGRAMS           10
#define RATE_DATAGRAMS_PERIOD_MS 1000

/* Whether rate_take would succeed with this arrival time. */
bool
rate_allows(uint64_t tat, const struct rate_limit *limit, uint64_t now_ns);

/* Takes one event if the limit allows it at now_ns (monotonic).  A refusal
 * changes nothing: who is refused is not charged. */
bool rate_take(
    _Atomic uint64_t *tat, const struct rate_limit *limit, uint64_t now_ns);

#endif
