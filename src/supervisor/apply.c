/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transaction from one configuration to the next.  Supervisor only.  What a
 * configuration needs is counted, so that old and new hold what they share for
 * as long as both are around: dropping either side is commit or roll-back.
 * Never leaves a mixture behind, whatever fails and whenever.
 */
#include "supervisor/apply.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/event.h"
#include "base/fd.h"
#include "base/hush.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/msg.h"
#include "supervisor/listen.h"
#include "supervisor/parked.h"
#include "supervisor/plan.h"

#define ANSWER_WITHIN UINT64_C(5000000) /* us that the roles have */
#define REFUSALS_BURST     5
#define REFUSALS_PERIOD_MS 60000
#define DEATHS_MOST   3 /* of one role, before the configuration is to blame */

/* The sockets of one entry of the plan: one, none if it was skipped, several for systemd://. */
struct place {
	struct listener **v;
	size_t n;
};

struct resource {
	uint32_t service;
	const char *option;
	struct shared_fd *fd;
};

/* A configuration with all that is open for it. */
struct state {
	uint64_t generation;
	struct cab_conf *conf;
	struct plan plan;
	struct place *places; /* one per listener of the plan */
	struct resource *resources;
	size_t n_resources;
	struct shared_fd *snapshot;
	size_t snapshot_n;
	size_t n_sockets;
};

struct apply {
	struct apply_setup setup;
	struct state *current, *next;
	struct cab_diag findings;
	sd_event_source *timer;
	struct cab_log_gate refusals; /* of a generation that is not being applied */
	bool late; /* those who did not answer have been killed once */
	uint64_t generation; /* the last one that was used */
	struct parked *parked; /* sockets that programs of dropped services have */
	struct plan inherited; /* what the first configuration finds running */
};

/* ---- states ----------------------------------------------------------------------- */

static void
state_free(struct state *state)
{
	if (state == NULL)
		return;
	for (size_t i = 0; state->places != NULL && i < state->plan.n_listens;
	     i++) {
		for (size_t k = 0; k < state->places[i].n; k++)
			listener_unref(state->places[i].v[k]);
		free(state->places[i].v);
	}
	free(state->places);
	for (size_t i = 0; i < state->n_resources; i++)
		shared_fd_unref(state->resources[i].fd);
	free(state->resources);
	shared_fd_unref(state->snapshot);
	plan_release(&state->plan);
	conf_free(state->conf);
	free(state);
}

/* Its listeners stay in the store, and their files where they are. */
static void
state_leave(const struct state *state)
{
	for (size_t i = 0; state != NULL && state->places != NULL &&
	     i < state->plan.n_listens;
	     i++)
		for (size_t k = 0; k < state->places[i].n; k++)
			listener_leave(state->places[i].v[k]);
}

static int
place_add(struct state *state, size_t index, struct listener *listener)
{
	struct place *place = &state->places[index];
	struct listener **more = realloc(
	    place->v, (place->n + 1) * sizeof(struct listener *));

	if (more == NULL)
		return -ENOMEM;
	place->v = more;
	place->v[place->n++] = listener;
	state->n_sockets++;
	return 0;
}

static const struct cab_service *
service_of(const struct state *state, size_t index)
{
	return &state->conf->services[state->plan.listens[index].service];
}

static const struct cab_listen *
listen_of(const struct state *state, size_t index)
{
	return &service_of(state, index)->listens.v[state->plan.listens[index].listen];
}

/* ---- findings --------------------------------------------------------------------- */

static void
no_listener(struct apply *apply, const struct state *state, size_t index,
    const char *why)
{
	const struct cab_service *service = service_of(state, index);
	const struct cab_listen *listen = listen_of(state, index);

	diag_add(&apply->findings, CAB_ERROR, listen->file, listen->line,
	    "service \"%s\" cannot listen on %s: %s", service->name,
	    listen->text, why);
}

static void
out_of_memory(struct apply *apply)
{
	diag_add(&apply->findings, CAB_ERROR, NULL, 0, "%s", strerror(ENOMEM));
}

/* ---- listeners -------------------------------------------------------------------- */

/* Takes over what ran before under the same address. */
static int
keep_listener(struct apply *apply, struct state *state, size_t index)
{
	size_t from = state->plan.listens[index].from;
	const struct place *old;
	char why[LISTEN_WHY];
	int r;

	if (from == PLAN_OPEN)
		return 0;
	old = &apply->current->places[from];
	for (size_t i = 0; i < old->n; i++) {
		/* Its file was removed behind our back: a new one is what helps. */
		if (listener_lost(old->v[i]))
			continue;
		r = place_add(state, index, old->v[i]);
		if (r < 0) {
			out_of_memory(apply);
			return r;
		}
		listener_ref(old->v[i]);
		if (old->v[i]->passed != NULL)
			old->v[i]->passed->claimed = true;
		if (state->plan.services[state->plan.listens[index].service].change ==
		    PLAN_KEPT)
			continue;
		r = listener_tune(old->v[i], service_of(state, index), why);
		if (r < 0) {
			no_listener(apply, state, index, why);
			return r;
		}
	}
	return 0;
}

/* Adds one that has just been made, whose only owner is the caller. */
static int
place_opened(struct apply *apply, struct state *state, size_t index,
    struct listener *listener)
{
	int r = place_add(state, index, listener);

	if (r < 0) {
		listener_unref(listener);
		out_of_memory(apply);
	}
	return r;
}

/* Takes over one socket; 1 when it was of no use and has been closed. */
static int
adopt_socket(struct apply *apply, struct state *state, size_t index,
    struct passed_socket *socket)
{
	struct listener *listener;
	char why[LISTEN_WHY];
	int r;

	r = listener_adopt(service_of(state, index), socket, &listener, why);
	if (r == -ESTALE) {
		passed_drop(socket);
		return 1;
	}
	if (r < 0) {
		no_listener(apply, state, index, why);
		return r;
	}
	return place_opened(apply, state, index, listener);
}

/* Why systemd has no socket for a listener that asks for one by name. */
static void
none_of_that_name(const struct passed *passed, const char *name,
    char why[LISTEN_WHY])
{
	char names[256];

	for (size_t i = 0; i < passed->n; i++) {
		if (!passed_is_unit(&passed->v[i]) ||
		    strcmp(passed->v[i].name, name) != 0)
			continue;
		snprintf(why, LISTEN_WHY,
		    "another listener of this configuration has the socket of "
		    "that name, by its address; remove one of them");
		return;
	}
	snprintf(why, LISTEN_WHY,
	    "systemd passed no socket of that name (passed at the start: %s); "
	    "set FileDescriptorName=%s in the .socket unit and start the daemon "
	    "through it",
	    passed_names(passed, names, sizeof(names)), name);
}

/* Takes over what systemd passed for this address or name, or kept for us. */
static int
adopt_listener(struct apply *apply, struct state *state, size_t index)
{
	const struct cab_listen *listen = listen_of(state, index);
	uint64_t key = plan_listen_key(service_of(state, index), listen);
	struct passed *passed = apply->setup.passed;
	struct passed_socket *socket;
	char why[LISTEN_WHY];
	int r;

	if (state->places[index].n > 0)
		return 0;
	while ((socket = passed_find(passed, listen, key)) != NULL) {
		bool kept = !passed_is_unit(socket);

		r = adopt_socket(apply, state, index, socket);
		if (r < 0)
			return r;
		/* There is one of each; a .socket unit may pass several. */
		if (kept && r == 0)
			break;
	}
	if (listen->kind != CAB_SYSTEMD || state->places[index].n > 0)
		return 0;
	none_of_that_name(passed, listen->name, why);
	no_listener(apply, state, index, why);
	return -ENOENT;
}

/* Takes back a socket that a program goes on with, as if it had never been dropped. */
static int
unpark_listener(struct apply *apply, struct state *state, size_t index)
{
	const struct cab_service *service = service_of(state, index);
	struct listener *listener = NULL;
	char why[LISTEN_WHY];
	int r;

	if (state->places[index].n == 0)
		listener = parked_find(apply->parked,
		    plan_listen_key(service, listen_of(state, index)));
	if (listener == NULL)
		return 0;
	r = listener_tune(listener, service, why);
	if (r < 0) {
		no_listener(apply, state, index, why);
		return r;
	}
	return place_opened(apply, state, index, listener_ref(listener));
}

/* True when a socket of the same service answers for this address as well. */
static bool
is_covered(const struct state *state, size_t index)
{
	const struct plan *plan = &state->plan;
	uint32_t service = plan->listens[index].service;
	size_t i = index;

	/* A service's listeners are neighbours. */
	while (i > 0 && plan->listens[i - 1].service == service)
		i--;
	for (; i < plan->n_listens && plan->listens[i].service == service; i++)
		for (size_t k = 0; k < state->places[i].n; k++)
			if (listener_covers(
				state->places[i].v[k], listen_of(state, index)))
				return true;
	return false;
}

/* Lets the new socket overlap with ours that are about to be closed: "*:80" to "127.0.0.1:80". */
static bool
share_ours(const struct apply *apply, const struct cab_listen *listen, bool on)
{
	const struct state *old = apply->current;
	bool any = false;

	for (size_t i = 0; old != NULL && i < old->plan.n_listens; i++) {
		for (size_t k = 0; k < old->places[i].n; k++) {
			/* What both states use stays, and so do its claims;
			 * systemd's stay whoever uses them. */
			if (old->places[i].v[k]->refs > 1 ||
			    old->places[i].v[k]->passed != NULL ||
			    !listener_overlaps(old->places[i].v[k], listen))
				continue;
			listener_share(old->places[i].v[k], on);
			any = true;
		}
	}
	return any;
}

/* As if we listened on it. */
static struct listener
as_listener(const struct passed_socket *socket, struct shared_fd *fd)
{
	*fd = (struct shared_fd){ .fd = socket->fd, .refs = 1 };
	return (struct listener){ .kind = socket->kind,
		.addr = socket->addr,
		.dual = socket->dual,
		.fd = fd };
}

/* The same for those from the store that are going to be closed. */
static bool
share_kept(const struct apply *apply, const struct cab_listen *listen, bool on)
{
	const struct passed *passed = apply->setup.passed;
	bool any = false;

	for (size_t i = 0; i < passed->n; i++) {
		const struct passed_socket *socket = &passed->v[i];
		struct shared_fd fd;
		const struct listener kept = as_listener(socket, &fd);

		if (socket->fd < 0 || passed_is_unit(socket) ||
		    !listener_overlaps(&kept, listen))
			continue;
		listener_share(&kept, on);
		any = true;
	}
	return any;
}

/* Either kind. */
static bool
share_old(const struct apply *apply, const struct cab_listen *listen, bool on)
{
	bool ours = share_ours(apply, listen, on);

	return share_kept(apply, listen, on) || ours;
}

/* It may be one of systemd's that has the address: then there is no program to stop. */
static void
explain_passed(const struct passed *passed, const struct cab_listen *listen,
    char why[LISTEN_WHY])
{
	for (size_t i = 0; i < passed->n; i++) {
		const struct passed_socket *socket = &passed->v[i];
		struct shared_fd fd;
		const struct listener theirs = as_listener(socket, &fd);
		char addr[CAB_ADDR_TEXT], name[128];

		if (!passed_is_unit(socket) || socket->kind != listen->kind ||
		    !(sockaddr_equal(&socket->addr, &listen->addr) ||
			listener_overlaps(&theirs, listen)))
			continue;
		sockaddr_text(&socket->addr, addr, sizeof(addr));
		str_escape(
		    name, sizeof(name), socket->name, strlen(socket->name));
		snprintf(why, LISTEN_WHY,
		    "%s; the socket that systemd passed as \"%s\" (%s) has it%s",
		    strerror(EADDRINUSE), name, addr,
		    socket->claimed ?
			", and another listener of this configuration uses that" :
			": change its address in the .socket unit, or listen on "
			"just that");
		return;
	}
}

static int
open_listener(struct apply *apply, struct state *state, size_t index)
{
	const struct cab_service *service = service_of(state, index);
	const struct cab_listen *listen = listen_of(state, index);
	const struct cab_log_field field = { .name = FIELD_SERVICE,
		.value = service->name };
	struct listener *listener;
	char why[LISTEN_WHY];
	int r;

	if (state->places[index].n > 0)
		return 0;
	if (is_covered(state, index)) {
		log_fields(CAB_LOG_INFO, NULL, &field, 1,
		    "%s is served by the socket for both families that systemd "
		    "passed",
		    listen->text);
		return 0;
	}
	r = listener_open(service, listen, false, &listener, why);
	if (r == -EADDRINUSE && share_old(apply, listen, true)) {
		r = listener_open(service, listen, true, &listener, why);
		(void)share_old(apply, listen, false);
	}
	if (listen->optional && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) {
		log_fields(CAB_LOG_INFO, NULL, &field, 1,
		    "not listening on %s: this host has no IPv6", listen->text);
		return 0;
	}
	if (r == -EADDRINUSE && service_waits(service))
		snprintf(why + strlen(why), sizeof(why) - strlen(why),
		    "; it may be a program of this service itself, from an "
		    "earlier supervisor: then wait for its end");
	if (r == -EADDRINUSE)
		explain_passed(apply->setup.passed, listen, why);
	if (r < 0) {
		no_listener(apply, state, index, why);
		return r;
	}
	return place_opened(apply, state, index, listener);
}

/* Everything that can fail does so for all listeners, so that one run tells all. */
static int
open_listeners(struct apply *apply, struct state *state)
{
	static int (*const steps[])(struct apply *, struct state *,
	    size_t) = { keep_listener, adopt_listener, unpark_listener,
		open_listener };
	int first = 0;

	passed_unclaim(apply->setup.passed);
	state->places = calloc(state->plan.n_listens + 1, sizeof(*state->places));
	if (state->places == NULL) {
		out_of_memory(apply);
		return -ENOMEM;
	}
	for (size_t s = 0; s < CAB_N(steps); s++) {
		for (size_t i = 0; i < state->plan.n_listens; i++) {
			int r = steps[s](apply, state, i);

			if (r < 0 && first == 0)
				first = r;
		}
		if (first < 0)
			break;
	}
	return first;
}

/* From here on they outlive us; some are a program's, and never to be hushed. */
static void
keep_listeners(struct state *state)
{
	for (size_t i = 0; i < state->plan.n_listens; i++) {
		const struct cab_service *service = service_of(state, i);
		uint64_t key = plan_listen_key(service, listen_of(state, i));

		for (size_t k = 0; k < state->places[i].n; k++) {
			struct listener *listener = state->places[i].v[k];

			if (service_waits(service) && listener->passed == NULL)
				hush_never(listener->fd->fd);
			listener_keep(listener, key);
		}
	}
}

/* ---- resources -------------------------------------------------------------------- */

static int
open_resource(struct apply *apply, struct state *state, uint32_t index,
    const struct cab_opt *opt)
{
	const struct cab_service *service = &state->conf->services[index];
	const char *path = *(
	    const char *const *)((const char *)service->options + opt->offset);
	int how = opt->flags & CAB_F_DIR ? O_PATH | O_DIRECTORY : O_RDONLY;
	struct resource *more;
	struct shared_fd *shared;
	int fd;

	if (path == NULL)
		return 0;
	/* Non-blocking, lest a FIFO that took the file's place hold us up. */
	fd = open(path, how | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		int r = -errno;

		diag_add(&apply->findings, CAB_ERROR, service->file,
		    service->line, "service \"%s\": %s: cannot open %s: %s",
		    service->name, opt->name, path, strerror(-r));
		return r;
	}
	shared = shared_fd_new(fd);
	more = realloc(
	    state->resources, (state->n_resources + 1) * sizeof(*more));
	if (shared == NULL || more == NULL) {
		if (more != NULL)
			state->resources = more;
		shared_fd_unref(shared);
		out_of_memory(apply);
		return -ENOMEM;
	}
	state->resources = more;
	state->resources[state->n_resources++] = (struct resource){
		.service = index, .option = opt->name, .fd = shared
	};
	return 0;
}

static int
open_resources(struct apply *apply, struct state *state)
{
	int first = 0;

	for (uint32_t i = 0; i < state->conf->n_services; i++) {
		const struct cab_service *service = &state->conf->services[i];
		const struct cab_group *group = service->enabled &&
			service->desc != NULL && service->options != NULL ?
		    service->desc->options :
		    NULL;

		for (size_t k = 0; group != NULL && k < group->n_opts; k++) {
			int r = 0;

			if (group->opts[k].type == CAB_T_PATH &&
			    group->opts[k].flags & CAB_F_OPEN)
				r = open_resource(
				    apply, state, i, &group->opts[k]);
			if (r < 0 && first == 0)
				first = r;
		}
	}
	return first;
}

/* ---- telling the roles -------------------------------------------------------------- */

/*
 * Workers accept for everyone but programs that take their socket over, which
 * the launcher polls itself; of other programs it learns the slot this way.
 */
static bool
is_for(const struct cab_service *service, bool launcher)
{
	return launcher ? service->exec != NULL : !service_waits(service);
}

static int
add_listeners(struct batch *batch, const struct state *state, bool launcher)
{
	int r = 0;

	for (size_t i = 0; i < state->plan.n_listens; i++) {
		const struct plan_listen *at = &state->plan.listens[i];
		const struct place *place = &state->places[i];
		struct msg_listener body = { .generation = state->generation,
			.service = at->service,
			.listen = at->listen,
			.slot = state->plan.services[at->service].slot };

		if (!is_for(service_of(state, i), launcher))
			continue;
		for (size_t k = 0; k < place->n && r == 0; k++)
			r = batch_add(batch, MSG_LISTENER, &body, sizeof(body),
			    place->v[k]->fd);
	}
	return r;
}

static int
add_resources(struct batch *batch, const struct state *state)
{
	int r = 0;

	for (size_t i = 0; i < state->n_resources && r == 0; i++) {
		struct msg_resource body = { .generation = state->generation,
			.service = state->resources[i].service };

		snprintf(body.option, sizeof(body.option), "%s",
		    state->resources[i].option);
		r = batch_add(batch, MSG_RESOURCE, &body, sizeof(body),
		    state->resources[i].fd);
	}
	return r;
}

static int
add_config(struct batch *batch, const struct state *state)
{
	struct msg_config config = { .generation = state->generation,
		.n = state->snapshot_n };

	return batch_add(
	    batch, MSG_CONFIG, &config, sizeof(config), state->snapshot);
}

/* For a worker that serves no more: by which configuration what it has in hand is judged. */
static struct batch *
make_dismissal(const struct state *state)
{
	struct msg_commit dismiss = { .generation = state->generation };
	struct batch *batch = batch_new();

	if (batch != NULL && add_config(batch, state) == 0 &&
	    batch_add(batch, MSG_DISMISS, &dismiss, sizeof(dismiss), NULL) == 0)
		return batch;
	batch_unref(batch);
	return NULL;
}

/* The messages that make a role use the state; NULL on -ENOMEM. */
static struct batch *
make_batch(const struct state *state, bool launcher)
{
	struct msg_commit commit = { .generation = state->generation };
	struct batch *batch = batch_new();
	int r = -ENOMEM;

	if (batch != NULL)
		r = add_config(batch, state);
	if (r == 0)
		r = add_listeners(batch, state, launcher);
	if (r == 0 && !launcher)
		r = add_resources(batch, state);
	if (r == 0)
		r = batch_add(batch, MSG_COMMIT, &commit, sizeof(commit), NULL);
	if (r == 0)
		return batch;
	batch_unref(batch);
	return NULL;
}

/* Under a new number, even if the roles have used this state before. */
static int
announce(struct apply *apply, struct state *state)
{
	struct roles_batches batches;
	int r = -ENOMEM;

	state->generation = ++apply->generation;
	batches.workers = make_batch(state, false);
	batches.launcher = make_batch(state, true);
	batches.dismissed = make_dismissal(state);
	if (batches.workers != NULL && batches.launcher != NULL &&
	    batches.dismissed != NULL) {
		roles_announce(apply->setup.roles, state->generation, &batches);
		r = 0;
	}
	batch_unref(batches.workers);
	batch_unref(batches.launcher);
	batch_unref(batches.dismissed);
	return r;
}

/* ---- the end of a transaction ---------------------------------------------------------- */

static void
log_changes(const struct state *old, const struct state *new)
{
	for (size_t i = 0; i < new->plan.n_listens; i++) {
		const struct cab_log_field field = { .name = FIELD_SERVICE,
			.value = service_of(new, i)->name };

		for (size_t k = 0; k < new->places[i].n; k++)
			if (new->places[i].v[k]->refs == 1)
				log_fields(CAB_LOG_INFO, NULL, &field, 1,
				    "listening on %s", new->places[i].v[k]->text);
	}
	for (size_t i = 0; old != NULL && i < old->plan.n_listens; i++) {
		const struct cab_log_field field = { .name = FIELD_SERVICE,
			.value = service_of(old, i)->name };

		for (size_t k = 0; k < old->places[i].n; k++)
			if (old->places[i].v[k]->refs == 1)
				log_fields(CAB_LOG_INFO, NULL, &field, 1,
				    "no longer listening on %s%s",
				    old->places[i].v[k]->text,
				    old->places[i].v[k]->passed != NULL ?
					": systemd's socket stays open, its "
					"clients wait" :
					"");
	}
}

/* The services of the old state that the new one does not have; NULL on -ENOMEM. */
static struct apply_dropped *
list_dropped(const struct state *old, const struct state *new)
{
	struct apply_dropped *list = calloc(new->plan.dropped + 1, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; list != NULL && old != NULL &&
	     n < new->plan.dropped &&i < old->plan.n_services;
	     i++) {
		if (conf_find(new->conf, old->conf->services[i].name) != NULL)
			continue;
		list[n].name = strdup(old->conf->services[i].name);
		list[n++].slot = old->plan.services[i].slot;
	}
	return list;
}

static void
free_dropped(struct apply_dropped *list, size_t n)
{
	for (size_t i = 0; list != NULL && i < n; i++)
		free(list[i].name);
	free(list);
}

static void
finish(struct apply *apply, int error, const struct apply_dropped *gone)
{
	const struct plan *plan = apply->current != NULL ? &apply->current->plan :
							   NULL;
	struct apply_result result = {
		.error = error, .findings = &apply->findings, .gone = gone
	};

	(void)sd_event_source_set_enabled(apply->timer, SD_EVENT_OFF);
	if (plan != NULL) {
		result.services = plan->n_services;
		result.listeners = apply->current->n_sockets;
		result.added = plan->added;
		result.changed = plan->changed;
		result.dropped = plan->dropped;
		result.kept = plan->kept;
	}
	apply->setup.done(apply->setup.arg, &result);
	diag_release(&apply->findings);
}

/* A service that is off or gone may come back while its program has the socket still. */
static void
park_dropped(struct apply *apply, const struct state *old)
{
	for (size_t i = 0; old != NULL && i < old->plan.n_listens; i++) {
		const struct cab_service *service = service_of(old, i);
		uint32_t slot = old->plan.services[old->plan.listens[i].service].slot;

		if (!service_waits(service))
			continue;
		for (size_t k = 0; k < old->places[i].n; k++)
			if (old->places[i].v[k]->refs == 1)
				parked_add(apply->parked, old->places[i].v[k],
				    plan_listen_key(service, listen_of(old, i)),
				    slot, (uint64_t)service->timeouts.drain);
	}
}

static void
commit(struct apply *apply)
{
	struct state *old = apply->current;
	size_t n = apply->next->plan.dropped;
	struct apply_dropped *gone = list_dropped(old, apply->next);

	apply->current = apply->next;
	apply->next = NULL;
	parked_settle(apply->parked);
	log_changes(old, apply->current);
	park_dropped(apply, old);
	state_free(old);
	finish(apply, 0, gone);
	free_dropped(gone, n);
}

/*
 * What the next state does not use: its last clients are served by the workers
 * before they let go of it, and no others may come meanwhile.  systemd's sockets
 * stay open.
 */
static void
hush_dropped(const struct apply *apply, bool on)
{
	const struct state *old = apply->current;

	for (size_t i = 0; old != NULL && i < old->plan.n_listens; i++)
		for (size_t k = 0; k < old->places[i].n; k++)
			if (old->places[i].v[k]->refs == 1 &&
			    old->places[i].v[k]->passed == NULL)
				hush(old->places[i].v[k]->fd->fd, on);
}

/* Sockets that both states use go back to the options of the old one. */
static void
untune(const struct state *old)
{
	char why[LISTEN_WHY];

	for (size_t i = 0; old != NULL && i < old->plan.n_listens; i++)
		for (size_t k = 0; k < old->places[i].n; k++)
			if (old->places[i].v[k]->refs > 1)
				(void)listener_tune(old->places[i].v[k],
				    service_of(old, i), why);
}

/* The old state stays.  told: roles have heard of the new one. */
static void
roll_back(struct apply *apply, int error, bool told)
{
	struct state *next = apply->next;

	apply->next = NULL;
	untune(apply->current);
	hush_dropped(apply, false);
	/* What we found in the store, others serve: it is not ours to close. */
	if (apply->current == NULL && store_enabled())
		state_leave(next);
	state_free(next);
	if (told && apply->current != NULL && announce(apply, apply->current) < 0)
		log_error("cannot tell the other processes to go back: %s",
		    strerror(ENOMEM));
	finish(apply, error, NULL);
}

/* ---- its course ------------------------------------------------------------------------ */

static void
wait_for_roles(struct apply *apply)
{
	uint64_t within = apply->setup.answer_within;

	if (sd_event_source_set_time_relative(
		apply->timer, within != 0 ? within : ANSWER_WITHIN) >= 0)
		(void)sd_event_source_set_enabled(apply->timer, SD_EVENT_ONESHOT);
}

static int
on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct apply *apply = arg;
	const char *missing = roles_missing(apply->setup.roles);

	(void)source;
	(void)usec;
	if (apply->next == NULL || missing == NULL)
		return 0;
	roles_kill_missing(apply->setup.roles);
	if (!apply->late) {
		/* One that hangs has hung before: its successor may be quick. */
		apply->late = true;
		wait_for_roles(apply);
		return 0;
	}
	diag_add(&apply->findings, CAB_ERROR, NULL, 0,
	    "%s does not answer: it has not taken over the configuration in time",
	    missing);
	roll_back(apply, -ETIMEDOUT, true);
	return 0;
}

/* Against what runs; services that run under our predecessor keep their slots. */
static int
make_plan(const struct apply *apply, struct state *state)
{
	const struct state *old = apply->current;

	if (old != NULL)
		return plan_make(old->conf, &old->plan, state->conf, &state->plan);
	if (apply->inherited.n_services != state->conf->n_services)
		return plan_make(NULL, NULL, state->conf, &state->plan);
	return plan_make(
	    state->conf, &apply->inherited, state->conf, &state->plan);
}

/* Opens everything; adds findings for all that fails. */
static int
prepare(struct apply *apply, struct state *state)
{
	int r, also;

	r = make_plan(apply, state);
	if (r == -E2BIG)
		diag_add(&apply->findings, CAB_ERROR, state->conf->path, 0,
		    "there are %zu services; at most %d are possible",
		    state->conf->n_services, BOARD_SERVICES);
	else if (r < 0)
		diag_add(
		    &apply->findings, CAB_ERROR, NULL, 0, "%s", strerror(-r));
	if (r < 0)
		return r;
	r = open_listeners(apply, state);
	also = open_resources(apply, state);
	if (r == 0)
		r = also;
	if (apply->setup.prepare != NULL) {
		also = apply->setup.prepare(
		    apply->setup.arg, state->conf, &apply->findings);
		if (r == 0)
			r = also;
	}
	for (size_t i = 0;
	     r == 0 && apply->setup.fresh != NULL && i < state->plan.n_services;
	     i++)
		if (state->plan.services[i].change == PLAN_ADDED)
			apply->setup.fresh(
			    apply->setup.arg, state->plan.services[i].slot);
	return r;
}

void
apply_begin(struct apply *apply, struct cab_conf *conf, int snapshot_fd,
    size_t snapshot_n)
{
	struct shared_fd *snapshot = shared_fd_new(snapshot_fd);
	struct state *state = calloc(1, sizeof(*state));
	int r;

	assert(apply->next == NULL);
	if (state == NULL || snapshot == NULL) {
		shared_fd_unref(snapshot);
		free(state);
		conf_free(conf);
		out_of_memory(apply);
		finish(apply, -ENOMEM, NULL);
		return;
	}
	state->snapshot = snapshot;
	state->snapshot_n = snapshot_n;
	state->conf = conf;
	apply->next = state;
	r = prepare(apply, state);
	if (r == 0) {
		keep_listeners(state);
		hush_dropped(apply, true);
		r = announce(apply, state);
		if (r < 0)
			out_of_memory(apply);
	}
	if (r < 0) {
		roll_back(apply, r, false);
		return;
	}
	apply->late = false;
	wait_for_roles(apply);
	/* The first time nobody runs yet. */
	roles_start(apply->setup.roles);
}

bool
apply_busy(const struct apply *apply)
{
	return apply->next != NULL;
}

void
apply_ready(struct apply *apply)
{
	if (apply->next != NULL && roles_missing(apply->setup.roles) == NULL)
		commit(apply);
}

void
apply_failed(struct apply *apply, const char *role, uint64_t generation,
    const char *text)
{
	uint32_t held;

	if (apply->next == NULL || generation != apply->next->generation) {
		/* A worker that was taken over can say so as often as it likes. */
		if (!log_gate(&apply->refusals, REFUSALS_BURST,
			REFUSALS_PERIOD_MS, &held))
			return;
		log_error("%s cannot use generation %" PRIu64
			  " of the configuration: %s",
		    role, generation, text);
		return;
	}
	diag_add(&apply->findings, CAB_ERROR, NULL, 0, "%s: %s", role, text);
	roll_back(apply, -ECANCELED, true);
}

void
apply_died(struct apply *apply, const char *role, unsigned times)
{
	if (apply->next == NULL || times < DEATHS_MOST)
		return;
	diag_add(&apply->findings, CAB_ERROR, NULL, 0,
	    "%s died %u times before it could use the configuration", role,
	    times);
	roll_back(apply, -ECHILD, true);
}

const struct cab_conf *
apply_current(const struct apply *apply)
{
	return apply->current != NULL ? apply->current->conf : NULL;
}

/* The first place of a service or a later one; places are in order of the services. */
static size_t
first_place(const struct plan *plan, size_t service)
{
	size_t low = 0, high = plan->n_listens;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (plan->listens[mid].service < service)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool
apply_service(const struct apply *apply, size_t index, struct apply_service *ret)
{
	const struct state *state = apply->current;

	if (state == NULL || index >= state->plan.n_services)
		return false;
	*ret = (struct apply_service){ .conf = &state->conf->services[index],
		.slot = state->plan.services[index].slot,
		.change = state->plan.services[index].change,
		.first = first_place(&state->plan, index) };
	ret->n_listens = first_place(&state->plan, index + 1) - ret->first;
	return true;
}

const struct listener *
apply_socket(
    const struct apply *apply, const struct apply_service *service, size_t nth)
{
	const struct place *places = apply->current->places;

	for (size_t i = 0; i < service->n_listens; i++) {
		const struct place *place = &places[service->first + i];

		if (nth < place->n)
			return place->v[nth];
		nth -= place->n;
	}
	return NULL;
}

uint64_t
apply_generation(const struct apply *apply)
{
	return apply->current != NULL ? apply->current->generation : 0;
}

/* ---- its life -------------------------------------------------------------------------- */

static bool
is_busy(void *arg, uint32_t slot)
{
	const struct apply *apply = arg;

	return apply->setup.busy != NULL &&
	    apply->setup.busy(apply->setup.arg, slot);
}

int
apply_new(struct apply **ret, const struct apply_setup *setup)
{
	struct apply *apply = calloc(1, sizeof(*apply));
	int r;

	if (apply == NULL)
		return -ENOMEM;
	apply->setup = *setup;
	r = parked_new(&apply->parked, setup->event, is_busy, apply);
	if (r >= 0)
		r = sd_event_add_time(setup->event, &apply->timer,
		    CLOCK_MONOTONIC, UINT64_MAX, 0, on_timer, apply);
	if (r < 0) {
		parked_free(apply->parked);
		free(apply);
		return r;
	}
	(void)sd_event_source_set_enabled(apply->timer, SD_EVENT_OFF);
	*ret = apply;
	return 0;
}

int
apply_inherit(struct apply *apply, const uint32_t *slots, size_t n,
    uint64_t generation)
{
	struct plan_service *services = calloc(n + 1, sizeof(*services));

	if (services == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		services[i].slot = slots[i];
		if (slots[i] >= BOARD_SERVICES) {
			free(services);
			return -EBADMSG;
		}
	}
	plan_release(&apply->inherited);
	apply->inherited.services = services;
	apply->inherited.n_services = n;
	apply->generation = generation;
	return 0;
}

void
apply_leave(struct apply *apply)
{
	state_leave(apply->current);
	state_leave(apply->next);
}

void
apply_close(struct apply *apply)
{
	(void)sd_event_source_set_enabled(apply->timer, SD_EVENT_OFF);
	state_free(apply->next);
	state_free(apply->current);
	apply->next = apply->current = NULL;
	parked_clear(apply->parked);
	diag_release(&apply->findings);
}

void
apply_free(struct apply *apply)
{
	if (apply == NULL)
		return;
	apply_close(apply);
	parked_free(apply->parked);
	plan_release(&apply->inherited);
	apply->timer = sd_event_source_disable_unref(apply->timer);
	free(apply);
}
