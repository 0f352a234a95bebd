/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a listening unix socket: made with its final owner and mode before
 * anybody can connect, removed only when it is still the one we made.
 * Supervisor only.
 */
#ifndef CAB_SUPERVISOR_UNIXFILE_H
#define CAB_SUPERVISOR_UNIXFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/addr.h"
#include "conf/model.h"

struct unix_file {
	bool made;
	dev_t dev;
	ino_t ino;
};

/* The socket's path, NULL for an abstract or unnamed one. */
const char *unix_file_path(const struct cab_sockaddr *addr);

/*
 * Binds fd (SOCK_STREAM or SOCK_DGRAM in type) to the path.  A file that a dead
 * program left is replaced; one that answers, or is no socket, is not touched.
 * 0 or -errno; *why says what to do where errno alone would not tell, else NULL.
 */
int unix_file_bind(int fd, int type, const struct cab_sockaddr *addr,
    const struct cab_socket_opts *opts, struct unix_file *ret, const char **why);

/* Gives the file that was made its owner, group and mode; 0 or -errno and *why. */
int
unix_file_protect(const struct unix_file *file, const struct cab_sockaddr *addr,
    const struct cab_socket_opts *opts, const char **why);

/* False when the file that was made is gone, or another one has taken its place. */
bool
unix_file_present(const struct unix_file *file, const struct cab_sockaddr *addr);

/* Removes the file if it is still the one that was made. */
void
unix_file_remove(const struct unix_file *file, const struct cab_sockaddr *addr);

#endif
