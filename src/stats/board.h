/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scoreboard: one shared memory file that every role maps.  Counters are
 * written by one role slot each (plain stores, no atomic read-modify-write);
 * what must hold across roles (places, sources, tickets) is atomic.  A role
 * that died gives everything back by board_reclaim, called by the supervisor.
 */
#ifndef CAB_STATS_BOARD_H
#define CAB_STATS_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BOARD_WORKERS     64            /* most workers */
#define BOARD_LAUNCHER    BOARD_WORKERS /* role slot of the launcher */
#define BOARD_ROLES       (BOARD_WORKERS + 1)
#define BOARD_SERVICES    4096  /* service slots */
#define BOARD_TICKETS     65536 /* tickets per worker slot */
#define BOARD_SOURCE_SETS 8192  /* x 8 ways */
#define BOARD_SOURCE_WAYS 8
#define BOARD_REFUSALS    8 /* >= CAB_REFUSED_MAX */

/* Counters of one service in one role; each is written by that role alone. */
struct board_counters {
	uint64_t accepted; /* stream connections admitted */
	uint64_t finished;
	uint64_t refused[BOARD_REFUSALS]; /* by enum cab_refusal */
	uint64_t bytes_in, bytes_out;
	uint64_t datagrams_in, datagrams_out, datagrams_dropped;
	uint64_t errors; /* protocol errors */
	uint64_t started, exited,
	    failed; /* programs: started, ended, could not be started or ended badly */
};

/* One service over all roles. */
struct board_service {
	_Atomic uint32_t active; /* places taken */
	_Atomic uint32_t spare;
	_Atomic uint64_t
	    waiters; /* bit per worker that stopped accepting until a place is free */
	_Atomic uint64_t rate_tat; /* see access/rate.h */
	uint8_t pad[40];
};

/* One source of one service. */
struct board_source {
	_Atomic uint64_t
	    key; /* keyed hash of service and source; 0: empty, 1: being replaced */
	_Atomic uint64_t rate_tat;
	_Atomic uint32_t active;
	_Atomic uint32_t spare;
};

/* A place held: who holds it and what has to be given back. */
struct board_ticket {
	_Atomic uint32_t owner; /* role slot + 1; 0: free */
	uint32_t service;       /* service slot */
	uint32_t source;        /* index into the sources, or BOARD_NO_SOURCE */
};
#define BOARD_NO_SOURCE UINT32_MAX
#define BOARD_NO_TICKET UINT32_MAX

struct board_role {
	_Atomic uint64_t beat_ms;     /* monotonic time of the last loop turn */
	_Atomic uint32_t connections; /* open in this role */
	_Atomic uint32_t generation;  /* low half of the generation in use */
	uint8_t pad[48];
};

struct board {
	uint32_t magic, size_check;
	uint8_t hash_key[16];
	struct board_role roles[BOARD_ROLES];
	struct board_service services[BOARD_SERVICES];
	struct board_source sources[BOARD_SOURCE_SETS * BOARD_SOURCE_WAYS];
	struct board_ticket tickets[BOARD_WORKERS * BOARD_TICKETS];
	struct board_counters counters[BOARD_ROLES][BOARD_SERVICES];
};

/* A fresh board in a memory file (sparse: pages cost nothing until used): descriptor or -errno. */
int board_create(struct board **ret);
/* Maps one received from the supervisor: 0, -EBADMSG if it is not a board of this build, -errno. */
int board_map(int fd, struct board **ret);
void board_unmap(struct board *board);

/* Lowers a shared count; never below zero, whatever a compromised worker wrote there. */
static inline void
board_drop(_Atomic uint32_t *count)
{
	uint32_t old = atomic_load(count);

	while (old > 0 && !atomic_compare_exchange_weak(count, &old, old - 1))
		;
}

/* ---- tickets ---- */

/* Private bookkeeping of one worker's partition of the tickets. */
struct ticket_pool {
	struct board *board;
	uint32_t slot; /* role slot of the worker */
	uint32_t high; /* tickets below this have been used: the rest are untouched pages */
	uint32_t hand; /* where the next search starts, below high */
	uint32_t n_cached;
	uint32_t cached[256];
};
void
ticket_pool_init(struct ticket_pool *pool, struct board *board, uint32_t slot);

/* Takes a free ticket of the worker's partition and fills it in; BOARD_NO_TICKET when none is left. */
uint32_t ticket_new(struct ticket_pool *pool, uint32_t service, uint32_t source);

/* Remembers a ticket of this partition that was just released, so that it is used again first. */
void ticket_reuse(struct ticket_pool *pool, uint32_t ticket);

/* The launcher takes over a ticket that a worker sent.  False when the supervisor
 * has reclaimed it meanwhile: then it must be admitted anew or refused. */
bool ticket_adopt(
    struct board *board, uint32_t ticket, uint32_t from_slot, uint32_t to_slot);

/*
 * Gives the place back: service and source counts drop by one and the ticket is
 * free.  Returns the bit mask of workers waiting for a place of that service (0:
 * none); the caller wakes them.  Exactly one caller wins, so a second release is harmless.
 */
uint64_t ticket_release(struct board *board, uint32_t ticket, uint32_t slot);

/* Gives back all that a dead role held; returns the mask of workers to wake.
 * Supervisor only, after the role is gone. */
uint64_t board_reclaim(struct board *board, uint32_t slot);

/* Sum of one service's counters over all roles. */
void board_sum(
    const struct board *board, uint32_t service, struct board_counters *ret);

#endif
