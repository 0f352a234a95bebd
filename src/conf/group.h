/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a group of settings to a struct, by the rows of the group.  Config role
 * only; private to conf/.
 */
#ifndef CAB_CONF_GROUP_H
#define CAB_CONF_GROUP_H

#include "conf/read.h"

#define GROUP_KNOWN 600 /* bytes of the list of known names */

/* A group on its way to its struct, which holds the defaults already. */
struct group {
	struct conf_reading *r;
	const struct conf_key *key;
	const struct conf_at *at;        /* of the group, or of what should hold it */
	const config_setting_t *setting; /* NULL: not written */
	const struct cab_group *rows;    /* at most 64 */
	void *base;
	/* Other names that may stand here and are read by the caller; NULL: none. */
	bool (*other)(const struct group *g, const char *name);
	void (*offer_others)(const struct group *g, struct cab_nearest *near, char known[GROUP_KNOWN]);
	uint64_t given;  /* out: rows that were written */
	uint64_t hinted; /* out: rows that an unknown name was taken for */
};

/* Fills a struct with the defaults of its rows; false: out of memory, reported. */
bool group_defaults(struct conf_reading *r, const struct cab_group *rows, void *base);

/* Reads all settings of the group; false when something was reported. */
bool group_read(struct group *g);

/* Adds a name to a list of known ones. */
void group_known(char known[GROUP_KNOWN], const char *name);

/* The bit of a row in given and hinted; 0 if there is none of that name. */
uint64_t group_bit(const struct cab_group *rows, const char *name);

#endif
