/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What whoever started the daemon (as a rule, a unit of systemd) has forbidden,
 * and which services of a configuration need it all the same.  Supervisor only;
 * changes nothing.
 */
#ifndef CAB_SUPERVISOR_CONFINE_H
#define CAB_SUPERVISOR_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/diag.h"
#include "conf/model.h"

/* How far the daemon's rights reach. */
struct confine {
	bool root;
	bool no_new_privs;
	uint64_t permitted; /* capabilities that programs can be started with */
	rlim_t hard[RLIM_NLIMITS];
};

void confine_look(struct confine *ret);

/*
 * Adds a warning, with the place of the service, for each thing that an enabled
 * service needs and will not get, and says what to do about it.
 */
void confine_check(const struct confine *confine, const struct cab_conf *conf,
    struct cab_diag *findings);

#endif
