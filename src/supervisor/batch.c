/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages that wait for a role to read.  Supervisor only.  A thousand services
 * are a few thousand messages with descriptors, more than a channel holds, so
 * each role reads at its own pace from one shared copy.  Never blocks.
 */
#include "supervisor/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "ipc/chan.h"

struct batch_msg {
	uint32_t type, n;
	struct shared_fd *fd;
	_Alignas(8) unsigned char body[BATCH_BODY];
};

struct batch {
	unsigned refs;
	bool sealed; /* put somewhere: no more messages */
	struct batch_msg *v;
	size_t n;
};

struct outbox_item {
	struct outbox_item *next;
	struct batch *batch;
	size_t sent;
	bool replaceable;
};

struct shared_fd *
shared_fd_new(int fd)
{
	struct shared_fd *shared = malloc(sizeof(*shared));

	if (shared == NULL) {
		fd_close(fd);
		return NULL;
	}
	*shared = (struct shared_fd){ .fd = fd, .refs = 1 };
	return shared;
}

struct shared_fd *
shared_fd_ref(struct shared_fd *shared)
{
	if (shared != NULL)
		shared->refs++;
	return shared;
}

void
shared_fd_unref(struct shared_fd *shared)
{
	if (shared == NULL || --shared->refs > 0)
		return;
	fd_close(shared->fd);
	free(shared);
}

struct batch *
batch_new(void)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (batch != NULL)
		batch->refs = 1;
	return batch;
}

struct batch *
batch_ref(struct batch *batch)
{
	if (batch != NULL)
		batch->refs++;
	return batch;
}

void
batch_unref(struct batch *batch)
{
	if (batch == NULL || --batch->refs > 0)
		return;
	for (size_t i = 0; i < batch->n; i++)
		shared_fd_unref(batch->v[i].fd);
	free(batch->v);
	free(batch);
}

int
batch_add(struct batch *batch, uint32_t type, const void *body, size_t n,
    struct shared_fd *fd)
{
	struct batch_msg *msg;

	assert(n <= BATCH_BODY && !batch->sealed);
	/* Full at every power of two. */
	if ((batch->n & (batch->n - 1)) == 0) {
		size_t cap = batch->n == 0 ? 1 : batch->n * 2;

		msg = realloc(batch->v, cap * sizeof(*msg));
		if (msg == NULL)
			return -ENOMEM;
		batch->v = msg;
	}
	msg = &batch->v[batch->n++];
	*msg = (struct batch_msg){
		.type = type, .n = (uint32_t)n, .fd = shared_fd_ref(fd)
	};
	if (n > 0)
		memcpy(msg->body, body, n);
	return 0;
}

void
outbox_init(struct outbox *outbox)
{
	outbox->first = NULL;
	outbox->last = &outbox->first;
}

static void
outbox_drop(struct outbox *outbox, struct outbox_item **at)
{
	struct outbox_item *item = *at;

	*at = item->next;
	if (outbox->last == &item->next)
		outbox->last = at;
	batch_unref(item->batch);
	free(item);
}

int
outbox_put(struct outbox *outbox, struct batch *batch, bool replace)
{
	struct outbox_item *item = malloc(sizeof(*item)), **at;

	if (item == NULL)
		return -ENOMEM;
	for (at = &outbox->first; replace && *at != NULL;) {
		if ((*at)->replaceable && (*at)->sent == 0)
			outbox_drop(outbox, at);
		else
			at = &(*at)->next;
	}
	*item = (struct outbox_item){ .batch = batch_ref(batch),
		.replaceable = replace };
	batch->sealed = true;
	*outbox->last = item;
	outbox->last = &item->next;
	return 0;
}

static int
send_one(const struct batch_msg *msg, int chan)
{
	int r = chan_send(chan, msg->type, msg->body, msg->n,
	    msg->fd != NULL ? &msg->fd->fd : NULL, msg->fd != NULL ? 1 : 0);

	switch (r) {
	case -ENOMEM:
	case -ENOBUFS:
	case -ETOOMANYREFS: /* descriptors in flight, over all channels of this user */
		return -EBUSY;
	default:
		return r;
	}
}

int
outbox_flush(struct outbox *outbox, int chan)
{
	while (outbox->first != NULL) {
		struct outbox_item *item = outbox->first;

		while (item->sent < item->batch->n) {
			int r = send_one(&item->batch->v[item->sent], chan);

			if (r < 0)
				return r;
			item->sent++;
		}
		outbox_drop(outbox, &outbox->first);
	}
	return 0;
}

void
outbox_clear(struct outbox *outbox)
{
	while (outbox->first != NULL)
		outbox_drop(outbox, &outbox->first);
	outbox_init(outbox);
}
