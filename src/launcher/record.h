/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log records about programs, and what happens to them in a flood.  Launcher
 * only.
 */
#ifndef CAB_LAUNCHER_RECORD_H
#define CAB_LAUNCHER_RECORD_H

#include "launcher/state.h"

/* MESSAGE_IDs. */
#define ID_PROGRAM_ENDED  "5c0e2f8a3b6d4f7f9a1e64d2b07c9b11"
#define ID_PROGRAM_STDERR "5c0e2f8a3b6d4f7f9a1e64d2b07c9b12"
#define ID_PROGRAM_FAILED "5c0e2f8a3b6d4f7f9a1e64d2b07c9b13"

#define RECORD_FIELDS 12

/* The fields of one record, with the memory that their values need. */
struct record {
	struct cab_log_field v[RECORD_FIELDS];
	size_t n;
	char numbers[RECORD_FIELDS][24];
	char peer[CAB_PEER_TEXT];
};

/* SERVICE, and CONN and PEER of a connection (peer NULL or AF_UNSPEC: none), and PID (0: none). */
void record_begin(struct record *r, const char *service, uint64_t conn_id, const struct cab_peer *peer, pid_t pid);
void record_number(struct record *r, const char *name, uint64_t value);
void record_word(struct record *r, const char *name, const char *word);

/* log_gate for records that come with clients; *held is what to mention.  What stays held back is reported later. */
bool record_gate(struct launcher *l, struct cab_log_gate *gate, uint32_t burst, uint32_t *held);

/* " (and 17 before it)" or "". */
const char *record_held(char *dst, size_t cap, uint32_t held);

#define RECORD_PERIOD_MS 10000

#endif
