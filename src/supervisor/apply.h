/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A configuration becomes what runs, or nothing changes at all.  Supervisor
 * only.  First everything new is opened, then the roles are told, and once all
 * of them use it what is no longer wanted is closed.
 */
#ifndef CAB_SUPERVISOR_APPLY_H
#define CAB_SUPERVISOR_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/diag.h"
#include "conf/model.h"
#include "supervisor/listen.h"
#include "supervisor/passed.h"
#include "supervisor/plan.h"
#include "supervisor/roles.h"

struct apply;

/* A service that was dropped, and the slot that it had. */
struct apply_dropped {
	char *name;
	uint32_t slot;
};

/* How it ended; valid during the call only. */
struct apply_result {
	int error; /* 0, or the -errno of the first failure: then the old configuration stays */
	const struct cab_diag *findings; /* one error for everything that failed */
	size_t services, listeners;      /* now */
	size_t added, changed, dropped, kept;
	/* On success, the services that are no more; the others: apply_service. */
	const struct apply_dropped *gone;
};

struct apply_setup {
	sd_event *event;
	struct roles *roles;
	uint64_t answer_within; /* us that the roles have, twice; 0: a sane default */
	struct passed *passed; /* what systemd passed */
	/* May be NULL.  Called once for each transaction when the listeners are
	 * open: what else has to be opened.  0, or -errno and a finding. */
	int (*prepare)(
	    void *arg, const struct cab_conf *conf, struct cab_diag *findings);
	/* May be NULL.  A new service is going to have this slot. */
	void (*fresh)(void *arg, uint32_t slot);
	/* May be NULL.  True while programs of the service with this slot run. */
	bool (*busy)(void *arg, uint32_t slot);
	void (*done)(void *arg, const struct apply_result *result);
	void *arg;
};

/* 0 or -errno. */
int apply_new(struct apply **ret, const struct apply_setup *setup);

/*
 * The roles run under our predecessor's configuration: the first one here has
 * the same n services, in the same order and with these slots, and a number
 * above generation.  Before it is applied.  0, -ENOMEM or -EBADMSG.
 */
int apply_inherit(struct apply *apply, const uint32_t *slots, size_t n,
    uint64_t generation);

/*
 * Applies a configuration; it and the memory file with its n bytes, which the
 * roles will read, are taken over.  Exactly one call of done follows, perhaps
 * before this returns.  Only when none is being applied.
 */
void apply_begin(
    struct apply *apply, struct cab_conf *conf, int snapshot_fd, size_t n);

/* True between apply_begin and done. */
bool apply_busy(const struct apply *apply);

/* From the roles' watch. */
void apply_ready(struct apply *apply);
void apply_failed(struct apply *apply, const char *role, uint64_t generation,
    const char *text);
void apply_died(struct apply *apply, const char *role, unsigned times);

/* What runs; NULL before the first success. */
const struct cab_conf *apply_current(const struct apply *apply);

/* One service of what runs. */
struct apply_service {
	const struct cab_service *conf;
	uint32_t slot;
	enum plan_change change; /* what the last transaction did to it */
	size_t first, n_listens; /* its places, for apply_socket */
};

/* False when there is no service of this index (or nothing runs yet). */
bool apply_service(
    const struct apply *apply, size_t index, struct apply_service *ret);

/* The sockets of a service: the nth, NULL after the last. */
const struct listener *apply_socket(
    const struct apply *apply, const struct apply_service *service, size_t nth);

/* The number of the configuration in use; 0 before the first. */
uint64_t apply_generation(const struct apply *apply);

/* The listeners are left to our successor: closing does not remove them. */
void apply_leave(struct apply *apply);

/* Closes every listener; a transaction under way ends without done. */
void apply_close(struct apply *apply);

/* Accepts NULL. */
void apply_free(struct apply *apply);

#endif
