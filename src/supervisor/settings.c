/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's own settings.  Supervisor only.  Pure but for two questions to
 * the system: how many processors there are, and who reads our stderr.
 */
#include "supervisor/settings.h"

#include <sched.h>
#include <unistd.h>

#include "stats/board.h"

enum cab_log_level
settings_log_level(const struct cab_conf *conf)
{
	static const enum cab_log_level levels[] = {
		[CAB_LOG_LEVEL_ERROR] = CAB_LOG_ERR,
		[CAB_LOG_LEVEL_WARNING] = CAB_LOG_WARNING,
		[CAB_LOG_LEVEL_NOTICE] = CAB_LOG_NOTICE,
		[CAB_LOG_LEVEL_INFO] = CAB_LOG_INFO,
		[CAB_LOG_LEVEL_DEBUG] = CAB_LOG_DEBUG
	};

	return levels[conf->log.level];
}

enum cab_log_target
settings_log_target(const struct cab_conf *conf)
{
	if (conf->log.target == CAB_LOG_TO_AUTO)
		return log_under_journal() ? CAB_LOG_JOURNAL : CAB_LOG_STDERR;
	return conf->log.target == CAB_LOG_TO_JOURNAL ? CAB_LOG_JOURNAL :
							CAB_LOG_STDERR;
}

unsigned
settings_workers(const struct cab_conf *conf)
{
	int64_t n = conf->workers;
	cpu_set_t cpus;

	if (n == 0)
		n = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ?
		    CPU_COUNT(&cpus) :
		    sysconf(_SC_NPROCESSORS_ONLN);
	if (n < 1)
		n = 1;
	return n > BOARD_WORKERS ? BOARD_WORKERS : (unsigned)n;
}

static int64_t
room_for(unsigned workers, size_t max_fds)
{
	return (int64_t)(max_fds < INT32_MAX ? max_fds : INT32_MAX) *
	    (int64_t)workers;
}

const struct cab_service *
settings_misfit(const struct cab_conf *conf, unsigned workers, size_t max_fds)
{
	int64_t room = room_for(workers, max_fds);
	const struct cab_service *worst = NULL;

	for (size_t i = 0; i < conf->n_services; i++) {
		const struct cab_service *service = &conf->services[i];

		if (service->enabled && service->limits.connections > room &&
		    (worst == NULL ||
			service->limits.connections > worst->limits.connections))
			worst = service;
	}
	return worst;
}

/* What one source may have of a service; 0: no limit. */
static int64_t
most_per_source(const struct cab_limits *limits)
{
	if (limits->per_source == 0 ||
	    (limits->connections > 0 &&
		limits->connections < limits->per_source))
		return limits->connections;
	return limits->per_source;
}

int64_t
settings_hog(const struct cab_conf *conf, unsigned workers, size_t max_fds)
{
	int64_t sum = 0;

	for (size_t i = 0; i < conf->n_services; i++) {
		const struct cab_service *service = &conf->services[i];
		int64_t most = most_per_source(&service->limits);

		/* A program's connection is not in the workers for long. */
		if (!service->enabled || service->exec != NULL)
			continue;
		if (most == 0)
			return INT64_MAX;
		sum += most;
	}
	return sum > room_for(workers, max_fds) ? sum : 0;
}
