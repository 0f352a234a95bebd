/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floors: for each kind of service the shortest loop that serves the load
 * client, one thread, no more than the system calls.  They have no limits, no
 * timeouts, no checks of what a peer sends and no log: what a real server spends
 * above them is the price of those things.  Loopback only.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "floor.h"
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS    256
#define BULK      65536
#define BATCH     64
#define MAX_BODY  65536
#define DATAGRAM  2048
#define MAX_FILES 65536

struct mode {
	const char *name;
	int type;
	bool nonblock; /* of the listener */
	void (*run)(int fd);
	const char *summary;
};

static size_t option_body = 3;
static const char *option_file;
static const char *option_program = "/bin/cat";
static int option_processes = 1;

static const char reply_daytime[] = "Thu, 01 Jan 2026 00:00:00 +0000\r\n";

#define REPLY_HEAD                                \
	"HTTP/1.1 200 OK\r\n"                     \
	"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n" \
	"Content-Type: text/plain\r\n"

static char reply[MAX_BODY + 256]; /* the canned reply */
static size_t n_reply;

static void
make_reply(size_t body, bool close)
{
	int head = snprintf(reply, sizeof(reply),
	    REPLY_HEAD "Content-Length: %zu\r\n%s\r\n", body,
	    close ? "Connection: close\r\n" : "");

	memset(reply + head, 'x', body);
	n_reply = (size_t)head + body;
}

/* ---- event loops ----------------------------------------------------- */

static void
watch(int ep, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		bench_die(errno, "epoll_ctl");
}

/* Level triggered; greet (at its start) and serve return false when the
 * connection is to be closed. */
static void
event_loop(int listener, bool (*greet)(int fd), bool (*serve)(int fd))
{
	struct epoll_event ev[EVENTS];
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0)
		bench_die(errno, "epoll_create1");
	watch(ep, listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(ep, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = ev[i].data.fd;

			if (fd != listener) {
				if (!serve(fd))
					close(fd);
				continue;
			}
			fd = accept4(
			    listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd >= 0 && (!greet || greet(fd)))
				watch(ep, fd, EPOLLIN);
			else if (fd >= 0)
				close(fd);
		}
	}
}

static bool
serve_echo(int fd)
{
	static char buf[BULK];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	return n > 0 && send(fd, buf, (size_t)n, MSG_NOSIGNAL) == n;
}

static bool
serve_http_keepalive(int fd)
{
	static char buf[4096];

	return recv(fd, buf, sizeof(buf), 0) > 0 &&
	    send(fd, reply, n_reply, MSG_NOSIGNAL) > 0;
}

static bool
serve_http_close(int fd)
{
	static char buf[4096];

	if (recv(fd, buf, sizeof(buf), 0) > 0)
		send(fd, reply, n_reply, MSG_NOSIGNAL);
	return false;
}

static void
run_echo(int listener)
{
	event_loop(listener, NULL, serve_echo);
}

static void
run_http_keepalive(int listener)
{
	make_reply(option_body, false);
	event_loop(listener, NULL, serve_http_keepalive);
}

static void
run_http_close(int listener)
{
	make_reply(option_body, true);
	event_loop(listener, NULL, serve_http_close);
}

/* ---- a file over HTTP ------------------------------------------------- */

static off_t unsent[MAX_FILES]; /* bytes of the file, by descriptor */

/* Sends what the socket takes; false when the connection failed. */
static bool
file_push(int fd, int file, off_t size)
{
	while (unsent[fd] > 0) {
		off_t at = size - unsent[fd];
		ssize_t n = sendfile(fd, file, &at, (size_t)unsent[fd]);

		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		unsent[fd] -= n;
	}
	return true;
}

static bool
file_start(int fd, off_t size)
{
	static char buf[4096];
	char head[256];
	int n;

	if (recv(fd, buf, sizeof(buf), 0) <= 0)
		return false;
	n = snprintf(head, sizeof(head),
	    REPLY_HEAD "Content-Length: %lld\r\n\r\n", (long long)size);
	if (send(fd, head, (size_t)n, MSG_NOSIGNAL | MSG_MORE) != n)
		return false;
	unsent[fd] = size;
	return true;
}

/* Edge triggered on both sides, so that a full socket costs no epoll_ctl. */
static void
run_http_file(int listener)
{
	struct epoll_event ev[EVENTS];
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int file = open(option_file ? option_file : "", O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (ep < 0 || file < 0 || fstat(file, &st) < 0)
		bench_die(errno, "http-file needs --file FILE");
	signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
	watch(ep, listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(ep, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = ev[i].data.fd;
			bool ok = true;

			if (fd == listener) {
				fd = accept4(listener, NULL, NULL,
				    SOCK_NONBLOCK | SOCK_CLOEXEC);
				if (fd >= MAX_FILES)
					close(fd);
				else if (fd >= 0)
					watch(ep, fd,
					    EPOLLIN | EPOLLOUT | EPOLLET);
				continue;
			}
			if (ev[i].events & EPOLLIN && !unsent[fd])
				ok = file_start(fd, st.st_size);
			if (!ok || !file_push(fd, file, st.st_size)) {
				unsent[fd] = 0;
				close(fd);
			}
		}
	}
}

/* ---- SMTP -------------------------------------------------------------- */

static bool in_message[MAX_FILES]; /* by descriptor */

static bool
say(int fd, const char *text, size_t n)
{
	return send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* The client waits for each reply and sends a message in one piece or ends it
 * with a piece that has the final dot whole. */
static bool
serve_smtp(int fd)
{
	static const char ok[] = "250 2.0.0 Ok\r\n", go[] = "354 Go on\r\n",
			  bye[] = "221 2.0.0 Bye\r\n";
	static char buf[BULK];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	if (n < 5)
		return false;
	if (in_message[fd]) {
		if (memcmp(buf + n - 5, "\r\n.\r\n", 5) != 0)
			return true;
		in_message[fd] = false;
		return say(fd, ok, sizeof(ok) - 1);
	}
	if (memcmp(buf, "QUIT", 4) == 0) {
		(void)say(fd, bye, sizeof(bye) - 1);
		return false;
	}
	in_message[fd] = memcmp(buf, "DATA", 4) == 0;
	return in_message[fd] ? say(fd, go, sizeof(go) - 1) :
				say(fd, ok, sizeof(ok) - 1);
}

static bool
greet_smtp(int fd)
{
	static const char hello[] = "220 bench.example ESMTP\r\n";

	if (fd >= MAX_FILES)
		return false;
	in_message[fd] = false;
	return say(fd, hello, sizeof(hello) - 1);
}

static void
run_smtp(int listener)
{
	event_loop(listener, greet_smtp, serve_smtp);
}

/* ---- loops that block -------------------------------------------------- */

static void
run_daytime(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		send(fd, reply_daytime, sizeof(reply_daytime) - 1, MSG_NOSIGNAL);
		close(fd);
	}
}

static void
run_bulk(int listener)
{
	static char buf[BULK];

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ssize_t n;

		if (fd < 0)
			continue;
		while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
			if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
				break;
		close(fd);
	}
}

static void
run_udp_echo(int fd)
{
	static char buf[BATCH][DATAGRAM];
	static struct sockaddr_storage peer[BATCH];
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	int used = BATCH;

	for (;;) {
		int n;

		for (int i = 0; i < used; i++) {
			iov[i] = (struct iovec){ buf[i], DATAGRAM };
			msg[i].msg_hdr = (struct msghdr){
				.msg_name = &peer[i],
				.msg_namelen = sizeof(peer[i]),
				.msg_iov = &iov[i],
				.msg_iovlen = 1,
			};
		}
		n = recvmmsg(fd, msg, BATCH, MSG_WAITFORONE, NULL);
		used = n > 0 ? n : 0;
		for (int i = 0; i < n; i++)
			iov[i].iov_len = msg[i].msg_len;
		if (n > 0)
			sendmmsg(fd, msg, (unsigned)n, MSG_NOSIGNAL);
	}
}

static void
run_program(int listener)
{
	char *const argv[] = { (char *)option_program, NULL };
	char *const envp[] = { NULL };

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		if (vfork() == 0) {
			dup2(fd, 0);
			dup2(fd, 1);
			execve(option_program, argv, envp);
			_exit(127);
		}
		close(fd);
		/* One for each accept: no more are left than there are clients. */
		waitpid(-1, NULL, WNOHANG);
	}
}

static void
run_program_guarded(int listener)
{
	floor_run_guarded(listener, option_program);
}

/* ---- start -------------------------------------------------------------- */

static const struct mode modes[] = {
	{ "echo", SOCK_STREAM, true, run_echo,
	    "epoll, recv and send on each ready descriptor" },
	{ "daytime", SOCK_STREAM, false, run_daytime, "accept, send, close" },
	{ "http-keepalive", SOCK_STREAM, true, run_http_keepalive,
	    "epoll, a canned reply to whatever is received" },
	{ "http-close", SOCK_STREAM, true, run_http_close,
	    "the same, then close" },
	{ "http-file", SOCK_STREAM, true, run_http_file,
	    "epoll, a header and sendfile" },
	{ "smtp", SOCK_STREAM, true, run_smtp,
	    "epoll, a canned reply to each command and message" },
	{ "udp-echo", SOCK_DGRAM, false, run_udp_echo, "recvmmsg, sendmmsg" },
	{ "program", SOCK_STREAM, false, run_program,
	    "accept, vfork, exec of /bin/cat" },
	{ "program-guarded", SOCK_STREAM, false, run_program_guarded,
	    "the same with cabinetd's promises" },
	{ "bulk", SOCK_STREAM, false, run_bulk,
	    "one connection at a time, 64 KiB recv and send" },
};

#define N_MODES (sizeof(modes) / sizeof(modes[0]))

static int
open_socket(const struct mode *mode, const char *text)
{
	struct bench_addr addr;
	int fd, one = 1;

	bench_parse_addr(text, &addr);
	fd = socket(addr.ss.ss_family,
	    mode->type | SOCK_CLOEXEC | (mode->nonblock ? SOCK_NONBLOCK : 0), 0);
	if (fd < 0)
		bench_die(errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (option_processes > 1)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (addr.ss.ss_family != AF_UNIX && mode->type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr.ss, addr.len) < 0)
		bench_die(errno, "bind %s", text);
	if (mode->type == SOCK_STREAM && listen(fd, 4096) < 0)
		bench_die(errno, "listen %s", text);
	return fd;
}

/* Loops beside each other, each with a listener of its own. */
static void
spread(void)
{
	for (int i = 1; i < option_processes; i++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			return;
		}
}

static void
usage(FILE *to)
{
	fputs("usage: floor [--cpu N] [--processes N] [--body BYTES] [--file FILE] "
	      "[--program FILE] MODE ADDRESS\n",
	    to);
	for (size_t i = 0; i < N_MODES; i++)
		fprintf(to, "  %-15s %s\n", modes[i].name, modes[i].summary);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "body", required_argument, NULL, 'b' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "file", required_argument, NULL, 'f' },
		{ "processes", required_argument, NULL, 'n' },
		{ "program", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			bench_pin((int)bench_number("--cpu", optarg, 0, 1023));
			break;
		case 'b':
			option_body = (size_t)bench_number(
			    "--body", optarg, 0, MAX_BODY);
			break;
		case 'f':
			option_file = optarg;
			break;
		case 'n':
			option_processes =
			    (int)bench_number("--processes", optarg, 1, 64);
			break;
		case 'p':
			option_program = optarg;
			break;
		default:
			usage(opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (argc - optind != 2) {
		usage(stderr);
		return 2;
	}
	bench_raise_files();
	spread();
	for (size_t i = 0; i < N_MODES; i++)
		if (!strcmp(modes[i].name, argv[optind]))
			modes[i].run(open_socket(&modes[i], argv[optind + 1]));
	usage(stderr);
	return 2;
}
