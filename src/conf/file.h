/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One configuration file with all that it includes, as libconfig's tree with
 * every setting placed.  Config role only; private to conf/.
 */
#ifndef CAB_CONF_FILE_H
#define CAB_CONF_FILE_H

#include "conf/lex.h"
#include "conf/read.h"

struct conf_file {
	const char *path;
	struct lex_unit unit;
	config_t config; /* the tree points back here: never moved */
	struct conf_at *ats; /* the hooks of all settings */
	size_t n_ats, n_scalars;
	bool parsed; /* else there is no tree, and a finding says why */
};

/* NULL without memory, which has been reported; path must outlive it. */
struct conf_file *file_load(struct conf_reading *r, const char *path);

/* Accepts NULL. */
void file_free(struct conf_file *file);

/* The setting of that name in a group, or at the top of a file; NULL if there is none. */
const config_setting_t *file_member(const config_setting_t *group, const char *name);
const config_setting_t *file_top(const struct conf_file *file, const char *name);

/* A second setting of a name, which has been reported. */
bool file_is_twin(const config_setting_t *setting);

#endif
