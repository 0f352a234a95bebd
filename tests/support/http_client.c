/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's side of HTTP.  Tests only; shares no code with the server, so
 * that they cannot agree on a mistake.
 */
#include "tests/support/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FAIL(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())
#define EXPECT(what)                                                  \
	do {                                                          \
		if (!(what))                                          \
			FAIL("%s:%d: %s", __FILE__, __LINE__, #what); \
	} while (0)

static struct cab_slice
take_line(struct cab_slice *s)
{
	const char *end = memmem(s->p, s->n, "\r\n", 2);
	struct cab_slice line;

	if (!end)
		FAIL("no line end in \"%.*s\"", (int)s->n, s->p);
	line = (struct cab_slice){ s->p, (size_t)(end - s->p) };
	s->n -= line.n + 2;
	s->p += line.n + 2;
	EXPECT(!memchr(line.p, '\n', line.n));
	EXPECT(!memchr(line.p, '\r', line.n));
	return line;
}

struct cab_slice
client_field(const struct http_reply *reply, const char *name)
{
	struct cab_slice rest = reply->head, found = { NULL, 0 };
	size_t n = strlen(name);

	while (rest.n > 0) {
		struct cab_slice line = take_line(&rest);

		if (line.n > n + 1 && line.p[n] == ':' &&
		    strncasecmp(line.p, name, n) == 0) {
			if (found.p)
				FAIL("%s stands twice", name);
			EXPECT(line.p[n + 1] == ' ');
			found = (struct cab_slice){ line.p + n + 2,
				line.n - n - 2 };
		}
	}
	return found;
}

void
client_expect_field(
    const struct http_reply *reply, const char *name, const char *value)
{
	struct cab_slice found = client_field(reply, name);

	if (!value && found.p)
		FAIL("%s: %.*s", name, (int)found.n, found.p);
	if (value &&
	    (!found.p || found.n != strlen(value) ||
		memcmp(found.p, value, found.n) != 0))
		FAIL("%s is \"%.*s\", not \"%s\"", name, (int)found.n,
		    found.p ? found.p : "", value);
}

void
client_expect_body(const struct http_reply *reply, const char *body)
{
	if (reply->body.n != strlen(body) ||
	    memcmp(reply->body.p, body, reply->body.n) != 0)
		FAIL("the body is \"%.*s\", not \"%s\"", (int)reply->body.n,
		    reply->body.p, body);
}

bool
client_next(struct cab_slice *output, bool asked_head, struct http_reply *ret)
{
	struct cab_slice line, length;
	char *end;

	if (output->n == 0)
		return false;
	line = take_line(output);
	if (line.n < 13 || memcmp(line.p, "HTTP/1.1 ", 9) != 0 ||
	    line.p[12] != ' ')
		FAIL("status line \"%.*s\"", (int)line.n, line.p);
	ret->status = (int)strtol(line.p + 9, &end, 10);
	EXPECT(end == line.p + 12);
	ret->head.p = output->p;
	while ((line = take_line(output)).n > 0)
		EXPECT(memchr(line.p, ':', line.n));
	ret->head.n = (size_t)(line.p - ret->head.p);
	ret->body = (struct cab_slice){ output->p, 0 };
	if (ret->status < 200)
		return true;
	EXPECT(client_field(ret, "Date").n == 29);
	length = client_field(ret, "Content-Length");
	if (ret->status == 204 || ret->status == 304) {
		EXPECT(!length.p);
		return true;
	}
	EXPECT(length.p);
	EXPECT(!client_field(ret, "Transfer-Encoding").p);
	if (asked_head)
		return true;
	ret->body.n = strtoul(length.p, &end, 10);
	EXPECT(end == length.p + length.n);
	if (ret->body.n > output->n)
		FAIL("a body of %zu bytes is cut at %zu", ret->body.n, output->n);
	output->p += ret->body.n;
	output->n -= ret->body.n;
	return true;
}
