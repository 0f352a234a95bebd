/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scoreboard: tickets change hands, come back once, and a dead role's are
 * reclaimed.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "stats/board.h"

static struct board *board;
static int board_fd = -1;

static int
setup(void **state)
{
	(void)state;
	board_fd = board_create(&board);
	return board_fd < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	board_unmap(board);
	board_fd = fd_close(board_fd);
	return 0;
}

static uint32_t
admit(struct ticket_pool *pool, uint32_t service, uint32_t source)
{
	board->services[service].active++;
	if (source != BOARD_NO_SOURCE)
		board->sources[source].active++;
	return ticket_new(pool, service, source);
}

static void
tickets_come_back_once(void **state)
{
	struct ticket_pool pool;
	uint32_t t, u;

	(void)state;
	ticket_pool_init(&pool, board, 2);
	t = admit(&pool, 5, 77);
	u = admit(&pool, 5, BOARD_NO_SOURCE);
	assert_true(t != u && t != BOARD_NO_TICKET && u != BOARD_NO_TICKET);
	assert_int_equal(board->services[5].active, 2);
	assert_int_equal(ticket_release(board, t, 2), 0);
	assert_int_equal(board->services[5].active, 1);
	assert_int_equal(board->sources[77].active, 0);
	ticket_release(board, t, 2); /* a second time changes nothing */
	assert_int_equal(board->services[5].active, 1);
	ticket_release(board, u, 3); /* nor does somebody else */
	assert_int_equal(board->services[5].active, 1);
	ticket_release(board, BOARD_NO_TICKET, 2);
	board->services[5].waiters = 0x5;
	assert_int_equal(ticket_release(board, u, 2), 0x5);
	assert_int_equal(board->services[5].waiters, 0);
}

static void
launcher_adopts_unless_reclaimed(void **state)
{
	struct ticket_pool pool;
	uint32_t t;

	(void)state;
	ticket_pool_init(&pool, board, 0);
	t = admit(&pool, 1, BOARD_NO_SOURCE);
	assert_false(
	    ticket_adopt(board, t, 1, BOARD_LAUNCHER)); /* not that worker's */
	assert_false(ticket_adopt(board, UINT32_MAX, 0, BOARD_LAUNCHER));
	assert_true(ticket_adopt(board, t, 0, BOARD_LAUNCHER));
	board_reclaim(board, 0); /* the worker dies: the program goes on */
	assert_int_equal(board->services[1].active, 1);
	ticket_release(board, t, BOARD_LAUNCHER);
	assert_int_equal(board->services[1].active, 0);

	t = admit(&pool, 1, BOARD_NO_SOURCE);
	board->services[1].waiters = 0x2;
	assert_int_equal(board_reclaim(board, 0), 0x2);
	assert_int_equal(board->services[1].active, 0);
	assert_false(ticket_adopt(board, t, 0, BOARD_LAUNCHER));
}

/* What a role had accepted and can no longer finish has finished with it. */
static void
given_up_connections_have_finished(void **state)
{
	const struct cab_peer peer = { .family = AF_INET };
	struct board_counters sum;
	struct ticket_pool pool;
	uint32_t t[4];

	(void)state;
	board->daemon.workers = 1;
	ticket_pool_init(&pool, board, 0);
	for (unsigned i = 0; i < 4; i++) {
		t[i] = admit(&pool, 3, BOARD_NO_SOURCE);
		/* The last is admitted, but not yet accepted. */
		if (i < 3)
			ticket_describe(board, t[i], i + 1, &peer, 0);
	}
	assert_true(ticket_adopt(board, t[0], 0, BOARD_LAUNCHER));
	/* Only by who has it, and once. */
	ticket_give_up(board, t[0], 0);
	ticket_give_up(board, t[1], 0);
	ticket_give_up(board, t[1], 0);
	ticket_give_up(board, BOARD_NO_TICKET, 0);
	board_sum(board, 3, &sum);
	assert_int_equal(sum.finished, 1);
	assert_int_equal(board->services[3].active, 3);
	board_reclaim(board, 0);
	board_sum(board, 3, &sum);
	assert_int_equal(sum.finished, 2);
	board_reclaim(board, BOARD_LAUNCHER);
	board_sum(board, 3, &sum);
	assert_int_equal(sum.finished, 3);
	assert_int_equal(sum.durations[0], 3);
	assert_int_equal(board->services[3].active, 0);
	/* A service slot that cannot be counts nowhere. */
	t[0] = admit(&pool, 3, BOARD_NO_SOURCE);
	ticket_describe(board, t[0], 9, &peer, 0);
	board->tickets[t[0]].service = UINT32_MAX;
	board_reclaim(board, 0);
	board_sum(board, 3, &sum);
	assert_int_equal(sum.finished, 3);
}

static void
launcher_death_gives_back_all_workers_tickets(void **state)
{
	struct ticket_pool pools[3];

	(void)state;
	for (uint32_t w = 0; w < 3; w++) {
		ticket_pool_init(&pools[w], board, w);
		assert_true(ticket_adopt(board,
		    admit(&pools[w], w, BOARD_NO_SOURCE), w, BOARD_LAUNCHER));
	}
	board_reclaim(board, BOARD_LAUNCHER);
	for (uint32_t w = 0; w < 3; w++)
		assert_int_equal(board->services[w].active, 0);
}

static void
partition_runs_out_and_recovers(void **state)
{
	struct ticket_pool pool;
	uint32_t t = 0;

	(void)state;
	ticket_pool_init(&pool, board, 1);
	for (uint32_t i = 0; i < BOARD_TICKETS; i++) {
		t = ticket_new(&pool, 0, BOARD_NO_SOURCE);
		assert_true(t >= BOARD_TICKETS && t < 2 * BOARD_TICKETS);
	}
	assert_int_equal(ticket_new(&pool, 0, BOARD_NO_SOURCE), BOARD_NO_TICKET);
	ticket_release(board, t, 1);
	assert_int_equal(ticket_new(&pool, 0, BOARD_NO_SOURCE), t);
}

static void
churn_stays_in_few_pages(void **state)
{
	struct ticket_pool pool;
	uint32_t highest = 0;

	(void)state;
	ticket_pool_init(&pool, board, 0);
	/* Released by the launcher, so the pool is not told. */
	for (int i = 0; i < 100000; i++) {
		uint32_t t = ticket_new(&pool, 0, BOARD_NO_SOURCE);

		highest = t > highest ? t : highest;
		assert_true(ticket_adopt(board, t, 0, BOARD_LAUNCHER));
		ticket_release(board, t, BOARD_LAUNCHER);
	}
	assert_true(highest < 512);
}

static void
foreign_files_are_not_a_board(void **state)
{
	struct board *other = NULL;
	int fd;

	(void)state;
	assert_int_equal(board_map(board_fd, &other), 0);
	other->services[9].active = 3;
	assert_int_equal(board->services[9].active, 3);
	board_unmap(other);
	fd = memfd_create("small", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(board_map(fd, &other), -EBADMSG);
	assert_int_equal(ftruncate(fd, sizeof(struct board)), 0);
	assert_int_equal(board_map(fd, &other), -EBADMSG); /* no magic */
	fd_close(fd);
	assert_int_equal(
	    ftruncate(board_fd, 0), -1); /* nobody can pull it away */
}

static void
sums_cover_all_roles(void **state)
{
	struct board_counters sum;

	(void)state;
	board_use_worker(board, 63);
	board->counters[0][7].accepted = 5;
	board->counters[63][7].accepted = 6;
	board->counters[BOARD_LAUNCHER][7].failed = 2;
	board->counters[1][7].refused[BOARD_REFUSALS - 1] = 9;
	board_sum(board, 7, &sum);
	assert_int_equal(sum.accepted, 11);
	assert_int_equal(sum.failed, 2);
	assert_int_equal(sum.refused[BOARD_REFUSALS - 1], 9);
	assert_int_equal(sum.bytes_in, 0);
}

/* What nobody has counted in yet is not looked at: to read a page is to have it. */
static void
sums_of_a_fresh_board_cost_no_pages(void **state)
{
	struct board_counters sum;
	struct stat before, after;

	(void)state;
	board_sum(board, 7, &sum); /* the launcher's own */
	assert_int_equal(fstat(board_fd, &before), 0);
	board_use_worker(board, 1);
	board_sum(board, 7, &sum);
	assert_int_equal(fstat(board_fd, &after), 0);
	assert_int_equal(sum.accepted, 0);
	assert_in_range(after.st_blocks - before.st_blocks, 0, 4 * 4096 / 512);
	assert_in_range(before.st_blocks, 0, 8 * 4096 / 512);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    tickets_come_back_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    launcher_adopts_unless_reclaimed, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    given_up_connections_have_finished, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    launcher_death_gives_back_all_workers_tickets, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    partition_runs_out_and_recovers, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    churn_stays_in_few_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    foreign_files_are_not_a_board, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    sums_cover_all_roles, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    sums_of_a_fresh_board_cost_no_pages, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
