/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets under the connection engine: system calls and nothing else.  Workers.
 */
#include "config.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "worker/transport.h"

static int engine_epoll = -1;

void
transport_use_epoll(int epoll)
{
	engine_epoll = epoll;
}

static ssize_t
result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static ssize_t
socket_recv(struct cab_conn *conn, void *buf, size_t n)
{
	return result(recv(conn->fd, buf, n, 0));
}

static ssize_t
socket_send(struct cab_conn *conn, const struct iovec *iov, int n_iov, bool more)
{
	int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
	struct msghdr mh = { .msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = (size_t)n_iov };

	if (n_iov == 1)
		return result(
		    send(conn->fd, iov[0].iov_base, iov[0].iov_len, flags));
	return result(sendmsg(conn->fd, &mh, flags));
}

static ssize_t
socket_send_file(struct cab_conn *conn, int fd, off_t offset, size_t n)
{
	return result(sendfile(conn->fd, fd, &offset, n));
}

static void
socket_half_close(struct cab_conn *conn)
{
	(void)shutdown(conn->fd, SHUT_WR);
}

static void
socket_close(struct cab_conn *conn)
{
	conn->fd = fd_close(conn->fd);
}

static int
socket_watch(struct cab_conn *conn, unsigned interest)
{
	struct epoll_event ev = { .data.ptr = conn };

	if (interest & CONN_IN)
		ev.events |= EPOLLIN;
	if (interest & CONN_OUT)
		ev.events |= EPOLLOUT;
	return epoll_ctl(engine_epoll,
		   conn->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->fd,
		   &ev) < 0 ?
	    -errno :
	    0;
}

static void
socket_local(struct cab_conn *conn, struct cab_peer *ret)
{
	struct cab_sockaddr addr = { .len = sizeof(addr.ss) };

	if (getsockname(conn->fd, &addr.sa, &addr.len) < 0)
		addr = (struct cab_sockaddr){ .len = sizeof(addr.sa) };
	peer_from_sockaddr(ret, &addr.sa, addr.len);
}

const struct conn_transport transport_socket = {
	.recv = socket_recv,
	.send = socket_send,
	.send_file = socket_send_file,
	.half_close = socket_half_close,
	.close = socket_close,
	.watch = socket_watch,
	.local = socket_local,
};
