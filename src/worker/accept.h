/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accepting and admission: the one place that every stream connection passes.
 */
#ifndef CAB_WORKER_ACCEPT_H
#define CAB_WORKER_ACCEPT_H

#include "worker/loop.h"

/* Starts or stops watching a listener according to its reasons for pausing. */
void listener_update(struct cab_worker *worker, struct listener *listener);

/* Adds or lifts one reason on all stream listeners; programs_only: on those of programs. */
void listeners_pause(
    struct cab_worker *worker, enum listener_pause why, bool programs_only);
void listeners_resume(struct cab_worker *worker, enum listener_pause why);

/* Descriptors or memory ran out (error says which): stream listeners pause for a moment. */
void accept_shortage(struct cab_worker *worker, int error);

/* Readiness of a listener. */
void listener_ready(struct cab_worker *worker, struct listener *listener);

/* The last look at a stream listener that is going to be closed: serves or refuses who waits in its queue. */
void accept_rest(struct cab_worker *worker, struct listener *listener);

/* Called once per loop turn: lifts pauses whose reason has gone. */
void accept_turn(struct cab_worker *worker);

/* Called once per loop turn: sees to it that there is one each second, and takes
 * the clients of a worker that hangs. */
void accept_beat(struct cab_worker *worker);

/* True while the administrator lets no new clients in. */
bool accept_drains(
    const struct cab_worker *worker, const struct cab_running *running);

/* The engine's hook: a served connection has left. */
void accept_released(struct cab_conn *conn);

/* Wakes the workers of the mask: a place of some service is free. */
void accept_wake(struct cab_worker *worker, uint64_t mask);

/* The worker whose engine this is. */
struct cab_worker *worker_of(struct conn_engine *engine);

#endif
