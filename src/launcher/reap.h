/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs that run: their table, their time limits, their ends.  Launcher
 * only.
 */
#ifndef CAB_LAUNCHER_REAP_H
#define CAB_LAUNCHER_REAP_H

#include "launcher/state.h"

/* A program that has just been started; its fields but the chain and the limit are filled in.  From now on the table's. */
void program_add(struct launcher *l, struct program *program);

/* After the deadlines of services have changed: programs have them, too. */
void programs_schedule(struct launcher *l);

/* Takes leave of every child that has ended. */
void reap(struct launcher *l);

/* Asks the program of this connection to end, and ends it if it does not. */
void program_kill(struct launcher *l, uint64_t conn_id);

/* Sends a signal to the process group of every program. */
void programs_kill(struct launcher *l, int signal);

/* At the role's own end: forgets the programs without a word. */
void programs_release(struct launcher *l);

#endif
