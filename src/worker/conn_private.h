/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout of a connection and of the engine that steps connections.  Only
 * worker/ and the in-memory transport of the tests may include this.
 */
#ifndef CAB_WORKER_CONN_PRIVATE_H
#define CAB_WORKER_CONN_PRIVATE_H

#include <sys/uio.h>

#include "base/pool.h"
#include "base/timer.h"
#include "proto/proto.h"
#include "stats/board.h"

#define CONN_READ_SIZE 65536 /* most bytes of one read */
#define CONN_STASH_MAX 65536 /* most unconsumed bytes a connection may keep */
#define CONN_QUEUE_MAX \
	1048576 /* most copied output bytes a connection may queue */
#define CONN_LINGER_MS \
	2000 /* how long a closed conversation drains input, so that the last reply survives */
#define CONN_LINGER_BYTES \
	16777216 /* most bytes it may bring meanwhile: who sends on and on learns from a reset */
#define CONN_LINGER_MAX \
	512 /* connections that may linger at once; more are closed at once */

enum conn_phase {
	CONN_ACTIVE,
	CONN_DRAINING, /* finish once the queue is empty */
	CONN_LINGERING, /* our side is shut; input is thrown away until the end or the deadline */
	CONN_DEAD /* freed at the end of the step */
};

enum conn_interest {
	CONN_IN = 1,
	CONN_OUT = 2
};

/* Why a connection ended, for its record; record.c has the words. */
enum conn_end {
	CONN_END_NONE, /* the conversation came to its end */
	CONN_END_RESET,
	CONN_END_DROPPED,
	CONN_END_FIRST_BYTE,
	CONN_END_IDLE,
	CONN_END_TOTAL,
	CONN_END_UNSENT,
	CONN_END_SHUTDOWN,
	CONN_END_BY_HAND,
	CONN_END_FAULT,
	CONN_ENDS
};

struct conn_engine;
struct out_chunk;

/* Bytes received, offered to the protocol, and not consumed. */
struct conn_stash {
	uint32_t n;
	char bytes[];
};

/* How the engine reaches the peer; the socket form is in transport.c. */
struct conn_transport {
	/* Bytes, 0 at the end, -EAGAIN or -errno. */
	ssize_t (*recv)(struct cab_conn *conn, void *buf, size_t n);
	/* more: a file or the end follows at once.  Bytes taken, -EAGAIN or -errno. */
	ssize_t (*send)(struct cab_conn *conn, const struct iovec *iov,
	    int n_iov, bool more);
	/* Bytes taken (0: the file ended early), -EAGAIN or -errno.  No more than
	 * should leave in one turn, the rest in later ones.  before: bytes that
	 * were just sent with more. */
	ssize_t (*send_file)(struct cab_conn *conn, int fd, off_t offset,
	    size_t n, size_t before);
	void (*half_close)(struct cab_conn *conn);
	void (*close)(struct cab_conn *conn);
	/* Report readiness for these (CONN_IN | CONN_OUT) from now on. 0 or -errno. */
	int (*watch)(struct cab_conn *conn, unsigned interest);
	void (*local)(struct cab_conn *conn, struct cab_peer *ret);
};

struct cab_conn {
	uint8_t kind;     /* enum loop_kind; first, see worker/loop.h */
	uint8_t phase;    /* enum conn_phase */
	uint8_t interest; /* what is being watched */
	uint8_t end;      /* enum conn_end: the first reason that came up */
	bool watched : 1; /* known to the event loop */
	bool at_end : 1;  /* the peer half-closed */
	bool ended : 1;   /* ... and the protocol knows */
	bool opened : 1;  /* opened() was called, so closed() must be */
	bool waiting : 1; /* the protocol said WAIT */
	bool held_up : 1; /* output was held up: drained() is due when it has gone */
	bool yields : 1; /* there is input to go on with, but others come first */
	bool corked : 1; /* the last bytes wait for the end, to leave with it */
	bool shut : 1; /* half_close was called */
	bool no_more : 1; /* the peer said that it sends nothing more */
	bool kept : 1; /* its reply is in the batch: no step before that has left */
	bool fault : 1;  /* a write could not be kept */
	bool pace_known : 1; /* the transport's: paced has been found out */
	bool paced : 1; /* ... by the kernel: bursts do harm */
	bool linger : 1; /* drain input before closing */
	bool expired : 1; /* a timeout has struck: only deadline_ms counts from now on */
	int fd;
	uint32_t ticket;
	uint64_t id;
	struct cab_running *running;
	struct cab_conn *next, **prev; /* connections of the running service */
	struct cab_timer timer;
	uint64_t opened_us, active_ms, deadline_ms; /* deadline 0: none */
	uint64_t bytes_in, bytes_out;
	struct conn_stash *stash;
	struct out_chunk *out, **out_tail;
	struct cab_peer *local; /* asked for on demand */
	struct cab_peer peer;
	_Alignas(8) unsigned char state[]; /* proto->state_size bytes */
};

/* One thing to send. */
struct out_item {
	const char *p; /* memory, NULL for a file */
	size_t n;
	int fd;
	off_t offset;
	bool stays; /* memory that outlives the connection: need not be copied to be queued */
};

struct out_chunk {
	struct out_chunk *next;
	struct out_item item;
	char bytes[]; /* the copy, when the item is one */
};

#define BATCH_MAX   16   /* replies that leave together */
#define BATCH_BYTES 4096 /* most bytes of memory that one of them keeps in use */

/*
 * Small replies of connections that then wait for input, kept back while the
 * loop goes through a few events: they leave one after the other, which costs
 * less than receiving and sending in turns.  Meanwhile nothing may step or free
 * these connections.
 */
struct conn_batch {
	bool open; /* between engine_batch_begin and _end */
	void (*over)(void); /* for engine_batch_end to call, or NULL */
	unsigned n;
	size_t n_in, n_bytes; /* of the read buffer and of the copy area, in use by them */
	struct {
		struct cab_conn *conn;
		struct out_item item;
	} replies[BATCH_MAX];
};

#define STAGE_ITEMS 64
#define STAGE_BYTES 65536

/* What the current callback has written so far; one per engine, empty between steps. */
struct conn_stage {
	struct cab_conn *conn; /* whose step is running, NULL outside */
	unsigned n_items;
	size_t n_bytes; /* bytes used of the copy area */
	size_t n_total; /* bytes in all items */
	struct out_item items[STAGE_ITEMS];
	char bytes[BATCH_MAX * BATCH_BYTES + STAGE_BYTES];
};

/* What the running step has received: a window into the engine's read buffer. */
struct conn_view {
	const char *p;
	size_t n; /* bytes not consumed */
};

struct conn_engine {
	struct cab_wheel wheel;
	const struct conn_transport *transport;
	struct conn_stage stage;
	struct conn_view view;
	struct conn_batch batch;
	char *in; /* the batch's bytes, then CONN_STASH_MAX + CONN_READ_SIZE */
	size_t file_bytes; /* sent since its owner has last cleared this */
	unsigned lingering, max_lingering; /* the owner may lower the bound */
	uint32_t n_open; /* connections, lingering ones included */
	bool retired_idle; /* set: the last connection of a service that is not current has gone */
	uint64_t next_id;
	/* Gives the admission ticket back and counts; the owner of the engine sets it. */
	void (*released)(struct cab_conn *conn);
	/* The daemon's metrics as text: 0 or -errno; NULL: there are none. */
	int (*metrics)(struct conn_engine *engine, struct cab_buf *out);
};

/* The engine is all zeros before: to clear it would touch the pages of its
 * stage. 0 or -ENOMEM. */
int engine_init(struct conn_engine *engine,
    const struct conn_transport *transport, uint64_t first_id);
void engine_release(struct conn_engine *engine);

/*
 * Files may come from a slow disk, during which nobody else is served and the
 * worker seems to hang: enough of them before it shows that it does not.
 */
#define FILE_BYTES_MUCH (8 * 1024 * 1024)

static inline bool
engine_has_sent_much(const struct conn_engine *engine)
{
	return engine->file_bytes >= FILE_BYTES_MUCH;
}

/* Around readiness of several connections, each once: what they reply may leave
 * together with the end.  Connections may be gone afterwards. */
void engine_batch_begin(struct conn_engine *engine);
void engine_batch_end(struct conn_engine *engine);

/* Runs the timers due now. */
void engine_timers(struct conn_engine *engine);

/*
 * A connection that holds its ticket, on this transport descriptor; NULL on
 * -ENOMEM (then the caller still owns descriptor and ticket).
 */
struct cab_conn *conn_new(struct conn_engine *engine, struct cab_running *running,
    int fd, const struct cab_peer *peer, uint32_t ticket);

/* First step: opened(), then a first read at once where the protocol did not
 * finish.  The connection may be gone afterwards. */
void conn_open(struct cab_conn *conn);

/* Readiness from the event loop.  The connection may be gone afterwards. */
void conn_ready(struct cab_conn *conn, bool readable, bool writable, bool broken);

/* A connection that is not served: sends the words, then lingers briefly or closes. Takes over fd. */
void conn_refuse(struct conn_engine *engine, struct cab_running *running,
    int fd, const struct cab_peer *peer, const char *words, size_t n);

/* Says goodbye as the protocol does it (CAB_EXPIRED_SHUTDOWN), or drops. The
 * connection may be gone afterwards. */
void conn_shutdown(struct cab_conn *conn);
void conn_drop(struct cab_conn *conn);
/* The same, because the administrator wants it. */
void conn_kill(struct cab_conn *conn);

/* output.c: staging, flushing and the queue. */
void output_begin(struct conn_engine *engine, struct cab_conn *conn);
/*
 * Sends what is staged, queues what remains. 0, or -errno when the peer is gone
 * or memory ran out.  last: the end follows at once; on TCP the kernel may keep
 * the bytes until then (corked), so half_close or close must be called.
 */
int output_flush(struct cab_conn *conn, bool last);
/* Keeps what is staged for the batch: true when it could, and the stage is empty. */
bool output_keep(struct cab_conn *conn);
/* Sends such a reply, queues what remains. 0 or -errno, as output_flush. */
int output_send_kept(struct cab_conn *conn, struct out_item *item);
/* Sends from the queue: 0 when it is empty now, -EAGAIN while it is not, -errno. */
int output_drain(struct cab_conn *conn);
/* Frees what is queued or staged for the connection, descriptors included. */
void output_discard(struct cab_conn *conn);
size_t output_queued(const struct cab_conn *conn);

#endif
