/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface of a built-in protocol: one const struct per file, listed in
 * table.c.  The data half (desc) is used everywhere; the code half is called in
 * workers only.  Callbacks never block, never free the connection, never see
 * its descriptor, never log except through cab_log.
 */
#ifndef CAB_PROTO_PROTO_H
#define CAB_PROTO_PROTO_H

#include <sys/types.h>

#include "conf/schema.h"
#include "proto/conn.h"

/* What a stream callback wants next. */
enum cab_verdict {
	CAB_READ,   /* call me when there are more bytes (or, if I consumed some and left others, again now) */
	CAB_WAIT,   /* no input until everything written has gone (drained) or a deadline (expired) */
	CAB_FINISH, /* send what is queued, then close; unread input is drained so that the reply survives */
	CAB_DROP    /* close now */
};

enum cab_expiry {
	CAB_EXPIRED_FIRST_BYTE, /* timeouts.first_byte: connected and silent */
	CAB_EXPIRED_IDLE,       /* timeouts.idle: no byte in or out */
	CAB_EXPIRED_TOTAL,      /* timeouts.total */
	CAB_EXPIRED_DEADLINE,   /* cab_deadline */
	CAB_EXPIRED_SHUTDOWN    /* the daemon is stopping or the service was removed: say goodbye */
};

/* Why a new connection is not served. */
enum cab_refusal {
	CAB_REFUSED_ACCESS,      /* access.allow / access.deny */
	CAB_REFUSED_CONNECTIONS, /* limits.connections */
	CAB_REFUSED_PER_SOURCE,  /* limits.per_source */
	CAB_REFUSED_RATE,        /* limits.rate */
	CAB_REFUSED_SOURCE_RATE, /* limits.per_source_rate */
	CAB_REFUSED_SHUTDOWN,    /* draining or disabled */
	CAB_REFUSED_RESOURCES,   /* out of descriptors or memory */
	CAB_REFUSED_MAX
};

struct cab_proto {
	struct cab_desc desc;
	size_t state_size; /* bytes per connection; keep it small */

	/* Per worker and configuration generation; NULL if not needed.  start: 0 or -errno with nothing left behind. */
	int (*start)(struct cab_running *service);
	void (*stop)(struct cab_running *service);

	/* Streams.  input is required; NULL elsewhere means: opened READ, drained READ, ended FINISH, expired DROP. */
	enum cab_verdict (*opened)(struct cab_conn *conn);  /* once, before any byte */
	enum cab_verdict (*input)(struct cab_conn *conn);   /* there are bytes that it has not seen */
	enum cab_verdict (*drained)(struct cab_conn *conn); /* after WAIT, or after output or others held input up: all has gone */
	enum cab_verdict (*ended)(struct cab_conn *conn);   /* the peer half-closed; all input was offered before */
	enum cab_verdict (*expired)(struct cab_conn *conn, enum cab_expiry why);
	void (*closed)(struct cab_conn *conn); /* last call, always made if opened was: release what the state owns */

	/* Words for a connection that is refused before opened; fills at most cap bytes, returns how many (0: just close). */
	size_t (*refuse)(const struct cab_running *service, enum cab_refusal why, char *reply, size_t cap);

	/*
	 * Datagrams: the length of the reply put into reply (at most cap), or -1 for none.
	 * The core owns addresses and cuts or drops what the datagram rule forbids.
	 */
	ssize_t (*datagram)(struct cab_running *service, struct cab_slice request, char *reply, size_t cap);
};

/* THE list; NULL-terminated, in name order.  proto_descs has the data halves in the same order. */
extern const struct cab_proto *const cab_protos[];
extern const struct cab_desc *const cab_descs[];

const struct cab_proto *proto_find(const char *name);

#endif
