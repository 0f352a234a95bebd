/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients of the control socket: accepting them, taking one request from each,
 * sending the reply.  Supervisor only.  Whoever connects may be slow, hostile
 * or gone at any moment; a time limit on each step and a limit on their number
 * bound what they cost, and nothing here ever waits for one.
 */
#include "supervisor/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/event.h"
#include "base/fd.h"
#include "supervisor/control_private.h"

#define MSEC         UINT64_C(1000)
#define SEC          (1000 * MSEC)
#define CLIENTS_MOST 16
#define LOOKERS_MOST 12         /* of them from clients that may only look */
#define ASK_WITHIN   (2 * SEC)  /* for the whole request */
#define TAKE_WITHIN  (10 * SEC) /* for the next piece of the reply */
#define WAIT_MOST    (300 * SEC)
#define OUT_ENOUGH   (64 * 1024) /* of a reply, before more of it is made */
#define ACCEPT_BATCH 8

static void client_free(struct client *client);
static void watch_socket(struct control *control);

uint64_t
control_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- replies --------------------------------------------------------------------- */

void
client_alarm(struct client *client, uint64_t in_us)
{
	if (sd_event_source_set_time(client->timer, control_now_us() + in_us) >= 0)
		(void)sd_event_source_set_enabled(
		    client->timer, SD_EVENT_ONESHOT);
}

void
client_end(struct client *client)
{
	ctl_end(&client->reply);
	client->done = true;
	client->wait = WAIT_NOTHING;
	(void)sd_event_source_set_io_events(client->io, EPOLLOUT);
	client_alarm(client, TAKE_WITHIN);
}

void
client_refuse(struct client *client, enum ctl_exit code, const char *fmt, ...)
{
	char text[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ctl_error(&client->reply, code, "%s", text);
	client_end(client);
}

bool
client_service(struct client *client, const char *name, struct apply_service *ret)
{
	struct cab_nearest near = { .want = name };
	const struct apply *apply = client->control->apply;

	for (size_t i = 0; apply_service(apply, i, ret); i++) {
		if (strcmp(ret->conf->name, name) == 0)
			return true;
		nearest_offer(&near, ret->conf->name);
	}
	if (near.best != NULL)
		client_refuse(client, CTL_REFUSED,
		    "there is no service \"%s\"; did you mean \"%s\"?", name,
		    near.best);
	else
		client_refuse(client, CTL_REFUSED,
		    "there is no service \"%s\": \"cabinetctl services\" lists "
		    "them",
		    name);
	return false;
}

/* Sends what the client takes; false when it is gone or everything is sent. */
static bool
client_send(struct client *client)
{
	struct cab_slice out;
	ssize_t n;

	for (;;) {
		/* Made as it is taken, so that a long list is never in memory at once. */
		while (client->produce != NULL &&
		    buf_len(&client->out) < OUT_ENOUGH) {
			size_t before = buf_len(&client->out);

			if (client->produce(client)) {
				client->produce = NULL;
				client_end(client);
			} else if (buf_len(&client->out) == before) {
				/* Nothing found in this piece: others first. */
				return true;
			}
		}
		out = buf_slice(&client->out);
		if (client->reply.error < 0)
			return false;
		if (out.n == 0)
			return !client->done;
		n = send(client->fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		buf_consume(&client->out, (size_t)n);
		client_alarm(client, TAKE_WITHIN);
	}
}

/* ---- requests --------------------------------------------------------------------- */

static void
client_ask(struct client *client, const char *line, size_t n)
{
	client->asked = true;
	/* Told when it goes away; what else it sends is not read. */
	(void)sd_event_source_set_io_events(client->io, 0);
	client_alarm(client, WAIT_MOST);
	if (ctl_request_parse(line, n, &client->request) < 0)
		client_refuse(client, CTL_USAGE,
		    "the request is malformed: is this cabinetctl of the same "
		    "version?");
	else
		control_run(client);
	if (client->wait == WAIT_NOTHING)
		(void)sd_event_source_set_io_events(client->io, EPOLLOUT);
}

/* False when the client is gone. */
static bool
client_receive(struct client *client)
{
	char *room = buf_room(
	    &client->in, CTL_REQUEST_MAX - buf_len(&client->in));
	struct cab_slice in;
	const char *lf;
	ssize_t n;

	if (room == NULL)
		return false;
	n = recv(client->fd, room, CTL_REQUEST_MAX - buf_len(&client->in),
	    MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	buf_added(&client->in, (size_t)n);
	in = buf_slice(&client->in);
	lf = memchr(in.p, '\n', in.n);
	if (lf != NULL)
		client_ask(client, in.p, (size_t)(lf - in.p));
	else if (in.n == CTL_REQUEST_MAX)
		client_ask(client, "", 0);
	return true;
}

static int
on_client(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct client *client = arg;
	bool stays = true;

	(void)source;
	(void)fd;
	if (events & EPOLLIN)
		stays = client_receive(client);
	else if (events & (EPOLLHUP | EPOLLERR))
		stays = false;
	else if (events & EPOLLOUT)
		stays = client_send(client);
	if (!stays)
		client_free(client);
	return 0;
}

static int
on_client_time(sd_event_source *source, uint64_t usec, void *arg)
{
	struct client *client = arg;

	(void)source;
	(void)usec;
	if (client->wait == WAIT_KILL)
		control_kill_step(client);
	else if (client->wait != WAIT_NOTHING)
		client_refuse(client, CTL_REFUSED,
		    "it takes too long; the log will tell how it ended");
	else
		client_free(client);
	return 0;
}

/* ---- coming and going ---------------------------------------------------------------- */

static void
client_free(struct client *client)
{
	struct control *control = client->control;
	struct client **at = &control->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	control->n_clients--;
	client->io = sd_event_source_disable_unref(client->io);
	client->timer = sd_event_source_disable_unref(client->timer);
	fd_close(client->fd);
	buf_release(&client->in);
	buf_release(&client->out);
	tally_free(client->tally);
	free(client);
	watch_socket(control);
}

static void
client_new(struct control *control, int fd)
{
	struct client *client = calloc(1, sizeof(*client)), **at;
	sd_event *event = control->setup.event;
	int r;

	if (client == NULL) {
		fd_close(fd);
		return;
	}
	client->control = control;
	client->fd = fd;
	client->in = CAB_BUF_INIT(2 * CTL_REQUEST_MAX);
	client->reply.out = &client->out;
	client->since_us = control_now_us();
	for (at = &control->clients; *at != NULL;)
		at = &(*at)->next;
	*at = client;
	control->n_clients++;
	r = control_socket_peer(&control->current, fd, &client->peer);
	if (r == 0)
		r = sd_event_add_io(
		    event, &client->io, fd, EPOLLIN, on_client, client);
	if (r >= 0)
		r = sd_event_add_time(event, &client->timer, CLOCK_MONOTONIC,
		    client->since_us + ASK_WITHIN, 1 * MSEC, on_client_time,
		    client);
	if (r < 0) {
		client_free(client);
	} else if (!client->peer.look) {
		client->asked = true;
		client_refuse(client, CTL_UNREACHABLE,
		    "permission denied: that takes root, the daemon's own user "
		    "or admin_group");
	} else if (!client->peer.full && control->n_clients > LOOKERS_MOST) {
		client->asked = true;
		client_refuse(
		    client, CTL_REFUSED, "too many clients at once: try again");
	}
}

static int
on_socket(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct control *control = arg;

	(void)source;
	(void)events;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		int conn;

		if (control->n_clients == CLIENTS_MOST)
			break;
		conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (conn < 0)
			break;
		client_new(control, conn);
	}
	watch_socket(control);
	return 0;
}

/* Listens while there is room: others wait in the kernel's queue. */
static void
watch_socket(struct control *control)
{
	bool room = control->n_clients < CLIENTS_MOST;

	if (control->io != NULL)
		(void)sd_event_source_set_enabled(
		    control->io, room ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* ---- the socket over transactions ----------------------------------------------------- */

static int
cannot_listen(const struct cab_conf *conf, struct cab_diag *findings, int error,
    const char *why)
{
	bool asked = conf->control_line > 0;

	diag_add(findings, asked ? CAB_ERROR : CAB_WARNING,
	    asked ? conf->path : NULL, (int)conf->control_line,
	    "control: cannot listen on %s: %s%s",
	    conf->control != NULL ? conf->control : "a control socket",
	    why != NULL ? why : strerror(-error),
	    asked ? "" : "; cabinetctl cannot be used");
	return asked ? error : 0;
}

int
control_prepare(struct control *control, const struct cab_conf *conf,
    struct cab_diag *findings)
{
	const char *why = NULL;
	int r = 0;

	if (control_socket_stays(&control->current, conf)) {
		control->old_gid = control->current.admin_gid;
		control->stays = true;
		if (control->old_gid !=
		    (conf->admin_group.name != NULL ? conf->admin_group.id :
						      UINT32_MAX))
			r = control_socket_regroup(&control->current, conf, &why);
	} else {
		r = control_socket_open(conf, &control->next, &why);
	}
	return r < 0 ? cannot_listen(conf, findings, r, why) : 0;
}

static void
use_next(struct control *control)
{
	int r;

	control->io = sd_event_source_disable_unref(control->io);
	control_socket_close(&control->current);
	control->current = control->next;
	control->next.fd = -1;
	if (control->current.fd < 0)
		return;
	r = sd_event_add_io(control->setup.event, &control->io,
	    control->current.fd, EPOLLIN, on_socket, control);
	if (r < 0) {
		log_event(CAB_LOG_WARNING, EVENT_NO_CONTROL,
		    "cannot serve the control socket: %s", strerror(-r));
		control_socket_close(&control->current);
		return;
	}
	watch_socket(control);
	log_debug("control socket: %s", control->current.addr.un.sun_path);
}

static void
back_to_old_group(struct control *control)
{
	struct cab_conf old = { .admin_group = { .name = NULL } };
	const char *why;

	if (control->old_gid == control->current.admin_gid)
		return;
	if (control->old_gid != UINT32_MAX)
		old.admin_group = (struct cab_account){ "", control->old_gid,
			control->old_gid };
	(void)control_socket_regroup(&control->current, &old, &why);
}

static void
forget_changes(struct control *control)
{
	for (size_t i = 0;
	     control->gone != NULL && i < control->changes.dropped; i++)
		free(control->gone[i].name);
	free(control->gone);
	control->gone = NULL;
	control->changes = (struct apply_result){ .error = 0 };
}

/* Names and numbers for those who ask what has changed. */
static void
keep_changes(struct control *control, const struct apply_result *result)
{
	forget_changes(control);
	control->changes = *result;
	control->changes.findings = NULL;
	control->changes.gone = NULL;
	if (result->error != 0 || result->gone == NULL)
		return;
	control->gone = calloc(result->dropped + 1, sizeof(*control->gone));
	for (size_t i = 0; control->gone != NULL && i < result->dropped; i++) {
		control->gone[i].slot = result->gone[i].slot;
		if (result->gone[i].name != NULL)
			control->gone[i].name = strdup(result->gone[i].name);
	}
}

/* The scoreboard's own list of services, for metrics. */
static void
label_services(struct control *control, const struct apply_result *result)
{
	struct board *board = control->setup.board;
	struct apply_service service;

	for (size_t i = 0; result->gone != NULL && i < result->dropped; i++)
		board_label(board, result->gone[i].slot, NULL, NULL, 0);
	for (size_t i = 0; apply_service(control->apply, i, &service); i++) {
		const struct cab_service *conf = service.conf;
		uint32_t flags = conf->enabled ? BOARD_LABEL_ENABLED : 0;

		if (conf->exec != NULL)
			flags |= BOARD_LABEL_PROGRAM;
		for (size_t k = 0; k < conf->listens.n; k++)
			flags |= conf->listens.v[k].kind == CAB_UDP ||
				conf->listens.v[k].kind == CAB_UNIXGRAM ?
			    BOARD_LABEL_DATAGRAMS :
			    BOARD_LABEL_STREAMS;
		board_label(board, service.slot, conf->name,
		    conf->exec != NULL ? "exec" : conf->protocol, flags);
	}
	atomic_store(&board->daemon.generation, apply_generation(control->apply));
}

void
control_settle(struct control *control, const struct apply_result *result)
{
	if (result->error == 0) {
		/* A socket that could not be had is tried again next time. */
		if (!control->stays)
			use_next(control);
		label_services(control, result);
		control->applied_us = control_now_us();
	} else if (control->stays) {
		back_to_old_group(control);
	} else {
		control_socket_close(&control->next);
	}
	control->stays = false;
	keep_changes(control, result);
	control_findings(control, result->findings);
}

/* ---- reloads ------------------------------------------------------------------------ */

void
control_findings(struct control *control, const struct cab_diag *diag)
{
	for (size_t i = 0; i < diag->n; i++)
		diag_add(&control->findings, diag->findings[i].severity,
		    diag->findings[i].file, diag->findings[i].line, "%s",
		    diag->findings[i].text);
	control->findings.truncated |= diag->truncated;
}

static void
advance(struct control *control, enum control_wait from, enum control_wait to)
{
	for (struct client *c = control->clients; c != NULL; c = c->next)
		if (c->wait == from)
			c->wait = to;
}

static void
report_to(struct control *control, enum control_wait who, int error)
{
	for (struct client *c = control->clients; c != NULL; c = c->next)
		if (c->wait == who)
			control_report(c, error);
	diag_release(&control->findings);
}

void
control_reading(struct control *control)
{
	diag_release(&control->findings);
	advance(control, WAIT_READING, WAIT_RELOAD);
}

void
control_reloaded(struct control *control, int error)
{
	struct board_daemon *daemon = &control->setup.board->daemon;

	control->reload_ms = (uint64_t)cab_clock.wall_ns / 1000000;
	control->reload_failed = error < 0;
	atomic_fetch_add(
	    error < 0 ? &daemon->reload_failures : &daemon->reloads, 1);
	report_to(control, WAIT_RELOAD, error);
}

void
control_switched(struct control *control, int error)
{
	report_to(control, WAIT_SWITCH, error);
}

void
control_idle(struct control *control)
{
	struct client *client = control->clients;

	while (client != NULL && client->wait != WAIT_TURN)
		client = client->next;
	if (client != NULL)
		control_turn(client);
}

void
control_stopping(struct control *control)
{
	control->stopping = true;
	for (struct client *c = control->clients; c != NULL; c = c->next)
		if (c->wait != WAIT_NOTHING && c->wait != WAIT_KILL)
			client_refuse(c, CTL_REFUSED, "the daemon is stopping");
}

/* ---- its life -------------------------------------------------------------------------- */

int
control_new(struct control **ret, const struct control_setup *setup)
{
	struct board_daemon *daemon = &setup->board->daemon;
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL)
		return -ENOMEM;
	control->setup = *setup;
	control->current.fd = control->next.fd = -1;
	/* The daemon is as old as its scoreboard, whoever looks after it. */
	if (atomic_load(&daemon->started_ms) == 0) {
		clock_tick();
		atomic_store(&daemon->started_us, control_now_us());
		atomic_store(&daemon->started_ms,
		    (uint64_t)cab_clock.wall_ns / 1000000);
	}
	control->started_us = atomic_load(&daemon->started_us);
	*ret = control;
	return 0;
}

void
control_use(struct control *control, const struct apply *apply)
{
	control->apply = apply;
}

void
control_free(struct control *control)
{
	if (control == NULL)
		return;
	while (control->clients != NULL)
		client_free(control->clients);
	control->io = sd_event_source_disable_unref(control->io);
	control_socket_close(&control->current);
	control_socket_close(&control->next);
	diag_release(&control->findings);
	forget_changes(control);
	free(control);
}
