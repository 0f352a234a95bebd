/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the list of protocols: its order, what each entry must have, and
 * that names are found exactly.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/builtin.h"

static void
test_order_and_agreement(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; cab_protos[i] != NULL; i++) {
		assert_ptr_equal(cab_descs[i], &cab_protos[i]->desc);
		if (i > 0)
			assert_true(strcmp(cab_descs[i - 1]->name,
					cab_descs[i]->name) < 0);
	}
	assert_null(cab_descs[i]);
	assert_true(i >= 5);
}

static void
test_every_entry_is_whole(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; cab_protos[i] != NULL; i++) {
		const struct cab_proto *p = cab_protos[i];

		assert_true(p->desc.name[0] != '\0');
		assert_true(p->desc.summary[0] != '\0');
		assert_int_not_equal(
		    p->desc.transports & (CAB_STREAM | CAB_DGRAM), 0);
		if (p->desc.transports & CAB_STREAM)
			assert_non_null(p->input);
		assert_int_equal(
		    p->datagram != NULL, (p->desc.transports & CAB_DGRAM) != 0);
		assert_int_equal(p->start != NULL, p->stop != NULL);
		/* Worst case per connection; see the memory figures in bench/README. */
		assert_true(p->state_size <= 128);
		if (p->desc.options != NULL)
			assert_string_equal(p->desc.options->name, p->desc.name);
	}
}

static void
test_find(void **state)
{
	static const char *const unknown[] = { "", "ech", "echoo", "ECHO",
		"echo ", "exec", "ftp" };
	size_t i;

	(void)state;
	for (i = 0; cab_protos[i] != NULL; i++)
		assert_ptr_equal(
		    proto_find(cab_protos[i]->desc.name), cab_protos[i]);
	assert_ptr_equal(proto_find("echo"), &proto_echo);
	assert_ptr_equal(proto_find("daytime"), &proto_daytime);
	assert_ptr_equal(proto_find("discard"), &proto_discard);
	assert_ptr_equal(proto_find("http"), &proto_http);
	assert_ptr_equal(proto_find("smtp"), &proto_smtp);
	for (i = 0; i < CAB_N(unknown); i++)
		assert_null(proto_find(unknown[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_agreement),
		cmocka_unit_test(test_every_entry_is_whole),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
