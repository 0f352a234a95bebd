/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closing a listening TCP socket without resetting a client.  Supervisor only.
 */
#ifndef CAB_SUPERVISOR_HUSH_H
#define CAB_SUPERVISOR_HUSH_H

#include <stdbool.h>

#include "conf/model.h"

/*
 * Lets no new client into the queue of a TCP socket, so that it can be emptied
 * and closed with nobody in it.  A client that comes now is not answered and
 * tries again, for as long as its own kernel has patience.  It holds for whoever
 * else has the socket, too.  Does nothing to sockets of other kinds.
 */
void hush(enum cab_listen_kind kind, int fd, bool on);

#endif
