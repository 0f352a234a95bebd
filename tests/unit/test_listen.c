/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of listening sockets on loopback: what is opened has the options that
 * were asked for, what cannot be opened is explained, what overlaps is known.
 */

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/hush.h"
#include "supervisor/listen.h"

#define NOBODY 65534

static char directory[] = "/tmp/cab-listen-XXXXXX";
static char why[LISTEN_WHY];

static const struct cab_desc stream_only = { .name = "stream-only",
	.transports = CAB_STREAM };

static struct cab_service
a_service(void)
{
	return (struct cab_service){ .name = "test",
		.enabled = true,
		.protocol = "stream-only",
		.desc = &stream_only,
		.socket = { .backlog = 16,
		    .nodelay = true,
		    .keepalive = true,
		    .mode = 0640 } };
}

static struct cab_listen
inet_listen(enum cab_listen_kind kind, const char *ip, uint16_t port)
{
	struct cab_listen listen = { .kind = kind, .text = "test" };

	assert_int_equal(sockaddr_parse_ip((struct cab_slice){ ip, strlen(ip) },
			     port, &listen.addr),
	    0);
	return listen;
}

static struct cab_listen
unix_listen(enum cab_listen_kind kind, const char *path)
{
	struct cab_listen listen = { .kind = kind, .text = path };
	size_t n = strlen(path);

	listen.addr.un.sun_family = AF_UNIX;
	memcpy(listen.addr.un.sun_path, path, n + 1);
	listen.addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    n + 1);
	if (path[0] == '@') {
		listen.addr.un.sun_path[0] = '\0';
		listen.addr.len--;
	}
	return listen;
}

static struct listener *
must_open(const struct cab_service *service, const struct cab_listen *listen)
{
	struct listener *listener = NULL;

	why[0] = '\0';
	if (listener_open(service, listen, false, &listener, why) < 0)
		fail_msg("%s", why);
	return listener;
}

static int
option(const struct listener *listener, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(
	    getsockopt(listener->fd->fd, level, name, &value, &len), 0);
	return value;
}

static bool
have_ipv6(void)
{
	struct cab_listen listen = inet_listen(CAB_TCP, "::1", 0);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool have = fd >= 0 && bind(fd, &listen.addr.sa, listen.addr.len) == 0;

	fd_close(fd);
	return have;
}

/* ---- opening ------------------------------------------------------------------------ */

static void
test_tcp(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen = inet_listen(CAB_TCP, "127.0.0.1", 0);
	struct listener *l = must_open(&service, &listen);
	char want[64];
	int client;

	(void)state;
	snprintf(
	    want, sizeof(want), "tcp://127.0.0.1:%u", sockaddr_port(&l->addr));
	assert_string_equal(l->text, want);
	assert_int_not_equal(sockaddr_port(&l->addr), 0);
	assert_int_equal(option(l, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(option(l, SOL_SOCKET, SO_REUSEADDR), 1);
	assert_int_equal(option(l, SOL_SOCKET, SO_REUSEPORT), 0);
	assert_int_equal(option(l, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(l, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(l, IPPROTO_TCP, TCP_KEEPIDLE), 60);
	assert_true(fcntl(l->fd->fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(l->fd->fd, F_GETFD) & FD_CLOEXEC);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, &l->addr.sa, l->addr.len), 0);
	fd_close(client);
	listener_unref(l);
}

static void
test_options_off(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen = inet_listen(CAB_TCP, "127.0.0.1", 0);
	struct listener *l;

	(void)state;
	service.socket.nodelay = service.socket.keepalive = false;
	service.socket.receive_buffer = 8192;
	l = must_open(&service, &listen);
	assert_int_equal(option(l, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(option(l, IPPROTO_TCP, TCP_NODELAY), 0);
	/* The kernel doubles what it is asked for. */
	assert_int_equal(option(l, SOL_SOCKET, SO_RCVBUF), 16384);
	listener_unref(l);
}

static void
test_udp(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen = inet_listen(CAB_UDP, "127.0.0.1", 0);
	struct listener *l = must_open(&service, &listen);

	(void)state;
	assert_memory_equal(l->text, "udp://127.0.0.1:", 16);
	assert_int_equal(option(l, IPPROTO_IP, IP_PKTINFO), 0);
	/* With it a second daemon could take half of the datagrams. */
	assert_int_equal(option(l, SOL_SOCKET, SO_REUSEADDR), 0);
	listener_unref(l);
}

/* An address that holds on one link only; its interface's name. */
static bool
find_link_local(struct cab_sockaddr *ret, char name[IFNAMSIZ])
{
	struct ifaddrs *all = NULL;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
		const struct sockaddr_in6 *in6 = (const void *)i->ifa_addr;

		if (!in6 || in6->sin6_family != AF_INET6 ||
		    !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			continue;
		*ret = (struct cab_sockaddr){ .in6 = *in6, .len = sizeof(*in6) };
		snprintf(name, IFNAMSIZ, "%s", i->ifa_name);
		found = true;
	}
	freeifaddrs(all);
	return found;
}

/* The kernel has bound it to its link, and tuning it again leaves it there. */
static void
test_link_local(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen = { .kind = CAB_UDP, .text = "test" };
	char want[IFNAMSIZ], have[IFNAMSIZ] = "";
	socklen_t len = sizeof(have);
	struct listener *l;

	(void)state;
	if (!find_link_local(&listen.addr, want))
		skip();
	l = must_open(&service, &listen);
	assert_int_equal(listener_tune(l, &service, why), 0);
	assert_int_equal(
	    getsockopt(l->fd->fd, SOL_SOCKET, SO_BINDTODEVICE, have, &len), 0);
	assert_string_equal(have, want);
	listener_unref(l);
}

/* Each datagram tells where it was sent to, unless there is one place only. */
static void
test_udp_tells(void **state)
{
	static const struct cab_exec exec = { .wait = true };
	static const struct {
		const char *ip;
		bool freebind;
		const char *interface;
		bool program;
		int tells;
	} cases[] = {
		{ "127.0.0.1", false, NULL, false, 0 },
		{ "0.0.0.0", false, NULL, false, 1 },
		{ "127.255.255.255", false, NULL, false, 1 },
		{ "224.0.0.251", false, NULL, false, 1 },
		{ "127.0.0.1", true, NULL, false, 1 },
		{ "127.0.0.1", false, "lo", false, 1 },
		{ "127.0.0.1", false, NULL, true, 1 },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		struct cab_service service = a_service();
		struct cab_listen listen =
		    inet_listen(CAB_UDP, cases[i].ip, 0);
		struct listener *l;

		service.socket.freebind = cases[i].freebind;
		service.socket.interface = cases[i].interface;
		if (cases[i].program)
			service.exec = &exec;
		l = must_open(&service, &listen);
		assert_int_equal(
		    option(l, IPPROTO_IP, IP_PKTINFO), cases[i].tells);
		/* What is on already, by whomever, stays on. */
		service.socket.freebind = true;
		assert_int_equal(listener_tune(l, &service, why), 0);
		service.socket.freebind = false;
		assert_int_equal(listener_tune(l, &service, why), 0);
		assert_int_equal(option(l, IPPROTO_IP, IP_PKTINFO), 1);
		listener_unref(l);
	}
}

static void
test_ipv6(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen six = inet_listen(CAB_TCP, "::1", 0), four, both;
	struct listener *a, *b, *u;

	(void)state;
	if (!have_ipv6())
		skip();
	a = must_open(&service, &six);
	assert_int_equal(option(a, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	assert_memory_equal(a->text, "tcp://[::1]:", 12);
	listener_unref(a);
	/* "*" is two sockets on one port. */
	both = inet_listen(CAB_TCP, "::", 0);
	a = must_open(&service, &both);
	four = inet_listen(CAB_TCP, "0.0.0.0", sockaddr_port(&a->addr));
	b = must_open(&service, &four);
	both = inet_listen(CAB_UDP, "::", 0);
	u = must_open(&service, &both);
	assert_int_equal(option(u, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
	listener_unref(a);
	listener_unref(b);
	listener_unref(u);
}

static void
test_unix(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen;
	struct listener *l, *again;
	char path[64], text[96];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/stream", directory);
	listen = unix_listen(CAB_UNIX, path);
	l = must_open(&service, &listen);
	snprintf(text, sizeof(text), "unix://%s", path);
	assert_string_equal(l->text, text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	again = listener_ref(l);
	listener_unref(l);
	assert_int_equal(stat(path, &st), 0);
	listener_unref(again);
	assert_int_equal(stat(path, &st), -1);
}

static void
test_unix_datagrams_and_abstract(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen;
	struct listener *l;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/gram", directory);
	listen = unix_listen(CAB_UNIXGRAM, path);
	l = must_open(&service, &listen);
	assert_memory_equal(l->text, "unixgram:///", 12);
	assert_int_equal(option(l, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
	listener_unref(l);
	snprintf(path, sizeof(path), "@cab-test-%d", (int)getpid());
	listen = unix_listen(CAB_UNIX, path);
	l = must_open(&service, &listen);
	assert_memory_equal(l->text, "unix://@cab-test-", 17);
	assert_false(l->file.made);
	listener_unref(l);
}

/* ---- explaining --------------------------------------------------------------------- */

static void
assert_refused(const struct cab_service *service, const struct cab_listen *listen,
    int error, const char *reason, const char *remedy)
{
	struct listener *l = NULL;

	why[0] = '\0';
	assert_int_equal(listener_open(service, listen, false, &l, why), error);
	assert_null(l);
	assert_non_null(strstr(why, reason));
	if (strstr(why, remedy) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, remedy);
	assert_null(strchr(why, '\n'));
}

static void
test_in_use(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen any = inet_listen(CAB_TCP, "127.0.0.1", 0), same;
	struct listener *l = must_open(&service, &any);
	char remedy[64];

	(void)state;
	same = inet_listen(CAB_TCP, "127.0.0.1", sockaddr_port(&l->addr));
	snprintf(remedy, sizeof(remedy), "ss -ltnp 'sport = :%u'",
	    sockaddr_port(&l->addr));
	assert_refused(
	    &service, &same, -EADDRINUSE, "Address already in use", remedy);
	listener_unref(l);
	any = inet_listen(CAB_UDP, "127.0.0.1", 0);
	l = must_open(&service, &any);
	same = inet_listen(CAB_UDP, "127.0.0.1", sockaddr_port(&l->addr));
	assert_refused(
	    &service, &same, -EADDRINUSE, "already in use", "ss -lunp");
	listener_unref(l);
}

static void
test_no_such_address(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen = inet_listen(CAB_TCP, "198.51.100.77", 0);
	struct listener *l;

	(void)state;
	assert_refused(&service, &listen, -EADDRNOTAVAIL, "requested address",
	    "freebind = true");
	service.socket.freebind = true;
	l = must_open(&service, &listen);
	listener_unref(l);
}

static void
test_no_such_interface(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen = inet_listen(CAB_TCP, "127.0.0.1", 0);

	(void)state;
	service.socket.interface = "cab-none0";
	assert_refused(&service, &listen, -ENODEV, "cab-none0", "ip link");
}

static void
test_no_such_directory(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/absent/sock", directory);
	listen = unix_listen(CAB_UNIX, path);
	assert_refused(&service, &listen, -ENOENT, "No such file",
	    "directory does not exist");
}

static void
test_a_unix_socket_that_answers(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen, gram;
	struct listener *l;
	struct stat st;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/taken", directory);
	listen = unix_listen(CAB_UNIX, path);
	gram = unix_listen(CAB_UNIXGRAM, path);
	l = must_open(&service, &listen);
	assert_refused(&service, &listen, -EADDRINUSE, "in use", "ss -lxp");
	/* Of the other type, too. */
	assert_refused(&service, &gram, -EADDRINUSE, "in use", "ss -lxp");
	assert_int_equal(stat(path, &st), 0);
	listener_unref(l);
}

/* What an unprivileged process is told; 0 from it means as it should be. */
static int
plain_user(void)
{
	struct cab_service service = a_service();
	struct cab_listen low = inet_listen(CAB_TCP, "127.0.0.1", 97);
	struct listener *l = NULL;
	int r;

	if (getuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		return 2;
	r = listener_open(&service, &low, false, &l, why);
	if (r == 0)
		return 3; /* this host lets anyone */
	return r == -EACCES && strstr(why, "CAP_NET_BIND_SERVICE") != NULL &&
		strstr(why, "1024") != NULL ?
	    0 :
	    1;
}

static void
test_privileged_port(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0)
		_exit(plain_user());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 3)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- while it listens ---------------------------------------------------------------- */

static void
test_tune(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen = inet_listen(CAB_TCP, "127.0.0.1", 0);
	struct listener *l = must_open(&service, &listen);

	(void)state;
	service.socket.nodelay = service.socket.keepalive = false;
	service.socket.backlog = 99;
	assert_int_equal(listener_tune(l, &service, why), 0);
	assert_int_equal(option(l, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(option(l, SOL_SOCKET, SO_KEEPALIVE), 0);
	service.socket.interface = "cab-none0";
	assert_int_equal(listener_tune(l, &service, why), -ENODEV);
	assert_non_null(strstr(why, "cab-none0"));
	listener_unref(l);
}

static void
test_tune_unix(void **state)
{
	struct cab_service service = a_service();
	struct cab_listen listen;
	struct listener *l;
	struct stat st;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/tuned", directory);
	listen = unix_listen(CAB_UNIX, path);
	l = must_open(&service, &listen);
	service.socket.mode = 0600;
	assert_int_equal(listener_tune(l, &service, why), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* Somebody else's file now: not ours to touch, not ours to remove. */
	assert_int_equal(unlink(path), 0);
	fd_close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	assert_true(listener_tune(l, &service, why) < 0);
	listener_unref(l);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(unlink(path), 0);
}

static void
test_from_all_addresses_to_one_and_back(void **state)
{
	struct cab_service service = a_service();
	enum cab_listen_kind kinds[] = { CAB_TCP, CAB_UDP };

	(void)state;
	for (size_t i = 0; i < CAB_N(kinds); i++) {
		struct cab_listen any = inet_listen(kinds[i], "0.0.0.0", 0), one;
		struct listener *wide = must_open(&service, &any), *narrow = NULL;

		one = inet_listen(
		    kinds[i], "127.0.0.1", sockaddr_port(&wide->addr));
		assert_true(listener_overlaps(wide, &one));
		assert_int_equal(
		    listener_open(&service, &one, false, &narrow, why),
		    -EADDRINUSE);
		listener_share(wide, true);
		assert_int_equal(
		    listener_open(&service, &one, true, &narrow, why), 0);
		listener_share(wide, false);
		assert_int_equal(option(wide, SOL_SOCKET, SO_REUSEPORT), 0);
		assert_int_equal(option(narrow, SOL_SOCKET, SO_REUSEPORT), 0);
		listener_unref(wide);
		/* And back. */
		any = inet_listen(
		    kinds[i], "0.0.0.0", sockaddr_port(&narrow->addr));
		assert_true(listener_overlaps(narrow, &any));
		listener_share(narrow, true);
		assert_int_equal(
		    listener_open(&service, &any, true, &wide, why), 0);
		listener_share(narrow, false);
		listener_unref(narrow);
		listener_unref(wide);
	}
}

static void
test_overlaps(void **state)
{
	struct listener wide = { .kind = CAB_TCP }, dual = { .kind = CAB_TCP };
	struct cab_listen l;

	(void)state;
	l = inet_listen(CAB_TCP, "0.0.0.0", 80);
	wide.addr = l.addr;
	l = inet_listen(CAB_TCP, "::", 80);
	dual.addr = l.addr;
	assert_false(listener_overlaps(&wide, &l));
	assert_false(listener_covers(&dual, &l));
	l = inet_listen(CAB_TCP, "127.0.0.1", 80);
	assert_true(listener_overlaps(&wide, &l));
	assert_false(listener_overlaps(&dual, &l));
	dual.dual = true;
	assert_true(listener_overlaps(&dual, &l));
	assert_false(listener_covers(&dual, &l));
	l = inet_listen(CAB_TCP, "0.0.0.0", 80);
	assert_true(listener_covers(&dual, &l));
	l = inet_listen(CAB_TCP, "0.0.0.0", 81);
	assert_false(listener_covers(&dual, &l));
	assert_false(listener_overlaps(&wide, &l));
	l = inet_listen(CAB_UDP, "0.0.0.0", 80);
	assert_false(listener_overlaps(&wide, &l));
	l = unix_listen(CAB_UNIX, "/x");
	assert_false(listener_overlaps(&wide, &l));
}

/* ---- what systemd passes --------------------------------------------------------------- */

static struct passed_socket
pass(int domain, int type, bool v6only)
{
	struct passed_socket socket_ = { 0 };
	struct cab_listen any = inet_listen(
	    CAB_TCP, domain == AF_INET ? "127.0.0.1" : "::", 0);
	int fd = socket(domain, type, 0), on = v6only;

	assert_true(fd >= 0);
	if (domain == AF_INET6)
		assert_int_equal(
		    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)),
		    0);
	assert_int_equal(bind(fd, &any.addr.sa, any.addr.len), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 3), 0);
	assert_int_equal(passed_classify(fd, &socket_), 0);
	return socket_;
}

static void
test_adopt(void **state)
{
	struct cab_service service = a_service();
	struct passed_socket socket = pass(AF_INET, SOCK_STREAM, false);
	struct listener *l = NULL, *same = NULL;
	int fd = socket.fd;

	(void)state;
	assert_int_equal(listener_adopt(&service, &socket, &l, why), 0);
	/* What systemd passed stays, whatever becomes of the listener. */
	assert_int_equal(socket.fd, fd);
	assert_int_not_equal(l->fd->fd, fd);
	assert_true(fcntl(l->fd->fd, F_GETFD) & FD_CLOEXEC);
	assert_ptr_equal(l->passed, &socket);
	assert_ptr_equal(socket.listener, l);
	assert_true(socket.claimed);
	assert_false(l->dual);
	assert_memory_equal(l->text, "tcp://127.0.0.1:", 16);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(option(l, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(listener_tune(l, &service, why), 0);
	/* For another configuration it is the same one. */
	service.socket.nodelay = false;
	assert_int_equal(listener_adopt(&service, &socket, &same, why), 0);
	assert_ptr_equal(same, l);
	assert_int_equal(option(l, IPPROTO_TCP, TCP_NODELAY), 0);
	listener_unref(same);
	assert_ptr_equal(socket.listener, l);
	listener_unref(l);
	assert_null(socket.listener);
	assert_int_equal(listener_adopt(&service, &socket, &l, why), 0);
	listener_unref(l);
	fd_close(socket.fd);
}

/* A reload that nobody finished may have hushed it. */
static void
test_adopt_hushed(void **state)
{
	struct cab_service service = a_service();
	struct passed_socket socket = pass(AF_INET, SOCK_STREAM, false);
	struct listener *l = NULL;

	(void)state;
	socket.item = (struct store_item){ STORE_LISTENER, { 1, 1 } };
	socket.name = (char *)(uintptr_t)"cabinetd-listener.1.1.0.0";
	hush(socket.fd, true);
	assert_int_equal(listener_adopt(&service, &socket, &l, why), 0);
	assert_false(is_hushed(l->fd->fd));
	listener_unref(l);
}

static void
test_adopt_dual(void **state)
{
	struct cab_service service = a_service();
	struct passed_socket socket;
	struct listener *l = NULL;

	(void)state;
	if (!have_ipv6())
		skip();
	socket = pass(AF_INET6, SOCK_STREAM, false);
	assert_int_equal(listener_adopt(&service, &socket, &l, why), 0);
	assert_true(l->dual);
	listener_unref(l);
	fd_close(socket.fd);
	socket = pass(AF_INET6, SOCK_STREAM, true);
	assert_int_equal(listener_adopt(&service, &socket, &l, why), 0);
	assert_false(l->dual);
	listener_unref(l);
	fd_close(socket.fd);
}

static void
test_adopt_of_the_wrong_type(void **state)
{
	struct cab_service service = a_service();
	struct cab_exec exec = { .program = "/bin/cat" };
	struct passed_socket socket = pass(AF_INET, SOCK_DGRAM, false);
	struct listener *l = NULL;

	(void)state;
	assert_int_equal(listener_adopt(&service, &socket, &l, why), -EPROTOTYPE);
	assert_non_null(strstr(why, "stream-only"));
	assert_non_null(strstr(why, "udp"));
	assert_true(socket.fd >= 0);
	service.desc = NULL;
	service.protocol = NULL;
	service.exec = &exec;
	assert_int_equal(listener_adopt(&service, &socket, &l, why), -EPROTOTYPE);
	assert_non_null(strstr(why, "wait = true"));
	exec.wait = true;
	assert_int_equal(listener_adopt(&service, &socket, &l, why), 0);
	assert_int_equal(option(l, IPPROTO_IP, IP_PKTINFO), 1);
	listener_unref(l);
	fd_close(socket.fd);
}

static void
test_unref_of_nothing(void **state)
{
	(void)state;
	listener_unref(NULL);
	assert_null(listener_ref(NULL));
}

static int
set_up(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL;
}

static int
tear_down(void **state)
{
	(void)state;
	/* Nothing is left in it. */
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_options_off),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_udp_tells),
		cmocka_unit_test(test_link_local),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_unix_datagrams_and_abstract),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_no_such_address),
		cmocka_unit_test(test_no_such_interface),
		cmocka_unit_test(test_no_such_directory),
		cmocka_unit_test(test_a_unix_socket_that_answers),
		cmocka_unit_test(test_privileged_port),
		cmocka_unit_test(test_tune),
		cmocka_unit_test(test_tune_unix),
		cmocka_unit_test(test_from_all_addresses_to_one_and_back),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_adopt_hushed),
		cmocka_unit_test(test_adopt_dual),
		cmocka_unit_test(test_adopt_of_the_wrong_type),
		cmocka_unit_test(test_unref_of_nothing),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
