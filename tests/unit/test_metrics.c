/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics from a scoreboard that the test fills in, and what the scoreboard
 * keeps for them: labels, codes, durations, whose connection a ticket is.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/fd.h"
#include "stats/board.h"
#include "stats/metrics.h"

static struct board *board;
static int board_fd = -1;
static struct cab_buf text;

static int
setup(void **state)
{
	(void)state;
	board_fd = board_create(&board);
	if (board_fd < 0)
		return -1;
	board_use_worker(board, 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_release(&text);
	board_unmap(board);
	board_fd = fd_close(board_fd);
	return 0;
}

static void
render(void)
{
	const struct metrics_view view = { .board = board };

	buf_clear(&text);
	assert_int_equal(metrics_render(&view, &text), 0);
	assert_int_equal(buf_append(&text, "", 1), 0);
}

static void
expect(const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (strstr(buf_slice(&text).p, whole) == NULL)
		fail_msg("no line %s in\n%s", line, buf_slice(&text).p);
}

static void
expect_not(const char *piece)
{
	if (strstr(buf_slice(&text).p, piece) != NULL)
		fail_msg("%s in\n%s", piece, buf_slice(&text).p);
}

static void
counters_of_all_roles(void **state)
{
	(void)state;
	board_label(
	    board, 3, "web", "http", BOARD_LABEL_ENABLED | BOARD_LABEL_STREAMS);
	board_label(
	    board, 4, "git", "exec", BOARD_LABEL_STREAMS | BOARD_LABEL_PROGRAM);
	board->counters[0][3].accepted = 5;
	board->counters[1][3].accepted = 7;
	board->counters[BOARD_LAUNCHER][4].started = 2;
	board->counters[0][3].refused[2] = 9;
	board->services[3].active = 4;
	board->daemon.started_ms = 1500;
	board->roles[1].restarts = 2;
	render();
	expect("cabinetd_build_info{version=\"" PACKAGE_VERSION "\"} 1");
	expect("cabinetd_start_time_seconds 1.5");
	expect("cabinetd_role_restarts_total{role=\"worker 0\"} 0");
	expect("cabinetd_role_restarts_total{role=\"worker 1\"} 2");
	expect("cabinetd_role_restarts_total{role=\"launcher\"} 0");
	expect_not("worker 2");
	expect("cabinetd_connections_accepted_total{service=\"web\","
	       "protocol=\"http\"} 12");
	expect("cabinetd_connections_refused_total{service=\"web\","
	       "protocol=\"http\",reason=\"per_source\"} 9");
	expect("cabinetd_connections_active{service=\"web\","
	       "protocol=\"http\"} 4");
	expect("cabinetd_programs_started_total{service=\"git\","
	       "protocol=\"exec\"} 2");
	expect_not("programs_started_total{service=\"web\"");
	expect_not("cabinetd_datagrams");
	expect("cabinetd_service_up{service=\"web\",protocol=\"http\"} 1");
	expect("cabinetd_service_up{service=\"git\",protocol=\"exec\"} 0");
	board->services[3].flags = BOARD_DRAINING;
	render();
	expect("cabinetd_service_up{service=\"web\",protocol=\"http\"} 0");
}

static void
histograms_are_cumulative(void **state)
{
	static const uint64_t us[] = { 0, 5000, 5001, 3600000000, 3600000001 };

	(void)state;
	board_label(board, 0, "a", "echo", BOARD_LABEL_STREAMS);
	for (size_t i = 0; i < sizeof(us) / sizeof(us[0]); i++)
		board_count_finished(&board->counters[i % 2][0], us[i]);
	render();
#define NAME   "cabinetd_connection_duration_seconds"
#define LABELS "service=\"a\",protocol=\"echo\""
	expect("# TYPE " NAME " histogram");
	expect(NAME "_bucket{" LABELS ",le=\"0.005\"} 2");
	expect(NAME "_bucket{" LABELS ",le=\"0.025\"} 3");
	expect(NAME "_bucket{" LABELS ",le=\"300\"} 3");
	expect(NAME "_bucket{" LABELS ",le=\"3600\"} 4");
	expect(NAME "_bucket{" LABELS ",le=\"+Inf\"} 5");
	expect(NAME "_sum{" LABELS "} 7200.010002");
	expect(NAME "_count{" LABELS "} 5");
}

static void
codes_are_told_apart(void **state)
{
	(void)state;
	board_label(board, 0, "a", "smtp", BOARD_LABEL_STREAMS);
	for (unsigned i = 0; i < 3; i++)
		board_count_code(&board->codes[0][0], 550);
	board_count_code(&board->codes[1][0], 421);
	board_count_code(&board->codes[1][0], 550);
	/* More than there is room for come together. */
	for (unsigned i = 0; i < 20; i++)
		board_count_code(&board->codes[1][0], 700 + i);
	render();
#define ERRORS "cabinetd_protocol_errors_total{service=\"a\",protocol=\"smtp\","
	expect(ERRORS "code=\"421\"} 1");
	expect(ERRORS "code=\"550\"} 4");
	expect(ERRORS "code=\"712\"} 1");
	expect(ERRORS "code=\"other\"} 7");
	expect_not("code=\"713\"");
}

static void
labels_are_escaped(void **state)
{
	const struct metrics_listener queue = { .service = "a\"b\\c\nd",
		.address = "tcp://x",
		.queued = 3,
		.limit = 128 };
	const struct metrics_view view = {
		.board = board, .listeners = &queue, .n_listeners = 1
	};

	(void)state;
	buf_clear(&text);
	assert_int_equal(metrics_render(&view, &text), 0);
	assert_int_equal(buf_append(&text, "", 1), 0);
	expect("cabinetd_listener_queue_length{service=\"a\\\"b\\\\c\\nd\","
	       "listener=\"tcp://x\"} 3");
	expect("cabinetd_listener_queue_limit{service=\"a\\\"b\\\\c\\nd\","
	       "listener=\"tcp://x\"} 128");
}

static void
a_slot_starts_anew(void **state)
{
	struct board_counters sum;
	struct board_code codes[4];

	(void)state;
	board->counters[0][9].accepted = 10;
	board->counters[1][9].bytes_in = 20;
	board->services[9].flags = BOARD_DRAINING;
	board_count_code(&board->codes[0][9], 404);
	board_renew(board, 9);
	board_sum(board, 9, &sum);
	assert_int_equal(sum.accepted, 0);
	assert_int_equal(sum.bytes_in, 0);
	assert_int_equal(board->services[9].flags, 0);
	assert_int_equal(board_sum_codes(board, 9, codes, 4), 0);
	board->counters[0][9].accepted = 11;
	board_count_code(&board->codes[1][9], 404);
	board_sum(board, 9, &sum);
	assert_int_equal(sum.accepted, 1);
	assert_int_equal(board_sum_codes(board, 9, codes, 4), 1);
	assert_int_equal(codes[0].code, 404);
	assert_int_equal(codes[0].count, 1);
}

static void
labels_come_and_go(void **state)
{
	struct board_label label;
	char longest[200];

	(void)state;
	assert_false(board_label_look(board, 7, &label));
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	board_label(board, 7, longest, longest, 0);
	/* As if a role had written over it. */
	memset(board->labels[7].name, 'b', sizeof(board->labels[7].name));
	assert_true(board_label_look(board, 7, &label));
	assert_int_equal(strlen(label.name), sizeof(label.name) - 1);
	assert_int_equal(strlen(label.protocol), sizeof(label.protocol) - 1);
	board_label(board, 7, NULL, NULL, 0);
	assert_false(board_label_look(board, 7, &label));
}

static void
tickets_say_whose_they_are(void **state)
{
	const struct cab_peer peer = {
		.family = AF_INET, .port = 4711, .ip = { 192, 0, 2, 1 }
	};
	struct ticket_pool pool;
	struct ticket_view view;
	uint64_t id = UINT64_C(2) << BOARD_CONN_SHIFT | 77;
	uint32_t t;

	(void)state;
	assert_int_equal(ticket_used(board, 2), 0);
	ticket_pool_init(&pool, board, 2);
	assert_int_equal(board_conn_slot(id), 2);
	t = ticket_new(&pool, 5, BOARD_NO_SOURCE);
	assert_false(ticket_look(board, t, &view));
	ticket_describe(board, t, id, &peer, 1234);
	assert_true(ticket_look(board, t, &view));
	assert_int_equal(view.owner, 2);
	assert_int_equal(view.service, 5);
	assert_int_equal(view.conn_id, id);
	assert_int_equal(view.start_ms, 1234);
	assert_int_equal(view.pid, 0);
	assert_int_equal(view.peer.port, 4711);
	assert_true(t - 2 * BOARD_TICKETS < ticket_used(board, 2));
	assert_true(ticket_adopt(board, t, 2, BOARD_LAUNCHER));
	assert_true(ticket_look(board, t, &view));
	assert_int_equal(view.owner, BOARD_LAUNCHER);
	/* The launcher dies: all that it holds is found and given back. */
	board->services[5].active = 1;
	board_reclaim(board, BOARD_LAUNCHER);
	assert_int_equal(board->services[5].active, 0);
	assert_false(ticket_look(board, t, &view));
	/* The next one that gets it is not mistaken for the last. */
	assert_int_equal(ticket_new(&pool, 6, BOARD_NO_SOURCE), t + 1);
	board->tickets[t].owner = 3;
	board->tickets[t].conn_id = 0;
	assert_false(ticket_look(board, t, &view));
}

static void
a_worker_started_again_finds_the_tickets_of_the_launcher(void **state)
{
	struct ticket_pool pool;
	uint32_t t = 0;

	(void)state;
	ticket_pool_init(&pool, board, 0);
	for (unsigned i = 0; i < 1000; i++)
		t = ticket_new(&pool, 0, BOARD_NO_SOURCE);
	assert_true(ticket_adopt(board, t, 0, BOARD_LAUNCHER));
	board->services[0].active = 1;
	board_reclaim(board, 0);
	ticket_pool_init(&pool, board, 0);
	board->services[0].active = 1;
	board_reclaim(board, BOARD_LAUNCHER);
	assert_int_equal(board->services[0].active, 0);
	assert_int_equal(board->tickets[t].owner, 0);
}

static void
queues_are_asked_of_the_kernel(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), other;
	socklen_t len = sizeof(addr);
	struct metrics_listener queue;

	(void)state;
	assert_int_equal(
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(metrics_queue(fd, &queue), 0);
	assert_int_equal(queue.queued, 0);
	assert_int_equal(queue.limit, 5);
	assert_memory_equal(queue.address, "tcp://127.0.0.1:", 16);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    connect(other, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(metrics_queue(fd, &queue), 0);
	assert_int_equal(queue.queued, 1);
	fd_close(other);
	fd_close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(metrics_queue(fd, &queue), -ENOTSUP);
	fd_close(fd);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(counters_of_all_roles),
		CASE(histograms_are_cumulative),
		CASE(codes_are_told_apart),
		CASE(labels_are_escaped),
		CASE(a_slot_starts_anew),
		CASE(labels_come_and_go),
		CASE(tickets_say_whose_they_are),
		CASE(a_worker_started_again_finds_the_tickets_of_the_launcher),
		CASE(queues_are_asked_of_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
