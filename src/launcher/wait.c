/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets that programs take over.  Launcher.  The launcher only waits for one
 * to become readable and never reads from it; while a program has it, it is
 * left alone.  A program that ends and leaves it readable is started again,
 * less and less often if that goes on, so that nothing spins.
 */
#include "launcher/wait.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "launcher/start.h"

#define SOON_MS 1000 /* a program that ends before has not served for long */
#define GRACE \
	16 /* so many short programs in a row are normal: one per datagram */
#define PAUSE_MS   100
#define PAUSE_MOST 5000

static void
waiting_free(struct launcher *l, struct waiting *w)
{
	alarm_clear(l, &w->pause);
	fd_close(w->source.fd);
	generation_unref(l, w->gen);
	free(w);
}

static void
waiting_release(struct launcher *l, struct source *source)
{
	waiting_free(l, (struct waiting *)source);
}

/* Nothing uses it any more and nothing will. */
static void
waiting_retire(struct launcher *l, struct waiting *w)
{
	struct waiting **at = &l->waits;

	w->retired = true;
	alarm_clear(l, &w->pause);
	source_unwatch(l, &w->source);
	if (w->program != NULL)
		return;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	source_bury(l, &w->source);
}

/* Out of the set: with no events asked for it would still report a hang-up over and over. */
static void
waiting_pause(struct launcher *l, struct waiting *w, uint32_t ms)
{
	source_unwatch(l, &w->source);
	alarm_set(l, &w->pause, ms > 0 ? ms : 1);
}

static void
waiting_watch(struct launcher *l, struct waiting *w)
{
	if (source_watch(l, &w->source, EPOLLIN) < 0)
		waiting_pause(l, w, PAUSE_MOST);
}

static void
waiting_ready(struct launcher *l, struct source *source, uint32_t events)
{
	struct waiting *w = (struct waiting *)source;
	uint32_t retry_ms = PAUSE_MS;

	(void)events;
	if (w->program != NULL || w->retired || l->stopping)
		return;
	w->started_ms = clock_ms();
	w->program = start_waiting(l, w, &retry_ms);
	if (w->program == NULL)
		waiting_pause(l, w, retry_ms);
	else
		source_unwatch(l, &w->source);
}

static void
waiting_resume(struct launcher *l, struct alarm *alarm)
{
	struct waiting *w = (struct waiting *)(void *)((char *)alarm -
	    offsetof(struct waiting, pause));

	if (w->program == NULL && !w->retired && !l->stopping)
		waiting_watch(l, w);
}

int
wait_add(struct launcher *l, struct generation *gen,
    struct program_service *service, int fd)
{
	struct waiting *w;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		fd_close(fd);
		return -ENOTSOCK;
	}
	w = calloc(1, sizeof(*w));
	if (w == NULL) {
		fd_close(fd);
		return -ENOMEM;
	}
	w->source = (struct source){
		.fd = fd, .ready = waiting_ready, .release = waiting_release
	};
	w->inode = st.st_ino;
	w->gen = gen;
	w->service = service;
	w->pause.ring = waiting_resume;
	w->next = l->pending_waits;
	gen->refs++;
	l->pending_waits = w;
	return 0;
}

static struct waiting *
waiting_find(struct launcher *l, uint64_t inode)
{
	struct waiting *w = l->waits;

	while (w != NULL && w->inode != inode)
		w = w->next;
	return w;
}

/*
 * The same socket goes on, under the new configuration's options; also one that
 * was retired, but has a program still, which keeps it.
 */
static void
waiting_renew(struct launcher *l, struct waiting *w, struct waiting *by)
{
	struct generation *old = w->gen;

	w->gen = by->gen;
	w->service = by->service;
	w->seen = true;
	w->retired = false;
	by->gen = old;
	waiting_free(l, by);
	/* Its program counts for the service that it serves now. */
	if (w->program != NULL && w->program->slot != w->service->slot) {
		start_counters(l, w->program->slot)->exited++;
		w->program->slot = w->service->slot;
		start_counters(l, w->program->slot)->started++;
	}
}

void
wait_commit(struct launcher *l)
{
	struct waiting *w, *next, *old;

	for (w = l->waits; w != NULL; w = w->next)
		w->seen = false;
	while ((w = l->pending_waits) != NULL) {
		l->pending_waits = w->next;
		old = waiting_find(l, w->inode);
		if (old != NULL) {
			waiting_renew(l, old, w);
			continue;
		}
		w->seen = true;
		w->next = l->waits;
		l->waits = w;
		waiting_watch(l, w);
	}
	for (w = l->waits; w != NULL; w = next) {
		next = w->next;
		if (!w->seen && !w->retired)
			waiting_retire(l, w);
	}
}

void
wait_discard(struct launcher *l)
{
	struct waiting *w;

	while ((w = l->pending_waits) != NULL) {
		l->pending_waits = w->next;
		waiting_free(l, w);
	}
}

static bool
still_readable(const struct waiting *w)
{
	struct pollfd p = { .fd = w->source.fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

void
wait_over(struct launcher *l, struct waiting *w, bool good)
{
	unsigned n;

	w->program = NULL;
	if (w->retired || l->stopping) {
		waiting_retire(l, w);
		return;
	}
	if (clock_ms() - w->started_ms >= SOON_MS || !still_readable(w))
		w->quick = 0;
	else
		w->quick++;
	n = good && w->quick <= GRACE ? 0 : good ? w->quick - GRACE : w->quick;
	if (n == 0)
		waiting_watch(l, w);
	else
		waiting_pause(
		    l, w, n > 6 ? PAUSE_MOST : (uint32_t)PAUSE_MS << (n - 1));
}

void
wait_stop(struct launcher *l)
{
	struct waiting *w, *next;

	for (w = l->waits; w != NULL; w = next) {
		next = w->next;
		if (!w->retired)
			waiting_retire(l, w);
	}
}

void
wait_release(struct launcher *l)
{
	struct waiting *w;

	wait_discard(l);
	while ((w = l->waits) != NULL) {
		l->waits = w->next;
		source_unwatch(l, &w->source);
		waiting_free(l, w);
	}
}
