/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From configuration text to structs: every type of option, defaults and where
 * they come from, drop-ins, and a finding in the right place for everything
 * that is not exactly what its row wants.
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
#include <unistd.h>

#include "tests/support/conf_fake.h"

#define ONE "name = \"a\"; listen = \"tcp://127.0.0.1:0\";"
#define WEB(options)                                                   \
	"services = ( { " ONE " protocol = \"web\";\nweb = { " options \
	" }; } );\n"
#define ECHO(more) \
	"services = ( { " ONE " protocol = \"echo\";\n" more " } );\n"

static struct cab_conf *
must_read(struct fake *fake, const char *text)
{
	struct cab_diag diag = { 0 };
	struct cab_conf *conf = fake_read(fake, text, &diag, NULL);

	if (conf == NULL || diag.n > 0)
		fail_msg("%s", fake_findings(&diag));
	diag_release(&diag);
	return conf;
}

static const struct fake_web *
web_of(const struct cab_conf *conf)
{
	assert_int_equal(conf->n_services, 1);
	assert_non_null(conf->services[0].options);
	return conf->services[0].options;
}

/* ---- values ---------------------------------------------------------------------- */

static void
reads_every_type(void **state)
{
	struct fake fake;
	struct cab_conf *conf;
	const struct fake_web *web;
	const struct fake_route *routes;

	(void)state;
	fake_init(&fake, true);
	conf = must_read(&fake,
	    WEB("flag = false; count = 1099511627776L; size = \"10M\";"
		"time = \"90s\"; mode = \"0755\"; least = 3; rate = \"20/min\";"
		"text = \"a \\\"b\\\"\"; root = \"/srv\";"
		"secret = \"/etc/passwd\"; choice = \"blue\"; user = \"git\";"
		"group = \"staff\"; index = \"a\";"
		"env = { A = \"1\"; B_2 = \"x=y\"; };"
		"from = ( \"10.0.0.0/8\", \"::1\" );"
		"routes = ( { path = \"/x\"; body = \"l1\\nl2\"; }, { path = "
		"\"/y\"; status = 404; } );"
		"special = { path = \"/s\"; }; inner = { status = 9; };"));
	web = web_of(conf);
	assert_false(web->flag);
	assert_int_equal(web->count, INT64_C(1) << 40);
	assert_int_equal(web->size, 10 << 20);
	assert_int_equal(web->time, 90000);
	assert_int_equal(web->mode, 0755);
	assert_int_equal(web->least, 3);
	assert_int_equal(web->rate.count, 20);
	assert_int_equal(web->rate.period_ms, 60000);
	assert_string_equal(web->text, "a \"b\"");
	assert_string_equal(web->root, "/srv");
	assert_null(web->computed);
	assert_int_equal(web->choice, 2);
	assert_int_equal(web->user.id, 1001);
	assert_int_equal(web->group.id, 50);
	assert_int_equal(web->index.n, 1);
	assert_int_equal(web->env.n, 2);
	assert_string_equal(web->env.v[0], "A=1");
	assert_string_equal(web->env.v[1], "B_2=x=y");
	assert_int_equal(web->from.n, 2);
	assert_true(web->from.set);
	assert_int_equal(web->from.v[0].bits, 8);
	assert_int_equal(web->routes.n, 2);
	routes = web->routes.v;
	assert_string_equal(routes[0].body, "l1\nl2");
	assert_int_equal(routes[0].status, 200);
	assert_int_equal(routes[1].status, 404);
	assert_string_equal(web->special->path, "/s");
	assert_int_equal(web->inner.status, 9);
	conf_free(conf);
}

static void
gives_every_default(void **state)
{
	struct fake fake;
	struct cab_conf *conf;
	const struct fake_web *web;
	const struct cab_service *s;

	(void)state;
	fake_init(&fake, true);
	conf = must_read(
	    &fake, "services = ( { " ONE " protocol = \"web\"; } );");
	web = web_of(conf);
	assert_true(web->flag);
	assert_int_equal(web->count, 7);
	assert_int_equal(web->size, 65536);
	assert_int_equal(web->time, 30000);
	assert_int_equal(web->mode, 0640);
	assert_int_equal(web->least, 0);
	assert_int_equal(web->rate.count, 3);
	assert_int_equal(web->rate.period_ms, 10000);
	assert_null(web->text);
	assert_int_equal(web->choice, 1);
	assert_null(web->user.name);
	assert_int_equal(web->index.n, 2);
	assert_string_equal(web->index.v[1], "index.htm");
	assert_false(web->from.set);
	assert_null(web->special);
	assert_int_equal(web->inner.status, 5);
	assert_string_equal(web->computed, "flag is set");

	s = &conf->services[0];
	assert_true(s->enabled);
	assert_int_equal(s->limits.connections, 1000);
	assert_int_equal(s->limits.per_source, 100);
	assert_int_equal(s->limits.rate.count, 0);
	assert_false(s->limits.per_source_rate_set);
	assert_int_equal(s->limits.on_limit, CAB_ON_LIMIT_REFUSE);
	assert_int_equal(s->timeouts.first_byte, 60000);
	assert_int_equal(s->timeouts.idle, 300000);
	assert_int_equal(s->timeouts.total, 3600000);
	assert_int_equal(s->socket.backlog, 4096);
	assert_true(s->socket.nodelay);
	assert_true(s->socket.keepalive);
	assert_false(s->socket.freebind);
	assert_int_equal(s->socket.mode, 0660);
	assert_int_equal(s->socket.owner.id, UINT32_MAX);
	assert_false(s->log.connections);
	assert_int_equal(conf->workers, 0);
	assert_int_equal(conf->log.level, CAB_LOG_LEVEL_INFO);
	assert_int_equal(conf->log.target, CAB_LOG_TO_AUTO);
	conf_free(conf);
}

static const struct {
	const char *value;
	int64_t ms;
} times[] = {
	{ "\"250ms\"", 250 },
	{ "\"30s\"", 30000 },
	{ "\"5min\"", 300000 },
	{ "\"1h\"", 3600000 },
	{ "30", 30000 },
	{ "\"30\"", 30000 },
	{ "30L", 30000 },
	{ "0", 0 },
};

static void
takes_every_unit(void **state)
{
	char text[256];
	struct fake fake;
	struct cab_conf *conf;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(times); i++) {
		fake_init(&fake, true);
		snprintf(text, sizeof(text), WEB("time = %s;"), times[i].value);
		conf = must_read(&fake, text);
		assert_int_equal(web_of(conf)->time, times[i].ms);
		conf_free(conf);
	}
	fake_init(&fake, true);
	conf = must_read(&fake, WEB("size = \"unlimited\";"));
	assert_int_equal(web_of(conf)->size, 0);
	conf_free(conf);
	fake_init(&fake, true);
	conf = must_read(
	    &fake, WEB("rate = 0; env = \"A=b\"; index = [ \"x\" ];"));
	assert_int_equal(web_of(conf)->rate.count, 0);
	assert_int_equal(web_of(conf)->env.n, 1);
	conf_free(conf);
}

static const struct {
	const char *text;
	int line;
	const char *words;
} faults[] = {
	/* Wrong types. */
	{ WEB("flag = 1;"), 2,
	    "web.flag: expected true or false, found the number 1" },
	{ WEB("flag = \"true\";"), 2, "found the text \"true\"" },
	{ WEB("count = \"7\";"), 2, "stands without quotes" },
	{ WEB("count = 7.5;"), 2, "found the number 7.5" },
	{ WEB("count = true;"), 2, "found true" },
	{ WEB("count = ();"), 2, "found an empty list" },
	{ WEB("count = { };"), 2, "found a group" },
	{ WEB("size = \"10X\";"), 2, "a size such as \"10M\"" },
	{ WEB("size = \"\";"), 2, "a size" },
	{ WEB("size = true;"), 2, "a size" },
	{ WEB("time = \"5 parsecs\";"), 2, "a time such as \"30s\"" },
	{ WEB("time = ( \"30s\" );"), 2, "found a list" },
	{ WEB("time = \"1h30\";"), 2, "a time" },
	{ WEB("time = \"unlimited\";"), 2, "a time" },
	{ WEB("mode = 755;"), 2, "octal number in quotes" },
	{ WEB("mode = \"8\";"), 2, "octal" },
	{ WEB("mode = \"\";"), 2, "octal" },
	{ WEB("rate = 20;"), 2, "a rate such as" },
	{ WEB("rate = \"20\";"), 2, "a rate such as" },
	{ WEB("rate = \"20/fortnight\";"), 2, "a rate such as" },
	{ WEB("text = 7;"), 2, "write it in double quotes" },
	{ WEB("root = 7;"), 2, "an absolute path" },
	{ WEB("choice = \"bleu\";"), 2, "did you mean \"blue\"" },
	{ WEB("choice = 1;"), 2, "\"red\", \"green\" or \"blue\"" },
	{ WEB("user = 7;"), 2, "the name of a user" },
	{ WEB("user = \"\";"), 2, "must not be empty" },
	{ WEB("index = 7;"), 2, "a list of texts" },
	{ WEB("index = (\n\"x\",\n7 );"), 4, "found the number 7" },
	{ WEB("index = ( { } );"), 2, "found a group" },
	{ WEB("env = 7;"), 2, "web.env" },
	{ WEB("env = ( \"x\" );"), 2, "NAME=VALUE" },
	{ WEB("env = ( \"1X=x\" );"), 2, "NAME=VALUE" },
	{ WEB("env = { A-B = \"x\"; };"), 2, "NAME=VALUE" },
	{ WEB("env = { A = 1; };"), 2, "double quotes" },
	{ WEB("env = ( \"A=1\", \"A=2\" );"), 2, "set before" },
	{ WEB("from = 10;"), 2, "an address or prefix" },
	{ WEB("from = ( \"::1\",\n\"10.0.0.0/33\" );"), 3, "10.0.0.0/33" },
	{ WEB("from = \"localhost\";"), 2, "localhost" },
	{ WEB("from = ();"), 2, "must not be empty" },
	{ WEB("routes = { };"), 2, "a list of groups" },
	{ WEB("routes = ( 7 );"), 2, "a list of groups" },
	{ WEB("special = ();"), 2, "a group of settings" },
	{ WEB("inner = 7;"), 2, "a group of settings" },
	/* Out of range. */
	{ WEB("count = -6;"), 2, "out of range, from -5 to 1099511627776" },
	{ WEB("count = 1099511627777L;"), 2, "out of range" },
	{ WEB("size = -1;"), 2, "out of range, from 1 to 1024G" },
	{ WEB("size = \"99999999999999999999\";"), 2, "out of range" },
	{ WEB("time = \"2h\";"), 2, "out of range, from 0 to 1h" },
	{ WEB("time = -3;"), 2, "out of range" },
	{ WEB("time = 9223372036854775807L;"), 2, "out of range" },
	{ WEB("mode = \"01000\";"), 2, "out of range, from 00 to 0777" },
	{ WEB("least = 2;"), 2, "out of range, from 3 to 10" },
	{ WEB("text = \"123456789012345678901\";"), 2, "longer than 20" },
	{ WEB("text = \"a\\nb\";"), 2, "control character" },
	{ WEB("root = \"srv\";"), 2, "not an absolute path" },
	{ WEB("root = \"/s\\rrv\";"), 2, "control character" },
	{ WEB("index = ( \"1\", \"2\", \"3\", \"4\" );"), 2, "at most 3" },
	{ WEB("index = ();"), 2, "must not be empty" },
	{ WEB("index = ( \"\" );"), 2, "must not be empty" },
	{ WEB("routes = ( {}, {}, {}, {}, {} );"), 2, "at most 4" },
	/* Names. */
	{ "bogus = 1;\nservices = ();", 1, "unknown setting \"bogus\"" },
	{ "servces = ();", 1, "did you mean \"services\"" },
	{ ECHO("bogus = 1;"), 2, "service \"a\": unknown setting \"bogus\"" },
	{ ECHO("Limits = { };"), 2, "did you mean \"limits\"" },
	{ ECHO("limits = {\nconections = 5; };"), 3,
	    "did you mean \"connections\"" },
	{ ECHO("connections = 5;"), 2, "belongs into the group \"limits\"" },
	{ ECHO("per_source_rate_set = true;"), 2, "unknown setting" },
	{ ECHO("limits = { per_source_rate_set = true; };"), 2,
	    "unknown setting" },
	{ WEB("bogus = 1;"), 2, "service \"a\": web: unknown setting \"bogus\"" },
	{ WEB("computed = \"x\";"), 2, "unknown setting" },
	{ WEB("routes = ( { path = \"/x\"; bogus = 1; } );"), 2,
	    "web.routes: unknown setting \"bogus\"" },
	{ "defaults = { bogus = 1; };", 1, "defaults: unknown setting \"bogus\"" },
	{ "defaults = { exec = { }; };", 1, "unknown setting \"exec\"" },
	{ "defaults = { limits = { bogus = 1; }; };", 1, "defaults.limits" },
	{ "defaults = 7;", 1, "defaults: expected a group" },
	{ "log = { level = \"inof\"; };", 1, "did you mean \"info\"" },
	{ "workers = -1;", 1, "from 0 to 64" },
	{ "workers = \"two\";", 1, "workers" },
	/* Missing. */
	{ "services = (\n{ listen = 0; protocol = \"echo\"; } );", 2,
	    "service 1: name is missing" },
	{ "services = (\n{ name = \"a\"; protocol = \"echo\"; } );", 2,
	    "listen is missing" },
	{ "services = (\n{ name = \"a\"; listen = 0; } );", 2,
	    "needs either protocol or exec" },
	{ WEB("routes = (\n{ status = 200; } );"), 3, "path is missing" },
	{ WEB("special = { };"), 2, "path is missing" },
	/* What a group's own rules say. */
	{ WEB("flag = true;\ncount = 13;"), 3, "web.count: must not be 13" },
	{ WEB("flag = true;\ncount = 14;"), 2, "web: is unlucky" },
	{ WEB("routes = ( { path =\n\"x\"; } );"), 2, "must begin with /" },
	/* Services. */
	{ "services = { };", 1, "services: expected a list of services" },
	{ "services = \"a\";", 1, "expected a list" },
	{ "services = (\n7 );", 2, "expected a service" },
	{ "services = (\n( ) );", 2, "expected a service" },
	{ ECHO("exec = { program = \"/bin/cat\"; };"), 1,
	    "both protocol and exec" },
	{ ECHO("web = { };"), 2, "another protocol than \"echo\"" },
	{ ECHO("echo = { };"), 2, "takes no options" },
	{ "services = ( { " ONE " exec = { program = \"/bin/cat\"; };\nweb = { "
	  "}; } );",
	    2, "needs protocol = \"web\"" },
	{ "services = ( { " ONE " protocol = \"ecko\"; } );", 1,
	    "did you mean \"echo\"" },
	{ "services = ( { " ONE " protocol = \"ECHO\"; } );", 1, "\"ECHO\"" },
	{ "services = ( { " ONE " protocol = \"\"; } );", 1, "must not be empty" },
	{ "services = ( { " ONE " protocol = \"web\"; web = 7; } );", 1,
	    "web: expected a group" },
	{ "services = ( { name = \"a\"; protocol = \"echo\";\nlisten = ( 7,\n"
	  "\"tcp://x\",\n70000 ); } );",
	    4, "70000" },
	{ "services = ( { name = \"a\"; protocol = \"echo\"; listen = (); } );",
	    1, "listen: must not be empty" },
	{ "services = ( { name = \"a\"; protocol = \"echo\"; listen = true; } );",
	    1, "listen: expected" },
	{ "services = ( { name = \"a\"; protocol = \"echo\"; listen = 7.5; } );",
	    1, "listen: expected" },
	{ "services = ( { name = \"a\"; protocol = \"echo\"; listen = "
	  "\"unix:///x\\x01\"; } );",
	    1, "control character" },
};

static void
tells_every_fault_in_its_place(void **state)
{
	struct cab_diag diag;
	struct cab_conf *conf;
	struct fake fake;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(faults); i++) {
		fake_init(&fake, true);
		diag = (struct cab_diag){ 0 };
		conf = fake_read(&fake, faults[i].text, &diag, NULL);
		if (conf != NULL)
			fail_msg("was taken: %s", faults[i].text);
		if (!fake_found(&diag, CAB_ERROR, NULL, faults[i].line,
			faults[i].words))
			fail_msg("no \"%s\" in line %d of\n%s\n%s",
			    faults[i].words, faults[i].line, faults[i].text,
			    fake_findings(&diag));
		diag_release(&diag);
	}
}

static void
tells_all_of_them_in_order(void **state)
{
	static const struct {
		int line;
		const char *words;
	} expected[] = {
		{ 1, "wrkers" },
		{ 2, "does not fit" },
		{ 4, "idle" },
		{ 5, "\"30s\"" },
		{ 6, "/none does not exist" },
		{ 7, "there is no user" },
		{ 8, "set a second time" },
	};
	struct cab_diag diag = { 0 };
	struct fake fake;
	size_t i;

	(void)state;
	fake_init(&fake, true);
	assert_null(fake_read(&fake,
	    "wrkers = 1;\n"
	    "workers = 4294967376;\n"
	    "services = (\n"
	    "{ " ONE " protocol = \"echo\"; timeouts = { idle = \"5 years\";\n"
	    "total = 30s; }; },\n"
	    "{ name = \"b\"; listen = 7; exec = { program = \"/none\";\n"
	    "user = \"nosuch\";\n"
	    "user = \"git\"; }; } );\n",
	    &diag, NULL));
	for (i = 0; i < diag.n; i++)
		assert_true(i == 0 ||
		    diag.findings[i].line >= diag.findings[i - 1].line);
	for (i = 0; i < CAB_N(expected); i++) {
		if (!fake_found(&diag, CAB_ERROR, NULL, expected[i].line,
			expected[i].words))
			fail_msg(
			    "%s: %s", expected[i].words, fake_findings(&diag));
	}
	diag_release(&diag);
}

static void
a_misspelt_name_is_told_once(void **state)
{
	static const char *const texts[] = {
		"services = ( { nam = \"a\"; listen = 7; protocol = \"echo\"; } );",
		"services = ( { name = \"a\"; lissen = 7; protocol = \"echo\"; } );",
		"services = ( { name = \"a\"; listen = 7; protocl = \"echo\"; } );",
		"services = ( { name = \"a\"; listen = 7; exec = { progam = \"/x\"; }; } );",
	};
	struct cab_diag diag;
	struct fake fake;
	size_t i;

	(void)state;
	for (i = 0; i < CAB_N(texts); i++) {
		fake_init(&fake, true);
		diag = (struct cab_diag){ 0 };
		assert_null(fake_read(&fake, texts[i], &diag, NULL));
		if (diag.n != 1)
			fail_msg("%s", fake_findings(&diag));
		diag_release(&diag);
	}
}

/* ---- defaults ------------------------------------------------------------------------ */

static void
defaults_reach_all_services_option_by_option(void **state)
{
	struct fake fake;
	struct cab_conf *conf;

	(void)state;
	fake_init(&fake, true);
	/* They stand behind the services, and hold for drop-ins, too. */
	fake_add(&fake, FAKE_MAIN ".d/x.conf",
	    "services = ( { name = \"d\"; listen = 9; protocol = \"echo\"; } );");
	conf = must_read(&fake,
	    "services = ( { name = \"a\"; listen = 7; protocol = \"echo\"; },\n"
	    "{ name = \"b\"; listen = 8; protocol = \"echo\"; limits = { "
	    "connections = 5; rate = 0; }; access = { deny = \"::1\"; }; } );\n"
	    "defaults = { limits = { per_source = 2; rate = \"1/s\"; "
	    "per_source_rate = \"3/s\"; }; timeouts = { total = 5; };"
	    "access = { allow = ( \"10.0.0.0/8\" ); deny = \"10.1.0.0/16\"; };"
	    "log = { connections = true; }; socket = { backlog = 7; }; };");
	assert_int_equal(conf->n_services, 3);
	assert_int_equal(conf->services[0].limits.connections, 1000);
	assert_int_equal(conf->services[0].limits.per_source, 2);
	assert_int_equal(conf->services[0].limits.rate.count, 1);
	assert_true(conf->services[0].limits.per_source_rate_set);
	assert_int_equal(conf->services[0].timeouts.total, 5000);
	assert_int_equal(conf->services[0].access.allow.n, 1);
	assert_true(conf->services[0].log.connections);
	assert_int_equal(conf->services[0].socket.backlog, 7);
	assert_int_equal(conf->services[1].limits.connections, 5);
	assert_int_equal(conf->services[1].limits.per_source, 2);
	assert_int_equal(conf->services[1].limits.rate.count, 0);
	assert_int_equal(conf->services[1].access.allow.n, 1);
	assert_int_equal(conf->services[1].access.deny.v[0].family, AF_INET6);
	assert_string_equal(conf->services[2].name, "d");
	assert_int_equal(conf->services[2].limits.per_source, 2);
	conf_free(conf);
}

/* ---- drop-ins --------------------------------------------------------------------------- */

#define SERVICE(name, port)                                  \
	"services = ( { name = \"" name "\"; listen = " port \
	"; protocol = \"echo\"; } );"

static void
drop_ins_follow_in_the_order_of_names(void **state)
{
	struct fake fake;
	struct cab_conf *conf;

	(void)state;
	fake_init(&fake, true);
	fake_add(&fake, FAKE_MAIN ".d/20.conf", SERVICE("c", "3"));
	fake_add(&fake, FAKE_MAIN ".d/10.conf", SERVICE("b", "2"));
	fake_add(&fake, FAKE_MAIN ".d/README", "no config");
	conf = must_read(&fake, SERVICE("a", "1"));
	assert_int_equal(conf->n_services, 3);
	assert_string_equal(conf->services[1].name, "b");
	assert_string_equal(conf->services[2].name, "c");
	assert_string_equal(conf->services[2].file, FAKE_MAIN ".d/20.conf");
	assert_string_equal(conf->include, FAKE_MAIN ".d");
	assert_ptr_equal(conf_find(conf, "b"), &conf->services[1]);
	assert_null(conf_find(conf, "x"));
	conf_free(conf);
}

static void
the_directory_can_be_named(void **state)
{
	struct fake fake;
	struct cab_conf *conf;

	(void)state;
	/* Relative to the main file; the default one is then not read. */
	fake_init(&fake, true);
	fake_add(&fake, "/etc/more/x.conf", SERVICE("b", "2"));
	fake_add(&fake, FAKE_MAIN ".d/y.conf", "nonsense");
	conf = must_read(&fake, "include = \"more\";" SERVICE("a", "1"));
	assert_int_equal(conf->n_services, 2);
	assert_string_equal(conf->include, "/etc/more");
	conf_free(conf);
	/* Or there is none. */
	fake_init(&fake, true);
	fake_add(&fake, FAKE_MAIN ".d/y.conf", "nonsense");
	conf = must_read(&fake, "include = \"\";" SERVICE("a", "1"));
	assert_int_equal(conf->n_services, 1);
	assert_int_equal(fake.listed, 0);
	conf_free(conf);
}

static void
drop_ins_answer_for_themselves(void **state)
{
	struct cab_diag diag = { 0 };
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	fake_add(&fake, FAKE_MAIN ".d/1.conf", SERVICE("b", "2"));
	fake_add(&fake, FAKE_MAIN ".d/2.conf", "\nservices = ( { name = ; } );");
	fake_add(&fake, FAKE_MAIN ".d/3.conf", "services = (");
	fake_add(&fake, FAKE_MAIN ".d/4.conf",
	    "\n\nworkers = 3;\n" SERVICE("b", "2"));
	fake_add(&fake, FAKE_MAIN ".d/5.conf", "servics = ();");
	fake_add_error(&fake, FAKE_MAIN ".d/6.conf", -EPERM,
	    "can be written by others than root: chmod go-w it");
	assert_null(fake_read(&fake, "workers = 5; colour = 3;", &diag, NULL));
	assert_true(fake_found(&diag, CAB_ERROR, FAKE_MAIN, 1, "colour"));
	assert_false(fake_found(&diag, CAB_ERROR, FAKE_MAIN ".d/1.conf", -1, ""));
	assert_true(fake_found(
	    &diag, CAB_ERROR, FAKE_MAIN ".d/2.conf", 2, "name has no value"));
	assert_true(fake_found(
	    &diag, CAB_ERROR, FAKE_MAIN ".d/3.conf", 1, "never closed"));
	assert_true(fake_found(&diag, CAB_ERROR, FAKE_MAIN ".d/4.conf", 3,
	    "holds only \"services\""));
	assert_true(fake_found(&diag, CAB_ERROR, FAKE_MAIN ".d/4.conf", 4,
	    "1.conf:1 has the same name"));
	assert_true(fake_found(
	    &diag, CAB_ERROR, FAKE_MAIN ".d/5.conf", 1, "did you mean that"));
	assert_true(fake_found(
	    &diag, CAB_ERROR, FAKE_MAIN ".d/6.conf", 0, "chmod go-w"));
	diag_release(&diag);
}

static void
a_named_directory_must_exist(void **state)
{
	struct cab_diag diag = { 0 };
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	assert_null(fake_read(&fake, "\ninclude = \"absent\";", &diag, NULL));
	assert_true(fake_found(&diag, CAB_ERROR, NULL, 2,
	    "/etc/absent: No such file or directory"));
	diag_release(&diag);
}

static void
a_lost_main_file_does_not_hide_the_others(void **state)
{
	struct cab_diag diag = { 0 };
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	fake_add(&fake, FAKE_MAIN ".d/1.conf", "services = ( { } );");
	assert_null(fake_read(&fake, "services = (", &diag, NULL));
	assert_true(fake_found(&diag, CAB_ERROR, NULL, 1, "never closed"));
	assert_true(fake_found(
	    &diag, CAB_ERROR, FAKE_MAIN ".d/1.conf", 1, "name is missing"));
	/* Nothing is said of what could not be known. */
	assert_false(fake_found(&diag, CAB_WARNING, NULL, -1, ""));
	diag_release(&diag);
}

static void
a_missing_main_file_is_told(void **state)
{
	struct cab_diag diag = { 0 };
	struct fake fake;

	(void)state;
	fake_init(&fake, true);
	assert_null(
	    conf_read("/etc/other.conf", fake_descs, &fake.source, &diag, NULL));
	assert_true(fake_found(&diag, CAB_ERROR, "/etc/other.conf", 0,
	    "No such file or directory"));
	diag_release(&diag);
}

static void
findings_are_bounded(void **state)
{
	struct cab_diag diag = { 0 };
	struct cab_buf text = CAB_BUF_INIT(0);
	struct fake fake;
	int i;

	(void)state;
	buf_printf(&text, "services = (\n");
	for (i = 0; i < 3000; i++)
		buf_printf(&text, "{ name = \"s%d\"; bogus = 1; },\n", i);
	buf_printf(&text, ");\n%c", 0);
	fake_init(&fake, true);
	assert_null(fake_read(&fake, buf_slice(&text).p, &diag, NULL));
	assert_int_equal(diag.n, CAB_DIAG_MAX);
	assert_true(diag.truncated);
	assert_true(diag.errors > CAB_DIAG_MAX);
	diag_release(&diag);
	buf_release(&text);
}

static void
an_empty_file_is_a_configuration(void **state)
{
	struct cab_diag diag = { 0 };
	struct fake fake;
	struct cab_conf *conf;

	(void)state;
	fake_init(&fake, true);
	conf = fake_read(&fake, "", &diag, NULL);
	assert_non_null(conf);
	assert_int_equal(conf->n_services, 0);
	assert_string_equal(conf->path, FAKE_MAIN);
	conf_free(conf);
	/* More often than not it was something else once. */
	assert_int_equal(diag.n, 1);
	assert_int_equal(diag.findings[0].severity, CAB_WARNING);
	assert_string_equal(diag.findings[0].file, FAKE_MAIN);
	assert_string_equal(diag.findings[0].text,
	    "no service is configured: nothing would be served");
	diag_release(&diag);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_type),
		cmocka_unit_test(gives_every_default),
		cmocka_unit_test(takes_every_unit),
		cmocka_unit_test(tells_every_fault_in_its_place),
		cmocka_unit_test(tells_all_of_them_in_order),
		cmocka_unit_test(a_misspelt_name_is_told_once),
		cmocka_unit_test(defaults_reach_all_services_option_by_option),
		cmocka_unit_test(drop_ins_follow_in_the_order_of_names),
		cmocka_unit_test(the_directory_can_be_named),
		cmocka_unit_test(drop_ins_answer_for_themselves),
		cmocka_unit_test(a_named_directory_must_exist),
		cmocka_unit_test(a_lost_main_file_does_not_hide_the_others),
		cmocka_unit_test(a_missing_main_file_is_told),
		cmocka_unit_test(findings_are_bounded),
		cmocka_unit_test(an_empty_file_is_a_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
