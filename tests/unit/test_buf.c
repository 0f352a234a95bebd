/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffers: contents survive every mix of appending and consuming, limits hold,
 * and a failed call changes nothing.  No process, no descriptor.
 *
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void
assert_holds(const struct cab_buf *b, const char *want)
{
	struct cab_slice s = buf_slice(b);

	assert_int_equal(s.n, strlen(want));
	assert_int_equal(buf_len(b), s.n);
	assert_memory_equal(s.p, want, s.n);
}

static void
appends_and_consumes(void **state)
{
	struct cab_buf b = CAB_BUF_INIT(0);

	(void)state;
	assert_holds(&b, "");
	assert_int_equal(buf_append(&b, "hello", 5), 0);
	assert_int_equal(buf_append(&b, NULL, 0), 0);
	assert_int_equal(buf_append(&b, " world", 6), 0);
	assert_holds(&b, "hello world");
	buf_consume(&b, 6);
	assert_holds(&b, "world");
	buf_consume(&b, 5);
	assert_holds(&b, "");
	buf_release(&b);
	assert_null(b.data);
	assert_holds(&b, "");
}

static void
holds_the_limit(void **state)
{
	struct cab_buf b = CAB_BUF_INIT(8);

	(void)state;
	assert_int_equal(buf_append(&b, "12345678", 8), 0);
	assert_int_equal(buf_append(&b, "9", 1), -EMSGSIZE);
	assert_int_equal(buf_printf(&b, "%d", 9), -EMSGSIZE);
	assert_null(buf_room(&b, 1));
	assert_int_equal(buf_append(&b, "", SIZE_MAX), -EMSGSIZE);
	assert_holds(&b, "12345678");
	buf_consume(&b, 3);
	assert_int_equal(buf_printf(&b, "%s", "abc"), 0);
	assert_holds(&b, "45678abc");
	assert_int_equal(buf_printf(&b, "x"), -EMSGSIZE);
	assert_holds(&b, "45678abc");
	buf_release(&b);
}

static void
refuses_sizes_that_overflow(void **state)
{
	struct cab_buf b = CAB_BUF_INIT(0);

	(void)state;
	assert_int_equal(buf_append(&b, "x", 1), 0);
	assert_null(buf_room(&b, SIZE_MAX));
	assert_null(buf_room(&b, SIZE_MAX - 1));
	assert_null(buf_room(&b, SIZE_MAX / 2 + 2));
	assert_holds(&b, "x");
	buf_release(&b);
}

static void
prints_across_its_end(void **state)
{
	struct cab_buf b = CAB_BUF_INIT(0);
	char want[4096], *w = want;
	int i;

	(void)state;
	for (i = 0; i < 300; i++) {
		assert_int_equal(buf_printf(&b, "%d,", i), 0);
		w += snprintf(w, sizeof(want) - (size_t)(w - want), "%d,", i);
		assert_holds(&b, want);
	}
	buf_release(&b);
}

static void
gives_room(void **state)
{
	struct cab_buf b = CAB_BUF_INIT(0);
	char *p;

	(void)state;
	assert_non_null(buf_room(&b, 0));
	p = buf_room(&b, 1000);
	assert_non_null(p);
	memset(p, 'a', 1000);
	buf_added(&b, 3);
	assert_holds(&b, "aaa");
	buf_clear(&b);
	assert_holds(&b, "");
	buf_release(&b);
	buf_release(&b);
}

/* A random walk beside a plain array; bytes are numbered so that any mix-up shows. */
static void
agrees_with_a_plain_array(void **state)
{
	enum {
		STEPS = 200000
	};
	struct cab_buf b = CAB_BUF_INIT(4000);
	unsigned char next_in = 0, next_out = 0, chunk[700];
	unsigned seed = 7;
	size_t have = 0, most = 0, i, n;
	int step;

	(void)state;
	for (step = 0; step < STEPS; step++) {
		n = (size_t)rand_r(&seed) % sizeof(chunk);
		if (rand_r(&seed) % 2) {
			for (i = 0; i < n; i++)
				chunk[i] = (unsigned char)(next_in + i);
			if (have + n > 4000) {
				assert_int_equal(
				    buf_append(&b, chunk, n), -EMSGSIZE);
				continue;
			}
			assert_int_equal(buf_append(&b, chunk, n), 0);
			next_in = (unsigned char)(next_in + n);
			have += n;
		} else {
			struct cab_slice s = buf_slice(&b);

			n = n < have ? n : have;
			for (i = 0; i < n; i++)
				assert_int_equal((unsigned char)s.p[i],
				    (unsigned char)(next_out + i));
			buf_consume(&b, n);
			next_out = (unsigned char)(next_out + n);
			have -= n;
		}
		assert_int_equal(buf_len(&b), have);
		most = b.cap > most ? b.cap : most;
	}
	/* The gap before the contents must not make it grow for ever. */
	assert_true(most <= 4 * 4096);
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_and_consumes),
		cmocka_unit_test(holds_the_limit),
		cmocka_unit_test(refuses_sizes_that_overflow),
		cmocka_unit_test(prints_across_its_end),
		cmocka_unit_test(gives_room),
		cmocka_unit_test(agrees_with_a_plain_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
