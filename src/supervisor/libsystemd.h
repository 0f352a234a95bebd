/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libsystemd, loaded by the one role that uses it.  Supervisor only: cabinetd
 * is one binary for all roles, and what that is linked with would be in those
 * that face peers too, libsystemd with its compression and cryptography among
 * it. Sources include <systemd/sd-event.h> and call sd_ functions as ever.
 */
#ifndef CAB_SUPERVISOR_LIBSYSTEMD_H
#define CAB_SUPERVISOR_LIBSYSTEMD_H

/* Before the first sd_ function: NULL, or why it cannot be used (until the next dlopen(3)). */
const char *libsystemd_load(void);

#endif
