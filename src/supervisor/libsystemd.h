/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libsystemd, loaded by the one role that uses it.  Supervisor only: cabinetd
 * is one binary for all roles, so what it is linked with is in those that face
 * peers too, and libsystemd brings libraries for compression and cryptography.
 * Whoever calls its functions includes its headers and calls them as ever.
 */
#ifndef CAB_SUPERVISOR_LIBSYSTEMD_H
#define CAB_SUPERVISOR_LIBSYSTEMD_H

/* Before the first sd_ function: NULL, or why it cannot be used (until the next dlopen(3)). */
const char *libsystemd_load(void);

#endif
