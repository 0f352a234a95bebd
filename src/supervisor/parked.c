/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets kept for services that may come back.  Supervisor only.  Looks once a
 * second whether the programs still run, because nobody tells of their end; has
 * no timer when it keeps nothing.
 */
#include "supervisor/parked.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#define LOOK_EVERY UINT64_C(1000000) /* us */
#define GRACE_MS   8000 /* beyond its drain: a program is asked first, and killed after 5 s */

struct parked_socket {
	struct parked_socket *next;
	struct listener *listener;
	uint64_t key;
	uint32_t slot;
	uint64_t until_ms;
};

struct parked {
	struct parked_socket *sockets;
	sd_event_source *timer;
	parked_busy *busy;
	void *arg;
};

static void
leave(struct parked_socket **at)
{
	struct parked_socket *socket = *at;

	*at = socket->next;
	listener_unref(socket->listener);
	free(socket);
}

static void
look_again(struct parked *parked)
{
	if (parked->sockets != NULL &&
	    sd_event_source_set_time_relative(parked->timer, LOOK_EVERY) >= 0)
		(void)sd_event_source_set_enabled(
		    parked->timer, SD_EVENT_ONESHOT);
}

static int
on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct parked *parked = arg;
	struct parked_socket **at = &parked->sockets;

	(void)source;
	(void)usec;
	while (*at != NULL)
		if ((*at)->until_ms <= clock_ms() ||
		    !parked->busy(parked->arg, (*at)->slot))
			leave(at);
		else
			at = &(*at)->next;
	look_again(parked);
	return 0;
}

void
parked_add(struct parked *parked, struct listener *listener, uint64_t key,
    uint32_t slot, uint64_t drain_ms)
{
	struct parked_socket *socket;

	/* A file is made anew, whoever has the socket of the one before; what
	 * systemd passed is kept anyway. */
	if (listener->file.made || listener->passed != NULL ||
	    !parked->busy(parked->arg, slot))
		return;
	socket = malloc(sizeof(*socket));
	/* Without memory the service has to wait for the end of its program. */
	if (socket == NULL)
		return;
	*socket = (struct parked_socket){ .next = parked->sockets,
		.listener = listener_ref(listener),
		.key = key,
		.slot = slot,
		.until_ms = clock_ms() + drain_ms + GRACE_MS };
	parked->sockets = socket;
	look_again(parked);
}

struct listener *
parked_find(const struct parked *parked, uint64_t key)
{
	struct parked_socket *socket = parked->sockets;

	while (socket != NULL && socket->key != key)
		socket = socket->next;
	return socket != NULL ? socket->listener : NULL;
}

void
parked_settle(struct parked *parked)
{
	struct parked_socket **at = &parked->sockets;

	while (*at != NULL)
		if ((*at)->listener->refs > 1)
			leave(at);
		else
			at = &(*at)->next;
}

void
parked_clear(struct parked *parked)
{
	while (parked->sockets != NULL)
		leave(&parked->sockets);
}

int
parked_new(struct parked **ret, sd_event *event, parked_busy *busy, void *arg)
{
	struct parked *parked = calloc(1, sizeof(*parked));
	int r;

	if (parked == NULL)
		return -ENOMEM;
	parked->busy = busy;
	parked->arg = arg;
	r = sd_event_add_time(event, &parked->timer, CLOCK_MONOTONIC,
	    UINT64_MAX, 0, on_timer, parked);
	if (r < 0) {
		free(parked);
		return r;
	}
	(void)sd_event_source_set_enabled(parked->timer, SD_EVENT_OFF);
	*ret = parked;
	return 0;
}

void
parked_free(struct parked *parked)
{
	if (parked == NULL)
		return;
	parked_clear(parked);
	sd_event_source_disable_unref(parked->timer);
	free(parked);
}
