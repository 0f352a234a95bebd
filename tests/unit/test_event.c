/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The builder of log records: what fits goes in, what does not is left out, both
 * ends of a connection in every family; sampling and numbers for readers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/event.h"

static const char *
value_of(const struct event *event, const char *name)
{
	for (size_t i = 0; i < event->n; i++)
		if (strcmp(event->v[i].name, name) == 0)
			return event->v[i].value;
	return NULL;
}

static void
holds_words_and_numbers(void **state)
{
	struct event event;

	(void)state;
	event_begin(&event);
	event_word(&event, FIELD_SERVICE, "web");
	event_word(&event, FIELD_REASON, NULL);
	event_number(&event, FIELD_CONN, UINT64_MAX);
	event_number(&event, FIELD_COUNT, 0);
	assert_int_equal(event.n, 3);
	assert_string_equal(value_of(&event, "SERVICE"), "web");
	assert_string_equal(value_of(&event, "CONN"), "18446744073709551615");
	assert_string_equal(value_of(&event, "COUNT"), "0");
	assert_false(event.v[0].native);
	event_said(&event);
	assert_true(event.v[0].native && event.v[2].native);
}

static void
knows_both_ends(void **state)
{
	static const struct {
		struct cab_peer peer;
		const char *whole, *address, *port;
	} rows[] = {
		{ { .family = AF_INET, .ip = { 192, 0, 2, 7 }, .port = 80 },
		    "192.0.2.7:80", "192.0.2.7", "80" },
		{ { .family = AF_INET6,
		      .ip = { 0xfe, 0x80, [15] = 1 },
		      .scope = 3,
		      .port = 65535 },
		    "[fe80::1%3]:65535", "fe80::1%3", "65535" },
		{ { .family = AF_UNIX, .cred = { .uid = 1000 } }, "uid:1000",
		    NULL, NULL },
		{ { .family = AF_VSOCK, .vsock = { 3, 9 } }, "vsock:3:9", NULL,
		    NULL },
		{ { .family = AF_UNSPEC }, NULL, NULL, NULL },
	};
	struct event event;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text[2];

		event_begin(&event);
		text[0] = event_peer(&event, &rows[i].peer);
		text[1] = event_local(&event, &rows[i].peer);
		for (int k = 0; k < 2; k++)
			assert_string_equal(
			    text[k], rows[i].whole ? rows[i].whole : "");
		if (!rows[i].whole)
			assert_int_equal(event.n, 0);
		else
			assert_string_equal(
			    value_of(&event, "PEER"), rows[i].whole);
		if (!rows[i].address) {
			assert_null(value_of(&event, "PEER_ADDRESS"));
			continue;
		}
		assert_string_equal(
		    value_of(&event, "PEER_ADDRESS"), rows[i].address);
		assert_string_equal(
		    value_of(&event, "LOCAL_PORT"), rows[i].port);
		assert_int_equal(event.n, 6);
		/* Readers of lines have the whole. */
		assert_false(event.v[0].native);
		assert_true(event.v[1].native && event.v[2].native);
	}
}

/* More than there is room for, of fields and of text: nothing beyond it is touched. */
static void
leaves_out_what_does_not_fit(void **state)
{
	const struct cab_peer peer = { .family = AF_INET6,
		.ip = { [0 ... 15] = 0xfd },
		.scope = UINT32_MAX,
		.port = 65535 };
	struct event *event = malloc(sizeof(*event));

	(void)state;
	assert_non_null(event);
	for (int first = 0; first < 40; first++) {
		event_begin(event);
		for (int i = 0; i < first; i++)
			event_number(event, FIELD_COUNT, UINT64_MAX);
		for (int i = 0; i < 10; i++) {
			event_peer(event, &peer);
			event_local(event, &peer);
			event_word(event, FIELD_REASON, "why");
		}
		assert_true(event->n <= EVENT_FIELDS);
		assert_true(event->used <= EVENT_TEXT);
		for (size_t i = 0; i < event->n; i++)
			assert_in_range(strlen(event->v[i].value), 1, 79);
	}
	free(event);
}

static void
samples(void **state)
{
	uint64_t seen = 0;
	int logged = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(event_sampled(&seen, i % 2));
	assert_int_equal(seen, 0);
	assert_true(event_sampled(&seen, 10));
	for (int i = 1; i < 1000; i++)
		logged += event_sampled(&seen, 10);
	assert_int_equal(logged, 99);
}

static void
groups_digits(void **state)
{
	static const struct {
		uint64_t in;
		const char *out;
	} rows[] = { { 0, "0" }, { 7, "7" }, { 999, "999" }, { 1000, "1,000" },
		{ 1234, "1,234" }, { 12345, "12,345" }, { 123456, "123,456" },
		{ 1234567, "1,234,567" },
		{ UINT64_MAX, "18,446,744,073,709,551,615" } };
	char text[CAB_GROUPED];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(
		    event_grouped(text, rows[i].in), rows[i].out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_words_and_numbers),
		cmocka_unit_test(knows_both_ends),
		cmocka_unit_test(leaves_out_what_does_not_fit),
		cmocka_unit_test(samples),
		cmocka_unit_test(groups_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
