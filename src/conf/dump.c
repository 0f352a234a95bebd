/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shows settings: the effective ones as a file that reads back to the same, and
 * all possible ones as a table.  Config role (and cabinetd --dump-schema).
 * Never prints a byte of a value without quoting it.
 */
#include "conf/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/address.h"
#include "conf/value.h"

struct dump {
	const struct conf_reading *r;
	struct cab_buf *out;
	unsigned depth;
	int error;
};

static void __attribute__((format(printf, 2, 3)))
print(struct dump *d, const char *fmt, ...)
{
	va_list ap;

	if (d->error < 0)
		return;
	va_start(ap, fmt);
	d->error = buf_vprintf(d->out, fmt, ap);
	va_end(ap);
}

static void
indent(struct dump *d)
{
	unsigned i;

	for (i = 0; i < d->depth; i++)
		print(d, "\t");
}

/* Text in double quotes, as libconfig reads it. */
static void
quote(struct dump *d, const char *s)
{
	static const char named[] = "\"\\\n\r\t\f", letters[] = "\"\\nrtf";
	const char *at;

	print(d, "\"");
	for (; *s != '\0'; s++) {
		at = strchr(named, *s);
		if (at != NULL)
			print(d, "\\%c", letters[at - named]);
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			print(d, "\\x%02x", (unsigned char)*s);
		else
			print(d, "%c", *s);
	}
	print(d, "\"");
}

/* A file's name in a comment: it must not end the line. */
static void
file_name(struct dump *d, const char *file)
{
	char text[1024];

	str_escape(text, sizeof(text), file, strlen(file));
	print(d, "%s", text);
}

/* The comment behind a value, without the end of its line. */
static void
origin(struct dump *d, const void *field)
{
	const struct conf_origin *o = origin_get(&d->r->origins, field);

	print(d, " # ");
	if (o == NULL) {
		print(d, "default");
		return;
	}
	file_name(d, o->file);
	print(d, ":%d%s", o->line, o->inherited ? " (defaults)" : "");
}

/* ---- values -------------------------------------------------------------------- */

static void
number(struct dump *d, const struct cab_opt *row, int64_t value)
{
	char text[32];

	if (value == 0 && row->flags & CAB_F_UNLIMITED)
		print(d, "\"unlimited\"");
	else if (row->type == CAB_T_OCTAL)
		print(d, "\"0%" PRIo64 "\"", value);
	else if (row->type == CAB_T_TIME && value != 0)
		print(d, "\"%s\"", str_format_time(text, sizeof(text), value));
	else if (row->type == CAB_T_SIZE && value != 0)
		print(d, "\"%s\"", str_format_size(text, sizeof(text), value));
	else
		print(d, "%" PRId64 "%s", value,
		    value > INT32_MAX || value < INT32_MIN ? "L" : "");
}

static void
strings(struct dump *d, const struct cab_strings *list)
{
	size_t i;

	print(d, "(");
	for (i = 0; i < list->n; i++) {
		print(d, i > 0 ? ", " : " ");
		quote(d, list->v[i]);
	}
	print(d, list->n > 0 ? " )" : ")");
}

static void
prefixes(struct dump *d, const struct cab_prefixes *list)
{
	char text[64];
	size_t i;

	for (i = 0; i < list->n; i++)
		print(d, "%s\"%s\"", i > 0 ? ", " : "( ",
		    prefix_text(&list->v[i], text, sizeof(text)));
	print(d, " )");
}

static void
listens(struct dump *d, const struct cab_listens *list)
{
	const struct cab_listen *l;
	size_t i;

	print(d, "( ");
	for (i = 0; i < list->n; i++) {
		l = &list->v[i];
		print(d, "%s", i > 0 ? ", " : "");
		/* Written out, its IPv6 half would have to exist. */
		if (i + 1 < list->n && address_is_pair(l, l + 1)) {
			print(d, "\"%s://*:%u\"",
			    l->kind == CAB_TCP ? "tcp" : "udp",
			    sockaddr_port(&l->addr));
			i++;
		} else {
			quote(d, l->text);
		}
	}
	print(d, " )");
}

static void
value(struct dump *d, const struct cab_opt *row, const void *field)
{
	char text[64];

	switch (row->type) {
	case CAB_T_BOOL:
		print(d, "%s", *(const bool *)field ? "true" : "false");
		break;
	case CAB_T_INT:
	case CAB_T_SIZE:
	case CAB_T_TIME:
	case CAB_T_OCTAL:
		number(d, row, *(const int64_t *)field);
		break;
	case CAB_T_RATE:
		str_format_rate(text, sizeof(text),
		    ((const struct cab_rate *)field)->count,
		    ((const struct cab_rate *)field)->period_ms);
		print(d, strchr(text, '/') != NULL ? "\"%s\"" : "%s", text);
		break;
	case CAB_T_STRING:
	case CAB_T_PATH:
		quote(d, *(const char *const *)field);
		break;
	case CAB_T_ENUM:
		quote(d, row->words[*(const int *)field]);
		break;
	case CAB_T_USER:
	case CAB_T_GROUP:
		quote(d, ((const struct cab_account *)field)->name);
		break;
	case CAB_T_STRINGS:
	case CAB_T_ENV:
		strings(d, field);
		break;
	case CAB_T_PREFIXES:
		prefixes(d, field);
		break;
	case CAB_T_LISTENS:
		listens(d, field);
		break;
	default:
		break;
	}
}

/* ---- groups --------------------------------------------------------------------------- */

/* Options whose default is something that cannot be written down. */
static bool
is_unset(const struct dump *d, const struct cab_opt *row, const void *field)
{
	if (origin_get(&d->r->origins, field) != NULL)
		return false;
	if (row->flags & CAB_F_UNSET)
		return true;
	switch (row->type) {
	case CAB_T_INT:
	case CAB_T_SIZE:
	case CAB_T_TIME:
	case CAB_T_OCTAL:
		return row->def == NULL;
	case CAB_T_STRING:
	case CAB_T_PATH:
		return *(const char *const *)field == NULL;
	case CAB_T_USER:
	case CAB_T_GROUP:
		return ((const struct cab_account *)field)->name == NULL;
	case CAB_T_PREFIXES:
		return !((const struct cab_prefixes *)field)->set;
	case CAB_T_STRINGS:
		return ((const struct cab_strings *)field)->n == 0;
	default:
		return false;
	}
}

static void group(struct dump *d, const struct cab_group *rows, const void *base);

static void
open_group(struct dump *d, const char *name)
{
	indent(d);
	print(d, "%s = {\n", name);
	d->depth++;
}

static void
close_group(struct dump *d)
{
	d->depth--;
	indent(d);
	print(d, "};\n");
}

static void
groups(struct dump *d, const struct cab_opt *row, const struct cab_groups *list)
{
	size_t i;

	indent(d);
	print(d, "%s = (", row->name);
	origin(d, list);
	print(d, "\n");
	d->depth++;
	for (i = 0; i < list->n; i++) {
		indent(d);
		print(d, "{\n");
		d->depth++;
		group(d, row->sub, (const char *)list->v + i * row->sub->size);
		d->depth--;
		indent(d);
		print(d, "}%s\n", i + 1 < list->n ? "," : "");
	}
	d->depth--;
	indent(d);
	print(d, ");\n");
}

static void
option(struct dump *d, const struct cab_opt *row, const void *field)
{
	if (is_unset(d, row, field)) {
		indent(d);
		print(d, "# %s is not set\n", row->name);
		return;
	}
	indent(d);
	print(d, "%s = ", row->name);
	value(d, row, field);
	print(d, ";");
	origin(d, field);
	print(d, "\n");
}

static void
group(struct dump *d, const struct cab_group *rows, const void *base)
{
	size_t i;

	for (i = 0; i < rows->n_opts; i++) {
		const struct cab_opt *row = &rows->opts[i];
		const void *field = (const char *)base + row->offset, *sub;

		if (row->flags & CAB_F_COMPUTED)
			continue;
		if (row->type == CAB_T_SUBS) {
			groups(d, row, field);
		} else if (row->sub != NULL) {
			sub = row->type == CAB_T_SUB ?
			    field :
			    *(const void *const *)field;
			if (sub == NULL)
				continue;
			open_group(d, row->name);
			group(d, row->sub, sub);
			close_group(d);
		} else {
			option(d, row, field);
		}
	}
}

static void
service(struct dump *d, const struct cab_service *s, bool last)
{
	indent(d);
	print(d, "{\n");
	d->depth++;
	group(d, &conf_group_service, s);
	if (s->options != NULL) {
		open_group(d, s->desc->name);
		group(d, s->desc->options, s->options);
		close_group(d);
	}
	d->depth--;
	indent(d);
	print(d, "}%s\n", last ? "" : ",");
}

/* The drop-ins are part of this text already: reading it must not add them again. */
static void
include(struct dump *d, const struct cab_conf *conf)
{
	print(d, "include = \"\";");
	origin(d, &conf->include);
	if (conf->include != NULL) {
		print(d, ", what ");
		file_name(d, conf->include);
		print(d, " holds is below");
	}
	print(d, "\n");
}

int
dump_conf(const struct conf_reading *r, struct cab_buf *out)
{
	struct dump d = { .r = r, .out = out };
	const struct cab_conf *conf = r->conf;
	size_t i;

	print(&d,
	    "# The settings in effect, and where each of them comes from.\n");
	for (i = 0; i < conf_group_top.n_opts; i++) {
		const struct cab_opt *row = &conf_group_top.opts[i];
		const struct cab_group one = { .opts = row, .n_opts = 1 };

		if (strcmp(row->name, "include") == 0)
			include(&d, conf);
		else
			group(&d, &one, conf);
	}
	print(&d, "services = (\n");
	d.depth++;
	for (i = 0; i < conf->n_services; i++)
		service(&d, &conf->services[i], i + 1 == conf->n_services);
	d.depth--;
	print(&d, ");\n");
	return d.error;
}

/* ---- the table of all options ------------------------------------------------------------ */

struct schema {
	struct cab_buf *out;
	int error;
};

static void
schema_rows(struct schema *s, const struct cab_group *rows, const char *prefix)
{
	char path[256];
	size_t i, w;

	for (i = 0; i < rows->n_opts && s->error == 0; i++) {
		const struct cab_opt *row = &rows->opts[i];

		if (row->flags & CAB_F_COMPUTED)
			continue;
		snprintf(path, sizeof(path), "%s%s", prefix, row->name);
		s->error = buf_printf(
		    s->out, "%s\t%s", path, value_type_name(row->type));
		for (w = 0; s->error == 0 && row->type == CAB_T_ENUM &&
		     row->words[w] != NULL;
		     w++)
			s->error = buf_printf(
			    s->out, "%c%s", w > 0 ? '|' : ':', row->words[w]);
		if (s->error == 0)
			s->error = buf_printf(s->out, "\t%s\t%s\n",
			    row->def != NULL ? row->def : "",
			    row->help != NULL ? row->help : "");
		if (row->sub != NULL) {
			snprintf(path, sizeof(path), "%s%s.", prefix, row->name);
			schema_rows(s, row->sub, path);
		}
	}
}

int
conf_dump_schema(const struct cab_desc *const descs[], struct cab_buf *out)
{
	struct schema s = { .out = out };
	char path[128];

	schema_rows(&s, &conf_group_top, "");
	schema_rows(&s, &conf_group_service, "services.");
	for (; *descs != NULL; descs++) {
		if ((*descs)->options == NULL)
			continue;
		snprintf(path, sizeof(path), "services.%s.", (*descs)->name);
		schema_rows(&s, (*descs)->options, path);
	}
	return s.error;
}
