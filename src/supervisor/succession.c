/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Roles from one supervisor to the next: taking over those that a supervisor
 * before us has started, and leaving ours.  Supervisor only.  They are not our
 * children, so their pidfds tell when they end, and never how.
 */
#include "supervisor/role.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "ipc/msg.h"

#define RETIRED_MOST 256 /* of those that finish only; beyond, the oldest are ended */

/* ---- their end ------------------------------------------------------------------------ */

void
role_free_retired(struct role *role)
{
	struct role **at = &role->roles->retired;

	while (*at != role)
		at = &(*at)->next;
	*at = role->next;
	role->roles->n_retired--;
	role->timer = sd_event_source_disable_unref(role->timer);
	role->end = sd_event_source_disable_unref(role->end);
	role_close(role);
	fd_close(role->pidfd);
	free(role);
}

/* The pidfd of one that is not our child: how it ended is init's to know. */
static int
on_end(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	const siginfo_t unknown = { 0 };
	struct role *role = arg;
	struct roles *roles;

	(void)source;
	(void)fd;
	(void)events;
	if (!role->retired) {
		role_died(role, &unknown);
		return 0;
	}
	role_log_death(role, &unknown);
	role_gone(role);
	roles = role->roles;
	role_free_retired(role);
	if (roles->stopping && roles_running(roles) == 0)
		roles->setup.watch.empty(roles->setup.watch.arg);
	return 0;
}

/* ---- taking over ---------------------------------------------------------------------- */

/* The role has another process now, which our predecessor has started. */
static void
role_take(struct role *role, const struct roles_found *found)
{
	int r;

	role->pid = found->pid;
	role->pidfd = found->pidfd;
	role->chan = found->chan;
	role->adopted = true;
	snprintf(role->stored, sizeof(role->stored), "%s", found->name);
	r = sd_event_add_io(role->roles->setup.event, &role->end, role->pidfd,
	    EPOLLIN, on_end, role);
	if (r >= 0)
		r = fd_set_nonblock(role->chan, 1);
	if (r >= 0)
		r = role_listen(role);
	if (r < 0)
		role_fault(role, strerror(-r));
}

void
roles_adopt(struct roles *roles, const struct roles_found *found)
{
	struct role *role = found->slot < BOARD_ROLES ? &roles->v[found->slot] :
							NULL;
	const struct board_role *row;

	/* Two of one slot: our predecessor died while it replaced one. */
	if (role == NULL || role->pid != 0) {
		roles_inherit(roles, found);
		return;
	}
	row = &roles->setup.board->roles[role->slot];
	role_take(role, found);
	role->started = atomic_load(&row->started_us);
	/* What it was still to be told before its first configuration is lost. */
	if (atomic_load(&row->generation) == 0)
		role_fault(role, "has not begun to serve");
	else
		log_info("took %s over, pid %d", role->name, (int)role->pid);
}

void
roles_adopted(struct roles *roles)
{
	struct msg_level level = { .level = roles->setup.log_level };

	for (unsigned i = 0; i < BOARD_ROLES; i++) {
		struct role *role = &roles->v[i];

		if (!role->adopted)
			continue;
		role_send(role, MSG_LOG_LEVEL, &level, sizeof(level), NULL);
		for (unsigned k = 0; k < BOARD_WORKERS; k++)
			if (roles->wake[k] != NULL)
				role_send_wake(role, k);
		/* One that is whole may have connections on their way in it. */
		if (!role_is_launcher(role) &&
		    atomic_load(&roles->setup.board->roles[i].linked) == 0)
			role_link(role);
	}
}

void
roles_inherit(struct roles *roles, const struct roles_found *found)
{
	struct role *role = calloc(1, sizeof(*role));
	struct role **at = &roles->retired;

	if (role == NULL || role_init(role, roles, found->slot) < 0) {
		log_error("cannot take over pid %d: %s", (int)found->pid,
		    strerror(ENOMEM));
		free(role);
		fd_close(found->chan);
		fd_close(found->pidfd);
		return;
	}
	role->wanted = false;
	role->retired = true;
	snprintf(role->name, sizeof(role->name), "old %s",
	    role_is_launcher(role) ? "launcher" : "worker");
	/* systemd lists what came last first. */
	while (*at != NULL)
		at = &(*at)->next;
	*at = role;
	roles->n_retired++;
	role_take(role, found);
	if (roles->n_retired > RETIRED_MOST)
		role_fault(role, "too many others have not finished yet");
}

void
roles_retire(struct roles *roles, bool adopted)
{
	for (unsigned i = 0; adopted && i < BOARD_ROLES; i++)
		if (roles->v[i].adopted)
			role_send(&roles->v[i], MSG_RETIRE, NULL, 0, NULL);
	for (struct role *role = roles->retired; role != NULL; role = role->next)
		role_send(role, MSG_RETIRE, NULL, 0, NULL);
}

/* ---- leaving --------------------------------------------------------------------------- */

static void
role_leave(struct role *role)
{
	role->adopted = true;
	role->stored[0] = '\0';
}

void
roles_leave(struct roles *roles)
{
	for (unsigned i = 0; i < BOARD_ROLES; i++)
		role_leave(&roles->v[i]);
	for (struct role *role = roles->retired; role != NULL; role = role->next)
		role_leave(role);
}
