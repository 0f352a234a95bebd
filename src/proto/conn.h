/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a protocol may do with a connection and with the service it belongs to.
 * Functions only; the layouts are the worker's.  Workers (and the in-memory
 * transport of the tests) only.
 *
 * Bytes read (cab_peek, cab_line) stay where they are until the callback
 * returns, also after cab_consume.  Writing never fails and never blocks: too
 * much output or no memory sets a fault that the core checks once, after the
 * callback, and then drops the connection.  Everything written in one callback
 * leaves in one system call where the transport allows.
 */
#ifndef CAB_PROTO_CONN_H
#define CAB_PROTO_CONN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"

struct cab_conn;    /* one connection */
struct cab_running; /* one service as this worker runs it */

/* ---- read side ---- */

/* All bytes received and not consumed: their number, *ret_p their start. */
size_t cab_peek(const struct cab_conn *conn, const char **ret_p);
void cab_consume(struct cab_conn *conn, size_t n);

enum cab_line { CAB_LINE, CAB_LINE_PARTIAL, CAB_LINE_TOO_LONG };

/*
 * Takes one line of at most max bytes, its LF included.  CAB_LINE: *ret is the
 * line without its LF (a CR before it stays, so that the caller can insist on
 * it), and it has been consumed.  PARTIAL: no LF yet and fewer than max bytes.
 * TOO_LONG: no LF within max bytes; nothing consumed.
 */
enum cab_line cab_line(struct cab_conn *conn, size_t max, struct cab_slice *ret);

/* The peer has half-closed: no more bytes will come. */
bool cab_at_end(const struct cab_conn *conn);

/* ---- write side ---- */

void cab_write(struct cab_conn *conn, const void *p, size_t n);
void cab_printf(struct cab_conn *conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Without a copy: the bytes must live as long as the running service (or be constant). */
void cab_write_static(struct cab_conn *conn, const void *p, size_t n);
/* Writes the first n received bytes back and consumes them, without a copy where possible. */
void cab_forward(struct cab_conn *conn, size_t n);
/* Sends len bytes of a file after what was written before; takes over the descriptor.  A file that shrinks drops the connection. */
void cab_send_file(struct cab_conn *conn, int fd, off_t offset, size_t len);

/* Bytes written and not yet taken by the kernel, the current callback's included. */
size_t cab_queued(const struct cab_conn *conn);

/* ---- context ---- */

void *cab_state(struct cab_conn *conn); /* proto->state_size bytes, zeroed at open */
struct cab_running *cab_running(const struct cab_conn *conn);
const void *cab_options(const struct cab_conn *conn); /* the service's option struct */
const struct cab_peer *cab_peer(const struct cab_conn *conn);
const struct cab_peer *cab_local(struct cab_conn *conn); /* asks the kernel once */
uint64_t cab_id(const struct cab_conn *conn);            /* unique while the daemon runs */
uint64_t cab_now_ms(void);                               /* monotonic, cached */
bool cab_replaced(const struct cab_conn *conn); /* its service has been changed or dropped: better no further exchange */

/*
 * True within a batch, in which the worker goes through what has come for
 * several connections: over is called at its end, once, so that what was found
 * out for one of them can serve the others and is gone then.  It has no
 * connection, so it may call nothing of this file.  False outside a batch (one
 * event alone is none), or when another function is to be called at its end.
 */
bool cab_batch(struct cab_conn *conn, void (*over)(void));

/* ---- control ---- */

/* Calls expired(conn, CAB_EXPIRED_DEADLINE) once after ms milliseconds unless changed; 0 clears. */
void cab_deadline(struct cab_conn *conn, uint64_t ms);

/* More input than was read may be on its way (a refused body): after FINISH drain it briefly, so that closing does not reset the reply. */
void cab_linger(struct cab_conn *conn);

/*
 * The peer has said that it sends nothing after what was read (HTTP's
 * Connection: close, SMTP's QUIT): after FINISH the end may leave together with the
 * last bytes without regard to input that breaks that word.
 */
void cab_no_more_input(struct cab_conn *conn);

/* One log record with the connection's fields, gated per service. Peer bytes must come through str_escape. */
void cab_log(struct cab_conn *conn, enum cab_log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Counts a protocol error under a reply code (HTTP status, SMTP code); the worker's statistics show it. */
void cab_count_error(struct cab_conn *conn, unsigned code);

/* Appends the daemon's metrics (Prometheus text, CAB_METRICS_TYPE): 0, or -errno with perhaps half of it. */
int cab_metrics(struct cab_conn *conn, struct cab_buf *out);
#define CAB_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* ---- service side, for start, stop and datagram ---- */

const char *cab_service_name(const struct cab_running *service);
const void *cab_service_options(const struct cab_running *service);
/* One pointer that start() may set and stop() must release: the service's own per-worker data. */
void *cab_service_data(const struct cab_running *service);
void cab_service_set_data(struct cab_running *service, void *data);
/* The descriptor that the supervisor opened for a CAB_F_OPEN option (O_PATH for directories); -1 if the option is absent.  Stays the core's. */
int cab_service_resource(const struct cab_running *service, const char *option);
/* The service's configured idle timeout in ms, 0 for none: for protocols that set deadlines of their own. */
uint64_t cab_service_idle_ms(const struct cab_running *service);

#endif
