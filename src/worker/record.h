/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log records about connections: those that have finished, those that are
 * refused, and the summaries of floods.  Workers.
 */
#ifndef CAB_WORKER_RECORD_H
#define CAB_WORKER_RECORD_H

#include "base/event.h"
#include "worker/loop.h"

/* Begins a record with the service, the number and both ends of a connection; the peer's text. */
const char *record_conn(struct event *event, struct cab_conn *conn);

/* A connection has finished and its service wants a record of it (log.connections). */
void record_finished(struct cab_conn *conn);

/* A connection is about to be refused; its descriptor is still open. */
void record_refused(struct cab_worker *worker, struct cab_running *running,
    int fd, const struct cab_peer *peer, enum cab_refusal why);

/* The service has no place for the next client, who waits. */
void record_full(struct cab_running *running);

/* The worker cannot accept for now. */
void record_shortage(struct cab_worker *worker, const char *why);

/* Once per loop turn: tells the summaries of floods that are due, and what the log has lost. */
void record_turn(struct cab_worker *worker);

#endif
