/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of mini-HTTP share: the options as the configuration fills
 * them in, the service as a worker runs it, and one request being answered.
 * The options are read in every process, the rest belongs to workers.
 */
#ifndef CAB_PROTO_HTTP_H
#define CAB_PROTO_HTTP_H

#include "conf/schema.h"
#include "proto/conn.h"
#include "proto/http_parse.h"

enum http_handler {
	HTTP_HANDLER_NONE,
	HTTP_HANDLER_INSPECT,
	HTTP_HANDLER_METRICS
};

#define HTTP_HEADERS_MAX 8192 /* bytes of a route's own header fields */

struct http_route_opts {
	const char *path;
	bool prefix;
	int64_t status;
	const char *body, *content_type;
	struct cab_strings headers; /* "Name: value" */
	int handler;                /* enum http_handler */
};

struct http_opts {
	const char *root; /* NULL: no files */
	struct cab_strings index;
	bool follow_symlinks;
	struct cab_groups routes;             /* struct http_route_opts */
	const char *server;                   /* "": no Server field */
	int64_t header_timeout, body_timeout; /* ms */
	int64_t max_body;
	int64_t cache; /* bytes, 0: none */
};

/* The rows (http_opts.c). */
extern const struct cab_group http_group;

struct http_routes;
struct http_cache;

/* A service in one worker. */
struct http_service {
	const struct http_opts *opts;
	int root; /* O_PATH descriptor of the document root, -1 without one; the core's */
	struct http_routes *routes;
	struct http_cache *cache; /* NULL: nothing kept yet */
};

/* A request whose body, if any, has been read. */
struct http_turn {
	struct cab_conn *conn;
	struct http_service *service;
	const struct http_request *req;
	struct cab_slice path; /* decoded */
	bool keep;             /* the connection stays open after the reply */
};

#endif
