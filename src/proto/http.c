/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mini-HTTP: HTTP/1.1 and 1.0 (RFC 9110, RFC 9112) for fixed replies and for
 * files.  Workers.  Here is what happens on a connection in time: heads, bodies
 * that nobody wants, deadlines, and whether the connection stays.  Reading is
 * in http_parse.c, replies are in the files named after what they reply with.
 *
 * One request is answered per call of input; pipelined requests follow from
 * the core's calling again.  A body is taken off the line before the reply is
 * written, because its end is where the next request starts, and a body that
 * cannot be read to its end must end the connection.
 */
#include "proto/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/builtin.h"
#include "proto/http_cache.h"
#include "proto/http_file.h"
#include "proto/http_reply.h"
#include "proto/http_route.h"
#include "proto/http_static.h"

/* A request whose body is still coming; made only when it did not come with the head. */
struct http_body {
	struct http_chunked chunks;
	uint64_t left; /* of a body with Content-Length */
	bool chunked;
	uint32_t head_n;
	char head[];
};

struct http_state {
	struct http_pos pos;
	bool receiving; /* a request has begun and is not complete: a deadline runs */
	bool last; /* close after the next reply */
	struct http_body *body;
};

/* One request at a time is read in a process, and clearing a third of a kilobyte for each shows. */
static struct http_request request;

/*
 * The head that request was read from.  Pollers, health checks and clients that
 * stay send the same one again and again, and to see that costs a tenth of
 * reading it.
 */
static struct {
	char head[1024]; /* the slices of request point in here ... */
	size_t n;        /* ... as long as this is not 0; bytes of the head */
} last;

static struct http_service *
service_of(const struct cab_conn *conn)
{
	return cab_service_data(cab_running(conn));
}

/* ---- what a request gets ---- */

#define ALLOW_READ   "Allow: GET, HEAD, OPTIONS\r\n"
#define ALLOW_ALL    "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"

#define BIT(method)  (1u << (method))
#define METHODS_READ (BIT(HTTP_GET) | BIT(HTTP_HEAD) | BIT(HTTP_OPTIONS))
#define METHODS_ALL                                                         \
	(METHODS_READ | BIT(HTTP_POST) | BIT(HTTP_PUT) | BIT(HTTP_DELETE) | \
	    BIT(HTTP_PATCH))

/* What the target of a request is here: its path decoded, its route if it has
 * one.  0 or -errno for http_file_status. */
static int
target_find(struct http_turn *turn, const struct http_route **ret)
{
	static char decoded[8192]; /* as long as a request line */
	const struct http_request *req = turn->req;

	*ret = NULL;
	turn->path = req->path;
	if (req->form == HTTP_AUTHORITY || req->form == HTTP_ASTERISK)
		return 0;
	if (req->encoded) {
		int r = http_path_decode(
		    req->path, decoded, sizeof(decoded), &turn->path);

		if (r < 0)
			return r;
	}
	*ret = http_routes_find(turn->service->routes, turn->path);
	return 0;
}

static bool
takes_all(const struct http_route *route)
{
	return route && route->handler == HTTP_HANDLER_INSPECT;
}

/* Whether the method is wrong for the target, and the status that says so. */
static unsigned
method_refused(const struct http_turn *turn, const struct http_route *route)
{
	unsigned allowed = takes_all(route) ? METHODS_ALL : METHODS_READ;

	if (turn->req->method == HTTP_OTHER)
		return 501;
	return allowed & BIT(turn->req->method) ? 0 : 405;
}

static void
answer_route(struct http_turn *turn, const struct http_route *route)
{
	if (route->handler == HTTP_HANDLER_INSPECT)
		http_inspect(turn);
	else if (route->handler == HTTP_HANDLER_METRICS)
		http_metrics(turn);
	else
		http_canned_send(turn, route->canned);
}

static void
answer(struct http_turn *turn)
{
	const struct http_route *route;
	const char *allow;
	unsigned refused;
	int r = target_find(turn, &route);

	if (r < 0) {
		http_reply_status(turn, http_file_status(r), "");
		return;
	}
	refused = method_refused(turn, route);
	allow = takes_all(route) ? ALLOW_ALL : ALLOW_READ;
	if (refused)
		http_reply_status(turn, refused, allow);
	else if (turn->req->method == HTTP_OPTIONS)
		http_reply_status(turn, 204, allow);
	else if (route)
		answer_route(turn, route);
	else if (turn->service->root >= 0)
		http_static(turn);
	else
		http_reply_status(turn, 404, "");
}

static struct http_turn
turn_make(struct cab_conn *conn, const struct http_request *req)
{
	const struct http_state *state = cab_state(conn);

	return (struct http_turn){
		.conn = conn,
		.service = service_of(conn),
		.req = req,
		.keep = req->keep_alive && !state->last && !cab_replaced(conn),
	};
}

/* Answers a request that has been read with its body. */
static enum cab_verdict
respond(struct cab_conn *conn, const struct http_request *req)
{
	struct http_turn turn = turn_make(conn, req);

	answer(&turn);
	if (turn.keep)
		return CAB_READ;
	/* Who says close sends no further request (RFC 9112, 9.6), and before
	 * HTTP/1.1 nobody did who had not asked. */
	if (!req->keep_alive)
		cab_no_more_input(conn);
	return CAB_FINISH;
}

/*
 * Ends the conversation with an error.  What follows on the connection cannot
 * be told apart from the rest of the bad message, so nothing more is read, but
 * it is drained so that the reply survives.
 */
static enum cab_verdict
reject(struct cab_conn *conn, const struct http_request *req, unsigned status)
{
	static const struct http_request unread = { .minor = 1 };
	struct http_turn turn = turn_make(conn, req ? req : &unread);

	turn.keep = false;
	http_reply_status(&turn, status, "");
	cab_linger(conn);
	return CAB_FINISH;
}

/* ---- deadlines ---- */

static void
receive_begin(struct cab_conn *conn, int64_t ms)
{
	struct http_state *state = cab_state(conn);

	state->receiving = true;
	cab_deadline(conn, (uint64_t)ms);
}

static void
receive_end(struct cab_conn *conn)
{
	struct http_state *state = cab_state(conn);

	state->pos = (struct http_pos){ 0 };
	if (state->receiving) {
		state->receiving = false;
		cab_deadline(conn, 0);
	}
}

/* ---- bodies ---- */

static bool
has_body(const struct http_request *req)
{
	return req->chunked || req->length > 0;
}

/* Takes what has come of a body: 1 when that was all, 0, or a negated status. */
static int
body_take(struct cab_conn *conn, struct http_body *body)
{
	const struct http_opts *opts = cab_options(conn);
	const char *p;
	size_t n = cab_peek(conn, &p), used = n;
	int r;

	if (body->chunked) {
		r = http_chunked_read(
		    &body->chunks, p, n, (uint64_t)opts->max_body, &used);
	} else {
		if (used > body->left)
			used = (size_t)body->left;
		body->left -= used;
		r = body->left == 0;
	}
	cab_consume(conn, used);
	return r;
}

/* Keeps a head until its body has come. */
static enum cab_verdict
body_wait(struct cab_conn *conn, const struct http_body *so_far,
    const char *head, size_t head_n)
{
	const struct http_opts *opts = cab_options(conn);
	struct http_state *state = cab_state(conn);

	state->body = malloc(sizeof(*state->body) + head_n);
	if (!state->body)
		return reject(conn, &request, 503);
	*state->body = *so_far;
	state->body->head_n = (uint32_t)head_n;
	memcpy(state->body->head, head, head_n);
	receive_begin(conn, opts->body_timeout);
	return CAB_READ;
}

/*
 * What a client gets that waits for 100 before it sends its body (RFC 9110,
 * 10.1.1): true, and the reply is known to be an error whatever the body says.
 */
static bool
refused_before_body(struct cab_conn *conn)
{
	struct http_turn turn = turn_make(conn, &request);
	const struct http_route *route;

	return target_find(&turn, &route) < 0 || method_refused(&turn, route);
}

/* A head with a body behind it has been read and consumed. */
static enum cab_verdict
body_begin(struct cab_conn *conn, const char *head, size_t head_n)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const struct http_opts *opts = cab_options(conn);
	struct http_state *state = cab_state(conn);
	struct http_body body = {
		.left = (uint64_t)request.length,
		.chunked = request.chunked,
	};
	const char *p;
	int r;

	if (request.length > opts->max_body)
		return reject(conn, &request, 413);
	if (request.expect == HTTP_EXPECT_UNKNOWN)
		return reject(conn, &request, 417);
	if (request.expect == HTTP_EXPECT_CONTINUE) {
		if (refused_before_body(conn)) {
			/* Nobody can say whether the body will still be sent. */
			state->last = true;
			cab_linger(conn);
			return respond(conn, &request);
		}
		if (cab_peek(conn, &p) == 0)
			cab_write_static(conn, go_on, sizeof(go_on) - 1);
	}
	r = body_take(conn, &body);
	if (r < 0)
		return reject(conn, &request, (unsigned)-r);
	return r ? respond(conn, &request) : body_wait(conn, &body, head, head_n);
}

static enum cab_verdict
body_go_on(struct cab_conn *conn)
{
	struct http_state *state = cab_state(conn);
	struct http_body *body = state->body;
	struct http_pos pos = { 0 };
	enum cab_verdict v;
	int r = body_take(conn, body);

	if (r == 0)
		return CAB_READ;
	receive_end(conn);
	state->body = NULL;
	last.n = 0;
	/* It was a good head then, so it is now. */
	(void)http_parse_head(
	    body->head, body->head_n, &http_limits, &pos, &request);
	v = r < 0 ? reject(conn, &request, (unsigned)-r) :
		    respond(conn, &request);
	free(body);
	return v;
}

/* ---- callbacks ---- */

/* Whether the first bytes of a request have come; the empty line that some
 * clients send after a body is none. */
static bool
request_begun(const struct http_pos *pos, const char *p, size_t n)
{
	return pos->head > 0 || (n > pos->line && p[pos->line] != '\r');
}

/* http_parse_head, into request. */
static int
head_read(const char *p, size_t n, struct http_pos *pos)
{
	bool fits = n <= sizeof(last.head);
	int r;

	if (last.n > 0 && n >= last.n && memcmp(p, last.head, last.n) == 0)
		return (int)last.n;
	if (fits)
		p = memcpy(last.head, p, n);
	r = http_parse_head(p, n, &http_limits, pos, &request);
	last.n = fits && r > 0 ? (size_t)r : 0;
	return r;
}

static enum cab_verdict
http_input(struct cab_conn *conn)
{
	const struct http_opts *opts = cab_options(conn);
	struct http_state *state = cab_state(conn);
	const char *p;
	size_t n;
	int r;

	if (state->body)
		return body_go_on(conn);
	n = cab_peek(conn, &p);
	r = head_read(p, n, &state->pos);
	if (r == 0) {
		if (!state->receiving && request_begun(&state->pos, p, n))
			receive_begin(conn, opts->header_timeout);
		return CAB_READ;
	}
	receive_end(conn);
	if (r < 0)
		return reject(conn, NULL, (unsigned)-r);
	cab_consume(conn, (size_t)r);
	if (has_body(&request))
		return body_begin(conn, p, (size_t)r);
	if (request.expect == HTTP_EXPECT_UNKNOWN) {
		struct http_turn turn = turn_make(conn, &request);

		http_reply_status(&turn, 417, "");
		return turn.keep ? CAB_READ : CAB_FINISH;
	}
	return respond(conn, &request);
}

/* The peer sends no more: what is not complete now never will be (RFC 9112, 8). */
static enum cab_verdict
http_ended(struct cab_conn *conn)
{
	const struct http_state *state = cab_state(conn);

	return state->receiving ? reject(conn, NULL, 400) : CAB_FINISH;
}

static enum cab_verdict
http_expired(struct cab_conn *conn, enum cab_expiry why)
{
	const struct http_opts *opts = cab_options(conn);
	struct http_state *state = cab_state(conn);

	if (why == CAB_EXPIRED_SHUTDOWN) {
		state->last = true;
		return state->receiving ? CAB_READ : CAB_FINISH;
	}
	if (cab_queued(conn) > 0) {
		/* Input waits for earlier replies to be read: that time is not the request's. */
		if (why != CAB_EXPIRED_DEADLINE)
			return CAB_DROP;
		cab_deadline(conn, (uint64_t)opts->header_timeout);
		return CAB_READ;
	}
	return state->receiving ? reject(conn, NULL, 408) : CAB_DROP;
}

static void
http_closed(struct cab_conn *conn)
{
	struct http_state *state = cab_state(conn);

	free(state->body);
	state->body = NULL;
}

/* ---- refusals ---- */

static const struct {
	unsigned status;
	const char *retry;
} refusals[CAB_REFUSED_MAX] = {
	[CAB_REFUSED_ACCESS] = { 403, NULL },
	[CAB_REFUSED_CONNECTIONS] = { 503, "5" },
	[CAB_REFUSED_PER_SOURCE] = { 429, "5" },
	[CAB_REFUSED_RATE] = { 429, "10" },
	[CAB_REFUSED_SOURCE_RATE] = { 429, "10" },
	[CAB_REFUSED_SHUTDOWN] = { 503, "10" },
	[CAB_REFUSED_RESOURCES] = { 503, "5" },
};

static size_t
http_refuse(const struct cab_running *service, enum cab_refusal why,
    char *reply, size_t cap)
{
	struct http_text t = { reply, 0, cap };
	unsigned status = refusals[why].status;
	char page[64];
	struct http_text body = { page, 0, sizeof(page) };

	text_number(&body, status);
	text_add(&body, " ", 1);
	text_str(&body, http_reason(status));
	text_add(&body, "\n", 1);
	http_head_begin(&t, cab_service_options(service), status);
	http_head_field(&t, "Content-Type", "text/plain; charset=utf-8");
	http_head_length(&t, body.n);
	if (refusals[why].retry)
		http_head_field(&t, "Retry-After", refusals[why].retry);
	text_str(&t, "Connection: close\r\n\r\n");
	text_add(&t, page, body.n);
	return t.n <= t.cap ? t.n : 0;
}

/* ---- the service ---- */

static void
http_stop(struct cab_running *running)
{
	struct http_service *service = cab_service_data(running);

	if (!service)
		return;
	http_routes_free(service->routes);
	http_cache_free(service->cache);
	free(service);
	cab_service_set_data(running, NULL);
}

static int
root_open(const struct cab_running *running, struct http_service *service)
{
	int r;

	service->root = cab_service_resource(running, "root");
	if (!service->opts->root)
		return 0;
	r = service->root < 0 ? -EBADF : http_file_probe(service->root);
	/* A root that may not be entered is no reason not to run: its requests get 403. */
	return r == -EACCES ? 0 : r;
}

static int
http_start(struct cab_running *running)
{
	struct http_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return -ENOMEM;
	service->opts = cab_service_options(running);
	cab_service_set_data(running, service);
	r = root_open(running, service);
	if (r == 0)
		r = http_routes_new(service->opts, &service->routes);
	if (r < 0)
		http_stop(running);
	return r;
}

const struct cab_proto proto_http = {
	.desc = {
		.name = "http",
		.summary = "serves files and fixed replies (RFC 9110, RFC 9112)",
		.transports = CAB_STREAM,
		.options = &http_group,
	},
	.state_size = sizeof(struct http_state),
	.start = http_start,
	.stop = http_stop,
	.input = http_input,
	.ended = http_ended,
	.expired = http_expired,
	.closed = http_closed,
	.refuse = http_refuse,
};
