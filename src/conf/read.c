/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the main file and its drop-ins into structs, row by row.  Config role
 * only: libconfig parses here and nowhere else.  A setting is either read as
 * its row says or is a finding; nothing is ever skipped in silence.
 */
#include "conf/read.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/check.h"
#include "conf/dump.h"
#include "conf/lex.h"
#include "conf/value.h"
#include "stats/board.h"

#define DROP_INS_MAX 1000
#define LIST_SHOWN   600 /* bytes of "known here" */

/* ---- findings ---------------------------------------------------------------- */

const char *
conf_key_text(const struct conf_key *key, char dst[static CONF_KEY_MAX])
{
	char inner[CONF_KEY_MAX];

	if (key == NULL) {
		dst[0] = '\0';
		return dst;
	}
	conf_key_text(key->up, inner);
	snprintf(dst, CONF_KEY_MAX, "%.*s%s%s", CONF_KEY_MAX / 2, inner,
	    key->up == NULL ? "" : (key->up->label ? ": " : "."), key->name);
	return dst;
}

void
conf_complain(struct conf_reading *r, enum cab_severity severity,
    const struct conf_at *at, const struct conf_key *key, const char *fmt, ...)
{
	char name[CONF_KEY_MAX], text[1500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_add(r->diag, severity, at != NULL ? at->file : NULL,
	    at != NULL ? at->line : 0, "%s%s%s", conf_key_text(key, name),
	    key != NULL ? ": " : "", text);
}

void
conf_no_memory(struct conf_reading *r)
{
	diag_add(r->diag, CAB_ERROR, r->path, 0, "out of memory");
}

const struct conf_at *
conf_at(const config_setting_t *setting)
{
	return config_setting_get_hook(setting);
}

const struct cab_desc *
conf_desc(const struct cab_desc *const descs[], const char *name)
{
	for (; *descs != NULL; descs++)
		if (strcmp((*descs)->name, name) == 0)
			return *descs;
	return NULL;
}

bool
conf_name_valid(const char *name)
{
	size_t n = strspn(name,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n <= 64 && name[n] == '\0';
}

/* ---- one file --------------------------------------------------------------------- */

struct file {
	const char *path;
	struct lex_unit unit;
	config_t config;
	struct conf_at *ats; /* the hooks of all settings */
	size_t n_ats, n_scalars;
	bool parsed;
};

static size_t
count_settings(const config_setting_t *setting)
{
	size_t n = 1;
	int i;

	if (config_setting_is_aggregate(setting))
		for (i = 0; i < config_setting_length(setting); i++)
			n += count_settings(
			    config_setting_get_elem(setting, (unsigned)i));
	return n;
}

/*
 * Gives every setting its place, in the order of the text.  libconfig knows the
 * line of a string in a list only by the token after it, and no file at all.
 */
static void
place_settings(struct file *file, config_setting_t *setting)
{
	struct conf_at *at = &file->ats[file->n_ats++];
	size_t line = config_setting_source_line(setting);
	const struct lex_scalar *scalar;
	int i;

	config_setting_set_hook(setting, at);
	if (config_setting_is_aggregate(setting)) {
		lex_place(&file->unit, line, &at->file, &at->line);
		for (i = 0; i < config_setting_length(setting); i++)
			place_settings(file,
			    config_setting_get_elem(setting, (unsigned)i));
		return;
	}
	if (file->n_scalars < file->unit.n_scalars) {
		scalar = &file->unit.scalars[file->n_scalars++];
		at->bad = scalar->bad;
		if (config_setting_name(setting) == NULL)
			line = scalar->line;
	}
	lex_place(&file->unit, line, &at->file, &at->line);
}

static bool
load(struct conf_reading *r, struct file *file, const char *path)
{
	const char *text, *where;
	size_t n;
	int line;

	file->path = path;
	if (lex_load(&file->unit, path, r->source, r->arena, r->diag) < 0)
		return false;
	text = buf_slice(&file->unit.text).p;
	if (!config_read_string(&file->config, text)) {
		/* lex.c has checked the structure; this is what it missed. */
		lex_place(&file->unit, (size_t)config_error_line(&file->config),
		    &where, &line);
		diag_add(r->diag, CAB_ERROR, where, line, "%s",
		    config_error_text(&file->config) != NULL ?
			config_error_text(&file->config) :
			"syntax error");
		return false;
	}
	n = count_settings(config_root_setting(&file->config));
	file->ats = calloc(n, sizeof(*file->ats));
	if (file->ats == NULL) {
		conf_no_memory(r);
		return false;
	}
	place_settings(file, config_root_setting(&file->config));
	file->parsed = true;
	return true;
}

static void
file_release(struct file *file)
{
	config_destroy(&file->config);
	lex_release(&file->unit);
	free(file->ats);
}

static bool
is_twin(const config_setting_t *setting)
{
	return strncmp(config_setting_name(setting), LEX_TWIN,
		   sizeof(LEX_TWIN) - 1) == 0;
}

/* The member of that name, also from a const group. */
static const config_setting_t *
member(const config_setting_t *group, const char *name)
{
	const config_setting_t *child;
	int i;

	for (i = 0; i < config_setting_length(group); i++) {
		child = config_setting_get_elem(group, (unsigned)i);
		if (strcmp(config_setting_name(child), name) == 0)
			return child;
	}
	return NULL;
}

/* ---- groups --------------------------------------------------------------------------- */

/* A group on its way to its struct. */
struct group {
	struct conf_reading *r;
	const struct conf_key *key;
	const struct conf_at *at; /* of the group, or of what should hold it */
	const config_setting_t *setting; /* NULL: not written */
	const struct cab_group *rows;
	void *base;
	/* Other names that may stand here; they are read by the caller. */
	bool (*other)(const struct group *g, const char *name);
	void (*offer_others)(
	    const struct group *g, struct cab_nearest *near, char *known);
	uint64_t given;  /* rows that were written */
	uint64_t hinted; /* rows that an unknown name was taken for */
};

static bool
defaults(struct conf_reading *r, const struct cab_group *rows, void *base)
{
	size_t i;

	for (i = 0; i < rows->n_opts; i++) {
		const struct cab_opt *row = &rows->opts[i];

		if (row->flags & CAB_F_COMPUTED)
			continue;
		if (row->type == CAB_T_SUB) {
			if (!defaults(r, row->sub, CONF_FIELD(base, row)))
				return false;
		} else if (!value_default(r, row, base)) {
			conf_no_memory(r);
			return false;
		}
	}
	return true;
}

static void
known_add(char known[LIST_SHOWN], const char *name)
{
	size_t n = strlen(known);

	snprintf(known + n, LIST_SHOWN - n, "%s%s", n > 0 ? ", " : "", name);
}

/* The group of these rows that has an option of that name. */
static const char *
home_of(const struct cab_group *rows, const char *name)
{
	size_t i, j;

	for (i = 0; i < rows->n_opts; i++)
		for (j = 0;
		     rows->opts[i].sub != NULL && j < rows->opts[i].sub->n_opts;
		     j++)
			if (strcmp(rows->opts[i].sub->opts[j].name, name) == 0)
				return rows->opts[i].name;
	return NULL;
}

static void
unknown(struct group *g, const config_setting_t *child)
{
	const char *name = config_setting_name(child), *home;
	struct cab_nearest near = { .want = name };
	char known[LIST_SHOWN] = "", text[CONF_SHOWN];
	size_t i;

	for (i = 0; i < g->rows->n_opts; i++) {
		if (g->rows->opts[i].flags & CAB_F_COMPUTED)
			continue;
		nearest_offer(&near, g->rows->opts[i].name);
		known_add(known, g->rows->opts[i].name);
	}
	for (i = 0; near.best != NULL && i < g->rows->n_opts; i++)
		if (strcmp(near.best, g->rows->opts[i].name) == 0)
			g->hinted |= UINT64_C(1) << i;
	if (g->offer_others != NULL)
		g->offer_others(g, &near, known);
	home = near.best == NULL ? home_of(g->rows, name) : NULL;
	str_escape(text, sizeof(text), name, strlen(name));
	conf_complain(g->r, CAB_ERROR, conf_at(child), g->key,
	    "unknown setting \"%s\"; %s%s%sknown here: %s", text,
	    near.best != NULL ? "did you mean \"" :
		home != NULL  ? "it belongs into the group \"" :
				"",
	    near.best != NULL ? near.best :
		home != NULL  ? home :
				"",
	    near.best != NULL ? "\"? " :
		home != NULL  ? "\"; " :
				"",
	    known);
}

static bool read_group(struct group *g);

/* A list of groups. */
static bool
read_groups(struct group *g, const struct conf_key *key,
    const config_setting_t *setting, const struct cab_opt *row)
{
	size_t n, i, size = row->sub->size;
	bool good = true;
	char *v;

	if (config_setting_type(setting) != CONFIG_TYPE_LIST)
		return value_read(g->r, key, setting, row, g->base);
	n = (size_t)config_setting_length(setting);
	if (row->max > 0 && n > (size_t)row->max) {
		conf_complain(g->r, CAB_ERROR, conf_at(setting), key,
		    "has %zu items, and at most %lld are allowed", n,
		    (long long)row->max);
		return false;
	}
	v = arena_alloc(g->r->arena, n * size);
	if (v == NULL) {
		conf_no_memory(g->r);
		return false;
	}
	for (i = 0; i < n; i++) {
		const config_setting_t *item = config_setting_get_elem(
		    setting, (unsigned)i);
		struct group sub = { .r = g->r,
			.key = key,
			.at = conf_at(item),
			.setting = item,
			.rows = row->sub,
			.base = v + i * size };

		if (!config_setting_is_group(item))
			good = value_read(g->r, key, item, row, g->base) && good;
		else
			good = defaults(g->r, row->sub, sub.base) &&
			    read_group(&sub) && good;
	}
	*(struct cab_groups *)CONF_FIELD(
	    g->base, row) = (struct cab_groups){ v, n };
	return good;
}

/* A nested group; setting is NULL when it was not written. */
static bool
read_sub(struct group *g, const struct conf_key *key,
    const config_setting_t *setting, const struct cab_opt *row)
{
	struct group sub = { .r = g->r,
		.key = key,
		.at = setting != NULL ? conf_at(setting) : g->at,
		.setting = setting,
		.rows = row->sub,
		.base = CONF_FIELD(g->base, row) };

	if (setting != NULL && !config_setting_is_group(setting))
		return value_read(g->r, key, setting, row, g->base);
	if (row->type == CAB_T_SUBOPT) {
		sub.base = arena_alloc(g->r->arena, row->sub->size);
		if (sub.base == NULL) {
			conf_no_memory(g->r);
			return false;
		}
		if (!defaults(g->r, row->sub, sub.base))
			return false;
		*(void **)CONF_FIELD(g->base, row) = sub.base;
	}
	return read_group(&sub);
}

static bool
read_row(
    struct group *g, const config_setting_t *setting, const struct cab_opt *row)
{
	struct conf_key key = { g->key, row->name, false };
	const struct conf_at *at = conf_at(setting);
	bool good;

	if (row->type == CAB_T_SUBS)
		good = read_groups(g, &key, setting, row);
	else if (row->sub != NULL)
		good = read_sub(g, &key, setting, row);
	else
		good = value_read(g->r, &key, setting, row, g->base);
	/* The default must not be taken for what was meant. */
	if (!good && (row->type == CAB_T_USER || row->type == CAB_T_GROUP))
		((struct cab_account *)CONF_FIELD(g->base, row))->name = NULL;
	/* A group's place is that of its options. */
	if (row->type != CAB_T_SUB &&
	    origin_set(&g->r->origins, CONF_FIELD(g->base, row), at->file,
		at->line, false) < 0) {
		conf_no_memory(g->r);
		return false;
	}
	return good;
}

static bool
read_child(struct group *g, const config_setting_t *child)
{
	const char *name = config_setting_name(child);
	size_t i;

	if (is_twin(child))
		return false; /* lex.c has reported it */
	for (i = 0; i < g->rows->n_opts; i++) {
		const struct cab_opt *row = &g->rows->opts[i];

		if (row->flags & CAB_F_COMPUTED || strcmp(row->name, name) != 0)
			continue;
		g->given |= UINT64_C(1) << i;
		return read_row(g, child, row);
	}
	if (g->other != NULL && g->other(g, name))
		return true;
	unknown(g, child);
	return false;
}

/* Rows that were not written: required ones, and groups that hold some. */
static bool
read_missing(struct group *g)
{
	bool good = true;
	size_t i;

	for (i = 0; i < g->rows->n_opts; i++) {
		const struct cab_opt *row = &g->rows->opts[i];
		struct conf_key key = { g->key, row->name, false };

		if (g->given >> i & 1 || row->flags & CAB_F_COMPUTED)
			continue;
		if (row->type == CAB_T_SUB)
			good = read_sub(g, &key, NULL, row) && good;
		if (!(row->flags & CAB_F_REQUIRED))
			continue;
		good = false;
		/* A misspelt one has been reported with this very name. */
		if (!(g->hinted >> i & 1))
			conf_complain(g->r, CAB_ERROR, g->at, g->key,
			    "%s is missing", row->name);
	}
	return good;
}

/* What a group's own check has to say. */
struct complaint {
	const struct group *g;
	bool any;
};

static void __attribute__((format(printf, 3, 4)))
complain(void *arg, const char *option, const char *fmt, ...)
{
	struct complaint *c = arg;
	const struct group *g = c->g;
	const config_setting_t *setting = option != NULL && g->setting != NULL ?
	    member(g->setting, option) :
	    NULL;
	struct conf_key key = { g->key, option, false };
	char text[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_complain(g->r, CAB_ERROR, setting != NULL ? conf_at(setting) : g->at,
	    option != NULL ? &key : g->key, "%s", text);
	c->any = true;
}

static bool
read_group(struct group *g)
{
	struct complaint c = { .g = g };
	bool good = true;
	int i, n = g->setting != NULL ? config_setting_length(g->setting) : 0;

	for (i = 0; i < n; i++)
		good = read_child(g,
			   config_setting_get_elem(g->setting, (unsigned)i)) &&
		    good;
	good = read_missing(g) && good;
	if (good && g->rows->check != NULL)
		g->rows->check(g->base, complain, &c);
	return good && !c.any;
}

/* ---- services ---------------------------------------------------------------------------- */

static bool
is_protocol_group(const struct group *g, const char *name)
{
	return conf_desc(g->r->descs, name) != NULL;
}

static void
offer_protocols(const struct group *g, struct cab_nearest *near, char *known)
{
	size_t i;

	for (i = 0; g->r->descs[i] != NULL; i++) {
		if (g->r->descs[i]->options == NULL)
			continue;
		nearest_offer(near, g->r->descs[i]->name);
		known_add(known, g->r->descs[i]->name);
	}
}

static void
unknown_protocol(struct conf_reading *r, const struct conf_at *at,
    const struct conf_key *key, const char *name)
{
	struct cab_nearest near = { .want = name };
	char known[LIST_SHOWN] = "", text[CONF_SHOWN];
	size_t i;

	for (i = 0; r->descs[i] != NULL; i++) {
		nearest_offer(&near, r->descs[i]->name);
		known_add(known, r->descs[i]->name);
	}
	str_escape(text, sizeof(text), name, strlen(name));
	conf_complain(r, CAB_ERROR, at, key,
	    "there is no protocol \"%s\"; %s%s%sknown are: %s", text,
	    near.best != NULL ? "did you mean \"" : "",
	    near.best != NULL ? near.best : "", near.best != NULL ? "\"? " : "",
	    known);
}

/* Option groups of protocols that the service does not speak. */
static bool
foreign_options(struct group *g, const struct cab_service *s)
{
	const config_setting_t *child;
	bool good = true;
	const char *name;
	int i;

	for (i = 0; i < config_setting_length(g->setting); i++) {
		child = config_setting_get_elem(g->setting, (unsigned)i);
		name = config_setting_name(child);
		if (is_twin(child) || conf_desc(g->r->descs, name) == NULL ||
		    (s->desc != NULL && strcmp(s->desc->name, name) == 0))
			continue;
		good = false;
		if (s->protocol != NULL)
			conf_complain(g->r, CAB_ERROR, conf_at(child), g->key,
			    "the group %s holds options of another protocol "
			    "than \"%s\"",
			    name, s->protocol);
		else
			conf_complain(g->r, CAB_ERROR, conf_at(child), g->key,
			    "the group %s needs protocol = \"%s\"", name, name);
	}
	return good;
}

/* Finds the protocol and reads the group of its name. */
static bool
read_protocol(struct group *g, struct cab_service *s)
{
	const config_setting_t *named = member(g->setting, "protocol");
	const config_setting_t *options;
	struct conf_key key = { g->key, "protocol", false };
	struct group sub = { .r = g->r, .key = &key };

	if (s->protocol != NULL) {
		s->desc = conf_desc(g->r->descs, s->protocol);
		if (s->desc == NULL) {
			unknown_protocol(g->r, conf_at(named), &key, s->protocol);
			return false;
		}
	}
	if (!foreign_options(g, s))
		return false;
	if (s->desc == NULL)
		return true;
	key.name = s->desc->name;
	options = member(g->setting, s->desc->name);
	if (s->desc->options == NULL) {
		if (options == NULL)
			return true;
		conf_complain(g->r, CAB_ERROR, conf_at(options), &key,
		    "protocol \"%s\" takes no options", s->desc->name);
		return false;
	}
	if (options != NULL && !config_setting_is_group(options)) {
		char found[CONF_SHOWN + 32];

		conf_complain(g->r, CAB_ERROR, conf_at(options), &key,
		    "expected a group of settings, { ... }, found %s",
		    value_found(options, found));
		return false;
	}
	sub.at = options != NULL ? conf_at(options) : g->at;
	sub.setting = options;
	sub.rows = s->desc->options;
	sub.base = arena_alloc(g->r->arena, sub.rows->size);
	if (sub.base == NULL) {
		conf_no_memory(g->r);
		return false;
	}
	s->options = sub.base;
	return defaults(g->r, sub.rows, sub.base) && read_group(&sub);
}

/* The places of a group of the template, for the same group of a service. */
static bool
inherit_origins(struct conf_reading *r, const struct cab_group *rows,
    const void *from, const void *to)
{
	size_t i;

	for (i = 0; i < rows->n_opts; i++) {
		const struct cab_opt *row = &rows->opts[i];
		const void *old = (const char *)from + row->offset;
		const void *new = (const char *)to + row->offset;
		const struct conf_origin *origin = origin_get(&r->origins, old);

		if (row->type == CAB_T_SUB) {
			if (!inherit_origins(r, row->sub, old, new))
				return false;
		} else if (origin != NULL &&
		    origin_set(&r->origins, new, origin->file, origin->line,
			true) < 0) {
			conf_no_memory(r);
			return false;
		}
	}
	return true;
}

/* Starts a service from the group "defaults": the groups that both have. */
static bool
inherit(struct conf_reading *r, const struct cab_service *template,
    struct cab_service *s)
{
	size_t i;

	for (i = 0; i < conf_group_service.n_opts; i++) {
		const struct cab_opt *row = &conf_group_service.opts[i];

		if (row->type != CAB_T_SUB)
			continue;
		memcpy(CONF_FIELD(s, row), (const char *)template + row->offset,
		    row->sub->size);
		if (!inherit_origins(r, row->sub,
			(const char *)template + row->offset, CONF_FIELD(s, row)))
			return false;
	}
	return true;
}

static uint64_t
row_bit(const struct cab_group *rows, const char *name)
{
	size_t i;

	for (i = 0; i < rows->n_opts; i++)
		if (strcmp(rows->opts[i].name, name) == 0)
			return UINT64_C(1) << i;
	return 0;
}

/* Exactly one of protocol and exec. */
static bool
one_answer(const struct group *g)
{
	uint64_t protocol = row_bit(g->rows, "protocol");
	uint64_t exec = row_bit(g->rows, "exec");
	bool has_protocol = g->given & protocol, has_exec = g->given & exec;

	if (has_protocol != has_exec)
		return true;
	/* One of them misspelt has been reported. */
	if (!has_protocol && g->hinted & (protocol | exec))
		return false;
	conf_complain(g->r, CAB_ERROR, g->at, g->key,
	    has_protocol ? "has both protocol and exec, and one of them must go" :
			   "needs either protocol or exec");
	return false;
}

static bool
read_service(struct conf_reading *r, const config_setting_t *setting,
    const struct cab_service *template, size_t index)
{
	struct cab_service *s = &r->services[index];
	const struct conf_at *at = conf_at(setting);
	char label[CONF_SHOWN], found[CONF_SHOWN + 32];
	struct conf_key key = { NULL, label, true };
	struct group g = { .r = r,
		.key = &key,
		.at = at,
		.setting = setting,
		.rows = &conf_group_service,
		.base = s,
		.other = is_protocol_group,
		.offer_others = offer_protocols };
	const config_setting_t *name;
	char text[CONF_SHOWN / 2];
	const char *named;
	bool good;

	s->file = at->file;
	s->line = at->line;
	snprintf(label, sizeof(label), "services");
	if (!config_setting_is_group(setting)) {
		if (!at->bad)
			conf_complain(r, CAB_ERROR, at, &key,
			    "expected a service, { name = ...; }, found %s",
			    value_found(setting, found));
		return false;
	}
	name = member(setting, "name");
	if (name != NULL && config_setting_type(name) == CONFIG_TYPE_STRING) {
		named = config_setting_get_string(name);
		str_escape(text, sizeof(text), named, strlen(named));
		snprintf(label, sizeof(label), "service \"%s\"", text);
	} else {
		snprintf(label, sizeof(label), "service %zu", index + 1);
	}
	if (!defaults(r, &conf_group_service, s) || !inherit(r, template, s))
		return false;
	good = read_group(&g);
	good = one_answer(&g) && good;
	return read_protocol(&g, s) && good;
}

static size_t
count_services(const struct file *file)
{
	const config_setting_t *list;

	if (!file->parsed)
		return 0;
	list = member(config_root_setting(&file->config), "services");
	return list != NULL && config_setting_type(list) == CONFIG_TYPE_LIST ?
	    (size_t)config_setting_length(list) :
	    0;
}

static void
read_services(struct conf_reading *r, const struct file *file,
    const struct cab_service *template)
{
	const config_setting_t *list;
	struct conf_key key = { NULL, "services", true };
	char found[CONF_SHOWN + 32];
	size_t n = count_services(file), i, index;

	if (!file->parsed)
		return;
	list = member(config_root_setting(&file->config), "services");
	if (list != NULL && config_setting_type(list) != CONFIG_TYPE_LIST &&
	    !conf_at(list)->bad)
		conf_complain(r, CAB_ERROR, conf_at(list), &key,
		    "expected a list of services, ( { ... }, { ... } ), found "
		    "%s",
		    value_found(list, found));
	for (i = 0; i < n; i++) {
		index = r->conf->n_services++;
		r->broken[index] = !read_service(r,
		    config_setting_get_elem(list, (unsigned)i), template, index);
	}
}

/* ---- the top ---------------------------------------------------------------------------------- */

static bool
is_top_group(const struct group *g, const char *name)
{
	(void)g;
	return strcmp(name, "services") == 0 || strcmp(name, "defaults") == 0;
}

static void
offer_top_groups(const struct group *g, struct cab_nearest *near, char *known)
{
	(void)g;
	nearest_offer(near, "defaults");
	nearest_offer(near, "services");
	known_add(known, "defaults");
	known_add(known, "services");
}

/* The rows of a service that "defaults" may hold: its groups, but no program. */
static struct cab_opt default_rows[8];
static struct cab_group default_group = { .name = "defaults",
	.opts = default_rows };

static void
make_default_group(void)
{
	size_t i, n = 0;

	for (i = 0; i < conf_group_service.n_opts; i++)
		if (conf_group_service.opts[i].type == CAB_T_SUB)
			default_rows[n++] = conf_group_service.opts[i];
	default_group.n_opts = n;
	default_group.size = sizeof(struct cab_service);
}

static void
read_defaults(struct conf_reading *r, const struct file *main_file,
    struct cab_service *template)
{
	struct conf_key key = { NULL, "defaults", false };
	struct group g = {
		.r = r, .key = &key, .rows = &default_group, .base = template
	};
	char found[CONF_SHOWN + 32];

	make_default_group();
	if (!defaults(r, &default_group, template))
		return;
	if (!main_file->parsed)
		return;
	g.setting = member(config_root_setting(&main_file->config), "defaults");
	if (g.setting == NULL)
		return;
	g.at = conf_at(g.setting);
	if (!config_setting_is_group(g.setting)) {
		if (!g.at->bad)
			conf_complain(r, CAB_ERROR, g.at, &key,
			    "expected a group of settings, { ... }, found %s",
			    value_found(g.setting, found));
		return;
	}
	read_group(&g);
}

static void
read_top(struct conf_reading *r, const struct file *main_file)
{
	const config_setting_t *root = config_root_setting(&main_file->config);
	struct group g = { .r = r,
		.rows = &conf_group_top,
		.base = r->conf,
		.other = is_top_group,
		.offer_others = offer_top_groups };

	if (!defaults(r, &conf_group_top, r->conf) || !main_file->parsed)
		return;
	g.setting = root;
	g.at = conf_at(root);
	read_group(&g);
}

/* A drop-in holds services and nothing else. */
static void
check_drop_in(struct conf_reading *r, const struct file *file)
{
	const config_setting_t *root, *child;
	char text[CONF_SHOWN];
	const char *name;
	int i;

	if (!file->parsed)
		return;
	root = config_root_setting(&file->config);
	for (i = 0; i < config_setting_length(root); i++) {
		struct cab_nearest near = { 0 };

		child = config_setting_get_elem(root, (unsigned)i);
		name = config_setting_name(child);
		if (is_twin(child) || strcmp(name, "services") == 0)
			continue;
		near.want = name;
		nearest_offer(&near, "services");
		str_escape(text, sizeof(text), name, strlen(name));
		conf_complain(r, CAB_ERROR, conf_at(child), NULL,
		    "\"%s\" cannot stand here: a drop-in file holds only "
		    "\"services\"%s",
		    text, near.best != NULL ? ", did you mean that?" : "");
	}
}

/* ---- drop-ins ------------------------------------------------------------------------------------ */

/* A path as the main file means it: relative to its own directory. */
static const char *
beside(struct conf_reading *r, const char *name)
{
	const char *slash = strrchr(r->path, '/');
	size_t dir = name[0] != '/' && slash != NULL ?
	    (size_t)(slash - r->path) + 1 :
	    0;
	size_t n = strlen(name);
	char *path = arena_alloc(r->arena, dir + n + 1);

	if (path == NULL) {
		conf_no_memory(r);
		return NULL;
	}
	memcpy(path, r->path, dir);
	memcpy(path + dir, name, n);
	return path;
}

/* The drop-in directory and where it was written; NULL: there is none. */
static const char *
include_directory(struct conf_reading *r, const struct file *main_file,
    const struct conf_at **ret_at)
{
	const config_setting_t *setting = NULL;
	size_t n = strlen(r->path);
	const char *text;
	char *path;

	*ret_at = NULL;
	if (main_file->parsed)
		setting = member(
		    config_root_setting(&main_file->config), "include");
	if (setting != NULL) {
		/* Of the wrong type: read_top tells. */
		if (config_setting_type(setting) != CONFIG_TYPE_STRING ||
		    conf_at(setting)->bad)
			return NULL;
		text = config_setting_get_string(setting);
		*ret_at = conf_at(setting);
		return text[0] != '\0' ? beside(r, text) : NULL;
	}
	path = arena_alloc(r->arena, n + 3);
	if (path == NULL) {
		conf_no_memory(r);
		return NULL;
	}
	memcpy(path, r->path, n);
	memcpy(path + n, ".d", 2);
	return path;
}

/* Loads every drop-in; returns how many files there are now, the main one included. */
static size_t
load_drop_ins(struct conf_reading *r, struct file **files,
    const struct conf_at *at, const char *dir)
{
	struct conf_key key = { NULL, "include", false };
	char *names = NULL, *p, *path;
	size_t n = 0, i, length;
	struct file *more;
	int error;

	error = r->source->list(r->source->arg, dir, &names, &n);
	if (error == -ENOENT && at == NULL)
		return 1;
	if (error < 0 && at != NULL)
		conf_complain(r, CAB_ERROR, at, &key, "directory %s: %s", dir,
		    strerror(-error));
	else if (error < 0)
		diag_add(r->diag, CAB_ERROR, dir, 0,
		    "this directory of drop-in files cannot be read: %s",
		    strerror(-error));
	if (error == 0 && n > DROP_INS_MAX) {
		diag_add(r->diag, CAB_ERROR, dir, 0,
		    "more than %d drop-in files", DROP_INS_MAX);
		error = -E2BIG;
	}
	more = error == 0 ? realloc(*files, (n + 1) * sizeof(*more)) : NULL;
	if (more == NULL) {
		if (error == 0)
			conf_no_memory(r);
		free(names);
		return 1;
	}
	*files = more;
	for (i = 0, p = names; i < n; i++, p += length + 1) {
		length = strlen(p);
		more[i + 1] = (struct file){ 0 };
		config_init(&more[i + 1].config);
		path = arena_alloc(r->arena, strlen(dir) + length + 2);
		if (path == NULL) {
			conf_no_memory(r);
			continue;
		}
		snprintf(path, strlen(dir) + length + 2, "%s/%s", dir, p);
		load(r, &more[i + 1], path);
	}
	free(names);
	return n + 1;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

/* Memory for as many services as all files hold, so that no field ever moves. */
static bool
make_services(struct conf_reading *r, const struct file *files, size_t n)
{
	size_t total = 0, i;

	for (i = 0; i < n; i++)
		total += count_services(&files[i]);
	if (total > BOARD_SERVICES) {
		diag_add(r->diag, CAB_ERROR, r->path, 0,
		    "%zu services, and at most %d are possible", total,
		    BOARD_SERVICES);
		return false;
	}
	r->services = arena_alloc(r->arena, total * sizeof(*r->services));
	r->broken = arena_alloc(r->arena, total * sizeof(*r->broken));
	if (r->services == NULL || r->broken == NULL) {
		conf_no_memory(r);
		return false;
	}
	r->conf->services = r->services;
	return true;
}

static void
read_files(struct conf_reading *r, struct file **files, size_t *ret_n)
{
	struct cab_service template = { 0 };
	const struct conf_at *at;
	const char *dir;
	size_t n = 1, i;

	load(r, &(*files)[0], r->path);
	dir = include_directory(r, &(*files)[0], &at);
	if (dir != NULL)
		n = load_drop_ins(r, files, at, dir);
	*ret_n = n;
	if (!make_services(r, *files, n))
		return;
	read_top(r, &(*files)[0]);
	r->conf->include = n > 1 || at != NULL ? dir : NULL;
	read_defaults(r, &(*files)[0], &template);
	for (i = 0; i < n; i++) {
		if (i > 0)
			check_drop_in(r, &(*files)[i]);
		read_services(r, &(*files)[i], &template);
	}
	check_all(r, (*files)[0].parsed);
}

/* A finding and where it came in the order of finding. */
struct ranked {
	struct cab_finding finding;
	size_t file, index;
};

static int
compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->finding.line != y->finding.line)
		return x->finding.line < y->finding.line ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

/* Puts the findings from the given one on into the order of files and lines. */
static void
sort_findings(struct cab_diag *diag, size_t from)
{
	size_t n = diag->n - from, i, j;
	struct ranked *ranked = calloc(n + 1, sizeof(*ranked));
	const char *file, *other;

	for (i = 0; ranked != NULL && i < n; i++) {
		ranked[i].finding = diag->findings[from + i];
		ranked[i].index = i;
		file = ranked[i].finding.file;
		for (j = 0; j < i; j++) {
			other = ranked[j].finding.file;
			if (file != NULL && other != NULL &&
			    strcmp(file, other) == 0)
				break;
		}
		ranked[i].file = j < i ? ranked[j].file : i;
	}
	if (ranked != NULL) {
		qsort(ranked, n, sizeof(*ranked), compare_ranked);
		for (i = 0; i < n; i++)
			diag->findings[from + i] = ranked[i].finding;
	}
	free(ranked);
}

struct cab_conf *
conf_read(const char *path, const struct cab_desc *const descs[],
    const struct cab_conf_source *source, struct cab_diag *diag,
    struct cab_buf *dump)
{
	struct conf_reading r = { .path = path,
		.descs = descs,
		.source = source,
		.names = source->names != NULL ? source->names :
						 &conf_system_names,
		.diag = diag,
		.arena = arena_new() };
	struct file *files = calloc(1, sizeof(*files));
	size_t n = 1, i, errors = diag->errors, before = diag->n;

	if (r.arena != NULL)
		r.conf = arena_alloc(r.arena, sizeof(*r.conf));
	if (r.conf != NULL)
		r.conf->path = r.path = arena_strdup(r.arena, path, strlen(path));
	if (files != NULL)
		config_init(&files[0].config);
	if (r.conf == NULL || r.path == NULL || files == NULL) {
		r.path = NULL;
		conf_no_memory(&r);
		goto out;
	}
	r.conf->arena = r.arena;
	read_files(&r, &files, &n);
	if (diag->errors == errors && dump != NULL && dump_conf(&r, dump) < 0)
		conf_no_memory(&r);
out:
	for (i = 0; files != NULL && i < n; i++)
		file_release(&files[i]);
	free(files);
	origin_release(&r.origins);
	sort_findings(diag, before);
	if (diag->errors == errors)
		return r.conf;
	arena_free(r.arena);
	return NULL;
}
