/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two programs of the bench share: addresses, the clock, the processor
 * they run on, and the way they give up.  Nothing of the daemon's own sources
 * is used here, so that a mistake there cannot hide in the yardstick.
 */
#ifndef CAB_BENCH_COMMON_H
#define CAB_BENCH_COMMON_H

#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

struct bench_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* Prints "PROGRAM: text: strerror(error)" (no strerror if error is 0), exits 1. */
void bench_die(int error, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* Reads a decimal number from min to max, or gives up naming the option. */
long bench_number(const char *option, const char *text, long min, long max);

/* "1.2.3.4:80", "[::1]:80", "/path/of/socket" or "@abstract"; gives up else. */
void bench_parse_addr(const char *text, struct bench_addr *ret);

/* Keeps the process on one processor; cpu < 0: leaves it alone. */
void bench_pin(int cpu);

/* Raises the soft limit of descriptors to the hard one. */
void bench_raise_files(void);

/* Nanoseconds of the monotonic clock. */
static inline uint64_t
bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
