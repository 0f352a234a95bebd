/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the supervisor opens for the config role: ordinary files that nobody
 * else can have written, and nothing that is opened just by looking at it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "conf/model.h"
#include "supervisor/files.h"

static char dir[64];
static char path[128]; /* what in_dir made last */

static const char *
in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void
make(const char *name, const char *text, mode_t mode)
{
	int fd = open(
	    in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int
setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/cabinetd-test-files-XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "a.conf", "b.conf", "fifo", "sock",
		"link", "loop", "big", "c", ".h.conf", "d.conf", "sub",
		"secret", "secret.conf", "prog" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (unlink(in_dir(names[i])) < 0)
			rmdir(in_dir(names[i]));
	return rmdir(dir);
}

static void
opens_ordinary_files(void **state)
{
	char why[FILES_WHY], *text;
	size_t n;
	int fd;

	(void)state;
	make("a.conf", "hello", 0600);
	fd = files_open(in_dir("a.conf"), geteuid() == 0, false, why);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_read_all(fd, 100, &text, &n), 0);
	assert_string_equal(text, "hello");
	free(text);
	close(fd);
	/* By way of a link, too. */
	assert_int_equal(symlink("a.conf", in_dir("link")), 0);
	fd = files_open(in_dir("link"), false, false, why);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(files_open(in_dir("none"), false, true, why), -ENOENT);
	assert_string_equal(why, "");
}

static void
refuses_everything_else(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char why[FILES_WHY];
	int fd;

	(void)state;
	assert_int_equal(files_open(dir, false, true, why), -EISDIR);
	assert_string_equal(why, "is a directory");
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	/* Would wait for ever if it were opened. */
	assert_int_equal(files_open(in_dir("fifo"), false, true, why), -EINVAL);
	assert_non_null(strstr(why, "FIFO"));
	assert_int_equal(files_open("/dev/zero", false, true, why), -EINVAL);
	assert_non_null(strstr(why, "device"));
	assert_int_equal(files_open("/proc/self/mem", false, true, why), -EINVAL);
	assert_non_null(strstr(why, "not an ordinary file"));
	assert_int_equal(
	    files_open("/proc/self/environ", false, true, why), -EINVAL);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_true(snprintf(un.sun_path, sizeof(un.sun_path), "%s/sock", dir) <
	    (int)sizeof(un.sun_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	assert_int_equal(files_open(in_dir("sock"), false, true, why), -EINVAL);
	assert_non_null(strstr(why, "socket"));
	assert_int_equal(symlink("loop", in_dir("loop")), 0);
	assert_int_equal(files_open(in_dir("loop"), false, true, why), -ELOOP);
	make("big", "", 0600);
	assert_int_equal(truncate(in_dir("big"), (1 << 20) + 1), 0);
	assert_int_equal(files_open(in_dir("big"), false, true, why), -EFBIG);
	assert_non_null(strstr(why, "1 MiB"));
}

static void
root_believes_only_what_root_wrote(void **state)
{
	static const mode_t modes[] = { 0664, 0646, 0666, 0620, 0602 };
	char why[FILES_WHY], remedy[FILES_WHY];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		make("a.conf", "x", modes[i]);
		assert_int_equal(
		    files_open(in_dir("a.conf"), true, true, why), -EPERM);
		snprintf(remedy, sizeof(remedy), "chmod go-w %s", path);
		assert_non_null(strstr(why, remedy));
		/* A plain user has nobody's rights to lose but his own. */
		close(files_open(in_dir("a.conf"), false, true, why));
		assert_string_equal(why, "");
	}
	if (geteuid() != 0)
		return;
	make("a.conf", "x", 0644);
	assert_int_equal(chown(in_dir("a.conf"), 65534, 65534), 0);
	assert_int_equal(files_open(path, true, true, why), -EPERM);
	assert_non_null(strstr(why, "owned by user 65534"));
	assert_int_equal(chown(path, 0, 0), 0);
}

static void
root_gives_no_secrets_away(void **state)
{
	char why[FILES_WHY];
	int fd;

	(void)state;
	make("secret", "x", 0600);
	make("secret.conf", "x", 0600);
	/* As included file; as the one that root named, and as drop-in. */
	assert_int_equal(files_open(in_dir("secret"), true, false, why), -EPERM);
	assert_non_null(strstr(why, "end in .conf"));
	fd = files_open(in_dir("secret"), true, true, why);
	assert_true(fd >= 0);
	close(fd);
	fd = files_open(in_dir("secret.conf"), true, false, why);
	assert_true(fd >= 0);
	close(fd);
}

static void
lists_what_ends_in_conf(void **state)
{
	static const char expected[] = "a.conf\0b.conf\0d.conf";
	char why[FILES_WHY], *names;
	size_t n;
	int fd;

	(void)state;
	make("b.conf", "", 0600);
	make("a.conf", "", 0600);
	make("c", "", 0600);
	make(".h.conf", "", 0600);
	assert_int_equal(mkdir(in_dir("d.conf"), 0700), 0);
	fd = files_list(dir, geteuid() == 0, why);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE);
	assert_int_equal(fd_read_all(fd, 1000, &names, &n), 0);
	close(fd);
	assert_int_equal(n, sizeof(expected));
	assert_memory_equal(names, expected, n);
	free(names);

	assert_int_equal(mkdir(in_dir("sub"), 0700), 0);
	fd = files_list(path, false, why);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(files_list(in_dir("none"), false, why), -ENOENT);
	assert_int_equal(files_list(in_dir("c"), false, why), -ENOTDIR);
	assert_int_equal(chmod(in_dir("sub"), 0777), 0);
	assert_int_equal(files_list(path, true, why), -EPERM);
	assert_non_null(strstr(why, "chmod go-w"));
}

static void
probes(void **state)
{
	(void)state;
	make("c", "", 0600);
	make("prog", "", 0700);
	assert_int_equal(files_probe(in_dir("prog"), CAB_PROBE_PROGRAM), 0);
	assert_int_equal(files_probe(in_dir("c"), CAB_PROBE_PROGRAM), -EACCES);
	assert_int_equal(files_probe(dir, CAB_PROBE_PROGRAM), -EISDIR);
	assert_int_equal(files_probe("/dev/null", CAB_PROBE_PROGRAM), -EINVAL);
	assert_int_equal(files_probe(in_dir("none"), CAB_PROBE_PROGRAM), -ENOENT);
	assert_int_equal(files_probe(dir, CAB_PROBE_DIR), 0);
	assert_int_equal(files_probe(in_dir("c"), CAB_PROBE_DIR), -ENOTDIR);
	assert_int_equal(files_probe(in_dir("c"), CAB_PROBE_FILE), 0);
	assert_int_equal(files_probe(dir, CAB_PROBE_FILE), -EISDIR);
	assert_int_equal(files_probe(dir, 7), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    opens_ordinary_files, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    refuses_everything_else, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    root_believes_only_what_root_wrote, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    root_gives_no_secrets_away, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    lists_what_ends_in_conf, setup, teardown),
		cmocka_unit_test_setup_teardown(probes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
