/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conversation with one role.  Supervisor only.  Nothing here waits for the
 * other side: what its channel does not take stays in the outbox, and a role
 * that says what it may not say is ended.
 */
#include "supervisor/role.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/chan.h"
#include "ipc/msg.h"

#define EXIT_GRACE    (5 * ROLE_SEC) /* to exit after closing its channel */
#define SEND_RETRY    (20 * ROLE_MSEC)

#define RECEIVE_BATCH 64 /* messages of one role before the others' turn */

uint64_t
role_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * ROLE_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- ending ----------------------------------------------------------------------- */

void
role_arm(struct role *role, uint64_t usec)
{
	if (sd_event_source_set_time(role->timer, role_now() + usec) >= 0)
		(void)sd_event_source_set_enabled(role->timer, SD_EVENT_ONESHOT);
}

void
role_close(struct role *role)
{
	role->io = sd_event_source_disable_unref(role->io);
	role->chan = fd_close(role->chan);
	outbox_clear(&role->outbox);
}

void
role_kill(struct role *role)
{
	if (role->pidfd >= 0)
		(void)pidfd_send_signal(role->pidfd, SIGKILL, NULL, 0);
	else if (role->pid > 0)
		(void)kill(role->pid, SIGKILL);
}

void
role_event(const struct role *role, struct event *event)
{
	event_begin(event);
	event_word(event, FIELD_CHILD, role->name);
	if (role->pid > 0)
		event_number(event, FIELD_PID, (uint64_t)role->pid);
}

/* It broke the rules of the channel, or we cannot serve it: end it, and start anew when it is gone. */
void
role_fault(struct role *role, const char *what)
{
	struct event event;

	role_event(role, &event);
	event_word(&event, FIELD_REASON, what);
	event_said(&event);
	event_log(&event, CAB_LOG_ERR, EVENT_ROLE_FAULT, "%s (pid %d): %s: ending it",
	    role->name, (int)role->pid, what);
	role_close(role);
	role_kill(role);
}

/* ---- links ------------------------------------------------------------------------ */

/* Our successor must know which links are whole: whatever waits here dies with us. */
static void
note_links(struct roles *roles)
{
	const struct role *launcher = &roles->v[BOARD_LAUNCHER];

	for (unsigned i = 0; i < BOARD_WORKERS; i++) {
		struct role *worker = &roles->v[i];

		if (!worker->linking || worker->outbox.first != NULL ||
		    launcher->outbox.first != NULL)
			continue;
		worker->linking = false;
		atomic_store(&roles->setup.board->roles[i].linked, 1);
	}
}

/* ---- sending ---------------------------------------------------------------------- */

int
role_flush(struct role *role)
{
	int r;

	if (role->chan < 0)
		return 0;

	r = outbox_flush(&role->outbox, role->chan);
	(void)sd_event_source_set_io_events(
	    role->io, r == -EAGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN);
	if (r == -EBUSY)
		role_arm(role, SEND_RETRY);
	else if (r < 0 && r != -EAGAIN && r != -EPIPE)
		role_fault(role, strerror(-r));
	else if (r == 0)
		note_links(role->roles);
	/* -EPIPE: what it said last is still to be read, and its end to be seen. */
	return r;
}

void
role_put(struct role *role, struct batch *batch, bool replace)
{
	if (role->chan < 0 || batch == NULL)
		return;
	if (outbox_put(&role->outbox, batch, replace) < 0)
		role_fault(role, strerror(ENOMEM));
	else
		(void)role_flush(role);
}

/* One message that is a batch of its own. */
void
role_send(struct role *role, uint32_t type, const void *body, size_t n,
    struct shared_fd *fd)
{
	struct batch *batch = batch_new();

	if (batch == NULL || batch_add(batch, type, body, n, fd) < 0)
		role_fault(role, strerror(ENOMEM));
	else
		role_put(role, batch, false);
	batch_unref(batch);
}

void
role_link(struct role *worker)
{
	struct role *launcher = &worker->roles->v[BOARD_LAUNCHER];
	struct msg_link body = { .slot = worker->slot };
	struct shared_fd *near, *far;
	int fds[2], r;

	if (worker->chan < 0 || launcher->chan < 0)
		return;
	r = chan_pair(fds, 1);
	if (r < 0) {
		role_fault(worker, strerror(-r));
		return;
	}
	near = shared_fd_new(fds[0]);
	far = shared_fd_new(fds[1]);
	worker->linking = true;
	atomic_store(&worker->roles->setup.board->roles[worker->slot].linked, 0);
	if (near != NULL && far != NULL) {
		role_send(worker, MSG_LINK, &body, sizeof(body), near);
		role_send(launcher, MSG_LINK, &body, sizeof(body), far);
	} else {
		role_fault(worker, strerror(ENOMEM));
	}
	shared_fd_unref(near);
	shared_fd_unref(far);
}

void
role_send_wake(struct role *role, uint32_t slot)
{
	struct msg_link body = { .slot = slot };

	role_send(role, MSG_WAKE, &body, sizeof(body), role->roles->wake[slot]);
}

/* All that a role must know to start working. */
void
role_greet(struct role *role)
{
	struct roles *roles = role->roles;
	const struct roles_setup *setup = &roles->setup;
	struct msg_hello hello = {
		.role = role_is_launcher(role) ? ROLE_LAUNCHER : ROLE_WORKER,
		.slot = role->slot,
		.log_target = setup->log_target,
		.log_level = setup->log_level,
		.uid = setup->uid,
		.gid = setup->gid,
		.max_fds = setup->max_fds
	};

	role_send(role, MSG_HELLO, &hello, sizeof(hello), roles->board);
	for (unsigned i = 0; i < BOARD_WORKERS; i++)
		if (roles->wake[i] != NULL)
			role_send_wake(role, i);
	if (role_is_launcher(role)) {
		for (unsigned i = 0; i < BOARD_WORKERS; i++)
			role_link(&roles->v[i]);
		role_put(role, roles->batches.launcher, true);
	} else {
		role_link(role);
		role_put(role, roles->batches.workers, true);
	}
}

/* ---- receiving -------------------------------------------------------------------- */

static void
role_message(struct role *role, const struct chan_msg *msg)
{
	const struct roles_watch *watch = &role->roles->setup.watch;
	char text[512];
	struct msg_commit body;

	/* In the language of another build, perhaps, and nothing that matters. */
	if (role->retired)
		return;
	if (!msg_valid(msg) ||
	    (msg->type != MSG_READY && msg->type != MSG_FAILED)) {
		role_fault(role, "sent a message that it may not send");
		return;
	}
	memcpy(&body, msg->body, sizeof(body));
	if (msg->type == MSG_FAILED) {
		str_escape(text, sizeof(text), msg->body + sizeof(body),
		    msg->n - sizeof(body));
		watch->failed(watch->arg, role->name, body.generation, text);
		return;
	}
	role->generation = body.generation;
	role->down = 0;
	if (role->generation == role->roles->generation) {
		role->misses = 0;
		watch->ready(watch->arg);
	}
}

void
role_receive(struct role *role)
{
	struct chan_msg msg;
	int r;

	for (unsigned i = 0; i < RECEIVE_BATCH && role->chan >= 0; i++) {
		r = chan_recv(role->chan, &msg);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			role_fault(role, "sent a malformed message");
			return;
		}
		if (r == 0) {
			/* On its way out; how it went its exit will tell. */
			role_close(role);
			role_arm(role, EXIT_GRACE);
			role->deadline = role_now() + EXIT_GRACE;
			return;
		}
		role_message(role, &msg);
		chan_msg_release(&msg);
	}
}

static int
on_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct role *role = arg;

	(void)source;
	(void)fd;
	if (events & EPOLLOUT)
		(void)role_flush(role);
	if (events & ~(uint32_t)EPOLLOUT)
		role_receive(role);
	return 0;
}

int
role_listen(struct role *role)
{
	int r = sd_event_add_io(role->roles->setup.event, &role->io, role->chan,
	    EPOLLIN, on_io, role);

	return r < 0 ? r : 0;
}
