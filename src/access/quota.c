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

#include "access/quota.h"

#define KEY_EMPTY  0
#define KEY_MOVING 1 /* a worker is about to replace this entry */

static inline uint64_t
rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void
sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

/* SipHash-1-3 of two words (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). */
static uint64_t
keyed_hash(const uint8_t key[16], uint64_t a, uint64_t b)
{
	uint64_t k0, k1, words[3] = { a, b, (uint64_t)16 << 56 };

	memcpy(&k0, key, 8);
	memcpy(&k1, key + 8, 8);
	struct sip s = { k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull,
		k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull };
	for (int i = 0; i < 3; i++) {
		s.v3 ^= words[i];
		sip_round(&s);
		s.v0 ^= words[i];
	}
	s.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(&s);
	uint64_t h = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
	return h > KEY_MOVING ? h : h + 2;
}

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
	return keyed_hash(board->hash_key, source.bits,
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
