/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader of HTTP/1.x request heads.  Pure; workers only.  Two passes over
 * each line: one that looks for its end and for bytes that no head may hold,
 * many at a time, and one that takes the line apart.  It must never look past
 * the bytes that it was given and never decide anything by where a read ended.
 */
#include "proto/http_parse.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "proto/http_bytes.h"

const struct http_limits http_limits = {
	.line_max = 8192,
	.head_max = 16384,
	.fields_max = 64,
};

/* ---- bytes ---- */

#define B_ALPHA (B_TOKEN | B_TARGET | B_NAME)
const uint8_t http_bytes[256] = {
	['0' ... '9'] = B_ALPHA | B_HEX | B_DIGIT,
	['A' ... 'F'] = B_ALPHA | B_HEX,
	['a' ... 'f'] = B_ALPHA | B_HEX,
	['G' ... 'Z'] = B_ALPHA,
	['g' ... 'z'] = B_ALPHA,
	['!'] = B_ALPHA,
	['$'] = B_ALPHA,
	['&'] = B_ALPHA,
	['\''] = B_ALPHA,
	['*'] = B_ALPHA,
	['+'] = B_ALPHA,
	['-'] = B_ALPHA,
	['.'] = B_ALPHA,
	['_'] = B_ALPHA,
	['~'] = B_ALPHA,
	['#'] = B_TOKEN,
	['%'] = B_TOKEN | B_TARGET,
	['^'] = B_TOKEN | B_TARGET,
	['`'] = B_TOKEN | B_TARGET,
	['|'] = B_TOKEN | B_TARGET,
	['('] = B_TARGET | B_NAME,
	[')'] = B_TARGET | B_NAME,
	[','] = B_TARGET, /* see http_is_host */
	[';'] = B_TARGET | B_NAME,
	['='] = B_TARGET | B_NAME,
	['/'] = B_TARGET,
	[':'] = B_TARGET,
	['?'] = B_TARGET,
	['@'] = B_TARGET,
	['['] = B_TARGET,
	['\\'] = B_TARGET,
	[']'] = B_TARGET,
	['{'] = B_TARGET,
	['}'] = B_TARGET,
};

#ifdef __SSE2__

/* One bit for each of sixteen bytes: whether it is a control byte other than HTAB. */
static inline unsigned
controls(const char *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
	__m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
	__m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));

	return (unsigned)_mm_movemask_epi8(
	    _mm_or_si128(_mm_andnot_si128(tab, low), del));
}

/* Index of the first control byte other than HTAB in [i, n), n if there is none. */
static inline size_t
find_control(const char *p, size_t i, size_t n)
{
	unsigned hits;

	for (; n - i >= 16; i += 16) {
		hits = controls(p + i);
		if (hits)
			return i + (unsigned)__builtin_ctz(hits);
	}
	if (n >= 16 && i < n) {
		/* The rest, read together with what stands before it. */
		hits = controls(p + n - 16) >> (16 - (n - i));
		return hits ? i + (unsigned)__builtin_ctz(hits) : n;
	}
	while (i < n && !is_control(p[i]))
		i++;
	return i;
}

#else

/*
 * Whether one of the eight bytes at p is below 0x20 or is 0x7f; exact, for all
 * that a borrow can set is a bit next to one that is set.
 */
static inline bool
controls(const char *p)
{
	const uint64_t ones = 0x0101010101010101, highs = ones << 7;
	uint64_t w, del;

	memcpy(&w, p, sizeof(w));
	del = w ^ (ones * 0x7f);
	return (((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & highs;
}

static inline size_t
find_control(const char *p, size_t i, size_t n)
{
	while (i < n) {
		size_t end;

		while (n - i >= 8 && !controls(p + i))
			i += 8;
		end = n - i < 8 ? n : i + 8;
		for (; i < end; i++) {
			if (is_control(p[i]))
				return i;
		}
	}
	return n;
}

#endif

bool
http_is_token(struct cab_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is(s.p[i], B_TOKEN))
			return false;
	}
	return s.n > 0;
}

bool
http_is_value(struct cab_slice s)
{
	return find_control(s.p, 0, s.n) == s.n;
}

/* Whether n bytes without control bytes equal a lower-case name of letters and '-' in any case. */
static bool
name_eq(const char *p, const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((p[i] | 0x20) != name[i])
			return false;
	}
	return true;
}

static bool
value_is(struct cab_slice s, struct cab_slice name)
{
	return s.n == name.n && name_eq(s.p, name.p, name.n);
}

static struct cab_slice
trim(const char *p, size_t n)
{
	while (n > 0 && (p[0] == ' ' || p[0] == '\t')) {
		p++;
		n--;
	}
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	return (struct cab_slice){ p, n };
}

bool
http_next_member(struct cab_slice *list, struct cab_slice *member)
{
	while (list->n > 0) {
		const char *comma = memchr(list->p, ',', list->n);
		size_t n = comma ? (size_t)(comma - list->p) : list->n;

		*member = trim(list->p, n);
		n += comma != NULL;
		list->p += n;
		list->n -= n;
		if (member->n > 0)
			return true;
	}
	return false;
}

/* ---- lines ---- */

enum {
	LINE_PARTIAL,
	LINE_WHOLE,
	LINE_LONG,
	LINE_BAD
};

/* Looks for the end of the line at pos->line, which may have max bytes before its CRLF. */
static inline int
line_end(
    const char *p, size_t n, size_t max, struct http_pos *pos, size_t *ret_end)
{
	size_t limit = pos->line + max; /* the CR must stand here or earlier */
	size_t end = n < limit + 1 ? n : limit + 1;
	size_t i = find_control(p, pos->searched, end);

	if (i == limit + 1)
		return LINE_LONG;
	if (n - i >= 2 && p[i] == '\r' && p[i + 1] == '\n') {
		*ret_end = i;
		return LINE_WHOLE;
	}
	/* A lone CR or LF is a line end to some readers and not to others. */
	if (n - i >= 2 || (i < n && p[i] != '\r'))
		return LINE_BAD;
	pos->searched = (uint16_t)i;
	return LINE_PARTIAL;
}

static void
line_next(struct http_pos *pos, size_t end)
{
	pos->line = pos->searched = (uint16_t)(end + 2);
}

/* ---- the request line ---- */

static const struct cab_slice methods[] = {
	[HTTP_GET] = CAB_SLICE("GET"),
	[HTTP_HEAD] = CAB_SLICE("HEAD"),
	[HTTP_POST] = CAB_SLICE("POST"),
	[HTTP_PUT] = CAB_SLICE("PUT"),
	[HTTP_DELETE] = CAB_SLICE("DELETE"),
	[HTTP_CONNECT] = CAB_SLICE("CONNECT"),
	[HTTP_OPTIONS] = CAB_SLICE("OPTIONS"),
	[HTTP_TRACE] = CAB_SLICE("TRACE"),
	[HTTP_PATCH] = CAB_SLICE("PATCH"),
};

static enum http_method
method_find(struct cab_slice name)
{
	size_t i;

	for (i = 0; i < HTTP_OTHER; i++) {
		if (name.n == methods[i].n &&
		    memcmp(name.p, methods[i].p, name.n) == 0)
			break;
	}
	return (enum http_method)i;
}

/* "HTTP/1.x" (RFC 9112, 2.3): 0 with the minor number that is served, or a negated status. */
static int
version_parse(const char *p, uint8_t *ret_minor)
{
	if (memcmp(p, "HTTP/", 5) != 0 || !is(p[5], B_DIGIT) || p[6] != '.' ||
	    !is(p[7], B_DIGIT))
		return -400;
	if (p[5] != '1')
		return -505;
	*ret_minor = p[7] != '0';
	return 0;
}

/* Digits of a number that fits 16 bits, or nothing (RFC 3986, 3.2.3). */
static bool
is_port(struct cab_slice s)
{
	unsigned port = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (!is(s.p[i], B_DIGIT))
			return false;
		port = port * 10 + (unsigned)(s.p[i] - '0');
		if (port > UINT16_MAX)
			return false;
	}
	return true;
}

/* A name may hold a comma, but two Host fields that somebody has joined do too: one too many. */
bool
http_is_host(struct cab_slice s)
{
	size_t i = 0;

	if (s.n > 0 && s.p[0] == '[') {
		for (i = 1; i < s.n &&
		     (is(s.p[i], B_HEX) || s.p[i] == ':' || s.p[i] == '.');
		     i++)
			;
		if (i < 3 || i == s.n || s.p[i++] != ']')
			return false;
	} else {
		for (;;) {
			while (i < s.n && is(s.p[i], B_NAME))
				i++;
			if (s.n - i < 3 || s.p[i] != '%' ||
			    !is(s.p[i + 1], B_HEX) || !is(s.p[i + 2], B_HEX))
				break;
			i += 3;
		}
		if (i == 0 && s.n > 0)
			return false; /* a port without a host */
	}
	if (i == s.n)
		return true;
	return s.p[i] == ':' &&
	    is_port((struct cab_slice){ s.p + i + 1, s.n - i - 1 });
}

/* Splits what follows the authority into path and query; rest is empty or starts with '/' or '?'. */
static void
path_split(struct cab_slice rest, struct http_request *req)
{
	const char *mark = rest.n ? memchr(rest.p, '?', rest.n) : NULL;
	size_t n = mark ? (size_t)(mark - rest.p) : rest.n;

	req->path = n ? (struct cab_slice){ rest.p, n } : CAB_SLICE("/");
	req->query = (struct cab_slice){ rest.p + n, rest.n - n };
	if (req->encoded)
		req->encoded = memchr(req->path.p, '%', req->path.n) != NULL;
}

/* "http://host[:port][/path][?query]" (RFC 9112, 3.2.2). */
static int
absolute_parse(struct cab_slice t, struct http_request *req)
{
	size_t at, n;

	if (t.n > 7 && slice_ieq((struct cab_slice){ t.p, 7 }, "http://"))
		at = 7;
	else if (t.n > 8 && slice_ieq((struct cab_slice){ t.p, 8 }, "https://"))
		at = 8;
	else
		return -400;
	for (n = at; n < t.n && t.p[n] != '/' && t.p[n] != '?'; n++)
		;
	req->host = (struct cab_slice){ t.p + at, n - at };
	if (n == at || !http_is_host(req->host))
		return -400;
	path_split((struct cab_slice){ t.p + n, t.n - n }, req);
	req->form = HTTP_ABSOLUTE;
	return 0;
}

/* "host:port", both given (RFC 9112, 3.2.3). */
static int
authority_parse(struct cab_slice t, struct http_request *req)
{
	if (!http_is_host(t) || !is(t.p[t.n - 1], B_DIGIT) ||
	    !memchr(t.p, ':', t.n))
		return -400;
	req->form = HTTP_AUTHORITY;
	req->host = req->path = t;
	return 0;
}

static int
target_parse(struct http_request *req)
{
	struct cab_slice t = req->target;

	for (size_t i = 0; i < t.n; i++) {
		if (!is(t.p[i], B_TARGET))
			return -400;
		req->encoded |= t.p[i] == '%';
	}
	if (req->method == HTTP_CONNECT)
		return authority_parse(t, req);
	if (t.p[0] == '/') {
		path_split(t, req);
		req->form = HTTP_ORIGIN;
		return 0;
	}
	if (t.n == 1 && t.p[0] == '*') {
		if (req->method != HTTP_OPTIONS)
			return -400;
		req->form = HTTP_ASTERISK;
		req->path = t;
		return 0;
	}
	return absolute_parse(t, req);
}

static int
request_line(const char *p, size_t n, struct http_request *req)
{
	size_t i;
	int r;

	for (i = 0; i < n && is(p[i], B_TOKEN); i++)
		;
	/* Exactly one space on each side of a target that holds none. */
	if (i == 0 || n < i + 1 + 1 + 9 || p[i] != ' ' || p[n - 9] != ' ')
		return -400;
	req->method_text = (struct cab_slice){ p, i };
	req->method = method_find(req->method_text);
	req->target = (struct cab_slice){ p + i + 1, n - 9 - (i + 1) };
	r = version_parse(p + n - 8, &req->minor);
	return r ? r : target_parse(req);
}

/* ---- field lines ---- */

#define KNOWN_LEN_MAX 19

/* The fields that mean something here, by the length of their names. */
static const struct known {
	const char *name;
	enum http_field field;
} known[KNOWN_LEN_MAX + 1][2] = {
	[4] = { { "host", HTTP_F_HOST } },
	[5] = { { "range", HTTP_F_RANGE } },
	[6] = { { "expect", HTTP_F_EXPECT } },
	[8] = { { "if-match", HTTP_F_IF_MATCH }, { "if-range", HTTP_F_IF_RANGE } },
	[10] = { { "connection", HTTP_F_CONNECTION } },
	[13] = { { "if-none-match", HTTP_F_IF_NONE_MATCH } },
	[14] = { { "content-length", HTTP_F_CONTENT_LENGTH } },
	[17] = { { "transfer-encoding", HTTP_F_TRANSFER_ENCODING },
	    { "if-modified-since", HTTP_F_IF_MODIFIED_SINCE } },
	[19] = { { "if-unmodified-since", HTTP_F_IF_UNMODIFIED_SINCE } },
};

static void
connection_field(struct cab_slice value, struct http_request *req)
{
	struct cab_slice option;

	while (http_next_member(&value, &option)) {
		if (value_is(option, CAB_SLICE("close")))
			req->close_asked = true;
		else if (value_is(option, CAB_SLICE("keep-alive")))
			req->keep_asked = true;
	}
}

static void
known_field(
    enum http_field field, struct cab_slice value, struct http_request *req)
{
	unsigned bit = 1u << field;

	if (field == HTTP_F_CONNECTION) {
		connection_field(value, req);
	} else if (!(req->seen & bit)) {
		req->field[field] = value;
	} else {
		req->twice |= bit;
		/* Of two expectations the one that is unknown decides. */
		if (field == HTTP_F_EXPECT &&
		    value_is(req->field[field], CAB_SLICE("100-continue")))
			req->field[field] = value;
	}
	req->seen |= bit;
}

static int
field_line(const char *p, size_t n, struct http_request *req)
{
	size_t i;

	for (i = 0; i < n && is(p[i], B_TOKEN); i++)
		;
	/* Also refuses white space before the colon, and folded lines. */
	if (i == 0 || i == n || p[i] != ':')
		return -400;
	if (i > KNOWN_LEN_MAX)
		return 0;
	for (size_t k = 0; k < 2 && known[i][k].name; k++) {
		if (name_eq(p, known[i][k].name, i)) {
			known_field(
			    known[i][k].field, trim(p + i + 1, n - i - 1), req);
			break;
		}
	}
	return 0;
}

bool
http_next_field(
    struct cab_slice *fields, struct cab_slice *name, struct cab_slice *value)
{
	const char *colon, *lf;
	size_t n;

	if (fields->n == 0)
		return false;
	/* The section was parsed: every line has a colon and ends in CRLF. */
	lf = memchr(fields->p, '\n', fields->n);
	n = (size_t)(lf + 1 - fields->p);
	colon = memchr(fields->p, ':', n);
	*name = (struct cab_slice){ fields->p, (size_t)(colon - fields->p) };
	*value = trim(colon + 1, (size_t)(lf - 1 - (colon + 1)));
	fields->p += n;
	fields->n -= n;
	return true;
}

/* ---- what the fields mean together ---- */

static int
length_parse(struct cab_slice s, int64_t *ret)
{
	int64_t n = 0;

	if (s.n == 0)
		return -400;
	for (size_t i = 0; i < s.n; i++) {
		if (!is(s.p[i], B_DIGIT) || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, s.p[i] - '0', &n))
			return -400;
	}
	*ret = n;
	return 0;
}

/* RFC 9112, 6.3, with everything that invites two readings refused. */
static int
framing(struct http_request *req)
{
	const unsigned length = 1u << HTTP_F_CONTENT_LENGTH;
	const unsigned coding = 1u << HTTP_F_TRANSFER_ENCODING;

	if (!(req->seen & (length | coding)))
		return 0;
	if (req->twice & (length | coding))
		return -400;
	if (req->seen & coding) {
		if (req->seen & length || req->minor == 0 ||
		    !value_is(req->field[HTTP_F_TRANSFER_ENCODING],
			CAB_SLICE("chunked")))
			return -400;
		req->chunked = true;
		return 0;
	}
	req->has_length = true;
	return length_parse(req->field[HTTP_F_CONTENT_LENGTH], &req->length);
}

static int
host(struct http_request *req)
{
	if (!http_has(req, HTTP_F_HOST))
		return req->minor == 0 ? 0 : -400;
	if (req->twice & 1u << HTTP_F_HOST ||
	    !http_is_host(req->field[HTTP_F_HOST]))
		return -400;
	if (!req->host.p) /* else the target's authority wins (RFC 9112, 3.2.2) */
		req->host = req->field[HTTP_F_HOST];
	return 0;
}

static int
head_finish(struct http_request *req)
{
	int r = host(req);

	if (r == 0)
		r = framing(req);
	if (r < 0)
		return r;
	if (req->minor == 0)
		req->keep_alive = req->keep_asked && !req->close_asked;
	else
		req->keep_alive = !req->close_asked;
	/* An HTTP/1.0 client cannot wait for a 100 (RFC 9110, 10.1.1). */
	if (http_has(req, HTTP_F_EXPECT) && req->minor > 0)
		req->expect = value_is(req->field[HTTP_F_EXPECT],
				  CAB_SLICE("100-continue")) ?
		    HTTP_EXPECT_CONTINUE :
		    HTTP_EXPECT_UNKNOWN;
	return 0;
}

/* ---- the head ---- */

/* Reads the request line: 1 when it has been read, 0, or a negated status. */
static int
read_request_line(const char *p, size_t n, const struct http_limits *limits,
    struct http_pos *pos, struct http_request *req)
{
	size_t end = 0;
	int r;

	if (pos->line == 0 && n > 0 && p[0] == '\r') {
		if (n == 1)
			return 0;
		if (p[1] != '\n')
			return -400;
		line_next(pos, 0);
	}
	/* What cannot become a request is refused at once, not after a timeout. */
	if (n > pos->line && !is(p[pos->line], B_TOKEN))
		return -400;
	switch (line_end(p, n, limits->line_max, pos, &end)) {
	case LINE_PARTIAL:
		return 0;
	case LINE_LONG:
		return -414;
	case LINE_BAD:
		return -400;
	}
	r = request_line(p + pos->line, end - pos->line, req);
	if (r < 0)
		return r;
	line_next(pos, end);
	pos->head = pos->line;
	return 1;
}

/* Reads field lines up to the empty line: 1 when that has been read, 0, or a negated status. */
static int
read_fields(const char *p, size_t n, const struct http_limits *limits,
    struct http_pos *pos, struct http_request *req)
{
	size_t limit = (size_t)pos->head + limits->head_max, end = 0;

	for (;;) {
		int r;

		if (limit - pos->line < 2)
			return -431;
		r = line_end(p, n, limit - pos->line - 2, pos, &end);
		if (r == LINE_PARTIAL)
			return 0;
		if (r != LINE_WHOLE)
			return r == LINE_LONG ? -431 : -400;
		if (end == pos->line)
			return 1;
		r = field_line(p + pos->line, end - pos->line, req);
		if (r < 0)
			return r;
		if (++pos->fields > limits->fields_max)
			return -431;
		line_next(pos, end);
	}
}

/* Clears what is not set in every case; a memset of it all would show in profiles. */
static void
request_init(struct http_request *req)
{
	req->expect = HTTP_EXPECT_NOTHING;
	req->chunked = req->has_length = req->keep_alive = false;
	req->encoded = req->close_asked = req->keep_asked = false;
	req->seen = req->twice = 0;
	req->length = 0;
	req->query = (struct cab_slice){ "", 0 };
	req->host = (struct cab_slice){ NULL, 0 };
}

int
http_parse_head(const char *p, size_t n, const struct http_limits *limits,
    struct http_pos *pos, struct http_request *req)
{
	bool resumed = pos->line > 0;

	for (;;) {
		int r;

		request_init(req);
		r = pos->head > 0 ? 1 : read_request_line(p, n, limits, pos, req);
		if (r == 1)
			r = read_fields(p, n, limits, pos, req);
		if (r <= 0)
			return r;
		if (!resumed)
			break;
		/* The lines read by earlier calls left nothing behind: once
		 * more, now that all are here. */
		resumed = false;
		*pos = (struct http_pos){ 0 };
	}
	req->fields = (struct cab_slice){ p + pos->head,
		(size_t)(pos->line - pos->head) };
	int r = head_finish(req);
	return r < 0 ? r : pos->line + 2;
}
