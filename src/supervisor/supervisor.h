/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor: the process that the user or systemd starts.
 */
#ifndef CAB_SUPERVISOR_SUPERVISOR_H
#define CAB_SUPERVISOR_SUPERVISOR_H

#include "conf/schema.h"

/*
 * main() of the daemon as it is started, with the descriptions of the built-in
 * protocols.  Descriptors 0, 1 and 2 must be open.  Returns the exit status.
 */
int supervisor_main(int argc, char **argv, const struct cab_desc *const descs[]);

#endif
