/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the load client asks of a server and what it expects: one row of the
 * table at the end per mode.  A reply that is not exactly right is a failure.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define LOST_AFTER 1000000000u /* ns without a reply */

static void
eof_is_failure(struct load_conn *c)
{
	load_fail(c, E_EOF);
}

static void
output_request(struct load_conn *c)
{
	load_send(c, load.request, load.n_request);
}

/* ---- echo, program ------------------------------------------------------- */

static bool
echo_check(struct load_conn *c, char *data, size_t n)
{
	if (n > load.n_request - c->got ||
	    memcmp(data, load.request + c->got, n)) {
		load_fail(c, E_BAD_REPLY);
		return false;
	}
	c->got += n;
	return true;
}

static bool
echo_input(struct load_conn *c, char *data, size_t n)
{
	if (!echo_check(c, data, n))
		return false;
	if (c->got == load.n_request)
		load_done(c);
	return true;
}

static void
program_output(struct load_conn *c)
{
	if (c->step == 0 && load_send(c, load.request, load.n_request)) {
		shutdown(c->fd, SHUT_WR);
		c->step = 1;
	}
}

static void
program_eof(struct load_conn *c)
{
	if (c->got == load.n_request)
		load_done(c);
	else
		load_fail(c, E_EOF);
}

/* ---- daytime ------------------------------------------------------------- */

static void
nothing_output(struct load_conn *c)
{
	(void)c;
}

static bool
count_input(struct load_conn *c, char *data, size_t n)
{
	(void)data;
	c->got += n;
	return true;
}

static void
daytime_eof(struct load_conn *c)
{
	if (c->got)
		load_done(c);
	else
		load_fail(c, E_EOF);
}

/* ---- HTTP ---------------------------------------------------------------- */

/* What the last header looked like: the next one most likely looks the same. */
static struct {
	size_t head, at, n; /* its length; where the length field stands */
	uint64_t body;
	char field[64];
} shape;

static bool
http_known(const char *data, size_t n)
{
	return shape.head && n >= shape.head &&
	    !memcmp(data, "HTTP/1.1 200", 12) &&
	    !memcmp(data + shape.at, shape.field, shape.n) &&
	    !memcmp(data + shape.head - 4, "\r\n\r\n", 4);
}

/* Learns the shape of a new header of head bytes; false: not a good one. */
static bool
http_learn(const char *data, size_t head)
{
	static const char name[] = "\r\nContent-Length:";
	const char *end = data + head - 2;

	if (memcmp(data, "HTTP/1.1 200", 12))
		return false;
	for (const char *p = data; p + sizeof(name) < end; p++) {
		char *after;

		if (strncasecmp(p, name, sizeof(name) - 1))
			continue;
		shape.body = strtoull(p + sizeof(name) - 1, &after, 10);
		shape.at = (size_t)(p - data);
		shape.n = (size_t)(after - p) + 2;
		if (shape.n > sizeof(shape.field) || memcmp(after, "\r\n", 2))
			return false;
		memcpy(shape.field, p, shape.n);
		shape.head = head;
		return true;
	}
	return false;
}

static bool
http_input(struct load_conn *c, char *data, size_t n)
{
	if (!c->left) {
		char *end;

		if (c->got) /* more than was announced */
			goto bad;
		data = load_whole(c, data, &n);
		if (!http_known(data, n)) {
			end = memmem(data, n, "\r\n\r\n", 4);
			if (!end)
				return load_hold(c, data, n);
			shape.head = 0;
			if (!http_learn(data, (size_t)(end + 4 - data)))
				goto bad;
		}
		c->got = 1;
		c->left = shape.body;
		n -= shape.head;
	}
	if (n > c->left)
		goto bad;
	c->left -= n;
	tally.bytes += n;
	if (!c->left && !load_opt.mode->reconnect)
		load_done(c);
	return true;
bad:
	load_fail(c, E_BAD_REPLY);
	return false;
}

static void
http_eof(struct load_conn *c)
{
	if (c->got && !c->left)
		load_done(c);
	else
		load_fail(c, E_EOF);
}

/* ---- SMTP ---------------------------------------------------------------- */

static const struct {
	char code;        /* first digit of the reply that is waited for */
	const char *send; /* then this; NULL: the message */
} dialogue[] = {
	{ '2', "EHLO bench.example\r\n" },
	{ '2', "MAIL FROM:<from@bench.example>\r\n" },
	{ '2', "RCPT TO:<to@bench.example>\r\n" },
	{ '2', "DATA\r\n" },
	{ '3', NULL },
	{ '2', "QUIT\r\n" },
	{ '2', "" },
};

#define N_DIALOGUE (sizeof(dialogue) / sizeof(dialogue[0]))

static void
smtp_output(struct load_conn *c)
{
	const char *text;

	if (!c->step || c->step > N_DIALOGUE)
		return;
	text = dialogue[c->step - 1].send;
	load_send(c, text ? text : load.request,
	    text ? strlen(text) : load.n_request);
}

/* The beginning of the last line of a whole reply, NULL if it is not whole. */
static const char *
smtp_last_line(const char *data, size_t n)
{
	const char *nl;

	if (n < 6 || data[n - 1] != '\n')
		return NULL;
	nl = memrchr(data, '\n', n - 1);
	nl = nl ? nl + 1 : data;
	return data + n - nl >= 6 && nl[3] == ' ' ? nl : NULL;
}

static bool
smtp_input(struct load_conn *c, char *data, size_t n)
{
	const char *line;

	data = load_whole(c, data, &n);
	line = smtp_last_line(data, n);
	if (!line)
		return load_hold(c, data, n);
	if (c->step >= N_DIALOGUE || line[0] != dialogue[c->step].code) {
		load_fail(c, E_BAD_REPLY);
		return false;
	}
	c->step++;
	c->sent = 0;
	smtp_output(c);
	return c->fd >= 0;
}

static void
smtp_eof(struct load_conn *c)
{
	if (c->step == N_DIALOGUE)
		load_done(c);
	else
		load_fail(c, E_EOF);
}

/* ---- bulk: --size bytes through each connection, once -------------------- */

static void
bulk_output(struct load_conn *c)
{
	if (!c->left) /* connected before the measured window starts */
		return;
	while (c->sent < (uint64_t)load_opt.size) {
		uint64_t rest = (uint64_t)load_opt.size - c->sent;
		ssize_t did = send(c->fd, load.buffer,
		    rest < BUFFER / 4 ? (size_t)rest : BUFFER / 4, MSG_NOSIGNAL);

		if (did < 0) {
			if (errno == EAGAIN)
				load_arm(c);
			else
				load_fail(c, load_kind_of(errno));
			return;
		}
		c->sent += (uint64_t)did;
	}
}

static bool
bulk_input(struct load_conn *c, char *data, size_t n)
{
	(void)data;
	c->got += n;
	c->left -= n;
	tally.bytes += n;
	if (c->left)
		return true;
	tally_op(c->start);
	load_close(c);
	return false;
}

/* ---- idle connections ---------------------------------------------------- */

static bool
idle_input(struct load_conn *c, char *data, size_t n)
{
	if (!echo_check(c, data, n))
		return false;
	if (c->got == load.n_request)
		tally_op(c->start);
	return true;
}

/* ---- datagrams ------------------------------------------------------------ */

static char datagram[MAX_WINDOW][65536];

static void
udp_stamp(char *data, const struct load_conn *c)
{
	memcpy(data, &load.now, sizeof(load.now));
	memcpy(data + sizeof(load.now), &c->epoch, sizeof(c->epoch));
}

static void
udp_send(struct load_conn *c, unsigned n)
{
	struct mmsghdr msg[MAX_WINDOW];
	struct iovec iov[MAX_WINDOW];
	int did;

	for (unsigned i = 0; i < n; i++) {
		udp_stamp(datagram[i], c);
		iov[i] = (struct iovec){ datagram[i], (size_t)load_opt.size };
		msg[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i],
			.msg_iovlen = 1 };
	}
	did = sendmmsg(c->fd, msg, n, MSG_NOSIGNAL);
	if (did < 0) {
		load_fail(c, load_kind_of(errno));
		return;
	}
	tally.errors[E_OTHER] += n - (unsigned)did;
	c->pending += (unsigned)did;
}

/* One reply: checked, counted.  False: it answers a datagram given up before. */
static bool
udp_reply(struct load_conn *c, const char *data, size_t n)
{
	uint64_t start;

	if (n != (size_t)load_opt.size) {
		tally.errors[E_BAD_REPLY]++;
		return true;
	}
	if (memcmp(data + sizeof(start), &c->epoch, sizeof(c->epoch)))
		return false;
	memcpy(&start, data, sizeof(start));
	tally_op(start);
	return true;
}

void
load_udp_input(struct load_conn *c)
{
	struct mmsghdr msg[MAX_WINDOW];
	struct iovec iov[MAX_WINDOW];
	unsigned again;
	int n;

	do {
		for (long i = 0; i < load_opt.window; i++) {
			iov[i] = (struct iovec){ datagram[i],
				sizeof(datagram[i]) };
			msg[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i],
				.msg_iovlen = 1 };
		}
		n = recvmmsg(c->fd, msg, (unsigned)load_opt.window, 0, NULL);
		if (n < 0) {
			if (errno != EAGAIN)
				load_fail(c, load_kind_of(errno));
			return;
		}
		again = 0;
		for (int i = 0; i < n; i++)
			again += udp_reply(c, datagram[i], msg[i].msg_len);
		c->start = load.now;
		c->pending -= again < c->pending ? again : c->pending;
		if (again)
			udp_send(c, again);
	} while (c->fd >= 0 && n == load_opt.window);
}

/* A new generation for those whose datagrams, or the replies, got lost. */
void
load_udp_check(struct load_conn *c)
{
	if (load.now - c->start < LOST_AFTER)
		return;
	tally.errors[E_LOST] += c->pending;
	c->pending = 0;
	c->epoch++;
	c->start = load.now;
	udp_send(c, (unsigned)load_opt.window);
}

static void
udp_begin(struct load_conn *c)
{
	c->pending = 0;
	udp_send(c, (unsigned)load_opt.window);
}

static const struct load_mode modes[] = {
	{ .name = "echo",
	    .summary = "SIZE bytes there and back, again and again",
	    .output = output_request,
	    .input = echo_input,
	    .eof = eof_is_failure },
	{ .name = "daytime",
	    .reconnect = true,
	    .summary = "connect, read to the end",
	    .output = nothing_output,
	    .input = count_input,
	    .eof = daytime_eof },
	{ .name = "http-keepalive",
	    .summary = "GET PATH, again and again",
	    .output = output_request,
	    .input = http_input,
	    .eof = eof_is_failure },
	{ .name = "http-close",
	    .reconnect = true,
	    .summary = "connect, GET PATH, read to the end",
	    .output = output_request,
	    .input = http_input,
	    .eof = http_eof },
	{ .name = "udp-echo",
	    .datagrams = true,
	    .summary = "WINDOW datagrams of SIZE per socket",
	    .output = udp_begin },
	{ .name = "smtp",
	    .reconnect = true,
	    .summary = "a session with one message of SIZE bytes",
	    .output = smtp_output,
	    .input = smtp_input,
	    .eof = smtp_eof },
	{ .name = "program",
	    .reconnect = true,
	    .summary = "connect, send SIZE, shut down, read it back",
	    .output = program_output,
	    .input = echo_check,
	    .eof = program_eof },
	{ .name = "bulk",
	    .summary = "SIZE bytes through each connection, once",
	    .output = bulk_output,
	    .input = bulk_input,
	    .eof = eof_is_failure },
	{ .name = "connect-idle",
	    .summary = "echo SIZE bytes once if not 0, then hold",
	    .output = output_request,
	    .input = idle_input,
	    .eof = eof_is_failure },
};

#define N_MODES (sizeof(modes) / sizeof(modes[0]))

const struct load_mode *
load_mode_at(size_t i)
{
	return i < N_MODES ? &modes[i] : NULL;
}

bool
load_mode_is(const char *name)
{
	return !strcmp(load_opt.mode->name, name);
}
