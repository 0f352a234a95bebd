/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection engine over the in-memory transport, with protocols made to
 * reach its corners.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tests/support/mem.h"

static unsigned n_opened, n_closed, n_drained, n_ended, n_expired;
static enum cab_expiry last_expiry;

static void
reset_counts(void)
{
	n_opened = n_closed = n_drained = n_ended = n_expired = 0;
}

static enum cab_verdict
count_opened(struct cab_conn *conn)
{
	(void)conn;
	n_opened++;
	return CAB_READ;
}

static void
count_closed(struct cab_conn *conn)
{
	(void)conn;
	n_closed++;
}

static enum cab_verdict
echo_input(struct cab_conn *conn)
{
	const char *p;

	cab_forward(conn, cab_peek(conn, &p));
	return CAB_READ;
}

static const struct cab_proto echo_like = {
	.desc = { .name = "echo-like", .transports = CAB_STREAM },
	.opened = count_opened,
	.input = echo_input,
	.closed = count_closed,
};

/* Answers each line with its length; "big N" with N bytes, "wait" with WAIT,
 * "quit" with FINISH, "drop" with DROP. */
static enum cab_verdict
lines_input(struct cab_conn *conn)
{
	struct cab_slice line;
	unsigned n;
	char text[64];

	switch (cab_line(conn, 1000, &line)) {
	case CAB_LINE_PARTIAL:
		return CAB_READ;
	case CAB_LINE_TOO_LONG:
		cab_printf(conn, "too long\n");
		return CAB_FINISH;
	case CAB_LINE:
		break;
	}
	snprintf(text, sizeof(text), "%.*s", (int)line.n, line.p);
	if (sscanf(text, "big %u", &n) == 1) {
		static const char block[1000] = { 'x' };

		for (; n >= sizeof(block); n -= sizeof(block))
			cab_write(conn, block, sizeof(block));
		return CAB_READ;
	}
	if (strcmp(text, "wait") == 0) {
		cab_deadline(conn, 500);
		return CAB_WAIT;
	}
	cab_printf(conn, "%zu\n", line.n);
	if (strcmp(text, "quit") == 0)
		return CAB_FINISH;
	return strcmp(text, "drop") == 0 ? CAB_DROP :
	    strcmp(text, "flow") == 0    ? CAB_WAIT :
					   CAB_READ;
}

static enum cab_verdict
lines_drained(struct cab_conn *conn)
{
	(void)conn;
	n_drained++;
	return CAB_READ;
}

static enum cab_verdict
lines_ended(struct cab_conn *conn)
{
	n_ended++;
	cab_printf(conn, "bye\n");
	return CAB_FINISH;
}

static enum cab_verdict
lines_expired(struct cab_conn *conn, enum cab_expiry why)
{
	n_expired++;
	last_expiry = why;
	if (why == CAB_EXPIRED_DEADLINE) {
		cab_printf(conn, "late\n");
		return CAB_READ;
	}
	cab_printf(conn, "expired\n");
	return CAB_FINISH;
}

static const struct cab_proto lines = {
	.desc = { .name = "lines", .transports = CAB_STREAM },
	.state_size = 8,
	.input = lines_input,
	.drained = lines_drained,
	.ended = lines_ended,
	.expired = lines_expired,
	.closed = count_closed,
};

static void
assert_output(struct mem_conn *c, const char *want)
{
	size_t n;
	const char *got = mem_output(c, &n);

	assert_string_equal(got, want);
	assert_int_equal(n, strlen(want));
	mem_clear_output(c);
}

static void
echo_returns_everything_and_finishes_at_the_end(void **state)
{
	struct mem_service *s = mem_service_new(&echo_like, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	reset_counts();
	mem_feed(c, "hello", 5);
	assert_int_equal(mem_writes(c), 1);
	assert_output(c, "hello");
	mem_half_close(c);
	assert_true(mem_closed(c));
	assert_int_equal(n_closed, 1);
	mem_free(c);
	mem_service_free(s);
}

static void
slow_reader_loses_nothing_and_stops_input(void **state)
{
	struct mem_service *s = mem_service_new(&echo_like, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);
	size_t n, total = 1 << 20;
	char *data = malloc(total);

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < total; i++)
		data[i] = (char)(i * 7 + (i >> 8));
	mem_window(c, 10);
	mem_feed(c, data, total);
	mem_half_close(c);
	mem_output(c, &n);
	assert_int_equal(n, 10);
	assert_false(mem_closed(c));
	for (size_t seen = n; seen < total;) {
		mem_window(c, 4099);
		mem_output(c, &n);
		assert_true(n > seen);
		seen = n;
	}
	assert_int_equal(n, total);
	assert_memory_equal(mem_output(c, &n), data, total);
	assert_true(mem_closed(c));
	free(data);
	mem_free(c);
	mem_service_free(s);
}

static void
any_split_gives_the_same_answers_in_one_write(void **state)
{
	static const char text[] = "one\nthree\n\nfour four\nquit\n";
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);

	(void)state;
	for (size_t step = 1; step <= sizeof(text); step++) {
		struct mem_conn *c = mem_open(s);

		mem_feed_split(c, text, sizeof(text) - 1, step);
		if (step >= sizeof(text) - 1)
			assert_int_equal(mem_writes(c), 1);
		assert_output(c, "3\n5\n0\n9\n4\n");
		assert_true(mem_closed(c));
		mem_free(c);
	}
	mem_service_free(s);
}

static void
unread_input_makes_it_linger(void **state)
{
	static const char block[65536];
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	reset_counts();
	mem_feed(c, "quit\nmore", 9);
	assert_true(mem_finished(c));
	assert_false(mem_closed(c));
	assert_int_equal(n_closed, 1); /* for the protocol it is over */
	mem_feed(c, "and more", 8);
	assert_output(c, "4\n");
	mem_half_close(c);
	assert_true(mem_closed(c));
	mem_free(c);

	c = mem_open(s);
	mem_feed(c, "quit\nmore", 9);
	mem_advance(s, 3000);
	assert_true(mem_closed(c)); /* not for ever */
	mem_free(c);

	c = mem_open(s);
	mem_feed(c, "quit\nmore", 9);
	for (int i = 0; i < 16384 / 64; i++)
		mem_feed(c, block, sizeof(block));
	assert_false(mem_closed(c));
	mem_feed(c, block, sizeof(block));
	assert_true(mem_closed(c)); /* and not for ever more bytes */
	mem_free(c);
	mem_service_free(s);
}

static void
wait_stops_input_until_the_deadline(void **state)
{
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	reset_counts();
	mem_feed(c, "wait\nabc\n", 9);
	assert_output(c, "");
	mem_advance(s, 400);
	assert_output(c, "");
	mem_advance(s, 200);
	assert_int_equal(n_expired, 1);
	assert_output(c, "late\n3\n"); /* what came meanwhile is offered again */
	mem_free(c);
	mem_service_free(s);
}

static void
drained_follows_when_all_has_gone(void **state)
{
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	reset_counts();
	mem_feed(c, "flow\nab\n", 8);
	assert_int_equal(n_drained, 1);
	assert_output(c, "4\n2\n");
	mem_window(c, 1);
	mem_feed(c, "flow\nab\n", 8);
	assert_int_equal(n_drained, 1);
	assert_output(c, "4");
	mem_window(c, 100);
	assert_int_equal(n_drained, 2);
	assert_output(c, "\n2\n");
	mem_free(c);
	mem_service_free(s);
}

static void
end_is_told_once_and_after_all_input(void **state)
{
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	reset_counts();
	mem_window(c, 1);
	mem_feed(c, "abc\nde\npart", 11);
	mem_half_close(c);
	assert_int_equal(n_ended, 0);
	mem_window(c, 100);
	assert_int_equal(n_ended, 1);
	assert_output(c, "3\n2\nbye\n");
	assert_true(mem_closed(c));
	mem_free(c);
	mem_service_free(s);
}

static void
timeouts_strike(void **state)
{
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	reset_counts();
	mem_advance(s, 59000);
	assert_int_equal(n_expired, 0);
	mem_advance(s, 1100);
	assert_int_equal(last_expiry, CAB_EXPIRED_FIRST_BYTE);
	assert_output(c, "expired\n");
	assert_true(mem_closed(c));
	mem_free(c);

	c = mem_open(s);
	mem_feed(c, "ab\n", 3);
	mem_clear_output(c);
	mem_advance(s, 200000);
	mem_feed(c, "ab\n", 3);
	mem_clear_output(c);
	mem_advance(s, 299000); /* activity pushed the idle deadline forward */
	assert_false(mem_closed(c));
	mem_advance(s, 1100);
	assert_int_equal(last_expiry, CAB_EXPIRED_IDLE);
	assert_true(mem_closed(c));
	mem_free(c);

	c = mem_open(s);
	for (int i = 0; i < 37 && !mem_closed(c); i++) {
		mem_feed(c, "ab\n", 3);
		mem_advance(s, 100000);
	}
	assert_int_equal(last_expiry, CAB_EXPIRED_TOTAL);
	assert_true(mem_closed(c));
	mem_free(c);
	mem_service_free(s);
}

static void
expired_with_a_stuck_reader_is_dropped(void **state)
{
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	mem_window(c, 0);
	mem_feed(c, "abc\n", 4);
	mem_advance(s, 310000);
	assert_true(mem_closed(c));
	mem_free(c);
	mem_service_free(s);
}

static void
shutdown_says_goodbye(void **state)
{
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);
	struct mem_service *e;
	struct mem_conn *c = mem_open(s);

	(void)state;
	mem_shutdown(c);
	assert_int_equal(last_expiry, CAB_EXPIRED_SHUTDOWN);
	assert_output(c, "expired\n");
	assert_true(mem_closed(c));
	mem_free(c);
	mem_service_free(s);

	e = mem_service_new(&echo_like, NULL, NULL, -1);
	c = mem_open(e);
	mem_window(c, 2);
	mem_feed(c, "abcd", 4);
	mem_shutdown(c);
	assert_false(mem_closed(c)); /* what is owed goes out first */
	mem_window(c, 10);
	assert_output(c, "abcd");
	assert_true(mem_closed(c));
	mem_free(c);
	mem_service_free(e);
}

static void
reset_and_drop_end_at_once(void **state)
{
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	reset_counts();
	mem_feed(c, "drop\n", 5);
	assert_true(mem_closed(c));
	assert_output(c, "");
	mem_free(c);
	c = mem_open(s);
	mem_window(c, 0);
	mem_feed(c, "abc\n", 4);
	mem_reset(c);
	assert_true(mem_closed(c));
	assert_int_equal(n_closed, 2);
	mem_free(c);
	mem_service_free(s);
}

static void
too_much_output_is_a_fault_and_input_is_bounded(void **state)
{
	struct mem_service *s = mem_service_new(&lines, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);
	char *data = calloc(1, 200000);

	(void)state;
	assert_non_null(data);
	mem_window(c, 0);
	mem_feed(c, "big 3000000\n", 12);
	assert_true(mem_closed(c));
	mem_free(c);
	c = mem_open(s);
	memset(data, 'a', 200000);
	mem_feed(c, data, 200000);
	assert_output(c, "too long\n");
	assert_true(mem_finished(c));
	mem_free(c);
	free(data);
	mem_service_free(s);
}

static enum cab_verdict
hoard_input(struct cab_conn *conn)
{
	(void)conn;
	return CAB_READ;
}

static void
protocol_that_never_consumes_is_cut(void **state)
{
	static const struct cab_proto hoard = { .desc = { .name = "hoard" },
		.input = hoard_input };
	struct mem_service *s = mem_service_new(&hoard, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);
	char data[1000] = { 0 };

	(void)state;
	for (int i = 0; i < 65; i++)
		mem_feed(c, data, sizeof(data));
	assert_int_equal(mem_stashed(c), 65000);
	mem_feed(c, data, sizeof(data));
	assert_true(mem_closed(c));
	mem_free(c);
	mem_service_free(s);
}

static int file_fd, file_extra;

static enum cab_verdict
file_input(struct cab_conn *conn)
{
	const char *p;

	cab_consume(conn, cab_peek(conn, &p));
	cab_write_static(conn, "head:", 5);
	cab_send_file(conn, dup(file_fd), 2, (size_t)(6 + file_extra));
	cab_write(conn, ":tail", 5);
	return CAB_READ;
}

static void
files_go_out_in_order_and_a_short_one_drops(void **state)
{
	static const struct cab_proto files = { .desc = { .name = "files" },
		.input = file_input };
	struct mem_service *s = mem_service_new(&files, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	file_fd = fd_sealed_memfd("test", "01234567", 8);
	assert_true(file_fd >= 0);
	file_extra = 0;
	mem_feed(c, "x", 1);
	assert_output(c, "head:234567:tail");
	assert_int_equal(mem_before(c), 5);
	mem_window(c, 3);
	mem_feed(c, "x", 1);
	for (int i = 0; i < 8; i++)
		mem_window(c, 2);
	assert_output(c, "head:234567:tail");
	assert_int_equal(mem_before(c), 0);
	file_extra = 1;
	mem_window(c, 100);
	mem_feed(c, "x", 1);
	assert_true(mem_closed(c));
	mem_free(c);
	file_fd = fd_close(file_fd);
	mem_service_free(s);
}

static enum cab_verdict
answer_input(struct cab_conn *conn)
{
	const char *p;

	cab_consume(conn, cab_peek(conn, &p));
	cab_write(conn, "bye", 3);
	return CAB_FINISH;
}

/* The last bytes wait to leave with the end, and a reset would throw them away. */
static void
last_bytes_survive_input_that_nobody_reads(void **state)
{
	static const struct cab_proto answer = { .desc = { .name = "answer" },
		.input = answer_input };
	struct mem_service *s = mem_service_new(&answer, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	mem_feed_split(c, "xy", 2, 1);
	assert_output(c, "bye");
	assert_true(mem_closed(c));
	mem_free(c);
	mem_service_free(s);
}

static unsigned taken;

/* One byte at a time, as requests are taken from a pipeline. */
static enum cab_verdict
bytewise_input(struct cab_conn *conn)
{
	const char *p;

	assert_true(cab_peek(conn, &p) > 0);
	cab_write(conn, p, 1);
	cab_consume(conn, 1);
	taken++;
	return CAB_READ;
}

static enum cab_verdict
bytewise_ended(struct cab_conn *conn)
{
	cab_printf(conn, ".%u", taken);
	return CAB_FINISH;
}

/* Sixteen in a turn: each turn is one write. */
static void
pipelined_requests_leave_others_their_turn(void **state)
{
	static const struct cab_proto bytewise = { .desc = { .name = "bytewise" },
		.input = bytewise_input,
		.ended = bytewise_ended };
	struct mem_service *s = mem_service_new(&bytewise, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);
	char data[100], want[110];

	(void)state;
	taken = 0;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)('a' + i % 26);
	mem_feed(c, data, sizeof(data));
	assert_int_equal(mem_writes(c), (100 + 15) / 16);
	assert_int_equal(mem_stashed(c), 0);
	snprintf(want, sizeof(want), "%.100s.100", data);
	mem_half_close(c);
	assert_output(c, want);
	assert_true(mem_closed(c));
	mem_free(c);
	mem_service_free(s);
}

/* The end comes while requests wait for their turn, and waits for them. */
static void
end_waits_for_pipelined_requests(void **state)
{
	static const struct cab_proto bytewise = { .desc = { .name = "bytewise" },
		.input = bytewise_input,
		.ended = bytewise_ended };
	struct mem_service *s = mem_service_new(&bytewise, NULL, NULL, -1);
	struct mem_conn *c = mem_open(s);

	(void)state;
	taken = 0;
	mem_window(c, 0);
	mem_feed(c, "0123456789012345678901234567890123456789", 40);
	mem_half_close(c);
	assert_false(mem_closed(c));
	mem_window(c, SIZE_MAX);
	assert_output(c, "0123456789012345678901234567890123456789.40");
	assert_true(mem_closed(c));
	mem_free(c);
	mem_service_free(s);
}

static struct mem_conn *first;
static unsigned first_writes[64], n_inputs;

/* Every other reply is forwarded, the others are copies. */
static enum cab_verdict
batch_input(struct cab_conn *conn)
{
	const char *p;
	size_t n = cab_peek(conn, &p);

	first_writes[n_inputs++] = mem_writes(first);
	if (p[0] % 2) {
		cab_forward(conn, n);
	} else {
		cab_write(conn, p, n);
		cab_consume(conn, n);
	}
	return CAB_READ;
}

static const struct cab_proto batch_like = {
	.desc = { .name = "batch-like", .transports = CAB_STREAM },
	.input = batch_input,
	.closed = count_closed,
};

/* n connections that get a reply of this size each, in one turn. */
static void
take_turn(struct mem_service *s, struct mem_conn **c, unsigned n, size_t size)
{
	static char data[64][10001];

	n_inputs = 0;
	first = c[0];
	for (unsigned i = 0; i < n; i++) {
		memset(data[i], 'A' + (int)i, size);
		data[i][size] = '\0';
		mem_bring(c[i], data[i], size);
	}
	mem_turn(s);
	for (unsigned i = 0; i < n; i++)
		assert_output(c[i], data[i]);
}

static void
replies_of_a_turn_leave_together(void **state)
{
	struct mem_service *s = mem_service_new(&batch_like, NULL, NULL, -1);
	struct mem_conn *c[40];

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		c[i] = mem_open(s);
	take_turn(s, c, 40, 64);
	/* Sixteen are received before the first of them is answered. */
	assert_int_equal(first_writes[15], 0);
	assert_int_equal(first_writes[16], 1);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(mem_writes(c[i]), 1);
	/* As large as may be kept, one more than that, and much larger. */
	take_turn(s, c, 40, 4096);
	assert_int_equal(first_writes[15], 1);
	take_turn(s, c, 40, 4097);
	assert_int_equal(first_writes[1], 3);
	take_turn(s, c, 40, 10000);
	take_turn(s, c, 40, 1);
	for (unsigned i = 0; i < 40; i++)
		mem_free(c[i]);
	mem_service_free(s);
}

/* One that takes a part, one that takes nothing, one that is gone, between two others. */
static void
kept_reply_may_be_stuck_or_lost(void **state)
{
	static const char *const said[] = { "Alpha", "Beta", "Chi", "Delta",
		"Eta" };
	struct mem_service *s = mem_service_new(&batch_like, NULL, NULL, -1);
	struct mem_conn *c[5];

	(void)state;
	reset_counts();
	n_inputs = 0;
	for (unsigned i = 0; i < 5; i++) {
		c[i] = mem_open(s);
		mem_bring(c[i], said[i], strlen(said[i]));
	}
	first = c[0];
	mem_window(c[1], 2);
	mem_window(c[2], 0);
	mem_break(c[3]);
	mem_turn(s);
	assert_output(c[0], "Alpha");
	assert_output(c[1], "Be");
	assert_output(c[2], "");
	assert_true(mem_closed(c[3]));
	assert_int_equal(n_closed, 1);
	assert_output(c[4], "Eta");
	/* Input waits for the output, as ever. */
	mem_feed(c[1], "Gamma", 5);
	mem_feed(c[2], "Gamma", 5);
	assert_int_equal(n_inputs, 5);
	mem_window(c[1], SIZE_MAX);
	mem_window(c[2], SIZE_MAX);
	assert_output(c[1], "taGamma");
	assert_output(c[2], "ChiGamma");
	for (unsigned i = 0; i < 5; i++)
		mem_free(c[i]);
	mem_service_free(s);
}

static enum cab_verdict
greet_opened(struct cab_conn *conn)
{
	cab_printf(conn, "Hello\n");
	return CAB_READ;
}

static unsigned n_over, n_other;
static bool got, got_other;

static void
count_over(void)
{
	n_over++;
}

static void
count_other(void)
{
	n_other++;
}

static enum cab_verdict
asking_expired(struct cab_conn *conn, enum cab_expiry why)
{
	(void)why;
	got = cab_batch(conn, count_over);
	return CAB_DROP;
}

static enum cab_verdict
asking_input(struct cab_conn *conn)
{
	const char *p;

	assert_int_equal(n_over, 0);
	got = cab_batch(conn, count_over);
	got_other = cab_batch(conn, count_other);
	cab_consume(conn, cab_peek(conn, &p));
	return CAB_READ;
}

static const struct cab_proto asking_like = {
	.desc = { .name = "asking-like", .transports = CAB_STREAM },
	.input = asking_input,
	.expired = asking_expired,
};

static void
end_of_a_batch_is_told_once(void **state)
{
	struct mem_service *s = mem_service_new(&asking_like, NULL, NULL, -1);
	struct mem_conn *c[3];

	(void)state;
	n_over = n_other = 0;
	for (unsigned i = 0; i < 3; i++) {
		c[i] = mem_open(s);
		mem_bring(c[i], "x", 1);
	}
	mem_turn(s);
	assert_true(got);
	assert_false(got_other);
	assert_int_equal(n_over, 1);
	/* Nor is this a batch. */
	mem_shutdown(c[0]);
	assert_false(got);
	mem_turn(s);
	assert_int_equal(n_over, 1);
	assert_int_equal(n_other, 0);
	for (unsigned i = 0; i < 3; i++)
		mem_free(c[i]);
	mem_service_free(s);
}

static void
connection_that_cannot_be_watched_is_closed(void **state)
{
	static const struct cab_proto greeter = { .desc = { .name = "greeter" },
		.opened = greet_opened,
		.input = echo_input,
		.closed = count_closed };
	struct mem_service *s = mem_service_new(&greeter, NULL, NULL, -1);
	struct mem_conn *c;

	(void)state;
	reset_counts();
	mem_unwatchable(s);
	c = mem_open(s);
	assert_true(mem_closed(c));
	assert_int_equal(n_closed, 1);
	assert_output(c, "Hello\n");
	mem_free(c);
	mem_service_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_returns_everything_and_finishes_at_the_end),
		cmocka_unit_test(slow_reader_loses_nothing_and_stops_input),
		cmocka_unit_test(any_split_gives_the_same_answers_in_one_write),
		cmocka_unit_test(unread_input_makes_it_linger),
		cmocka_unit_test(wait_stops_input_until_the_deadline),
		cmocka_unit_test(drained_follows_when_all_has_gone),
		cmocka_unit_test(end_is_told_once_and_after_all_input),
		cmocka_unit_test(timeouts_strike),
		cmocka_unit_test(expired_with_a_stuck_reader_is_dropped),
		cmocka_unit_test(shutdown_says_goodbye),
		cmocka_unit_test(reset_and_drop_end_at_once),
		cmocka_unit_test(too_much_output_is_a_fault_and_input_is_bounded),
		cmocka_unit_test(protocol_that_never_consumes_is_cut),
		cmocka_unit_test(files_go_out_in_order_and_a_short_one_drops),
		cmocka_unit_test(last_bytes_survive_input_that_nobody_reads),
		cmocka_unit_test(pipelined_requests_leave_others_their_turn),
		cmocka_unit_test(end_waits_for_pipelined_requests),
		cmocka_unit_test(replies_of_a_turn_leave_together),
		cmocka_unit_test(kept_reply_may_be_stuck_or_lost),
		cmocka_unit_test(end_of_a_batch_is_told_once),
		cmocka_unit_test(connection_that_cannot_be_watched_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
