/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Services as one worker runs them.  Built from the worker's own copy of the
 * configuration; never reads a file itself.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "worker/service.h"

static uint32_t
limit_of(int64_t value)
{
	return value > 0 && value < UINT32_MAX ? (uint32_t)value : 0;
}

void
running_init(struct cab_running *running, const struct cab_service *conf,
    const struct cab_proto *proto, struct conn_engine *engine)
{
	const struct cab_rate *source = &conf->limits.per_source_rate;

	running->conf = conf;
	running->proto = proto;
	running->options = conf->options;
	running->engine = engine;
	running->acl = (struct acl_rules){ conf->access.allow.v,
		conf->access.deny.v, conf->access.allow.n, conf->access.deny.n };
	running->max_connections = limit_of(conf->limits.connections);
	running->max_per_source = limit_of(conf->limits.per_source);
	running->rate = rate_make(
	    conf->limits.rate.count, conf->limits.rate.period_ms, 0);
	running->source_rate = rate_make_source(source->count, source->period_ms);
	running->datagram_rate = conf->limits.per_source_rate_set ?
	    running->source_rate :
	    rate_make_source(RATE_DATAGRAMS, RATE_DATAGRAMS_PERIOD_MS);
}

int
running_add_resource(struct cab_running *running, const char *option, int fd)
{
	struct service_resource *grown;

	grown = realloc(
	    running->resources, (running->n_resources + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	running->resources = grown;
	grown[running->n_resources].option = option;
	grown[running->n_resources].fd = fd;
	running->n_resources++;
	return 0;
}

int
running_start(struct cab_running *running)
{
	int r = 0;

	if (running->proto && running->proto->start)
		r = running->proto->start(running);
	running->started = r == 0;
	return r;
}

void
running_release(struct cab_running *running)
{
	assert(running->conns == NULL);
	if (running->started && running->proto && running->proto->stop)
		running->proto->stop(running);
	running->started = false;
	for (size_t i = 0; i < running->n_resources; i++)
		fd_close(running->resources[i].fd);
	free(running->resources);
	running->resources = NULL;
	running->n_resources = 0;
	pool_free(running->pool);
	running->pool = NULL;
}

static const struct cab_proto *
proto_of(
    const struct cab_service *service, const struct cab_proto *const protos[])
{
	for (size_t i = 0; service->desc && protos[i]; i++)
		if (&protos[i]->desc == service->desc)
			return protos[i];
	return NULL;
}

/* Programs' sockets count, too; what got a free port or came from systemd is known when it arrives. */
static void
guard_listens(struct udpguard *guard, const struct cab_service *service)
{
	for (size_t i = 0; service->enabled && i < service->listens.n; i++) {
		const struct cab_listen *listen = &service->listens.v[i];

		if (listen->kind == CAB_UDP && sockaddr_port(&listen->addr) != 0)
			udpguard_serve(guard, sockaddr_port(&listen->addr));
	}
}

struct generation *
gen_new(struct cab_conf *conf, uint64_t number, struct conn_engine *engine,
    const struct cab_proto *const protos[])
{
	struct generation *gen = calloc(1, sizeof(*gen));

	if (!gen)
		return NULL;
	gen->services = calloc(
	    conf->n_services ? conf->n_services : 1, sizeof(*gen->services));
	gen->guard = calloc(1, sizeof(*gen->guard));
	if (!gen->services || !gen->guard) {
		free(gen->services);
		free(gen->guard);
		free(gen);
		return NULL;
	}
	gen->number = number;
	gen->conf = conf;
	gen->n_services = conf->n_services;
	for (size_t i = 0; i < gen->n_services; i++) {
		struct cab_running *running = &gen->services[i];

		running_init(running, &conf->services[i],
		    proto_of(&conf->services[i], protos), engine);
		running->generation = gen;
		running->index = (uint32_t)i;
		guard_listens(gen->guard, &conf->services[i]);
	}
	return gen;
}

int
gen_start(struct generation *gen, const char **ret_failed)
{
	for (size_t i = 0; i < gen->n_services; i++) {
		int r = gen->services[i].conf->enabled ?
		    running_start(&gen->services[i]) :
		    0;

		if (r < 0) {
			*ret_failed = gen->services[i].conf->name;
			return r;
		}
	}
	return 0;
}

void
gen_free(struct generation *gen)
{
	if (!gen)
		return;
	assert(gen->n_conns == 0);
	for (size_t i = 0; i < gen->n_services; i++)
		running_release(&gen->services[i]);
	free(gen->services);
	free(gen->guard);
	conf_free(gen->conf);
	free(gen);
}
