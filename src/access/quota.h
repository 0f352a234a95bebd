/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places and sources: counts that hold over all workers, in the scoreboard's
 * memory.  Lock-free, so that a worker killed at any instruction blocks nobody.
 * The source table is bounded: when a set is full of busy sources a new one is
 * not counted (its service's own limits still hold); nobody is ever refused for
 * the table's size.
 */
#ifndef CAB_ACCESS_QUOTA_H
#define CAB_ACCESS_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "access/rate.h"
#include "base/addr.h"
#include "stats/board.h"

/*
 * The table's entry for one source of one service slot, made if needed;
 * UINT32_MAX when the set is full of busy entries.  With hold, its active count
 * has been raised by one (*ret_active: the count with it), so the entry cannot
 * be replaced until quota_source_drop.
 */
uint32_t quota_source(struct board *board, uint32_t service,
    struct cab_source source, bool hold, uint32_t *ret_active);

/* The same without making or holding one: UINT32_MAX when there is none. */
uint32_t quota_find(
    const struct board *board, uint32_t service, struct cab_source source);

void quota_source_drop(struct board *board, uint32_t index);

/* Takes a place of the service unless limit (0: none) is reached. */
bool quota_take(struct board *board, uint32_t service, uint32_t limit);
void quota_drop(struct board *board, uint32_t service);

#endif
