/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the SMTP grammar: tables of paths, domains, literals, parameters and
 * command lines, and the scan for the end of a message at every split.  Every
 * input is copied into a block of its exact size, so that a read past its end
 * is seen.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/smtp_parse.h"

/* Strings of a given length for the limits. */
#define A8   "aaaaaaaa"
#define A62  A8 A8 A8 A8 A8 A8 A8 "aaaaaa"
#define A63  A62 "a"
#define A64  A63 "a"
#define D240 A59 "." A59 "." A59 "." A59 "."
#define A59  A8 A8 A8 A8 A8 A8 A8 "aaa"

/* A slice in a block of its own; free(.p). */
static struct cab_slice
copy(const char *text, size_t n)
{
	char *p = malloc(n > 0 ? n : 1);

	assert_non_null(p);
	memcpy(p, text, n);
	return (struct cab_slice){ p, n };
}

static void
drop(struct cab_slice s)
{
	free((void *)(uintptr_t)s.p);
}

static void
assert_slice(struct cab_slice s, const char *want, const char *of)
{
	if (s.n != strlen(want) || memcmp(s.p, want, s.n) != 0)
		fail_msg(
		    "%s: got \"%.*s\", want \"%s\"", of, (int)s.n, s.p, want);
}

/* ---- paths ------------------------------------------------------------ */

struct path_case {
	const char *text;
	int r;
	const char *local, *domain, *rest;
	bool utf8;
};

#define GOOD(t, l, d)                                          \
	{                                                      \
		.text = t, .local = l, .domain = d, .rest = "" \
	}
#define MORE(t, l, d, m)                                      \
	{                                                     \
		.text = t, .local = l, .domain = d, .rest = m \
	}
#define UTF8(t, l, d)                                                        \
	{                                                                    \
		.text = t, .local = l, .domain = d, .rest = "", .utf8 = true \
	}
#define BAD(t, e)                 \
	{                         \
		.text = t, .r = e \
	}

static void
check_path(const struct path_case *c, enum smtp_direction direction)
{
	struct cab_slice text = copy(c->text, strlen(c->text)), rest = text;
	struct smtp_path path;
	int r;

	memset(&path, 0x5a, sizeof(path));
	r = smtp_parse_path(&rest, direction, &path);
	if (r != c->r)
		fail_msg("%s: got %d, want %d", c->text, r, c->r);
	if (r < 0) {
		assert_ptr_equal(rest.p, text.p);
		assert_int_equal(rest.n, text.n);
	} else {
		assert_slice(path.local, c->local, c->text);
		assert_slice(path.domain, c->domain, c->text);
		assert_slice(rest, c->rest, c->text);
		assert_int_equal(path.utf8, c->utf8);
	}
	drop(text);
}

/* The same as a reverse and as a forward path. */
static const struct path_case both_ways[] = {
	/* Dot-string. */
	GOOD("<a@b>", "a", "b"),
	GOOD("<user@example.org>", "user", "example.org"),
	GOOD("<first.last@example.org>", "first.last", "example.org"),
	GOOD("<a.b.c.d@e.f.g.h>", "a.b.c.d", "e.f.g.h"),
	GOOD("<!#$%&'*+-/=?^_`{|}~@example.org>", "!#$%&'*+-/=?^_`{|}~",
	    "example.org"),
	GOOD("<user+tag@example.org>", "user+tag", "example.org"),
	GOOD("<0@0>", "0", "0"),
	GOOD("<a@1.2.3.4>", "a", "1.2.3.4"),
	GOOD("<Postmaster@example.org>", "Postmaster", "example.org"),
	GOOD("<a@xn--bcher-kva.example>", "a", "xn--bcher-kva.example"),
	MORE("<a@b> SIZE=1", "a", "b", " SIZE=1"),
	MORE("<a@b> ", "a", "b", " "),
	BAD("<.a@b>", -EINVAL),
	BAD("<a.@b>", -EINVAL),
	BAD("<a..b@c>", -EINVAL),
	BAD("<a b@c>", -EINVAL),
	BAD("<a,b@c>", -EINVAL),
	BAD("<a:b@c>", -EINVAL),
	BAD("<a;b@c>", -EINVAL),
	BAD("<a(b)@c>", -EINVAL),
	BAD("<a<b@c>", -EINVAL),
	BAD("<a[b@c>", -EINVAL),
	BAD("<a\\b@c>", -EINVAL),
	BAD("<a\"b@c>", -EINVAL),
	BAD("<a\tb@c>", -EINVAL),
	BAD("<a\001b@c>", -EINVAL),
	BAD("<a\177b@c>", -EINVAL),
	/* Quoted-string. */
	GOOD("<\"a\"@b>", "\"a\"", "b"),
	GOOD("<\"\"@b>", "\"\"", "b"),
	GOOD("<\"a b\"@c>", "\"a b\"", "c"),
	GOOD("<\"a@b\"@c>", "\"a@b\"", "c"),
	GOOD("<\"a>b\"@c>", "\"a>b\"", "c"),
	GOOD("<\"a.\"@c>", "\"a.\"", "c"),
	GOOD("<\"a\\\"b\"@c>", "\"a\\\"b\"", "c"),
	GOOD("<\"a\\\\\"@c>", "\"a\\\\\"", "c"),
	GOOD("<\"\\a\"@c>", "\"\\a\"", "c"),
	GOOD("<\"()<>[]:;,.\"@c>", "\"()<>[]:;,.\"", "c"),
	BAD("<\"a@b>", -EINVAL),
	BAD("<\"a\\\"@b>", -EINVAL),
	BAD("<\"a\"b@c>", -EINVAL),
	BAD("<b\"a\"@c>", -EINVAL),
	BAD("<\"a\".b@c>", -EINVAL),
	BAD("<\"a\tb\"@c>", -EINVAL),
	BAD("<\"a\\\001\"@c>", -EINVAL),
	BAD("<\"a\\", -EINVAL),
	BAD("<\"", -EINVAL),
	/* Domain. */
	GOOD("<a@b-c>", "a", "b-c"),
	GOOD("<a@b--c.d>", "a", "b--c.d"),
	BAD("<a@-b>", -EINVAL),
	BAD("<a@b->", -EINVAL),
	BAD("<a@b-.c>", -EINVAL),
	BAD("<a@.b>", -EINVAL),
	BAD("<a@b.>", -EINVAL),
	BAD("<a@b..c>", -EINVAL),
	BAD("<a@b_c>", -EINVAL),
	BAD("<a@b c>", -EINVAL),
	BAD("<a@b/c>", -EINVAL),
	BAD("<a@b@c>", -EINVAL),
	BAD("<a@>", -EINVAL),
	BAD("<@b>", -EINVAL),
	BAD("<@>", -EINVAL),
	BAD("<a>", -EINVAL),
	BAD("<a@b%c>", -EINVAL),
	/* Address literals. */
	GOOD("<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
	GOOD("<a@[255.255.255.255]>", "a", "[255.255.255.255]"),
	GOOD("<a@[IPv6:2001:db8::1]>", "a", "[IPv6:2001:db8::1]"),
	GOOD("<a@[ipv6:::1]>", "a", "[ipv6:::1]"),
	GOOD("<a@[IPv6:::]>", "a", "[IPv6:::]"),
	GOOD("<a@[IPv6:1:2:3:4:5:6:7:8]>", "a", "[IPv6:1:2:3:4:5:6:7:8]"),
	GOOD("<a@[IPv6:::ffff:192.0.2.1]>", "a", "[IPv6:::ffff:192.0.2.1]"),
	BAD("<a@[256.0.0.1]>", -EINVAL),
	BAD("<a@[1.2.3]>", -EINVAL),
	BAD("<a@[1.2.3.4.5]>", -EINVAL),
	BAD("<a@[01.2.3.4]>", -EINVAL),
	BAD("<a@[0x1.2.3.4]>", -EINVAL),
	BAD("<a@[ 1.2.3.4]>", -EINVAL),
	BAD("<a@[1.2.3.4 ]>", -EINVAL),
	BAD("<a@[]>", -EINVAL),
	BAD("<a@[1.2.3.4>", -EINVAL),
	BAD("<a@1.2.3.4]>", -EINVAL),
	BAD("<a@[2001:db8::1]>", -EINVAL),
	BAD("<a@[IPv6:2001:db8::1%lo]>", -EINVAL),
	BAD("<a@[IPv6:2001:db8:::1]>", -EINVAL),
	BAD("<a@[IPv6:12345::]>", -EINVAL),
	BAD("<a@[IPv6:1:2:3:4:5:6:7:8:9]>", -EINVAL),
	BAD("<a@[IPv6:]>", -EINVAL),
	BAD("<a@[IPv6]>", -EINVAL),
	BAD("<a@[IPv4:1.2.3.4]>", -EINVAL),
	BAD("<a@[tag:content]>", -EINVAL),
	BAD("<a@[1.2.3.4].b>", -EINVAL),
	BAD("<a@b.[1.2.3.4]>", -EINVAL),
	/* Source routes are checked and left out. */
	GOOD("<@r:a@b>", "a", "b"),
	GOOD("<@r.example,@s.example:a@b>", "a", "b"),
	GOOD("<@r,@s,@t,@u:\"a b\"@[192.0.2.1]>", "\"a b\"", "[192.0.2.1]"),
	BAD("<@r,s:a@b>", -EINVAL),
	BAD("<@r,:a@b>", -EINVAL),
	BAD("<@r,@:a@b>", -EINVAL),
	BAD("<@r a@b>", -EINVAL),
	BAD("<@r:>", -EINVAL),
	BAD("<@r:@s:a@b>", -EINVAL),
	BAD("<@[1.2.3.4]:a@b>", -EINVAL),
	BAD("<r:a@b>", -EINVAL),
	BAD("<@r", -EINVAL),
	/* Brackets. */
	BAD("a@b", -EINVAL),
	BAD("<a@b", -EINVAL),
	BAD("a@b>", -EINVAL),
	BAD("<<a@b>>", -EINVAL),
	BAD("<a@b>>", -EINVAL),
	BAD("<a@b>x", -EINVAL),
	BAD("<a@b>SIZE=1", -EINVAL),
	BAD("< a@b>", -EINVAL),
	BAD("<a@b >", -EINVAL),
	BAD("<a @b>", -EINVAL),
	BAD("Name <a@b>", -EINVAL),
	BAD("", -EINVAL),
	BAD("<", -EINVAL),
	BAD(">", -EINVAL),
	BAD("< >", -EINVAL),
	/* RFC 6531. */
	UTF8("<\303\274ser@example.org>", "\303\274ser", "example.org"),
	UTF8("<user@b\303\274cher.example>", "user", "b\303\274cher.example"),
	UTF8("<\346\235\216@\344\276\213.example>", "\346\235\216",
	    "\344\276\213.example"),
	UTF8("<\"\360\237\223\256 x\"@b>", "\"\360\237\223\256 x\"", "b"),
	UTF8("<@\303\274:a@b>", "a", "b"),
	BAD("<\303@b>", -EILSEQ),
	BAD("<\274@b>", -EILSEQ),
	BAD("<\300\257@b>", -EILSEQ),
	BAD("<\340\200\257@b>", -EILSEQ),
	BAD("<\360\200\200\257@b>", -EILSEQ),
	BAD("<\355\240\200@b>", -EILSEQ),
	BAD("<\364\220\200\200@b>", -EILSEQ),
	BAD("<\365\200\200\200@b>", -EILSEQ),
	BAD("<\377@b>", -EILSEQ),
	BAD("<a@\303\050>", -EILSEQ),
	BAD("<a@b\303", -EILSEQ),
	BAD("<\"\303\"@b>", -EILSEQ),
	BAD("<\"\\\303\274\"@b>", -EINVAL),
	BAD("<a@\303\274->", -EINVAL),
	/* Limits. */
	GOOD("<" A64 "@b>", A64, "b"),
	BAD("<" A64 "a@b>", -ENAMETOOLONG),
	GOOD("<\"" A62 "\"@b>", "\"" A62 "\"", "b"),
	BAD("<\"" A63 "\"@b>", -ENAMETOOLONG),
	GOOD("<a@" A63 ">", "a", A63),
	BAD("<a@" A64 ">", -ENAMETOOLONG),
	BAD("<a@" A63 "." A64 ".b>", -ENAMETOOLONG),
	/* 256 octets with both brackets, and one more. */
	GOOD("<a@" D240 A8 "aaaa>", "a", D240 A8 "aaaa"),
	BAD("<a@" D240 A8 "aaaaa>", -ENAMETOOLONG),
	MORE("<a@" D240 A8 "aaaa> X", "a", D240 A8 "aaaa", " X"),
	BAD("<a@" D240 D240 "b>", -ENAMETOOLONG),
	BAD("<@" D240 "b:" A8 "@" A8 ">", -ENAMETOOLONG),
};

static void
test_paths_both_ways(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(both_ways) / sizeof(both_ways[0]); i++) {
		check_path(&both_ways[i], SMTP_REVERSE);
		check_path(&both_ways[i], SMTP_FORWARD);
	}
}

static void
test_null_path(void **state)
{
	static const struct path_case null = GOOD("<>", "", "");
	static const struct path_case param = MORE(
	    "<> BODY=7BIT", "", "", " BODY=7BIT");
	static const struct path_case after = BAD("<>x", -EINVAL);
	static const struct path_case refused = BAD("<>", -EINVAL);

	(void)state;
	check_path(&null, SMTP_REVERSE);
	check_path(&param, SMTP_REVERSE);
	check_path(&after, SMTP_REVERSE);
	check_path(&refused, SMTP_FORWARD);
}

static void
test_postmaster_path(void **state)
{
	static const struct path_case good[] = {
		GOOD("<Postmaster>", "Postmaster", ""),
		GOOD("<postmaster>", "postmaster", ""),
		MORE("<POSTMASTER> X=1", "POSTMASTER", "", " X=1"),
	};
	static const struct path_case bad[] = {
		BAD("<Postmasters>", -EINVAL),
		BAD("<Postmaste>", -EINVAL),
		BAD("<\"Postmaster\">", -EINVAL),
		BAD("<Postmaster", -EINVAL),
		BAD("<Postmaster>x", -EINVAL),
		BAD("<@r:Postmaster>", -EINVAL),
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const struct path_case as_sender = BAD(good[i].text, -EINVAL);

		check_path(&good[i], SMTP_FORWARD);
		check_path(&as_sender, SMTP_REVERSE);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_path(&bad[i], SMTP_FORWARD);
}

/* No prefix of a path is one, and none reads past its end. */
static void
test_truncated_paths(void **state)
{
	static const char *const whole[] = {
		"<@r.example,@s:first.last@example.org>",
		"<\"a\\\" b\"@[IPv6:2001:db8::1]>",
		"<\346\235\216@\344\276\213.example>",
		"<Postmaster>",
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		for (n = 0; n < strlen(whole[i]); n++) {
			struct cab_slice text = copy(whole[i], n), rest = text;
			struct smtp_path path;

			assert_true(
			    smtp_parse_path(&rest, SMTP_FORWARD, &path) < 0);
			drop(text);
		}
	}
}

/* ---- names ------------------------------------------------------------ */

static void
test_host_names(void **state)
{
	static const struct {
		const char *text;
		bool domain, literal, helo;
	} cases[] = {
		{ "localhost", true, false, true },
		{ "mx.example.org", true, false, true },
		{ "a-b.c-d", true, false, true },
		{ "127.0.0.1", true, false, true },
		{ A63 "." A63 "." A63 "." A63, true, false, true },
		{ A63 "." A63 "." A63 "." A63 ".", false, false, false },
		{ A63 "." A63 "." A63 "." A59 ".aaaa", false, false, false },
		{ A64, false, false, false },
		{ "[127.0.0.1]", false, true, true },
		{ "[IPv6:::1]", false, true, true },
		{ "[ipv6:fe80::1]", false, true, true },
		{ "my_pc", false, false, true },
		{ "_x.example", false, false, true },
		{ "", false, false, false },
		{ ".", false, false, false },
		{ "a.", false, false, false },
		{ "-a", false, false, false },
		{ "a b", false, false, false },
		{ "a@b", false, false, false },
		{ "a\r\n250 x", false, false, false },
		{ "b\303\274cher.example", false, false, false },
		{ "[127.0.0.1", false, false, false },
		{ "[::1]", false, false, false },
		{ "[x]", false, false, false },
		{ "[127.0.0.1]x", false, false, false },
		{ "<a>", false, false, false },
		{ "$(id)", false, false, false },
		{ "a;b", false, false, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cab_slice text = copy(
		    cases[i].text, strlen(cases[i].text));

		if (smtp_is_domain(text) != cases[i].domain ||
		    smtp_is_literal(text) != cases[i].literal ||
		    smtp_is_helo(text) != cases[i].helo)
			fail_msg("%s", cases[i].text);
		drop(text);
	}
	/* A NUL does not end a name or an address early. */
	assert_false(smtp_is_domain((struct cab_slice){ "a\0b", 3 }));
	assert_false(smtp_is_literal((struct cab_slice){ "[1.2.3.4\0]", 10 }));
}

/* ---- parameters ------------------------------------------------------- */

static void
test_parameters(void **state)
{
	struct cab_slice rest = CAB_SLICE(
	    "  SIZE=123 BODY=8BITMIME   smtputf8 x-a1=b/c+d ");
	struct smtp_param param;

	(void)state;
	assert_int_equal(smtp_next_param(&rest, &param), 1);
	assert_slice(param.keyword, "SIZE", "keyword");
	assert_true(param.has_value);
	assert_slice(param.value, "123", "value");
	assert_int_equal(smtp_next_param(&rest, &param), 1);
	assert_slice(param.keyword, "BODY", "keyword");
	assert_slice(param.value, "8BITMIME", "value");
	assert_int_equal(smtp_next_param(&rest, &param), 1);
	assert_slice(param.keyword, "smtputf8", "keyword");
	assert_false(param.has_value);
	assert_int_equal(smtp_next_param(&rest, &param), 1);
	assert_slice(param.keyword, "x-a1", "keyword");
	assert_slice(param.value, "b/c+d", "value");
	assert_int_equal(smtp_next_param(&rest, &param), 0);
	assert_int_equal(smtp_next_param(&rest, &param), 0);
}

static void
test_bad_parameters(void **state)
{
	static const char *const bad[] = { "=", "=x", "SIZE=", "SIZE=1=2",
		"-a=b", "a_b=c", "a.b", "@", "SI\303\274E=1", "<a@b>", "\"a\"",
		"a\"=b", ";", "a=\001", "a=b\tc", "a=\177" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cab_slice text = copy(bad[i], strlen(bad[i]));
		struct cab_slice rest = text;
		struct smtp_param param;

		if (smtp_next_param(&rest, &param) != -EINVAL)
			fail_msg("%s", bad[i]);
		drop(text);
	}
}

static void
test_sizes(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t size;
	} cases[] = {
		{ "0", 0, 0 },
		{ "1", 0, 1 },
		{ "0000000000000000007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551614", 0, UINT64_MAX - 1 },
		{ "18446744073709551616", 0, UINT64_MAX },
		{ "99999999999999999999", 0, UINT64_MAX },
		{ "30000000000000000000", 0, UINT64_MAX },
		{ "000000000000000000001", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "1k", -EINVAL, 0 },
		{ "0x1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cab_slice text = copy(
		    cases[i].text, strlen(cases[i].text));
		uint64_t size = 0;
		int r = smtp_parse_size(text, &size);

		if (r != cases[i].r || size != cases[i].size)
			fail_msg("%s", cases[i].text);
		drop(text);
	}
}

/* ---- command lines ---------------------------------------------------- */

static void
test_lines(void **state)
{
	static const struct {
		const char *line;
		enum smtp_text text;
		const char *want;
	} cases[] = {
		{ "QUIT\r", SMTP_TEXT_END, "QUIT" },
		{ "\r", SMTP_TEXT_END, "" },
		{ "QUIT \t \r", SMTP_TEXT_END, "QUIT" },
		{ " \r", SMTP_TEXT_END, "" },
		{ "NOOP\tx\r", SMTP_TEXT_END, "NOOP\tx" },
		{ "NOOP \303\274\r", SMTP_TEXT_END, "NOOP \303\274" },
		{ "", SMTP_TEXT_BARE_LF, "" },
		{ "QUIT", SMTP_TEXT_BARE_LF, "QUIT" },
		{ "QUIT\r ", SMTP_TEXT_BARE_CR, "QUIT\r " },
		{ "QU\rIT\r", SMTP_TEXT_BARE_CR, "QU\rIT\r" },
		{ "\rQUIT\r", SMTP_TEXT_BARE_CR, "\rQUIT\r" },
		{ "QUIT\r\r", SMTP_TEXT_BARE_CR, "QUIT\r\r" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cab_slice text = copy(
		    cases[i].line, strlen(cases[i].line));
		struct cab_slice line = text;

		if (smtp_check_line(&line) != cases[i].text)
			fail_msg("%s", cases[i].line);
		assert_slice(line, cases[i].want, cases[i].line);
		drop(text);
	}
}

static void
test_split(void **state)
{
	static const struct {
		const char *line, *verb, *args;
	} cases[] = {
		{ "", "", "" },
		{ "QUIT", "QUIT", "" },
		{ "MAIL FROM:<a@b>", "MAIL", "FROM:<a@b>" },
		{ "MAIL  FROM:<a@b> SIZE=1", "MAIL", "FROM:<a@b> SIZE=1" },
		{ " QUIT", "", "QUIT" },
	};
	struct cab_slice verb, args;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cab_slice line = copy(
		    cases[i].line, strlen(cases[i].line));

		smtp_split(line, &verb, &args);
		assert_slice(verb, cases[i].verb, cases[i].line);
		assert_slice(args, cases[i].args, cases[i].line);
		drop(line);
	}
}

static void
test_take_word(void **state)
{
	static const struct {
		const char *args;
		int r;
		const char *rest;
	} cases[] = {
		{ "FROM:<a@b>", 0, "<a@b>" },
		{ "from:<a@b>", 0, "<a@b>" },
		{ "From:  <a@b>", 0, "<a@b>" },
		{ "FROM:", 0, "" },
		{ "FROM :<a@b>", -EINVAL, NULL },
		{ "FROM <a@b>", -EINVAL, NULL },
		{ "FROM", -EINVAL, NULL },
		{ "TO:<a@b>", -EINVAL, NULL },
		{ "", -EINVAL, NULL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cab_slice args = copy(
		    cases[i].args, strlen(cases[i].args));
		struct cab_slice rest = args;

		assert_int_equal(smtp_take_word(&rest, "FROM:"), cases[i].r);
		assert_slice(rest,
		    cases[i].rest != NULL ? cases[i].rest : cases[i].args,
		    cases[i].args);
		drop(args);
	}
}

/* ---- the end of a message --------------------------------------------- */

struct message_case {
	const char *text;
	enum smtp_text result;
	size_t used;   /* bytes of the text up to there */
	uint64_t size; /* octets of the message, for END and MORE */
};

static const struct message_case messages[] = {
	{ ".\r\n", SMTP_TEXT_END, 3, 0 },
	{ "a\r\n.\r\n", SMTP_TEXT_END, 6, 3 },
	{ "\r\n.\r\n", SMTP_TEXT_END, 5, 2 },
	{ "a\r\nb\r\n.\r\nQUIT\r\n", SMTP_TEXT_END, 9, 6 },
	{ "..\r\n.\r\n", SMTP_TEXT_END, 7, 3 },
	{ ".a\r\n.\r\n", SMTP_TEXT_END, 7, 3 },
	{ "...\r\n..\r\n.\r\n", SMTP_TEXT_END, 12, 7 },
	{ "a.\r\n.\r\n", SMTP_TEXT_END, 7, 4 },
	{ "a\r\n. \r\n.\r\n", SMTP_TEXT_END, 10, 6 },
	{ ".\r\n.\r\n", SMTP_TEXT_END, 3, 0 },
	{ "", SMTP_TEXT_MORE, 0, 0 },
	{ "abc", SMTP_TEXT_MORE, 3, 3 },
	{ "abc\r", SMTP_TEXT_MORE, 4, 4 },
	{ "abc\r\n", SMTP_TEXT_MORE, 5, 5 },
	{ "abc\r\n.", SMTP_TEXT_MORE, 6, 6 },
	{ "abc\r\n.\r", SMTP_TEXT_MORE, 7, 7 },
	{ "a\n.\r\n", SMTP_TEXT_BARE_LF, 2, 0 },
	{ "a\r\n.\n", SMTP_TEXT_BARE_LF, 5, 0 },
	{ "a\r\n.\r.\r\n", SMTP_TEXT_BARE_CR, 5, 0 },
	{ "a\r\n.\r\r\n", SMTP_TEXT_BARE_CR, 5, 0 },
	{ "a\r.\r\n", SMTP_TEXT_BARE_CR, 2, 0 },
	{ "a\r\r\n.\r\n", SMTP_TEXT_BARE_CR, 2, 0 },
	{ "\n", SMTP_TEXT_BARE_LF, 1, 0 },
	{ "\n.\n", SMTP_TEXT_BARE_LF, 1, 0 },
	{ "\r.\r", SMTP_TEXT_BARE_CR, 1, 0 },
	{ "a\nb\r\n.\r\n", SMTP_TEXT_BARE_LF, 2, 0 },
	{ "ab\rc\n", SMTP_TEXT_BARE_CR, 3, 0 },
	{ "ab\nc\r", SMTP_TEXT_BARE_LF, 3, 0 },
	{ ".\n", SMTP_TEXT_BARE_LF, 2, 0 },
	{ "a\r\n\n.\r\n", SMTP_TEXT_BARE_LF, 4, 0 },
};

/* Feeds the text in pieces of step bytes, as reads would deliver it. */
static void
check_message(const struct message_case *c, size_t step)
{
	size_t length = strlen(c->text), at = 0, used = 0;
	enum smtp_text result = SMTP_TEXT_MORE;
	enum smtp_at where = SMTP_AT_START;
	uint64_t size = 0;

	while (at < length && result == SMTP_TEXT_MORE) {
		struct cab_slice piece = copy(
		    c->text + at, length - at < step ? length - at : step);

		result = smtp_scan_message(
		    &where, piece.p, piece.n, &used, &size);
		at += used;
		assert_true(result != SMTP_TEXT_MORE || used == piece.n);
		drop(piece);
	}
	if (result != c->result || at != c->used)
		fail_msg("%s by %zu: %d after %zu", c->text, step, result, at);
	if ((result == SMTP_TEXT_END || result == SMTP_TEXT_MORE) &&
	    size != c->size)
		fail_msg("%s by %zu: size %llu", c->text, step,
		    (unsigned long long)size);
}

static void
test_messages_at_every_split(void **state)
{
	size_t i, step;

	(void)state;
	for (i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		for (step = 1; step <= strlen(messages[i].text) + 1; step++)
			check_message(&messages[i], step);
	}
}

static void
test_line_scan(void **state)
{
	enum smtp_at at = SMTP_AT_LINE;
	size_t used;

	(void)state;
	assert_int_equal(smtp_scan_line(&at, "abc", 3, &used), SMTP_TEXT_MORE);
	assert_int_equal(used, 3);
	assert_int_equal(smtp_scan_line(&at, "de\r", 3, &used), SMTP_TEXT_MORE);
	assert_int_equal(used, 3);
	assert_int_equal(
	    smtp_scan_line(&at, "\nQUIT\r\n", 7, &used), SMTP_TEXT_END);
	assert_int_equal(used, 1);
	at = SMTP_AT_CR;
	assert_int_equal(
	    smtp_scan_line(&at, "x\r\n", 3, &used), SMTP_TEXT_BARE_CR);
	at = SMTP_AT_LINE;
	assert_int_equal(
	    smtp_scan_line(&at, "x\ny\r\n", 5, &used), SMTP_TEXT_BARE_LF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_both_ways),
		cmocka_unit_test(test_null_path),
		cmocka_unit_test(test_postmaster_path),
		cmocka_unit_test(test_truncated_paths),
		cmocka_unit_test(test_host_names),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_bad_parameters),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_take_word),
		cmocka_unit_test(test_messages_at_every_split),
		cmocka_unit_test(test_line_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
