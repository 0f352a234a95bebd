/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the config role and collects what it says.  Supervisor only.  The child
 * may have been taken over by what it read: its messages are counted, bounded
 * and checked, and it is killed when its time is up.  Never parses config text.
 */
#include "supervisor/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/proto.h"
#include "supervisor/files.h"
#include "supervisor/spawn.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

#define WALL_MS       6000
#define GRACE_MS      1000  /* from its last word to its end */
#define REQUESTS_MAX  20000 /* files, directories and probes */
#define STEP_MESSAGES 64    /* before the event loop gets its turn */
#define RESULT_MAX    ((size_t)64 << 20)
#define CONFIG_UID \
	65534 /* nobody; a number, because looking names up is the child's work */

enum reader_state {
	READING,
	ENDING,
	ENDED
};

struct reader {
	char *path;
	enum msg_read_mode mode;
	bool privileged;
	enum reader_state state;
	pid_t pid; /* not reaped while > 0 */
	int pidfd, chan, epoll;
	uint64_t deadline_ms;
	unsigned requests;
	bool done, killed;
	const char *fault; /* why it was killed or given up */
	struct msg_done last;
	int result_fd;   /* memory file that the child writes into */
	uint32_t result; /* MSG_DUMP or MSG_SNAPSHOT when it says it has */
	uint64_t result_n;
	struct cab_diag diag;
	struct chan_msg msg;
};

static uint64_t
now_ms(void)
{
	struct timespec ts;

	/* Not the loop's cached time: the blocking form has no loop. */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- the child -------------------------------------------------------------------- */

static void
kill_child(struct reader *r)
{
	if (r->pid > 0 && !r->killed)
		(void)pidfd_send_signal(r->pidfd, SIGKILL, NULL, 0);
	r->killed = true;
}

/* Nothing more will be heard: wait for its end. */
static void
end_channel(struct reader *r)
{
	r->chan = fd_close(r->chan);
	r->state = ENDING;
	r->deadline_ms = now_ms() + GRACE_MS;
}

/* It broke a rule or ran out of time. */
static void
give_up(struct reader *r, const char *fault)
{
	if (r->fault == NULL)
		r->fault = fault;
	r->done = false;
	kill_child(r);
	if (r->state == READING)
		end_channel(r);
}

static void
explain_end(struct reader *r, const siginfo_t *end)
{
	if (r->fault != NULL)
		diag_add(&r->diag, CAB_ERROR, r->path, 0, "%s", r->fault);
	else if (end->si_code == CLD_EXITED)
		diag_add(&r->diag, CAB_ERROR, r->path, 0,
		    "the process that reads it ended with status %d before it "
		    "was done",
		    end->si_status);
	else if (end->si_status == SIGXCPU)
		diag_add(&r->diag, CAB_ERROR, r->path, 0,
		    "reading it takes too much processor time");
	else
		diag_add(&r->diag, CAB_ERROR, r->path, 0,
		    "the process that reads it was killed by signal %d (%s)",
		    end->si_status, strsignal(end->si_status));
}

/* True when the child has ended, and was waited for. */
static bool
reap(struct reader *r, int options)
{
	siginfo_t end = { .si_pid = 0 };
	int e;

	do
		e = waitid(P_PIDFD, (id_t)r->pidfd, &end, WEXITED | options);
	while (e < 0 && errno == EINTR);
	if (e == 0 && end.si_pid == 0)
		return false;
	r->pid = 0;
	r->state = ENDED;
	if (!r->done)
		explain_end(r, &end);
	return true;
}

/* ---- messages ----------------------------------------------------------------------- */

static void
answer(struct reader *r, uint32_t type, int error, const char *why, int fd)
{
	unsigned char body[sizeof(struct msg_result) + FILES_WHY];
	struct msg_result result = { .error = -error };
	size_t n = strnlen(why, FILES_WHY - 1);

	memcpy(body, &result, sizeof(result));
	memcpy(body + sizeof(result), why, n);
	/* The child takes one answer for each question: there is always room. */
	if (chan_send(r->chan, type, body, sizeof(result) + n, &fd,
		error == 0 && fd >= 0) < 0)
		give_up(r, "the process that reads it does not listen");
}

/* The path at the end of a request, as a string; NULL if it is none. */
static const char *
request_path(struct reader *r, size_t head)
{
	size_t n = r->msg.n - head;

	if (n == 0 || n >= PATH_MAX || memchr(r->msg.body + head, '\0', n) != NULL)
		return NULL;
	return (const char *)r->msg.body + head; /* chan_recv terminates it */
}

static void
serve(struct reader *r)
{
	char why[FILES_WHY] = "";
	struct msg_probe probe = { 0 };
	const char *path;
	int fd = -1, error;

	if (++r->requests > REQUESTS_MAX) {
		give_up(r, "reading it asks for too many files");
		return;
	}
	if (r->msg.type == MSG_PROBE)
		memcpy(&probe, r->msg.body, sizeof(probe));
	path = request_path(r, r->msg.type == MSG_PROBE ? sizeof(probe) : 0);
	if (path == NULL) {
		give_up(r, "the process that reads it asks for no path");
		return;
	}
	switch (r->msg.type) {
	case MSG_OPEN:
		fd = files_open(
		    path, r->privileged, strcmp(path, r->path) == 0, why);
		answer(r, MSG_OPENED, fd < 0 ? fd : 0, why, fd);
		break;
	case MSG_LIST:
		fd = files_list(path, r->privileged, why);
		answer(r, MSG_LISTED, fd < 0 ? fd : 0, why, fd);
		break;
	case MSG_PROBE:
		error = files_probe(path, probe.kind);
		answer(r, MSG_PROBED, error, "", -1);
		break;
	}
	fd_close(fd);
}

static void
take_finding(struct reader *r)
{
	struct msg_finding head;
	const char *file = (const char *)r->msg.body + sizeof(head), *text;
	size_t rest = r->msg.n - sizeof(head);

	memcpy(&head, r->msg.body, sizeof(head));
	if (head.severity > CAB_WARNING || head.line < 0 ||
	    head.file_n >= rest || file[head.file_n] != '\0' ||
	    memchr(file, '\0', head.file_n) != NULL) {
		give_up(r, "the process that reads it sent a broken finding");
		return;
	}
	text = file + head.file_n + 1;
	diag_add(&r->diag, (enum cab_severity)head.severity,
	    head.file_n > 0 ? file : NULL, head.line, "%s", text);
}

static void
take_done(struct reader *r)
{
	memcpy(&r->last, r->msg.body, sizeof(r->last));
	r->done = true;
	/* It knows of more than it could tell. */
	if (r->last.errors > r->diag.errors)
		r->diag.errors = r->last.errors;
	if (r->last.truncated)
		r->diag.truncated = true;
	end_channel(r);
}

static void
take_message(struct reader *r)
{
	struct msg_snapshot snapshot;

	if (!msg_valid(&r->msg)) {
		give_up(r, "the process that reads it sent a broken message");
		return;
	}
	switch (r->msg.type) {
	case MSG_OPEN:
	case MSG_LIST:
	case MSG_PROBE:
		serve(r);
		break;
	case MSG_FINDING:
		take_finding(r);
		break;
	case MSG_DUMP:
	case MSG_SNAPSHOT:
		memcpy(&snapshot, r->msg.body, sizeof(snapshot));
		r->result = r->msg.type;
		r->result_n = snapshot.n;
		break;
	case MSG_DONE:
		take_done(r);
		break;
	default:
		give_up(r,
		    "the process that reads it sent what is not its to "
		    "say");
	}
}

/* ---- the loop's side -------------------------------------------------------------------- */

static int
watch(struct reader *r, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* What the child writes its result into: its own descriptors are nothing to rely on. */
static int
make_result(struct reader *r)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

	r->result_fd = memfd_create("cabinetd-config", flags | MFD_NOEXEC_SEAL);
	if (r->result_fd < 0 && errno == EINVAL)
		r->result_fd = memfd_create("cabinetd-config", flags);
	return r->result_fd < 0 ? -errno : 0;
}

static int
order(struct reader *r)
{
	unsigned char body[sizeof(struct msg_read) + PATH_MAX];
	struct msg_read head = { .mode = r->mode,
		.privileged = r->privileged,
		.uid = r->privileged ? CONFIG_UID : UINT32_MAX,
		.gid = r->privileged ? CONFIG_UID : UINT32_MAX };
	size_t n = strlen(r->path);

	memcpy(body, &head, sizeof(head));
	memcpy(body + sizeof(head), r->path, n);
	return chan_send(
	    r->chan, MSG_READ, body, sizeof(head) + n, &r->result_fd, 1);
}

static int
start_child(struct reader *r)
{
	int fds[2], e;
	pid_t pid;

	e = chan_pair(fds, 0);
	if (e < 0)
		return e;
	r->chan = fds[0];
	e = fd_set_nonblock(r->chan, 1);
	pid = e < 0 ? e : roles_spawn(ROLE_TITLE_CONFIG, fds[1]);
	fd_close(fds[1]);
	if (pid < 0)
		return (int)pid;
	r->pid = pid;
	r->pidfd = pidfd_open(pid, 0);
	if (r->pidfd < 0) {
		e = -errno;
		/* It ends by itself when its channel does. */
		r->chan = fd_close(r->chan);
		(void)waitpid(pid, NULL, 0);
		r->pid = 0;
		return e;
	}
	return 0;
}

int
reader_start(struct reader **ret, const char *path, enum msg_read_mode mode)
{
	struct reader *r;
	int e;

	if (path[0] == '\0')
		return -ENOENT;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	r->mode = mode;
	r->privileged = geteuid() == 0;
	r->pidfd = r->chan = r->epoll = r->result_fd = -1;
	r->deadline_ms = now_ms() + WALL_MS;
	r->path = strdup(path);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	e = r->path == NULL ? -ENOMEM : r->epoll < 0 ? -errno : make_result(r);
	if (e == 0)
		e = start_child(r);
	if (e == 0)
		e = watch(r, r->chan);
	if (e == 0)
		e = watch(r, r->pidfd);
	if (e == 0)
		e = order(r);
	if (e < 0) {
		reader_free(r);
		return e;
	}
	*ret = r;
	return 0;
}

int
reader_fd(const struct reader *r)
{
	return r->epoll;
}

int
reader_deadline_ms(const struct reader *r)
{
	uint64_t now = now_ms();

	if (r->state == ENDED || now >= r->deadline_ms)
		return 0;
	return (int)(r->deadline_ms - now);
}

int
reader_step(struct reader *r)
{
	int i, got;

	for (i = 0; r->state == READING && i < STEP_MESSAGES; i++) {
		got = chan_recv(r->chan, &r->msg);
		if (got == -EAGAIN)
			break;
		if (got == 1) {
			take_message(r);
			chan_msg_release(&r->msg);
		} else if (got == 0) {
			end_channel(r);
		} else {
			give_up(r,
			    "the process that reads it sent what is no "
			    "message");
		}
	}
	if (r->state == READING && now_ms() >= r->deadline_ms)
		give_up(r,
		    "reading it took too long and was given up (does a "
		    "host name in it need a name server that does not "
		    "answer?)");
	if (r->state == ENDING && !reap(r, WNOHANG)) {
		if (now_ms() < r->deadline_ms)
			return 0;
		/* It has said all, or nothing; why it lingers is no concern. */
		kill_child(r);
		(void)reap(r, 0);
	}
	return r->state == ENDED;
}

/* ---- the result ----------------------------------------------------------------------------- */

/* The bytes that the child has left in the memory file: 0 or -errno. */
static int
take_bytes(struct reader *r, uint32_t type, char **ret, size_t *ret_n)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW |
	    F_SEAL_WRITE;
	char *bytes;
	size_t n;
	int e;

	if (r->result != type)
		return -ENODATA;
	/* The child is dead, and a mapping of its would have died with it. */
	if (fcntl(r->result_fd, F_ADD_SEALS, seals) < 0)
		return -errno;
	e = fd_read_all(r->result_fd, RESULT_MAX, &bytes, &n);
	if (e < 0)
		return e;
	if (n != r->result_n) {
		free(bytes);
		return -EBADMSG;
	}
	*ret = bytes;
	*ret_n = n;
	return 0;
}

static void
take_result(struct reader *r, struct reader_result *result)
{
	bool load = r->mode == MSG_READ_LOAD;
	char *bytes = NULL;
	size_t n = 0;
	int e;

	e = take_bytes(r, load ? MSG_SNAPSHOT : MSG_DUMP, &bytes, &n);
	if (e == 0 && load)
		e = conf_decode(cab_descs, bytes, n, &result->conf);
	if (e < 0) {
		diag_add(&r->diag, CAB_ERROR, r->path, 0,
		    "the process that reads it has left a result that cannot "
		    "be used: %s",
		    strerror(-e));
		free(bytes);
		return;
	}
	if (!load) {
		result->dump = bytes;
		result->dump_n = n;
		return;
	}
	free(bytes);
	result->snapshot_fd = r->result_fd;
	result->snapshot_n = n;
	r->result_fd = -1;
}

void
reader_take(struct reader *r, struct reader_result *result)
{
	*result = (struct reader_result){ .snapshot_fd = -1 };
	if (r->diag.errors == 0 && r->mode != MSG_READ_CHECK)
		take_result(r, result);
	result->diag = r->diag;
	r->diag = (struct cab_diag){ 0 };
}

void
reader_result_release(struct reader_result *result)
{
	diag_release(&result->diag);
	conf_free(result->conf);
	/* A zeroed result has no descriptor, whatever the number says. */
	if (result->snapshot_n > 0)
		fd_close(result->snapshot_fd);
	free(result->dump);
	*result = (struct reader_result){ .snapshot_fd = -1 };
}

void
reader_free(struct reader *r)
{
	if (r == NULL)
		return;
	if (r->pid > 0) {
		kill_child(r);
		(void)reap(r, 0);
	}
	fd_close(r->chan);
	fd_close(r->pidfd);
	fd_close(r->epoll);
	fd_close(r->result_fd);
	diag_release(&r->diag);
	free(r->path);
	free(r);
}

int
reader_run(const char *path, enum msg_read_mode mode, struct reader_result *result)
{
	struct reader *r;
	struct pollfd ready;
	int e;

	e = reader_start(&r, path, mode);
	if (e < 0)
		return e;
	ready = (struct pollfd){ .fd = reader_fd(r), .events = POLLIN };
	while (reader_step(r) == 0)
		(void)poll(&ready, 1, reader_deadline_ms(r));
	reader_take(r, result);
	reader_free(r);
	return 0;
}
