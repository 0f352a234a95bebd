/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a program for a socket.  Launcher only.
 */
#ifndef CAB_LAUNCHER_START_H
#define CAB_LAUNCHER_START_H

#include "launcher/state.h"

/*
 * For one admitted connection, whose ticket has been adopted.  Takes over fd
 * and, until the program ends, the ticket; when the program cannot be started both
 * are given back at once.
 */
void start_connection(struct launcher *l, struct generation *gen, struct program_service *service, uint32_t slot,
		      const struct msg_run *run, int fd);

/*
 * For a listening socket, which stays the caller's.  The program, or NULL: then
 * try again after *retry_ms.
 */
struct program *start_waiting(struct launcher *l, struct waiting *waiting, uint32_t *retry_ms);

/* This role's counters of a service slot. */
struct board_counters *start_counters(struct launcher *l, uint32_t slot);

/* Gives a ticket back and wakes the workers that wait for its place. */
void start_release(struct launcher *l, uint32_t ticket);

/* The same for a connection that ends without a program; counts it as finished. */
void start_give_up(struct launcher *l, uint32_t ticket);

#endif
