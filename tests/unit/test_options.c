/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the command line: every option, and that nothing unknown is ever
 * taken for "start with the defaults".
 */

#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "supervisor/options.h"

#define ARGS(...)                             \
	(const char *const[])                 \
	{                                     \
		"cabinetd", __VA_ARGS__, NULL \
	}

static char text[512];

/* Parses; the message, if any, is in text. */
static int
parse(const char *const args[], struct options *options)
{
	char **argv = (char **)(uintptr_t)args;
	FILE *saved = stderr;
	int argc = 0, r;

	while (argv[argc] != NULL)
		argc++;
	memset(text, 0, sizeof(text));
	stderr = fmemopen(text, sizeof(text) - 1, "w");
	assert_non_null(stderr);
	/* Once more from the start. */
	optind = 0;
	*options = (struct options){ 0 };
	r = options_parse(argc, argv, options);
	fclose(stderr);
	stderr = saved;
	return r;
}

static void
assert_mode(const char *const argv[], enum options_mode mode, const char *config)
{
	struct options options;

	assert_int_equal(parse(argv, &options), 0);
	assert_int_equal(options.mode, mode);
	assert_string_equal(options.config, config);
	assert_string_equal(text, "");
	options_release(&options);
	assert_null(options.config);
}

static void
assert_usage(const char *const argv[], const char *says)
{
	struct options options;

	assert_int_equal(parse(argv, &options), EX_USAGE);
	assert_null(options.config);
	if (strstr(text, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", text, says);
	options_release(&options);
}

static void
test_modes(void **state)
{
	(void)state;
	assert_mode((const char *const[]){ "cabinetd", NULL }, OPTIONS_RUN,
	    CAB_CONFIG_FILE);
	assert_mode(ARGS("-c", "/x"), OPTIONS_RUN, "/x");
	assert_mode(ARGS("-c/x"), OPTIONS_RUN, "/x");
	assert_mode(ARGS("--config", "/x"), OPTIONS_RUN, "/x");
	assert_mode(ARGS("--config=/x"), OPTIONS_RUN, "/x");
	assert_mode(ARGS("--check"), OPTIONS_CHECK, CAB_CONFIG_FILE);
	assert_mode(ARGS("-c", "/x", "--check"), OPTIONS_CHECK, "/x");
	assert_mode(ARGS("--check", "-c", "/x"), OPTIONS_CHECK, "/x");
	assert_mode(ARGS("--print-config"), OPTIONS_PRINT, CAB_CONFIG_FILE);
	assert_mode(ARGS("--dump-schema"), OPTIONS_SCHEMA, CAB_CONFIG_FILE);
	assert_mode(ARGS("--version"), OPTIONS_VERSION, CAB_CONFIG_FILE);
	assert_mode(ARGS("--help"), OPTIONS_HELP, CAB_CONFIG_FILE);
	assert_mode(ARGS("--"), OPTIONS_RUN, CAB_CONFIG_FILE);
}

static void
test_relative_path(void **state)
{
	char *cwd = getcwd(NULL, 0);
	char want[4096];

	(void)state;
	assert_non_null(cwd);
	snprintf(want, sizeof(want), "%s/some.conf", cwd);
	assert_mode(ARGS("-c", "some.conf"), OPTIONS_RUN, want);
	free(cwd);
}

static void
test_bad_usage(void **state)
{
	(void)state;
	assert_usage(ARGS("--no-such-option"), "--no-such-option");
	assert_usage(ARGS("-Z"), "-Z");
	assert_usage(ARGS("--chek"), "did you mean --check?");
	assert_usage(ARGS("--print-confg"), "did you mean --print-config?");
	assert_usage(ARGS("-c", "/x", "--verison"), "did you mean --version?");
	assert_usage(ARGS("-c"), "file name is missing");
	assert_usage(ARGS("--config"), "file name is missing");
	assert_usage(ARGS("-c", ""), "file name is missing");
	assert_usage(ARGS("--check=yes"), "takes no value");
	assert_usage(ARGS("surplus"), "surplus");
	assert_usage(ARGS("--check", "surplus"), "surplus");
	assert_usage(ARGS("--", "--check"), "--check");
	/* Nothing raw reaches the terminal. */
	assert_usage(ARGS("--\033[31m"), "--\\x1b[31m");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_relative_path),
		cmocka_unit_test(test_bad_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
