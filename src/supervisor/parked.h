/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets of services that are off or gone, while a program that took one over
 * (exec.wait) goes on with it: nobody could bind its address again, so that the
 * service could not come back.  Supervisor only.  Kept as long as that program
 * runs, and a little longer than it may at most.
 */
#ifndef CAB_SUPERVISOR_PARKED_H
#define CAB_SUPERVISOR_PARKED_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "supervisor/listen.h"

struct parked;

/* True while programs of the service with this slot run. */
typedef bool parked_busy(void *arg, uint32_t slot);

/* 0 or -errno. */
int parked_new(
    struct parked **ret, sd_event *event, parked_busy *busy, void *arg);

/*
 * Keeps one, by another reference, if a program of the slot runs, which ends
 * within drain_ms.  key: plan_listen_key.
 */
void parked_add(struct parked *parked, struct listener *listener, uint64_t key,
    uint32_t slot, uint64_t drain_ms);

/* The one of this key, to which the caller may refer as well, or NULL. */
struct listener *parked_find(const struct parked *parked, uint64_t key);

/* Lets go of those that others refer to: they are in use again. */
void parked_settle(struct parked *parked);

/* Lets go of all. */
void parked_clear(struct parked *parked);

/* Accepts NULL. */
void parked_free(struct parked *parked);

#endif
