/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors: flags, sealed memory files, whole files of every kind, and
 * errno untouched by closing.
 *
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
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"

static void
closes_without_losing_errno(void **state)
{
	int pair[2], copy;

	(void)state;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	errno = EXDEV;
	copy = pair[0];
	pair[0] = fd_close(pair[0]);
	assert_int_equal(pair[0], -1);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
	errno = EXDEV;
	assert_int_equal(fd_close(-1), -1);
	assert_int_equal(errno, EXDEV);
	{
		CAB_AUTO_FD int owned = pair[1];

		assert_true(fcntl(owned, F_GETFD) >= 0);
	}
	assert_int_equal(fcntl(pair[1], F_GETFD), -1);
}

static void
sets_flags(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(pipe2(pair, 0), 0);
	assert_int_equal(fd_set_cloexec(pair[0], 1), 0);
	assert_int_equal(fcntl(pair[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fd_set_cloexec(pair[0], 0), 0);
	assert_int_equal(fcntl(pair[0], F_GETFD) & FD_CLOEXEC, 0);
	assert_int_equal(fd_set_nonblock(pair[0], 1), 0);
	assert_true(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_set_nonblock(pair[0], 0), 0);
	assert_false(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	fd_close(pair[0]);
	fd_close(pair[1]);
	assert_int_equal(fd_set_nonblock(-1, 1), -EBADF);
	assert_int_equal(fd_set_cloexec(-1, 1), -EBADF);
}

static void
seals_memory_files(void **state)
{
	char big[20000], *back;
	size_t n;
	int fd;

	(void)state;
	memset(big, 'q', sizeof(big));
	fd = fd_sealed_memfd("test", big, sizeof(big));
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 100000), -1);
	assert_ptr_equal(
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
	    MAP_FAILED);
	/* Wherever the offset stands, which all holders share. */
	assert_int_equal(lseek(fd, 100, SEEK_SET), 100);
	assert_int_equal(fd_read_all(fd, sizeof(big), &back, &n), 0);
	assert_int_equal(n, sizeof(big));
	assert_memory_equal(back, big, n);
	assert_int_equal(back[n], '\0');
	free(back);
	assert_int_equal(fd_read_all(fd, sizeof(big) - 1, &back, &n), -EFBIG);
	fd_close(fd);
	fd = fd_sealed_memfd("empty", NULL, 0);
	assert_int_equal(fd_read_all(fd, 0, &back, &n), 0);
	assert_int_equal(n, 0);
	assert_string_equal(back, "");
	free(back);
	fd_close(fd);
}

static void
reads_pipes_and_proc(void **state)
{
	char *back = NULL;
	int pair[2], fd;
	size_t n = 4711;

	(void)state;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(fd_write_all(pair[1], "through a pipe", 14), 0);
	fd_close(pair[1]);
	assert_int_equal(fd_read_all(pair[0], 14, &back, &n), 0);
	assert_string_equal(back, "through a pipe");
	free(back);
	fd_close(pair[0]);
	/* fstat says 0 bytes, reading says otherwise. */
	fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_read_all(fd, 1 << 20, &back, &n), 0);
	assert_non_null(strstr(back, "Pid:"));
	free(back);
	fd_close(fd);
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	back = (char *)&n;
	assert_int_equal(fd_read_all(fd, 1 << 20, &back, &n), -EFBIG);
	assert_ptr_equal(back, &n);
	fd_close(fd);
	fd = open("/", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_read_all(fd, 1 << 20, &back, &n), -EISDIR);
	fd_close(fd);
	assert_int_equal(fd_read_all(-1, 10, &back, &n), -EBADF);
}

static void
writes_all_or_says_why(void **state)
{
	char big[300000];
	int pair[2];

	(void)state;
	memset(big, 0, sizeof(big));
	assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(fd_write_all(pair[1], big, sizeof(big)), -EAGAIN);
	fd_close(pair[1]);
	fd_close(pair[0]);
	assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
	assert_int_equal(fd_write_all(-1, "x", 0), 0);
}

static void
raises_the_limit(void **state)
{
	struct rlimit old, now;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	now = (struct rlimit){ .rlim_cur = 64, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	assert_true(fd_raise_limit() == old.rlim_max);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	assert_true(now.rlim_cur == old.rlim_max);
	assert_true(fd_raise_limit() == old.rlim_max);
	setrlimit(RLIMIT_NOFILE, &old);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closes_without_losing_errno),
		cmocka_unit_test(sets_flags),
		cmocka_unit_test(seals_memory_files),
		cmocka_unit_test(reads_pipes_and_proc),
		cmocka_unit_test(writes_all_or_says_why),
		cmocka_unit_test(raises_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
