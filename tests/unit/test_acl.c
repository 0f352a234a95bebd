/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Address rules: which prefix decides.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "access/acl.h"

static struct cab_prefix
prefix(const char *text)
{
	struct cab_prefix p;
	const char *why = NULL;

	assert_int_equal(
	    prefix_parse((struct cab_slice){ text, strlen(text) }, &p, &why), 0);
	return p;
}

static struct cab_peer
peer(const char *text)
{
	struct cab_sockaddr addr;
	struct cab_peer p;

	assert_int_equal(
	    sockaddr_parse_ip(
		(struct cab_slice){ text, strlen(text) }, 1000, &addr),
	    0);
	peer_from_sockaddr(&p, &addr.sa, addr.len);
	return p;
}

/* allow and deny: up to three prefixes each. */
struct row {
	const char *allow[3], *deny[3], *peer;
	bool allowed;
	const char *rule; /* that decides, NULL for none */
};

static const struct row rows[] = {
	{ { 0 }, { 0 }, "192.0.2.1", true, NULL },
	{ { "10.0.0.0/8" }, { 0 }, "10.255.255.255", true, "10.0.0.0/8" },
	{ { "10.0.0.0/8" }, { 0 }, "11.0.0.0", false, NULL },
	{ { 0 }, { "10.0.0.0/8" }, "10.1.2.3", false, "10.0.0.0/8" },
	{ { 0 }, { "10.0.0.0/8" }, "9.255.255.255", true, NULL },
	/* The more specific prefix decides, in either direction. */
	{ { "10.0.0.0/8" }, { "10.1.0.0/16" }, "10.1.2.3", false, "10.1.0.0/16" },
	{ { "10.1.0.0/16" }, { "10.0.0.0/8" }, "10.1.2.3", true, "10.1.0.0/16" },
	{ { "10.1.0.0/16" }, { "10.0.0.0/8" }, "10.2.2.3", false, "10.0.0.0/8" },
	{ { "10.0.0.0/8", "10.1.2.0/24" }, { "10.1.0.0/16" }, "10.1.2.3", true,
	    "10.1.2.0/24" },
	/* A tie is a denial. */
	{ { "10.0.0.0/8" }, { "10.0.0.0/8" }, "10.0.0.1", false, "10.0.0.0/8" },
	{ { "0.0.0.0/0" }, { "10.0.0.1/32" }, "10.0.0.1", false, "10.0.0.1" },
	{ { "0.0.0.0/0" }, { "10.0.0.1/32" }, "10.0.0.2", true, "0.0.0.0/0" },
	/* Families do not mix; an IPv4-mapped peer is an IPv4 peer. */
	{ { "::/0" }, { 0 }, "192.0.2.1", false, NULL },
	{ { "0.0.0.0/0" }, { 0 }, "2001:db8::1", false, NULL },
	{ { "10.0.0.0/8" }, { 0 }, "::ffff:10.0.0.1", true, "10.0.0.0/8" },
	{ { 0 }, { "10.0.0.0/8" }, "::ffff:10.0.0.1", false, "10.0.0.0/8" },
	{ { "2001:db8::/32" }, { "2001:db8:1::/48" }, "2001:db8:1::9", false,
	    "2001:db8:1::/48" },
	{ { "::1" }, { 0 }, "::1", true, "::1" },
	{ { "::1" }, { 0 }, "::2", false, NULL },
	{ { "127.0.0.0/9" }, { 0 }, "127.128.0.1", false, NULL },
};

static void
longest_prefix_decides(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cab_prefix allow[3], deny[3];
		struct acl_rules rules = { .allow = allow, .deny = deny };
		struct cab_peer from = peer(rows[i].peer);
		const struct cab_prefix *rule;
		char text[64];

		while (rules.n_allow < 3 && rows[i].allow[rules.n_allow]) {
			allow[rules.n_allow] = prefix(
			    rows[i].allow[rules.n_allow]);
			rules.n_allow++;
		}
		while (rules.n_deny < 3 && rows[i].deny[rules.n_deny]) {
			deny[rules.n_deny] = prefix(rows[i].deny[rules.n_deny]);
			rules.n_deny++;
		}
		if (acl_allows(&rules, &from, &rule) != rows[i].allowed)
			fail_msg("row %zu: %s", i, rows[i].peer);
		assert_int_equal(rule != NULL, rows[i].rule != NULL);
		if (rule)
			assert_memory_equal(prefix_text(rule, text, sizeof(text)),
			    rows[i].rule, strlen(rows[i].rule));
	}
}

static void
unix_peers_are_not_subject_to_prefixes(void **state)
{
	struct cab_prefix ten = prefix("10.0.0.0/8");
	struct acl_rules rules = { .allow = &ten, .n_allow = 1 };
	struct cab_peer from = { .family = AF_UNIX };

	(void)state;
	assert_true(acl_allows(&rules, &from, NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(longest_prefix_decides),
		cmocka_unit_test(unix_peers_are_not_subject_to_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
