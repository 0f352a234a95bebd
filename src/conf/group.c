/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads groups: every setting is one that a row describes or a finding, and
 * every row that must be written was.  Config role only.  Knows no option.
 */
#include "conf/group.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/file.h"
#include "conf/value.h"

bool
group_defaults(struct conf_reading *r, const struct cab_group *rows, void *base)
{
	size_t i;

	for (i = 0; i < rows->n_opts; i++) {
		const struct cab_opt *row = &rows->opts[i];

		if (row->flags & CAB_F_COMPUTED)
			continue;
		if (row->type == CAB_T_SUB) {
			if (!group_defaults(r, row->sub, CONF_FIELD(base, row)))
				return false;
		} else if (!value_default(r, row, base)) {
			conf_no_memory(r);
			return false;
		}
	}
	return true;
}

void
group_known(char known[GROUP_KNOWN], const char *name)
{
	size_t n = strlen(known);

	snprintf(known + n, GROUP_KNOWN - n, "%s%s", n > 0 ? ", " : "", name);
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
	char known[GROUP_KNOWN] = "", text[CONF_SHOWN];
	size_t i;

	for (i = 0; i < g->rows->n_opts; i++) {
		if (g->rows->opts[i].flags & CAB_F_COMPUTED)
			continue;
		nearest_offer(&near, g->rows->opts[i].name);
		group_known(known, g->rows->opts[i].name);
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
			good = group_defaults(g->r, row->sub, sub.base) &&
			    group_read(&sub) && good;
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
		if (!group_defaults(g->r, row->sub, sub.base))
			return false;
		*(void **)CONF_FIELD(g->base, row) = sub.base;
	}
	return group_read(&sub);
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

	if (file_is_twin(child))
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
	    file_member(g->setting, option) :
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

bool
group_read(struct group *g)
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

uint64_t
group_bit(const struct cab_group *rows, const char *name)
{
	size_t i;

	for (i = 0; i < rows->n_opts; i++)
		if (strcmp(rows->opts[i].name, name) == 0)
			return UINT64_C(1) << i;
	return 0;
}
