/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Floods of refusals: a few of each network one by one, the others summed up by
 * the minute and at the end, every one told exactly once, in a bounded table and
 * over several processes.  The clock is the test's own.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/flood.h"
#include "base/fd.h"

#define START UINT64_C(1000000)

static struct board *board;
static struct flood_summary told[BOARD_FLOODS + 1];
static size_t n_told;

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

static struct cab_peer
v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct cab_peer){ .family = AF_INET, .ip = { a, b, c, d } };
}

/* True when it is logged by itself. */
static bool
refuse(uint32_t service, struct cab_peer peer, unsigned why, uint64_t now)
{
	struct board_flood *flood = flood_find(
	    board, service, &peer, FLOOD_V6_BITS, now);

	if (flood_may_log(board, flood, now))
		return true;
	flood_hold(board, flood, why, now);
	return false;
}

static unsigned
refuse_many(uint32_t service, struct cab_peer peer, unsigned n, uint64_t now)
{
	unsigned logged = 0;

	while (n-- > 0)
		logged += refuse(service, peer, 1, now);
	return logged;
}

/* Collects what is due. */
static size_t
sweep(uint64_t now)
{
	uint32_t at = 0;

	n_told = 0;
	while (flood_due(board, &at, now, &told[n_told]))
		n_told++;
	return n_told;
}

static void
logs_the_first_one_by_one(void **state)
{
	(void)state;
	assert_false(flood_any(board));
	assert_int_equal(refuse_many(1, v4(192, 0, 2, 1), 3, START), 3);
	/* The same network, whoever it is; another service or network. */
	assert_int_equal(
	    refuse_many(1, v4(192, 0, 2, 99), 100, START), FLOOD_BURST - 3);
	assert_int_equal(
	    refuse_many(2, v4(192, 0, 2, 1), 100, START), FLOOD_BURST);
	assert_int_equal(
	    refuse_many(1, v4(192, 0, 3, 1), 100, START), FLOOD_BURST);
	assert_true(flood_any(board));
	/* A minute later as many again. */
	assert_int_equal(
	    refuse_many(1, v4(192, 0, 2, 1), 100, START + FLOOD_WINDOW_MS - 1),
	    0);
	assert_int_equal(
	    refuse_many(1, v4(192, 0, 2, 1), 100, START + FLOOD_WINDOW_MS),
	    FLOOD_BURST);
}

/* Ten a second for 200 s, looked at each second. */
static void
sums_up_by_the_minute(void **state)
{
	uint64_t held = 0, seen = 0, now = START;
	size_t summaries = 0;

	(void)state;
	for (; now < START + 200000; now += 1000) {
		if (sweep(now) > 0) {
			assert_int_equal(n_told, 1);
			assert_int_equal(told[0].ms, FLOOD_WINDOW_MS);
			assert_int_equal(told[0].service, 7);
			assert_int_equal(told[0].bits, 24);
			assert_memory_equal(told[0].network.ip,
			    ((uint8_t[]){ 203, 0, 113, 0 }), 4);
			assert_int_equal(
			    told[0].reasons, summaries == 0 ? 2 : 16);
			assert_false(told[0].ended || told[0].others);
			seen += told[0].count;
			assert_int_equal(seen, held);
			assert_int_equal(told[0].total, held);
			summaries++;
		}
		for (uint8_t i = 0; i < 10; i++)
			held += !refuse(7, v4(203, 0, 113, i),
			    summaries == 0 ? 1 : 4, now);
	}
	assert_int_equal(summaries, 3);
	assert_int_equal(sweep(now + FLOOD_QUIET_MS), 1);
	assert_true(told[0].ended);
	assert_int_equal(seen + told[0].count, held);
	assert_int_equal(told[0].total, held);
	assert_int_equal(told[0].total_ms, 199000);
}

static void
tells_the_end(void **state)
{
	(void)state;
	refuse_many(1, v4(192, 0, 2, 1), FLOOD_BURST + 20, START);
	refuse_many(1, v4(192, 0, 2, 1), 3, START + 2000);
	assert_int_equal(sweep(START + 2000 + FLOOD_QUIET_MS - 1), 0);
	assert_int_equal(sweep(START + 2000 + FLOOD_QUIET_MS), 1);
	assert_true(told[0].ended);
	assert_int_equal(told[0].count, 23);
	assert_int_equal(told[0].total, 23);
	assert_int_equal(told[0].ms, 2000);
	assert_int_equal(told[0].total_ms, 2000);
	assert_int_equal(sweep(START + 100000), 0);
	/* The network is forgotten: nobody has to look any more. */
	assert_false(flood_any(board));
}

/* It stopped just after a summary: then the end has no count of its own. */
static void
tells_the_end_after_a_summary(void **state)
{
	uint64_t now = START;

	(void)state;
	for (; now < START + FLOOD_WINDOW_MS; now += 2000)
		refuse_many(1, v4(192, 0, 2, 1), 10, now);
	assert_int_equal(sweep(now), 1);
	assert_false(told[0].ended);
	assert_int_equal(told[0].count, 300 - FLOOD_BURST);
	assert_int_equal(sweep(now + FLOOD_QUIET_MS), 1);
	assert_true(told[0].ended);
	assert_int_equal(told[0].count, 0);
	assert_int_equal(told[0].total, 300 - FLOOD_BURST);
	/* The next one counts from nothing. */
	refuse_many(1, v4(192, 0, 2, 1), 7, now + FLOOD_QUIET_MS);
	assert_int_equal(sweep(now + 3 * FLOOD_QUIET_MS), 1);
	assert_true(told[0].ended);
	assert_int_equal(told[0].total, 2);
}

static void
knows_networks_of_every_family(void **state)
{
	struct cab_peer peer = { .family = AF_INET6,
		.ip = { 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 9, 9, [15] = 1 },
		.port = 7,
		.scope = 2 };
	struct cab_peer local = { .family = AF_UNIX, .cred = { .uid = 1000 } };
	const uint8_t net64[16] = { 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2 };
	const uint8_t net48[16] = { 0x20, 0x01, 0x0d, 0xb8, 0, 1 };
	struct board_flood *a, *b;

	(void)state;
	a = flood_find(board, 1, &peer, 64, START);
	assert_memory_equal(a->network.ip, net64, 16);
	assert_int_equal(a->bits, 64);
	peer.ip[8]++;
	assert_ptr_equal(flood_find(board, 1, &peer, 64, START), a);
	peer.ip[7]++;
	assert_ptr_not_equal(flood_find(board, 1, &peer, 64, START), a);
	b = flood_find(board, 1, &peer, CAB_ANONYMOUS_V6, START);
	assert_memory_equal(b->network.ip, net48, 16);
	peer.ip[7]++;
	assert_ptr_equal(
	    flood_find(board, 1, &peer, CAB_ANONYMOUS_V6, START), b);
	a = flood_find(board, 1, &local, 64, START);
	local.cred.pid = 77;
	assert_ptr_equal(flood_find(board, 1, &local, 64, START), a);
	local.cred.uid++;
	assert_ptr_not_equal(flood_find(board, 1, &local, 64, START), a);
}

/* More networks than places: each refusal is told, by its network or among the others. */
static void
stays_bounded(void **state)
{
	uint64_t logged = 0, held = 0, seen = 0, others = 0;

	(void)state;
	for (unsigned i = 0; i < 4 * BOARD_FLOODS; i++)
		for (unsigned k = 0; k < 8; k++)
			if (refuse(1, v4(10, (uint8_t)(i >> 8), (uint8_t)i, 1),
				2, START))
				logged++;
			else
				held++;
	assert_true(logged <= (uint64_t)FLOOD_BURST * BOARD_FLOODS);
	assert_true(logged > (uint64_t)FLOOD_BURST * BOARD_FLOODS * 9 / 10);
	sweep(START + FLOOD_QUIET_MS);
	assert_in_range(n_told, BOARD_FLOODS * 9 / 10, BOARD_FLOODS + 1);
	for (size_t i = 0; i < n_told; i++) {
		seen += told[i].count;
		others += told[i].others;
		assert_true(told[i].ended);
		assert_true(!told[i].others || i == n_told - 1);
	}
	assert_int_equal(others, 1);
	assert_int_equal(seen, held);
	/* A minute of silence empties the table. */
	assert_int_equal(sweep(START + FLOOD_WINDOW_MS), 0);
	assert_false(flood_any(board));
	assert_int_equal(
	    refuse_many(1, v4(172, 16, 0, 1), 9, START + FLOOD_WINDOW_MS),
	    FLOOD_BURST);
}

/* Clocks of workers differ by a turn of their loops. */
static void
bears_a_clock_that_is_behind(void **state)
{
	(void)state;
	refuse_many(1, v4(192, 0, 2, 1), 20, START + 50);
	refuse_many(1, v4(192, 0, 2, 1), 20, START);
	assert_int_equal(sweep(START - 1000), 0);
	assert_int_equal(sweep(START + 50 + FLOOD_QUIET_MS), 1);
	assert_int_equal(told[0].count, 40 - FLOOD_BURST);
}

/* What a worker that was taken over may leave there must not hurt those who read it. */
static void
bears_any_memory(void **state)
{
	uint32_t seed = 12345;

	(void)state;
	for (int round = 0; round < 200; round++) {
		uint8_t *p = (uint8_t *)board->floods;

		for (size_t i = 0; i < sizeof(board->floods); i++) {
			seed = seed * 1103515245 + 12345;
			p[i] = (uint8_t)(seed >> 16);
		}
		sweep(START);
		refuse_many(round, v4(10, 0, (uint8_t)round, 1), 10, START);
		sweep(UINT64_MAX);
	}
}

/* Four workers refuse and look for summaries at once: nothing is told twice, nothing lost. */
static void
holds_over_processes(void **state)
{
	struct totals {
		_Atomic uint64_t logged, told, ended;
	} *sum = mmap(NULL, sizeof(*sum), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	enum { WORKERS = 4, EACH = 20000 };
	pid_t pids[WORKERS];
	int status;

	(void)state;
	assert_true(sum != MAP_FAILED);
	for (int w = 0; w < WORKERS; w++) {
		pids[w] = fork();
		assert_true(pids[w] >= 0);
		if (pids[w] > 0)
			continue;
		for (unsigned i = 0; i < EACH; i++) {
			uint64_t now = START + i * 10;

			sum->logged += refuse(
			    1, v4(10, 0, (uint8_t)(i % 3), 1), 1, now);
			if (i % 100 == 0)
				for (size_t k = 0, n = sweep(now); k < n; k++)
					sum->told += told[k].count;
		}
		_exit(0);
	}
	for (int w = 0; w < WORKERS; w++) {
		assert_int_equal(waitpid(pids[w], &status, 0), pids[w]);
		assert_int_equal(status, 0);
	}
	for (size_t k = 0, n = sweep(START + 10000000); k < n; k++)
		sum->told += told[k].count;
	assert_int_equal(sum->told + sum->logged, WORKERS * EACH);
	munmap(sum, sizeof(*sum));
}

#define flood_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		flood_test(logs_the_first_one_by_one),
		flood_test(sums_up_by_the_minute),
		flood_test(tells_the_end),
		flood_test(tells_the_end_after_a_summary),
		flood_test(knows_networks_of_every_family),
		flood_test(stays_bounded),
		flood_test(bears_a_clock_that_is_behind),
		flood_test(bears_any_memory),
		flood_test(holds_over_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
