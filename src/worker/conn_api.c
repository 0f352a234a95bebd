/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol's view of a connection and of its service, except for writing
 * (output.c).  Workers; called only from protocol callbacks.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "worker/conn_private.h"
#include "worker/record.h"
#include "worker/service.h"

#define LOG_BURST     20 /* records of one service in ... */
#define LOG_PERIOD_MS 10000

static struct conn_view *
view_of(const struct cab_conn *conn)
{
	struct conn_engine *engine = conn->running->engine;

	assert(engine->stage.conn ==
	    conn); /* reading outside a callback is our bug */
	return &engine->view;
}

size_t
cab_peek(const struct cab_conn *conn, const char **ret_p)
{
	const struct conn_view *view = view_of(conn);

	*ret_p = view->p;
	return view->n;
}

void
cab_consume(struct cab_conn *conn, size_t n)
{
	struct conn_view *view = view_of(conn);

	assert(n <= view->n);
	view->p += n;
	view->n -= n;
}

enum cab_line
cab_line(struct cab_conn *conn, size_t max, struct cab_slice *ret)
{
	const struct conn_view *view = view_of(conn);
	size_t n = view->n < max ? view->n : max;
	const char *lf = n ? memchr(view->p, '\n', n) : NULL;

	if (!lf)
		return view->n >= max ? CAB_LINE_TOO_LONG : CAB_LINE_PARTIAL;
	*ret = (struct cab_slice){ view->p, (size_t)(lf - view->p) };
	cab_consume(conn, ret->n + 1);
	return CAB_LINE;
}

bool
cab_at_end(const struct cab_conn *conn)
{
	return conn->at_end;
}

void *
cab_state(struct cab_conn *conn)
{
	return conn->state;
}

struct cab_running *
cab_running(const struct cab_conn *conn)
{
	return conn->running;
}

const void *
cab_options(const struct cab_conn *conn)
{
	return conn->running->options;
}

const struct cab_peer *
cab_peer(const struct cab_conn *conn)
{
	return &conn->peer;
}

const struct cab_peer *
cab_local(struct cab_conn *conn)
{
	static const struct cab_peer unknown = { .family = AF_UNSPEC };

	if (!conn->local) {
		conn->local = calloc(1, sizeof(*conn->local));
		if (!conn->local)
			return &unknown;
		conn->running->engine->transport->local(conn, conn->local);
	}
	return conn->local;
}

uint64_t
cab_id(const struct cab_conn *conn)
{
	return conn->id;
}

bool
cab_replaced(const struct cab_conn *conn)
{
	return conn->running->drain_ms != 0;
}

uint64_t
cab_now_ms(void)
{
	return clock_ms();
}

bool
cab_batch(struct cab_conn *conn, void (*over)(void))
{
	struct conn_batch *batch = &conn->running->engine->batch;

	if (!batch->open || (batch->over && batch->over != over))
		return false;
	batch->over = over;
	return true;
}

void
cab_deadline(struct cab_conn *conn, uint64_t ms)
{
	conn->deadline_ms = ms ? clock_ms() + ms : 0;
}

void
cab_no_more_input(struct cab_conn *conn)
{
	conn->no_more = true;
}

void
cab_linger(struct cab_conn *conn)
{
	conn->linger = true;
}

void
cab_log(struct cab_conn *conn, enum cab_log_level level, const char *fmt, ...)
{
	struct event event;
	char text[512], more[64] = "";
	uint32_t suppressed = 0;
	va_list ap;

	if (!log_enabled(level) ||
	    !log_gate(&conn->running->log_gate, LOG_BURST, LOG_PERIOD_MS,
		&suppressed))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (suppressed)
		snprintf(more, sizeof(more),
		    " (%" PRIu32 " records of this service left out)", suppressed);
	record_conn(&event, conn);
	event_log(&event, level, EVENT_PROTOCOL, "%s%s", text, more);
}

void
cab_count_error(struct cab_conn *conn, unsigned code)
{
	conn->running->count->errors++;
	if (conn->running->codes)
		board_count_code(conn->running->codes, code);
}

int
cab_metrics(struct cab_conn *conn, struct cab_buf *out)
{
	struct conn_engine *engine = conn->running->engine;

	return engine->metrics ? engine->metrics(engine, out) : -ENOTSUP;
}

const char *
cab_service_name(const struct cab_running *service)
{
	return service->conf->name;
}

const void *
cab_service_options(const struct cab_running *service)
{
	return service->options;
}

void *
cab_service_data(const struct cab_running *service)
{
	return service->data;
}

void
cab_service_set_data(struct cab_running *service, void *data)
{
	service->data = data;
}

int
cab_service_resource(const struct cab_running *service, const char *option)
{
	for (size_t i = 0; i < service->n_resources; i++)
		if (strcmp(service->resources[i].option, option) == 0)
			return service->resources[i].fd;
	return -1;
}

uint64_t
cab_service_idle_ms(const struct cab_running *service)
{
	return (uint64_t)service->conf->timeouts.idle;
}
