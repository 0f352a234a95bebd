/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of mini-SMTP: their order, their replies, and the limits that
 * belong to one.  Runs in workers.  Keeps no byte of an address, and never
 * sends a peer's bytes back: every reply is a text of ours.
 */

#include "proto/smtp.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

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

enum cab_verdict
smtp_end(struct cab_conn *conn, const char *line)
{
	smtp_write(conn, line);
	cab_count_error(conn, smtp_code(line));
	cab_linger(conn);
	return CAB_FINISH;
}

enum cab_verdict
smtp_goodbye(struct cab_conn *conn, const char *status, const char *text)
{
	cab_printf(conn, "421 %s %s %s\r\n", status,
	    smtp_service(conn)->hostname, text);
	cab_count_error(conn, 421);
	cab_linger(conn);
	return CAB_FINISH;
}

enum cab_verdict
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

enum cab_verdict
smtp_bare(struct cab_conn *conn, enum smtp_text which)
{
	bool lf = which == SMTP_TEXT_BARE_LF;

	cab_log(conn, CAB_LOG_INFO, "closed after a bare %s", lf ? "LF" : "CR");
	return smtp_end(conn,
	    lf ? "521 5.5.2 Bare <LF> received, lines end with <CR><LF>\r\n" :
		 "521 5.5.2 Bare <CR> received, lines end with <CR><LF>\r\n");
}

/* ---- commands --------------------------------------------------------- */

void
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
	cab_no_more_input(conn);
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

enum cab_verdict
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
