/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the path of a request to an open file.  Workers; the only file of
 * mini-HTTP that opens anything.  It must never hand a path to a call that
 * could leave the document root, and never hand out what is not a regular file.
 */
#include "proto/http_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* ---- decoding ---- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
http_path_decode(
    struct cab_slice path, char *dst, size_t cap, struct cab_slice *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < path.n; i++) {
		int c = (unsigned char)path.p[i];

		if (c == '%') {
			int high, low;

			if (path.n - i < 3)
				return -EINVAL;
			high = hex_digit(path.p[i + 1]);
			low = hex_digit(path.p[i + 2]);
			if (high < 0 || low < 0)
				return -EINVAL;
			c = high << 4 | low;
			if (c < 0x20 || c == 0x7f)
				return -EINVAL;
			if (c == '/')
				return -ENOENT;
			i += 2;
		}
		if (n == cap)
			return -ENAMETOOLONG;
		dst[n++] = (char)c;
	}
	*ret = (struct cab_slice){ dst, n };
	return 0;
}

/* ---- opening ---- */

/* A rename somewhere in the tree may make the kernel give up on a path with
 * links; then it is asked again. */
#define OPEN_TRIES 16

static int
open_beneath(int root, const char *path, int flags, bool follow)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
		    (follow ? 0 : RESOLVE_NO_SYMLINKS),
	};

	for (int tries = 0;; tries++) {
		long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if ((errno != EAGAIN && errno != EINTR) || tries == OPEN_TRIES)
			return -errno;
	}
}

static int
open_regular(int root, const char *path, const struct http_opts *opts,
    struct http_file *ret)
{
	/* Not blocking: a FIFO would wait for its writer. */
	CAB_AUTO_FD int fd = open_beneath(root, path,
	    O_RDONLY | O_NONBLOCK | O_NOCTTY, opts->follow_symlinks);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ENOENT;
	*ret = (struct http_file){
		.fd = fd,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime = st.st_mtim,
		.ctime = st.st_ctim,
		.type = http_mime_type(path),
	};
	fd = -1;
	return 0;
}

/* The first index of the directory that the n bytes of path name; room for cap. */
static int
open_index(int root, char *path, size_t n, size_t cap,
    const struct http_opts *opts, struct http_file *ret)
{
	int r = -ENOENT;

	for (size_t i = 0; i < opts->index.n; i++) {
		size_t len = strlen(opts->index.v[i]);

		if (n + len >= cap)
			return -ENAMETOOLONG;
		memcpy(path + n, opts->index.v[i], len + 1);
		r = open_regular(root, path, opts, ret);
		if (r != -ENOENT && r != -EISDIR)
			return r;
	}
	/* A directory is never listed; without an index it is as if it were not there. */
	return -ENOENT;
}

/* Whether a segment starts with a dot: hidden files, "." and "..". */
static bool
has_dot_segment(const char *path, size_t n)
{
	static const char known[] = ".well-known";
	size_t start = 0;

	if (n >= sizeof(known) - 1 &&
	    memcmp(path, known, sizeof(known) - 1) == 0 &&
	    (n == sizeof(known) - 1 || path[sizeof(known) - 1] == '/'))
		start = sizeof(known) - 1;
	for (size_t i = start; i < n; i++) {
		if (path[i] == '.' && (i == 0 || path[i - 1] == '/'))
			return true;
	}
	return false;
}

int
http_file_open(int root, struct cab_slice path, const struct http_opts *opts,
    struct http_file *ret)
{
	static char name[PATH_MAX]; /* not on the stack: compilers would clear it for every request */
	size_t n;

	/* The root is where relative names start; a name that starts with '/' would be refused. */
	while (path.n > 0 && path.p[0] == '/') {
		path.p++;
		path.n--;
	}
	n = path.n;
	if (n >= sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, path.p, n);
	name[n] = '\0';
	if (memchr(name, '\0', n) || has_dot_segment(name, n))
		return -ENOENT;
	if (n == 0 || name[n - 1] == '/')
		return open_index(root, name, n, sizeof(name), opts, ret);
	return open_regular(root, name, opts, ret);
}

unsigned
http_file_status(int r)
{
	switch (r) {
	case -EINVAL:
		return 400;
	case -EACCES:
	case -EPERM:
		return 403;
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -EXDEV: /* it would have left the root */
	case -ENAMETOOLONG:
	case -ENXIO: /* a socket, a device without a driver */
	case -ENODEV:
		return 404;
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -EAGAIN:
	case -EINTR:
		return 503;
	default:
		return 500;
	}
}

int
http_file_probe(int root)
{
	CAB_AUTO_FD int fd = open_beneath(root, ".", O_PATH | O_DIRECTORY, true);

	return fd < 0 ? fd : 0;
}
