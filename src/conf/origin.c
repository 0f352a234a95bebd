/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash table from fields to the places they were written at.  Config role
 * only.  Fields are compared by address and never looked into.
 */
#include "conf/origin.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

static struct conf_origin *
find(const struct conf_origins *origins, const void *field)
{
	uint64_t h = (uint64_t)(uintptr_t)field * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(h >> 32) & (origins->cap - 1);

	while (origins->slots[i].field != NULL && origins->slots[i].field != field)
		i = (i + 1) & (origins->cap - 1);
	return &origins->slots[i];
}

static int
grow(struct conf_origins *origins)
{
	struct conf_origins more = { .cap = origins->cap ? origins->cap * 2 :
							   256 };
	size_t i;

	more.slots = calloc(more.cap, sizeof(*more.slots));
	if (more.slots == NULL)
		return -ENOMEM;
	for (i = 0; i < origins->cap; i++)
		if (origins->slots[i].field != NULL)
			*find(&more, origins->slots[i].field) = origins->slots[i];
	more.n = origins->n;
	free(origins->slots);
	*origins = more;
	return 0;
}

int
origin_set(struct conf_origins *origins, const void *field, const char *file,
    int line, bool inherited)
{
	struct conf_origin *slot;

	if (origins->n >= origins->cap / 2 && grow(origins) < 0)
		return -ENOMEM;
	slot = find(origins, field);
	origins->n += slot->field == NULL;
	*slot = (struct conf_origin){ field, file, line, inherited };
	return 0;
}

const struct conf_origin *
origin_get(const struct conf_origins *origins, const void *field)
{
	const struct conf_origin *slot;

	if (origins->cap == 0)
		return NULL;
	slot = find(origins, field);
	return slot->field != NULL && slot->file != NULL ? slot : NULL;
}

void
origin_release(struct conf_origins *origins)
{
	free(origins->slots);
	*origins = (struct conf_origins){ 0 };
}
