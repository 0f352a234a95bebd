/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter on a listening TCP socket that lets no SYN pass.
 */
#include "base/hush.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/fd.h"

/* Others have other headers, and would lose what is not meant. */
static bool
is_tcp(int fd)
{
	return fd_socket_option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP;
}

void
hush(int fd, bool on)
{
	/* Flags are the 14th byte of the TCP header; what is no SYN belongs to
	 * a handshake that is under way, and may end it. */
	static struct sock_filter no_syn[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TH_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog filter = {
		sizeof(no_syn) / sizeof(no_syn[0]), no_syn
	};

	if (!is_tcp(fd))
		return;
	if (on)
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
	else
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int));
}

bool
is_hushed(int fd)
{
	socklen_t len = 0; /* in filter instructions, of which none is fetched */

	return is_tcp(fd) &&
	    getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &len) == 0 &&
	    len > 0;
}

void
hush_never(int fd)
{
	if (is_tcp(fd))
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_LOCK_FILTER, &(int){ 1 }, sizeof(int));
}
