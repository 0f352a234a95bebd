/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the launcher share: the role's state, its loop, the kept
 * configurations, and the programs that run.  Private to launcher/.
 */
#ifndef CAB_LAUNCHER_STATE_H
#define CAB_LAUNCHER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/pool.h"
#include "base/timer.h"
#include "conf/model.h"
#include "ipc/msg.h"
#include "launcher/spawn.h"
#include "stats/board.h"

struct launcher;

/* Something with a descriptor in the epoll set. */
struct source {
	void (*ready)(struct launcher *l, struct source *source, uint32_t events);
	void (*release)(struct launcher *l, struct source *source); /* see source_bury */
	struct source *next_dead;
	int fd;
};

struct alarm {
	struct cab_timer timer; /* first */
	void (*ring)(struct launcher *l, struct alarm *alarm);
};

/* The pair to one worker. */
struct link {
	struct source source; /* first; fd -1: no link */
	uint32_t slot;
	bool held; /* a connection waits for the configuration that it belongs to */
	struct msg_run run;
	int run_fd;
};

/* What is remembered of a service by its name, over all configurations. */
struct service_state {
	struct service_state *next;
	unsigned refs;
	uint64_t retry_ms;  /* after a failed start: not before this */
	uint32_t spacing_ms; /* the last wait; 0: the last start worked */
	struct cab_log_gate exits, lines, failures, refusals;
	uint64_t sampled; /* program ends that log.sample has counted */
	char name[];
};

/* A program service of one configuration. */
struct program_service {
	const struct cab_service *conf; /* NULL: not a program */
	struct service_state *state;
	struct child_plan plan; /* all but environment and descriptors */
	char **argv;
	uint32_t slot; /* scoreboard service slot, UINT32_MAX: not told */
	uint64_t drain_ms; /* it is another one now, or gone: when its programs are ended; 0: not so */
};

struct generation {
	struct generation *next; /* older */
	uint64_t number;
	unsigned refs; /* programs and listening sockets of it */
	struct cab_conf *conf;
	size_t n_services;
	struct program_service services[];
};

/* A listening socket that a program takes over. */
struct waiting {
	struct source source; /* first */
	struct waiting *next;
	uint64_t inode;       /* the same socket under any number */
	struct generation *gen;
	struct program_service *service;
	struct program *program; /* it has the socket now */
	struct alarm pause;
	uint64_t started_ms;
	unsigned quick; /* programs in a row that ended soon and left the socket readable */
	bool retired;   /* not part of the newest configuration */
	bool seen;      /* mark of the commit in progress */
};

/* A running program. */
struct program {
	struct program *next; /* in its hash chain */
	pid_t pid;
	struct generation *gen;
	struct program_service *service;
	struct waiting *waiting; /* NULL: one connection */
	struct output *output;   /* its stderr, NULL when at its end */
	uint32_t slot, ticket;
	uint64_t conn_id;
	struct cab_peer peer;  /* as it is logged; AF_UNSPEC with waiting */
	struct cab_peer local;
	bool quiet; /* the peer stands in log.quiet_from */
	uint64_t started_ns;
	struct alarm limit;
	unsigned told; /* 0, then 1: SIGTERM sent, 2: SIGKILL sent */
	const struct end_reason *why; /* it was told; NULL: it was not */
};

#define PROGRAM_BUCKETS 1024
#define LAUNCHER_FDS    96 /* descriptors that are not outputs */

struct launcher {
	int epoll, null_fd;
	struct source channel, signals;
	struct source *dead; /* freed at the end of the turn */
	struct board *board;
	uint32_t slot;
	struct cab_wheel wheel;
	struct link links[BOARD_WORKERS];
	int wakes[BOARD_WORKERS];
	bool links_paused;

	const struct cab_desc *const *descs;
	struct spawn_self self;
	char *const *environment;
	struct service_state *states;
	struct generation *generations; /* the newest first */
	struct generation *pending;     /* not yet committed */
	struct waiting *pending_waits, *waits;

	struct program *buckets[PROGRAM_BUCKETS];
	unsigned n_programs;
	struct cab_pool *program_pool, *output_pool;
	struct output *orphans; /* outputs whose program has ended, oldest first */
	unsigned n_outputs, n_orphans, max_outputs;

	uint64_t had_permitted, had_bounding; /* at the start */
	struct cab_log_gate link_gate;
	struct alarm stop;  /* ends the patience with programs */
	struct alarm sweep; /* reports what the gates held back */
	unsigned stop_stage;
	bool retired; /* ends when there is nothing left to do */
	bool stopping, done;
};

/* ---- loop.c ---- */

int loop_open(struct launcher *l);
void loop_run(struct launcher *l);
void loop_close(struct launcher *l);

/* Into the epoll set and out of it: 0 or -errno. */
int source_watch(struct launcher *l, struct source *source, uint32_t events);
void source_unwatch(struct launcher *l, struct source *source);

/* Takes a source out and closes its descriptor; release(), if any, gets it when no event of this turn can name it any more. */
void source_bury(struct launcher *l, struct source *source);

void alarm_set(struct launcher *l, struct alarm *alarm, uint64_t in_ms);
void alarm_clear(struct launcher *l, struct alarm *alarm);

/* ---- generation.c ---- */

/*
 * Takes conf over, also on failure.  NULL, and *why (static or from text, at
 * most cap bytes) says what is wrong.
 */
struct generation *generation_new(struct launcher *l, struct cab_conf *conf, uint64_t number, char *why, size_t cap);
void generation_free(struct launcher *l, struct generation *gen);
struct generation *generation_find(struct launcher *l, uint64_t number);

/* Makes it the newest and drops those that nobody needs. */
void generation_use(struct launcher *l, struct generation *gen);
void generation_unref(struct launcher *l, struct generation *gen);

struct service_state *state_ref(struct service_state *state);
void state_unref(struct launcher *l, struct service_state *state);

#endif
