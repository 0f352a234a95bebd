/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What records are called and made of: the MESSAGE_ID of every kind of event,
 * the names of all fields, and a builder for the fields of one record.  Every
 * process.  An id is fixed for ever; each has an entry in
 * systemd/cabinetd.catalog and each field one in cabinetd(8), and
 * tests/lint/events keeps it so.
 */
#ifndef CAB_BASE_EVENT_H
#define CAB_BASE_EVENT_H

#include "base/addr.h"
#include "base/log.h"

/* ---- kinds of events ------------------------------------------------ */

/* The daemon. */
#define EVENT_STARTED           "ce4c0e8b30fc4a3693490670aaa0d3fa"
#define EVENT_TAKEN_OVER        "7041db5ee1644d6f950bf3ef15caa308"
#define EVENT_LEFT              "779b3a8187604b1bb94dc2ec7f9abba3"
#define EVENT_STORE_FULL        "a8406cfacbe8402abc4957e0290c1107"
#define EVENT_CANNOT_START      "2783037e62574752850e5ea831228354"
#define EVENT_STOPPING          "8ce041047e0a4813a9b304e59c042bab"
#define EVENT_RELOADED          "cd3123175ad0447fba8e9e837b19b2c3"
#define EVENT_RELOAD_REFUSED    "5892139255dd46ea999f979d49c7d241"
#define EVENT_FINDING           "1a4e81eb1f21485d8f3a4429182c97a5"
#define EVENT_MISFIT            "97033b263bdb4242a0284d383cd94a5f"
#define EVENT_NEEDS_RESTART     "2889b81ff9b9481e9c595047d7c44f40"
#define EVENT_NO_CONTROL        "1fb85d56ee884adb980d4fc1b22c1bda"
#define EVENT_SOCKET_UNUSED     "63666d1016c74ea4b9461de4ec8484e0"
#define EVENT_SWITCHED          "013dcb369aa243e39b70cf03562b934b"
#define EVENT_LOG_LOST          "bbe5e4aad84647108a307780489f4407"

/* Its roles. */
#define EVENT_ROLE_ENDED        "4ab94eba6b6e4093a39137c2497a54d2"
#define EVENT_ROLE_AGAIN        "ebf2868a0cd7497dbc0e51ad74734e9b"
#define EVENT_ROLE_HANGS        "27e8ed99cf8b4ef3b6d123c241efa5bf"
#define EVENT_ROLE_CANNOT_START "8f5a37f46c6d4e7d974301f9deec44f5"
#define EVENT_ROLE_GIVES_UP     "5e935e720def46c18870916a29d65905"
#define EVENT_ROLE_FAULT        "7cc7fee1634a4492b838dc355d5d3587"
#define EVENT_UNHEALTHY         "6d9d81b4e06c45c3a89f3868657cf4e7"

/* Connections. */
#define EVENT_FINISHED          "520865cdc4e0434fa039ede726afcdf3"
#define EVENT_REFUSED           "47c654b8679044108efb287148349800"
#define EVENT_FLOOD             "b5355f120848420b9bdfc8f07eeab5fa"
#define EVENT_FLOOD_ENDED       "556c9e287ef941dbbc43178e613a35cc"
#define EVENT_FLOOD_OTHERS      "0da3ec6322384c61b661bdee163a4d01"
#define EVENT_SHORTAGE          "58ee4b54bfa04b62b3d067dc94373bcd"
#define EVENT_KILLED            "cd186f6fdba3409aaf6ad48dbf5ef38c"
#define EVENT_FULL              "9fce1cec75b3467aadd6f47af9e54c36"
#define EVENT_PROTOCOL          "9e0d46e329b246d6861ab8428e61d6df"

/* Programs. */
#define EVENT_PROGRAM_ENDED     "5c0e2f8a3b6d4f7f9a1e64d2b07c9b11"
#define EVENT_PROGRAM_STDERR    "5c0e2f8a3b6d4f7f9a1e64d2b07c9b12"
#define EVENT_PROGRAM_FAILED    "5c0e2f8a3b6d4f7f9a1e64d2b07c9b13"
#define EVENT_PROGRAM_OTHERS    "3061d63ec3794b1a863eba5238b8e8e8"
#define EVENT_PROGRAMS_LOST     "1baba19985934014a014cdb9aac3f3f5"
#define EVENT_BAD_WORKER        "5451a723a67046a39931d856bbb5c8da"

/* ---- names of fields ------------------------------------------------- */

/* Every record: the journal's have the prefix CABINETD_ in front. */
#define FIELD_ROLE          "ROLE"

/* A connection. */
#define FIELD_SERVICE       "SERVICE"
#define FIELD_CONN          "CONN"
#define FIELD_PEER          "PEER"
#define FIELD_PEER_ADDRESS  "PEER_ADDRESS"
#define FIELD_PEER_PORT     "PEER_PORT"
#define FIELD_LOCAL         "LOCAL"
#define FIELD_LOCAL_ADDRESS "LOCAL_ADDRESS"
#define FIELD_LOCAL_PORT    "LOCAL_PORT"
#define FIELD_VERDICT       "VERDICT"
#define FIELD_REASON        "REASON"
#define FIELD_BYTES_IN      "BYTES_IN"
#define FIELD_BYTES_OUT     "BYTES_OUT"
#define FIELD_DURATION_US   "DURATION_US"
#define FIELD_SAMPLE        "SAMPLE"

/* A program, or a role. */
#define FIELD_PROGRAM       "PROGRAM"
#define FIELD_PID           "PID"
#define FIELD_STATUS        "STATUS"
#define FIELD_SIGNAL        "SIGNAL"
#define FIELD_CPU_US        "CPU_US"
#define FIELD_MAXRSS_KB     "MAXRSS_KB"
#define FIELD_CHILD         "CHILD"

/* Many at once. */
#define FIELD_NETWORK       "NETWORK"
#define FIELD_COUNT         "COUNT"
#define FIELD_TOTAL         "TOTAL"

/* The configuration. */
#define FIELD_FILE          "FILE"
#define FIELD_LINE          "LINE"
#define FIELD_ADDED         "ADDED"
#define FIELD_CHANGED       "CHANGED"
#define FIELD_DROPPED       "DROPPED"
#define FIELD_KEPT          "KEPT"

/* ---- the fields of one record ---------------------------------------- */

#define EVENT_FIELDS 24
#define EVENT_TEXT   640

/* Needs no clean-up.  What does not fit is left out. */
struct event {
	struct cab_log_field v[EVENT_FIELDS];
	size_t n, used;
	char text[EVENT_TEXT]; /* memory of values that are made here */
};

void event_begin(struct event *event);

/* The word must live as long as the event; NULL: no field. */
void event_word(struct event *event, const char *name, const char *word);
void event_number(struct event *event, const char *name, uint64_t value);

/*
 * One end of the connection, as one field for readers and, in the journal, its
 * parts.  The text, good as long as the event; "" of AF_UNSPEC, which adds nothing.
 */
const char *event_peer(struct event *event, const struct cab_peer *peer);
const char *event_local(struct event *event, const struct cab_peer *local);

/* The text says all fields so far: lines need not repeat them. */
void event_said(struct event *event);

/* Writes the record. */
#define event_log(event, level, id, ...) \
	log_fields((level), (id), (event)->v, (event)->n, __VA_ARGS__)

/* Every n-th of what is counted in *seen, the first included; n < 2: all. */
bool event_sampled(uint64_t *seen, int64_t n);

/* 1234567 as "1,234,567"; returns dst, which has room for CAB_GROUPED bytes. */
#define CAB_GROUPED 28
char *event_grouped(char dst[static CAB_GROUPED], uint64_t value);

#endif
