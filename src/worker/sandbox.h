/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker gives up before it touches the first byte of a peer.
 */
#ifndef CAB_WORKER_SANDBOX_H
#define CAB_WORKER_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Becomes uid and gid (UINT32_MAX: stays), drops every capability and
 * privilege for good, limits resources, and filters system calls.  0, or
 * -errno with *ret_step naming what failed; then the process must not serve.
 */
int sandbox_enter(
    uint32_t uid, uint32_t gid, uint32_t max_fds, const char **ret_step);

#endif
