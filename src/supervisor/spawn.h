/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a role: this same binary again, with a clean environment.
 * Supervisor only; no other process is ever started by it.
 */
#ifndef CAB_SUPERVISOR_SPAWN_H
#define CAB_SUPERVISOR_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

/* argv[0] of the roles; a worker's is followed by its slot. */
#define ROLE_TITLE_WORKER   "cabinetd: worker"
#define ROLE_TITLE_LAUNCHER "cabinetd: launcher"
#define ROLE_TITLE_CONFIG   "cabinetd: config"

/*
 * Starts this same binary with the title as argv[0] and channel as descriptor
 * MSG_ROLE_FD, in a process group of its own, with default signals, an empty
 * mask, nothing else open but the null device as 0 and 1 and our stderr, and a
 * minimal environment (the launcher gets ours without what is meant for us
 * alone).  channel stays the caller's.  Process id or -errno.
 */
pid_t roles_spawn(const char *title, int channel);

/*
 * Raises our own descriptor limit; returns the limit now in force.  Roles still
 * start with the one before, so that the launcher can hand it to programs.
 */
size_t roles_raise_limit(void);

#endif
