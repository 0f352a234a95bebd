/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log records about connections.  Workers.  Clients decide how many of these
 * there are, so refusals are told one by one up to a small rate and summed
 * beyond it, and finished connections are sampled as the service asks.  No byte
 * that a peer sent comes here, only what the kernel says about it.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "access/flood.h"
#include "base/clock.h"
#include "worker/record.h"

/* Of one service and worker, however many networks they come from. */
#define REFUSALS_BURST     50
#define REFUSALS_PERIOD_MS 10000
/* Who waits is told once in this time. */
#define WAITING_PERIOD_MS 60000
/* Between two looks for summaries that are due. */
#define SWEEP_MS 1000

static const char *const refusal_words[CAB_REFUSED_MAX] = {
	[CAB_REFUSED_ACCESS] = "access rules",
	[CAB_REFUSED_CONNECTIONS] = "limits.connections reached",
	[CAB_REFUSED_PER_SOURCE] = "limits.per_source reached",
	[CAB_REFUSED_RATE] = "limits.rate reached",
	[CAB_REFUSED_SOURCE_RATE] = "limits.per_source_rate reached",
	[CAB_REFUSED_SHUTDOWN] = "the service or the daemon is going away",
	[CAB_REFUSED_RESOURCES] = "out of memory or tickets",
};

static const struct {
	const char *verdict, *reason;
	bool well; /* may be sampled and kept quiet */
	enum cab_log_level level;
} ends[CONN_ENDS] = {
	[CONN_END_NONE] = { "served", "finished", true, CAB_LOG_INFO },
	[CONN_END_RESET] = { "reset", "the client reset or left it", true,
	    CAB_LOG_INFO },
	[CONN_END_DROPPED] = { "dropped", "the protocol gave it up", false,
	    CAB_LOG_INFO },
	[CONN_END_FIRST_BYTE] = { "timeout", "timeouts.first_byte", false,
	    CAB_LOG_INFO },
	[CONN_END_IDLE] = { "timeout", "timeouts.idle", false, CAB_LOG_INFO },
	[CONN_END_TOTAL] = { "timeout", "timeouts.total", false, CAB_LOG_INFO },
	[CONN_END_UNSENT] = { "timeout", "the client took no more output", false,
	    CAB_LOG_INFO },
	[CONN_END_SHUTDOWN] = { "ended", "the service or the daemon went away",
	    false, CAB_LOG_INFO },
	[CONN_END_BY_HAND] = { "ended", "by hand", false, CAB_LOG_INFO },
	[CONN_END_FAULT] = { "failed", "out of memory or room", false,
	    CAB_LOG_NOTICE },
};

static const char *
add_peer(struct event *event, const struct cab_service *conf,
    const struct cab_peer *peer)
{
	struct cab_peer shown = *peer;

	if (conf->log.anonymise)
		peer_anonymise(&shown);
	return event_peer(event, &shown);
}

static void
add_local(struct event *event, struct cab_conn *conn)
{
	struct cab_peer local = { .family = AF_UNSPEC };

	if (conn->local)
		local = *conn->local;
	else
		conn->running->engine->transport->local(conn, &local);
	event_local(event, &local);
}

const char *
record_conn(struct event *event, struct cab_conn *conn)
{
	const struct cab_service *conf = conn->running->conf;
	const char *peer;

	event_begin(event);
	event_word(event, FIELD_SERVICE, conf->name);
	event_number(event, FIELD_CONN, conn->id);
	peer = add_peer(event, conf, &conn->peer);
	add_local(event, conn);
	return peer;
}

/* ---- finished connections ---- */

/* True when the service does not want a record of it, though it logs connections. */
static bool
left_out(const struct cab_conn *conn)
{
	struct cab_running *running = conn->running;
	const struct cab_service_log *log = &running->conf->log;
	uint64_t *unlogged = running->count->unlogged;

	if (prefix_among(log->quiet_from.v, log->quiet_from.n, &conn->peer)) {
		unlogged[BOARD_UNLOGGED_QUIET]++;
		return true;
	}
	if (event_sampled(&running->sampled, log->sample))
		return false;
	unlogged[BOARD_UNLOGGED_SAMPLE]++;
	return true;
}

void
record_finished(struct cab_conn *conn)
{
	const struct cab_service *conf = conn->running->conf;
	uint64_t us = clock_us() - conn->opened_us;
	const char *verdict = ends[conn->end].verdict, *peer;
	const char *reason = conn->end == CONN_END_NONE && conn->at_end ?
	    "closed by the client" :
	    ends[conn->end].reason;
	enum cab_log_level level = ends[conn->end].level;
	struct event event;

	if (!log_enabled(level) || (ends[conn->end].well && left_out(conn)))
		return;
	peer = record_conn(&event, conn);
	event_word(&event, FIELD_VERDICT, verdict);
	event_word(&event, FIELD_REASON, reason);
	event_number(&event, FIELD_BYTES_IN, conn->bytes_in);
	event_number(&event, FIELD_BYTES_OUT, conn->bytes_out);
	event_number(&event, FIELD_DURATION_US, us);
	if (conf->log.sample > 1)
		event_number(&event, FIELD_SAMPLE,
		    ends[conn->end].well ? (uint64_t)conf->log.sample : 1);
	event_log(&event, level, EVENT_FINISHED,
	    "connection finished: service %s, %s, %s after %" PRIu64 ".%03" PRIu64
	    " s, %" PRIu64 " bytes in, %" PRIu64 " out (%s)",
	    conf->name, peer, verdict, us / 1000000, us / 1000 % 1000, conn->bytes_in,
	    conn->bytes_out, reason);
}

/* ---- refused ones ---- */

static void
log_refusal(struct cab_worker *worker, struct cab_running *running, int fd,
    const struct cab_peer *peer, enum cab_refusal why)
{
	struct cab_conn conn = { .fd = fd, .running = running };
	struct cab_peer local = { .family = AF_UNSPEC };
	struct event event;
	const char *text;

	event_begin(&event);
	event_word(&event, FIELD_SERVICE, running->conf->name);
	text = add_peer(&event, running->conf, peer);
	worker->engine.transport->local(&conn, &local);
	event_local(&event, &local);
	event_word(&event, FIELD_VERDICT, "refused");
	event_word(&event, FIELD_REASON, refusal_words[why]);
	event_log(&event, CAB_LOG_NOTICE, EVENT_REFUSED,
	    "refused a connection: %s (service %s, %s)", refusal_words[why],
	    running->conf->name, text);
}

void
record_refused(struct cab_worker *worker, struct cab_running *running, int fd,
    const struct cab_peer *peer, enum cab_refusal why)
{
	struct board *board = worker->board;
	struct board_flood *flood;
	uint32_t ignored;

	if (!log_enabled(CAB_LOG_NOTICE))
		return;
	flood = flood_find(board, running->slot, peer,
	    running->conf->log.anonymise ? CAB_ANONYMOUS_V6 : FLOOD_V6_BITS,
	    clock_ms());
	if (flood_may_log(board, flood, clock_ms()) &&
	    log_gate(&running->refusal_gate, REFUSALS_BURST, REFUSALS_PERIOD_MS,
		&ignored))
		log_refusal(worker, running, fd, peer, why);
	else
		flood_hold(board, flood, why, clock_ms());
}

/* ---- those that have to wait ---- */

void
record_full(struct cab_running *running)
{
	const char *name = running->conf->name;
	struct event event;
	uint32_t ignored;

	if (!log_gate(&running->full_gate, 1, WAITING_PERIOD_MS, &ignored))
		return;
	event_begin(&event);
	event_word(&event, FIELD_SERVICE, name);
	event_word(&event, FIELD_REASON, refusal_words[CAB_REFUSED_CONNECTIONS]);
	event_log(&event, CAB_LOG_NOTICE, EVENT_FULL,
	    "service %s is full: limits.connections (%" PRIu32
	    ") reached, new clients wait",
	    name, running->max_connections);
}

void
record_shortage(struct cab_worker *worker, const char *why)
{
	struct event event;
	uint32_t ignored;

	if (!log_gate(&worker->shortage_gate, 1, WAITING_PERIOD_MS, &ignored))
		return;
	event_begin(&event);
	event_word(&event, FIELD_REASON, why);
	event_said(&event);
	event_log(&event, CAB_LOG_WARNING, EVENT_SHORTAGE,
	    "cannot accept: %s; new clients wait in the kernel's queue; raise "
	    "LimitNOFILE= or lower limits.connections",
	    why);
}

/* ---- floods ---- */

static const char *
network_text(const struct flood_summary *flood, char *dst, size_t cap)
{
	struct cab_prefix prefix = { .family = flood->network.family,
		.bits = (uint8_t)flood->bits };

	if (prefix.family != AF_INET && prefix.family != AF_INET6)
		return peer_text(&flood->network, dst, cap);
	memcpy(prefix.ip, flood->network.ip, sizeof(prefix.ip));
	return prefix_text(&prefix, dst, cap);
}

/* "access rules, limits.rate reached". */
static const char *
reasons_text(uint32_t reasons, char *dst, size_t cap)
{
	size_t n = 0;

	dst[0] = '\0';
	for (unsigned i = 0; i < CAB_REFUSED_MAX && n < cap; i++)
		if (reasons >> i & 1)
			n += (size_t)snprintf(dst + n, cap - n, "%s%s",
			    n ? ", " : "", refusal_words[i]);
	return dst;
}

/*
 * "55 refused from 192.0.2.0/24 in 0.009 s (access rules)", and when it is over
 * ", then no more", with the total where that is another one.
 */
static const char *
flood_text(const struct flood_summary *flood, const char *network,
    const char *reasons, char *dst, size_t cap)
{
	char count[CAB_GROUPED], total[CAB_GROUPED], all[80] = "";

	event_grouped(count, flood->count);
	event_grouped(total, flood->total);
	if (flood->ended && flood->total != flood->count)
		snprintf(all, sizeof(all),
		    ": %s in %" PRIu64 ".%03" PRIu64 " s altogether", total,
		    flood->total_ms / 1000, flood->total_ms % 1000);
	if (flood->ended && flood->count == 0)
		snprintf(dst, cap, "no more refused from %s%s", network, all);
	else
		snprintf(dst, cap,
		    "%s refused from %s in %" PRIu64 ".%03" PRIu64
		    " s%s%s%s%s%s",
		    count, network, flood->ms / 1000, flood->ms % 1000,
		    reasons[0] ? " (" : "", reasons, reasons[0] ? ")" : "",
		    flood->ended ? ", then no more" : "", all);
	return dst;
}

static void
log_flood(const struct board *board, const struct flood_summary *flood)
{
	char network[CAB_PEER_TEXT] = "other networks", reasons[256], text[512];
	struct board_label label = { .name = "" };
	struct event event;

	event_begin(&event);
	if (!flood->others) {
		network_text(flood, network, sizeof(network));
		if (board_label_look(board, flood->service, &label))
			event_word(&event, FIELD_SERVICE, label.name);
		event_word(&event, FIELD_NETWORK, network);
	}
	event_word(&event, FIELD_VERDICT, "refused");
	event_word(&event, FIELD_REASON,
	    reasons_text(flood->reasons, reasons, sizeof(reasons)));
	event_number(&event, FIELD_COUNT, flood->count);
	event_number(&event, FIELD_TOTAL, flood->total);
	event_number(&event, FIELD_DURATION_US, flood->ms * 1000);
	event_log(&event, CAB_LOG_NOTICE,
	    flood->others   ? EVENT_FLOOD_OTHERS :
		flood->ended ? EVENT_FLOOD_ENDED :
			       EVENT_FLOOD,
	    "%s%s%s%s", label.name[0] ? "service " : "", label.name,
	    label.name[0] ? ": " : "",
	    flood_text(flood, network, reasons, text, sizeof(text)));
}

void
record_turn(struct cab_worker *worker)
{
	struct flood_summary flood;
	bool behind = log_catch_up();
	uint32_t at = 0;

	if (!behind && !flood_any(worker->board)) {
		worker->sweep_ms = 0;
		return;
	}
	if (worker->sweep_ms == 0) {
		worker->sweep_ms = clock_ms() + SWEEP_MS;
	} else if (clock_ms() >= worker->sweep_ms) {
		worker->sweep_ms = clock_ms() + SWEEP_MS;
		while (flood_due(worker->board, &at, clock_ms(), &flood))
			log_flood(worker->board, &flood);
	}
}
