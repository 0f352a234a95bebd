/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The in-memory transport.  Tests only.  Everything above the system calls is
 * the worker's own code; nothing of the engine is imitated here.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "tests/support/mem.h"
#include "worker/conn_private.h"
#include "worker/service.h"

#define MEM_CONNS 64 /* a multiple of BATCH_MAX */

struct mem_service {
	struct conn_engine engine;
	struct generation generation;
	struct cab_service conf;
	struct cab_running running;
	struct board_counters count;
	struct cab_clock clock;
	void *own_options;
	bool unwatchable;
};

struct mem_conn {
	struct mem_service *service;
	struct cab_conn *conn; /* NULL once closed */
	struct cab_buf in, out;
	struct cab_buf held; /* sent with "more follows", and nothing has yet */
	size_t window, step;
	size_t before; /* the last part of a file */
	bool eof, reset, shut, broken;
	unsigned writes;
};

/* A connection's descriptor is its index here. */
static struct mem_conn *table[MEM_CONNS];

static struct mem_conn *
mem_of(struct cab_conn *conn)
{
	return table[conn->fd];
}

/* ---- transport ---- */

static ssize_t
mem_recv(struct cab_conn *conn, void *buf, size_t n)
{
	struct mem_conn *m = mem_of(conn);
	size_t have = buf_len(&m->in);

	if (m->reset)
		return -ECONNRESET;
	if (have == 0)
		return m->eof ? 0 : -EAGAIN;
	if (n > have)
		n = have;
	if (n > m->step)
		n = m->step;
	memcpy(buf, buf_slice(&m->in).p, n);
	buf_consume(&m->in, n);
	return (ssize_t)n;
}

static void
mem_push(struct mem_conn *m)
{
	assert(
	    buf_append(&m->out, buf_slice(&m->held).p, buf_len(&m->held)) == 0);
	buf_clear(&m->held);
}

static ssize_t
mem_take(struct mem_conn *m, const void *p, size_t n)
{
	if (n > m->window)
		n = m->window;
	if (m->window != SIZE_MAX)
		m->window -= n;
	assert(buf_append(&m->held, p, n) == 0);
	return (ssize_t)n;
}

static ssize_t
mem_send(struct cab_conn *conn, const struct iovec *iov, int n_iov, bool more)
{
	struct mem_conn *m = mem_of(conn);
	ssize_t total = 0;

	if (m->reset || m->broken)
		return -EPIPE;
	if (m->window == 0)
		return -EAGAIN;
	m->writes++;
	for (int i = 0; i < n_iov; i++) {
		ssize_t n = mem_take(m, iov[i].iov_base, iov[i].iov_len);

		total += n;
		if ((size_t)n < iov[i].iov_len) {
			more = false; /* what fills the buffer is sent */
			break;
		}
	}
	if (!more)
		mem_push(m);
	return total;
}

static ssize_t
mem_send_file(
    struct cab_conn *conn, int fd, off_t offset, size_t n, size_t before)
{
	struct mem_conn *m = mem_of(conn);
	char part[4096];
	ssize_t got;

	if (m->reset)
		return -EPIPE;
	if (m->window == 0)
		return -EAGAIN;
	if (n > sizeof(part))
		n = sizeof(part);
	got = pread(fd, part, n, offset);
	if (got < 0)
		return -errno;
	got = mem_take(m, part, (size_t)got);
	m->before = before;
	mem_push(m);
	return got;
}

static void
mem_half_close_ours(struct cab_conn *conn)
{
	struct mem_conn *m = mem_of(conn);

	m->shut = true;
	mem_push(m);
}

/* As TCP does it: over unread input, closing is a reset, and what was not sent
 * is lost; unless the peer had promised that there would be none. */
static void
mem_close(struct cab_conn *conn)
{
	struct mem_conn *m = mem_of(conn);

	if (buf_len(&m->in) > 0 && !conn->no_more)
		buf_clear(&m->held);
	m->shut = true;
	mem_push(m);
	m->conn = NULL;
}

static int
mem_watch(struct cab_conn *conn, unsigned interest)
{
	(void)interest;
	return mem_of(conn)->service->unwatchable ? -ENOSPC : 0;
}

static void
mem_local(struct cab_conn *conn, struct cab_peer *ret)
{
	(void)conn;
	*ret = (struct cab_peer){
		.family = AF_INET, .port = 8080, .ip = { 192, 0, 2, 2 }
	};
}

static const struct conn_transport transport_mem = {
	.recv = mem_recv,
	.send = mem_send,
	.send_file = mem_send_file,
	.half_close = mem_half_close_ours,
	.close = mem_close,
	.watch = mem_watch,
	.local = mem_local,
};

/* One event, as the event loop would report it; false when there is none. */
static bool
mem_event(struct mem_conn *m)
{
	bool in = m->conn && m->conn->interest & CONN_IN,
	     out = m->conn && m->conn->interest & CONN_OUT;
	bool readable = buf_len(&m->in) > 0 || m->eof || m->reset;

	if (out && (m->window > 0 || m->reset))
		conn_ready(m->conn, false, true, false);
	else if (in && readable)
		conn_ready(m->conn, true, false, false);
	else if (m->conn && m->reset)
		conn_ready(m->conn, false, false, true);
	else
		return false;
	return true;
}

/* Plays the event loop for one connection until nothing more happens. */
static void
mem_pump(struct mem_conn *m)
{
	bool more = true;

	while (more) {
		engine_batch_begin(&m->service->engine);
		more = mem_event(m);
		engine_batch_end(&m->service->engine);
	}
}

void
mem_turn(struct mem_service *service)
{
	for (int i = 0; i < MEM_CONNS; i++) {
		if (i % BATCH_MAX == 0)
			engine_batch_begin(&service->engine);
		if (table[i] && table[i]->service == service)
			(void)mem_event(table[i]);
		if (i % BATCH_MAX == BATCH_MAX - 1)
			engine_batch_end(&service->engine);
	}
}

/* ---- services ---- */

static bool
def_value(const struct cab_opt *row, void *at)
{
	struct cab_slice text = { row->def, strlen(row->def) };
	struct cab_rate *rate = at;
	const char **string = at;

	switch (row->type) {
	case CAB_T_BOOL:
		*(bool *)at = slice_eq(text, "true");
		return true;
	case CAB_T_INT:
		return slice_eq(text, "unlimited") || str_to_i64(text, at) == 0;
	case CAB_T_SIZE:
		return slice_eq(text, "unlimited") ||
		    str_parse_size(text, at) == 0;
	case CAB_T_TIME:
		return slice_eq(text, "unlimited") ||
		    str_parse_time(text, at) == 0;
	case CAB_T_RATE:
		return str_parse_rate(text, &rate->count, &rate->period_ms) == 0;
	case CAB_T_OCTAL:
		*(int64_t *)at = strtoll(row->def, NULL, 8);
		return true;
	case CAB_T_STRING:
	case CAB_T_PATH:
		*string = row->def;
		return true;
	case CAB_T_ENUM:
		for (int i = 0; row->words[i]; i++)
			if (slice_eq(text, row->words[i])) {
				*(int *)at = i;
				return true;
			}
		return false;
	case CAB_T_STRINGS:
		*(struct cab_strings *)at = (struct cab_strings){ &row->def, 1 };
		return true;
	default:
		return false;
	}
}

static void
def_fill(const struct cab_group *group, char *options)
{
	for (size_t i = 0; i < group->n_opts; i++) {
		const struct cab_opt *row = &group->opts[i];

		if (row->type == CAB_T_SUB)
			def_fill(row->sub, options + row->offset);
		else if (row->def)
			assert(def_value(row, options + row->offset));
	}
}

static void
def_complain(void *arg, const char *option, const char *fmt, ...)
{
	(void)arg;
	(void)option;
	(void)fmt;
	assert(!"the defaults of a protocol must pass its own check");
}

void *
mem_default_options(const struct cab_group *group)
{
	void *options = group ? calloc(1, group->size) : NULL;

	if (!options)
		return NULL;
	def_fill(group, options);
	if (group->check)
		group->check(options, def_complain, NULL);
	return options;
}

struct mem_service *
mem_service_new(const struct cab_proto *proto, const void *options,
    const char *resource_option, int resource_fd)
{
	struct mem_service *s = calloc(1, sizeof(*s));

	assert(s);
	s->clock = (struct cab_clock){ .mono_ns = UINT64_C(1000000000000),
		.wall_ns = INT64_C(1795243325000000000) };
	clock_fake(&s->clock);
	clock_tick();
	assert(engine_init(&s->engine, &transport_mem, 1) == 0);
	if (!options)
		options = s->own_options = mem_default_options(
		    proto->desc.options);
	s->conf = (struct cab_service){ .name = "test",
		.enabled = true,
		.protocol = proto->desc.name,
		.desc = &proto->desc,
		.options = (void *)(uintptr_t)options,
		.timeouts = {
		    .first_byte = 60000, .idle = 300000, .total = 3600000 } };
	s->generation.current = true;
	s->running.generation = &s->generation;
	s->running.count = &s->count;
	running_init(&s->running, &s->conf, proto, &s->engine);
	if (resource_option)
		assert(running_add_resource(
			   &s->running, resource_option, resource_fd) == 0);
	if (running_start(&s->running) < 0) {
		mem_service_free(s);
		return NULL;
	}
	return s;
}

void
mem_service_free(struct mem_service *service)
{
	if (!service)
		return;
	running_release(&service->running);
	engine_release(&service->engine);
	free(service->own_options);
	free(service);
	clock_fake(NULL);
}

struct cab_running *
mem_running(struct mem_service *service)
{
	return &service->running;
}

uint64_t
mem_errors(const struct mem_service *service)
{
	return service->count.errors;
}

void
mem_advance(struct mem_service *service, uint64_t ms)
{
	/* In small steps, as a loop would see it. */
	for (uint64_t done = 0; done < ms;) {
		uint64_t part = ms - done < 100 ? ms - done : 100;

		done += part;
		service->clock.mono_ns += part * 1000000;
		service->clock.wall_ns += (int64_t)part * 1000000;
		clock_fake(&service->clock);
		clock_tick();
		engine_timers(&service->engine);
		for (int i = 0; i < MEM_CONNS; i++)
			if (table[i] && table[i]->service == service)
				mem_pump(table[i]);
	}
}

/* ---- connections ---- */

struct mem_conn *
mem_open(struct mem_service *service)
{
	struct cab_peer peer = {
		.family = AF_INET, .port = 40000, .ip = { 192, 0, 2, 1 }
	};
	struct mem_conn *m = calloc(1, sizeof(*m));
	int slot = 0;

	while (table[slot])
		assert(++slot < MEM_CONNS);
	assert(m);
	table[slot] = m;
	m->service = service;
	m->window = m->step = SIZE_MAX;
	m->conn = conn_new(
	    &service->engine, &service->running, slot, &peer, BOARD_NO_TICKET);
	assert(m->conn);
	engine_batch_begin(&service->engine);
	conn_open(m->conn);
	engine_batch_end(&service->engine);
	mem_pump(m);
	return m;
}

void
mem_feed_split(struct mem_conn *conn, const void *data, size_t n, size_t step)
{
	assert(buf_append(&conn->in, data, n) == 0);
	conn->step = step;
	mem_pump(conn);
	conn->step = SIZE_MAX;
}

void
mem_bring(struct mem_conn *conn, const void *data, size_t n)
{
	assert(buf_append(&conn->in, data, n) == 0);
}

void
mem_feed(struct mem_conn *conn, const void *data, size_t n)
{
	mem_feed_split(conn, data, n, SIZE_MAX);
}

void
mem_half_close(struct mem_conn *conn)
{
	conn->eof = true;
	mem_pump(conn);
}

void
mem_unwatchable(struct mem_service *service)
{
	service->unwatchable = true;
}

void
mem_break(struct mem_conn *conn)
{
	conn->broken = true;
}

void
mem_reset(struct mem_conn *conn)
{
	conn->reset = true;
	mem_pump(conn);
}

void
mem_shutdown(struct mem_conn *conn)
{
	if (conn->conn)
		conn_shutdown(conn->conn);
	mem_pump(conn);
}

void
mem_window(struct mem_conn *conn, size_t n)
{
	conn->window = n;
	mem_pump(conn);
}

const char *
mem_output(struct mem_conn *conn, size_t *ret_n)
{
	assert(buf_append(&conn->out, "", 1) ==
	    0); /* a NUL behind it, for the convenience of string compares */
	conn->out.tail--;
	*ret_n = buf_len(&conn->out);
	return buf_slice(&conn->out).p;
}

void
mem_clear_output(struct mem_conn *conn)
{
	buf_clear(&conn->out);
}

bool
mem_finished(const struct mem_conn *conn)
{
	return conn->shut;
}

bool
mem_closed(const struct mem_conn *conn)
{
	return conn->conn == NULL;
}

size_t
mem_before(const struct mem_conn *conn)
{
	return conn->before;
}

unsigned
mem_writes(const struct mem_conn *conn)
{
	return conn->writes;
}

size_t
mem_stashed(const struct mem_conn *conn)
{
	return conn->conn && conn->conn->stash ? conn->conn->stash->n : 0;
}

void
mem_free(struct mem_conn *conn)
{
	if (!conn)
		return;
	if (conn->conn)
		conn_drop(conn->conn);
	for (int i = 0; i < MEM_CONNS; i++)
		if (table[i] == conn)
			table[i] = NULL;
	buf_release(&conn->in);
	buf_release(&conn->out);
	buf_release(&conn->held);
	free(conn);
}
