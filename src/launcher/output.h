/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What programs write to stderr, as log records.  Launcher only.
 */
#ifndef CAB_LAUNCHER_OUTPUT_H
#define CAB_LAUNCHER_OUTPUT_H

#include "launcher/state.h"

#define OUTPUT_LINE 1000 /* bytes of a line that are kept */

/* The reading end of one program's stderr. */
struct output {
	struct source source; /* first */
	struct program *program; /* NULL once it has ended */
	struct output *next, **prev; /* among the orphans */
	struct service_state *state;
	uint64_t conn_id;
	struct cab_peer peer;
	pid_t pid;
	size_t n;
	bool skip; /* the rest of a line that was too long */
	char line[OUTPUT_LINE];
};

/* A pipe: its reading end watched in *ret, its writing end returned (the caller closes it); -errno. */
int output_open(struct launcher *l, struct service_state *state, struct output **ret);

/* The program that writes. */
void output_attach(struct output *output, struct program *program);

/*
 * The program has ended: logs what it has written so far.  What its children
 * still write is read until its end too, but only so many of these are kept.
 */
void output_orphan(struct launcher *l, struct program *program);

/* Logs what is left of a line and frees; accepts NULL. */
void output_close(struct launcher *l, struct output *output);

#endif
