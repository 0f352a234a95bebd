/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Daytime (RFC 867): one line with the date and time, then the end.  Runs in
 * workers.  What a peer sends is thrown away, as the RFC asks; the text is the
 * clock's cached one, made at most once a second.
 */

#include "proto/builtin.h"

#include "base/clock.h"

#include <string.h>

#define DAYTIME_TEXT 24 /* what clock_daytime returns */
#define DAYTIME_LINE (DAYTIME_TEXT + 2)

static void
daytime_line(char line[static DAYTIME_LINE])
{
	memcpy(line, clock_daytime(), DAYTIME_TEXT);
	memcpy(line + DAYTIME_TEXT, "\r\n", 2);
}

static enum cab_verdict
daytime_opened(struct cab_conn *conn)
{
	char line[DAYTIME_LINE];

	daytime_line(line);
	cab_write(conn, line, sizeof(line));
	return CAB_FINISH;
}

/* Required of a stream protocol; after FINISH the connection drains input itself. */
static enum cab_verdict
daytime_input(struct cab_conn *conn)
{
	const char *p;

	cab_consume(conn, cab_peek(conn, &p));
	return CAB_FINISH;
}

static ssize_t
daytime_datagram(struct cab_running *service, struct cab_slice request,
    char *reply, size_t cap)
{
	(void)service;
	(void)request;
	if (cap < DAYTIME_LINE)
		return -1;
	daytime_line(reply);
	return DAYTIME_LINE;
}

const struct cab_proto proto_daytime = {
	.desc = {
		.name = "daytime",
		.summary = "tells the date and time (RFC 867)",
		.transports = CAB_STREAM | CAB_DGRAM,
	},
	.opened = daytime_opened,
	.input = daytime_input,
	.datagram = daytime_datagram,
};
