/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slices, text parsing and text formatting.  Pure functions over bytes: no
 * allocation, no locale, no I/O.  Used in every process.
 */
#ifndef CAB_BASE_STR_H
#define CAB_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes owned by somebody else; may hold NUL. */
struct cab_slice {
	const char *p;
	size_t n;
};

#define CAB_SLICE(literal) ((struct cab_slice){ (literal), sizeof(literal) - 1 })

/* Equal bytes; the _i form ignores ASCII case. */
bool slice_eq(struct cab_slice a, const char *b);
bool slice_ieq(struct cab_slice a, const char *b);

/*
 * Writes src to dst with every byte outside printable ASCII, and the backslash
 * and the double quote, as \xNN; cuts at cap with "..." and always terminates.
 * Returns the length written.  The only way for a peer's bytes into a log.
 */
size_t str_escape(char *dst, size_t cap, const void *src, size_t n);

/* Decimal only, whole slice; 0, -EINVAL (not a number), -ERANGE. */
int str_to_i64(struct cab_slice s, int64_t *ret);

/* "1500ms" "30s" "5min" "1h", or a plain number of seconds, into milliseconds. 0, -EINVAL, -ERANGE. */
int str_parse_time(struct cab_slice s, int64_t *ret_ms);

/* "10M" "64K" "1G", or a plain number of bytes. 0, -EINVAL, -ERANGE. */
int str_parse_size(struct cab_slice s, int64_t *ret);

/* "20/min" "5/s" "1000/h" "3/10s", or 0 for no limit: count per period in ms. 0, -EINVAL, -ERANGE. */
int str_parse_rate(struct cab_slice s, uint32_t *ret_count, uint32_t *ret_period_ms);

/* The shortest exact spelling in the units above; returns dst. */
char *str_format_time(char *dst, size_t cap, int64_t ms);
char *str_format_size(char *dst, size_t cap, int64_t bytes);
char *str_format_rate(char *dst, size_t cap, uint32_t count, uint32_t period_ms);

/* Edit distance with transposition, capped at max + 1; for "did you mean". */
unsigned str_distance(const char *a, const char *b, unsigned max);

/*
 * Keeps the nearest of the words offered so far, if near enough to be a likely
 * misspelling of want.  Start with { .want = word }; best stays NULL if none is.
 */
struct cab_nearest {
	const char *want;
	const char *best;
	unsigned distance;
};
void nearest_offer(struct cab_nearest *near, const char *word);

#endif
