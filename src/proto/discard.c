/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Discard (RFC 863): reads and throws away until the peer closes, and never
 * answers.  Runs in workers.  Keeps nothing about a connection.
 */

#include "proto/builtin.h"

static enum cab_verdict
discard_input(struct cab_conn *conn)
{
	const char *p;

	cab_consume(conn, cab_peek(conn, &p));
	return CAB_READ;
}

static ssize_t
discard_datagram(struct cab_running *service, struct cab_slice request,
    char *reply, size_t cap)
{
	(void)service;
	(void)request;
	(void)reply;
	(void)cap;
	return -1;
}

const struct cab_proto proto_discard = {
	.desc = {
		.name = "discard",
		.summary = "reads everything and answers nothing (RFC 863)",
		.transports = CAB_STREAM | CAB_DGRAM,
	},
	.input = discard_input,
	.datagram = discard_datagram,
};
