/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Switching services off by hand: in what is read and in what is in use, and
 * back to what was written.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "supervisor/override.h"
#include "tests/support/conf_fake.h"

static const char two[] =
    "services = ( { name = \"a\"; listen = 7; protocol = \"echo\"; },\n"
    "{ name = \"b\"; listen = 8; protocol = \"echo\"; } );\n";
static const char other[] =
    "services = ( { name = \"c\"; listen = 7; protocol = \"echo\"; } );\n";

/* What was read, as the supervisor gets it. */
struct read {
	struct cab_conf *conf;
	int fd;
	size_t n;
};

static struct overrides overrides;

static struct read
read_text(const char *text)
{
	struct cab_buf bytes = CAB_BUF_INIT(0);
	struct cab_diag diag = { 0 };
	struct read r = { .fd = -1 };
	struct fake fake;

	fake_init(&fake, true);
	r.conf = fake_read(&fake, text, &diag, NULL);
	if (r.conf == NULL)
		fail_msg("%s", fake_findings(&diag));
	diag_release(&diag);
	assert_int_equal(conf_encode(r.conf, &bytes), 0);
	r.n = buf_len(&bytes);
	r.fd = fd_sealed_memfd("test", buf_slice(&bytes).p, r.n);
	assert_true(r.fd >= 0);
	buf_release(&bytes);
	return r;
}

/* The two agree about who is on; and that is what is expected: "ab", "a", ... */
static void
expect(struct read *r, const char *on)
{
	const struct cab_conf *confs[2] = { r->conf };
	struct cab_conf *decoded = NULL;
	char *bytes = NULL;
	size_t n = 0;

	assert_int_equal(fd_read_all(r->fd, r->n, &bytes, &n), 0);
	assert_int_equal(n, r->n);
	assert_int_equal(conf_decode(fake_descs, bytes, n, &decoded), 0);
	free(bytes);
	confs[1] = decoded;
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < confs[k]->n_services; i++)
			assert_int_equal(confs[k]->services[i].enabled,
			    strstr(on, confs[k]->services[i].name) != NULL);
	conf_free(decoded);
	conf_free(r->conf);
	r->conf = NULL;
	r->fd = fd_close(r->fd);
}

static struct read
take(const char *text)
{
	struct read r = read_text(text);

	assert_int_equal(overrides_read(&overrides, &r.conf, &r.fd, &r.n), 0);
	return r;
}

static struct read
again(void)
{
	struct read r = { .fd = -1 };

	assert_int_equal(overrides_again(&overrides, &r.conf, &r.fd, &r.n), 0);
	return r;
}

static int
setup(void **state)
{
	(void)state;
	overrides_init(&overrides, fake_descs);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	overrides_release(&overrides);
	overrides_release(&overrides);
	return 0;
}

static void
the_list(void **state)
{
	(void)state;
	assert_false(overrides_has(&overrides, "a"));
	assert_int_equal(overrides_set(&overrides, "a", true), 0);
	assert_int_equal(overrides_set(&overrides, "a", true), 0);
	assert_int_equal(overrides_set(&overrides, "b", true), 0);
	assert_int_equal(overrides.n, 2);
	assert_int_equal(overrides_set(&overrides, "a", false), 0);
	assert_int_equal(overrides_set(&overrides, "a", false), 0);
	assert_false(overrides_has(&overrides, "a"));
	assert_true(overrides_has(&overrides, "b"));
}

static void
nothing_is_in_use_yet(void **state)
{
	struct cab_conf *conf = NULL;
	size_t n = 0;
	int fd = -1;

	(void)state;
	assert_int_equal(overrides_again(&overrides, &conf, &fd, &n), -ENOENT);
}

static void
off_and_on(void **state)
{
	struct read r = take(two);

	(void)state;
	expect(&r, "ab");
	overrides_settle(&overrides, true);
	overrides_set(&overrides, "b", true);
	r = again();
	expect(&r, "a");
	overrides_settle(&overrides, true);
	/* A reload keeps it off; switched on, it is as it was read last. */
	r = take(two);
	expect(&r, "a");
	overrides_settle(&overrides, true);
	overrides_set(&overrides, "b", false);
	r = again();
	expect(&r, "ab");
	overrides_settle(&overrides, true);
}

static void
what_was_never_used_is_forgotten(void **state)
{
	struct read r = take(two);

	(void)state;
	expect(&r, "ab");
	overrides_settle(&overrides, true);
	r = take(other);
	expect(&r, "c");
	overrides_settle(&overrides, false);
	r = again();
	assert_int_equal(r.conf->n_services, 2);
	expect(&r, "ab");
	overrides_settle(&overrides, false);
	r = again();
	expect(&r, "ab");
	overrides_settle(&overrides, true);
}

static void
a_service_that_left_stays_off_when_it_returns(void **state)
{
	struct read r = take(two);

	(void)state;
	expect(&r, "ab");
	overrides_settle(&overrides, true);
	overrides_set(&overrides, "a", true);
	r = take(other);
	expect(&r, "c");
	overrides_settle(&overrides, true);
	r = take(two);
	expect(&r, "b");
	overrides_settle(&overrides, true);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_list),
		CASE(nothing_is_in_use_yet),
		CASE(off_and_on),
		CASE(what_was_never_used_is_forgotten),
		CASE(a_service_that_left_stays_off_when_it_returns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
