/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cache of replies for small files.  Workers.  Peers choose what is asked
 * for but not which names exist, so a plain hash will do; what they can do by
 * asking for many files is to push others out, never to make it grow.
 */
#include "proto/http_cache.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_CHAINS 256 /* a power of two */

LIST_HEAD(chain, http_entry);
TAILQ_HEAD(ages, http_entry);

struct http_cache {
	size_t bytes, max;
	struct ages ages; /* most recently used first */
	struct chain chains[CACHE_CHAINS];
};

struct http_cache *
http_cache_new(size_t max)
{
	struct http_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->max = max;
	TAILQ_INIT(&cache->ages);
	return cache;
}

void
http_cache_free(struct http_cache *cache)
{
	if (!cache)
		return;
	while (!TAILQ_EMPTY(&cache->ages))
		http_cache_drop(cache, TAILQ_FIRST(&cache->ages));
	free(cache);
}

size_t
http_cache_bytes(const struct http_cache *cache)
{
	return cache->bytes;
}

bool
http_cache_fits(const struct http_cache *cache, uint64_t size)
{
	return size <= HTTP_CACHE_FILE_MAX && size <= cache->max / 4;
}

/* FNV-1a */
static uint32_t
path_hash(struct cab_slice path)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < path.n; i++)
		hash = (hash ^ (unsigned char)path.p[i]) * 16777619u;
	return hash;
}

struct http_entry *
http_cache_find(struct http_cache *cache, struct cab_slice path)
{
	uint32_t hash = path_hash(path);
	struct http_entry *e;

	LIST_FOREACH(e, &cache->chains[hash % CACHE_CHAINS], chain)
	{
		if (e->hash == hash && e->path_n == path.n &&
		    memcmp(e->path, path.p, path.n) == 0)
			break;
	}
	if (e && e != TAILQ_FIRST(&cache->ages)) {
		TAILQ_REMOVE(&cache->ages, e, age);
		TAILQ_INSERT_HEAD(&cache->ages, e, age);
	}
	return e;
}

void
http_cache_drop(struct http_cache *cache, struct http_entry *entry)
{
	LIST_REMOVE(entry, chain);
	TAILQ_REMOVE(&cache->ages, entry, age);
	cache->bytes -= entry->cost;
	free(entry->canned);
	free(entry);
}

struct http_entry *
http_cache_add(struct http_cache *cache, struct cab_slice path,
    const struct http_file *file, struct http_canned *canned)
{
	size_t cost = sizeof(struct http_entry) + path.n + sizeof(*canned) +
	    canned->head_n + 2 + canned->body_n;
	struct http_entry *e;

	if (cost > cache->max) {
		free(canned);
		return NULL;
	}
	while (cache->bytes + cost > cache->max)
		http_cache_drop(cache, TAILQ_LAST(&cache->ages, ages));
	e = malloc(sizeof(*e) + path.n);
	if (!e) {
		free(canned);
		return NULL;
	}
	*e = (struct http_entry){
		.hash = path_hash(path),
		.file = *file,
		.canned = canned,
		.cost = cost,
		.path_n = path.n,
	};
	e->file.fd = -1;
	memcpy(e->path, path.p, path.n);
	LIST_INSERT_HEAD(&cache->chains[e->hash % CACHE_CHAINS], e, chain);
	TAILQ_INSERT_HEAD(&cache->ages, e, age);
	cache->bytes += cost;
	return e;
}
