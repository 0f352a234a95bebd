/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets that programs take over: who has them when, and how long is waited
 * after a program that took nothing.  The programs are real, the clock is not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "launcher/link.h"
#include "launcher/output.h"
#include "launcher/reap.h"
#include "launcher/wait.h"
#include "tests/support/launch.h"

/* Takes one datagram. */
#define TAKE "dd bs=9 count=1 >/dev/null 2>&1; "

static struct launcher l;
static struct launch_conf conf;
static int board_fd, sock;

static void
set_ms(uint64_t ms)
{
	struct cab_clock fake = { .mono_ns = ms * 1000000 };

	clock_fake(&fake);
}

static int
setup(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	(void)state;
	set_ms(1000000);
	l = (struct launcher){ .slot = BOARD_LAUNCHER,
		.max_outputs = 100,
		.self = { .uid = 1,
		    .def_uid = CHILD_KEEP_ID,
		    .def_gid = CHILD_KEEP_ID,
		    .files = { 256, 256 } } };
	memset(l.wakes, -1, sizeof(l.wakes));
	links_init(&l);
	assert_int_equal(loop_open(&l), 0);
	l.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	l.program_pool = pool_new(sizeof(struct program));
	l.output_pool = pool_new(sizeof(struct output));
	board_fd = board_create(&l.board);
	assert_true(board_fd >= 0);
	conf = (struct launch_conf){ .n = 0 };
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(sock >= 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	log_open(CAB_LOG_STDERR, CAB_LOG_ERR, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	programs_release(&l);
	wait_release(&l);
	loop_close(&l);
	while (l.generations != NULL) {
		struct generation *gen = l.generations;

		l.generations = gen->next;
		assert_int_equal(gen->refs, 0);
		generation_free(&l, gen);
	}
	fd_close(sock);
	fd_close(l.null_fd);
	fd_close(board_fd);
	pool_free(l.program_pool);
	pool_free(l.output_pool);
	board_unmap(l.board);
	clock_fake(NULL);
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, NULL);
	return 0;
}

static void
use_conf(uint64_t number, bool with_socket)
{
	struct cab_buf bytes = CAB_BUF_INIT(0);
	static const struct cab_desc *const none[] = { NULL };
	struct cab_conf *copy = NULL;
	struct generation *gen;
	char why[100];

	assert_int_equal(conf_encode(&conf.conf, &bytes), 0);
	assert_int_equal(
	    conf_decode(none, buf_slice(&bytes).p, buf_len(&bytes), &copy), 0);
	buf_release(&bytes);
	gen = generation_new(&l, copy, number, why, sizeof(why));
	assert_non_null(gen);
	gen->services[0].slot = 0;
	if (with_socket)
		assert_int_equal(wait_add(&l, gen, &gen->services[0],
				     fcntl(sock, F_DUPFD_CLOEXEC, 3)),
		    0);
	generation_use(&l, gen);
	wait_commit(&l);
}

static void
send_datagram(void)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(getsockname(sock, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(
	    sendto(fd, "x\n", 2, 0, (struct sockaddr *)&addr, len), 2);
	fd_close(fd);
}

/* True when the launcher listens to the socket now, and it is readable. */
static bool
is_watched(void)
{
	struct epoll_event ev;

	return epoll_wait(l.epoll, &ev, 1, 0) == 1 &&
	    ev.data.ptr == &l.waits->source;
}

static void
readable(void)
{
	l.waits->source.ready(&l, &l.waits->source, EPOLLIN);
}

static void
let_it_end(void)
{
	int tries;

	for (tries = 0; l.n_programs > 0 && tries < 6000; tries++) {
		reap(&l);
		poll(NULL, 0, 5);
	}
	assert_int_equal(l.n_programs, 0);
}

static void
leaves_the_socket_to_the_program(void **state)
{
	char c;

	(void)state;
	launch_script(&conf, "a", TAKE)->wait = true;
	use_conf(1, true);
	assert_false(is_watched());
	send_datagram();
	assert_true(is_watched());
	readable();
	assert_int_equal(l.n_programs, 1);
	assert_non_null(l.waits->program);
	/* An event fetched before it started, and one datagram more. */
	readable();
	assert_int_equal(l.n_programs, 1);
	let_it_end();
	assert_null(l.waits->program);
	assert_int_equal(recv(sock, &c, 1, MSG_DONTWAIT), -1);
	send_datagram();
	assert_true(is_watched());
}

static void
pauses_after_failures(void **state)
{
	static const uint64_t pauses[] = { 100, 200, 400, 800, 1600, 3200, 5000,
		5000 };
	size_t i;

	(void)state;
	launch_script(&conf, "a", "exit 1")->wait = true;
	use_conf(1, true);
	send_datagram();
	for (i = 0; i < CAB_N(pauses); i++) {
		assert_true(is_watched());
		readable();
		let_it_end();
		assert_false(is_watched());
		assert_true(timer_armed(&l.waits->pause.timer));
		assert_int_equal(
		    l.waits->pause.timer.due_ms - clock_ms(), pauses[i]);
		timer_cancel(&l.wheel, &l.waits->pause.timer);
		l.waits->pause.ring(&l, &l.waits->pause);
	}
	/* One that has served for a while is started again at once. */
	readable();
	set_ms(clock_ms() + 60000);
	let_it_end();
	assert_true(is_watched());
}

static void
pauses_after_many_that_take_nothing(void **state)
{
	unsigned i;

	(void)state;
	launch_script(&conf, "a", "exit 0")->wait = true;
	use_conf(1, true);
	send_datagram();
	for (i = 0; is_watched(); i++) {
		assert_true(i < 100);
		readable();
		let_it_end();
	}
	assert_true(i > 5);
	assert_true(timer_armed(&l.waits->pause.timer));
}

static void
pauses_when_it_cannot_start(void **state)
{
	(void)state;
	launch_service(&conf, "a", "/nonexistent", NULL)->wait = true;
	use_conf(1, true);
	send_datagram();
	assert_true(is_watched());
	readable();
	assert_int_equal(l.n_programs, 0);
	assert_false(is_watched());
	assert_true(timer_armed(&l.waits->pause.timer));
}

static void
keeps_the_program_over_a_reload(void **state)
{
	struct waiting *w;

	(void)state;
	launch_script(&conf, "a", TAKE TAKE)->wait = true;
	use_conf(1, true);
	send_datagram();
	readable();
	w = l.waits;
	use_conf(2, true);
	assert_ptr_equal(l.waits, w);
	assert_null(w->next);
	assert_int_equal(w->gen->number, 2);
	assert_int_equal(w->program->gen->number, 1);
	assert_int_equal(l.n_programs, 1);
	/* The service goes; the socket stays until the program is done with it. */
	use_conf(3, false);
	assert_ptr_equal(l.waits, w);
	assert_true(w->retired);
	send_datagram();
	let_it_end();
	assert_null(l.waits);
}

static void
drops_what_is_not_configured(void **state)
{
	(void)state;
	launch_script(&conf, "a", "exit 0")->wait = true;
	use_conf(1, true);
	assert_non_null(l.waits);
	use_conf(2, false);
	assert_null(l.waits);
	send_datagram();
	use_conf(3, true);
	assert_true(is_watched());
	wait_stop(&l);
	assert_null(l.waits);
}

static void
takes_sockets_only(void **state)
{
	struct cab_service service = { .name = "a" };
	struct program_service program = { .conf = &service };
	struct generation gen = { .refs = 0 };

	(void)state;
	assert_int_equal(
	    wait_add(&l, &gen, &program, fcntl(l.null_fd, F_DUPFD_CLOEXEC, 3)),
	    -ENOTSOCK);
	assert_int_equal(gen.refs, 0);
	assert_null(l.pending_waits);
}

#define WAIT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WAIT_TEST(leaves_the_socket_to_the_program),
		WAIT_TEST(pauses_after_failures),
		WAIT_TEST(pauses_after_many_that_take_nothing),
		WAIT_TEST(pauses_when_it_cannot_start),
		WAIT_TEST(keeps_the_program_over_a_reload),
		WAIT_TEST(drops_what_is_not_configured),
		WAIT_TEST(takes_sockets_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
