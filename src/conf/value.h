/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From one setting, or the text of a default, to the value that its row
 * describes.  Config role only; private to conf/.
 */
#ifndef CAB_CONF_VALUE_H
#define CAB_CONF_VALUE_H

#include "conf/read.h"

/* Reads a setting of any type but groups into its field; false when it was reported. */
bool value_read(struct conf_reading *r, const struct conf_key *key, const config_setting_t *setting,
		const struct cab_opt *row, void *base);

/* Puts a row's default into its field (nothing for groups and rows without one); false: out of memory. */
bool value_default(struct conf_reading *r, const struct cab_opt *row, void *base);

/* "the string "x"", "a list", ... */
const char *value_found(const config_setting_t *setting, char dst[static CONF_SHOWN + 32]);

/* The name of a type in the schema, and what to write, in words. */
const char *value_type_name(enum cab_type type);

#endif
