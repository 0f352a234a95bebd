/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings about a configuration, collected in order so that one run reports
 * all of them.  Made in the config role, printed by the supervisor.
 */
#ifndef CAB_BASE_DIAG_H
#define CAB_BASE_DIAG_H

#include <stdbool.h>
#include <stdio.h>

enum cab_severity { CAB_ERROR, CAB_WARNING };

struct cab_finding {
	enum cab_severity severity;
	char *file; /* NULL: no file to blame */
	int line;   /* 0: the whole file */
	char *text; /* one line, escaped, no newline; tells what to do next */
};

struct cab_diag {
	struct cab_finding *findings;
	size_t n, errors;
	bool truncated; /* more than CAB_DIAG_MAX */
};

#define CAB_DIAG_MAX 1000

void diag_add(struct cab_diag *diag, enum cab_severity severity, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* "FILE:LINE: error: TEXT" per finding, sorted by nothing: in the order found. */
void diag_print(const struct cab_diag *diag, FILE *out);

/* Empties; accepts a zeroed diag. */
void diag_release(struct cab_diag *diag);

#endif
