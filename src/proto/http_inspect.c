/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handler "inspect": tells the client how its request arrived, as JSON.
 * Workers.  Every byte of the request that is not plain ASCII is written as an
 * escape of its number, so that whatever a peer sends, the reply is valid JSON
 * and cannot hold markup.
 */
#include "proto/http_route.h"

#include <stdio.h>

#include "base/buf.h"

/* A head of at most 24 KiB, of which any byte may become six. */
#define INSPECT_MAX (256 * 1024)

/* Text that has failed once stays failed: half of it is not JSON. */
struct json {
	struct cab_buf buf;
	int error;
};

static void
json_add(struct json *out, const void *p, size_t n)
{
	if (out->error == 0)
		out->error = buf_append(&out->buf, p, n);
}

static void
json_str(struct json *out, const char *s)
{
	json_add(out, s, strlen(s));
}

static void
json_text(struct json *out, struct cab_slice s)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char escape[] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

		if (c == '"' || c == '\\') {
			escape[1] = (char)c;
			json_add(out, escape, 2);
		} else if (c < ' ' || c > '~' || c == '<' || c == '>' ||
		    c == '&') {
			json_add(out, escape, sizeof(escape));
		} else {
			json_add(out, &s.p[i], 1);
		}
	}
}

static void
json_string(struct json *out, struct cab_slice s)
{
	json_add(out, "\"", 1);
	json_text(out, s);
	json_add(out, "\"", 1);
}

static bool
same_name(struct cab_slice a, struct cab_slice b)
{
	for (size_t i = 0; a.n == b.n && i < a.n; i++) {
		char x = a.p[i], y = b.p[i];

		if (x >= 'A' && x <= 'Z')
			x |= 0x20;
		if (y >= 'A' && y <= 'Z')
			y |= 0x20;
		if (x != y)
			return false;
	}
	return a.n == b.n;
}

/* The values of a field that stands on several lines, in order (RFC 9110, 5.3). */
static void
json_more_values(struct json *out, struct cab_slice rest, struct cab_slice wanted)
{
	struct cab_slice name, value;

	while (http_next_field(&rest, &name, &value)) {
		if (same_name(name, wanted)) {
			json_add(out, ", ", 2);
			json_text(out, value);
		}
	}
}

static bool
seen_before(struct cab_slice fields, const char *end, struct cab_slice wanted)
{
	struct cab_slice name, value;

	while (http_next_field(&fields, &name, &value) && name.p < end) {
		if (same_name(name, wanted))
			return true;
	}
	return false;
}

static void
json_headers(struct json *out, struct cab_slice fields)
{
	struct cab_slice rest = fields, name, value;
	const char *before = "\n    ";

	while (http_next_field(&rest, &name, &value)) {
		if (seen_before(fields, name.p, name))
			continue;
		json_str(out, before);
		json_string(out, name);
		json_add(out, ": \"", 3);
		json_text(out, value);
		json_more_values(out, rest, name);
		json_add(out, "\"", 1);
		before = ",\n    ";
	}
}

static void
json_request(struct json *out, const struct http_turn *turn)
{
	const struct http_request *req = turn->req;
	const struct cab_peer *peer = cab_peer(turn->conn);
	char address[CAB_PEER_TEXT], port[8];

	snprintf(port, sizeof(port), "%u", peer->port);
	json_str(out, "{\n  \"method\": ");
	json_string(out, req->method_text);
	json_str(out, ",\n  \"target\": ");
	json_string(out, req->target);
	json_str(out, ",\n  \"version\": \"HTTP/1.");
	json_str(out, req->minor ? "1" : "0");
	json_str(out, "\",\n  \"peer\": { \"address\": ");
	peer_ip_text(peer, address, sizeof(address));
	json_string(out, (struct cab_slice){ address, strlen(address) });
	json_str(out, ", \"port\": ");
	json_str(out, port);
	json_str(out, " },\n  \"headers\": {");
	json_headers(out, req->fields);
	json_str(out, "\n  }\n}\n");
}

void
http_inspect(struct http_turn *turn)
{
	struct json out = { CAB_BUF_INIT(INSPECT_MAX), 0 };
	struct http_text t = http_scratch();

	json_request(&out, turn);
	if (out.error) {
		http_reply_status(turn, 503, "");
	} else {
		http_head_begin(&t, turn->service->opts, 200);
		http_head_field(&t, "Content-Type", "application/json");
		http_head_field(&t, "Cache-Control", "no-store");
		http_head_length(&t, buf_len(&out.buf));
		http_head_end(&t, turn);
		if (http_send_head(turn, &t) && turn->req->method != HTTP_HEAD)
			cab_write(turn->conn, buf_slice(&out.buf).p,
			    buf_len(&out.buf));
	}
	buf_release(&out.buf);
}
