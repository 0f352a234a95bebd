/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scoreboard as text for Prometheus (exposition format 0.0.4).  Supervisor
 * and workers render the same text; only the sockets are each one's own.
 */
#ifndef CAB_STATS_METRICS_H
#define CAB_STATS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "stats/board.h"

/* One listening socket that has a queue. */
struct metrics_listener {
	const char *service;
	char address[CAB_ADDR_TEXT];
	uint32_t queued, limit;
};

struct metrics_view {
	const struct board *board;
	const struct metrics_listener *listeners;
	size_t n_listeners;
};

/* Appends it all: 0, -ENOMEM or -EMSGSIZE (then half a text stays in out). */
int metrics_render(const struct metrics_view *view, struct cab_buf *out);

/* The queue of a listening TCP socket and its address: 0, or -ENOTSUP for sockets that do not tell. */
int metrics_queue(int fd, struct metrics_listener *ret);

#endif
