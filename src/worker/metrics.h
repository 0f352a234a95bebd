/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's metrics, for protocols that offer them to clients.
 */
#ifndef CAB_WORKER_METRICS_H
#define CAB_WORKER_METRICS_H

#include "worker/conn_private.h"

/* The engine's hook: the metrics of all services in use, rendered once in a turn
 * of the loop however often they are asked for.  0 or -errno. */
int worker_metrics(struct conn_engine *engine, struct cab_buf *out);

/* At the end of the turn. */
void worker_metrics_forget(void);

#endif
