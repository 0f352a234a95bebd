/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log: lines and gates, seen at the far end of a file, a pipe and a socket put
 * in the place of stderr.  A target that takes nothing costs records, never
 * time. The journal's form is tested against a socket of the test's own.
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
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/event.h"

static int saved_stderr;

/* From here to put_back the log's stderr is fd. */
static void
put_in_place(int fd)
{
	saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	assert_true(saved_stderr >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

static void
put_back(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	saved_stderr = fd_close(saved_stderr);
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, NULL);
}

static size_t
drain(int fd, char *out, size_t cap)
{
	ssize_t n;
	size_t all = 0;

	while (all < cap - 1 && (n = read(fd, out + all, cap - 1 - all)) > 0)
		all += (size_t)n;
	out[all] = '\0';
	return all;
}

static void
writes_one_line_each(void **state)
{
	const struct cab_log_field fields[] = {
		{ "SERVICE", "web", 0, false },
		{ "PEER", "evil\nline \"x\"\x1b[2J", 0, false },
		{ "EMPTY", "", 0, false },
		{ "PART", "abcdef", 3, false },
	};
	FILE *file = tmpfile();
	char out[4096];

	(void)state;
	assert_non_null(file);
	put_in_place(fileno(file));
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, "worker 0");
	log_fields(CAB_LOG_INFO, "0123456789abcdef0123456789abcdef", fields, 4,
	    "hello %d", 3);
	log_error("two\nlines");
	log_debug("not at this level");
	log_set_level(CAB_LOG_DEBUG);
	log_debug("now");
	log_open(CAB_LOG_STDERR, CAB_LOG_WARNING, NULL);
	log_notice("not at this level");
	log_warning("no role");
	put_back();
	rewind(file);
	drain(fileno(file), out, sizeof(out));
	assert_string_equal(out,
	    "cabinetd[worker 0]: info: hello 3 SERVICE=web "
	    "PEER=\"evil\\x0aline \\x22x\\x22\\x1b[2J\" EMPTY=\"\" PART=abc\n"
	    "cabinetd[worker 0]: error: two\\x0alines\n"
	    "cabinetd[worker 0]: debug: now\n"
	    "cabinetd: warning: no role\n");
	fclose(file);
}

/* Longer than any line may be, in the text and in a value: one line, ended, in bounds. */
static void
cuts_long_records(void **state)
{
	char big[20000], out[20000];
	struct cab_log_field field = { "BIG", big, 0, false };
	FILE *file = tmpfile();
	size_t n, size;

	(void)state;
	for (size = 3900; size < sizeof(big); size += size < 4200 ? 1 : 5000) {
		memset(big, 'x', sizeof(big));
		big[size] = '\0';
		put_in_place(fileno(file));
		log_open(CAB_LOG_STDERR, CAB_LOG_INFO, "t");
		log_fields(CAB_LOG_INFO, NULL, &field, 1, "short");
		log_fields(CAB_LOG_INFO, NULL, &field, 1, "%s", big);
		put_back();
		rewind(file);
		n = drain(fileno(file), out, sizeof(out));
		assert_int_equal(ftruncate(fileno(file), 0), 0);
		rewind(file);
		assert_true(n <= 8192);
		assert_int_equal(out[n - 1], '\n');
		assert_ptr_equal(
		    strchr(strchr(out, '\n') + 1, '\n'), out + n - 1);
	}
	fclose(file);
}

/* Every byte of a value, alone: what arrives is printable and one line. */
static void
lets_no_raw_byte_through(void **state)
{
	FILE *file = tmpfile();
	char out[65536], value[1];
	const struct cab_log_field field = { "V", value, 1, false };
	size_t n, i, lines = 0;
	int c;

	(void)state;
	put_in_place(fileno(file));
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, "t");
	for (c = 0; c < 256; c++) {
		value[0] = (char)c;
		log_fields(CAB_LOG_INFO, NULL, &field, 1, "byte");
	}
	put_back();
	rewind(file);
	n = drain(fileno(file), out, sizeof(out));
	for (i = 0; i < n; i++) {
		lines += out[i] == '\n';
		assert_true(out[i] == '\n' || (out[i] >= 0x20 && out[i] < 0x7f));
	}
	assert_int_equal(lines, 256);
	fclose(file);
}

static void
drops_instead_of_blocking(int reader, int writer)
{
	uint64_t before = log_dropped(), lost;
	char out[1 << 20];
	size_t n = 0, i, lines = 0;

	put_in_place(writer);
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, "t");
	for (i = 0; i < 20000; i++)
		log_info("record %zu of a flood that nobody reads", i);
	lost = log_dropped() - before;
	assert_true(lost > 0 && lost < 20000);
	fd_set_nonblock(reader, 1);
	n = drain(reader, out, sizeof(out));
	log_info("the reader is back");
	put_back();
	for (i = 0; i < n; i++)
		lines += out[i] == '\n';
	assert_int_equal(lines + lost, 20000);
	drain(reader, out, sizeof(out));
	assert_non_null(strstr(out, "the reader is back\n"));
	assert_non_null(strstr(out, " log records were lost"));
	assert_int_equal(strtoull(strstr(out, "warning: ") + 9, NULL, 10), lost);
}

static void
never_waits_for_a_pipe(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	drops_instead_of_blocking(pair[0], pair[1]);
	/* The pipe's own flags are other people's business. */
	assert_false(fcntl(pair[1], F_GETFL) & O_NONBLOCK);
	fd_close(pair[0]);
	fd_close(pair[1]);
}

static void
never_waits_for_a_socket(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	drops_instead_of_blocking(pair[0], pair[1]);
	fd_close(pair[0]);
	fd_close(pair[1]);
}

static void
knows_the_journal(void **state)
{
	struct stat st;
	char stream[64];
	FILE *file = tmpfile();
	char out[4096];

	(void)state;
	unsetenv("JOURNAL_STREAM");
	assert_false(log_under_journal());
	put_in_place(fileno(file));
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino + 1);
	setenv("JOURNAL_STREAM", stream, 1);
	assert_false(log_under_journal());
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	assert_true(log_under_journal());
	/* Lines into the journal's stream carry their level in the form it reads. */
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, "launcher");
	log_warning("careful");
	unsetenv("JOURNAL_STREAM");
	put_back();
	rewind(file);
	drain(fileno(file), out, sizeof(out));
	assert_string_equal(out, "<4>cabinetd[launcher]: warning: careful\n");
	fclose(file);
}

static struct sockaddr_un fake_addr = { .sun_family = AF_UNIX };

static int
fake_journal(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	unlink(fake_addr.sun_path);
	assert_int_equal(
	    bind(fd, (struct sockaddr *)&fake_addr, sizeof(fake_addr)), 0);
	return fd;
}

static int
fake_setup(void **state)
{
	char dir[] = "/tmp/cab-test-log-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(
	    fake_addr.sun_path, sizeof(fake_addr.sun_path), "%s/socket", dir);
	log_fake_journal(fake_addr.sun_path);
	return 0;
}

static int
fake_teardown(void **state)
{
	(void)state;
	log_fake_journal(NULL);
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, NULL);
	unlink(fake_addr.sun_path);
	*strrchr(fake_addr.sun_path, '/') = '\0';
	return rmdir(fake_addr.sun_path);
}

/* systemd's JOURNAL_NATIVE_PROTOCOL: NAME=value, or name, length and bytes. */
static void
speaks_to_the_journal(void **state)
{
	static const char want[] =
	    "MESSAGE=hello 3\nPRIORITY=6\nSYSLOG_IDENTIFIER=cabinetd\n"
	    "MESSAGE_ID=0123456789abcdef0123456789abcdef\n"
	    "CABINETD_ROLE=worker 0\nCABINETD_SERVICE=web\n"
	    "CABINETD_RAW\n\x05\0\0\0\0\0\0\0a\nb\0c\n"
	    "CABINETD_EMPTY=\n";
	const struct cab_log_field fields[] = {
		{ "SERVICE", "web", 0, false },
		{ "RAW", "a\nb\0c", 5, false },
		{ "EMPTY", "", 0, false },
	};
	char out[65536];
	int fd = fake_journal();

	(void)state;
	log_open(CAB_LOG_JOURNAL, CAB_LOG_INFO, "worker 0");
	assert_true(log_fd() >= 0);
	assert_int_equal(fcntl(log_fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	log_fields(CAB_LOG_INFO, "0123456789abcdef0123456789abcdef", fields, 3,
	    "hello %d", 3);
	log_debug("not at this level");
	assert_int_equal(recv(fd, out, sizeof(out), 0), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
	assert_int_equal(recv(fd, out, sizeof(out), 0), -1);
	fd_close(fd);
}

static void
bounds_journal_records(void **state)
{
	static char big[100000], out[200000];
	struct cab_log_field fields[8];
	int fd = fake_journal();
	ssize_t n;
	size_t i;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	for (i = 0; i < 8; i++)
		fields[i] = (struct cab_log_field){ "BIG", big, 0, false };
	log_open(CAB_LOG_JOURNAL, CAB_LOG_INFO, "t");
	log_fields(CAB_LOG_INFO, NULL, fields, 8, "%s", big);
	n = recv(fd, out, sizeof(out), 0);
	assert_in_range(n, 16000, 33000);
	assert_int_equal(out[n - 1], '\n');
	fd_close(fd);
}

static void
survives_the_journal(void **state)
{
	char out[65536];
	int fd = fake_journal(), i;
	uint64_t before, lost;
	ssize_t n;

	(void)state;
	log_open(CAB_LOG_JOURNAL, CAB_LOG_INFO, "t");
	before = log_dropped();
	for (i = 0; i < 5000; i++)
		log_info("flood %d", i);
	lost = log_dropped() - before;
	assert_in_range(lost, 1, 4999);
	for (i = 0; recv(fd, out, sizeof(out), 0) > 0; i++)
		continue;
	assert_int_equal(i + (int)lost, 5000);
	/* It goes away and comes back under the same name. */
	fd_close(fd);
	log_info("into the void");
	assert_int_equal(log_dropped() - before, lost + 1);
	fd = fake_journal();
	log_info("back again");
	n = recv(fd, out, sizeof(out) - 1, 0);
	assert_true(n > 0);
	out[n] = '\0';
	assert_non_null(strstr(out, "MESSAGE=back again\n"));
	n = recv(fd, out, sizeof(out) - 1, 0);
	assert_true(n > 0);
	out[n] = '\0';
	assert_non_null(strstr(out, " log records were lost"));
	assert_int_equal(strtoull(out + strlen("MESSAGE="), NULL, 10), lost + 1);
	fd_close(fd);
}

static void
set_ms(uint64_t ms)
{
	const struct cab_clock fake = { .mono_ns = ms * 1000000 };

	clock_fake(&fake);
}

/* With nothing else to log, what was lost is told by itself, and tried once a second. */
static void
catches_up_by_itself(void **state)
{
	char out[65536];
	uint64_t before, lost;
	int fd = fake_journal();
	ssize_t n;

	(void)state;
	set_ms(1000000);
	log_open(CAB_LOG_JOURNAL, CAB_LOG_INFO, "t");
	assert_false(log_catch_up());
	before = log_dropped();
	for (int i = 0; i < 5000; i++)
		log_info("flood %d", i);
	lost = log_dropped() - before;
	assert_true(lost > 0);
	assert_true(log_catch_up());
	while (recv(fd, out, sizeof(out), 0) > 0)
		continue;
	set_ms(1000999);
	assert_true(log_catch_up());
	assert_int_equal(recv(fd, out, sizeof(out), 0), -1);
	set_ms(1001000);
	assert_false(log_catch_up());
	n = recv(fd, out, sizeof(out) - 1, 0);
	assert_true(n > 0);
	out[n] = '\0';
	assert_int_equal(strtoull(out + strlen("MESSAGE="), NULL, 10), lost);
	assert_non_null(strstr(out, "\nMESSAGE_ID=" EVENT_LOG_LOST "\n"));
	assert_non_null(strstr(out, "\nCABINETD_COUNT="));
	assert_false(log_catch_up());
	/* The trying itself is no record that could be lost. */
	assert_int_equal(log_dropped() - before, lost);
	clock_fake(NULL);
	fd_close(fd);
}

static void
falls_back_to_stderr(void **state)
{
	FILE *file = tmpfile();
	char out[4096];

	(void)state;
	unlink(fake_addr.sun_path);
	put_in_place(fileno(file));
	log_open(CAB_LOG_JOURNAL, CAB_LOG_INFO, "t");
	log_info("still heard");
	put_back();
	rewind(file);
	drain(fileno(file), out, sizeof(out));
	assert_non_null(strstr(out, "warning: cannot reach the journal"));
	assert_non_null(strstr(out, "info: still heard\n"));
	fclose(file);
}

static void
gates_floods(void **state)
{
	struct cab_clock fake = { .mono_ns = 50 };
	struct cab_log_gate gate = { 0 };
	uint32_t held = 99;
	int i;

	(void)state;
	clock_fake(&fake);
	for (i = 0; i < 5; i++) {
		assert_true(log_gate(&gate, 5, 1000, &held));
		assert_int_equal(held, 0);
	}
	for (i = 0; i < 1234; i++)
		assert_false(log_gate(&gate, 5, 1000, &held));
	fake.mono_ns += 999000000;
	clock_fake(&fake);
	assert_false(log_gate(&gate, 5, 1000, &held));
	fake.mono_ns += 1000000;
	clock_fake(&fake);
	assert_true(log_gate(&gate, 5, 1000, &held));
	assert_int_equal(held, 1235);
	assert_true(log_gate(&gate, 5, 1000, &held));
	assert_int_equal(held, 0);
	clock_fake(NULL);
}

static void
keeps_errno(void **state)
{
	FILE *file = tmpfile();

	(void)state;
	put_in_place(fileno(file));
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, "t");
	errno = EXDEV;
	log_info("x");
	assert_int_equal(errno, EXDEV);
	put_back();
	fclose(file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_one_line_each),
		cmocka_unit_test(cuts_long_records),
		cmocka_unit_test(lets_no_raw_byte_through),
		cmocka_unit_test(never_waits_for_a_pipe),
		cmocka_unit_test(never_waits_for_a_socket),
		cmocka_unit_test(knows_the_journal),
		cmocka_unit_test_setup_teardown(
		    speaks_to_the_journal, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(
		    bounds_journal_records, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(
		    survives_the_journal, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(
		    catches_up_by_itself, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(
		    falls_back_to_stderr, fake_setup, fake_teardown),
		cmocka_unit_test(gates_floods),
		cmocka_unit_test(keeps_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
