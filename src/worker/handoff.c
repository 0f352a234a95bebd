/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passing admitted sockets to the launcher.  Workers.  While the launcher is
 * away or behind, what was accepted is kept, and the listeners of programs are
 * paused, so that further clients wait in the kernel's queue.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "worker/accept.h"
#include "worker/handoff.h"

#define HANDOFF_RETRY_MS 20

static int
handoff_send(struct cab_worker *worker, const struct msg_run *run, int fd)
{
	uint32_t at = run->ticket % BOARD_TICKETS;
	int r;

	if (worker->link < 0)
		return -EAGAIN;
	r = chan_send(worker->link, MSG_RUN, run, sizeof(*run), &fd, 1);
	if (r == 0)
		worker->handed[at / 64] |= UINT64_C(1) << at % 64;
	return r;
}

void
handoff_forget(struct cab_worker *worker, uint32_t ticket)
{
	uint32_t at = ticket % BOARD_TICKETS;

	worker->handed[at / 64] &= ~(UINT64_C(1) << at % 64);
}

bool
handoff_pending(const struct cab_worker *worker)
{
	const struct board_ticket *first =
	    &worker->board->tickets[worker->slot * BOARD_TICKETS];

	if (worker->handoffs)
		return true;
	/* Until the launcher has the place, it is given back when we end. */
	for (uint32_t at = 0; at < BOARD_TICKETS; at++)
		if (worker->handed[at / 64] >> at % 64 & 1 &&
		    atomic_load(&first[at].owner) == worker->slot + 1)
			return true;
	return false;
}

/* What the launcher had not adopted when it went is nobody's: gives those places back. */
static void
handoff_recover(struct cab_worker *worker)
{
	uint32_t first = worker->slot * BOARD_TICKETS;

	for (uint32_t at = 0; at < BOARD_TICKETS; at++)
		if (worker->handed[at / 64] >> at % 64 & 1)
			accept_wake(worker,
			    ticket_give_up(
				worker->board, first + at, worker->slot));
	memset(worker->handed, 0, sizeof(worker->handed));
}

static void
handoff_unlink(struct cab_worker *worker)
{
	if (worker->link < 0)
		return;
	/* Also removes it from epoll: no copy of it exists here. */
	worker->link = fd_close(worker->link);
	handoff_recover(worker);
}

/* Too many descriptors under way, or no memory: the link stays writable all the
 * while, so only time can tell. */
static void
handoff_later(struct cab_worker *worker)
{
	worker->handoff_retry_ms = clock_ms() + HANDOFF_RETRY_MS;
	(void)loop_rewatch_source(worker, worker->link, &worker->link_source, 0);
}

/* Sends what waits, in order; stops at the first that cannot go. */
static void
handoff_flush(struct cab_worker *worker)
{
	while (worker->handoffs) {
		struct handoff *h = worker->handoffs;
		int r = handoff_send(worker, &h->run, h->fd);

		if (r == -EPIPE)
			handoff_unlink(worker);
		else if (r < 0 && r != -EAGAIN)
			handoff_later(worker);
		if (r < 0)
			return;
		worker->handoffs = h->next;
		fd_close(h->fd);
		free(h);
	}
	worker->handoffs_tail = &worker->handoffs;
	listeners_resume(worker, PAUSE_HANDOFF);
	if (worker->link >= 0)
		(void)loop_rewatch_source(
		    worker, worker->link, &worker->link_source, 0);
}

static bool
handoff_keep(struct cab_worker *worker, const struct msg_run *run, int fd)
{
	struct handoff *h = malloc(sizeof(*h));

	if (!h)
		return false;
	*h = (struct handoff){ .run = *run, .fd = fd };
	*worker->handoffs_tail = h;
	worker->handoffs_tail = &h->next;
	listeners_pause(worker, PAUSE_HANDOFF, true);
	if (worker->link >= 0)
		(void)loop_rewatch_source(
		    worker, worker->link, &worker->link_source, EPOLLOUT);
	return true;
}

void
handoff_submit(struct cab_worker *worker, struct cab_running *running, int fd,
    const struct cab_peer *peer, uint32_t ticket)
{
	struct cab_sockaddr local = { .len = sizeof(local.ss) };
	struct msg_run run = {
		.generation = running->generation->number,
		.conn_id = worker->engine.next_id++,
		.service = running->index,
		.ticket = ticket,
		.peer = *peer,
	};
	int r = -EAGAIN;

	if (getsockname(fd, &local.sa, &local.len) == 0)
		peer_from_sockaddr(&run.local, &local.sa, local.len);
	if (!worker->handoffs)
		r = handoff_send(worker, &run, fd);
	if (r == -EPIPE)
		handoff_unlink(worker);
	if (r == 0) {
		fd_close(fd);
		return;
	}
	if (handoff_keep(worker, &run, fd))
		return;
	fd_close(fd);
	accept_wake(worker, ticket_give_up(worker->board, ticket, worker->slot));
}

void
handoff_link(struct cab_worker *worker, int fd)
{
	handoff_unlink(worker);
	worker->link = fd;
	if (loop_watch_source(worker, fd, &worker->link_source, 0) < 0) {
		handoff_unlink(worker);
		return;
	}
	handoff_flush(worker);
}

void
handoff_ready(struct cab_worker *worker, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR)) {
		/* The launcher died; the supervisor sends a new link as soon as it has a new one. */
		handoff_unlink(worker);
		listeners_pause(worker, PAUSE_HANDOFF, true);
		return;
	}
	handoff_flush(worker);
}

bool
handoff_kill(struct cab_worker *worker, uint64_t conn_id)
{
	struct handoff **at = &worker->handoffs, *h;

	while (*at && (*at)->run.conn_id != conn_id)
		at = &(*at)->next;
	h = *at;
	if (!h)
		return false;
	*at = h->next;
	if (!h->next)
		worker->handoffs_tail = at;
	fd_close(h->fd);
	accept_wake(
	    worker, ticket_give_up(worker->board, h->run.ticket, worker->slot));
	free(h);
	/* That may have been the last one. */
	if (!worker->handoffs)
		handoff_flush(worker);
	return true;
}

void
handoff_turn(struct cab_worker *worker)
{
	if (worker->handoff_retry_ms == 0 || clock_ms() < worker->handoff_retry_ms)
		return;
	worker->handoff_retry_ms = 0;
	if (worker->link < 0)
		return;
	(void)loop_rewatch_source(
	    worker, worker->link, &worker->link_source, EPOLLOUT);
	handoff_flush(worker);
}

void
handoff_release(struct cab_worker *worker)
{
	while (worker->handoffs) {
		struct handoff *h = worker->handoffs;

		worker->handoffs = h->next;
		fd_close(h->fd);
		ticket_give_up(worker->board, h->run.ticket, worker->slot);
		free(h);
	}
	worker->handoffs_tail = &worker->handoffs;
	handoff_unlink(worker);
}
