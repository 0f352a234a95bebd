/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing and descriptor passing between roles.  Every process.  Trusts nothing
 * that it receives: neither lengths nor the number of descriptors.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "ipc/chan.h"

struct chan_head {
	uint32_t type, n;
};

union chan_control {
	struct cmsghdr align;
	/* Room for more than we accept, so that a surplus arrives, is seen and is closed. */
	char bytes[CMSG_SPACE(sizeof(int) * (CHAN_MAX_FDS + 2))];
};

int
chan_pair(int fds[2], int nonblock)
{
	int type = SOCK_SEQPACKET | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0);

	return socketpair(AF_UNIX, type, 0, fds) < 0 ? -errno : 0;
}

int
chan_send(int fd, uint32_t type, const void *body, size_t n, const int *fds,
    unsigned n_fds)
{
	struct chan_head head = { .type = type, .n = (uint32_t)n };
	struct iovec iov[2] = { { &head, sizeof(head) },
		{ (void *)(uintptr_t)body, n } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = n ? 2 : 1 };
	union chan_control control;
	ssize_t sent;

	if (n > CHAN_MAX_BODY || n_fds > CHAN_MAX_FDS)
		return -EMSGSIZE;
	if (n_fds) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
	}
	do
		sent = sendmsg(fd, &mh, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	if (errno == ECONNRESET || errno == ENOTCONN)
		return -EPIPE;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

/* Keeps up to CHAN_MAX_FDS received descriptors and closes the rest; the number received, kept or not. */
static unsigned
chan_collect_fds(struct msghdr *mh, struct chan_msg *msg)
{
	unsigned received = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (received < CHAN_MAX_FDS)
				msg->fds[msg->n_fds++] = fd;
			else
				fd_close(fd);
			received++;
		}
	}
	return received;
}

int
chan_recv(int fd, struct chan_msg *msg)
{
	struct chan_head head;
	struct iovec iov[2] = { { &head, sizeof(head) },
		{ msg->body, CHAN_MAX_BODY } };
	union chan_control control;
	struct msghdr mh = { .msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	unsigned received;
	ssize_t n;

	msg->n_fds = 0;
	for (unsigned i = 0; i < CHAN_MAX_FDS; i++)
		msg->fds[i] = -1;
	do
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ECONNRESET)
		return 0;
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	received = chan_collect_fds(&mh, msg);
	if (n == 0 && received == 0)
		return 0; /* a frame is never empty, so this is the end */
	if ((size_t)n < sizeof(head) || head.n != (size_t)n - sizeof(head) ||
	    received > CHAN_MAX_FDS || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		chan_msg_release(msg);
		return -EBADMSG;
	}
	msg->type = head.type;
	msg->n = head.n;
	msg->body[msg->n] = '\0';
	return 1;
}

int
chan_take_fd(struct chan_msg *msg, unsigned i)
{
	int fd = i < msg->n_fds ? msg->fds[i] : -1;

	if (i < msg->n_fds)
		msg->fds[i] = -1;
	return fd;
}

void
chan_msg_release(struct chan_msg *msg)
{
	for (unsigned i = 0; i < msg->n_fds; i++)
		msg->fds[i] = fd_close(msg->fds[i]);
	msg->n_fds = 0;
}
