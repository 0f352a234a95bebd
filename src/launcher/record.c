/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fields of the launcher's log records, and the summaries of what its gates
 * held back: clients decide how many programs start, so each kind of record is
 * counted per service, and a quiet time afterwards loses no count.
 */
#include "launcher/record.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

void
record_begin(struct event *event, const char *service, uint64_t conn_id,
    const struct cab_peer *peer, pid_t pid)
{
	event_begin(event);
	event_word(event, FIELD_SERVICE, service);
	if (peer != NULL && peer->family != AF_UNSPEC) {
		event_number(event, FIELD_CONN, conn_id);
		event_peer(event, peer);
	}
	if (pid > 0)
		event_number(event, FIELD_PID, (uint64_t)pid);
}

struct cab_peer
record_peer(const struct cab_service *service, const struct cab_peer *peer)
{
	struct cab_peer shown = *peer;

	if (service->log.anonymise)
		peer_anonymise(&shown);
	return shown;
}

const char *
record_held(char *dst, size_t cap, uint32_t held)
{
	if (held == 0)
		return "";
	snprintf(dst, cap, " (and %" PRIu32 " before it)", held);
	return dst;
}

/* True while something is still held back. */
static bool
sweep_gate(struct cab_log_gate *gate, const char *service, const char *what)
{
	struct event event;
	uint32_t held;

	if (gate->suppressed == 0)
		return false;
	if (clock_ms() - gate->window_ms < RECORD_PERIOD_MS)
		return true;
	held = gate->suppressed;
	*gate = (struct cab_log_gate){ 0 };
	record_begin(&event, service, 0, NULL, 0);
	event_number(&event, FIELD_COUNT, held);
	event_log(&event, CAB_LOG_NOTICE, EVENT_PROGRAM_OTHERS,
	    "%" PRIu32 " %s of service %s were not logged one by one", held,
	    what, service);
	return false;
}

static void
sweep(struct launcher *l, struct alarm *alarm)
{
	struct service_state *s;
	bool more = false;

	for (s = l->states; s != NULL; s = s->next) {
		more |= sweep_gate(&s->exits, s->name, "program ends");
		more |= sweep_gate(&s->lines, s->name, "lines of stderr");
		more |= sweep_gate(&s->failures, s->name, "failed starts");
		more |= sweep_gate(&s->refusals, s->name, "closed connections");
	}
	if (more)
		alarm_set(l, alarm, RECORD_PERIOD_MS / 4);
}

bool
record_gate(struct launcher *l, struct cab_log_gate *gate, uint32_t burst,
    uint32_t *held)
{
	if (log_gate(gate, burst, RECORD_PERIOD_MS, held))
		return true;
	l->sweep.ring = sweep;
	if (!timer_armed(&l->sweep.timer))
		alarm_set(l, &l->sweep, RECORD_PERIOD_MS);
	return false;
}
