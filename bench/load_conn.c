/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections of the load client: opened, sent on, failed and closed here
 * and nowhere else.  See load.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HELD 8192

enum load_kind
load_kind_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ENOENT:
		return E_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return E_RESET;
	case EADDRNOTAVAIL:
		return E_NO_PORT;
	case EAGAIN:
		return E_BUSY;
	case ETIMEDOUT:
		return E_TIMEOUT;
	default:
		return E_OTHER;
	}
}

void
load_close(struct load_conn *c)
{
	close(c->fd);
	c->fd = -1;
	c->n_held = 0;
	load.n_live--;
}

/* Persistent connections that fail stay away: that is a failure, not a pause. */
void
load_fail(struct load_conn *c, enum load_kind kind)
{
	tally.errors[kind]++;
	if (c->fd >= 0)
		load_close(c);
	if (load_opt.mode->reconnect)
		load.spare[load.n_spare++] = c - load.conns;
}

static void
load_begin(struct load_conn *c)
{
	c->start = load.now;
	c->sent = c->got = c->left = 0;
	c->step = 0;
	load_opt.mode->output(c);
}

static void
bind_source(int fd, long i)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(
		    ntohl(load_opt.source.s_addr) + (uint32_t)i),
	};
	int one = 1;

	/* The port is chosen when connecting: only the pair must be unique. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		bench_die(errno, "cannot use source address %ld", i);
}

void
load_open(struct load_conn *c)
{
	static long turn;
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
		.data.ptr = c,
	};
	int type = load_opt.mode->datagrams ? SOCK_DGRAM : SOCK_STREAM;

	c->fd = socket(
	    load_opt.to.ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		load_fail(c, E_LOCAL);
		return;
	}
	load.n_live++;
	c->armed = false;
	if (load_opt.sources)
		bind_source(c->fd, turn++ % load_opt.sources);
	if (connect(c->fd, (struct sockaddr *)&load_opt.to.ss, load_opt.to.len) <
		0 &&
	    errno != EINPROGRESS) {
		load_fail(c, load_kind_of(errno));
		return;
	}
	if (epoll_ctl(load.ep, EPOLL_CTL_ADD, c->fd, &ev) < 0) {
		load_fail(c, E_LOCAL);
		return;
	}
	load_begin(c);
}

void
load_done(struct load_conn *c)
{
	tally_op(c->start);
	if (load_opt.mode->reconnect) {
		load_close(c);
		load_open(c);
	} else {
		load_begin(c);
	}
}

void
load_arm(struct load_conn *c)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = c,
	};

	if (!c->armed && epoll_ctl(load.ep, EPOLL_CTL_MOD, c->fd, &ev) == 0)
		c->armed = true;
}

bool
load_send(struct load_conn *c, const char *data, size_t n)
{
	while (c->sent < n) {
		ssize_t did = send(
		    c->fd, data + c->sent, n - c->sent, MSG_NOSIGNAL);

		if (did < 0) {
			if (errno == EAGAIN)
				load_arm(c);
			else
				load_fail(c, load_kind_of(errno));
			return false;
		}
		c->sent += (uint64_t)did;
	}
	return true;
}

bool
load_hold(struct load_conn *c, const char *data, size_t n)
{
	if (n > HELD || (!c->held && !(c->held = malloc(HELD)))) {
		load_fail(c, E_BAD_REPLY);
		return false;
	}
	memcpy(c->held, data, n);
	c->n_held = n;
	return true;
}

char *
load_whole(struct load_conn *c, char *data, size_t *n)
{
	static char whole[HELD + BUFFER];

	if (!c->n_held)
		return data;
	memcpy(whole, c->held, c->n_held);
	memcpy(whole + c->n_held, data, *n);
	*n += c->n_held;
	c->n_held = 0;
	return whole;
}
