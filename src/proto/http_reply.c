/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies of mini-HTTP.  Workers.  Nothing that a peer sent goes into a header
 * from here, except a redirect's target, whose bytes the request reader has
 * limited to visible ASCII.  No allocation except for prepared replies.
 */
#include "proto/http_reply.h"

#include <stdlib.h>

#include "base/clock.h"

/* ---- text ---- */

void
text_number(struct http_text *t, uint64_t n)
{
	char digits[20], *p = digits + sizeof(digits);

	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	text_add(t, p, (size_t)(digits + sizeof(digits) - p));
}

void
text_hex(struct http_text *t, uint64_t n)
{
	char digits[16], *p = digits + sizeof(digits);

	do {
		*--p = "0123456789abcdef"[n & 15];
		n >>= 4;
	} while (n > 0);
	text_add(t, p, (size_t)(digits + sizeof(digits) - p));
}

/* ---- heads ---- */

/* Sorted by status (RFC 9110, 15; RFC 6585). */
static const struct {
	unsigned status;
	const char *text;
} reasons[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 203, "Non-Authoritative Information" },
	{ 204, "No Content" },
	{ 205, "Reset Content" },
	{ 206, "Partial Content" },
	{ 300, "Multiple Choices" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 418, "I'm a teapot" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 423, "Locked" },
	{ 424, "Failed Dependency" },
	{ 425, "Too Early" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
	{ 511, "Network Authentication Required" },
};

const char *
http_reason(unsigned status)
{
	size_t low = 0, high = CAB_N(reasons);

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (reasons[mid].status == status)
			return reasons[mid].text;
		if (reasons[mid].status < status)
			low = mid + 1;
		else
			high = mid;
	}
	/* The class is what a client must understand (RFC 9110, 15). */
	return status < 300 ? "Success" :
	    status < 400    ? "Redirection" :
	    status < 500    ? "Client Error" :
			      "Server Error";
}

void
http_head_field(struct http_text *t, const char *name, const char *value)
{
	text_str(t, name);
	text_add(t, ": ", 2);
	text_str(t, value);
	text_add(t, "\r\n", 2);
}

void
http_head_length(struct http_text *t, uint64_t length)
{
	text_str(t, "Content-Length: ");
	text_number(t, length);
	text_add(t, "\r\n", 2);
}

size_t
http_head_date(unsigned status)
{
	return sizeof("HTTP/1.1 200 ") - 1 + strlen(http_reason(status)) +
	    sizeof("\r\nDate: ") - 1;
}

void
http_head_begin(struct http_text *t, const struct http_opts *opts, unsigned status)
{
	text_str(t, "HTTP/1.1 ");
	text_number(t, status);
	text_add(t, " ", 1);
	text_str(t, http_reason(status));
	text_str(t, "\r\nDate: ");
	text_add(t, clock_http_date(), HTTP_DATE_LEN);
	text_add(t, "\r\n", 2);
	if (opts->server[0])
		http_head_field(t, "Server", opts->server);
}

static struct cab_slice
connection_line(const struct http_turn *turn)
{
	if (!turn->keep)
		return CAB_SLICE("Connection: close\r\n");
	/* HTTP/1.0 keeps a connection only when both sides say so. */
	if (turn->req->minor == 0)
		return CAB_SLICE("Connection: keep-alive\r\n");
	return CAB_SLICE("");
}

void
http_head_end(struct http_text *t, const struct http_turn *turn)
{
	struct cab_slice line = connection_line(turn);

	text_add(t, line.p, line.n);
	text_add(t, "\r\n", 2);
}

/* The longest heads: a redirect to a whole request line, a route with
 * HTTP_HEADERS_MAX bytes of fields. */
static char scratch[HTTP_HEADERS_MAX + 4096];

struct http_text
http_scratch(void)
{
	return (struct http_text){ scratch, 0, sizeof(scratch) };
}

bool
http_send_head(struct http_turn *turn, const struct http_text *t)
{
	if (t->n > t->cap) {
		turn->keep = false;
		return false;
	}
	cab_write(turn->conn, t->p, t->n);
	return true;
}

/* ---- prepared replies ---- */

/* From here on content is handed on without a copy, if it may be. */
#define CANNED_COPY_MAX 8192

struct http_canned *
http_canned_new(unsigned status, const struct http_text *head, size_t body_n)
{
	struct http_canned *canned;

	if (head->n > head->cap)
		return NULL;
	canned = malloc(sizeof(*canned) + head->n + 2 + body_n);
	if (!canned)
		return NULL;
	canned->date = clock_wall();
	canned->status = status;
	canned->head_n = (uint32_t)head->n;
	canned->body_n = (uint32_t)body_n;
	canned->date_at = (uint32_t)http_head_date(status);
	canned->forever = false;
	memcpy(canned->bytes, head->p, head->n);
	memcpy(canned->bytes + head->n, "\r\n", 2);
	return canned;
}

void
http_canned_send(struct http_turn *turn, struct http_canned *canned)
{
	bool head = turn->req->method == HTTP_HEAD;
	bool copy = !canned->forever || canned->body_n < CANNED_COPY_MAX;
	size_t rest = 2 + (copy && !head ? canned->body_n : 0);
	struct cab_slice line = connection_line(turn);

	if (canned->date != clock_wall()) {
		memcpy(canned->bytes + canned->date_at, clock_http_date(),
		    HTTP_DATE_LEN);
		canned->date = clock_wall();
	}
	if (line.n == 0) {
		cab_write(turn->conn, canned->bytes, canned->head_n + rest);
	} else {
		cab_write(turn->conn, canned->bytes, canned->head_n);
		cab_write(turn->conn, line.p, line.n);
		cab_write(turn->conn, canned->bytes + canned->head_n, rest);
	}
	if (!copy && !head)
		cab_write_static(
		    turn->conn, http_canned_body(canned), canned->body_n);
}

/* ---- replies without content of their own ---- */

static void
finish_status(struct http_turn *turn, struct http_text *t, unsigned status)
{
	char page[64];
	struct http_text body = { page, 0, sizeof(page) };

	if (status != 204 && status != 304) {
		text_number(&body, status);
		text_add(&body, " ", 1);
		text_str(&body, http_reason(status));
		text_add(&body, "\n", 1);
		http_head_field(t, "Content-Type", "text/plain; charset=utf-8");
		http_head_length(t, body.n);
	}
	http_head_end(t, turn);
	if (turn->req->method != HTTP_HEAD)
		text_add(t, page, body.n);
	if (http_send_head(turn, t) && status >= 400)
		cab_count_error(turn->conn, status);
}

void
http_reply_status(struct http_turn *turn, unsigned status, const char *fields)
{
	struct http_text t = http_scratch();

	http_head_begin(&t, turn->service->opts, status);
	text_str(&t, fields);
	finish_status(turn, &t, status);
}

void
http_reply_moved(
    struct http_turn *turn, struct cab_slice path, struct cab_slice query)
{
	struct http_text t = http_scratch();

	http_head_begin(&t, turn->service->opts, 301);
	text_str(&t, "Location: ");
	text_add(&t, path.p, path.n);
	text_add(&t, "/", 1);
	text_add(&t, query.p, query.n);
	text_add(&t, "\r\n", 2);
	finish_status(turn, &t, 301);
}
