/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of a configuration file, checked before libconfig sees it, with
 * every @include already put in its place.  What libconfig 1.5 cannot be given
 * (a directory or FIFO to include, an integer of more than 32 bits) never
 * reaches it, and newer ones see the same.  Config role only.
 */
#ifndef CAB_CONF_LEX_H
#define CAB_CONF_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "conf/model.h"

#define LEX_FILE_MAX ((size_t)1 << 20)  /* bytes of one file */
#define LEX_TEXT_MAX ((size_t)4 << 20)  /* bytes of a file and all that it includes */
#define LEX_FILES_MAX 1000              /* that it includes, counted each time */
#define LEX_DEPTH_MAX 10                /* files inside each other */
#define LEX_NEST_MAX 32                 /* brackets inside each other */
#define LEX_NAMES_MAX 512               /* settings of one group */
#define LEX_VALUES_MAX 200000           /* values and brackets of a text */

/* A second setting of a name is reported and renamed to this and a number. */
#define LEX_TWIN "*twin"

struct lex_line {
	uint32_t file, line;
};

/* A string, number or boolean, in the order of the text. */
struct lex_scalar {
	uint32_t line; /* of the text, from 1 */
	bool bad;      /* stands for something that has been reported */
};

struct lex_file {
	const char *path; /* in the arena */
	char *text;
	size_t n;
	uint64_t dev, ino;
};

struct lex_unit {
	struct cab_buf text;     /* for libconfig, with a NUL behind it */
	struct lex_line *lines;  /* lines[i]: where line i + 1 of the text was written */
	size_t n_lines;
	struct lex_scalar *scalars;
	size_t n_scalars;
	struct lex_file *files;
	size_t n_files;
};

/*
 * Reads path and all that it includes.  Findings go to diag.  Returns 0 when
 * the text has the structure of a configuration (findings or not), -EINVAL when
 * nothing can be made of it.  Release it either way.
 */
int lex_load(struct lex_unit *unit, const char *path, const struct cab_conf_source *source,
	     struct cab_arena *arena, struct cab_diag *diag);

/* Where a line of the text was written; line 0 and lines outside: the first. */
void lex_place(const struct lex_unit *unit, size_t line, const char **ret_file, int *ret_line);

/* Accepts a zeroed unit. */
void lex_release(struct lex_unit *unit);

#endif
