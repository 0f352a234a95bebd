/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Switching services off and on.  Supervisor only.  A service is off when the
 * configuration that is applied says so; this rewrites what was read, and the
 * transaction does the rest.  Reads no configuration text.
 */
#include "supervisor/override.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

void
overrides_init(struct overrides *overrides, const struct cab_desc *const descs[])
{
	*overrides = (struct overrides){
		.descs = descs, .current.fd = -1, .next.fd = -1
	};
}

static void
drop(struct override_snapshot *snapshot)
{
	snapshot->fd = fd_close(snapshot->fd);
}

void
overrides_release(struct overrides *overrides)
{
	for (size_t i = 0; i < overrides->n; i++)
		free(overrides->names[i]);
	free(overrides->names);
	overrides->names = NULL;
	overrides->n = 0;
	drop(&overrides->current);
	drop(&overrides->next);
}

static size_t
find(const struct overrides *overrides, const char *name)
{
	size_t i = 0;

	while (i < overrides->n && strcmp(overrides->names[i], name) != 0)
		i++;
	return i;
}

bool
overrides_has(const struct overrides *overrides, const char *name)
{
	return find(overrides, name) < overrides->n;
}

int
overrides_set(struct overrides *overrides, const char *name, bool off)
{
	size_t i = find(overrides, name);
	char **more, *copy;

	if (!off && i < overrides->n) {
		free(overrides->names[i]);
		overrides->names[i] = overrides->names[--overrides->n];
	}
	if (!off || i < overrides->n)
		return 0;
	copy = strdup(name);
	more = realloc(overrides->names, (i + 1) * sizeof(*more));
	if (more != NULL)
		overrides->names = more;
	if (copy == NULL || more == NULL) {
		free(copy);
		return -ENOMEM;
	}
	overrides->names[overrides->n++] = copy;
	return 0;
}

/* True when anything was changed.  The configuration is nobody else's yet. */
static bool
switch_off(const struct overrides *overrides, const struct cab_conf *conf)
{
	bool any = false;

	for (size_t i = 0; i < overrides->n; i++) {
		struct cab_service *service = (struct cab_service *)(uintptr_t)
		    conf_find(conf, overrides->names[i]);

		if (service == NULL || !service->enabled)
			continue;
		service->enabled = false;
		any = true;
	}
	return any;
}

/* The configuration as a memory file: descriptor or -errno. */
static int
encode(const struct cab_conf *conf, size_t *ret_n)
{
	struct cab_buf bytes = CAB_BUF_INIT(0);
	int r = conf_encode(conf, &bytes);

	if (r == 0)
		r = fd_sealed_memfd("cabinetd-configuration",
		    buf_slice(&bytes).p, buf_len(&bytes));
	*ret_n = buf_len(&bytes);
	buf_release(&bytes);
	return r;
}

/* Notes a copy of the descriptor as what will be in use. */
static int
stage(struct overrides *overrides, int fd, size_t n)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return -errno;
	drop(&overrides->next);
	overrides->next = (struct override_snapshot){ copy, n };
	return 0;
}

int
overrides_read(
    struct overrides *overrides, struct cab_conf **conf, int *fd, size_t *n)
{
	int r = stage(overrides, *fd, *n), fresh;
	size_t fresh_n;

	if (r < 0 || !switch_off(overrides, *conf))
		return r;
	fresh = encode(*conf, &fresh_n);
	if (fresh < 0)
		return fresh;
	fd_close(*fd);
	*fd = fresh;
	*n = fresh_n;
	return 0;
}

int
overrides_as_read(const struct overrides *overrides, char **ret, size_t *ret_n)
{
	if (overrides->current.fd < 0)
		return -ENOENT;
	return fd_read_all(
	    overrides->current.fd, overrides->current.n, ret, ret_n);
}

bool
overrides_same(const struct overrides *overrides, int fd, size_t n)
{
	char *ours = NULL, *theirs = NULL;
	size_t n_ours = 0, n_theirs = 0;
	bool same = n == overrides->current.n &&
	    overrides_as_read(overrides, &ours, &n_ours) == 0 &&
	    fd_read_all(fd, n, &theirs, &n_theirs) == 0 &&
	    n_ours == n_theirs && memcmp(ours, theirs, n_ours) == 0;

	free(ours);
	free(theirs);
	return same;
}

int
overrides_again(
    struct overrides *overrides, struct cab_conf **conf, int *fd, size_t *n)
{
	struct cab_conf *fresh = NULL;
	char *bytes = NULL;
	size_t got = 0;
	int r, file = -1;

	r = overrides_as_read(overrides, &bytes, &got);
	if (r == 0)
		r = conf_decode(overrides->descs, bytes, got, &fresh);
	free(bytes);
	if (r == 0)
		r = stage(overrides, overrides->current.fd, got);
	if (r == 0) {
		(void)switch_off(overrides, fresh);
		r = file = encode(fresh, n);
	}
	if (r < 0) {
		conf_free(fresh);
		return r;
	}
	*conf = fresh;
	*fd = file;
	return 0;
}

void
overrides_settle(struct overrides *overrides, bool in_use)
{
	if (in_use && overrides->next.fd >= 0) {
		drop(&overrides->current);
		overrides->current = overrides->next;
		overrides->next.fd = -1;
	}
	drop(&overrides->next);
}
