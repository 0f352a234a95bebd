/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rights that the config role gives up before it looks at a byte.  Config
 * role only; private to conf/.
 */
#ifndef CAB_CONF_SANDBOX_H
#define CAB_CONF_SANDBOX_H

#include <stdint.h>

/*
 * Becomes uid and gid (UINT32_MAX: stays), gives up every capability, limits
 * itself and filters its system calls, so that files are read and names looked
 * up, and nothing else.  0; or -errno with what failed in *what: then exit.
 */
int conf_sandbox(uint32_t uid, uint32_t gid, const char **what);

#endif
