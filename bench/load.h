/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load client of the bench: load.c has the options, the loop and the
 * measured window, load_conn.c the connections, load_modes.c what is asked and
 * expected of a server, load_tally.c the counters, latencies and the report.
 */
#ifndef CAB_BENCH_LOAD_H
#define CAB_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common.h"

#define BUFFER     (1024 * 1024) /* the most that is read at once */
#define MAX_WINDOW 64
#define SECOND     1000000000u

enum load_kind {
	E_LOCAL,   /* socket, bind or epoll_ctl failed: our side's limits */
	E_NO_PORT, /* no free source port */
	E_REFUSED,
	E_BUSY, /* unix: the queue of the listener is full */
	E_RESET,
	E_EOF,       /* closed before the reply was complete */
	E_BAD_REPLY, /* not what the protocol says */
	E_TIMEOUT,
	E_LOST, /* datagrams without a reply */
	E_OTHER,
	N_KINDS
};

struct load_conn {
	int fd;     /* -1: none */
	bool armed; /* EPOLLOUT is asked for */
	uint8_t step;
	uint32_t epoch, pending; /* datagrams: generation and how many are out */
	uint64_t start;          /* of the operation, ns */
	uint64_t sent, got;      /* bytes of the operation */
	uint64_t left;           /* bytes of a body that are still to come */
	char *held;              /* the beginning of a reply that was cut */
	size_t n_held;
};

struct load_mode {
	const char *name;
	bool datagrams;
	bool reconnect; /* one operation per connection */
	const char *summary;
	void (*output)(struct load_conn *c); /* sends what is not yet sent */
	bool (*input)(
	    struct load_conn *c, char *data, size_t n); /* false: closed */
	void (*eof)(struct load_conn *c);
};

struct load_options {
	const struct load_mode *mode;
	struct bench_addr to;
	long connections, size, window, sources;
	struct in_addr source;
	uint64_t duration, warmup, timeout, pace; /* ns */
	const char *path;
	bool sync;
};

struct load_state {
	int ep;
	struct load_conn *conns;
	long *spare; /* indices of connections that are to be opened */
	long n_spare, n_live;
	uint64_t now;
	const char *request;
	size_t n_request;
	char buffer[BUFFER];
};

struct load_tally {
	uint64_t ops, bytes;
	uint64_t errors[N_KINDS];
};

extern struct load_options load_opt;
extern struct load_state load;
extern struct load_tally tally;

/* ---- load_conn.c: nothing is reported, every failure is counted --------- */

/* Closes the connection; one with an operation each is opened again later. */
void load_fail(struct load_conn *c, enum load_kind kind);
enum load_kind load_kind_of(int error);
void load_close(struct load_conn *c);
void load_open(struct load_conn *c);

/* Counts the operation and starts the next one. */
void load_done(struct load_conn *c);

/* Asks for EPOLLOUT once; edge triggered, it costs nothing from then on. */
void load_arm(struct load_conn *c);

/* True when all n bytes are out; false: not yet, or the connection failed. */
bool load_send(struct load_conn *c, const char *data, size_t n);

/* Puts aside the beginning of a reply; false: longer than any reply may be. */
bool load_hold(struct load_conn *c, const char *data, size_t n);

/* The reply so far: what was put aside and what came now. */
char *load_whole(struct load_conn *c, char *data, size_t *n);

/* ---- load_modes.c ---------------------------------------------------------- */

/* NULL after the last. */
const struct load_mode *load_mode_at(size_t i);
bool load_mode_is(const char *name);

/* Datagrams: reads and answers replies; gives up those without a reply. */
void load_udp_input(struct load_conn *c);
void load_udp_check(struct load_conn *c);

/* ---- load_tally.c ---------------------------------------------------------- */

/* An operation that began at start has ended now. */
void tally_op(uint64_t start);
uint64_t tally_errors(void);

/* Ends the warm-up: errors so far are kept apart, the rest is forgotten. */
void tally_reset(void);

/* Prints the line of JSON; cpu: seconds that this process has used. */
void tally_report(uint64_t took_ns, double cpu);

#endif
