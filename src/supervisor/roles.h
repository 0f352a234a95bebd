/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other processes: starting them from the supervisor's own binary, talking
 * to them, and starting them again when they die.  Supervisor only.
 */
#ifndef CAB_SUPERVISOR_ROLES_H
#define CAB_SUPERVISOR_ROLES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "stats/board.h"
#include "supervisor/batch.h"
#include "supervisor/spawn.h"

/* What the owner of the roles wants to know; called from the event loop. */
struct roles_watch {
	/* One more role uses the newest generation. */
	void (*ready)(void *arg);
	/* A role cannot use it; text is escaped. */
	void (*failed)(
	    void *arg, const char *role, uint64_t generation, const char *text);
	/* A role died before it used the newest generation, so many times now. */
	void (*died)(void *arg, const char *role, unsigned times);
	/* After roles_stop: the last one has gone. */
	void (*empty)(void *arg);
	void *arg;
};

struct roles_setup {
	sd_event *event;
	struct board *board; /* and its descriptor, which stays the caller's */
	int board_fd;
	uint64_t epoch;                 /* of the board, for names in the store */
	unsigned workers;               /* 1..BOARD_WORKERS */
	uint32_t log_target, log_level; /* for MSG_HELLO, as are these */
	uint32_t uid, gid, max_fds;
	pid_t (*spawn)(
	    const char *title, int channel); /* roles_spawn but in tests */
	struct roles_watch watch;
};

struct roles;

/* The table, with nothing started: 0 or -errno. */
int roles_new(struct roles **ret, const struct roles_setup *setup);

/*
 * Ends what it has started and still runs by SIGKILL, and waits for it; who was
 * taken over goes on.  Accepts NULL.
 */
void roles_free(struct roles *roles);

/* A process that our predecessor has left to us; all descriptors become ours. */
struct roles_found {
	const char *name; /* in the descriptor store */
	uint32_t slot;
	pid_t pid;
	int chan, pidfd;
};

/* Takes one over that goes on serving, with the same scoreboard. */
void roles_adopt(struct roles *roles, const struct roles_found *found);

/* All that go on have been adopted: brings them in line. */
void roles_adopted(struct roles *roles);

/* Takes one over that is to serve no more, as roles_retire will tell it. */
void roles_inherit(struct roles *roles, const struct roles_found *found);

/* Lets those inherited finish what they have in hand, and end; with adopted, those that were adopted as well. */
void roles_retire(struct roles *roles, bool adopted);

/* All are left to our successor: nobody is ended. */
void roles_leave(struct roles *roles);

/* What a generation is to those who use it. */
struct roles_batches {
	struct batch *workers, *launcher;
	struct batch *dismissed; /* workers that serve no more, see roles_resize */
};

/*
 * From now on this generation is the newest: these batches go to everyone who
 * runs and to everyone who starts (a reference more each).
 */
void roles_announce(struct roles *roles, uint64_t generation,
    const struct roles_batches *batches);

/* Starts whatever does not run yet. */
void roles_start(struct roles *roles);

/*
 * Another number of workers: starts more, or dismisses those of the highest
 * slots.  A worker that was dismissed ends after its last connection, however
 * long that takes, and hears of later generations; if its slot is wanted again
 * before, it is recalled and serves as the others do.
 */
void roles_resize(struct roles *roles, unsigned workers);

/* The name of a role that does not use the newest generation yet; NULL if all do. */
const char *roles_missing(const struct roles *roles);

/* Ends by SIGKILL every role that runs and does not use the newest generation: it hangs. */
void roles_kill_missing(struct roles *roles);

/* False when a role has been out of service for longer than any restart takes. */
bool roles_healthy(const struct roles *roles);

/* Workers wanted, and roles that run. */
unsigned roles_workers(const struct roles *roles);
unsigned roles_running(const struct roles *roles);

/* One role for the administrator's eyes. */
struct role_view {
	const char *name;
	pid_t pid;           /* 0: does not run */
	uint64_t started_us; /* monotonic */
	uint64_t generation; /* in use */
	bool leaving;        /* was told to stop */
	bool dismissed;      /* ends after its last connection */
	bool adopted;        /* from our predecessor */
};

/* False when the slot is not in use. */
bool roles_view(const struct roles *roles, uint32_t slot, struct role_view *ret);

/* Asks a role to end a connection: 0, or -ESRCH when it does not run. */
int
roles_kill_connection(struct roles *roles, uint32_t slot, uint64_t conn_id);

void roles_set_log_level(struct roles *roles, uint32_t level);

/* To exit after the drain deadline: the launcher gives its programs half of it. */
#define ROLES_STOP_GRACE_MS 4000

/*
 * Asks everyone to finish within drain_ms, and ends who does not.  Nobody is
 * started again.  watch.empty follows, at once if nobody runs.
 */
void roles_stop(struct roles *roles, uint64_t drain_ms);

/* Ends everyone by SIGKILL. */
void roles_kill(struct roles *roles);

/* Buries roles that have died and starts them again; to be called on SIGCHLD. */
void roles_reap(struct roles *roles);

/* True if the process is one of the roles. */
bool roles_own(const struct roles *roles, pid_t pid);

#endif
