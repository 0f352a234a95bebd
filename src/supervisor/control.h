/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The administrator's interface: the server side of the control socket (see
 * ipc/ctl.h).  Supervisor only.  Its clients can neither block it nor cost more
 * than a bounded number of small objects.
 */
#ifndef CAB_SUPERVISOR_CONTROL_H
#define CAB_SUPERVISOR_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/diag.h"
#include "conf/model.h"
#include "stats/board.h"
#include "supervisor/apply.h"
#include "supervisor/roles.h"

struct control;

struct control_setup {
	sd_event *event;
	struct board *board;
	struct roles *roles;
	const char *config; /* path of the main file; outlives the control */
	/* A reading of the configuration that begins after this call is wanted. */
	void (*reload)(void *arg);
	/*
	 * Switches a service off or on by hand.  0: control_switched follows,
	 * perhaps before this returns; -EBUSY: not now, control_idle follows;
	 * -EALREADY: nothing to do; or -errno.
	 */
	int (*turn)(void *arg, const char *service, bool off);
	/* True when it was switched off by hand. */
	bool (*is_off)(void *arg, const char *service);
	void *arg;
};

/* 0 or -errno; nothing listens yet. */
int control_new(struct control **ret, const struct control_setup *setup);

/* What runs; not set until it exists. */
void control_use(struct control *control, const struct apply *apply);

/*
 * A transaction is about to use this configuration: opens the socket that it
 * wants.  0, or -errno and a finding; a warning where it can go on without.
 */
int control_prepare(struct control *control, const struct cab_conf *conf,
    struct cab_diag *findings);

/* How the transaction ended: the new socket or the old one goes. */
void control_settle(struct control *control, const struct apply_result *result);

/* The course of a reload. */
void control_reading(struct control *control);
void control_findings(struct control *control, const struct cab_diag *diag);
void control_reloaded(struct control *control, int error);

/* How the switching ended that turn began. */
void control_switched(struct control *control, int error);

/* No transaction is under way: what had to wait may go on. */
void control_idle(struct control *control);

/* The daemon is stopping. */
void control_stopping(struct control *control);

/* Accepts NULL. */
void control_free(struct control *control);

#endif
