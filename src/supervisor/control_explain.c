/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verb "explain": what would happen to a client of an address now.
 * Supervisor only.  The same rules and the same counts as in a worker's
 * admission, in the same order, but only looked at: nobody is charged.
 */
#include "supervisor/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/acl.h"
#include "access/quota.h"
#include "access/rate.h"
#include "supervisor/control_private.h"

#define TEXT 120

/* One question of admission, and its answer. */
struct check {
	const char *name;
	bool good;
	char rule[TEXT], now[TEXT];
};

#define CHECKS_MOST 7

struct explanation {
	struct control *control;
	struct apply_service service;
	struct cab_peer peer;
	struct check checks[CHECKS_MOST];
	size_t n, deciding; /* the verdict is that of the first so many */
};

static struct check *
add(struct explanation *e, const char *name)
{
	struct check *check = &e->checks[e->n++];

	*check = (struct check){ .name = name, .good = true };
	return check;
}

static const struct board_service *
row_of(const struct explanation *e)
{
	return &e->control->setup.board->services[e->service.slot];
}

static void
check_state(struct explanation *e)
{
	struct check *check = add(e, "state");
	const char *now = "serving";

	if (!e->service.conf->enabled)
		now = "disabled";
	else if (atomic_load(&row_of(e)->flags) & BOARD_DRAINING)
		now = "draining";
	else if (e->control->stopping)
		now = "stopping";
	check->good = strcmp(now, "serving") == 0;
	snprintf(check->now, sizeof(check->now), "%s", now);
}

static bool
in_list(const struct cab_prefixes *list, const struct cab_prefix *rule)
{
	return rule >= list->v && rule < list->v + list->n;
}

static void
check_access(struct explanation *e)
{
	const struct cab_access *access = &e->service.conf->access;
	const struct acl_rules rules = { access->allow.v, access->deny.v,
		access->allow.n, access->deny.n };
	struct check *check = add(e, "access");
	const struct cab_prefix *rule;
	char text[64];

	check->good = acl_allows(&rules, &e->peer, &rule);
	if (rule != NULL)
		snprintf(check->rule, sizeof(check->rule), "access.%s %s",
		    in_list(&access->allow, rule) ? "allow" : "deny",
		    prefix_text(rule, text, sizeof(text)));
	else if (e->peer.family == AF_UNIX)
		snprintf(check->rule, sizeof(check->rule),
		    "rules are for addresses");
	else
		snprintf(check->rule, sizeof(check->rule), "%s",
		    check->good ? "no rule matches" : "not in access.allow");
}

/* The source's entry in the scoreboard; NULL when it has not been seen. */
static const struct board_source *
source_of(const struct explanation *e)
{
	const struct board *board = e->control->setup.board;
	uint32_t i = quota_find(board, e->service.slot, peer_source(&e->peer));

	return i == UINT32_MAX ? NULL : &board->sources[i];
}

static void
check_count(struct explanation *e, const char *name, int64_t limit,
    uint32_t active, bool queues)
{
	struct check *check = add(e, name);

	if (limit <= 0) {
		snprintf(check->rule, sizeof(check->rule), "no limit");
	} else {
		check->good = active < (uint64_t)limit;
		snprintf(check->rule, sizeof(check->rule),
		    "limits.%s %" PRId64 "%s", name, limit,
		    queues ? ", then clients wait" : "");
	}
	snprintf(check->now, sizeof(check->now), "%" PRIu32 " open", active);
}

static void
check_rate(struct explanation *e, const char *name, const char *option,
    const struct cab_rate *rate, const struct rate_limit *limit, uint64_t tat)
{
	struct check *check = add(e, name);
	uint64_t now = control_now_us() * 1000;
	char text[48];

	if (rate->count == 0) {
		snprintf(check->rule, sizeof(check->rule), "no limit");
		return;
	}
	check->good = rate_allows(tat, limit, now);
	snprintf(check->rule, sizeof(check->rule), "limits.%s %s", option,
	    str_format_rate(text, sizeof(text), rate->count, rate->period_ms));
	if (check->good)
		snprintf(check->now, sizeof(check->now), "below it");
	else
		snprintf(check->now, sizeof(check->now),
		    "reached, for %" PRIu64 " ms more",
		    (tat - now - limit->burst_ns) / 1000000 + 1);
}

static void
check_source_rate(
    struct explanation *e, const char *name, const struct cab_rate *rate)
{
	const struct board_source *source = source_of(e);
	struct rate_limit limit = rate_make_source(rate->count, rate->period_ms);

	check_rate(e, name, "per_source_rate", rate, &limit,
	    source != NULL ? atomic_load(&source->rate_tat) : 0);
}

static void
check_connections(struct explanation *e)
{
	const struct cab_limits *limits = &e->service.conf->limits;
	const struct board_source *source = source_of(e);
	struct rate_limit rate;

	check_count(e, "per_source", limits->per_source,
	    source != NULL ? atomic_load(&source->active) : 0, false);
	check_source_rate(e, "per_source_rate", &limits->per_source_rate);
	check_count(e, "connections", limits->connections,
	    atomic_load(&row_of(e)->active),
	    limits->on_limit == CAB_ON_LIMIT_QUEUE);
	rate = rate_make(limits->rate.count, limits->rate.period_ms, 0);
	check_rate(e, "rate", "rate", &limits->rate, &rate,
	    atomic_load(&row_of(e)->rate_tat));
}

/* Whether one more datagram would be answered. */
static void
check_datagrams(struct explanation *e)
{
	static const struct cab_rate unless_set = { RATE_DATAGRAMS,
		RATE_DATAGRAMS_PERIOD_MS }, none = { 0 };
	const struct cab_limits *limits = &e->service.conf->limits;

	if (e->peer.family == AF_UNIX)
		check_source_rate(e, "datagrams", &none);
	else
		check_source_rate(e, "datagrams",
		    limits->per_source_rate_set ? &limits->per_source_rate :
						  &unless_set);
}

/* How many sockets of the service take datagrams, and how many connections. */
static void
count_sockets(const struct explanation *e, size_t *datagrams, size_t *streams)
{
	const struct listener *listener;

	*datagrams = *streams = 0;
	for (size_t i = 0; (listener = apply_socket(e->control->apply,
				&e->service, i)) != NULL;
	     i++)
		if (listener->kind == CAB_UDP || listener->kind == CAB_UNIXGRAM)
			++*datagrams;
		else
			++*streams;
}

/*
 * As admission does, in that order.  The verdict is about connections, except
 * where there can be none.
 */
static void
run_checks(struct explanation *e)
{
	size_t datagrams, streams;

	count_sockets(e, &datagrams, &streams);
	check_state(e);
	check_access(e);
	if (streams > 0 || datagrams == 0) {
		check_connections(e);
		e->deciding = e->n;
	}
	if (datagrams > 0)
		check_datagrams(e);
	if (e->deciding == 0)
		e->deciding = e->n;
}

static void
report(struct client *client, const struct explanation *e)
{
	const struct cab_limits *limits = &e->service.conf->limits;
	struct ctl_writer *w = &client->reply;
	const char *verdict = "admitted";
	const struct check *first = NULL;
	char text[CAB_PEER_TEXT];

	for (size_t i = 0; i < e->deciding && first == NULL; i++)
		if (!e->checks[i].good)
			first = &e->checks[i];
	if (first != NULL)
		verdict = strcmp(first->name, "connections") == 0 &&
			limits->on_limit == CAB_ON_LIMIT_QUEUE ?
		    "waits" :
		    "refused";
	ctl_ok(w);
	ctl_record(w, "decision",
	    "address:text service:text verdict:text reason:text");
	ctl_text(w, peer_source_text(&e->peer, text, sizeof(text)));
	ctl_text(w, e->service.conf->name);
	ctl_text(w, verdict);
	ctl_text(w, first != NULL ? first->name : NULL);
	ctl_row_end(w);
	ctl_table_end(w);
	ctl_table(w, "checks", "check:text result:text rule:text now:text");
	for (size_t i = 0; i < e->n; i++) {
		const struct check *check = &e->checks[i];

		ctl_text(w, check->name);
		ctl_text(w, check->good ? "pass" : "fail");
		ctl_text(w, check->rule[0] != '\0' ? check->rule : NULL);
		ctl_text(w, check->now[0] != '\0' ? check->now : NULL);
		ctl_row_end(w);
	}
	ctl_table_end(w);
	client_end(client);
}

/* "192.0.2.1", "2001:db8::1", or "uid:1000" for a client of a unix socket. */
static bool
parse_peer(const char *word, struct cab_peer *ret)
{
	const struct cab_slice text = { word, strlen(word) };
	const struct cab_slice uid = { word + 4, text.n - 4 };
	struct cab_sockaddr addr;
	int64_t number;

	if (strncmp(word, "uid:", 4) == 0) {
		if (str_to_i64(uid, &number) < 0 || number < 0 ||
		    number >= UINT32_MAX)
			return false;
		*ret = (struct cab_peer){ .family = AF_UNIX };
		ret->cred.uid = (uint32_t)number;
		return true;
	}
	if (sockaddr_parse_ip(text, 0, &addr) < 0)
		return false;
	peer_from_sockaddr(ret, &addr.sa, addr.len);
	return true;
}

void
control_explain(struct client *client)
{
	struct explanation e = { .control = client->control };

	if (!parse_peer(client->request.words[1], &e.peer)) {
		client_refuse(client, CTL_USAGE,
		    "\"%s\" is not an address: write 192.0.2.1, 2001:db8::1, or "
		    "uid:1000 for a unix socket",
		    client->request.words[1]);
		return;
	}
	if (!client_service(client, client->request.words[2], &e.service))
		return;
	if (service_waits(e.service.conf)) {
		client_refuse(client, CTL_REFUSED,
		    "the program of service \"%s\" accepts its clients itself",
		    e.service.conf->name);
		return;
	}
	run_checks(&e);
	report(client, &e);
}
