/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Datagram listeners: batches in, replies under the datagram rule out.
 */
#ifndef CAB_WORKER_DATAGRAM_H
#define CAB_WORKER_DATAGRAM_H

#include "worker/loop.h"

/* Readiness of a datagram listener. */
void datagram_ready(struct cab_worker *worker, struct listener *listener);

void datagram_release(struct cab_worker *worker);

/* Whether each datagram of the socket tells where it was sent to. */
bool datagram_tells(int fd, int family);

#endif
