/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots: what is decoded is what was encoded, equal services have equal
 * bytes wherever they were written, and no bytes whatever do harm.
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

#include "conf/wire.h"
#include "tests/support/conf_fake.h"

static const char everything[] =
    "workers = 3; defaults = { limits = { per_source_rate = \"1/s\"; }; };\n"
    "services = (\n"
    "{ name = \"web\"; listen = ( 80, \"udp://[::1]:81\", \"unix:///run/x\", "
    "\"unixgram://@y\", \"vsock://*:7\", \"systemd://s\" );\n"
    "  protocol = \"echo\"; access = { allow = ( \"10.0.0.0/8\", \"::1\" ); };\n"
    "  socket = { owner = \"git\"; }; },\n"
    "{ name = \"w\"; listen = \"tcp://[::1]:8080\"; protocol = \"web\";\n"
    "  web = { text = \"x\"; env = { A = \"x\"; }; count = -5;\n"
    "  routes = ( { path = \"/a\"; body = \"\"; }, { path = \"/b\"; } ); special "
    "= { path = \"/c\"; }; }; },\n"
    "{ name = \"git\"; listen = 9418; exec = { program = \"/bin/cat\"; args = "
    "( \"-u\", \"\" ); rlimits = { core = 0; }; capabilities = \"kill\"; }; } "
    ");\n";

static struct cab_conf *
read_text(const char *text)
{
	struct cab_diag diag = { 0 };
	struct cab_conf *conf;
	struct fake fake;

	fake_init(&fake, true);
	conf = fake_read(&fake, text, &diag, NULL);
	if (conf == NULL)
		fail_msg("%s", fake_findings(&diag));
	diag_release(&diag);
	return conf;
}

static struct cab_buf
encoded(const char *text)
{
	struct cab_conf *conf = read_text(text);
	struct cab_buf bytes = CAB_BUF_INIT(0);

	assert_int_equal(conf_encode(conf, &bytes), 0);
	conf_free(conf);
	return bytes;
}

static void
decodes_what_was_encoded(void **state)
{
	struct cab_buf bytes = encoded(everything), again = CAB_BUF_INIT(0);
	const struct cab_service *s;
	const struct fake_web *web;
	const struct fake_route *routes;
	struct cab_conf *conf;

	(void)state;
	assert_int_equal(
	    conf_decode(fake_descs, buf_slice(&bytes).p, buf_len(&bytes), &conf),
	    0);
	assert_int_equal(conf->workers, 3);
	assert_string_equal(conf->path, FAKE_MAIN);
	assert_string_equal(conf->user.name, "cabinetd");
	assert_int_equal(conf->user.id, 990);
	assert_int_equal(conf->n_services, 3);
	s = &conf->services[0];
	assert_ptr_equal(s->desc, fake_descs[0]);
	assert_int_equal(s->listens.n, 7);
	assert_string_equal(s->listens.v[0].text, "tcp://0.0.0.0:80");
	assert_true(s->listens.v[1].optional);
	assert_string_equal(s->listens.v[4].text, "unixgram://@y");
	assert_string_equal(s->listens.v[6].name, "s");
	assert_int_equal(s->listens.v[6].line, 3);
	assert_string_equal(s->listens.v[6].file, FAKE_MAIN);
	assert_true(s->access.allow.set);
	assert_int_equal(s->access.allow.v[0].bits, 8);
	assert_int_equal(s->limits.per_source_rate.period_ms, 1000);
	assert_true(s->limits.per_source_rate_set);
	assert_int_equal(s->socket.owner.id, 1001);
	assert_null(s->options);
	web = conf->services[1].options;
	assert_non_null(web);
	assert_int_equal(web->count, -5);
	assert_string_equal(web->computed, "flag is set");
	routes = web->routes.v;
	assert_int_equal(web->routes.n, 2);
	assert_string_equal(routes[0].body, "");
	assert_string_equal(routes[1].path, "/b");
	assert_string_equal(web->special->path, "/c");
	assert_null(web->root);
	s = &conf->services[2];
	assert_null(s->desc);
	assert_string_equal(s->exec->args.v[1], "");
	assert_int_equal(s->exec->group_ids.n, 2);
	assert_int_equal(s->exec->group_ids.v[1], 50);
	assert_true(s->exec->rlimits.core_set);
	assert_int_equal(s->exec->capability_bits, 1 << 5);
	assert_string_equal(s->exec->home, "/home/cabinetd");

	assert_int_equal(conf_encode(conf, &again), 0);
	assert_int_equal(buf_len(&bytes), buf_len(&again));
	assert_memory_equal(
	    buf_slice(&bytes).p, buf_slice(&again).p, buf_len(&bytes));
	conf_free(conf);
	buf_release(&bytes);
	buf_release(&again);
}

#define SERVICE \
	"{ name = \"a\"; listen = 7; protocol = \"web\"; web = { text = \"x\"; }; }"

static bool
same(const char *a_text, const char *b_text)
{
	struct cab_buf a_bytes = CAB_BUF_INIT(0), b_bytes = CAB_BUF_INIT(0);
	struct cab_conf *a = read_text(a_text), *b = read_text(b_text);
	bool equal;

	assert_int_equal(conf_encode_service(&a->services[0], &a_bytes), 0);
	assert_int_equal(conf_encode_service(&b->services[0], &b_bytes), 0);
	equal = buf_len(&a_bytes) == buf_len(&b_bytes) &&
	    memcmp(buf_slice(&a_bytes).p, buf_slice(&b_bytes).p,
		buf_len(&a_bytes)) == 0;
	conf_free(a);
	conf_free(b);
	buf_release(&a_bytes);
	buf_release(&b_bytes);
	return equal;
}

static void
equal_services_have_equal_bytes(void **state)
{
	(void)state;
	/* Somewhere else, in other words, from the defaults. */
	assert_true(same("services = ( " SERVICE " );",
	    "\n\n// moved\nworkers = 5;\nservices = (\n" SERVICE " );"));
	assert_true(same("services = ( " SERVICE " );",
	    "services = ( { protocol = \"web\"; web = { text = \"x\"; count = 7; "
	    "}; name = \"a\"; listen = \"tcp://*:7\"; limits = { }; } );"));
	assert_true(same("services = ( { name = \"a\"; listen = 7; protocol = "
			 "\"echo\"; limits = { connections = 5; }; } );",
	    "defaults = { limits = { connections = 5; }; };\nservices = ( { name "
	    "= \"a\"; listen = 7; protocol = \"echo\"; } );"));
	assert_false(same("services = ( " SERVICE " );",
	    "services = ( { name = \"a\"; listen = 8; protocol = \"web\"; web = { "
	    "text = \"x\"; }; } );"));
	assert_false(same("services = ( " SERVICE " );",
	    "services = ( { name = \"a\"; listen = 7; protocol = \"web\"; web = { "
	    "text = \"y\"; }; } );"));
}

static void
every_shorter_snapshot_is_refused(void **state)
{
	struct cab_buf bytes = encoded(everything);
	struct wire_head head;
	struct cab_conf *conf = NULL;
	size_t n = buf_len(&bytes), i;
	char *copy;

	(void)state;
	for (i = 0; i < n; i++) {
		/* In a block of its size, so that reading past it is seen. */
		copy = malloc(i + 1);
		assert_non_null(copy);
		memcpy(copy, buf_slice(&bytes).p, i);
		assert_int_equal(
		    conf_decode(fake_descs, copy, i, &conf), -EBADMSG);
		/* With an honest length in the head, too. */
		if (i >= sizeof(head)) {
			memcpy(&head, copy, sizeof(head));
			head.n = i - sizeof(head);
			memcpy(copy, &head, sizeof(head));
			assert_int_equal(
			    conf_decode(fake_descs, copy, i, &conf), -EBADMSG);
		}
		free(copy);
	}
	assert_null(conf);
	buf_release(&bytes);
}

static void
no_changed_byte_does_harm(void **state)
{
	static const unsigned char values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	struct cab_buf bytes = encoded(everything), out = CAB_BUF_INIT(0);
	size_t n = buf_len(&bytes), i, j, taken = 0, refused = 0;
	struct cab_conf *conf;
	unsigned char *p = (unsigned char *)bytes.data, saved;

	(void)state;
	for (i = 0; i < n; i++) {
		saved = p[i];
		for (j = 0; j < CAB_N(values); j++) {
			p[i] = values[j];
			if (conf_decode(fake_descs, p, n, &conf) == 0) {
				/* Then it is a configuration like any other. */
				buf_clear(&out);
				assert_int_equal(conf_encode(conf, &out), 0);
				conf_free(conf);
				taken++;
			} else {
				refused++;
			}
		}
		p[i] = saved;
	}
	/* Text may change, structure may not. */
	assert_true(taken > 0 && refused > n);
	buf_release(&bytes);
	buf_release(&out);
}

static void
foreign_snapshots_are_refused(void **state)
{
	static const struct cab_desc *const fewer[] = { NULL };
	struct cab_buf bytes = encoded(everything);
	struct wire_head head;
	struct cab_conf *conf;
	char *p = bytes.data;

	(void)state;
	assert_int_equal(conf_decode(fewer, p, buf_len(&bytes), &conf), -EBADMSG);
	memcpy(&head, p, sizeof(head));
	head.version++;
	memcpy(p, &head, sizeof(head));
	assert_int_equal(
	    conf_decode(fake_descs, p, buf_len(&bytes), &conf), -EBADMSG);
	head.version--;
	head.rows++;
	memcpy(p, &head, sizeof(head));
	assert_int_equal(
	    conf_decode(fake_descs, p, buf_len(&bytes), &conf), -EBADMSG);
	head.rows--;
	head.n++;
	memcpy(p, &head, sizeof(head));
	assert_int_equal(
	    conf_decode(fake_descs, p, buf_len(&bytes), &conf), -EBADMSG);
	assert_int_equal(conf_decode(fake_descs, "", 0, &conf), -EBADMSG);
	buf_release(&bytes);
}

static void
the_hash_follows_the_rows(void **state)
{
	static const char *const words[] = { "a", "b", NULL };
	static const char *const other[] = { "a", "c", NULL };
	struct cab_opt row = { .name = "x", .type = CAB_T_ENUM, .words = words };
	const struct cab_group group = { .opts = &row, .n_opts = 1 };
	uint64_t before = wire_rows_hash(&group);

	(void)state;
	assert_int_equal(wire_rows_hash(&group), before);
	row.words = other;
	assert_int_not_equal(wire_rows_hash(&group), before);
	row.words = words;
	row.max = 5;
	assert_int_not_equal(wire_rows_hash(&group), before);
	row.max = 0;
	row.name = "y";
	assert_int_not_equal(wire_rows_hash(&group), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_what_was_encoded),
		cmocka_unit_test(equal_services_have_equal_bytes),
		cmocka_unit_test(every_shorter_snapshot_is_refused),
		cmocka_unit_test(no_changed_byte_does_harm),
		cmocka_unit_test(foreign_snapshots_are_refused),
		cmocka_unit_test(the_hash_follows_the_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
