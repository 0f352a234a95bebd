/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GET and HEAD of files.  Workers.  A small file that is asked for often is
 * answered from memory without a single system call for it; the path is
 * followed again once a second to see whether it still leads there.  It must
 * never promise bytes that it cannot send: a length is what fstat(2) said of
 * the open file that is sent from.
 */
#include "proto/http_static.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "proto/http_cache.h"
#include "proto/http_cond.h"
#include "proto/http_file.h"
#include "proto/http_share.h"

#define RECHECK_MS 1000 /* how long an entry is believed */

/*
 * A file that was changed so recently may change again without a difference in
 * its times, whose grain is that of the kernel's clock tick or, on some file
 * systems, two seconds: until then it is not kept.
 */
#define SETTLED_S 3

/* Up to this much is read and written together with the head, more is sent by the kernel. */
#define SMALL_MAX 16384

/* ---- heads ---- */

static struct cab_slice
etag_make(const struct http_file *file, char buf[static HTTP_ETAG_MAX])
{
	struct http_text t = { buf, 0, HTTP_ETAG_MAX };

	text_add(&t, "\"", 1);
	text_hex(&t, file->ino);
	text_add(&t, "-", 1);
	text_hex(&t, file->size);
	text_add(&t, "-", 1);
	text_hex(&t,
	    (uint64_t)file->mtime.tv_sec * 1000000000 +
		(uint64_t)file->mtime.tv_nsec);
	text_add(&t, "\"", 1);
	return (struct cab_slice){ buf, t.n };
}

static struct http_entity
entity_make(const struct http_file *file, struct cab_slice etag)
{
	/* A file from the future was last modified now (RFC 9110, 8.8.2.1). */
	int64_t now = clock_wall();

	return (struct http_entity){
		.etag = etag,
		.modified = file->mtime.tv_sec > now ? now : file->mtime.tv_sec,
		.size = file->size,
	};
}

/* Status line to ETag; without Content-Length, Connection and the empty line. */
static void
head_make(struct http_text *t, const struct http_opts *opts, unsigned status,
    const struct http_file *file, const struct http_entity *entity)
{
	http_head_begin(t, opts, status);
	if (status != 304)
		http_head_field(t, "Content-Type", file->type);
	text_str(t, "Last-Modified: ");
	http_date_add(t, entity->modified);
	text_str(t, "\r\nETag: ");
	text_add(t, entity->etag.p, entity->etag.n);
	text_str(t, "\r\nAccept-Ranges: bytes\r\n");
}

static void
range_line(struct http_text *t, const struct http_range *range, uint64_t size)
{
	text_str(t, "Content-Range: bytes ");
	if (range) {
		text_number(t, range->first);
		text_add(t, "-", 1);
		text_number(t, range->first + range->n - 1);
	} else {
		text_add(t, "*", 1);
	}
	text_add(t, "/", 1);
	text_number(t, size);
	text_add(t, "\r\n", 2);
}

/* ---- replies ---- */

/* Where the content is: in memory, or in a file whose descriptor goes with it. */
struct content {
	const char *bytes; /* NULL: in the file */
	int fd;
};

/* Reads a range of the file as far as it is there: bytes or -errno. */
static ssize_t
read_range(int fd, char *to, const struct http_range *range)
{
	size_t n = 0;

	while (n < range->n) {
		ssize_t got = pread(
		    fd, to + n, range->n - n, (off_t)(range->first + n));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

static void
send_content(struct http_turn *turn, struct content *content,
    const struct http_range *range)
{
	static char small[SMALL_MAX];

	if (content->bytes) {
		cab_write(turn->conn, content->bytes + range->first, range->n);
	} else if (range->n <= sizeof(small) &&
	    read_range(content->fd, small, range) == (ssize_t)range->n) {
		cab_write(turn->conn, small, range->n);
	} else {
		/* A file that has shrunk meanwhile ends the connection there. */
		cab_send_file(
		    turn->conn, content->fd, (off_t)range->first, range->n);
		content->fd = -1;
	}
}

/* A reply with a head of its own: conditions and ranges, and files that are not kept. */
static void
reply_entity(struct http_turn *turn, const struct http_file *file,
    const struct http_entity *entity, struct content *content)
{
	struct http_range range = { 0, entity->size };
	struct http_text t = http_scratch();
	bool head = turn->req->method == HTTP_HEAD;
	unsigned status = 200;

	switch (http_decide(turn->req, entity, &range)) {
	case HTTP_WHOLE:
		break;
	case HTTP_PART:
		status = 206;
		break;
	case HTTP_NOT_MODIFIED:
		status = 304;
		break;
	case HTTP_FAILED:
		http_reply_status(turn, 412, "");
		return;
	case HTTP_UNSATISFIABLE: {
		char line[80];
		struct http_text r = { line, 0, sizeof(line) - 1 };

		range_line(&r, NULL, entity->size);
		line[r.n] = '\0';
		http_reply_status(turn, 416, line);
		return;
	}
	}
	head_make(&t, turn->service->opts, status, file, entity);
	if (status == 206)
		range_line(&t, &range, entity->size);
	if (status != 304)
		http_head_length(&t, range.n);
	http_head_end(&t, turn);
	if (http_send_head(turn, &t) && !head && status != 304)
		send_content(turn, content, &range);
}

/* ---- the cache ---- */

static bool
same_file(const struct http_file *a, const struct http_file *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->size == b->size &&
	    a->mtime.tv_sec == b->mtime.tv_sec &&
	    a->mtime.tv_nsec == b->mtime.tv_nsec &&
	    a->ctime.tv_sec == b->ctime.tv_sec &&
	    a->ctime.tv_nsec == b->ctime.tv_nsec;
}

/* The whole reply for a file, content read; NULL when it cannot be had. */
static struct http_canned *
canned_make(const struct http_opts *opts, const struct http_file *file,
    const struct http_entity *entity)
{
	struct http_range whole = { 0, file->size };
	struct http_text t = http_scratch();
	struct http_canned *canned;

	head_make(&t, opts, 200, file, entity);
	http_head_length(&t, file->size);
	canned = http_canned_new(200, &t, file->size);
	if (canned &&
	    read_range(file->fd, http_canned_body(canned), &whole) !=
		(ssize_t)file->size) {
		free(canned);
		return NULL;
	}
	return canned;
}

/* Whether the file may be kept, and for this path. */
static bool
worth_keeping(const struct http_turn *turn, const struct http_file *file)
{
	return turn->service->opts->cache > 0 &&
	    file->size <= HTTP_CACHE_FILE_MAX &&
	    file->ctime.tv_sec <= clock_wall() - SETTLED_S &&
	    file->mtime.tv_sec <= clock_wall() &&
	    /* one spelling of a path is enough */
	    !memmem(turn->path.p, turn->path.n, "//", 2);
}

/* Keeps the file if that makes sense: the new entry or NULL. */
static struct http_entry *
keep(const struct http_turn *turn, const struct http_file *file,
    const struct http_entity *entity)
{
	struct http_service *service = turn->service;
	struct http_canned *canned;
	struct http_entry *e;

	if (!worth_keeping(turn, file))
		return NULL;
	/* Made here, because many a service never needs one. */
	if (!service->cache)
		service->cache = http_cache_new((size_t)service->opts->cache);
	if (!service->cache || !http_cache_fits(service->cache, file->size))
		return NULL;
	canned = canned_make(service->opts, file, entity);
	if (!canned)
		return NULL;
	e = http_cache_add(service->cache, turn->path, file, canned);
	if (e)
		e->checked_ms = cab_now_ms();
	return e;
}

static void
reply_entry(struct http_turn *turn, struct http_entry *e)
{
	if (turn->req->seen & HTTP_F_CONDITIONS) {
		char tag[HTTP_ETAG_MAX];
		struct http_entity entity = entity_make(
		    &e->file, etag_make(&e->file, tag));
		struct content content = { http_canned_body(e->canned), -1 };

		reply_entity(turn, &e->file, &entity, &content);
	} else {
		http_canned_send(turn, e->canned);
	}
}

static struct http_entry *
find_kept(const struct http_turn *turn)
{
	struct http_cache *cache = turn->service->cache;

	return cache ? http_cache_find(cache, turn->path) : NULL;
}

/* ---- a request ---- */

static void
reply_error(struct http_turn *turn, int r)
{
	struct cab_slice path = turn->req->path;

	if (r != -EISDIR) {
		http_reply_status(turn, http_file_status(r),
		    r == -EMFILE || r == -ENFILE ? "Retry-After: 1\r\n" : "");
		return;
	}
	/* Two slashes at its start would make the path the name of another host. */
	while (path.n > 1 && path.p[1] == '/') {
		path.p++;
		path.n--;
	}
	http_reply_moved(turn, path, turn->req->query);
}

void
http_static(struct http_turn *turn)
{
	struct http_service *service = turn->service;
	struct http_entry *e = find_kept(turn);
	char tag[HTTP_ETAG_MAX];
	struct http_entity entity;
	struct http_file file;
	struct content content;
	int r;

	if (e && cab_now_ms() - e->checked_ms < RECHECK_MS) {
		reply_entry(turn, e);
		return;
	}
	r = http_share_open(turn, &file);
	if (e && r == 0 && same_file(&file, &e->file)) {
		fd_close(file.fd);
		e->checked_ms = cab_now_ms();
		reply_entry(turn, e);
		return;
	}
	if (e)
		http_cache_drop(service->cache, e);
	if (r < 0) {
		reply_error(turn, r);
		return;
	}
	entity = entity_make(&file, etag_make(&file, tag));
	e = keep(turn, &file, &entity);
	if (e) {
		reply_entry(turn, e);
	} else {
		content = (struct content){ NULL, file.fd };
		reply_entity(turn, &file, &entity, &content);
		file.fd = content.fd;
	}
	fd_close(file.fd);
}
