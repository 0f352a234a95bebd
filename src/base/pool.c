/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects of one size in slabs.  Worker and launcher; single-threaded.  A slab
 * is aligned to its size, so that an object finds its slab by masking its own
 * address.  One empty slab is kept, so that a single object taken and given
 * back over and over costs no system call; the others are unmapped.
 */
#include "base/pool.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISON 1
#endif
#endif
#ifdef POOL_POISON
#include <sanitizer/asan_interface.h>
#define pool_poison(p, n)   __asan_poison_memory_region((p), (n))
#define pool_unpoison(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define pool_poison(p, n)   ((void)(p), (void)(n))
#define pool_unpoison(p, n) ((void)(p), (void)(n))
#endif

#define POOL_ALIGN    16
#define POOL_SLAB_MIN 16384
#define POOL_PER_SLAB 8 /* at least */

struct free_object {
	struct free_object *next;
};

struct slab {
	struct slab *next,
	    **prev; /* among the slabs with a free object; prev NULL: full */
	struct free_object *free; /* given back, newest first */
	uint32_t used,
	    fresh; /* objects out; objects never yet handed out start here */
	struct cab_pool *pool;
};

struct cab_pool {
	size_t object, slab_size;
	uint32_t per_slab, n_slabs, n_empty;
	struct slab *usable; /* slabs with a free object, the last one touched first */
};

#define SLAB_HEAD \
	((sizeof(struct slab) + POOL_ALIGN - 1) & ~(size_t)(POOL_ALIGN - 1))

struct cab_pool *
pool_new(size_t object_size)
{
	struct cab_pool *pool;
	size_t object = object_size, size = POOL_SLAB_MIN;

	assert(object_size > 0 && object_size < (size_t)1 << 24);
	if (object < sizeof(struct free_object))
		object = sizeof(struct free_object);
	object = (object + POOL_ALIGN - 1) & ~(size_t)(POOL_ALIGN - 1);
	while ((size - SLAB_HEAD) / object < POOL_PER_SLAB)
		size *= 2;
	pool = malloc(sizeof(*pool));
	if (pool == NULL)
		return NULL;
	*pool = (struct cab_pool){
		.object = object,
		.slab_size = size,
		.per_slab = (uint32_t)((size - SLAB_HEAD) / object),
	};
	return pool;
}

static void
slab_link(struct slab *slab)
{
	struct cab_pool *pool = slab->pool;

	slab->next = pool->usable;
	slab->prev = &pool->usable;
	if (slab->next != NULL)
		slab->next->prev = &slab->next;
	pool->usable = slab;
}

static void
slab_unlink(struct slab *slab)
{
	*slab->prev = slab->next;
	if (slab->next != NULL)
		slab->next->prev = slab->prev;
	slab->next = NULL;
	slab->prev = NULL;
}

/* Memory aligned to its own size: twice as much is mapped and the ends cut off. */
static struct slab *
slab_new(struct cab_pool *pool)
{
	size_t size = pool->slab_size, before;
	struct slab *slab;
	char *p;

	p = mmap(NULL, size * 2, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	before = (size_t)(-(uintptr_t)p & (size - 1));
	if (before > 0)
		munmap(p, before);
	munmap(p + before + size, size - before);
	slab = (struct slab *)(void *)(p + before);
	*slab = (struct slab){ .pool = pool };
	pool_poison((char *)slab + SLAB_HEAD, size - SLAB_HEAD);
	slab_link(slab);
	pool->n_slabs++;
	pool->n_empty++;
	return slab;
}

static void
slab_free(struct slab *slab)
{
	struct cab_pool *pool = slab->pool;

	slab_unlink(slab);
	pool->n_slabs--;
	pool->n_empty--;
	pool_unpoison(slab, pool->slab_size);
	munmap(slab, pool->slab_size);
}

void *
pool_get(struct cab_pool *pool)
{
	struct slab *slab = pool->usable;
	struct free_object *object;

	if (slab == NULL)
		slab = slab_new(pool);
	if (slab == NULL)
		return NULL;
	object = slab->free;
	if (object != NULL) {
		pool_unpoison(object, pool->object);
		slab->free = object->next;
	} else {
		object = (void *)((char *)slab + SLAB_HEAD +
		    slab->fresh++ * pool->object);
		pool_unpoison(object, pool->object);
	}
	if (slab->used++ == 0)
		pool->n_empty--;
	if (slab->used == pool->per_slab)
		slab_unlink(slab);
	memset(object, 0, pool->object);
	return object;
}

void
pool_put(struct cab_pool *pool, void *p)
{
	struct free_object *object = p;
	struct slab *slab;

	if (p == NULL)
		return;
	slab = (struct slab *)((uintptr_t)p & ~(uintptr_t)(pool->slab_size - 1));
	assert(slab->pool == pool && slab->used > 0);
	object->next = slab->free;
	slab->free = object;
	pool_poison(object, pool->object);
	if (slab->prev != NULL)
		slab_unlink(slab);
	slab_link(slab);
	if (--slab->used > 0)
		return;
	if (++pool->n_empty > 1)
		slab_free(slab);
}

void
pool_free(struct cab_pool *pool)
{
	if (pool == NULL)
		return;
	assert(pool->n_slabs == pool->n_empty);
	while (pool->usable != NULL)
		slab_free(pool->usable);
	free(pool);
}
