/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of a configuration before libconfig: every slip is a finding with
 * its file and line, and what libconfig gets, it can read.
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

#include <libconfig.h>

#include "conf/lex.h"
#include "tests/support/conf_fake.h"

struct loaded {
	struct fake fake;
	struct lex_unit unit;
	struct cab_arena *arena;
	struct cab_diag diag;
	int result;
};

static void
load(struct loaded *l, const char *text, size_t n)
{
	fake_add_bytes(&l->fake, FAKE_MAIN, text, n);
	l->arena = arena_new();
	assert_non_null(l->arena);
	l->diag = (struct cab_diag){ 0 };
	l->result = lex_load(
	    &l->unit, FAKE_MAIN, &l->fake.source, l->arena, &l->diag);
}

/* After fake_init, and more files. */
static void
load_with(struct loaded *l, const char *text)
{
	load(l, text, strlen(text));
}

static void
load_text(struct loaded *l, const char *text)
{
	fake_init(&l->fake, false);
	load_with(l, text);
}

static void
release(struct loaded *l)
{
	lex_release(&l->unit);
	arena_free(l->arena);
	diag_release(&l->diag);
}

/* What libconfig makes of the text; fails the test when it cannot. */
static void
parse(struct loaded *l, config_t *config)
{
	config_init(config);
	if (!config_read_string(config, buf_slice(&l->unit.text).p))
		fail_msg("line %d: %s in:\n%s", config_error_line(config),
		    config_error_text(config), buf_slice(&l->unit.text).p);
}

static void
need_finding(
    struct loaded *l, enum cab_severity severity, int line, const char *words)
{
	char *text = fake_findings(&l->diag);

	if (!fake_found(&l->diag, severity, NULL, line, words))
		fail_msg("no finding in line %d with \"%s\":\n%s", line, words,
		    text);
	free(text);
}

/* ---- good text ------------------------------------------------------------------ */

static void
keeps_good_text(void **state)
{
	struct loaded l;
	config_t config;
	const char *s;
	long long wide;

	(void)state;
	load_text(&l,
	    "\xef\xbb\xbf// 4294967376 in a comment\r\n"
	    "a = 1; b : \"x;{\\\"\\n\\x41\"\t# and 4294967376 here\r\n"
	    "c = [ 1, 2, ]\n"
	    "d = ( { e = -2147483648; f = 0x7fffffff }, ( ), \"g\" \"h\" )\n"
	    "i = 4294967376L; j = TRUE, k = 1.5e3; /* no\n end */ l = \"p\"\n"
	    "\"q\"; // the end has no line break");
	assert_int_equal(l.result, 0);
	assert_int_equal(l.diag.errors, 0);
	parse(&l, &config);
	assert_true(config_lookup_string(&config, "b", &s));
	assert_string_equal(s, "x;{\"\nA");
	assert_true(config_lookup_string(&config, "l", &s));
	assert_string_equal(s, "pq");
	assert_true(config_lookup_int64(&config, "i", &wide));
	assert_int_equal(wide, 4294967376);
	assert_int_equal(config_setting_length(config_lookup(&config, "c")), 2);
	config_destroy(&config);
	release(&l);
}

static void
lines_are_those_of_the_file(void **state)
{
	struct loaded l;
	config_t config;
	const char *file;
	int line;

	(void)state;
	load_text(&l, "/* 1\n2\n */ a = \"x\ny\nz\";\n\n\nb = (\n1,\n2\n);\n");
	assert_int_equal(l.result, 0);
	parse(&l, &config);
	lex_place(&l.unit,
	    config_setting_source_line(config_lookup(&config, "a")), &file,
	    &line);
	assert_string_equal(file, FAKE_MAIN);
	assert_int_equal(line, 3);
	lex_place(&l.unit,
	    config_setting_source_line(config_lookup(&config, "b")), &file,
	    &line);
	assert_int_equal(line, 8);
	assert_int_equal(l.unit.n_scalars, 3);
	lex_place(&l.unit, l.unit.scalars[1].line, &file, &line);
	assert_int_equal(line, 9);
	lex_place(&l.unit, l.unit.scalars[2].line, &file, &line);
	assert_int_equal(line, 10);
	lex_place(&l.unit, 100000, &file, &line);
	assert_int_equal(line, 3);
	config_destroy(&config);
	release(&l);
}

static void
empty_text_is_good(void **state)
{
	static const char *const texts[] = { "", "\n", "# x", "/**/", ";;" };
	struct loaded l;
	config_t config;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(texts); i++) {
		load_text(&l, texts[i]);
		assert_int_equal(l.result, 0);
		parse(&l, &config);
		assert_int_equal(
		    config_setting_length(config_root_setting(&config)), 0);
		config_destroy(&config);
		release(&l);
	}
}

/* ---- slips: all of them told, and the rest still read ------------------------------ */

static const struct {
	const char *text;
	int line;
	const char *words;
} slips[] = {
	/* What libconfig 1.5 turns into another number. */
	{ "a = 4294967376;", 1, "does not fit into 32 bits" },
	{ "a = 2147483648;", 1, "with a unit" },
	{ "a = -2147483649;", 1, "32 bits" },
	{ "a = 0x100000050;", 1, "32 bits" },
	{ "a = 0x80000000;", 1, "32 bits" },
	{ "a = 9223372036854775808L;", 1, "too large" },
	{ "a = 99999999999999999999999999;", 1, "too large" },
	{ "a = 18446744073709551617LL;", 1, "too large" },
	{ "a = 0xffffffffffffffffL;", 1, "too large" },
	{ "a = 0xfffffffffffffffffffff;", 1, "too large" },
	{ "a = (\n1,\n4294967376 );", 3, "4294967376" },
	{ "a = 0660;", 1, "octal" },
	{ "a = -07;", 1, "begins with a 0" },
	/* Text without quotes. */
	{ "a = 30s;", 1, "double quotes: \"30s\"" },
	{ "a = echo;", 1, "double quotes: \"echo\"" },
	{ "a = tcp://*:80;", 1, "\"tcp://*:80\"" },
	{ "a = /bin/cat;", 1, "\"/bin/cat\"" },
	{ "a = 10.0.0.0/8;", 1, "\"10.0.0.0/8\"" },
	{ "a = 'echo';", 1, "\"echo\"" },
	{ "a = \xe2\x80\x9c"
	  "echo\xe2\x80\x9d;",
	    1, "\"echo\"" },
	{ "a = ( \"x\", @y );", 1, "\"@y\"" },
	{ "a = 0b11;", 1, "\"0b11\"" },
	{ "a = 1_000;", 1, "\"1_000\"" },
	{ "a = 5-3;", 1, "\"5-3\"" },
	{ "a = yes;", 1, "true or false" },
	{ "a = Off;", 1, "true or false" },
	/* Strings. */
	{ "a = \"\\d\";", 1, "not an escape" },
	{ "a = \"\\a\";", 1, "not an escape" },
	{ "a = \"x\n\\xg0\";", 2, "not an escape" },
	{ "a = \"\\x4\";", 1, "not an escape" },
	{ "a = \"\\x00\";", 1, "NUL" },
	/* Separators. */
	{ "a = 1 b = 2;", 1, "\";\" before b" },
	{ "a = ( { } { } );", 1, "expected \",\"" },
	{ "a = ( 1\n2 );", 2, "expected \",\"" },
	{ "a = ( \"x\", 2 \"y\" );", 1, "expected \",\"" },
	{ "a = ( 1; 2 );", 1, "found \";\"" },
	{ "a = ( , 1 );", 1, "expected a value" },
	{ "a = ( 1,, 2 );", 1, "expected a value" },
	{ "a = ;", 1, "a has no value" },
	{ "b = { a = };", 1, "a has no value" },
	{ "b = { a = , };", 1, "a has no value" },
	/* A name twice. */
	{ "a = 1;\na = 2;", 2, "a is set a second time" },
	{ "b = { a = 1; };\na = 0;\nb = { };", 3, "first in " FAKE_MAIN ":1" },
	/* Includes that cannot be. */
	{ "\n@include\n", 2, "needs the name of a file" },
	{ "@include x\n", 1, "needs the name of a file" },
	{ "@include \"\"\n", 1, "needs the name of a file" },
	{ "@include \"x\n", 1, "needs the name of a file" },
	{ "@include \"absent\"\n", 1, "No such file or directory" },
	{ "@include \"cabinetd.conf\"\n", 1, "includes itself" },
	{ "@include \"/etc/cabinetd.conf\"\n", 1, "includes itself" },
};

static void
tells_slips_and_goes_on(void **state)
{
	char text[256];
	struct loaded l;
	config_t config;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(slips); i++) {
		/* Something else that is wrong must be told, too. */
		snprintf(text, sizeof(text), "%s\nlast = word;\n", slips[i].text);
		load_text(&l, text);
		if (l.result != 0)
			fail_msg("lost at: %s\n%s", slips[i].text,
			    fake_findings(&l.diag));
		need_finding(&l, CAB_ERROR, slips[i].line, slips[i].words);
		need_finding(&l, CAB_ERROR, -1, "\"word\"");
		if (l.diag.n != 2)
			fail_msg("%zu findings at: %s\n%s", l.diag.n,
			    slips[i].text, fake_findings(&l.diag));
		parse(&l, &config);
		assert_non_null(config_lookup(&config, "last"));
		config_destroy(&config);
		release(&l);
	}
}

static void
stand_ins_are_marked(void **state)
{
	struct loaded l;

	(void)state;
	load_text(&l, "a = 1; b = 2s; c = ( \"x\", y ); d = \"a\" \"\\q\";");
	assert_int_equal(l.result, 0);
	assert_int_equal(l.unit.n_scalars, 5);
	assert_false(l.unit.scalars[0].bad);
	assert_true(l.unit.scalars[1].bad);
	assert_false(l.unit.scalars[2].bad);
	assert_true(l.unit.scalars[3].bad);
	assert_true(l.unit.scalars[4].bad);
	release(&l);
}

static void
a_twin_gets_a_name_that_nobody_can_write(void **state)
{
	struct loaded l;
	config_t config;

	(void)state;
	load_text(&l, "a = 1;\na = 2;\na = 3;\n");
	parse(&l, &config);
	assert_int_equal(config_setting_length(config_root_setting(&config)), 3);
	assert_non_null(config_lookup(&config, LEX_TWIN "1"));
	assert_non_null(config_lookup(&config, LEX_TWIN "2"));
	assert_int_equal(l.diag.errors, 2);
	config_destroy(&config);
	release(&l);
	load_text(&l, LEX_TWIN "1 = 2;\n");
	assert_int_equal(l.result, -EINVAL);
	release(&l);
}

static void
warns_of_a_lost_comma(void **state)
{
	struct loaded l;

	(void)state;
	load_text(&l, "a = ( \"-w\",\n\"-c\" \"10%\" );\nb = \"x\" \"y\";\n");
	assert_int_equal(l.result, 0);
	assert_int_equal(l.diag.errors, 0);
	assert_int_equal(l.diag.n, 1);
	need_finding(&l, CAB_WARNING, 2, "without a comma");
	release(&l);
}

/* ---- lost structure: one finding and the end ---------------------------------------- */

static const struct {
	const char *text;
	int line;
	const char *words;
} lost[] = {
	{ "\na = \"abc\n", 2, "no closing quote" },
	/* The quote is missing in line 1, and that is seen in the next one. */
	{ "a = \"x;\nb = \"y\";\nc = \"z\";\n", 2, "begins in line 1 holds" },
	{ "a = 1;\n/* x\n", 2, "no closing */" },
	{ "a = (\n{ b = (\n1 );\n", 2, "\"{\" is never closed" },
	{ "a = ( 1\n}\n", 2, "does not close the \"(\" of line 1" },
	{ "a = [ 1 )\n};\n", 2, "closes nothing" },
	{ "a = 1;\n)\n", 2, "closes nothing" },
	{ "a\n", 1, "a has no value" },
	{ "a =\n", 1, "a has no value" },
	{ "a { }\n", 1, "expected \"=\" before {" },
	{ "a \"x\"\n", 1, "expected \"=\" before" },
	{ "a b = 1\n", 1, "expected \"=\" before b" },
	{ "b = { a };\n", 1, "expected \"=\" and a value" },
	{ "a;\n", 1, "expected \"=\" and a value" },
	{ "= 1\n", 1, "no name" },
	{ "a = = 1\n", 1, "\"=\"" },
	{ "a = ( b = 1 )\n", 1, "in braces" },
	{ "a = 1, 2;\n", 1, "unexpected 2" },
	{ "a = \"x\", \"y\";\n", 1, "stand in parentheses" },
	{ "\"a\" = 1;\n", 1, "expected the name" },
	{ "true = 1;\n", 1, "expected the name" },
	{ ",\n", 1, "expected the name" },
	{ "%\n", 1, "unexpected %" },
	{ "<services/>\n", 1, "unexpected <" },
	{ "\xff\xfe\n", 1, "unexpected \\xff" },
	{ "a = 1; @include \"x\"\n", 1, "begins a line" },
	{ "@inclde \"x\"\n", 1, "unexpected \"@\"" },
	{ "*a = 1;\n", 1, "unexpected *" },
	{ "_a = 1;\n", 1, "unexpected _" },
};

static void
tells_where_the_structure_is_lost(void **state)
{
	struct loaded l;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(lost); i++) {
		load_text(&l, lost[i].text);
		if (l.result != -EINVAL)
			fail_msg("not lost at: %s", lost[i].text);
		need_finding(&l, CAB_ERROR, lost[i].line, lost[i].words);
		/* An unquoted word may have been told before. */
		assert_in_range(l.diag.n, 1, 2);
		release(&l);
	}
}

static void
refuses_what_is_no_text(void **state)
{
	struct loaded l;

	(void)state;
	fake_init(&l.fake, false);
	load(&l, "a = 1;\nb\0 = 2;\n", 15);
	assert_int_equal(l.result, -EINVAL);
	need_finding(&l, CAB_ERROR, 2, "NUL");
	release(&l);
}

static char *
repeated(const char *piece, size_t times)
{
	size_t n = strlen(piece), i;
	char *text = malloc(n * times + 1);

	assert_non_null(text);
	for (i = 0; i < times; i++)
		memcpy(text + i * n, piece, n);
	text[n * times] = '\0';
	return text;
}

static void
bounds_everything(void **state)
{
	static const struct {
		const char *piece;
		size_t times;
		const char *words;
	} bombs[] = {
		{ "x = \"x\";      ", 80000, "larger than 1 MiB" },
		{ "a = (", 1, "never closed" },
		{ "(", 5000, "expected the name" },
		{ "a = { ", 5000, "brackets inside each other" },
		{ "a=(((((((((((((((((((((((((((((((((((((", 1,
		    "brackets inside each other" },
	};
	char *text, *w;
	struct loaded l;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(bombs); i++) {
		text = repeated(bombs[i].piece, bombs[i].times);
		load_text(&l, text);
		assert_int_equal(l.result, -EINVAL);
		if (!fake_found(&l.diag, CAB_ERROR, NULL, -1, bombs[i].words))
			fail_msg("%s", fake_findings(&l.diag));
		release(&l);
		free(text);
	}
	text = malloc(800000);
	assert_non_null(text);
	for (i = 0, w = text; i < LEX_NAMES_MAX + 1; i++)
		w += snprintf(w, 16, "a%zu=1;", i);
	load_text(&l, text);
	assert_int_equal(l.result, -EINVAL);
	need_finding(&l, CAB_ERROR, 1, "settings in one group");
	release(&l);
	free(text);
	text = repeated("1,", LEX_VALUES_MAX + 1);
	memcpy(text, "a=", 2);
	text[3] = '(';
	load_text(&l, text);
	assert_int_equal(l.result, -EINVAL);
	release(&l);
	free(text);
}

/* ---- includes -------------------------------------------------------------------------- */

static void
includes_stand_in_their_place(void **state)
{
	struct loaded l;
	config_t config;
	const char *file;
	int line, value;

	(void)state;
	fake_init(&l.fake, false);
	fake_add(&l.fake, "/etc/sub/one.cfg",
	    "x = 1;\n@include \"two.cfg\"\nlist = ( 1,");
	fake_add(&l.fake, "/etc/sub/two.cfg", "\n\ny = 2; // no line break");
	fake_add(&l.fake, "/etc/a \"q\".cfg", "z = 3;\n");
	load_with(&l,
	    "a = 1;\n  @include \"sub/one.cfg\" 2 );\n"
	    "@include\t\"/etc/a \\\"q\\\".cfg\"\nb = 2;\n");
	if (l.result != 0)
		fail_msg("%s", fake_findings(&l.diag));
	assert_int_equal(l.diag.n, 0);
	parse(&l, &config);
	assert_true(config_lookup_int(&config, "y", &value));
	assert_int_equal(value, 2);
	assert_int_equal(
	    config_setting_length(config_lookup(&config, "list")), 2);
	lex_place(&l.unit,
	    config_setting_source_line(config_lookup(&config, "y")), &file,
	    &line);
	assert_string_equal(file, "/etc/sub/two.cfg");
	assert_int_equal(line, 3);
	lex_place(&l.unit,
	    config_setting_source_line(config_lookup(&config, "b")), &file,
	    &line);
	assert_string_equal(file, FAKE_MAIN);
	assert_int_equal(line, 4);
	lex_place(&l.unit,
	    config_setting_source_line(config_lookup(&config, "z")), &file,
	    &line);
	assert_string_equal(file, "/etc/a \"q\".cfg");
	assert_int_equal(line, 1);
	config_destroy(&config);
	release(&l);
}

static void
a_finding_names_the_included_file(void **state)
{
	struct loaded l;

	(void)state;
	fake_init(&l.fake, false);
	fake_add(&l.fake, "/etc/x", "\na = 5s;\n(");
	load_with(&l, "@include \"x\"\n");
	assert_int_equal(l.result, -EINVAL);
	assert_true(fake_found(&l.diag, CAB_ERROR, "/etc/x", 2, "\"5s\""));
	assert_true(fake_found(&l.diag, CAB_ERROR, "/etc/x", 3, "expected"));
	release(&l);
}

static void
says_why_a_file_cannot_be_included(void **state)
{
	struct loaded l;

	(void)state;
	fake_init(&l.fake, false);
	fake_add_error(&l.fake, "/etc/dir", -EISDIR, "is a directory");
	fake_add_error(&l.fake, "/etc/pipe", -EINVAL, "is a FIFO");
	fake_add_error(&l.fake, "/etc/secret", -EACCES, NULL);
	load_with(
	    &l, "@include \"dir\"\n@include \"pipe\"\n@include \"secret\"\n");
	assert_int_equal(l.result, 0);
	need_finding(&l, CAB_ERROR, 1, "/etc/dir: it is a directory");
	need_finding(&l, CAB_ERROR, 2, "/etc/pipe: it is a FIFO");
	need_finding(&l, CAB_ERROR, 3, "/etc/secret: Permission denied");
	release(&l);
}

static void
includes_are_bounded(void **state)
{
	char paths[LEX_DEPTH_MAX + 2][32], texts[LEX_DEPTH_MAX + 2][64];
	struct loaded l;
	char *text;
	size_t i;

	(void)state;
	/* Each includes the next one. */
	fake_init(&l.fake, false);
	for (i = 0; i < LEX_DEPTH_MAX + 1; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/etc/f%zu", i);
		snprintf(
		    texts[i], sizeof(texts[i]), "@include \"f%zu\"\n", i + 1);
		fake_add(&l.fake, paths[i], texts[i]);
	}
	load_with(&l, "@include \"f0\"\n");
	assert_true(fake_found(
	    &l.diag, CAB_ERROR, "/etc/f8", 1, "files inside each other"));
	assert_int_equal(l.diag.n, 1);
	release(&l);

	/* Two include each other. */
	fake_init(&l.fake, false);
	fake_add(&l.fake, "/etc/x", "\n@include \"y\"\n");
	fake_add(&l.fake, "/etc/y", "@include \"x\"\n");
	load_with(&l, "@include \"x\"\n");
	assert_true(fake_found(&l.diag, CAB_ERROR, "/etc/y", 1, "itself"));
	release(&l);

	/* One file so often that it would be a bomb. */
	fake_init(&l.fake, false);
	fake_add(&l.fake, "/etc/x", "");
	text = repeated("@include \"x\"\n", LEX_FILES_MAX + 10);
	load_with(&l, text);
	assert_int_equal(l.result, -EINVAL);
	need_finding(&l, CAB_ERROR, LEX_FILES_MAX, "too many @include");
	assert_in_range(l.fake.opened, 1, LEX_FILES_MAX);
	release(&l);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_good_text),
		cmocka_unit_test(lines_are_those_of_the_file),
		cmocka_unit_test(empty_text_is_good),
		cmocka_unit_test(tells_slips_and_goes_on),
		cmocka_unit_test(stand_ins_are_marked),
		cmocka_unit_test(a_twin_gets_a_name_that_nobody_can_write),
		cmocka_unit_test(warns_of_a_lost_comma),
		cmocka_unit_test(tells_where_the_structure_is_lost),
		cmocka_unit_test(refuses_what_is_no_text),
		cmocka_unit_test(bounds_everything),
		cmocka_unit_test(includes_stand_in_their_place),
		cmocka_unit_test(a_finding_names_the_included_file),
		cmocka_unit_test(says_why_a_file_cannot_be_included),
		cmocka_unit_test(includes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
