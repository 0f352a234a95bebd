/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors: closing without losing errno, flags, reading whole files,
 * sealed memory files.  Every process.
 */
#ifndef CAB_BASE_FD_H
#define CAB_BASE_FD_H

#include <stddef.h>
#include <sys/types.h>

/* Closes and returns -1, so that `fd = fd_close(fd)` leaves no stale number; accepts -1; keeps errno. */
int fd_close(int fd);

/* __attribute__((cleanup)) form. */
void fd_closep(int *fd);
#define CAB_AUTO_FD __attribute__((cleanup(fd_closep)))

/* 0 or -errno. */
int fd_set_nonblock(int fd, int on);
int fd_set_cloexec(int fd, int on);

/* An option of a socket that is an integer; -1 when fd has no such. */
int fd_socket_option(int fd, int level, int name);

/* A sealed, read-only memory file holding n bytes; descriptor or -errno. */
int fd_sealed_memfd(const char *name, const void *data, size_t n);

/* Whole file into fresh memory (NUL added after n), refusing more than max bytes: 0, -EFBIG or -errno. Free with free(). */
int fd_read_all(int fd, size_t max, char **ret, size_t *ret_n);

/* Writes all, restarting on EINTR; 0 or -errno. */
int fd_write_all(int fd, const void *data, size_t n);

/* Raises the soft descriptor limit to the hard one; returns the limit now in force. */
size_t fd_raise_limit(void);

#endif
