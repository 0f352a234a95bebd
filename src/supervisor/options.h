/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of cabinetd.
 */
#ifndef CAB_SUPERVISOR_OPTIONS_H
#define CAB_SUPERVISOR_OPTIONS_H

enum options_mode {
	OPTIONS_RUN,
	OPTIONS_CHECK,
	OPTIONS_PRINT,
	OPTIONS_SCHEMA,
	OPTIONS_VERSION,
	OPTIONS_HELP
};

struct options {
	enum options_mode mode;
	char *config; /* absolute, fresh memory */
};

/* 0, or an exit status after a message on stderr. */
int options_parse(int argc, char **argv, struct options *ret);

/* The text of --help and of --version, on stdout. */
void options_help(void);
void options_version(void);

/* Accepts a zeroed one. */
void options_release(struct options *options);

#endif
