/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The default configuration shows every option with its default, and can be
 * used as it is installed and with everything in it switched on.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/proto.h"
#include "tests/support/conf_fake.h"

/* A file of the source tree; skips the test where it is not known. */
static char *
source_file(const char *name)
{
	const char *top = getenv("CAB_SRC");
	char path[4096], *text;
	size_t n;
	int fd;

	if (top == NULL)
		skip();
	snprintf(path, sizeof(path), "%s/%s", top, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(fd_read_all(fd, 1 << 20, &text, &n), 0);
	close(fd);
	return text;
}

static void
must_read(const char *text)
{
	struct cab_diag diag = { 0 };
	struct cab_conf *conf;
	struct fake fake;

	fake_init(&fake, true);
	fake_add(&fake, FAKE_MAIN ".d/one.conf", "");
	fake_add(&fake, FAKE_MAIN, text);
	conf = conf_read(FAKE_MAIN, cab_descs, &fake.source, &diag, NULL);
	if (conf == NULL || diag.n > 0)
		fail_msg("%s", fake_findings(&diag));
	conf_free(conf);
	diag_release(&diag);
}

static void
is_good_as_it_is(void **state)
{
	char *text = source_file("etc/cabinetd.conf");

	(void)state;
	must_read(text);
	/* Nobody but this host is served by it. */
	assert_null(strstr(text, "\n  { name = \"echo\"; listen = \"tcp://*"));
	free(text);
}

static void
is_good_with_all_of_it(void **state)
{
	char *text = source_file("etc/cabinetd.conf"), *p;

	(void)state;
	for (p = text; p != NULL; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (*p == '#')
			*p = ' ';
		else if (*p == '\0')
			break;
	}
	must_read(text);
	free(text);
}

/* "name = value" with or without quotes around the value; value NULL: any. */
static bool
mentions(const char *text, const char *name, const char *value)
{
	size_t n = strlen(name), v = value != NULL ? strlen(value) : 0;
	const char *p;

	for (p = strstr(text, name); p != NULL; p = strstr(p + 1, name)) {
		if (p > text && strchr(" #{", p[-1]) == NULL)
			continue;
		if (strncmp(p + n, " = ", 3) != 0)
			continue;
		if (value == NULL || strncmp(p + n + 3, value, v) == 0 ||
		    (p[n + 3] == '"' && strncmp(p + n + 4, value, v) == 0))
			return true;
	}
	return false;
}

static void
shows_every_option(void **state)
{
	char *text = source_file("etc/cabinetd.conf"), *line, *type, *def, *end;
	struct cab_buf table = CAB_BUF_INIT(0);
	const char *name;

	(void)state;
	assert_int_equal(conf_dump_schema(cab_descs, &table), 0);
	assert_int_equal(buf_append(&table, "", 1), 0);
	for (line = table.data; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		*end = '\0';
		type = strchr(line, '\t');
		*type++ = '\0';
		def = strchr(type, '\t');
		*def++ = '\0';
		*strchr(def, '\t') = '\0';
		name = strrchr(line, '.') != NULL ? strrchr(line, '.') + 1 : line;
		/* Defaults that depend on the build, or are shown as what they mean. */
		if (strncmp(type, "path", 4) == 0 ||
		    strcmp(name, "per_source_rate") == 0)
			def = NULL;
		if (!mentions(text, name, def != NULL && *def ? def : NULL))
			fail_msg("etc/cabinetd.conf does not show %s%s%s", line,
			    def != NULL ? " = " : "", def != NULL ? def : "");
	}
	buf_release(&table);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_good_as_it_is),
		cmocka_unit_test(is_good_with_all_of_it),
		cmocka_unit_test(shows_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
