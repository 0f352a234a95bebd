/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The in-memory transport: the worker's real connection engine driven without
 * a socket and with a fake clock, for unit tests and fuzz targets.
 */
#ifndef CAB_TESTS_MEM_H
#define CAB_TESTS_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/proto.h"

struct mem_service;
struct mem_conn;

/*
 * A running service of this protocol.  options: a filled option struct, or NULL
 * for the rows' defaults.  resource (with its option name) is what
 * cab_service_resource returns, or NULL/-1.  Calls start; NULL when it fails.
 */
struct mem_service *mem_service_new(const struct cab_proto *proto,
    const void *options, const char *resource_option, int resource_fd);
void mem_service_free(struct mem_service *service);
struct cab_running *mem_running(struct mem_service *service);

/* A new connection from 192.0.2.1:40000 to 192.0.2.2:PORT; opened() has been called. */
struct mem_conn *mem_open(struct mem_service *service);

/* Delivers bytes as one read; _split delivers them step bytes at a time. Bytes
 * that the engine is not ready for wait. */
void mem_feed(struct mem_conn *conn, const void *data, size_t n);
void
mem_feed_split(struct mem_conn *conn, const void *data, size_t n, size_t step);
/* Bytes for the next turn, in which each connection of the service has one
 * event at most, and what they reply may leave together. */
void mem_bring(struct mem_conn *conn, const void *data, size_t n);
void mem_turn(struct mem_service *service);
void mem_half_close(struct mem_conn *conn);
/* No more descriptors can be watched (fs.epoll.max_user_watches). */
void mem_unwatchable(struct mem_service *service);
/* Writes fail from now on: a reset that no read has seen yet. */
void mem_break(struct mem_conn *conn);
void mem_reset(struct mem_conn *conn);

/* The daemon is stopping: CAB_EXPIRED_SHUTDOWN. */
void mem_shutdown(struct mem_conn *conn);

/* At most n more bytes of output are taken before the transport would block;
 * SIZE_MAX (the default) for no bound. */
void mem_window(struct mem_conn *conn, size_t n);

/* All output so far (file contents included), and its end: the engine has shut its side down or closed. */
const char *mem_output(struct mem_conn *conn, size_t *ret_n);
void mem_clear_output(struct mem_conn *conn);
bool mem_finished(const struct mem_conn *conn); /* no more output will come */
bool mem_closed(const struct mem_conn *conn); /* the connection object is gone */

/* Number of write calls that reached the transport; "headers and body in one". */
unsigned mem_writes(const struct mem_conn *conn);

/* Bytes of memory that were sent together with the last part of a file. */
size_t mem_before(const struct mem_conn *conn);

/* Protocol errors counted so far. */
uint64_t mem_errors(const struct mem_service *service);

/* Unconsumed input bytes that the connection keeps between steps. */
size_t mem_stashed(const struct mem_conn *conn);

/* Lets time pass: fake clock and timers. */
void mem_advance(struct mem_service *service, uint64_t ms);

/* Closes what is still open and frees. */
void mem_free(struct mem_conn *conn);

/* The default option struct of a group, as the reader would fill it without any setting; free(). */
void *mem_default_options(const struct cab_group *group);

#endif
