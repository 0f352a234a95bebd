/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of a checked configuration: one arena that is freed as a whole.
 * Config role (while it reads), and every role that decodes a snapshot.  Never
 * gives out memory that is not zeroed.
 */
#include "conf/model.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK 16384

struct block {
	struct block *next;
	size_t used, size; /* of data */
	_Alignas(max_align_t) unsigned char data[];
};

struct cab_arena {
	struct block *blocks; /* the one in use first */
};

struct cab_arena *
arena_new(void)
{
	return calloc(1, sizeof(struct cab_arena));
}

void *
arena_alloc(struct cab_arena *arena, size_t n)
{
	const size_t align = _Alignof(max_align_t);
	struct block *block = arena->blocks;
	size_t size;
	void *p;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = n == 0 ? align : (n + align - 1) / align * align;
	if (block == NULL || block->size - block->used < n) {
		size = n > ARENA_BLOCK ? n : ARENA_BLOCK;
		block = calloc(1, sizeof(*block) + size);
		if (block == NULL)
			return NULL;
		block->size = size;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	p = block->data + block->used;
	block->used += n;
	return p;
}

char *
arena_strdup(struct cab_arena *arena, const char *s, size_t n)
{
	char *copy = n < SIZE_MAX ? arena_alloc(arena, n + 1) : NULL;

	if (copy != NULL && n > 0)
		memcpy(copy, s, n);
	return copy;
}

void
arena_free(struct cab_arena *arena)
{
	struct block *block, *next;

	if (arena == NULL)
		return;
	for (block = arena->blocks; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
	free(arena);
}

void
conf_free(struct cab_conf *conf)
{
	/* The struct itself lives in its arena. */
	if (conf != NULL)
		arena_free(conf->arena);
}

bool
listen_any_port(const struct cab_listen *listen)
{
	return (listen->kind == CAB_TCP || listen->kind == CAB_UDP) &&
	    sockaddr_port(&listen->addr) == 0;
}

bool
service_waits(const struct cab_service *service)
{
	return service->exec != NULL && service->exec->wait;
}

const struct cab_service *
conf_find(const struct cab_conf *conf, const char *name)
{
	size_t i;

	for (i = 0; i < conf->n_services; i++)
		if (strcmp(conf->services[i].name, name) == 0)
			return &conf->services[i];
	return NULL;
}

bool
conf_keeps(const struct cab_conf *conf, const struct cab_service *service,
    size_t *cursor)
{
	size_t i;

	for (i = 0; i < conf->n_services; i++) {
		size_t at = (*cursor + i) % conf->n_services;

		if (strcmp(conf->services[at].name, service->name) != 0)
			continue;
		*cursor = at + 1;
		return conf_service_equal(&conf->services[at], service) == 1;
	}
	return false;
}
