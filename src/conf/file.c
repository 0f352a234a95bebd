/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a file to a tree of settings that know where they were written.  Config
 * role only.  libconfig gets nothing but text that lex.c has taken apart.
 */
#include "conf/file.h"

#include <stdlib.h>
#include <string.h>

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
place_settings(struct conf_file *file, config_setting_t *setting)
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

static void
parse(struct conf_reading *r, struct conf_file *file)
{
	const char *where;
	size_t n;
	int line;

	if (!config_read_string(&file->config, buf_slice(&file->unit.text).p)) {
		/* lex.c has checked the structure; this is what it missed. */
		lex_place(&file->unit, (size_t)config_error_line(&file->config),
		    &where, &line);
		diag_add(r->diag, CAB_ERROR, where, line, "%s",
		    config_error_text(&file->config) != NULL ?
			config_error_text(&file->config) :
			"syntax error");
		return;
	}
	n = count_settings(config_root_setting(&file->config));
	file->ats = calloc(n, sizeof(*file->ats));
	if (file->ats == NULL) {
		conf_no_memory(r);
		return;
	}
	place_settings(file, config_root_setting(&file->config));
	file->parsed = true;
}

struct conf_file *
file_load(struct conf_reading *r, const char *path)
{
	struct conf_file *file = calloc(1, sizeof(*file));

	if (file == NULL) {
		conf_no_memory(r);
		return NULL;
	}
	config_init(&file->config);
	file->path = path;
	if (lex_load(&file->unit, path, r->source, r->arena, r->diag) == 0)
		parse(r, file);
	return file;
}

void
file_free(struct conf_file *file)
{
	if (file == NULL)
		return;
	config_destroy(&file->config);
	lex_release(&file->unit);
	free(file->ats);
	free(file);
}

bool
file_is_twin(const config_setting_t *setting)
{
	return strncmp(config_setting_name(setting), LEX_TWIN,
		   sizeof(LEX_TWIN) - 1) == 0;
}

const config_setting_t *
file_member(const config_setting_t *group, const char *name)
{
	const config_setting_t *child;
	int i;

	/* config_setting_get_member() wants a group that is not const. */
	for (i = 0; i < config_setting_length(group); i++) {
		child = config_setting_get_elem(group, (unsigned)i);
		if (strcmp(config_setting_name(child), name) == 0)
			return child;
	}
	return NULL;
}

const config_setting_t *
file_top(const struct conf_file *file, const char *name)
{
	return file->parsed ?
	    file_member(config_root_setting(&file->config), name) :
	    NULL;
}
