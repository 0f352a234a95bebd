/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scoreboard's memory, its tickets and giving back what a dead role held.
 * Every process maps it; only the supervisor creates and reclaims.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "stats/board.h"

#define BOARD_MAGIC 0x63616231u /* "cab1" */

_Static_assert(sizeof(struct board_service) == 64, "one cache line per service");
_Static_assert(sizeof(struct board_role) == 64, "one cache line per role");

static int
board_mmap(int fd, struct board **ret)
{
	void *p = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	/* Core dumps and forks have no use for it. */
	(void)madvise(p, sizeof(struct board), MADV_DONTDUMP);
	*ret = p;
	return 0;
}

int
board_create(struct board **ret)
{
	struct board *board = NULL;
	int fd, r;

	fd = memfd_create("cabinetd-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	/* Nobody may shrink it: a role would die of SIGBUS. */
	if (ftruncate(fd, sizeof(struct board)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		r = -errno;
		goto fail;
	}
	r = board_mmap(fd, &board);
	if (r < 0)
		goto fail;
	if (getrandom(board->hash_key, sizeof(board->hash_key), 0) !=
	    (ssize_t)sizeof(board->hash_key)) {
		r = -EIO;
		goto fail;
	}
	board->magic = BOARD_MAGIC;
	board->size_check = (uint32_t)sizeof(struct board);
	*ret = board;
	return fd;
fail:
	board_unmap(board);
	fd_close(fd);
	return r;
}

int
board_map(int fd, struct board **ret)
{
	struct board *board;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)sizeof(struct board))
		return -EBADMSG;
	r = board_mmap(fd, &board);
	if (r < 0)
		return r;
	if (board->magic != BOARD_MAGIC ||
	    board->size_check != (uint32_t)sizeof(struct board)) {
		board_unmap(board);
		return -EBADMSG;
	}
	*ret = board;
	return 0;
}

void
board_unmap(struct board *board)
{
	if (board)
		munmap(board, sizeof(*board));
}

void
ticket_pool_init(struct ticket_pool *pool, struct board *board, uint32_t slot)
{
	*pool = (struct ticket_pool){ .board = board, .slot = slot, .high = 256 };
}

/* The next candidate, or BOARD_NO_TICKET to say that the search is over. */
static uint32_t
ticket_candidate(struct ticket_pool *pool, uint32_t tries)
{
	uint32_t base = pool->slot * BOARD_TICKETS;

	if (pool->n_cached)
		return pool->cached[--pool->n_cached];
	/* A launcher gives tickets back behind our back, so a short look at the
	 * used ones comes before touching new ones. */
	if (tries >= 64 && pool->high < BOARD_TICKETS) {
		pool->hand = pool->high;
		pool->high += 256;
		return base + pool->hand++;
	}
	if (tries >= BOARD_TICKETS)
		return BOARD_NO_TICKET;
	if (pool->hand >= pool->high)
		pool->hand = 0;
	return base + pool->hand++;
}

uint32_t
ticket_new(struct ticket_pool *pool, uint32_t service, uint32_t source)
{
	for (uint32_t tries = 0;; tries++) {
		uint32_t at = ticket_candidate(pool, tries);

		if (at == BOARD_NO_TICKET)
			return at;
		struct board_ticket *t = &pool->board->tickets[at];
		if (atomic_load_explicit(&t->owner, memory_order_acquire) != 0)
			continue;
		t->service = service;
		t->source = source;
		atomic_store_explicit(
		    &t->owner, pool->slot + 1, memory_order_release);
		return at;
	}
}

void
ticket_reuse(struct ticket_pool *pool, uint32_t ticket)
{
	if (pool->n_cached < sizeof(pool->cached) / sizeof(pool->cached[0]))
		pool->cached[pool->n_cached++] = ticket;
}

bool
ticket_adopt(
    struct board *board, uint32_t ticket, uint32_t from_slot, uint32_t to_slot)
{
	uint32_t expected = from_slot + 1;

	if (ticket >= BOARD_WORKERS * BOARD_TICKETS)
		return false;
	return atomic_compare_exchange_strong(
	    &board->tickets[ticket].owner, &expected, to_slot + 1);
}

uint64_t
ticket_release(struct board *board, uint32_t ticket, uint32_t slot)
{
	struct board_ticket *t;
	uint32_t expected = slot + 1, service, source;

	if (ticket >= BOARD_WORKERS * BOARD_TICKETS)
		return 0;
	t = &board->tickets[ticket];
	service = t->service;
	source = t->source;
	if (!atomic_compare_exchange_strong(&t->owner, &expected, 0))
		return 0;
	if (source < BOARD_SOURCE_SETS * BOARD_SOURCE_WAYS)
		board_drop(&board->sources[source].active);
	if (service >= BOARD_SERVICES)
		return 0;
	board_drop(&board->services[service].active);
	/* A worker sets its bit before it looks at the count again, so one of the two sees the other. */
	if (atomic_load(&board->services[service].waiters) == 0)
		return 0;
	return atomic_exchange(&board->services[service].waiters, 0);
}

uint64_t
board_reclaim(struct board *board, uint32_t slot)
{
	uint64_t wake = 0;

	/* The launcher holds tickets of every worker's partition, a worker only its own. */
	uint32_t from = slot < BOARD_WORKERS ? slot * BOARD_TICKETS : 0;
	uint32_t to = slot < BOARD_WORKERS ? from + BOARD_TICKETS :
					     BOARD_WORKERS * BOARD_TICKETS;

	for (uint32_t i = from; i < to; i++)
		if (atomic_load_explicit(&board->tickets[i].owner,
			memory_order_relaxed) == slot + 1)
			wake |= ticket_release(board, i, slot);
	atomic_store(&board->roles[slot].connections, 0);
	return wake;
}

void
board_sum(const struct board *board, uint32_t service, struct board_counters *ret)
{
	uint64_t *sum = (uint64_t *)ret;

	*ret = (struct board_counters){ 0 };
	for (unsigned r = 0; r < BOARD_ROLES; r++) {
		const uint64_t *one = (const uint64_t *)&board->counters[r][service];

		for (size_t i = 0; i < sizeof(*ret) / sizeof(uint64_t); i++)
			sum[i] += __atomic_load_n(&one[i], __ATOMIC_RELAXED);
	}
}
