/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target of mini-HTTP: the protocol over the in-memory transport with
 * routes and a document root, and its pure readers.  Beyond crashes it looks
 * for replies that depend on how the input was cut or how fast the output was
 * read, and for bytes of a file outside the root.
 *
 * Input: a byte of options (1: half-close at the end, 2: hardly any body is
 * taken, 4: links are not followed), the step of the cut run, the window of
 * the slow run, then what the peer sends.
 */

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "proto/builtin.h"
#include "proto/http.h"
#include "proto/http_file.h"
#include "proto/http_parse.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/mem.h"

#define MAX_INPUT  32768
#define MAX_OUTPUT (4 << 20)
/* With bytes that inspect never echoes as they are. */
#define SECRET "\x01outside-of-the-root\x02"

enum {
	HALF_CLOSE = 1,
	SMALL_BODY = 2,
	NO_LINKS = 4,
	N_SERVICES = 4
};

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* ---- the site ---- */

static const char *const headers[] = { "Location: /elsewhere" };

static const struct http_route_opts routes[] = {
	{ .path = "/r", .status = 200, .body = "r\n", .content_type = "a/b" },
	{ .path = "/m",
	    .status = 302,
	    .body = "",
	    .content_type = "a/b",
	    .headers = { headers, 1 } },
	{ .path = "/n", .status = 204, .body = "", .content_type = "a/b" },
	{ .path = "/p",
	    .prefix = true,
	    .status = 503,
	    .body = "p",
	    .content_type = "a/b" },
	{ .path = "/i",
	    .status = 200,
	    .body = "",
	    .content_type = "a/b",
	    .handler = HTTP_HANDLER_INSPECT },
};

static char base[] = "/tmp/fuzz_http.XXXXXX";
static struct http_opts options[N_SERVICES];
static struct mem_service *services[N_SERVICES];

static const char *const files[] = { "root/index.html", "root/a",
	"root/d/b.css", "secret" };
static const char *const links[][2] = { { "a", "root/in" },
	{ "../secret", "root/out" }, { "..", "root/d/up" } };
static const char *const dirs[] = { "root", "root/d" };

static const char *
at(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static void
put(const char *name)
{
	/* The times go into replies and must be the same whenever this runs. */
	struct timespec times[2] = { { 1700000000, 0 }, { 1700000000, 0 } };
	const char *text = strcmp(name, "secret") == 0 ? SECRET : "0123456789";
	int fd = open(at(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	must(fd >= 0);
	for (int i = strcmp(name, "root/a") == 0 ? 5000 : 1; i > 0; i--)
		must(write(fd, text, strlen(text)) > 0);
	must(futimens(fd, times) == 0);
	close(fd);
}

static void
remove_site(void)
{
	for (size_t i = 0; i < CAB_N(links); i++)
		unlink(at(links[i][1]));
	for (size_t i = 0; i < CAB_N(files); i++)
		unlink(at(files[i]));
	for (size_t i = CAB_N(dirs); i > 0; i--)
		rmdir(at(dirs[i - 1]));
	rmdir(base);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(CAB_LOG_ERR);
	must(mkdtemp(base));
	atexit(remove_site);
	for (size_t i = 0; i < CAB_N(dirs); i++)
		must(mkdir(at(dirs[i]), 0755) == 0);
	for (size_t i = 0; i < CAB_N(files); i++)
		put(files[i]);
	for (size_t i = 0; i < CAB_N(links); i++)
		must(symlink(links[i][0], at(links[i][1])) == 0);
	return 0;
}

/* One for each set of options, made when it is first needed. */
static struct mem_service *
service_for(uint8_t flags)
{
	struct http_opts *o = &options[flags >> 1 & 3];
	struct mem_service **s = &services[flags >> 1 & 3];

	if (!*s) {
		struct http_opts *defaults = mem_default_options(&http_group);

		*o = *defaults;
		free(defaults);
		o->root = base;
		o->routes = (struct cab_groups){ routes, CAB_N(routes) };
		if (flags & SMALL_BODY)
			o->max_body = 8;
		o->follow_symlinks = !(flags & NO_LINKS);
		*s = mem_service_new(&proto_http, o, "root",
		    open(at("root"), O_PATH | O_DIRECTORY | O_CLOEXEC));
		must(*s);
	}
	return *s;
}

/* ---- one conversation ---- */

struct output {
	char text[MAX_OUTPUT];
	size_t n;
	bool finished;
};

static struct output whole, cut, slow;

/* Whether 100 is sent depends on what has come of the body by then, rightly (RFC 9110, 10.1.1). */
static void
drop_interim(struct output *out)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const size_t n = sizeof(interim) - 1;
	char *p = out->text;

	while ((p = memmem(p, (size_t)(out->text + out->n - p), interim, n))) {
		out->n -= n;
		memmove(p, p + n, (size_t)(out->text + out->n - p));
	}
}

static void
converse(struct mem_service *service, const uint8_t *data, size_t len,
    uint8_t flags, size_t step, size_t window, struct output *out)
{
	struct mem_conn *conn = mem_open(service);
	const char *text;

	if (window)
		mem_window(conn, window);
	mem_feed_split(conn, data, len, step);
	if (flags & HALF_CLOSE)
		mem_half_close(conn);
	if (window) {
		for (int i = 0; i < 200; i++)
			mem_window(conn, window);
		mem_window(conn, SIZE_MAX);
	}
	text = mem_output(conn, &out->n);
	must(out->n <= MAX_OUTPUT);
	memcpy(out->text, text, out->n);
	out->finished = mem_finished(conn);
	must(out->n == 0 || memcmp(out->text, "HTTP/1.1 ", 9) == 0);
	must(!memmem(out->text, out->n, SECRET, sizeof(SECRET) - 1));
	drop_interim(out);
	/* Every way to end must be able to clean up what is left. */
	if (len % 3 == 0)
		mem_shutdown(conn);
	else if (len % 3 == 1)
		mem_reset(conn);
	mem_free(conn);
}

static void
check_same(const struct output *a, const struct output *b)
{
	must(a->n == b->n);
	must(memcmp(a->text, b->text, a->n) == 0);
	must(a->finished == b->finished);
}

/* ---- pure readers ---- */

/* The bytes in a block of their own, so that reading past their end is seen. */
static char *
exact(const uint8_t *data, size_t len)
{
	char *p = malloc(len ? len : 1);

	must(p);
	memcpy(p, data, len);
	return p;
}

static void
check_head(const uint8_t *data, size_t len, size_t step)
{
	struct http_pos pos = { 0 }, pos2 = { 0 };
	struct http_request req, again;
	char *p = exact(data, len);
	int r = http_parse_head(p, len, &http_limits, &pos, &req), r2 = 0;

	for (size_t n = 0; r2 == 0; n = n + step < len ? n + step : len) {
		char *part = exact(data, n);

		r2 = http_parse_head(part, n, &http_limits, &pos2, &again);
		free(part);
		if (n == len)
			break;
	}
	must(r == r2);
	must(r <= (int)len);
	must(r >= 0 || r == -400 || r == -414 || r == -431 || r == -505);
	if (r > 0) {
		struct cab_slice rest = req.fields, name, value;
		unsigned fields = 0;

		must(req.method == again.method && req.seen == again.seen);
		must(req.length == again.length && req.length >= 0);
		must(!(req.chunked && req.has_length));
		must(memcmp(p + r - 4, "\r\n\r\n", 4) == 0 || req.fields.n == 0);
		while (http_next_field(&rest, &name, &value)) {
			must(http_is_token(name) && http_is_value(value));
			fields++;
		}
		must(fields <= http_limits.fields_max);
	}
	free(p);
}

static void
check_chunks(const uint8_t *data, size_t len, size_t step)
{
	struct http_chunked a = { 0 }, b = { 0 };
	size_t used = 0, total = 0;
	char *p = exact(data, len);
	int r = http_chunked_read(&a, p, len, 1000, &used), r2 = 0;

	must(used <= len);
	while (r2 == 0 && total < len) {
		size_t n = len - total < step ? len - total : step, part;

		r2 = http_chunked_read(&b, p + total, n, 1000, &part);
		must(part <= n);
		total += part;
	}
	must(r == r2 && used == total);
	must(a.total <= 1000);
	free(p);
}

static void
check_path(const uint8_t *data, size_t len)
{
	char *p = exact(data, len), *to = malloc(len ? len : 1);
	struct cab_slice path;

	if (http_path_decode((struct cab_slice){ p, len }, to, len, &path) == 0)
		must(path.n <= len);
	free(p);
	free(to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct mem_service *service;
	size_t step, window;
	uint8_t flags;

	if (len < 3 || len > MAX_INPUT)
		return 0;
	flags = data[0];
	step = data[1] ? data[1] : 1;
	window = 1 + (size_t)data[2] * 16;
	data += 3;
	len -= 3;
	check_head(data, len, len > 3000 && step < 16 ? 16 : step);
	check_chunks(data, len, step);
	check_path(data, len);
	service = service_for(flags);
	converse(service, data, len, flags, SIZE_MAX, 0, &whole);
	converse(service, data, len, flags, step, 0, &cut);
	converse(service, data, len, flags, step, window, &slow);
	check_same(&whole, &cut);
	check_same(&whole, &slow);
	return 0;
}
