/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of what a configuration says about the daemon as a whole.
 */

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "stats/board.h"
#include "supervisor/settings.h"

static void
test_log_level(void **state)
{
	struct cab_conf conf = { .log.level = CAB_LOG_LEVEL_ERROR };

	(void)state;
	assert_int_equal(settings_log_level(&conf), CAB_LOG_ERR);
	conf.log.level = CAB_LOG_LEVEL_NOTICE;
	assert_int_equal(settings_log_level(&conf), CAB_LOG_NOTICE);
	conf.log.level = CAB_LOG_LEVEL_DEBUG;
	assert_int_equal(settings_log_level(&conf), CAB_LOG_DEBUG);
}

static void
test_log_target(void **state)
{
	struct cab_conf conf = { .log.target = CAB_LOG_TO_AUTO };
	char stream[64];
	struct stat st;

	(void)state;
	unsetenv("JOURNAL_STREAM");
	assert_int_equal(settings_log_target(&conf), CAB_LOG_STDERR);
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	assert_int_equal(settings_log_target(&conf), CAB_LOG_JOURNAL);
	conf.log.target = CAB_LOG_TO_STDERR;
	assert_int_equal(settings_log_target(&conf), CAB_LOG_STDERR);
	unsetenv("JOURNAL_STREAM");
	conf.log.target = CAB_LOG_TO_JOURNAL;
	assert_int_equal(settings_log_target(&conf), CAB_LOG_JOURNAL);
}

static void
test_workers(void **state)
{
	struct cab_conf conf = { .workers = 7 };
	cpu_set_t all, one;
	int cpu = 0;

	(void)state;
	assert_int_equal(settings_workers(&conf), 7);
	conf.workers = 1000;
	assert_int_equal(settings_workers(&conf), BOARD_WORKERS);
	/* One for each processor that we may use, not that there is. */
	conf.workers = 0;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(settings_workers(&conf), 1);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_true(settings_workers(&conf) >= 1);
}

static void
test_misfit(void **state)
{
	struct cab_service services[] = {
		{ .name = "unlimited", .enabled = true },
		{ .name = "fits", .enabled = true, .limits.connections = 200 },
		{ .name = "over", .enabled = true, .limits.connections = 201 },
		{ .name = "worst", .enabled = true, .limits.connections = 1000 },
		{ .name = "off", .limits.connections = 5000 },
	};
	struct cab_conf conf = { .services = services, .n_services = 2 };

	(void)state;
	assert_null(settings_misfit(&conf, 2, 100));
	conf.n_services = 5;
	assert_string_equal(settings_misfit(&conf, 2, 100)->name, "worst");
	assert_null(settings_misfit(&conf, 64, SIZE_MAX));
}

static void
test_hog(void **state)
{
	struct cab_exec exec = { .program = "/bin/true" };
	struct cab_service services[] = {
		{ .enabled = true, .limits = { .per_source = 100 } },
		{ .enabled = true,
		    .limits = { .per_source = 100, .connections = 20 } },
		{ .enabled = true, .limits.connections = 30 },
		{ .limits.per_source = 1000 },
		{ .enabled = true, .exec = &exec },
		{ .enabled = true },
	};
	struct cab_conf conf = { .services = services, .n_services = 5 };

	(void)state;
	assert_int_equal(settings_hog(&conf, 2, 75), 0);
	assert_int_equal(settings_hog(&conf, 2, 74), 150);
	assert_int_equal(settings_hog(&conf, 64, SIZE_MAX), 0);
	conf.n_services = 6;
	assert_int_equal(settings_hog(&conf, 64, SIZE_MAX), INT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_level),
		cmocka_unit_test(test_log_target),
		cmocka_unit_test(test_workers),
		cmocka_unit_test(test_misfit),
		cmocka_unit_test(test_hog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
