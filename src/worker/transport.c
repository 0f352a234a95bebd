/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets under the connection engine: system calls, and how much is handed to
 * one.  Workers.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "worker/transport.h"

/*
 * Most bytes of a file that leave in one turn, so that others get theirs.  What
 * a socket buffer takes may be megabytes.  Where the congestion control paces,
 * many such bursts side by side look like slow paths to it: each then leaves by
 * timers of its own, at twice the cost.  So does one with a short segment within,
 * hence a turn there has whole ones, the head of a reply included.
 */
#define SEGMENT    (64 * 1024)
#define FILE_TURN  (16 * SEGMENT)
#define PACED_TURN (4 * SEGMENT)

static int engine_epoll = -1;

/* Sockets that are shut and not yet closed, so that one call closes many; no
 * more than descriptors stay reserved (worker.c). */
#define SHUT_MAX 16
#define SHUT_MS  100 /* and no longer */
static int shut_fds[SHUT_MAX];
static unsigned n_shut;
static uint64_t shut_due_ms; /* 0: there is none */

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

/* BBR, of any version, does. */
static bool
is_paced(struct cab_conn *conn)
{
	char name[16] = "";
	socklen_t len = sizeof(name);

	if (conn->pace_known)
		return conn->paced;
	conn->pace_known = true;
	conn->paced = getsockopt(conn->fd, IPPROTO_TCP, TCP_CONGESTION, name,
			  &len) == 0 &&
	    strncmp(name, "bbr", 3) == 0;
	return conn->paced;
}

static size_t
file_turn(struct cab_conn *conn, size_t n, size_t before)
{
	size_t most = FILE_TURN;

	if (before + n > PACED_TURN && is_paced(conn))
		most = PACED_TURN - before % PACED_TURN;
	/* No turn of its own for a short rest. */
	return n < most + SEGMENT ? n : most;
}

static ssize_t
socket_send_file(
    struct cab_conn *conn, int fd, off_t offset, size_t n, size_t before)
{
	n = file_turn(conn, n, before);
	return result(sendfile(conn->fd, fd, &offset, n));
}

static void
socket_half_close(struct cab_conn *conn)
{
	(void)shutdown(conn->fd, SHUT_WR);
	conn->shut = true;
}

static int
by_number(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
close_run(const int *fds, unsigned n)
{
	if (n > 1 && syscall(SYS_close_range, fds[0], fds[n - 1], 0U) == 0)
		return;
	/* One, or a kernel before Linux 5.9. */
	for (unsigned i = 0; i < n; i++)
		fd_close(fds[i]);
}

static void
close_shut(void)
{
	unsigned n = n_shut, run;

	n_shut = 0;
	shut_due_ms = 0;
	if (n > 1)
		qsort(shut_fds, n, sizeof(shut_fds[0]), by_number);
	/* Those of one burst were accepted with numbers that follow each other, and
	 * those that came alone take the lowest that is free. */
	for (unsigned from = 0; from < n; from += run) {
		for (run = 1; from + run < n &&
		     shut_fds[from + run] == shut_fds[from] + (int)run;
		     run++)
			continue;
		close_run(&shut_fds[from], run);
	}
}

uint64_t
transport_due_ms(void)
{
	return shut_due_ms;
}

void
transport_turn(void)
{
	if (shut_due_ms != 0 && clock_ms() >= shut_due_ms)
		close_shut();
}

static void
socket_close(struct cab_conn *conn)
{
	/* What epoll knows would be reported after the connection has gone. */
	if (!conn->shut || conn->watched) {
		conn->fd = fd_close(conn->fd);
		return;
	}
	if (n_shut == SHUT_MAX)
		close_shut();
	if (n_shut == 0)
		shut_due_ms = clock_ms() + SHUT_MS;
	shut_fds[n_shut++] = conn->fd;
	conn->fd = -1;
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
