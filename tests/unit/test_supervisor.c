/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the supervisor as a process, with the real other roles: this test's
 * binary is what it starts again, so main() finds the roles as the daemon's
 * does. What the daemon serves is the functional tests' concern.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "conf/model.h"
#include "ipc/msg.h"
#include "launcher/launcher.h"
#include "proto/proto.h"
#include "supervisor/process.h"
#include "supervisor/spawn.h"
#include "supervisor/supervisor.h"
#include "worker/worker.h"

#define PATIENCE 20000 /* ms */

static char directory[] = "/tmp/cab-super-XXXXXX";
static char config[64], socket_path[64], log_path[64];
static int manager = -1; /* what systemd listens on */
static pid_t daemon_pid;

/* ---- the rig --------------------------------------------------------------------------- */

static void
write_config(const char *text)
{
	int fd = open(config, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	fd_close(fd);
}

/* A service on the unix socket, and more text in its group. */
static void
write_service(const char *more)
{
	char text[512];

	snprintf(text, sizeof(text),
	    "workers = 1; control = \"%s/control\";\n%sservices = (\n { name = \"d\"; listen = "
	    "\"unix://%s\"; protocol = \"daytime\"; socket = { mode = \"0666\"; "
	    "};\n%s } );\n",
	    directory, geteuid() == 0 ? "user = \"nobody\";\n" : "",
	    socket_path, more);
	write_config(text);
}

static int
run(const char *const args[])
{
	/* A process may write over its arguments, and this one shows its title there. */
	static char words[8][128];
	char *argv[9] = { NULL };
	int argc, fd;

	for (argc = 0; args[argc] != NULL; argc++) {
		snprintf(words[argc], sizeof(words[argc]), "%s", args[argc]);
		argv[argc] = words[argc];
	}
	fd = open(log_path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	return supervisor_main(argc, argv, cab_descs);
}

static void
start(const char *const args[])
{
	daemon_pid = fork();
	if (daemon_pid == 0)
		exit(run(args));
	assert_true(daemon_pid > 0);
}

static int
end(void)
{
	int status = -1;

	assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
	daemon_pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* The log so far, in memory that the next call replaces. */
static const char *
logged(void)
{
	static char text[65536];
	int fd = open(log_path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	fd_close(fd);
	return text;
}

static void
assert_logged(const char *words)
{
	if (strstr(logged(), words) == NULL)
		fail_msg("no \"%s\" in:\n%s", words, logged());
}

/* Drops what has been noted so far. */
static void
forget_notes(void)
{
	char note[1024];

	while (recv(manager, note, sizeof(note), MSG_DONTWAIT) > 0)
		;
}

/* Waits for a note that begins so. */
static void
wait_note(const char *start_)
{
	struct pollfd p = { .fd = manager, .events = POLLIN };
	char note[1024];
	ssize_t n;

	do {
		if (poll(&p, 1, PATIENCE) != 1)
			fail_msg("no %s; log:\n%s", start_, logged());
		n = recv(manager, note, sizeof(note) - 1, 0);
		note[n > 0 ? n : 0] = '\0';
	} while (strncmp(note, start_, strlen(start_)) != 0);
}

/* True when somebody serves the time at the socket. */
static bool
served(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[64];
	ssize_t n = -1;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", socket_path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		n = read(fd, text, sizeof(text));
	fd_close(fd);
	return n == 26;
}

static void
serve(void)
{
	const char *const args[] = { "cabinetd", "-c", config, NULL };

	start(args);
	wait_note("READY=1\nSTATUS=Serving 1 service on 1 socket with 1 worker");
}

static void
stop(void)
{
	struct stat st;

	kill(daemon_pid, SIGTERM);
	wait_note("STOPPING=1");
	if (end() != 0)
		fail_msg("log:\n%s", logged());
	assert_int_equal(stat(socket_path, &st), -1);
}

/* ---- tests ------------------------------------------------------------------------------ */

static int
exit_status(const char *option)
{
	const char *const args[] = { "cabinetd", "-c", config, option, NULL };

	start(args);
	return end();
}

static void
test_words(void **state)
{
	(void)state;
	assert_int_equal(exit_status("--version"), 0);
	assert_logged("cabinetd " PACKAGE_VERSION "\n");
	assert_int_equal(exit_status("--help"), 0);
	assert_logged("--print-config");
	assert_int_equal(exit_status("--dump-schema"), 0);
	assert_logged("services.limits.connections\t");
	assert_int_equal(exit_status("--bogus"), EX_USAGE);
}

static void
test_check(void **state)
{
	char where[96];

	(void)state;
	write_service("");
	assert_int_equal(exit_status("--check"), 0);
	assert_logged(": OK\n");
	assert_int_equal(exit_status("--print-config"), 0);
	assert_logged("daytime");
	write_service("bogus = 1;");
	snprintf(where, sizeof(where), "%s:%d: error: ", config,
	    geteuid() == 0 ? 5 : 4);
	assert_int_equal(exit_status("--check"), EX_CONFIG);
	assert_logged(where);
	assert_int_equal(exit_status("--print-config"), EX_CONFIG);
	assert_int_equal(exit_status(NULL), EX_CONFIG);
	assert_logged(where);
}

static void
test_serve_reload_stop(void **state)
{
	(void)state;
	write_service("");
	serve();
	assert_true(served());
	assert_logged("listening on unix://");
	/* Something else, something broken, something good. */
	write_service("limits = { connections = 9; };");
	kill(daemon_pid, SIGHUP);
	wait_note("RELOADING=1");
	wait_note("READY=1");
	assert_logged("added 0, changed 1, dropped 0, kept 0");
	write_service("bogus = 1;");
	kill(daemon_pid, SIGHUP);
	wait_note("RELOADING=1");
	wait_note("READY=1");
	assert_logged("bogus");
	assert_logged("the old one stays");
	assert_true(served());
	/* As many as one likes; at least one more follows. */
	write_service("");
	for (unsigned i = 0; i < 20; i++)
		kill(daemon_pid, SIGHUP);
	wait_note("RELOADING=1");
	wait_note("READY=1");
	assert_true(served());
	stop();
}

static void
test_stop_at_any_moment(void **state)
{
	const char *const args[] = { "cabinetd", "-c", config, NULL };

	(void)state;
	write_service("");
	for (unsigned us = 0; us < 60000; us += 6000) {
		start(args);
		usleep(us + 20000);
		kill(daemon_pid, SIGHUP);
		kill(daemon_pid, SIGTERM);
		/* Before it looks at signals at all, SIGTERM ends it as any process. */
		if (end() > 0)
			fail_msg("after %u us:\n%s", us, logged());
		forget_notes();
	}
}

static void
test_a_socket_that_cannot_be_opened(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", socket_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 1), 0);
	write_service("");
	assert_int_equal(exit_status(NULL), EXIT_FAILURE);
	assert_logged("service \"d\" cannot listen on unix://");
	assert_logged("already in use");
	fd_close(fd);
	assert_int_equal(unlink(socket_path), 0);
}

static int
set_up(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int n;

	(void)state;
	if (mkdtemp(directory) == NULL || chmod(directory, 0755) < 0)
		return -1;
	snprintf(config, sizeof(config), "%s/test.conf", directory);
	snprintf(socket_path, sizeof(socket_path), "%s/sock", directory);
	snprintf(log_path, sizeof(log_path), "%s/log", directory);
	n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1,
	    "cab-test-super-%d", (int)getpid());
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(manager, (struct sockaddr *)&un,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
		    (size_t)n)) < 0)
		return -1;
	un.sun_path[0] = '@';
	setenv("TZ", "UTC", 1);
	return setenv("NOTIFY_SOCKET", un.sun_path, 1);
}

static int
tear_down(void **state)
{
	(void)state;
	if (daemon_pid > 0) {
		kill(daemon_pid, SIGKILL);
		waitpid(daemon_pid, NULL, 0);
	}
	unlink(config);
	unlink(log_path);
	/* Nothing else is left. */
	return rmdir(directory);
}

static bool
is_title(const char *title, const char *role)
{
	return strncmp(title, role, strlen(role)) == 0;
}

/* A restart may be asked for before anything is ready for it. */
static int
child_keeps_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR2);
	process_settle();
	sigpending(&set);
	return sigismember(&set, SIGUSR2) == 1 ? 0 : 1;
}

static void
test_early_signal(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(child_keeps_signal());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_early_signal),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_serve_reload_stop),
		cmocka_unit_test(test_stop_at_any_moment),
		cmocka_unit_test(test_a_socket_that_cannot_be_opened),
	};

	if (argc > 0 && is_title(argv[0], ROLE_TITLE_WORKER))
		worker_main(cab_protos, cab_descs);
	if (argc > 0 && is_title(argv[0], ROLE_TITLE_LAUNCHER))
		launcher_main(cab_descs);
	if (argc > 0 && is_title(argv[0], ROLE_TITLE_CONFIG))
		conf_child_main(MSG_ROLE_FD, cab_descs);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
