/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics as a worker renders them: counters and names of all roles are in the
 * scoreboard, queues are asked of the worker's own copies of the listening
 * sockets.  Never asks the supervisor.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "stats/metrics.h"
#include "worker/accept.h"
#include "worker/metrics.h"

int
worker_metrics(struct conn_engine *engine, struct cab_buf *out)
{
	const struct cab_worker *worker = worker_of(engine);
	struct metrics_listener *queues;
	struct metrics_view view = { .board = worker->board };
	size_t n = 0;
	int r;

	for (const struct listener *l = worker->listeners; l; l = l->next)
		n++;
	queues = calloc(n + 1, sizeof(*queues));
	if (!queues)
		return -ENOMEM;
	for (const struct listener *l = worker->listeners; l; l = l->next) {
		queues[view.n_listeners].service = l->running->conf->name;
		if (l->stream &&
		    metrics_queue(l->fd, &queues[view.n_listeners]) == 0)
			view.n_listeners++;
	}
	view.listeners = queues;
	r = metrics_render(&view, out);
	free(queues);
	return r;
}
