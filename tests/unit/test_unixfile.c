/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of unix socket files: what a dead program left is replaced, what is
 * alive or is no socket is not touched, owner and mode are right, and only our
 * own file is ever removed.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "supervisor/unixfile.h"

static char directory[] = "/tmp/cab-unixfile-XXXXXX";
static char path[64];
static struct cab_sockaddr addr;

static int
new_socket(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static mode_t
mode_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0 ? st.st_mode : 0;
}

static void
test_path(void **state)
{
	struct cab_sockaddr other = { .len = sizeof(sa_family_t),
		.un = { .sun_family = AF_UNIX } };

	(void)state;
	assert_string_equal(unix_file_path(&addr), path);
	assert_null(unix_file_path(&other));
	other.len += 5;
	memcpy(other.un.sun_path, "\0name", 5);
	assert_null(unix_file_path(&other));
	other.sa.sa_family = AF_INET;
	assert_null(unix_file_path(&other));
}

static void
test_mode(void **state)
{
	static const mode_t modes[] = { 0600, 0660, 0666, 0777, 0 };
	struct cab_socket_opts opts = { 0 };
	struct unix_file file = { 0 };
	const char *why = "";
	mode_t mask;

	(void)state;
	for (size_t i = 0; i < CAB_N(modes); i++) {
		int fd = new_socket(SOCK_STREAM);

		opts.mode = modes[i];
		mask = umask(0123);
		assert_int_equal(
		    unix_file_bind(fd, SOCK_STREAM, &addr, &opts, &file, &why),
		    0);
		/* The mask of everything else is as before. */
		assert_int_equal(umask(mask), 0123);
		assert_null(why);
		assert_true(file.made);
		assert_int_equal(mode_of(path), S_IFSOCK | modes[i]);
		assert_true(unix_file_present(&file, &addr));
		unix_file_remove(&file, &addr);
		assert_int_equal(mode_of(path), 0);
		fd_close(fd);
	}
}

static void
test_owner(void **state)
{
	struct cab_socket_opts opts = { .mode = 0660,
		.owner = { .name = "somebody", .id = 12345 },
		.group = { .name = "some", .id = 54321 } };
	struct unix_file file = { 0 };
	const char *why = NULL;
	int fd = new_socket(SOCK_STREAM);
	struct stat st;

	(void)state;
	if (geteuid() == 0) {
		assert_int_equal(
		    unix_file_bind(fd, SOCK_STREAM, &addr, &opts, &file, &why),
		    0);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(st.st_gid, 54321);
		assert_int_equal(st.st_mode & 07777, 0660);
		opts.group.name = NULL;
		opts.owner.id = 0;
		assert_int_equal(unix_file_protect(&file, &addr, &opts, &why), 0);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_uid, 0);
		assert_int_equal(st.st_gid, 54321);
		unix_file_remove(&file, &addr);
	} else {
		assert_int_equal(
		    unix_file_bind(fd, SOCK_STREAM, &addr, &opts, &file, &why),
		    -EPERM);
		assert_non_null(strstr(why, "CAP_CHOWN"));
		assert_false(file.made);
	}
	assert_int_equal(mode_of(path), 0);
	fd_close(fd);
}

static void
test_stale(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
	struct cab_socket_opts opts = { .mode = 0600 };
	struct unix_file file = { 0 };
	const char *why;

	(void)state;
	/* What was left may be of either type. */
	for (size_t i = 0; i < 4; i++) {
		int dead = new_socket(types[i % 2]),
		    fd = new_socket(types[i / 2]);

		assert_int_equal(bind(dead, &addr.sa, addr.len), 0);
		fd_close(dead);
		assert_true(S_ISSOCK(mode_of(path)));
		assert_int_equal(
		    unix_file_bind(fd, types[i / 2], &addr, &opts, &file, &why),
		    0);
		unix_file_remove(&file, &addr);
		fd_close(fd);
	}
}

static void
test_alive(void **state)
{
	struct cab_socket_opts opts = { .mode = 0600 };
	struct unix_file file = { 0 };
	int alive = new_socket(SOCK_STREAM), fd = new_socket(SOCK_STREAM);
	int client = new_socket(SOCK_STREAM | SOCK_NONBLOCK);
	const char *why;

	(void)state;
	assert_int_equal(bind(alive, &addr.sa, addr.len), 0);
	assert_int_equal(listen(alive, 0), 0);
	assert_int_equal(
	    unix_file_bind(fd, SOCK_STREAM, &addr, &opts, &file, &why),
	    -EADDRINUSE);
	/* So busy that it cannot answer. */
	assert_int_equal(connect(client, &addr.sa, addr.len), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(
	    unix_file_bind(fd, SOCK_STREAM, &addr, &opts, &file, &why),
	    -EADDRINUSE);
	assert_true(S_ISSOCK(mode_of(path)));
	assert_false(file.made);
	fd_close(alive);
	fd_close(fd);
	fd_close(client);
	assert_int_equal(unlink(path), 0);
}

static void
test_no_socket(void **state)
{
	struct cab_socket_opts opts = { .mode = 0600 };
	struct unix_file file = { 0 };
	int fd = new_socket(SOCK_STREAM);
	const char *why = NULL;

	(void)state;
	fd_close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	assert_int_equal(
	    unix_file_bind(fd, SOCK_STREAM, &addr, &opts, &file, &why), -EEXIST);
	assert_non_null(strstr(why, "not a socket"));
	assert_true(S_ISREG(mode_of(path)));
	assert_int_equal(unlink(path), 0);
	/* A link is not followed, wherever it leads. */
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_int_equal(
	    unix_file_bind(fd, SOCK_STREAM, &addr, &opts, &file, &why), -EEXIST);
	assert_true(S_ISLNK(mode_of(path)));
	assert_int_equal(unlink(path), 0);
	fd_close(fd);
}

static void
test_replaced_by_somebody(void **state)
{
	struct cab_socket_opts opts = { .mode = 0600 };
	struct unix_file file = { 0 };
	int fd = new_socket(SOCK_STREAM), other = new_socket(SOCK_STREAM);
	const char *why = NULL;

	(void)state;
	assert_int_equal(
	    unix_file_bind(fd, SOCK_STREAM, &addr, &opts, &file, &why), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bind(other, &addr.sa, addr.len), 0);
	assert_int_equal(chmod(path, 0751), 0);
	assert_int_equal(unix_file_protect(&file, &addr, &opts, &why), -EEXIST);
	assert_non_null(strstr(why, "another file"));
	assert_int_equal(mode_of(path), S_IFSOCK | 0751);
	assert_false(unix_file_present(&file, &addr));
	unix_file_remove(&file, &addr);
	assert_int_equal(mode_of(path), S_IFSOCK | 0751);
	assert_int_equal(unlink(path), 0);
	assert_false(unix_file_present(&file, &addr));
	unix_file_remove(&file, &addr);
	fd_close(fd);
	fd_close(other);
}

static void
test_nothing_made(void **state)
{
	struct cab_socket_opts opts = { .mode = 0600 };
	struct unix_file file = { 0 };
	const char *why = "";

	(void)state;
	assert_int_equal(unix_file_protect(&file, &addr, &opts, &why), 0);
	assert_null(why);
	unix_file_remove(&file, &addr);
}

static int
set_up(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/sock", directory);
	addr.un.sun_family = AF_UNIX;
	memcpy(addr.un.sun_path, path, strlen(path) + 1);
	addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(path) + 1);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_mode),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_alive),
		cmocka_unit_test(test_no_socket),
		cmocka_unit_test(test_replaced_by_somebody),
		cmocka_unit_test(test_nothing_made),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
