/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of mini-SMTP over the in-memory transport: whole sessions at every
 * split, the table of smuggling attempts, limits, time, refusals and options.
 *
 * A script is what a client sends, a '|' standing for a wait for the replies.
 * In expected output the identifier of a message is "ID".
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/builtin.h"
#include "tests/support/mem.h"

enum {
	BANNER,
	SINK
};

#define MAX_OUTPUT 65536
#define WHOLE      ((size_t)1 << 30)

/* ---- options ---------------------------------------------------------- */

/* Where the option of this name is kept. */
static void *
option_at(void *options, const char *name)
{
	const struct cab_group *group = proto_smtp.desc.options;
	size_t i;

	for (i = 0; i < group->n_opts; i++) {
		if (strcmp(group->opts[i].name, name) == 0)
			return (char *)options + group->opts[i].offset;
	}
	fail_msg("no option %s", name);
	return NULL;
}

struct setting {
	const char *name;
	int64_t value;
};

struct server {
	void *options;
	struct mem_service *service;
};

/* A service in this mode with up to two settings changed; names of NULL change nothing. */
static struct server
server_start(int mode, struct setting one, struct setting two)
{
	struct server s;

	s.options = mem_default_options(proto_smtp.desc.options);
	assert_non_null(s.options);
	*(int *)option_at(s.options, "mode") = mode;
	*(const char **)option_at(s.options, "hostname") = "mx.test";
	if (one.name != NULL)
		*(int64_t *)option_at(s.options, one.name) = one.value;
	if (two.name != NULL)
		*(int64_t *)option_at(s.options, two.name) = two.value;
	s.service = mem_service_new(&proto_smtp, s.options, NULL, -1);
	assert_non_null(s.service);
	return s;
}

static struct server
server_plain(int mode)
{
	return server_start(
	    mode, (struct setting){ NULL, 0 }, (struct setting){ NULL, 0 });
}

static void
server_stop(struct server *s)
{
	mem_service_free(s->service);
	free(s->options);
}

/* ---- sessions --------------------------------------------------------- */

/* Sends a script; step bytes arrive in one read. */
static void
play(struct mem_conn *conn, const char *script, size_t n, size_t step)
{
	size_t i, start = 0;

	for (i = 0; i <= n; i++) {
		if (i < n && script[i] != '|')
			continue;
		mem_feed_split(conn, script + start, i - start, step);
		start = i + 1;
	}
}

/* Everything after the greeting, the identifiers of messages replaced; a string. */
static const char *
heard(struct mem_conn *conn)
{
	static const char greeting[] = "220 mx.test ESMTP\r\n";
	static const char mark[] = "discarded as ";
	static char text[MAX_OUTPUT];
	size_t n, out = 0;
	const char *p = mem_output(conn, &n), *end = p + n;

	assert_true(n >= sizeof(greeting) - 1 && n < sizeof(text));
	assert_memory_equal(p, greeting, sizeof(greeting) - 1);
	assert_null(memchr(p, '\0', n));
	for (p += sizeof(greeting) - 1; p < end;) {
		text[out++] = *p++;
		if (out < sizeof(mark) - 1 ||
		    memcmp(text + out - (sizeof(mark) - 1), mark,
			sizeof(mark) - 1) != 0)
			continue;
		text[out++] = 'I';
		text[out++] = 'D';
		while (p < end && *p != '\r')
			p++;
	}
	text[out] = '\0';
	return text;
}

static void
check_heard(struct mem_conn *conn, const char *want, const char *script)
{
	const char *got = heard(conn);

	if (strcmp(got, want) != 0)
		fail_msg("script:\n%s\ngot:\n%s\nwant:\n%s", script, got, want);
}

/* One session as one read, and at every step up to 40 bytes and some more. */
static void
check_session(struct server *s, const char *script, size_t n, const char *want,
    bool finished)
{
	size_t step;

	for (step = 1; step <= WHOLE; step = step < 40 ? step + 1 : step * 8) {
		struct mem_conn *conn = mem_open(s->service);

		play(conn, script, n, step);
		check_heard(conn, want, script);
		assert_int_equal(mem_finished(conn), finished);
		mem_free(conn);
	}
}

struct session {
	int mode;
	bool finished;
	const char *script, *want;
};

#define OPEN   false
#define CLOSED true

/* Pieces of sessions. */
#define EHLO  "EHLO client.test\r\n"
#define MAIL  "MAIL FROM:<a@b.test>\r\n"
#define RCPT  "RCPT TO:<c@d.test>\r\n"
#define DATA  "DATA\r\n|"
#define QUIT  "QUIT\r\n"
#define BEGIN EHLO "|" MAIL RCPT DATA

#define EHLO_BANNER                                 \
	"250-mx.test Hello [192.0.2.1]\r\n"         \
	"250-PIPELINING\r\n250-ENHANCEDSTATUSCODES" \
	"\r\n250 HELP\r\n"
#define EHLO_SINK                                             \
	"250-mx.test Hello [192.0.2.1]\r\n"                   \
	"250-PIPELINING\r\n250-SIZE 10485760\r\n250-8BITMIME" \
	"\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n"
#define MAIL_OK  "250 2.1.0 Ok\r\n"
#define RCPT_OK  "250 2.1.5 Ok\r\n"
#define DATA_OK  "354 End data with <CR><LF>.<CR><LF>\r\n"
#define BEGUN    EHLO_SINK MAIL_OK RCPT_OK DATA_OK
#define STORED   "250 2.0.0 Ok: discarded as ID\r\n"
#define OK       "250 2.0.0 Ok\r\n"
#define BYE      "221 2.0.0 mx.test Bye\r\n"
#define BARE_LF  "521 5.5.2 Bare <LF> received, lines end with <CR><LF>\r\n"
#define BARE_CR  "521 5.5.2 Bare <CR> received, lines end with <CR><LF>\r\n"
#define EARLY    "554 5.5.1 Data sent without waiting for the reply\r\n"
#define UNKNOWN  "500 5.5.2 Command not recognized\r\n"
#define TOO_LONG "500 5.5.2 Line too long\r\n"
#define TOO_MANY "421 4.7.0 mx.test Too many errors\r\n"
#define TOO_BIG  "552 5.3.4 Message size exceeds the limit\r\n"
#define NO_ARG   "501 5.5.4 Command takes no argument\r\n"
#define NO_HELLO "503 5.5.1 Send EHLO or HELO first\r\n"
#define NO_MAIL  "503 5.5.1 Need MAIL first\r\n"
#define NO_RCPT  "503 5.5.1 Need RCPT first\r\n"
#define NESTED   "503 5.5.1 Sender already given\r\n"
#define HELP                                                           \
	"214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA RSET NOOP VRFY " \
	"HELP QUIT\r\n"
#define REFUSED "550 5.3.2 This host does not accept mail\r\n"
#define HTTP    "554 5.5.1 This is an SMTP server\r\n"

static const struct session sessions[] = {
	/* Both modes. */
	{ BANNER, OPEN, "", "" },
	{ BANNER, OPEN, EHLO, EHLO_BANNER },
	{ SINK, OPEN, EHLO, EHLO_SINK },
	{ BANNER, OPEN, "HELO x\r\n", "250 mx.test Hello [192.0.2.1]\r\n" },
	{ SINK, OPEN, "helo [127.0.0.1]\r\nHELO my_pc\r\n",
	    "250 mx.test Hello [192.0.2.1]\r\n"
	    "250 mx.test Hello [192.0.2.1]\r\n" },
	{ SINK, OPEN, "EHLO\r\nEHLO \r\nEHLO a b\r\nHELO\r\nHELO <x>\r\n",
	    "501 Syntax: EHLO hostname\r\n501 Syntax: EHLO hostname\r\n"
	    "501 Syntax: EHLO hostname\r\n501 Syntax: HELO hostname\r\n"
	    "501 Syntax: HELO hostname\r\n" },
	{ BANNER, CLOSED, QUIT, BYE },
	{ BANNER, CLOSED, "quit  \r\nNOOP\r\n", BYE },
	{ SINK, CLOSED, "QUIT now\r\n" QUIT, NO_ARG BYE },
	{ BANNER, OPEN, "NOOP\r\nNoop anything \001 goes\r\nRSET\r\nRSET x\r\n",
	    OK OK OK NO_ARG },
	{ SINK, OPEN, "HELP\r\nHELP MAIL\r\n", HELP HELP },
	{ SINK, OPEN, "VRFY a\r\nVRFY\r\nEXPN list\r\n",
	    "252 2.5.0 Cannot verify the user\r\n"
	    "501 5.5.4 Command needs an argument\r\n"
	    "502 5.5.1 EXPN not implemented\r\n" },
	{ SINK, OPEN, "\r\nFOO\r\n NOOP\r\nNOOPS\r\nNOO\r\n",
	    UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN },
	{ SINK, OPEN, "AUTH PLAIN AAA=\r\nSTARTTLS\r\n",
	    "502 5.5.1 AUTH not implemented\r\n"
	    "502 5.5.1 STARTTLS not implemented\r\n" },
	{ SINK, OPEN, "\033[2J\r\nEHLO \033[2J\r\n",
	    UNKNOWN "501 Syntax: EHLO hostname\r\n" },
	/* Whatever comes after is no command of a mail client's. */
	{ SINK, CLOSED, EHLO "BDAT 6 LAST\r\nNOOP\r\n",
	    EHLO_SINK "502 5.5.1 BDAT not implemented\r\n" },
	{ BANNER, CLOSED, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", HTTP },
	{ SINK, CLOSED, "POST / HTTP/1.1\r\n\r\n" EHLO MAIL, HTTP },
	{ SINK, CLOSED, "CONNECT x:25 HTTP/1.1\r\n\r\n", HTTP },
	/* Banner mode takes no mail. */
	{ BANNER, OPEN, EHLO MAIL "MAIL nonsense\r\n" RCPT "DATA\r\n",
	    EHLO_BANNER REFUSED REFUSED NO_MAIL NO_MAIL },
	{ BANNER, OPEN, MAIL, NO_HELLO },
	/* Whole transactions. */
	{ SINK, CLOSED, BEGIN "Subject: x\r\n\r\nhi\r\n.\r\n" QUIT,
	    BEGUN STORED BYE },
	{ SINK, CLOSED, BEGIN ".\r\n" MAIL RCPT RCPT DATA "x\r\n.\r\n" QUIT,
	    BEGUN STORED MAIL_OK RCPT_OK RCPT_OK DATA_OK STORED BYE },
	{ SINK, OPEN, "HELO x\r\n" MAIL RCPT DATA "..\r\n.x\r\n.\r\n",
	    "250 mx.test Hello [192.0.2.1]\r\n" MAIL_OK RCPT_OK DATA_OK STORED },
	{ SINK, OPEN, EHLO "MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\n" DATA ".\r\n",
	    EHLO_SINK MAIL_OK RCPT_OK DATA_OK STORED },
	{ SINK, OPEN, EHLO "MAIL FROM: <a@b>\r\nrcpt to: <@r,@s:c@d>\r\n",
	    EHLO_SINK MAIL_OK RCPT_OK },
	/* Order. */
	{ SINK, OPEN, MAIL RCPT "DATA\r\n|RSET\r\n" MAIL,
	    NO_HELLO NO_HELLO NO_HELLO OK NO_HELLO },
	{ SINK, OPEN, EHLO RCPT "DATA\r\n", EHLO_SINK NO_MAIL NO_MAIL },
	{ SINK, OPEN, EHLO MAIL "DATA\r\n|" MAIL,
	    EHLO_SINK MAIL_OK NO_RCPT NESTED },
	{ SINK, OPEN, EHLO MAIL RCPT MAIL "RSET\r\n" RCPT MAIL RCPT,
	    EHLO_SINK MAIL_OK RCPT_OK NESTED OK NO_MAIL MAIL_OK RCPT_OK },
	{ SINK, OPEN, EHLO MAIL RCPT EHLO "DATA\r\n",
	    EHLO_SINK MAIL_OK RCPT_OK EHLO_SINK NO_MAIL },
	{ SINK, OPEN, EHLO MAIL RCPT "EHLO\r\n" DATA ".\r\n",
	    EHLO_SINK MAIL_OK RCPT_OK
	    "501 Syntax: EHLO hostname\r\n" DATA_OK STORED },
	{ SINK, OPEN, EHLO MAIL RCPT "NOOP\r\nVRFY x\r\n" DATA ".\r\n",
	    EHLO_SINK MAIL_OK RCPT_OK OK
	    "252 2.5.0 Cannot verify the user\r\n" DATA_OK STORED },
	{ SINK, OPEN, EHLO MAIL RCPT "DATA now\r\n|" DATA ".\r\n|DATA\r\n",
	    EHLO_SINK MAIL_OK RCPT_OK NO_ARG DATA_OK STORED NO_MAIL },
	/* Syntax of MAIL and RCPT. */
	{ SINK, OPEN, EHLO "MAIL\r\nMAIL TO:<a@b>\r\nMAIL FROM\r\n",
	    EHLO_SINK "501 5.5.4 Syntax: MAIL FROM:<address>\r\n"
		      "501 5.5.4 Syntax: MAIL FROM:<address>\r\n"
		      "501 5.5.4 Syntax: MAIL FROM:<address>\r\n" },
	{ SINK, OPEN,
	    EHLO "MAIL FROM:\r\nMAIL FROM:a@b\r\n"
		 "MAIL FROM:<a@b>x\r\nMAIL FROM:<Postmaster>\r\n",
	    EHLO_SINK "501 5.1.7 Bad sender address syntax\r\n"
		      "501 5.1.7 Bad sender address syntax\r\n"
		      "501 5.1.7 Bad sender address syntax\r\n"
		      "501 5.1.7 Bad sender address syntax\r\n" },
	{ SINK, OPEN,
	    EHLO MAIL "RCPT FROM:<a@b>\r\nRCPT TO:<>\r\n"
		      "RCPT TO:<a@b c>\r\n" RCPT,
	    EHLO_SINK MAIL_OK
	    "501 5.5.4 Syntax: RCPT TO:<address>\r\n"
	    "501 5.1.3 Bad recipient address syntax\r\n"
	    "501 5.1.3 Bad recipient address syntax\r\n" RCPT_OK },
	{ SINK, OPEN, EHLO "MAIL FROM:<\377@b> SMTPUTF8\r\n",
	    EHLO_SINK "501 5.1.7 Sender address is not UTF-8\r\n" },
	/* Parameters. */
	{ SINK, OPEN,
	    EHLO "MAIL FROM:<a@b> SIZE=1000 BODY=8BITMIME SMTPUTF8\r\n"
		 "RSET\r\nMAIL FROM:<a@b>  body=7bit   size=0\r\n",
	    EHLO_SINK MAIL_OK OK MAIL_OK },
	{ SINK, OPEN,
	    EHLO "MAIL FROM:<a@b> SIZE=10485760\r\nRSET\r\n"
		 "MAIL FROM:<a@b> SIZE=10485761\r\n"
		 "MAIL FROM:<a@b> SIZE=99999999999999999999\r\n" RCPT,
	    EHLO_SINK MAIL_OK OK TOO_BIG TOO_BIG NO_MAIL },
	{ SINK, OPEN,
	    EHLO "MAIL FROM:<a@b> SIZE\r\nMAIL FROM:<a@b> SIZE=x\r\n"
		 "MAIL FROM:<a@b> SIZE=\r\nMAIL FROM:<a@b> SIZE=1 SIZE=1\r\n",
	    EHLO_SINK "501 5.5.4 Syntax: SIZE=octets\r\n"
		      "501 5.5.4 Syntax: SIZE=octets\r\n"
		      "501 5.5.4 Bad parameter syntax\r\n"
		      "501 5.5.4 Parameter given twice\r\n" },
	{ SINK, OPEN,
	    EHLO "MAIL FROM:<a@b> BODY\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\n"
		 "MAIL FROM:<a@b> SMTPUTF8=1\r\nMAIL FROM:<a@b> AUTH=<>\r\n",
	    EHLO_SINK "501 5.5.4 Syntax: BODY=7BIT or BODY=8BITMIME\r\n"
		      "555 5.5.4 BODY must be 7BIT or 8BITMIME\r\n"
		      "501 5.5.4 SMTPUTF8 takes no value\r\n"
		      "555 5.5.4 Parameter not supported\r\n" },
	{ SINK, OPEN,
	    EHLO MAIL "RCPT TO:<a@b> NOTIFY=NEVER\r\nRCPT TO:<a@b> =\r\n",
	    EHLO_SINK MAIL_OK "555 5.5.4 Parameter not supported\r\n"
			      "501 5.5.4 Bad parameter syntax\r\n" },
	/* SMTPUTF8 holds for one transaction, and for no failed one. */
	{ SINK, OPEN,
	    EHLO "MAIL FROM:<\303\274@b> SMTPUTF8\r\nRCPT TO:<\303\274@b>\r\n"
		 "RSET\r\n" MAIL "RCPT TO:<\303\274@b>\r\n",
	    EHLO_SINK MAIL_OK RCPT_OK OK MAIL_OK
	    "553 5.6.7 Recipient address needs SMTPUTF8\r\n" },
	{ SINK, OPEN,
	    EHLO "MAIL FROM:<\303\274@b>\r\n"
		 "MAIL FROM:<a@b> SMTPUTF8 FOO\r\n" MAIL
		 "RCPT TO:<a@\303\274>\r\n",
	    EHLO_SINK "550 5.6.7 Sender address needs SMTPUTF8\r\n"
		      "555 5.5.4 Parameter not supported\r\n" MAIL_OK
		      "553 5.6.7 Recipient address needs SMTPUTF8\r\n" },
	{ SINK, OPEN,
	    EHLO "MAIL FROM:<a@b> SMTPUTF8\r\n" EHLO MAIL
		 "RCPT TO:<\303\274@b>\r\n",
	    EHLO_SINK MAIL_OK EHLO_SINK MAIL_OK
	    "553 5.6.7 Recipient address needs SMTPUTF8\r\n" },
	/* Errors end a session, unless a message got through. */
	{ SINK, CLOSED,
	    "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n0\r\nNOOP\r\n",
	    UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN
		UNKNOWN UNKNOWN TOO_MANY },
	{ SINK, OPEN,
	    "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n" BEGIN
	    ".\r\n1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n",
	    UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN
		UNKNOWN BEGUN STORED UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN
		    UNKNOWN UNKNOWN UNKNOWN UNKNOWN },
};

static void
test_sessions(void **state)
{
	struct server servers[] = { server_plain(BANNER), server_plain(SINK) };
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(sessions); i++) {
		const struct session *s = &sessions[i];

		check_session(&servers[s->mode], s->script, strlen(s->script),
		    s->want, s->finished);
	}
	server_stop(&servers[SINK]);
	server_stop(&servers[BANNER]);
}

/* A NUL neither ends a line nor a word. */
static void
test_nul(void **state)
{
	static const char script[] = "NOOP \0 x\r\nNO\0OP\r\nNOOP\0\r\n\0\r\n" EHLO
				     "MAIL FROM:<a\0@b>\r\n"
				     "MAIL FROM:<a@b> SIZE=1\0\r\n" MAIL
				     "RCPT TO:<c@d>\0\r\n";
	static const char want[] = OK UNKNOWN UNKNOWN UNKNOWN EHLO_SINK
	    "501 5.1.7 Bad sender address syntax\r\n"
	    "501 5.5.4 Bad parameter syntax\r\n" MAIL_OK
	    "501 5.1.3 Bad recipient address syntax\r\n";
	struct server s = server_plain(SINK);

	(void)state;
	check_session(&s, script, sizeof(script) - 1, want, OPEN);
	server_stop(&s);
}

/* ---- smuggling -------------------------------------------------------- */

/* What must happen to bytes that some server takes for the end of a message or of a line. */
enum fate {
	IS_TEXT,
	IS_BARE_LF,
	IS_BARE_CR
};

static const struct {
	const char *bytes;
	size_t n;
	enum fate fate;
} false_ends[] = {
#define CASE(bytes, fate)                      \
	{                                      \
		bytes, sizeof(bytes) - 1, fate \
	}
	CASE("\n.\n", IS_BARE_LF),
	CASE("\n.\r\n", IS_BARE_LF),
	CASE("\r\n.\n", IS_BARE_LF),
	CASE("\r\n.\r", IS_BARE_CR),
	CASE("\r.\r", IS_BARE_CR),
	CASE("\r.\n", IS_BARE_CR),
	CASE("\r.\r\n", IS_BARE_CR),
	CASE("\n.\r", IS_BARE_LF),
	CASE("\n.\r\r\n", IS_BARE_LF),
	CASE("\r\n.\r\r\n", IS_BARE_CR),
	CASE("\r\r\n.\r\n", IS_BARE_CR),
	CASE("\r\r\n.\r\r\n", IS_BARE_CR),
	CASE("\n\n.\n", IS_BARE_LF),
	CASE("\n\n.\n\n", IS_BARE_LF),
	CASE("\r\n\n.\r\n", IS_BARE_LF),
	CASE("\r\n.\n\r\n", IS_BARE_LF),
	CASE("\n\r\n.\r\n", IS_BARE_LF),
	CASE("\r\n\r.\r\n", IS_BARE_CR),
	CASE("\r\n.\n.\r\n", IS_BARE_LF),
	CASE("\r\n.\r.\r\n", IS_BARE_CR),
	CASE("\r\n\r.\r", IS_BARE_CR),
	CASE("\n\r.\n\r", IS_BARE_LF),
	CASE("\r\0\n.\r\n", IS_BARE_CR),
	CASE("\0\n.\0\n", IS_BARE_LF),
	CASE("\r\n.\r\0\n", IS_BARE_CR),
	CASE("\r\n..\n", IS_BARE_LF),
	CASE("\r\n..\r", IS_BARE_CR),
	CASE("\n..\r\n", IS_BARE_LF),
	CASE(" \n.\n ", IS_BARE_LF),
	CASE("\r \n.\r \n", IS_BARE_CR),
	CASE("\r\n.\v\r.", IS_BARE_CR),
	CASE("\r\n\0.\r\n", IS_TEXT),
	CASE("\r\n.\0\r\n", IS_TEXT),
	CASE("\0\r\n.\0\r\n\0", IS_TEXT),
	CASE("\r\n. \r\n", IS_TEXT),
	CASE("\r\n .\r\n", IS_TEXT),
	CASE("\r\n\t.\r\n", IS_TEXT),
	CASE("\r\n.\t\r\n", IS_TEXT),
	CASE("\r\n..\r\n", IS_TEXT),
	CASE("\r\n...\r\n", IS_TEXT),
	CASE("\r\n.x\r\n", IS_TEXT),
	CASE("\r\nx.\r\n", IS_TEXT),
	CASE(".\r\n", IS_TEXT),
	CASE("\v.\v", IS_TEXT),
	CASE("\f.\f", IS_TEXT),
	CASE("\302\205.\302\205", IS_TEXT),
	CASE("\342\200\250.\342\200\250", IS_TEXT),
	CASE("\r\n\357\273\277.\r\n", IS_TEXT),
	CASE("\r\n\256\r\n", IS_TEXT),
	CASE("\215\212.\215\212", IS_TEXT),
	CASE("\\r\\n.\\r\\n", IS_TEXT),
	CASE("=0D=0A.=0D=0A", IS_TEXT),
#undef CASE
};

static void
test_smuggling_in_messages(void **state)
{
	static const char before[] = BEGIN "Subject: x\r\n\r\nhello";
	static const char after[] = MAIL RCPT "DATA\r\nsmuggled\r\n.\r\n" QUIT;
	static const char *const want[] = {
		[IS_TEXT] = BEGUN STORED BYE,
		[IS_BARE_LF] = BEGUN BARE_LF,
		[IS_BARE_CR] = BEGUN BARE_CR,
	};
	struct server s = server_plain(SINK);
	char script[1024];
	size_t i;

	(void)state;
	assert_true(CAB_N(false_ends) >= 40);
	for (i = 0; i < CAB_N(false_ends); i++) {
		size_t n = 0;

		memcpy(script, before, sizeof(before) - 1);
		n += sizeof(before) - 1;
		memcpy(script + n, false_ends[i].bytes, false_ends[i].n);
		n += false_ends[i].n;
		memcpy(script + n, after, sizeof(after) - 1);
		n += sizeof(after) - 1;
		check_session(&s, script, n, want[false_ends[i].fate], CLOSED);
	}
	server_stop(&s);
}

static void
test_smuggling_in_commands(void **state)
{
	static const struct session cases[] = {
		{ SINK, CLOSED, "NOOP\n" QUIT, BARE_LF },
		{ SINK, CLOSED, "\n", BARE_LF },
		{ SINK, CLOSED, "EHLO x\nMAIL FROM:<a@b>\r\n", BARE_LF },
		{ SINK, CLOSED, "NOOP \nNOOP\r\n", BARE_LF },
		{ SINK, CLOSED, "NOOP\r" QUIT, BARE_CR },
		{ SINK, CLOSED, "NOOP\r\r\n", BARE_CR },
		{ SINK, CLOSED, "\r\r\n", BARE_CR },
		{ SINK, CLOSED, "\rNOOP\r\n", BARE_CR },
		{ SINK, CLOSED, "NOOP\r\0\n", BARE_CR },
		{ SINK, CLOSED, EHLO "MAIL FROM:<a@b>\rRCPT TO:<c@d>\r\n",
		    EHLO_SINK BARE_CR },
		{ SINK, CLOSED, EHLO "MAIL FROM:<\"a\nb\"@c>\r\n",
		    EHLO_SINK BARE_LF },
		{ SINK, CLOSED, EHLO MAIL RCPT "DATA\n|.\r\n",
		    EHLO_SINK MAIL_OK RCPT_OK BARE_LF },
		{ SINK, CLOSED, EHLO MAIL RCPT "DATA\r\r\n|.\r\n",
		    EHLO_SINK MAIL_OK RCPT_OK BARE_CR },
	};
	struct server s = server_plain(SINK);
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(cases); i++)
		check_session(&s, cases[i].script,
		    i == 8 ? 8 : strlen(cases[i].script), cases[i].want,
		    cases[i].finished);
	server_stop(&s);
}

/* What comes with DATA is neither message nor commands, also where DATA would have failed. */
static void
test_data_too_early(void **state)
{
	static const struct session cases[] = {
		{ SINK, CLOSED, EHLO MAIL RCPT "DATA\r\nx\r\n.\r\n" QUIT,
		    EHLO_SINK MAIL_OK RCPT_OK EARLY },
		{ SINK, CLOSED, EHLO MAIL RCPT "DATA\r\nx",
		    EHLO_SINK MAIL_OK RCPT_OK EARLY },
		{ SINK, CLOSED, EHLO MAIL "DATA\r\n" MAIL,
		    EHLO_SINK MAIL_OK EARLY },
		{ SINK, CLOSED, "DATA x\r\nMAIL FROM:<a@b>\r\n", EARLY },
		{ BANNER, CLOSED, EHLO MAIL RCPT "DATA\r\nx\r\n.\r\n",
		    EHLO_BANNER REFUSED NO_MAIL EARLY },
	};
	struct server servers[] = { server_plain(BANNER), server_plain(SINK) };
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(cases); i++) {
		struct mem_conn *conn = mem_open(servers[cases[i].mode].service);

		/* In one read, since only that shows that the client did not wait. */
		mem_feed(conn, cases[i].script, strlen(cases[i].script));
		check_heard(conn, cases[i].want, cases[i].script);
		assert_true(mem_finished(conn));
		mem_free(conn);
	}
	server_stop(&servers[SINK]);
	server_stop(&servers[BANNER]);
}

/* ---- limits ----------------------------------------------------------- */

/* n bytes of filler between two strings; free(). */
static char *
padded(const char *before, size_t n, const char *after)
{
	size_t b = strlen(before), a = strlen(after);
	char *text = malloc(b + n + a + 1);

	assert_non_null(text);
	memcpy(text, before, b);
	memset(text + b, 'x', n);
	memcpy(text + b + n, after, a + 1);
	return text;
}

static void
check_padded(struct server *s, const char *before, size_t n, const char *after,
    const char *want, bool finished)
{
	static const size_t steps[] = { 1, 2, 511, 512, 513, 1023, 1024, 1025,
		4096, WHOLE };
	char *script = padded(before, n, after);
	size_t i;

	for (i = 0; i < CAB_N(steps); i++) {
		struct mem_conn *conn = mem_open(s->service);

		play(conn, script, strlen(script), steps[i]);
		check_heard(conn, want, before);
		assert_int_equal(mem_finished(conn), finished);
		mem_free(conn);
	}
	free(script);
}

static void
test_line_limit(void **state)
{
	struct server s = server_plain(SINK);

	(void)state;
	/* 1024 octets with CR LF, and one more. */
	check_padded(&s, "NOOP ", 1017, "\r\nNOOP\r\n", OK OK, OPEN);
	check_padded(&s, "NOOP ", 1018, "\r\nNOOP\r\n", TOO_LONG OK, OPEN);
	check_padded(&s, "NOOP ", 1019, "\r\nNOOP\r\n", TOO_LONG OK, OPEN);
	check_padded(&s, "", 5000, "\r\nRSET\r\n" QUIT, TOO_LONG OK BYE, CLOSED);
	/* What is inside a long line is no command, and no line end either. */
	check_padded(&s, "", 1500, " QUIT\r\nNOOP\r\n", TOO_LONG OK, OPEN);
	check_padded(&s, "", 1500, "\nQUIT\r\n", BARE_LF, CLOSED);
	check_padded(&s, "", 1500, "\rQUIT\r\n", BARE_CR, CLOSED);
	check_padded(&s, "", 1022, "\rQ\r\n", BARE_CR, CLOSED);
	check_padded(&s, "", 1022, "\nQ\r\n", BARE_LF, CLOSED);
	/* The longest path that there may be, with every parameter. */
	check_padded(&s, EHLO "MAIL FROM:<", 64,
	    "@[192.0.2.1]> SIZE=10485760 BODY=8BITMIME SMTPUTF8\r\n",
	    EHLO_SINK MAIL_OK, OPEN);
	check_padded(&s, EHLO "MAIL FROM:<", 65, "@b>\r\n",
	    EHLO_SINK "501 5.1.7 Sender address too long\r\n", OPEN);
	check_padded(&s, EHLO MAIL "RCPT TO:<c@", 64, ">\r\n",
	    EHLO_SINK MAIL_OK "501 5.1.3 Recipient address too long\r\n", OPEN);
	/* A line that does not end. */
	check_padded(&s, "", 65534, "\r\nNOOP\r\n", TOO_LONG OK, OPEN);
	check_padded(&s, "", 65535, "\r\nNOOP\r\n",
	    "500 5.5.2 Line too long, closing\r\n", CLOSED);
	check_padded(&s, "", 200000, "\r\nNOOP\r\n",
	    "500 5.5.2 Line too long, closing\r\n", CLOSED);
	server_stop(&s);
}

static void
test_half_a_line_stays_small(void **state)
{
	struct server s = server_plain(SINK);
	struct mem_conn *conn = mem_open(s.service);
	char *text = padded("", 60000, "");

	(void)state;
	mem_feed(conn, text, 1023);
	assert_int_equal(mem_stashed(conn), 1023);
	mem_feed(conn, text, 60000);
	assert_int_equal(mem_stashed(conn), 0);
	mem_free(conn);

	/* A message is never kept at all. */
	conn = mem_open(s.service);
	play(conn, BEGIN, strlen(BEGIN), WHOLE);
	mem_feed(conn, text, 60000);
	assert_int_equal(mem_stashed(conn), 0);
	mem_free(conn);
	free(text);
	server_stop(&s);
}

static void
test_message_limit(void **state)
{
	struct server s = server_start(SINK,
	    (struct setting){ "max_message", 100 }, (struct setting){ NULL, 0 });
	static const char next[] = MAIL RCPT DATA "short\r\n.\r\n";
	static const char ehlo[] =
	    "250-mx.test Hello [192.0.2.1]\r\n"
	    "250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n"
	    "250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n";
	static const struct {
		const char *before;
		size_t n;
		const char *after, *want;
	} cases[] = {
		{ "", 98, "\r\n.\r\n", STORED },
		{ "", 99, "\r\n.\r\n", TOO_BIG },
		{ "", 5000, "\r\n.\r\n", TOO_BIG },
		/* Stuffed dots do not count. */
		{ "..\r\n", 95, "\r\n.\r\n", STORED },
		{ "..\r\n", 96, "\r\n.\r\n", TOO_BIG },
		{ "..\r\n.\r\n", 0, "", STORED },
	};
	size_t i, step;

	(void)state;
	for (i = 0; i < CAB_N(cases); i++) {
		char *text = padded(cases[i].before, cases[i].n, cases[i].after);
		char want[1024];

		snprintf(want, sizeof(want), "%s%s%s%s", ehlo,
		    MAIL_OK RCPT_OK DATA_OK, cases[i].want,
		    MAIL_OK RCPT_OK DATA_OK STORED);
		for (step = 1; step <= 128; step++) {
			struct mem_conn *conn = mem_open(s.service);

			play(conn, BEGIN, strlen(BEGIN), WHOLE);
			mem_feed_split(conn, text, strlen(text), step);
			/* Either way the next message is counted for itself. */
			play(conn, next, sizeof(next) - 1, WHOLE);
			check_heard(conn, want, text);
			mem_free(conn);
		}
		free(text);
	}
	server_stop(&s);
}

static void
test_no_message_limit(void **state)
{
	struct server s = server_start(SINK,
	    (struct setting){ "max_message", 0 }, (struct setting){ NULL, 0 });
	static const char want[] = "250-mx.test Hello [192.0.2.1]\r\n"
				   "250-PIPELINING\r\n250-SIZE\r\n"
				   "250-8BITMIME\r\n250-SMTPUTF8\r\n"
				   "250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n" MAIL_OK;
	static const char script[] = EHLO
	    "MAIL FROM:<a@b> SIZE=99999999999999999999\r\n";

	(void)state;
	check_session(&s, script, sizeof(script) - 1, want, OPEN);
	server_stop(&s);
}

static void
test_recipient_and_error_limits(void **state)
{
	struct server s = server_start(SINK,
	    (struct setting){ "max_recipients", 2 },
	    (struct setting){ "max_errors", 1 });
	static const char many[] = EHLO MAIL RCPT RCPT RCPT RCPT RCPT DATA
	    ".\r\n" MAIL RCPT "FOO\r\nNOOP\r\n";
	static const char again[] = EHLO MAIL RCPT RCPT EHLO MAIL RCPT RCPT
	    "RSET\r\n" MAIL RCPT RCPT;
	static const char want_again[] = EHLO_SINK MAIL_OK RCPT_OK RCPT_OK
	    EHLO_SINK MAIL_OK RCPT_OK RCPT_OK OK MAIL_OK RCPT_OK RCPT_OK;
	static const char want[] = EHLO_SINK MAIL_OK RCPT_OK RCPT_OK
	    "452 4.5.3 Too many recipients\r\n"
	    "452 4.5.3 Too many recipients\r\n"
	    "452 4.5.3 Too many recipients\r\n" DATA_OK STORED MAIL_OK RCPT_OK
		UNKNOWN TOO_MANY;

	(void)state;
	check_session(&s, many, sizeof(many) - 1, want, CLOSED);
	check_session(&s, again, sizeof(again) - 1, want_again, OPEN);
	server_stop(&s);
}

/* Replies that the peer does not read are bounded, and none is lost or doubled. */
static void
test_pipelining_against_a_slow_reader(void **state)
{
	enum {
		N = 20000
	};
	static const char want[] = EHLO_SINK;
	const size_t want_n = sizeof(want) - 1;
	struct server s = server_plain(SINK);
	struct mem_conn *conn = mem_open(s.service);
	size_t i, n = 0, before;
	const char *out;

	(void)state;
	mem_clear_output(conn);
	mem_window(conn, 0);
	for (i = 0; i < N; i++)
		mem_feed(conn, "EHLO x\r\n", 8);
	assert_true(mem_stashed(conn) <= 65536);
	do {
		before = n;
		mem_window(conn, 10007);
		out = mem_output(conn, &n);
	} while (n > before);
	assert_int_equal(n, N * want_n);
	for (i = 0; i < N; i++)
		assert_memory_equal(out + i * want_n, want, want_n);
	mem_window(conn, SIZE_MAX);
	mem_feed(conn, QUIT, strlen(QUIT));
	assert_true(mem_finished(conn));
	mem_free(conn);
	server_stop(&s);
}

static void
test_one_write_for_a_group(void **state)
{
	struct server s = server_plain(SINK);
	struct mem_conn *conn = mem_open(s.service);

	(void)state;
	assert_int_equal(mem_writes(conn), 1);
	mem_feed(conn, EHLO, strlen(EHLO));
	assert_int_equal(mem_writes(conn), 2);
	play(conn, MAIL RCPT RCPT DATA, strlen(MAIL RCPT RCPT DATA), WHOLE);
	assert_int_equal(mem_writes(conn), 3);
	play(conn, "x\r\n.\r\n" QUIT, strlen("x\r\n.\r\n" QUIT), WHOLE);
	assert_int_equal(mem_writes(conn), 4);
	mem_free(conn);
	server_stop(&s);
}

/* ---- the end of the input, time, shutdown ------------------------------ */

static void
test_half_close(void **state)
{
	static const struct session cases[] = {
		{ SINK, CLOSED, "", "" },
		{ SINK, CLOSED, EHLO "NOOP\r\n", EHLO_SINK OK },
		{ SINK, CLOSED, EHLO "NOO", EHLO_SINK },
		{ SINK, CLOSED, BEGIN "half a message\r\n", BEGUN },
		{ SINK, CLOSED, BEGIN "half a message\r\n.\r", BEGUN },
		{ SINK, CLOSED, BEGIN "a message\r\n.\r\n", BEGUN STORED },
	};
	struct server s = server_plain(SINK);
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(cases); i++) {
		struct mem_conn *conn = mem_open(s.service);

		play(conn, cases[i].script, strlen(cases[i].script), WHOLE);
		mem_half_close(conn);
		check_heard(conn, cases[i].want, cases[i].script);
		assert_true(mem_closed(conn));
		mem_free(conn);
	}
	server_stop(&s);
}

#define TIMEOUT  "421 4.4.2 mx.test Timeout, closing connection\r\n"
#define SHUTDOWN "421 4.3.2 mx.test Service shutting down\r\n"
#define IDLE     300000 /* of the in-memory service */

static void
test_silence(void **state)
{
	struct server s = server_plain(SINK);
	struct mem_conn *conn = mem_open(s.service);

	(void)state;
	mem_advance(s.service, 61000);
	check_heard(conn, TIMEOUT, "first byte");
	assert_true(mem_finished(conn));
	mem_free(conn);

	conn = mem_open(s.service);
	mem_feed(conn, EHLO, strlen(EHLO));
	mem_advance(s.service, IDLE - 1000);
	assert_false(mem_finished(conn));
	mem_advance(s.service, 2000);
	check_heard(conn, EHLO_SINK TIMEOUT, "idle");
	assert_true(mem_finished(conn));
	mem_free(conn);
	server_stop(&s);
}

/* A byte every ten seconds buys a line no more time than silence would. */
static void
test_dribbled_line(void **state)
{
	struct server s = server_plain(SINK);
	struct mem_conn *conn = mem_open(s.service);
	int i;

	(void)state;
	mem_feed(conn, EHLO, strlen(EHLO));
	for (i = 0; i < IDLE / 10000 - 1; i++) {
		mem_feed(conn, "x", 1);
		mem_advance(s.service, 10000);
		assert_false(mem_finished(conn));
	}
	mem_feed(conn, "x", 1);
	mem_advance(s.service, 11000);
	check_heard(conn, EHLO_SINK TIMEOUT, "dribble");
	assert_true(mem_finished(conn));
	mem_free(conn);

	/* The same within a line that is being skipped. */
	conn = mem_open(s.service);
	for (i = 0; i < 1100; i++)
		mem_feed(conn, "x", 1);
	for (i = 0; i < IDLE / 10000 && !mem_finished(conn); i++) {
		mem_feed(conn, "x", 1);
		mem_advance(s.service, 10000);
	}
	mem_advance(s.service, 1000);
	check_heard(conn, TIMEOUT, "dribble of a long line");
	mem_free(conn);
	server_stop(&s);
}

/* Each line has its own time: slow but complete ones go on for long. */
static void
test_slow_lines(void **state)
{
	struct server s = server_plain(SINK);
	struct mem_conn *conn = mem_open(s.service);
	int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		mem_feed(conn, "NO", 2);
		mem_advance(s.service, IDLE - 10000);
		mem_feed(conn, "OP\r\n", 4);
	}
	check_heard(conn, OK OK OK OK OK OK OK OK, "slow lines");
	assert_false(mem_finished(conn));
	mem_free(conn);
	server_stop(&s);
}

/* What was complete in time leaves nothing behind that strikes later. */
static void
test_no_deadline_is_left(void **state)
{
	static const char *const scripts[] = { "NO|OP\r\n",
		"NO|OP\r\nN|OOP\r\n", BEGIN "x\r\n|.\r\n" };
	struct server s = server_plain(SINK);
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < CAB_N(scripts); i++) {
		struct mem_conn *conn = mem_open(s.service);

		play(conn, scripts[i], strlen(scripts[i]), WHOLE);
		for (n = 0; n < 5; n++) {
			mem_advance(s.service, IDLE / 3);
			mem_feed(conn, "NOOP\r\n", 6);
		}
		assert_false(mem_finished(conn));
		mem_free(conn);
	}
	server_stop(&s);
}

/* The last reply must not be lost to a reset: what the peer still sends is read away. */
static void
test_lingers_after_the_last_reply(void **state)
{
	static const char *const scripts[] = { "\n", "GET / HTTP/1.1\r\n",
		"1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n0\r\n" };
	struct server s = server_plain(SINK);
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(scripts); i++) {
		struct mem_conn *conn = mem_open(s.service);
		size_t before, after;

		mem_feed(conn, scripts[i], strlen(scripts[i]));
		assert_true(mem_finished(conn));
		assert_false(mem_closed(conn));
		mem_output(conn, &before);
		mem_feed(conn, EHLO MAIL, strlen(EHLO MAIL));
		mem_output(conn, &after);
		assert_int_equal(before, after);
		mem_half_close(conn);
		assert_true(mem_closed(conn));
		mem_free(conn);
	}
	server_stop(&s);
}

/* Feeds n bytes of message text every ten seconds for count times. */
static bool
dribble_text(struct server *s, struct mem_conn *conn, size_t n, int count)
{
	char *text = padded("", n - 2, "\r\n");
	int i;

	for (i = 0; i < count && !mem_finished(conn); i++) {
		mem_feed(conn, text, n);
		mem_advance(s->service, 10000);
	}
	free(text);
	return !mem_finished(conn);
}

static void
test_message_rate(void **state)
{
	struct server s = server_plain(SINK);
	struct mem_conn *conn = mem_open(s.service);

	(void)state;
	/* 60 bytes a second are too few ... */
	play(conn, BEGIN, strlen(BEGIN), WHOLE);
	assert_false(dribble_text(&s, conn, 600, IDLE / 10000 + 2));
	check_heard(conn, BEGUN TIMEOUT, "slow message");
	mem_free(conn);

	/* ... 70 are enough, for several times the idle time. */
	conn = mem_open(s.service);
	play(conn, BEGIN, strlen(BEGIN), WHOLE);
	assert_true(dribble_text(&s, conn, 700, 5 * IDLE / 10000));
	mem_feed(conn, ".\r\n", 3);
	check_heard(conn, BEGUN STORED, "slow enough message");
	/* And the deadline is gone with the message. */
	mem_advance(s.service, IDLE - 20000);
	assert_false(mem_finished(conn));
	mem_free(conn);

	/* A pause is forgiven as long as it is no longer than silence may be. */
	conn = mem_open(s.service);
	play(conn, BEGIN, strlen(BEGIN), WHOLE);
	mem_advance(s.service, IDLE - 5000);
	assert_true(dribble_text(&s, conn, 30000, 2));
	mem_advance(s.service, IDLE - 20000);
	mem_feed(conn, ".\r\n", 3);
	check_heard(conn, BEGUN STORED, "message with pauses");
	mem_free(conn);
	server_stop(&s);
}

static void
test_shutdown(void **state)
{
	struct server s = server_plain(SINK);
	struct mem_conn *conn = mem_open(s.service);

	(void)state;
	mem_shutdown(conn);
	check_heard(conn, SHUTDOWN, "before EHLO");
	assert_true(mem_finished(conn));
	mem_free(conn);

	conn = mem_open(s.service);
	play(conn, EHLO MAIL RCPT, strlen(EHLO MAIL RCPT), WHOLE);
	mem_shutdown(conn);
	check_heard(conn, EHLO_SINK MAIL_OK RCPT_OK SHUTDOWN, "before DATA");
	assert_true(mem_finished(conn));
	mem_free(conn);

	/* A message under way is taken, and is the last one. */
	conn = mem_open(s.service);
	play(conn, BEGIN "x\r\n", strlen(BEGIN "x\r\n"), WHOLE);
	mem_shutdown(conn);
	assert_false(mem_finished(conn));
	play(conn, ".\r\n" MAIL, strlen(".\r\n" MAIL), WHOLE);
	check_heard(conn, BEGUN STORED SHUTDOWN, "in a message");
	assert_true(mem_finished(conn));
	mem_free(conn);
	server_stop(&s);
}

static void
test_reset(void **state)
{
	static const char script[] = BEGIN "half a message\r\n";
	struct server s = server_plain(SINK);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(script); i++) {
		struct mem_conn *conn = mem_open(s.service);

		play(conn, script, i, WHOLE);
		mem_reset(conn);
		assert_true(mem_closed(conn));
		mem_free(conn);
	}
	server_stop(&s);
}

/* ---- service ---------------------------------------------------------- */

static void
test_refusals(void **state)
{
	static const char *const want[CAB_REFUSED_MAX] = {
		[CAB_REFUSED_ACCESS] = "554 5.7.1 mx.test Access denied\r\n",
		[CAB_REFUSED_CONNECTIONS] = "421 4.3.2 mx.test Too many "
					    "connections, try again later\r\n",
		[CAB_REFUSED_PER_SOURCE] = "421 4.7.0 mx.test Too many "
					   "connections from your address\r\n",
		[CAB_REFUSED_RATE] = "421 4.3.2 mx.test Too many "
				     "connections, try again later\r\n",
		[CAB_REFUSED_SOURCE_RATE] = "421 4.7.0 mx.test Connecting too "
					    "often, try again later\r\n",
		[CAB_REFUSED_SHUTDOWN] = "421 4.3.2 mx.test Service shutting down\r\n",
		[CAB_REFUSED_RESOURCES] = "421 4.3.2 mx.test Out of resources, "
					  "try again later\r\n",
	};
	struct server s = server_plain(BANNER);
	char reply[512];
	int why;

	(void)state;
	for (why = 0; why < CAB_REFUSED_MAX; why++) {
		size_t n = proto_smtp.refuse(mem_running(s.service),
		    (enum cab_refusal)why, reply, sizeof(reply));

		assert_int_equal(n, strlen(want[why]));
		assert_memory_equal(reply, want[why], n);
		/* Half a reply is worse than none. */
		assert_int_equal(proto_smtp.refuse(mem_running(s.service),
				     (enum cab_refusal)why, reply, n),
		    0);
	}
	server_stop(&s);
}

static void
test_errors_are_counted(void **state)
{
	struct server s = server_plain(SINK);
	struct mem_conn *conn = mem_open(s.service);

	(void)state;
	play(conn, EHLO MAIL RCPT, strlen(EHLO MAIL RCPT), WHOLE);
	assert_int_equal(mem_errors(s.service), 0);
	play(conn, "FOO\r\nRCPT\r\n", strlen("FOO\r\nRCPT\r\n"), WHOLE);
	assert_int_equal(mem_errors(s.service), 2);
	play(conn, "\n", 1, WHOLE);
	assert_int_equal(mem_errors(s.service), 3);
	mem_free(conn);
	server_stop(&s);
}

static const char *
first_line(struct mem_service *service)
{
	static char line[1024];
	struct mem_conn *conn = mem_open(service);
	size_t n;
	const char *p = mem_output(conn, &n);

	assert_true(n < sizeof(line));
	memcpy(line, p, n);
	line[n] = '\0';
	mem_free(conn);
	return line;
}

static void
test_greetings(void **state)
{
	static const struct {
		const char *hostname, *banner, *want;
	} cases[] = {
		{ "mx.test", "ESMTP", "220 mx.test ESMTP\r\n" },
		{ "mx.test", "", "220 mx.test\r\n" },
		{ "mx.test", NULL, "220 mx.test\r\n" },
		{ "[192.0.2.1]", "ESMTP ready",
		    "220 [192.0.2.1] ESMTP ready\r\n" },
	};
	struct mem_service *service;
	void *options;
	const char *own;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(cases); i++) {
		options = mem_default_options(proto_smtp.desc.options);
		*(const char **)option_at(options, "hostname") = cases[i].hostname;
		*(const char **)option_at(options, "banner") = cases[i].banner;
		service = mem_service_new(&proto_smtp, options, NULL, -1);
		assert_non_null(service);
		assert_string_equal(first_line(service), cases[i].want);
		mem_service_free(service);
		free(options);
	}
	/* The machine's own name, whatever it is. */
	service = mem_service_new(&proto_smtp, NULL, NULL, -1);
	assert_non_null(service);
	own = first_line(service);
	assert_memory_equal(own, "220 ", 4);
	assert_true(own[4] != ' ');
	assert_non_null(strstr(own, " ESMTP\r\n"));
	mem_service_free(service);
}

/* ---- options ---------------------------------------------------------- */

static const char *complained; /* about this option last */

static void
complain(void *arg, const char *option, const char *fmt, ...)
{
	(void)fmt;
	complained = option;
	++*(int *)arg;
}

static void
test_option_check(void **state)
{
	static const struct {
		const char *hostname, *banner;
		const char *about; /* NULL: fine */
	} cases[] = {
		{ NULL, "ESMTP", NULL },
		{ "mx.example.org", "", NULL },
		{ "[192.0.2.1]", "ESMTP", NULL },
		{ "[IPv6:2001:db8::1]", "any text (of 1996), really!", NULL },
		{ "", "ESMTP", "hostname" },
		{ "a b", "ESMTP", "hostname" },
		{ "mx_1.example.org", "ESMTP", "hostname" },
		{ "mx.example.org.", "ESMTP", "hostname" },
		{ "mx\r\n250 x", "ESMTP", "hostname" },
		{ "192.0.2.1]", "ESMTP", "hostname" },
		{ "[2001:db8::1]", "ESMTP", "hostname" },
		{ "b\303\274cher.example", "ESMTP", "hostname" },
		{ "mx.example.org", "gr\303\274\303\237e", "banner" },
		{ "mx.example.org", "a\r\nb", "banner" },
	};
	const struct cab_group *group = proto_smtp.desc.options;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(cases); i++) {
		void *options = mem_default_options(group);
		int n = 0;

		*(const char **)option_at(options, "hostname") = cases[i].hostname;
		*(const char **)option_at(options, "banner") = cases[i].banner;
		group->check(options, complain, &n);
		assert_int_equal(n, cases[i].about != NULL);
		if (n > 0)
			assert_string_equal(complained, cases[i].about);
		free(options);
	}
}

static void
test_modes(void **state)
{
	const struct cab_group *group = proto_smtp.desc.options;
	const struct cab_opt *mode = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < group->n_opts; i++) {
		assert_true(group->opts[i].help[0] != '\0');
		if (strcmp(group->opts[i].name, "mode") == 0)
			mode = &group->opts[i];
	}
	assert_non_null(mode);
	assert_string_equal(mode->words[BANNER], "banner");
	assert_string_equal(mode->words[SINK], "sink");
	assert_null(mode->words[2]);
	/* Mail is swallowed only where somebody asked for that. */
	assert_string_equal(mode->def, "banner");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_smuggling_in_messages),
		cmocka_unit_test(test_smuggling_in_commands),
		cmocka_unit_test(test_data_too_early),
		cmocka_unit_test(test_line_limit),
		cmocka_unit_test(test_half_a_line_stays_small),
		cmocka_unit_test(test_message_limit),
		cmocka_unit_test(test_no_message_limit),
		cmocka_unit_test(test_recipient_and_error_limits),
		cmocka_unit_test(test_pipelining_against_a_slow_reader),
		cmocka_unit_test(test_one_write_for_a_group),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_dribbled_line),
		cmocka_unit_test(test_slow_lines),
		cmocka_unit_test(test_no_deadline_is_left),
		cmocka_unit_test(test_lingers_after_the_last_reply),
		cmocka_unit_test(test_message_rate),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_errors_are_counted),
		cmocka_unit_test(test_greetings),
		cmocka_unit_test(test_option_check),
		cmocka_unit_test(test_modes),
	};

	log_set_level(CAB_LOG_ERR); /* closing a session is told at a lower one */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
