/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a configuration says about the daemon as a whole, in the terms of those
 * who have to do it.  Supervisor only; changes nothing.
 */
#ifndef CAB_SUPERVISOR_SETTINGS_H
#define CAB_SUPERVISOR_SETTINGS_H

#include <stddef.h>

#include "base/log.h"
#include "conf/model.h"

enum cab_log_level settings_log_level(const struct cab_conf *conf);

/* "auto" decided. */
enum cab_log_target settings_log_target(const struct cab_conf *conf);

/* How many workers: 1..BOARD_WORKERS. */
unsigned settings_workers(const struct cab_conf *conf);

/*
 * The service whose limit of connections is the furthest out of reach of that
 * many workers with max_fds descriptors each; NULL if all limits can be reached.
 */
const struct cab_service *
settings_misfit(const struct cab_conf *conf, unsigned workers, size_t max_fds);

/*
 * How many connections one source may have at once over all built-in services,
 * if that is more than so many workers with max_fds descriptors each can hold:
 * then it could keep others out.  INT64_MAX: without limit; 0: they have room.
 */
int64_t
settings_hog(const struct cab_conf *conf, unsigned workers, size_t max_fds);

#endif
