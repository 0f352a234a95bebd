/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs whose launcher was killed: they come to the supervisor, which lets
 * them go on, buries them, and ends them when the daemon ends.  Supervisor only.
 */
#ifndef CAB_SUPERVISOR_ORPHANS_H
#define CAB_SUPERVISOR_ORPHANS_H

#include <stdbool.h>
#include <sys/types.h>

/* Makes us the parent of descendants that lose theirs.  0 or -errno. */
int orphans_adopt(void);

/* Buries those that have died.  own(arg, pid) says which children are not orphans. */
void orphans_reap(bool (*own)(void *arg, pid_t pid), void *arg);

/* Ends every child that is left: asks, waits a moment, then kills.  At the very
 * end, when the roles have gone. */
void orphans_end(void);

#endif
