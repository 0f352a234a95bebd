/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects of one size, taken from slabs and reused last-in first-out; slabs
 * whose objects are all free go back to the system, but for one.  Worker and
 * launcher.
 */
#ifndef CAB_BASE_POOL_H
#define CAB_BASE_POOL_H

#include <stddef.h>

struct cab_pool;

/* An empty pool for objects of this size; NULL on -ENOMEM. */
struct cab_pool *pool_new(size_t object_size);

/* A zeroed object or NULL; pool_put gives it back. */
void *pool_get(struct cab_pool *pool);
void pool_put(struct cab_pool *pool, void *object);

/* All objects must be back; accepts NULL. */
void pool_free(struct cab_pool *pool);

#endif
