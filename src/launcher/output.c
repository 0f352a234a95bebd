/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the stderr of programs and logs it line by line.  Launcher.  The bytes
 * are hostile: a peer can make a program print nearly anything, so lines are
 * cut, escaped and counted against their service.  A program never waits for a
 * log that is slow: what cannot be logged is dropped, but always read.
 */
#include "launcher/output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "launcher/link.h"
#include "launcher/record.h"

#define LINES_BURST 200 /* per service and RECORD_PERIOD_MS */
#define READS \
	16 /* of one output per turn, so that one cannot hold up the others */
#define ORPHANS_MAX 256

static void
log_line(struct launcher *l, struct output *o, bool cut)
{
	char text[OUTPUT_LINE * 4 + 4], more[64];
	struct event event;
	uint32_t held;
	size_t n = o->n;

	if (n > 0 && o->line[n - 1] == '\r')
		n--;
	o->n = 0;
	if (n == 0 || !log_enabled(CAB_LOG_NOTICE) ||
	    !record_gate(l, &o->state->lines, LINES_BURST, &held))
		return;
	str_escape(text, sizeof(text), o->line, n);
	record_begin(&event, o->state->name, o->conn_id, &o->peer, o->pid);
	event_log(&event, CAB_LOG_NOTICE, EVENT_PROGRAM_STDERR, "%s: %s%s%s",
	    o->state->name, text, cut ? "..." : "",
	    record_held(more, sizeof(more), held));
}

static void
take_bytes(struct launcher *l, struct output *o, const char *p, size_t n)
{
	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t part = end != NULL ? (size_t)(end - p) : n;
		size_t room = OUTPUT_LINE - o->n;
		size_t keep = o->skip ? 0 : part < room ? part : room;

		memcpy(o->line + o->n, p, keep);
		o->n += keep;
		if (!o->skip && keep < part) {
			log_line(l, o, true);
			o->skip = true;
		}
		p += part;
		n -= part;
		if (end == NULL)
			continue;
		if (!o->skip)
			log_line(l, o, false);
		o->skip = false;
		p++;
		n--;
	}
}

static void
output_ready(struct launcher *l, struct source *source, uint32_t events)
{
	struct output *o = (struct output *)source;
	char chunk[4096];
	ssize_t n;
	int i;

	(void)events;
	for (i = 0; i < READS; i++) {
		n = read(source->fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			output_close(l, o);
			return;
		}
		take_bytes(l, o, chunk, (size_t)n);
	}
}

static void
output_release(struct launcher *l, struct source *source)
{
	struct output *o = (struct output *)source;

	state_unref(l, o->state);
	pool_put(l->output_pool, o);
	l->n_outputs--;
	links_resume(l);
}

static void
orphans_remove(struct launcher *l, struct output *o)
{
	if (o->prev == NULL)
		return;
	*o->prev = o->next;
	if (o->next != NULL)
		o->next->prev = o->prev;
	o->prev = NULL;
	l->n_orphans--;
}

void
output_close(struct launcher *l, struct output *o)
{
	if (o == NULL)
		return;
	if (!o->skip)
		log_line(l, o, false);
	orphans_remove(l, o);
	if (o->program != NULL)
		o->program->output = NULL;
	o->program = NULL;
	source_bury(l, &o->source);
}

int
output_open(struct launcher *l, struct service_state *state, struct output **ret)
{
	struct output *o;
	int pair[2], high, r;

	if (l->n_outputs >= l->max_outputs)
		return -EMFILE;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	/* Out of the way of what the next child has to copy (child.c). */
	high = fcntl(pair[0], F_DUPFD_CLOEXEC, LAUNCHER_FDS);
	fd_close(pair[0]);
	pair[0] = high;
	/* Ours alone: the program expects a stderr that waits. */
	if (high < 0 || fcntl(high, F_SETFL, O_NONBLOCK) < 0) {
		r = -errno;
		goto fail;
	}
	o = pool_get(l->output_pool);
	if (o == NULL) {
		r = -ENOMEM;
		goto fail;
	}
	o->source = (struct source){
		.fd = pair[0], .ready = output_ready, .release = output_release
	};
	r = source_watch(l, &o->source, EPOLLIN);
	if (r < 0) {
		pool_put(l->output_pool, o);
		goto fail;
	}
	o->state = state_ref(state);
	l->n_outputs++;
	*ret = o;
	return pair[1];
fail:
	fd_close(pair[0]);
	fd_close(pair[1]);
	return r;
}

void
output_attach(struct output *o, struct program *program)
{
	o->program = program;
	o->conn_id = program->conn_id;
	o->peer = program->peer;
	o->pid = program->pid;
	program->output = o;
}

void
output_orphan(struct launcher *l, struct program *program)
{
	struct output *o, **at = &l->orphans;

	if (program->output != NULL)
		output_ready(l, &program->output->source, EPOLLIN);
	o = program->output;
	if (o == NULL)
		return;
	program->output = NULL;
	o->program = NULL;
	/* A daemon that a program left behind may hold its stderr for ever. */
	if (l->n_orphans >= ORPHANS_MAX)
		output_close(l, l->orphans);
	while (*at != NULL)
		at = &(*at)->next;
	o->next = NULL;
	o->prev = at;
	*at = o;
	l->n_orphans++;
}
