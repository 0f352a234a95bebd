/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The config role as a process of its own: what it can no longer do, what it
 * asks for, what it answers, and that it ends when nobody listens.
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
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "conf/sandbox.h"
#include "ipc/msg.h"
#include "tests/support/conf_fake.h"

#define NOBODY 65534

/* ---- the sandbox, from the inside --------------------------------------------------- */

static bool
cannot_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0;
}

static bool
cannot_exec(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno == EPERM;
}

static bool
cannot_kill(void)
{
	return kill(getppid(), 0) < 0 && errno == EPERM;
}

static bool
cannot_write_files(void)
{
	return open("/dev/null", O_WRONLY) < 0 && open("/dev/null", O_RDWR) < 0 &&
	    open("/tmp/cabinetd-test", O_RDONLY | O_CREAT, 0600) < 0 &&
	    unlink("/tmp/cabinetd-none") < 0 && errno == EPERM;
}

static bool
cannot_serve(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 &&
	    errno == EPERM && listen(fd, 1) < 0;
}

static bool
cannot_have_other_sockets(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EAFNOSUPPORT &&
	    socket(AF_VSOCK, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT &&
	    syscall(SYS_socket, (1L << 32) | AF_PACKET, SOCK_RAW, 0) < 0;
}

static bool
cannot_trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0;
}

static bool
cannot_change_user(void)
{
	return setuid(0) < 0 && setgid(0) < 0 && (geteuid() != 0);
}

static bool
cannot_type(void)
{
	char c = 'x';

	/* Not a terminal either way: the filter is asked first. */
	return ioctl(STDIN_FILENO, TIOCSTI, &c) < 0 && errno == EPERM;
}

static bool
can_read_files(void)
{
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	char c;

	return fd >= 0 && read(fd, &c, 1) == 1 && close(fd) == 0;
}

static bool
can_look_names_up(void)
{
	struct addrinfo *list = NULL;

	if (getpwnam("root") == NULL || getpwuid(0) == NULL)
		return false;
	if (getaddrinfo("127.0.0.1", NULL, NULL, &list) != 0)
		return false;
	freeaddrinfo(list);
	/* A name that cannot be found is an answer, too. */
	return getpwnam("no-such-user-here") == NULL;
}

static bool
can_make_memory_files(void)
{
	char bytes[100000] = { 0 };
	int fd = fd_sealed_memfd("test", bytes, sizeof(bytes));

	return fd >= 0 && close(fd) == 0;
}

static const struct {
	const char *name;
	bool (*holds)(void);
} checks[] = {
	{ "cannot_fork", cannot_fork },
	{ "cannot_exec", cannot_exec },
	{ "cannot_kill", cannot_kill },
	{ "cannot_write_files", cannot_write_files },
	{ "cannot_serve", cannot_serve },
	{ "cannot_have_other_sockets", cannot_have_other_sockets },
	{ "cannot_trace", cannot_trace },
	{ "cannot_type", cannot_type },
	{ "can_read_files", can_read_files },
	{ "can_look_names_up", can_look_names_up },
	{ "can_make_memory_files", can_make_memory_files },
	{ "cannot_change_user", cannot_change_user },
};

static int
exit_status(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		fail_msg("killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void
the_sandbox_holds(void **state)
{
	bool root = geteuid() == 0;
	uint32_t id = root ? NOBODY : UINT32_MAX;
	const char *what = "";
	size_t i;
	pid_t pid;
	int status;

	(void)state;
	for (i = 0; i < CAB_N(checks); i++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			if (conf_sandbox(id, id, &what) < 0)
				_exit(2);
			_exit(checks[i].holds() ? 0 : 1);
		}
		status = exit_status(pid);
		if (status != 0)
			fail_msg("%s: %d", checks[i].name, status);
	}
}

/* ---- the conversation ------------------------------------------------------------------- */

struct heard {
	struct cab_diag diag;
	struct msg_done done;
	uint32_t said; /* MSG_DUMP or MSG_SNAPSHOT */
	char *result;
	size_t n;
	unsigned probes;
	int status;
};

static void
serve_open(int chan, struct fake *fake, const char *path)
{
	struct msg_result result = { 0 };
	const char *why = NULL;
	char body[256];
	size_t n = 0;
	int fd;

	fd = fake->source.open(fake->source.arg, path, &why);
	result.error = fd < 0 ? -fd : 0;
	memcpy(body, &result, sizeof(result));
	if (why != NULL) {
		n = strlen(why);
		memcpy(body + sizeof(result), why, n);
	}
	assert_int_equal(
	    chan_send(chan, MSG_OPENED, body, sizeof(result) + n, &fd, fd >= 0),
	    0);
	fd_close(fd);
}

static void
serve_list(int chan, struct fake *fake, const char *path)
{
	struct msg_result result = { 0 };
	const char *why = NULL;
	char *names = NULL;
	size_t n = 0, size = 0;
	int fd = -1, r;

	r = fake->source.list(fake->source.arg, path, &names, &n, &why);
	result.error = -r;
	for (; n > 0; n--)
		size += strlen(names + size) + 1;
	if (r == 0)
		fd = fd_sealed_memfd("names", names, size);
	assert_int_equal(
	    chan_send(chan, MSG_LISTED, &result, sizeof(result), &fd, fd >= 0),
	    0);
	fd_close(fd);
	free(names);
}

static void
hear_finding(struct heard *h, const struct chan_msg *msg)
{
	struct msg_finding head;
	const char *file = (const char *)msg->body + sizeof(head);

	memcpy(&head, msg->body, sizeof(head));
	assert_true(sizeof(head) + head.file_n < msg->n);
	diag_add(&h->diag, (enum cab_severity)head.severity,
	    head.file_n > 0 ? file : NULL, head.line, "%s",
	    file + head.file_n + 1);
}

/* Plays the supervisor until the role has ended. */
static void
converse(struct fake *fake, uint32_t mode, struct heard *h)
{
	static struct chan_msg msg;
	unsigned char body[sizeof(struct msg_read) + sizeof(FAKE_MAIN)];
	struct msg_read order = { .mode = mode,
		.uid = geteuid() == 0 ? NOBODY : UINT32_MAX,
		.gid = geteuid() == 0 ? NOBODY : UINT32_MAX };
	struct msg_result none = { 0 };
	struct msg_snapshot snapshot;
	size_t n;
	int chan[2], file, r;
	pid_t pid;

	*h = (struct heard){ .said = 0 };
	file = memfd_create("result", MFD_CLOEXEC);
	assert_true(file >= 0);
	assert_int_equal(chan_pair(chan, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(chan[0]);
		conf_child_main(chan[1], fake_descs);
	}
	close(chan[1]);
	memcpy(body, &order, sizeof(order));
	memcpy(body + sizeof(order), FAKE_MAIN, sizeof(FAKE_MAIN) - 1);
	assert_int_equal(chan_send(chan[0], MSG_READ, body,
			     sizeof(order) + sizeof(FAKE_MAIN) - 1, &file, 1),
	    0);
	while ((r = chan_recv(chan[0], &msg)) == 1) {
		assert_true(msg_valid(&msg));
		switch (msg.type) {
		case MSG_OPEN:
			serve_open(chan[0], fake, (const char *)msg.body);
			break;
		case MSG_LIST:
			serve_list(chan[0], fake, (const char *)msg.body);
			break;
		case MSG_PROBE:
			h->probes++;
			none.error = 0;
			assert_int_equal(chan_send(chan[0], MSG_PROBED, &none,
					     sizeof(none), NULL, 0),
			    0);
			break;
		case MSG_FINDING:
			hear_finding(h, &msg);
			break;
		case MSG_DUMP:
		case MSG_SNAPSHOT:
			memcpy(&snapshot, msg.body, sizeof(snapshot));
			h->said = msg.type;
			h->n = snapshot.n;
			break;
		case MSG_DONE:
			memcpy(&h->done, msg.body, sizeof(h->done));
			break;
		default:
			fail_msg("unexpected message %u", msg.type);
		}
		chan_msg_release(&msg);
	}
	assert_int_equal(r, 0);
	close(chan[0]);
	h->status = exit_status(pid);
	assert_int_equal(fd_read_all(file, 1 << 20, &h->result, &n), 0);
	assert_int_equal(n, h->n);
	close(file);
}

static const char good[] =
    "services = ( { name = \"a\"; listen = 0; exec = { program = \"/bin/cat\"; "
    "}; },\n{ name = \"b\"; listen = 0; protocol = \"echo\"; } );";

static void
sends_a_snapshot(void **state)
{
	struct cab_conf *conf = NULL;
	struct fake fake;
	struct heard h;

	(void)state;
	fake_init(&fake, false);
	fake_add(&fake, FAKE_MAIN, good);
	fake_add(&fake, FAKE_MAIN ".d/x.conf",
	    "services = ( { name = \"c\"; listen = 0; protocol = \"line\"; } );");
	converse(&fake, MSG_READ_LOAD, &h);
	assert_int_equal(h.status, 0);
	if (h.diag.n > 0)
		fail_msg("%s", fake_findings(&h.diag));
	assert_int_equal(h.done.errors, 0);
	assert_int_equal(h.probes, 2);
	assert_int_equal(h.said, MSG_SNAPSHOT);
	assert_int_equal(conf_decode(fake_descs, h.result, h.n, &conf), 0);
	assert_int_equal(conf->n_services, 3);
	assert_string_equal(conf->services[2].name, "c");
	conf_free(conf);
	free(h.result);
	diag_release(&h.diag);
}

static void
sends_a_dump(void **state)
{
	struct fake fake;
	struct heard h;

	(void)state;
	fake_init(&fake, false);
	fake_add(&fake, FAKE_MAIN, good);
	converse(&fake, MSG_READ_PRINT, &h);
	assert_int_equal(h.status, 0);
	assert_int_equal(h.said, MSG_DUMP);
	assert_non_null(strstr(h.result, "name = \"b\"; # " FAKE_MAIN ":2\n"));
	free(h.result);
	diag_release(&h.diag);
}

static void
sends_findings_alone(void **state)
{
	static const uint32_t modes[] = { MSG_READ_CHECK, MSG_READ_PRINT,
		MSG_READ_LOAD };
	struct fake fake;
	struct heard h;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(modes); i++) {
		fake_init(&fake, false);
		fake_add(&fake, FAKE_MAIN, "\ncolour = 3;\n@include \"dir\"\n");
		fake_add_error(&fake, "/etc/dir", -EISDIR, "is a directory");
		converse(&fake, modes[i], &h);
		assert_int_equal(h.status, 0);
		assert_int_equal(h.said, 0);
		assert_int_equal(h.n, 0);
		free(h.result);
		assert_int_equal(h.done.errors, 2);
		assert_true(fake_found(&h.diag, CAB_ERROR, NULL, 2, "colour"));
		assert_true(fake_found(
		    &h.diag, CAB_ERROR, NULL, 3, "it is a directory"));
		diag_release(&h.diag);
	}
	fake_init(&fake, false);
	fake_add(&fake, FAKE_MAIN, good);
	converse(&fake, MSG_READ_CHECK, &h);
	assert_int_equal(h.done.errors, 0);
	assert_int_equal(h.said, 0);
	free(h.result);
	diag_release(&h.diag);
}

static void
ends_when_nobody_listens(void **state)
{
	unsigned char body[sizeof(struct msg_read) + 1] = { 0 };
	int chan[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	(void)state;
	assert_true(null >= 0);
	/* Before an order, and in the middle of a question. */
	for (int ordered = 0; ordered < 2; ordered++) {
		assert_int_equal(chan_pair(chan, 0), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(chan[0]);
			conf_child_main(chan[1], fake_descs);
		}
		close(chan[1]);
		body[sizeof(struct msg_read)] = 'x';
		if (ordered)
			assert_int_equal(chan_send(chan[0], MSG_READ, body,
					     sizeof(body), &null, 1),
			    0);
		close(chan[0]);
		assert_int_equal(exit_status(pid), EXIT_FAILURE);
	}
	close(null);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sandbox_holds),
		cmocka_unit_test(sends_a_snapshot),
		cmocka_unit_test(sends_a_dump),
		cmocka_unit_test(sends_findings_alone),
		cmocka_unit_test(ends_when_nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
