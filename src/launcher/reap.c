/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Seeing programs out.  Launcher, which is also the reaper of whatever their
 * orphans leave (PR_SET_CHILD_SUBREAPER).  A process group is signalled only
 * while its leader has not been waited for: until then its number cannot belong
 * to anyone else.
 */
#include "launcher/reap.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "launcher/output.h"
#include "launcher/record.h"
#include "launcher/start.h"
#include "launcher/wait.h"

#define KILL_AFTER_MS 5000 /* from SIGTERM to SIGKILL */
#define ENDS_BURST    100  /* records per service and RECORD_PERIOD_MS */

static struct program **
bucket(struct launcher *l, pid_t pid)
{
	return &l->buckets[(uint32_t)pid % PROGRAM_BUCKETS];
}

static void
kill_group(const struct program *program, int signal)
{
	/* The group is the one that it made with setsid. */
	if (kill(-program->pid, signal) < 0 && errno == ESRCH)
		(void)kill(program->pid, signal);
}

/* Why a program was told to end. */
struct end_reason {
	const char *verdict, *text;
};

static const struct end_reason
    by_hand = { "ended", " by hand" },
    timed_out = { "timeout", " because its time (timeouts.total) was up" },
    drained = { "ended", " because its service was changed or dropped" };

static bool
drain_is_over(const struct program *program)
{
	uint64_t drain_ms = program->service->drain_ms;

	return drain_ms != 0 && drain_ms <= clock_ms();
}

static void
limit_reached(struct launcher *l, struct alarm *alarm)
{
	struct program *program = (struct program *)(void *)((char *)alarm -
	    offsetof(struct program, limit));

	if (program->why == NULL)
		program->why = drain_is_over(program) ? &drained : &timed_out;
	kill_group(program, program->told == 0 ? SIGTERM : SIGKILL);
	if (program->told++ == 0)
		alarm_set(l, alarm, KILL_AFTER_MS);
}

/* When it has to be ended; UINT64_MAX: never. */
static uint64_t
program_due(const struct program *program)
{
	int64_t total = program->service->conf->timeouts.total;
	uint64_t due = program->service->drain_ms, limit;

	if (due == 0)
		due = UINT64_MAX;
	/* A program with a listening socket has no single connection to limit. */
	if (total <= 0 || program->waiting != NULL)
		return due;
	limit = program->started_ns / 1000000 + (uint64_t)total;
	return limit < due ? limit : due;
}

static void
program_schedule(struct launcher *l, struct program *program)
{
	uint64_t now = clock_ms(), due = program_due(program);

	if (program->told > 0)
		return; /* the alarm is for SIGKILL */
	if (due == UINT64_MAX)
		alarm_clear(l, &program->limit);
	else
		alarm_set(l, &program->limit, due > now ? due - now : 0);
}

void
programs_schedule(struct launcher *l)
{
	struct program *program;
	unsigned i;

	for (i = 0; i < PROGRAM_BUCKETS; i++)
		for (program = l->buckets[i]; program != NULL;
		     program = program->next)
			program_schedule(l, program);
}

void
program_add(struct launcher *l, struct program *program)
{
	struct program **head = bucket(l, program->pid);

	program->next = *head;
	*head = program;
	program->gen->refs++;
	l->n_programs++;
	start_counters(l, program->slot)->started++;
	if (program->output != NULL)
		output_attach(program->output, program);
	program->limit.ring = limit_reached;
	program_schedule(l, program);
}

/* ---- the end of one ------------------------------------------------------------- */

static uint64_t
micros(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000000 + (uint64_t)tv->tv_usec;
}

/* "ended with status 3", "was ended by signal 15 (TERM) by hand". */
static const char *
status_text(
    char *dst, size_t cap, int status, const struct end_reason *why)
{
	const char *name;

	if (WIFEXITED(status)) {
		snprintf(dst, cap, "ended with status %d%s", WEXITSTATUS(status),
		    why == &by_hand ? why->text : "");
		return dst;
	}
	name = sigabbrev_np(WTERMSIG(status));
	snprintf(dst, cap, "was ended by signal %d (%s)%s%s", WTERMSIG(status),
	    name != NULL ? name : "real-time",
	    WCOREDUMP(status) ? ", core dumped" : "", why != NULL ? why->text : "");
	return dst;
}

/* True when the service does not want a record of this good end. */
static bool
left_out(struct launcher *l, const struct program *program)
{
	const struct cab_service_log *log = &program->service->conf->log;
	uint64_t *unlogged = start_counters(l, program->slot)->unlogged;

	if (program->waiting != NULL)
		return false;
	if (program->quiet) {
		unlogged[BOARD_UNLOGGED_QUIET]++;
		return true;
	}
	if (!log->connections ||
	    event_sampled(&program->service->state->sampled, log->sample))
		return false;
	unlogged[BOARD_UNLOGGED_SAMPLE]++;
	return true;
}

/* As it should end, if nobody asked it to. */
static bool
ended_well(const struct program *program, int status)
{
	return program->why != &by_hand && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0;
}

static enum cab_log_level
level_of(const struct program *program, int status)
{
	if (program->why == &by_hand || ended_well(program, status))
		return CAB_LOG_INFO;
	return WIFEXITED(status) ? CAB_LOG_NOTICE : CAB_LOG_WARNING;
}

static const char *
verdict_of(const struct program *program, bool good)
{
	if (good)
		return "served";
	if (program->told == 0)
		return "failed";
	return program->why != NULL ? program->why->verdict : "ended";
}

static void
log_end(struct launcher *l, const struct program *program, int status,
    const struct rusage *usage)
{
	const struct cab_service_log *log = &program->service->conf->log;
	struct service_state *s = program->service->state;
	uint64_t us = (cab_clock.mono_ns - program->started_ns) / 1000;
	bool good = ended_well(program, status);
	enum cab_log_level level = level_of(program, status);
	char what[128], more[64];
	struct event event;
	uint32_t held = 0;

	if (!log_enabled(level) || (good && left_out(l, program)))
		return;
	/* One record for each is what the service asked for, or what there is room for. */
	if ((!log->connections || program->waiting != NULL) &&
	    !record_gate(l, &s->exits, ENDS_BURST, &held))
		return;
	status_text(what, sizeof(what), status, program->why);
	record_begin(
	    &event, s->name, program->conn_id, &program->peer, program->pid);
	event_local(&event, &program->local);
	event_word(&event, FIELD_VERDICT, verdict_of(program, good));
	event_word(&event, FIELD_REASON, what);
	event_number(&event, WIFEXITED(status) ? FIELD_STATUS : FIELD_SIGNAL,
	    (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) :
					   WTERMSIG(status)));
	event_number(&event, FIELD_DURATION_US, us);
	event_number(&event, FIELD_CPU_US,
	    micros(&usage->ru_utime) + micros(&usage->ru_stime));
	event_number(&event, FIELD_MAXRSS_KB, (uint64_t)usage->ru_maxrss);
	if (log->connections && log->sample > 1)
		event_number(
		    &event, FIELD_SAMPLE, good ? (uint64_t)log->sample : 1);
	event_log(&event, level, EVENT_PROGRAM_ENDED,
	    "service %s: program %s after %" PRIu64 ".%03" PRIu64 " s%s",
	    s->name, what, us / 1000000, us / 1000 % 1000,
	    record_held(more, sizeof(more), held));
}

static void
program_ended(struct launcher *l, struct program **at, int status,
    const struct rusage *usage)
{
	struct board_counters *count = start_counters(l, (*at)->slot);
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	struct program *program = *at;

	*at = program->next;
	l->n_programs--;
	alarm_clear(l, &program->limit);
	count->exited++;
	if (!good)
		count->failed++;
	/* Not the turn's time, which may be from before its start. */
	clock_tick();
	/* Its last words before its end. */
	output_orphan(l, program);
	log_end(l, program, status, usage);
	if (program->waiting != NULL) {
		wait_over(l, program->waiting, good);
	} else {
		board_count_finished(count,
		    (cab_clock.mono_ns - program->started_ns) / 1000);
		start_release(l, program->ticket);
	}
	generation_unref(l, program->gen);
	pool_put(l->program_pool, program);
}

void
reap(struct launcher *l)
{
	struct program **at;
	struct rusage usage;
	int status;
	pid_t pid;

	for (;;) {
		pid = wait4(-1, &status, WNOHANG, &usage);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return;
		at = bucket(l, pid);
		while (*at != NULL && (*at)->pid != pid)
			at = &(*at)->next;
		/* Else an orphan that a program left behind. */
		if (*at != NULL)
			program_ended(l, at, status, &usage);
	}
}

/* ---- all of them ------------------------------------------------------------------- */

void
program_kill(struct launcher *l, uint64_t conn_id)
{
	struct program *program;
	unsigned i;

	for (i = 0; i < PROGRAM_BUCKETS; i++)
		for (program = l->buckets[i]; program != NULL;
		     program = program->next)
			if (program->waiting == NULL && program->told == 0 &&
			    program->conn_id == conn_id) {
				program->why = &by_hand;
				limit_reached(l, &program->limit);
			}
}

void
programs_kill(struct launcher *l, int signal)
{
	const struct program *program;
	unsigned i;

	for (i = 0; i < PROGRAM_BUCKETS; i++)
		for (program = l->buckets[i]; program != NULL;
		     program = program->next)
			kill_group(program, signal);
}

void
programs_release(struct launcher *l)
{
	struct program *program;
	unsigned i;

	for (i = 0; i < PROGRAM_BUCKETS; i++)
		while ((program = l->buckets[i]) != NULL) {
			l->buckets[i] = program->next;
			alarm_clear(l, &program->limit);
			output_close(l, program->output);
			generation_unref(l, program->gen);
			pool_put(l->program_pool, program);
		}
	while (l->orphans != NULL)
		output_close(l, l->orphans);
}
