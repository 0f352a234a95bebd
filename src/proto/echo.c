/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Echo (RFC 862): what comes in goes out, over streams and as datagrams.  Runs
 * in workers.  Keeps nothing about a connection; how far a peer that does not
 * read its own bytes may fall behind is the connection's business, which
 * stops the input above its high mark.
 */

#include "proto/builtin.h"

#include <string.h>

static enum cab_verdict
echo_input(struct cab_conn *conn)
{
	const char *p;

	cab_forward(conn, cab_peek(conn, &p));
	return CAB_READ;
}

static ssize_t
echo_datagram(struct cab_running *service, struct cab_slice request,
    char *reply, size_t cap)
{
	(void)service;
	/* Half a datagram would be a false echo. */
	if (request.n > cap)
		return -1;
	if (request.n > 0)
		memcpy(reply, request.p, request.n);
	return (ssize_t)request.n;
}

const struct cab_proto proto_echo = {
	.desc = {
		.name = "echo",
		.summary = "sends back what it receives (RFC 862)",
		.transports = CAB_STREAM | CAB_DGRAM,
	},
	.input = echo_input,
	.datagram = echo_datagram,
};
