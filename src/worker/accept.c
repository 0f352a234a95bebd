/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accepting and admission.  Workers.  A limit that trips refuses in the
 * protocol's words or leaves the client in the kernel's queue; it never closes
 * a listener, and it charges nobody but the source that hit it.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "access/quota.h"
#include "base/clock.h"
#include "base/fd.h"
#include "worker/accept.h"
#include "worker/balance.h"
#include "worker/datagram.h"
#include "worker/handoff.h"
#include "worker/record.h"

/* No queue is longer than this. */
#define ACCEPT_REST       65536
#define BEAT_MS           1000
#define PEER_SILENT_MS    2000 /* after which another worker may hang */
#define SHORTAGE_MIN_MS   50
#define SHORTAGE_MAX_MS   1000

/* In the order of board_reasons. */
_Static_assert(CAB_REFUSED_ACCESS == 0 && CAB_REFUSED_CONNECTIONS == 1 &&
	CAB_REFUSED_PER_SOURCE == 2 && CAB_REFUSED_RATE == 3 &&
	CAB_REFUSED_SOURCE_RATE == 4 && CAB_REFUSED_SHUTDOWN == 5 &&
	CAB_REFUSED_RESOURCES == 6,
    "a label for every reason");
_Static_assert(
    (int)CAB_REFUSED_MAX <= BOARD_REFUSALS, "a counter for every reason");

struct cab_worker *
worker_of(struct conn_engine *engine)
{
	return (struct cab_worker *)((char *)engine -
	    offsetof(struct cab_worker, engine));
}

/* ---- which listeners are watched ---- */

void
listener_update(struct cab_worker *worker, struct listener *listener)
{
	/* EPOLLEXCLUSIVE: one event wakes one worker.  It cannot be modified, so off means removed. */
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.ptr = listener };
	bool want = listener->paused == 0;

	if (want == listener->watched)
		return;
	if (epoll_ctl(worker->epoll, want ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
		listener->fd, &ev) == 0)
		listener->watched = want;
}

void
listeners_pause(
    struct cab_worker *worker, enum listener_pause why, bool programs_only)
{
	for (struct listener *l = worker->listeners; l; l = l->next) {
		if (!l->stream || (programs_only && l->running->proto))
			continue;
		l->paused |= why;
		listener_update(worker, l);
	}
}

void
listeners_resume(struct cab_worker *worker, enum listener_pause why)
{
	for (struct listener *l = worker->listeners; l; l = l->next) {
		l->paused &= ~(unsigned)why;
		listener_update(worker, l);
	}
}

void
accept_wake(struct cab_worker *worker, uint64_t mask)
{
	uint64_t one = 1;

	for (unsigned slot = 0; mask; slot++, mask >>= 1) {
		if (!(mask & 1))
			continue;
		if (slot == worker->slot)
			worker->woken = true;
		else if (worker->wakes[slot] >= 0 &&
		    write(worker->wakes[slot], &one, sizeof(one)) < 0)
			continue; /* full: it has a wake-up waiting already */
	}
}

/* Descriptors or memory ran out: not accepting for a while beats spinning on an
 * event that cannot be served. */
void
accept_shortage(struct cab_worker *worker, int error)
{
	worker->shortage_pause_ms = worker->shortage_pause_ms ?
	    worker->shortage_pause_ms * 2 :
	    SHORTAGE_MIN_MS;
	if (worker->shortage_pause_ms > SHORTAGE_MAX_MS)
		worker->shortage_pause_ms = SHORTAGE_MAX_MS;
	worker->shortage_until_ms = clock_ms() + worker->shortage_pause_ms;
	listeners_pause(worker, PAUSE_SHORTAGE, false);
	record_shortage(worker, strerror(error));
}

void
accept_turn(struct cab_worker *worker)
{
	uint32_t open = worker->engine.n_open;

	if (worker->woken) {
		worker->woken = false;
		listeners_resume(worker, PAUSE_PLACES);
	}
	if (worker->at_capacity &&
	    open < worker->max_connections - worker->max_connections / 16) {
		worker->at_capacity = false;
		listeners_resume(worker, PAUSE_CAPACITY);
	}
	if (worker->shortage_until_ms && clock_ms() >= worker->shortage_until_ms) {
		worker->shortage_until_ms = 0;
		listeners_resume(worker, PAUSE_SHORTAGE);
	}
}

/* ---- what others have left undone ---- */

static bool
peer_hangs(const struct cab_worker *worker)
{
	const struct board *board = worker->board;
	unsigned workers = atomic_load(&board->daemon.workers);

	for (unsigned i = 0; i < workers && i < BOARD_WORKERS; i++) {
		uint64_t beat = atomic_load_explicit(
		    &board->roles[i].beat_ms, memory_order_relaxed);

		if (i != worker->slot && beat != 0 &&
		    beat + PEER_SILENT_MS < clock_ms())
			return true;
	}
	return false;
}

void
accept_beat(struct cab_worker *worker)
{
	if (clock_ms() < worker->beat_ms)
		return;
	worker->beat_ms = clock_ms() + BEAT_MS;
	/* A supervisor that was killed may have taken a wake-up along. */
	worker->woken = true;
	if (!peer_hangs(worker))
		return;
	/* An event wakes one worker, and that one may never get to it. */
	for (struct listener *l = worker->listeners; l; l = l->next)
		if (!l->paused)
			listener_ready(worker, l);
}

/* ---- admission ---- */

static struct board_service *
row_of(const struct cab_worker *worker, const struct cab_running *running)
{
	return &worker->board->services[running->slot];
}

bool
accept_drains(const struct cab_worker *worker, const struct cab_running *running)
{
	return (atomic_load_explicit(&row_of(worker, running)->flags,
		    memory_order_relaxed) &
		   BOARD_DRAINING) != 0;
}

static void
place_drop(struct cab_worker *worker, const struct cab_running *running)
{
	struct board_service *row = row_of(worker, running);

	quota_drop(worker->board, running->slot);
	if (atomic_load(&row->waiters))
		accept_wake(worker, atomic_exchange(&row->waiters, 0));
}

/* A place for the next client, or this worker's name on the waiting list. */
static bool
place_take_or_wait(struct cab_worker *worker, const struct cab_running *running)
{
	if (quota_take(worker->board, running->slot, running->max_connections))
		return true;
	/* Name first, then look again: whoever frees a place in between sees the name. */
	atomic_fetch_or(
	    &row_of(worker, running)->waiters, UINT64_C(1) << worker->slot);
	return quota_take(worker->board, running->slot, running->max_connections);
}

/* The limits of one source; *ret_source is held when admitted and must be given back. */
static int
admit_source(struct cab_worker *worker, const struct cab_running *running,
    const struct cab_peer *peer, uint32_t *ret_source)
{
	bool hold = running->max_per_source > 0;
	uint32_t active = 0, source;

	*ret_source = BOARD_NO_SOURCE;
	if (!hold && running->source_rate.interval_ns == 0)
		return -1;
	source = quota_source(
	    worker->board, running->slot, peer_source(peer), hold, &active);
	if (source == UINT32_MAX)
		return -1; /* the table is full of busy sources: the service's own limits still hold */
	if (hold && active > running->max_per_source) {
		quota_source_drop(worker->board, source);
		return CAB_REFUSED_PER_SOURCE;
	}
	if (!rate_take(&worker->board->sources[source].rate_tat,
		&running->source_rate, cab_clock.mono_ns)) {
		if (hold)
			quota_source_drop(worker->board, source);
		return CAB_REFUSED_SOURCE_RATE;
	}
	if (hold)
		*ret_source = source;
	return -1;
}

/* -1 and a ticket, or the reason for refusing.  has_place: a place was taken
 * before accepting; it is used up or given back. */
static int
admit(struct cab_worker *worker, const struct cab_running *running,
    const struct cab_peer *peer, bool has_place, uint32_t *ret_ticket)
{
	uint32_t source = BOARD_NO_SOURCE;
	int why = -1;

	if (worker->stopping || accept_drains(worker, running))
		why = CAB_REFUSED_SHUTDOWN;
	else if (!acl_allows(&running->acl, peer, NULL))
		why = CAB_REFUSED_ACCESS;
	else
		why = admit_source(worker, running, peer, &source);
	if (why < 0 && !has_place) {
		has_place = quota_take(
		    worker->board, running->slot, running->max_connections);
		if (!has_place)
			why = CAB_REFUSED_CONNECTIONS;
	}
	/* The service's own rate comes last, so that who is refused for himself uses none of it up. */
	if (why < 0 &&
	    !rate_take(&row_of(worker, running)->rate_tat, &running->rate,
		cab_clock.mono_ns))
		why = CAB_REFUSED_RATE;
	if (why < 0) {
		*ret_ticket = ticket_new(&worker->tickets, running->slot, source);
		if (*ret_ticket != BOARD_NO_TICKET) {
			handoff_forget(worker, *ret_ticket);
			return -1;
		}
		why = CAB_REFUSED_RESOURCES;
	}
	if (source != BOARD_NO_SOURCE)
		quota_source_drop(worker->board, source);
	if (has_place)
		place_drop(worker, running);
	return why;
}

static void
refuse(struct cab_worker *worker, struct cab_running *running, int fd,
    const struct cab_peer *peer, enum cab_refusal why)
{
	char words[1024];
	size_t n = 0;

	running->count->refused[why]++;
	record_refused(worker, running, fd, peer, why);
	if (running->proto && running->proto->refuse && running->started)
		n = running->proto->refuse(running, why, words, sizeof(words));
	conn_refuse(&worker->engine, running, fd, peer, words, n);
}

static void
accepted(struct cab_worker *worker, struct listener *listener, int fd,
    const struct cab_peer *peer, bool has_place)
{
	struct cab_running *running = listener->running;
	uint32_t ticket = BOARD_NO_TICKET;
	struct cab_conn *conn;
	int why;

	why = admit(worker, running, peer, has_place, &ticket);
	if (why >= 0) {
		refuse(worker, running, fd, peer, (enum cab_refusal)why);
		return;
	}
	/* Both ways the connection gets this number. */
	ticket_describe(worker->board, ticket, worker->engine.next_id, peer,
	    clock_ms());
	if (!running->proto) {
		running->count->accepted++;
		handoff_submit(worker, running, fd, peer, ticket);
		return;
	}
	conn = conn_new(&worker->engine, running, fd, peer, ticket);
	if (!conn) {
		accept_wake(worker,
		    ticket_release(worker->board, ticket, worker->slot));
		refuse(worker, running, fd, peer, CAB_REFUSED_RESOURCES);
		return;
	}
	running->count->accepted++;
	conn_open(conn);
}

/* A new connection's peer; unix peers are known by their credentials. */
static void
peer_of(int fd, const struct cab_sockaddr *addr, struct cab_peer *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	peer_from_sockaddr(ret, &addr->sa, addr->len);
	if (ret->family != AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return;
	ret->cred.uid = cred.uid;
	ret->cred.gid = cred.gid;
	ret->cred.pid = cred.pid;
}

/* Accepts one connection: true when another may be waiting. */
static bool
accept_one(struct cab_worker *worker, struct listener *listener)
{
	struct cab_running *running = listener->running;
	struct cab_sockaddr addr = { .len = sizeof(addr.ss) };
	/* Who will not be served has nothing to wait for. */
	bool queue = running->max_connections && !listener->leaving &&
	    !accept_drains(worker, running) &&
	    running->conf->limits.on_limit == CAB_ON_LIMIT_QUEUE;
	struct cab_peer peer;
	int fd;

	if (queue && !place_take_or_wait(worker, running)) {
		listener->paused |= PAUSE_PLACES;
		listener_update(worker, listener);
		record_full(running);
		return false;
	}
	fd = accept4(
	    listener->fd, &addr.sa, &addr.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		worker->shortage_pause_ms = 0;
		peer_of(fd, &addr, &peer);
		accepted(worker, listener, fd, &peer, queue);
		return true;
	}
	int error = errno;
	if (queue)
		place_drop(worker, running);
	if (error == EMFILE || error == ENFILE || error == ENOBUFS ||
	    error == ENOMEM)
		accept_shortage(worker, error);
	/* Everything but "nothing there" and a shortage belongs to one client
	 * that is gone already, see accept(2). */
	return error != EAGAIN && error != EMFILE && error != ENFILE &&
	    error != ENOBUFS && error != ENOMEM && error != EBADF &&
	    error != EINVAL;
}

/* To the end of the kernel's queue of those that watch the socket. */
static void
step_back(struct cab_worker *worker, struct listener *listener)
{
	struct epoll_event none = { 0 };

	listener->in_a_row = 0;
	if (epoll_ctl(worker->epoll, EPOLL_CTL_DEL, listener->fd, &none) < 0)
		return;
	listener->watched = false;
	listener_update(worker, listener);
	if (!listener->watched)
		accept_shortage(worker, errno);
}

static void
accept_ready(struct cab_worker *worker, struct listener *listener)
{
	struct balance others = balance_look(worker->board, worker->slot);
	/* Who has enough leaves the rest of a burst to others while they can
	 * take it; what they do not take, the next turn finds. */
	unsigned batch = balance_over(&others, worker->engine.n_open) ?
	    1 :
	    burst_size(&listener->burst);
	unsigned taken = 0;

	/* One at least: nobody else has been told of who waits here. */
	while (taken < batch && !listener->paused &&
	    (taken == 0 || !engine_has_sent_much(&worker->engine))) {
		if (worker->engine.n_open >= worker->max_connections) {
			worker->at_capacity = true;
			listeners_pause(worker, PAUSE_CAPACITY, false);
			record_shortage(worker, "it has as many connections as "
						"its limit of descriptors allows");
			return;
		}
		if (!accept_one(worker, listener))
			break;
		taken++;
	}
	if (!listener->paused && !engine_has_sent_much(&worker->engine))
		burst_took(&listener->burst, batch, taken);
	listener->in_a_row += taken;
	if (taken > 0 && !listener->paused &&
	    balance_step_back(
		&others, worker->engine.n_open, listener->in_a_row))
		step_back(worker, listener);
}

void
listener_ready(struct cab_worker *worker, struct listener *listener)
{
	if (listener->stream)
		accept_ready(worker, listener);
	else
		datagram_ready(worker, listener);
}

void
accept_rest(struct cab_worker *worker, struct listener *listener)
{
	listener->leaving = true;
	for (unsigned i = 0; i < ACCEPT_REST &&
	     worker->engine.n_open < worker->max_connections &&
	     accept_one(worker, listener);
	     i++)
		continue;
}

/* ---- leaving ---- */

void
accept_released(struct cab_conn *conn)
{
	struct cab_worker *worker = worker_of(conn->running->engine);
	struct board_counters *count = conn->running->count;

	board_count_finished(count, clock_us() - conn->opened_us);
	accept_wake(
	    worker, ticket_release(worker->board, conn->ticket, worker->slot));
	ticket_reuse(&worker->tickets, conn->ticket);
	if (conn->running->conf->log.connections)
		record_finished(conn);
}
