/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configurations that the launcher keeps: the newest, those of which
 * something still runs, and a few before, because a worker may still pass on
 * connections that it admitted under one of them.  Programs of a service that
 * the newest one has as it was go on; the others get a deadline.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "launcher/reap.h"
#include "launcher/state.h"

#define KEPT 4 /* newest ones, whether used or not */

struct service_state *
state_ref(struct service_state *state)
{
	state->refs++;
	return state;
}

void
state_unref(struct launcher *l, struct service_state *state)
{
	struct service_state **at = &l->states;

	if (state == NULL || --state->refs > 0)
		return;
	while (*at != state)
		at = &(*at)->next;
	*at = state->next;
	free(state);
}

/* One reference more to the state of this name, which may be new. */
static struct service_state *
state_get(struct launcher *l, const char *name)
{
	size_t n = strlen(name) + 1;
	struct service_state *s;

	for (s = l->states; s != NULL; s = s->next)
		if (strcmp(s->name, name) == 0)
			return state_ref(s);
	s = calloc(1, sizeof(*s) + n);
	if (s == NULL)
		return NULL;
	s->refs = 1;
	memcpy(s->name, name, n);
	s->next = l->states;
	l->states = s;
	return s;
}

void
generation_free(struct launcher *l, struct generation *gen)
{
	size_t i;

	if (gen == NULL)
		return;
	for (i = 0; i < gen->n_services; i++) {
		state_unref(l, gen->services[i].state);
		free(gen->services[i].argv);
	}
	conf_free(gen->conf);
	free(gen);
}

/* NULL, or why the service cannot be served. */
static const char *
service_init(struct launcher *l, struct program_service *service,
    const struct cab_service *conf)
{
	service->slot = UINT32_MAX;
	if (conf->exec == NULL)
		return NULL;
	service->conf = conf;
	service->state = state_get(l, conf->name);
	if (service->state == NULL ||
	    spawn_plan(&l->self, conf->exec, &service->plan, &service->argv) < 0)
		return "there is no memory left";
	/* Root is never what somebody gets who wrote nothing. */
	if (l->self.uid == 0 && conf->exec->user.name == NULL &&
	    (service->plan.uid == 0 || service->plan.uid == CHILD_KEEP_ID))
		return "its program has no user, and the daemon has none to give: set exec.user";
	return NULL;
}

struct generation *
generation_new(struct launcher *l, struct cab_conf *conf, uint64_t number,
    char *why, size_t cap)
{
	struct generation *gen;
	const char *wrong = "there is no memory left";
	size_t i;

	gen = calloc(
	    1, sizeof(*gen) + conf->n_services * sizeof(gen->services[0]));
	if (gen == NULL) {
		conf_free(conf);
		snprintf(why, cap, "%s", wrong);
		return NULL;
	}
	gen->number = number;
	gen->conf = conf;
	gen->n_services = conf->n_services;
	for (i = 0; i < conf->n_services; i++) {
		wrong = service_init(l, &gen->services[i], &conf->services[i]);
		if (wrong == NULL)
			continue;
		snprintf(
		    why, cap, "service %s: %s", conf->services[i].name, wrong);
		generation_free(l, gen);
		return NULL;
	}
	return gen;
}

struct generation *
generation_find(struct launcher *l, uint64_t number)
{
	struct generation *gen = l->generations;

	while (gen != NULL && gen->number != number)
		gen = gen->next;
	return gen;
}

static void
generations_trim(struct launcher *l)
{
	struct generation **at = &l->generations, *gen;
	unsigned age = 0;

	while ((gen = *at) != NULL) {
		if (age++ < KEPT || gen->refs > 0) {
			at = &gen->next;
			continue;
		}
		*at = gen->next;
		generation_free(l, gen);
	}
}

/* Only programs' services of older configurations matter. */
static void
drain_replaced(struct launcher *l, const struct cab_conf *conf)
{
	struct generation *gen;
	size_t i, cursor;

	for (gen = l->generations->next; gen != NULL; gen = gen->next) {
		cursor = 0;
		for (i = 0; i < gen->n_services; i++) {
			struct program_service *s = &gen->services[i];

			if (s->conf == NULL)
				continue;
			if (conf_keeps(conf, s->conf, &cursor))
				s->drain_ms = 0; /* back after a roll-back, too */
			else if (s->drain_ms == 0)
				s->drain_ms = clock_ms() +
				    (uint64_t)s->conf->timeouts.drain;
		}
	}
}

void
generation_use(struct launcher *l, struct generation *gen)
{
	gen->next = l->generations;
	l->generations = gen;
	generations_trim(l);
	drain_replaced(l, gen->conf);
	programs_schedule(l);
}

void
generation_unref(struct launcher *l, struct generation *gen)
{
	if (--gen->refs == 0)
		generations_trim(l);
}
