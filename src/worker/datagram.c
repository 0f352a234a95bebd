/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Datagram listeners.  Workers.  Every reply passes the datagram rule here
 * (access/udpguard.h and the per-source rate), so that no protocol can forget it.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "access/quota.h"
#include "base/clock.h"
#include "worker/accept.h"
#include "worker/datagram.h"

#define BATCH            64
#define BATCHES_PER_TURN 2
#define DATAGRAM_MAX     65536
/* An odd number of cache lines from one datagram to the next: at equal places
 * in their pages, a batch of them would throw each other out of the cache. */
#define DATAGRAM_STRIDE (DATAGRAM_MAX + 64)

struct packet_control {
	_Alignas(
	    struct cmsghdr) char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* One datagram and the reply to it. */
struct packet {
	struct cab_sockaddr from;
	struct packet_control control_in, control_out;
	size_t n_control_out;
	struct iovec in, out;
	struct cab_peer peer;
};

struct datagram_batch {
	struct mmsghdr in[BATCH], out[BATCH];
	int n_used; /* of in, by the last receive: to be set up again */
	bool control; /* they are set up for control messages */
	struct packet packets[BATCH];
	/* Untouched pages of these cost nothing. */
	char requests[BATCH][DATAGRAM_STRIDE], replies[BATCH][DATAGRAM_STRIDE];
};

static struct datagram_batch *
batch_of(struct cab_worker *worker)
{
	if (!worker->datagrams) {
		void *p = mmap(NULL, sizeof(struct datagram_batch),
		    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		worker->datagrams = p == MAP_FAILED ? NULL : p;
		if (worker->datagrams)
			worker->datagrams->n_used = BATCH;
	}
	return worker->datagrams;
}

void
datagram_release(struct cab_worker *worker)
{
	if (worker->datagrams)
		munmap(worker->datagrams, sizeof(*worker->datagrams));
	worker->datagrams = NULL;
}

bool
datagram_tells(int fd, int family)
{
	bool v6 = family == AF_INET6;
	int on = 0;
	socklen_t len = sizeof(on);

	return (v6 || family == AF_INET) &&
	    getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
		v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, &len) == 0 &&
	    on;
}

static int
batch_receive(struct datagram_batch *b, const struct listener *listener)
{
	/* A unix peer can send descriptors, which would be ours from then on. */
	bool control = listener->local.family != AF_UNIX;
	int n;

	if (control != b->control)
		b->n_used = BATCH;
	b->control = control;
	for (int i = 0; i < b->n_used; i++) {
		struct packet *p = &b->packets[i];

		p->in = (struct iovec){ b->requests[i], DATAGRAM_MAX };
		b->in[i].msg_hdr = (struct msghdr){
			.msg_name = &p->from.ss,
			.msg_namelen = sizeof(p->from.ss),
			.msg_iov = &p->in,
			.msg_iovlen = 1,
			.msg_control = control ? p->control_in.bytes : NULL,
			.msg_controllen = control ? sizeof(p->control_in.bytes) : 0,
		};
	}
	do
		n = recvmmsg(listener->fd, b->in, BATCH, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	b->n_used = n > 0 ? n : 0;
	return n;
}

/* The reply says where it leaves from in a message like the one that told us. */
static void
packet_leave_from(struct packet *p, const struct cmsghdr *told, const void *info,
    size_t n)
{
	struct cmsghdr *out = (struct cmsghdr *)(void *)p->control_out.bytes;

	memset(&p->control_out, 0, sizeof(p->control_out));
	*out = *told;
	memcpy(CMSG_DATA(out), info, n);
	p->n_control_out = CMSG_SPACE(n);
}

/*
 * Where the datagram was sent to, and for the reply the address to answer from:
 * what it tells, else what the socket is bound to.  False when that is not an
 * address of this host (broadcast, multicast); whether it is unicast is tested
 * later, and what is unknown is not.
 */
static bool
packet_local(const struct listener *listener, const struct msghdr *mh,
    struct packet *p, struct cab_peer *ret)
{
	*ret = listener->local;
	p->n_control_out = 0;
	/* A unix socket without a name cannot be answered. */
	if (ret->family == AF_UNIX)
		return p->from.len > offsetof(struct sockaddr_un, sun_path);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)mh, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			if (info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr)
				return false; /* a broadcast of one of this host's networks */
			ret->family = AF_INET;
			memcpy(ret->ip, &info.ipi_addr, 4);
			info.ipi_ifindex =
			    0; /* the route back is the kernel's choice */
			packet_leave_from(p, c, &info, sizeof(info));
			break;
		}
		if (c->cmsg_level == IPPROTO_IPV6 &&
		    c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret->family = AF_INET6;
			memcpy(ret->ip, &info.ipi6_addr, 16);
			if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				info.ipi6_ifindex = 0;
			packet_leave_from(p, c, &info, sizeof(info));
			break;
		}
	}
	return true;
}

/* The whole rule: unicast both ways, no answering port, and the source's rate. */
static bool
reply_allowed(struct cab_worker *worker, struct cab_running *running,
    const struct cab_peer *from, const struct cab_peer *to)
{
	uint32_t source, active;

	if (from->family == AF_UNIX)
		return true;
	if (!udpguard_may_reply(running->generation->guard, from, to))
		return false;
	if (running->datagram_rate.interval_ns == 0)
		return true;
	source = quota_source(
	    worker->board, running->slot, peer_source(from), false, &active);
	return source != UINT32_MAX &&
	    rate_take(&worker->board->sources[source].rate_tat,
		&running->datagram_rate, cab_clock.mono_ns);
}

/* Handles datagram i; true when a reply has been prepared in out. */
static bool
packet_serve(struct cab_worker *worker, const struct listener *listener, int i,
    struct mmsghdr *out)
{
	struct cab_running *running = listener->running;
	struct datagram_batch *b = worker->datagrams;
	struct packet *p = &b->packets[i];
	size_t n = b->in[i].msg_len, max = udpguard_max_reply(n);
	struct cab_peer local;
	ssize_t reply;

	p->from.len = b->in[i].msg_hdr.msg_namelen;
	peer_from_sockaddr(&p->peer, &p->from.sa, p->from.len);
	running->count->datagrams_in++;
	running->count->bytes_in += n;
	if (!acl_allows(&running->acl, &p->peer, NULL)) {
		running->count->refused[CAB_REFUSED_ACCESS]++;
		return false;
	}
	if (accept_drains(worker, running)) {
		running->count->refused[CAB_REFUSED_SHUTDOWN]++;
		return false;
	}
	reply = running->proto->datagram(running,
	    (struct cab_slice){ b->requests[i], n }, b->replies[i],
	    max < DATAGRAM_MAX ? max : DATAGRAM_MAX);
	if (reply < 0)
		return false;
	if (!packet_local(listener, &b->in[i].msg_hdr, p, &local) ||
	    (size_t)reply > max ||
	    !reply_allowed(worker, running, &p->peer, &local)) {
		running->count->datagrams_dropped++;
		return false;
	}
	p->out = (struct iovec){ b->replies[i], (size_t)reply };
	out->msg_hdr = (struct msghdr){
		.msg_name = &p->from.ss,
		.msg_namelen = p->from.len,
		.msg_iov = &p->out,
		.msg_iovlen = 1,
		.msg_control = p->n_control_out ? p->control_out.bytes : NULL,
		.msg_controllen = p->n_control_out,
	};
	return true;
}

static void
batch_send(struct cab_running *running, struct datagram_batch *b, int fd, int n)
{
	struct board_counters *count = running->count;

	for (int at = 0; at < n;) {
		int sent = sendmmsg(fd, &b->out[at], (unsigned)(n - at),
		    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			/* The first of the rest could not go (full,
			 * unreachable): datagrams may be lost. */
			count->datagrams_dropped++;
			at++;
			continue;
		}
		for (int i = at; i < at + sent; i++)
			count->bytes_out += b->out[i].msg_len;
		count->datagrams_out += (uint64_t)sent;
		at += sent;
	}
}

void
datagram_ready(struct cab_worker *worker, struct listener *listener)
{
	struct cab_running *running = listener->running;
	struct datagram_batch *b = batch_of(worker);

	if (!b) {
		/* It stays readable meanwhile. */
		listener->paused |= PAUSE_SHORTAGE;
		listener_update(worker, listener);
		accept_shortage(worker, ENOMEM);
		return;
	}
	for (int round = 0; round < BATCHES_PER_TURN; round++) {
		int n = batch_receive(b, listener), n_out = 0;

		for (int i = 0; i < n; i++)
			n_out += packet_serve(worker, listener, i, &b->out[n_out]);
		batch_send(running, b, listener->fd, n_out);
		if (n < BATCH)
			return;
	}
}
