/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log records about programs, and what happens to them in a flood.  Launcher
 * only.
 */
#ifndef CAB_LAUNCHER_RECORD_H
#define CAB_LAUNCHER_RECORD_H

#include "base/event.h"
#include "launcher/state.h"

/* SERVICE, and CONN and PEER of a connection (peer NULL or AF_UNSPEC: none), and PID (0: none). */
void record_begin(struct event *event, const char *service, uint64_t conn_id, const struct cab_peer *peer, pid_t pid);

/* A client as its service wants to have it logged. */
struct cab_peer record_peer(const struct cab_service *service, const struct cab_peer *peer);

/* log_gate for records that come with clients; *held is what to mention.  What stays held back is reported later. */
bool record_gate(struct launcher *l, struct cab_log_gate *gate, uint32_t burst, uint32_t *held);

/* " (and 17 before it)" or "". */
const char *record_held(char *dst, size_t cap, uint32_t held);

#define RECORD_PERIOD_MS 10000

#endif
