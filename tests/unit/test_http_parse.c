/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HTTP request reader: a table of heads with the status each gets, every
 * one at every split and right before an unmapped page; limits to the byte;
 * what a good request says; chunked bodies the same way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/http_parse.h"

#define OK         1
#define MORE       0

#define GUARD_SIZE (64 * 1024)

/* The end of writable memory: what is read past it faults. */
static char *guard_end;

static int
setup(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, GUARD_SIZE + page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	if (p == MAP_FAILED || mprotect(p + GUARD_SIZE, page, PROT_NONE) < 0)
		return -1;
	guard_end = p + GUARD_SIZE;
	return 0;
}

static const char *
guarded(const char *p, size_t n)
{
	assert_true(n <= GUARD_SIZE);
	return memcpy(guard_end - n, p, n);
}

/* Puts text there without its NUL; its length. */
static size_t
append(char *to, const char *text)
{
	size_t n = strlen(text);

	memcpy(to, text, n);
	return n;
}

struct entry {
	const char *bytes;
	size_t n;
	int status; /* OK, MORE or an HTTP status */
};

#define E(text, status)                        \
	{                                      \
		text, sizeof(text) - 1, status \
	}
#define GET  "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define END  "\r\n"

static const struct entry heads[] = {
	/* request lines */
	E(GET END, OK),
	E("GET / HTTP/1.0\r\n\r\n", OK),
	E("\r\n" GET END, OK),
	E("\r\n\r\n" GET END, 400),
	E("\n" GET END, 400),
	E("\r" GET END, 400),
	E(" " GET END, 400),
	E("", MORE),
	E("G", MORE),
	E("\r", MORE),
	E("\r\n", MORE),
	E("GET / HTTP/1.1", MORE),
	E("GET / HTTP/1.1\r", MORE),
	E("GET / HTTP/1.1\r\n", MORE),
	E(GET, MORE),
	E(GET "\r", MORE),
	E("GET /\r\n\r\n", 400),
	E("GET\r\n\r\n", 400),
	E("GET \r\n\r\n", 400),
	E("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
	E("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET / a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/1.1\n\n", 400),
	E("GET / HTTP/1.\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/1.1.1\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400),
	E("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/a.b\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP 1.1\r\nHost: a\r\n\r\n", 400),
	E("GET / XTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
	E("GET / HTTP/0.9\r\n\r\n", 505),
	E("GET / HTTP/9.9\r\n\r\n", 505),
	E("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
	E("GET / HTTP/1.2\r\nHost: a\r\n\r\n", OK),
	E("G{T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("G\x80T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("get / HTTP/1.1\r\nHost: a\r\n\r\n", OK),
	E("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", OK),
	E("!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n", OK),
	E("\x16\x03\x01", 400),
	E("{", 400),
	E("\0", 400),
	/* targets */
	E("GET /a?b=c&d#e HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET /\"<> HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET /?a=[1]|{2}^3`\\ HTTP/1.1\r\nHost: a\r\n\r\n", OK),
	E("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET ../a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET \\a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", OK),
	E("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", OK),
	E("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", OK),
	E("GET HTTPS://a:8443?x HTTP/1.1\r\nHost: b\r\n\r\n", OK),
	E("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET http://a/ HTTP/1.1\r\n\r\n", 400),
	E("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", OK),
	E("CONNECT [::1]:80 HTTP/1.1\r\nHost: a\r\n\r\n", OK),
	E("CONNECT [::1] HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("CONNECT http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	E("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	/* field lines */
	E(GET "X: y\r\n" END, OK),
	E(GET "X:y\r\n" END, OK),
	E(GET "X:\r\n" END, OK),
	E(GET "X: \t y\t z \t \r\n" END, OK),
	E(GET "X: \x80\xff\r\n" END, OK),
	E(GET "X : y\r\n" END, 400),
	E(GET "X\t: y\r\n" END, 400),
	E(GET " X: y\r\n" END, 400),
	E(GET "X: y\r\n z\r\n" END, 400),
	E(GET "X: y\r\n\tz\r\n" END, 400),
	E(GET "X: y\r\n \r\n" END, 400),
	E("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
	E(GET ": y\r\n" END, 400),
	E(GET "X\r\n" END, 400),
	E(GET "X y: z\r\n" END, 400),
	E(GET "X(: z\r\n" END, 400),
	E(GET "X\x80: z\r\n" END, 400),
	E(GET "X\0: z\r\n" END, 400),
	E(GET "X: y\0z\r\n" END, 400),
	E(GET "X: y\x01z\r\n" END, 400),
	E(GET "X: y\x1f\r\n" END, 400),
	E(GET "X: y\x7f\r\n" END, 400),
	E(GET "X: y\vz\r\n" END, 400),
	E(GET "X: y\rz\r\n" END, 400),
	E(GET "X: y\r\r\n" END, 400),
	E(GET "X: y\nZ: z\r\n" END, 400),
	E(GET "X: y\n\r\n", 400),
	E(GET "X: y\r\n\n", 400),
	E(GET "X: y\r\n\rZ", 400),
	/* Host */
	E("GET / HTTP/1.1\r\n\r\n", 400),
	E("GET / HTTP/1.2\r\n\r\n", 400),
	E(GET "Host: a\r\n" END, 400),
	E(GET "hOST: b\r\n" END, 400),
	E("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
	E("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost:\r\n\r\n", OK),
	E("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", OK),
	E("GET / HTTP/1.1\r\nHost: a:80\r\n\r\n", OK),
	E("GET / HTTP/1.1\r\nHost: a:80a\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a:0065535\r\n\r\n", OK),
	E("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a:18446744073709551617\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n", OK),
	E("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n", OK),
	E("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", OK),
	E("GET / HTTP/1.1\r\nHost: [::]\r\n\r\n", OK),
	E("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", 400),
	E("GET / HTTP/1.1\r\nHost: [g::1]\r\n\r\n", 400),
	/* framing */
	E(POST "Content-Length: 5\r\n" END, OK),
	E(POST "Content-Length: 0\r\n" END, OK),
	E(POST "Content-Length: 005\r\n" END, OK),
	E(POST "Content-Length:\t5 \r\n" END, OK),
	E(POST "Content-Length: 9223372036854775807\r\n" END, OK),
	E(POST "Content-Length: 9223372036854775808\r\n" END, 400),
	E(POST "Content-Length: 99999999999999999999999\r\n" END, 400),
	E(POST "Content-Length:\r\n" END, 400),
	E(POST "Content-Length: +5\r\n" END, 400),
	E(POST "Content-Length: -5\r\n" END, 400),
	E(POST "Content-Length: 5.0\r\n" END, 400),
	E(POST "Content-Length: 0x5\r\n" END, 400),
	E(POST "Content-Length: 5a\r\n" END, 400),
	E(POST "Content-Length: 5 5\r\n" END, 400),
	E(POST "Content-Length: 5, 5\r\n" END, 400),
	E(POST "Content-Length: 5,\r\n" END, 400),
	E(POST "Content-Length: \xd9\xa5\r\n" END, 400),
	E(POST "Content-Length: 5\r\nContent-Length: 5\r\n" END, 400),
	E(POST "Content-Length: 5\r\ncontent-length: 6\r\n" END, 400),
	E(POST "Content-Length : 5\r\n" END, 400),
	E(POST "Content-Length: 5\r\n\t\r\n" END, 400),
	E(POST "Transfer-Encoding: chunked\r\n" END, OK),
	E(POST "transfer-encoding:CHUNKED\r\n" END, OK),
	E(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END, 400),
	E(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, 400),
	E(POST "Content-Length: 5\r\nTransfer-Encoding: identity\r\n" END, 400),
	E(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END,
	    400),
	E(POST "Transfer-Encoding: chunked, chunked\r\n" END, 400),
	E(POST "Transfer-Encoding: gzip, chunked\r\n" END, 400),
	E(POST "Transfer-Encoding: chunked, identity\r\n" END, 400),
	E(POST "Transfer-Encoding: chunked;q=1\r\n" END, 400),
	E(POST "Transfer-Encoding: \"chunked\"\r\n" END, 400),
	E(POST "Transfer-Encoding: xchunked\r\n" END, 400),
	E(POST "Transfer-Encoding: chunked\x0b\r\n" END, 400),
	E(POST "Transfer-Encoding: ,chunked\r\n" END, 400),
	E(POST "Transfer-Encoding: gzip\r\n" END, 400),
	E(POST "Transfer-Encoding: identity\r\n" END, 400),
	E(POST "Transfer-Encoding:\r\n" END, 400),
	E(POST "Transfer-Encoding : chunked\r\n" END, 400),
	E(POST "Transfer-Encoding\t: chunked\r\n" END, 400),
	E(POST "Transfer-Encoding:\r\n chunked\r\n" END, 400),
	E("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
	E("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", OK),
};

static int
outcome(int r)
{
	return r > 0 ? OK : -r;
}

/* What the reader makes of the bytes when it sees them in one piece. */
static int
at_once(const char *p, size_t n, const struct http_limits *limits,
    struct http_request *req)
{
	struct http_pos pos = { 0 };

	return http_parse_head(p, n, limits, &pos, req);
}

/* The same with growing prefixes, step bytes at a time after the first; a decision is final. */
static int
in_steps(const char *bytes, size_t n, size_t first, size_t step,
    const struct http_limits *limits)
{
	struct http_pos pos = { 0 };
	struct http_request req;

	for (size_t k = first;; k = k + step < n ? k + step : n) {
		int r = http_parse_head(guarded(bytes, k), k, limits, &pos, &req);

		if (r != 0 || k == n)
			return r;
	}
}

static void
check_splits(
    const char *bytes, size_t n, const struct http_limits *limits, int expected)
{
	struct http_request req;
	int whole = at_once(guarded(bytes, n), n, limits, &req);
	size_t stride = n > 2000 ? 131 : 1;

	if (outcome(whole) != expected)
		fail_msg("\"%.*s\": %d instead of %d", (int)n, bytes, whole,
		    expected);
	assert_int_equal(in_steps(bytes, n, 0, 1, limits), whole);
	assert_int_equal(in_steps(bytes, n, 0, 7, limits), whole);
	for (size_t first = 0; first <= n; first += stride) {
		int r = in_steps(bytes, n, first, n, limits);

		if (r != whole)
			fail_msg("\"%.*s\": %d when split at %zu, else %d",
			    (int)n, bytes, r, first, whole);
	}
}

static void
test_heads(void **state)
{
	(void)state;
	assert_true(sizeof(heads) / sizeof(heads[0]) >= 80);
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		check_splits(
		    heads[i].bytes, heads[i].n, &http_limits, heads[i].status);
}

/* Nothing behind the head changes what is made of it. */
static void
test_heads_followed(void **state)
{
	char buf[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct http_request req;
		size_t n = heads[i].n;
		int r;

		if (heads[i].status == MORE)
			continue;
		memcpy(buf, heads[i].bytes, n);
		memcpy(buf + n, "\0\nrest", 6);
		r = at_once(guarded(buf, n + 6), n + 6, &http_limits, &req);
		assert_int_equal(outcome(r), heads[i].status);
		if (r > 0)
			assert_int_equal(r, n);
	}
}

static void
assert_slice(struct cab_slice s, const char *text)
{
	assert_non_null(s.p);
	assert_int_equal(s.n, strlen(text));
	assert_memory_equal(s.p, text, s.n);
}

static struct http_request
good(const char *text)
{
	struct http_request req;
	size_t n = strlen(text);

	assert_int_equal(at_once(guarded(text, n), n, &http_limits, &req), n);
	return req;
}

static void
test_request(void **state)
{
	struct http_request r;

	(void)state;
	r = good("GET /a%20b?c=%2f HTTP/1.1\r\nhOsT:  x.example:81 \r\n"
		 "Range: bytes=0-1\r\nIf-Range: \"e\"\r\nIf-Match: *\r\n"
		 "If-None-Match: \"a\", W/\"b\"\r\nIf-Modified-Since: d1\r\n"
		 "If-Unmodified-Since: d2\r\n\r\n");
	assert_int_equal(r.method, HTTP_GET);
	assert_int_equal(r.form, HTTP_ORIGIN);
	assert_int_equal(r.minor, 1);
	assert_true(r.keep_alive);
	assert_true(r.encoded);
	assert_slice(r.method_text, "GET");
	assert_slice(r.target, "/a%20b?c=%2f");
	assert_slice(r.path, "/a%20b");
	assert_slice(r.query, "?c=%2f");
	assert_slice(r.host, "x.example:81");
	assert_slice(r.field[HTTP_F_RANGE], "bytes=0-1");
	assert_slice(r.field[HTTP_F_IF_RANGE], "\"e\"");
	assert_slice(r.field[HTTP_F_IF_MATCH], "*");
	assert_slice(r.field[HTTP_F_IF_NONE_MATCH], "\"a\", W/\"b\"");
	assert_slice(r.field[HTTP_F_IF_MODIFIED_SINCE], "d1");
	assert_slice(r.field[HTTP_F_IF_UNMODIFIED_SINCE], "d2");
	assert_false(r.chunked || r.has_length);
	assert_true(http_has(&r, HTTP_F_RANGE));
	assert_true(r.seen & HTTP_F_CONDITIONS);

	r = good("HEAD / HTTP/1.0\r\n\r\n");
	assert_int_equal(r.method, HTTP_HEAD);
	assert_int_equal(r.minor, 0);
	assert_false(r.keep_alive || r.encoded);
	assert_null(r.host.p);
	assert_false(http_has(&r, HTTP_F_RANGE));
	assert_false(r.seen & HTTP_F_CONDITIONS);
	assert_int_equal(r.query.n, 0);
	assert_int_equal(r.fields.n, 0);

	r = good("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 42\r\n\r\n");
	assert_true(r.has_length);
	assert_int_equal(r.length, 42);
	r = good("POST /?% HTTP/1.1\r\nHost: a\r\n"
		 "Transfer-Encoding: Chunked\r\n\r\n");
	assert_true(r.chunked);
	assert_false(r.encoded);
}

static void
test_methods(void **state)
{
	static const char *const names[] = { "GET", "HEAD", "POST", "PUT",
		"DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "get", "GETX",
		"GE" };
	char text[100];

	(void)state;
	for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
		snprintf(text, sizeof(text), "%s %s HTTP/1.0\r\n\r\n", names[i],
		    i == HTTP_CONNECT ? "a:1" : "/");
		assert_int_equal(
		    good(text).method, i < HTTP_OTHER ? i : HTTP_OTHER);
	}
}

static void
test_targets(void **state)
{
	struct http_request r;

	(void)state;
	r = good("GET http://u.example:8?q HTTP/1.1\r\nHost: other\r\n\r\n");
	assert_int_equal(r.form, HTTP_ABSOLUTE);
	assert_slice(r.host, "u.example:8");
	assert_slice(r.path, "/");
	assert_slice(r.query, "?q");
	r = good("GET http://u.example/p/q HTTP/1.1\r\nHost: other\r\n\r\n");
	assert_slice(r.path, "/p/q");
	r = good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(r.form, HTTP_ASTERISK);
	assert_slice(r.path, "*");
	r = good("CONNECT a:1 HTTP/1.1\r\nHost: b\r\n\r\n");
	assert_int_equal(r.form, HTTP_AUTHORITY);
	assert_slice(r.host, "a:1");
}

static void
test_connection(void **state)
{
	static const struct {
		const char *text;
		bool keep;
	} cases[] = {
		{ "1.1\r\nHost: a\r\n", true },
		{ "1.1\r\nHost: a\r\nConnection: close\r\n", false },
		{ "1.1\r\nHost: a\r\nConnection: foo, CLOSE ,bar\r\n", false },
		{ "1.1\r\nHost: a\r\nConnection: closed\r\n", true },
		{ "1.1\r\nHost: a\r\nConnection: keep-alive\r\n", true },
		{ "1.1\r\nHost: a\r\nConnection: keep-alive\r\n"
		  "Connection: close\r\n",
		    false },
		{ "1.0\r\n", false },
		{ "1.0\r\nConnection: Keep-Alive\r\n", true },
		{ "1.0\r\nConnection: keep-alive, close\r\n", false },
		{ "1.0\r\nConnection: upgrade,,keep-alive\r\n", true },
	};
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "GET / HTTP/%s\r\n", cases[i].text);
		assert_int_equal(good(text).keep_alive, cases[i].keep);
	}
}

static void
test_expect(void **state)
{
	(void)state;
	assert_int_equal(good(GET END).expect, HTTP_EXPECT_NOTHING);
	assert_int_equal(good(GET "Expect: 100-Continue\r\n" END).expect,
	    HTTP_EXPECT_CONTINUE);
	assert_int_equal(
	    good(GET "Expect: tea\r\n" END).expect, HTTP_EXPECT_UNKNOWN);
	assert_int_equal(
	    good(GET "Expect: 100-continue\r\nExpect: tea\r\n" END).expect,
	    HTTP_EXPECT_UNKNOWN);
	assert_int_equal(
	    good(GET "Expect: tea\r\nExpect: 100-continue\r\n" END).expect,
	    HTTP_EXPECT_UNKNOWN);
	assert_int_equal(
	    good("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expect,
	    HTTP_EXPECT_NOTHING);
}

static void
test_fields(void **state)
{
	struct http_request r = good(
	    GET "A:b\r\nc-D: \t e f \r\nG:\r\nH: i:j\r\n" END);
	static const char *const expected[] = { "Host", "a", "A", "b", "c-D",
		"e f", "G", "", "H", "i:j" };
	struct cab_slice rest = r.fields, name, value;
	size_t i = 0;

	(void)state;
	while (http_next_field(&rest, &name, &value)) {
		assert_true(i + 2 <= sizeof(expected) / sizeof(expected[0]));
		assert_slice(name, expected[i++]);
		assert_slice(value, expected[i++]);
	}
	assert_int_equal(i, sizeof(expected) / sizeof(expected[0]));
}

static void
test_members(void **state)
{
	struct cab_slice list = CAB_SLICE(" a ,, b c\t,\td"), member;

	(void)state;
	assert_true(http_next_member(&list, &member));
	assert_slice(member, "a");
	assert_true(http_next_member(&list, &member));
	assert_slice(member, "b c");
	assert_true(http_next_member(&list, &member));
	assert_slice(member, "d");
	assert_false(http_next_member(&list, &member));
}

/* ---- limits ---- */

/* A head whose request line and header section have these lengths, in fields of at most 1000 bytes. */
static size_t
make_head(char *to, size_t line, size_t section)
{
	static const char start[] = "GET /", tail[] = " HTTP/1.1";
	size_t path = line - (sizeof(start) - 1) - (sizeof(tail) - 1), n = 0;

	n += append(to, start);
	memset(to + n, 'p', path);
	n += path;
	n += append(to + n, tail);
	n += append(to + n, "\r\nHost: a\r\n");
	section -= 9 + 2;
	while (section > 0) {
		size_t field = section < 2000 ? section : 1000;

		memset(to + n, 'f', field);
		to[n + 1] = ':';
		memcpy(to + n + field - 2, "\r\n", 2);
		n += field;
		section -= field;
	}
	n += append(to + n, "\r\n");
	return n;
}

static void
test_limits(void **state)
{
	static char buf[GUARD_SIZE];
	static const struct {
		size_t line, section;
		int status;
	} cases[] = {
		{ 8192, 100, OK },
		{ 8193, 100, 414 },
		{ 8200, 100, 414 },
		{ 20000, 100, 414 },
		{ 100, 16384, OK },
		{ 100, 16385, 431 },
		{ 100, 16386, 431 },
		{ 100, 16387, 431 },
		{ 100, 30000, 431 },
		{ 8192, 16384, OK },
		{ 8192, 16385, 431 },
		{ 8193, 16385, 414 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = make_head(buf, cases[i].line, cases[i].section);

		check_splits(buf, n, &http_limits, cases[i].status);
	}
	/* No line end at all: refused as soon as it cannot fit, not later. */
	memset(buf, 'a', sizeof(buf));
	check_splits(buf, 8192, &http_limits, MORE);
	check_splits(buf, 8193, &http_limits, 414);
	/* A byte that no head may hold is what counts, if it comes first. */
	buf[8191] = 1;
	check_splits(buf, 9000, &http_limits, 400);
	buf[8192] = buf[8191] = 'a';
	buf[8193] = 1;
	check_splits(buf, 9000, &http_limits, 414);
}

static void
test_field_count(void **state)
{
	char buf[2000];

	(void)state;
	for (unsigned fields = 62; fields <= 66; fields++) {
		size_t n = (size_t)snprintf(buf, sizeof(buf), GET);

		for (unsigned i = 1; i < fields; i++)
			n += (size_t)snprintf(
			    buf + n, sizeof(buf) - n, "X%u: y\r\n", i);
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "\r\n");
		check_splits(buf, n, &http_limits, fields <= 64 ? OK : 431);
	}
}

static void
test_small_limits(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
	struct http_limits limits = { 14, 17, 2 };
	size_t n = sizeof(text) - 1;

	(void)state;
	check_splits(text, n, &limits, OK);
	limits.line_max--;
	check_splits(text, n, &limits, 414);
	limits.line_max++;
	limits.head_max--;
	check_splits(text, n, &limits, 431);
	limits.head_max++;
	limits.fields_max--;
	check_splits(text, n, &limits, 431);
}

/* ---- chunked bodies ---- */

#define MAX_BODY 100

static const struct entry bodies[] = {
	E("0\r\n\r\n", OK),
	E("5\r\nhello\r\n0\r\n\r\n", OK),
	E("5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n", OK),
	E("A\r\n0123456789\r\n0\r\n\r\n", OK),
	E("a\r\n0123456789\r\n0\r\n\r\n", OK),
	E("0000000000000005\r\nhello\r\n0\r\n\r\n", OK),
	E("00\r\n\r\n", OK),
	E("5;a=b\r\nhello\r\n0;c\r\n\r\n", OK),
	E("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n", OK),
	E("0\r\nX: y\r\nZ:\r\n\r\n", OK),
	E("5\r\nhel\r\n\r\n0\r\n\r\n", OK),
	E("", MORE),
	E("5", MORE),
	E("5\r\nhel", MORE),
	E("5\r\nhello\r\n", MORE),
	E("0\r\n", MORE),
	E("0\r\n\r", MORE),
	E("0\r\nX: y\r\n", MORE),
	E("\r\n", 400),
	E("x\r\n", 400),
	E("-1\r\n", 400),
	E("+5\r\nhello\r\n", 400),
	E("0x5\r\nhello\r\n", 400),
	E(" 5\r\nhello\r\n", 400),
	E("5 \r\nhello\r\n", 400),
	E("5 ;a\r\nhello\r\n", 400),
	E("5\nhello\r\n", 400),
	E("5\rhello\r\n", 400),
	E("5\r\rhello\r\n", 400),
	E("5\r\nhello0\r\n\r\n", 400),
	E("5\r\nhello\n0\r\n\r\n", 400),
	E("5\r\nhello\rx", 400),
	E("5\r\nhelloworld\r\n", 400),
	E("5;a\nhello\r\n", 400),
	E("5;a\x01\r\nhello\r\n", 400),
	E("5;\0\r\nhello\r\n", 400),
	E("10000000000000000\r\n", 400),
	E("00000000000000005\r\n", 400),
	E("FFFFFFFFFFFFFFFFF\r\n", 400),
	E("FFFFFFFFFFFFFFFF\r\n", 413),
	E("7fffffffffffffff\r\n", 413),
	E("65\r\n", 413),
	E("5\r\nhello\r\n60\r\n", 413),
	E("5\r\nhello\r\nFFFFFFFFFFFFFFFF\r\n", 413),
	E("0\r\nX\r\n\r\n", 400),
	E("0\r\n: y\r\n\r\n", 400),
	E("0\r\n X: y\r\n\r\n", 400),
	E("0\r\nX : y\r\n\r\n", 400),
	E("0\r\nX: y\r\n z\r\n\r\n", 400),
	E("0\r\nX: y\nZ: a\r\n\r\n", 400),
	E("0\r\nX: y\rZ: a\r\n\r\n", 400),
	E("0\r\nX: \x7f\r\n\r\n", 400),
	E("0\r\n\n", 400),
	E("0\n\r\n", 400),
	E("0\r\n\rX", 400),
};

static int
chunked(const char *bytes, size_t n, size_t step, size_t *ret_used)
{
	struct http_chunked c = { 0 };
	int r = 0;

	*ret_used = 0;
	while (r == 0 && *ret_used < n) {
		size_t part = n - *ret_used < step ? n - *ret_used : step;
		size_t used = 0;

		r = http_chunked_read(&c, guarded(bytes + *ret_used, part),
		    part, MAX_BODY, &used);
		assert_true(used <= part);
		if (r == 0)
			assert_int_equal(used, part);
		*ret_used += used;
	}
	return r;
}

static void
test_chunked(void **state)
{
	char buf[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		size_t n = bodies[i].n, used;

		memcpy(buf, bodies[i].bytes, n);
		memcpy(buf + n, "next", 4);
		for (size_t step = 1; step <= n + 4; step++) {
			bool more = bodies[i].status == MORE;
			int r = chunked(buf, more ? n : n + 4, step, &used);

			if (outcome(r) != bodies[i].status)
				fail_msg("\"%s\" by %zu: %d instead of %d",
				    bodies[i].bytes, step, r, bodies[i].status);
			if (r == 1)
				assert_int_equal(used, n);
		}
	}
}

static void
test_chunked_limits(void **state)
{
	static char buf[40000];
	size_t n, used;

	(void)state;
	/* One long extension, and many short ones, count alike. */
	n = append(buf, "1;");
	memset(buf + n, 'x', 9000);
	assert_int_equal(chunked(buf, n + 8192, SIZE_MAX, &used), 0);
	assert_int_equal(chunked(buf, n + 8193, SIZE_MAX, &used), -400);
	n = append(buf, "0\r\nX:");
	memset(buf + n, 'x', 9000);
	assert_int_equal(chunked(buf, n + 8190, SIZE_MAX, &used), 0);
	assert_int_equal(chunked(buf, n + 8191, SIZE_MAX, &used), -431);
	n = append(buf, "0\r\n");
	for (int i = 0; i < 64; i++)
		n += append(buf + n, "X: y\r\n");
	memcpy(buf + n, "\r\n", 2);
	assert_int_equal(chunked(buf, n + 2, SIZE_MAX, &used), 1);
	memcpy(buf + n, "X: y\r\n", 6);
	assert_int_equal(chunked(buf, n + 6, SIZE_MAX, &used), -431);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_heads_followed),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_expect),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_field_count),
		cmocka_unit_test(test_small_limits),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_chunked_limits),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
