/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the reader share: read.c walks the files, value.c turns
 * single settings into values, check.c judges the whole, dump.c shows it.
 * Config role only; private to conf/.
 */
#ifndef CAB_CONF_READ_H
#define CAB_CONF_READ_H

#include <libconfig.h>

#include "conf/model.h"
#include "conf/names.h"
#include "conf/origin.h"

#define CONF_SHOWN 100   /* bytes of a value in a message */
#define CONF_KEY_MAX 400 /* bytes of a key in a message */

/* Where something was written; the hook of every setting points to one. */
struct conf_at {
	const char *file;
	int line;
	bool bad; /* has been reported, holds no value */
};

/* Names from the outside in: service "web", limits, connections. */
struct conf_key {
	const struct conf_key *up;
	const char *name;
	bool label; /* followed by a colon, not a dot */
};

struct conf_reading {
	const char *path; /* the main file */
	const struct cab_desc *const *descs;
	const struct cab_conf_source *source;
	const struct conf_names *names;
	struct cab_diag *diag;
	struct cab_arena *arena;
	struct conf_origins origins;
	struct cab_conf *conf;
	struct cab_service *services; /* conf->services, writable */
	bool user_known;              /* conf->user has been looked up */
	bool *broken;                 /* of each service: something in it could not be read */
};

#define CONF_FIELD(base, row) ((void *)((char *)(base) + (row)->offset))

/* Adds a finding: "KEY: TEXT" at that place. */
void conf_complain(struct conf_reading *r, enum cab_severity severity, const struct conf_at *at,
		   const struct conf_key *key, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* "service "web": limits.connections" */
const char *conf_key_text(const struct conf_key *key, char dst[static CONF_KEY_MAX]);

/* Memory is short: an error, so that nothing half read is used. */
void conf_no_memory(struct conf_reading *r);

const struct conf_at *conf_at(const config_setting_t *setting);

/* NULL if there is none of that name. */
const struct cab_desc *conf_desc(const struct cab_desc *const descs[], const char *name);

/* Letters, digits, dot, underscore, hyphen. */
bool conf_name_valid(const char *name);

#endif
