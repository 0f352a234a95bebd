/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs that change something.  Supervisor only.  Those that take a while leave
 * their client waiting and are taken up again by the event that they wait for.
 */
#include "supervisor/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/event.h"
#include "supervisor/control_private.h"

#define MSEC      UINT64_C(1000)
#define KILL_POLL (20 * MSEC)
#define KILL_AGAIN \
	(1000 * MSEC) /* it may have been on its way to another role */
#define KILL_MOST \
	(8000 * MSEC) /* a program is asked first, and killed after 5 s */

static const char *
argument(const struct client *client, size_t i)
{
	return client->request.n > i + 1 ? client->request.words[i + 1] : NULL;
}

static void
wait_for(struct client *client, enum control_wait what)
{
	client->wait = what;
}

static bool
is_stopping(struct client *client)
{
	if (client->control->stopping)
		client_refuse(client, CTL_REFUSED, "the daemon is stopping");
	return client->control->stopping;
}

/* ---- reload ------------------------------------------------------------------------ */

static void
run_reload(struct client *client)
{
	const struct control_setup *setup = &client->control->setup;

	if (is_stopping(client))
		return;
	wait_for(client, WAIT_READING);
	setup->reload(setup->arg);
}

static void
report_findings(struct client *client)
{
	const struct cab_diag *diag = &client->control->findings;
	struct ctl_writer *w = &client->reply;

	ctl_table(w, "findings", "severity:text file:text line:int text:text");
	for (size_t i = 0; i < diag->n; i++) {
		const struct cab_finding *f = &diag->findings[i];

		ctl_text(w, f->severity == CAB_ERROR ? "error" : "warning");
		ctl_text(w, f->file);
		if (f->line > 0)
			ctl_number(w, (uint64_t)f->line);
		else
			ctl_none(w);
		ctl_text(w, f->text);
		ctl_row_end(w);
	}
	ctl_table_end(w);
}

static void
report_change(struct ctl_writer *w, const char *name, const char *change)
{
	ctl_text(w, name);
	ctl_text(w, change);
	ctl_row_end(w);
}

static void
report_changes(struct client *client)
{
	static const char *const words[] = {
		[PLAN_ADDED] = "added", [PLAN_CHANGED] = "changed", [PLAN_KEPT] = "kept"
	};
	const struct control *control = client->control;
	const struct apply_result *n = &control->changes;
	struct ctl_writer *w = &client->reply;
	struct apply_service service;

	ctl_record(w, "reload",
	    "generation:int added:int changed:int dropped:int kept:int");
	ctl_number(w, apply_generation(control->apply));
	ctl_number(w, n->added);
	ctl_number(w, n->changed);
	ctl_number(w, n->dropped);
	ctl_number(w, n->kept);
	ctl_row_end(w);
	ctl_table_end(w);
	ctl_table(w, "changes", "service:text change:text");
	for (size_t i = 0; apply_service(control->apply, i, &service); i++)
		report_change(w, service.conf->name, words[service.change]);
	for (size_t i = 0; control->gone != NULL && i < n->dropped; i++)
		report_change(w, control->gone[i].name, "dropped");
	ctl_table_end(w);
}

/* Why the old configuration stays, on one line. */
static void
report_failure(struct client *client)
{
	size_t errors = client->control->findings.errors;

	if (errors > 0)
		ctl_error(&client->reply, CTL_REFUSED,
		    "%zu error%s: the old configuration stays in force", errors,
		    errors == 1 ? "" : "s");
	else
		ctl_error(&client->reply, CTL_REFUSED,
		    "the configuration cannot be read: the old one stays in "
		    "force");
}

/* ---- one service ---------------------------------------------------------------------- */

static _Atomic uint32_t *
flags_of(const struct client *client, uint32_t slot)
{
	return &client->control->setup.board->services[slot].flags;
}

static bool
find_service(
    const struct client *client, const char *name, struct apply_service *ret)
{
	for (size_t i = 0; apply_service(client->control->apply, i, ret); i++)
		if (strcmp(ret->conf->name, name) == 0)
			return true;
	return false;
}

/* The state of the service, as the reply to what has changed it. */
static void
report_state(struct client *client, const char *name, const char *state)
{
	const struct board *board = client->control->setup.board;
	struct ctl_writer *w = &client->reply;
	struct apply_service service;
	uint64_t active = 0;

	if (find_service(client, name, &service))
		active = atomic_load(&board->services[service.slot].active);
	ctl_ok(w);
	ctl_record(w, "service", "name:text state:text active:int");
	ctl_text(w, name);
	ctl_text(w, state);
	ctl_number(w, active);
	ctl_row_end(w);
	ctl_table_end(w);
	client_end(client);
}

static void
log_switched(const char *service, const char *what)
{
	const struct cab_log_field field = { .name = FIELD_SERVICE,
		.value = service };

	log_fields(CAB_LOG_NOTICE, EVENT_SWITCHED, &field, 1, "service %s %s",
	    service, what);
}

static void
run_drain(struct client *client)
{
	struct apply_service service;

	if (!client_service(client, argument(client, 0), &service))
		return;
	if (!service.conf->enabled) {
		client_refuse(client, CTL_REFUSED,
		    "service \"%s\" is disabled: there is nothing to drain",
		    service.conf->name);
		return;
	}
	if (service_waits(service.conf)) {
		client_refuse(client, CTL_REFUSED,
		    "the program of service \"%s\" accepts its clients itself: "
		    "use disable",
		    service.conf->name);
		return;
	}
	atomic_fetch_or(flags_of(client, service.slot), BOARD_DRAINING);
	log_switched(service.conf->name, "refuses new clients: drained by hand");
	report_state(client, service.conf->name, "draining");
}

/* It is not disabled by hand, or not any more: what the configuration says of it counts. */
static void
report_enabled(struct client *client, const char *name)
{
	struct apply_service service;
	uint32_t flags;

	if (!client_service(client, name, &service))
		return;
	if (!service.conf->enabled) {
		client_refuse(client, CTL_REFUSED,
		    "service \"%s\" is disabled in the configuration, %s:%d: set "
		    "enabled there and reload",
		    name, service.conf->file, service.conf->line);
		return;
	}
	/* Enabled is enabled: a drain from before is over as well. */
	flags = atomic_fetch_and(
	    flags_of(client, service.slot), ~(uint32_t)BOARD_DRAINING);
	if (flags & BOARD_DRAINING)
		log_switched(name, "takes new clients again");
	report_state(client, name, "serving");
}

/* What a switch has come to. */
static void
switched(struct client *client, bool off)
{
	const char *name = client->request.words[1];

	if (off)
		report_state(client, name, "disabled");
	else
		report_enabled(client, name);
}

static bool
turns_off(const struct client *client)
{
	return strcmp(client->request.words[0], "disable") == 0;
}

void
control_report(struct client *client, int error)
{
	if (error == 0 && client->wait == WAIT_SWITCH) {
		switched(client, turns_off(client));
		return;
	}
	if (error < 0) {
		report_failure(client);
	} else {
		ctl_ok(&client->reply);
		report_changes(client);
	}
	report_findings(client);
	client_end(client);
}

void
control_turn(struct client *client)
{
	const struct control_setup *setup = &client->control->setup;
	const char *name = client->request.words[1];
	bool off = turns_off(client);
	int r;

	diag_release(&client->control->findings);
	wait_for(client, WAIT_SWITCH);
	r = setup->turn(setup->arg, name, off);
	if (r == -EBUSY)
		wait_for(client, WAIT_TURN);
	else if (r == -EALREADY)
		switched(client, off);
	else if (r < 0)
		client_refuse(client, CTL_REFUSED, "service \"%s\": %s", name,
		    strerror(-r));
}

static void
run_disable(struct client *client)
{
	struct apply_service service;

	if (!is_stopping(client) &&
	    client_service(client, argument(client, 0), &service))
		control_turn(client);
}

static void
run_enable(struct client *client)
{
	const struct control_setup *setup = &client->control->setup;
	const char *name = argument(client, 0);

	if (is_stopping(client))
		return;
	/* One that was disabled may have left the configuration since. */
	if (setup->is_off(setup->arg, name))
		control_turn(client);
	else
		report_enabled(client, name);
}

/* ---- one connection --------------------------------------------------------------------- */

/* Its ticket: true when the connection is there. */
static bool
find_connection(const struct board *board, uint64_t id, struct ticket_view *ret)
{
	uint32_t slot = board_conn_slot(id), n = ticket_used(board, slot);

	for (uint32_t i = 0; i < n; i++)
		if (ticket_look(board, slot * BOARD_TICKETS + i, ret) &&
		    ret->conn_id == id)
			return true;
	return false;
}

static const char *
role_name(const struct control *control, uint32_t slot)
{
	struct role_view role;

	return roles_view(control->setup.roles, slot, &role) ? role.name :
							       "its process";
}

void
control_kill_step(struct client *client)
{
	const struct control *control = client->control;
	uint64_t now = control_now_us();
	struct ticket_view view;

	if (!find_connection(control->setup.board, client->conn_id, &view)) {
		ctl_ok(&client->reply);
		client_end(client);
	} else if (now >= client->until_us) {
		client_refuse(client, CTL_REFUSED,
		    "%s has been told, but the connection is still there: "
		    "\"cabinetctl status\" shows whether it hangs",
		    role_name(control, view.owner));
	} else {
		/* On its way from a worker to the launcher it may miss both. */
		if (view.owner != client->asked_slot ||
		    now - client->asked_us >= KILL_AGAIN) {
			(void)roles_kill_connection(
			    control->setup.roles, view.owner, client->conn_id);
			client->asked_slot = view.owner;
			client->asked_us = now;
		}
		client_alarm(client, KILL_POLL);
	}
}

static void
run_kill(struct client *client)
{
	const char *word = argument(client, 0);
	struct ticket_view view;
	struct event event;
	char *end;

	errno = 0;
	client->conn_id = strtoull(word, &end, 10);
	if (*end != '\0' || word[0] < '0' || word[0] > '9' || errno != 0) {
		client_refuse(client, CTL_USAGE,
		    "\"%s\" is not a connection's number: \"cabinetctl "
		    "connections\" lists them",
		    word);
		return;
	}
	if (!find_connection(
		client->control->setup.board, client->conn_id, &view)) {
		client_refuse(client, CTL_REFUSED,
		    "there is no connection %s (any more)", word);
		return;
	}
	event_begin(&event);
	event_number(&event, FIELD_CONN, client->conn_id);
	event_said(&event);
	event_log(&event, CAB_LOG_NOTICE, EVENT_KILLED,
	    "ending connection %" PRIu64 " by hand", client->conn_id);
	client->asked_slot = UINT32_MAX;
	client->until_us = control_now_us() + KILL_MOST;
	wait_for(client, WAIT_KILL);
	control_kill_step(client);
}

/* ---- the log ----------------------------------------------------------------------------- */

static void
run_log_level(struct client *client)
{
	static const struct {
		const char *word;
		enum cab_log_level level;
	} levels[] = { { "error", CAB_LOG_ERR }, { "warning", CAB_LOG_WARNING },
		{ "notice", CAB_LOG_NOTICE }, { "info", CAB_LOG_INFO },
		{ "debug", CAB_LOG_DEBUG } };
	const char *word = argument(client, 0);
	struct cab_nearest near = { .want = word };

	for (size_t i = 0; i < CAB_N(levels); i++) {
		nearest_offer(&near, levels[i].word);
		if (strcmp(levels[i].word, word) != 0)
			continue;
		log_notice("log level %s, set by hand", word);
		log_set_level(levels[i].level);
		roles_set_log_level(
		    client->control->setup.roles, levels[i].level);
		ctl_ok(&client->reply);
		client_end(client);
		return;
	}
	client_refuse(client, CTL_USAGE,
	    "there is no log level \"%s\": error, warning, notice, info or "
	    "debug%s%s%s",
	    word, near.best != NULL ? "; did you mean \"" : "",
	    near.best != NULL ? near.best : "", near.best != NULL ? "\"?" : "");
}

/* ---- all ----------------------------------------------------------------------------------- */

static const struct control_verb verbs[] = {
	{ "status", control_status },
	{ "services", control_services },
	{ "connections", control_connections },
	{ "reload", run_reload },
	{ "drain", run_drain },
	{ "enable", run_enable },
	{ "disable", run_disable },
	{ "kill", run_kill },
	{ "metrics", control_metrics },
	{ "explain", control_explain },
	{ "log-level", run_log_level },
	{ "top", control_top },
};

/* True when the client may and can be asked to do this. */
static bool
may_run(struct client *client, const struct ctl_verb *verb)
{
	size_t n = client->request.n - 1;

	if (n < verb->min || n > verb->max) {
		client_refuse(client, CTL_USAGE, "usage: cabinetctl %s%s%s",
		    verb->name, verb->arguments[0] != '\0' ? " " : "",
		    verb->arguments);
		return false;
	}
	if (!verb->changes)
		return true;
	if (!client->peer.full) {
		client_refuse(client, CTL_REFUSED,
		    "permission denied: members of admin_group may look, not "
		    "change anything");
		return false;
	}
	log_info("%s asked for by user %u, pid %d", verb->name,
	    (unsigned)client->peer.uid, (int)client->peer.pid);
	return true;
}

void
control_run(struct client *client)
{
	const char *name = client->request.words[0], *near;
	const struct ctl_verb *verb = ctl_verb_find(name, &near);

	if (verb == NULL) {
		client_refuse(client, CTL_USAGE, "there is no verb \"%s\"%s%s%s",
		    name, near != NULL ? "; did you mean \"" : "",
		    near != NULL ? near : "", near != NULL ? "\"?" : "");
		return;
	}
	if (!may_run(client, verb))
		return;
	for (size_t i = 0; i < CAB_N(verbs); i++)
		if (strcmp(verbs[i].name, verb->name) == 0)
			verbs[i].run(client);
}
