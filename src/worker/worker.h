/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker role.
 */
#ifndef CAB_WORKER_WORKER_H
#define CAB_WORKER_WORKER_H

#include "proto/proto.h"

struct cab_worker;

/* main() of a process re-executed as "cabinetd: worker N"; the supervisor is on MSG_ROLE_FD. */
void worker_main(const struct cab_proto *const protos[],
    const struct cab_desc *const descs[]) __attribute__((noreturn));

/* Takes in what the supervisor has sent; for the loop. */
void worker_messages(struct cab_worker *worker);

/* End of a turn: drains old generations, ends a stop; for the loop. */
void worker_turn(struct cab_worker *worker);

#endif
