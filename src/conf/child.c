/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The config role: a disposable process that reads the configuration and is
 * gone.  It gives up its rights first, reaches files only by asking the
 * supervisor, and answers with findings and one flat snapshot.  Must never be
 * trusted by anyone: all it says is checked on the other side.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "conf/model.h"
#include "conf/sandbox.h"
#include "ipc/msg.h"

#define NAMES_MAX ((size_t)1 << 20) /* bytes of a directory's names */

struct child {
	int chan;
	int result; /* memory file of the supervisor's */
	struct chan_msg msg;
	char why[1024]; /* the supervisor's explanation, until the next one */
};

/* Nobody is left to answer to. */
static void __attribute__((noreturn)) give_up(void)
{
	_exit(EXIT_FAILURE);
}

/*
 * Never with a descriptor: how many of those may be on their way is counted for
 * all processes of a user, so others could keep this one from speaking.
 */
static void
tell(const struct child *c, uint32_t type, const void *body, size_t n)
{
	if (chan_send(c->chan, type, body, n, NULL, 0) < 0)
		give_up();
}

static void
hear(struct child *c, uint32_t type)
{
	if (chan_recv(c->chan, &c->msg) != 1 || c->msg.type != type ||
	    !msg_valid(&c->msg))
		give_up();
}

/* ---- files, by way of the supervisor ------------------------------------------- */

/* Sends head and path, takes the answer: 0 or -errno, *ret_fd the descriptor if there is one. */
static int
ask(struct child *c, uint32_t type, const void *head, size_t head_n,
    const char *path, uint32_t answer, int *ret_fd)
{
	unsigned char body[sizeof(struct msg_probe) + PATH_MAX];
	size_t n = strlen(path);
	struct msg_result result;

	if (n == 0)
		return -ENOENT;
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	if (head_n > 0)
		memcpy(body, head, head_n);
	memcpy(body + head_n, path, n);
	tell(c, type, body, head_n + n);
	hear(c, answer);
	memcpy(&result, c->msg.body, sizeof(result));
	*ret_fd = chan_take_fd(&c->msg, 0);
	chan_msg_release(&c->msg);
	if (result.error > 0) {
		*ret_fd = fd_close(*ret_fd);
		return -result.error;
	}
	return 0;
}

/* The words after the result of a request that failed; NULL if there are none. */
static const char *
explanation(struct child *c)
{
	const size_t head = sizeof(struct msg_result);
	size_t n = c->msg.n - head;

	if (n == 0 || n >= sizeof(c->why))
		return NULL;
	memcpy(c->why, c->msg.body + head, n);
	c->why[n] = '\0';
	return c->why;
}

static int
child_open(void *arg, const char *path, const char **why)
{
	struct child *c = arg;
	int fd = -1, r;

	r = ask(c, MSG_OPEN, NULL, 0, path, MSG_OPENED, &fd);
	if (r < 0)
		*why = explanation(c);
	return r < 0 ? r : fd >= 0 ? fd : -EBADMSG;
}

static int
child_list(void *arg, const char *dir, char **ret_names, size_t *ret_n,
    const char **why)
{
	char *names = NULL;
	size_t size, n = 0, i;
	int fd = -1, r;

	r = ask(arg, MSG_LIST, NULL, 0, dir, MSG_LISTED, &fd);
	if (r < 0) {
		*why = explanation(arg);
		return r;
	}
	if (fd < 0)
		return -EBADMSG;
	r = fd_read_all(fd, NAMES_MAX, &names, &size);
	fd_close(fd);
	if (r < 0)
		return r;
	for (i = 0; i < size; i++)
		n += names[i] == '\0';
	*ret_names = names;
	*ret_n = n;
	return 0;
}

static int
child_probe(void *arg, const char *path, enum cab_probe kind)
{
	struct msg_probe probe = { .kind = kind };
	int fd = -1, r;

	r = ask(arg, MSG_PROBE, &probe, sizeof(probe), path, MSG_PROBED, &fd);
	fd_close(fd);
	return r;
}

/* ---- the answer --------------------------------------------------------------------- */

static size_t
bounded(const char *s, size_t max)
{
	return s != NULL ? strnlen(s, max) : 0;
}

static void
tell_finding(const struct child *c, const struct cab_finding *f)
{
	unsigned char body[CHAN_MAX_BODY];
	struct msg_finding head = { .severity = f->severity,
		.line = f->line,
		.file_n = (uint32_t)bounded(f->file, PATH_MAX) };
	size_t n = sizeof(head), text;

	memcpy(body, &head, sizeof(head));
	if (head.file_n > 0)
		memcpy(body + n, f->file, head.file_n);
	n += head.file_n;
	body[n++] = '\0';
	text = bounded(f->text, sizeof(body) - n);
	if (text > 0)
		memcpy(body + n, f->text, text);
	tell(c, MSG_FINDING, body, n + text);
}

/* Puts bytes into the memory file; false: there is no room for them. */
static bool
tell_bytes(const struct child *c, uint32_t type, const struct cab_buf *bytes)
{
	struct msg_snapshot head = { .n = buf_len(bytes) };

	if (fd_write_all(c->result, buf_slice(bytes).p, buf_len(bytes)) < 0)
		return false;
	tell(c, type, &head, sizeof(head));
	return true;
}

static void
tell_all(const struct child *c, uint32_t mode, const struct cab_conf *conf,
    struct cab_diag *diag, const struct cab_buf *dump)
{
	struct cab_buf snapshot = CAB_BUF_INIT(0);
	struct msg_done done;
	bool told = true;
	size_t i;

	if (conf != NULL && mode == MSG_READ_PRINT)
		told = tell_bytes(c, MSG_DUMP, dump);
	if (conf != NULL && mode == MSG_READ_LOAD)
		told = conf_encode(conf, &snapshot) == 0 &&
		    tell_bytes(c, MSG_SNAPSHOT, &snapshot);
	if (!told)
		diag_add(diag, CAB_ERROR, NULL, 0,
		    "the configuration is too large, or memory is short");
	for (i = 0; i < diag->n; i++)
		tell_finding(c, &diag->findings[i]);
	done = (struct msg_done){ .errors = (uint32_t)diag->errors,
		.truncated = diag->truncated };
	tell(c, MSG_DONE, &done, sizeof(done));
}

void
conf_child_main(int chan, const struct cab_desc *const descs[])
{
	static struct child c;
	struct cab_conf_source source = { .open = child_open,
		.list = child_list,
		.probe = child_probe,
		.arg = &c };
	struct cab_diag diag = { 0 };
	struct cab_buf dump = CAB_BUF_INIT(0);
	struct cab_conf *conf = NULL;
	struct msg_read order;
	char path[PATH_MAX];
	const char *what;
	size_t n;
	int r;

	c.chan = chan;
	hear(&c, MSG_READ);
	c.result = chan_take_fd(&c.msg, 0);
	memcpy(&order, c.msg.body, sizeof(order));
	n = c.msg.n - sizeof(order);
	if (n == 0 || n >= sizeof(path))
		give_up();
	memcpy(path, c.msg.body + sizeof(order), n);
	path[n] = '\0';
	source.privileged = order.privileged != 0;
	r = conf_sandbox(order.uid, order.gid, &what);
	/* A name server that is silent must not cost all the time there is. */
	if (r == 0 && setenv("RES_OPTIONS", "timeout:1 attempts:2", 1) < 0)
		r = -errno;
	if (r < 0)
		diag_add(&diag, CAB_ERROR, path, 0,
		    "the process that reads it failed at %s: %s", what,
		    strerror(-r));
	else
		conf = conf_read(path, descs, &source, &diag,
		    order.mode == MSG_READ_PRINT ? &dump : NULL);
	tell_all(&c, order.mode, conf, &diag, &dump);
	/* Nothing is given back: the process is. */
	_exit(EXIT_SUCCESS);
}
