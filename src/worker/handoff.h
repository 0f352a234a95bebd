/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admitted connections of program services on their way to the launcher.
 */
#ifndef CAB_WORKER_HANDOFF_H
#define CAB_WORKER_HANDOFF_H

#include "worker/loop.h"

/* Passes the socket on, or keeps it until the launcher can take it.  Takes over fd and ticket. */
void handoff_submit(struct cab_worker *worker, struct cab_running *running,
    int fd, const struct cab_peer *peer, uint32_t ticket);

/* The ticket is a new connection's now, whatever became of its last holder. */
void handoff_forget(struct cab_worker *worker, uint32_t ticket);

/* A (new) link to the launcher; takes over fd. */
void handoff_link(struct cab_worker *worker, int fd);

/* Readiness of the link. */
void handoff_ready(struct cab_worker *worker, uint32_t events);

/* Drops the connection of this number if it still waits; true if it did. */
bool handoff_kill(struct cab_worker *worker, uint64_t conn_id);

/* Once per loop turn: tries again what could not go. */
void handoff_turn(struct cab_worker *worker);

/* True while something is on its way to the launcher: ending now would lose it. */
bool handoff_pending(const struct cab_worker *worker);

/* Closes what could not be passed on. */
void handoff_release(struct cab_worker *worker);

#endif
