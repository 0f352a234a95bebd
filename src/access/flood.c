/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of floods, lock-free in shared memory.  Workers.  Never waits for
 * another process and never allocates.  Counts go into a log: a worker that is
 * killed at the wrong instruction may cost one of them or a place in the table,
 * and two that meet may tell a refusal with its neighbour.
 */
#include "config.h"

#include "access/flood.h"
#include "access/hash.h"

#define KEY_EMPTY  0
#define KEY_MOVING 1
_Static_assert(KEY_MOVING < ACCESS_HASH_MIN, "no hash means anything else");

/* Each worker has its own idea of now, a turn of its loop old. */
static uint64_t
elapsed(uint64_t now_ms, uint64_t then_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

static struct board_flood *
set_find(struct board_flood *set, uint64_t key)
{
	for (int i = 0; i < BOARD_FLOOD_WAYS; i++)
		if (atomic_load(&set[i].key) == key)
			return &set[i];
	return NULL;
}

static struct board_flood *
set_claim(struct board_flood *set)
{
	for (int i = 0; i < BOARD_FLOOD_WAYS; i++) {
		uint64_t empty = KEY_EMPTY;

		if (atomic_compare_exchange_strong(
			&set[i].key, &empty, KEY_MOVING))
			return &set[i];
	}
	return NULL;
}

static void
entry_free(struct board *board, struct board_flood *flood)
{
	atomic_store(&flood->key, KEY_EMPTY);
	board_drop(&board->floods_used);
}

static void
entry_fill(struct board_flood *flood, uint32_t service,
    const struct cab_peer *network, unsigned bits, uint64_t now_ms)
{
	_Atomic uint64_t *const times[] = { &flood->window_ms, &flood->begin_ms,
		&flood->since_ms, &flood->total };
	_Atomic uint32_t *const counts[] = { &flood->logged, &flood->held,
		&flood->reasons };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		atomic_store(times[i], 0);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		atomic_store(counts[i], 0);
	atomic_store(&flood->last_ms, now_ms);
	flood->service = service;
	flood->network = *network;
	flood->bits = bits;
}

struct board_flood *
flood_find(struct board *board, uint32_t service, const struct cab_peer *peer,
    unsigned bits_v6, uint64_t now_ms)
{
	unsigned bits = peer->family == AF_INET ? FLOOD_V4_BITS : bits_v6;
	struct cab_peer network = *peer;
	struct board_flood *set, *flood, *same;
	struct cab_source source;
	uint64_t key;

	peer_cut(&network, bits);
	source = peer_source(&network);
	key = access_hash(board->hash_key, source.bits,
	    (uint64_t)service << 32 | source.family);
	set = &board->floods[(key >> 32) % BOARD_FLOOD_SETS * BOARD_FLOOD_WAYS];
	flood = set_find(set, key);
	if (flood)
		return flood;
	flood = set_claim(set);
	if (!flood)
		return &board->floods[BOARD_FLOODS];
	entry_fill(flood, service, &network, bits, now_ms);
	atomic_fetch_add(&board->floods_used, 1);
	atomic_store(&flood->key, key);
	/* Another worker may have made the same entry: the first of the set counts. */
	same = set_find(set, key);
	if (same && same != flood)
		entry_free(board, flood);
	return same ? same : flood;
}

bool
flood_may_log(struct board *board, struct board_flood *flood, uint64_t now_ms)
{
	uint64_t window = atomic_load(&flood->window_ms);

	if (flood == &board->floods[BOARD_FLOODS])
		return false;
	atomic_store(&flood->last_ms, now_ms);
	if ((window == 0 || elapsed(now_ms, window) >= FLOOD_WINDOW_MS) &&
	    atomic_compare_exchange_strong(&flood->window_ms, &window, now_ms))
		atomic_store(&flood->logged, 0);
	return atomic_load(&flood->logged) < FLOOD_BURST &&
	    atomic_fetch_add(&flood->logged, 1) < FLOOD_BURST;
}

void
flood_hold(struct board *board, struct board_flood *flood, unsigned why,
    uint64_t now_ms)
{
	uint64_t none = 0;

	atomic_fetch_add(&flood->held, 1);
	atomic_fetch_or(&flood->reasons, UINT32_C(1) << why);
	atomic_store(&flood->last_ms, now_ms);
	if (atomic_load(&flood->since_ms) == 0)
		(void)atomic_compare_exchange_strong(
		    &flood->since_ms, &none, now_ms);
	none = 0;
	if (atomic_load(&flood->begin_ms) == 0 &&
	    atomic_compare_exchange_strong(&flood->begin_ms, &none, now_ms) &&
	    flood == &board->floods[BOARD_FLOODS])
		atomic_fetch_add(&board->floods_used, 1);
}

/* Whether there is something to tell, and whether it is the caller who tells it. */
static bool
entry_claim(struct board_flood *flood, uint64_t begin, bool ended, uint64_t now_ms)
{
	uint64_t since = atomic_load(&flood->since_ms);

	if (ended) {
		if (!atomic_compare_exchange_strong(&flood->begin_ms, &begin, 0))
			return false;
		atomic_store(&flood->since_ms, 0);
		return true;
	}
	return since != 0 && elapsed(now_ms, since) >= FLOOD_WINDOW_MS &&
	    atomic_compare_exchange_strong(&flood->since_ms, &since, 0);
}

static bool
entry_take(struct board *board, struct board_flood *flood, uint64_t begin,
    uint64_t now_ms, struct flood_summary *ret)
{
	uint64_t since = atomic_load(&flood->since_ms);
	uint64_t last = atomic_load(&flood->last_ms);
	bool ended = elapsed(now_ms, last) >= FLOOD_QUIET_MS;
	uint64_t until = ended ? last : now_ms;

	if (!entry_claim(flood, begin, ended, now_ms))
		return false;
	*ret = (struct flood_summary){
		.others = flood == &board->floods[BOARD_FLOODS],
		.ended = ended,
		.service = flood->service,
		.network = flood->network,
		.bits = flood->bits,
		.reasons = atomic_exchange(&flood->reasons, 0),
		.count = atomic_exchange(&flood->held, 0),
		.ms = since ? elapsed(until, since) : 0,
		.total_ms = elapsed(until, begin),
	};
	ret->total = atomic_fetch_add(&flood->total, ret->count) + ret->count;
	if (ended) {
		atomic_store(&flood->total, 0);
		if (ret->others)
			board_drop(&board->floods_used);
	}
	return true;
}

/* Gives the entry up when its network has been quiet for long. */
static void
entry_expire(struct board *board, struct board_flood *flood, uint64_t now_ms)
{
	uint64_t key = atomic_load(&flood->key);

	if (key <= KEY_MOVING ||
	    elapsed(now_ms, atomic_load(&flood->last_ms)) < FLOOD_WINDOW_MS)
		return;
	if (atomic_compare_exchange_strong(&flood->key, &key, KEY_MOVING))
		entry_free(board, flood);
}

bool
flood_due(struct board *board, uint32_t *at, uint64_t now_ms,
    struct flood_summary *ret)
{
	while (*at <= BOARD_FLOODS) {
		struct board_flood *flood = &board->floods[*at];
		uint64_t begin = atomic_load(&flood->begin_ms);

		++*at;
		if (begin != 0) {
			if (entry_take(board, flood, begin, now_ms, ret))
				return true;
		} else if (flood != &board->floods[BOARD_FLOODS]) {
			entry_expire(board, flood, now_ms);
		}
	}
	return false;
}
