/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places and sources over several processes, and that the bounded table never
 * refuses anybody.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/quota.h"
#include "base/fd.h"

static struct board *board;

static int
setup(void **state)
{
	int fd = board_create(&board);

	(void)state;
	fd_close(fd);
	return fd < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	board_unmap(board);
	return 0;
}

static struct cab_source
source(uint64_t bits)
{
	return (struct cab_source){ .bits = bits, .family = 2 };
}

static void
places_stop_at_the_limit(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		assert_true(quota_take(board, 3, 5));
	assert_false(quota_take(board, 3, 5));
	assert_true(quota_take(board, 4, 5)); /* another service */
	quota_drop(board, 3);
	assert_true(quota_take(board, 3, 5));
	for (int i = 0; i < 1000; i++)
		assert_true(quota_take(board, 5, 0));
	for (int i = 0; i < 10; i++)
		quota_drop(board, 4);
	assert_true(quota_take(board, 4, 1)); /* never below zero */
}

static void
sources_are_counted_apart(void **state)
{
	uint32_t a, b, c, active;

	(void)state;
	a = quota_source(board, 1, source(10), true, &active);
	assert_int_equal(active, 1);
	assert_int_equal(quota_source(board, 1, source(10), true, &active), a);
	assert_int_equal(active, 2);
	b = quota_source(board, 1, source(11), true, &active);
	assert_int_equal(active, 1);
	c = quota_source(board, 2, source(10), true, &active);
	assert_int_equal(active, 1);
	assert_true(a != b && a != c && b != c);
	quota_source_drop(board, a);
	quota_source_drop(board, a);
	assert_int_equal(quota_source(board, 1, source(10), true, &active), a);
	assert_int_equal(active, 1);
}

static void
table_is_bounded_and_keeps_who_is_held(void **state)
{
	uint32_t kept, active;

	(void)state;
	kept = quota_source(board, 1, source(0), true, &active);
	/* Far more sources than entries, none of them held. */
	for (uint64_t i = 1; i < 500000; i++)
		(void)quota_source(board, 1, source(i), false, &active);
	assert_int_equal(quota_source(board, 1, source(0), true, &active), kept);
	assert_int_equal(active, 2);
}

static void
full_set_refuses_nobody(void **state)
{
	uint32_t active, uncounted = 0;

	(void)state;
	for (uint64_t i = 0; i < 2 * BOARD_SOURCE_SETS * BOARD_SOURCE_WAYS; i++)
		uncounted += quota_source(board, 1, source(i), true, &active) ==
		    UINT32_MAX;
	/* Twice as many held sources as entries: the rest are told apart as "not counted". */
	assert_true(uncounted >= BOARD_SOURCE_SETS * BOARD_SOURCE_WAYS);
	assert_true(uncounted < 2 * BOARD_SOURCE_SETS * BOARD_SOURCE_WAYS);
}

#define PROCESSES 4
#define ROUNDS    20000

static void
hammer(unsigned seed)
{
	uint32_t active, worst = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t s = quota_source(
		    board, 1, source((seed + i) % 3), true, &active);

		if (s != UINT32_MAX && active > worst)
			worst = active;
		if (quota_take(board, 1, 3))
			quota_drop(board, 1);
		if (s != UINT32_MAX)
			quota_source_drop(board, s);
		/* Others come and go, so that entries are replaced all the time. */
		(void)quota_source(board, 1,
		    source(1000 + i * PROCESSES + seed), false, &active);
	}
	_exit(worst <= PROCESSES ? 0 : 1);
}

static void
processes_agree(void **state)
{
	uint32_t active;

	(void)state;
	for (unsigned i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			hammer(i);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	for (uint64_t i = 0; i < 3; i++) {
		quota_source(board, 1, source(i), true, &active);
		assert_int_equal(active, 1); /* everything was given back */
	}
	assert_int_equal(board->services[1].active, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    places_stop_at_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    sources_are_counted_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    table_is_bounded_and_keeps_who_is_held, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    full_set_refuses_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(processes_agree, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
