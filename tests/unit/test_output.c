/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stderr of programs: lines whatever the chunks, long ones cut, floods
 * counted, and nothing kept for ever.  One process; the pipe is real, the clock
 * is not.
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

#include "base/clock.h"
#include "base/fd.h"
#include "launcher/link.h"
#include "launcher/output.h"
#include "launcher/record.h"

static struct launcher l;
static struct service_state *state;
static struct program program;
static FILE *file;
static int saved_stderr;

static void
set_ms(uint64_t ms)
{
	struct cab_clock fake = { .mono_ns = ms * 1000000 };

	clock_fake(&fake);
}

static int
setup(void **unused)
{
	(void)unused;
	set_ms(1000000);
	l = (struct launcher){ .max_outputs = 1000 };
	assert_int_equal(loop_open(&l), 0);
	links_init(&l);
	l.output_pool = pool_new(sizeof(struct output));
	state = calloc(1, sizeof(*state) + 4);
	assert_non_null(state);
	memcpy(state->name, "svc", 4);
	state->refs = 1;
	l.states = state;
	program = (struct program){ .pid = 77,
		.conn_id = 5,
		.peer = { .family = AF_INET, .ip = { 192, 0, 2, 1 }, .port = 9 } };
	file = tmpfile();
	assert_non_null(file);
	saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	dup2(fileno(file), STDERR_FILENO);
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, NULL);
	return 0;
}

static int
teardown(void **unused)
{
	(void)unused;
	dup2(saved_stderr, STDERR_FILENO);
	fd_close(saved_stderr);
	log_open(CAB_LOG_STDERR, CAB_LOG_INFO, NULL);
	fclose(file);
	loop_close(&l);
	assert_int_equal(l.n_outputs, 0);
	assert_int_equal(l.n_orphans, 0);
	assert_int_equal(state->refs, 1);
	state_unref(&l, state);
	pool_free(l.output_pool);
	clock_fake(NULL);
	return 0;
}

/* Everything logged since the last call. */
static const char *
logged(void)
{
	static char text[1 << 20];
	size_t n;

	rewind(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	assert_int_equal(ftruncate(fileno(file), 0), 0);
	rewind(file);
	return text;
}

static void
ready(struct output *output)
{
	output->source.ready(&l, &output->source, 1);
}

/* An output of the program and the pipe's other end. */
static struct output *
open_output(int *fd)
{
	struct output *output = NULL;

	*fd = output_open(&l, state, &output);
	assert_true(*fd >= 0);
	assert_non_null(output);
	output_attach(output, &program);
	return output;
}

#define FIELDS " SERVICE=svc CONN=5 PEER=192.0.2.1:9 PID=77\n"

static void
makes_lines(void **unused)
{
	static const char bytes[] = "one\ntwo words\r\n\n\nthr\x1b\"ee\nend";
	size_t step, at;
	int fd;

	(void)unused;
	for (step = 1; step < sizeof(bytes); step++) {
		struct output *output = open_output(&fd);

		for (at = 0; at < sizeof(bytes) - 1; at += step) {
			size_t n = sizeof(bytes) - 1 - at;

			assert_int_equal(
			    fd_write_all(fd, bytes + at, n < step ? n : step), 0);
			ready(output);
		}
		assert_ptr_equal(program.output, output);
		/* The last line ends with the pipe. */
		fd_close(fd);
		ready(output);
		assert_null(program.output);
		assert_string_equal(logged(),
		    "cabinetd: notice: svc: one" FIELDS
		    "cabinetd: notice: svc: two words" FIELDS
		    "cabinetd: notice: svc: thr\\x1b\\x22ee" FIELDS
		    "cabinetd: notice: svc: end" FIELDS);
		/* So that the gate stays open for all of them. */
		set_ms(clock_ms() + RECORD_PERIOD_MS);
	}
}

static void
cuts_long_lines(void **unused)
{
	char line[OUTPUT_LINE * 3], want[OUTPUT_LINE * 2];
	struct output *output;
	int fd;

	(void)unused;
	output = open_output(&fd);
	memset(line, 'x', sizeof(line));
	snprintf(want, sizeof(want), "cabinetd: notice: svc: %.*s" FIELDS,
	    OUTPUT_LINE, line);
	assert_int_equal(fd_write_all(fd, line, OUTPUT_LINE), 0);
	assert_int_equal(fd_write_all(fd, "\n", 1), 0);
	ready(output);
	assert_string_equal(logged(), want);
	snprintf(want, sizeof(want),
	    "cabinetd: notice: svc: %.*s..." FIELDS
	    "cabinetd: notice: svc: next" FIELDS,
	    OUTPUT_LINE, line);
	assert_int_equal(fd_write_all(fd, line, OUTPUT_LINE + 1), 0);
	ready(output);
	assert_int_equal(fd_write_all(fd, line, sizeof(line)), 0);
	ready(output);
	assert_int_equal(fd_write_all(fd, "\nnext\n", 6), 0);
	ready(output);
	assert_string_equal(logged(), want);
	fd_close(fd);
	ready(output);
	assert_string_equal(logged(), "");
}

static void
counts_floods(void **unused)
{
	const char *text;
	unsigned i, lines = 0;
	struct output *output;
	int fd;

	(void)unused;
	output = open_output(&fd);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(fd_write_all(fd, "line\n", 5), 0);
		ready(output);
	}
	for (text = logged(); (text = strstr(text, "svc: line")) != NULL; text++)
		lines++;
	assert_in_range(lines, 10, 500);
	/* Afterwards there is silence, and still the number comes out. */
	assert_true(timer_armed(&l.sweep.timer));
	set_ms(clock_ms() + RECORD_PERIOD_MS);
	timer_cancel(&l.wheel, &l.sweep.timer);
	l.sweep.ring(&l, &l.sweep);
	text = logged();
	assert_int_equal(strtoul(text + strlen("cabinetd: notice: "), NULL, 10),
	    1000 - lines);
	assert_non_null(strstr(text, " lines of stderr of service svc"));
	assert_false(timer_armed(&l.sweep.timer));
	fd_close(fd);
	ready(output);
}

/* One that writes without end does not keep the others from their turn. */
static void
takes_turns(void **unused)
{
	char block[65536];
	struct output *output;
	int fd, left;

	(void)unused;
	output = open_output(&fd);
	assert_true(fcntl(fd, F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
	memset(block, 'x', sizeof(block));
	for (left = 0; left < 8; left++)
		assert_int_equal(fd_write_all(fd, block, sizeof(block)), 0);
	ready(output);
	assert_int_equal(read(output->source.fd, block, 1), 1);
	fd_close(fd);
	while (program.output != NULL)
		ready(output);
}

static void
reads_on_after_the_program(void **unused)
{
	struct output *output;
	int fd;

	(void)unused;
	output = open_output(&fd);
	assert_int_equal(fd_write_all(fd, "last words\n", 11), 0);
	output_orphan(&l, &program);
	assert_null(program.output);
	assert_string_equal(logged(), "cabinetd: notice: svc: last words" FIELDS);
	assert_int_equal(l.n_orphans, 1);
	assert_int_equal(fd_write_all(fd, "of a child\n", 11), 0);
	ready(output);
	assert_string_equal(logged(), "cabinetd: notice: svc: of a child" FIELDS);
	fd_close(fd);
	ready(output);
	assert_int_equal(l.n_orphans, 0);
}

static void
keeps_only_so_many_orphans(void **unused)
{
	enum {
		N = 400
	};
	struct output *outputs[N];
	int fds[N], i;

	(void)unused;
	for (i = 0; i < N; i++) {
		outputs[i] = open_output(&fds[i]);
		output_orphan(&l, &program);
	}
	assert_in_range(l.n_orphans, 1, N - 1);
	/* The oldest one has been let go: its writer has no reader. */
	assert_int_equal(outputs[0]->source.fd, -1);
	assert_true(outputs[N - 1]->source.fd >= 0);
	while (l.orphans != NULL)
		output_close(&l, l.orphans);
	for (i = 0; i < N; i++)
		fd_close(fds[i]);
}

static void
refuses_more_than_it_may_have(void **unused)
{
	struct output *output = NULL, *first;
	int fd;

	(void)unused;
	l.max_outputs = 1;
	first = open_output(&fd);
	assert_int_equal(output_open(&l, state, &output), -EMFILE);
	assert_null(output);
	fd_close(fd);
	ready(first);
	output_close(&l, NULL);
}

#define OUTPUT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OUTPUT_TEST(makes_lines),
		OUTPUT_TEST(cuts_long_lines),
		OUTPUT_TEST(counts_floods),
		OUTPUT_TEST(takes_turns),
		OUTPUT_TEST(reads_on_after_the_program),
		OUTPUT_TEST(keeps_only_so_many_orphans),
		OUTPUT_TEST(refuses_more_than_it_may_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
