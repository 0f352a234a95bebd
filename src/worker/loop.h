/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's event loop and the state of the role.  Raw epoll: measured, an
 * event library costs more than the work it dispatches.
 */
#ifndef CAB_WORKER_LOOP_H
#define CAB_WORKER_LOOP_H

#include "ipc/msg.h"
#include "worker/balance.h"
#include "worker/service.h"

/* What an epoll event belongs to: the first byte of the object it points to. */
enum loop_kind {
	LOOP_CONN,
	LOOP_LISTENER,
	LOOP_CHANNEL,
	LOOP_WAKE,
	LOOP_LINK,
	LOOP_KINDS
};

struct loop_source {
	uint8_t kind;
};

/* Reasons for not accepting; a listener is watched while it has none. */
enum listener_pause {
	PAUSE_PLACES = 1 << 0, /* on_limit = "queue" and no place is free */
	PAUSE_CAPACITY =
	    1 << 1, /* the worker has as many connections as descriptors allow */
	PAUSE_SHORTAGE = 1 << 2, /* accept failed for want of descriptors or
				    memory: until a moment later */
	PAUSE_HANDOFF = 1 << 3,  /* the launcher is away or behind */
	PAUSE_STOPPED = 1 << 4   /* the daemon is stopping */
};

/* One listening socket as this worker watches it. */
struct listener {
	uint8_t kind; /* LOOP_LISTENER; first */
	bool watched;
	bool stream;
	bool leaving;      /* the service has no such listener any more */
	unsigned paused;   /* enum listener_pause */
	uint32_t in_a_row; /* accepted since it let others go first */
	struct burst burst;
	int fd;
	uint64_t inode; /* the same socket under any number */
	struct cab_peer local; /* of datagrams that do not tell; unknown if all do */
	struct cab_running *running;
	struct listener *next;
};

/* An accepted, admitted connection that waits for the launcher. */
struct handoff {
	struct handoff *next;
	struct msg_run run;
	int fd;
};

struct datagram_batch;

struct cab_worker {
	struct conn_engine engine;
	struct board *board;
	struct ticket_pool tickets;
	const struct cab_proto *const *protos;
	uint32_t slot;
	int epoll;
	struct loop_source channel_source, wake_source, link_source;
	int channel;              /* to the supervisor */
	int link;                 /* to the launcher, -1 while there is none */
	int wakes[BOARD_WORKERS]; /* eventfd of every worker slot, -1 where none */
	bool woken;
	struct listener *listeners, *pending_listeners;
	struct generation *current, *pending, *old;
	uint64_t drain_ms; /* the next deadline of a service of old ones; 0: none */
	struct handoff *handoffs, **handoffs_tail;
	uint64_t handoff_retry_ms; /* 0: nothing to try again */
	uint64_t handed[BOARD_TICKETS / 64]; /* tickets sent to the launcher that now is */
	struct datagram_batch *datagrams;
	uint32_t max_fds;
	uint32_t max_connections; /* what the descriptor limit allows */
	bool at_capacity;
	uint64_t shortage_until_ms; /* 0: no shortage */
	uint32_t shortage_pause_ms;
	uint64_t sweep_ms; /* when to look for summaries of floods; 0: no need */
	struct cab_log_gate shortage_gate;
	uint64_t beat_ms; /* when to come round even with nothing to do */
	bool stopping, done;
	bool dismissed;   /* ends when nothing is open, if it is not recalled */
	uint64_t stop_ms; /* when what is left is dropped */
};

int worker_loop_init(struct cab_worker *worker);

/* Serves until worker->done. */
void worker_loop(struct cab_worker *worker);

/* Adds to or removes from epoll; 0 or -errno. */
int loop_watch_source(struct cab_worker *worker, int fd,
    struct loop_source *source, uint32_t events);
int loop_rewatch_source(struct cab_worker *worker, int fd,
    struct loop_source *source, uint32_t events);
void loop_unwatch_source(struct cab_worker *worker, int fd); /* accepts -1 */

#endif
