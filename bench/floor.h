/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floors that have a file of their own.
 */
#ifndef CAB_BENCH_FLOOR_H
#define CAB_BENCH_FLOOR_H

/* Starts the program for each connection to the listener, as nobody where that
 * can be done; never returns. */
void
floor_run_guarded(int listener, const char *program) __attribute__((noreturn));

#endif
