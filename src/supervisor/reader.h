/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the configuration: a disposable child parses it, the supervisor opens
 * files for it and takes its findings and its snapshot.  Supervisor only.  The
 * child has read hostile text, so whatever it sends is bounded and checked.
 */
#ifndef CAB_SUPERVISOR_READER_H
#define CAB_SUPERVISOR_READER_H

#include <stddef.h>

#include "base/diag.h"
#include "conf/model.h"
#include "ipc/msg.h"

struct reader_result {
	struct cab_diag diag;  /* findings; diag.errors > 0: the configuration cannot be used */
	struct cab_conf *conf; /* MSG_READ_LOAD without errors, else NULL */
	int snapshot_fd;       /* of the same: sealed memory file for the roles, else -1 */
	size_t snapshot_n;
	char *dump;            /* MSG_READ_PRINT without errors, else NULL; NUL-terminated */
	size_t dump_n;
};

/* Accepts a zeroed result and one that was released; what was taken out must be NULL or -1. */
void reader_result_release(struct reader_result *result);

struct reader;

/* Starts the child: 0 or -errno (no process or memory).  path is copied. */
int reader_start(struct reader **ret, const char *path, enum msg_read_mode mode);

/* Becomes readable when there is something to do; the same descriptor until reader_free. */
int reader_fd(const struct reader *reader);

/* Milliseconds until reader_step has to be called in any case; 0: now. */
int reader_deadline_ms(const struct reader *reader);

/*
 * Does what can be done without waiting: 1 when finished (the child has ended
 * and been waited for), 0 when there is more to come.  Problems of any kind end
 * as findings.  Never blocks but for the moment in which a killed child dies.
 */
int reader_step(struct reader *reader);

/* After reader_step returned 1: moves the result out, which is the caller's to release. */
void reader_take(struct reader *reader, struct reader_result *result);

/* Kills and waits for a child that still runs; accepts NULL. */
void reader_free(struct reader *reader);

/* All of it, blocking: 0 or -errno as reader_start. */
int reader_run(const char *path, enum msg_read_mode mode, struct reader_result *result);

#endif
