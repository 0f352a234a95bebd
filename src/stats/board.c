/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scoreboard's memory, its tickets and giving back what a dead role held.
 * Every process maps it; only the supervisor creates and reclaims.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "stats/board.h"

#define BOARD_MAGIC 0x63616231u /* "cab1" */

_Static_assert(sizeof(struct board_service) == 64, "one cache line per service");
_Static_assert(sizeof(struct board_role) == 64, "one cache line per role");
_Static_assert(sizeof(struct board_ticket) <= 64, "one cache line per ticket");

const uint64_t board_bucket_us[BOARD_BUCKETS - 1] = { 5000, 25000, 100000, 500000,
	2500000, 10000000, 60000000, 300000000, 3600000000 };

const char *const board_reasons[BOARD_REFUSALS] = { "access", "connections",
	"per_source", "rate", "per_source_rate", "shutdown", "resources" };

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
	uint32_t high = ticket_used(board, slot);

	*pool = (struct ticket_pool){ .board = board,
		.slot = slot,
		/* The launcher may still hold some of a worker that died. */
		.high = high > 256 ? high : 256 };
	atomic_store(&board->roles[slot].tickets, pool->high);
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
		atomic_store_explicit(&pool->board->roles[pool->slot].tickets,
		    pool->high, memory_order_relaxed);
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
		atomic_store_explicit(&t->conn_id, 0, memory_order_relaxed);
		atomic_store_explicit(&t->pid, 0, memory_order_relaxed);
		atomic_store_explicit(
		    &t->owner, pool->slot + 1, memory_order_release);
		return at;
	}
}

void
ticket_describe(struct board *board, uint32_t ticket, uint64_t conn_id,
    const struct cab_peer *peer, uint64_t now_ms)
{
	struct board_ticket *t = &board->tickets[ticket];

	t->start_ms = now_ms;
	t->peer = *peer;
	atomic_store_explicit(&t->conn_id, conn_id, memory_order_release);
}

bool
ticket_look(const struct board *board, uint32_t ticket, struct ticket_view *ret)
{
	const struct board_ticket *t = &board->tickets[ticket];
	uint32_t owner = atomic_load_explicit(&t->owner, memory_order_acquire);
	uint64_t id = atomic_load_explicit(&t->conn_id, memory_order_acquire);
	struct ticket_view view = { .owner = owner - 1,
		.service = t->service,
		.pid = atomic_load_explicit(&t->pid, memory_order_relaxed),
		.conn_id = id,
		.start_ms = t->start_ms,
		.peer = t->peer };

	/* No number is used twice: if it has stayed, so has what it belongs to. */
	atomic_thread_fence(memory_order_acquire);
	if (owner == 0 || owner > BOARD_ROLES || id == 0 ||
	    view.service >= BOARD_SERVICES ||
	    atomic_load_explicit(&t->conn_id, memory_order_relaxed) != id ||
	    atomic_load_explicit(&t->owner, memory_order_relaxed) != owner)
		return false;
	*ret = view;
	return true;
}

uint32_t
ticket_used(const struct board *board, uint32_t slot)
{
	uint32_t n = atomic_load_explicit(
	    &board->roles[slot].tickets, memory_order_relaxed);

	return n < BOARD_TICKETS ? n : BOARD_TICKETS;
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
ticket_give_up(struct board *board, uint32_t ticket, uint32_t slot)
{
	const struct board_ticket *t;
	uint64_t now = clock_ms(), start;
	uint32_t service;

	if (ticket >= BOARD_WORKERS * BOARD_TICKETS)
		return 0;
	t = &board->tickets[ticket];
	if (atomic_load_explicit(&t->owner, memory_order_relaxed) != slot + 1)
		return 0;
	/* Read once: the supervisor does this too, and a worker may write there. */
	service = __atomic_load_n(&t->service, __ATOMIC_RELAXED);
	start = t->start_ms;
	/* Without a number it has not been counted as accepted either. */
	if (atomic_load_explicit(&t->conn_id, memory_order_relaxed) != 0 &&
	    service < BOARD_SERVICES)
		board_count_finished(&board->counters[slot][service],
		    now > start ? (now - start) * 1000 : 0);
	return ticket_release(board, ticket, slot);
}

/* Of one worker's partition, which only as far as it has been used has pages. */
static uint64_t
reclaim_partition(struct board *board, uint32_t partition, uint32_t slot)
{
	uint32_t from = partition * BOARD_TICKETS,
		 to = from + ticket_used(board, partition);
	uint64_t wake = 0;

	for (uint32_t i = from; i < to; i++)
		wake |= ticket_give_up(board, i, slot);
	return wake;
}

uint64_t
board_reclaim(struct board *board, uint32_t slot)
{
	uint64_t wake = 0;

	/* The launcher holds tickets of every worker's partition, a worker only its own. */
	if (slot < BOARD_WORKERS)
		wake = reclaim_partition(board, slot, slot);
	else
		for (uint32_t i = 0; i < BOARD_WORKERS; i++)
			wake |= reclaim_partition(board, i, slot);
	atomic_store(&board->roles[slot].connections, 0);
	return wake;
}

/* ---- counters ---- */

void
board_count_code(struct board_codes *codes, unsigned code)
{
	struct board_code *at = codes->v, *last = at + BOARD_CODES - 1;

	/* Entries are taken in order and never given back. */
	while (at < last && at->code != code && at->code != 0)
		at++;
	if (at < last && at->code == 0)
		__atomic_store_n(&at->code, code, __ATOMIC_RELAXED);
	__atomic_store_n(&at->count, at->count + 1, __ATOMIC_RELAXED);
}

/* Whether a role slot can ever have counted: pages of others are not touched. */
static bool
has_counted(const struct board *board, unsigned role)
{
	unsigned workers = atomic_load(&board->daemon.workers);

	return role == BOARD_LAUNCHER || role < workers;
}

/* Everything ever counted in the slot. */
static void
sum_all(const struct board *board, uint32_t service, uint64_t *sum, size_t n)
{
	for (unsigned r = 0; r < BOARD_ROLES; r++) {
		const uint64_t *one = (const uint64_t *)&board->counters[r][service];

		for (size_t i = 0; has_counted(board, r) && i < n; i++)
			sum[i] += __atomic_load_n(&one[i], __ATOMIC_RELAXED);
	}
}

#define WORDS (sizeof(struct board_counters) / sizeof(uint64_t))

void
board_sum(const struct board *board, uint32_t service, struct board_counters *ret)
{
	const uint64_t *base = (const uint64_t *)&board->base[service];
	uint64_t *sum = (uint64_t *)ret;

	*ret = (struct board_counters){ 0 };
	sum_all(board, service, sum, WORDS);
	for (size_t i = 0; i < WORDS; i++)
		sum[i] -= base[i];
}

/* Adds to (or takes from) the list of codes; what does not fit is left out. */
static size_t
add_code(struct board_code *list, size_t n, size_t cap, struct board_code one)
{
	size_t i = 0;

	while (i < n && list[i].code < one.code)
		i++;
	if (i < n && list[i].code == one.code) {
		list[i].count += one.count;
		return n;
	}
	if (one.count == 0 || n == cap)
		return n;
	for (size_t k = n; k > i; k--)
		list[k] = list[k - 1];
	list[i] = one;
	return n + 1;
}

static size_t
add_codes(struct board_code *list, size_t n, size_t cap,
    const struct board_codes *codes, bool less)
{
	for (size_t i = 0; i < BOARD_CODES; i++) {
		struct board_code one = {
			.code = __atomic_load_n(
			    &codes->v[i].code, __ATOMIC_RELAXED),
			.count = __atomic_load_n(
			    &codes->v[i].count, __ATOMIC_RELAXED),
		};

		if (less)
			one.count = -one.count;
		n = add_code(list, n, cap, one);
	}
	return n;
}

static size_t
sum_all_codes(const struct board *board, uint32_t service,
    struct board_code *ret, size_t cap)
{
	size_t n = 0;

	for (unsigned r = 0; r < BOARD_ROLES; r++)
		if (has_counted(board, r))
			n = add_codes(
			    ret, n, cap, &board->codes[r][service], false);
	return n;
}

size_t
board_sum_codes(const struct board *board, uint32_t service,
    struct board_code *ret, size_t cap)
{
	size_t n = sum_all_codes(board, service, ret, cap), kept = 0;

	n = add_codes(ret, n, cap, &board->base_codes[service], true);
	for (size_t i = 0; i < n; i++)
		if (ret[i].count != 0 && ret[i].count <= INT64_MAX)
			ret[kept++] = ret[i];
	return kept;
}

void
board_renew(struct board *board, uint32_t service)
{
	struct board_counters sum = { 0 };
	struct board_codes codes = { 0 };
	const uint64_t *words = (const uint64_t *)&sum;
	bool any = false;

	atomic_store(&board->services[service].flags, 0);
	sum_all(board, service, (uint64_t *)&sum, WORDS);
	for (size_t i = 0; i < WORDS; i++)
		any |= words[i] != 0;
	/* Most slots are new: their pages stay untouched. */
	if (!any)
		return;
	sum_all_codes(board, service, codes.v, BOARD_CODES);
	board->base[service] = sum;
	board->base_codes[service] = codes;
}

void
board_use_worker(struct board *board, uint32_t slot)
{
	if (slot < BOARD_WORKERS && slot >= atomic_load(&board->daemon.workers))
		atomic_store(&board->daemon.workers, slot + 1);
}

/* ---- labels ---- */

void
board_label(struct board *board, uint32_t service, const char *name,
    const char *protocol, uint32_t flags)
{
	struct board_label *label = &board->labels[service];

	atomic_store(&label->used, 0);
	if (name == NULL)
		return;
	label->flags = flags;
	snprintf(label->name, sizeof(label->name), "%s", name);
	snprintf(label->protocol, sizeof(label->protocol), "%s", protocol);
	atomic_store(&label->used, 1);
	if (service >= atomic_load(&board->daemon.labels))
		atomic_store(&board->daemon.labels, service + 1);
}

bool
board_label_look(
    const struct board *board, uint32_t service, struct board_label *ret)
{
	const struct board_label *label = &board->labels[service];

	if (atomic_load(&label->used) == 0)
		return false;
	ret->flags = label->flags;
	/* A role gone wrong may have written here too: ends are our own. */
	snprintf(ret->name, sizeof(ret->name), "%.*s",
	    (int)sizeof(label->name) - 1, label->name);
	snprintf(ret->protocol, sizeof(ret->protocol), "%.*s",
	    (int)sizeof(label->protocol) - 1, label->protocol);
	atomic_thread_fence(memory_order_acquire);
	atomic_store(&ret->used, 1);
	return atomic_load(&label->used) != 0;
}
