/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judges services together: no name twice, and no two listeners that the kernel
 * would not let stand side by side.  Config role only.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/address.h"
#include "conf/subject.h"

#define LISTENS_MAX 16384 /* of all services */
#define BUCKETS     4096

static uint64_t
mix(uint64_t h, const char *p, size_t n)
{
	for (; n > 0; n--)
		h = (h ^ (unsigned char)*p++) * UINT64_C(0x100000001b3); /* FNV-1a */
	return h;
}

static void
report_same_name(struct conf_reading *r, const struct cab_service *a,
    const struct cab_service *b)
{
	const struct conf_origin *origin = origin_get(&r->origins, &a->name);
	struct conf_at at = { a->file, a->line, false };
	char text[CONF_SHOWN];

	if (origin != NULL)
		at = (struct conf_at){ origin->file, origin->line, false };
	conf_complain(r, CAB_ERROR, &at, NULL,
	    "service \"%s\": name: the service in %s:%d has the same name",
	    subject_shown(text, a->name), b->file, b->line);
}

/* A name is compared with those of its bucket only: services may be thousands. */
static void
check_names(struct conf_reading *r)
{
	static size_t buckets[BUCKETS];
	size_t n = r->conf->n_services, i, j, *bucket;
	/* By service, the next in its bucket, index + 1. */
	size_t *next = calloc(n + 1, sizeof(*next));

	if (next == NULL) {
		conf_no_memory(r);
		return;
	}
	memset(buckets, 0, sizeof(buckets));
	for (i = 0; i < n; i++) {
		const char *name = r->services[i].name;

		if (name == NULL)
			continue;
		bucket = &buckets[mix(0, name, strlen(name)) % BUCKETS];
		for (j = *bucket; j > 0; j = next[j - 1])
			if (strcmp(name, r->services[j - 1].name) == 0)
				break;
		/* Each of several is held against the first. */
		if (j > 0) {
			report_same_name(r, &r->services[i], &r->services[j - 1]);
			continue;
		}
		next[i] = *bucket;
		*bucket = i + 1;
	}
	free(next);
}

/* One listener of an enabled service, in a bucket of those it may clash with. */
struct bound {
	const struct cab_listen *listen;
	const struct cab_service *service;
	size_t next; /* in the bucket, index + 1 */
};

static size_t
bucket_of(const struct cab_listen *l)
{
	uint64_t h = l->kind == CAB_UNIXGRAM ? CAB_UNIX : l->kind;
	const char *p = l->name != NULL ? l->name : l->addr.un.sun_path;
	size_t n = l->name != NULL ? strlen(l->name) :
				     sizeof(l->addr.un.sun_path);

	if (l->kind == CAB_TCP || l->kind == CAB_UDP) {
		h = h * 65536 + sockaddr_port(&l->addr);
		n = 0;
	} else if (l->kind == CAB_VSOCK) {
		n = 0;
	}
	return (size_t)(mix(h, p, n) % BUCKETS);
}

static void
report_clash(struct conf_reading *r, const struct bound *a, const struct bound *b)
{
	struct conf_at at = { a->listen->file, a->listen->line, false };
	char mine[CONF_SHOWN], other[CONF_SHOWN];

	conf_complain(r, CAB_ERROR, &at, NULL,
	    "service \"%s\": listen: %s clashes with %s of service "
	    "\"%s\" in %s:%d",
	    subject_shown(mine, a->service->name), a->listen->text,
	    b->listen->text, subject_shown(other, b->service->name),
	    b->listen->file, b->listen->line);
}

static void
check_clashes(struct conf_reading *r, struct bound *all, size_t n)
{
	static size_t buckets[BUCKETS];
	size_t i, j, *bucket, clashed = 0;

	memset(buckets, 0, sizeof(buckets));
	for (i = 0; i < n; i++) {
		struct bound *a = &all[i];

		bucket = &buckets[bucket_of(a->listen)];
		for (j = *bucket; j > 0; j = all[j - 1].next)
			if (address_conflict(a->listen,
				a->service->socket.interface, all[j - 1].listen,
				all[j - 1].service->socket.interface))
				break;
		/* Both halves of "*" clash as one. */
		if (j > 0 &&
		    !(clashed == i && i > 0 &&
			address_is_pair(all[i - 1].listen, a->listen)))
			report_clash(r, a, &all[j - 1]);
		if (j > 0)
			clashed = i + 1;
		a->next = *bucket;
		*bucket = i + 1;
	}
}

static void
check_listens(struct conf_reading *r)
{
	struct bound *all;
	size_t n = 0, i, j;

	for (i = 0; i < r->conf->n_services; i++)
		n += r->services[i].listens.n;
	if (n > LISTENS_MAX) {
		diag_add(r->diag, CAB_ERROR, r->path, 0,
		    "%zu listeners, and at most %d are possible", n, LISTENS_MAX);
		return;
	}
	all = calloc(n + 1, sizeof(*all));
	if (all == NULL) {
		conf_no_memory(r);
		return;
	}
	for (i = 0, n = 0; i < r->conf->n_services; i++) {
		const struct cab_service *s = &r->services[i];

		for (j = 0; s->enabled && s->name != NULL && j < s->listens.n; j++)
			all[n++] = (struct bound){ &s->listens.v[j], s, 0 };
	}
	check_clashes(r, all, n);
	free(all);
}

void
check_unique(struct conf_reading *r)
{
	check_names(r);
	check_listens(r);
}
