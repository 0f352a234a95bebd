/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conditional and range requests.  Pure apart from the cached clock; workers.
 * Every number from a peer is overflow-checked; what cannot be read is treated
 * as absent, which is always the safe answer: the whole file.
 */
#include "proto/http_cond.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

/* ---- dates ---- */

static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri",
	"Sat" };
static const char long_days[7][10] = { "Sunday", "Monday", "Tuesday",
	"Wednesday", "Thursday", "Friday", "Saturday" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May",
	"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

struct date {
	int day, month, year, hour, minute, second;
};

static int
month_find(const char *name)
{
	for (int i = 0; i < 12; i++) {
		if (memcmp(name, month_names[i], 3) == 0)
			return i;
	}
	return -1;
}

/*
 * Takes a date apart by a pattern: d, y, h, m, s are digits of a number, D a
 * digit of the day or a space, bbb a month's name; everything else stands for
 * itself.
 */
static bool
date_match(struct cab_slice s, const char *pattern, struct date *ret)
{
	struct date d = { 0 };

	if (s.n != strlen(pattern))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int *to = NULL;

		switch (pattern[i]) {
		case 'd':
		case 'D':
			to = &d.day;
			break;
		case 'y':
			to = &d.year;
			break;
		case 'h':
			to = &d.hour;
			break;
		case 'm':
			to = &d.minute;
			break;
		case 's':
			to = &d.second;
			break;
		case 'b':
			d.month = month_find(s.p + i);
			if (d.month < 0)
				return false;
			i += 2;
			continue;
		default:
			if (s.p[i] != pattern[i])
				return false;
			continue;
		}
		if (pattern[i] == 'D' && s.p[i] == ' ')
			continue;
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		*to = *to * 10 + (s.p[i] - '0');
	}
	*ret = d;
	return true;
}

/* Days since 1970-01-01 in the Gregorian calendar; month 0 to 11. */
static int64_t
days_before(int year, int month, int day)
{
	int64_t y = month < 2 ? year - 1 : year;
	int64_t m = (month + 10) % 12; /* March is 0: the leap day comes last */

	return 365 * y + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day -
	    1 - 719468;
}

static int
month_days(int year, int month)
{
	static const char days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month] + (month == 1 && leap);
}

static int
date_seconds(const struct date *d, int64_t *ret)
{
	/* 60: a leap second, which this calendar does not have. */
	if (d->year < 1 || d->day < 1 || d->day > month_days(d->year, d->month) ||
	    d->hour > 23 || d->minute > 59 || d->second > 60)
		return -EINVAL;
	*ret = days_before(d->year, d->month, d->day) * 86400 + d->hour * 3600 +
	    d->minute * 60 + d->second;
	return 0;
}

/* Drops the name of a day and what separates it from the rest; false if there is none. */
static bool
day_skip(struct cab_slice *s, const char *name, const char *separator)
{
	size_t n = strlen(name), m = strlen(separator);

	if (s->n < n + m || memcmp(s->p, name, n) != 0 ||
	    memcmp(s->p + n, separator, m) != 0)
		return false;
	s->p += n + m;
	s->n -= n + m;
	return true;
}

int
http_date_parse(struct cab_slice s, int64_t now, int64_t *ret)
{
	struct date d;

	for (int i = 0; i < 7; i++) {
		struct cab_slice rest = s;

		if (day_skip(&rest, day_names[i], ", "))
			return date_match(rest, "dd bbb yyyy hh:mm:ss GMT", &d) ?
			    date_seconds(&d, ret) :
			    -EINVAL;
		if (day_skip(&rest, day_names[i], " ")) {
			/* asctime(3): the year comes last */
			return date_match(rest, "bbb Dd hh:mm:ss yyyy", &d) ?
			    date_seconds(&d, ret) :
			    -EINVAL;
		}
		if (day_skip(&rest, long_days[i], ", ")) {
			int64_t t;
			int r;

			if (!date_match(rest, "dd-bbb-yy hh:mm:ss GMT", &d))
				return -EINVAL;
			/* More than 50 years ahead means the past (RFC 9110, 5.6.7). */
			d.year += 2000;
			r = date_seconds(&d, &t);
			if (r == 0 && t > now + INT64_C(50) * 366 * 86400) {
				d.year -= 100;
				r = date_seconds(&d, &t);
			}
			if (r == 0)
				*ret = t;
			return r;
		}
	}
	return -EINVAL;
}

static void
two_digits(char *to, int n)
{
	to[0] = (char)('0' + n / 10);
	to[1] = (char)('0' + n % 10);
}

void
http_date_add(struct http_text *t, int64_t seconds)
{
	char text[HTTP_DATE_LEN + 1] = "Thu, 01 Jan 1970 00:00:00 GMT";
	time_t when = seconds;
	struct tm tm;

	if (seconds < 0)
		when = 0;
	if (seconds > INT64_C(253402300799))
		when = INT64_C(253402300799); /* the end of year 9999 */
	if (gmtime_r(&when, &tm)) {
		memcpy(text, day_names[tm.tm_wday], 3);
		two_digits(text + 5, tm.tm_mday);
		memcpy(text + 8, month_names[tm.tm_mon], 3);
		two_digits(text + 12, (tm.tm_year + 1900) / 100);
		two_digits(text + 14, tm.tm_year % 100);
		two_digits(text + 17, tm.tm_hour);
		two_digits(text + 20, tm.tm_min);
		two_digits(text + 23, tm.tm_sec);
	}
	text_add(t, text, HTTP_DATE_LEN);
}

/* ---- conditions ---- */

/* Whether a list of entity tags, or "*", names the entity. Weak tags match where weak says so. */
static bool
tag_listed(struct cab_slice list, struct cab_slice etag, bool weak)
{
	struct cab_slice tag;

	if (list.n == 1 && list.p[0] == '*')
		return true;
	/* A comma within a foreign tag splits it; no piece of it can equal ours, which has none. */
	while (http_next_member(&list, &tag)) {
		if (weak && tag.n > 2 && tag.p[0] == 'W' && tag.p[1] == '/') {
			tag.p += 2;
			tag.n -= 2;
		}
		if (tag.n == etag.n && memcmp(tag.p, etag.p, tag.n) == 0)
			return true;
	}
	return false;
}

/* Whether the field is there and holds a date. */
static bool
date_given(const struct http_request *req, enum http_field field, int64_t *ret)
{
	return http_has(req, field) && !(req->twice >> field & 1) &&
	    http_date_parse(req->field[field], clock_wall(), ret) == 0;
}

static enum http_answer
conditions(const struct http_request *req, const struct http_entity *entity)
{
	int64_t date;

	if (http_has(req, HTTP_F_IF_MATCH)) {
		if (!tag_listed(req->field[HTTP_F_IF_MATCH], entity->etag, false))
			return HTTP_FAILED;
	} else if (date_given(req, HTTP_F_IF_UNMODIFIED_SINCE, &date) &&
	    entity->modified > date) {
		return HTTP_FAILED;
	}
	if (http_has(req, HTTP_F_IF_NONE_MATCH)) {
		if (tag_listed(
			req->field[HTTP_F_IF_NONE_MATCH], entity->etag, true))
			return HTTP_NOT_MODIFIED;
	} else if (date_given(req, HTTP_F_IF_MODIFIED_SINCE, &date) &&
	    entity->modified <= date) {
		return HTTP_NOT_MODIFIED;
	}
	return HTTP_WHOLE;
}

/* ---- ranges ---- */

/* Digits at *i; a number that does not fit becomes UINT64_MAX, which is beyond
 * every file.  False if there are none. */
static bool
digits(struct cab_slice s, size_t *i, uint64_t *ret)
{
	size_t start = *i;
	uint64_t n = 0;

	for (; *i < s.n && s.p[*i] >= '0' && s.p[*i] <= '9'; ++*i) {
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(s.p[*i] - '0'), &n))
			n = UINT64_MAX /
			    10; /* stays too large whatever follows */
	}
	*ret = n;
	return *i > start;
}

/* "bytes=" and one range; anything else, a list too, is answered with the whole. */
static enum http_answer
range_parse(struct cab_slice s, uint64_t size, struct http_range *ret)
{
	bool has_first, has_last;
	uint64_t first, last;
	size_t i = 6;

	if (s.n < 8 || !slice_ieq((struct cab_slice){ s.p, 6 }, "bytes="))
		return HTTP_WHOLE;
	has_first = digits(s, &i, &first);
	if (i == s.n || s.p[i++] != '-')
		return HTTP_WHOLE;
	has_last = digits(s, &i, &last);
	if (i != s.n || (!has_first && !has_last) ||
	    (has_first && has_last && last < first))
		return HTTP_WHOLE;
	if (!has_first) { /* the last bytes */
		if (last == 0 || size == 0)
			return HTTP_UNSATISFIABLE;
		first = last < size ? size - last : 0;
		last = size - 1;
	} else {
		if (first >= size)
			return HTTP_UNSATISFIABLE;
		if (!has_last || last >= size)
			last = size - 1;
	}
	*ret = (struct http_range){ first, last - first + 1 };
	return HTTP_PART;
}

/* RFC 9110, 13.1.5: the range counts only for the very entity that the peer has a part of. */
static bool
if_range(const struct http_request *req, const struct http_entity *entity)
{
	struct cab_slice s = req->field[HTTP_F_IF_RANGE];
	int64_t date;

	if (!http_has(req, HTTP_F_IF_RANGE))
		return true;
	if (s.n > 0 && s.p[0] == '"')
		return s.n == entity->etag.n &&
		    memcmp(s.p, entity->etag.p, s.n) == 0;
	return date_given(req, HTTP_F_IF_RANGE, &date) &&
	    date == entity->modified;
}

enum http_answer
http_decide(const struct http_request *req, const struct http_entity *entity,
    struct http_range *ret)
{
	enum http_answer answer = conditions(req, entity);

	if (answer != HTTP_WHOLE || !http_has(req, HTTP_F_RANGE) ||
	    req->twice >> HTTP_F_RANGE & 1 || req->method != HTTP_GET ||
	    !if_range(req, entity))
		return answer;
	return range_parse(req->field[HTTP_F_RANGE], entity->size, ret);
}
