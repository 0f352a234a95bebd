/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the plan: which services and listeners stay, change, come and go,
 * and that a service keeps its slot of the scoreboard for life.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "stats/board.h"
#include "supervisor/plan.h"

#define SERVICES_MAX 8
#define LISTENS_MAX  4

/* A configuration under construction. */
struct config {
	struct cab_conf conf;
	struct cab_service services[SERVICES_MAX];
	struct cab_listen listens[SERVICES_MAX][LISTENS_MAX];
};

static struct cab_service *
add_service(struct config *c, const char *name)
{
	size_t i = c->conf.n_services++;

	assert_true(i < SERVICES_MAX);
	c->conf.services = c->services;
	c->services[i] = (struct cab_service){ .name = name,
		.enabled = true,
		.protocol = "echo",
		.listens = { .v = c->listens[i] } };
	return &c->services[i];
}

static void
add_listen(
    struct config *c, enum cab_listen_kind kind, const char *ip, uint16_t port)
{
	size_t i = c->conf.n_services - 1, k = c->services[i].listens.n++;
	struct cab_listen *listen = &c->listens[i][k];

	assert_true(k < LISTENS_MAX);
	*listen = (struct cab_listen){ .kind = kind, .text = ip };
	if (kind == CAB_SYSTEMD)
		listen->name = ip;
	else
		assert_int_equal(
		    sockaddr_parse_ip((struct cab_slice){ ip, strlen(ip) },
			port, &listen->addr),
		    0);
}

/* One service with one TCP listener. */
static struct cab_service *
add(struct config *c, const char *name, uint16_t port)
{
	struct cab_service *service = add_service(c, name);

	add_listen(c, CAB_TCP, "127.0.0.1", port);
	return service;
}

static void
make(const struct config *old, const struct plan *old_plan,
    const struct config *new, struct plan *ret)
{
	assert_int_equal(plan_make(old != NULL ? &old->conf : NULL, old_plan,
			     &new->conf, ret),
	    0);
}

static void
assert_counts(const struct plan *plan, size_t added, size_t changed,
    size_t dropped, size_t kept)
{
	assert_int_equal(plan->added, added);
	assert_int_equal(plan->changed, changed);
	assert_int_equal(plan->dropped, dropped);
	assert_int_equal(plan->kept, kept);
}

static void
test_first(void **state)
{
	struct config c = { 0 };
	struct plan plan;

	(void)state;
	add(&c, "one", 1);
	add(&c, "two", 2);
	add_listen(&c, CAB_UDP, "127.0.0.1", 2);
	make(NULL, NULL, &c, &plan);
	assert_counts(&plan, 2, 0, 0, 0);
	assert_int_equal(plan.n_listens, 3);
	for (size_t i = 0; i < plan.n_listens; i++)
		assert_true(plan.listens[i].from == PLAN_OPEN);
	assert_int_equal(plan.listens[0].service, 0);
	assert_int_equal(plan.listens[1].service, 1);
	assert_int_equal(plan.listens[2].service, 1);
	assert_int_equal(plan.listens[2].listen, 1);
	assert_int_equal(plan.services[0].change, PLAN_ADDED);
	assert_int_not_equal(plan.services[0].slot, plan.services[1].slot);
	plan_release(&plan);
}

static void
test_empty(void **state)
{
	struct config none = { 0 }, one = { 0 };
	struct plan first, second, third;

	(void)state;
	add(&one, "one", 1);
	make(NULL, NULL, &none, &first);
	assert_counts(&first, 0, 0, 0, 0);
	make(&none, &first, &one, &second);
	assert_counts(&second, 1, 0, 0, 0);
	make(&one, &second, &none, &third);
	assert_counts(&third, 0, 0, 1, 0);
	assert_int_equal(third.n_listens, 0);
	plan_release(&first);
	plan_release(&second);
	plan_release(&third);
}

static void
test_every_kind_of_change(void **state)
{
	struct config a = { 0 }, b = { 0 };
	struct plan first, second;

	(void)state;
	add(&a, "drop", 1);
	add(&a, "keep", 2);
	add(&a, "change", 3);
	/* Another order, as an editor would leave it. */
	add(&b, "change", 3)->limits.connections = 7;
	add(&b, "new", 4);
	add(&b, "keep", 2);
	make(NULL, NULL, &a, &first);
	make(&a, &first, &b, &second);
	assert_counts(&second, 1, 1, 1, 1);
	assert_int_equal(second.services[0].change, PLAN_CHANGED);
	assert_int_equal(second.services[1].change, PLAN_ADDED);
	assert_int_equal(second.services[2].change, PLAN_KEPT);
	assert_int_equal(second.services[0].slot, first.services[2].slot);
	assert_int_equal(second.services[2].slot, first.services[1].slot);
	/* Nobody else ever had this slot. */
	assert_int_equal(second.services[1].slot, 3);
	assert_int_equal(second.listens[0].from, 2);
	assert_true(second.listens[1].from == PLAN_OPEN);
	assert_int_equal(second.listens[2].from, 1);
	plan_release(&first);
	plan_release(&second);
}

static void
test_place_in_the_file_does_not_matter(void **state)
{
	struct config a = { 0 }, b = { 0 };
	struct plan first, second;

	(void)state;
	add(&a, "one", 1);
	*add(&b, "one", 1) = a.services[0];
	b.services[0].file = "/etc/other.conf";
	b.services[0].line = 99;
	make(NULL, NULL, &a, &first);
	make(&a, &first, &b, &second);
	assert_counts(&second, 0, 0, 0, 1);
	plan_release(&first);
	plan_release(&second);
}

static void
test_two_services_swap_their_ports(void **state)
{
	struct config a = { 0 }, b = { 0 };
	struct plan first, second;

	(void)state;
	add(&a, "one", 1);
	add(&a, "two", 2);
	add(&b, "one", 2);
	add(&b, "two", 1);
	make(NULL, NULL, &a, &first);
	make(&a, &first, &b, &second);
	assert_counts(&second, 0, 2, 0, 0);
	assert_int_equal(second.listens[0].from, 1);
	assert_int_equal(second.listens[1].from, 0);
	assert_int_equal(second.services[0].slot, first.services[0].slot);
	plan_release(&first);
	plan_release(&second);
}

static void
test_kind_and_family_tell_listeners_apart(void **state)
{
	struct config a = { 0 }, b = { 0 };
	struct plan first, second;

	(void)state;
	add_service(&a, "one");
	add_listen(&a, CAB_TCP, "127.0.0.1", 7);
	add_service(&b, "one");
	add_listen(&b, CAB_UDP, "127.0.0.1", 7);
	add_listen(&b, CAB_TCP, "::1", 7);
	add_listen(&b, CAB_TCP, "127.0.0.2", 7);
	add_listen(&b, CAB_TCP, "127.0.0.1", 7);
	make(NULL, NULL, &a, &first);
	make(&a, &first, &b, &second);
	assert_true(second.listens[0].from == PLAN_OPEN);
	assert_true(second.listens[1].from == PLAN_OPEN);
	assert_true(second.listens[2].from == PLAN_OPEN);
	assert_int_equal(second.listens[3].from, 0);
	plan_release(&first);
	plan_release(&second);
}

static void
test_any_port_stays_with_its_service(void **state)
{
	struct config a = { 0 }, b = { 0 };
	struct plan first, second;

	(void)state;
	add(&a, "one", 0);
	add(&a, "two", 0);
	add_listen(&a, CAB_TCP, "127.0.0.1", 0);
	add(&b, "two", 0);
	add_listen(&b, CAB_TCP, "127.0.0.1", 0);
	add_listen(&b, CAB_TCP, "127.0.0.1", 0);
	add(&b, "three", 0);
	make(NULL, NULL, &a, &first);
	make(&a, &first, &b, &second);
	assert_int_equal(second.listens[0].from, 1);
	assert_int_equal(second.listens[1].from, 2);
	assert_true(second.listens[2].from == PLAN_OPEN);
	assert_true(second.listens[3].from == PLAN_OPEN);
	plan_release(&first);
	plan_release(&second);
}

static void
test_passed_sockets_go_by_name(void **state)
{
	struct config a = { 0 }, b = { 0 };
	struct plan first, second;

	(void)state;
	add_service(&a, "one");
	add_listen(&a, CAB_SYSTEMD, "web", 0);
	add_listen(&a, CAB_SYSTEMD, "mail", 0);
	add_service(&b, "two");
	add_listen(&b, CAB_SYSTEMD, "mail", 0);
	add_listen(&b, CAB_SYSTEMD, "more", 0);
	make(NULL, NULL, &a, &first);
	make(&a, &first, &b, &second);
	assert_int_equal(second.listens[0].from, 1);
	assert_true(second.listens[1].from == PLAN_OPEN);
	plan_release(&first);
	plan_release(&second);
}

static void
test_disabled_services_do_not_listen(void **state)
{
	struct config a = { 0 }, b = { 0 };
	struct plan first, second;

	(void)state;
	add(&a, "one", 1);
	add(&a, "two", 2);
	add(&b, "one", 1)->enabled = false;
	add(&b, "two", 2);
	make(NULL, NULL, &a, &first);
	make(&a, &first, &b, &second);
	assert_counts(&second, 0, 1, 0, 1);
	assert_int_equal(second.n_listens, 1);
	assert_int_equal(second.listens[0].service, 1);
	assert_int_equal(second.listens[0].from, 1);
	plan_release(&first);
	plan_release(&second);
}

/* Connections of a dropped service may live on: its slot is the last to be used again. */
static void
test_slots_are_used_again_late(void **state)
{
	struct config a = { 0 }, b = { 0 };
	struct plan plans[2];
	unsigned turn;

	(void)state;
	add(&a, "one", 1);
	add(&b, "two", 2);
	make(NULL, NULL, &a, &plans[0]);
	assert_int_equal(plans[0].services[0].slot, 0);
	for (turn = 1; turn < BOARD_SERVICES; turn++) {
		const struct config *old = turn % 2 ? &a : &b,
				    *new = turn % 2 ? &b : &a;

		make(old, &plans[(turn - 1) % 2], new, &plans[turn % 2]);
		assert_int_equal(plans[turn % 2].services[0].slot, turn);
		plan_release(&plans[(turn - 1) % 2]);
	}
	/* All have been used once: it starts over, beside the one in use. */
	make(&b, &plans[1], &a, &plans[0]);
	assert_int_equal(plans[0].services[0].slot, 0);
	plan_release(&plans[0]);
	plan_release(&plans[1]);
}

static void
test_as_many_as_there_are_slots(void **state)
{
	struct cab_service *services;
	struct cab_conf conf = { .n_services = BOARD_SERVICES };
	char(*names)[16];
	bool *seen;
	struct plan first, second, untouched = { .added = 77 };

	(void)state;
	services = calloc(BOARD_SERVICES + 1, sizeof(*services));
	names = calloc(BOARD_SERVICES + 1, sizeof(*names));
	seen = calloc(BOARD_SERVICES, sizeof(*seen));
	assert_true(services != NULL && names != NULL && seen != NULL);
	for (unsigned i = 0; i <= BOARD_SERVICES; i++) {
		snprintf(names[i], sizeof(names[i]), "s%u", i * 7919 % 10007);
		services[i].name = names[i];
		services[i].enabled = true;
	}
	conf.services = services;
	assert_int_equal(plan_make(NULL, NULL, &conf, &first), 0);
	for (unsigned i = 0; i < BOARD_SERVICES; i++) {
		assert_true(first.services[i].slot < BOARD_SERVICES);
		assert_false(seen[first.services[i].slot]);
		seen[first.services[i].slot] = true;
	}
	/* One goes, another comes: there is exactly one slot for it. */
	conf.services = services + 1;
	{
		struct cab_conf old = { .services = services,
			.n_services = BOARD_SERVICES };

		assert_int_equal(plan_make(&old, &first, &conf, &second), 0);
	}
	assert_counts(&second, 1, 0, 1, BOARD_SERVICES - 1);
	assert_int_equal(
	    second.services[BOARD_SERVICES - 1].slot, first.services[0].slot);
	conf.services = services;
	conf.n_services++;
	assert_int_equal(plan_make(NULL, NULL, &conf, &untouched), -E2BIG);
	assert_int_equal(untouched.added, 77);
	plan_release(&first);
	plan_release(&second);
	free(services);
	free(names);
	free(seen);
}

static void
test_release_of_nothing(void **state)
{
	struct plan plan = { 0 };

	(void)state;
	plan_release(&plan);
	plan_release(&plan);
	assert_null(plan.services);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_every_kind_of_change),
		cmocka_unit_test(test_place_in_the_file_does_not_matter),
		cmocka_unit_test(test_two_services_swap_their_ports),
		cmocka_unit_test(test_kind_and_family_tell_listeners_apart),
		cmocka_unit_test(test_any_port_stays_with_its_service),
		cmocka_unit_test(test_passed_sockets_go_by_name),
		cmocka_unit_test(test_disabled_services_do_not_listen),
		cmocka_unit_test(test_slots_are_used_again_late),
		cmocka_unit_test(test_as_many_as_there_are_slots),
		cmocka_unit_test(test_release_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
