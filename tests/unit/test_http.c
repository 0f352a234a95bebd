/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mini-HTTP on a connection, over the in-memory transport: routes, methods,
 * keep-alive, pipelining, bodies, errors, deadlines, back-pressure, refusals.
 * Files are in test_http_file.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/builtin.h"
#include "proto/http.h"
#include "tests/support/http_client.h"
#include "tests/support/mem.h"

#define HOST "Host: a\r\n"
#define GET  "GET /hello HTTP/1.1\r\n" HOST "\r\n"
#define POST "POST /inspect HTTP/1.1\r\n" HOST
#define LAST "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"

#define BIG  (200 * 1000)

static const char *const extra[] = { "X-One: 1", "Cache-Control: no-cache" };
static char big[BIG + 1];

static struct http_route_opts routes[] = {
	{ .path = "/hello", .status = 200, .body = "hi\n" },
	{ .path = "/down", .status = 503, .body = "down\n" },
	{ .path = "/empty", .status = 200, .body = "" },
	{ .path = "/nothing", .status = 204, .body = "" },
	{ .path = "/moved", .status = 302, .body = "", .headers = { extra, 2 } },
	{ .path = "/odd", .status = 299, .body = "odd" },
	{ .path = "/a b/\xc3\xa9", .status = 200, .body = "decoded" },
	{ .path = "/below", .prefix = true, .status = 200, .body = "prefix" },
	{ .path = "/below/deeper/", .prefix = true, .status = 200, .body = "longer" },
	{ .path = "/below/this", .status = 200, .body = "exact" },
	{ .path = "/big", .status = 200, .body = big },
	{ .path = "/inspect",
	    .status = 200,
	    .body = "",
	    .handler = HTTP_HANDLER_INSPECT },
};

static struct http_opts *opts;
static struct mem_service *service;

static int
set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)('a' + i % 23);
	for (size_t i = 0; i < CAB_N(routes); i++) {
		if (!routes[i].content_type)
			routes[i].content_type = "text/plain";
	}
	opts = mem_default_options(&http_group);
	if (!opts)
		return -1;
	opts->routes = (struct cab_groups){ routes, CAB_N(routes) };
	service = mem_service_new(&proto_http, opts, NULL, -1);
	return service ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	mem_service_free(service);
	free(opts);
	return 0;
}

static struct cab_slice
output(struct mem_conn *conn)
{
	struct cab_slice s;

	s.p = mem_output(conn, &s.n);
	return s;
}

static void
feed(struct mem_conn *conn, const char *text)
{
	mem_feed(conn, text, strlen(text));
}

static struct mem_conn *
ask(const char *text)
{
	struct mem_conn *conn = mem_open(service);

	feed(conn, text);
	return conn;
}

/* The only reply to a request; the connection is freed, the reply stays valid until the next call. */
static struct http_reply
reply_to(const char *text)
{
	static char kept[BIG + 1000];
	struct mem_conn *conn = ask(text);
	struct cab_slice out = output(conn);
	struct http_reply reply;

	assert_true(out.n < sizeof(kept));
	memcpy(kept, out.p, out.n);
	out.p = kept;
	mem_free(conn);
	assert_true(client_next(&out, strncmp(text, "HEAD", 4) == 0, &reply));
	assert_int_equal(out.n, 0);
	return reply;
}

static void
expect_next(struct cab_slice *out, int status, const char *body)
{
	struct http_reply reply;

	assert_true(client_next(out, false, &reply));
	assert_int_equal(reply.status, status);
	if (body)
		client_expect_body(&reply, body);
}

/* ---- replies ---- */

static void
test_route(void **state)
{
	struct http_reply r = reply_to(GET);

	(void)state;
	assert_int_equal(r.status, 200);
	client_expect_body(&r, "hi\n");
	client_expect_field(&r, "Content-Type", "text/plain");
	client_expect_field(&r, "Server", "cabinetd");
	client_expect_field(&r, "Date", "Sat, 21 Nov 2026 06:42:05 GMT");
	client_expect_field(&r, "Connection", NULL);
}

static void
test_routes(void **state)
{
	static const struct {
		const char *target;
		int status;
		const char *body;
	} cases[] = {
		{ "/hello?x=y", 200, "hi\n" },
		{ "/h%65llo", 200, "hi\n" },
		{ "http://other/hello", 200, "hi\n" },
		{ "/hello/", 404, NULL },
		{ "/hell", 404, NULL },
		{ "/helloo", 404, NULL },
		{ "//hello", 404, NULL },
		{ "/HELLO", 404, NULL },
		{ "/", 404, NULL },
		{ "/down", 503, "down\n" },
		{ "/empty", 200, "" },
		{ "/odd", 299, "odd" },
		{ "/a%20b/%c3%a9", 200, "decoded" },
		{ "/a+b/%c3%a9", 404, NULL },
		{ "/below", 200, "prefix" },
		{ "/below/", 200, "prefix" },
		{ "/below/x/y", 200, "prefix" },
		{ "/belowx", 404, NULL },
		{ "/below/this", 200, "exact" },
		{ "/below/this/", 200, "prefix" },
		{ "/below/deeper", 200, "prefix" },
		{ "/below/deeper/", 200, "longer" },
		{ "/below/deeper/x", 200, "longer" },
		{ "/hello%2fx", 404, NULL },
		{ "/hello%00", 400, NULL },
		{ "/hello%0a", 400, NULL },
		{ "/hello%7f", 400, NULL },
		{ "/hello%", 400, NULL },
		{ "/hello%4", 400, NULL },
		{ "/hello%4x", 400, NULL },
		{ "/hello?%", 200, "hi\n" },
	};
	char text[300];

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		struct http_reply r;

		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n",
		    cases[i].target);
		r = reply_to(text);
		if (r.status != cases[i].status)
			fail_msg("%s: %d", cases[i].target, r.status);
		if (cases[i].body)
			client_expect_body(&r, cases[i].body);
	}
}

static void
test_route_fields(void **state)
{
	struct http_reply r = reply_to("GET /moved HTTP/1.1\r\n" HOST "\r\n");

	(void)state;
	client_expect_field(&r, "X-One", "1");
	client_expect_field(&r, "Cache-Control", "no-cache");
	client_expect_field(&r, "Content-Length", "0");
	client_expect_field(&r, "Content-Type", NULL);
	r = reply_to("GET /nothing HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(r.status, 204);
}

static void
test_head(void **state)
{
	static const char *const targets[] = { "/hello", "/down", "/big",
		"/absent", "/nothing", "/inspect" };

	(void)state;
	for (size_t i = 0; i < CAB_N(targets); i++) {
		char text[100], head[1000];
		struct http_reply r;
		size_t n;

		snprintf(text, sizeof(text), "HEAD %s HTTP/1.1\r\n" HOST "\r\n",
		    targets[i]);
		r = reply_to(text);
		n = r.head.n;
		assert_true(n < sizeof(head));
		memcpy(head, r.head.p, n);
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n",
		    targets[i]);
		r = reply_to(text);
		/* inspect tells the method, which has another length */
		if (strcmp(targets[i], "/inspect") != 0) {
			assert_int_equal(r.head.n, n);
			assert_memory_equal(r.head.p, head, n);
		}
	}
}

static void
test_date_moves_on(void **state)
{
	struct mem_conn *conn = ask(GET);
	struct cab_slice out;
	struct http_reply r;

	(void)state;
	mem_advance(service, 2000);
	mem_clear_output(conn);
	feed(conn, GET);
	out = output(conn);
	assert_true(client_next(&out, false, &r));
	client_expect_field(&r, "Date", "Sat, 21 Nov 2026 06:42:07 GMT");
	mem_free(conn);
}

static void
test_one_write(void **state)
{
	struct mem_conn *conn = ask(GET);

	(void)state;
	assert_int_equal(mem_writes(conn), 1);
	feed(conn, GET);
	assert_int_equal(mem_writes(conn), 2);
	assert_int_equal(mem_stashed(conn), 0);
	feed(conn, GET GET GET);
	assert_int_equal(mem_writes(conn), 3);
	mem_free(conn);
}

static void
test_no_server_field(void **state)
{
	struct http_reply r;

	(void)state;
	mem_service_free(service);
	opts->server = "";
	service = mem_service_new(&proto_http, opts, NULL, -1);
	r = reply_to(GET);
	client_expect_field(&r, "Server", NULL);
	r = reply_to("GET /absent HTTP/1.0\r\n\r\n");
	client_expect_field(&r, "Server", NULL);
}

static void
test_errors_are_counted(void **state)
{
	(void)state;
	reply_to("GET /down HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(mem_errors(service), 0);
	reply_to("GET /absent HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(mem_errors(service), 1);
	reply_to("G\x01");
	assert_int_equal(mem_errors(service), 2);
}

/* ---- methods ---- */

static void
test_methods(void **state)
{
	static const char read_only[] = "GET, HEAD, OPTIONS";
	static const char all[] = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";
	static const struct {
		const char *line;
		int status;
		const char *allow;
	} cases[] = {
		{ "POST /hello", 405, read_only },
		{ "PUT /hello", 405, read_only },
		{ "DELETE /absent", 405, read_only },
		{ "PATCH /", 405, read_only },
		{ "TRACE /hello", 405, read_only },
		{ "CONNECT a:80", 405, read_only },
		{ "OPTIONS /hello", 204, read_only },
		{ "OPTIONS *", 204, read_only },
		{ "OPTIONS /inspect", 204, all },
		{ "TRACE /inspect", 405, all },
		{ "POST /inspect", 200, NULL },
		{ "DELETE /inspect", 200, NULL },
		{ "PATCH /inspect", 200, NULL },
		{ "get /hello", 501, read_only },
		{ "PROPFIND /hello", 501, read_only },
		{ "BREW *", 400, NULL },
		{ "BREW /hello", 501, read_only },
	};
	char text[200];

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		struct http_reply r;

		snprintf(text, sizeof(text), "%s HTTP/1.1\r\n" HOST "\r\n",
		    cases[i].line);
		r = reply_to(text);
		if (r.status != cases[i].status)
			fail_msg("%s: %d", cases[i].line, r.status);
		client_expect_field(&r, "Allow", cases[i].allow);
	}
}

static void
test_inspect(void **state)
{
	static const char request[] =
	    "PUT /inspect?a=%22 HTTP/1.1\r\nHost: a\r\nX-A: \"\\\xff\t<\r\n"
	    "COOKIE: 1\r\nX: y\r\ncookie: 2\r\nContent-Length: 3\r\n\r\nabc";
	struct http_reply r = reply_to(request);

	(void)state;
	client_expect_body(&r,
	    "{\n"
	    "  \"method\": \"PUT\",\n"
	    "  \"target\": \"/inspect?a=%22\",\n"
	    "  \"version\": \"HTTP/1.1\",\n"
	    "  \"peer\": { \"address\": \"192.0.2.1\", \"port\": 40000 },\n"
	    "  \"headers\": {\n"
	    "    \"Host\": \"a\",\n"
	    "    \"X-A\": \"\\\"\\\\\\u00ff\\u0009\\u003c\",\n"
	    "    \"COOKIE\": \"1, 2\",\n"
	    "    \"X\": \"y\",\n"
	    "    \"Content-Length\": \"3\"\n"
	    "  }\n"
	    "}\n");
	client_expect_field(&r, "Content-Type", "application/json");
	client_expect_field(&r, "Cache-Control", "no-store");
	r = reply_to("GET /inspect HTTP/1.0\r\n\r\n");
	client_expect_body(&r,
	    "{\n"
	    "  \"method\": \"GET\",\n"
	    "  \"target\": \"/inspect\",\n"
	    "  \"version\": \"HTTP/1.0\",\n"
	    "  \"peer\": { \"address\": \"192.0.2.1\", \"port\": 40000 },\n"
	    "  \"headers\": {\n"
	    "  }\n"
	    "}\n");
}

static void
test_inspect_large(void **state)
{
	static char text[20000];
	size_t n = (size_t)snprintf(
	    text, sizeof(text), "GET /inspect HTTP/1.1\r\n" HOST "X: ");
	struct http_reply r;

	(void)state;
	memset(text + n, 0x80, 16000);
	memcpy(text + n + 16000, "\r\n\r\n", 5);
	r = reply_to(text);
	assert_int_equal(r.status, 200);
	assert_true(r.body.n > 6 * 16000);
}

/* What inspect says of head and body, in two pieces if at > 0. */
static size_t
inspected(struct mem_conn *conn, const char *text, size_t at, char *reply)
{
	struct cab_slice out;

	mem_clear_output(conn);
	mem_feed(conn, text, at);
	mem_feed(conn, text + at, strlen(text) - at);
	out = output(conn);
	memcpy(reply, out.p, out.n);
	return out.n;
}

/* A head that comes again is not read again: nobody can tell, whatever came
 * between, and however it came. */
static void
test_head_again(void **state)
{
#define INSPECT " /inspect HTTP/1.1\r\n" HOST
	static char long_head[1300], expected[10][8000];
	const char *texts[] = {
		"GET" INSPECT "\r\n",
		"GET" INSPECT "X: a\r\n\r\n",
		"GET" INSPECT "X: b\r\n\r\n",
		"\r\nGET" INSPECT "X: b\r\n\r\n",
		"GET /inspect?a=%20b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"POST" INSPECT "Content-Length: 3\r\n\r\nabc",
		"POST" INSPECT "Content-Length: 3\r\n\r\nGET",
		"POST" INSPECT "Transfer-Encoding: chunked\r\n\r\n"
		"1\r\nx\r\n0\r\n\r\n",
		"PUT" INSPECT "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		long_head,
	};
	struct mem_conn *conn = mem_open(service);
	size_t lengths[CAB_N(texts)];
	char reply[8000];
	int n = snprintf(
	    long_head, sizeof(long_head), "GET" INSPECT "X: %01100d\r\n\r\n", 7);

	(void)state;
	assert_true(n > 1100 && (size_t)n < sizeof(long_head));
	for (size_t i = 0; i < CAB_N(texts); i++) {
		(void)inspected(conn, GET, 0, reply);
		lengths[i] = inspected(conn, texts[i], 0, expected[i]);
		assert_true(lengths[i] > 0 && lengths[i] < sizeof(reply));
	}
	for (size_t i = 0; i < CAB_N(texts) * CAB_N(texts); i++) {
		const char *before = texts[i / CAB_N(texts)];
		size_t k = i % CAB_N(texts), whole = strlen(texts[k]);

		for (size_t at = 0; at < whole; at += at > 100 ? whole / 7 : 9) {
			(void)inspected(conn, before, 0, reply);
			for (int again = 0; again < 2; again++) {
				assert_int_equal(
				    inspected(conn, texts[k], at, reply),
				    lengths[k]);
				assert_memory_equal(
				    reply, expected[k], lengths[k]);
			}
		}
	}
	mem_free(conn);
}

/* ---- connections ---- */

static void
test_keep_alive(void **state)
{
	static const struct {
		const char *request;
		bool closes;
		const char *connection;
	} cases[] = {
		{ GET, false, NULL },
		{ LAST, true, "close" },
		{ "GET /hello HTTP/1.0\r\n\r\n", true, "close" },
		{ "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		    false, "keep-alive" },
		{ "GET /absent HTTP/1.1\r\n" HOST "\r\n", false, NULL },
		{ "POST /hello HTTP/1.1\r\n" HOST "\r\n", false, NULL },
		{ "BREW /hello HTTP/1.1\r\n" HOST "\r\n", false, NULL },
		{ "GET /hello%00 HTTP/1.1\r\n" HOST "\r\n", false, NULL },
		{ "GET /hello HTTP/1.1\r\n\r\n", true, "close" },
		{ "GET /hello HTTP/2.0\r\n\r\n", true, "close" },
		{ "nonsense\r\n\r\n", true, "close" },
		{ "GET /big HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
		    true, "close" },
		{ "GET /hello HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n", false,
		    NULL },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		struct mem_conn *conn = ask(cases[i].request);
		struct cab_slice out = output(conn);
		struct http_reply r;

		assert_true(client_next(&out, false, &r));
		assert_int_equal(out.n, 0);
		client_expect_field(&r, "Connection", cases[i].connection);
		assert_int_equal(mem_finished(conn), cases[i].closes);
		mem_free(conn);
	}
}

static const char pipeline[] = "GET /hello HTTP/1.1\r\n" HOST "\r\n"
			       "\r\nHEAD /big HTTP/1.1\r\n" HOST "\r\n"
			       "POST /inspect HTTP/1.1\r\n" HOST
			       "Content-Length: 5\r\n\r\nGET /"
			       "GET /absent HTTP/1.1\r\n" HOST "X: y\r\n\r\n"
			       "POST /hello HTTP/1.1\r\n" HOST
			       "Transfer-Encoding: chunked\r\n\r\n"
			       "5;x=y\r\nabcde\r\n1\r\nf\r\n0\r\nT: u\r\n\r\n"
			       "GET /nothing HTTP/1.1\r\n" HOST "\r\n"
			       "GET /big HTTP/1.1\r\n" HOST "\r\n"
			       "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"
			       "GET /hello HTTP/1.1\r\n" HOST
			       "Connection: close\r\n\r\n"
			       "GET /never HTTP/1.1\r\n" HOST "\r\n";

static void
check_pipeline(struct mem_conn *conn)
{
	static const int statuses[] = { 200, 200, 200, 404, 405, 204, 200, 204,
		200 };
	struct cab_slice out = output(conn);

	for (size_t i = 0; i < CAB_N(statuses); i++) {
		struct http_reply r;

		assert_true(client_next(&out, i == 1, &r));
		assert_int_equal(r.status, statuses[i]);
		if (i == 6)
			client_expect_body(&r, big);
	}
	assert_int_equal(out.n, 0);
	assert_true(mem_finished(conn));
}

static void
test_pipelining(void **state)
{
	size_t n = sizeof(pipeline) - 1;

	(void)state;
	for (size_t step = 1; step <= n; step = step < 20 ? step + 1 : step * 2) {
		struct mem_conn *conn = mem_open(service);

		mem_feed_split(conn, pipeline, n, step);
		check_pipeline(conn);
		mem_free(conn);
	}
	for (size_t at = 1; at < n; at++) {
		struct mem_conn *conn = mem_open(service);

		mem_feed(conn, pipeline, at);
		mem_feed(conn, pipeline + at, n - at);
		check_pipeline(conn);
		mem_free(conn);
	}
}

/* A reader that takes a few bytes at a time gets the same. */
static void
test_slow_reader(void **state)
{
	struct mem_conn *conn = mem_open(service);

	(void)state;
	mem_window(conn, 0);
	mem_feed(conn, pipeline, sizeof(pipeline) - 1);
	for (int i = 0; i < 100000 && !mem_finished(conn); i++)
		mem_window(conn, 997);
	check_pipeline(conn);
	mem_free(conn);
}

/* A reader that does not read holds up the requests behind. */
static void
test_input_held_up(void **state)
{
	enum {
		N = 3000
	};
	struct mem_conn *conn = mem_open(service);
	struct cab_slice out;

	(void)state;
	mem_window(conn, 0);
	for (int i = 0; i < N; i++)
		feed(conn, GET);
	assert_true(mem_stashed(conn) < 70000);
	mem_window(conn, 100);
	assert_int_equal(output(conn).n, 100);
	mem_window(conn, SIZE_MAX);
	out = output(conn);
	for (int i = 0; i < N; i++)
		expect_next(&out, 200, "hi\n");
	assert_int_equal(out.n, 0);
	mem_free(conn);
}

static void
test_half_close(void **state)
{
	struct mem_conn *conn = ask(GET GET);
	struct cab_slice out;

	(void)state;
	mem_half_close(conn);
	out = output(conn);
	expect_next(&out, 200, "hi\n");
	expect_next(&out, 200, "hi\n");
	assert_int_equal(out.n, 0);
	assert_true(mem_closed(conn));
	mem_free(conn);

	/* a reader that was held up until then */
	conn = mem_open(service);
	mem_window(conn, 10);
	feed(conn, GET GET);
	mem_half_close(conn);
	mem_window(conn, SIZE_MAX);
	out = output(conn);
	expect_next(&out, 200, "hi\n");
	expect_next(&out, 200, "hi\n");
	assert_true(mem_closed(conn));
	mem_free(conn);
}

static void
test_half_close_within(void **state)
{
	static const char *const texts[] = { "G", "GET / HTTP/1.1\r\n",
		"GET / HTTP/1.1\r\n" HOST "\r",
		POST "Content-Length: 5\r\n\r\nab",
		POST "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n" };

	(void)state;
	for (size_t i = 0; i < CAB_N(texts); i++) {
		struct mem_conn *conn = ask(texts[i]);
		struct cab_slice out;

		mem_half_close(conn);
		out = output(conn);
		expect_next(&out, 400, NULL);
		assert_int_equal(out.n, 0);
		assert_true(mem_closed(conn));
		mem_free(conn);
	}
	for (size_t i = 0; i < 3; i++) {
		struct mem_conn *conn = ask(i ? "\r" : "");

		if (i == 2)
			feed(conn, "\n");
		mem_half_close(conn);
		assert_int_equal(output(conn).n, 0);
		assert_true(mem_closed(conn));
		mem_free(conn);
	}
}

static void
test_reset(void **state)
{
	static const char *const texts[] = { "", "GET", GET,
		POST "Content-Length: 5\r\n\r\nab" };

	(void)state;
	for (size_t i = 0; i < CAB_N(texts); i++) {
		struct mem_conn *conn = ask(texts[i]);

		mem_reset(conn);
		assert_true(mem_closed(conn));
		mem_free(conn);
	}
}

/* ---- bad requests ---- */

static void
test_bad_requests(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "\x16\x03\x01", 400 },
		{ "GET / HTTP/1.1\n\n", 400 },
		{ "GET / HTTP/3.0\r\n\r\n", 505 },
		{ POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		    400 },
		{ POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400 },
		{ POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 400 },
		{ POST "Content-Length: 1048577\r\n\r\n", 413 },
		{ POST "Content-Length: 9223372036854775807\r\n\r\n", 413 },
		{ POST "Content-Length: 5\r\nExpect: tea\r\n\r\n", 417 },
		{ POST "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400 },
		{ POST "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeX", 400 },
		{ POST "Transfer-Encoding: chunked\r\n\r\n100001\r\n", 413 },
		{ POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX\r\n", 400 },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		for (size_t step = 1; step < 300; step *= 4) {
			struct mem_conn *conn = mem_open(service);
			char text[1000];
			struct cab_slice out;
			struct http_reply r;
			int n = snprintf(
			    text, sizeof(text), "%s%s", cases[i].text, GET);

			mem_feed_split(conn, text, (size_t)n, step);
			out = output(conn);
			assert_true(client_next(&out, false, &r));
			assert_int_equal(r.status, cases[i].status);
			client_expect_field(&r, "Connection", "close");
			/* Nothing behind it is taken for a request. */
			assert_int_equal(out.n, 0);
			assert_true(mem_finished(conn));
			mem_free(conn);
		}
	}
}

static void
test_limits(void **state)
{
	static char text[100000];
	struct mem_conn *conn;
	struct cab_slice out;

	(void)state;
	memset(text, 'x', sizeof(text));
	conn = mem_open(service);
	mem_feed(conn, text, sizeof(text));
	out = output(conn);
	expect_next(&out, 414, NULL);
	assert_true(mem_finished(conn));
	mem_free(conn);

	memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
	conn = mem_open(service);
	mem_feed(conn, text, sizeof(text));
	out = output(conn);
	expect_next(&out, 431, NULL);
	assert_true(mem_finished(conn));
	mem_free(conn);
}

/* ---- bodies ---- */

static void
test_bodies(void **state)
{
	struct http_opts small = *opts;
	struct mem_conn *conn;
	struct cab_slice out;
	char text[400];

	(void)state;
	mem_service_free(service);
	small.max_body = 10;
	service = mem_service_new(&proto_http, &small, NULL, -1);
	for (int n = 0; n <= 12; n++) {
		snprintf(text, sizeof(text),
		    POST "Content-Length: %d\r\n\r\n%.*s" LAST, n, n,
		    "GET /never HTTP/1.1");
		conn = ask(text);
		out = output(conn);
		expect_next(&out, n <= 10 ? 200 : 413, NULL);
		if (n <= 10)
			expect_next(&out, 200, "hi\n");
		assert_int_equal(out.n, 0);
		assert_true(mem_finished(conn));
		mem_free(conn);

		snprintf(text, sizeof(text),
		    POST "Transfer-Encoding: chunked\r\n\r\n"
			 "%x\r\n%.*s\r\n%s" LAST,
		    n, n, "GET /never HTTP/1.1", n ? "0\r\n\r\n" : "");
		conn = mem_open(service);
		mem_feed_split(conn, text, strlen(text), 3);
		out = output(conn);
		expect_next(&out, n <= 10 ? 200 : 413, NULL);
		if (n <= 10)
			expect_next(&out, 200, "hi\n");
		assert_int_equal(out.n, 0);
		mem_free(conn);
	}
	mem_service_free(service);
	service = mem_service_new(&proto_http, opts, NULL, -1);
}

static void
test_no_body_wanted(void **state)
{
	struct http_opts none = *opts;
	struct http_reply r;

	(void)state;
	mem_service_free(service);
	none.max_body = 0;
	service = mem_service_new(&proto_http, &none, NULL, -1);
	r = reply_to(POST "Content-Length: 1\r\n\r\n");
	assert_int_equal(r.status, 413);
	r = reply_to(POST "Content-Length: 0\r\n\r\n");
	assert_int_equal(r.status, 200);
	r = reply_to(POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	assert_int_equal(r.status, 200);
	r = reply_to(POST "Transfer-Encoding: chunked\r\n\r\n1\r\n");
	assert_int_equal(r.status, 413);
	mem_service_free(service);
	service = mem_service_new(&proto_http, opts, NULL, -1);
}

static void
test_expect(void **state)
{
#define EXPECT_5 "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	struct mem_conn *conn = ask(POST EXPECT_5);
	struct cab_slice out = output(conn);
	struct http_reply r;

	(void)state;
	assert_true(client_next(&out, false, &r));
	assert_int_equal(r.status, 100);
	assert_int_equal(r.head.n, 0);
	assert_int_equal(out.n, 0);
	mem_clear_output(conn);
	feed(conn, "abcdeGET /hello HTTP/1.1\r\n" HOST "\r\n");
	out = output(conn);
	expect_next(&out, 200, NULL);
	expect_next(&out, 200, "hi\n");
	assert_false(mem_finished(conn));
	mem_free(conn);

	/* The body is there already: nobody waits. */
	conn = ask(POST EXPECT_5 "abcde");
	out = output(conn);
	expect_next(&out, 200, NULL);
	assert_int_equal(out.n, 0);
	mem_free(conn);

	/* Refused whatever the body says: at once, and the end. */
	conn = ask("POST /hello HTTP/1.1\r\n" HOST EXPECT_5);
	out = output(conn);
	assert_true(client_next(&out, false, &r));
	assert_int_equal(r.status, 405);
	client_expect_field(&r, "Connection", "close");
	assert_true(mem_finished(conn));
	mem_free(conn);

	/* HTTP/1.0 knows no 100. */
	conn = ask("POST /inspect HTTP/1.0\r\n" EXPECT_5);
	assert_int_equal(output(conn).n, 0);
	feed(conn, "abcde");
	out = output(conn);
	expect_next(&out, 200, NULL);
	mem_free(conn);
}

/* ---- time ---- */

static void
test_header_deadline(void **state)
{
	struct mem_conn *conn = ask("GET / HT");

	(void)state;
	/* Bytes that trickle in do not buy time. */
	for (int i = 0; i < 9; i++) {
		mem_advance(service, 1000);
		feed(conn, "P");
		assert_int_equal(output(conn).n, 0);
	}
	mem_advance(service, 1100);
	struct cab_slice out = output(conn);
	expect_next(&out, 408, NULL);
	assert_true(mem_finished(conn));
	mem_free(conn);
}

static void
test_header_deadline_ends(void **state)
{
	struct mem_conn *conn = mem_open(service);
	struct cab_slice out;

	(void)state;
	for (int i = 0; i < 5; i++) {
		mem_feed(conn, GET, 10);
		mem_advance(service, 9000);
		mem_feed(conn, &GET[10], strlen(GET) - 10);
		/* Between requests only the idle time counts, and an empty line starts none. */
		feed(conn, "\r\n");
		mem_advance(service, 20000);
	}
	out = output(conn);
	for (int i = 0; i < 5; i++)
		expect_next(&out, 200, "hi\n");
	assert_int_equal(out.n, 0);
	assert_false(mem_finished(conn));
	mem_free(conn);
}

static void
test_body_deadline(void **state)
{
	struct mem_conn *conn = ask(POST "Content-Length: 500\r\n\r\n");
	struct cab_slice out;

	(void)state;
	for (int i = 0; i < 59; i++) {
		mem_advance(service, 1000);
		feed(conn, "x");
	}
	assert_int_equal(output(conn).n, 0);
	mem_advance(service, 1100);
	out = output(conn);
	expect_next(&out, 408, NULL);
	assert_true(mem_finished(conn));
	mem_free(conn);
}

static void
test_silence(void **state)
{
	struct mem_conn *silent = ask(""), *idle = ask(GET);
	struct mem_conn *within = ask(POST "Content-Length: 5\r\n\r\n");
	struct cab_slice out;

	(void)state;
	mem_clear_output(idle);
	mem_advance(service, 61000);
	assert_true(mem_closed(silent));
	assert_int_equal(output(silent).n, 0);
	out = output(within);
	expect_next(&out, 408, NULL);
	assert_false(mem_finished(idle));
	mem_advance(service, 240000);
	assert_true(mem_closed(idle));
	assert_int_equal(output(idle).n, 0);
	mem_free(silent);
	mem_free(idle);
	mem_free(within);
}

/* A request that waits because its client does not read is not late. */
static void
test_deadline_while_held_up(void **state)
{
	struct mem_conn *conn = mem_open(service);
	struct cab_slice out;

	(void)state;
	mem_window(conn, 100);
	feed(conn, "GET /big HTTP/1.1\r\n" HOST "\r\nGET /hel");
	for (int i = 0; i < 40; i++) {
		mem_advance(service, 1000);
		mem_window(conn, 100);
	}
	feed(conn, "lo HTTP/1.1\r\n" HOST "\r\n");
	mem_window(conn, SIZE_MAX);
	out = output(conn);
	expect_next(&out, 200, big);
	expect_next(&out, 200, "hi\n");
	mem_free(conn);
}

static void
test_reader_that_stops(void **state)
{
	struct mem_conn *conn = mem_open(service);

	(void)state;
	mem_window(conn, 100);
	feed(conn, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	mem_advance(service, 301000);
	assert_true(mem_closed(conn));
	mem_free(conn);
}

static void
test_shutdown(void **state)
{
	struct mem_conn *idle = ask(GET),
			*within = ask("GET /hello HTTP/1.1\r\n");
	struct mem_conn *body = ask(POST "Content-Length: 5\r\n\r\n");
	struct cab_slice out;
	struct http_reply r;

	(void)state;
	mem_clear_output(idle);
	mem_shutdown(idle);
	assert_true(mem_closed(idle));
	assert_int_equal(output(idle).n, 0);
	mem_shutdown(within);
	assert_false(mem_finished(within));
	feed(within, HOST "\r\n");
	out = output(within);
	assert_true(client_next(&out, false, &r));
	assert_int_equal(r.status, 200);
	client_expect_field(&r, "Connection", "close");
	assert_true(mem_finished(within));
	mem_shutdown(body);
	feed(body, "abcde");
	out = output(body);
	assert_true(client_next(&out, false, &r));
	client_expect_field(&r, "Connection", "close");
	assert_true(mem_finished(body));
	mem_free(idle);
	mem_free(within);
	mem_free(body);
}

/* ---- refusals ---- */

static void
test_refusals(void **state)
{
	static const struct {
		enum cab_refusal why;
		int status;
		const char *retry;
	} cases[] = {
		{ CAB_REFUSED_ACCESS, 403, NULL },
		{ CAB_REFUSED_CONNECTIONS, 503, "5" },
		{ CAB_REFUSED_PER_SOURCE, 429, "5" },
		{ CAB_REFUSED_RATE, 429, "10" },
		{ CAB_REFUSED_SOURCE_RATE, 429, "10" },
		{ CAB_REFUSED_SHUTDOWN, 503, "10" },
		{ CAB_REFUSED_RESOURCES, 503, "5" },
	};
	char words[512];

	(void)state;
	assert_int_equal(CAB_N(cases), CAB_REFUSED_MAX);
	for (size_t i = 0; i < CAB_N(cases); i++) {
		size_t n = proto_http.refuse(
		    mem_running(service), cases[i].why, words, sizeof(words));
		struct cab_slice out = { words, n };
		struct http_reply r;

		assert_true(client_next(&out, false, &r));
		assert_int_equal(out.n, 0);
		assert_int_equal(r.status, cases[i].status);
		client_expect_field(&r, "Retry-After", cases[i].retry);
		client_expect_field(&r, "Connection", "close");
		for (size_t cap = 0; cap < n; cap++) {
			memset(words, '#', sizeof(words));
			assert_int_equal(proto_http.refuse(mem_running(service),
					     cases[i].why, words, cap),
			    0);
			assert_int_equal(words[cap], '#');
		}
	}
}

/* ---- options ---- */

static unsigned complaints;
static char last_complaint[300];

static void complain(void *arg, const char *option, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
complain(void *arg, const char *option, const char *fmt, ...)
{
	va_list ap;

	(void)arg;
	(void)option;
	va_start(ap, fmt);
	vsnprintf(last_complaint, sizeof(last_complaint), fmt, ap);
	va_end(ap);
	complaints++;
}

static const struct cab_group *
route_group(void)
{
	for (size_t i = 0; i < http_group.n_opts; i++) {
		if (strcmp(http_group.opts[i].name, "routes") == 0)
			return http_group.opts[i].sub;
	}
	return NULL;
}

static void
expect_route(struct http_route_opts route, bool good)
{
	if (!route.path)
		route.path = "/x";
	if (!route.status)
		route.status = 200;
	if (!route.body)
		route.body = "";
	if (!route.content_type)
		route.content_type = "a/b";
	complaints = 0;
	route_group()->check(&route, complain, NULL);
	if ((complaints == 0) != good)
		fail_msg("%s: %s", route.path, last_complaint);
}

static void
expect_header(const char *line, bool good)
{
	expect_route((struct http_route_opts){ .headers = { &line, 1 } }, good);
}

static void
test_route_check(void **state)
{
	static char line[9000];
	static const char *const long_lines[] = { line };

	(void)state;
	expect_route((struct http_route_opts){ .path = "/" }, true);
	expect_route((struct http_route_opts){ .path = "x" }, false);
	expect_route((struct http_route_opts){ .path = "/x?y" }, false);
	expect_route((struct http_route_opts){ .path = "/x#y" }, false);
	expect_route((struct http_route_opts){ .path = "/%41" }, false);
	expect_route((struct http_route_opts){ .path = "/100%" }, true);
	expect_route((struct http_route_opts){ .path = "/%4" }, true);
	expect_route((struct http_route_opts){ .path = "/%%41" }, false);
	expect_route((struct http_route_opts){ .status = 204 }, true);
	expect_route(
	    (struct http_route_opts){ .status = 204, .body = "x" }, false);
	expect_route(
	    (struct http_route_opts){ .status = 304, .body = "x" }, false);
	expect_route(
	    (struct http_route_opts){ .handler = HTTP_HANDLER_INSPECT }, true);
	expect_route((struct http_route_opts){ .handler = HTTP_HANDLER_INSPECT,
			 .body = "x" },
	    false);
	expect_route((struct http_route_opts){ .handler = HTTP_HANDLER_INSPECT,
			 .status = 404 },
	    false);
	expect_route((struct http_route_opts){ .handler = HTTP_HANDLER_INSPECT,
			 .headers = { extra, 1 } },
	    false);
	expect_route((struct http_route_opts){ .content_type = "a/\xe9" }, false);
	expect_header("X: y", true);
	expect_header("X:", true);
	expect_header("Location: https://example.org/?a=b", true);
	expect_header("X", false);
	expect_header(": y", false);
	expect_header("X Y: z", false);
	expect_header("X : z", false);
	expect_header("X: y\r\nZ: a", false);
	expect_header("X: \xe9", false);
	expect_header("X: \x7f", false);
	expect_header("content-length: 5", false);
	expect_header("Transfer-Encoding: chunked", false);
	expect_header("CONNECTION: close", false);
	expect_header("Content-Type: a/b", false);
	expect_header("Date: now", false);
	memset(line, 'y', sizeof(line) - 1);
	memcpy(line, "X: ", 3);
	expect_route(
	    (struct http_route_opts){ .headers = { long_lines, 1 } }, false);
}

static void
test_group_check(void **state)
{
	struct http_route_opts twice[] = { { .path = "/x" }, { .path = "/y" },
		{ .path = "/x" } };
	const char *index[] = { "index.html", "a/b", ".hidden", "", ".." };
	struct http_opts o = { .server = "s" };

	(void)state;
	complaints = 0;
	o.routes = (struct cab_groups){ twice, 2 };
	o.index = (struct cab_strings){ index, 1 };
	http_group.check(&o, complain, NULL);
	assert_int_equal(complaints, 0);
	o.routes.n = 3;
	http_group.check(&o, complain, NULL);
	assert_int_equal(complaints, 1);
	assert_non_null(strstr(last_complaint, "/x"));
	twice[2].prefix = true; /* the path itself and all below it are two things */
	http_group.check(&o, complain, NULL);
	assert_int_equal(complaints, 1);
	o.server = "a\r\nX: y";
	http_group.check(&o, complain, NULL);
	assert_int_equal(complaints, 2);
	o.server = "";
	o.index.n = 5;
	http_group.check(&o, complain, NULL);
	assert_int_equal(complaints, 6);
}

static void
test_small_state(void **state)
{
	(void)state;
	assert_true(proto_http.state_size <= 64);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_route),
		T(test_routes),
		T(test_route_fields),
		T(test_head),
		T(test_date_moves_on),
		T(test_one_write),
		T(test_no_server_field),
		T(test_errors_are_counted),
		T(test_methods),
		T(test_inspect),
		T(test_inspect_large),
		T(test_head_again),
		T(test_keep_alive),
		T(test_pipelining),
		T(test_slow_reader),
		T(test_input_held_up),
		T(test_half_close),
		T(test_half_close_within),
		T(test_reset),
		T(test_bad_requests),
		T(test_limits),
		T(test_bodies),
		T(test_no_body_wanted),
		T(test_expect),
		T(test_header_deadline),
		T(test_header_deadline_ends),
		T(test_body_deadline),
		T(test_silence),
		T(test_deadline_while_held_up),
		T(test_reader_that_stops),
		T(test_shutdown),
		T(test_refusals),
		cmocka_unit_test(test_route_check),
		cmocka_unit_test(test_group_check),
		cmocka_unit_test(test_small_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
