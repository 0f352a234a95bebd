/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judges services together: no name twice, and no two listeners that the kernel
 * would not let stand side by side.  Config role only.
 */
#include "conf/address.h"

#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <string.h>

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

/*
 * Two listeners clash at one place (a kind and a port, or a kind and a name)
 * where they have the same address, or one of them has every address.
 */
enum chain {
	CHAIN_PLACE,
	CHAIN_ADDRESS, /* of the place; those with every address are one */
	CHAINS
};

/* One listener of an enabled service. */
struct bound {
	const struct cab_listen *listen;
	const struct cab_service *service;
	size_t next[CHAINS]; /* in its bucket of each, index + 1 */
};

struct bounds {
	struct bound *v;
	size_t n;
	size_t buckets[CHAINS][BUCKETS];
};

static uint64_t
place_of(const struct cab_listen *l)
{
	uint64_t h = l->kind == CAB_UNIXGRAM ? CAB_UNIX : l->kind;
	struct sockaddr_vm vm;

	switch (l->kind) {
	case CAB_TCP:
	case CAB_UDP:
		return h * 65536 + sockaddr_port(&l->addr);
	case CAB_VSOCK:
		memcpy(&vm, &l->addr.ss, sizeof(vm));
		return (h << 32) + vm.svm_port;
	case CAB_SYSTEMD:
		return mix(h, l->name, strlen(l->name));
	default:
		return mix(h, l->addr.un.sun_path, sizeof(l->addr.un.sun_path));
	}
}

static uint64_t
address_of(const struct cab_listen *l, uint64_t place)
{
	const struct cab_sockaddr *a = &l->addr;
	struct sockaddr_vm vm;

	if (l->kind == CAB_VSOCK) {
		memcpy(&vm, &a->ss, sizeof(vm));
		return mix(place, (const char *)&vm.svm_cid, sizeof(vm.svm_cid));
	}
	if (l->kind != CAB_TCP && l->kind != CAB_UDP)
		return place;
	return a->sa.sa_family == AF_INET ?
	    mix(place, (const char *)&a->in.sin_addr, sizeof(a->in.sin_addr)) :
	    mix(place, (const char *)&a->in6.sin6_addr,
		sizeof(a->in6.sin6_addr));
}

static size_t *
bucket_of(struct bounds *b, enum chain chain, uint64_t h)
{
	return &b->buckets[chain][h % BUCKETS];
}

static size_t
clash_in(const struct bounds *b, enum chain chain, size_t j, const struct bound *a)
{
	for (; j > 0; j = b->v[j - 1].next[chain])
		if (address_conflict(a->listen, a->service->socket.interface,
			b->v[j - 1].listen,
			b->v[j - 1].service->socket.interface))
			break;
	return j;
}

/* One before a that it clashes with, index + 1; 0: there is none.  Enters a. */
static size_t
clash_of(struct bounds *b, struct bound *a)
{
	uint64_t place = place_of(a->listen), everywhere = ~place;
	bool any = address_is_any(a->listen);
	size_t *by_place = bucket_of(b, CHAIN_PLACE, place);
	size_t *by_address = bucket_of(b, CHAIN_ADDRESS,
	    any ? everywhere : address_of(a->listen, place));
	size_t i = (size_t)(a - b->v), j;

	if (any) {
		j = clash_in(b, CHAIN_PLACE, *by_place, a);
	} else {
		j = clash_in(b, CHAIN_ADDRESS, *by_address, a);
		if (j == 0)
			j = clash_in(b, CHAIN_ADDRESS,
			    *bucket_of(b, CHAIN_ADDRESS, everywhere), a);
	}
	a->next[CHAIN_PLACE] = *by_place;
	a->next[CHAIN_ADDRESS] = *by_address;
	*by_place = *by_address = i + 1;
	return j;
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
check_clashes(struct conf_reading *r, struct bounds *b)
{
	size_t clashed = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct bound *a = &b->v[i];
		size_t j = clash_of(b, a);

		/* Both halves of "*" clash as one. */
		if (j > 0 &&
		    !(clashed == i && i > 0 &&
			address_is_pair(b->v[i - 1].listen, a->listen)))
			report_clash(r, a, &b->v[j - 1]);
		if (j > 0)
			clashed = i + 1;
	}
}

static void
check_listens(struct conf_reading *r)
{
	static struct bounds bounds;
	size_t n = 0, i, j;

	for (i = 0; i < r->conf->n_services; i++)
		n += r->services[i].listens.n;
	if (n > LISTENS_MAX) {
		diag_add(r->diag, CAB_ERROR, r->path, 0,
		    "%zu listeners, and at most %d are possible", n, LISTENS_MAX);
		return;
	}
	memset(&bounds, 0, sizeof(bounds));
	bounds.v = calloc(n + 1, sizeof(*bounds.v));
	if (bounds.v == NULL) {
		conf_no_memory(r);
		return;
	}
	for (i = 0; i < r->conf->n_services; i++) {
		const struct cab_service *s = &r->services[i];

		for (j = 0; s->enabled && s->name != NULL && j < s->listens.n; j++)
			if (!listen_any_port(&s->listens.v[j]))
				bounds.v[bounds.n++] = (struct bound){
					.listen = &s->listens.v[j], .service = s
				};
	}
	check_clashes(r, &bounds);
	free(bounds.v);
}

void
check_unique(struct conf_reading *r)
{
	check_names(r);
	check_listens(r);
}
