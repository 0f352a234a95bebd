/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text that comes from outside: escaping, numbers with units, addresses and
 * prefixes, and the log's records.  The first byte of an input chooses; each
 * choice has an oracle beyond not crashing: what was written parses back, a log
 * line is one line of printable ASCII, a journal record has the fields that went in.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/event.h"
#include "base/str.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static int journal = -1; /* our end of the journal's socket */

/* ---- text ---------------------------------------------------------------------------- */

/* Undoes str_escape; the number of bytes. */
static size_t
unescape(const char *s, size_t n, uint8_t *out)
{
	char hex[3] = "";
	size_t i, w = 0;

	for (i = 0; i < n; i++) {
		if (s[i] != '\\') {
			out[w++] = (uint8_t)s[i];
			continue;
		}
		must(i + 3 < n && s[i + 1] == 'x');
		memcpy(hex, s + i + 2, 2);
		out[w++] = (uint8_t)strtoul(hex, NULL, 16);
		i += 3;
	}
	return w;
}

static void
try_escape(const uint8_t *data, size_t len)
{
	size_t cap = len > 0 ? data[0] + 1 : 1, n, i;
	char *out = malloc(len * 4 + 1), *small = malloc(cap);
	uint8_t *back = malloc(len + 1);

	must(out != NULL && small != NULL && back != NULL);
	n = str_escape(out, len * 4 + 1, data, len);
	must(out[n] == '\0');
	for (i = 0; i < n; i++)
		must(out[i] >= 0x20 && out[i] < 0x7f && out[i] != '"');
	must(unescape(out, n, back) == len);
	must(len == 0 || memcmp(back, data, len) == 0);
	n = str_escape(small, cap, data, len);
	must(n < cap && small[n] == '\0');
	if (strcmp(small, out) != 0) {
		/* Cut: a prefix of the whole, at an escape's border, and dots. */
		while (n > 0 && small[n - 1] == '.' &&
		    (strncmp(small, out, n) != 0 || cap - 1 - n < 3))
			n--;
		must(strncmp(small, out, n) == 0);
		unescape(small, n, back);
	}
	free(out);
	free(small);
	free(back);
}

static void
try_units(const uint8_t *data, size_t len)
{
	struct cab_slice s = { (const char *)data, len };
	int64_t value, back;
	uint32_t count, period, count2, period2;
	char text[64];

	if (str_to_i64(s, &value) == 0) {
		snprintf(text, sizeof(text), "%lld", (long long)value);
		must(strtoll(text, NULL, 10) == value);
	}
	if (str_parse_time(s, &value) == 0) {
		str_format_time(text, sizeof(text), value);
		must(str_parse_time(
			 (struct cab_slice){ text, strlen(text) }, &back) == 0);
		must(back == value);
	}
	if (str_parse_size(s, &value) == 0) {
		str_format_size(text, sizeof(text), value);
		must(str_parse_size(
			 (struct cab_slice){ text, strlen(text) }, &back) == 0);
		must(back == value);
	}
	if (str_parse_rate(s, &count, &period) == 0) {
		str_format_rate(text, sizeof(text), count, period);
		must(str_parse_rate((struct cab_slice){ text, strlen(text) },
			 &count2, &period2) == 0);
		must(count == count2 && period == period2);
	}
}

static void
try_spelling(const uint8_t *data, size_t len)
{
	char *a = strndup((const char *)data, len), *b;
	struct cab_nearest near;

	must(a != NULL);
	b = strchr(a, ' ');
	if (b != NULL) {
		*b++ = '\0';
		must(str_distance(a, b, 3) == str_distance(b, a, 3));
		must((str_distance(a, b, 3) == 0) == (strcmp(a, b) == 0));
		near = (struct cab_nearest){ .want = a };
		nearest_offer(&near, b);
		must(near.best == NULL || near.best == b);
	}
	free(a);
}

/* ---- addresses -------------------------------------------------------------------------- */

static void
try_prefix(const uint8_t *data, size_t len)
{
	struct cab_slice s = { (const char *)data, len };
	struct cab_prefix prefix, back;
	struct cab_peer peer;
	const char *why;
	char text[CAB_ADDR_TEXT];

	memset(&prefix, 0, sizeof(prefix));
	memset(&back, 0, sizeof(back));
	if (prefix_parse(s, &prefix, &why) < 0) {
		must(why != NULL);
		return;
	}
	prefix_text(&prefix, text, sizeof(text));
	must(prefix_parse(
		 (struct cab_slice){ text, strlen(text) }, &back, &why) == 0);
	must(memcmp(&prefix, &back, sizeof(prefix)) == 0);
	/* Its own first address is inside, one with the first bit flipped is not. */
	memset(&peer, 0, sizeof(peer));
	peer.family = prefix.family;
	memcpy(peer.ip, prefix.ip, sizeof(peer.ip));
	must(prefix_match(&prefix, &peer));
	peer.ip[0] ^= 0x80;
	must(prefix_match(&prefix, &peer) == (prefix.bits == 0));
}

static void
try_address(const uint8_t *data, size_t len)
{
	struct cab_slice s = { (const char *)data, len };
	struct cab_sockaddr addr, back;
	struct cab_peer peer;
	char text[CAB_ADDR_TEXT];

	if (sockaddr_parse_ip(s, 4711, &addr) == 0) {
		must(sockaddr_port(&addr) == 4711);
		sockaddr_text(&addr, text, sizeof(text));
		must(strstr(text, ":4711") != NULL);
		peer_from_sockaddr(&peer, &addr.sa, addr.len);
		must(peer.family == AF_INET || peer.family == AF_INET6);
		peer_to_sockaddr(&peer, &back);
		peer_text(&peer, text, sizeof(text));
		must(strstr(text, ":4711") != NULL);
		(void)peer_source(&peer);
	}
	/* The same bytes as a socket address of the kernel. */
	memset(&addr, 0, sizeof(addr));
	addr.len = (socklen_t)(len < sizeof(addr.ss) ? len : sizeof(addr.ss));
	if (len > 0)
		memcpy(&addr.ss, data, addr.len);
	peer_from_sockaddr(&peer, &addr.sa, addr.len);
	peer_text(&peer, text, sizeof(text));
	must(strlen(text) < CAB_PEER_TEXT);
	(void)peer_is_unicast(&peer);
	sockaddr_text(&addr, text, sizeof(text));
	must(sockaddr_equal(&addr, &addr));
}

/* ---- the log -------------------------------------------------------------------------------- */

/* The next field of a record; false at its end. */
static bool
next_field(const char **p, const char *end, struct cab_slice *name,
    struct cab_slice *value)
{
	const char *line = *p, *eol;
	uint64_t n = 0;
	size_t i;

	if (line == end)
		return false;
	eol = memchr(line, '\n', (size_t)(end - line));
	must(eol != NULL);
	name->p = line;
	name->n = strcspn(line, "=\n");
	if (line[name->n] == '=') {
		value->p = line + name->n + 1;
		value->n = (size_t)(eol - value->p);
		*p = eol + 1;
		return true;
	}
	must(end - eol > 9);
	for (i = 0; i < 8; i++)
		n |= (uint64_t)(uint8_t)eol[1 + i] << 8 * i;
	must(n < (size_t)(end - eol) - 9);
	value->p = eol + 9;
	value->n = (size_t)n;
	must(value->p[n] == '\n');
	*p = value->p + n + 1;
	return true;
}

/* Both ends of a connection, whatever the kernel may say they are. */
static void
try_ends(const uint8_t *data, size_t len)
{
	struct cab_peer peer;
	struct event event;

	if (len < sizeof(peer))
		return;
	memcpy(&peer, data, sizeof(peer));
	if (data[len - 1] & 1)
		peer_anonymise(&peer);
	event_begin(&event);
	for (unsigned i = 0; i < data[len - 1] % 16; i++)
		(i & 1 ? event_peer : event_local)(&event, &peer);
	for (size_t i = 0; i < event.n; i++)
		for (const char *p = event.v[i].value; *p != '\0'; p++)
			must(*p > 0x20 && *p < 0x7f);
}

static void
try_journal(const uint8_t *data, size_t len)
{
	static char record[1 << 16];
	const struct cab_log_field field = { "RAW", (const char *)data,
		len, false };
	struct cab_slice name, value;
	const char *p = record;
	unsigned found = 0;
	ssize_t n;

	if (len == 0)
		return;
	try_ends(data, len);
	log_fields(CAB_LOG_INFO, NULL, &field, 1, "text");
	n = recv(journal, record, sizeof(record) - 1, MSG_DONTWAIT);
	must(n > 0);
	record[n] = '\0';
	while (next_field(&p, record + n, &name, &value)) {
		if (!slice_eq(name, "CABINETD_RAW"))
			continue;
		found++;
		must(value.n <= len);
		must(value.n == len || value.n == 8192);
		must(memcmp(value.p, data, value.n) == 0);
	}
	must(found == 1);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/cab-fuzz-XXXXXX";

	(void)argc;
	(void)argv;
	must(mkdtemp(dir) != NULL);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/journal", dir);
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(journal >= 0);
	must(bind(journal, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	log_fake_journal(addr.sun_path);
	log_open(CAB_LOG_JOURNAL, CAB_LOG_INFO, "fuzz");
	/* Connected by now, so the name is not needed any more. */
	unlink(addr.sun_path);
	rmdir(dir);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const tries[])(const uint8_t *, size_t) = { try_escape,
		try_units, try_spelling, try_prefix, try_address, try_journal };

	if (len == 0)
		return 0;
	tries[data[0] % (sizeof(tries) / sizeof(tries[0]))](data + 1, len - 1);
	return 0;
}
