/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The launcher role: starts programs for admitted connections and for sockets
 * that a program takes over, and sees them out.
 */
#ifndef CAB_LAUNCHER_LAUNCHER_H
#define CAB_LAUNCHER_LAUNCHER_H

#include "conf/schema.h"

/*
 * main() of the role: finds its channel to the supervisor on MSG_ROLE_FD and
 * serves until told to stop or until the supervisor is gone.  descs is the
 * NULL-terminated list of protocols that snapshots may name.
 */
void launcher_main(const struct cab_desc *const descs[])
    __attribute__((noreturn));

#endif
