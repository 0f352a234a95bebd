/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening sockets that a program takes over ("wait" services).  Launcher only.
 */
#ifndef CAB_LAUNCHER_WAIT_H
#define CAB_LAUNCHER_WAIT_H

#include "launcher/state.h"

/* A socket of the configuration that is being received; takes over fd.  0 or -errno. */
int wait_add(struct launcher *l, struct generation *gen, struct program_service *service, int fd);

/* The sockets added since become those that are served; a program that has one of them keeps it. */
void wait_commit(struct launcher *l);

/* Forgets the sockets added since. */
void wait_discard(struct launcher *l);

/* The program that had the socket has ended. */
void wait_over(struct launcher *l, struct waiting *waiting, bool good);

/* No program is started any more. */
void wait_stop(struct launcher *l);

/* At the role's own end, after programs_release. */
void wait_release(struct launcher *l);

#endif
