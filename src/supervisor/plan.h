/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has to change from one configuration to the next: pure, no input or
 * output.  Supervisor only.  Services are the same when their names are,
 * listeners when kind and address are.
 */
#ifndef CAB_SUPERVISOR_PLAN_H
#define CAB_SUPERVISOR_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "conf/model.h"

enum plan_change {
	PLAN_ADDED,
	PLAN_CHANGED,
	PLAN_KEPT
};

struct plan_service {
	enum plan_change change;
	uint32_t slot; /* of the scoreboard; a service keeps its own for life */
};

#define PLAN_OPEN SIZE_MAX

/* One listener of the new configuration; services that are not enabled have none. */
struct plan_listen {
	uint32_t service, listen; /* indices into the configuration */
	size_t from; /* index into the old plan's listens, or PLAN_OPEN */
};

struct plan {
	struct plan_service *services; /* one per service, in order */
	size_t n_services;
	struct plan_listen *listens; /* in order of the services */
	size_t n_listens;
	size_t added, changed, dropped, kept; /* services */
	uint32_t next_slot; /* where the search for a free slot goes on */
};

/*
 * Compares.  old and old_plan are NULL at the start, else what runs now.  0,
 * -E2BIG when there are more than BOARD_SERVICES services, -ENOMEM or what
 * conf_encode_service says.
 */
int plan_make(const struct cab_conf *old, const struct plan *old_plan,
    const struct cab_conf *conf, struct plan *ret);

/*
 * Equal for listeners that plan_make pairs up, of whatever two configurations,
 * and different for others (but for the luck of a hash).  0 for systemd://.
 */
uint64_t plan_listen_key(
    const struct cab_service *service, const struct cab_listen *listen);

/* Accepts a zeroed plan. */
void plan_release(struct plan *plan);

#endif
