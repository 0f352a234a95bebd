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

#include "base/addr.h"

#define BOARD_WORKERS     64            /* most workers */
#define BOARD_LAUNCHER    BOARD_WORKERS /* role slot of the launcher */
#define BOARD_ROLES       (BOARD_WORKERS + 1)
#define BOARD_SERVICES    4096  /* service slots */
#define BOARD_TICKETS     65536 /* tickets per worker slot */
#define BOARD_SOURCE_SETS 8192  /* x 8 ways */
#define BOARD_SOURCE_WAYS 8
#define BOARD_FLOOD_SETS  64 /* x 8 ways */
#define BOARD_FLOOD_WAYS  8
#define BOARD_FLOODS      (BOARD_FLOOD_SETS * BOARD_FLOOD_WAYS)
#define BOARD_REFUSALS    8 /* >= CAB_REFUSED_MAX */
#define BOARD_BUCKETS     10 /* of durations, see board_bucket_us */
#define BOARD_CODES       16 /* protocol errors told apart, the last for all others */

/* Why a connection that has finished well left no record. */
enum board_unlogged {
	BOARD_UNLOGGED_SAMPLE, /* log.sample */
	BOARD_UNLOGGED_QUIET,  /* log.quiet_from */
	BOARD_UNLOGGED
};

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
	uint64_t durations[BOARD_BUCKETS]; /* finished connections, by their length */
	uint64_t duration_us;              /* of all of them together */
	uint64_t unlogged[BOARD_UNLOGGED]; /* finished well, left out of the log */
};

/* Protocol errors of one service in one role under one reply code; 0: others. */
struct board_code {
	uint64_t code, count;
};
struct board_codes {
	struct board_code v[BOARD_CODES];
};

enum board_flag {
	BOARD_DRAINING = 1 /* new clients are refused */
};

/* One service over all roles. */
struct board_service {
	_Atomic uint32_t active; /* places taken */
	_Atomic uint32_t flags;  /* enum board_flag; the supervisor's */
	_Atomic uint64_t
	    waiters; /* bit per worker that stopped accepting until a place is free */
	_Atomic uint64_t rate_tat; /* see access/rate.h */
	uint8_t pad[40];
};

enum board_label_flag {
	BOARD_LABEL_ENABLED = 1,
	BOARD_LABEL_STREAMS = 2,
	BOARD_LABEL_DATAGRAMS = 4,
	BOARD_LABEL_PROGRAM = 8
};

/* Which service has the slot; written by the supervisor alone. */
struct board_label {
	_Atomic uint32_t used; /* 0: none, or being written */
	uint32_t flags;        /* enum board_label_flag */
	char name[68];         /* terminated */
	char protocol[20];     /* terminated, perhaps cut; "exec" for a program */
};

/* One source of one service. */
struct board_source {
	_Atomic uint64_t
	    key; /* keyed hash of service and source; 0: empty, 1: being replaced */
	_Atomic uint64_t rate_tat;
	_Atomic uint32_t active;
	_Atomic uint32_t spare;
};

/*
 * Refusals of one network by one service, as far as they are not logged one by
 * one; see access/flood.h.
 */
struct board_flood {
	_Atomic uint64_t
	    key; /* keyed hash of service and network; 0: empty, 1: being filled in */
	_Atomic uint64_t window_ms; /* since when logged counts */
	_Atomic uint64_t last_ms;   /* the last refusal */
	_Atomic uint64_t begin_ms;  /* of the flood; 0: there is none */
	_Atomic uint64_t since_ms;  /* of what no summary has told yet; 0: nothing */
	_Atomic uint64_t total;     /* of the flood, as far as told */
	_Atomic uint32_t logged;    /* one by one */
	_Atomic uint32_t held;      /* not told yet */
	_Atomic uint32_t reasons;   /* of these: bit per enum cab_refusal */
	uint32_t service;           /* service slot */
	uint32_t bits;              /* of the network */
	struct cab_peer network;
};

/*
 * A place held: who holds it, what has to be given back, and whose connection it
 * is, so that it is known even while the role that holds it is stuck.
 */
struct board_ticket {
	_Atomic uint32_t owner; /* role slot + 1; 0: free */
	uint32_t service;       /* service slot */
	uint32_t source;        /* index into the sources, or BOARD_NO_SOURCE */
	_Atomic int32_t pid;    /* of the program, 0: none yet */
	_Atomic uint64_t conn_id; /* 0: the rest is not filled in */
	uint64_t start_ms;        /* monotonic */
	struct cab_peer peer;
};
#define BOARD_NO_SOURCE UINT32_MAX
#define BOARD_NO_TICKET UINT32_MAX

/* In place of a generation: no new clients are served in it, so balance.c leaves it out. */
#define BOARD_DISMISSED UINT32_MAX

struct board_role {
	_Atomic uint64_t beat_ms;     /* monotonic time of the last loop turn */
	_Atomic uint32_t connections; /* open in this role */
	_Atomic uint32_t generation; /* in use, its low half; or BOARD_DISMISSED */
	_Atomic uint32_t tickets;     /* of this slot's, those below have been used */
	_Atomic uint32_t restarts;    /* after it had died; the supervisor's */
	_Atomic uint64_t log_dropped; /* records that the log could not take */
	_Atomic uint64_t started_us;  /* monotonic; the supervisor's, as is this: */
	_Atomic uint32_t linked;      /* the worker's link to the launcher is whole */
	uint8_t pad[20];
};

/* What the supervisor tells about the daemon as a whole. */
struct board_daemon {
	_Atomic uint64_t started_ms; /* wall clock */
	_Atomic uint64_t started_us; /* the same, monotonic */
	_Atomic uint64_t generation;
	_Atomic uint64_t reloads, reload_failures;
	_Atomic uint64_t log_dropped;
	_Atomic uint32_t workers; /* highest slot that was ever used, plus one */
	_Atomic uint32_t labels;  /* labels below this have been used */
	_Atomic uint64_t announced;   /* the last generation that roles have heard of */
	_Atomic uint64_t supervisors; /* how many have had this scoreboard */
	_Atomic uint64_t hangs;       /* roles that were ended because they hung */
	_Atomic uint32_t left; /* by a supervisor that wants its roles to be replaced */
};

struct board {
	uint32_t magic, size_check;
	uint8_t hash_key[16];
	struct board_role roles[BOARD_ROLES];
	struct board_service services[BOARD_SERVICES];
	struct board_source sources[BOARD_SOURCE_SETS * BOARD_SOURCE_WAYS];
	struct board_ticket tickets[BOARD_WORKERS * BOARD_TICKETS];
	struct board_counters counters[BOARD_ROLES][BOARD_SERVICES];
	struct board_codes codes[BOARD_ROLES][BOARD_SERVICES];
	/* What a slot had counted before the service that has it now. */
	struct board_counters base[BOARD_SERVICES];
	struct board_codes base_codes[BOARD_SERVICES];
	struct board_flood floods[BOARD_FLOODS + 1]; /* the last: of all who found no place */
	_Atomic uint32_t floods_used;
	struct board_daemon daemon;
	struct board_label labels[BOARD_SERVICES];
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

/* Says whose connection it is; the caller has just got the ticket. */
void ticket_describe(struct board *board, uint32_t ticket, uint64_t conn_id,
    const struct cab_peer *peer, uint64_t now_ms);

/* A ticket as others see it. */
struct ticket_view {
	uint32_t owner; /* role slot */
	uint32_t service;
	int32_t pid;
	uint64_t conn_id, start_ms;
	struct cab_peer peer;
};

/* False when the ticket is free or its connection not known (yet). */
bool ticket_look(
    const struct board *board, uint32_t ticket, struct ticket_view *ret);

/* The top bits of a connection's number are the slot of the worker that gave it. */
#define BOARD_CONN_SHIFT 58
static inline uint32_t
board_conn_slot(uint64_t conn_id)
{
	return (uint32_t)(conn_id >> BOARD_CONN_SHIFT);
}

/* How many tickets of a worker's partition have ever been used. */
uint32_t ticket_used(const struct board *board, uint32_t slot);

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

/*
 * The same for a connection that comes to nothing in the calling role, which
 * counts it as finished.
 */
uint64_t ticket_give_up(struct board *board, uint32_t ticket, uint32_t slot);

/* Gives back all that a dead role held, for it; returns the mask of workers to wake.
 * Supervisor only, after the role is gone. */
uint64_t board_reclaim(struct board *board, uint32_t slot);

/* ---- counters ---- */

/* Upper bounds of the buckets of durations; the last bucket has none. */
extern const uint64_t board_bucket_us[BOARD_BUCKETS - 1];

/* A connection of this length has finished. */
static inline void
board_count_finished(struct board_counters *count, uint64_t us)
{
	unsigned i = 0;

	count->finished++;
	while (i < BOARD_BUCKETS - 1 && us > board_bucket_us[i])
		i++;
	count->durations[i]++;
	count->duration_us += us;
}

/* Counts a protocol error; codes must be those of the calling role. */
void board_count_code(struct board_codes *codes, unsigned code);

/* Sum of one service's counters over all roles, since board_renew. */
void board_sum(
    const struct board *board, uint32_t service, struct board_counters *ret);

/* The same for its errors: at most cap codes, in order; returns how many. */
size_t board_sum_codes(const struct board *board, uint32_t service,
    struct board_code *ret, size_t cap);

/*
 * The slot gets another service: counts from nothing, with no flag.  Supervisor
 * only, before any role serves it.
 */
void board_renew(struct board *board, uint32_t service);

/* The slot is going to be used by a worker (or is the launcher's).  Supervisor only. */
void board_use_worker(struct board *board, uint32_t slot);

/* ---- labels ---- */

/* Writes (with name) or clears (NULL) the label of a slot.  Supervisor only. */
void board_label(struct board *board, uint32_t service, const char *name,
    const char *protocol, uint32_t flags);

/* False when no service has the slot. */
bool board_label_look(
    const struct board *board, uint32_t service, struct board_label *ret);

/* Words for enum cab_refusal, as labels of metrics; NULL where there is none. */
extern const char *const board_reasons[BOARD_REFUSALS];

#endif
