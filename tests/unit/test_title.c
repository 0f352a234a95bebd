/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The title: what the kernel shows afterwards, and an environment that is still
 * whole.  Runs on the process's own command line, so all of it is one test.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/title.h"

static int own_argc;
static char **own_argv;

static void
expect_title(const char *want)
{
	char *text;
	size_t n;
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_read_all(fd, 1 << 20, &text, &n), 0);
	assert_string_equal(text, want);
	free(text);
	fd_close(fd);
}

static void
shows_the_title(void **state)
{
	(void)state;
	title_set(own_argc, own_argv, "cabinetd: a title of some length");
	expect_title("cabinetd: a title of some length");
	/* The old text is gone from memory, its copy is not. */
	assert_string_equal(getenv("CAB_TEST_TITLE"), "stays");
	assert_int_equal(unsetenv("CAB_TEST_TITLE"), 0);
	assert_null(getenv("CAB_TEST_TITLE"));
	assert_int_equal(setenv("CAB_TEST_TITLE", "again", 1), 0);
	assert_string_equal(getenv("CAB_TEST_TITLE"), "again");
	assert_non_null(getenv("PATH"));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(shows_the_title) };

	/* Started again, so that the variable lies in the memory in question. */
	if (getenv("CAB_TEST_TITLE") == NULL) {
		setenv("CAB_TEST_TITLE", "stays", 1);
		setenv("PATH", "/usr/bin:/bin", 0);
		execv("/proc/self/exe", argv);
		return EXIT_FAILURE;
	}
	own_argc = argc;
	own_argv = argv;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
