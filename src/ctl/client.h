/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One exchange with the daemon.  cabinetctl only.
 */
#ifndef CAB_CTL_CLIENT_H
#define CAB_CTL_CLIENT_H

#include <stddef.h>

#include "ipc/ctl.h"

#define CLIENT_WHY 512

/* Where a daemon of this user, or else the system's, listens; into dst. */
const char *client_default_path(char *dst, size_t cap);

/*
 * Asks and reads the reply, whatever it says.  0, or CTL_UNREACHABLE or
 * CTL_USAGE and why, in words and with what to do about it.
 */
int client_ask(const char *path, const char *const words[], size_t n,
    struct ctl_reply *ret, char why[CLIENT_WHY]);

#endif
