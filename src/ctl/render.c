/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables for people.  cabinetctl only.  A reply may come from anything that
 * listens at the path, so no byte of it goes to the terminal that could steer
 * it.
 */
#include "ctl/render.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

#define CELL 1024 /* bytes of one field as shown */

struct render
render_for(FILE *out)
{
	const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
	bool terminal = isatty(fileno(out)) == 1;
	bool ansi = terminal && term != NULL && strcmp(term, "dumb") != 0;

	return (struct render){ .out = out,
		.terminal = terminal,
		.ansi = ansi,
		.colour = ansi && (no_colour == NULL || !no_colour[0]) };
}

/* ---- values ---------------------------------------------------------------------- */

/* Copies what a terminal shows as it is; UTF-8 passes but for its control codes. */
static size_t
clean(char *dst, size_t cap, const char *s, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n && at + 5 < cap; i++) {
		unsigned char c = (unsigned char)s[i];
		bool control = c < ' ' || c == 0x7f ||
		    (c == 0xc2 && i + 1 < n && (unsigned char)s[i + 1] < 0xa0);

		if (control)
			at += (size_t)snprintf(dst + at, cap - at, "\\x%02x", c);
		else
			dst[at++] = (char)c;
	}
	dst[at] = '\0';
	return at;
}

char *
render_size(char *dst, size_t cap, uint64_t bytes)
{
	static const char units[] = " KMGTPE";
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1000 && unit + 2 < sizeof(units)) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(dst, cap, "%" PRIu64, bytes);
	else
		snprintf(dst, cap, value < 10 ? "%.1f%c" : "%.0f%c", value,
		    units[unit]);
	return dst;
}

char *
render_duration(char *dst, size_t cap, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(dst, cap, "%" PRIu64 "ms", ms);
	else if (s < 60)
		snprintf(dst, cap, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(dst, cap, "%" PRIu64 "min %" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(dst, cap, "%" PRIu64 "h %" PRIu64 "min", s / 3600,
		    s / 60 % 60);
	else
		snprintf(dst, cap, "%" PRIu64 "d %" PRIu64 "h", s / 86400,
		    s / 3600 % 24);
	return dst;
}

static void
show_time(const struct render *render, char *dst, size_t cap, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	size_t n = 0;

	/* Without a blank in a pipe, where columns are told apart by them. */
	if (localtime_r(&seconds, &tm) != NULL)
		n = strftime(dst, cap,
		    render->terminal ? "%Y-%m-%d %H:%M:%S" :
				       "%Y-%m-%dT%H:%M:%S%z",
		    &tm);
	if (n == 0)
		snprintf(dst, cap, "%" PRIu64, ms);
	else if (!render->terminal && n + 1 < cap) {
		/* RFC 3339 has a colon in "+00:00", strftime has none. */
		memmove(dst + n - 1, dst + n - 2, 3);
		dst[n - 2] = ':';
	}
}

static void
show_list(char *dst, size_t cap, const struct ctl_field *field)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < field->n; i += strlen(field->text + i) + 1) {
		if (i > 0 && at + 2 < cap)
			dst[at++] = ',';
		at += clean(dst + at, cap - at, field->text + i,
		    strlen(field->text + i));
	}
}

/* Sizes and durations as exact numbers where a program may read them. */
static void
show(const struct render *render, enum ctl_type type,
    const struct ctl_field *field, char dst[CELL])
{
	uint64_t n = type == CTL_TEXT || type == CTL_LIST || field->none ?
	    0 :
	    strtoull(field->text, NULL, 10);

	if (field->none || (type == CTL_LIST && field->n == 0))
		snprintf(dst, CELL, "-");
	else if (type == CTL_LIST)
		show_list(dst, CELL, field);
	else if (type == CTL_TIME)
		show_time(render, dst, CELL, n);
	else if (type == CTL_SIZE && render->terminal)
		render_size(dst, CELL, n);
	else if (type == CTL_DURATION && render->terminal)
		render_duration(dst, CELL, n);
	else if (type == CTL_DURATION)
		snprintf(dst, CELL, "%" PRIu64 ".%03u", n / 1000,
		    (unsigned)(n % 1000));
	else
		clean(dst, CELL, field->text, field->n);
}

void
render_text(const struct render *render, const char *text)
{
	char cell[CELL * 4];

	clean(cell, sizeof(cell), text, strlen(text));
	fputs(cell, render->out);
}

/* ---- colours ---------------------------------------------------------------------- */

const char *
render_colour(const struct render *render, const char *word)
{
	static const struct {
		const char *word, *code;
	} rows[] = {
		{ "serving", "\033[32m" },
		{ "running", "\033[32m" },
		{ "pass", "\033[32m" },
		{ "admitted", "\033[32m" },
		{ "succeeded", "\033[32m" },
		{ "draining", "\033[33m" },
		{ "stopping", "\033[33m" },
		{ "waits", "\033[33m" },
		{ "waiting to be started", "\033[31m" },
		{ "warning", "\033[33m" },
		{ "disabled", "\033[31m" },
		{ "fail", "\033[31m" },
		{ "failed", "\033[31m" },
		{ "refused", "\033[31m" },
		{ "error", "\033[31m" },
	};

	for (size_t i = 0; render->colour && i < sizeof(rows) / sizeof(rows[0]);
	     i++)
		if (strcmp(rows[i].word, word) == 0)
			return rows[i].code;
	return "";
}

const char *
render_plain(const struct render *render)
{
	return render->colour ? "\033[0m" : "";
}

const char *
render_bold(const struct render *render)
{
	return render->colour ? "\033[1m" : "";
}

/* ---- tables ------------------------------------------------------------------------ */

/* Columns on the screen: bytes that go on with a UTF-8 character take none. */
static int
width_of(const char *s)
{
	int n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static bool
is_right(enum ctl_type type)
{
	return type == CTL_INT || type == CTL_SIZE || type == CTL_DURATION;
}

/* "last_reload" becomes "LAST RELOAD" or "last reload". */
static void
heading(char dst[CELL], const char *name, bool upper)
{
	size_t n = clean(dst, CELL, name, strlen(name));

	for (size_t i = 0; i < n; i++) {
		if (dst[i] == '_')
			dst[i] = ' ';
		else if (upper && dst[i] >= 'a' && dst[i] <= 'z')
			dst[i] = (char)(dst[i] - 'a' + 'A');
	}
}

static void
pad(FILE *out, int n)
{
	for (; n > 0; n--)
		fputc(' ', out);
}

/* No value in any row: nothing to look at. */
static bool
is_idle(const struct ctl_data *data, size_t column)
{
	for (size_t row = 0; row < data->n_rows; row++)
		if (!ctl_field_at(data, row, column)->none)
			return false;
	return true;
}

static void
measure(const struct render *render, const struct ctl_data *data, int widths[])
{
	char cell[CELL];

	for (size_t c = 0; c < data->n_columns; c++) {
		widths[c] = -1;
		if (render->terminal && is_idle(data, c))
			continue;
		heading(cell, data->columns[c].name, true);
		widths[c] = render->terminal ? width_of(cell) : 0;
		for (size_t row = 0; row < data->n_rows; row++) {
			int width;

			show(render, data->columns[c].type,
			    ctl_field_at(data, row, c), cell);
			width = width_of(cell);
			if (width > widths[c])
				widths[c] = width;
		}
	}
}

/* One cell in its place; the last one of a line gets no blanks behind it. */
static void
put_cell(const struct render *render, const char *cell, int width, bool right,
    bool last, const char *colour)
{
	int blank = width - width_of(cell);

	if (right)
		pad(render->out, blank);
	fprintf(render->out, "%s%s%s", colour, cell,
	    colour[0] != '\0' ? render_plain(render) : "");
	if (!right && !last)
		pad(render->out, blank);
	if (!last)
		pad(render->out, 2);
}

static size_t
last_shown(const struct ctl_data *data, const int widths[])
{
	size_t last = data->n_columns - 1;

	while (last > 0 && widths[last] < 0)
		last--;
	return last;
}

static void
render_table(const struct render *render, const struct ctl_data *data)
{
	int widths[CTL_COLUMNS_MAX];
	char cell[CELL];
	size_t last;

	measure(render, data, widths);
	last = last_shown(data, widths);
	for (size_t c = 0; render->terminal && c < data->n_columns; c++) {
		if (widths[c] < 0)
			continue;
		heading(cell, data->columns[c].name, true);
		put_cell(render, cell, widths[c], is_right(data->columns[c].type),
		    c == last, render_bold(render));
	}
	if (render->terminal)
		fputc('\n', render->out);
	for (size_t row = 0; row < data->n_rows; row++) {
		for (size_t c = 0; c < data->n_columns; c++) {
			if (widths[c] < 0)
				continue;
			show(render, data->columns[c].type,
			    ctl_field_at(data, row, c), cell);
			put_cell(render, cell, widths[c],
			    is_right(data->columns[c].type), c == last,
			    render_colour(render, cell));
		}
		fputc('\n', render->out);
	}
}

static void
render_record(const struct render *render, const struct ctl_data *data)
{
	char cell[CELL];
	int width = 0;

	for (size_t c = 0; c < data->n_columns; c++) {
		heading(cell, data->columns[c].name, false);
		if (width_of(cell) > width)
			width = width_of(cell);
	}
	for (size_t c = 0; c < data->n_columns; c++) {
		const struct ctl_field *field = ctl_field_at(data, 0, c);

		if (render->terminal && field->none)
			continue;
		heading(cell, data->columns[c].name, false);
		put_cell(render, cell, width, false, false, "");
		show(render, data->columns[c].type, field, cell);
		put_cell(
		    render, cell, 0, false, true, render_colour(render, cell));
		fputc('\n', render->out);
	}
}

void
render_data(const struct render *render, const struct ctl_data *data)
{
	if (data->record)
		render_record(render, data);
	else if (data->n_rows > 0)
		render_table(render, data);
}
