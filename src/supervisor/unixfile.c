/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of unix sockets.  Supervisor only, perhaps as root in a directory that
 * others may write to: so nothing is ever changed by name alone.  Mode and
 * owner are set through a descriptor that was checked, and a name is removed
 * relative to its directory after a look at what it names.
 */
#include "supervisor/unixfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

const char *
unix_file_path(const struct cab_sockaddr *addr)
{
	if (addr->sa.sa_family != AF_UNIX ||
	    addr->len <= offsetof(struct sockaddr_un, sun_path) ||
	    addr->un.sun_path[0] == '\0')
		return NULL;
	return addr->un.sun_path;
}

/* The directory of path as an O_PATH descriptor or -errno; *base is the last part. */
static int
open_directory(const char *path, const char **base)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	const char *slash = strrchr(path, '/');
	int fd;

	if (slash == NULL || strlen(path) >= sizeof(dir))
		return -EINVAL;
	memcpy(dir, path, (size_t)(slash - path) + 1);
	dir[slash - path + 1] = '\0';
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*base = slash + 1;
	return fd;
}

/* True when somebody answers at the address, or might. */
static bool
answers(int type, const struct cab_sockaddr *addr)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool dead;

	if (fd < 0)
		return true;
	dead = connect(fd, &addr->sa, addr->len) < 0 &&
	    (errno == ECONNREFUSED || errno == ENOENT);
	fd_close(fd);
	return !dead;
}

/* Makes room for a new file. */
static int
clear_stale(int type, const struct cab_sockaddr *addr, const char **why)
{
	CAB_AUTO_FD int dir = -1;
	const char *base;
	struct stat st;

	dir = open_directory(unix_file_path(addr), &base);
	if (dir < 0) {
		*why = dir == -ENOENT ?
		    "its directory does not exist: create it" :
		    NULL;
		return dir;
	}
	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		*why = "there is a file of that name that is not a socket: remove "
		       "it or choose another path";
		return -EEXIST;
	}
	if (answers(type, addr))
		return -EADDRINUSE;
	if (unlinkat(dir, base, 0) < 0 && errno != ENOENT) {
		*why = "a dead program left a socket there that may not be "
		       "removed: remove it";
		return -errno;
	}
	return 0;
}

/* The socket's file as an O_PATH descriptor, or -errno. */
static int
open_file(const char *path, struct stat *st)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, st) == 0 && S_ISSOCK(st->st_mode))
		return fd;
	fd_close(fd);
	return -ENOTSOCK;
}

static int
protect_fd(int fd, const struct cab_socket_opts *opts, const char **why)
{
	uid_t uid = opts->owner.name != NULL ? opts->owner.id : (uid_t)-1;
	gid_t gid = opts->group.name != NULL ? opts->group.id : (gid_t)-1;
	char link[sizeof("/proc/self/fd/") + 11];

	if ((opts->owner.name != NULL || opts->group.name != NULL) &&
	    fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0) {
		*why = "its owner and group cannot be set: that takes "
		       "CAP_CHOWN, or a group that the daemon is in";
		return -errno;
	}
	/* fchmod refuses O_PATH descriptors; this is the way that also old kernels know. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (chmod(link, (mode_t)opts->mode) < 0) {
		*why = "its mode cannot be set: is /proc mounted?";
		return -errno;
	}
	return 0;
}

int
unix_file_protect(const struct unix_file *file, const struct cab_sockaddr *addr,
    const struct cab_socket_opts *opts, const char **why)
{
	CAB_AUTO_FD int fd = -1;
	struct stat st;

	*why = NULL;
	if (!file->made)
		return 0;
	fd = open_file(unix_file_path(addr), &st);
	if (fd < 0)
		return fd;
	if (st.st_dev != file->dev || st.st_ino != file->ino) {
		*why = "somebody has put another file in its place";
		return -EEXIST;
	}
	return protect_fd(fd, opts, why);
}

int
unix_file_bind(int fd, int type, const struct cab_sockaddr *addr,
    const struct cab_socket_opts *opts, struct unix_file *ret, const char **why)
{
	struct unix_file made = { .made = true };
	CAB_AUTO_FD int file = -1;
	struct stat st;
	mode_t mask;
	int r;

	*why = NULL;
	r = clear_stale(type, addr, why);
	if (r < 0)
		return r;
	/* Nobody but root can connect until owner and mode are right. */
	mask = umask(0777);
	r = bind(fd, &addr->sa, addr->len) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return r;
	file = open_file(unix_file_path(addr), &st);
	if (file < 0)
		return file;
	made.dev = st.st_dev;
	made.ino = st.st_ino;
	r = protect_fd(file, opts, why);
	if (r < 0)
		unix_file_remove(&made, addr);
	else
		*ret = made;
	return r;
}

/* The directory of our file as a descriptor and its name in it, or -1 if the name is no longer ours. */
static int
find_own(const struct unix_file *file, const struct cab_sockaddr *addr,
    const char **base)
{
	struct stat st;
	int dir;

	if (!file->made)
		return -1;
	dir = open_directory(unix_file_path(addr), base);
	if (dir < 0)
		return -1;
	if (fstatat(dir, *base, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == file->dev && st.st_ino == file->ino)
		return dir;
	return fd_close(dir);
}

bool
unix_file_present(const struct unix_file *file, const struct cab_sockaddr *addr)
{
	CAB_AUTO_FD int dir = -1;
	const char *base;

	dir = find_own(file, addr, &base);
	return dir >= 0;
}

void
unix_file_remove(const struct unix_file *file, const struct cab_sockaddr *addr)
{
	CAB_AUTO_FD int dir = -1;
	const char *base;

	dir = find_own(file, addr, &base);
	if (dir >= 0)
		(void)unlinkat(dir, base, 0);
}
