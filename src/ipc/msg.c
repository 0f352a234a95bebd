/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shape of every message between roles, as data.  Every process.
 */
#include "config.h"

#include "ipc/msg.h"

#define TEXT_MAX             CHAN_MAX_BODY
#define FIXED(s, fds)        sizeof(struct s), sizeof(struct s), fds, fds
#define WITH_TEXT(s, lo, hi) sizeof(struct s), TEXT_MAX, lo, hi

_Static_assert(sizeof(struct msg_stop) == 8, "supervisors of other builds say it, too");

static const struct msg_rule rules[MSG_MAX] = {
	[MSG_RETIRE] = { "RETIRE", 0, 0, 0, 0 },
	[MSG_READ] = { "READ", WITH_TEXT(msg_read, 1, 1) },
	[MSG_OPEN] = { "OPEN", 1, TEXT_MAX, 0, 0 },
	[MSG_OPENED] = { "OPENED", WITH_TEXT(msg_result, 0, 1) },
	[MSG_LIST] = { "LIST", 1, TEXT_MAX, 0, 0 },
	[MSG_LISTED] = { "LISTED", WITH_TEXT(msg_result, 0, 1) },
	[MSG_PROBE] = { "PROBE", WITH_TEXT(msg_probe, 0, 0) },
	[MSG_PROBED] = { "PROBED", WITH_TEXT(msg_result, 0, 0) },
	[MSG_FINDING] = { "FINDING", WITH_TEXT(msg_finding, 0, 0) },
	[MSG_DUMP] = { "DUMP", FIXED(msg_snapshot, 0) },
	[MSG_SNAPSHOT] = { "SNAPSHOT", FIXED(msg_snapshot, 0) },
	[MSG_DONE] = { "DONE", FIXED(msg_done, 0) },
	[MSG_HELLO] = { "HELLO", FIXED(msg_hello, 1) },
	[MSG_CONFIG] = { "CONFIG", FIXED(msg_config, 1) },
	[MSG_LISTENER] = { "LISTENER", FIXED(msg_listener, 1) },
	[MSG_RESOURCE] = { "RESOURCE", FIXED(msg_resource, 1) },
	[MSG_COMMIT] = { "COMMIT", FIXED(msg_commit, 0) },
	[MSG_LINK] = { "LINK", FIXED(msg_link, 1) },
	[MSG_WAKE] = { "WAKE", FIXED(msg_link, 1) },
	[MSG_STOP] = { "STOP", FIXED(msg_stop, 0) },
	[MSG_LOG_LEVEL] = { "LOG_LEVEL", FIXED(msg_level, 0) },
	[MSG_KILL] = { "KILL", FIXED(msg_kill, 0) },
	[MSG_DISMISS] = { "DISMISS", FIXED(msg_commit, 0) },
	[MSG_READY] = { "READY", FIXED(msg_commit, 0) },
	[MSG_FAILED] = { "FAILED", WITH_TEXT(msg_commit, 0, 0) },
	[MSG_RUN] = { "RUN", FIXED(msg_run, 1) },
};

const struct msg_rule *
msg_rule(uint32_t type)
{
	return type < MSG_MAX && rules[type].name ? &rules[type] : NULL;
}

bool
msg_valid(const struct chan_msg *msg)
{
	const struct msg_rule *rule = msg_rule(msg->type);

	return rule && msg->n >= rule->min && msg->n <= rule->max &&
	    msg->n_fds >= rule->min_fds && msg->n_fds <= rule->max_fds;
}
