/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of mini-SMTP share: smtp.c has the session (input, time,
 * options, service), smtp_command.c the commands and their replies, and
 * smtp_parse.c the grammar.  Nobody else includes this.  Workers.
 */
#ifndef CAB_PROTO_SMTP_H
#define CAB_PROTO_SMTP_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/proto.h"
#include "proto/smtp_parse.h"

#define SMTP_REPLY_MAX 512 /* RFC 5321 section 4.5.3.1.5, CR LF included */

enum smtp_mode {
	SMTP_BANNER,
	SMTP_SINK
};

struct smtp_options {
	const char *hostname, *banner;
	int mode;
	int64_t max_message, max_recipients, max_errors;
};

/* Texts that are the same for every connection of a service. */
struct smtp_service {
	char hostname[SMTP_MAX_DOMAIN + 1];
	char greeting[SMTP_REPLY_MAX], quit[SMTP_REPLY_MAX];
	char keywords[SMTP_REPLY_MAX]; /* of EHLO, from the second line on */
};

enum smtp_phase {
	SMTP_NEW,    /* no HELO or EHLO yet */
	SMTP_READY,  /* between transactions */
	SMTP_SENDER, /* MAIL has been accepted */
	SMTP_RCPT,   /* and a recipient too */
	SMTP_TEXT    /* after 354, up to the final dot */
};

/* What the deadline stands for. */
enum smtp_watch {
	SMTP_WATCH_NONE,
	SMTP_WATCH_LINE,
	SMTP_WATCH_TEXT
};

struct smtp_state {
	uint64_t size; /* octets of the message, or of a line being skipped */
	uint64_t progress; /* of them, since the deadline was set */
	uint32_t recipients, messages, errors;
	uint8_t phase, watch;
	uint8_t at;    /* enum smtp_at, in a message or a line being skipped */
	bool utf8 : 1; /* the transaction asked for SMTPUTF8 */
	bool skipping : 1; /* a line that was too long, up to its end */
	bool last_one : 1; /* the service ends: close after this message */
};

_Static_assert(sizeof(struct smtp_state) <= 64, "small state");

/* The texts of the connection's service. */
const struct smtp_service *smtp_service(const struct cab_conn *conn);

/* ---- smtp_command.c ---------------------------------------------------- */

/* One command, which a LF ended (not part of it): replies and says how the session goes on. */
enum cab_verdict smtp_line(struct cab_conn *conn, struct cab_slice line);

/*
 * Replies with one line of ours.  Too many 5xx end the session; asking for more
 * recipients than there may be is 4xx and no fault.
 */
enum cab_verdict smtp_reply(struct cab_conn *conn, const char *line);

/* Replies and ends the session; what still comes is read away, so that the reply arrives. */
enum cab_verdict smtp_end(struct cab_conn *conn, const char *line);

/* 421 with this status and text, which may come at any time (RFC 5321 section 3.8), and the end. */
enum cab_verdict
smtp_goodbye(struct cab_conn *conn, const char *status, const char *text);

/* Ends the session because of a bare CR or LF. */
enum cab_verdict smtp_bare(struct cab_conn *conn, enum smtp_text which);

/* Forgets the transaction, not the greeting. */
void smtp_forget(struct smtp_state *st);

#endif
