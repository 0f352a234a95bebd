/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the path of a request to an open file below the document root, and to
 * its media type.  Workers.  The kernel resolves the path (openat2 with
 * RESOLVE_BENEATH): no code here decides where ".." leads.
 */
#ifndef CAB_PROTO_HTTP_FILE_H
#define CAB_PROTO_HTTP_FILE_H

#include <stdint.h>
#include <time.h>

#include "proto/http.h"

struct http_file {
	int fd; /* the caller's to close */
	uint64_t dev, ino, size;
	struct timespec mtime, ctime;
	const char *type;
};

/*
 * Decodes the %XX of a path once into cap bytes at dst.  0 and *ret, -EINVAL
 * for what is no encoding or decodes to a control byte, -ENOENT for an encoded
 * '/', which no name here has, -ENAMETOOLONG.
 */
int http_path_decode(
    struct cab_slice path, char *dst, size_t cap, struct cab_slice *ret);

/*
 * Opens the regular file that a decoded path names, or the index of the
 * directory that it names with a '/' at its end.  0, -EISDIR for a directory
 * without that '/', or -errno for http_file_status.  Names that start with a
 * dot do not exist, except /.well-known (RFC 8615).
 */
int http_file_open(int root, struct cab_slice path,
    const struct http_opts *opts, struct http_file *ret);

/* The status for an error of the above. */
unsigned http_file_status(int r);

/* 0, or -errno when files below this root cannot be opened safely (-ENOSYS before Linux 5.6). */
int http_file_probe(int root);

/* By the part of the name after its last dot, in any case. */
const char *http_mime_type(const char *name);

#endif
