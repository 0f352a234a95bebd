/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a connection: born in conn_new with its ticket, stepped by
 * conn_run and nowhere else, freed in conn_free.  Workers (and tests, over the
 * in-memory transport).  Knows no socket and no event loop; never blocks.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "worker/conn_private.h"
#include "worker/service.h"

/* Rounds of WAIT and drained that one readiness may use before others get their turn. */
#define CONN_TURNS 16
/* Reads that one readiness may use, as long as each fills the buffer: there is
 * more then, and asking the loop would only say so. */
#define CONN_READS 8
/* Rounds of input, as pipelined requests make them, that one readiness may use
 * before others get their turn; a file uses them all. */
#define CONN_INPUTS 16

static void conn_park(struct cab_conn *conn);

int
engine_init(struct conn_engine *engine, const struct conn_transport *transport,
    uint64_t first_id)
{
	/* On a page: the kernel copies to nothing else as fast. */
	engine->in = aligned_alloc(4096,
	    BATCH_MAX * BATCH_BYTES + CONN_STASH_MAX + CONN_READ_SIZE);
	if (!engine->in)
		return -ENOMEM;
	engine->transport = transport;
	engine->next_id = first_id;
	engine->max_lingering = CONN_LINGER_MAX;
	wheel_init(&engine->wheel, clock_ms());
	return 0;
}

/* Where a step may load and receive: behind what the batch keeps in use. */
static char *
engine_in(const struct conn_engine *engine)
{
	return engine->in + engine->batch.n_in;
}

void
engine_release(struct conn_engine *engine)
{
	assert(engine->n_open == 0);
	free(engine->in);
	engine->in = NULL;
}

/* ---- birth and death ---- */

struct cab_conn *
conn_new(struct conn_engine *engine, struct cab_running *running, int fd,
    const struct cab_peer *peer, uint32_t ticket)
{
	struct cab_conn *conn;

	if (!running->pool)
		running->pool = pool_new(sizeof(*conn) +
		    (running->proto ? running->proto->state_size : 0));
	conn = running->pool ? pool_get(running->pool) : NULL;
	if (!conn)
		return NULL;
	conn->fd = fd;
	conn->ticket = ticket;
	conn->id = engine->next_id++;
	conn->running = running;
	conn->peer = *peer;
	conn->opened_us = clock_us();
	conn->active_ms = clock_ms();
	conn->prev = &running->conns;
	conn->next = running->conns;
	if (conn->next)
		conn->next->prev = &conn->next;
	running->conns = conn;
	running->generation->n_conns++;
	engine->n_open++;
	return conn;
}

/* The conversation is over for the protocol and for admission; the object may live on to linger. */
static void
conn_leave(struct cab_conn *conn)
{
	struct conn_engine *engine = conn->running->engine;

	if (conn->opened && conn->running->proto->closed) {
		engine->stage.conn = conn;
		conn->running->proto->closed(conn);
	}
	conn->opened = false;
	output_discard(conn);
	free(conn->stash);
	conn->stash = NULL;
	if (conn->ticket != BOARD_NO_TICKET)
		engine->released(conn);
	conn->ticket = BOARD_NO_TICKET;
}

static void
conn_free(struct cab_conn *conn)
{
	struct cab_running *running = conn->running;
	struct conn_engine *engine = running->engine;

	assert(!conn->kept);
	conn_leave(conn);
	if (conn->phase == CONN_LINGERING)
		engine->lingering--;
	timer_cancel(&engine->wheel, &conn->timer);
	engine->transport->close(conn);
	*conn->prev = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	free(conn->local);
	running->generation->n_conns--;
	if (!running->conns && !running->generation->current)
		engine->retired_idle = true;
	engine->n_open--;
	engine->stage.conn = NULL;
	engine->view.n = 0;
	pool_put(running->pool, conn);
}

/* Freed for a reason that its record tells, unless an earlier one led to this. */
static void
conn_end(struct cab_conn *conn, enum conn_end why)
{
	if (conn->end == CONN_END_NONE)
		conn->end = (uint8_t)why;
	conn_free(conn);
}

/* Our side is closed; what still comes in is thrown away for a moment, because
 * closing over it would reset the reply. */
static void
conn_linger(struct cab_conn *conn)
{
	struct conn_engine *engine = conn->running->engine;

	conn_leave(conn);
	/* First, as what is corked would go with the reset. */
	engine->transport->half_close(conn);
	if (engine->lingering >= engine->max_lingering) {
		conn_free(conn);
		return;
	}
	engine->lingering++;
	conn->phase = CONN_LINGERING;
	conn->bytes_in = 0; /* counted again, for CONN_LINGER_BYTES */
	conn->waiting = conn->held_up = conn->yields = false;
	conn->expired = true;
	conn->deadline_ms = clock_ms() + CONN_LINGER_MS;
	conn_park(conn);
}

static void
conn_finish(struct cab_conn *conn)
{
	const struct conn_view *view = &conn->running->engine->view;

	if (conn->out) {
		conn->phase = CONN_DRAINING;
		conn->linger |= view->n > 0;
		conn_park(conn);
	} else if (!conn->at_end && (conn->linger || view->n > 0)) {
		conn_linger(conn);
	} else {
		/* Input that comes this moment would make closing a reset,
		 * which throws away what is corked. */
		if (conn->corked && !conn->at_end && !conn->no_more)
			conn->running->engine->transport->half_close(conn);
		conn_free(conn);
	}
}

/* ---- waiting for the loop ---- */

static uint64_t
earlier(uint64_t due, uint64_t from, int64_t after)
{
	uint64_t other = from + (uint64_t)after;

	return after > 0 && other < due ? other : due;
}

static uint64_t
conn_due(const struct cab_conn *conn)
{
	const struct cab_timeouts *t = &conn->running->conf->timeouts;
	uint64_t due = conn->deadline_ms ? conn->deadline_ms : UINT64_MAX;
	uint64_t opened_ms = conn->opened_us / 1000;

	if (conn->expired)
		return due;
	if (conn->bytes_in == 0)
		due = earlier(due, opened_ms, t->first_byte);
	due = earlier(due, conn->active_ms, t->idle);
	return earlier(due, opened_ms, t->total);
}

static void
conn_park(struct cab_conn *conn)
{
	struct conn_engine *engine = conn->running->engine;
	unsigned want = 0;
	uint64_t due;

	engine->stage.conn = NULL;
	engine->view.n = 0;
	if (conn->out || conn->held_up)
		want = CONN_OUT;
	else if (!conn->waiting && !conn->at_end)
		want = CONN_IN;
	if (!conn->watched || want != conn->interest) {
		if (engine->transport->watch(conn, want) < 0) {
			conn_end(conn, CONN_END_FAULT);
			return;
		}
		conn->watched = true;
		conn->interest = (uint8_t)want;
	}
	due = conn_due(conn);
	if (due != UINT64_MAX &&
	    (!timer_armed(&conn->timer) || due < conn->timer.due_ms))
		timer_arm(&engine->wheel, &conn->timer, due);
}

/* Keeps what the protocol did not consume; false when it cannot be kept. */
static bool
stash_save(struct cab_conn *conn)
{
	const struct conn_engine *engine = conn->running->engine;
	const struct conn_view *view = &engine->view;
	struct conn_stash *stash;

	if (view->n == 0) {
		free(conn->stash);
		conn->stash = NULL;
		return true;
	}
	/* The protocol asks for more than it may ever have: it should have answered long ago. */
	if (view->n >= CONN_STASH_MAX && !conn->out && !conn->waiting &&
	    !conn->held_up)
		return false;
	if (conn->stash && conn->stash->n == view->n && view->p == engine_in(engine))
		return true; /* nothing came and nothing was consumed since it was loaded */
	stash = realloc(conn->stash, sizeof(*stash) + view->n);
	if (!stash)
		return false;
	stash->n = (uint32_t)view->n;
	memcpy(stash->bytes, view->p, view->n);
	conn->stash = stash;
	return true;
}

/* ---- steps ---- */

static void
step_begin(struct cab_conn *conn)
{
	struct conn_engine *engine = conn->running->engine;

	assert(engine->stage.conn == NULL && !conn->kept);
	output_begin(engine, conn);
	engine->view = (struct conn_view){ .p = engine_in(engine) };
	if (conn->stash) {
		memcpy(engine_in(engine), conn->stash->bytes, conn->stash->n);
		engine->view.n = conn->stash->n;
	}
}

static enum cab_verdict
offer_input(struct cab_conn *conn)
{
	const struct cab_proto *proto = conn->running->proto;
	const struct conn_view *view = &conn->running->engine->view;
	const struct conn_stage *stage = &conn->running->engine->stage;
	enum cab_verdict v = CAB_READ;
	unsigned left = CONN_INPUTS;
	size_t before;

	do {
		before = view->n;
		v = proto->input(conn);
		/* A file that waits holds a descriptor: let there be one for
		 * each connection, not one for each pipelined request. */
		if (v == CAB_READ && stage->n_items > 0 &&
		    stage->items[stage->n_items - 1].fd >= 0) {
			left = 1;
			if (output_flush(conn, false) < 0)
				conn->fault = true;
		}
		if (v != CAB_READ || view->n == 0 || view->n >= before ||
		    conn->out || conn->fault)
			return v;
	} while (--left > 0);
	conn->yields = true;
	return v;
}

static enum cab_verdict
offer_end(struct cab_conn *conn)
{
	const struct cab_proto *proto = conn->running->proto;

	conn->ended = true;
	return proto->ended ? proto->ended(conn) : CAB_FINISH;
}

static enum cab_verdict
offer_drained(struct cab_conn *conn)
{
	const struct cab_proto *proto = conn->running->proto;

	conn->held_up = conn->waiting = conn->yields = false;
	return proto->drained ? proto->drained(conn) : CAB_READ;
}

/* Input first, then the end of it, as far as the verdict asks for them. */
static enum cab_verdict
offer_all(struct cab_conn *conn, enum cab_verdict v)
{
	const struct conn_view *view = &conn->running->engine->view;

	if (v == CAB_READ && view->n > 0 && !conn->out && !conn->ended)
		v = offer_input(conn);
	if (v == CAB_READ && conn->at_end && !conn->ended && !conn->out)
		v = offer_end(conn);
	return v;
}

static int
conn_send(struct cab_conn *conn, enum cab_verdict v)
{
	if (v == CAB_READ && output_keep(conn))
		return 0;
	return output_flush(conn, v == CAB_FINISH);
}

/* Carries on from a verdict until the connection waits, finishes or is gone:
 * true when it is there and has to be parked. */
static bool
conn_carry_on(struct cab_conn *conn, enum cab_verdict v)
{
	const struct conn_stage *stage = &conn->running->engine->stage;
	bool wrote;

	for (unsigned turn = 0;; turn++) {
		v = offer_all(conn, v);
		wrote = stage->n_items > 0;
		if (v == CAB_DROP || conn->fault || conn_send(conn, v) < 0) {
			conn_end(conn,
			    conn->fault       ? CONN_END_FAULT :
				v == CAB_DROP ? CONN_END_DROPPED :
						CONN_END_RESET);
			return false;
		}
		if (v == CAB_FINISH) {
			conn_finish(conn);
			return false;
		}
		conn->waiting = v == CAB_WAIT;
		conn->held_up = conn->out || conn->yields ||
		    (conn->waiting && wrote && turn >= CONN_TURNS);
		if (conn->held_up || !conn->waiting || !wrote)
			break;
		v = offer_drained(conn);
	}
	if (stash_save(conn))
		return true;
	conn_end(conn, CONN_END_FAULT);
	return false;
}

static void
conn_run(struct cab_conn *conn, enum cab_verdict v)
{
	if (conn_carry_on(conn, v))
		conn_park(conn);
}

/* One read and what follows from it: true when another should come at once. */
static bool
conn_read_once(struct cab_conn *conn, bool again)
{
	struct conn_engine *engine = conn->running->engine;
	size_t kept = conn->stash ? conn->stash->n : 0;
	ssize_t n;

	step_begin(conn);
	n = engine->transport->recv(
	    conn, engine_in(engine) + kept, CONN_READ_SIZE);
	if (n == -EAGAIN) {
		conn_park(conn);
		return false;
	}
	if (n < 0) {
		conn_end(conn, CONN_END_RESET);
		return false;
	}
	if (n == 0)
		conn->at_end = true;
	conn->bytes_in += (uint64_t)n;
	conn->running->count->bytes_in += (uint64_t)n;
	conn->active_ms = clock_ms();
	engine->view.n += (size_t)n;
	if (!conn_carry_on(conn, CAB_READ))
		return false;
	if (again && n == CONN_READ_SIZE && !conn->waiting && !conn->held_up &&
	    !conn->kept) {
		engine->stage.conn = NULL;
		return true;
	}
	conn_park(conn);
	return false;
}

static void
conn_read(struct cab_conn *conn)
{
	for (int reads = 1; conn_read_once(conn, reads < CONN_READS); reads++)
		;
}

void
conn_open(struct cab_conn *conn)
{
	const struct cab_proto *proto = conn->running->proto;
	enum cab_verdict v = CAB_READ;

	conn->opened = true;
	if (!proto->opened) {
		conn_read(
		    conn); /* the first bytes often came with the connection */
		return;
	}
	step_begin(conn);
	v = proto->opened(conn);
	conn_run(conn, v);
}

static void
linger_read(struct cab_conn *conn)
{
	struct conn_engine *engine = conn->running->engine;
	ssize_t n =
	    engine->transport->recv(conn, engine_in(engine), CONN_READ_SIZE);

	if (n > 0)
		conn->bytes_in += (uint64_t)n;
	if (n == 0 || (n < 0 && n != -EAGAIN) ||
	    conn->bytes_in > CONN_LINGER_BYTES)
		conn_free(conn);
}

static void
conn_writable(struct cab_conn *conn)
{
	int r;

	step_begin(conn);
	r = output_drain(conn);
	if (r == -EAGAIN)
		conn_park(conn);
	else if (r < 0)
		conn_end(conn, CONN_END_RESET);
	else if (conn->phase == CONN_DRAINING)
		conn_finish(conn);
	else
		conn_run(conn, offer_drained(conn));
}

void
engine_batch_begin(struct conn_engine *engine)
{
	engine->batch.open = true;
}

void
engine_batch_end(struct conn_engine *engine)
{
	struct conn_batch *batch = &engine->batch;

	for (unsigned i = 0; i < batch->n; i++) {
		struct cab_conn *conn = batch->replies[i].conn;

		if (output_send_kept(conn, &batch->replies[i].item) < 0) {
			conn_end(conn, CONN_END_RESET);
		} else if (conn->out) {
			conn->held_up = true;
			conn_park(conn);
		}
	}
	if (batch->over)
		batch->over();
	batch->over = NULL;
	batch->open = false;
	batch->n = 0;
	batch->n_in = batch->n_bytes = 0;
}

void
conn_ready(struct cab_conn *conn, bool readable, bool writable, bool broken)
{
	if (conn->phase == CONN_LINGERING)
		linger_read(conn);
	else if (broken && !(conn->interest & CONN_IN))
		/* reset, or closed both ways: nobody is left to write to */
		conn_end(conn, CONN_END_RESET);
	else if (writable && (conn->interest & CONN_OUT))
		conn_writable(conn);
	else if (readable || broken)
		conn_read(conn);
}

void
conn_refuse(struct conn_engine *engine, struct cab_running *running, int fd,
    const struct cab_peer *peer, const char *words, size_t n)
{
	struct cab_conn shortlived = { .fd = fd, .running = running };
	struct iovec iov = { (void *)(uintptr_t)words, n };
	struct cab_conn *conn = NULL;

	if (n && engine->lingering < engine->max_lingering)
		conn = conn_new(engine, running, fd, peer, BOARD_NO_TICKET);
	if (!conn) {
		if (n)
			(void)engine->transport->send(
			    &shortlived, &iov, 1, false);
		engine->transport->close(&shortlived);
		return;
	}
	/* The words are short and the socket is new: what does not fit now is not worth keeping. */
	(void)engine->transport->send(conn, &iov, 1, true);
	conn_linger(conn);
}

void
conn_drop(struct cab_conn *conn)
{
	conn_end(conn, CONN_END_SHUTDOWN);
}

void
conn_kill(struct cab_conn *conn)
{
	conn_end(conn, CONN_END_BY_HAND);
}

/* ---- time ---- */

static void
conn_expire(struct cab_conn *conn, enum cab_expiry why)
{
	static const uint8_t reasons[] = {
		[CAB_EXPIRED_FIRST_BYTE] = CONN_END_FIRST_BYTE,
		[CAB_EXPIRED_IDLE] = CONN_END_IDLE,
		[CAB_EXPIRED_TOTAL] = CONN_END_TOTAL,
		[CAB_EXPIRED_SHUTDOWN] = CONN_END_SHUTDOWN,
	};
	const struct cab_proto *proto = conn->running->proto;
	enum cab_verdict v = why == CAB_EXPIRED_SHUTDOWN ? CAB_FINISH : CAB_DROP;

	if (why != CAB_EXPIRED_DEADLINE)
		conn->end = reasons[why];
	step_begin(conn);
	if (proto->expired)
		v = proto->expired(conn, why);
	if (why == CAB_EXPIRED_FIRST_BYTE || why == CAB_EXPIRED_IDLE ||
	    why == CAB_EXPIRED_TOTAL) {
		/* These are the administrator's: a protocol may say goodbye, not stay. */
		if (v == CAB_READ || v == CAB_WAIT)
			v = CAB_DROP;
		conn->expired = true;
		conn->deadline_ms = clock_ms() + CONN_LINGER_MS;
	}
	conn_run(conn, v);
}

/* True when there is a timeout to report. */
static bool
conn_overdue(const struct cab_conn *conn, uint64_t now, enum cab_expiry *ret)
{
	const struct cab_timeouts *t = &conn->running->conf->timeouts;
	uint64_t opened_ms = conn->opened_us / 1000;
	const struct {
		uint64_t due;
		enum cab_expiry why;
	} rows[] = {
		{ earlier(UINT64_MAX, opened_ms, t->total), CAB_EXPIRED_TOTAL },
		{ conn->bytes_in ?
			UINT64_MAX :
			earlier(UINT64_MAX, opened_ms, t->first_byte),
		    CAB_EXPIRED_FIRST_BYTE },
		{ earlier(UINT64_MAX, conn->active_ms, t->idle),
		    CAB_EXPIRED_IDLE },
		{ conn->deadline_ms ? conn->deadline_ms : UINT64_MAX,
		    CAB_EXPIRED_DEADLINE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].due <= now) {
			*ret = rows[i].why;
			return true;
		}
	}
	return false;
}

static void
conn_timer(struct cab_timer *timer, void *arg)
{
	struct cab_conn *conn = (struct cab_conn *)((char *)timer -
	    offsetof(struct cab_conn, timer));
	struct conn_engine *engine = arg;
	uint64_t now = clock_ms(), due = conn_due(conn);
	enum cab_expiry why;

	if (due > now) { /* pushed forward since it was armed */
		if (due != UINT64_MAX)
			timer_arm(&engine->wheel, timer, due);
		return;
	}
	if (conn->phase != CONN_ACTIVE || conn->expired) {
		conn_end(conn, CONN_END_UNSENT);
		return;
	}
	if (!conn_overdue(conn, now, &why))
		return;
	if (why == CAB_EXPIRED_DEADLINE)
		conn->deadline_ms = 0;
	conn_expire(conn, why);
}

void
engine_timers(struct conn_engine *engine)
{
	wheel_run(&engine->wheel, clock_ms(), conn_timer, engine);
}

void
conn_shutdown(struct cab_conn *conn)
{
	if (conn->phase == CONN_ACTIVE && !conn->expired)
		conn_expire(conn, CAB_EXPIRED_SHUTDOWN);
}
