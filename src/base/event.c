/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds the fields of one log record.  Every process.  Never allocates: a
 * value that has no room any more is left out, the record is written without.
 */
#include "base/event.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void
event_begin(struct event *event)
{
	event->n = event->used = 0;
}

static void
add(struct event *event, const char *name, const char *word, bool native)
{
	if (event->n < EVENT_FIELDS)
		event->v[event->n++] = (struct cab_log_field){
			.name = name, .value = word, .native = native
		};
}

/* Memory for a value of at most cap bytes, NULL if there is none. */
static char *
reserve(struct event *event, size_t cap)
{
	return event->n < EVENT_FIELDS && cap <= sizeof(event->text) - event->used ?
	    event->text + event->used :
	    NULL;
}

void
event_word(struct event *event, const char *name, const char *word)
{
	if (word != NULL)
		add(event, name, word, false);
}

static void
number(struct event *event, const char *name, uint64_t value, bool native)
{
	char *text = reserve(event, 21);

	if (text == NULL)
		return;
	event->used += (size_t)snprintf(text, 21, "%" PRIu64, value) + 1;
	add(event, name, text, native);
}

void
event_number(struct event *event, const char *name, uint64_t value)
{
	number(event, name, value, false);
}

static const char *
end_of(struct event *event, const struct cab_peer *peer, const char *whole,
    const char *address, const char *port)
{
	char *text;

	if (peer->family == AF_UNSPEC || !(text = reserve(event, CAB_PEER_TEXT)))
		return "";
	event->used += strlen(peer_text(peer, text, CAB_PEER_TEXT)) + 1;
	add(event, whole, text, false);
	if (peer->family != AF_INET && peer->family != AF_INET6)
		return text;
	char *ip = reserve(event, CAB_PEER_TEXT);

	if (ip != NULL) {
		event->used += strlen(peer_ip_text(peer, ip, CAB_PEER_TEXT)) + 1;
		add(event, address, ip, true);
		number(event, port, peer->port, true);
	}
	return text;
}

const char *
event_peer(struct event *event, const struct cab_peer *peer)
{
	return end_of(
	    event, peer, FIELD_PEER, FIELD_PEER_ADDRESS, FIELD_PEER_PORT);
}

const char *
event_local(struct event *event, const struct cab_peer *local)
{
	return end_of(
	    event, local, FIELD_LOCAL, FIELD_LOCAL_ADDRESS, FIELD_LOCAL_PORT);
}

void
event_said(struct event *event)
{
	for (size_t i = 0; i < event->n; i++)
		event->v[i].native = true;
}

bool
event_sampled(uint64_t *seen, int64_t n)
{
	return n < 2 || (*seen)++ % (uint64_t)n == 0;
}

char *
event_grouped(char dst[static CAB_GROUPED], uint64_t value)
{
	char digits[21];
	size_t n = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, value);
	size_t w = 0;

	for (size_t i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			dst[w++] = ',';
		dst[w++] = digits[i];
	}
	dst[w] = '\0';
	return dst;
}
