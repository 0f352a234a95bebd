/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows themselves: names that can be written, fields that do not overlap,
 * defaults within their ranges, help for everything.
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

#include "conf/model.h"
#include "conf/read.h"
#include "conf/value.h"
#include "tests/support/conf_fake.h"

static size_t
size_of(const struct cab_opt *row)
{
	switch (row->type) {
	case CAB_T_BOOL:
		return sizeof(bool);
	case CAB_T_INT:
	case CAB_T_SIZE:
	case CAB_T_TIME:
	case CAB_T_OCTAL:
		return sizeof(int64_t);
	case CAB_T_RATE:
		return sizeof(struct cab_rate);
	case CAB_T_STRING:
	case CAB_T_PATH:
	case CAB_T_SUBOPT:
		return sizeof(void *);
	case CAB_T_ENUM:
		return sizeof(int);
	case CAB_T_USER:
	case CAB_T_GROUP:
		return sizeof(struct cab_account);
	case CAB_T_STRINGS:
	case CAB_T_ENV:
		return sizeof(struct cab_strings);
	case CAB_T_PREFIXES:
		return sizeof(struct cab_prefixes);
	case CAB_T_LISTENS:
		return sizeof(struct cab_listens);
	case CAB_T_IDS:
		return sizeof(struct cab_ids);
	case CAB_T_SUB:
		return row->sub->size;
	case CAB_T_SUBS:
		return sizeof(struct cab_groups);
	}
	return 0;
}

static void
check_row(const struct cab_opt *row)
{
	const char *name = row->name;

	assert_non_null(name);
	/* libconfig: a letter first; ours: no capitals. */
	assert_true(name[0] >= 'a' && name[0] <= 'z');
	assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789"),
	    strlen(name));
	assert_true(row->flags & CAB_F_COMPUTED || row->help != NULL);
	if (row->help != NULL) {
		assert_true(strlen(row->help) > 5);
		assert_null(strpbrk(row->help, "\t\n"));
		assert_true(row->help[strlen(row->help) - 1] != '.');
	}
	assert_int_equal(row->type == CAB_T_ENUM, row->words != NULL);
	assert_int_equal(row->type == CAB_T_SUB || row->type == CAB_T_SUBOPT ||
		row->type == CAB_T_SUBS,
	    row->sub != NULL);
	if (row->flags & CAB_F_REQUIRED)
		assert_null(row->def);
}

static void
check_rows(const struct cab_group *group)
{
	unsigned char *used = calloc(1, group->size);
	size_t i, j;

	assert_non_null(used);
	assert_true(group->n_opts <= 64);
	for (i = 0; i < group->n_opts; i++) {
		const struct cab_opt *row = &group->opts[i];

		check_row(row);
		for (j = 0; j < i; j++)
			assert_string_not_equal(row->name, group->opts[j].name);
		assert_true(row->offset + size_of(row) <= group->size);
		for (j = 0; j < size_of(row); j++)
			if (used[row->offset + j]++ != 0)
				fail_msg("%s overlaps another row", row->name);
		if (row->sub != NULL)
			check_rows(row->sub);
	}
	free(used);
}

static void
rows_are_sound(void **state)
{
	(void)state;
	check_rows(&conf_group_top);
	check_rows(&conf_group_service);
	assert_int_equal(conf_group_top.size, sizeof(struct cab_conf));
	assert_int_equal(conf_group_service.size, sizeof(struct cab_service));
}

/* Every default is one that a user could have written. */
static void
check_defaults(struct conf_reading *r, const struct cab_group *group)
{
	_Alignas(max_align_t) char base[4096] = { 0 };
	size_t i;

	assert_true(group->size <= sizeof(base));
	for (i = 0; i < group->n_opts; i++) {
		const struct cab_opt *row = &group->opts[i];
		int64_t value;

		if (row->sub != NULL)
			check_defaults(r, row->sub);
		if (row->def == NULL)
			continue;
		assert_true(value_default(r, row, base));
		if (size_of(row) != sizeof(int64_t) || row->max <= row->min)
			continue;
		if (row->type != CAB_T_INT && row->type != CAB_T_SIZE &&
		    row->type != CAB_T_TIME && row->type != CAB_T_OCTAL)
			continue;
		memcpy(&value, base + row->offset, sizeof(value));
		assert_in_range((uint64_t)(value - row->min), 0,
		    (uint64_t)(row->max - row->min));
	}
}

static void
defaults_are_within_their_ranges(void **state)
{
	struct conf_reading r = { .arena = arena_new() };

	(void)state;
	assert_non_null(r.arena);
	check_defaults(&r, &conf_group_top);
	check_defaults(&r, &conf_group_service);
	arena_free(r.arena);
}

static void
memory_lives_and_dies_as_one(void **state)
{
	struct cab_arena *arena = arena_new();
	unsigned char *p;
	size_t i, n;
	char *s;

	(void)state;
	assert_non_null(arena);
	for (i = 0; i < 2000; i++) {
		n = i * 7 % 900;
		p = arena_alloc(arena, n);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		while (n-- > 0) {
			assert_int_equal(p[n], 0);
			p[n] = 0xff;
		}
	}
	p = arena_alloc(arena, 1 << 20);
	assert_non_null(p);
	assert_null(arena_alloc(arena, SIZE_MAX));
	s = arena_strdup(arena, "abcdef", 3);
	assert_string_equal(s, "abc");
	arena_free(arena);
	arena_free(NULL);
	conf_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_sound),
		cmocka_unit_test(defaults_are_within_their_ranges),
		cmocka_unit_test(memory_lives_and_dies_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
