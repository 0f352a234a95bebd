/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log records to stderr or to the journal's native socket.  Never blocks: a
 * record that the target cannot take is dropped and counted.  Only role code
 * logs; library layers return errors.  Every process; single-threaded.  stderr
 * may be a pipe whose reader is gone: roles ignore SIGPIPE.  A sandbox has to
 * leave it write(2), sendmsg(2) and poll(2).
 */
#ifndef CAB_BASE_LOG_H
#define CAB_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* syslog(3) numbers. */
enum cab_log_level { CAB_LOG_ERR = 3, CAB_LOG_WARNING = 4, CAB_LOG_NOTICE = 5, CAB_LOG_INFO = 6, CAB_LOG_DEBUG = 7 };

enum cab_log_target { CAB_LOG_STDERR, CAB_LOG_JOURNAL };

/* One field of a record.  The value is bytes; the journal gets them as they are, stderr escaped. */
struct cab_log_field {
	const char *name; /* journal name without the CABINETD_ prefix, see base/event.h */
	const char *value;
	size_t n;    /* 0: strlen(value) */
	bool native; /* for the journal alone: lines have it in another field */
};

/*
 * Chooses target and level and opens the journal socket if needed (do this
 * before any sandbox).  tag names the role in stderr lines ("worker 0").
 * A journal that cannot be opened falls back to stderr.
 */
void log_open(enum cab_log_target target, enum cab_log_level level, const char *tag);
void log_set_level(enum cab_log_level level);
bool log_enabled(enum cab_log_level level);

/* True when stderr is connected to the journal (JOURNAL_STREAM matches), so that target "auto" means the journal. */
bool log_under_journal(void);

/* The descriptor that the log owns besides stderr, or -1; so that a role can keep it across its descriptor clean-up. */
int log_fd(void);

/* Another socket in the place of the journal's (NULL: the journal's again), from the next log_open on; for tests. */
void log_fake_journal(const char *path);

/*
 * One record.  id is a MESSAGE_ID of 32 hex digits or NULL.  The text must be
 * built from our own words and escaped peer bytes only.
 */
void log_fields(enum cab_log_level level, const char *id, const struct cab_log_field *fields, size_t n, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* One of a kind that has an id, without fields. */
#define log_event(level, id, ...) log_fields((level), (id), NULL, 0, __VA_ARGS__)

#define log_error(...) log_fields(CAB_LOG_ERR, NULL, NULL, 0, __VA_ARGS__)
#define log_warning(...) log_fields(CAB_LOG_WARNING, NULL, NULL, 0, __VA_ARGS__)
#define log_notice(...) log_fields(CAB_LOG_NOTICE, NULL, NULL, 0, __VA_ARGS__)
#define log_info(...) log_fields(CAB_LOG_INFO, NULL, NULL, 0, __VA_ARGS__)
#define log_debug(...) log_fields(CAB_LOG_DEBUG, NULL, NULL, 0, __VA_ARGS__)

/*
 * At most `burst` records per `period_ms` through one gate.  Returns true when
 * the caller may log; *ret_suppressed is then how many were held back since.
 */
struct cab_log_gate {
	uint64_t window_ms;
	uint32_t count, suppressed;
};
bool log_gate(struct cab_log_gate *gate, uint32_t burst, uint32_t period_ms, uint32_t *ret_suppressed);

/*
 * Tells what was lost, should the target take it by now; else that comes with
 * the next record.  For every turn of a role's loop: tries once a second.  True
 * while there is something to tell.
 */
bool log_catch_up(void);

/* Records dropped because the target could not take them. */
uint64_t log_dropped(void);

#endif
