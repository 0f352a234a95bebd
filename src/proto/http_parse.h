/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader of HTTP/1.1 and 1.0 requests (RFC 9110, RFC 9112): pure functions
 * over bytes, no allocation, no I/O.  Workers only.  Strict where a second
 * reader of the same bytes might disagree (request smuggling): such a message
 * is bad, never repaired.  What is decided does not depend on how the bytes
 * were split into reads.
 */
#ifndef CAB_PROTO_HTTP_PARSE_H
#define CAB_PROTO_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_CONNECT,
	HTTP_OPTIONS,
	HTTP_TRACE,
	HTTP_PATCH,
	HTTP_OTHER /* a token, but no method that is known here */
};

enum http_form {
	HTTP_ORIGIN,
	HTTP_ABSOLUTE,
	HTTP_AUTHORITY,
	HTTP_ASTERISK
};

enum http_expect {
	HTTP_EXPECT_NOTHING,
	HTTP_EXPECT_CONTINUE,
	HTTP_EXPECT_UNKNOWN
};

/* The sum of the first two must stay below 65,000: positions are 16 bits wide. */
struct http_limits {
	uint16_t line_max; /* request line without its CRLF; more is 414 */
	uint16_t head_max; /* header section with its empty line; more is 431 */
	uint8_t fields_max; /* field lines; more is 431 */
};

/* What the daemon uses. */
extern const struct http_limits http_limits;

/*
 * How far an unfinished head has been read; zeroed before a request.  With it,
 * a head that arrives byte by byte costs no more than twice one that arrives whole.
 */
struct http_pos {
	uint16_t line;     /* start of the line that is not complete */
	uint16_t searched; /* no line end before this */
	uint16_t head; /* start of the header section, 0 while in the request line */
	uint8_t fields; /* complete field lines */
};

/* The fields that mean something to a server of files and fixed replies. */
enum http_field {
	HTTP_F_HOST,
	HTTP_F_CONTENT_LENGTH,
	HTTP_F_TRANSFER_ENCODING,
	HTTP_F_CONNECTION,
	HTTP_F_EXPECT,
	HTTP_F_RANGE,
	HTTP_F_IF_RANGE,
	HTTP_F_IF_MATCH,
	HTTP_F_IF_NONE_MATCH,
	HTTP_F_IF_MODIFIED_SINCE,
	HTTP_F_IF_UNMODIFIED_SINCE,
	HTTP_F_MAX
};

#define HTTP_F_CONDITIONS (1u << HTTP_F_RANGE | ~0u << HTTP_F_IF_MATCH)

/* A request's head; the slices point into the bytes that were parsed. */
struct http_request {
	enum http_method method;
	enum http_form form;
	enum http_expect expect;
	uint8_t minor; /* HTTP/1.minor: 0, or 1 for anything later */
	bool chunked;
	bool has_length;
	bool keep_alive; /* the peer wants the connection to stay */
	bool encoded;    /* the path holds a '%' */
	bool close_asked, keep_asked;
	uint16_t seen, twice; /* bits of enum http_field */
	int64_t length;       /* Content-Length */
	struct cab_slice method_text, target;
	struct cab_slice
	    path; /* of the target, still encoded; "*" and authorities as they are */
	struct cab_slice query; /* with its '?', empty if there is none */
	struct cab_slice host; /* the target's authority, else Host; p == NULL: neither */
	struct cab_slice fields; /* all field lines, for http_next_field */
	struct cab_slice field[HTTP_F_MAX]; /* the first of each, valid if seen */
};

static inline bool
http_has(const struct http_request *req, enum http_field field)
{
	return req->seen >> field & 1;
}

/*
 * Reads the head of a request from n bytes that start where the request starts.
 * Returns how many bytes it has (> 0, *req filled in), 0 when it is not
 * complete, or a negated status (400, 414, 431, 505) after which the connection
 * must be closed.  One empty line before the request is skipped (RFC 9112, 2.2).
 */
int http_parse_head(const char *p, size_t n, const struct http_limits *limits,
    struct http_pos *pos, struct http_request *req);

/* Takes the next field line off the field lines of a parsed head; false at the end. */
bool http_next_field(
    struct cab_slice *fields, struct cab_slice *name, struct cab_slice *value);

/* Whether the bytes are a token (RFC 9110, 5.6.2), and whether they can stand in a field value. */
bool http_is_token(struct cab_slice s);
bool http_is_value(struct cab_slice s);

/* Whether a field value is "uri-host [: port]" (RFC 9110, 7.2); the empty host is valid. */
bool http_is_host(struct cab_slice s);

/*
 * Takes the next member of a comma-separated list off *list, white space
 * around it removed, empty members skipped; false at the end.
 */
bool http_next_member(struct cab_slice *list, struct cab_slice *member);

/* ---- chunked bodies, read strictly and thrown away ---- */

struct http_chunked {
	uint64_t left;     /* bytes of the current chunk not seen yet */
	uint64_t total;    /* bytes of all chunks */
	uint32_t overhead; /* bytes of extensions and trailers */
	uint8_t state;
	uint8_t digits; /* of the current chunk size */
	uint8_t fields; /* trailer fields */
};

#define HTTP_CHUNK_OVERHEAD_MAX 8192

/*
 * Reads on in a chunked body (RFC 9112, 7.1); c is zeroed before the first
 * byte.  Returns 1 when the body is complete, 0 when more is wanted, a negated
 * status (400, 413 for more than max_body bytes, 431 for too many trailers).
 * *ret_used is the number of bytes that belong to the body.
 */
int http_chunked_read(struct http_chunked *c, const char *p, size_t n,
    uint64_t max_body, size_t *ret_used);

#endif
