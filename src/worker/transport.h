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
 * Sockets whose own side was shut before are closed a few at a time: the peer
 * has its end already and waits for nothing.  When the next are due (0: none are
 * left), and what is done in each turn of the loop.
 */
uint64_t transport_due_ms(void);
void transport_turn(void);

#endif
