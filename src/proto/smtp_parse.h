/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The grammar of RFC 5321 (and the additions of RFC 6531) over slices: command
 * lines, paths, parameters, domains, and the end of a message.  Pure: no
 * allocation, no I/O, nothing is changed or copied.  Workers; the domain checks
 * also where the configuration is read.
 */
#ifndef CAB_PROTO_SMTP_PARSE_H
#define CAB_PROTO_SMTP_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* RFC 5321 section 4.5.3.1, in octets. */
#define SMTP_MAX_LOCAL  64
#define SMTP_MAX_LABEL  63 /* RFC 1035 section 2.3.4 */
#define SMTP_MAX_DOMAIN 255
#define SMTP_MAX_PATH   256 /* punctuation included */

/* ---- line ends -------------------------------------------------------- */

enum smtp_text {
	SMTP_TEXT_MORE,    /* everything was used, nothing has ended */
	SMTP_TEXT_END,     /* the line or the message has ended */
	SMTP_TEXT_BARE_LF, /* a LF without a CR before it */
	SMTP_TEXT_BARE_CR  /* a CR without a LF after it */
};

/* Where a scan stands between two reads. */
enum smtp_at {
	SMTP_AT_START, /* of a line */
	SMTP_AT_LINE,  /* within one */
	SMTP_AT_CR,
	SMTP_AT_DOT, /* that starts a line */
	SMTP_AT_DOT_CR
};

/*
 * Reads on through the message text of a DATA command; *at is SMTP_AT_START at
 * first.  *ret_used is how many of the n bytes belong to the text up to and
 * with what the return value tells of.  *size grows by the octets of the
 * message (RFC 1870: stuffed dots and the final dot line do not count).  Only
 * CR LF "." CR LF ends a message; other line ends than CR LF are not tolerated
 * because two servers that disagree about them can be played off against each
 * other (SMTP smuggling).
 */
enum smtp_text smtp_scan_message(enum smtp_at *at, const char *p, size_t n,
    size_t *ret_used, uint64_t *size);

/* The same for one line up to its CR LF, of which SMTP_AT_LINE has been seen. */
enum smtp_text
smtp_scan_line(enum smtp_at *at, const char *p, size_t n, size_t *ret_used);

/* ---- command lines ---------------------------------------------------- */

/*
 * Checks a line that a LF ended (not part of it): SMTP_TEXT_END and *line
 * without its CR and without blanks and tabs before that, or what is bare.
 */
enum smtp_text smtp_check_line(struct cab_slice *line);

/* Splits at the first blank; neither part starts or ends with one. */
void smtp_split(
    struct cab_slice line, struct cab_slice *verb, struct cab_slice *args);

/* Takes "FROM:" or "TO:" in any case, and blanks after it, off the front: 0 or -EINVAL. */
int smtp_take_word(struct cab_slice *args, const char *word);

/* ---- paths ------------------------------------------------------------ */

struct smtp_path {
	struct cab_slice local;  /* as written, quotes included; empty for <> */
	struct cab_slice domain; /* as written; empty for <> and <Postmaster> */
	bool utf8;               /* needs SMTPUTF8 */
};

enum smtp_direction {
	SMTP_REVERSE,
	SMTP_FORWARD
};

/*
 * Takes a path in angle brackets off the front of *rest: "<>" as a reverse
 * path only, "<Postmaster>" as a forward path only.  A source route is checked
 * and left out.  After it comes the end or a blank.  0, -EINVAL, -EILSEQ (not
 * UTF-8), -ENAMETOOLONG; on errors *rest and *ret keep their values.
 */
int smtp_parse_path(struct cab_slice *rest, enum smtp_direction direction,
    struct smtp_path *ret);

/* ---- parameters ------------------------------------------------------- */

struct smtp_param {
	struct cab_slice keyword, value;
	bool has_value;
};

/* The next one of "KEYWORD[=VALUE] ...": 1 and *ret, 0 at the end, -EINVAL. */
int smtp_next_param(struct cab_slice *rest, struct smtp_param *ret);

/* RFC 1870: 1 to 20 digits; more than fits becomes UINT64_MAX.  0 or -EINVAL. */
int smtp_parse_size(struct cab_slice value, uint64_t *ret);

/* ---- names of hosts --------------------------------------------------- */

/* A whole slice that is a domain name, an address literal in brackets. ASCII only. */
bool smtp_is_domain(struct cab_slice s);
bool smtp_is_literal(struct cab_slice s);

/* What may follow HELO and EHLO: either of the two.  Underscores pass, since
 * whole families of hosts are named so and the name is only shown. */
bool smtp_is_helo(struct cab_slice s);

#endif
