/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker role: set-up in a fixed order, messages of the supervisor, change
 * of generations, and the end.  One process per worker, unprivileged.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/event.h"
#include "base/fd.h"
#include "base/hush.h"
#include "worker/accept.h"
#include "worker/datagram.h"
#include "worker/handoff.h"
#include "worker/loop.h"
#include "worker/metrics.h"
#include "worker/sandbox.h"
#include "worker/transport.h"
#include "worker/worker.h"

/* Descriptors that are not connections: channel, epoll, links, log, files being
 * opened, those that are shared while a batch lasts (proto/http_share.c). */
#define RESERVED_FDS 52
/* Served even where the limit leaves no room for them by that count. */
#define FEWEST_CONNECTIONS 16
/* How soon to look again whether the launcher has taken what it was sent. */
#define PENDING_MS 5
/* After a goodbye was said, before the rest is dropped. */
#define GOODBYE_MS 5000

static struct cab_worker self;
static const struct cab_desc *const *self_descs;

static void fatal(int code, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

static void
fatal(int code, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event(CAB_LOG_ERR, EVENT_ROLE_GIVES_UP, "%s", text);
	exit(code);
}

/* ---- generations ---- */

static void
listeners_close(struct listener **list)
{
	while (*list) {
		struct listener *l = *list;

		*list = l->next;
		/* Others share the socket, so closing alone would leave it in epoll. */
		l->paused |= PAUSE_STOPPED;
		listener_update(&self, l);
		fd_close(l->fd);
		free(l);
	}
}

static void
running_each(struct cab_running *running, void (*what)(struct cab_conn *))
{
	struct cab_conn *next;

	for (struct cab_conn *c = running->conns; c; c = next) {
		next = c->next; /* the step frees at most its own connection */
		what(c);
	}
}

static void
generation_each(struct generation *gen, void (*what)(struct cab_conn *))
{
	for (size_t i = 0; i < gen->n_services; i++)
		running_each(&gen->services[i], what);
}

static void
all_each(void (*what)(struct cab_conn *))
{
	if (self.current)
		generation_each(self.current, what);
	for (struct generation *gen = self.old; gen; gen = gen->next)
		generation_each(gen, what);
}

static void
pending_discard(void)
{
	listeners_close(&self.pending_listeners);
	gen_free(self.pending);
	self.pending = NULL;
}

static int
reply(uint32_t type, uint64_t generation, const char *text)
{
	union {
		struct msg_commit head;
		char bytes[512];
	} body = { .head = { .generation = generation } };
	size_t n = text ? strlen(text) : 0;

	if (n > sizeof(body) - sizeof(body.head))
		n = sizeof(body) - sizeof(body.head);
	if (n)
		memcpy(body.bytes + sizeof(body.head), text, n);
	return chan_send(
	    self.channel, type, &body, sizeof(body.head) + n, NULL, 0);
}

static void
pending_fail(uint64_t generation, const char *text)
{
	pending_discard();
	if (reply(MSG_FAILED, generation, text) < 0)
		fatal(EX_OSERR, "cannot answer the supervisor: %s", text);
}

/* ---- messages ---- */

static void
on_config(struct chan_msg *msg)
{
	const struct msg_config *m = (const void *)msg->body;
	CAB_AUTO_FD int fd = chan_take_fd(msg, 0);
	struct cab_conf *conf = NULL;
	char *bytes = NULL;
	size_t n = 0;
	int r;

	pending_discard();
	r = fd_read_all(fd, m->n, &bytes, &n);
	if (r == 0)
		r = n == m->n ? conf_decode(self_descs, bytes, n, &conf) :
				-EBADMSG;
	free(bytes);
	if (r == 0) {
		self.pending = gen_new(
		    conf, m->generation, &self.engine, self.protos);
		if (!self.pending) {
			conf_free(conf);
			r = -ENOMEM;
		}
	}
	if (r < 0)
		fatal(EX_SOFTWARE, "cannot take over the configuration: %s",
		    strerror(-r));
}

static struct cab_running *
pending_service(uint64_t generation, uint32_t service)
{
	if (!self.pending || self.pending->number != generation ||
	    service >= self.pending->n_services)
		fatal(EX_SOFTWARE,
		    "the supervisor sent something for an unknown service");
	return &self.pending->services[service];
}

static void
on_listener(struct chan_msg *msg)
{
	const struct msg_listener *m = (const void *)msg->body;
	struct cab_running *running = pending_service(m->generation, m->service);
	struct cab_sockaddr addr = { .len = sizeof(addr.ss) };
	struct listener *l;
	struct stat st;
	int type = 0;
	socklen_t len = sizeof(type);

	if (m->slot >= BOARD_SERVICES)
		fatal(EX_SOFTWARE, "the supervisor sent a bad service slot");
	l = calloc(1, sizeof(*l));
	if (!l)
		fatal(EX_OSERR, "out of memory");
	running->slot = m->slot;
	running->count = &self.board->counters[self.slot][m->slot];
	running->codes = &self.board->codes[self.slot][m->slot];
	*l = (struct listener){ .kind = LOOP_LISTENER,
		.fd = chan_take_fd(msg, 0),
		.running = running };
	if (getsockopt(l->fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		fatal(EX_OSERR, "not a socket: %m");
	/* A program that had the socket may have left it blocking, and one
	 * accept would stop this worker. */
	if (fd_set_nonblock(l->fd, 1) < 0)
		fatal(EX_OSERR, "cannot set up a listener: %m");
	if (fstat(l->fd, &st) < 0)
		fatal(EX_OSERR, "cannot set up a listener: %m");
	l->inode = st.st_ino;
	l->stream = type == SOCK_STREAM;
	if (!l->stream && getsockname(l->fd, &addr.sa, &addr.len) == 0) {
		if (!datagram_tells(l->fd, addr.sa.sa_family))
			peer_from_sockaddr(&l->local, &addr.sa, addr.len);
		if (sockaddr_port(&addr))
			udpguard_serve(
			    self.pending->guard, sockaddr_port(&addr));
	}
	l->next = self.pending_listeners;
	self.pending_listeners = l;
}

static void
on_resource(struct chan_msg *msg)
{
	const struct msg_resource *m = (const void *)msg->body;
	struct cab_running *running = pending_service(m->generation, m->service);
	const struct cab_group *group = running->proto ?
	    running->proto->desc.options :
	    NULL;
	int fd = chan_take_fd(msg, 0);

	for (size_t i = 0; group && i < group->n_opts; i++)
		if (strncmp(group->opts[i].name, m->option, sizeof(m->option)) ==
			0 &&
		    running_add_resource(running, group->opts[i].name, fd) == 0)
			return;
	fd_close(fd);
	fatal(EX_SOFTWARE, "the supervisor sent an unknown resource");
}

/* The generation in use becomes an old one. */
static void
current_retire(void)
{
	struct generation *gen = self.current;

	if (!gen)
		return;
	gen->current = false;
	gen->next = self.old;
	self.old = gen;
	self.current = NULL;
	self.engine.retired_idle = true; /* its services without connections */
}

/* What the new configuration has as it was goes on; the rest gets a deadline. */
static void
drain_replaced(void)
{
	const struct cab_conf *conf = self.current ? self.current->conf : NULL;

	for (struct generation *gen = self.old; gen; gen = gen->next) {
		size_t cursor = 0;

		for (size_t i = 0; i < gen->n_services; i++) {
			struct cab_running *running = &gen->services[i];

			if (!running->conns)
				continue;
			if (conf && conf_keeps(conf, running->conf, &cursor))
				running->drain_ms = 0; /* back after a roll-back, too */
			else if (!running->drain_ms)
				running->drain_ms = clock_ms() +
				    (uint64_t)running->conf->timeouts.drain;
		}
	}
	self.drain_ms = clock_ms(); /* worker_turn finds the first of them */
}

/* What is left of a service at its deadline: a goodbye first, then the end. */
static void
drain_due(struct cab_running *running)
{
	running_each(running, running->said_goodbye ? conn_drop : conn_shutdown);
	running->said_goodbye = true;
	running->drain_ms = clock_ms() + GOODBYE_MS;
}

static void
drain_turn(struct cab_worker *worker)
{
	uint64_t now = clock_ms(), next = UINT64_MAX;

	if (worker->drain_ms == 0 || now < worker->drain_ms)
		return;
	for (struct generation *gen = worker->old; gen; gen = gen->next) {
		for (size_t i = 0; i < gen->n_services; i++) {
			struct cab_running *running = &gen->services[i];

			if (running->conns && running->drain_ms &&
			    running->drain_ms <= now)
				drain_due(running);
			if (running->conns && running->drain_ms &&
			    running->drain_ms < next)
				next = running->drain_ms;
		}
	}
	worker->drain_ms = next != UINT64_MAX ? next : 0;
}

/*
 * Lets go of what only ended connections needed.  A service's descriptors are
 * closed even when another one of its generation lives on for days.
 */
static void
retired_sweep(struct cab_worker *worker)
{
	struct generation **at = &worker->old, *gen;

	if (!worker->engine.retired_idle)
		return;
	worker->engine.retired_idle = false;
	while ((gen = *at)) {
		if (gen->n_conns == 0) {
			*at = gen->next;
			gen_free(gen);
			continue;
		}
		for (size_t i = 0; i < gen->n_services; i++)
			if (!gen->services[i].conns)
				running_release(&gen->services[i]);
		at = &gen->next;
	}
}

/*
 * How many connections the descriptors allow.  A reload brings every listener
 * once more while the old ones are still open, so room for that stays free: a
 * message whose descriptor does not fit would be the end of this worker.
 */
static void
plan_descriptors(void)
{
	uint32_t reserved = RESERVED_FDS;

	for (const struct listener *l = self.listeners; l; l = l->next)
		reserved += 2;
	for (size_t i = 0; i < self.current->n_services; i++)
		reserved += 2 * (uint32_t)self.current->services[i].n_resources;
	for (const struct generation *gen = self.old; gen; gen = gen->next)
		for (size_t i = 0; i < gen->n_services; i++)
			if (gen->services[i].conns)
				reserved += (uint32_t)gen->services[i].n_resources;
	self.max_connections = self.max_fds > reserved + FEWEST_CONNECTIONS ?
	    self.max_fds - reserved :
	    FEWEST_CONNECTIONS;
	self.engine.max_lingering = self.max_connections / 8 < CONN_LINGER_MAX ?
	    self.max_connections / 8 :
	    CONN_LINGER_MAX;
}

/* Looks from *cursor on, since both lists are in the order of the services. */
static bool
listener_goes_on(
    const struct listener *listener, const struct listener **cursor)
{
	const struct listener *from = *cursor ? *cursor : self.listeners;
	const struct listener *l = from;

	while (l && l->inode != listener->inode) {
		l = l->next ? l->next : self.listeners;
		if (l == from)
			return false;
	}
	if (l)
		*cursor = l->next;
	return l != NULL;
}

/* Clients in the queue of a socket that is closed would be reset: these had connected in time. */
static void
serve_rest(struct listener *previous)
{
	const struct listener *cursor = NULL;

	for (struct listener *l = previous; l; l = l->next) {
		if (listener_goes_on(l, &cursor))
			continue;
		if (l->stream)
			accept_rest(&self, l);
		else
			datagram_ready(&self, l);
	}
}

static void
pending_check(uint64_t generation)
{
	if (!self.pending || self.pending->number != generation)
		fatal(EX_SOFTWARE,
		    "the supervisor committed an unknown generation");
}

/* The pending generation becomes the one in use; returns the listeners before, still to be closed. */
static struct listener *
pending_use(void)
{
	struct listener *previous = self.listeners;

	current_retire();
	self.current = self.pending;
	self.current->current = true;
	self.pending = NULL;
	self.listeners = self.pending_listeners;
	self.pending_listeners = NULL;
	return previous;
}

/* What the board shows need not be the number: see BOARD_DISMISSED. */
static void
say_ready(uint64_t generation, uint32_t shown)
{
	atomic_store(&self.board->roles[self.slot].generation, shown);
	if (reply(MSG_READY, generation, NULL) < 0)
		fatal(EX_OSERR, "cannot answer the supervisor");
}

static void
on_commit(struct chan_msg *msg)
{
	const struct msg_commit *m = (const void *)msg->body;
	struct listener *previous;
	const char *failed = NULL;
	char text[256];
	int r;

	pending_check(m->generation);
	r = gen_start(self.pending, &failed);
	if (r < 0) {
		snprintf(text, sizeof(text), "service \"%s\" cannot start: %s",
		    failed,
		    r == -ENOSYS ? "it needs a newer kernel, see cabinetd.conf(5)" :
				   strerror(-r));
		pending_fail(m->generation, text);
		return;
	}
	previous = pending_use();
	self.dismissed = false;
	serve_rest(previous);
	drain_replaced();
	plan_descriptors();
	for (struct listener *l = self.listeners; l; l = l->next) {
		if (l->stream && self.at_capacity)
			l->paused |= PAUSE_CAPACITY;
		if (l->stream && !l->running->proto && self.handoffs)
			l->paused |= PAUSE_HANDOFF;
		listener_update(&self, l);
	}
	listeners_close(&previous);
	say_ready(m->generation, (uint32_t)m->generation);
}

/*
 * Before sockets are left to others: the kernel may have told us alone of a
 * client that waits.  Not serve_rest, for where others go on there is no end of
 * clients; but nobody else comes to one that is hushed, and nobody serves it.
 */
static void
serve_ready(struct listener *list)
{
	for (struct listener *l = list; l; l = l->next)
		if (l->stream && is_hushed(l->fd))
			accept_rest(&self, l);
		else
			listener_ready(&self, l);
}

/*
 * Fewer workers are wanted.  The generation says which services are as they
 * were, and serves nobody: it is not started.
 */
static void
on_dismiss(struct chan_msg *msg)
{
	const struct msg_commit *m = (const void *)msg->body;
	struct listener *previous;

	pending_check(m->generation);
	previous = pending_use();
	serve_ready(previous);
	drain_replaced();
	listeners_close(&previous);
	self.dismissed = true;
	say_ready(m->generation, BOARD_DISMISSED);
}

static void
on_wake(struct chan_msg *msg)
{
	const struct msg_link *m = (const void *)msg->body;
	int fd = chan_take_fd(msg, 0);

	if (m->slot >= BOARD_WORKERS) {
		fd_close(fd);
		return;
	}
	/* Others have the old one open as well, so closing alone would leave it in epoll. */
	if (m->slot == self.slot)
		loop_unwatch_source(&self, self.wakes[m->slot]);
	fd_close(self.wakes[m->slot]);
	self.wakes[m->slot] = fd;
	(void)fd_set_nonblock(fd, 1);
	if (m->slot == self.slot &&
	    loop_watch_source(&self, fd, &self.wake_source, EPOLLIN) < 0)
		fatal(EX_OSERR, "cannot watch the wake-up: %m");
}

static void
on_link(struct chan_msg *msg)
{
	int fd = chan_take_fd(msg, 0);

	(void)fd_set_nonblock(fd, 1);
	handoff_link(&self, fd);
}

static void
on_stop(struct chan_msg *msg)
{
	const struct msg_stop *m = (const void *)msg->body;

	if (m->drain_ms == 0) {
		all_each(conn_drop);
		self.done = true;
		return;
	}
	self.stopping = true;
	self.stop_ms = clock_ms() + m->drain_ms;
	listeners_close(&self.listeners);
	all_each(conn_shutdown);
}

/* Other workers serve in our place: what is open goes on as after a reload. */
static void
on_retire(struct chan_msg *msg)
{
	(void)msg;
	if (self.stopping)
		return;
	serve_ready(self.listeners);
	self.stopping = true;
	self.stop_ms = UINT64_MAX;
	listeners_close(&self.listeners);
	/* Half of one may have come before its supervisor ended. */
	pending_discard();
	current_retire();
	drain_replaced();
}

static void
on_log_level(struct chan_msg *msg)
{
	const struct msg_level *m = (const void *)msg->body;

	log_set_level((enum cab_log_level)m->level);
}

static struct cab_conn *
generation_find(struct generation *gen, uint64_t conn_id)
{
	for (size_t i = 0; gen && i < gen->n_services; i++)
		for (struct cab_conn *c = gen->services[i].conns; c; c = c->next)
			if (c->id == conn_id)
				return c;
	return NULL;
}

static void
on_kill(struct chan_msg *msg)
{
	const struct msg_kill *m = (const void *)msg->body;
	struct cab_conn *conn = generation_find(self.current, m->conn_id);

	for (struct generation *gen = self.old; gen && !conn; gen = gen->next)
		conn = generation_find(gen, m->conn_id);
	if (conn)
		conn_kill(conn);
	else
		(void)handoff_kill(&self, m->conn_id);
}

static void (*const handlers[MSG_MAX])(struct chan_msg *) = {
	[MSG_CONFIG] = on_config,
	[MSG_LISTENER] = on_listener,
	[MSG_RESOURCE] = on_resource,
	[MSG_COMMIT] = on_commit,
	[MSG_DISMISS] = on_dismiss,
	[MSG_WAKE] = on_wake,
	[MSG_LINK] = on_link,
	[MSG_RETIRE] = on_retire,
	[MSG_STOP] = on_stop,
	[MSG_LOG_LEVEL] = on_log_level,
	[MSG_KILL] = on_kill,
};

void
worker_messages(struct cab_worker *worker)
{
	static struct chan_msg msg;
	int r;

	while (!worker->done &&
	    (r = chan_recv(worker->channel, &msg)) != -EAGAIN) {
		if (r == 0) {
			/* The supervisor is gone, and with it who would replace
			 * us: the service ends as a whole. */
			all_each(conn_drop);
			worker->done = true;
			return;
		}
		if (r < 0 || !msg_valid(&msg) || !handlers[msg.type])
			fatal(EX_SOFTWARE, "bad message from the supervisor");
		handlers[msg.type](&msg);
		chan_msg_release(&msg);
	}
}

void
worker_turn(struct cab_worker *worker)
{
	drain_turn(worker);
	retired_sweep(worker);
	if (!worker->stopping && !worker->dismissed)
		return;
	if (worker->stopping && clock_ms() >= worker->stop_ms)
		worker->done = true; /* what is left is dropped on the way out */
	if (worker->engine.n_open > 0)
		return;
	if (handoff_pending(worker))
		worker->beat_ms = clock_ms() + PENDING_MS;
	else
		worker->done = true;
}

/* ---- set-up and end ---- */

/* Unique while the machine is up: slot, start time and a count share the 64 bits. */
static uint64_t
first_conn_id(uint32_t slot)
{
	uint64_t start = clock_ms() / 100 & 0x3ffffff;

	return (uint64_t)slot << BOARD_CONN_SHIFT | start << 32 | 1;
}

static void
on_hello(void)
{
	static struct chan_msg msg;
	const struct msg_hello *m = (const void *)msg.body;
	CAB_AUTO_FD int fd = -1;
	const char *step = NULL;
	char tag[32];
	int r;

	r = chan_recv(self.channel, &msg);
	if (r == 0)
		exit(EX_UNAVAILABLE);
	if (r < 0 || msg.type != MSG_HELLO || !msg_valid(&msg) ||
	    m->slot >= BOARD_WORKERS)
		fatal(EX_USAGE, "a worker is started by the supervisor only");
	fd = chan_take_fd(&msg, 0);
	snprintf(tag, sizeof(tag), "worker %u", m->slot);
	log_open((enum cab_log_target)m->log_target,
	    (enum cab_log_level)m->log_level, tag);
	self.slot = m->slot;
	self.max_fds = m->max_fds;
	r = board_map(fd, &self.board);
	if (r < 0)
		fatal(EX_OSERR, "cannot map the scoreboard: %s", strerror(-r));
	/* Reads the zone file, which the sandbox will not allow. */
	tzset();
	(void)clock_daytime();
	r = sandbox_enter(m->uid, m->gid, m->max_fds, &step);
	if (r < 0)
		fatal(EX_OSERR, "cannot %s: %s", step, strerror(-r));
}

static void
worker_release(void)
{
	all_each(conn_drop);
	handoff_release(&self);
	listeners_close(&self.listeners);
	pending_discard();
	current_retire();
	while (self.old) {
		struct generation *gen = self.old;

		self.old = gen->next;
		gen_free(gen);
	}
	datagram_release(&self);
	engine_release(&self.engine);
	board_unmap(self.board);
}

void
worker_main(const struct cab_proto *const protos[],
    const struct cab_desc *const descs[])
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int r;

	/* A log whose reader is gone must not end the service. */
	(void)sigaction(SIGPIPE, &ignore, NULL);
	self.protos = protos;
	self_descs = descs;
	self.channel = MSG_ROLE_FD;
	self.link = -1;
	self.handoffs_tail = &self.handoffs;
	memset(self.wakes, -1, sizeof(self.wakes));
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, "worker");
	clock_tick();
	on_hello();
	r = engine_init(
	    &self.engine, &transport_socket, first_conn_id(self.slot));
	if (r == 0) {
		self.engine.released = accept_released;
		self.engine.metrics = worker_metrics;
		ticket_pool_init(&self.tickets, self.board, self.slot);
		r = fd_set_nonblock(self.channel, 1);
	}
	if (r == 0)
		r = worker_loop_init(&self);
	if (r < 0)
		fatal(EX_OSERR, "cannot start: %s", strerror(-r));
	transport_use_epoll(self.epoll);
	worker_loop(&self);
	worker_release();
	exit(EX_OK);
}
