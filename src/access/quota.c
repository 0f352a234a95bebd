/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places and sources over all workers, lock-free in shared memory.  Workers
 * take, every role gives back.  Never waits for another process: a worker that
 * is killed or stopped at any instruction blocks nobody.
 *
 * A source is known by a keyed 64-bit hash of (service, source): the key is
 * random per daemon, so a peer cannot choose a colliding address.
 */
#include "config.h"

#include <string.h>

#include "access/hash.h"
#include "access/quota.h"

#define KEY_EMPTY  0
#define KEY_MOVING 1 /* a worker is about to replace this entry */
_Static_assert(KEY_MOVING < ACCESS_HASH_MIN, "no hash means anything else");

/* Raises the active count if the entry still is this source's; the order
 * (raise, then look) pairs with entry_replace. */
static bool
entry_hold(struct board_source *e, uint64_t key, uint32_t *ret_active)
{
	uint32_t active = atomic_fetch_add(&e->active, 1) + 1;

	if (atomic_load(&e->key) == key) {
		*ret_active = active;
		return true;
	}
	board_drop(&e->active);
	return false;
}

/* Makes an idle entry this source's, if nobody has taken or held it meanwhile. */
static bool
entry_replace(struct board_source *e, uint64_t old, uint64_t key)
{
	if (!atomic_compare_exchange_strong(&e->key, &old, KEY_MOVING))
		return false;
	if (atomic_load(&e->active) != 0) {
		atomic_store(&e->key, old);
		return false;
	}
	atomic_store(&e->rate_tat, 0);
	atomic_store(&e->key, key);
	return true;
}

/*
 * The entry to give up for a new source: empty first, then idle with the
 * oldest arrival time, which has the least left to limit.  -1 when all are held.
 */
static int
set_victim(struct board_source *set, uint64_t *ret_key)
{
	uint64_t oldest = UINT64_MAX;
	int victim = -1;

	for (int i = 0; i < BOARD_SOURCE_WAYS; i++) {
		uint64_t key = atomic_load_explicit(
		    &set[i].key, memory_order_relaxed);
		uint64_t tat = atomic_load_explicit(
		    &set[i].rate_tat, memory_order_relaxed);

		if (key == KEY_MOVING ||
		    atomic_load_explicit(&set[i].active, memory_order_relaxed) !=
			0)
			continue;
		if (key == KEY_EMPTY)
			tat = 0;
		if (victim < 0 || tat < oldest) {
			oldest = tat;
			victim = i;
			*ret_key = key;
		}
	}
	return victim;
}

static int
set_find(const struct board_source *set, uint64_t key)
{
	for (int i = 0; i < BOARD_SOURCE_WAYS; i++)
		if (atomic_load_explicit(&set[i].key, memory_order_relaxed) == key)
			return i;
	return -1;
}

static uint64_t
source_key(const struct board *board, uint32_t service, struct cab_source source)
{
	return access_hash(board->hash_key, source.bits,
	    (uint64_t)service << 32 | source.family);
}

/* The first entry of the set in which the key may stand. */
static uint32_t
set_of(uint64_t key)
{
	return (uint32_t)(key >> 32) % BOARD_SOURCE_SETS * BOARD_SOURCE_WAYS;
}

uint32_t
quota_find(const struct board *board, uint32_t service, struct cab_source source)
{
	uint64_t key = source_key(board, service, source);
	uint32_t first = set_of(key);
	int i = set_find(&board->sources[first], key);

	return i < 0 ? UINT32_MAX : first + (uint32_t)i;
}

uint32_t
quota_source(struct board *board, uint32_t service, struct cab_source source,
    bool hold, uint32_t *ret_active)
{
	uint64_t key = source_key(board, service, source);
	uint32_t first = set_of(key), active = 0;
	struct board_source *set = &board->sources[first];

	/* Bounded: each lost race means that another worker made progress. */
	for (int tries = 0; tries < 4 * BOARD_SOURCE_WAYS; tries++) {
		uint64_t old = 0;
		int i = set_find(set, key);

		if (i < 0) {
			i = set_victim(set, &old);
			if (i < 0)
				return UINT32_MAX;
			if (!entry_replace(&set[i], old, key))
				continue;
			/* Another worker may have made the same entry: the
			 * first of the set counts, so look again. */
			int same = set_find(set, key);
			if (same != i)
				entry_replace(&set[i], key, KEY_EMPTY);
			continue;
		}
		if (!hold || entry_hold(&set[i], key, &active)) {
			*ret_active = active;
			return first + (uint32_t)i;
		}
	}
	return UINT32_MAX;
}

void
quota_source_drop(struct board *board, uint32_t index)
{
	if (index < BOARD_SOURCE_SETS * BOARD_SOURCE_WAYS)
		board_drop(&board->sources[index].active);
}

bool
quota_take(struct board *board, uint32_t service, uint32_t limit)
{
	_Atomic uint32_t *active = &board->services[service].active;
	uint32_t old = atomic_load_explicit(active, memory_order_relaxed);

	do {
		if (limit && old >= limit)
			return false;
	} while (!atomic_compare_exchange_weak(active, &old, old + 1));
	return true;
}

void
quota_drop(struct board *board, uint32_t service)
{
	board_drop(&board->services[service].active);
}
