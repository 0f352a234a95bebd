/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which worker lets others go first.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/fd.h"
#include "worker/balance.h"

static void
role_set(struct board *board, uint32_t slot, uint32_t generation, uint32_t held)
{
	atomic_store(&board->roles[slot].generation, generation);
	atomic_store(&board->roles[slot].connections, held);
}

static void
test_alone(void **state)
{
	struct balance nobody = { 0 };

	(void)state;
	assert_false(balance_over(&nobody, 20000));
	assert_false(balance_step_back(&nobody, 20000, 20000));
}

static void
test_share(void **state)
{
	struct balance one = { .n = 1, .held = 160 };
	struct balance three = { .n = 3, .held = 480 };
	struct balance idle = { .n = 1, .held = 0 };

	(void)state;
	assert_false(balance_over(&one, 0));
	assert_false(balance_over(&one, 172));
	assert_true(balance_over(&one, 173));
	assert_false(balance_over(&three, 172));
	assert_true(balance_over(&three, 173));
	/* One or two more than nothing are no load. */
	assert_false(balance_over(&idle, 2));
	assert_true(balance_over(&idle, 3));
}

static void
test_step_back(void **state)
{
	struct balance one = { .n = 1, .held = 100 };

	(void)state;
	assert_false(balance_step_back(&one, 100, 1));
	assert_true(balance_step_back(&one, 200, 1));
	assert_false(balance_step_back(&one, 0, BALANCE_RUN - 1));
	assert_true(balance_step_back(&one, 0, BALANCE_RUN));
}

static void
test_look(void **state)
{
	struct board *board;
	int fd = board_create(&board);
	struct balance others;

	(void)state;
	assert_true(fd >= 0);
	others = balance_look(board, 0);
	assert_int_equal(others.n, 0);
	role_set(board, 0, 7, 10);
	role_set(board, 1, 7, 20);
	role_set(board, 2, 6, 40); /* went with the configuration before */
	role_set(board, 3, 7, 80);
	role_set(board, 4, 7, 160); /* never used */
	atomic_store(&board->daemon.workers, 4);
	others = balance_look(board, 0);
	assert_int_equal(others.n, 2);
	assert_int_equal(others.held, 100);
	others = balance_look(board, 3);
	assert_int_equal(others.n, 2);
	assert_int_equal(others.held, 30);
	board_unmap(board);
	fd_close(fd);
}

static void
test_burst(void **state)
{
	struct burst burst = { 0 };
	unsigned events = 0, vain = 0;

	(void)state;
	assert_int_equal(burst_size(&burst), 1);
	/* One comes at a time: attempts in vain after 8, 16, 32, 64 of them. */
	for (int i = 0; i < 100; i++) {
		vain += burst_size(&burst) > 1;
		burst_took(&burst, burst_size(&burst), 1);
	}
	assert_in_range(vain, 1, 3);
	/* Many are there: more and more at once, up to the most. */
	for (; burst_size(&burst) < BURST_MAX; events++)
		burst_took(&burst, burst_size(&burst), burst_size(&burst));
	assert_in_range(events, 1, (BURST_TRIES << BURST_WARY) + 2 * BURST_TRIES);
	for (int i = 0; i < 100; i++)
		burst_took(&burst, burst_size(&burst), burst_size(&burst));
	assert_int_equal(burst_size(&burst), BURST_MAX);
	/* Who took fewer because he has enough has learnt nothing. */
	burst_took(&burst, 1, 1);
	assert_int_equal(burst_size(&burst), BURST_MAX);
	burst_took(&burst, BURST_MAX, 13);
	assert_int_equal(burst_size(&burst), 13);
	/* Down to one again, by halves. */
	burst_took(&burst, 13, 0);
	assert_int_equal(burst_size(&burst), 6);
	burst_took(&burst, 6, 1);
	burst_took(&burst, 3, 1);
	assert_int_equal(burst_size(&burst), 1);
	burst_took(&burst, 1, 0);
	assert_int_equal(burst_size(&burst), 1);
	/* That there were many is not forgotten. */
	for (events = 0; burst_size(&burst) < BURST_MAX; events++)
		burst_took(&burst, burst_size(&burst), burst_size(&burst));
	assert_in_range(events, 1, 2 * BURST_TRIES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_step_back),
		cmocka_unit_test(test_look),
		cmocka_unit_test(test_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
