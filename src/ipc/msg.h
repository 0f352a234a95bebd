/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * THE list of messages between roles: who sends what to whom, with which body
 * and descriptors.  A role checks size and descriptor count of each message
 * against msg_rule() before it looks inside.
 */
#ifndef CAB_IPC_MSG_H
#define CAB_IPC_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "ipc/chan.h"

/* The descriptor on which every role finds its channel to the supervisor. */
#define MSG_ROLE_FD 3

enum msg_type {
	/*
	 * supervisor -> worker and launcher, even of another build: numbers and
	 * bodies of these two, and the framing of chan.h, must never change.
	 */
	MSG_RETIRE = 1, /* no body: accept no more, finish what is in hand, exit */
	MSG_STOP = 2, /* struct msg_stop: stop accepting, drain until the deadline, exit */

	/* config role <-> supervisor */
	MSG_READ, /* sup->conf: struct msg_read + path; 1 fd: memory file for the result */
	MSG_OPEN,     /* conf->sup: path */
	MSG_OPENED, /* sup->conf: struct msg_result + explanation; 1 fd if error == 0 */
	MSG_LIST,    /* conf->sup: path of a directory */
	MSG_LISTED,  /* sup->conf: struct msg_result; 1 fd (memory file of
			NUL-separated names) if error == 0 */
	MSG_PROBE,   /* conf->sup: struct msg_probe + path */
	MSG_PROBED,  /* sup->conf: struct msg_result */
	MSG_FINDING, /* conf->sup: struct msg_finding + file NUL text */
	MSG_DUMP, /* conf->sup: struct msg_snapshot: the memory file holds the text for --print-config */
	MSG_SNAPSHOT, /* conf->sup: struct msg_snapshot: it holds the snapshot; only when there was no error */
	MSG_DONE,     /* conf->sup: struct msg_done; the last message */

	/* supervisor -> worker and launcher; MSG_HELLO first, then a batch
	 * CONFIG, LISTENER*, RESOURCE*, COMMIT, or to a worker that is to serve
	 * no more CONFIG, DISMISS */
	MSG_HELLO,    /* struct msg_hello; 1 fd: scoreboard */
	MSG_CONFIG,   /* struct msg_config; 1 fd: snapshot */
	MSG_LISTENER, /* struct msg_listener; 1 fd */
	MSG_RESOURCE, /* struct msg_resource; 1 fd: worker only */
	MSG_COMMIT, /* struct msg_commit: use this generation from now on, drain the one before */
	MSG_LINK, /* struct msg_link; 1 fd: to a worker its end of the pair to
		     the launcher, to the launcher the other end */
	MSG_WAKE, /* struct msg_link (slot); 1 fd: eventfd of that worker slot; to all roles, see quota.h */
	MSG_LOG_LEVEL, /* struct msg_level */
	MSG_KILL, /* struct msg_kill: end this connection, or its program */
	MSG_DISMISS, /* struct msg_commit: accept no more, but what is open goes
			on as after MSG_COMMIT; exit after the last of it, if no
			MSG_COMMIT comes before; worker only */

	/* worker and launcher -> supervisor */
	MSG_READY,  /* struct msg_commit: this generation is in use */
	MSG_FAILED, /* struct msg_commit + text: this generation cannot be used; the one before stays */

	/* worker -> launcher */
	MSG_RUN, /* struct msg_run; 1 fd: the accepted, admitted socket */

	MSG_MAX
};

enum msg_read_mode {
	MSG_READ_CHECK,
	MSG_READ_PRINT,
	MSG_READ_LOAD
};

struct msg_read {
	uint32_t mode;
	uint32_t privileged; /* the supervisor is root */
	uint32_t uid, gid;   /* become these before reading; UINT32_MAX: stay */
};

struct msg_result {
	int32_t error; /* 0 or a positive errno; text may follow */
};

struct msg_probe {
	uint32_t kind; /* enum cab_probe */
};

struct msg_finding {
	uint32_t severity;
	int32_t line;
	uint32_t file_n; /* bytes of the file name that follow, 0: no file; then the text */
};

struct msg_snapshot {
	uint64_t n;
};

struct msg_done {
	uint32_t errors, truncated;
};

enum msg_role {
	ROLE_SUPERVISOR,
	ROLE_WORKER,
	ROLE_LAUNCHER,
	ROLE_CONFIG
};

struct msg_hello {
	uint32_t role;
	uint32_t slot; /* scoreboard role slot: workers 0..n-1, launcher BOARD_LAUNCHER */
	uint32_t log_target,
	    log_level;     /* enum cab_log_target, enum cab_log_level */
	uint32_t uid, gid; /* a worker becomes these; UINT32_MAX: stay */
	uint32_t max_fds;  /* descriptor limit to set and to plan with */
};

struct msg_config {
	uint64_t generation;
	uint64_t n; /* bytes of the snapshot */
};

struct msg_listener {
	uint64_t generation;
	uint32_t service; /* index in the snapshot */
	uint32_t listen;  /* index among the service's listens */
	uint32_t slot;    /* scoreboard service slot of this service */
	uint32_t pad;
};

struct msg_resource {
	uint64_t generation;
	uint32_t service;
	char option[60]; /* name of the CAB_F_OPEN option, terminated */
};

struct msg_commit {
	uint64_t generation;
};

struct msg_link {
	uint32_t slot; /* worker slot at the far end (for the worker itself: unused) */
	uint32_t pad;
};

struct msg_stop {
	uint64_t drain_ms; /* 0: now */
};

struct msg_level {
	uint32_t level;
};

struct msg_kill {
	uint64_t conn_id;
};

/* A program is to be started for this connection. */
struct msg_run {
	uint64_t generation;
	uint64_t conn_id;
	uint32_t service; /* index in the snapshot of that generation */
	uint32_t ticket; /* admission ticket, adopted by the launcher (ticket_adopt) */
	struct cab_peer peer, local;
};

struct msg_rule {
	const char *name;
	uint32_t min, max; /* body bytes */
	unsigned min_fds, max_fds;
};

/* NULL for an unknown type. */
const struct msg_rule *msg_rule(uint32_t type);

/* True when the message obeys its rule. */
bool msg_valid(const struct chan_msg *msg);

#endif
