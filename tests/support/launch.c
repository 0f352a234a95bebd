/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts the launcher role in a child process and plays its supervisor and its
 * worker.  Tests only.  Every wait ends: by what is waited for, or by failing
 * the test.
 */
#include "tests/support/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/quota.h"
#include "base/fd.h"
#include "base/log.h"
#include "launcher/launcher.h"

#define PATIENCE_MS 30000
#define STEP_MS     5

/* ---- configurations ------------------------------------------------------------- */

/* Where the services listen is not the launcher's business, but a snapshot without is none. */
static const struct cab_listen somewhere = { .kind = CAB_SYSTEMD,
	.text = "systemd://test",
	.name = "test" };

static struct cab_exec *
add_service(struct launch_conf *c, const char *name, const char *program)
{
	struct cab_service *service = &c->services[c->n];
	struct cab_exec *exec = &c->execs[c->n];

	assert_true(c->n < LAUNCH_SERVICES);
	*exec = (struct cab_exec){ .program = program,
		.umask_bits = 022,
		.directory = "/",
		.no_new_privileges = true,
		.args = { .v = c->args[c->n] } };
	*service = (struct cab_service){ .name = name,
		.enabled = true,
		.exec = exec,
		.listens = { .v = &somewhere, .n = 1 },
		.log.sample = 1,
		.timeouts.drain = 60000,
		.socket.backlog = 1,
		.file = "test",
		.line = 1 };
	c->n++;
	c->conf.path = "test";
	c->conf.services = c->services;
	c->conf.n_services = c->n;
	return exec;
}

struct cab_exec *
launch_service(struct launch_conf *c, const char *name, const char *program, ...)
{
	struct cab_exec *exec = add_service(c, name, program);
	const char **args = c->args[c->n - 1];
	va_list ap;

	va_start(ap, program);
	while ((args[exec->args.n] = va_arg(ap, const char *)) != NULL)
		exec->args.n++;
	va_end(ap);
	return exec;
}

struct cab_exec *
launch_script(struct launch_conf *c, const char *name, const char *script)
{
	return launch_service(c, name, "/bin/sh", "-c", script, NULL);
}

/* ---- talking ------------------------------------------------------------------------ */

void
launch_send(
    struct launch *launch, uint32_t type, const void *body, size_t n, int fd)
{
	assert_int_equal(
	    chan_send(launch->chan, type, body, n, &fd, fd >= 0 ? 1 : 0), 0);
}

void
launch_link(struct launch *launch)
{
	struct msg_link body = { .slot = 0 };
	int pair[2];

	launch->link = fd_close(launch->link);
	assert_int_equal(chan_pair(pair, 1), 0);
	launch_send(launch, MSG_LINK, &body, sizeof(body), pair[1]);
	fd_close(pair[1]);
	launch->link = pair[0];
}

static void
greet(struct launch *launch)
{
	bool root = geteuid() == 0;
	struct msg_hello hello = {
		.role = ROLE_LAUNCHER,
		.slot = BOARD_LAUNCHER,
		.log_target = CAB_LOG_STDERR,
		.log_level = CAB_LOG_INFO,
		.uid = root ? 65534 : UINT32_MAX,
		.gid = root ? 65534 : UINT32_MAX,
		.max_fds = 1024,
	};
	struct msg_link wake = { .slot = 0 };

	launch_send(launch, MSG_HELLO, &hello, sizeof(hello), launch->board_fd);
	launch_send(launch, MSG_WAKE, &wake, sizeof(wake), launch->wake);
	launch_link(launch);
}

static void __attribute__((noreturn)) become_launcher(int chan, int log)
{
	static const struct cab_desc *const none[] = { NULL };

	struct sigaction plain = { .sa_handler = SIG_DFL };

	/* cmocka catches crashes of the test; this is not the test. */
	sigaction(SIGSEGV, &plain, NULL);
	sigaction(SIGABRT, &plain, NULL);
	if (dup2(log, STDERR_FILENO) < 0 || dup2(chan, MSG_ROLE_FD) < 0)
		_exit(99);
	close_range(MSG_ROLE_FD + 1, ~0U, 0);
	launcher_main(none);
}

void
launch_start(struct launch *launch)
{
	int pair[2];

	*launch = (struct launch){ .chan = -1, .link = -1 };
	launch->log = tmpfile();
	assert_non_null(launch->log);
	/* As a shell's ">>" would: what the roles write is never overwritten. */
	fcntl(fileno(launch->log), F_SETFL, O_APPEND);
	launch->board_fd = board_create(&launch->board);
	assert_true(launch->board_fd >= 0);
	ticket_pool_init(&launch->tickets, launch->board, 0);
	launch->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(launch->wake >= 0);
	assert_int_equal(chan_pair(pair, 0), 0);
	fflush(NULL);
	launch->pid = fork();
	assert_true(launch->pid >= 0);
	if (launch->pid == 0)
		become_launcher(pair[1], fileno(launch->log));
	fd_close(pair[1]);
	launch->chan = pair[0];
	greet(launch);
}

void
launch_config(struct launch *launch, struct launch_conf *c, uint64_t generation)
{
	struct cab_buf bytes = CAB_BUF_INIT(0);
	struct msg_config body = { .generation = generation };
	int fd;

	assert_int_equal(conf_encode(&c->conf, &bytes), 0);
	body.n = buf_len(&bytes);
	fd = fd_sealed_memfd("test", buf_slice(&bytes).p, body.n);
	assert_true(fd >= 0);
	launch_send(launch, MSG_CONFIG, &body, sizeof(body), fd);
	fd_close(fd);
	buf_release(&bytes);
}

uint32_t
launch_answer(struct launch *launch, char *text, size_t cap)
{
	static struct chan_msg msg;
	struct pollfd ready = { .fd = launch->chan, .events = POLLIN };

	assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
	assert_int_equal(chan_recv(launch->chan, &msg), 1);
	assert_true(msg_valid(&msg));
	if (text != NULL)
		snprintf(text, cap, "%s",
		    (const char *)msg.body + sizeof(struct msg_commit));
	return msg.type;
}

void
launch_commit(struct launch *launch, uint64_t generation)
{
	struct msg_commit body = { .generation = generation };

	launch_send(launch, MSG_COMMIT, &body, sizeof(body), -1);
	assert_int_equal(launch_answer(launch, NULL, 0), MSG_READY);
}

void
launch_use(struct launch *launch, struct launch_conf *c)
{
	launch_config(launch, c, 1);
	launch_commit(launch, 1);
}

/* ---- connections --------------------------------------------------------------------- */

uint32_t
launch_ticket(struct launch *launch, uint32_t slot)
{
	uint32_t ticket;

	assert_true(quota_take(launch->board, slot, 0));
	ticket = ticket_new(&launch->tickets, slot, BOARD_NO_SOURCE);
	assert_true(ticket != BOARD_NO_TICKET);
	ticket_describe(launch->board, ticket, ++launch->conn_id,
	    &(struct cab_peer){ .family = AF_INET }, 0);
	return ticket;
}

void
launch_run_msg(struct launch *launch, const struct msg_run *run, int fd)
{
	int r;

	do {
		r = chan_send(launch->link, MSG_RUN, run, sizeof(*run), &fd, 1);
		if (r == -EAGAIN)
			poll(NULL, 0, STEP_MS);
	} while (r == -EAGAIN);
	assert_int_equal(r, 0);
}

int
launch_run(struct launch *launch, uint64_t generation, uint32_t service)
{
	uint32_t ticket = launch_ticket(launch, service);
	struct msg_run run = {
		.generation = generation,
		.conn_id = launch->conn_id,
		.service = service,
		.ticket = ticket,
		.peer = { .family = AF_INET, .port = 40000, .ip = { 192, 0, 2, 1 } },
		.local = { .family = AF_INET, .port = 7, .ip = { 192, 0, 2, 2 } },
	};
	int pair[2];

	launch->ticket = run.ticket;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	/* As the worker leaves it. */
	assert_int_equal(fd_set_nonblock(pair[1], 1), 0);
	launch_run_msg(launch, &run, pair[1]);
	fd_close(pair[1]);
	return pair[0];
}

size_t
launch_read(int fd, char *text, size_t cap)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	size_t all = 0;
	ssize_t n;

	while (all < cap - 1) {
		assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
		n = read(fd, text + all, cap - 1 - all);
		if (n < 0 && errno == ECONNRESET)
			break;
		assert_true(n >= 0);
		if (n == 0)
			break;
		all += (size_t)n;
	}
	text[all] = '\0';
	return all;
}

/* ---- watching ------------------------------------------------------------------------- */

void
launch_until(
    bool (*is_so)(struct launch *, void *), struct launch *launch, void *arg)
{
	int ms;

	for (ms = 0; !is_so(launch, arg); ms += STEP_MS) {
		if (ms >= PATIENCE_MS)
			fail_msg("waited in vain");
		poll(NULL, 0, STEP_MS);
	}
}

bool
launch_idle(struct launch *launch, void *arg)
{
	struct board_role *role = &launch->board->roles[BOARD_LAUNCHER];
	uint32_t i;

	(void)arg;
	for (i = 0; i < LAUNCH_SERVICES; i++)
		if (atomic_load(&launch->board->services[i].active) != 0)
			return false;
	return atomic_load(&role->connections) == 0;
}

static char *
log_text(struct launch *launch)
{
	static char *text;
	struct stat st;
	ssize_t n;

	free(text);
	assert_int_equal(fstat(fileno(launch->log), &st), 0);
	text = malloc((size_t)st.st_size + 1);
	assert_non_null(text);
	n = pread(fileno(launch->log), text, (size_t)st.st_size, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static char *
find_line(struct launch *launch, const char *word, const char *second)
{
	char *line, *save = NULL;

	for (line = strtok_r(log_text(launch), "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		if (strstr(line, word) != NULL &&
		    (second == NULL || strstr(line, second) != NULL))
			return line;
	return NULL;
}

const char *
launch_log(struct launch *launch, const char *word, const char *second)
{
	const char *line;
	int ms;

	for (ms = 0; (line = find_line(launch, word, second)) == NULL;
	     ms += STEP_MS) {
		if (ms >= PATIENCE_MS)
			fail_msg("no log line with %s and %s in:\n%s", word,
			    second != NULL ? second : "", log_text(launch));
		poll(NULL, 0, STEP_MS);
	}
	return line;
}

bool
launch_logged(struct launch *launch, const char *word)
{
	return find_line(launch, word, NULL) != NULL;
}

/* ---- the end -------------------------------------------------------------------------- */

static bool
has_ended(struct launch *launch, void *arg)
{
	return waitpid(launch->pid, arg, WNOHANG) == launch->pid;
}

int
launch_wait(struct launch *launch)
{
	int status = -1;

	launch_until(has_ended, launch, &status);
	launch->pid = 0;
	return status;
}

void
launch_stop(struct launch *launch)
{
	struct msg_stop body = { .drain_ms = 0 };
	int status = 0;

	if (launch->pid > 0) {
		launch_send(launch, MSG_STOP, &body, sizeof(body), -1);
		status = launch_wait(launch);
	}
	if (status != 0)
		print_error("%s", log_text(launch));
	assert_int_equal(status, 0);
	fd_close(launch->chan);
	fd_close(launch->link);
	fd_close(launch->wake);
	fd_close(launch->board_fd);
	board_unmap(launch->board);
	fclose(launch->log);
}
