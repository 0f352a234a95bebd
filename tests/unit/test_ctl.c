/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The language of the control socket: what one side writes the other reads, and
 * what nobody may write neither side takes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/ctl.h"

/* ---- verbs ---- */

static void
verbs_are_found(void **state)
{
	const char *near = "untouched";

	(void)state;
	assert_string_equal(ctl_verb_find("reload", &near)->name, "reload");
	assert_null(ctl_verb_find("relaod", &near));
	assert_string_equal(near, "reload");
	assert_null(ctl_verb_find("zzzzzzzzzz", &near));
	assert_null(near);
	assert_null(ctl_verb_find("", NULL));
	assert_true(ctl_verb_find("kill", NULL)->changes);
	assert_false(ctl_verb_find("connections", NULL)->changes);
}

/* ---- requests ---- */

static void
requests_survive(void **state)
{
	static const char *const words[] = { "explain", "2001:db8::1", "web" };
	struct cab_buf out = CAB_BUF_INIT(0);
	struct ctl_request request;

	(void)state;
	assert_int_equal(ctl_request_write(&out, words, 3), 0);
	assert_int_equal(buf_len(&out), 24);
	assert_memory_equal(buf_slice(&out).p, "explain 2001:db8::1 web\n", 24);
	assert_int_equal(ctl_request_parse(buf_slice(&out).p, 23, &request), 0);
	assert_int_equal(request.n, 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(request.words[i], words[i]);
	buf_release(&out);
}

static void
bad_words_are_not_sent(void **state)
{
	static const char *const bad[] = { "", "a b", "a\tb", "a\n", "\x7f",
		"\xc3\xa9", "a\x1b[2J" };
	struct cab_buf out = CAB_BUF_INIT(0);
	char *longest = malloc(CTL_REQUEST_MAX + 1);
	const char *word = longest;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ctl_request_write(&out, &bad[i], 1), -EINVAL);
	assert_int_equal(ctl_request_write(&out, bad, 0), -EINVAL);
	assert_int_equal(
	    ctl_request_write(&out, bad, CTL_WORDS_MAX + 1), -EINVAL);
	assert_non_null(longest);
	memset(longest, 'a', CTL_REQUEST_MAX);
	longest[CTL_REQUEST_MAX] = '\0';
	assert_int_equal(ctl_request_write(&out, &word, 1), -E2BIG);
	longest[CTL_REQUEST_MAX - 1] = '\0';
	assert_int_equal(ctl_request_write(&out, &word, 1), 0);
	assert_int_equal(buf_len(&out), CTL_REQUEST_MAX);
	buf_release(&out);
	free(longest);
}

static void
bad_requests_are_refused(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} bad[] = {
		{ "", 0 },
		{ " ", 1 },
		{ " a", 2 },
		{ "a ", 2 },
		{ "a  b", 4 },
		{ "a\0b", 3 },
		{ "a\rb", 3 },
		{ "a b c d e", 9 },
		{ "reload\xff", 7 },
		{ "reload\r", 7 },
	};
	char big[CTL_REQUEST_MAX + 1];
	struct ctl_request request;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    ctl_request_parse(bad[i].text, bad[i].n, &request), -EINVAL);
	memset(big, 'a', sizeof(big));
	assert_int_equal(
	    ctl_request_parse(big, CTL_REQUEST_MAX, &request), -EINVAL);
	assert_int_equal(
	    ctl_request_parse(big, CTL_REQUEST_MAX - 1, &request), 0);
	assert_int_equal(strlen(request.words[0]), CTL_REQUEST_MAX - 1);
}

/* ---- replies ---- */

/* Every byte but NUL. */
static char *
all_bytes(void)
{
	static char text[256];

	for (int i = 1; i < 256; i++)
		text[i - 1] = (char)i;
	return text;
}

static void
replies_survive(void **state)
{
	struct cab_buf out = CAB_BUF_INIT(0);
	struct ctl_writer w = { .out = &out };
	struct ctl_reply reply;
	const struct ctl_data *data;
	const struct ctl_field *field;

	(void)state;
	ctl_ok(&w);
	ctl_table(&w, "things", "name:text n:int size:size items:list");
	ctl_text(&w, all_bytes());
	ctl_number(&w, UINT64_MAX);
	ctl_none(&w);
	ctl_list(&w);
	ctl_item(&w, "a,b");
	ctl_item(&w, all_bytes());
	ctl_row_end(&w);
	ctl_text(&w, NULL);
	ctl_number(&w, 0);
	ctl_number(&w, 1);
	ctl_list(&w);
	ctl_row_end(&w);
	ctl_table_end(&w);
	ctl_record(&w, "one", "a:text b:text");
	ctl_text(&w, "\\-");
	ctl_text(&w, "");
	ctl_row_end(&w);
	ctl_table_end(&w);
	ctl_end(&w);
	assert_int_equal(w.error, 0);
	assert_int_equal(
	    ctl_reply_parse(buf_slice(&out).p, buf_len(&out), &reply), 0);
	buf_release(&out);
	assert_null(reply.error);
	assert_int_equal(reply.n_tables, 2);
	assert_null(ctl_reply_table(&reply, "thing"));
	data = ctl_reply_table(&reply, "things");
	assert_int_equal(data->n_rows, 2);
	assert_int_equal(ctl_column_find(data, "items"), 3);
	assert_int_equal(ctl_column_find(data, "none"), 4);
	assert_string_equal(ctl_field_at(data, 0, 0)->text, all_bytes());
	assert_string_equal(
	    ctl_field_at(data, 0, 1)->text, "18446744073709551615");
	assert_true(ctl_field_at(data, 0, 2)->none);
	field = ctl_field_at(data, 0, 3);
	assert_int_equal(field->n, 4 + 256);
	assert_string_equal(field->text, "a,b");
	assert_string_equal(field->text + 4, all_bytes());
	assert_true(ctl_field_at(data, 1, 0)->none);
	assert_int_equal(ctl_field_at(data, 1, 3)->n, 0);
	assert_false(ctl_field_at(data, 1, 3)->none);
	data = ctl_reply_table(&reply, "one");
	assert_true(data->record);
	assert_string_equal(ctl_field_at(data, 0, 0)->text, "\\-");
	assert_string_equal(ctl_field_at(data, 0, 1)->text, "");
	ctl_reply_release(&reply);
	ctl_reply_release(&reply);
}

static void
refusals_survive(void **state)
{
	struct cab_buf out = CAB_BUF_INIT(0);
	struct ctl_writer w = { .out = &out };
	struct ctl_reply reply;

	(void)state;
	ctl_error(&w, CTL_USAGE, "no \"%s\"\nat all", "x\ty");
	ctl_end(&w);
	assert_int_equal(
	    ctl_reply_parse(buf_slice(&out).p, buf_len(&out), &reply), 0);
	assert_int_equal(reply.code, CTL_USAGE);
	assert_string_equal(reply.error, "no \"x\ty\"\nat all");
	ctl_reply_release(&reply);
	buf_release(&out);
}

static void
bad_replies_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"ok",
		"ok\n",
		"ok\nend",
		"end\n",
		"ok\nend\nend\n",
		"ok\nend\n ",
		"OK\nend\n",
		"error\nend\n",
		"error 0 x\nend\n",
		"error -1 x\nend\n",
		"error 126 x\nend\n",
		"error 1\nend\n",
		"error 1 a\\zb\nend\n",
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"ok\ntable t\n\nend\n",
		"ok\ntable t a\n\nend\n",
		"ok\ntable t :text\n\nend\n",
		"ok\ntable t a:what\n\nend\n",
		"ok\nchair t a:text\n\nend\n",
		"ok\ntable t a:text\nx\nend\n",
		"ok\ntable t a:text b:text\nx\n\nend\n",
		"ok\ntable t a:text b:text\nx\ty\tz\n\nend\n",
		"ok\ntable t a:int\n-1\n\nend\n",
		"ok\ntable t a:int b:int\n\t1\n\nend\n",
		"ok\ntable t a:int\n123456789012345678901\n\nend\n",
		"ok\ntable t a:text\n\\x00\n\nend\n",
		"ok\ntable t a:text\n\\x4\n\nend\n",
		"ok\ntable t a:text\n\\\n\nend\n",
		"ok\nrecord t a:text\n\nend\n",
		"ok\nrecord t a:text\nx\ny\n\nend\n",
	};
	struct ctl_reply reply;
	char many[512] = "ok\ntable t";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    ctl_reply_parse(bad[i], strlen(bad[i]), &reply), -EBADMSG);
	assert_int_equal(
	    ctl_reply_parse("ok\ntable t a:text\na\0b\n\nend\n", 26, &reply),
	    -EBADMSG);
	for (size_t i = 0, n = strlen(many); i <= CTL_COLUMNS_MAX; i++, n += 6)
		memcpy(many + n, " c:int", 7);
	memcpy(many + strlen(many), "\n\nend\n", 7);
	assert_int_equal(ctl_reply_parse(many, strlen(many), &reply), -EBADMSG);
}

static void
writing_fails_as_a_whole(void **state)
{
	struct cab_buf out = CAB_BUF_INIT(16);
	struct ctl_writer w = { .out = &out };

	(void)state;
	ctl_ok(&w);
	ctl_table(&w, "a-long-name", "column:text");
	assert_int_equal(w.error, -EMSGSIZE);
	ctl_end(&w);
	assert_int_equal(w.error, -EMSGSIZE);
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verbs_are_found),
		cmocka_unit_test(requests_survive),
		cmocka_unit_test(bad_words_are_not_sent),
		cmocka_unit_test(bad_requests_are_refused),
		cmocka_unit_test(replies_survive),
		cmocka_unit_test(refusals_survive),
		cmocka_unit_test(bad_replies_are_refused),
		cmocka_unit_test(writing_fails_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
