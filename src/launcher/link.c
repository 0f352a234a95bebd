/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections that workers pass on.  Launcher.  A worker is not trusted: it may
 * have been taken over by a peer.  What it may choose is a program service of a
 * known configuration and a socket; a place it must really hold, and a message
 * out of form ends its link.
 */
#include "launcher/link.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "ipc/chan.h"
#include "launcher/record.h"
#include "launcher/start.h"

#define MESSAGES     32 /* of one link per turn */
#define LINK_BURST   5  /* records about bad messages per RECORD_PERIOD_MS */
#define SPARE_OUTPUT 8

void
links_init(struct launcher *l)
{
	uint32_t i;

	for (i = 0; i < BOARD_WORKERS; i++)
		l->links[i] = (struct link){
			.source.fd = -1, .slot = i, .run_fd = -1
		};
	/* Nothing can be started before there is a configuration. */
	l->links_paused = true;
}

static void __attribute__((format(printf, 3, 4)))
link_complain(struct launcher *l, const struct link *link, const char *fmt, ...)
{
	char text[200], more[64];
	uint32_t held;
	va_list ap;

	if (!log_gate(&l->link_gate, LINK_BURST, RECORD_PERIOD_MS, &held))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event(CAB_LOG_WARNING, EVENT_BAD_WORKER, "worker %" PRIu32 ": %s%s",
	    link->slot, text,
	    record_held(more, sizeof(more), held));
}

/*
 * False when the worker has died since and its places have been given back: its
 * successor may have the very ticket already, for a connection of its own, which
 * has another number.
 */
static bool
take_ticket(
    struct launcher *l, const struct link *link, const struct msg_run *run)
{
	return run->ticket < BOARD_WORKERS * BOARD_TICKETS &&
	    atomic_load(&l->board->tickets[run->ticket].conn_id) ==
	    run->conn_id &&
	    ticket_adopt(l->board, run->ticket, link->slot, l->slot);
}

static void
link_drop(struct launcher *l, struct link *link)
{
	/* The memory is the launcher's own; the next link of this slot gets it. */
	source_unwatch(l, &link->source);
	link->source.fd = fd_close(link->source.fd);
	if (link->held && take_ticket(l, link, &link->run))
		start_give_up(l, link->run.ticket);
	link->held = false;
	link->run_fd = fd_close(link->run_fd);
}

/* ---- one connection ---------------------------------------------------------------- */

static struct program_service *
service_of_slot(struct generation *gen, uint32_t slot)
{
	size_t i;

	for (i = 0; i < gen->n_services; i++)
		if (gen->services[i].slot == slot)
			return &gen->services[i];
	return NULL;
}

/*
 * The program service that is meant, and its configuration.  One from before our
 * own start is not known here: then the same service of the newest will do, which has
 * the same slot for as long as there is a service of its name.
 */
static struct program_service *
run_service(struct launcher *l, const struct msg_run *run, uint32_t slot,
    struct generation **ret)
{
	struct generation *gen = generation_find(l, run->generation);

	*ret = gen != NULL ? gen : l->generations;
	if (*ret == NULL)
		return NULL;
	if (gen == NULL)
		return service_of_slot(*ret, slot);
	return run->service < gen->n_services ? &gen->services[run->service] : NULL;
}

/* NULL, or what is wrong with it. */
static const char *
run_check(const struct program_service *service, uint32_t slot, int fd)
{
	if (service == NULL || service->conf == NULL || service->conf->exec->wait)
		return "a connection for a service without a program";
	if (slot >= BOARD_SERVICES ||
	    (service->slot != UINT32_MAX && service->slot != slot))
		return "a connection with the place of another service";
	if (fd_socket_option(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		return "something that is not a connection";
	return NULL;
}

/* Takes over fd. */
static void
link_run(struct launcher *l, struct link *link, const struct msg_run *run, int fd)
{
	struct program_service *service;
	struct generation *gen;
	const char *wrong;
	uint32_t slot;

	if (!take_ticket(l, link, run)) {
		fd_close(fd);
		return;
	}
	/* Once: any worker may write there all the while. */
	slot = __atomic_load_n(
	    &l->board->tickets[run->ticket].service, __ATOMIC_RELAXED);
	service = run_service(l, run, slot, &gen);
	wrong = run_check(service, slot, fd);
	if (wrong != NULL) {
		link_complain(l, link, "sent %s", wrong);
		fd_close(fd);
		start_give_up(l, run->ticket);
		return;
	}
	start_connection(l, gen, service, slot, run, fd);
}

/* A worker may have a newer configuration already: then this link has to wait for ours. */
static bool
is_newer(const struct launcher *l, const struct msg_run *run)
{
	return l->generations == NULL || run->generation > l->generations->number;
}

/* ---- the link ---------------------------------------------------------------------- */

/* False when no more is to be read now. */
static bool
link_receive(struct launcher *l, struct link *link)
{
	static struct chan_msg msg;
	int r;

	r = chan_recv(link->source.fd, &msg);
	if (r == -EAGAIN)
		return false;
	if (r == 0) {
		link_drop(l, link);
		return false;
	}
	if (r < 0 || msg.type != MSG_RUN || !msg_valid(&msg)) {
		link_complain(l, link,
		    "its link is closed after a bad message%s%s",
		    r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
		if (r > 0)
			chan_msg_release(&msg);
		link_drop(l, link);
		return false;
	}
	memcpy(&link->run, msg.body, sizeof(link->run));
	if (is_newer(l, &link->run)) {
		link->held = true;
		link->run_fd = chan_take_fd(&msg, 0);
		source_unwatch(l, &link->source);
		return false;
	}
	link_run(l, link, &link->run, chan_take_fd(&msg, 0));
	return true;
}

static bool
has_room(const struct launcher *l)
{
	return l->n_outputs + SPARE_OUTPUT < l->max_outputs;
}

static void
links_pause(struct launcher *l)
{
	unsigned i;

	l->links_paused = true;
	for (i = 0; i < BOARD_WORKERS; i++)
		source_unwatch(l, &l->links[i].source);
}

static void
link_ready(struct launcher *l, struct source *source, uint32_t events)
{
	struct link *link = (struct link *)source;
	int i;

	(void)events;
	for (i = 0; i < MESSAGES; i++) {
		if (l->links_paused || link->held || source->fd < 0)
			return;
		/* Every program takes a descriptor: clients wait in their queues, not in ours. */
		if (!has_room(l)) {
			links_pause(l);
			return;
		}
		if (!link_receive(l, link))
			return;
	}
}

static void
link_watch(struct launcher *l, struct link *link)
{
	if (link->source.fd < 0 || link->held || l->links_paused)
		return;
	if (source_watch(l, &link->source, EPOLLIN) < 0)
		link_drop(l, link);
}

void
link_set(struct launcher *l, uint32_t slot, int fd)
{
	struct link *link = &l->links[slot];

	link_drop(l, link);
	link->source.fd = fd;
	link->source.ready = link_ready;
	if (fd_set_nonblock(fd, 1) < 0)
		link_drop(l, link);
	link_watch(l, link);
}

void
links_resume(struct launcher *l)
{
	unsigned i;

	if (!l->links_paused || l->generations == NULL || !has_room(l) ||
	    l->stop_stage > 0)
		return;
	l->links_paused = false;
	for (i = 0; i < BOARD_WORKERS; i++)
		link_watch(l, &l->links[i]);
}

void
links_recheck(struct launcher *l)
{
	unsigned i;

	for (i = 0; i < BOARD_WORKERS; i++) {
		struct link *link = &l->links[i];
		int fd = link->run_fd;

		if (!link->held)
			continue;
		link->held = false;
		link->run_fd = -1;
		link_run(l, link, &link->run, fd);
		link_watch(l, link);
	}
	links_resume(l);
}

void
links_drain(struct launcher *l)
{
	unsigned i;

	for (i = 0; i < BOARD_WORKERS; i++)
		if (l->links[i].source.ready != NULL)
			link_ready(l, &l->links[i].source, EPOLLIN);
}

void
links_stop(struct launcher *l)
{
	links_pause(l);
}

bool
links_open(const struct launcher *l)
{
	for (unsigned i = 0; i < BOARD_WORKERS; i++)
		if (l->links[i].source.fd >= 0)
			return true;
	return false;
}

void
links_release(struct launcher *l)
{
	unsigned i;

	for (i = 0; i < BOARD_WORKERS; i++)
		link_drop(l, &l->links[i]);
}
