/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The difference between two configurations.  Supervisor only.  Pure: opens,
 * sends and logs nothing.  Sorts instead of searching, because a host may well
 * have a thousand services.
 */
#include "supervisor/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "stats/board.h"

/* ---- services ------------------------------------------------------------------ */

static int
compare_names(const void *a, const void *b, void *arg)
{
	const struct cab_conf *conf = arg;

	return strcmp(conf->services[*(const uint32_t *)a].name,
	    conf->services[*(const uint32_t *)b].name);
}

/* Indices of the services in name order: fresh memory, NULL on -ENOMEM. */
static uint32_t *
names_sorted(const struct cab_conf *conf)
{
	uint32_t *order = calloc(conf->n_services + 1, sizeof(*order));

	if (order == NULL)
		return NULL;
	for (size_t i = 0; i < conf->n_services; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, conf->n_services, sizeof(*order), compare_names,
	    (void *)(uintptr_t)conf);
	return order;
}

/* Pairs the services by name; those that stay keep their slot. */
static int
match_services(const struct cab_conf *old, const struct plan *old_plan,
    const struct cab_conf *conf, struct plan *plan)
{
	uint32_t *was = names_sorted(old), *is = names_sorted(conf);
	size_t i = 0, k = 0;
	int r = was != NULL && is != NULL ? 0 : -ENOMEM;

	while (r == 0 && i < old->n_services && k < conf->n_services) {
		const struct cab_service *a = &old->services[was[i]],
					 *b = &conf->services[is[k]];
		int order = strcmp(a->name, b->name);

		if (order != 0) {
			order < 0 ? i++ : k++;
			continue;
		}
		r = conf_service_equal(a, b);
		if (r >= 0) {
			struct plan_service *s = &plan->services[is[k]];

			s->change = r > 0 ? PLAN_KEPT : PLAN_CHANGED;
			s->slot = old_plan->services[was[i]].slot;
			r > 0 ? plan->kept++ : plan->changed++;
			i++;
			k++;
			r = 0;
		}
	}
	plan->dropped = old->n_services - plan->kept - plan->changed;
	free(was);
	free(is);
	return r;
}

/*
 * Slots for those that have none.  A freed slot is used again as late as
 * possible: connections of the service that had it may live on for a while.
 */
static int
assign_slots(struct plan *plan)
{
	bool *used = calloc(BOARD_SERVICES, sizeof(*used));

	if (used == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n_services; i++)
		if (plan->services[i].change != PLAN_ADDED)
			used[plan->services[i].slot] = true;
	for (size_t i = 0; i < plan->n_services; i++) {
		if (plan->services[i].change != PLAN_ADDED)
			continue;
		while (used[plan->next_slot])
			plan->next_slot = (plan->next_slot + 1) % BOARD_SERVICES;
		used[plan->next_slot] = true;
		plan->services[i].slot = plan->next_slot;
		plan->next_slot = (plan->next_slot + 1) % BOARD_SERVICES;
		plan->added++;
	}
	free(used);
	return 0;
}

/* ---- listeners ----------------------------------------------------------------- */

/* A listener and what makes it the same as another one. */
struct key {
	const struct cab_service *service;
	const struct cab_listen *listen;
	size_t index; /* into the plan's listens */
};

static int
compare_listens(const struct key *a, const struct key *b)
{
	const struct cab_listen *x = a->listen, *y = b->listen;
	int r;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->kind == CAB_SYSTEMD)
		return strcmp(x->name, y->name);
	if (x->addr.len != y->addr.len)
		return x->addr.len < y->addr.len ? -1 : 1;
	r = memcmp(&x->addr.ss, &y->addr.ss, x->addr.len);
	if (r == 0 && listen_any_port(x))
		r = strcmp(a->service->name, b->service->name);
	return r;
}

/* FNV-1a. */
static uint64_t
hash(uint64_t h, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const unsigned char *)p)[i]) * UINT64_C(0x100000001b3);
	return h;
}

uint64_t
plan_listen_key(
    const struct cab_service *service, const struct cab_listen *listen)
{
	uint32_t kind = listen->kind;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	if (listen->kind == CAB_SYSTEMD)
		return 0;
	h = hash(h, &kind, sizeof(kind));
	h = hash(h, &listen->addr.ss, listen->addr.len);
	if (listen_any_port(listen))
		h = hash(h, service->name, strlen(service->name));
	return h;
}

static int
compare_keys(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int r = compare_listens(x, y);

	/* Equal ones pair up in the order in which they were written. */
	return r != 0 ? r : (x->index > y->index) - (x->index < y->index);
}

/* The keys in order: fresh memory, NULL on -ENOMEM. */
static struct key *
keys_sorted(const struct cab_conf *conf, const struct plan *plan)
{
	struct key *keys = calloc(plan->n_listens + 1, sizeof(*keys));

	if (keys == NULL)
		return NULL;
	for (size_t i = 0; i < plan->n_listens; i++) {
		const struct cab_service *service =
		    &conf->services[plan->listens[i].service];

		keys[i] = (struct key){ .service = service,
			.listen = &service->listens.v[plan->listens[i].listen],
			.index = i };
	}
	qsort(keys, plan->n_listens, sizeof(*keys), compare_keys);
	return keys;
}

static int
match_listens(const struct cab_conf *old, const struct plan *old_plan,
    const struct cab_conf *conf, struct plan *plan)
{
	struct key *was = keys_sorted(old, old_plan),
		   *is = keys_sorted(conf, plan);
	size_t i = 0, k = 0;
	int r = was != NULL && is != NULL ? 0 : -ENOMEM;

	while (r == 0 && i < old_plan->n_listens && k < plan->n_listens) {
		int order = compare_listens(&was[i], &is[k]);

		if (order == 0)
			plan->listens[is[k].index].from = was[i].index;
		i += order <= 0;
		k += order >= 0;
	}
	free(was);
	free(is);
	return r;
}

static int
collect_listens(const struct cab_conf *conf, struct plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < conf->n_services; i++)
		n += conf->services[i].enabled ? conf->services[i].listens.n : 0;
	plan->listens = calloc(n + 1, sizeof(*plan->listens));
	if (plan->listens == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_services; i++) {
		const struct cab_service *service = &conf->services[i];

		for (size_t k = 0; service->enabled && k < service->listens.n; k++)
			plan->listens[plan->n_listens++] = (struct plan_listen){
				.service = (uint32_t)i,
				.listen = (uint32_t)k,
				.from = PLAN_OPEN
			};
	}
	return 0;
}

/* ---- both ---------------------------------------------------------------------- */

int
plan_make(const struct cab_conf *old, const struct plan *old_plan,
    const struct cab_conf *conf, struct plan *ret)
{
	struct plan plan = { .n_services = conf->n_services };
	int r;

	if (conf->n_services > BOARD_SERVICES)
		return -E2BIG;
	plan.next_slot = old_plan != NULL ? old_plan->next_slot : 0;
	plan.services = calloc(plan.n_services + 1, sizeof(*plan.services));
	r = plan.services != NULL ? collect_listens(conf, &plan) : -ENOMEM;
	if (r == 0 && old != NULL)
		r = match_services(old, old_plan, conf, &plan);
	if (r == 0 && old != NULL)
		r = match_listens(old, old_plan, conf, &plan);
	if (r == 0)
		r = assign_slots(&plan);
	if (r == 0)
		*ret = plan;
	else
		plan_release(&plan);
	return r;
}

void
plan_release(struct plan *plan)
{
	free(plan->services);
	free(plan->listens);
	*plan = (struct plan){ 0 };
}
