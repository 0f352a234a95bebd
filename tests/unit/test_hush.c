/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of hushed sockets on loopback: who may come, who may end what has begun,
 * and which sockets are left alone.
 */

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/hush.h"

#define BRIEFLY  200 /* ms */
#define PATIENCE 5000

/* Bound to a port of 127.0.0.1 that becomes known; a stream listens. */
static int
bound(int type, struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret);

	*ret = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)ret, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &len), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* A client that has begun to connect. */
static int
begin(const struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	(void)connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	return fd;
}

static bool
is_ready(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) == 1 && (p.revents & (POLLERR | POLLHUP)) == 0;
}

static void
nobody_comes_while_hushed(void **state)
{
	struct sockaddr_in addr;
	int listener = bound(SOCK_STREAM, &addr), early, late, served;

	(void)state;
	assert_false(is_hushed(listener));
	early = begin(&addr);
	assert_true(is_ready(early, POLLOUT, PATIENCE));
	hush(listener, true);
	assert_true(is_hushed(listener));
	late = begin(&addr);
	assert_false(is_ready(late, POLLOUT, BRIEFLY));
	/* Who was in the queue stays there, and is heard. */
	served = accept(listener, NULL, NULL);
	assert_true(served >= 0);
	assert_int_equal(send(early, "x", 1, MSG_NOSIGNAL), 1);
	assert_true(is_ready(served, POLLIN, PATIENCE));
	hush(listener, false);
	assert_false(is_hushed(listener));
	/* It tries again by itself. */
	assert_true(is_ready(late, POLLOUT, PATIENCE));
	fd_close(served);
	fd_close(early);
	fd_close(late);
	fd_close(listener);
}

static void
some_are_never_hushed(void **state)
{
	struct sockaddr_in addr;
	int listener = bound(SOCK_STREAM, &addr), client;

	(void)state;
	hush_never(listener);
	hush(listener, true);
	assert_false(is_hushed(listener));
	hush_never(listener);
	client = begin(&addr);
	assert_true(is_ready(client, POLLOUT, PATIENCE));
	fd_close(client);
	fd_close(listener);
}

static void
datagrams_are_left_alone(void **state)
{
	/* What would be the flags of TCP, with SYN among them. */
	static const char text[] = "\xff\xff\xff\xff\xff\xff\xff\xff";
	struct sockaddr_in addr;
	int fd = bound(SOCK_DGRAM, &addr);

	(void)state;
	hush(fd, true);
	assert_false(is_hushed(fd));
	assert_int_equal(sendto(fd, text, 8, 0, (struct sockaddr *)&addr,
			     sizeof(addr)),
	    8);
	assert_true(is_ready(fd, POLLIN, PATIENCE));
	hush_never(fd);
	hush(fd, true);
	assert_false(is_hushed(fd));
	fd_close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_comes_while_hushed),
		cmocka_unit_test(some_are_never_hushed),
		cmocka_unit_test(datagrams_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
