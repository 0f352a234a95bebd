/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The launcher's event loop: epoll, the wheel of alarms, the heartbeat.  A
 * source that goes away in the middle of a turn stays in memory until its end,
 * because an event already fetched may still name it.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fd.h"
#include "launcher/link.h"
#include "launcher/state.h"

#define EVENTS 64
#define BEAT_MS \
	1000 /* the supervisor ends a role that has not come round for longer */

int
loop_open(struct launcher *l)
{
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return -errno;
	wheel_init(&l->wheel, clock_ms());
	return 0;
}

int
source_watch(struct launcher *l, struct source *source, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = source };

	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, source->fd, &ev) < 0 ? -errno :
									 0;
}

void
source_unwatch(struct launcher *l, struct source *source)
{
	if (source->fd >= 0)
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, source->fd, NULL);
}

void
source_bury(struct launcher *l, struct source *source)
{
	/* Closing would not do: somebody else may have the same socket open. */
	source_unwatch(l, source);
	source->fd = fd_close(source->fd);
	source->ready = NULL;
	source->next_dead = l->dead;
	l->dead = source;
}

static void
release_dead(struct launcher *l)
{
	while (l->dead != NULL) {
		struct source *source = l->dead;

		l->dead = source->next_dead;
		if (source->release != NULL)
			source->release(l, source);
	}
}

void
alarm_set(struct launcher *l, struct alarm *alarm, uint64_t in_ms)
{
	timer_arm(&l->wheel, &alarm->timer, clock_ms() + in_ms);
}

void
alarm_clear(struct launcher *l, struct alarm *alarm)
{
	timer_cancel(&l->wheel, &alarm->timer);
}

static void
ring(struct cab_timer *timer, void *arg)
{
	struct alarm *alarm = (struct alarm *)timer;

	alarm->ring(arg, alarm);
}

static int
loop_timeout(struct launcher *l)
{
	int ms = wheel_timeout(&l->wheel, clock_ms());

	return ms < 0 || ms > BEAT_MS ? BEAT_MS : ms;
}

void
loop_run(struct launcher *l)
{
	struct epoll_event events[EVENTS];
	struct board_role *role = &l->board->roles[l->slot];
	int n, i;

	while (!l->done) {
		n = epoll_wait(l->epoll, events, EVENTS, loop_timeout(l));
		clock_tick();
		atomic_store_explicit(
		    &role->beat_ms, clock_ms(), memory_order_relaxed);
		for (i = 0; i < n; i++) {
			struct source *source = events[i].data.ptr;

			if (source->ready != NULL)
				source->ready(l, source, events[i].events);
		}
		wheel_run(&l->wheel, clock_ms(), ring, l);
		release_dead(l);
		/* The next beat, if nothing else, brings another turn. */
		(void)log_catch_up();
		if (l->retired && l->n_programs == 0 && !links_open(l))
			l->done = true;
		atomic_store_explicit(
		    &role->connections, l->n_programs, memory_order_relaxed);
		atomic_store_explicit(
		    &role->log_dropped, log_dropped(), memory_order_relaxed);
	}
}

void
loop_close(struct launcher *l)
{
	release_dead(l);
	l->epoll = fd_close(l->epoll);
}
