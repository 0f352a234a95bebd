/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new process for a plan, and the plan for a service.  Launcher only.
 */
#ifndef CAB_LAUNCHER_SPAWN_H
#define CAB_LAUNCHER_SPAWN_H

#include "conf/model.h"
#include "launcher/child.h"

/* What the launcher itself is, asked once at its start and after it dropped privileges. */
struct spawn_self {
	uint32_t uid, gid;       /* effective */
	uint32_t def_uid, def_gid; /* for programs without a user; CHILD_KEEP_ID: our own */
	uint64_t permitted, bounding;
	int nice;
	struct rlimit files;     /* before the launcher raised its own */
	uint32_t groups[128];
	size_t n_groups;
};

/* Fills in everything but def_uid and def_gid. */
void spawn_self_look(struct spawn_self *self);

/*
 * To be called once, before the first start: programs get the signal actions of
 * this process, so none may be ignored here, and as one that is delivered to a
 * child would find our memory, all that are not faults stay blocked.
 */
void spawn_own_signals(void);

/*
 * Makes the part of the plan that is the same for all connections.  The plan
 * points into exec and argv, which must outlive it; argv is fresh memory, the
 * caller's to free.  Starts are to be made in the directory /.  0, or -ENOMEM.
 */
int spawn_plan(const struct spawn_self *self, const struct cab_exec *exec, struct child_plan *plan, char ***ret_argv);

/*
 * Starts the program and waits until it has been executed or a step has failed.
 * The process id, or -errno with plan->failed_step set (CHILD_NONE when no
 * process could be made); no zombie is left.  The descriptors stay the caller's.
 */
pid_t spawn_start(struct child_plan *plan);

#endif
