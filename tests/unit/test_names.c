/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Look-ups of accounts, hosts and ports by way of the C library, as far as
 * every system has them; and the table of places.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

#include "conf/names.h"
#include "conf/origin.h"

static const struct conf_names *const names = &conf_system_names;

static void
finds_users(void **state)
{
	struct conf_user user;

	(void)state;
	assert_int_equal(names->user(NULL, "root", &user), 0);
	assert_int_equal(user.uid, 0);
	assert_string_equal(user.name, "root");
	assert_int_equal(user.home[0], '/');
	assert_int_equal(names->user(NULL, "0", &user), 0);
	assert_string_equal(user.name, "root");
	assert_int_equal(names->user(NULL, "no-such-user-here", &user), -ENOENT);
	assert_int_equal(names->user(NULL, "-1", &user), -ENOENT);
	/* Neither of these may become another number. */
	assert_int_equal(names->user(NULL, "4294967295", &user), -ENOENT);
	assert_int_equal(names->user(NULL, "4294967296", &user), -ENOENT);
	assert_int_equal(
	    names->user(NULL, "99999999999999999999", &user), -ENOENT);
}

static void
finds_groups(void **state)
{
	uint32_t ids[NAMES_GROUPS], gid = 7;
	char name[NAMES_TEXT];
	size_t n = 0;

	(void)state;
	assert_int_equal(names->group(NULL, "root", &gid), 0);
	assert_int_equal(gid, 0);
	assert_int_equal(names->group(NULL, "0", &gid), 0);
	assert_int_equal(names->group(NULL, "no-such-group-here", &gid), -ENOENT);
	assert_int_equal(names->group(NULL, "4294967296", &gid), -ENOENT);
	assert_int_equal(names->group_name(NULL, 0, name), 0);
	assert_string_equal(name, "root");
	assert_int_equal(names->groups(NULL, "root", 4711, ids, &n), 0);
	assert_in_range(n, 1, NAMES_GROUPS);
	assert_int_equal(ids[0], 4711);
}

static void
finds_hosts(void **state)
{
	struct cab_sockaddr addrs[NAMES_HOSTS];
	const char *why = NULL;
	size_t n = 0;

	(void)state;
	/* A number needs no name server. */
	assert_int_equal(names->host(NULL, "127.0.0.1", addrs, &n, &why), 0);
	assert_int_equal(n, 1);
	assert_int_equal(addrs[0].in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	assert_int_equal(addrs[0].len, sizeof(struct sockaddr_in));
	assert_int_equal(names->host(NULL, "a b", addrs, &n, &why), -ENOENT);
	assert_non_null(why);
}

static void
finds_ports(void **state)
{
	uint16_t port = 0;

	(void)state;
	assert_int_equal(
	    names->port(NULL, "no-such-service", "tcp", &port), -ENOENT);
	if (access("/etc/services", R_OK) < 0)
		skip();
	assert_int_equal(names->port(NULL, "daytime", "tcp", &port), 0);
	assert_int_equal(port, 13);
}

static void
places_are_found_by_field(void **state)
{
	struct conf_origins origins = { 0 };
	const struct conf_origin *origin;
	static char fields[5000];
	size_t i;

	(void)state;
	assert_null(origin_get(&origins, &fields[0]));
	for (i = 0; i < sizeof(fields); i += 2)
		assert_int_equal(
		    origin_set(&origins, &fields[i], "file", (int)i, i & 4), 0);
	for (i = 0; i < sizeof(fields); i++) {
		origin = origin_get(&origins, &fields[i]);
		assert_int_equal(origin == NULL, i & 1);
		if (origin == NULL)
			continue;
		assert_int_equal(origin->line, i);
		assert_int_equal(origin->inherited, (i & 4) != 0);
	}
	/* Set again, and taken back. */
	assert_int_equal(origin_set(&origins, &fields[2], "other", 9, false), 0);
	assert_string_equal(origin_get(&origins, &fields[2])->file, "other");
	assert_int_equal(origin_set(&origins, &fields[2], NULL, 0, false), 0);
	assert_null(origin_get(&origins, &fields[2]));
	origin_release(&origins);
	origin_release(&origins);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_users),
		cmocka_unit_test(finds_groups),
		cmocka_unit_test(finds_hosts),
		cmocka_unit_test(finds_ports),
		cmocka_unit_test(places_are_found_by_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
