/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Services that the administrator has switched off by hand.  Supervisor only.
 * They stay off over reloads until they are switched on again; the
 * configuration as it was read is kept for that.
 */
#ifndef CAB_SUPERVISOR_OVERRIDE_H
#define CAB_SUPERVISOR_OVERRIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/model.h"

struct override_snapshot {
	int fd; /* -1: none */
	size_t n;
};

struct overrides {
	const struct cab_desc *const *descs;
	char **names;
	size_t n;
	struct override_snapshot current, next; /* as read */
};

void overrides_init(
    struct overrides *overrides, const struct cab_desc *const descs[]);
void overrides_release(struct overrides *overrides);

bool overrides_has(const struct overrides *overrides, const char *name);

/* Puts a name on the list or takes it off; 0 or -ENOMEM. */
int overrides_set(struct overrides *overrides, const char *name, bool off);

/*
 * A configuration that was just read: what is on the list is switched off in
 * it.  All three are replaced where needed.  0 or -errno with nothing changed.
 */
int overrides_read(struct overrides *overrides, struct cab_conf **conf, int *fd,
    size_t *n);

/* The configuration in use once more, as the list is now.  0 or -errno. */
int overrides_again(struct overrides *overrides, struct cab_conf **conf,
    int *fd, size_t *n);

/* The configuration in use as it was read: fresh memory.  0 or -errno. */
int overrides_as_read(const struct overrides *overrides, char **ret, size_t *ret_n);

/* True when these n bytes are just that. */
bool overrides_same(const struct overrides *overrides, int fd, size_t n);

/* The last one of these two is in use now, or will never be. */
void overrides_settle(struct overrides *overrides, bool in_use);

#endif
