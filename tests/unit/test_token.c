/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words of a configuration: what is a number to every libconfig, what only
 * looks like one, and where words end.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "conf/schema.h"
#include "conf/token.h"

static struct cab_slice
slice(const char *s)
{
	return (struct cab_slice){ s, strlen(s) };
}

static const struct {
	const char *text;
	enum token_kind kind;
} kinds[] = {
	{ "0", TOKEN_INTEGER },
	{ "+5", TOKEN_INTEGER },
	{ "-2147483648", TOKEN_INTEGER },
	{ "0x1F", TOKEN_INTEGER },
	{ "0Xff", TOKEN_INTEGER },
	{ "5L", TOKEN_WIDE },
	{ "5LL", TOKEN_WIDE },
	{ "0x5L", TOKEN_WIDE },
	{ "1.", TOKEN_FLOAT },
	{ ".5", TOKEN_FLOAT },
	{ "-1.5e-3", TOKEN_FLOAT },
	{ "1e5", TOKEN_FLOAT },
	{ "true", TOKEN_BOOL },
	{ "FALSE", TOKEN_BOOL },
	{ "", TOKEN_WORD },
	{ "-", TOKEN_WORD },
	{ "L", TOKEN_WORD },
	{ "5LLL", TOKEN_WORD },
	{ "5l", TOKEN_WORD },
	{ "0x", TOKEN_WORD },
	{ "0xg", TOKEN_WORD },
	{ "-0x5", TOKEN_WORD },
	{ "0b1", TOKEN_WORD },
	{ "1.2.3", TOKEN_WORD },
	{ ".", TOKEN_WORD },
	{ "e5", TOKEN_WORD },
	{ "1e", TOKEN_WORD },
	{ "1e+", TOKEN_WORD },
	{ "30s", TOKEN_WORD },
	{ "trueish", TOKEN_WORD },
	{ "1 ", TOKEN_WORD },
};

static void
tells_kinds_apart(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(kinds); i++)
		if (token_kind(slice(kinds[i].text)) != kinds[i].kind)
			fail_msg("%s: %d", kinds[i].text,
			    token_kind(slice(kinds[i].text)));
}

static const struct {
	const char *text;
	const char *fault; /* NULL: none */
} integers[] = {
	{ "0", NULL },
	{ "-0", NULL },
	{ "2147483647", NULL },
	{ "2147483648", "32 bits" },
	{ "-2147483648", NULL },
	{ "-2147483649", "32 bits" },
	{ "2147483648L", NULL },
	{ "9223372036854775807L", NULL },
	{ "9223372036854775808L", "too large" },
	{ "-9223372036854775808LL", NULL },
	{ "99999999999999999999", "too large" },
	{ "0x7fffffff", NULL },
	{ "0x80000000", "32 bits" },
	{ "0xFFFFFFFFL", NULL },
	{ "0x7fffffffffffffffL", NULL },
	{ "0x8000000000000000L", "too large" },
	{ "0x00000000000000000001", NULL },
	{ "007", "begins with a 0" },
	{ "+07", "begins with a 0" },
	{ "00", "begins with a 0" },
};

static void
finds_integers_that_do_not_fit(void **state)
{
	const char *fault;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(integers); i++) {
		fault = token_integer_fault(slice(integers[i].text));
		if ((fault == NULL) != (integers[i].fault == NULL) ||
		    (fault != NULL && strstr(fault, integers[i].fault) == NULL))
			fail_msg("%s: %s", integers[i].text,
			    fault != NULL ? fault : "no fault");
	}
}

static const struct {
	const char *text;
	size_t bare, name, escape;
} lengths[] = {
	{ "abc = 1", 3, 3, 0 },
	{ "a-b_2;", 5, 5, 0 },
	{ "2a", 2, 0, 0 },
	{ "_a", 2, 0, 0 },
	{ "", 0, 0, 0 },
	{ ";", 0, 0, 0 },
	{ "30//x", 2, 0, 0 },
	{ "30/*x", 2, 0, 0 },
	{ "30#x", 2, 0, 0 },
	{ "tcp://*:80,", 10, 3, 0 },
	{ "/bin/cat)", 8, 0, 0 },
	{ "//x", 0, 0, 0 },
	{ "a\"b", 1, 1, 0 },
	{ "\\n", 2, 0, 2 },
	{ "\\\\", 2, 0, 2 },
	{ "\\x41z", 5, 0, 4 },
	{ "\\XfF", 4, 0, 4 },
	{ "\\x00", 4, 0, 0 },
	{ "\\x4", 3, 0, 0 },
	{ "\\a", 2, 0, 0 },
	{ "\\", 1, 0, 0 },
};

static void
knows_where_words_end(void **state)
{
	const char *p;
	size_t i, n;

	(void)state;
	for (i = 0; i < CAB_N(lengths); i++) {
		p = lengths[i].text;
		n = strlen(p);
		if (token_bare_length(p, n) != lengths[i].bare ||
		    token_name_length(p, n) != lengths[i].name ||
		    (p[0] == '\\' &&
			token_escape_length(p, n) != lengths[i].escape))
			fail_msg("%s: %zu %zu %zu", p, token_bare_length(p, n),
			    token_name_length(p, n), token_escape_length(p, n));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_kinds_apart),
		cmocka_unit_test(finds_integers_that_do_not_fit),
		cmocka_unit_test(knows_where_words_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
