/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics as a worker renders them: counters and names of all roles are in the
 * scoreboard, queues are asked of the worker's own copies of the listening
 * sockets.  Never asks the supervisor.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "stats/metrics.h"
#include "worker/accept.h"
#include "worker/metrics.h"

/* What was rendered in this turn: it takes long enough that asking for it over
 * and over in one would keep others waiting. */
static struct cab_buf kept;

static int
render(struct conn_engine *engine, struct cab_buf *out)
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

int
worker_metrics(struct conn_engine *engine, struct cab_buf *out)
{
	int r = buf_len(&kept) > 0 ? 0 : render(engine, &kept);

	if (r < 0) {
		worker_metrics_forget();
		return r;
	}
	return buf_append(out, buf_slice(&kept).p, buf_len(&kept));
}

void
worker_metrics_forget(void)
{
	if (buf_len(&kept) > 0)
		buf_release(&kept);
}
