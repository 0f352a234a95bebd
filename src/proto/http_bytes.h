/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What kinds of bytes HTTP knows, for its readers (http_parse.c and
 * http_chunk.c) alone.  Pure.
 */
#ifndef CAB_PROTO_HTTP_BYTES_H
#define CAB_PROTO_HTTP_BYTES_H

#include <stdbool.h>
#include <stdint.h>

enum {
	B_TOKEN = 1,
	B_TARGET = 2,
	B_NAME = 4,
	B_HEX = 8,
	B_DIGIT = 16
};

/*
 * B_TARGET is every visible ASCII character except those that no client leaves
 * unencoded and that URIs exclude; B_NAME is what a registered name is made of
 * (RFC 3986, 3.2.2), without '%'.
 */
extern const uint8_t http_bytes[256];

static inline bool
is(char c, unsigned class)
{
	return http_bytes[(unsigned char)c] & class;
}

/* HTAB is none: it may stand wherever a space may in a field value. */
static inline bool
is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

#endif
