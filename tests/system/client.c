/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load client of the system tests: one process, a closed loop of
 * connections to one or more targets.  It tries nothing again: each request
 * that is not answered in full and rightly is a failure, printed with its kind
 * and the local port and start of its connection, so that a test can tell whose
 * fault it was.  Runs inside the machine under test; talks to nothing but the
 * addresses that it is given, which must be on the loopback.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_TARGETS  32
#define MAX_CONNS    4096
#define BUFFER       8192
#define MS           1000000ull
#define SECOND       (1000 * MS)
#define TIMEOUT      (10 * SECOND)
#define MAX_FAILURES 20000 /* lines printed */
#define ECHO_SIZE    64

enum verdict {
	MORE,  /* the reply is not complete */
	NEXT,  /* it is; the connection takes another request */
	OVER,  /* it is, and the connection ends with it */
	WRONG, /* it is not what was asked for */
};

struct conn;

struct mode {
	const char *name;
	const char *request;
	unsigned per_conn; /* requests on one connection, then another is opened */
	bool to_eof;       /* the reply ends where the stream does */
	bool datagrams;
	enum verdict (*reply)(struct conn *c);
};

struct target {
	const struct mode *mode;
	struct sockaddr_storage addr;
	socklen_t n_addr;
	uint64_t ok, failed;
};

struct conn {
	struct target *target;
	int fd;
	uint16_t port; /* our own */
	bool connecting;
	unsigned served; /* requests answered on this connection */
	uint64_t opened, sent,
	    again; /* times; again: when to open the next one */
	size_t n;
	char in[BUFFER];
};

static struct target targets[MAX_TARGETS];
static struct conn *conns[MAX_CONNS];
static size_t n_targets, n_conns, n_open;
static uint64_t now, ok, failed, issued, limit, worst;
static unsigned n_sources = 1, next_source;
static bool stopping;
static int ep;

static void open_conn(struct conn *c);

static uint64_t
clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void
die(const char *what)
{
	fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- replies ---------------------------------------------------------------- */

static enum verdict
reply_http(struct conn *c)
{
	const char *end = memmem(c->in, c->n, "\r\n\r\n", 4);
	const char *length, *ends;
	size_t head, body;

	if (!end)
		return c->n < sizeof(c->in) ? MORE : WRONG;
	head = (size_t)(end - c->in) + 4;
	length = memmem(c->in, head, "\r\nContent-Length: ", 18);
	if (head < 13 || memcmp(c->in, "HTTP/1.1 200 ", 13) != 0 || !length)
		return WRONG;
	body = strtoul(length + 18, NULL, 10);
	if (head + body > sizeof(c->in) || c->n > head + body)
		return WRONG;
	if (c->n < head + body)
		return MORE;
	ends = memmem(c->in, head, "\r\nConnection: close\r\n", 21);
	return ends ? OVER : NEXT;
}

static const char echo_text[ECHO_SIZE + 1] =
    "the quick brown fox jumps over the lazy dog, sixty-four bytes..\n";

static enum verdict
reply_echo(struct conn *c)
{
	if (c->n > ECHO_SIZE || memcmp(c->in, echo_text, c->n) != 0)
		return WRONG;
	return c->n < ECHO_SIZE ? MORE : NEXT;
}

/* Whatever ends in a line's end: daytime, or a program's one line. */
static enum verdict
reply_line(struct conn *c)
{
	if (c->n == sizeof(c->in))
		return WRONG;
	return c->n > 0 && c->in[c->n - 1] == '\n' ? OVER : MORE;
}

static const struct mode modes[] = {
	{ "http-keep", "GET / HTTP/1.1\r\nHost: test\r\n\r\n", 200, false,
	    false, reply_http },
	{ "http-close",
	    "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 1,
	    true, false, reply_http },
	{ "echo", echo_text, 20, false, false, reply_echo },
	/* One connection for as long as there is load. */
	{ "echo-long", echo_text, 0, false, false, reply_echo },
	{ "line", "", 1, true, false, reply_line },
	/* A datagram, then its reply; 20 from one port. */
	{ "echo-udp", echo_text, 20, false, true, reply_echo },
};

/* ---- connections -------------------------------------------------------------- */

static const char *
kind_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "refused";
	case ECONNRESET:
	case EPIPE:
		return "reset";
	case EADDRNOTAVAIL:
	case EADDRINUSE:
		return "no_port";
	default:
		return strerror(error);
	}
}

static void
close_conn(struct conn *c)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	c->fd = -1;
	n_open--;
}

/* Counts the request under way as failed. */
static void
fail(struct conn *c, const char *kind)
{
	/* The times are compared with those of kills. */
	now = clock_now();
	failed++;
	c->target->failed++;
	if (failed <= MAX_FAILURES)
		printf("{\"kind\": \"%s\", \"target\": %td, \"mode\": \"%s\", "
		       "\"port\": %u, \"served\": %u, \"bytes\": %zu, "
		       "\"opened\": %llu, \"sent\": %llu, \"at\": %llu}\n",
		    kind, c->target - targets, c->target->mode->name, c->port,
		    c->served, c->n, (unsigned long long)c->opened,
		    (unsigned long long)c->sent, (unsigned long long)now);
	close_conn(c);
	/* So that a service that is not there is not asked in a busy loop. */
	c->again = now + 5 * MS;
}

/* False when there is to be no more request. */
static bool
take_request(void)
{
	if (stopping || (limit && issued >= limit)) {
		stopping = true;
		return false;
	}
	issued++;
	return true;
}

static void
send_request(struct conn *c)
{
	const char *text = c->target->mode->request;
	size_t n = strlen(text);

	c->n = 0;
	c->sent = now;
	if (n && send(c->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail(c, kind_of(errno));
}

static void
finish_request(struct conn *c, bool last)
{
	unsigned per_conn = c->target->mode->per_conn;

	ok++;
	c->target->ok++;
	c->served++;
	if (now - c->sent > worst)
		worst = now - c->sent;
	if (last || stopping || (per_conn && c->served >= per_conn)) {
		close_conn(c);
		c->again = now;
		return;
	}
	if (take_request())
		send_request(c);
	else
		close_conn(c);
}

static void
bind_source(int fd)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int one = 1;

	if (n_sources < 2)
		return;
	from.sin_addr.s_addr = htonl(0x7f000001 + next_source++ % n_sources);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		die("bind");
}

static void
open_conn(struct conn *c)
{
	const struct target *t = c->target;
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c
	};
	struct sockaddr_storage own;
	socklen_t n_own = sizeof(own);
	int one = 1;

	if (!take_request())
		return;
	c->fd = socket(t->addr.ss_family,
	    (t->mode->datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK |
		SOCK_CLOEXEC,
	    0);
	if (c->fd < 0)
		die("socket");
	n_open++;
	c->opened = c->sent = now;
	c->served = 0;
	c->n = 0;
	c->connecting = true;
	c->port = 0;
	if (!t->mode->datagrams)
		setsockopt(
		    c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (t->addr.ss_family == AF_INET)
		bind_source(c->fd);
	if (connect(c->fd, (const struct sockaddr *)&t->addr, t->n_addr) < 0 &&
	    errno != EINPROGRESS) {
		fail(c, kind_of(errno));
		return;
	}
	/* The port is at the same place for both families. */
	if (getsockname(c->fd, (struct sockaddr *)&own, &n_own) == 0)
		c->port = ntohs(((struct sockaddr_in *)&own)->sin_port);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("epoll_ctl");
}

static void
connected(struct conn *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error) {
		fail(c, kind_of(error));
		return;
	}
	c->connecting = false;
	send_request(c);
}

/* The server has closed. */
static void
ended(struct conn *c)
{
	if (c->n == 0) {
		fail(c, "eof");
	} else if (c->target->mode->to_eof && c->target->mode->reply(c) == OVER) {
		finish_request(c, true);
	} else {
		fail(c, "short");
	}
}

static void
input(struct conn *c)
{
	while (c->fd >= 0) {
		size_t room = sizeof(c->in) - c->n;
		ssize_t n;

		if (room == 0) {
			fail(c, "bad_reply");
			return;
		}
		n = recv(c->fd, c->in + c->n, room, 0);
		now = clock_now();
		if (n < 0) {
			if (errno != EAGAIN)
				fail(c, kind_of(errno));
			return;
		}
		if (n == 0) {
			ended(c);
			return;
		}
		c->n += (size_t)n;
		switch (c->target->mode->reply(c)) {
		case MORE:
			break;
		case WRONG:
			fail(c, "bad_reply");
			break;
		case OVER:
			if (!c->target->mode->to_eof)
				finish_request(c, true);
			break;
		case NEXT:
			finish_request(c, false);
			break;
		}
	}
}

/* ---- the loop ----------------------------------------------------------------- */

static void
turn(void)
{
	struct epoll_event ev[256];
	int n = epoll_wait(ep, ev, 256, 5);

	now = clock_now();
	for (int i = 0; i < n; i++) {
		struct conn *c = ev[i].data.ptr;

		if (c->fd >= 0 && c->connecting &&
		    ev[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			connected(c);
		if (c->fd >= 0 && !c->connecting &&
		    ev[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
			input(c);
	}
	now = clock_now();
	for (size_t i = 0; i < n_conns; i++) {
		struct conn *c = conns[i];

		if (c->fd >= 0 && now - c->sent > TIMEOUT)
			fail(c, "timeout");
		if (c->fd < 0 && !stopping && now >= c->again)
			open_conn(c);
	}
}

static void
report(bool final)
{
	printf("{%s\"ok\": %llu, \"failed\": %llu, \"worst_ms\": %.1f",
	    final ? "\"final\": true, " : "", (unsigned long long)ok,
	    (unsigned long long)failed, (double)worst / (double)MS);
	if (final) {
		printf(", \"targets\": [");
		for (size_t i = 0; i < n_targets; i++)
			printf("%s{\"mode\": \"%s\", \"ok\": %llu, \"failed\": "
			       "%llu}",
			    i ? ", " : "", targets[i].mode->name,
			    (unsigned long long)targets[i].ok,
			    (unsigned long long)targets[i].failed);
		printf("]");
	}
	printf("}\n");
	fflush(stdout);
}

/* The tests hold our standard input open for as long as they want load. */
static bool
told_to_stop(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char c;

	return poll(&in, 1, 0) > 0 && read(STDIN_FILENO, &c, 1) <= 0;
}

static void
work(uint64_t duration)
{
	uint64_t start = now = clock_now();
	uint64_t told = now;

	while (!stopping) {
		turn();
		if (now - told > 50 * MS) {
			told = now;
			report(false);
			if (told_to_stop())
				stopping = true;
		}
		if (duration && now - start > duration)
			stopping = true;
	}
	while (n_open)
		turn();
	report(true);
}

/* ---- start -------------------------------------------------------------------- */

/* MODE:ADDRESS:PORT:CONNECTIONS; an IPv6 address in brackets. */
static bool
add_target(char *text)
{
	struct target *t = &targets[n_targets];
	char *mode = strsep(&text, ":");
	char *host, *port;
	long n;

	if (!text || n_targets == MAX_TARGETS)
		return false;
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(mode, modes[i].name) == 0)
			t->mode = &modes[i];
	if (*text == '[') {
		text++;
		host = strsep(&text, "]");
		if (!text || *text++ != ':')
			return false;
	} else {
		host = strsep(&text, ":");
	}
	port = strsep(&text, ":");
	if (!t->mode || !port || !text)
		return false;
	if (inet_pton(AF_INET, host,
		&((struct sockaddr_in *)&t->addr)->sin_addr) == 1) {
		t->addr.ss_family = AF_INET;
		t->n_addr = sizeof(struct sockaddr_in);
	} else if (inet_pton(AF_INET6, host,
		       &((struct sockaddr_in6 *)&t->addr)->sin6_addr) == 1) {
		t->addr.ss_family = AF_INET6;
		t->n_addr = sizeof(struct sockaddr_in6);
	} else {
		return false;
	}
	((struct sockaddr_in *)&t->addr)->sin_port = htons(
	    (uint16_t)strtoul(port, NULL, 10));
	n_targets++;
	for (n = strtol(text, NULL, 10); n > 0 && n_conns < MAX_CONNS; n--) {
		struct conn *c = calloc(1, sizeof(*c));

		if (!c)
			die("calloc");
		c->fd = -1;
		c->target = t;
		conns[n_conns++] = c;
	}
	return n == 0;
}

int
main(int argc, char **argv)
{
	uint64_t seconds = 0;
	int i;

	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		const char *value = strchr(argv[i], '=');

		if (!value)
			break;
		value++;
		if (strncmp(argv[i], "--requests=", 11) == 0)
			limit = strtoull(value, NULL, 10);
		else if (strncmp(argv[i], "--seconds=", 10) == 0)
			seconds = strtoull(value, NULL, 10);
		else if (strncmp(argv[i], "--sources=", 10) == 0)
			n_sources = (unsigned)strtoul(value, NULL, 10);
		else
			break;
	}
	for (; i < argc; i++)
		if (!add_target(argv[i])) {
			fprintf(stderr, "client: what is %s?\n", argv[i]);
			return 64;
		}
	if (!n_conns) {
		fprintf(stderr,
		    "usage: client [--requests=N] [--seconds=N] [--sources=N] "
		    "MODE:ADDRESS:PORT:CONNECTIONS...\n");
		return 64;
	}
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		die("epoll_create1");
	work(seconds * SECOND);
	return 0;
}
