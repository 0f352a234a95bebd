/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the value of each field was written, by the field's address; fields
 * that are not found here have their default.  Config role only.
 */
#ifndef CAB_CONF_ORIGIN_H
#define CAB_CONF_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

struct conf_origin {
	const void *field;
	const char *file; /* NULL: the default after all */
	int line;
	bool inherited; /* from the group "defaults" */
};

struct conf_origins {
	struct conf_origin *slots;
	size_t n, cap; /* cap is a power of two */
};

/* Sets or replaces: 0 or -ENOMEM.  file must outlive the table. */
int origin_set(struct conf_origins *origins, const void *field, const char *file, int line, bool inherited);

/* NULL when the field has its default. */
const struct conf_origin *origin_get(const struct conf_origins *origins, const void *field);

/* Accepts a zeroed table. */
void origin_release(struct conf_origins *origins);

#endif
