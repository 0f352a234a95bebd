/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What cabinetctl and the supervisor say to each other over the control socket.
 * Both sides, so that the wire is described in one place.
 *
 * One request per connection: words separated by single spaces, ended by LF.
 * The reply is lines.  The first is "ok" or "error EXIT-CODE TEXT"; then come
 * any number of tables, each
 *
 *   table NAME COLUMN:TYPE ...      or "record", which has exactly one row
 *   FIELD TAB FIELD ...             a line for each row
 *   (an empty line)
 *
 * and at last "end".  In fields \t, \n, \\ and \xNN stand for bytes that would
 * break a line; \- alone is a field that has no value; items of a list are
 * separated by commas, a comma of their own is \x2c.
 */
#ifndef CAB_IPC_CTL_H
#define CAB_IPC_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define CTL_REQUEST_MAX 4096 /* bytes of a request, LF included */
#define CTL_WORDS_MAX   4
#define CTL_COLUMNS_MAX 24
#define CTL_REPLY_MAX   (256 * 1024 * 1024)

/* Exit statuses of cabinetctl; the second to last are the client's alone. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_REFUSED = 1,     /* by the daemon; a failed reload */
	CTL_UNREACHABLE = 2, /* no daemon, or no permission to talk to it */
	CTL_USAGE = 64
};

/* ---- verbs ---- */

struct ctl_verb {
	const char *name;
	const char *arguments; /* "[NAME]", for the help; "" for none */
	unsigned min, max;     /* arguments */
	bool changes;          /* not for those who may only look */
	const char *summary;
};

/* NULL-terminated by name; in the order of the help. */
extern const struct ctl_verb ctl_verbs[];

/* NULL if there is none of that name; *nearest (may be NULL) is then a likely one, or NULL. */
const struct ctl_verb *ctl_verb_find(const char *name, const char **nearest);

/* ---- requests ---- */

/* Appends a request.  0, -EINVAL (a word that cannot be sent), -E2BIG, -ENOMEM. */
int ctl_request_write(
    struct cab_buf *out, const char *const words[], size_t n);

struct ctl_request {
	const char *words[CTL_WORDS_MAX];
	size_t n;
	char text[CTL_REQUEST_MAX];
};

/* Takes a line without its LF apart: 0, or -EINVAL for anything but 1 to CTL_WORDS_MAX printable words. */
int ctl_request_parse(const char *line, size_t n, struct ctl_request *ret);

/* ---- writing a reply ---- */

enum ctl_type {
	CTL_TEXT,
	CTL_INT,
	CTL_SIZE,     /* bytes */
	CTL_DURATION, /* milliseconds */
	CTL_TIME,     /* milliseconds since 1970 */
	CTL_LIST,     /* of texts */
	CTL_TYPES
};

/* Sticky: once a piece could not be kept, error says why and the rest is ignored. */
struct ctl_writer {
	struct cab_buf *out;
	int error;
	bool in_row, in_list;
};

void ctl_ok(struct ctl_writer *w);
void ctl_error(struct ctl_writer *w, enum ctl_exit code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* columns: "name:text active:int". */
void ctl_table(struct ctl_writer *w, const char *name, const char *columns);
void ctl_record(struct ctl_writer *w, const char *name, const char *columns);

/* The fields of a row, in order; NULL has no value. */
void ctl_text(struct ctl_writer *w, const char *text);
void ctl_text_n(struct ctl_writer *w, const char *text, size_t n);
void ctl_number(struct ctl_writer *w, uint64_t number);
void ctl_none(struct ctl_writer *w);
void ctl_list(struct ctl_writer *w); /* begins one; the next other field ends it */
void ctl_item(struct ctl_writer *w, const char *text);

void ctl_row_end(struct ctl_writer *w);
void ctl_table_end(struct ctl_writer *w);
void ctl_end(struct ctl_writer *w);

/* ---- reading a reply ---- */

struct ctl_column {
	char *name;
	enum ctl_type type;
};

/* One field: a text, or of a list all items, each with a NUL. */
struct ctl_field {
	bool none;
	size_t n;
	char *text; /* terminated */
};

struct ctl_data {
	char *name;
	bool record;
	struct ctl_column columns[CTL_COLUMNS_MAX];
	size_t n_columns, n_rows;
	struct ctl_field *fields; /* rows times columns */
};

struct ctl_reply {
	int code; /* enum ctl_exit or what a newer daemon says */
	char *error; /* NULL: ok */
	struct ctl_data *tables;
	size_t n_tables;
	char *memory; /* all texts */
};

/* 0, -EBADMSG for what is no complete reply, -ENOMEM. */
int ctl_reply_parse(const char *text, size_t n, struct ctl_reply *ret);

/* Accepts a zeroed one. */
void ctl_reply_release(struct ctl_reply *reply);

/* The table of that name; NULL if there is none. */
const struct ctl_data *
ctl_reply_table(const struct ctl_reply *reply, const char *name);

/* The index of a column; n_columns if there is none. */
size_t ctl_column_find(const struct ctl_data *table, const char *name);

static inline const struct ctl_field *
ctl_field_at(const struct ctl_data *table, size_t row, size_t column)
{
	return &table->fields[row * table->n_columns + column];
}

#endif
