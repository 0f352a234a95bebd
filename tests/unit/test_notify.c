/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of what systemd is told, with its end of the notify socket in the test.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "supervisor/notify.h"
#include "tests/support/events.h"

#define PATIENCE UINT64_C(20000000) /* us */

static int manager = -1;
static char note[1024];

/* What was sent last; "" when there is nothing. */
static const char *
next_note(void)
{
	ssize_t n = recv(manager, note, sizeof(note) - 1, MSG_DONTWAIT);

	note[n > 0 ? n : 0] = '\0';
	return note;
}

static void
test_notes(void **state)
{
	(void)state;
	notify_ready("Serving %d services", 5);
	assert_string_equal(next_note(), "READY=1\nSTATUS=Serving 5 services");
	notify_reloading();
	next_note();
	assert_memory_equal(note, "RELOADING=1\nMONOTONIC_USEC=", 27);
	assert_int_not_equal(strtoull(note + 27, NULL, 10), 0);
	assert_non_null(strstr(note, "\nSTATUS="));
	notify_status("%s", "busy");
	assert_string_equal(next_note(), "STATUS=busy");
	notify_stopping(1500, "Draining");
	assert_string_equal(next_note(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=1500000\nSTATUS=Draining");
	assert_string_equal(next_note(), "");
}

static void
test_nobody_listens(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_ready("x");
	notify_reloading();
	notify_stopping(0, "x");
	assert_string_equal(next_note(), "");
}

/* A manager that hangs must not make us hang. */
static void
test_nobody_reads(void **state)
{
	unsigned sent = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		notify_status("note %u", i);
	while (next_note()[0] != '\0')
		sent++;
	assert_true(sent > 0 && sent < 5000);
	for (unsigned i = 0; i < 5000; i++)
		notify_status("note %u", i);
	notify_ready("at last");
	while (next_note()[0] != '\0')
		assert_memory_equal(note, "STATUS=", 7);
	notify_ready("really");
	assert_string_equal(next_note(), "READY=1\nSTATUS=really");
}

static void
test_bad_addresses(void **state)
{
	char longer[200];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longer, 1);
	notify_status("x");
	setenv("NOTIFY_SOCKET", "", 1);
	notify_status("x");
	setenv("NOTIFY_SOCKET", "@", 1);
	notify_status("x");
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_status("x");
	setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
	notify_ready("x");
	assert_string_equal(next_note(), "");
}

static bool healthy;

static bool
is_healthy(void *arg)
{
	assert_ptr_equal(arg, &healthy);
	return healthy;
}

static void
test_watchdog(void **state)
{
	struct notify_watchdog *watchdog = NULL;
	sd_event *event = NULL;
	char pid[16];

	(void)state;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	setenv("WATCHDOG_USEC", "60000", 1);
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(
	    notify_watchdog(event, is_healthy, &healthy, &watchdog), 0);
	assert_non_null(watchdog);
	healthy = true;
	for (unsigned i = 0; i < 3; i++) {
		assert_true(events_run(event, PATIENCE) > 0);
		assert_string_equal(next_note(), "WATCHDOG=1");
	}
	healthy = false;
	for (unsigned i = 0; i < 3; i++) {
		assert_true(events_run(event, PATIENCE) > 0);
		assert_string_equal(next_note(), "");
	}
	healthy = true;
	assert_true(events_run(event, PATIENCE) > 0);
	assert_string_equal(next_note(), "WATCHDOG=1");
	notify_watchdog_free(watchdog);
	sd_event_unref(event);
}

static void
test_no_watchdog(void **state)
{
	struct notify_watchdog *watchdog = (void *)&healthy;
	sd_event *event = NULL;

	(void)state;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(
	    notify_watchdog(event, is_healthy, &healthy, &watchdog), 0);
	assert_null(watchdog);
	notify_watchdog_free(watchdog);
	sd_event_unref(event);
}

static int
set_up(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len;
	int n;

	(void)state;
	log_set_level(CAB_LOG_ERR - 1);
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1,
	    "cab-test-notify-%d", (int)getpid());
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (manager < 0 || bind(manager, (struct sockaddr *)&un, len) < 0)
		return -1;
	un.sun_path[0] = '@';
	return setenv("NOTIFY_SOCKET", un.sun_path, 1);
}

static int
tear_down(void **state)
{
	(void)state;
	manager = fd_close(manager);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_notes),
		TEST(test_nobody_listens),
		TEST(test_nobody_reads),
		TEST(test_bad_addresses),
		TEST(test_watchdog),
		TEST(test_no_watchdog),
	};

	return cmocka_run_group_tests(tests, events_load, NULL);
}
