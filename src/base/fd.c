/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors: closing, flags, whole files, sealed memory files.  Every
 * process.  Every descriptor made here is close-on-exec; none is ever closed
 * twice, and closing never changes errno.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

int
fd_close(int fd)
{
	int saved = errno;

	/* Linux has closed it even when close() reports EINTR. */
	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

void
fd_closep(int *fd)
{
	*fd = fd_close(*fd);
}

static int
fd_flag(int fd, int get, int set, int flag, int on)
{
	int old = fcntl(fd, get), new;

	if (old < 0)
		return -errno;
	new = on ? old | flag : old & ~flag;
	if (new != old && fcntl(fd, set, new) < 0)
		return -errno;
	return 0;
}

int
fd_set_nonblock(int fd, int on)
{
	return fd_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int
fd_set_cloexec(int fd, int on)
{
	return fd_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int
fd_socket_option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -1 : value;
}

int
fd_sealed_memfd(const char *name, const void *data, size_t n)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, r;

	fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, data, n);
	if (r < 0)
		goto fail;
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
		r = -errno;
		goto fail;
	}
	return fd;
fail:
	fd_close(fd);
	return r;
}

/* One read at the offset, or at the current place of what cannot seek. */
static ssize_t
read_some(int fd, char *p, size_t n, off_t offset, bool *seekable)
{
	ssize_t got;

	do {
		got = *seekable ? pread(fd, p, n, offset) : read(fd, p, n);
		if (got < 0 && errno == ESPIPE && *seekable) {
			*seekable = false;
			errno = EINTR;
		}
	} while (got < 0 && errno == EINTR);
	return got;
}

int
fd_read_all(int fd, size_t max, char **ret, size_t *ret_n)
{
	size_t cap = 4096, n = 0, want;
	bool seekable = true;
	struct stat st;
	char *data, *more;
	ssize_t got;
	int r;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		if ((uint64_t)st.st_size > max)
			return -EFBIG;
		cap = (size_t)st.st_size + 2;
	}
	data = malloc(cap);
	if (data == NULL)
		return -ENOMEM;
	for (;;) {
		if (cap - n < 2) {
			more = cap > SIZE_MAX / 2 ? NULL : realloc(data, cap * 2);
			if (more == NULL) {
				r = -ENOMEM;
				goto fail;
			}
			data = more;
			cap *= 2;
		}
		want = cap - n - 1;
		got = read_some(fd, data + n, want, (off_t)n, &seekable);
		if (got < 0) {
			r = -errno;
			goto fail;
		}
		if (got == 0)
			break;
		n += (size_t)got;
		if (n > max) {
			r = -EFBIG;
			goto fail;
		}
	}
	data[n] = '\0';
	*ret = data;
	*ret_n = n;
	return 0;
fail:
	free(data);
	return r;
}

int
fd_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	ssize_t done;

	while (n > 0) {
		done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

size_t
fd_raise_limit(void)
{
	struct rlimit limit;
	rlim_t soft;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	soft = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (soft == limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) == 0)
		soft = limit.rlim_max;
	return soft > SIZE_MAX ? SIZE_MAX : (size_t)soft;
}
