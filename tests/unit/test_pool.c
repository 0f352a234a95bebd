/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pool: objects are distinct, zeroed, aligned and reused; empty slabs go back
 * to the system.
 *
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/pool.h"

static void
gives_zeroed_distinct_objects(void **state)
{
	static const size_t sizes[] = { 1, 8, 24, 100, 500, 5000, 70000 };
	enum {
		N = 300
	};
	unsigned char *objects[N];
	struct cab_pool *pool;
	size_t s, i, j;

	(void)state;
	for (s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		pool = pool_new(sizes[s]);
		assert_non_null(pool);
		for (i = 0; i < N; i++) {
			objects[i] = pool_get(pool);
			assert_non_null(objects[i]);
			assert_int_equal((uintptr_t)objects[i] % 16, 0);
			for (j = 0; j < sizes[s]; j++)
				assert_int_equal(objects[i][j], 0);
			memset(objects[i], (int)i + 1, sizes[s]);
		}
		for (i = 0; i < N; i++)
			for (j = 0; j < sizes[s]; j += sizes[s] / 7 + 1)
				assert_int_equal(
				    objects[i][j], (unsigned char)(i + 1));
		for (i = 0; i < N; i++)
			pool_put(pool, objects[(i * 7) % N]);
		pool_free(pool);
	}
}

static void
reuses_the_last_one_first(void **state)
{
	struct cab_pool *pool = pool_new(64);
	unsigned char *a, *b, *c;
	int i;

	(void)state;
	a = pool_get(pool);
	b = pool_get(pool);
	memset(b, 0xff, 64);
	pool_put(pool, a);
	pool_put(pool, b);
	c = pool_get(pool);
	assert_ptr_equal(c, b);
	for (i = 0; i < 64; i++)
		assert_int_equal(c[i], 0);
	assert_ptr_equal(pool_get(pool), a);
	pool_put(pool, a);
	pool_put(pool, c);
	pool_put(pool, NULL);
	pool_free(pool);
	pool_free(NULL);
}

static long
mapped_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = -1;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld", &pages), 1);
	fclose(f);
	return pages * 4;
}

static void
returns_memory(void **state)
{
	enum {
		N = 40000
	};
	struct cab_pool *pool = pool_new(256);
	void **objects = calloc(N, sizeof(*objects));
	long before, most;
	size_t i;

	(void)state;
	before = mapped_kib();
	for (i = 0; i < N; i++)
		objects[i] = pool_get(pool);
	most = mapped_kib();
	assert_true(most - before >= N / 4);
	for (i = 0; i < N; i++)
		pool_put(pool, objects[i]);
	assert_true(mapped_kib() - before < (most - before) / 4);
	free(objects);
	pool_free(pool);
}

static void
survives_a_random_walk(void **state)
{
	enum {
		N = 500
	};
	struct cab_pool *pool = pool_new(40);
	uint32_t *objects[N] = { NULL }, stamp = 0, stamps[N];
	unsigned seed = 11, step, i;

	(void)state;
	for (step = 0; step < 200000; step++) {
		i = (unsigned)rand_r(&seed) % N;
		if (objects[i] == NULL) {
			objects[i] = pool_get(pool);
			assert_int_equal(*objects[i], 0);
			*objects[i] = stamps[i] = ++stamp;
		} else {
			assert_int_equal(*objects[i], stamps[i]);
			pool_put(pool, objects[i]);
			objects[i] = NULL;
		}
	}
	for (i = 0; i < N; i++)
		pool_put(pool, objects[i]);
	pool_free(pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_zeroed_distinct_objects),
		cmocka_unit_test(reuses_the_last_one_first),
		cmocka_unit_test(returns_memory),
		cmocka_unit_test(survives_a_random_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
