/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of names in the descriptor store, of what is written down for the next
 * supervisor, and of the judgement about heartbeats.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "supervisor/beat.h"
#include "supervisor/estate.h"
#include "supervisor/store.h"

/* ---- names ------------------------------------------------------------------------- */

static void
names_come_back(void **state)
{
	const struct store_item items[] = {
		{ STORE_LISTENER, { UINT64_MAX, 1, 0xfd01, 77 } },
		{ STORE_BOARD, { 5 } },
		{ STORE_STATE, { 5, UINT64_MAX } },
		{ STORE_ROLE, { 5, 64, 4194304 } },
	};
	struct store_item back;
	char name[STORE_NAME];

	(void)state;
	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		store_name(&items[i], name);
		assert_null(strchr(name, ':'));
		store_parse(name, &back);
		assert_memory_equal(&back, &items[i], sizeof(back));
	}
	/* The longest there is. */
	back = items[0];
	memset(back.v, 0xff, sizeof(back.v));
	store_name(&back, name);
	assert_true(strlen(name) < STORE_NAME - 1);
}

static void
other_names_are_not_ours(void **state)
{
	static const char *const names[] = { "", "web", "cabinetd-scoreboard",
		"cabinetd-scoreboard.", "cabinetd-scoreboard.5.", "cabinetd-state.5",
		"cabinetd-scoreboard.5.6", "cabinetd-scoreboard.x",
		"cabinetd-scoreboard.-5", "cabinetd-scoreboard.5 ",
		"cabinetd-scoreboard.0123456789abcdef0", "cabinetd-role.1.2",
		"cabinetd-listener.1.2.3", "xcabinetd-scoreboard.5" };
	struct store_item item;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		store_parse(names[i], &item);
		assert_int_equal(item.kind, STORE_OTHER);
	}
}

static void
serials_are_new(void **state)
{
	struct store_item found = { STORE_LISTENER, { 1, 41 } };

	(void)state;
	store_found(&found);
	assert_int_equal(store_serial(), 42);
	found.v[STORE_SERIAL] = 7;
	store_found(&found);
	assert_int_equal(store_serial(), 43);
}

static void
store_where_systemd_says_so(void **state)
{
	static const struct {
		const char *room, *notify;
		bool enabled;
	} rows[] = {
		{ "16", "/nowhere", true },
		{ "0", "/nowhere", false },
		{ "-1", "/nowhere", false },
		{ "many", "/nowhere", false },
		{ NULL, "/nowhere", false },
		{ "16", NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsetenv("FDSTORE");
		unsetenv("NOTIFY_SOCKET");
		if (rows[i].room != NULL)
			setenv("FDSTORE", rows[i].room, 1);
		if (rows[i].notify != NULL)
			setenv("NOTIFY_SOCKET", rows[i].notify, 1);
		assert_int_equal(store_enabled(), rows[i].enabled);
	}
	unsetenv("FDSTORE");
	unsetenv("NOTIFY_SOCKET");
}

/* ---- the estate -------------------------------------------------------------------- */

static uint32_t slots[] = { 3, 1, 4095 };
static char *off[] = { (char *)(uintptr_t) "web", (char *)(uintptr_t) "x" };
static char conf[] = "any\0bytes";
static const struct estate full = { .generation = 9,
	.slots = slots,
	.n_slots = 3,
	.off = off,
	.n_off = 2,
	.conf = conf,
	.n_conf = sizeof(conf) };

static void
estate_comes_back(void **state)
{
	const struct estate none = { .slots = slots, .conf = conf };
	struct estate back;
	int fd = estate_encode(&full);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(estate_decode(fd, &back), 0);
	assert_int_equal(back.generation, 9);
	assert_int_equal(back.n_slots, 3);
	assert_memory_equal(back.slots, slots, sizeof(slots));
	assert_int_equal(back.n_off, 2);
	assert_string_equal(back.off[0], "web");
	assert_string_equal(back.off[1], "x");
	assert_int_equal(back.n_conf, sizeof(conf));
	assert_memory_equal(back.conf, conf, sizeof(conf));
	estate_release(&back);
	fd_close(fd);
	fd = estate_encode(&none);
	assert_int_equal(estate_decode(fd, &back), 0);
	assert_int_equal(back.n_slots + back.n_off + back.n_conf, 0);
	estate_release(&back);
	fd_close(fd);
}

/* Of the file but for n bytes at its end, with one byte changed at a place. */
static int
decode_spoilt(size_t cut, size_t at, char flip)
{
	struct estate back = { 0 };
	char *bytes = NULL;
	size_t n = 0;
	int fd = estate_encode(&full), r;

	assert_int_equal(fd_read_all(fd, 1 << 20, &bytes, &n), 0);
	fd_close(fd);
	bytes[at] ^= flip;
	fd = fd_sealed_memfd("spoilt", bytes, n - cut);
	free(bytes);
	r = estate_decode(fd, &back);
	fd_close(fd);
	estate_release(&back);
	return r;
}

static void
estate_of_others_is_not_believed(void **state)
{
	(void)state;
	assert_int_equal(decode_spoilt(0, 0, 1), -EXDEV); /* magic */
	for (size_t word = 1; word <= 4; word++)          /* build */
		assert_int_equal(decode_spoilt(0, word * 8, 1), -EXDEV);
	for (size_t at = 48; at < 72; at++) /* counts */
		assert_int_equal(decode_spoilt(0, at, 0x40), -EBADMSG);
	for (size_t cut = 1; cut < 72; cut++)
		assert_int_equal(decode_spoilt(cut, 0, 0), -EBADMSG);
}

/* ---- heartbeats ---------------------------------------------------------------------- */

#define MOST 3000

static void
who_comes_round_is_fine(void **state)
{
	struct beat beat = { 0 };

	(void)state;
	for (uint64_t now = 1000; now < 100000; now += BEAT_CHECK_MS)
		assert_false(beat_late(&beat, now / 1000 * 1000, now, MOST));
}

/* When the verdict falls on one whose last turn was at 1000. */
static uint64_t
verdict(struct beat *beat, uint64_t last, uint64_t step)
{
	uint64_t now = 1000;

	while (!beat_late(beat, last, now, MOST))
		now += step;
	return now;
}

static void
who_does_not_is_late(void **state)
{
	struct beat beat = { 0 };

	(void)state;
	assert_in_range(
	    verdict(&beat, 1000, BEAT_CHECK_MS), 4000, 4000 + BEAT_CHECK_MS);
	/* Once more round, and all is forgotten. */
	assert_false(beat_late(&beat, 5000, 5000, MOST));
	assert_false(beat_late(&beat, 5000, 5250, MOST));
	/* Before the first turn there is more time. */
	beat = (struct beat){ 0 };
	assert_true(verdict(&beat, 0, BEAT_CHECK_MS) >= BEAT_START_MS);
}

/* The machine, or the supervisor, stood still for a minute. */
static void
who_was_held_up_himself_waits(void **state)
{
	struct beat beat = { 0 };

	(void)state;
	assert_false(beat_late(&beat, 1000, 1000, MOST));
	assert_false(beat_late(&beat, 1000, 1250, MOST));
	assert_false(beat_late(&beat, 1000, 61250, MOST));
	assert_false(beat_late(&beat, 1000, 61500, MOST));
	assert_false(beat_late(&beat, 61600, 61750, MOST));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_back),
		cmocka_unit_test(other_names_are_not_ours),
		cmocka_unit_test(serials_are_new),
		cmocka_unit_test(store_where_systemd_says_so),
		cmocka_unit_test(estate_comes_back),
		cmocka_unit_test(estate_of_others_is_not_believed),
		cmocka_unit_test(who_comes_round_is_fine),
		cmocka_unit_test(who_does_not_is_late),
		cmocka_unit_test(who_was_held_up_himself_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
