/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a worker should let the others have the next connections.  Pure;
 * workers.  The kernel wakes the worker that stands first at a shared socket
 * and sleeps, over and over, and would heap all upon one; a worker that goes
 * to the end of the queue is woken only when those before it are busy.
 */
#ifndef CAB_WORKER_BALANCE_H
#define CAB_WORKER_BALANCE_H

#include "stats/board.h"

/* Connections accepted in a row after which others get their turn in any case:
 * those that end at once never make a difference in what is held. */
#define BALANCE_RUN 64

/* The other workers that serve the same generation. */
struct balance {
	uint32_t n;    /* how many; 0: there is nobody to share with */
	uint64_t held; /* connections that they hold together */
};

struct balance balance_look(const struct board *board, uint32_t slot);

/* Whether a worker that holds this many has more than its share. */
bool balance_over(const struct balance *others, uint32_t held);

/* Whether it should go to the end of the queue, after this many in a row. */
bool balance_step_back(
    const struct balance *others, uint32_t held, uint32_t in_a_row);

/*
 * How many connections to take from a listener at once, from how many were
 * there before; zeroed at first.  An accept that finds nothing has made a
 * descriptor and a socket in vain: measured, seven times what asking the loop costs.
 */
struct burst {
	uint8_t size; /* 0 is 1 */
	uint8_t full; /* how often in a row there were as many */
	uint8_t wary; /* how often in a row two were tried for and one was there */
};
#define BURST_MAX 16 /* small enough that workers share a burst */
#define BURST_TRIES \
	8 /* full ones before more are tried, a quarter once it is two */
#define BURST_WARY 3 /* doublings of that, where clients come one by one */

static inline unsigned
burst_size(const struct burst *burst)
{
	return burst->size ? burst->size : 1;
}

/* Of so many wanted, so many were there. */
void burst_took(struct burst *burst, unsigned wanted, unsigned taken);

#endif
