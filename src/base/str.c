/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slices, numbers with units, escaping and edit distance.  Every process;
 * peers' bytes and configuration text come through here.  Pure: no allocation,
 * no locale, no input or output, and no byte is read outside its slice.
 */
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool
slice_eq(struct cab_slice a, const char *b)
{
	return strlen(b) == a.n && (a.n == 0 || memcmp(a.p, b, a.n) == 0);
}

static char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool
slice_ieq(struct cab_slice a, const char *b)
{
	size_t i;

	/* Most comparisons end with the first byte. */
	for (i = 0; i < a.n; i++)
		if (b[i] == '\0' || ascii_lower(a.p[i]) != ascii_lower(b[i]))
			return false;
	return b[i] == '\0';
}

size_t
str_escape(char *dst, size_t cap, const void *src, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = src;
	size_t i, w = 0, keep = 0, unit, room;

	if (cap == 0)
		return 0;
	room = cap - 1;
	for (i = 0; i < n; i++) {
		bool plain = s[i] >= 0x20 && s[i] < 0x7f && s[i] != '\\' &&
		    s[i] != '"';

		unit = plain ? 1 : 4;
		if (unit > room - w)
			goto cut;
		if (plain) {
			dst[w] = (char)s[i];
		} else {
			dst[w] = '\\';
			dst[w + 1] = 'x';
			dst[w + 2] = hex[s[i] >> 4];
			dst[w + 3] = hex[s[i] & 15];
		}
		w += unit;
		/* The end of the last unit after which "..." still fits. */
		if (room - w >= 3)
			keep = w;
	}
	dst[w] = '\0';
	return w;
cut:
	for (w = keep; w < room && w < keep + 3; w++)
		dst[w] = '.';
	dst[w] = '\0';
	return w;
}

int
str_to_i64(struct cab_slice s, int64_t *ret)
{
	bool negative = s.n > 0 && s.p[0] == '-', range = false;
	int64_t value = 0;
	size_t i = negative ? 1 : 0;

	if (i == s.n)
		return -EINVAL;
	/* Counted down, because the negative side is the longer one. */
	for (; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -EINVAL;
		range = range || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, s.p[i] - '0', &value);
	}
	if (range || (!negative && value == INT64_MIN))
		return -ERANGE;
	*ret = negative ? value : -value;
	return 0;
}

/* ---- numbers with units --------------------------------------------------- */

struct unit {
	const char *name;
	int64_t factor;
};

/* Largest first, as formatting tries them. */
static const struct unit time_units[] = { { "h", 3600000 }, { "min", 60000 },
	{ "s", 1000 }, { "ms", 1 }, { NULL, 0 } };
static const struct unit size_units[] = { { "G", 1 << 30 }, { "M", 1 << 20 },
	{ "K", 1 << 10 }, { "", 1 }, { NULL, 0 } };

/* Digits, then a unit of the table; without a unit the number is times plain. */
static int
parse_unit(
    struct cab_slice s, const struct unit *units, int64_t plain, int64_t *ret)
{
	struct cab_slice number = s, unit;
	int64_t value, factor = plain;
	int r;

	number.n = 0;
	while (number.n < s.n &&
	    ((s.p[number.n] >= '0' && s.p[number.n] <= '9') ||
		(number.n == 0 && s.p[0] == '-')))
		number.n++;
	unit = (struct cab_slice){ s.p + number.n, s.n - number.n };
	if (unit.n > 0) {
		while (units->name != NULL && !slice_eq(unit, units->name))
			units++;
		if (units->name == NULL)
			return -EINVAL;
		factor = units->factor;
	}
	r = str_to_i64(number, &value);
	if (r < 0)
		return r;
	if (value < 0 || __builtin_mul_overflow(value, factor, &value))
		return -ERANGE;
	*ret = value;
	return 0;
}

int
str_parse_time(struct cab_slice s, int64_t *ret_ms)
{
	return parse_unit(s, time_units, 1000, ret_ms);
}

int
str_parse_size(struct cab_slice s, int64_t *ret)
{
	return parse_unit(s, size_units, 1, ret);
}

/* The part behind the slash: "min" or "10s", the unit is not optional. */
static int
parse_period(struct cab_slice s, int64_t *ret_ms)
{
	const struct unit *unit;

	for (unit = time_units; unit->name != NULL; unit++)
		if (slice_eq(s, unit->name)) {
			*ret_ms = unit->factor;
			return 0;
		}
	if (s.n == 0 || (s.p[s.n - 1] >= '0' && s.p[s.n - 1] <= '9'))
		return -EINVAL;
	return str_parse_time(s, ret_ms);
}

int
str_parse_rate(struct cab_slice s, uint32_t *ret_count, uint32_t *ret_period_ms)
{
	const char *slash = s.n > 0 ? memchr(s.p, '/', s.n) : NULL;
	struct cab_slice number = s, period;
	int64_t count, ms = 0;
	int r;

	if (slash != NULL) {
		number.n = (size_t)(slash - s.p);
		period = (struct cab_slice){ slash + 1, s.n - number.n - 1 };
		r = parse_period(period, &ms);
		if (r < 0)
			return r;
		if (ms == 0 || ms > UINT32_MAX)
			return -ERANGE;
	}
	r = str_to_i64(number, &count);
	if (r < 0)
		return r;
	if (count < 0 || count > UINT32_MAX)
		return -ERANGE;
	if (slash == NULL && count != 0)
		return -EINVAL;
	*ret_count = (uint32_t)count;
	*ret_period_ms = count > 0 ? (uint32_t)ms : 0;
	return 0;
}

static char *
format_unit(char *dst, size_t cap, const struct unit *units, int64_t value)
{
	if (value == 0) {
		snprintf(dst, cap, "0");
		return dst;
	}
	while (value % units->factor != 0)
		units++;
	snprintf(dst, cap, "%" PRId64 "%s", value / units->factor, units->name);
	return dst;
}

char *
str_format_time(char *dst, size_t cap, int64_t ms)
{
	return format_unit(dst, cap, time_units, ms);
}

char *
str_format_size(char *dst, size_t cap, int64_t bytes)
{
	return format_unit(dst, cap, size_units, bytes);
}

char *
str_format_rate(char *dst, size_t cap, uint32_t count, uint32_t period_ms)
{
	char period[32];
	const char *text = period;

	if (count == 0) {
		snprintf(dst, cap, "0");
		return dst;
	}
	str_format_time(period, sizeof(period), period_ms);
	if (text[0] == '1' && (text[1] < '0' || text[1] > '9'))
		text++;
	snprintf(dst, cap, "%" PRIu32 "/%s", count, text);
	return dst;
}

/* ---- spelling -------------------------------------------------------------- */

#define WORD_MAX 64 /* longer words are nobody's misspelling */

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap two neighbours. */
unsigned
str_distance(const char *a, const char *b, unsigned max)
{
	unsigned rows[3][WORD_MAX + 1], *last2, *last, *row, *spare;
	size_t na = strlen(a), nb = strlen(b), i, j;

	if (strcmp(a, b) == 0)
		return 0;
	if (na > WORD_MAX || nb > WORD_MAX)
		return max + 1;
	last2 = rows[0];
	last = rows[1];
	row = rows[2];
	for (j = 0; j <= nb; j++)
		last[j] = last2[j] = (unsigned)j;
	for (i = 1; i <= na; i++) {
		row[0] = (unsigned)i;
		for (j = 1; j <= nb; j++) {
			row[j] = last[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = least(row[j], last[j] + 1);
			row[j] = least(row[j], row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = least(row[j], last2[j - 2] + 1);
		}
		spare = last2;
		last2 = last;
		last = row;
		row = spare;
	}
	return least(last[nb], max + 1);
}

void
nearest_offer(struct cab_nearest *near, const char *word)
{
	size_t n = strlen(near->want);
	unsigned limit = n <= 3 ? 1 : n <= 6 ? 2 : 3, distance;

	/* Wrong case alone is always a likely slip, however many letters. */
	distance = strcasecmp(near->want, word) == 0 ?
	    0 :
	    str_distance(near->want, word, limit);
	if (distance > limit || distance >= n)
		return;
	if (near->best != NULL && distance >= near->distance)
		return;
	near->best = word;
	near->distance = distance;
}
