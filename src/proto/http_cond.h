/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conditional and range requests (RFC 9110, sections 13 and 14) and the dates
 * in them: pure decisions over a request and what is known of a file.  Workers.
 */
#ifndef CAB_PROTO_HTTP_COND_H
#define CAB_PROTO_HTTP_COND_H

#include "proto/http_parse.h"
#include "proto/http_reply.h"

/* "ino-size-nanoseconds" in quotes, hexadecimal. */
#define HTTP_ETAG_MAX 64

/* What validates a representation. */
struct http_entity {
	struct cab_slice etag; /* strong, quotes included */
	int64_t modified;      /* seconds */
	uint64_t size;
};

struct http_range {
	uint64_t first, n;
};

enum http_answer {
	HTTP_WHOLE,         /* 200 */
	HTTP_PART,          /* 206, *ret says which */
	HTTP_NOT_MODIFIED,  /* 304 */
	HTTP_FAILED,        /* 412 */
	HTTP_UNSATISFIABLE, /* 416 */
};

/*
 * What a GET or HEAD of the entity gets, in the order of RFC 9110, 13.2.2.
 * Conditions and ranges that are malformed do not exist; several ranges at
 * once are answered with the whole.
 */
enum http_answer http_decide(const struct http_request *req,
    const struct http_entity *entity, struct http_range *ret);

/* Any of the three forms of RFC 9110, 5.6.7, in seconds since 1970; now settles
 * two-digit years.  0 or -EINVAL. */
int http_date_parse(struct cab_slice s, int64_t now, int64_t *ret);

/* HTTP_DATE_LEN bytes of IMF-fixdate; seconds outside of years 1970 to 9999 are moved to the nearer end. */
void http_date_add(struct http_text *t, int64_t seconds);

#endif
