/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host in memory for the configuration reader.  Tests and fuzz targets.
 * Nothing here touches a file system or a name server.
 */
#include "tests/support/conf_fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* ---- files -------------------------------------------------------------------- */

static int
fake_open(void *arg, const char *path, const char **why)
{
	struct fake *fake = arg;
	size_t i;

	fake->opened++;
	for (i = 0; i < fake->n; i++) {
		const struct fake_file *f = &fake->files[i];

		if (strcmp(f->path, path) != 0)
			continue;
		*why = f->why;
		return f->error != 0 ? f->error :
				       fd_sealed_memfd("fake", f->text, f->n);
	}
	return -ENOENT;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
fake_list(void *arg, const char *dir, char **ret_names, size_t *ret_n,
    const char **why)
{
	struct fake *fake = arg;
	struct cab_buf text = CAB_BUF_INIT(0);
	const char *names[FAKE_FILES], *name;
	size_t n = 0, i, length = strlen(dir);
	bool exists = false;

	(void)why;
	fake->listed++;
	for (i = 0; i < fake->n; i++) {
		if (strncmp(fake->files[i].path, dir, length) != 0 ||
		    fake->files[i].path[length] != '/')
			continue;
		exists = true;
		name = fake->files[i].path + length + 1;
		if (strchr(name, '/') == NULL && strlen(name) > 5 &&
		    strcmp(name + strlen(name) - 5, ".conf") == 0)
			names[n++] = name;
	}
	if (!exists)
		return -ENOENT;
	qsort(names, n, sizeof(*names), compare);
	for (i = 0; i < n; i++)
		if (buf_append(&text, names[i], strlen(names[i]) + 1) < 0)
			abort();
	*ret_names = buf_len(&text) > 0 ? text.data : calloc(1, 1);
	*ret_n = n;
	return 0;
}

static int
fake_probe(void *arg, const char *path, enum cab_probe kind)
{
	static const struct {
		const char *path;
		enum cab_probe kind;
	} there[] = {
		{ "/", CAB_PROBE_DIR },
		{ "/srv", CAB_PROBE_DIR },
		{ "/jail", CAB_PROBE_DIR },
		{ "/bin/cat", CAB_PROBE_PROGRAM },
		{ "/jail/bin/cat", CAB_PROBE_PROGRAM },
		{ "/jail/", CAB_PROBE_DIR },
		{ "/etc/passwd", CAB_PROBE_FILE },
	};
	size_t i;

	(void)arg;
	for (i = 0; i < CAB_N(there); i++) {
		if (strcmp(path, there[i].path) != 0)
			continue;
		if (there[i].kind == kind)
			return 0;
		return kind == CAB_PROBE_DIR       ? -ENOTDIR :
		    there[i].kind == CAB_PROBE_DIR ? -EISDIR :
						     -EACCES;
	}
	return -ENOENT;
}

/* ---- names ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	uint32_t id;
} accounts[] = {
	{ "root", 0 },
	{ "cabinetd", 990 },
	{ "git", 1001 },
	{ "nobody", 65534 },
};

static int
fake_user(void *arg, const char *name, struct conf_user *ret)
{
	const struct fake *fake = arg;
	char number[16];
	size_t i;

	for (i = 0; i < CAB_N(accounts); i++) {
		snprintf(number, sizeof(number), "%u", accounts[i].id);
		if (strcmp(name, accounts[i].name) != 0 &&
		    strcmp(name, number) != 0)
			continue;
		if (fake->no_cabinetd && accounts[i].id == 990)
			return -ENOENT;
		ret->uid = ret->gid = accounts[i].id;
		snprintf(ret->name, sizeof(ret->name), "%s", accounts[i].name);
		snprintf(
		    ret->home, sizeof(ret->home), "/home/%s", accounts[i].name);
		return 0;
	}
	snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	if (strcmp(name, "tester") != 0 && strcmp(name, number) != 0)
		return -ENOENT;
	ret->uid = geteuid();
	ret->gid = getegid();
	snprintf(ret->name, sizeof(ret->name), "tester");
	snprintf(ret->home, sizeof(ret->home), "/home/tester");
	return 0;
}

static int
fake_group(void *arg, const char *name, uint32_t *ret_gid)
{
	struct conf_user user;

	if (strcmp(name, "staff") == 0 || strcmp(name, "nogroup") == 0) {
		*ret_gid = strcmp(name, "staff") == 0 ? 50 : 65534;
		return 0;
	}
	if (fake_user(arg, name, &user) < 0)
		return -ENOENT;
	*ret_gid = user.gid;
	return 0;
}

static int
fake_group_name(void *arg, uint32_t gid, char ret[NAMES_TEXT])
{
	size_t i;

	(void)arg;
	for (i = 0; i < CAB_N(accounts); i++)
		if (accounts[i].id == gid) {
			snprintf(ret, NAMES_TEXT, "%s", accounts[i].name);
			return 0;
		}
	return -ENOENT;
}

static int
fake_groups(void *arg, const char *user, uint32_t gid,
    uint32_t ids[NAMES_GROUPS], size_t *ret_n)
{
	(void)arg;
	ids[0] = gid;
	ids[1] = 50;
	*ret_n = strcmp(user, "cabinetd") == 0 ? 2 : 1;
	return 0;
}

static int
fake_host(void *arg, const char *host, struct cab_sockaddr ret[NAMES_HOSTS],
    size_t *ret_n, const char **why)
{
	const struct fake *fake = arg;

	*why = "Name or service not known";
	if (fake->no_hosts || strcmp(host, "localhost") != 0)
		return -ENOENT;
	sockaddr_parse_ip(CAB_SLICE("127.0.0.1"), 0, &ret[0]);
	sockaddr_parse_ip(CAB_SLICE("::1"), 0, &ret[1]);
	*ret_n = 2;
	return 0;
}

static int
fake_port(void *arg, const char *name, const char *transport, uint16_t *ret)
{
	(void)arg;
	if (strcmp(name, "daytime") != 0 || strcmp(transport, "tcp") != 0)
		return -ENOENT;
	*ret = 13;
	return 0;
}

/* ---- the host --------------------------------------------------------------------------- */

void
fake_init(struct fake *fake, bool privileged)
{
	*fake = (struct fake){ .names = { .user = fake_user,
				   .group = fake_group,
				   .group_name = fake_group_name,
				   .groups = fake_groups,
				   .host = fake_host,
				   .port = fake_port } };
	fake->names.arg = fake;
	fake->source = (struct cab_conf_source){ .open = fake_open,
		.list = fake_list,
		.probe = fake_probe,
		.arg = fake,
		.privileged = privileged,
		.names = &fake->names };
}

void
fake_add_bytes(struct fake *fake, const char *path, const void *text, size_t n)
{
	if (fake->n == FAKE_FILES)
		abort();
	fake->files[fake->n++] = (struct fake_file){
		.path = path, .text = text, .n = n
	};
}

void
fake_add(struct fake *fake, const char *path, const char *text)
{
	fake_add_bytes(fake, path, text, strlen(text));
}

void
fake_add_error(struct fake *fake, const char *path, int error, const char *why)
{
	fake_add_bytes(fake, path, "", 0);
	fake->files[fake->n - 1].error = error;
	fake->files[fake->n - 1].why = why;
}

struct cab_conf *
fake_read(struct fake *fake, const char *text, struct cab_diag *diag,
    struct cab_buf *dump)
{
	fake_add(fake, FAKE_MAIN, text);
	return conf_read(FAKE_MAIN, fake_descs, &fake->source, diag, dump);
}

bool
fake_found(const struct cab_diag *diag, enum cab_severity severity,
    const char *file, int line, const char *words)
{
	size_t i;

	if (file == NULL)
		file = FAKE_MAIN;
	for (i = 0; i < diag->n; i++) {
		const struct cab_finding *f = &diag->findings[i];

		if (f->severity == severity && f->file != NULL &&
		    strcmp(f->file, file) == 0 && (line < 0 || f->line == line) &&
		    strstr(f->text, words) != NULL)
			return true;
	}
	return false;
}

char *
fake_findings(const struct cab_diag *diag)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (f == NULL)
		abort();
	diag_print(diag, f);
	fclose(f);
	return text;
}

/* ---- protocols ------------------------------------------------------------------------------ */

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct cab_opt route_rows[] = {
	{ .name = "path",
	    .type = CAB_T_STRING,
	    AT(fake_route, path),
	    .flags = CAB_F_REQUIRED,
	    .help = "path" },
	{ .name = "body",
	    .type = CAB_T_STRING,
	    AT(fake_route, body),
	    .flags = CAB_F_TEXT,
	    .def = "ok",
	    .help = "body" },
	{ .name = "status",
	    .type = CAB_T_INT,
	    AT(fake_route, status),
	    .min = 100,
	    .max = 599,
	    .def = "200",
	    .help = "status" },
};

static void
route_check(void *options,
    void (*complain)(void *arg, const char *option, const char *fmt, ...)
	__attribute__((format(printf, 3, 4))),
    void *arg)
{
	const struct fake_route *route = options;

	if (route->path[0] != '/')
		complain(arg, "path", "\"%s\" must begin with /", route->path);
}

static const struct cab_group route_group = { .name = "routes",
	.opts = route_rows,
	.n_opts = CAB_N(route_rows),
	.size = sizeof(struct fake_route),
	.check = route_check };

static const struct cab_opt inner_rows[] = {
	{ .name = "status",
	    .type = CAB_T_INT,
	    AT(fake_route, status),
	    .min = 1,
	    .max = 9,
	    .def = "5",
	    .help = "inner status" },
};
static const struct cab_group inner_group = { .name = "inner",
	.opts = inner_rows,
	.n_opts = CAB_N(inner_rows),
	.size = sizeof(struct fake_route) };

static const char *const choices[] = { "red", "green", "blue", NULL };

static const struct cab_opt web_rows[] = {
	{ .name = "flag",
	    .type = CAB_T_BOOL,
	    AT(fake_web, flag),
	    .def = "true",
	    .help = "flag" },
	{ .name = "count",
	    .type = CAB_T_INT,
	    AT(fake_web, count),
	    .min = -5,
	    .max = INT64_C(1) << 40,
	    .def = "7",
	    .help = "count" },
	{ .name = "size",
	    .type = CAB_T_SIZE,
	    AT(fake_web, size),
	    .min = 1,
	    .max = INT64_C(1) << 40,
	    .flags = CAB_F_UNLIMITED,
	    .def = "64K",
	    .help = "size" },
	{ .name = "time",
	    .type = CAB_T_TIME,
	    AT(fake_web, time),
	    .max = 3600000,
	    .def = "30s",
	    .help = "time" },
	{ .name = "mode",
	    .type = CAB_T_OCTAL,
	    AT(fake_web, mode),
	    .max = 0777,
	    .def = "0640",
	    .help = "mode" },
	{ .name = "least",
	    .type = CAB_T_INT,
	    AT(fake_web, least),
	    .min = 3,
	    .max = 10,
	    .help = "a number without default" },
	{ .name = "rate",
	    .type = CAB_T_RATE,
	    AT(fake_web, rate),
	    .def = "3/10s",
	    .help = "rate" },
	{ .name = "text",
	    .type = CAB_T_STRING,
	    AT(fake_web, text),
	    .max = 20,
	    .help = "text" },
	{ .name = "root",
	    .type = CAB_T_PATH,
	    AT(fake_web, root),
	    .flags = CAB_F_DIR | CAB_F_OPEN,
	    .help = "root" },
	{ .name = "secret",
	    .type = CAB_T_PATH,
	    AT(fake_web, secret),
	    .flags = CAB_F_FILE,
	    .help = "secret" },
	{ .name = "computed",
	    .type = CAB_T_STRING,
	    AT(fake_web, computed),
	    .flags = CAB_F_COMPUTED },
	{ .name = "choice",
	    .type = CAB_T_ENUM,
	    AT(fake_web, choice),
	    .words = choices,
	    .def = "green",
	    .help = "choice" },
	{ .name = "user", .type = CAB_T_USER, AT(fake_web, user), .help = "user" },
	{ .name = "group", .type = CAB_T_GROUP, AT(fake_web, group), .help = "group" },
	{ .name = "index",
	    .type = CAB_T_STRINGS,
	    AT(fake_web, index),
	    .flags = CAB_F_NONEMPTY,
	    .max = 3,
	    .def = "index.html, index.htm",
	    .help = "index" },
	{ .name = "env", .type = CAB_T_ENV, AT(fake_web, env), .help = "env" },
	{ .name = "from", .type = CAB_T_PREFIXES, AT(fake_web, from), .help = "from" },
	{ .name = "routes",
	    .type = CAB_T_SUBS,
	    AT(fake_web, routes),
	    .max = 4,
	    .sub = &route_group,
	    .help = "routes" },
	{ .name = "special",
	    .type = CAB_T_SUBOPT,
	    AT(fake_web, special),
	    .sub = &route_group,
	    .help = "special" },
	{ .name = "inner",
	    .type = CAB_T_SUB,
	    AT(fake_web, inner),
	    .sub = &inner_group,
	    .help = "inner" },
};

static void
web_check(void *options,
    void (*complain)(void *arg, const char *option, const char *fmt, ...)
	__attribute__((format(printf, 3, 4))),
    void *arg)
{
	struct fake_web *web = options;

	web->computed = web->flag ? "flag is set" : NULL;
	if (web->count == 13)
		complain(arg, "count", "must not be %d", 13);
	if (web->count == 14)
		complain(arg, NULL, "is unlucky");
}

static const struct cab_group web_group = { .name = "web",
	.opts = web_rows,
	.n_opts = CAB_N(web_rows),
	.size = sizeof(struct fake_web),
	.check = web_check };

static const struct cab_desc echo = { .name = "echo",
	.summary = "echo",
	.transports = CAB_STREAM | CAB_DGRAM };
static const struct cab_desc line = { .name = "line",
	.summary = "line",
	.transports = CAB_STREAM };
static const struct cab_desc web = { .name = "web",
	.summary = "web",
	.transports = CAB_STREAM,
	.options = &web_group };

const struct cab_desc *const fake_descs[] = { &echo, &line, &web, NULL };
