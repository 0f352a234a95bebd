/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a socket and a service to a running program.  Launcher.  A program that
 * cannot be started is tried again at growing intervals, counted per service,
 * so that a missing file costs neither processor time nor other services; its
 * clients see their connections closed meanwhile.
 */
#include "launcher/start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "launcher/env.h"
#include "launcher/output.h"
#include "launcher/reap.h"
#include "launcher/record.h"

#define SPACING_FIRST_MS 100
#define SPACING_MOST_MS  5000
#define FAILURES_BURST   5 /* records per service and RECORD_PERIOD_MS */

struct board_counters *
start_counters(struct launcher *l, uint32_t slot)
{
	return &l->board->counters[l->slot][slot];
}

/* The workers that wait for a place. */
static void
start_wake(struct launcher *l, uint64_t mask)
{
	static const uint64_t one = 1;
	unsigned slot;

	for (slot = 0; mask != 0; slot++, mask >>= 1)
		if ((mask & 1) != 0 && l->wakes[slot] >= 0 &&
		    write(l->wakes[slot], &one, sizeof(one)) < 0)
			continue; /* its counter is full: it has been woken */
}

void
start_release(struct launcher *l, uint32_t ticket)
{
	start_wake(l, ticket_release(l->board, ticket, l->slot));
}

void
start_give_up(struct launcher *l, uint32_t ticket)
{
	start_wake(l, ticket_give_up(l->board, ticket, l->slot));
}

/* The words for a client's side of the connection, as the environment names it. */
static const char *
proto_of(const struct cab_peer *peer, bool datagram)
{
	switch (peer->family) {
	case AF_INET:
	case AF_INET6:
		return datagram ? "UDP" : "TCP";
	case AF_UNIX:
		return "UNIX";
	case AF_VSOCK:
		return "VSOCK";
	}
	return "UNKNOWN";
}

/* What an administrator does about it. */
static const char *
remedy(const struct launcher *l, enum child_step step, int error)
{
	if (error != EPERM || l->self.uid == 0)
		return "";
	switch (step) {
	case CHILD_USER:
	case CHILD_GROUP:
	case CHILD_GROUPS:
		return " (the daemon does not run as root, so its programs run as its own user)";
	case CHILD_CHROOT:
	case CHILD_NICE:
	case CHILD_LIMITS:
	case CHILD_CAPABILITIES:
		return " (the daemon does not run as root)";
	default:
		return "";
	}
}

static void
start_failed(struct launcher *l, struct program_service *service, uint32_t slot,
    const struct msg_run *run, int error)
{
	struct service_state *s = service->state;
	enum child_step step = service->plan.failed_step;
	struct cab_peer peer = { .family = AF_UNSPEC };
	struct event event;
	uint32_t held;
	char more[64];

	start_counters(l, slot)->failed++;
	s->spacing_ms = s->spacing_ms == 0 ? SPACING_FIRST_MS : s->spacing_ms * 2;
	if (s->spacing_ms > SPACING_MOST_MS)
		s->spacing_ms = SPACING_MOST_MS;
	s->retry_ms = clock_ms() + s->spacing_ms;
	if (!record_gate(l, &s->failures, FAILURES_BURST, &held))
		return;
	if (run != NULL)
		peer = record_peer(service->conf, &run->peer);
	record_begin(&event, s->name, run != NULL ? run->conn_id : 0, &peer, 0);
	if (run != NULL)
		event_local(&event, &run->local);
	event_word(&event, FIELD_VERDICT, "failed");
	event_word(&event, FIELD_REASON, strerror(error));
	event_word(&event, FIELD_PROGRAM, service->plan.program);
	event_log(&event, CAB_LOG_ERR, EVENT_PROGRAM_FAILED,
	    "service %s: cannot start %s: cannot %s: %s%s%s", s->name,
	    service->plan.program, child_step_text(step), strerror(error),
	    remedy(l, step, error), record_held(more, sizeof(more), held));
}

/* Everything but the bookkeeping of the caller; NULL with the reason in *error. */
static struct program *
start_program(struct launcher *l, struct program_service *service,
    const struct env_source *source, int fd, int *error)
{
	struct child_plan *plan = &service->plan;
	struct output *output = NULL;
	struct program *program;
	char **env = NULL;
	int err_fd = -1, r;
	uint64_t started;

	plan->failed_step = CHILD_NONE;
	clock_tick();
	started = cab_clock.mono_ns;
	program = pool_get(l->program_pool);
	env = env_make(source);
	r = program == NULL || env == NULL ? -ENOMEM : fd_set_nonblock(fd, 0);
	if (r < 0)
		goto fail;
	/* Without descriptors for a pipe it is better started unheard than not at all. */
	if (service->conf->exec->stderr_to == CAB_ERR_TO_JOURNAL)
		err_fd = output_open(l, service->state, &output);
	plan->envp = env;
	plan->in_out = fd;
	plan->error = err_fd >= 0 ? err_fd : l->null_fd;
	r = spawn_start(plan);
	fd_close(err_fd);
	if (r < 0)
		goto fail;
	free(env);
	program->pid = r;
	program->started_ns = started;
	program->service = service;
	program->output = output;
	service->state->spacing_ms = 0;
	return program;
fail:
	*error = -r;
	output_close(l, output);
	free(env);
	pool_put(l->program_pool, program);
	return NULL;
}

/* True while a service whose last start failed has to wait. */
static bool
start_spaced(const struct service_state *s)
{
	return s->spacing_ms != 0 && clock_ms() < s->retry_ms;
}

static void
start_refused(
    struct launcher *l, const struct program_service *service, uint32_t slot)
{
	uint32_t held;

	start_counters(l, slot)->failed++;
	/* Never logged one by one: the failure before it was. */
	(void)record_gate(l, &service->state->refusals, 0, &held);
}

void
start_connection(struct launcher *l, struct generation *gen,
    struct program_service *service, uint32_t slot, const struct msg_run *run,
    int fd)
{
	const struct env_source source = {
		.service = service->conf,
		.proto = proto_of(&run->peer, false),
		.conn_id = run->conn_id,
		.peer = &run->peer,
		.local = &run->local,
		.own = l->environment,
	};
	struct program *program = NULL;
	int error = 0;

	if (!start_spaced(service->state))
		program = start_program(l, service, &source, fd, &error);
	fd_close(fd);
	if (program == NULL) {
		if (error != 0)
			start_failed(l, service, slot, run, error);
		else
			start_refused(l, service, slot);
		start_give_up(l, run->ticket);
		return;
	}
	program->gen = gen;
	program->slot = slot;
	program->ticket = run->ticket;
	program->conn_id = run->conn_id;
	program->peer = record_peer(service->conf, &run->peer);
	program->local = run->local;
	program->quiet = prefix_among(service->conf->log.quiet_from.v,
	    service->conf->log.quiet_from.n, &run->peer);
	atomic_store(&l->board->tickets[run->ticket].pid, program->pid);
	program_add(l, program);
}

struct program *
start_waiting(struct launcher *l, struct waiting *waiting, uint32_t *retry_ms)
{
	struct program_service *service = waiting->service;
	struct cab_sockaddr addr = { .len = sizeof(addr.ss) };
	struct cab_peer local = { .family = AF_UNSPEC };
	int error = 0;
	struct env_source source = {
		.service = service->conf, .local = &local, .own = l->environment
	};
	struct program *program = NULL;

	if (getsockname(waiting->source.fd, &addr.sa, &addr.len) == 0)
		peer_from_sockaddr(&local, &addr.sa, addr.len);
	source.proto = proto_of(&local,
	    fd_socket_option(waiting->source.fd, SOL_SOCKET, SO_TYPE) ==
		SOCK_DGRAM);
	if (!start_spaced(service->state))
		program = start_program(
		    l, service, &source, waiting->source.fd, &error);
	if (error != 0)
		start_failed(l, service, service->slot, NULL, error);
	if (program == NULL) {
		*retry_ms = service->state->spacing_ms;
		return NULL;
	}
	program->gen = waiting->gen;
	program->slot = service->slot;
	program->ticket = BOARD_NO_TICKET;
	program->waiting = waiting;
	program_add(l, program);
	return program;
}
