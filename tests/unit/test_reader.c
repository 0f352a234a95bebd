/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's side of reading the configuration, with the real role and
 * with roles that lie, crash, flood or hang: each ends as a finding.
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
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/proto.h"
#include "supervisor/reader.h"
#include "supervisor/spawn.h"
#include "tests/support/conf_fake.h"

#define SEALED (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static char dir[64], config[128];

static void
make(const char *name, const char *text, mode_t mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int
setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/cabinetd-test-reader-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(config, sizeof(config), "%s/cabinetd.conf", dir);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "cabinetd.conf",
		"cabinetd.conf.d/one.conf", "cabinetd.conf.d", "inc.cfg",
		"fifo" };
	char path[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (unlink(path) < 0)
			rmdir(path);
	}
	return rmdir(dir);
}

static void
run(enum msg_read_mode mode, struct reader_result *result)
{
	assert_int_equal(reader_run(config, mode, result), 0);
}

static void
need(struct reader_result *result, int line, const char *words)
{
	if (!fake_found(&result->diag, CAB_ERROR, config, line, words))
		fail_msg(
		    "no \"%s\" in:\n%s", words, fake_findings(&result->diag));
	assert_true(result->diag.errors > 0);
	assert_null(result->conf);
	assert_null(result->dump);
	assert_int_equal(result->snapshot_fd, -1);
}

/* No process is left over, and no descriptor. */
static void
need_nothing_left(int before)
{
	int after = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(after, before);
	close(after);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static int
lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

/* ---- the real role ------------------------------------------------------------------ */

#define SERVICE(name)                                                          \
	"services = ( { name = \"" name "\"; listen = \"tcp://127.0.0.1:0\"; " \
	"protocol = \"echo\"; } );\n"
#define USER "user = \"nobody\";\n"

static void
loads_a_configuration(void **state)
{
	struct reader_result result;
	char path[128];
	int before = lowest_fd();

	(void)state;
	make("cabinetd.conf", USER "@include \"inc.cfg\"\n" SERVICE("a"), 0600);
	make("inc.cfg", "workers = 3;\n", 0644);
	snprintf(path, sizeof(path), "%s/cabinetd.conf.d", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	make("cabinetd.conf.d/one.conf", SERVICE("b"), 0600);
	run(MSG_READ_LOAD, &result);
	if (result.diag.n > 0)
		fail_msg("%s", fake_findings(&result.diag));
	assert_non_null(result.conf);
	assert_int_equal(result.conf->workers, 3);
	assert_int_equal(result.conf->n_services, 2);
	assert_string_equal(result.conf->services[1].name, "b");
	assert_string_equal(result.conf->services[1].desc->name, "echo");
	assert_true(result.snapshot_fd >= 0);
	assert_true(result.snapshot_n > 0);
	assert_int_equal(fcntl(result.snapshot_fd, F_GET_SEALS) & SEALED, SEALED);
	assert_int_equal(fcntl(result.snapshot_fd, F_GETFD), FD_CLOEXEC);
	reader_result_release(&result);
	reader_result_release(&result);
	need_nothing_left(before);
}

static void
checks_and_prints(void **state)
{
	struct reader_result result;

	(void)state;
	make("cabinetd.conf", USER SERVICE("a"), 0600);
	run(MSG_READ_CHECK, &result);
	assert_int_equal(result.diag.n, 0);
	assert_null(result.conf);
	assert_null(result.dump);
	reader_result_release(&result);
	run(MSG_READ_PRINT, &result);
	assert_int_equal(result.diag.n, 0);
	assert_null(result.conf);
	assert_non_null(strstr(result.dump, "name = \"a\"; # "));
	assert_int_equal(result.dump_n, strlen(result.dump));
	reader_result_release(&result);
}

static void
tells_findings(void **state)
{
	struct reader_result result;
	char path[128];

	(void)state;
	make("cabinetd.conf",
	    "colour = 3;\n@include \"fifo\"\n@include \"/\"\n"
	    "@include \"/dev/zero\"\nworkers = 4294967376;\n",
	    0600);
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	run(MSG_READ_LOAD, &result);
	need(&result, 1, "colour");
	need(&result, 2, "it is a FIFO");
	need(&result, 3, "it is a directory");
	need(&result, 4, "it is a device");
	need(&result, 5, "does not fit");
	assert_int_equal(result.diag.errors, 5);
	reader_result_release(&result);

	assert_int_equal(unlink(config), 0);
	run(MSG_READ_CHECK, &result);
	need(&result, 0, "No such file or directory");
	reader_result_release(&result);
	make("cabinetd.conf", "", 0666);
	run(MSG_READ_CHECK, &result);
	if (geteuid() == 0)
		need(&result, 0, "chmod go-w");
	else
		assert_int_equal(result.diag.n, 0);
	reader_result_release(&result);
}

static void
is_driven_by_a_loop(void **state)
{
	struct reader_result result;
	struct pollfd ready;
	struct reader *r;
	int steps = 0;

	(void)state;
	make("cabinetd.conf", USER SERVICE("a"), 0600);
	assert_int_equal(reader_start(&r, config, MSG_READ_LOAD), 0);
	ready = (struct pollfd){ .fd = reader_fd(r), .events = POLLIN };
	while (reader_step(r) == 0) {
		assert_in_range(reader_deadline_ms(r), 0, 6000);
		assert_true(poll(&ready, 1, reader_deadline_ms(r)) >= 0);
		assert_true(++steps < 10000);
	}
	assert_int_equal(reader_step(r), 1);
	reader_take(r, &result);
	reader_free(r);
	assert_non_null(result.conf);
	reader_result_release(&result);
}

static void
can_be_given_up(void **state)
{
	int before = lowest_fd();
	struct reader *r;

	(void)state;
	make("cabinetd.conf", SERVICE("a"), 0600);
	assert_int_equal(reader_start(&r, config, MSG_READ_LOAD), 0);
	reader_free(r);
	assert_int_equal(reader_start(&r, config, MSG_READ_LOAD), 0);
	(void)reader_step(r);
	reader_free(r);
	reader_free(NULL);
	need_nothing_left(before);
	assert_int_equal(reader_start(&r, "", MSG_READ_LOAD), -ENOENT);
}

/* ---- roles that are up to something -------------------------------------------------- */

static struct chan_msg msg;

static int result_file = -1;

static void
say(uint32_t type, const void *body, size_t n)
{
	if (chan_send(MSG_ROLE_FD, type, body, n, NULL, 0) < 0)
		_exit(9);
}

static void
say_done(void)
{
	const struct msg_done done = { 0 };

	say(MSG_DONE, &done, sizeof(done));
}

static void
say_result(uint32_t type, size_t n)
{
	const struct msg_snapshot snapshot = { .n = n };

	say(type, &snapshot, sizeof(snapshot));
	say_done();
}

static void
crash(void)
{
	const struct sigaction plain = { .sa_handler = SIG_DFL };

	/* AddressSanitizer has taken the signal. */
	sigaction(SIGSEGV, &plain, NULL);
	raise(SIGSEGV);
}

static void
fail_early(void)
{
	_exit(3);
}

static void
say_rubbish(void)
{
	if (write(MSG_ROLE_FD, "rubbish that is no frame", 24) == 24)
		pause();
}

static void
say_what_is_not_its_to_say(void)
{
	say(MSG_READY, "12345678", 8);
	pause();
}

static void
say_the_wrong_size(void)
{
	say(MSG_DONE, "x", 1);
	pause();
}

static void
say_a_broken_finding(void)
{
	const struct msg_finding finding = { .file_n = 1000 };

	say(MSG_FINDING, &finding, sizeof(finding));
	pause();
}

static void
say_a_finding_of_no_severity(void)
{
	struct {
		struct msg_finding head;
		char text[4];
	} finding = { { .severity = 7 }, "x" };

	say(MSG_FINDING, &finding, sizeof(finding));
	pause();
}

static void
ask_for_nothing(void)
{
	say(MSG_PROBE, &(struct msg_probe){ 0 }, sizeof(struct msg_probe));
	pause();
}

static void
ask_too_much(void)
{
	int i;

	for (i = 0; i < 100000; i++) {
		say(MSG_OPEN, "/", 1);
		if (chan_recv(MSG_ROLE_FD, &msg) != 1)
			_exit(8);
	}
	_exit(7);
}

static void
never_listen(void)
{
	for (;;)
		say(MSG_OPEN, "/", 1);
}

static void
claim_success(void)
{
	say_done();
}

static void
say_bytes_that_are_none(void)
{
	if (fd_write_all(result_file, "rubbish", 7) == 0)
		say_result(MSG_SNAPSHOT, 7);
}

static void
say_bytes_that_are_not_there(void)
{
	say_result(MSG_SNAPSHOT, 7);
}

static void
say_something_else(void)
{
	say_result(MSG_DUMP, 0);
}

/* Somebody else can change the bytes when they have been looked at. */
static void
say_bytes_that_can_change(void)
{
	int pipe_fds[2];

	if (ftruncate(result_file, 4096) < 0 || pipe(pipe_fds) < 0)
		_exit(5);
	if (fork() == 0) {
		close(MSG_ROLE_FD);
		if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			result_file, 0) == MAP_FAILED ||
		    write(pipe_fds[1], "x", 1) != 1)
			_exit(5);
		/* For longer than the reader takes to look. */
		(void)poll(NULL, 0, 3000);
		_exit(0);
	}
	if (read(pipe_fds[0], pipe_fds, 1) != 1)
		_exit(5);
	say_result(MSG_SNAPSHOT, 4096);
}

static void
hang(void)
{
	pause();
}

static void
linger(void)
{
	say_done();
	close(MSG_ROLE_FD);
	pause();
}

static void
close_and_linger(void)
{
	close(MSG_ROLE_FD);
	pause();
}

static const struct {
	const char *name;
	void (*act)(void);
	const char *words;
} tricks[] = {
	{ "crash", crash, "killed by signal 11" },
	{ "fail_early", fail_early, "ended with status 3" },
	{ "say_rubbish", say_rubbish, "no message" },
	{ "not_its_to_say", say_what_is_not_its_to_say, "not its to say" },
	{ "wrong_size", say_the_wrong_size, "broken message" },
	{ "broken_finding", say_a_broken_finding, "broken finding" },
	{ "no_severity", say_a_finding_of_no_severity, "broken finding" },
	{ "ask_for_nothing", ask_for_nothing, "asks for no path" },
	{ "ask_too_much", ask_too_much, "too many files" },
	{ "never_listen", never_listen, "does not listen" },
	{ "claim_success", claim_success, "cannot be used" },
	{ "no_snapshot", say_bytes_that_are_none, "cannot be used" },
	{ "can_change", say_bytes_that_can_change, "busy" },
	{ "not_there", say_bytes_that_are_not_there, "cannot be used" },
	{ "something_else", say_something_else, "cannot be used" },
	{ "hang", hang, "took too long" },
	{ "linger", linger, "cannot be used" },
	{ "close_and_linger", close_and_linger, "killed by signal 9" },
};

/* A role is told its trick by HOME, which the spawner hands on. */
static void
play(const char *name)
{
	size_t i;

	if (chan_recv(MSG_ROLE_FD, &msg) != 1)
		_exit(6);
	result_file = chan_take_fd(&msg, 0);
	for (i = 0; i < CAB_N(tricks); i++)
		if (strcmp(tricks[i].name, name) == 0)
			tricks[i].act();
	_exit(EXIT_SUCCESS);
}

static void
survives_every_trick(void **state)
{
	struct reader_result result;
	int before = lowest_fd();
	size_t i;

	(void)state;
	make("cabinetd.conf", SERVICE("a"), 0600);
	for (i = 0; i < CAB_N(tricks); i++) {
		assert_int_equal(setenv("HOME", tricks[i].name, 1), 0);
		run(MSG_READ_LOAD, &result);
		need(&result, 0, tricks[i].words);
		reader_result_release(&result);
		need_nothing_left(before);
	}
	assert_int_equal(setenv("HOME", "/", 1), 0);
}

static void
bounds_findings(void **state)
{
	struct reader_result result;

	(void)state;
	make("cabinetd.conf", "", 0600);
	assert_int_equal(setenv("HOME", "flood", 1), 0);
	run(MSG_READ_LOAD, &result);
	assert_int_equal(result.diag.n, CAB_DIAG_MAX);
	assert_true(result.diag.truncated);
	assert_null(result.conf);
	reader_result_release(&result);
	assert_int_equal(setenv("HOME", "/", 1), 0);
}

static void
flood(void)
{
	struct {
		struct msg_finding head;
		char text[16];
	} finding = { { .severity = CAB_ERROR }, "" };
	int i;

	if (chan_recv(MSG_ROLE_FD, &msg) != 1)
		_exit(6);
	snprintf(finding.text + 1, sizeof(finding.text) - 1, "again\x1b");
	for (i = 0; i < 5000; i++)
		say(MSG_FINDING, &finding, sizeof(finding));
	say_done();
	_exit(EXIT_SUCCESS);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    loads_a_configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    checks_and_prints, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_findings, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    is_driven_by_a_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(can_be_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    survives_every_trick, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds_findings, setup, teardown),
	};
	const char *home = getenv("HOME");

	if (argc > 0 && strcmp(argv[0], ROLE_TITLE_CONFIG) == 0) {
		if (home != NULL && strcmp(home, "flood") == 0)
			flood();
		if (home != NULL && home[0] != '/')
			play(home);
		conf_child_main(MSG_ROLE_FD, cab_descs);
	}
	if (setenv("HOME", "/", 1) < 0)
		return EXIT_FAILURE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
