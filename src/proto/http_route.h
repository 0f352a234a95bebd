/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes: paths that have a reply of their own.  Workers.  Replies are made
 * once, when the service starts.
 */
#ifndef CAB_PROTO_HTTP_ROUTE_H
#define CAB_PROTO_HTTP_ROUTE_H

#include "proto/http.h"
#include "proto/http_reply.h"

struct http_route {
	struct cab_slice path;
	enum http_handler handler;
	struct http_canned *canned; /* NULL: the handler answers */
};

/* All routes of a service: 0 or -ENOMEM. */
int http_routes_new(const struct http_opts *opts, struct http_routes **ret);
void http_routes_free(struct http_routes *routes);

/*
 * The route for a decoded path or NULL: one with that very path, else the
 * longest prefix that ends where a segment ends.
 */
const struct http_route *
http_routes_find(const struct http_routes *routes, struct cab_slice path);

/* The reply of handler "inspect": the request as JSON. */
void http_inspect(struct http_turn *turn);

/* The reply of handler "metrics". */
void http_metrics(struct http_turn *turn);

#endif
