/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text: parsing and formatting agree in both directions, nothing is read or
 * written outside its bounds, and escaping leaves printable ASCII only.
 *
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static struct cab_slice
text(const char *s)
{
	return (struct cab_slice){ s, strlen(s) };
}

static void
compares_slices(void **state)
{
	(void)state;
	assert_true(slice_eq(CAB_SLICE("abc"), "abc"));
	assert_false(slice_eq(CAB_SLICE("abc"), "abcd"));
	assert_false(slice_eq(CAB_SLICE("abcd"), "abc"));
	assert_false(slice_eq(CAB_SLICE("abc\0"), "abc"));
	assert_true(slice_eq((struct cab_slice){ NULL, 0 }, ""));
	assert_true(slice_ieq(CAB_SLICE("Host"), "hOST"));
	assert_false(slice_ieq(CAB_SLICE("Host"), "Hos"));
	/* 0x5b and 0x7b differ by the case bit but are no letters. */
	assert_false(slice_ieq(CAB_SLICE("["), "{"));
	assert_false(slice_ieq(CAB_SLICE("\xc4"), "\xe4"));
}

static void
escapes_every_byte(void **state)
{
	char all[256], out[1100], want[8];
	size_t n, w = 0;
	int i;

	(void)state;
	for (i = 0; i < 256; i++)
		all[i] = (char)i;
	n = str_escape(out, sizeof(out), all, sizeof(all));
	assert_int_equal(n, strlen(out));
	for (i = 0; i < 256; i++) {
		bool plain = i >= 0x20 && i < 0x7f && i != '\\' && i != '"';

		snprintf(want, sizeof(want), plain ? "%c" : "\\x%02x", i);
		assert_memory_equal(out + w, want, strlen(want));
		w += strlen(want);
	}
	assert_int_equal(w, n);
}

/* Whatever the room: terminated, whole escapes only, dots exactly when cut. */
static void
cuts_cleanly_at_every_size(void **state)
{
	static const char src[] = "ab\n\"cd\x01"
				  "efg";
	char whole[64], *out;
	size_t cap, n, full;

	(void)state;
	full = str_escape(whole, sizeof(whole), src, sizeof(src) - 1);
	assert_string_equal(whole, "ab\\x0a\\x22cd\\x01efg");
	for (cap = 1; cap <= full + 3; cap++) {
		out = malloc(cap);
		n = str_escape(out, cap, src, sizeof(src) - 1);
		assert_int_equal(out[n], '\0');
		assert_int_equal(strlen(out), n);
		if (cap > full) {
			assert_string_equal(out, whole);
		} else if (cap > 3) {
			assert_string_equal(out + n - 3, "...");
			assert_memory_equal(out, whole, n - 3);
			/* Cut between escapes: what is left parses as escapes again. */
			assert_true(n - 3 <= 2 || n - 3 == 6 || n - 3 >= 10);
			assert_true(n - 3 < 12 || n - 3 == 12 || n - 3 >= 16);
		} else {
			assert_int_equal(strspn(out, "."), n);
		}
		free(out);
	}
	assert_int_equal(str_escape(NULL, 0, src, 3), 0);
	out = malloc(1);
	assert_int_equal(str_escape(out, 1, src, 0), 0);
	free(out);
}

static void
parses_integers(void **state)
{
	static const struct {
		const char *s;
		int r;
		int64_t value;
	} rows[] = {
		{ "0", 0, 0 },
		{ "-0", 0, 0 },
		{ "007", 0, 7 },
		{ "65535", 0, 65535 },
		{ "-17", 0, -17 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "-9223372036854775808", 0, INT64_MIN },
		{ "-9223372036854775809", -ERANGE, 0 },
		{ "99999999999999999999999999", -ERANGE, 0 },
		{ "99999999999999999999999999x", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "-", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1.5", -EINVAL, 0 },
		{ "--1", -EINVAL, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t value = 4711;

		assert_int_equal(str_to_i64(text(rows[i].s), &value), rows[i].r);
		assert_true(value == (rows[i].r == 0 ? rows[i].value : 4711));
	}
	assert_int_equal(str_to_i64(CAB_SLICE("1\0"), &(int64_t){ 0 }), -EINVAL);
}

static void
parses_times_and_sizes(void **state)
{
	static const struct {
		const char *s;
		int (*parse)(struct cab_slice, int64_t *);
		int r;
		int64_t value;
	} rows[] = {
		{ "1500ms", str_parse_time, 0, 1500 },
		{ "30s", str_parse_time, 0, 30000 },
		{ "5min", str_parse_time, 0, 300000 },
		{ "1h", str_parse_time, 0, 3600000 },
		{ "7", str_parse_time, 0, 7000 },
		{ "0", str_parse_time, 0, 0 },
		{ "5m", str_parse_time, -EINVAL, 0 },
		{ "5 s", str_parse_time, -EINVAL, 0 },
		{ "s", str_parse_time, -EINVAL, 0 },
		{ "5S", str_parse_time, -EINVAL, 0 },
		{ "-5s", str_parse_time, -ERANGE, 0 },
		{ "1-5s", str_parse_time, -EINVAL, 0 },
		{ "9223372036854775807h", str_parse_time, -ERANGE, 0 },
		{ "", str_parse_time, -EINVAL, 0 },
		{ "10M", str_parse_size, 0, 10 << 20 },
		{ "64K", str_parse_size, 0, 65536 },
		{ "2G", str_parse_size, 0, INT64_C(2) << 30 },
		{ "123", str_parse_size, 0, 123 },
		{ "10MB", str_parse_size, -EINVAL, 0 },
		{ "10k", str_parse_size, -EINVAL, 0 },
		{ "9000000000G", str_parse_size, -ERANGE, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t value = 4711;

		assert_int_equal(
		    rows[i].parse(text(rows[i].s), &value), rows[i].r);
		assert_true(value == (rows[i].r == 0 ? rows[i].value : 4711));
	}
}

static void
parses_rates(void **state)
{
	static const struct {
		const char *s;
		int r;
		uint32_t count, period;
	} rows[] = {
		{ "20/min", 0, 20, 60000 },
		{ "5/s", 0, 5, 1000 },
		{ "1000/h", 0, 1000, 3600000 },
		{ "3/10s", 0, 3, 10000 },
		{ "1/250ms", 0, 1, 250 },
		{ "0", 0, 0, 0 },
		{ "0/s", 0, 0, 0 },
		{ "5", -EINVAL, 0, 0 },
		{ "5/", -EINVAL, 0, 0 },
		{ "5/10", -EINVAL, 0, 0 },
		{ "/s", -EINVAL, 0, 0 },
		{ "5/s/s", -EINVAL, 0, 0 },
		{ "5/day", -EINVAL, 0, 0 },
		{ "5/0s", -ERANGE, 0, 0 },
		{ "-5/s", -ERANGE, 0, 0 },
		{ "5/-1s", -ERANGE, 0, 0 },
		{ "4294967296/s", -ERANGE, 0, 0 },
		{ "1/5000h", -ERANGE, 0, 0 },
		{ "", -EINVAL, 0, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t count = 47, period = 11;

		assert_int_equal(
		    str_parse_rate(text(rows[i].s), &count, &period), rows[i].r);
		assert_int_equal(count, rows[i].r == 0 ? rows[i].count : 47);
		assert_int_equal(period, rows[i].r == 0 ? rows[i].period : 11);
	}
}

static void
formats_what_parses_back(void **state)
{
	static const int64_t times[] = { 0, 1, 999, 1000, 1500, 30000, 60000,
		90000, 300000, 3600000, 5400000, INT64_MAX };
	static const int64_t sizes[] = { 0, 1, 1023, 1024, 1536, 1 << 20,
		10 << 20, INT64_C(3) << 30, INT64_MAX };
	uint32_t count, period;
	char out[64];
	int64_t back;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		str_format_time(out, sizeof(out), times[i]);
		assert_int_equal(str_parse_time(text(out), &back), 0);
		assert_true(back == times[i]);
	}
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		str_format_size(out, sizeof(out), sizes[i]);
		assert_int_equal(str_parse_size(text(out), &back), 0);
		assert_true(back == sizes[i]);
	}
	for (i = 1; i < sizeof(times) / sizeof(times[0]) - 1; i++) {
		str_format_rate(out, sizeof(out), 10, (uint32_t)times[i]);
		assert_int_equal(str_parse_rate(text(out), &count, &period), 0);
		assert_int_equal(count, 10);
		assert_int_equal(period, times[i]);
	}
}

static void
formats_the_shortest_spelling(void **state)
{
	char out[64];

	(void)state;
	assert_string_equal(str_format_time(out, 64, 0), "0");
	assert_string_equal(str_format_time(out, 64, 1500), "1500ms");
	assert_string_equal(str_format_time(out, 64, 300000), "5min");
	assert_string_equal(str_format_time(out, 64, 7200000), "2h");
	assert_string_equal(str_format_size(out, 64, 10485760), "10M");
	assert_string_equal(str_format_size(out, 64, 1500), "1500");
	assert_string_equal(str_format_rate(out, 64, 20, 60000), "20/min");
	assert_string_equal(str_format_rate(out, 64, 5, 1000), "5/s");
	assert_string_equal(str_format_rate(out, 64, 3, 10000), "3/10s");
	assert_string_equal(str_format_rate(out, 64, 1, 1), "1/ms");
	assert_string_equal(str_format_rate(out, 64, 0, 0), "0");
}

static void
measures_distance(void **state)
{
	(void)state;
	assert_int_equal(str_distance("port", "port", 3), 0);
	assert_int_equal(str_distance("prot", "port", 3), 1);
	assert_int_equal(str_distance("por", "port", 3), 1);
	assert_int_equal(str_distance("ports", "port", 3), 1);
	assert_int_equal(str_distance("pork", "port", 3), 1);
	assert_int_equal(str_distance("", "abc", 3), 3);
	assert_int_equal(str_distance("kitten", "sitting", 5), 3);
	assert_int_equal(str_distance("kitten", "sitting", 2), 3);
	assert_int_equal(str_distance("abcdef", "uvwxyz", 3), 4);
}

static void
finds_the_nearest_word(void **state)
{
	static const char *const words[] = { "protocol", "listen", "limits",
		"timeouts", "access", "exec", "name" };
	static const struct {
		const char *want, *best;
	} rows[] = {
		{ "protcol", "protocol" },
		{ "lisen", "listen" },
		{ "limit", "limits" },
		{ "timeout", "timeouts" },
		{ "acess", "access" },
		{ "NAME", "name" },
		{ "PROTOCOL", "protocol" },
		{ "xy", NULL },
		{ "n", NULL },
		{ "banana", NULL },
		{ "", NULL },
	};
	struct cab_nearest near;
	char endless[500];
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		near = (struct cab_nearest){ .want = rows[i].want };
		for (j = 0; j < sizeof(words) / sizeof(words[0]); j++)
			nearest_offer(&near, words[j]);
		if (rows[i].best == NULL)
			assert_null(near.best);
		else
			assert_string_equal(near.best, rows[i].best);
	}
	memset(endless, 'a', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	near = (struct cab_nearest){ .want = endless };
	nearest_offer(&near, "name");
	assert_null(near.best);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_slices),
		cmocka_unit_test(escapes_every_byte),
		cmocka_unit_test(cuts_cleanly_at_every_size),
		cmocka_unit_test(parses_integers),
		cmocka_unit_test(parses_times_and_sizes),
		cmocka_unit_test(parses_rates),
		cmocka_unit_test(formats_what_parses_back),
		cmocka_unit_test(formats_the_shortest_spelling),
		cmocka_unit_test(measures_distance),
		cmocka_unit_test(finds_the_nearest_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
