/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader of chunked bodies (RFC 9112, 7.1).  Pure; workers only.  A byte at
 * a time outside of chunk data, so that no line needs to be kept: nothing of a
 * body is wanted here but where it ends.
 */
#include "proto/http_bytes.h"
#include "proto/http_parse.h"

enum {
	C_SIZE,
	C_EXTENSION,
	C_SIZE_LF,
	C_DATA,
	C_DATA_CR,
	C_DATA_LF,
	C_TRAILER,
	C_TRAILER_NAME,
	C_TRAILER_VALUE,
	C_TRAILER_LF,
	C_END_LF
};

static unsigned
hex_value(char c)
{
	return is(c, B_DIGIT) ? (unsigned)(c - '0') :
				(unsigned)((c | 0x20) - 'a') + 10;
}

/* A byte of the line with the size. */
static int
chunk_size(struct http_chunked *c, char b)
{
	if (is(b, B_HEX)) {
		if (++c->digits > 16)
			return -400;
		c->left = c->left << 4 | hex_value(b);
		return 0;
	}
	if (c->digits == 0 || (b != ';' && b != '\r'))
		return -400;
	c->state = b == ';' ? C_EXTENSION : C_SIZE_LF;
	return 0;
}

/* The size is known. */
static int
chunk_begin(struct http_chunked *c, char b, uint64_t max_body)
{
	if (b != '\n')
		return -400;
	if (c->left > max_body - c->total)
		return -413;
	c->total += c->left;
	c->digits = 0;
	c->state = c->left ? C_DATA : C_TRAILER;
	return 0;
}

/* A byte of the trailer section, which has the syntax of a header section. */
static int
chunk_trailer(struct http_chunked *c, char b)
{
	if (c->state == C_TRAILER_VALUE) {
		if (b == '\r')
			c->state = C_TRAILER_LF;
		else if (is_control(b))
			return -400;
	} else if (is(b, B_TOKEN)) {
		if (c->state == C_TRAILER && ++c->fields > http_limits.fields_max)
			return -431;
		c->state = C_TRAILER_NAME;
	} else if (c->state == C_TRAILER && b == '\r') {
		c->state = C_END_LF;
		return 0;
	} else if (c->state == C_TRAILER_NAME && b == ':') {
		c->state = C_TRAILER_VALUE;
	} else {
		return -400;
	}
	return ++c->overhead > HTTP_CHUNK_OVERHEAD_MAX ? -431 : 0;
}

/* One byte outside of chunk data. */
static int
chunk_byte(struct http_chunked *c, char b, uint64_t max_body)
{
	switch (c->state) {
	case C_SIZE:
		return chunk_size(c, b);
	case C_EXTENSION:
		if (b == '\r')
			c->state = C_SIZE_LF;
		else if (is_control(b) || ++c->overhead > HTTP_CHUNK_OVERHEAD_MAX)
			return -400;
		return 0;
	case C_SIZE_LF:
		return chunk_begin(c, b, max_body);
	case C_DATA_CR:
		c->state = C_DATA_LF;
		return b == '\r' ? 0 : -400;
	case C_DATA_LF:
		c->state = C_SIZE;
		return b == '\n' ? 0 : -400;
	case C_TRAILER_LF:
		c->state = C_TRAILER;
		return b == '\n' ? 0 : -400;
	case C_END_LF:
		return b == '\n' ? 1 : -400;
	default:
		return chunk_trailer(c, b);
	}
}

int
http_chunked_read(struct http_chunked *c, const char *p, size_t n,
    uint64_t max_body, size_t *ret_used)
{
	size_t i = 0;
	int r = 0;

	while (i < n && r == 0) {
		if (c->state == C_DATA) {
			size_t take = c->left < n - i ? (size_t)c->left : n - i;

			i += take;
			c->left -= take;
			if (c->left == 0)
				c->state = C_DATA_CR;
		} else {
			r = chunk_byte(c, p[i++], max_body);
		}
	}
	*ret_used = i;
	return r;
}
