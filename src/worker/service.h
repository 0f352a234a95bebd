/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Services as one worker runs them, by configuration generation.  A generation
 * lives until it is no longer current and its last connection has gone, so a
 * connection keeps the options it started with.  How long it may is its
 * service's matter: without end when the configuration in use has the same one.
 */
#ifndef CAB_WORKER_SERVICE_H
#define CAB_WORKER_SERVICE_H

#include "access/acl.h"
#include "access/rate.h"
#include "access/udpguard.h"
#include "conf/model.h"
#include "proto/proto.h"
#include "worker/conn_private.h"

struct generation;

struct service_resource {
	const char *option; /* name of the row */
	int fd;
};

struct cab_running {
	const struct cab_proto *proto; /* NULL: a program */
	const struct cab_service *conf;
	const void *options;
	void *data; /* the protocol's own */
	struct generation *generation;
	struct conn_engine *engine;
	uint32_t index;               /* in the snapshot */
	uint32_t slot;                /* in the scoreboard */
	struct board_counters *count; /* this worker's counters of the service */
	struct board_codes *codes;    /* and its errors; NULL: not told apart */
	struct cab_conn *conns;
	struct cab_pool *pool; /* of connections; made with the first */
	struct acl_rules acl;
	struct rate_limit rate, source_rate, datagram_rate;
	uint32_t max_connections, max_per_source; /* 0: no limit */
	struct cab_log_gate refusal_gate, full_gate, log_gate;
	uint64_t sampled; /* finished connections that log.sample has counted */
	struct service_resource *resources;
	size_t n_resources;
	bool started;
	bool said_goodbye; /* to what was left at drain_ms */
	uint64_t drain_ms; /* the service is another one now, or gone: when what is left is shut down, then dropped; 0: not so */
};

struct generation {
	uint64_t number;
	struct cab_conf *conf;
	struct cab_running *services;
	size_t n_services;
	struct udpguard *guard;
	uint64_t n_conns; /* connections that belong to it */
	bool current;
	struct generation *next;
};

/* Builds the running services (not yet started) of a decoded configuration,
 * which it owns from now on; NULL on -ENOMEM. */
struct generation *gen_new(struct cab_conf *conf, uint64_t number,
    struct conn_engine *engine, const struct cab_proto *const protos[]);

/* Calls start of every protocol: 0, or -errno with *ret_failed naming the service. */
int gen_start(struct generation *gen, const char **ret_failed);

/* Frees; all connections must be gone. Accepts NULL. */
void gen_free(struct generation *gen);

int running_add_resource(struct cab_running *running, const char *option, int fd);

/* Fills in what follows from the configuration of one service; also used by the in-memory transport. */
void running_init(struct cab_running *running, const struct cab_service *conf,
    const struct cab_proto *proto, struct conn_engine *engine);
int running_start(struct cab_running *running);
/* Stops it and closes what it holds; no connection may be left.  Once is enough, more do no harm. */
void running_release(struct cab_running *running);

#endif
