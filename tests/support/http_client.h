/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's side of HTTP for tests: takes replies apart and fails the test
 * at everything that a strict client would not accept.
 */
#ifndef CAB_TESTS_HTTP_CLIENT_H
#define CAB_TESTS_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct http_reply {
	int status;
	struct cab_slice head; /* field lines */
	struct cab_slice body;
};

/*
 * Takes the next reply off the output; false at its end.  asked_head: it
 * answers a HEAD, so no body follows.  Aborts when it is not framed to
 * the letter.
 */
bool
client_next(struct cab_slice *output, bool asked_head, struct http_reply *ret);

/* The value of a field; p == NULL if there is none.  Aborts if it stands twice. */
struct cab_slice client_field(const struct http_reply *reply, const char *name);

/* Aborts unless the field has this value; NULL: is absent. */
void client_expect_field(
    const struct http_reply *reply, const char *name, const char *value);
void client_expect_body(const struct http_reply *reply, const char *body);

#endif
