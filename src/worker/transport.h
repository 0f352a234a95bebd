/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets under the connection engine.
 */
#ifndef CAB_WORKER_TRANSPORT_H
#define CAB_WORKER_TRANSPORT_H

#include "worker/conn_private.h"

/* The engine's epoll instance; one per process. */
void transport_use_epoll(int epoll);
extern const struct conn_transport transport_socket;

/*
 * Closes the sockets whose own side was shut before, together: the peer has its
 * end already and waits for nothing.  Once in each turn of the loop.
 */
void transport_close_shut(void);

#endif
