/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One of the other processes as the supervisor sees it: a channel, what is
 * still to be sent, what it says.  Private to roles.c, role.c and
 * succession.c.
 */
#ifndef CAB_SUPERVISOR_ROLE_H
#define CAB_SUPERVISOR_ROLE_H

#include <signal.h>

#include "base/event.h"
#include "supervisor/beat.h"
#include "supervisor/roles.h"
#include "supervisor/store.h"

/* Times are in microseconds, as sd-event has them. */
#define ROLE_MSEC UINT64_C(1000)
#define ROLE_SEC  (1000 * ROLE_MSEC)

struct role {
	struct roles *roles;
	uint32_t slot;
	char name[16], title[32];
	bool wanted; /* else not started again; one that runs is dismissed, or leaves */
	bool leaving; /* was told to stop */
	bool adopted; /* not our child: our predecessor has started it */
	bool retired; /* serves no more, but for what it had; not in the table */
	struct role *next; /* retired */
	pid_t pid;    /* 0: does not run */
	int pidfd;    /* -1: none */
	int chan;     /* -1: closed */
	char stored[STORE_NAME]; /* name of both in the descriptor store, or "" */
	sd_event_source *io, *timer;
	sd_event_source *end; /* of an adopted one: its pidfd */
	struct beat beat;
	bool linking; /* its link to the launcher is not on its way to both yet */
	struct outbox outbox;
	uint64_t generation;              /* in use, as it says */
	uint64_t started, down, deadline; /* when; 0: not */
	unsigned failures;                /* deaths in a row */
	unsigned misses; /* deaths before it used the newest generation */
};

struct roles {
	struct roles_setup setup;
	struct role v[BOARD_ROLES];
	struct role *retired;
	unsigned n_retired;
	sd_event_source *check; /* of the heartbeats */
	unsigned workers;
	struct shared_fd *board, *wake[BOARD_WORKERS];
	struct roles_batches batches; /* the newest generation's */
	uint64_t generation;
	bool stopping;
};

/* Monotonic. */
uint64_t role_now(void);

static inline bool
role_is_launcher(const struct role *role)
{
	return role->slot == BOARD_LAUNCHER;
}

/* Lets the timer of the role ring after so long. */
void role_arm(struct role *role, uint64_t usec);

/* Closes our end and drops what was not sent. */
void role_close(struct role *role);

/* SIGKILL, if it runs. */
void role_kill(struct role *role);

/* Begins a record about the role. */
void role_event(const struct role *role, struct event *event);

/* It broke the rules of the channel, or we cannot serve it: ends it, with a word in the log. */
void role_fault(struct role *role, const char *what);

/* Sends what the channel takes; returns what outbox_flush says. */
int role_flush(struct role *role);

/* Queues a batch (a reference more; NULL: nothing) or one message, and sends what can be sent. */
void role_put(struct role *role, struct batch *batch, bool replace);
void role_send(struct role *role, uint32_t type, const void *body, size_t n,
    struct shared_fd *fd);

/* Tells the role about the wake-up of one worker slot. */
void role_send_wake(struct role *role, uint32_t slot);

/* A fresh pair between a worker and the launcher, if both run. */
void role_link(struct role *worker);

/* Sends all that a role must know to start working. */
void role_greet(struct role *role);

/* Takes in what the role has said; the watch is told. */
void role_receive(struct role *role);

/* Makes one that does not run: 0 or -errno. */
int role_init(struct role *role, struct roles *roles, uint32_t slot);

/* Its process has ended, as info says (si_pid 0: nobody knows): a word about it
 * in the log; what it held is taken back; both, and what follows from it. */
void role_log_death(const struct role *role, const siginfo_t *info);
void role_gone(struct role *role);
void role_died(struct role *role, const siginfo_t *info);

/* Out of the list of the retired. */
void role_free_retired(struct role *role);

/* Starts watching the channel: 0 or -errno. */
int role_listen(struct role *role);

#endif
