/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which refusals are logged one by one, and the summaries of the others: per
 * service and network (IPv4 /24, IPv6 /64, local user) in a bounded table in the
 * scoreboard, so that a flood over all workers gives one line a minute.
 */
#ifndef CAB_ACCESS_FLOOD_H
#define CAB_ACCESS_FLOOD_H

#include "stats/board.h"

#define FLOOD_BURST     5     /* refusals of a network logged one by one ... */
#define FLOOD_WINDOW_MS 60000 /* ... in this time, which is also between two summaries */
#define FLOOD_QUIET_MS  5000  /* without a refusal: the flood has ended */
#define FLOOD_V4_BITS   24
#define FLOOD_V6_BITS   64

/* The entry of a peer that is refused, bits_v6 long if it is IPv6; the entry of
 * all others when there is no place.  Never NULL. */
struct board_flood *flood_find(struct board *board, uint32_t service,
    const struct cab_peer *peer, unsigned bits_v6, uint64_t now_ms);

/* True when the refusal may be logged by itself. */
bool flood_may_log(struct board *board, struct board_flood *flood, uint64_t now_ms);

/* Notes a refusal that is not logged by itself; why: enum cab_refusal. */
void flood_hold(struct board *board, struct board_flood *flood, unsigned why,
    uint64_t now_ms);

struct flood_summary {
	bool others; /* of all networks that found no place in the table */
	bool ended;
	uint32_t service;
	struct cab_peer network;
	unsigned bits;    /* of it, if it is IPv4 or IPv6 */
	uint32_t reasons; /* bit per enum cab_refusal */
	uint64_t count, ms;       /* since the summary before; 0: none */
	uint64_t total, total_ms; /* of the whole flood */
};

/* True while flood_due has to be asked now and then. */
static inline bool
flood_any(const struct board *board)
{
	return atomic_load_explicit(
		   &board->floods_used, memory_order_relaxed) > 0;
}

/*
 * The next summary that is due, at or behind *at (start with 0); false: no more.
 * Each is given to one caller only, whichever worker asks first.
 */
bool flood_due(struct board *board, uint32_t *at, uint64_t now_ms,
    struct flood_summary *ret);

#endif
