/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket's language, both ways.  The first byte chooses: a request
 * as the supervisor takes it apart (what is taken must say the same again), or
 * a reply as cabinetctl does, written out as JSON and as tables (one value may
 * not become two lines, and nothing may steer a terminal).
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/json.h"
#include "ctl/render.h"
#include "ipc/ctl.h"
#include "tests/fuzz/fuzz.h"

static void
try_request(const char *line, size_t n)
{
	struct cab_buf again = CAB_BUF_INIT(0);
	struct ctl_request request;

	if (ctl_request_parse(line, n, &request) < 0)
		return;
	must(ctl_request_write(&again, request.words, request.n) == 0);
	must(buf_len(&again) == n + 1);
	must(memcmp(buf_slice(&again).p, line, n) == 0);
	buf_release(&again);
}

/* Strings, and braces that match: enough to see a value that broke out of its quotes. */
static void
judge_json(const char *s, size_t n)
{
	bool quoted = false;
	int depth = 0;

	for (size_t i = 0; i < n; i++) {
		must((unsigned char)s[i] >= ' ' || (s[i] == '\n' && !quoted));
		if (quoted && s[i] == '\\')
			i++;
		else if (s[i] == '"')
			quoted = !quoted;
		else if (!quoted && (s[i] == '{' || s[i] == '['))
			depth++;
		else if (!quoted && (s[i] == '}' || s[i] == ']'))
			must(--depth >= 0);
	}
	must(!quoted && depth == 0);
}

static void
judge_table(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		must((unsigned char)s[i] >= ' ' ? s[i] != 0x7f : s[i] == '\n');
}

static void
try_reply(const char *wire, size_t n)
{
	struct ctl_reply reply;
	struct render render = { .colour = false };
	char *text = NULL;
	size_t text_n = 0;

	if (ctl_reply_parse(wire, n, &reply) < 0)
		return;
	render.out = open_memstream(&text, &text_n);
	must(render.out != NULL);
	json_reply(render.out, &reply);
	must(fclose(render.out) == 0);
	judge_json(text, text_n);
	free(text);
	for (int terminal = 0; terminal < 2; terminal++) {
		text = NULL;
		render.terminal = terminal == 1;
		render.out = open_memstream(&text, &text_n);
		must(render.out != NULL);
		for (size_t i = 0; i < reply.n_tables; i++)
			render_data(&render, &reply.tables[i]);
		must(fclose(render.out) == 0);
		judge_table(text, text_n);
		free(text);
	}
	ctl_reply_release(&reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	if (data[0] % 2 == 0)
		try_request((const char *)data + 1, len - 1);
	else
		try_reply((const char *)data + 1, len - 1);
	return 0;
}
