/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mini-SMTP (RFC 5321): a server that only greets (mode banner), or that takes
 * messages and throws them away (mode sink).  Runs in workers.  Keeps no byte
 * of an address or a message, never hands one to anything else, and never
 * sends a peer's bytes back.
 *
 * Here are the options, the cutting of input into lines and messages, and
 * time; commands are in smtp_command.c, the grammar in smtp_parse.c.  A line
 * ends with CR LF and nothing else: a bare CR or LF ends the session, in
 * commands and in messages alike (SMTP smuggling).
 */

#include "proto/smtp.h"

#include "proto/builtin.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RFC 5321 asks for 512, and the extensions of MAIL for up to 565; CR LF included. */
#define SMTP_LINE_MAX 1024
/* A longer line is refused at its end; one that is so long, at once. */
#define SMTP_SKIP_MAX 65536
/* Replies to one pipelined group that may wait for the peer to read. */
#define SMTP_QUEUE_MAX 16384
/* Commands and pieces of messages after which others may have their turn. */
#define SMTP_GROUP 64
/* A message must arrive with so many bytes a second on average over any idle time. */
#define SMTP_MIN_RATE 64

/* ---- options ---------------------------------------------------------- */

static const char *const smtp_modes[] = { "banner", "sink", NULL };

static const struct cab_opt smtp_rows[] = {
	{ .name = "mode",
	    .type = CAB_T_ENUM,
	    .offset = offsetof(struct smtp_options, mode),
	    .def = "banner",
	    .words = smtp_modes,
	    .help = "banner: greet and refuse mail; sink: take and discard it" },
	{ .name = "hostname",
	    .type = CAB_T_STRING,
	    .flags = CAB_F_NONEMPTY,
	    .offset = offsetof(struct smtp_options, hostname),
	    .max = SMTP_MAX_DOMAIN,
	    .help = "name in replies: a domain or an address literal in brackets "
		    "(default: the machine's host name)" },
	{ .name = "banner",
	    .type = CAB_T_STRING,
	    .offset = offsetof(struct smtp_options, banner),
	    .max = 200,
	    .def = "ESMTP",
	    .help = "text after the host name in the greeting" },
	{ .name = "max_message",
	    .type = CAB_T_SIZE,
	    .flags = CAB_F_UNLIMITED,
	    .offset = offsetof(struct smtp_options, max_message),
	    .min = 1,
	    .max = INT64_C(1) << 50,
	    .def = "10M",
	    .help = "largest message, announced as SIZE" },
	{ .name = "max_recipients",
	    .type = CAB_T_INT,
	    .offset = offsetof(struct smtp_options, max_recipients),
	    .min = 1,
	    .max = 100000,
	    .def = "100",
	    .help = "most recipients of one message" },
	{ .name = "max_errors",
	    .type = CAB_T_INT,
	    .offset = offsetof(struct smtp_options, max_errors),
	    .min = 1,
	    .max = 10000,
	    .def = "10",
	    .help = "wrong commands after which the session ends" },
};

static void
smtp_check(void *options,
    void (*complain)(void *arg, const char *option, const char *fmt, ...)
	__attribute__((format(printf, 3, 4))),
    void *arg)
{
	const struct smtp_options *o = options;
	struct cab_slice name;
	const char *c;

	if (o->hostname != NULL) {
		name = (struct cab_slice){ o->hostname, strlen(o->hostname) };
		if (!smtp_is_domain(name) && !smtp_is_literal(name))
			complain(arg, "hostname",
			    "must be a domain name such as mx.example.org, or an "
			    "address in brackets such as [192.0.2.1]");
	}
	/* RFC 5321 section 4.2: a textstring is printable ASCII. */
	for (c = o->banner; c != NULL && *c != '\0'; c++) {
		if (*c < ' ' || *c > '~') {
			complain(arg, "banner", "must be printable ASCII");
			break;
		}
	}
}

static const struct cab_group smtp_group = {
	.name = "smtp",
	.opts = smtp_rows,
	.n_opts = CAB_N(smtp_rows),
	.size = sizeof(struct smtp_options),
	.check = smtp_check,
};

const struct smtp_service *
smtp_service(const struct cab_conn *conn)
{
	return cab_service_data(cab_running(conn));
}

/* ---- messages --------------------------------------------------------- */

static enum cab_verdict
smtp_message_end(struct cab_conn *conn, struct smtp_state *st)
{
	const struct smtp_options *o = cab_options(conn);
	enum cab_verdict v = CAB_READ;

	if (o->max_message > 0 && st->size > (uint64_t)o->max_message)
		v = smtp_reply(
		    conn, "552 5.3.4 Message size exceeds the limit\r\n");
	else {
		st->messages++;
		st->errors = 0;
		cab_printf(conn,
		    "250 2.0.0 Ok: discarded as %" PRIX64 "-%" PRIu32 "\r\n",
		    cab_id(conn), st->messages);
		cab_log(conn, CAB_LOG_DEBUG,
		    "discarded message %" PRIu32 " of %" PRIu64
		    " bytes to %" PRIu32 " recipients",
		    st->messages, st->size, st->recipients);
	}
	smtp_forget(st);
	if (v == CAB_READ && st->last_one)
		v = smtp_goodbye(conn, "4.3.2", "Service shutting down");
	return v;
}

/* ---- input ------------------------------------------------------------ */

/* What was begun is complete: its deadline no longer counts. */
static void
smtp_complete(struct cab_conn *conn, struct smtp_state *st)
{
	if (st->watch != SMTP_WATCH_NONE)
		cab_deadline(conn, 0);
	st->watch = SMTP_WATCH_NONE;
}

/*
 * Something was begun and is not complete.  A byte now and then must not keep
 * a connection longer than silence would: a line has the idle time from its
 * first byte, a message has to grow by SMTP_MIN_RATE over each idle time.
 */
static void
smtp_watch(struct cab_conn *conn, struct smtp_state *st)
{
	uint64_t idle = cab_service_idle_ms(cab_running(conn));

	if (idle == 0 || st->watch != SMTP_WATCH_NONE)
		return;
	st->watch = st->phase == SMTP_TEXT ? SMTP_WATCH_TEXT : SMTP_WATCH_LINE;
	st->progress = 0;
	cab_deadline(conn, idle);
}

static enum cab_verdict
smtp_input_text(struct cab_conn *conn, struct smtp_state *st)
{
	enum smtp_at at = st->at;
	enum smtp_text text;
	const char *p;
	size_t n, used;

	n = cab_peek(conn, &p);
	text = smtp_scan_message(&at, p, n, &used, &st->size);
	st->at = (uint8_t)at;
	st->progress += used;
	cab_consume(conn, used);
	if (text == SMTP_TEXT_MORE)
		return CAB_READ;
	smtp_complete(conn, st);
	if (text != SMTP_TEXT_END)
		return smtp_bare(conn, text);
	return smtp_message_end(conn, st);
}

/*
 * A line that was too long, up to its end: nothing of it is taken for another
 * command.  One that does not end soon ends the session.
 */
static enum cab_verdict
smtp_input_skip(struct cab_conn *conn, struct smtp_state *st)
{
	enum smtp_at at = st->at;
	enum smtp_text text;
	const char *p;
	size_t n, used;

	n = cab_peek(conn, &p);
	if (n > SMTP_SKIP_MAX - st->size)
		n = SMTP_SKIP_MAX - st->size;
	text = smtp_scan_line(&at, p, n, &used);
	st->at = (uint8_t)at;
	st->size += used;
	cab_consume(conn, used);
	if (text == SMTP_TEXT_MORE)
		return st->size < SMTP_SKIP_MAX ?
		    CAB_READ :
		    smtp_end(conn, "500 5.5.2 Line too long, closing\r\n");
	smtp_complete(conn, st);
	st->skipping = false;
	if (text != SMTP_TEXT_END)
		return smtp_bare(conn, text);
	return smtp_reply(conn, "500 5.5.2 Line too long\r\n");
}

/* One command, of which *partial tells that only a part is there. */
static enum cab_verdict
smtp_input_line(struct cab_conn *conn, struct smtp_state *st, bool *partial)
{
	struct cab_slice line;

	switch (cab_line(conn, SMTP_LINE_MAX, &line)) {
	case CAB_LINE:
		smtp_complete(conn, st);
		return smtp_line(conn, line);
	case CAB_LINE_TOO_LONG:
		st->skipping = true;
		st->at = SMTP_AT_LINE;
		st->size = 0;
		return CAB_READ;
	default:
		*partial = true;
		return CAB_READ;
	}
}

/* All commands that are there: the replies to a pipelined group leave together. */
static enum cab_verdict
smtp_input(struct cab_conn *conn)
{
	struct smtp_state *st = cab_state(conn);
	enum cab_verdict v = CAB_READ;
	bool partial = false;
	const char *p;

	for (unsigned i = 0; i < SMTP_GROUP && v == CAB_READ && !partial &&
	     cab_peek(conn, &p) > 0;
	     i++) {
		if (cab_queued(conn) > SMTP_QUEUE_MAX)
			v = CAB_WAIT;
		else if (st->phase == SMTP_TEXT)
			v = smtp_input_text(conn, st);
		else if (st->skipping)
			v = smtp_input_skip(conn, st);
		else
			v = smtp_input_line(conn, st, &partial);
	}
	if (v == CAB_READ && (partial || st->skipping || st->phase == SMTP_TEXT))
		smtp_watch(conn, st);
	return v;
}

/* ---- the rest of the interface ----------------------------------------- */

static enum cab_verdict
smtp_opened(struct cab_conn *conn)
{
	const char *greeting = smtp_service(conn)->greeting;

	cab_write(conn, greeting, strlen(greeting));
	return CAB_READ;
}

static enum cab_verdict
smtp_expired(struct cab_conn *conn, enum cab_expiry why)
{
	struct smtp_state *st = cab_state(conn);
	uint64_t idle = cab_service_idle_ms(cab_running(conn));

	if (why == CAB_EXPIRED_SHUTDOWN) {
		/* A message under way is worth its end; the core limits how long. */
		st->last_one = st->phase == SMTP_TEXT;
		if (st->last_one)
			return CAB_READ;
		return smtp_goodbye(conn, "4.3.2", "Service shutting down");
	}
	if (why == CAB_EXPIRED_DEADLINE && st->watch == SMTP_WATCH_TEXT &&
	    st->progress >= idle * SMTP_MIN_RATE / 1000) {
		st->watch = SMTP_WATCH_NONE;
		smtp_watch(conn, st);
		return CAB_READ;
	}
	return smtp_goodbye(conn, "4.4.2", "Timeout, closing connection");
}

static const struct {
	const char *code, *text;
} smtp_refusals[CAB_REFUSED_MAX] = {
	/* RFC 5321 section 3.1: 554 in place of the greeting. */
	[CAB_REFUSED_ACCESS] = { "554 5.7.1", "Access denied" },
	[CAB_REFUSED_CONNECTIONS] = { "421 4.3.2",
	    "Too many connections, try again later" },
	[CAB_REFUSED_PER_SOURCE] = { "421 4.7.0",
	    "Too many connections from your address" },
	[CAB_REFUSED_RATE] = { "421 4.3.2",
	    "Too many connections, try again later" },
	[CAB_REFUSED_SOURCE_RATE] = { "421 4.7.0",
	    "Connecting too often, try again later" },
	[CAB_REFUSED_SHUTDOWN] = { "421 4.3.2", "Service shutting down" },
	[CAB_REFUSED_RESOURCES] = { "421 4.3.2",
	    "Out of resources, try again later" },
};

static size_t
smtp_refuse(const struct cab_running *service, enum cab_refusal why,
    char *reply, size_t cap)
{
	const struct smtp_service *s = cab_service_data(service);
	int n;

	n = snprintf(reply, cap, "%s %s %s\r\n", smtp_refusals[why].code,
	    s->hostname, smtp_refusals[why].text);
	return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

/* ---- service ---------------------------------------------------------- */

/* Needs no network and no name service: the kernel's host name, if it is one. */
static void
smtp_own_name(char name[static SMTP_MAX_DOMAIN + 1])
{
	if (gethostname(name, SMTP_MAX_DOMAIN) == 0) {
		name[SMTP_MAX_DOMAIN] = '\0';
		if (smtp_is_domain((struct cab_slice){ name, strlen(name) }))
			return;
	}
	snprintf(name, SMTP_MAX_DOMAIN + 1, "localhost");
}

static void
smtp_keywords(const struct smtp_options *o, char *dst, size_t cap)
{
	char size[32] = "";

	/* SIZE without a number: no fixed limit (RFC 1870 section 3). */
	if (o->max_message > 0)
		snprintf(size, sizeof(size), " %" PRId64, o->max_message);
	if (o->mode == SMTP_SINK)
		snprintf(dst, cap,
		    "\r\n250-PIPELINING\r\n250-SIZE%s\r\n250-8BITMIME\r\n"
		    "250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n",
		    size);
	else
		snprintf(dst, cap,
		    "\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n"
		    "250 HELP\r\n");
}

static int
smtp_start(struct cab_running *service)
{
	const struct smtp_options *o = cab_service_options(service);
	struct smtp_service *s = calloc(1, sizeof(*s));
	bool text = o->banner != NULL && *o->banner != '\0';

	if (s == NULL)
		return -ENOMEM;
	if (o->hostname != NULL)
		snprintf(s->hostname, sizeof(s->hostname), "%s", o->hostname);
	else
		smtp_own_name(s->hostname);
	snprintf(s->greeting, sizeof(s->greeting), "220 %s%s%s\r\n",
	    s->hostname, text ? " " : "", text ? o->banner : "");
	snprintf(s->quit, sizeof(s->quit), "221 2.0.0 %s Bye\r\n", s->hostname);
	smtp_keywords(o, s->keywords, sizeof(s->keywords));
	cab_service_set_data(service, s);
	return 0;
}

static void
smtp_stop(struct cab_running *service)
{
	free(cab_service_data(service));
	cab_service_set_data(service, NULL);
}

const struct cab_proto proto_smtp = {
	.desc = {
		.name = "smtp",
		.summary = "greets mail clients, or takes mail and discards it (RFC 5321)",
		.transports = CAB_STREAM,
		.options = &smtp_group,
	},
	.state_size = sizeof(struct smtp_state),
	.start = smtp_start,
	.stop = smtp_stop,
	.opened = smtp_opened,
	.input = smtp_input,
	.drained = smtp_input,
	.expired = smtp_expired,
	.refuse = smtp_refuse,
};
