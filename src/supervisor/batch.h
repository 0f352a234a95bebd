/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages on their way from the supervisor to a role.  A batch is written once
 * and shared by all roles that get it; each role's outbox remembers how far it
 * has been sent, so the supervisor never waits for a role that reads slowly.
 */
#ifndef CAB_SUPERVISOR_BATCH_H
#define CAB_SUPERVISOR_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A descriptor with several owners; the last one closes it. */
struct shared_fd {
	int fd;
	unsigned refs;
};

/* Takes fd over, also on failure: NULL on -ENOMEM, and fd is closed then. */
struct shared_fd *shared_fd_new(int fd);
struct shared_fd *shared_fd_ref(struct shared_fd *shared);
void shared_fd_unref(struct shared_fd *shared);

/* A run of messages, kept together in the order in which they were added. */
struct batch;

/* An empty batch with one reference; NULL on -ENOMEM. */
struct batch *batch_new(void);
struct batch *batch_ref(struct batch *batch);
void batch_unref(struct batch *batch);

#define BATCH_BODY 80 /* no message from the supervisor to a role is longer */

/*
 * Adds one message of enum msg_type with at most BATCH_BODY bytes; fd (may be
 * NULL) gets a reference more.  Only before the batch is put anywhere.  0 or
 * -ENOMEM.
 */
int batch_add(struct batch *batch, uint32_t type, const void *body, size_t n,
    struct shared_fd *fd);

/* What one role has still to be sent. */
struct outbox {
	struct outbox_item *first, **last;
};

void outbox_init(struct outbox *outbox);

/*
 * Queues a batch (a reference more).  With replace, queued batches that were
 * put with replace too and of which nothing has been sent are dropped: the new
 * one supersedes them.  0 or -ENOMEM.
 */
int outbox_put(struct outbox *outbox, struct batch *batch, bool replace);

/*
 * Sends what the channel takes: 0 when nothing is left, -EAGAIN when the
 * channel is full, -EBUSY when the kernel is short of something (try again a
 * little later), else what chan_send says.
 */
int outbox_flush(struct outbox *outbox, int chan);

/* Drops everything; accepts a zeroed outbox. */
void outbox_clear(struct outbox *outbox);

#endif
