/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What cabinetctl makes of a reply: JSON that any parser takes, and tables from
 * which nothing can steer a terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/json.h"
#include "ctl/render.h"

static char *text;
static size_t text_n;

static FILE *
text_open(void)
{
	FILE *out;

	free(text);
	text = NULL;
	out = open_memstream(&text, &text_n);
	assert_non_null(out);
	return out;
}

static void
parse(const char *wire, struct ctl_reply *ret)
{
	assert_int_equal(ctl_reply_parse(wire, strlen(wire), ret), 0);
}

static void
expect_json(const char *wire, const char *json)
{
	struct ctl_reply reply;
	FILE *out = text_open();

	parse(wire, &reply);
	json_reply(out, &reply);
	fclose(out);
	ctl_reply_release(&reply);
	assert_string_equal(text, json);
}

static void
json_of_tables(void **state)
{
	(void)state;
	expect_json("ok\nend\n", "{\n  \"ok\": true\n}\n");
	expect_json("error 64 a \"b\"\\n\nend\n",
	    "{\n  \"ok\": false,\n  \"error\": \"a \\\"b\\\"\\n\",\n"
	    "  \"exit\": 64\n}\n");
	expect_json("ok\ntable t a:text b:int c:duration d:time e:size\n\nend\n",
	    "{\n  \"ok\": true,\n  \"t\": []\n}\n");
	expect_json("ok\ntable t a:text b:int c:duration d:time e:list\n"
		    "x\t7\t1500\t86400123\tp,q\\x2cr\n\\-\t\\-\t\\-\t\\-\t\n\n"
		    "record r a:size\n18446744073709551615\n\nend\n",
	    "{\n  \"ok\": true,\n  \"t\": [\n"
	    "    {\"a\": \"x\", \"b\": 7, \"c\": 1.500, "
	    "\"d\": \"1970-01-02T00:00:00.123Z\", \"e\": [\"p\", \"q,r\"]},\n"
	    "    {\"a\": null, \"b\": null, \"c\": null, \"d\": null, \"e\": []}\n"
	    "  ],\n  \"r\": {\"a\": 18446744073709551615}\n}\n");
}

static void
json_of_any_bytes(void **state)
{
	(void)state;
	/* Control bytes, invalid and overlong UTF-8, a surrogate, what is valid. */
	expect_json("ok\nrecord r a:text\n"
		    "\\x01\\x1b\\x7f|\x80|\xc0\xaf|\xed\xa0\x80|\xf5|\xc3\xa9|"
		    "\xf0\x9f\x98\x80|\xe2\x82\n\nend\n",
	    "{\n  \"ok\": true,\n  \"r\": {\"a\": "
	    "\"\\u0001\\u001b\\u007f|\\ufffd|\\ufffd\\ufffd|"
	    "\\ufffd\\ufffd\\ufffd|\\ufffd|\xc3\xa9|\xf0\x9f\x98\x80|"
	    "\\ufffd\\ufffd\"}\n}\n");
}

static void
render(const char *wire, bool terminal)
{
	struct ctl_reply reply;
	FILE *out = text_open();
	struct render how = {
		.out = out, .terminal = terminal, .colour = terminal
	};

	parse(wire, &reply);
	for (size_t i = 0; i < reply.n_tables; i++)
		render_data(&how, &reply.tables[i]);
	fclose(out);
	ctl_reply_release(&reply);
}

#define TABLE                                                        \
	"ok\ntable t name:text the_size:size age:duration idle:int " \
	"items:list\n"                                               \
	"a\t1\t5\t\\-\tx,y\nlonger\t1536\t90000\t\\-\t\n\nend\n"

static void
tables_in_a_pipe(void **state)
{
	(void)state;
	render(TABLE, false);
	assert_string_equal(text,
	    "a          1   0.005  -  x,y\n"
	    "longer  1536  90.000  -  -\n");
	render("ok\nrecord r a_b:text c:text\nx\t\\-\n\nend\n", false);
	assert_string_equal(text, "a b  x\nc    -\n");
	render("ok\ntable t a:text\n\nend\n", false);
	assert_string_equal(text, "");
}

static void
tables_on_a_terminal(void **state)
{
	(void)state;
	render(TABLE, true);
	assert_string_equal(text,
	    "\033[1mNAME\033[0m    \033[1mTHE SIZE\033[0m  "
	    "     \033[1mAGE\033[0m  \033[1mITEMS\033[0m\n"
	    "a              1       5ms  x,y\n"
	    "longer      1.5K  1min 30s  -\n");
	render("ok\ntable t state:text\nserving\nnowhere\n\nend\n", true);
	assert_string_equal(
	    text, "\033[1mSTATE\033[0m\n\033[32mserving\033[0m\nnowhere\n");
	render("ok\nrecord r a:text c:text\nx\t\\-\n\nend\n", true);
	assert_string_equal(text, "a  x\n");
}

static void
nothing_steers_the_terminal(void **state)
{
	(void)state;
	for (int terminal = 0; terminal < 2; terminal++) {
		render("ok\ntable t a:text b:list\n"
		       "\\x1b[2J\\n\\x07\xc2\x9b"
		       "31m\t\\x1b]0;x,\\t\n\nend\n",
		    terminal == 1);
		assert_null(memchr(text, 7, text_n));
		assert_null(strstr(text, "\033[2J"));
		assert_null(strstr(text, "\033]"));
		assert_null(strstr(text, "\xc2\x9b"));
		assert_non_null(strstr(text, "\\x1b[2J\\x0a\\x07\\xc2"));
	}
}

static void
round_figures(void **state)
{
	static const struct {
		uint64_t n;
		const char *size, *duration;
	} rows[] = {
		{ 0, "0", "0ms" },
		{ 999, "999", "999ms" },
		{ 1000, "1.0K", "1s" },
		{ 1536, "1.5K", "1s" },
		{ 61000, "60K", "1min 1s" },
		{ 3600000, "3.4M", "1h 0min" },
		{ 180061000, "172M", "2d 2h" },
		{ UINT64_MAX, "16E", "213503982334d 14h" },
	};
	char dst[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_string_equal(
		    render_size(dst, sizeof(dst), rows[i].n), rows[i].size);
		assert_string_equal(render_duration(dst, sizeof(dst), rows[i].n),
		    rows[i].duration);
	}
}

static int
release(void **state)
{
	(void)state;
	free(text);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_of_tables),
		cmocka_unit_test(json_of_any_bytes),
		cmocka_unit_test(tables_in_a_pipe),
		cmocka_unit_test(tables_on_a_terminal),
		cmocka_unit_test(nothing_steers_the_terminal),
		cmocka_unit_test(round_figures),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
