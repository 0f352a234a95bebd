/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter that a listening socket has while it is emptied.  Supervisor only.
 */
#include "supervisor/hush.h"

#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "conf/schema.h"

void
hush(enum cab_listen_kind kind, int fd, bool on)
{
	/* Flags are the 14th byte of the TCP header; what is no SYN belongs to
	 * a handshake that is under way, and may end it. */
	static struct sock_filter no_syn[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TH_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog filter = { CAB_N(no_syn), no_syn };

	if (kind != CAB_TCP)
		return;
	if (on)
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
	else
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int));
}
