/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What single words of a configuration file are to libconfig, whichever its
 * version.  Pure functions over bytes.  Config role only; private to conf/.
 */
#ifndef CAB_CONF_TOKEN_H
#define CAB_CONF_TOKEN_H

#include "base/str.h"

enum token_kind {
	TOKEN_WORD, /* none of these: text that should stand in quotes */
	TOKEN_INTEGER,
	TOKEN_WIDE, /* an integer with an L */
	TOKEN_FLOAT,
	TOKEN_BOOL
};

enum token_kind token_kind(struct cab_slice s);

/* What is wrong with an INTEGER or WIDE one, after "the number N"; NULL: nothing. */
const char *token_integer_fault(struct cab_slice s);

/* How many bytes at p are a value that does not begin with a quote or a bracket; 0: none. */
size_t token_bare_length(const char *p, size_t n);

/* How many are the name of a setting. */
size_t token_name_length(const char *p, size_t n);

/* How many are an escape in a string that every libconfig knows and that means a byte but NUL; p[0] is the backslash. */
size_t token_escape_length(const char *p, size_t n);

#endif
