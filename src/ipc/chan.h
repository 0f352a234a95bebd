/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framed messages with descriptors over a SOCK_SEQPACKET pair, between roles.
 * The other side is not trusted: a message of the wrong size or with the wrong
 * number of descriptors is an error here, and every surplus descriptor is closed.
 */
#ifndef CAB_IPC_CHAN_H
#define CAB_IPC_CHAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CHAN_MAX_BODY 16384
#define CHAN_MAX_FDS  2

struct chan_msg {
	uint32_t type;
	uint32_t n;            /* body bytes */
	int fds[CHAN_MAX_FDS]; /* received descriptors, close-on-exec, -1 where
				  none; the receiver owns them */
	unsigned n_fds;
	_Alignas(8) unsigned char body[CHAN_MAX_BODY +
	    1]; /* NUL after the last byte, so that text is safe to print */
};

/* A connected pair, close-on-exec; nonblocking if asked.  0 or -errno. */
int chan_pair(int fds[2], int nonblock);

/* Sends one message: 0, -EAGAIN (full), -EPIPE (peer gone) or -errno.  The
 * descriptors stay the caller's. */
int chan_send(int fd, uint32_t type, const void *body, size_t n, const int *fds,
    unsigned n_fds);

/* Receives one: 1, 0 (peer gone), -EAGAIN, -EBADMSG (malformed; its descriptors are closed) or -errno. */
int chan_recv(int fd, struct chan_msg *msg);

/* Takes descriptor i out of the message (the caller owns it now); -1 if there is none. */
int chan_take_fd(struct chan_msg *msg, unsigned i);

/* Closes whatever descriptors are left in the message. */
void chan_msg_release(struct chan_msg *msg);

#endif
