/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mini-SMTP (RFC 5321): a server that only greets (mode banner), or that takes
 * messages and throws them away (mode sink).  Runs in workers.  Keeps no byte
 * of an address or a message, never hands one to anything else, and never
 * sends a peer's bytes back.
 *
 * The grammar is in smtp_parse.c; here are the order of commands, the replies
 * and the limits.  A line ends with CR LF and nothing else: a bare CR or LF
 * ends the session, in commands and in messages alike (SMTP smuggling).
 */

#include "proto/builtin.h"
#include "proto/smtp_parse.h"

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
/* A message must arrive with so many bytes a second on average over any idle time. */
#define SMTP_MIN_RATE  64
#define SMTP_REPLY_MAX 512 /* RFC 5321 section 4.5.3.1.5, CR LF included */

/* ---- options ---------------------------------------------------------- */

enum smtp_mode {
	SMTP_BANNER,
	SMTP_SINK
};

struct smtp_options {
	const char *hostname, *banner;
	int mode;
	int64_t max_message, max_recipients, max_errors;
};

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

/* ---- what a service and a connection know ------------------------------ */

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

static const struct smtp_service *
smtp_service(const struct cab_conn *conn)
{
	return cab_service_data(cab_running(conn));
}

/* ---- replies ---------------------------------------------------------- */

/* One complete reply line of ours; NUL-terminated. */
static void
smtp_write(struct cab_conn *conn, const char *line)
{
	cab_write(conn, line, strlen(line));
}

static unsigned
smtp_code(const char *line)
{
	return (unsigned)(line[0] - '0') * 100 +
	    (unsigned)(line[1] - '0') * 10 + (unsigned)(line[2] - '0');
}

/* Replies and ends the session; what still comes is read away, so that the reply arrives. */
static enum cab_verdict
smtp_end(struct cab_conn *conn, const char *line)
{
	smtp_write(conn, line);
	cab_count_error(conn, smtp_code(line));
	cab_linger(conn);
	return CAB_FINISH;
}

/* 421 may be sent at any time (RFC 5321 section 3.8) and names the host. */
static enum cab_verdict
smtp_goodbye(struct cab_conn *conn, const char *status, const char *text)
{
	cab_printf(conn, "421 %s %s %s\r\n", status,
	    smtp_service(conn)->hostname, text);
	cab_count_error(conn, 421);
	cab_linger(conn);
	return CAB_FINISH;
}

/* Replies; too many failed commands end the session, but asking for more
 * recipients than there may be is no fault. */
static enum cab_verdict
smtp_reply(struct cab_conn *conn, const char *line)
{
	const struct smtp_options *o = cab_options(conn);
	struct smtp_state *st = cab_state(conn);

	smtp_write(conn, line);
	if (line[0] < '4')
		return CAB_READ;
	cab_count_error(conn, smtp_code(line));
	if (line[0] < '5' || ++st->errors < o->max_errors)
		return CAB_READ;
	cab_log(conn, CAB_LOG_INFO, "closed after %" PRIu32 " wrong commands",
	    st->errors);
	return smtp_goodbye(conn, "4.7.0", "Too many errors");
}

static enum cab_verdict
smtp_bare(struct cab_conn *conn, enum smtp_text which)
{
	bool lf = which == SMTP_TEXT_BARE_LF;

	cab_log(conn, CAB_LOG_INFO, "closed after a bare %s", lf ? "LF" : "CR");
	return smtp_end(conn,
	    lf ? "521 5.5.2 Bare <LF> received, lines end with <CR><LF>\r\n" :
		 "521 5.5.2 Bare <CR> received, lines end with <CR><LF>\r\n");
}

/* ---- commands --------------------------------------------------------- */

/* Forgets the transaction, not the greeting. */
static void
smtp_forget(struct smtp_state *st)
{
	if (st->phase != SMTP_NEW)
		st->phase = SMTP_READY;
	st->recipients = 0;
	st->utf8 = false;
}

/* The peer's address as a literal; never the name that it gave itself. */
static void
smtp_write_peer(struct cab_conn *conn)
{
	const struct cab_peer *peer = cab_peer(conn);
	char text[CAB_PEER_TEXT], *zone;

	if (peer->family != AF_INET && peer->family != AF_INET6)
		return;
	peer_ip_text(peer, text, sizeof(text));
	zone = strchr(text, '%');
	if (zone != NULL)
		*zone = '\0';
	cab_printf(conn, " Hello [%s%s]",
	    peer->family == AF_INET6 ? "IPv6:" : "", text);
}

static enum cab_verdict
smtp_hello(struct cab_conn *conn, struct cab_slice args, const char *usage,
    const char *code, const char *keywords)
{
	struct smtp_state *st = cab_state(conn);

	if (!smtp_is_helo(args))
		return smtp_reply(conn, usage);
	/* RFC 5321 section 4.1.4: a second one acts as RSET too. */
	st->phase = SMTP_READY;
	smtp_forget(st);
	smtp_write(conn, code);
	smtp_write(conn, smtp_service(conn)->hostname);
	smtp_write_peer(conn);
	smtp_write(conn, keywords);
	return CAB_READ;
}

static enum cab_verdict
smtp_ehlo(struct cab_conn *conn, struct cab_slice args)
{
	return smtp_hello(conn, args, "501 Syntax: EHLO hostname\r\n", "250-",
	    smtp_service(conn)->keywords);
}

static enum cab_verdict
smtp_helo(struct cab_conn *conn, struct cab_slice args)
{
	return smtp_hello(
	    conn, args, "501 Syntax: HELO hostname\r\n", "250 ", "\r\n");
}

/* The reply to an address that smtp_parse_path refused with r. */
static const char *
smtp_path_reply(int r, enum smtp_direction direction)
{
	bool sender = direction == SMTP_REVERSE;

	if (r == -ENAMETOOLONG)
		return sender ? "501 5.1.7 Sender address too long\r\n" :
				"501 5.1.3 Recipient address too long\r\n";
	if (r == -EILSEQ)
		return sender ? "501 5.1.7 Sender address is not UTF-8\r\n" :
				"501 5.1.3 Recipient address is not UTF-8\r\n";
	return sender ? "501 5.1.7 Bad sender address syntax\r\n" :
			"501 5.1.3 Bad recipient address syntax\r\n";
}

/* ---- parameters of MAIL: NULL, or the reply that refuses one ---- */

static const char *
smtp_param_size(struct cab_conn *conn, const struct smtp_param *param)
{
	const struct smtp_options *o = cab_options(conn);
	uint64_t size;

	if (!param->has_value || smtp_parse_size(param->value, &size) < 0)
		return "501 5.5.4 Syntax: SIZE=octets\r\n";
	if (o->max_message > 0 && size > (uint64_t)o->max_message)
		return "552 5.3.4 Message size exceeds the limit\r\n";
	return NULL;
}

static const char *
smtp_param_body(struct cab_conn *conn, const struct smtp_param *param)
{
	(void)conn;
	if (!param->has_value)
		return "501 5.5.4 Syntax: BODY=7BIT or BODY=8BITMIME\r\n";
	if (!slice_ieq(param->value, "7BIT") &&
	    !slice_ieq(param->value, "8BITMIME"))
		return "555 5.5.4 BODY must be 7BIT or 8BITMIME\r\n";
	return NULL;
}

static const char *
smtp_param_utf8(struct cab_conn *conn, const struct smtp_param *param)
{
	struct smtp_state *st = cab_state(conn);

	if (param->has_value)
		return "501 5.5.4 SMTPUTF8 takes no value\r\n";
	st->utf8 = true;
	return NULL;
}

static const struct {
	const char *keyword;
	const char *(*take)(
	    struct cab_conn *conn, const struct smtp_param *param);
} smtp_mail_params[] = {
	{ "SIZE", smtp_param_size },
	{ "BODY", smtp_param_body },
	{ "SMTPUTF8", smtp_param_utf8 },
};

static const char *
smtp_take_mail_param(
    struct cab_conn *conn, const struct smtp_param *param, unsigned *seen)
{
	size_t i;

	for (i = 0; i < CAB_N(smtp_mail_params); i++) {
		if (!slice_ieq(param->keyword, smtp_mail_params[i].keyword))
			continue;
		if (*seen & 1u << i)
			return "501 5.5.4 Parameter given twice\r\n";
		*seen |= 1u << i;
		return smtp_mail_params[i].take(conn, param);
	}
	return "555 5.5.4 Parameter not supported\r\n";
}

static const char *
smtp_take_mail_params(struct cab_conn *conn, struct cab_slice args)
{
	struct smtp_param param;
	const char *refusal;
	unsigned seen = 0;
	int r;

	while ((r = smtp_next_param(&args, &param)) > 0) {
		refusal = smtp_take_mail_param(conn, &param, &seen);
		if (refusal != NULL)
			return refusal;
	}
	return r < 0 ? "501 5.5.4 Bad parameter syntax\r\n" : NULL;
}

static enum cab_verdict
smtp_mail(struct cab_conn *conn, struct cab_slice args)
{
	const struct smtp_options *o = cab_options(conn);
	struct smtp_state *st = cab_state(conn);
	struct smtp_path path;
	const char *refusal;
	int r;

	/* Not 521: RFC 7504 keeps that for the greeting, and ours was friendly. */
	if (o->mode == SMTP_BANNER)
		return smtp_reply(
		    conn, "550 5.3.2 This host does not accept mail\r\n");
	if (smtp_take_word(&args, "FROM:") < 0)
		return smtp_reply(
		    conn, "501 5.5.4 Syntax: MAIL FROM:<address>\r\n");
	r = smtp_parse_path(&args, SMTP_REVERSE, &path);
	if (r < 0)
		return smtp_reply(conn, smtp_path_reply(r, SMTP_REVERSE));
	refusal = smtp_take_mail_params(conn, args);
	/* RFC 6531 section 3.5: 550 for the sender, 553 for a recipient. */
	if (refusal == NULL && path.utf8 && !st->utf8)
		refusal = "550 5.6.7 Sender address needs SMTPUTF8\r\n";
	if (refusal != NULL) {
		smtp_forget(st);
		return smtp_reply(conn, refusal);
	}
	st->phase = SMTP_SENDER;
	return smtp_reply(conn, "250 2.1.0 Ok\r\n");
}

static enum cab_verdict
smtp_rcpt(struct cab_conn *conn, struct cab_slice args)
{
	const struct smtp_options *o = cab_options(conn);
	struct smtp_state *st = cab_state(conn);
	struct smtp_path path;
	struct smtp_param param;
	int r;

	if (smtp_take_word(&args, "TO:") < 0)
		return smtp_reply(
		    conn, "501 5.5.4 Syntax: RCPT TO:<address>\r\n");
	r = smtp_parse_path(&args, SMTP_FORWARD, &path);
	if (r < 0)
		return smtp_reply(conn, smtp_path_reply(r, SMTP_FORWARD));
	r = smtp_next_param(&args, &param);
	if (r < 0)
		return smtp_reply(conn, "501 5.5.4 Bad parameter syntax\r\n");
	if (r > 0)
		return smtp_reply(conn, "555 5.5.4 Parameter not supported\r\n");
	if (path.utf8 && !st->utf8)
		return smtp_reply(
		    conn, "553 5.6.7 Recipient address needs SMTPUTF8\r\n");
	if (st->recipients >= o->max_recipients)
		return smtp_reply(conn, "452 4.5.3 Too many recipients\r\n");
	st->recipients++;
	st->phase = SMTP_RCPT;
	return smtp_reply(conn, "250 2.1.5 Ok\r\n");
}

static enum cab_verdict
smtp_data(struct cab_conn *conn, struct cab_slice args)
{
	struct smtp_state *st = cab_state(conn);

	(void)args;
	st->phase = SMTP_TEXT;
	st->at = SMTP_AT_START;
	st->size = 0;
	return smtp_reply(conn, "354 End data with <CR><LF>.<CR><LF>\r\n");
}

static enum cab_verdict
smtp_rset(struct cab_conn *conn, struct cab_slice args)
{
	(void)args;
	smtp_forget(cab_state(conn));
	return smtp_reply(conn, "250 2.0.0 Ok\r\n");
}

static enum cab_verdict
smtp_quit(struct cab_conn *conn, struct cab_slice args)
{
	(void)args;
	smtp_write(conn, smtp_service(conn)->quit);
	return CAB_FINISH;
}

/* ---- the command table ------------------------------------------------ */

#define IN(phase) (1u << (phase))
#define ANYTIME \
	(IN(SMTP_NEW) | IN(SMTP_READY) | IN(SMTP_SENDER) | IN(SMTP_RCPT))

enum smtp_args {
	SMTP_ARGS_ANY,
	SMTP_ARGS_NONE,
	SMTP_ARGS_SOME
};

struct smtp_command {
	const char *verb;
	unsigned phases; /* where it is in order */
	enum smtp_args args;
	bool alone; /* nothing may have been sent after it without waiting for the reply */
	bool ends; /* the answer is the last one */
	enum cab_verdict (*act)(struct cab_conn *conn, struct cab_slice args);
	const char *answer; /* where there is no act */
};

#define NOT_HTTP "554 5.5.1 This is an SMTP server\r\n"

/* The common ones first: the search is from the front. */
static const struct smtp_command smtp_commands[] = {
	{ .verb = "RCPT",
	    .phases = IN(SMTP_SENDER) | IN(SMTP_RCPT),
	    .act = smtp_rcpt },
	{ .verb = "MAIL", .phases = IN(SMTP_READY), .act = smtp_mail },
	{ .verb = "DATA",
	    .phases = IN(SMTP_RCPT),
	    .args = SMTP_ARGS_NONE,
	    .alone = true,
	    .act = smtp_data },
	{ .verb = "QUIT",
	    .phases = ANYTIME,
	    .args = SMTP_ARGS_NONE,
	    .act = smtp_quit },
	{ .verb = "EHLO", .phases = ANYTIME, .act = smtp_ehlo },
	{ .verb = "HELO", .phases = ANYTIME, .act = smtp_helo },
	{ .verb = "RSET",
	    .phases = ANYTIME,
	    .args = SMTP_ARGS_NONE,
	    .act = smtp_rset },
	{ .verb = "NOOP", .phases = ANYTIME, .answer = "250 2.0.0 Ok\r\n" },
	{ .verb = "HELP",
	    .phases = ANYTIME,
	    .answer = "214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA RSET NOOP "
		      "VRFY HELP QUIT\r\n" },
	/* RFC 5321 section 7.3: 252 gives nothing away. */
	{ .verb = "VRFY",
	    .phases = ANYTIME,
	    .args = SMTP_ARGS_SOME,
	    .answer = "252 2.5.0 Cannot verify the user\r\n" },
	{ .verb = "EXPN",
	    .phases = ANYTIME,
	    .answer = "502 5.5.1 EXPN not implemented\r\n" },
	{ .verb = "AUTH",
	    .phases = ANYTIME,
	    .answer = "502 5.5.1 AUTH not implemented\r\n" },
	{ .verb = "STARTTLS",
	    .phases = ANYTIME,
	    .answer = "502 5.5.1 STARTTLS not implemented\r\n" },
	/* The message follows at once; reading it as commands would be an invitation. */
	{ .verb = "BDAT",
	    .phases = ANYTIME,
	    .ends = true,
	    .answer = "502 5.5.1 BDAT not implemented\r\n" },
	/* A browser that a web page makes talk to us. */
	{ .verb = "GET", .phases = ANYTIME, .ends = true, .answer = NOT_HTTP },
	{ .verb = "POST", .phases = ANYTIME, .ends = true, .answer = NOT_HTTP },
	{ .verb = "PUT", .phases = ANYTIME, .ends = true, .answer = NOT_HTTP },
	{ .verb = "HEAD", .phases = ANYTIME, .ends = true, .answer = NOT_HTTP },
	{ .verb = "OPTIONS", .phases = ANYTIME, .ends = true, .answer = NOT_HTTP },
	{ .verb = "CONNECT", .phases = ANYTIME, .ends = true, .answer = NOT_HTTP },
};

static const char *
smtp_order_reply(const struct smtp_state *st, const struct smtp_command *c)
{
	if (st->phase == SMTP_NEW)
		return "503 5.5.1 Send EHLO or HELO first\r\n";
	if (c->phases & IN(SMTP_READY))
		return "503 5.5.1 Sender already given\r\n";
	if (st->phase == SMTP_READY)
		return "503 5.5.1 Need MAIL first\r\n";
	return "503 5.5.1 Need RCPT first\r\n";
}

static enum cab_verdict
smtp_perform(
    struct cab_conn *conn, const struct smtp_command *c, struct cab_slice args)
{
	const struct smtp_state *st = cab_state(conn);
	const char *unread;

	/*
	 * RFC 2920 section 3.1: whatever the answer to DATA, what came with it
	 * was sent as a message or as commands by guess; to take it for the
	 * other would let its author choose.
	 */
	if (c->alone && cab_peek(conn, &unread) > 0) {
		cab_log(conn, CAB_LOG_INFO,
		    "closed after data sent without waiting for 354");
		return smtp_end(conn,
		    "554 5.5.1 Data sent without waiting for the reply\r\n");
	}
	if (!(c->phases & IN(st->phase)))
		return smtp_reply(conn, smtp_order_reply(st, c));
	if (c->args == SMTP_ARGS_NONE && args.n > 0)
		return smtp_reply(
		    conn, "501 5.5.4 Command takes no argument\r\n");
	if (c->args == SMTP_ARGS_SOME && args.n == 0)
		return smtp_reply(
		    conn, "501 5.5.4 Command needs an argument\r\n");
	if (c->act != NULL)
		return c->act(conn, args);
	return c->ends ? smtp_end(conn, c->answer) : smtp_reply(conn, c->answer);
}

static enum cab_verdict
smtp_line(struct cab_conn *conn, struct cab_slice line)
{
	struct cab_slice verb, args;
	enum smtp_text text = smtp_check_line(&line);
	size_t i;

	if (text != SMTP_TEXT_END)
		return smtp_bare(conn, text);
	smtp_split(line, &verb, &args);
	for (i = 0; i < CAB_N(smtp_commands); i++) {
		if (slice_ieq(verb, smtp_commands[i].verb))
			return smtp_perform(conn, &smtp_commands[i], args);
	}
	return smtp_reply(conn, "500 5.5.2 Command not recognized\r\n");
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

	while (v == CAB_READ && !partial && cab_peek(conn, &p) > 0) {
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
	smtp_write(conn, smtp_service(conn)->greeting);
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
