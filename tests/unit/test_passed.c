/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of sockets passed by systemd: only what can be served is taken, found
 * by name or by address, and what nobody wants is kept.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/hush.h"
#include "supervisor/passed.h"
#include "tests/support/events.h"

static struct cab_listen
inet_listen(enum cab_listen_kind kind, const char *ip, uint16_t port)
{
	struct cab_listen listen = { .kind = kind };

	assert_int_equal(sockaddr_parse_ip((struct cab_slice){ ip, strlen(ip) },
			     port, &listen.addr),
	    0);
	return listen;
}

static struct cab_listen
by_name(const char *name)
{
	return (struct cab_listen){ .kind = CAB_SYSTEMD, .name = name };
}

/* A bound socket of the type; a stream listens if asked. */
static int
bound(int type, bool listening)
{
	struct cab_listen any = inet_listen(CAB_TCP, "127.0.0.1", 0);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &any.addr.sa, any.addr.len), 0);
	if (listening)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
test_classify(void **state)
{
	struct passed_socket socket_ = { 0 };
	int fd, fds[2];

	(void)state;
	fd = bound(SOCK_STREAM, true);
	assert_int_equal(passed_classify(fd, &socket_), 0);
	assert_int_equal(socket_.kind, CAB_TCP);
	assert_int_equal(socket_.fd, fd);
	assert_int_not_equal(sockaddr_port(&socket_.addr), 0);
	fd_close(fd);
	fd = bound(SOCK_DGRAM, false);
	assert_int_equal(passed_classify(fd, &socket_), 0);
	assert_int_equal(socket_.kind, CAB_UDP);
	fd_close(fd);
	/* A connection, as from Accept=yes, is no listener. */
	fd = bound(SOCK_STREAM, false);
	assert_int_equal(passed_classify(fd, &socket_), -EPROTOTYPE);
	fd_close(fd);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(passed_classify(fds[0], &socket_), -EPROTOTYPE);
	fd_close(fds[0]);
	fd_close(fds[1]);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(passed_classify(fd, &socket_), -EPROTOTYPE);
	fd_close(fd);
	assert_int_equal(passed_classify(-1, &socket_), -EPROTOTYPE);
}

static void
test_find(void **state)
{
	struct passed_socket v[3] = { { .name = strdup("web") },
		{ .name = strdup("web") }, { .name = strdup("dns") } };
	struct passed passed = { .v = v, .n = 3 };
	struct cab_listen listen;
	char text[64];

	(void)state;
	assert_int_equal(passed_classify(bound(SOCK_STREAM, true), &v[0]), 0);
	assert_int_equal(passed_classify(bound(SOCK_STREAM, true), &v[1]), 0);
	assert_int_equal(passed_classify(bound(SOCK_DGRAM, false), &v[2]), 0);
	listen = by_name("web");
	assert_ptr_equal(passed_find(&passed, &listen, 0), &v[0]);
	listen = by_name("we");
	assert_null(passed_find(&passed, &listen, 0));
	listen = inet_listen(CAB_UDP, "127.0.0.1", sockaddr_port(&v[2].addr));
	assert_ptr_equal(passed_find(&passed, &listen, 0), &v[2]);
	listen.kind = CAB_TCP;
	assert_null(passed_find(&passed, &listen, 0));
	listen = inet_listen(CAB_TCP, "127.0.0.2", sockaddr_port(&v[1].addr));
	assert_null(passed_find(&passed, &listen, 0));
	/* Each is claimed once by a configuration. */
	listen = by_name("web");
	v[0].claimed = true;
	assert_ptr_equal(passed_find(&passed, &listen, 0), &v[1]);
	assert_string_equal(
	    passed_names(&passed, text, sizeof(text)), "web, web, dns");
	assert_true(strlen(passed_names(&passed, text, 8)) < 8);
	/* Those that nobody wants now may be wanted later. */
	passed_close_rest(&passed);
	assert_ptr_equal(passed_find(&passed, &listen, 0), &v[1]);
	v[1].claimed = true;
	assert_null(passed_find(&passed, &listen, 0));
	passed_unclaim(&passed);
	assert_ptr_equal(passed_find(&passed, &listen, 0), &v[0]);
	for (size_t i = 0; i < 3; i++) {
		fd_close(v[i].fd);
		free(v[i].name);
	}
}

/* What we have bound ourselves is known by its key, or by its address. */
static void
test_find_stored(void **state)
{
	const struct store_item mine = { STORE_LISTENER, { 77, 1 } };
	struct passed_socket v[3] = { { .name = strdup("web") },
		{ .name = strdup("a") }, { .name = strdup("b") } };
	struct passed passed = { .v = v, .n = 3 };
	struct cab_listen listen;
	char text[64];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
		    passed_classify(bound(SOCK_STREAM, true), &v[i]), 0);
	v[1].item = v[2].item = mine;
	v[1].item.v[STORE_KEY] = 78;
	listen = inet_listen(CAB_TCP, "127.0.0.1", 0);
	assert_ptr_equal(passed_find(&passed, &listen, 77), &v[2]);
	assert_null(passed_find(&passed, &listen, 79));
	listen.kind = CAB_UDP;
	assert_null(passed_find(&passed, &listen, 77));
	/* The key goes before the address. */
	listen = inet_listen(CAB_TCP, "127.0.0.1", sockaddr_port(&v[0].addr));
	assert_ptr_equal(passed_find(&passed, &listen, 78), &v[1]);
	assert_ptr_equal(passed_find(&passed, &listen, 79), &v[0]);
	/* Its name is for us alone. */
	listen = by_name("a");
	assert_null(passed_find(&passed, &listen, 0));
	assert_string_equal(passed_names(&passed, text, sizeof(text)), "web");
	/* And nobody else will ask for it. */
	passed_close_rest(&passed);
	assert_int_equal(v[1].fd, -1);
	assert_int_equal(v[2].fd, -1);
	for (size_t i = 0; i < 3; i++) {
		fd_close(v[i].fd);
		free(v[i].name);
	}
}

/* Who has it still empties it, but for a program, which goes on with it. */
static void
test_rest_is_hushed(void **state)
{
	(void)state;
	for (int taken = 0; taken < 2; taken++) {
		const struct store_item mine = { STORE_LISTENER, { 1, 1 } };
		struct passed_socket socket_ = { .name = strdup("a") };
		struct passed passed = { .v = &socket_, .n = 1 };
		int fd = bound(SOCK_STREAM, true), theirs = dup(fd);

		assert_int_equal(passed_classify(fd, &socket_), 0);
		socket_.item = mine;
		if (taken)
			hush_never(fd);
		assert_false(is_hushed(theirs));
		passed_close_rest(&passed);
		assert_int_equal(socket_.fd, -1);
		assert_int_equal(is_hushed(theirs), !taken);
		fd_close(theirs);
		free(socket_.name);
	}
}

static void
test_nothing(void **state)
{
	struct passed passed = { 0 };
	struct cab_listen listen = by_name("x");
	char text[16], why[PASSED_WHY];

	(void)state;
	assert_int_equal(passed_collect(&passed, why), 0);
	assert_int_equal(passed.n, 0);
	assert_null(passed_find(&passed, &listen, 0));
	assert_string_equal(passed_names(&passed, text, sizeof(text)), "none");
	passed_close_rest(&passed);
	passed_release(&passed);
}

/* What systemd does between fork and exec; the exit status says what went wrong. */
static int
as_systemd_does(void)
{
	int fds[3] = { bound(SOCK_STREAM, true), bound(SOCK_DGRAM, false),
		open("/dev/null", O_RDONLY) };
	struct passed passed = { 0 };
	char pid[16], why[PASSED_WHY];

	/* Out of the way first, then to 3, 4 and 5. */
	for (int i = 0; i < 3; i++)
		fds[i] = fcntl(fds[i], F_DUPFD, 100);
	for (int i = 0; i < 3; i++)
		dup2(fds[i], 3 + i);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "3", 1);
	setenv("LISTEN_FDNAMES", "web:dns:junk", 1);
	if (passed_collect(&passed, why) != 0)
		return 1;
	if (passed.n != 2 || strcmp(passed.v[0].name, "web") != 0 ||
	    strcmp(passed.v[1].name, "dns") != 0)
		return 2;
	if (passed.v[0].kind != CAB_TCP || passed.v[1].kind != CAB_UDP)
		return 3;
	if (!(fcntl(3, F_GETFD) & FD_CLOEXEC) || fcntl(5, F_GETFD) != -1)
		return 4;
	if (getenv("LISTEN_FDS") != NULL || getenv("LISTEN_FDNAMES") != NULL)
		return 5;
	passed_release(&passed);
	return fcntl(3, F_GETFD) == -1 && fcntl(4, F_GETFD) == -1 ? 0 : 6;
}

static void
test_collect(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0)
		_exit(as_systemd_does());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: nothing has been logged, so the log has no descriptor yet. */
		cmocka_unit_test(test_collect),
		cmocka_unit_test(test_classify),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_stored),
		cmocka_unit_test(test_rest_is_hushed),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, events_load, NULL);
}
