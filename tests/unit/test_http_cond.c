/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conditions, ranges and dates of HTTP as pure decisions, in tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "proto/http_cond.h"

#define NOW INT64_C(1795243325) /* Sat, 21 Nov 2026 06:42:05 GMT */

static int
set_up(void **state)
{
	static const struct cab_clock fixed = { .mono_ns = 1000000000,
		.wall_ns = NOW * 1000000000 };

	(void)state;
	clock_fake(&fixed);
	return 0;
}

/* ---- dates ---- */

static void
test_dates(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* -1: no date */
	} cases[] = {
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
		{ "Sun Nov  6 08:49:37 1994", 784111777 },
		{ "Sun Nov 16 08:49:37 1994", 784975777 },
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Tue, 29 Feb 2000 23:59:59 GMT", 951868799 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 },
		{ "Mon, 01 Jan 0001 00:00:00 GMT", -62135596800 },
		/* the name of the day says nothing */
		{ "Mon, 06 Nov 1994 08:49:37 GMT", 784111777 },
		/* two digits: not more than 50 years ahead */
		{ "Wednesday, 01-Jan-70 00:00:00 GMT", 3155760000 },
		{ "Saturday, 01-Jan-80 00:00:00 GMT", 315532800 },
		{ "Monday, 29-Feb-00 00:00:00 GMT", 951782400 },
		/* a leap second is the second after it */
		{ "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 },
		{ "", -1 },
		{ "yesterday", -1 },
		{ "0", -1 },
		{ "Sun, 06 Nov 1994 08:49:37", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 UTC", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT ", -1 },
		{ "sun, 06 nov 1994 08:49:37 gmt", -1 },
		{ "Sun, 6 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 94 08:49:37 GMT", -1 },
		{ "Sun, 00 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 31 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 29 Feb 1900 08:49:37 GMT", -1 },
		{ "Sun, 06 Foo 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 24:00:00 GMT", -1 },
		{ "Sun, 06 Nov 1994 08:60:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 08:49:61 GMT", -1 },
		{ "Sun, 06 Nov 0000 08:49:37 GMT", -1 },
		{ "Sun, -6 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 08:49:3\xff GMT", -1 },
		{ "Sunday, 06-Nov-1994 08:49:37 GMT", -1 },
		{ "Sunday, 31-Feb-94 08:49:37 GMT", -1 },
		{ "Sun Nov 6 08:49:37 1994", -1 },
		{ "Sun Nov  6 08:49:37 94", -1 },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		struct cab_slice s = { cases[i].text, strlen(cases[i].text) };
		int64_t t = 77;
		int r = http_date_parse(s, NOW, &t);

		if (cases[i].seconds == -1 ? r == 0 || t != 77 :
					     r != 0 || t != cases[i].seconds)
			fail_msg(
			    "\"%s\": %d, %lld", cases[i].text, r, (long long)t);
	}
}

/* What is written can be read, on every day of four hundred years. */
static void
test_date_round_trip(void **state)
{
	char text[HTTP_DATE_LEN];

	(void)state;
	for (int64_t t = 0; t < INT64_C(400) * 366 * 86400; t += 86400 + 3661) {
		struct http_text out = { text, 0, sizeof(text) };
		int64_t back;

		http_date_add(&out, t);
		assert_int_equal(out.n, HTTP_DATE_LEN);
		assert_int_equal(
		    http_date_parse(
			(struct cab_slice){ text, HTTP_DATE_LEN }, NOW, &back),
		    0);
		assert_int_equal(back, t);
	}
}

static void
test_date_ends(void **state)
{
	char text[HTTP_DATE_LEN + 1] = "";
	struct http_text out = { text, 0, HTTP_DATE_LEN };

	(void)state;
	http_date_add(&out, INT64_MIN);
	assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
	out.n = 0;
	http_date_add(&out, INT64_MAX);
	assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
	out.n = 0;
	http_date_add(&out, NOW);
	assert_string_equal(text, "Sat, 21 Nov 2026 06:42:05 GMT");
}

/* ---- decisions ---- */

#define TAG      "\"1-a-5\""
#define MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define SAME     "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE   "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER    "Sun, 06 Nov 1994 08:49:38 GMT"

static enum http_answer
decide(const char *method, const char *fields, uint64_t size,
    struct http_range *range)
{
	struct http_entity entity = { CAB_SLICE(TAG), MODIFIED, size };
	struct http_pos pos = { 0 };
	struct http_request req;
	char text[1000];
	int n = snprintf(text, sizeof(text),
	    "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);

	assert_int_equal(
	    http_parse_head(text, (size_t)n, &http_limits, &pos, &req), n);
	return http_decide(&req, &entity, range);
}

static void
test_conditions(void **state)
{
	static const struct {
		const char *fields;
		enum http_answer answer;
	} cases[] = {
		{ "", HTTP_WHOLE },
		{ "If-None-Match: " TAG "\r\n", HTTP_NOT_MODIFIED },
		{ "If-None-Match: W/" TAG "\r\n", HTTP_NOT_MODIFIED },
		{ "If-None-Match: \"x\" , " TAG ",\r\n", HTTP_NOT_MODIFIED },
		{ "If-None-Match: *\r\n", HTTP_NOT_MODIFIED },
		{ "If-None-Match: \"x\"\r\n", HTTP_WHOLE },
		{ "If-None-Match: 1-a-5\r\n", HTTP_WHOLE },
		{ "If-None-Match: w/" TAG "\r\n", HTTP_WHOLE },
		{ "If-None-Match: \r\n", HTTP_WHOLE },
		{ "If-None-Match: **\r\n", HTTP_WHOLE },
		{ "If-Modified-Since: " SAME "\r\n", HTTP_NOT_MODIFIED },
		{ "If-Modified-Since: " AFTER "\r\n", HTTP_NOT_MODIFIED },
		{ "If-Modified-Since: " BEFORE "\r\n", HTTP_WHOLE },
		{ "If-Modified-Since: nonsense\r\n", HTTP_WHOLE },
		{ "If-Modified-Since: " SAME "\r\nIf-Modified-Since: " BEFORE
		  "\r\n",
		    HTTP_WHOLE },
		/* the tag decides, if there is one */
		{ "If-None-Match: \"x\"\r\nIf-Modified-Since: " SAME "\r\n",
		    HTTP_WHOLE },
		{ "If-None-Match: " TAG "\r\nIf-Modified-Since: " BEFORE "\r\n",
		    HTTP_NOT_MODIFIED },
		{ "If-Match: " TAG "\r\n", HTTP_WHOLE },
		{ "If-Match: *\r\n", HTTP_WHOLE },
		{ "If-Match: \"x\"\r\n", HTTP_FAILED },
		{ "If-Match: W/" TAG "\r\n", HTTP_FAILED },
		{ "If-Match: " TAG "\r\nIf-None-Match: " TAG "\r\n",
		    HTTP_NOT_MODIFIED },
		{ "If-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n", HTTP_FAILED },
		{ "If-Unmodified-Since: " SAME "\r\n", HTTP_WHOLE },
		{ "If-Unmodified-Since: " BEFORE "\r\n", HTTP_FAILED },
		{ "If-Unmodified-Since: nonsense\r\n", HTTP_WHOLE },
		{ "If-Match: " TAG "\r\nIf-Unmodified-Since: " BEFORE "\r\n",
		    HTTP_WHOLE },
		/* conditions come before ranges */
		{ "If-None-Match: " TAG "\r\nRange: bytes=0-1\r\n",
		    HTTP_NOT_MODIFIED },
		{ "Range: bytes=0-1\r\n", HTTP_PART },
		{ "If-Range: " TAG "\r\nRange: bytes=0-1\r\n", HTTP_PART },
		{ "If-Range: \"x\"\r\nRange: bytes=0-1\r\n", HTTP_WHOLE },
		{ "If-Range: W/" TAG "\r\nRange: bytes=0-1\r\n", HTTP_WHOLE },
		{ "If-Range: " SAME "\r\nRange: bytes=0-1\r\n", HTTP_PART },
		{ "If-Range: " AFTER "\r\nRange: bytes=0-1\r\n", HTTP_WHOLE },
		{ "If-Range: " BEFORE "\r\nRange: bytes=0-1\r\n", HTTP_WHOLE },
		{ "If-Range: \r\nRange: bytes=0-1\r\n", HTTP_WHOLE },
		{ "If-Range: " TAG "\r\n", HTTP_WHOLE },
		{ "Range: bytes=0-1\r\nRange: bytes=0-1\r\n", HTTP_WHOLE },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		struct http_range range;

		if (decide("GET", cases[i].fields, 10, &range) != cases[i].answer)
			fail_msg("%s", cases[i].fields);
	}
}

static void
test_ranges(void **state)
{
	static const struct {
		const char *range;
		uint64_t size;
		enum http_answer answer;
		uint64_t first, n;
	} cases[] = {
		{ "bytes=0-0", 10, HTTP_PART, 0, 1 },
		{ "bytes=0-9", 10, HTTP_PART, 0, 10 },
		{ "bytes=0-10", 10, HTTP_PART, 0, 10 },
		{ "bytes=9-", 10, HTTP_PART, 9, 1 },
		{ "bytes=10-", 10, HTTP_UNSATISFIABLE, 0, 0 },
		{ "bytes=-1", 10, HTTP_PART, 9, 1 },
		{ "bytes=-10", 10, HTTP_PART, 0, 10 },
		{ "bytes=-11", 10, HTTP_PART, 0, 10 },
		{ "bytes=-0", 10, HTTP_UNSATISFIABLE, 0, 0 },
		{ "BYTES=0-1", 10, HTTP_PART, 0, 2 },
		{ "bytes=0-0", 0, HTTP_UNSATISFIABLE, 0, 0 },
		{ "bytes=0-", 0, HTTP_UNSATISFIABLE, 0, 0 },
		{ "bytes=-1", 0, HTTP_UNSATISFIABLE, 0, 0 },
		{ "bytes=-18446744073709551616", 10, HTTP_PART, 0, 10 },
		{ "bytes=0-18446744073709551617", 10, HTTP_PART, 0, 10 },
		{ "bytes=18446744073709551616-", 10, HTTP_UNSATISFIABLE, 0, 0 },
		{ "bytes=18446744073709551616-18446744073709551617", 10,
		    HTTP_UNSATISFIABLE, 0, 0 },
		{ "bytes=00-01", 10, HTTP_PART, 0, 2 },
		{ "bytes=1-0", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=-", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes", 10, HTTP_WHOLE, 0, 0 },
		{ "", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=1", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=a-b", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=0x1-2", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=--1", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=+0-1", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes= 0-1", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=0 -1", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=0-1,", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=0-1, 3-4", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes 0-1", 10, HTTP_WHOLE, 0, 0 },
		{ "items=0-1", 10, HTTP_WHOLE, 0, 0 },
		{ "bytes=9223372036854775806-9223372036854775807",
		    9223372036854775807, HTTP_PART, 9223372036854775806, 1 },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		struct http_range range = { 77, 77 };
		enum http_answer answer;
		char fields[100];

		snprintf(fields, sizeof(fields), "Range: %s\r\n", cases[i].range);
		answer = decide("GET", fields, cases[i].size, &range);
		if (answer != cases[i].answer)
			fail_msg("%s: %d", cases[i].range, (int)answer);
		if (answer == HTTP_PART) {
			assert_int_equal(range.first, cases[i].first);
			assert_int_equal(range.n, cases[i].n);
		}
		assert_int_equal(
		    decide("HEAD", fields, cases[i].size, &range), HTTP_WHOLE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_date_round_trip),
		cmocka_unit_test(test_date_ends),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_ranges),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
