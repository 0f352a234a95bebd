/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens files for the config role.  Supervisor only, possibly root: nothing is
 * opened before it is known to be an ordinary file, because opening a device or
 * a FIFO has effects; nothing that others may write is believed; and no file is
 * handed out that the role could only want in order to give its secrets away.
 */
#include "supervisor/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "conf/model.h"

#define FILE_MAX  ((off_t)1 << 20)
#define NAMES_MAX ((size_t)1 << 20)

static int __attribute__((format(printf, 3, 4)))
refuse(char why[FILES_WHY], int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, FILES_WHY, fmt, ap);
	va_end(ap);
	return error;
}

static bool
ends_in_conf(const char *name)
{
	size_t n = strlen(name);

	return n >= 5 && strcmp(name + n - 5, ".conf") == 0;
}

/* File systems whose "files" are the kernel's or a process's memory. */
static bool
is_virtual(int fd)
{
	static const long kinds[] = { PROC_SUPER_MAGIC, SYSFS_MAGIC,
		DEBUGFS_MAGIC, TRACEFS_MAGIC, SECURITYFS_MAGIC,
		CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC };
	struct statfs fs;
	size_t i;

	if (fstatfs(fd, &fs) < 0)
		return true;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((long)fs.f_type == kinds[i])
			return true;
	return false;
}

static int
refuse_kind(char why[FILES_WHY], mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return refuse(why, -EISDIR, "is a directory");
	case S_IFIFO:
		return refuse(why, -EINVAL, "is a FIFO (a named pipe)");
	case S_IFSOCK:
		return refuse(why, -EINVAL, "is a socket");
	case S_IFCHR:
	case S_IFBLK:
		return refuse(why, -EINVAL, "is a device");
	default:
		return refuse(why, -EINVAL, "is not an ordinary file");
	}
}

/* Who can write it decides what root does: nobody but root may. */
static int
check_writers(const char *path, const struct stat *st, char why[FILES_WHY])
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return refuse(why, -EPERM,
		    "is owned by user %u, who could write into it what root "
		    "does: chown root %s",
		    (unsigned)st->st_uid, path);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return refuse(why, -EPERM,
		    "can be written by others than root: chmod go-w %s", path);
	return 0;
}

/* The same file, now for reading. */
static int
reopen(int fd, const char *path, const struct stat *st)
{
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, again;
	char link[32];
	struct stat now;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	again = open(link, flags);
	if (again >= 0 || errno != ENOENT)
		return again < 0 ? -errno : again;
	/* Without /proc: by name, if it still is the same. */
	again = open(path, flags);
	if (again < 0)
		return -errno;
	if (fstat(again, &now) < 0 || now.st_dev != st->st_dev ||
	    now.st_ino != st->st_ino) {
		fd_close(again);
		return -EBUSY;
	}
	return again;
}

int
files_open(const char *path, bool privileged, bool first, char why[FILES_WHY])
{
	CAB_AUTO_FD int fd = -1;
	struct stat st;
	int r;

	why[0] = '\0';
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return refuse_kind(why, st.st_mode);
	if (is_virtual(fd))
		return refuse(why, -EINVAL, "is not an ordinary file");
	if (st.st_size > FILE_MAX)
		return refuse(why, -EFBIG, "is larger than 1 MiB");
	if (privileged) {
		r = check_writers(path, &st, why);
		if (r < 0)
			return r;
		/* Or the reader could be made to ask for /etc/shadow. */
		if (!first && !(st.st_mode & S_IROTH) && !ends_in_conf(path))
			return refuse(why, -EPERM,
			    "cannot be read by everybody, and then its name has "
			    "to end in .conf");
	}
	return reopen(fd, path, &st);
}

/* ---- directories -------------------------------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **v;
	size_t n, cap, bytes;
};

static int
names_add(struct names *names, const char *name)
{
	char **more;

	names->bytes += strlen(name) + 1;
	if (names->bytes > NAMES_MAX)
		return -E2BIG;
	if (names->n == names->cap) {
		names->cap = names->cap == 0 ? 64 : names->cap * 2;
		more = realloc(names->v, names->cap * sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		names->v = more;
	}
	names->v[names->n] = strdup(name);
	if (names->v[names->n] == NULL)
		return -ENOMEM;
	names->n++;
	return 0;
}

static int
names_read(struct names *names, DIR *dir)
{
	const struct dirent *entry;
	int r = 0;

	for (errno = 0; r == 0 && (entry = readdir(dir)) != NULL; errno = 0)
		if (entry->d_name[0] != '.' && ends_in_conf(entry->d_name))
			r = names_add(names, entry->d_name);
	return r < 0 ? r : -errno;
}

static int
names_memfd(struct names *names)
{
	struct cab_buf text = CAB_BUF_INIT(0);
	size_t i;
	int r = 0;

	if (names->n > 0)
		qsort(names->v, names->n, sizeof(*names->v), compare_names);
	for (i = 0; r == 0 && i < names->n; i++)
		r = buf_append(&text, names->v[i], strlen(names->v[i]) + 1);
	if (r == 0)
		r = fd_sealed_memfd(
		    "cabinetd-names", buf_slice(&text).p, buf_len(&text));
	buf_release(&text);
	return r;
}

int
files_list(const char *path, bool privileged, char why[FILES_WHY])
{
	struct names names = { 0 };
	struct stat st;
	DIR *dir = NULL;
	size_t i;
	int fd, r;

	why[0] = '\0';
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && privileged)
		r = check_writers(path, &st, why);
	if (r == 0)
		dir = fdopendir(fd);
	if (r == 0 && dir == NULL)
		r = -errno;
	if (dir == NULL) {
		fd_close(fd);
		return r;
	}
	r = names_read(&names, dir);
	closedir(dir);
	if (r == 0)
		r = names_memfd(&names);
	for (i = 0; i < names.n; i++)
		free(names.v[i]);
	free(names.v);
	return r;
}

/* ---- probes ----------------------------------------------------------------------------- */

int
files_probe(const char *path, uint32_t kind)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (kind == CAB_PROBE_DIR)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	if (kind != CAB_PROBE_PROGRAM && kind != CAB_PROBE_FILE)
		return -EINVAL;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (faccessat(AT_FDCWD, path, kind == CAB_PROBE_PROGRAM ? X_OK : R_OK,
		AT_EACCESS) < 0)
		return -errno;
	return 0;
}
