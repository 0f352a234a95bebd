/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --print-config reads back to the same configuration and says where each
 * value comes from; the table of all options names every one of them.
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

#include "tests/support/conf_fake.h"

/* The dump of a text as a string, and its configuration. */
static struct cab_conf *
dumped(struct fake *fake, bool privileged, const char *text, struct cab_buf *dump)
{
	struct cab_diag diag = { 0 };
	struct cab_conf *conf;

	fake_init(fake, privileged);
	*dump = CAB_BUF_INIT(0);
	conf = fake_read(fake, text, &diag, dump);
	if (conf == NULL)
		fail_msg("%s\n%s", fake_findings(&diag), text);
	assert_int_equal(buf_append(dump, "", 1), 0);
	diag_release(&diag);
	return conf;
}

/* Cuts the comments off; none of the texts below has a "#" in a string. */
static void
strip(char *text)
{
	char *w = text, *p;

	for (p = text; *p != '\0'; p++) {
		if (*p == '#')
			while (*p != '\n')
				p++;
		*w++ = *p;
	}
	*w = '\0';
}

static const char everything[] =
    "workers = 3; log = { level = \"debug\"; target = \"stderr\"; };\n"
    "defaults = { limits = { per_source = 7; }; };\n"
    "services = (\n"
    "{ name = \"web\"; listen = ( 80, \"udp://*:81\", \"unix:///run/x\" );\n"
    "  enabled = false; protocol = \"echo\";\n"
    "  limits = { rate = \"3/10s\"; on_limit = \"queue\"; };\n"
    "  access = { allow = ( \"10.0.0.0/8\", \"::1\" ); deny = \"::/0\"; };\n"
    "  socket = { mode = \"0600\"; owner = \"git\"; interface = \"lo\"; mark = "
    "4294967295L; receive_buffer = \"64K\"; }; },\n"
    "{ name = \"w\"; listen = \"tcp://[::1]:8080\"; protocol = \"web\";\n"
    "  web = { text = \"o\\\"k\\\\\"; size = \"unlimited\"; env = { A = "
    "\"x\"; };\n"
    "  routes = ( { path = \"/a\"; body = \"1\\n\\x01\\x7f\"; }, { path = "
    "\"/b\"; } ); special = { path = \"/c\"; }; }; },\n"
    "{ name = \"git\"; listen = 9418; exec = { program = \"/bin/cat\"; args = "
    "( \"-u\", \"\" ); user = \"git\"; rlimits = { core = 0; files = 64; };\n"
    "  groups = \"staff\"; env = \"B=c\"; capabilities = \"kill\"; }; },\n"
    "{ name = \"plain\"; listen = 9; exec = { program = \"/bin/cat\"; }; } );\n";

static void
reads_back_to_the_same(void **state)
{
	struct cab_buf first, second, bytes = CAB_BUF_INIT(0),
				      again = CAB_BUF_INIT(0);
	struct cab_conf *a, *b;
	struct fake fake;
	char *text;
	size_t i;

	(void)state;
	a = dumped(&fake, true, everything, &first);
	b = dumped(&fake, true, buf_slice(&first).p, &second);
	assert_int_equal(a->n_services, b->n_services);
	for (i = 0; i < a->n_services; i++) {
		buf_clear(&bytes);
		buf_clear(&again);
		assert_int_equal(conf_encode_service(&a->services[i], &bytes), 0);
		assert_int_equal(conf_encode_service(&b->services[i], &again), 0);
		assert_int_equal(buf_len(&bytes), buf_len(&again));
		assert_memory_equal(
		    buf_slice(&bytes).p, buf_slice(&again).p, buf_len(&bytes));
	}
	text = strdup(buf_slice(&first).p);
	assert_non_null(text);
	strip(text);
	strip(second.data);
	assert_string_equal(text, second.data);
	free(text);
	conf_free(a);
	conf_free(b);
	buf_release(&first);
	buf_release(&second);
	buf_release(&bytes);
	buf_release(&again);
}

static void
need_line(const struct cab_buf *dump, const char *line)
{
	if (strstr(buf_slice(dump).p, line) == NULL)
		fail_msg("no \"%s\" in:\n%s", line, buf_slice(dump).p);
}

static void
tells_where_values_come_from(void **state)
{
	struct cab_buf dump;
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	conf = dumped(&fake, true, everything, &dump);
	need_line(&dump, "workers = 3; # " FAKE_MAIN ":1\n");
	need_line(&dump, "user = \"cabinetd\"; # default\n");
	need_line(&dump, "include = \"\"; # default\n");
	need_line(&dump, "per_source = 7; # " FAKE_MAIN ":2 (defaults)\n");
	need_line(&dump, "connections = 1000; # default\n");
	need_line(&dump,
	    "listen = ( \"tcp://*:80\", \"udp://*:81\", \"unix:///run/x\" ); # " FAKE_MAIN
	    ":4\n");
	need_line(&dump, "# per_source_rate is not set\n");
	need_line(
	    &dump, "allow = ( \"10.0.0.0/8\", \"::1\" ); # " FAKE_MAIN ":7\n");
	need_line(&dump, "text = \"o\\\"k\\\\\"; # " FAKE_MAIN ":10\n");
	need_line(&dump, "body = \"1\\n\\x01\\x7f\"; # " FAKE_MAIN ":11\n");
	need_line(&dump, "size = \"unlimited\"; # " FAKE_MAIN ":10\n");
	need_line(&dump, "mark = 4294967295L; # " FAKE_MAIN ":8\n");
	need_line(&dump, "receive_buffer = \"64K\"; # " FAKE_MAIN ":8\n");
	need_line(&dump, "# least is not set\n");
	need_line(&dump, "core = 0; # " FAKE_MAIN ":12\n");
	need_line(&dump, "# core is not set\n");
	conf_free(conf);
	buf_release(&dump);
}

static void
drop_ins_become_part_of_it(void **state)
{
	struct cab_diag diag = { 0 };
	struct cab_buf dump = CAB_BUF_INIT(0), again;
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	fake_add(&fake, FAKE_MAIN ".d/x.conf",
	    "services = ( { name = \"b\";\nlisten = 8; protocol = \"echo\"; } );");
	conf = fake_read(&fake, "", &diag, &dump);
	assert_non_null(conf);
	assert_int_equal(buf_append(&dump, "", 1), 0);
	need_line(&dump,
	    "include = \"\"; # default, what " FAKE_MAIN ".d holds is below\n");
	need_line(
	    &dump, "listen = ( \"tcp://*:8\" ); # " FAKE_MAIN ".d/x.conf:2\n");
	conf_free(conf);
	/* Not a second time when it is read with the drop-ins still there. */
	fake.n--;
	conf = fake_read(&fake, buf_slice(&dump).p, &diag, NULL);
	assert_non_null(conf);
	assert_int_equal(conf->n_services, 1);
	conf_free(conf);
	buf_release(&dump);
	/* Nor does a plain user's dump ask for rights that he has not. */
	conf = dumped(&fake, false,
	    "services = ( { name = \"p\"; listen = 9000; exec = { program = "
	    "\"/bin/cat\"; }; } );",
	    &dump);
	conf_free(conf);
	conf = dumped(&fake, false, buf_slice(&dump).p, &again);
	conf_free(conf);
	buf_release(&dump);
	buf_release(&again);
	diag_release(&diag);
}

static void
the_file_name_cannot_end_the_comment(void **state)
{
	struct cab_diag diag = { 0 };
	struct cab_buf dump = CAB_BUF_INIT(0);
	struct cab_conf *conf;
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	fake_add(&fake, "/etc/a\nservices = 7;", "workers = 1;");
	conf = conf_read(
	    "/etc/a\nservices = 7;", fake_descs, &fake.source, &diag, &dump);
	assert_non_null(conf);
	assert_int_equal(buf_append(&dump, "", 1), 0);
	need_line(&dump, "workers = 1; # /etc/a\\x0aservices = 7;:1\n");
	conf_free(conf);
	buf_release(&dump);
	diag_release(&diag);
}

static void
the_table_names_every_option(void **state)
{
	struct cab_buf table = CAB_BUF_INIT(0);
	const char *p;
	unsigned tabs = 0, lines = 0;

	(void)state;
	assert_int_equal(conf_dump_schema(fake_descs, &table), 0);
	assert_int_equal(buf_append(&table, "", 1), 0);
	need_line(&table, "workers\tint\t0\t");
	need_line(&table,
	    "\nlog.level\tenum:error|warning|notice|info|debug\tinfo\t");
	need_line(&table, "\nservices.limits.connections\tint\t1000\t");
	need_line(&table, "\nservices.exec.rlimits.core\tsize\t\t");
	need_line(&table, "\nservices.web.routes.path\tstring\t\tpath\n");
	need_line(&table, "\nservices.web.inner.status\tint\t5\t");
	assert_null(strstr(buf_slice(&table).p, "group_ids"));
	assert_null(strstr(buf_slice(&table).p, "_set"));
	for (p = buf_slice(&table).p; *p != '\0'; p++) {
		tabs += *p == '\t';
		lines += *p == '\n';
	}
	assert_int_equal(tabs, lines * 3);
	buf_release(&table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_back_to_the_same),
		cmocka_unit_test(tells_where_values_come_from),
		cmocka_unit_test(drop_ins_become_part_of_it),
		cmocka_unit_test(the_file_name_cannot_end_the_comment),
		cmocka_unit_test(the_table_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
