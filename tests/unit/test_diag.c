/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings: kept in order, one printable line each, counted beyond the most
 * that is kept.
 *
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

#include "base/diag.h"

static char *
printed(const struct cab_diag *diag)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	diag_print(diag, f);
	fclose(f);
	return text;
}

static void
prints_in_the_order_found(void **state)
{
	struct cab_diag diag = { 0 };
	char *text;

	(void)state;
	diag_add(
	    &diag, CAB_ERROR, "/etc/b.conf", 7, "unknown key \"%s\"", "prot");
	diag_add(&diag, CAB_WARNING, "/etc/a.conf", 0, "is empty");
	diag_add(&diag, CAB_ERROR, NULL, 0, "no memory");
	assert_int_equal(diag.n, 3);
	assert_int_equal(diag.errors, 2);
	assert_false(diag.truncated);
	text = printed(&diag);
	assert_string_equal(text,
	    "/etc/b.conf:7: error: unknown key \"prot\"\n"
	    "/etc/a.conf: warning: is empty\n"
	    "error: no memory\n");
	free(text);
	diag_release(&diag);
	diag_release(&diag);
	assert_int_equal(diag.n, 0);
}

static void
keeps_lines_whole(void **state)
{
	struct cab_diag diag = { 0 };
	char *text;

	(void)state;
	diag_add(&diag, CAB_ERROR, "a\nb", 1, "x\ny\x1b[2J%s", "\xc3\xa4");
	text = printed(&diag);
	assert_string_equal(
	    text, "a\\x0ab:1: error: x\\x0ay\\x1b[2J\\xc3\\xa4\n");
	free(text);
	diag_release(&diag);
}

static void
counts_what_it_cannot_keep(void **state)
{
	struct cab_diag diag = { 0 };
	char *text, *last;
	int i;

	(void)state;
	for (i = 0; i < CAB_DIAG_MAX; i++)
		diag_add(&diag, CAB_WARNING, "f", i + 1, "w%d", i);
	assert_false(diag.truncated);
	diag_add(&diag, CAB_ERROR, "f", 9, "one too many");
	assert_int_equal(diag.n, CAB_DIAG_MAX);
	assert_int_equal(diag.errors, 1);
	assert_true(diag.truncated);
	assert_string_equal(diag.findings[CAB_DIAG_MAX - 1].text, "w999");
	text = printed(&diag);
	last = strstr(text, "\nerror: ");
	assert_non_null(last);
	assert_null(strstr(text, "one too many"));
	free(text);
	diag_release(&diag);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_in_the_order_found),
		cmocka_unit_test(keeps_lines_whole),
		cmocka_unit_test(counts_what_it_cannot_keep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
