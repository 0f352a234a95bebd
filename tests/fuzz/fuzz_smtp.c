/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target of mini-SMTP: the protocol over the in-memory transport, and its
 * pure parsers.  Beyond crashes it looks for replies that depend on how the
 * input was cut or how fast the output was read, for malformed replies, and
 * for a disagreement with a byte-by-byte reader about the end of a message.
 *
 * Input: one byte of options, the step of the cut run, the window of the slow
 * run, then a script in which 0x1f waits for the replies and, where the options
 * say so (time takes time), 0x1e lets 100 seconds pass.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/builtin.h"
#include "proto/smtp_parse.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/mem.h"

#define WAIT       0x1f
#define PASS       0x1e
#define MAX_PASSES 6
#define MAX_INPUT  16384
#define MAX_OUTPUT (1 << 20)
#define N_SERVICES 8
#define WITH_TIME  0x80

int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct mem_service *services[N_SERVICES];
static void *options[N_SERVICES];

struct output {
	char text[MAX_OUTPUT];
	size_t n;
	bool finished;
};

static struct output whole, cut, slow;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(CAB_LOG_ERR);
	return 0;
}

static void
set_option(void *to, const char *name, int64_t value)
{
	const struct cab_group *group = proto_smtp.desc.options;
	size_t i;

	for (i = 0; i < group->n_opts; i++) {
		const struct cab_opt *row = &group->opts[i];
		char *at = (char *)to + row->offset;

		if (strcmp(row->name, name) != 0)
			continue;
		if (row->type == CAB_T_ENUM)
			*(int *)(void *)at = (int)value;
		else if (row->type == CAB_T_STRING)
			*(const char **)(void *)at = "mx.test";
		else
			*(int64_t *)(void *)at = value;
		return;
	}
	abort();
}

/* Kept between inputs: a service of its own for each combination of options. */
static struct mem_service *
service_for(uint8_t choice)
{
	unsigned i = choice % N_SERVICES;

	if (services[i] == NULL) {
		options[i] = mem_default_options(proto_smtp.desc.options);
		set_option(options[i], "hostname", 0);
		set_option(options[i], "mode", i & 3 ? 1 : 0);
		if (i & 4) {
			set_option(options[i], "max_message", 40);
			set_option(options[i], "max_recipients", 2);
			set_option(options[i], "max_errors", 3);
		}
		services[i] = mem_service_new(&proto_smtp, options[i], NULL, -1);
		must(services[i] != NULL);
	}
	mem_advance(services[i], 1); /* makes its clock the current one */
	return services[i];
}

/* ---- sessions --------------------------------------------------------- */

/* Copies the output without the identifiers of messages, which name the connection. */
static void
collect(struct mem_conn *conn, struct output *out)
{
	static const char mark[] = "discarded as ";
	const size_t mark_n = sizeof(mark) - 1;
	size_t n;
	const char *p = mem_output(conn, &n), *end = p + n;

	must(n < MAX_OUTPUT);
	out->n = 0;
	out->finished = mem_finished(conn);
	while (p < end) {
		out->text[out->n++] = *p++;
		if (out->n >= mark_n &&
		    memcmp(out->text + out->n - mark_n, mark, mark_n) == 0) {
			while (p < end && *p != '-')
				p++;
		}
	}
	must(n == 0 || out->n > 0);
}

/* Reads on, window bytes at a time, until nothing more comes. */
static void
read_slowly(struct mem_conn *conn, size_t window)
{
	size_t before, n;

	mem_output(conn, &n);
	do {
		before = n;
		mem_window(conn, window);
		mem_output(conn, &n);
	} while (n > before);
}

static void
run(struct mem_service *service, const uint8_t *script, size_t len, bool time,
    size_t step, size_t window, struct output *out)
{
	struct mem_conn *conn = mem_open(service);
	unsigned passes = 0;
	size_t i, start = 0;

	if (window > 0)
		mem_window(conn, 0);
	for (i = 0; i <= len; i++) {
		if (i < len && script[i] != WAIT && (script[i] != PASS || !time))
			continue;
		mem_feed_split(conn, script + start, i - start, step);
		if (window > 0)
			read_slowly(conn, window);
		if (i < len && script[i] == PASS && passes++ < MAX_PASSES)
			mem_advance(service, 100000);
		start = i + 1;
	}
	mem_half_close(conn);
	if (window > 0)
		read_slowly(conn, window);
	collect(conn, out);
	must(mem_closed(conn) || out->finished);
	mem_free(conn);
}

/* Every reply is one of a server's: code, then a blank or a hyphen, printable, CR LF. */
static void
check_replies(const struct output *out)
{
	size_t at = 0, end;

	while (at < out->n) {
		const char *line = out->text + at;
		const char *lf = memchr(line, '\n', out->n - at);

		must(lf != NULL);
		end = (size_t)(lf - out->text);
		must(end - at >= 4 && end - at < 512);
		must(lf[-1] == '\r');
		must(line[0] >= '2' && line[0] <= '5');
		must(line[1] >= '0' && line[1] <= '5');
		must(line[2] >= '0' && line[2] <= '9');
		must(line[3] == ' ' || line[3] == '-');
		for (; at < end - 1; at++)
			must(out->text[at] >= ' ' && out->text[at] <= '~');
		at = end + 1;
	}
}

/* Whether one run ended because DATA and more came in one read, agreeing up to there. */
static bool
ended_early(const struct output *early, const struct output *other)
{
	static const char reply[] =
	    "554 5.5.1 Data sent without waiting for the reply\r\n";
	const size_t reply_n = sizeof(reply) - 1;
	size_t n;

	if (early->n < reply_n ||
	    memcmp(early->text + early->n - reply_n, reply, reply_n) != 0)
		return false;
	n = early->n - reply_n;
	return other->n >= n && memcmp(early->text, other->text, n) == 0;
}

static void
check_same(const struct output *a, const struct output *b)
{
	if (a->n == b->n && memcmp(a->text, b->text, a->n) == 0 &&
	    a->finished == b->finished)
		return;
	if (ended_early(a, b) || ended_early(b, a))
		return;
	fprintf(stderr, "first run:\n%.*s\nsecond run:\n%.*s\n", (int)a->n,
	    a->text, (int)b->n, b->text);
	abort();
}

/* ---- parsers ---------------------------------------------------------- */

/* The end of a message as RFC 5321 section 4.1.1.4 says it, one byte at a time. */
static enum smtp_text
slow_scan(const uint8_t *p, size_t n, size_t *ret_used, uint64_t *ret_size)
{
	uint64_t size = 0;
	size_t i, line = 0; /* where the current line begins */

	for (i = 0; i < n; i++) {
		if (i > 0 && p[i - 1] == '\r' && p[i] != '\n') {
			*ret_used = i;
			return SMTP_TEXT_BARE_CR;
		}
		if (p[i] != '\n')
			continue;
		if (i == 0 || p[i - 1] != '\r') {
			*ret_used = i + 1;
			return SMTP_TEXT_BARE_LF;
		}
		*ret_used = i + 1;
		*ret_size = size;
		if (i - line == 2 && p[line] == '.')
			return SMTP_TEXT_END;
		size += i + 1 - line - (p[line] == '.');
		line = i + 1;
	}
	*ret_used = n;
	*ret_size = size;
	return SMTP_TEXT_MORE;
}

static void
check_scan(const uint8_t *p, size_t n)
{
	enum smtp_at at = SMTP_AT_START;
	uint64_t size = 0, want_size = 0;
	size_t used = 0, want_used = 0;
	enum smtp_text want = slow_scan(p, n, &want_used, &want_size);

	must(smtp_scan_message(&at, (const char *)p, n, &used, &size) == want);
	must(used == want_used);
	if (want == SMTP_TEXT_END)
		must(size == want_size);
}

static bool
all_ascii(const char *p, const char *end)
{
	for (; p < end; p++) {
		if ((unsigned char)*p >= 0x80)
			return false;
	}
	return true;
}

static void
check_path(const uint8_t *p, size_t n, enum smtp_direction direction)
{
	struct cab_slice rest = { (const char *)p, n };
	struct smtp_path path;
	size_t taken, i;

	if (smtp_parse_path(&rest, direction, &path) < 0)
		return;
	taken = (size_t)(rest.p - (const char *)p);
	must(taken >= 2 && taken <= SMTP_MAX_PATH && taken + rest.n == n);
	must(p[0] == '<' && p[taken - 1] == '>');
	must(path.local.n <= SMTP_MAX_LOCAL);
	must(path.domain.n <= SMTP_MAX_DOMAIN);
	must(path.local.p >= (const char *)p &&
	    path.local.p + path.local.n < rest.p);
	must(path.domain.p >= (const char *)p &&
	    path.domain.p + path.domain.n < rest.p);
	must(path.utf8 != all_ascii((const char *)p, rest.p));
	for (i = 0; i < taken; i++)
		must(p[i] >= ' ' && p[i] != 0x7f);
	must(memchr(path.domain.p, ' ', path.domain.n) == NULL);
	if (path.local.n == 0)
		must(direction == SMTP_REVERSE && taken == 2);
}

static void
check_parsers(const uint8_t *p, size_t n)
{
	struct cab_slice all = { (const char *)p, n };
	struct cab_slice rest = all, verb, args;
	struct smtp_param param;
	uint64_t size;
	int r;

	check_scan(p, n);
	check_path(p, n, SMTP_REVERSE);
	check_path(p, n, SMTP_FORWARD);
	(void)smtp_is_domain(all);
	(void)smtp_is_literal(all);
	must(smtp_is_helo(all) ||
	    (!smtp_is_domain(all) && !smtp_is_literal(all)));
	(void)smtp_parse_size(all, &size);
	smtp_split(all, &verb, &args);
	must(verb.n + args.n <= n);
	do
		r = smtp_next_param(&rest, &param);
	while (r > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct mem_service *service;
	bool time;
	size_t n;

	if (len < 3 || len > MAX_INPUT)
		return 0;
	time = data[0] & WITH_TIME;
	n = len - 3;
	check_parsers(data + 3, n);
	service = service_for(data[0]);
	run(service, data + 3, n, time, SIZE_MAX, 0, &whole);
	check_replies(&whole);
	run(service, data + 3, n, time, data[1] + 1u, 0, &cut);
	check_same(&whole, &cut);
	/* Time is measured from the last byte in or out: a slow reader changes it. */
	if (!time) {
		run(service, data + 3, n, time, SIZE_MAX, data[2] + 1u, &slow);
		check_same(&whole, &slow);
	}
	return 0;
}
