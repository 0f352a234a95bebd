/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files that the requests of a batch share.  Workers.  To follow a path and
 * to look at the file costs a quarter of a reply of 64 KiB.  The first request
 * for a file leaves its path here, the second a copy of its descriptor, the
 * others take copies of that.  It must never keep a descriptor back from a
 * request that cannot open its file.
 */
#include "proto/http_share.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "proto/http_cache.h"

#define SHARED_MAX 4 /* of a batch; worker.c reserves descriptors for as many */
#define PATH_BYTES 256 /* a longer one is not shared */

/* The cache has most of those below.  Above, opening is no notable part, and
 * slow readers of what is not in memory would disturb each other's reading ahead. */
#define SHARED_SIZE_MIN (HTTP_CACHE_FILE_MAX + 1)
#define SHARED_SIZE_MAX (4 * 1024 * 1024)

static struct shared {
	const struct http_service *service;
	struct http_file file; /* fd -1: asked for once */
	size_t path_n;
	char path[PATH_BYTES];
} shared[SHARED_MAX];

static unsigned n_shared;

static void
forget(void)
{
	while (n_shared > 0)
		fd_close(shared[--n_shared].file.fd);
}

static struct shared *
find(const struct http_turn *turn)
{
	for (unsigned i = 0; i < n_shared; i++) {
		struct shared *s = &shared[i];

		if (s->service == turn->service && s->path_n == turn->path.n &&
		    memcmp(s->path, turn->path.p, s->path_n) == 0)
			return s;
	}
	return NULL;
}

static bool
worth_sharing(const struct http_file *file)
{
	return file->size >= SHARED_SIZE_MIN && file->size <= SHARED_SIZE_MAX;
}

/* Somebody asks for this file: perhaps not the last in this batch. */
static void
note(struct http_turn *turn, const struct http_file *file)
{
	struct shared *s = &shared[n_shared];

	if (!worth_sharing(file) || n_shared == SHARED_MAX ||
	    turn->path.n > sizeof(s->path) || !cab_batch(turn->conn, forget))
		return;
	s->service = turn->service;
	s->file.fd = -1;
	s->path_n = turn->path.n;
	memcpy(s->path, turn->path.p, s->path_n);
	n_shared++;
}

static int
copy(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* The path led elsewhere in between, perhaps: what is shared is what was opened now. */
static void
share(struct shared *s, const struct http_file *file)
{
	if (!worth_sharing(file))
		return;
	s->file = *file;
	s->file.fd = copy(file->fd);
}

static int
open_own(const struct http_turn *turn, struct http_file *ret)
{
	const struct http_service *service = turn->service;
	int r = http_file_open(service->root, turn->path, service->opts, ret);

	if ((r != -EMFILE && r != -ENFILE) || n_shared == 0)
		return r;
	forget();
	return http_file_open(service->root, turn->path, service->opts, ret);
}

int
http_share_open(struct http_turn *turn, struct http_file *ret)
{
	struct shared *s = find(turn);
	int r;

	if (s && s->file.fd >= 0) {
		*ret = s->file;
		ret->fd = copy(s->file.fd);
		if (ret->fd < 0) {
			/* The last one there is. */
			ret->fd = s->file.fd;
			s->file.fd = -1;
		}
		return 0;
	}
	r = open_own(turn, ret);
	s = find(turn); /* it may be forgotten */
	if (r == 0 && s)
		share(s, ret);
	else if (r == 0)
		note(turn, ret);
	return r;
}
