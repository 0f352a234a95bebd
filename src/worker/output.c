/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The write side of a connection: what one step writes is staged, leaves in as
 * few system calls as possible, and only what the kernel did not take is
 * queued.  Workers; the only place that holds bytes for a slow reader.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "worker/conn_private.h"
#include "worker/service.h"

#define PRINTF_MAX 2048 /* most bytes of one cab_printf, a NUL included */

static struct conn_stage *
stage_of(const struct cab_conn *conn)
{
	struct conn_stage *stage = &conn->running->engine->stage;

	assert(stage->conn == conn); /* writing outside a callback is our bug */
	return stage;
}

void
output_begin(struct conn_engine *engine, struct cab_conn *conn)
{
	engine->stage.conn = conn;
	engine->stage.n_items = 0;
	engine->stage.n_bytes = engine->batch.n_bytes;
	engine->stage.n_total = 0;
}

/* ---- the queue ---- */

static bool
item_is_copy(const struct out_item *item)
{
	return item->p && !item->stays;
}

static int
queue_append(struct cab_conn *conn, const struct out_item *item)
{
	bool copy = item_is_copy(item);
	struct out_chunk *chunk;
	size_t held = copy ? item->n : 0;

	if (item->n == 0 && item->fd < 0)
		return 0;
	for (chunk = conn->out; copy && chunk; chunk = chunk->next)
		held += item_is_copy(&chunk->item) ? chunk->item.n : 0;
	if (held > CONN_QUEUE_MAX)
		return -ENOBUFS;
	chunk = malloc(sizeof(*chunk) + (copy ? item->n : 0));
	if (!chunk)
		return -ENOMEM;
	chunk->next = NULL;
	chunk->item = *item;
	if (copy) {
		memcpy(chunk->bytes, item->p, item->n);
		chunk->item.p = chunk->bytes;
	}
	if (!conn->out)
		conn->out_tail = &conn->out;
	*conn->out_tail = chunk;
	conn->out_tail = &chunk->next;
	return 0;
}

static void
queue_pop(struct cab_conn *conn)
{
	struct out_chunk *chunk = conn->out;

	conn->out = chunk->next;
	fd_close(chunk->item.fd);
	free(chunk);
}

/* ---- sending ---- */

static ssize_t
send_memory(struct cab_conn *conn, const struct out_item *const items[],
    unsigned n, bool more)
{
	static struct iovec
	    iov[STAGE_ITEMS]; /* not on the stack, where it would be zeroed */

	for (unsigned i = 0; i < n; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)items[i]->p,
			items[i]->n };
	return conn->running->engine->transport->send(conn, iov, (int)n, more);
}

static void
count_sent(struct cab_conn *conn, ssize_t sent)
{
	conn->bytes_out += (uint64_t)sent;
	conn->running->count->bytes_out += (uint64_t)sent;
	conn->active_ms = clock_ms();
}

/* Sends one item of memory, as most replies are; the same results as send_items. */
static int
send_one(struct cab_conn *conn, struct out_item *item, bool more)
{
	const struct conn_transport *transport = conn->running->engine->transport;
	struct iovec iov = { (void *)(uintptr_t)item->p, item->n };
	ssize_t sent = transport->send(conn, &iov, 1, more);

	if (sent < 0)
		return (int)sent;
	count_sent(conn, sent);
	item->p += sent;
	item->n -= (size_t)sent;
	return item->n ? -EAGAIN : 0;
}

/* Takes what was sent off the front of n items; whether that was all of them. */
static bool
items_consume(struct out_item *items[], unsigned n, size_t sent)
{
	for (unsigned i = 0; i < n; i++) {
		size_t part = sent < items[i]->n ? sent : items[i]->n;

		if (items[i]->p)
			items[i]->p += part;
		items[i]->offset += (off_t)part;
		items[i]->n -= part;
		sent -= part;
		if (items[i]->n)
			return false;
	}
	return true;
}

/* Sends from the front of the items; consumes what was taken from them. 0 all
 * gone, -EAGAIN (later, at the latest in the next turn), -errno. */
static int
send_items(struct cab_conn *conn, struct out_item *items[], unsigned n, bool more)
{
	struct conn_engine *engine = conn->running->engine;
	const struct conn_transport *transport = engine->transport;
	size_t before = 0;

	for (unsigned i = 0, tried; i < n; i += tried) {
		unsigned run = 0;
		ssize_t sent;

		while (i + run < n && items[i + run]->p)
			run++;
		tried = run ? run : 1;
		if (run)
			sent = send_memory(conn,
			    (const struct out_item *const *)&items[i], run,
			    more || i + run < n);
		else
			sent = transport->send_file(conn, items[i]->fd,
			    items[i]->offset, items[i]->n, before);
		if (sent < 0)
			return (int)sent;
		if (sent == 0 && !run && items[i]->n)
			return -EIO; /* the file shrank: what was promised cannot be sent */
		count_sent(conn, sent);
		before = run ? (size_t)sent : 0;
		if (!run)
			engine->file_bytes += (size_t)sent;
		if (!items_consume(&items[i], tried, (size_t)sent))
			return -EAGAIN;
	}
	return 0;
}

/* Bytes and end can share a segment; elsewhere the kernel knows no such thing. */
static bool
can_cork(const struct cab_conn *conn)
{
	return conn->peer.family == AF_INET || conn->peer.family == AF_INET6;
}

int
output_flush(struct cab_conn *conn, bool last)
{
	struct conn_stage *stage = stage_of(conn);
	static struct out_item *items[STAGE_ITEMS]; /* likewise */
	int r = conn->out ? -EAGAIN : 0;
	bool more;

	if (stage->n_items == 0)
		return 0;
	more = last && stage->items[stage->n_items - 1].p && can_cork(conn);
	for (unsigned i = 0; i < stage->n_items; i++)
		items[i] = &stage->items[i];
	if (r == 0 && stage->n_items == 1 && stage->items[0].p)
		r = send_one(conn, items[0], more);
	else if (r == 0)
		r = send_items(conn, items, stage->n_items, more);
	conn->corked = more && r == 0;
	if (r == -EAGAIN) {
		r = 0;
		for (unsigned i = 0; i < stage->n_items && r == 0; i++) {
			r = queue_append(conn, items[i]);
			if (r == 0)
				items[i]->fd = -1; /* the queue's now */
		}
	}
	for (unsigned i = 0; i < stage->n_items; i++)
		fd_close(items[i]->fd);
	output_begin(conn->running->engine, conn);
	return r;
}

/* Extends what is in use of an area to the item's end; false when that is too much. */
static bool
keep_memory(const char *area, size_t *used, const struct out_item *item)
{
	size_t end = (size_t)(item->p + item->n - area);

	if (end > *used + BATCH_BYTES)
		return false;
	*used = end;
	return true;
}

bool
output_keep(struct cab_conn *conn)
{
	struct conn_engine *engine = conn->running->engine;
	struct conn_batch *batch = &engine->batch;
	const struct conn_stage *stage = stage_of(conn);
	const struct out_item *item = &stage->items[0];

	/* One that is not watched yet may be freed when it cannot be. */
	if (!batch->open || batch->n == BATCH_MAX || !conn->watched ||
	    stage->n_items != 1 || !item->p || item->n > BATCH_BYTES ||
	    conn->out || engine->view.n > 0)
		return false;
	if (!item->stays &&
	    !(item->p >= stage->bytes &&
			item->p < stage->bytes + sizeof(stage->bytes) ?
		    keep_memory(stage->bytes, &batch->n_bytes, item) :
		    keep_memory(engine->in, &batch->n_in, item)))
		return false;
	conn->kept = true;
	batch->replies[batch->n].conn = conn;
	batch->replies[batch->n++].item = *item;
	output_begin(engine, conn);
	return true;
}

int
output_send_kept(struct cab_conn *conn, struct out_item *item)
{
	int r = send_one(conn, item, false);

	conn->kept = false;
	return r == -EAGAIN ? queue_append(conn, item) : r;
}

int
output_drain(struct cab_conn *conn)
{
	while (conn->out) {
		struct out_item *items[STAGE_ITEMS];
		unsigned n = 0;
		int r;

		for (struct out_chunk *c = conn->out; c && n < STAGE_ITEMS;
		     c = c->next)
			items[n++] = &c->item;
		r = send_items(conn, items, n, false);
		while (conn->out && conn->out->item.n == 0)
			queue_pop(conn);
		if (r < 0)
			return r;
	}
	return 0;
}

void
output_discard(struct cab_conn *conn)
{
	struct conn_stage *stage = &conn->running->engine->stage;

	while (conn->out)
		queue_pop(conn);
	if (stage->conn != conn)
		return;
	for (unsigned i = 0; i < stage->n_items; i++)
		fd_close(stage->items[i].fd);
	output_begin(conn->running->engine, NULL);
}

size_t
output_queued(const struct cab_conn *conn)
{
	size_t n = 0;

	for (const struct out_chunk *c = conn->out; c; c = c->next)
		n += c->item.n;
	return n;
}

/* ---- the protocol's side ---- */

static void
stage_fail(struct cab_conn *conn, int fd)
{
	conn->fault = true;
	fd_close(fd);
}

/* Makes room for one more item and n more bytes of copies by flushing what is there. */
static bool
stage_room(struct cab_conn *conn, size_t n)
{
	struct conn_stage *stage = stage_of(conn);

	if (conn->fault)
		return false;
	if (stage->n_items < STAGE_ITEMS && stage->n_bytes + n <= sizeof(stage->bytes))
		return true;
	if (output_flush(conn, false) < 0)
		conn->fault = true;
	return !conn->fault;
}

static void
stage_item(struct cab_conn *conn, struct out_item item)
{
	struct conn_stage *stage = stage_of(conn);

	if (!stage_room(conn, 0)) {
		stage_fail(conn, item.fd);
		return;
	}
	stage->items[stage->n_items++] = item;
	stage->n_total += item.n;
}

/* The next n bytes of the copy area have been filled in; there was room for them. */
static void
stage_filled(struct cab_conn *conn, size_t n)
{
	struct conn_stage *stage = stage_of(conn);
	const char *p = stage->bytes + stage->n_bytes;
	struct out_item *last = stage->n_items ?
	    &stage->items[stage->n_items - 1] :
	    NULL;

	stage->n_bytes += n;
	if (last && !last->stays && last->p && last->p + last->n == p) {
		last->n += n;
		stage->n_total += n;
	} else {
		stage_item(conn, (struct out_item){ .p = p, .n = n, .fd = -1 });
	}
}

void
cab_write(struct cab_conn *conn, const void *p, size_t n)
{
	struct conn_stage *stage = stage_of(conn);

	while (n > 0) {
		size_t part = n < STAGE_BYTES ? n : STAGE_BYTES;

		if (!stage_room(conn, part))
			return;
		memcpy(stage->bytes + stage->n_bytes, p, part);
		stage_filled(conn, part);
		p = (const char *)p + part;
		n -= part;
	}
}

void
cab_printf(struct cab_conn *conn, const char *fmt, ...)
{
	struct conn_stage *stage = stage_of(conn);
	va_list ap;
	int n;

	if (!stage_room(conn, PRINTF_MAX))
		return;
	va_start(ap, fmt);
	n = vsnprintf(stage->bytes + stage->n_bytes, PRINTF_MAX, fmt, ap);
	va_end(ap);
	if (n < 0 || n >= PRINTF_MAX)
		conn->fault = true;
	else if (n > 0)
		stage_filled(conn, (size_t)n);
}

void
cab_write_static(struct cab_conn *conn, const void *p, size_t n)
{
	if (n)
		stage_item(conn,
		    (struct out_item){ .p = p, .n = n, .fd = -1, .stays = true });
}

void
cab_forward(struct cab_conn *conn, size_t n)
{
	struct conn_view *view = &conn->running->engine->view;

	assert(n <= view->n);
	/* The read buffer stays as it is until the step ends, so no copy is
	 * needed unless the kernel leaves a rest. */
	if (n)
		stage_item(
		    conn, (struct out_item){ .p = view->p, .n = n, .fd = -1 });
	cab_consume(conn, n);
}

void
cab_send_file(struct cab_conn *conn, int fd, off_t offset, size_t len)
{
	if (len == 0)
		fd_close(fd);
	else
		stage_item(conn,
		    (struct out_item){ .n = len, .fd = fd, .offset = offset });
}

size_t
cab_queued(const struct cab_conn *conn)
{
	return stage_of(conn)->n_total + output_queued(conn);
}
