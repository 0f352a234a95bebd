/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the load client and the floors: see common.h.  Everything here runs
 * before the measured part and may end the program.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>

void
bench_die(int error, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (error)
		fprintf(stderr, ": %s", strerror(error));
	fputc('\n', stderr);
	exit(1);
}

long
bench_number(const char *option, const char *text, long min, long max)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max)
		bench_die(0, "%s takes a number from %ld to %ld, not '%s'",
		    option, min, max, text);
	return v;
}

static void
parse_unix(const char *text, struct bench_addr *ret)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&ret->ss;
	size_t n = strlen(text);

	if (n >= sizeof(un->sun_path))
		bench_die(0, "'%s' is too long for a unix address", text);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, text, n);
	ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (text[0] == '@')
		un->sun_path[0] = '\0';
	else
		ret->len++;
}

static int
parse_inet(const char *host, uint16_t port, struct bench_addr *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ret->ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->ss;

	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		ret->len = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		ret->len = sizeof(*in6);
		return 0;
	}
	return -EINVAL;
}

void
bench_parse_addr(const char *text, struct bench_addr *ret)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *colon, *from = text;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	if (text[0] == '/' || text[0] == '@') {
		parse_unix(text, ret);
		return;
	}
	colon = strrchr(text, ':');
	if (!colon)
		bench_die(0, "'%s' is neither ADDRESS:PORT nor a path", text);
	n = (size_t)(colon - text);
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		from++;
		n -= 2;
	}
	if (n >= sizeof(host))
		bench_die(0, "'%s' is no numeric address", text);
	memcpy(host, from, n);
	host[n] = '\0';
	if (parse_inet(host,
		(uint16_t)bench_number("a port", colon + 1, 1, 65535), ret) < 0)
		bench_die(0, "'%s' is no numeric address", text);
}

void
bench_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		bench_die(errno, "cannot run on processor %d", cpu);
}

void
bench_raise_files(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		bench_die(errno, "getrlimit");
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		bench_die(errno, "setrlimit");
}
