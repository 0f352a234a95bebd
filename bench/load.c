/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load client of the bench: one process, one thread, one processor, a
 * closed loop of N connections over edge-triggered epoll.  It never tries
 * anything again, counts every failure by its kind, checks every reply, and
 * prints one line of JSON.  It talks only to the address that it is given.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS       512
#define MIN_DATAGRAM 16

struct load_state load;
struct load_options load_opt = {
	.connections = 64,
	.size = 64,
	.window = 16,
	.duration = 4ull * SECOND,
	.warmup = SECOND,
	.timeout = 10ull * SECOND,
	.path = "/",
};

/* ---- the loop ------------------------------------------------------------- */

/*
 * EPOLLRDHUP was seen before the read, so a read that did not fill the buffer
 * has taken everything: the recv that would return 0 is not made.
 */
static void
stream_input(struct load_conn *c, uint32_t events)
{
	for (;;) {
		size_t room = BUFFER;
		int flags = 0;
		ssize_t n;

		if (c->left) { /* a body: thrown away by the kernel */
			room = c->left < BUFFER ? (size_t)c->left : BUFFER;
			flags = MSG_TRUNC;
		}
		n = recv(c->fd, load.buffer, room, flags);
		if (n < 0) {
			if (errno != EAGAIN)
				load_fail(c, load_kind_of(errno));
			return;
		}
		if (n > 0 &&
		    (!load_opt.mode->input(c, load.buffer, (size_t)n) ||
			c->fd < 0))
			return;
		if ((size_t)n == room)
			continue;
		if (n == 0 || events & (EPOLLRDHUP | EPOLLHUP))
			load_opt.mode->eof(c);
		return;
	}
}

static void
loop_turn(int wait_ms)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(load.ep, ev, EVENTS, load.n_spare ? 0 : wait_ms);
	long again = load.n_spare;

	for (int i = 0; i < n; i++) {
		struct load_conn *c = ev[i].data.ptr;

		load.now = bench_now();
		if (ev[i].events & EPOLLOUT && c->armed)
			load_opt.mode->output(c);
		if (c->fd < 0 || !(ev[i].events & ~(uint32_t)EPOLLOUT))
			continue;
		if (load_opt.mode->datagrams)
			load_udp_input(c);
		else
			stream_input(c, ev[i].events);
	}
	load.now = bench_now();
	while (again-- > 0)
		load_open(&load.conns[load.spare[--load.n_spare]]);
}

static void
check_overdue(void)
{
	static uint64_t last;

	if (load.now - last < SECOND / 10)
		return;
	last = load.now;
	for (long i = 0; i < load_opt.connections; i++) {
		struct load_conn *c = &load.conns[i];

		if (c->fd < 0)
			continue;
		if (load_opt.mode->datagrams)
			load_udp_check(c);
		else if (load.now - c->start > load_opt.timeout)
			load_fail(c, E_TIMEOUT);
	}
}

static bool
nothing_left(void)
{
	return load.n_live == 0 && load.n_spare == 0;
}

static void
run_until(uint64_t when)
{
	while (load.now < when && !nothing_left()) {
		uint64_t ms = (when - load.now) / 1000000 + 1;

		loop_turn(ms < 100 ? (int)ms : 100);
		check_overdue();
	}
}

/* With --sync: tells the caller and waits for a line from it. */
static void
meet(const char *word)
{
	char c;

	if (!load_opt.sync)
		return;
	printf("%s\n", word);
	fflush(stdout);
	do {
		if (read(STDIN_FILENO, &c, 1) <= 0)
			exit(1);
	} while (c != '\n');
}

static double
own_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
measure_window(void)
{
	double cpu;
	uint64_t begin;

	run_until(load.now + load_opt.warmup);
	meet("begin");
	begin = load.now = bench_now();
	tally_reset();
	cpu = own_cpu();
	run_until(load.now + load_opt.duration);
	cpu = own_cpu() - cpu;
	load.now = bench_now();
	meet("end");
	tally_report(load.now - begin, cpu);
}

/* Connections first, then the transfer: a window as long as that takes. */
static void
measure_bulk(void)
{
	double cpu;
	uint64_t begin;

	meet("begin");
	cpu = own_cpu();
	begin = load.now = bench_now();
	for (long i = 0; i < load_opt.connections; i++) {
		load.conns[i].start = load.now;
		load.conns[i].left = (uint64_t)load_opt.size;
		if (load.conns[i].fd >= 0)
			load_opt.mode->output(&load.conns[i]);
	}
	run_until(UINT64_MAX);
	cpu = own_cpu() - cpu;
	meet("end");
	tally_report(load.now - begin, cpu);
}

/* Opens the connections a few at a time, then holds them. */
static void
hold_idle(void)
{
	struct pollfd fds[2] = {
		{ .fd = load.ep, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};
	uint64_t begin = bench_now();
	long opened = 0;

	while (opened < load_opt.connections ||
	    (load_opt.size && tally.ops + tally_errors() < (uint64_t)opened)) {
		long settled = load_opt.size ?
		    (long)(tally.ops + tally_errors()) :
		    opened;

		load.now = bench_now();
		if (opened < load_opt.connections && opened - settled < 64)
			load_open(&load.conns[opened++]);
		else
			loop_turn(100);
		check_overdue();
	}
	meet("ready");
	load.now = bench_now();
	for (uint64_t end = load.now + load_opt.duration; load.now < end;
	     load.now = bench_now()) {
		loop_turn(0);
		if (poll(fds, 2, 100) > 0 && fds[1].revents)
			break;
	}
	tally_report(bench_now() - begin, own_cpu());
}

/* ---- start ------------------------------------------------------------------ */

static char *
make_message(size_t size)
{
	static const char head[] = "From: <from@bench.example>\r\n"
				   "To: <to@bench.example>\r\n"
				   "Subject: bench\r\n\r\n";
	static const char line[] = "The quick brown fox jumps over the lazy "
				   "dog, and this makes sixty-four.\r\n";
	char *text = malloc(size + sizeof(head) + sizeof(line) + 8);
	size_t n = sizeof(head) - 1;

	if (!text)
		bench_die(ENOMEM, "message");
	memcpy(text, head, n);
	for (; n < size; n += sizeof(line) - 1)
		memcpy(text + n, line, sizeof(line) - 1);
	memcpy(text + n, ".\r\n", 4);
	return text;
}

static char *
make_get(bool close)
{
	char *text;

	if (asprintf(&text, "GET %s HTTP/1.1\r\nHost: bench\r\n%s\r\n",
		load_opt.path, close ? "Connection: close\r\n" : "") < 0)
		bench_die(ENOMEM, "request");
	return text;
}

static char *
make_pattern(size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		bench_die(ENOMEM, "pattern");
	for (size_t i = 0; i < size; i++)
		text[i] = (char)('!' + i % 90);
	text[size] = '\0';
	return text;
}

static void
make_request(void)
{
	size_t size = (size_t)load_opt.size;

	if (load_mode_is("bulk") || load_opt.mode->datagrams)
		return;
	if (load_mode_is("http-keepalive") || load_mode_is("http-close"))
		load.request = make_get(load_opt.mode->reconnect);
	else if (load_mode_is("smtp"))
		load.request = make_message(size);
	else
		load.request = make_pattern(size);
	load.n_request = strlen(load.request);
}

static void
usage(FILE *to)
{
	const struct load_mode *mode;

	fputs("usage: load [OPTION...] MODE ADDRESS\n"
	      "  ADDRESS is 127.0.0.1:7, [::1]:7, /path or @abstract\n"
	      "  --connections N  at once [64]\n"
	      "  --size N         bytes of an exchange, message or transfer [64]\n"
	      "  --window N       datagrams on the way per socket [16]\n"
	      "  --duration S     seconds that are measured [4]\n"
	      "  --warmup S       seconds before that [1]\n"
	      "  --timeout S      an operation takes no longer [10]\n"
	      "  --pace S         seconds between connections at the start [0]\n"
	      "  --source ADDR    first source address, IPv4\n"
	      "  --sources N      that many addresses from there, in turn\n"
	      "  --path PATH      of the GET request [/]\n"
	      "  --cpu N          run on this processor\n"
	      "  --sync           say begin, end or ready and wait for a line\n"
	      "modes:\n",
	    to);
	for (size_t i = 0; (mode = load_mode_at(i)); i++)
		fprintf(to, "  %-15s %s\n", mode->name, mode->summary);
}

static uint64_t
parse_seconds(const char *option, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= 0) || v > 1e6)
		bench_die(0, "%s takes seconds, not '%s'", option, text);
	return (uint64_t)(v * 1e9);
}

static void
parse_option(int c, const char *arg)
{
	switch (c) {
	case 'n':
		load_opt.connections = bench_number(
		    "--connections", arg, 1, 1000000);
		break;
	case 's':
		load_opt.size = bench_number("--size", arg, 0, 1l << 40);
		break;
	case 'W':
		load_opt.window = bench_number("--window", arg, 1, MAX_WINDOW);
		break;
	case 'd':
		load_opt.duration = parse_seconds("--duration", arg);
		break;
	case 'w':
		load_opt.warmup = parse_seconds("--warmup", arg);
		break;
	case 't':
		load_opt.timeout = parse_seconds("--timeout", arg);
		break;
	case 'P':
		load_opt.pace = parse_seconds("--pace", arg);
		break;
	case 'a':
		if (inet_pton(AF_INET, arg, &load_opt.source) != 1)
			bench_die(0, "--source takes an IPv4 address");
		if (!load_opt.sources)
			load_opt.sources = 1;
		break;
	case 'A':
		load_opt.sources = bench_number("--sources", arg, 1, 1 << 22);
		break;
	case 'p':
		load_opt.path = arg;
		break;
	case 'c':
		bench_pin((int)bench_number("--cpu", arg, 0, 1023));
		break;
	case 'y':
		load_opt.sync = true;
		break;
	default:
		usage(c == 'h' ? stdout : stderr);
		exit(c == 'h' ? 0 : 2);
	}
}

static void
parse_args(int argc, char **argv)
{
	const struct load_mode *mode;
	static const struct option options[] = {
		{ "connections", required_argument, NULL, 'n' },
		{ "size", required_argument, NULL, 's' },
		{ "window", required_argument, NULL, 'W' },
		{ "duration", required_argument, NULL, 'd' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "timeout", required_argument, NULL, 't' },
		{ "pace", required_argument, NULL, 'P' },
		{ "source", required_argument, NULL, 'a' },
		{ "sources", required_argument, NULL, 'A' },
		{ "path", required_argument, NULL, 'p' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "sync", no_argument, NULL, 'y' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		parse_option(c, optarg);
	if (argc - optind != 2)
		parse_option('?', NULL);
	for (size_t i = 0; (mode = load_mode_at(i)); i++)
		if (!strcmp(mode->name, argv[optind]))
			load_opt.mode = mode;
	if (!load_opt.mode)
		bench_die(0, "no mode is called '%s'; try --help", argv[optind]);
	bench_parse_addr(argv[optind + 1], &load_opt.to);
}

static void
check_options(void)
{
	sa_family_t family = load_opt.to.ss.ss_family;

	if (load_opt.sources && !load_opt.source.s_addr)
		bench_die(0, "--sources needs --source");
	if (load_opt.sources && family != AF_INET)
		bench_die(0, "--source is for IPv4 addresses");
	if (load_opt.mode->datagrams && family == AF_UNIX)
		bench_die(0, "datagrams go over IPv4 or IPv6");
	if (load_opt.mode->datagrams &&
	    (load_opt.size < MIN_DATAGRAM || load_opt.size > 65000))
		bench_die(0, "a datagram has %d to 65000 bytes", MIN_DATAGRAM);
	if (load_opt.size > BUFFER && !load_mode_is("bulk"))
		bench_die(0, "%s takes at most %d bytes", load_opt.mode->name,
		    BUFFER);
	if (load_opt.size == 0 && !load_mode_is("connect-idle"))
		bench_die(0, "--size 0 is for connect-idle");
}

static void
open_all(void)
{
	struct timespec pace = {
		.tv_sec = (time_t)(load_opt.pace / SECOND),
		.tv_nsec = (long)(load_opt.pace % SECOND),
	};

	for (long i = 0; i < load_opt.connections; i++) {
		load.now = bench_now();
		load_open(&load.conns[i]);
		if (load_opt.pace)
			nanosleep(&pace, NULL);
	}
}

int
main(int argc, char **argv)
{
	parse_args(argc, argv);
	check_options();
	bench_raise_files();
	make_request();
	load.ep = epoll_create1(EPOLL_CLOEXEC);
	load.conns = calloc((size_t)load_opt.connections, sizeof(*load.conns));
	load.spare = calloc((size_t)load_opt.connections, sizeof(*load.spare));
	if (load.ep < 0 || !load.conns || !load.spare)
		bench_die(errno, "start");
	for (long i = 0; i < load_opt.connections; i++)
		load.conns[i].fd = -1;
	if (load_mode_is("connect-idle")) {
		hold_idle();
		return 0;
	}
	open_all();
	if (load_mode_is("bulk"))
		measure_bulk();
	else
		measure_window();
	return 0;
}
