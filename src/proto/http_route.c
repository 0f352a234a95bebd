/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The routes of a service, ready to be sent.  Workers; built when a service
 * starts, only read afterwards (but for the date in each reply).
 */
#include "proto/http_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct http_routes {
	size_t n_exact, n_prefixes;
	struct http_route *exact;    /* sorted by length, then bytes */
	struct http_route *prefixes; /* longest first */
	struct http_route v[];
};

static int
compare(struct cab_slice a, struct cab_slice b)
{
	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	return memcmp(a.p, b.p, a.n);
}

static int
compare_exact(const void *a, const void *b)
{
	return compare(((const struct http_route *)a)->path,
	    ((const struct http_route *)b)->path);
}

static int
compare_prefix(const void *a, const void *b)
{
	return compare_exact(b, a);
}

static int
route_make(const struct http_opts *opts, const struct http_route_opts *from,
    struct http_route *ret)
{
	size_t body_n = strlen(from->body);
	bool content = from->status != 204 && from->status != 304;
	struct http_text t = http_scratch();
	unsigned status = (unsigned)from->status;

	ret->path = (struct cab_slice){ from->path, strlen(from->path) };
	ret->handler = (enum http_handler)from->handler;
	ret->canned = NULL;
	if (ret->handler != HTTP_HANDLER_NONE)
		return 0;
	http_head_begin(&t, opts, status);
	if (content && body_n)
		http_head_field(&t, "Content-Type", from->content_type);
	if (content)
		http_head_length(&t, body_n);
	for (size_t i = 0; i < from->headers.n; i++) {
		text_str(&t, from->headers.v[i]);
		text_add(&t, "\r\n", 2);
	}
	ret->canned = http_canned_new(status, &t, content ? body_n : 0);
	if (!ret->canned)
		return -ENOMEM;
	memcpy(http_canned_body(ret->canned), from->body, ret->canned->body_n);
	ret->canned->forever = true;
	return 0;
}

int
http_routes_new(const struct http_opts *opts, struct http_routes **ret)
{
	const struct http_route_opts *from = opts->routes.v;
	size_t n = opts->routes.n;
	struct http_routes *routes = calloc(
	    1, sizeof(*routes) + n * sizeof(routes->v[0]));
	size_t at = 0;

	if (!routes)
		return -ENOMEM;
	for (int prefix = 0; prefix < 2; prefix++) {
		for (size_t i = 0; i < n; i++) {
			if (from[i].prefix != (prefix == 1))
				continue;
			if (route_make(opts, &from[i], &routes->v[at]) < 0) {
				http_routes_free(routes);
				return -ENOMEM;
			}
			at++;
			routes->n_exact += prefix == 0;
			routes->n_prefixes += prefix == 1;
		}
	}
	routes->exact = routes->v;
	routes->prefixes = routes->v + routes->n_exact;
	qsort(routes->exact, routes->n_exact, sizeof(routes->v[0]),
	    compare_exact);
	qsort(routes->prefixes, routes->n_prefixes, sizeof(routes->v[0]),
	    compare_prefix);
	*ret = routes;
	return 0;
}

void
http_routes_free(struct http_routes *routes)
{
	if (!routes)
		return;
	for (size_t i = 0; i < routes->n_exact + routes->n_prefixes; i++)
		free(routes->v[i].canned);
	free(routes);
}

static bool
below(struct cab_slice path, struct cab_slice prefix)
{
	return path.n >= prefix.n && memcmp(path.p, prefix.p, prefix.n) == 0 &&
	    (path.n == prefix.n || prefix.p[prefix.n - 1] == '/' ||
		path.p[prefix.n] == '/');
}

const struct http_route *
http_routes_find(const struct http_routes *routes, struct cab_slice path)
{
	size_t low = 0, high = routes->n_exact;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = compare(path, routes->exact[mid].path);

		if (order == 0)
			return &routes->exact[mid];
		if (order > 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t i = 0; i < routes->n_prefixes; i++) {
		if (below(path, routes->prefixes[i].path))
			return &routes->prefixes[i];
	}
	return NULL;
}
