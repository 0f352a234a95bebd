/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The grammar of RFC 5321 (and the additions of RFC 6531) over slices, by
 * recursive descent: a take_ function removes what it recognises from the front
 * of its slice.  Pure; runs in workers, its domain checks also where the
 * configuration is read.  Never trusts that bytes are text.
 */

#include "proto/smtp_parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* ---- line ends -------------------------------------------------------- */

/*
 * Two searches per line instead of a look at each byte: for the CR, then for a
 * LF that must not come before it.
 */
enum smtp_text
smtp_scan_line(enum smtp_at *at, const char *p, size_t n, size_t *ret_used)
{
	size_t used = 0;

	if (*at != SMTP_AT_CR) {
		const char *cr = memchr(p, '\r', n);
		size_t before = cr != NULL ? (size_t)(cr - p) : n;
		const char *lf = memchr(p, '\n', before);

		if (lf != NULL) {
			*ret_used = (size_t)(lf - p) + 1;
			return SMTP_TEXT_BARE_LF;
		}
		if (cr == NULL) {
			*ret_used = n;
			return SMTP_TEXT_MORE;
		}
		*at = SMTP_AT_CR;
		used = before + 1;
	}
	*ret_used = used;
	if (used == n)
		return SMTP_TEXT_MORE;
	if (p[used] != '\n')
		return SMTP_TEXT_BARE_CR;
	*ret_used = used + 1;
	*at = SMTP_AT_START;
	return SMTP_TEXT_END;
}

enum smtp_text
smtp_scan_message(
    enum smtp_at *at, const char *p, size_t n, size_t *ret_used, uint64_t *size)
{
	enum smtp_text text = SMTP_TEXT_MORE;
	size_t i = 0, used;

	while (i < n && text == SMTP_TEXT_MORE) {
		switch (*at) {
		case SMTP_AT_START:
			if (p[i] == '.') {
				*at = SMTP_AT_DOT;
				i++;
			} else
				*at = SMTP_AT_LINE;
			break;
		case SMTP_AT_DOT:
			if (p[i] == '\r') {
				*at = SMTP_AT_DOT_CR;
				i++;
			} else {
				/* Stuffed (RFC 5321 section 4.5.2): no part of the message. */
				*at = SMTP_AT_LINE;
				(*size)--;
			}
			break;
		case SMTP_AT_DOT_CR:
			if (p[i] == '\n') {
				i++;
				text = SMTP_TEXT_END;
				*size -= 3;
			} else
				text = SMTP_TEXT_BARE_CR;
			break;
		default:
			text = smtp_scan_line(at, p + i, n - i, &used);
			i += used;
			if (text == SMTP_TEXT_END)
				text = SMTP_TEXT_MORE;
			break;
		}
	}
	*ret_used = i;
	*size += i;
	return text;
}

/* ---- command lines ---------------------------------------------------- */

enum smtp_text
smtp_check_line(struct cab_slice *line)
{
	size_t n = line->n;
	const char *cr = n > 0 ? memchr(line->p, '\r', n) : NULL;

	if (cr == NULL)
		return SMTP_TEXT_BARE_LF;
	if (cr != line->p + n - 1)
		return SMTP_TEXT_BARE_CR;
	n--;
	/* RFC 5321 section 4.1.1: trailing white space is to be tolerated. */
	while (n > 0 && (line->p[n - 1] == ' ' || line->p[n - 1] == '\t'))
		n--;
	line->n = n;
	return SMTP_TEXT_END;
}

static void
skip_blanks(struct cab_slice *s)
{
	while (s->n > 0 && *s->p == ' ') {
		s->p++;
		s->n--;
	}
}

/* Cuts the first n bytes off *s and returns them. */
static struct cab_slice
cut(struct cab_slice *s, size_t n)
{
	struct cab_slice head = { s->p, n };

	s->p += n;
	s->n -= n;
	return head;
}

void
smtp_split(struct cab_slice line, struct cab_slice *verb, struct cab_slice *args)
{
	const char *blank = line.n > 0 ? memchr(line.p, ' ', line.n) : NULL;

	*verb = cut(&line, blank != NULL ? (size_t)(blank - line.p) : line.n);
	skip_blanks(&line);
	*args = line;
}

int
smtp_take_word(struct cab_slice *args, const char *word)
{
	struct cab_slice head = { args->p, strlen(word) };

	if (args->n < head.n || !slice_ieq(head, word))
		return -EINVAL;
	cut(args, head.n);
	/* Not in the grammar, but typed by people and sent by many programs. */
	skip_blanks(args);
	return 0;
}

/* ---- characters ------------------------------------------------------- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_let_dig(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_atext(char c)
{
	return is_let_dig(c) ||
	    (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool
is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/*
 * UTF8-non-ascii (RFC 3629 section 4): its length at the front of s, 0 if the
 * front is ASCII or the slice is empty, -EILSEQ for what is neither: overlong
 * forms, surrogates, beyond U+10FFFF, truncated.
 */
static int
utf8_length(struct cab_slice s)
{
	unsigned char lead, second;
	int length, i;

	if (s.n == 0 || (unsigned char)s.p[0] < 0x80)
		return 0;
	lead = (unsigned char)s.p[0];
	if (lead < 0xc2 || lead > 0xf4)
		return -EILSEQ;
	length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (s.n < (size_t)length)
		return -EILSEQ;
	for (i = 1; i < length; i++) {
		if (!is_continuation(s.p[i]))
			return -EILSEQ;
	}
	second = (unsigned char)s.p[1];
	if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
	    (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f))
		return -EILSEQ;
	return length;
}

/* ---- domains ---------------------------------------------------------- */

enum domain_flags {
	WITH_UTF8 = 1,
	WITH_UNDERSCORE = 2
};

/*
 * Takes one letter or digit of a label, or whatever else may stand where one
 * may: its length, 0 if there is none, -EILSEQ.
 */
static int
take_let_dig(struct cab_slice *s, unsigned flags, bool *utf8)
{
	int n;

	if (s->n > 0 &&
	    (is_let_dig(*s->p) || ((flags & WITH_UNDERSCORE) && *s->p == '_')))
		n = 1;
	else if (!(flags & WITH_UTF8))
		return 0;
	else {
		n = utf8_length(*s);
		if (n <= 0)
			return n;
		*utf8 = true;
	}
	cut(s, (size_t)n);
	return n;
}

/* sub-domain = Let-dig [Ldh-str]: no hyphen at either end. */
static int
take_label(struct cab_slice *s, unsigned flags, bool *utf8)
{
	/* In characters: the limit is the encoded form's, which has an octet or more for each. */
	size_t length = 0;
	bool hyphen = true;
	int r;

	for (;; length++) {
		if (s->n > 0 && *s->p == '-' && length > 0) {
			cut(s, 1);
			hyphen = true;
			continue;
		}
		r = take_let_dig(s, flags, utf8);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		hyphen = false;
	}
	if (hyphen)
		return -EINVAL;
	return length > SMTP_MAX_LABEL ? -ENAMETOOLONG : 0;
}

static int
take_domain(struct cab_slice *s, unsigned flags, bool *utf8)
{
	const char *start = s->p;
	int r;

	for (;;) {
		r = take_label(s, flags, utf8);
		if (r < 0)
			return r;
		if (s->n == 0 || *s->p != '.')
			break;
		cut(s, 1);
	}
	return s->p - start > SMTP_MAX_DOMAIN ? -ENAMETOOLONG : 0;
}

/* Text of an IP address of this family and nothing else; no zone, no blanks. */
static bool
is_address(int family, struct cab_slice s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr scratch; /* the larger of the two */

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, &scratch) == 1;
}

/* The only registered tag besides plain IPv4 is IPv6 (RFC 5321 section 4.1.3). */
static int
take_literal(struct cab_slice *s)
{
	static const char tag[] = "IPv6:";
	const char *end;
	struct cab_slice text, head;

	if (s->n == 0 || *s->p != '[')
		return -EINVAL;
	end = memchr(s->p, ']', s->n);
	if (end == NULL)
		return -EINVAL;
	text = cut(s, (size_t)(end - s->p) + 1);
	text.p++;
	text.n -= 2;
	head = (struct cab_slice){ text.p, sizeof(tag) - 1 };
	if (text.n > head.n && slice_ieq(head, tag)) {
		cut(&text, head.n);
		return is_address(AF_INET6, text) ? 0 : -EINVAL;
	}
	return is_address(AF_INET, text) ? 0 : -EINVAL;
}

bool
smtp_is_domain(struct cab_slice s)
{
	bool utf8 = false;

	return take_domain(&s, 0, &utf8) == 0 && s.n == 0;
}

bool
smtp_is_literal(struct cab_slice s)
{
	return take_literal(&s) == 0 && s.n == 0;
}

bool
smtp_is_helo(struct cab_slice s)
{
	struct cab_slice name = s;
	bool utf8 = false;

	if (take_domain(&name, WITH_UNDERSCORE, &utf8) == 0 && name.n == 0)
		return true;
	return smtp_is_literal(s);
}

/* ---- paths ------------------------------------------------------------ */

/* Quoted-string, of which the opening quote is at the front. */
static int
take_quoted(struct cab_slice *s, bool *utf8)
{
	int n;

	cut(s, 1);
	while (s->n > 0) {
		if (*s->p == '"') {
			cut(s, 1);
			return 0;
		}
		if (*s->p == '\\') {
			/* quoted-pairSMTP stays within printable ASCII, also with SMTPUTF8. */
			if (s->n < 2 || s->p[1] < ' ' || s->p[1] > '~')
				return -EINVAL;
			cut(s, 2);
			continue;
		}
		n = utf8_length(*s);
		if (n < 0)
			return n;
		if (n > 0)
			*utf8 = true;
		else if (*s->p < ' ' || *s->p > '~')
			return -EINVAL;
		cut(s, n > 0 ? (size_t)n : 1);
	}
	return -EINVAL;
}

/* Atom, at least one character of it. */
static int
take_atom(struct cab_slice *s, bool *utf8)
{
	const char *start = s->p;
	int n;

	for (;;) {
		n = utf8_length(*s);
		if (n < 0)
			return n;
		if (n > 0)
			*utf8 = true;
		else if (s->n > 0 && is_atext(*s->p))
			n = 1;
		else
			break;
		cut(s, (size_t)n);
	}
	return s->p > start ? 0 : -EINVAL;
}

/* Local-part = Dot-string / Quoted-string */
static int
take_local(struct cab_slice *s, bool *utf8)
{
	const char *start = s->p;
	int r;

	if (s->n > 0 && *s->p == '"')
		r = take_quoted(s, utf8);
	else
		while ((r = take_atom(s, utf8)) == 0 && s->n > 0 && *s->p == '.')
			cut(s, 1);
	if (r < 0)
		return r;
	return s->p - start > SMTP_MAX_LOCAL ? -ENAMETOOLONG : 0;
}

/* A-d-l = At-domain *( "," At-domain ), and the colon after it. */
static int
take_route(struct cab_slice *s, bool *utf8)
{
	int r;

	do {
		cut(s, 1);
		if (s->n == 0 || *s->p != '@')
			return -EINVAL;
		cut(s, 1);
		r = take_domain(s, WITH_UTF8, utf8);
		if (r < 0)
			return r;
	} while (s->n > 0 && *s->p == ',');
	return s->n > 0 && *s->p == ':' ? 0 : -EINVAL;
}

/* What stands between the brackets of a path that is neither <> nor
 * <Postmaster>; the opening one is at the front. */
static int
take_mailbox(struct cab_slice *s, struct smtp_path *path)
{
	struct cab_slice start;
	int r;

	if (s->n > 1 && s->p[1] == '@') {
		r = take_route(s, &path->utf8);
		if (r < 0)
			return r;
	}
	cut(s, 1);
	start = *s;
	r = take_local(s, &path->utf8);
	if (r < 0)
		return r;
	path->local = cut(&start, (size_t)(s->p - start.p));
	if (s->n == 0 || *s->p != '@')
		return -EINVAL;
	cut(s, 1);
	start = *s;
	if (s->n > 0 && *s->p == '[')
		r = take_literal(s);
	else
		r = take_domain(s, WITH_UTF8, &path->utf8);
	if (r < 0)
		return r;
	path->domain = cut(&start, (size_t)(s->p - start.p));
	return 0;
}

int
smtp_parse_path(struct cab_slice *rest, enum smtp_direction direction,
    struct smtp_path *ret)
{
	static const char postmaster[] = "<Postmaster>";
	struct cab_slice s = *rest;
	struct cab_slice head = { s.p, sizeof(postmaster) - 1 };
	struct smtp_path path = { .local = { s.p, 0 }, .domain = { s.p, 0 } };
	int r;

	if (s.n < 2 || *s.p != '<')
		return -EINVAL;
	if (direction == SMTP_REVERSE && s.p[1] == '>')
		cut(&s, 1);
	else if (direction == SMTP_FORWARD && s.n >= head.n &&
	    slice_ieq(head, postmaster)) {
		path.local = (struct cab_slice){ s.p + 1, head.n - 2 };
		cut(&s, head.n - 1);
	} else {
		r = take_mailbox(&s, &path);
		if (r < 0)
			return r;
	}
	if (s.n == 0 || *s.p != '>')
		return -EINVAL;
	cut(&s, 1);
	if (s.n > 0 && *s.p != ' ')
		return -EINVAL;
	if (s.p - rest->p > SMTP_MAX_PATH)
		return -ENAMETOOLONG;
	*rest = s;
	*ret = path;
	return 0;
}

/* ---- parameters ------------------------------------------------------- */

static bool
is_keyword(struct cab_slice s)
{
	size_t i;

	if (s.n == 0 || !is_let_dig(s.p[0]))
		return false;
	for (i = 0; i < s.n; i++) {
		if (!is_let_dig(s.p[i]) && s.p[i] != '-')
			return false;
	}
	return true;
}

/* esmtp-value, which has no blank since it was cut at one; beyond ASCII by RFC 6531. */
static bool
is_value(struct cab_slice s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c == '=' || c == 0x7f)
			return false;
	}
	return s.n > 0;
}

int
smtp_next_param(struct cab_slice *rest, struct smtp_param *ret)
{
	struct smtp_param param = { .has_value = false };
	const char *equals, *end;
	struct cab_slice word;

	skip_blanks(rest);
	if (rest->n == 0)
		return 0;
	end = memchr(rest->p, ' ', rest->n);
	word = cut(rest, end != NULL ? (size_t)(end - rest->p) : rest->n);
	equals = memchr(word.p, '=', word.n);
	if (equals == NULL)
		param.keyword = word;
	else {
		param.keyword = cut(&word, (size_t)(equals - word.p));
		cut(&word, 1);
		param.value = word;
		param.has_value = true;
	}
	if (!is_keyword(param.keyword) ||
	    (param.has_value && !is_value(param.value)))
		return -EINVAL;
	*ret = param;
	return 1;
}

int
smtp_parse_size(struct cab_slice value, uint64_t *ret)
{
	uint64_t size = 0;
	bool over = false;
	size_t i;

	if (value.n == 0 || value.n > 20)
		return -EINVAL;
	for (i = 0; i < value.n; i++) {
		if (!is_digit(value.p[i]))
			return -EINVAL;
		over |= __builtin_mul_overflow(size, 10, &size);
		over |= __builtin_add_overflow(
		    size, (uint64_t)(value.p[i] - '0'), &size);
	}
	*ret = over ? UINT64_MAX : size;
	return 0;
}
