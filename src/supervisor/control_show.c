/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs that only look.  Supervisor only.  All that they show is in the
 * scoreboard and in the supervisor's own tables, so a role that hangs hides
 * nothing.  Long lists are made piece by piece.
 */
#include "supervisor/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "stats/metrics.h"
#include "supervisor/control_private.h"

#define TICKETS_STEP 8192 /* looked at before others get their turn */
#define TOP_SOURCES  10

static uint64_t
sum_of(const uint64_t *counts, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += counts[i];
	return sum;
}

/* ---- status ---------------------------------------------------------------------- */

static const char *
level_word(void)
{
	static const struct {
		enum cab_log_level level;
		const char *word;
	} levels[] = { { CAB_LOG_DEBUG, "debug" }, { CAB_LOG_INFO, "info" },
		{ CAB_LOG_NOTICE, "notice" }, { CAB_LOG_WARNING, "warning" } };

	for (size_t i = 0; i < CAB_N(levels); i++)
		if (log_enabled(levels[i].level))
			return levels[i].word;
	return "error";
}

static void
show_reload(struct client *client)
{
	const struct control *control = client->control;
	const struct board_daemon *daemon = &control->setup.board->daemon;
	struct ctl_writer *w = &client->reply;

	ctl_number(w, atomic_load(&daemon->reloads));
	ctl_number(w, atomic_load(&daemon->reload_failures));
	if (control->reload_ms == 0) {
		ctl_none(w);
		ctl_none(w);
	} else {
		ctl_text(w, control->reload_failed ? "failed" : "succeeded");
		ctl_number(w, control->reload_ms);
	}
}

/* What every process could not log. */
static uint64_t
dropped_records(const struct board *board)
{
	uint64_t sum = log_dropped();

	for (unsigned i = 0; i < BOARD_ROLES; i++)
		sum += atomic_load(&board->roles[i].log_dropped);
	return sum;
}

static void
show_daemon(struct client *client)
{
	const struct control *control = client->control;
	const struct board *board = control->setup.board;
	struct ctl_writer *w = &client->reply;
	struct apply_service service;
	size_t services = 0, sockets = 0, k;

	while (apply_service(control->apply, services, &service)) {
		for (k = 0; apply_socket(control->apply, &service, k) != NULL; k++)
			sockets++;
		services++;
	}
	ctl_record(w, "daemon",
	    "version:text state:text pid:int started:time uptime:duration "
	    "config:text generation:int services:int listeners:int workers:int "
	    "reloads:int reload_failures:int last_reload:text "
	    "last_reload_time:time log_level:text log_dropped:int "
	    "supervisor_starts:int");
	ctl_text(w, PACKAGE_VERSION);
	ctl_text(w, control->stopping ? "stopping" : "serving");
	ctl_number(w, (uint64_t)getpid());
	ctl_number(w, atomic_load(&board->daemon.started_ms));
	ctl_number(w, (control_now_us() - control->started_us) / 1000);
	ctl_text(w, control->setup.config);
	ctl_number(w, apply_generation(control->apply));
	ctl_number(w, services);
	ctl_number(w, sockets);
	ctl_number(w, roles_workers(control->setup.roles));
	show_reload(client);
	ctl_text(w, level_word());
	ctl_number(w, dropped_records(board));
	ctl_number(w, atomic_load(&board->daemon.supervisors));
	ctl_row_end(w);
	ctl_table_end(w);
}

static const char *
role_state(const struct role_view *role)
{
	if (role->pid == 0)
		return "waiting to be started";
	if (role->leaving)
		return "stopping";
	return role->dismissed ? "draining" : "running";
}

static void
show_role(struct ctl_writer *w, const struct control *control, uint32_t slot,
    const struct role_view *role)
{
	const struct board_role *row = &control->setup.board->roles[slot];
	uint64_t now = control_now_us(), beat = atomic_load(&row->beat_ms);

	ctl_text(w, slot == BOARD_LAUNCHER ? "launcher" : "worker");
	if (slot == BOARD_LAUNCHER)
		ctl_none(w);
	else
		ctl_number(w, slot);
	ctl_text(w, role_state(role));
	if (role->pid == 0) {
		ctl_none(w);
		ctl_none(w);
		ctl_none(w);
		ctl_none(w);
	} else {
		ctl_number(w, (uint64_t)role->pid);
		ctl_number(w, atomic_load(&row->connections));
		ctl_number(w, (now - role->started_us) / 1000);
		if (beat == 0 || beat > now / 1000)
			ctl_none(w);
		else
			ctl_number(w, now / 1000 - beat);
	}
	ctl_number(w, atomic_load(&row->restarts));
	ctl_row_end(w);
}

void
control_status(struct client *client)
{
	const struct control *control = client->control;
	struct ctl_writer *w = &client->reply;
	struct role_view role;

	ctl_ok(w);
	show_daemon(client);
	ctl_table(w, "processes",
	    "role:text slot:int state:text pid:int connections:int "
	    "uptime:duration last_turn:duration restarts:int");
	for (uint32_t i = 0; i < BOARD_ROLES; i++)
		if (roles_view(control->setup.roles, i, &role))
			show_role(w, control, i, &role);
	ctl_table_end(w);
	client_end(client);
}

/* ---- services --------------------------------------------------------------------- */

static const char *
service_state(const struct board *board, const struct apply_service *service)
{
	uint32_t flags = atomic_load(&board->services[service->slot].flags);

	if (!service->conf->enabled)
		return "disabled";
	return flags & BOARD_DRAINING ? "draining" : "serving";
}

static void
show_counts(struct ctl_writer *w, const struct board *board,
    const struct apply_service *service)
{
	struct board_counters sum;

	board_sum(board, service->slot, &sum);
	ctl_number(w, atomic_load(&board->services[service->slot].active));
	ctl_number(w, sum.accepted);
	ctl_number(w, sum.datagrams_in);
	ctl_number(w, sum_of(sum.refused, BOARD_REFUSALS));
	ctl_number(w, sum.errors);
	ctl_number(w, sum.bytes_in);
	ctl_number(w, sum.bytes_out);
}

static void
show_service(struct client *client, const struct apply_service *service)
{
	const struct control *control = client->control;
	const struct cab_service *conf = service->conf;
	struct ctl_writer *w = &client->reply;
	const struct listener *listener;

	ctl_text(w, conf->name);
	ctl_text(w, service_state(control->setup.board, service));
	ctl_text(w, conf->exec != NULL ? "exec" : conf->protocol);
	ctl_text(w, conf->exec != NULL ? conf->exec->program : NULL);
	show_counts(w, control->setup.board, service);
	ctl_list(w);
	for (size_t i = 0;
	     (listener = apply_socket(control->apply, service, i)) != NULL; i++)
		ctl_item(w, listener->text);
	ctl_row_end(w);
}

static bool
produce_services(struct client *client)
{
	struct apply_service service;

	for (unsigned i = 0; i < 64; i++) {
		if (!apply_service(
			client->control->apply, client->service, &service)) {
			ctl_table_end(&client->reply);
			return true;
		}
		show_service(client, &service);
		client->service++;
	}
	return false;
}

void
control_services(struct client *client)
{
	ctl_ok(&client->reply);
	ctl_table(&client->reply, "services",
	    "name:text state:text protocol:text program:text active:int "
	    "accepted:int datagrams:int refused:int errors:int received:size "
	    "sent:size listeners:list");
	client->produce = produce_services;
}

/* ---- connections ------------------------------------------------------------------ */

/*
 * The next tickets in use, each passed to each(); true when there are no more.
 * A connection that comes or goes meanwhile may be seen or not.
 */
static bool
walk_tickets(struct client *client,
    void (*each)(struct client *client, const struct ticket_view *view))
{
	const struct board *board = client->control->setup.board;
	struct ticket_view view;

	for (unsigned i = 0; i < TICKETS_STEP; i++) {
		while (client->slot < BOARD_WORKERS &&
		    client->at >= ticket_used(board, client->slot)) {
			client->slot++;
			client->at = 0;
		}
		if (client->slot == BOARD_WORKERS)
			return true;
		if (ticket_look(board,
			client->slot * BOARD_TICKETS + client->at++, &view))
			each(client, &view);
	}
	return false;
}

static void
show_connection(struct client *client, const struct ticket_view *view)
{
	const struct control *control = client->control;
	uint64_t now = control_now_us() / 1000;
	struct ctl_writer *w = &client->reply;
	char id[24], peer[CAB_PEER_TEXT];
	struct board_label label;
	struct role_view role;

	if (client->service != UINT32_MAX && view->service != client->service)
		return;
	snprintf(id, sizeof(id), "%" PRIu64, view->conn_id);
	ctl_text(w, id);
	ctl_text(w,
	    board_label_look(control->setup.board, view->service, &label) ?
		label.name :
		NULL);
	ctl_text(w, peer_text(&view->peer, peer, sizeof(peer)));
	ctl_number(w, now > view->start_ms ? now - view->start_ms : 0);
	ctl_text(w,
	    roles_view(control->setup.roles, view->owner, &role) ? role.name :
								   NULL);
	if (view->pid > 0)
		ctl_number(w, (uint64_t)view->pid);
	else
		ctl_none(w);
	ctl_row_end(w);
}

static bool
produce_connections(struct client *client)
{
	if (!walk_tickets(client, show_connection))
		return false;
	ctl_table_end(&client->reply);
	return true;
}

void
control_connections(struct client *client)
{
	struct apply_service service = { .slot = UINT32_MAX };

	if (client->request.n > 1 &&
	    !client_service(client, client->request.words[1], &service))
		return;
	client->service = service.slot;
	ctl_ok(&client->reply);
	ctl_table(&client->reply, "connections",
	    "id:text service:text peer:text age:duration process:text "
	    "program:int");
	client->produce = produce_connections;
}

/* ---- metrics ----------------------------------------------------------------------- */

/* Queues of all listeners; fresh memory, NULL on -ENOMEM. */
static struct metrics_listener *
collect_queues(const struct control *control, size_t *ret_n)
{
	struct metrics_listener *queues = NULL, *more, one;
	const struct listener *listener;
	struct apply_service service;
	size_t n = 0;

	for (size_t i = 0; apply_service(control->apply, i, &service); i++)
		for (size_t k = 0; (listener = apply_socket(
					control->apply, &service, k)) != NULL;
		     k++) {
			if (metrics_queue(listener->fd->fd, &one) < 0)
				continue;
			one.service = service.conf->name;
			more = (n & (n - 1)) == 0 ?
			    realloc(queues, (n * 2 + 1) * sizeof(*more)) :
			    queues;
			if (more == NULL) {
				free(queues);
				return NULL;
			}
			queues = more;
			queues[n++] = one;
		}
	*ret_n = n;
	return n > 0 ? queues : calloc(1, sizeof(*queues));
}

void
control_metrics(struct client *client)
{
	const struct control *control = client->control;
	struct metrics_view view = { .board = control->setup.board };
	struct cab_buf text = CAB_BUF_INIT(0);
	struct metrics_listener *queues;
	int r = -ENOMEM;

	queues = collect_queues(control, &view.n_listeners);
	view.listeners = queues;
	if (queues != NULL)
		r = metrics_render(&view, &text);
	if (r < 0) {
		client_refuse(client, CTL_REFUSED, "%s", strerror(-r));
	} else {
		ctl_ok(&client->reply);
		ctl_record(&client->reply, "metrics", "text:text");
		ctl_text_n(&client->reply, buf_slice(&text).p, buf_len(&text));
		ctl_row_end(&client->reply);
		ctl_table_end(&client->reply);
		client_end(client);
	}
	free(queues);
	buf_release(&text);
}

/* ---- top ------------------------------------------------------------------------------ */

/* Connections by source, in an open-addressed table. */
struct tally {
	struct tally_entry {
		struct cab_source source;
		struct cab_peer peer;
		uint32_t n; /* 0: empty */
	} * v;
	size_t n, cap; /* cap is a power of two */
	bool failed;
};

void
tally_free(struct tally *tally)
{
	if (tally == NULL)
		return;
	free(tally->v);
	free(tally);
}

static struct tally_entry *
tally_find(struct tally *tally, struct cab_source source)
{
	uint64_t hash = (source.bits ^ (uint64_t)source.family << 56) *
	    UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(hash >> 20) & (tally->cap - 1);

	while (tally->v[i].n > 0 &&
	    (tally->v[i].source.bits != source.bits ||
		tally->v[i].source.family != source.family))
		i = (i + 1) & (tally->cap - 1);
	return &tally->v[i];
}

static bool
tally_grow(struct tally *tally)
{
	struct tally bigger = { .cap = tally->cap > 0 ? tally->cap * 2 : 256 };

	if (tally->n * 2 < tally->cap)
		return true;
	bigger.v = calloc(bigger.cap, sizeof(*bigger.v));
	if (bigger.v == NULL)
		return false;
	for (size_t i = 0; i < tally->cap; i++)
		if (tally->v[i].n > 0)
			*tally_find(&bigger, tally->v[i].source) = tally->v[i];
	free(tally->v);
	tally->v = bigger.v;
	tally->cap = bigger.cap;
	return true;
}

static void
tally_connection(struct client *client, const struct ticket_view *view)
{
	struct cab_source source = peer_source(&view->peer);
	struct tally *tally = client->tally;
	struct tally_entry *entry;

	if (!tally_grow(tally)) {
		tally->failed = true;
		return;
	}
	entry = tally_find(tally, source);
	if (entry->n++ > 0)
		return;
	entry->source = source;
	entry->peer = view->peer;
	tally->n++;
}

/* The largest entry, which is taken out; NULL when none is left. */
static struct tally_entry *
tally_largest(struct tally *tally)
{
	struct tally_entry *best = NULL;

	for (size_t i = 0; i < tally->cap; i++)
		if (tally->v[i].n > 0 && (best == NULL || tally->v[i].n > best->n))
			best = &tally->v[i];
	return best;
}

/* As limits count it: an IPv6 source is a /64. */
static const char *
source_text(const struct cab_peer *peer, char *dst, size_t cap)
{
	struct cab_prefix prefix = { .family = AF_INET6, .bits = 64 };

	if (peer->family != AF_INET6)
		return peer_source_text(peer, dst, cap);
	memcpy(prefix.ip, peer->ip, 8);
	return prefix_text(&prefix, dst, cap);
}

static bool
produce_top(struct client *client)
{
	struct ctl_writer *w = &client->reply;
	struct tally_entry *entry;
	char text[CAB_PEER_TEXT];

	if (!walk_tickets(client, tally_connection))
		return false;
	ctl_table(w, "sources", "source:text connections:int");
	for (unsigned i = 0;
	     i < TOP_SOURCES && (entry = tally_largest(client->tally)) != NULL;
	     i++) {
		ctl_text(w, source_text(&entry->peer, text, sizeof(text)));
		ctl_number(w, entry->n);
		ctl_row_end(w);
		entry->n = 0;
	}
	ctl_table_end(w);
	return true;
}

void
control_top(struct client *client)
{
	const struct control *control = client->control;
	const struct board *board = control->setup.board;
	struct ctl_writer *w = &client->reply;
	struct apply_service service;

	client->tally = calloc(1, sizeof(*client->tally));
	if (client->tally == NULL) {
		client_refuse(client, CTL_REFUSED, "%s", strerror(ENOMEM));
		return;
	}
	ctl_ok(w);
	ctl_record(w, "sample",
	    "time:time clock:duration uptime:duration workers:int");
	ctl_number(w, (uint64_t)cab_clock.wall_ns / 1000000);
	ctl_number(w, control_now_us() / 1000);
	ctl_number(w, (control_now_us() - control->started_us) / 1000);
	ctl_number(w, roles_workers(control->setup.roles));
	ctl_row_end(w);
	ctl_table_end(w);
	ctl_table(w, "counters",
	    "name:text state:text active:int accepted:int datagrams:int "
	    "refused:int errors:int received:size sent:size");
	for (size_t i = 0; apply_service(control->apply, i, &service); i++) {
		ctl_text(w, service.conf->name);
		ctl_text(w, service_state(board, &service));
		show_counts(w, board, &service);
		ctl_row_end(w);
	}
	ctl_table_end(w);
	client->produce = produce_top;
}
