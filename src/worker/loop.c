/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's event loop.  Workers.  Connections and listeners come first in
 * a turn, everything that may free them (timers, messages) after the batch.
 */
#include "config.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/accept.h"
#include "worker/handoff.h"
#include "worker/loop.h"
#include "worker/metrics.h"
#include "worker/record.h"
#include "worker/transport.h"
#include "worker/worker.h"

#define EVENTS 256

int
loop_watch_source(struct cab_worker *worker, int fd, struct loop_source *source,
    uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = source };

	return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int
loop_rewatch_source(struct cab_worker *worker, int fd,
    struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = source };

	return epoll_ctl(worker->epoll, EPOLL_CTL_MOD, fd, &ev) < 0 ? -errno : 0;
}

void
loop_unwatch_source(struct cab_worker *worker, int fd)
{
	if (fd >= 0)
		(void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, fd, NULL);
}

int
worker_loop_init(struct cab_worker *worker)
{
	worker->channel_source.kind = LOOP_CHANNEL;
	worker->wake_source.kind = LOOP_WAKE;
	worker->link_source.kind = LOOP_LINK;
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll < 0)
		return -errno;
	return loop_watch_source(
	    worker, worker->channel, &worker->channel_source, EPOLLIN);
}

static int
sooner(int timeout, uint64_t due_ms, uint64_t now)
{
	uint64_t left = due_ms <= now ? 0 : due_ms - now;

	if (due_ms == 0)
		return timeout;
	if (left > 3600000)
		left = 3600000;
	return timeout < 0 || (uint64_t)timeout > left ? (int)left : timeout;
}

static int
loop_timeout(const struct cab_worker *worker)
{
	uint64_t now = clock_ms();
	int timeout = wheel_timeout(&worker->engine.wheel, now);

	timeout = sooner(timeout, worker->shortage_until_ms, now);
	timeout = sooner(timeout, worker->handoff_retry_ms, now);
	timeout = sooner(timeout, worker->stop_ms, now);
	timeout = sooner(timeout, worker->sweep_ms, now);
	timeout = sooner(timeout, worker->beat_ms, now);
	timeout = sooner(timeout, transport_due_ms(), now);
	return sooner(timeout, worker->drain_ms, now);
}

/* What a turn has to look at after its batch of connections. */
struct turn {
	bool channel, wake;
	uint32_t link;
};

static void
dispatch(
    struct cab_worker *worker, const struct epoll_event *ev, struct turn *turn)
{
	struct loop_source *source = ev->data.ptr;

	switch ((enum loop_kind)source->kind) {
	case LOOP_CONN:
		conn_ready(ev->data.ptr, ev->events & EPOLLIN,
		    ev->events & EPOLLOUT, ev->events & (EPOLLHUP | EPOLLERR));
		break;
	case LOOP_LISTENER:
		listener_ready(worker, ev->data.ptr);
		break;
	case LOOP_CHANNEL:
		turn->channel = true;
		break;
	case LOOP_WAKE:
		turn->wake = true;
		break;
	case LOOP_LINK:
		turn->link = ev->events;
		break;
	case LOOP_KINDS:
		break;
	}
}

/* Shows that this worker makes progress. */
static void
beat(struct cab_worker *worker)
{
	clock_tick();
	worker->engine.file_bytes = 0;
	atomic_store_explicit(&worker->board->roles[worker->slot].beat_ms,
	    clock_ms(), memory_order_relaxed);
}

/* How many of the n were dealt with. */
static int
dispatch_batch(struct cab_worker *worker, const struct epoll_event events[],
    int n, struct turn *turn)
{
	int i;

	if (n > BATCH_MAX)
		n = BATCH_MAX;
	if (n > 1)
		engine_batch_begin(&worker->engine);
	for (i = 0; i < n && !engine_has_sent_much(&worker->engine); i++)
		dispatch(worker, &events[i], turn);
	engine_batch_end(&worker->engine);
	return i;
}

void
worker_loop(struct cab_worker *worker)
{
	struct epoll_event events[EVENTS];
	uint64_t woken;

	while (!worker->done) {
		struct turn turn = { false, false, 0 };
		int n = epoll_wait(
		    worker->epoll, events, EVENTS, loop_timeout(worker));
		int i = 0;

		/* Batch by batch: many costly requests are no hang. */
		do {
			beat(worker);
			i += dispatch_batch(worker, &events[i], n - i, &turn);
		} while (i < n);
		worker_metrics_forget();
		engine_timers(&worker->engine);
		if (turn.wake &&
		    read(worker->wakes[worker->slot], &woken, sizeof(woken)) > 0)
			worker->woken = true;
		if (turn.link)
			handoff_ready(worker, turn.link);
		handoff_turn(worker);
		if (turn.channel)
			worker_messages(worker);
		worker_turn(worker);
		record_turn(worker);
		accept_beat(worker);
		transport_turn();
		/* Last, because all of the above may free a place. */
		accept_turn(worker);
		atomic_store_explicit(
		    &worker->board->roles[worker->slot].connections,
		    worker->engine.n_open, memory_order_relaxed);
		atomic_store_explicit(
		    &worker->board->roles[worker->slot].log_dropped,
		    log_dropped(), memory_order_relaxed);
	}
}
