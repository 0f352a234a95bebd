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
#include "supervisor/passed.h"
#include "supervisor/roles.h"

struct apply;

/* How it ended; valid during the call only. */
struct apply_result {
	int error; /* 0, or the -errno of the first failure: then the old configuration stays */
	const struct cab_diag *findings; /* one error for everything that failed */
	size_t services, listeners;      /* now */
	size_t added, changed, dropped, kept;
};

struct apply_setup {
	sd_event *event;
	struct roles *roles;
	struct passed *passed; /* what systemd passed; the first configuration takes from it */
	void (*done)(void *arg, const struct apply_result *result);
	void *arg;
};

/* 0 or -errno. */
int apply_new(struct apply **ret, const struct apply_setup *setup);

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

/* Closes every listener; a transaction under way ends without done. */
void apply_close(struct apply *apply);

/* Accepts NULL. */
void apply_free(struct apply *apply);

#endif
