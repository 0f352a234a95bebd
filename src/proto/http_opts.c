/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of mini-HTTP: rows and the rules across them.  Pure data and pure
 * checks, used where configuration is read.  What is let through here is sent
 * to peers as it stands, so nothing that could break a header may pass.
 */
#include "proto/http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COMPLAIN                                                              \
	void (*complain)(void *arg, const char *option, const char *fmt, ...) \
	    __attribute__((format(printf, 3, 4))),                            \
	    void *arg

static const char *const handlers[] = { "none", "inspect", "metrics", NULL };

#define ROUTE(member) offsetof(struct http_route_opts, member)

static const struct cab_opt route_rows[] = {
	{ .name = "path",
	    .type = CAB_T_STRING,
	    .flags = CAB_F_REQUIRED | CAB_F_NONEMPTY,
	    .offset = ROUTE(path),
	    .max = 1024,
	    .help = "path that is answered, decoded and without its query" },
	{ .name = "prefix",
	    .type = CAB_T_BOOL,
	    .offset = ROUTE(prefix),
	    .def = "false",
	    .help = "answer everything below the path as well" },
	{ .name = "status",
	    .type = CAB_T_INT,
	    .offset = ROUTE(status),
	    .min = 200,
	    .max = 599,
	    .def = "200",
	    .help = "status code" },
	{ .name = "body",
	    .type = CAB_T_STRING,
	    .flags = CAB_F_TEXT,
	    .offset = ROUTE(body),
	    .max = 65536,
	    .def = "",
	    .help = "content" },
	{ .name = "content_type",
	    .type = CAB_T_STRING,
	    .flags = CAB_F_NONEMPTY,
	    .offset = ROUTE(content_type),
	    .max = 200,
	    .def = "text/plain; charset=utf-8",
	    .help = "media type of the content" },
	{ .name = "headers",
	    .type = CAB_T_STRINGS,
	    .offset = ROUTE(headers),
	    .max = 32,
	    .help = "further header fields, each \"Name: value\"" },
	{ .name = "handler",
	    .type = CAB_T_ENUM,
	    .offset = ROUTE(handler),
	    .def = "none",
	    .words = handlers,
	    .help = "inspect: answer with the request as JSON; metrics: with "
		    "the daemon's metrics for Prometheus" },
};

static bool
is_plain(const char *s)
{
	for (; *s; s++) {
		if (*s < ' ' || *s > '~')
			return false;
	}
	return true;
}

/* "Name: value" that can be sent as it stands, and that does not say what the server itself says. */
static void
check_header(const char *line, COMPLAIN)
{
	static const char *const own[] = { "Connection", "Content-Length",
		"Content-Type", "Date", "Keep-Alive", "Server", "Trailer",
		"Transfer-Encoding", "Upgrade" };
	const char *colon = strchr(line, ':');
	struct cab_slice name = { line, colon ? (size_t)(colon - line) : 0 };

	if (!http_is_token(name) || !is_plain(line)) {
		complain(arg, "headers",
		    "\"%s\" is not a header field; write \"Name: value\" in ASCII",
		    line);
		return;
	}
	for (size_t i = 0; i < CAB_N(own); i++) {
		if (slice_ieq(name, own[i]))
			complain(arg, "headers", "%s is set by the server%s",
			    own[i],
			    strcmp(own[i], "Content-Type") == 0 ?
				"; use content_type" :
				"");
	}
}

static void
check_path(const char *path, COMPLAIN)
{
	const char *percent = strchr(path, '%');

	if (path[0] != '/')
		complain(arg, "path", "\"%s\" must start with \"/\"", path);
	if (strpbrk(path, "?#"))
		complain(arg, "path",
		    "\"%s\" must be a path without a query or fragment", path);
	for (; percent; percent = strchr(percent + 1, '%')) {
		static const char hex[] = "0123456789abcdefABCDEF";

		if (strspn(percent + 1, hex) >= 2) {
			complain(arg, "path",
			    "\"%s\" must be written decoded, without %%%.2s",
			    path, percent + 1);
			break;
		}
	}
}

static void
check_route(void *options, COMPLAIN)
{
	const struct http_route_opts *o = options;
	size_t bytes = 0;

	check_path(o->path, complain, arg);
	if (!is_plain(o->content_type))
		complain(arg, "content_type", "must be ASCII");
	for (size_t i = 0; i < o->headers.n; i++) {
		check_header(o->headers.v[i], complain, arg);
		bytes += strlen(o->headers.v[i]) + 2;
	}
	if (bytes > HTTP_HEADERS_MAX)
		complain(arg, "headers", "more than %d bytes in all",
		    HTTP_HEADERS_MAX);
	if ((o->status == 204 || o->status == 205 || o->status == 304) &&
	    o->body[0])
		complain(arg, "body", "a reply with status %d has no content",
		    (int)o->status);
	if (o->handler != HTTP_HANDLER_NONE && o->body[0])
		complain(arg, "body", "handler \"%s\" makes the content",
		    handlers[o->handler]);
	if (o->handler != HTTP_HANDLER_NONE && o->headers.n)
		complain(arg, "headers", "handler \"%s\" sends its own",
		    handlers[o->handler]);
	if (o->handler != HTTP_HANDLER_NONE && o->status != 200)
		complain(arg, "status", "handler \"%s\" always answers 200",
		    handlers[o->handler]);
}

static const struct cab_group route_group = {
	.name = "routes",
	.opts = route_rows,
	.n_opts = CAB_N(route_rows),
	.size = sizeof(struct http_route_opts),
	.check = check_route,
};

#define HTTP(member) offsetof(struct http_opts, member)

static const struct cab_opt rows[] = {
	{ .name = "root",
	    .type = CAB_T_PATH,
	    .flags = CAB_F_DIR | CAB_F_OPEN,
	    .offset = HTTP(root),
	    .help = "directory whose files are served; without it only routes" },
	{ .name = "index",
	    .type = CAB_T_STRINGS,
	    .flags = CAB_F_NONEMPTY,
	    .offset = HTTP(index),
	    .max = 16,
	    .def = "index.html",
	    .help = "files that stand for a directory, the first that exists" },
	{ .name = "follow_symlinks",
	    .type = CAB_T_BOOL,
	    .offset = HTTP(follow_symlinks),
	    .def = "true",
	    .help = "follow symbolic links that stay inside the root" },
	{ .name = "routes",
	    .type = CAB_T_SUBS,
	    .offset = HTTP(routes),
	    .sub = &route_group,
	    .help = "paths with a fixed reply; looked at before the files" },
	{ .name = "server",
	    .type = CAB_T_STRING,
	    .offset = HTTP(server),
	    .max = 200,
	    .def = "cabinetd",
	    .help = "the Server header field, none if empty" },
	{ .name = "header_timeout",
	    .type = CAB_T_TIME,
	    .offset = HTTP(header_timeout),
	    .min = 100,
	    .max = 3600000,
	    .def = "10s",
	    .help = "time for a request's header, from its first byte" },
	{ .name = "body_timeout",
	    .type = CAB_T_TIME,
	    .offset = HTTP(body_timeout),
	    .min = 100,
	    .max = 86400000,
	    .def = "60s",
	    .help = "time for a request's content" },
	{ .name = "max_body",
	    .type = CAB_T_SIZE,
	    .offset = HTTP(max_body),
	    .min = 0,
	    .max = INT64_C(1) << 50,
	    .def = "1M",
	    .help = "largest content of a request, which is thrown away" },
	{ .name = "cache",
	    .type = CAB_T_SIZE,
	    .offset = HTTP(cache),
	    .min = 0,
	    .max = INT64_C(1) << 32,
	    .def = "1M",
	    .help = "memory for small files in each worker, 0 for none" },
};

static void
check_index(const char *name, COMPLAIN)
{
	if (!name[0] || name[0] == '.' || strchr(name, '/') || strlen(name) > 255)
		complain(arg, "index",
		    "\"%s\" must be a file name that does not start with a dot",
		    name);
}

static void
check_routes(const struct cab_groups *groups, COMPLAIN)
{
	const struct http_route_opts *v = groups->v;

	for (size_t i = 0; i < groups->n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (v[i].prefix == v[k].prefix &&
			    strcmp(v[i].path, v[k].path) == 0) {
				complain(arg, "routes",
				    "path \"%s\" stands twice", v[i].path);
				break;
			}
		}
	}
}

static void
check_http(void *options, COMPLAIN)
{
	const struct http_opts *o = options;

	for (size_t i = 0; i < o->index.n; i++)
		check_index(o->index.v[i], complain, arg);
	check_routes(&o->routes, complain, arg);
	if (!is_plain(o->server))
		complain(arg, "server", "must be ASCII");
}

const struct cab_group http_group = {
	.name = "http",
	.opts = rows,
	.n_opts = CAB_N(rows),
	.size = sizeof(struct http_opts),
	.check = check_http,
};
