/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole replies for small files that are asked for again and again, by decoded
 * path.  Bounded in bytes, the least recently used goes first.  Knows nothing
 * of file systems: whoever uses it decides how long an entry is believed.
 * Workers, one per service.
 */
#ifndef CAB_PROTO_HTTP_CACHE_H
#define CAB_PROTO_HTTP_CACHE_H

#include <sys/queue.h>

#include "proto/http_file.h"
#include "proto/http_reply.h"

/* The largest file that is kept, and no file may take more than a quarter of the cache. */
#define HTTP_CACHE_FILE_MAX 32768

struct http_entry {
	LIST_ENTRY(http_entry) chain;
	TAILQ_ENTRY(http_entry) age;
	uint32_t hash;
	struct http_file file; /* what was read, for comparison; no descriptor */
	uint64_t checked_ms;   /* when the path was last seen to lead to it */
	struct http_canned *canned;
	size_t cost;
	size_t path_n;
	char path[];
};

/* A cache for at most this many bytes; NULL on -ENOMEM. */
struct http_cache *http_cache_new(size_t max);
void http_cache_free(struct http_cache *cache);

/* Whether a file of this size may be kept. */
bool http_cache_fits(const struct http_cache *cache, uint64_t size);

/* The entry for a path or NULL. */
struct http_entry *
http_cache_find(struct http_cache *cache, struct cab_slice path);

/*
 * Keeps a reply, which it takes over: also when it fails (NULL on -ENOMEM, the
 * reply is freed then).  The entry is valid until the next call that adds or drops.
 */
struct http_entry *http_cache_add(struct http_cache *cache, struct cab_slice path,
    const struct http_file *file, struct http_canned *canned);

void http_cache_drop(struct http_cache *cache, struct http_entry *entry);

/* Bytes that it holds, bookkeeping included. */
size_t http_cache_bytes(const struct http_cache *cache);

#endif
