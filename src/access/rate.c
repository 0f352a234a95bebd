/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The generic cell rate algorithm over one shared word.  Pure; workers.
 */
#include "config.h"

#include "access/rate.h"

struct rate_limit
rate_make(uint32_t count, uint32_t period_ms, uint32_t burst)
{
	struct rate_limit limit = { 0, 0 };

	if (count == 0 || period_ms == 0)
		return limit;
	limit.interval_ns = (uint64_t)period_ms * 1000000 / count;
	if (limit.interval_ns == 0)
		limit.interval_ns = 1;
	limit.burst_ns = limit.interval_ns * ((burst ? burst : count) - 1);
	return limit;
}

struct rate_limit
rate_make_source(uint32_t count, uint32_t period_ms)
{
	return rate_make(count, period_ms, 2 * count);
}

bool
rate_allows(uint64_t tat, const struct rate_limit *limit, uint64_t now_ns)
{
	return limit->interval_ns == 0 || tat <= now_ns ||
	    tat - now_ns <= limit->burst_ns;
}

bool
rate_take(_Atomic uint64_t *tat, const struct rate_limit *limit, uint64_t now_ns)
{
	uint64_t old, next;

	if (limit->interval_ns == 0)
		return true;
	old = atomic_load_explicit(tat, memory_order_relaxed);
	do {
		uint64_t start = old > now_ns ? old : now_ns;

		if (start - now_ns > limit->burst_ns)
			return false;
		next = start + limit->interval_ns;
	} while (!atomic_compare_exchange_weak_explicit(
	    tat, &old, next, memory_order_relaxed, memory_order_relaxed));
	return true;
}
