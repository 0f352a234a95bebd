/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the load client has counted: operations, errors by kind, latencies in
 * logarithmic buckets, and the line of JSON in the end.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "load.h"

#include <stdio.h>
#include <string.h>

/* Log buckets: 64 to an octave, so a value is off by less than 1.6 %. */
#define SUB_BITS 6
#define BUCKETS  ((64 - SUB_BITS + 1) << SUB_BITS)

static const char *const kind_names[N_KINDS] = {
	[E_LOCAL] = "local",
	[E_NO_PORT] = "no_port",
	[E_REFUSED] = "refused",
	[E_BUSY] = "busy",
	[E_RESET] = "reset",
	[E_EOF] = "eof",
	[E_BAD_REPLY] = "bad_reply",
	[E_TIMEOUT] = "timeout",
	[E_LOST] = "lost",
	[E_OTHER] = "other",
};

struct load_tally tally;

static uint64_t histogram[BUCKETS], longest, warmup_errors, window_start;

static unsigned
bucket_of(uint64_t v)
{
	unsigned e;

	if (v < 1u << SUB_BITS)
		return (unsigned)v;
	e = 63u - (unsigned)__builtin_clzll(v) - SUB_BITS;
	return ((e + 1) << SUB_BITS) + (unsigned)((v >> e) - (1u << SUB_BITS));
}

/* The middle of a bucket. */
static double
bucket_value(unsigned b)
{
	unsigned e = b >> SUB_BITS;

	if (e == 0)
		return b;
	e--;
	return ((double)((b & ((1u << SUB_BITS) - 1)) + (1u << SUB_BITS)) + 0.5) *
	    (double)(1ull << e);
}

static double
percentile_us(double share)
{
	uint64_t total = 0, seen = 0;

	for (unsigned b = 0; b < BUCKETS; b++)
		total += histogram[b];
	for (unsigned b = 0; b < BUCKETS; b++) {
		seen += histogram[b];
		if (total && (double)seen >= share * (double)total)
			return bucket_value(b) / 1000;
	}
	return 0;
}

void
tally_op(uint64_t start)
{
	uint64_t took = load.now - start;

	tally.ops++;
	if (start < window_start)
		return; /* the caller's pause before the window is in it */
	histogram[bucket_of(took)]++;
	if (took > longest)
		longest = took;
}

uint64_t
tally_errors(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < N_KINDS; i++)
		sum += tally.errors[i];
	return sum;
}

void
tally_report(uint64_t took, double cpu)
{
	double seconds = (double)took / 1e9;
	const char *comma = "";

	printf("{\"mode\": \"%s\", \"connections\": %ld, \"size\": %ld, "
	       "\"seconds\": %.6f, \"ops\": %llu, \"ops_per_s\": %.1f, "
	       "\"bytes\": %llu, ",
	    load_opt.mode->name, load_opt.connections, load_opt.size, seconds,
	    (unsigned long long)tally.ops,
	    seconds > 0 ? (double)tally.ops / seconds : 0,
	    (unsigned long long)tally.bytes);
	printf("\"open\": %ld, \"errors_total\": %llu, \"warmup_errors\": %llu, "
	       "\"errors\": {",
	    load.n_live, (unsigned long long)tally_errors(),
	    (unsigned long long)warmup_errors);
	for (int i = 0; i < N_KINDS; i++) {
		if (!tally.errors[i])
			continue;
		printf("%s\"%s\": %llu", comma, kind_names[i],
		    (unsigned long long)tally.errors[i]);
		comma = ", ";
	}
	printf("}, \"latency_us\": {\"p50\": %.1f, \"p99\": %.1f, "
	       "\"p999\": %.1f, \"max\": %.1f}, \"load_cpu_us_per_op\": %.3f}\n",
	    percentile_us(0.5), percentile_us(0.99), percentile_us(0.999),
	    (double)longest / 1000,
	    tally.ops ? cpu * 1e6 / (double)tally.ops : 0);
}

void
tally_reset(void)
{
	window_start = load.now;
	warmup_errors = tally_errors();
	memset(tally.errors, 0, sizeof(tally.errors));
	memset(histogram, 0, sizeof(histogram));
	tally.ops = tally.bytes = longest = 0;
}
