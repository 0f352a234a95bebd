/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies of mini-HTTP: heads built by copying (never by printf), whole
 * replies prepared once and sent many times, and error pages.  Workers.
 */
#ifndef CAB_PROTO_HTTP_REPLY_H
#define CAB_PROTO_HTTP_REPLY_H

#include <string.h>
#include <time.h>

#include "proto/http.h"

/* ---- text under construction ---- */

/* n counts on past cap, where nothing is written: whoever uses the text checks once. */
struct http_text {
	char *p;
	size_t n, cap;
};

static inline void
text_add(struct http_text *t, const void *p, size_t n)
{
	if (t->n <= t->cap && n <= t->cap - t->n)
		memcpy(t->p + t->n, p, n);
	t->n += n;
}

static inline void
text_str(struct http_text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_number(struct http_text *t, uint64_t n);
void text_hex(struct http_text *t, uint64_t n);

/* ---- heads ---- */

#define HTTP_DATE_LEN 29 /* "Sat, 21 Nov 2026 06:42:05 GMT" */

/* "Not Found"; the reason of the status' class if it has no own one. */
const char *http_reason(unsigned status);

/* The status line, Date and Server. */
void http_head_begin(
    struct http_text *t, const struct http_opts *opts, unsigned status);

/* Where http_head_begin puts the date. */
size_t http_head_date(unsigned status);

/* "Name: value" and CRLF. */
void http_head_field(struct http_text *t, const char *name, const char *value);
void http_head_length(struct http_text *t, uint64_t length);

/* Connection, where the default would be wrong, and the empty line. */
void http_head_end(struct http_text *t, const struct http_turn *turn);

/* An empty text for the head of one reply; used up before the callback returns. */
struct http_text http_scratch(void);

/* Writes a head that was built in the scratch; one that did not fit drops the
 * reply and ends the connection. */
bool http_send_head(struct http_turn *turn, const struct http_text *t);

/* ---- prepared replies ---- */

/*
 * A reply whose head says everything but the date of today and Connection.
 * head_n bytes of head, an empty line, body_n bytes of content.
 */
struct http_canned {
	time_t date; /* what the Date line says */
	unsigned status;
	uint32_t head_n, body_n;
	uint32_t date_at;
	bool forever; /* lives as long as the service: content need not be copied */
	char bytes[];
};

/*
 * From a head without its empty line, as http_head_begin started it; room for
 * body_n bytes of content is left, which the caller fills in.  NULL on -ENOMEM.
 */
struct http_canned *
http_canned_new(unsigned status, const struct http_text *head, size_t body_n);

static inline char *
http_canned_body(struct http_canned *canned)
{
	return canned->bytes + canned->head_n + 2;
}

/* Sends it: one copy in the usual case. */
void http_canned_send(struct http_turn *turn, struct http_canned *canned);

/* ---- replies without content of their own ---- */

/*
 * A reply that only says its status; fields are whole header lines or "".
 * Counts statuses from 400 on as errors.
 */
void
http_reply_status(struct http_turn *turn, unsigned status, const char *fields);

/* 301 to another path here, built from two pieces. */
void http_reply_moved(
    struct http_turn *turn, struct cab_slice path, struct cab_slice query);

#endif
