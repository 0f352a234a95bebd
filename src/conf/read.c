/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the main file and its drop-ins.  Config role only: libconfig parses
 * here and nowhere else.  A setting is either read as its row says or is a
 * finding; nothing is ever skipped in silence.
 */
#include "conf/read.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/check.h"
#include "conf/dump.h"
#include "conf/file.h"
#include "conf/group.h"
#include "conf/value.h"
#include "stats/board.h"

#define DROP_INS_MAX 1000

/* ---- findings ---------------------------------------------------------------- */

const char *
conf_key_text(const struct conf_key *key, char dst[static CONF_KEY_MAX])
{
	char inner[CONF_KEY_MAX];

	if (key == NULL) {
		dst[0] = '\0';
		return dst;
	}
	conf_key_text(key->up, inner);
	snprintf(dst, CONF_KEY_MAX, "%.*s%s%s", CONF_KEY_MAX / 2, inner,
	    key->up == NULL ? "" : (key->up->label ? ": " : "."), key->name);
	return dst;
}

void
conf_complain(struct conf_reading *r, enum cab_severity severity,
    const struct conf_at *at, const struct conf_key *key, const char *fmt, ...)
{
	char name[CONF_KEY_MAX], text[1500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_add(r->diag, severity, at != NULL ? at->file : NULL,
	    at != NULL ? at->line : 0, "%s%s%s", conf_key_text(key, name),
	    key != NULL ? ": " : "", text);
}

void
conf_no_memory(struct conf_reading *r)
{
	diag_add(r->diag, CAB_ERROR, r->path, 0, "out of memory");
}

const struct conf_at *
conf_at(const config_setting_t *setting)
{
	return config_setting_get_hook(setting);
}

const struct cab_desc *
conf_desc(const struct cab_desc *const descs[], const char *name)
{
	for (; *descs != NULL; descs++)
		if (strcmp((*descs)->name, name) == 0)
			return *descs;
	return NULL;
}

bool
conf_name_valid(const char *name)
{
	size_t n = strspn(name,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n <= 64 && name[n] == '\0';
}

/* ---- services ---------------------------------------------------------------------------- */

static bool
is_protocol_group(const struct group *g, const char *name)
{
	return conf_desc(g->r->descs, name) != NULL;
}

static void
offer_protocols(const struct group *g, struct cab_nearest *near, char *known)
{
	size_t i;

	for (i = 0; g->r->descs[i] != NULL; i++) {
		if (g->r->descs[i]->options == NULL)
			continue;
		nearest_offer(near, g->r->descs[i]->name);
		group_known(known, g->r->descs[i]->name);
	}
}

static void
unknown_protocol(struct conf_reading *r, const struct conf_at *at,
    const struct conf_key *key, const char *name)
{
	struct cab_nearest near = { .want = name };
	char known[GROUP_KNOWN] = "", text[CONF_SHOWN];
	size_t i;

	for (i = 0; r->descs[i] != NULL; i++) {
		nearest_offer(&near, r->descs[i]->name);
		group_known(known, r->descs[i]->name);
	}
	str_escape(text, sizeof(text), name, strlen(name));
	conf_complain(r, CAB_ERROR, at, key,
	    "there is no protocol \"%s\"; %s%s%sknown are: %s", text,
	    near.best != NULL ? "did you mean \"" : "",
	    near.best != NULL ? near.best : "", near.best != NULL ? "\"? " : "",
	    known);
}

/* Option groups of protocols that the service does not speak. */
static bool
foreign_options(struct group *g, const struct cab_service *s)
{
	const config_setting_t *child;
	bool good = true;
	const char *name;
	int i;

	for (i = 0; i < config_setting_length(g->setting); i++) {
		child = config_setting_get_elem(g->setting, (unsigned)i);
		name = config_setting_name(child);
		if (file_is_twin(child) || conf_desc(g->r->descs, name) == NULL ||
		    (s->desc != NULL && strcmp(s->desc->name, name) == 0))
			continue;
		good = false;
		if (s->protocol != NULL)
			conf_complain(g->r, CAB_ERROR, conf_at(child), g->key,
			    "the group %s holds options of another protocol "
			    "than \"%s\"",
			    name, s->protocol);
		else
			conf_complain(g->r, CAB_ERROR, conf_at(child), g->key,
			    "the group %s needs protocol = \"%s\"", name, name);
	}
	return good;
}

/* Finds the protocol and reads the group of its name. */
static bool
read_protocol(struct group *g, struct cab_service *s)
{
	const config_setting_t *named = file_member(g->setting, "protocol");
	const config_setting_t *options;
	struct conf_key key = { g->key, "protocol", false };
	struct group sub = { .r = g->r, .key = &key };

	if (s->protocol != NULL) {
		s->desc = conf_desc(g->r->descs, s->protocol);
		if (s->desc == NULL) {
			unknown_protocol(g->r, conf_at(named), &key, s->protocol);
			return false;
		}
	}
	if (!foreign_options(g, s))
		return false;
	if (s->desc == NULL)
		return true;
	key.name = s->desc->name;
	options = file_member(g->setting, s->desc->name);
	if (s->desc->options == NULL) {
		if (options == NULL)
			return true;
		conf_complain(g->r, CAB_ERROR, conf_at(options), &key,
		    "protocol \"%s\" takes no options", s->desc->name);
		return false;
	}
	if (options != NULL && !config_setting_is_group(options)) {
		char found[CONF_SHOWN + 32];

		conf_complain(g->r, CAB_ERROR, conf_at(options), &key,
		    "expected a group of settings, { ... }, found %s",
		    value_found(options, found));
		return false;
	}
	sub.at = options != NULL ? conf_at(options) : g->at;
	sub.setting = options;
	sub.rows = s->desc->options;
	sub.base = arena_alloc(g->r->arena, sub.rows->size);
	if (sub.base == NULL) {
		conf_no_memory(g->r);
		return false;
	}
	s->options = sub.base;
	return group_defaults(g->r, sub.rows, sub.base) && group_read(&sub);
}

/* The places of a group of the template, for the same group of a service. */
static bool
inherit_origins(struct conf_reading *r, const struct cab_group *rows,
    const void *from, const void *to)
{
	size_t i;

	for (i = 0; i < rows->n_opts; i++) {
		const struct cab_opt *row = &rows->opts[i];
		const void *old = (const char *)from + row->offset;
		const void *new = (const char *)to + row->offset;
		const struct conf_origin *origin = origin_get(&r->origins, old);

		if (row->type == CAB_T_SUB) {
			if (!inherit_origins(r, row->sub, old, new))
				return false;
		} else if (origin != NULL &&
		    origin_set(&r->origins, new, origin->file, origin->line,
			true) < 0) {
			conf_no_memory(r);
			return false;
		}
	}
	return true;
}

/* Starts a service from the group "defaults": the groups that both have. */
static bool
inherit(struct conf_reading *r, const struct cab_service *template,
    struct cab_service *s)
{
	size_t i;

	for (i = 0; i < conf_group_service.n_opts; i++) {
		const struct cab_opt *row = &conf_group_service.opts[i];

		if (row->type != CAB_T_SUB)
			continue;
		memcpy(CONF_FIELD(s, row), (const char *)template + row->offset,
		    row->sub->size);
		if (!inherit_origins(r, row->sub,
			(const char *)template + row->offset, CONF_FIELD(s, row)))
			return false;
	}
	return true;
}

/* Exactly one of protocol and exec. */
static bool
one_answer(const struct group *g)
{
	uint64_t protocol = group_bit(g->rows, "protocol");
	uint64_t exec = group_bit(g->rows, "exec");
	bool has_protocol = g->given & protocol, has_exec = g->given & exec;

	if (has_protocol != has_exec)
		return true;
	/* One of them misspelt has been reported. */
	if (!has_protocol && g->hinted & (protocol | exec))
		return false;
	conf_complain(g->r, CAB_ERROR, g->at, g->key,
	    has_protocol ? "has both protocol and exec, and one of them must go" :
			   "needs either protocol or exec");
	return false;
}

static bool
read_service(struct conf_reading *r, const config_setting_t *setting,
    const struct cab_service *template, size_t index)
{
	struct cab_service *s = &r->services[index];
	const struct conf_at *at = conf_at(setting);
	char label[CONF_SHOWN], found[CONF_SHOWN + 32];
	struct conf_key key = { NULL, label, true };
	struct group g = { .r = r,
		.key = &key,
		.at = at,
		.setting = setting,
		.rows = &conf_group_service,
		.base = s,
		.other = is_protocol_group,
		.offer_others = offer_protocols };
	const config_setting_t *name;
	char text[CONF_SHOWN / 2];
	const char *named;
	bool good;

	s->file = at->file;
	s->line = at->line;
	snprintf(label, sizeof(label), "services");
	if (!config_setting_is_group(setting)) {
		if (!at->bad)
			conf_complain(r, CAB_ERROR, at, &key,
			    "expected a service, { name = ...; }, found %s",
			    value_found(setting, found));
		return false;
	}
	name = file_member(setting, "name");
	if (name != NULL && config_setting_type(name) == CONFIG_TYPE_STRING) {
		named = config_setting_get_string(name);
		str_escape(text, sizeof(text), named, strlen(named));
		snprintf(label, sizeof(label), "service \"%s\"", text);
	} else {
		snprintf(label, sizeof(label), "service %zu", index + 1);
	}
	if (!group_defaults(r, &conf_group_service, s) ||
	    !inherit(r, template, s))
		return false;
	good = group_read(&g);
	good = one_answer(&g) && good;
	return read_protocol(&g, s) && good;
}

/* The list of services of a file, NULL if it has none or something else. */
static const config_setting_t *
service_list(const struct conf_file *file)
{
	const config_setting_t *list = file_top(file, "services");

	return list != NULL && config_setting_type(list) == CONFIG_TYPE_LIST ?
	    list :
	    NULL;
}

static void
read_services(struct conf_reading *r, const struct conf_file *file,
    const struct cab_service *template)
{
	const config_setting_t *list = service_list(file);
	const config_setting_t *other = file_top(file, "services");
	struct conf_key key = { NULL, "services", true };
	char found[CONF_SHOWN + 32];
	size_t index;
	int i;

	if (list == NULL && other != NULL && !conf_at(other)->bad)
		conf_complain(r, CAB_ERROR, conf_at(other), &key,
		    "expected a list of services, ( { ... }, { ... } ), found "
		    "%s",
		    value_found(other, found));
	for (i = 0; list != NULL && i < config_setting_length(list); i++) {
		index = r->conf->n_services++;
		r->broken[index] = !read_service(r,
		    config_setting_get_elem(list, (unsigned)i), template, index);
	}
}

/* ---- the top ---------------------------------------------------------------------------------- */

static bool
is_top_group(const struct group *g, const char *name)
{
	(void)g;
	return strcmp(name, "services") == 0 || strcmp(name, "defaults") == 0;
}

static void
offer_top_groups(const struct group *g, struct cab_nearest *near, char *known)
{
	(void)g;
	nearest_offer(near, "defaults");
	nearest_offer(near, "services");
	group_known(known, "defaults");
	group_known(known, "services");
}

/* The rows of a service that "defaults" may hold: its groups, but no program. */
static struct cab_opt default_rows[8];
static struct cab_group default_group = { .name = "defaults",
	.opts = default_rows };

static void
make_default_group(void)
{
	size_t i, n = 0;

	for (i = 0; i < conf_group_service.n_opts; i++)
		if (conf_group_service.opts[i].type == CAB_T_SUB) {
			assert(n < CAB_N(default_rows));
			default_rows[n++] = conf_group_service.opts[i];
		}
	default_group.n_opts = n;
	default_group.size = sizeof(struct cab_service);
}

static void
read_defaults(struct conf_reading *r, const struct conf_file *main_file,
    struct cab_service *template)
{
	struct conf_key key = { NULL, "defaults", false };
	struct group g = {
		.r = r, .key = &key, .rows = &default_group, .base = template
	};
	char found[CONF_SHOWN + 32];

	make_default_group();
	if (!group_defaults(r, &default_group, template))
		return;
	g.setting = file_top(main_file, "defaults");
	if (g.setting == NULL)
		return;
	g.at = conf_at(g.setting);
	if (!config_setting_is_group(g.setting)) {
		if (!g.at->bad)
			conf_complain(r, CAB_ERROR, g.at, &key,
			    "expected a group of settings, { ... }, found %s",
			    value_found(g.setting, found));
		return;
	}
	group_read(&g);
}

static void
read_top(struct conf_reading *r, const struct conf_file *main_file)
{
	struct group g = { .r = r,
		.rows = &conf_group_top,
		.base = r->conf,
		.other = is_top_group,
		.offer_others = offer_top_groups };

	if (!group_defaults(r, &conf_group_top, r->conf) || !main_file->parsed)
		return;
	g.setting = config_root_setting(&main_file->config);
	g.at = conf_at(g.setting);
	group_read(&g);
}

/* A drop-in holds services and nothing else. */
static void
check_drop_in(struct conf_reading *r, const struct conf_file *file)
{
	const config_setting_t *root, *child;
	char text[CONF_SHOWN];
	const char *name;
	int i;

	if (!file->parsed)
		return;
	root = config_root_setting(&file->config);
	for (i = 0; i < config_setting_length(root); i++) {
		struct cab_nearest near = { 0 };

		child = config_setting_get_elem(root, (unsigned)i);
		name = config_setting_name(child);
		if (file_is_twin(child) || strcmp(name, "services") == 0)
			continue;
		near.want = name;
		nearest_offer(&near, "services");
		str_escape(text, sizeof(text), name, strlen(name));
		conf_complain(r, CAB_ERROR, conf_at(child), NULL,
		    "\"%s\" cannot stand here: a drop-in file holds only "
		    "\"services\"%s",
		    text, near.best != NULL ? ", did you mean that?" : "");
	}
}

/* ---- drop-ins ------------------------------------------------------------------------------------ */

/* A path as the main file means it: relative to its own directory. */
static const char *
beside(struct conf_reading *r, const char *name)
{
	const char *slash = strrchr(r->path, '/');
	size_t dir = name[0] != '/' && slash != NULL ?
	    (size_t)(slash - r->path) + 1 :
	    0;
	size_t n = strlen(name);
	char *path = arena_alloc(r->arena, dir + n + 1);

	if (path == NULL) {
		conf_no_memory(r);
		return NULL;
	}
	memcpy(path, r->path, dir);
	memcpy(path + dir, name, n);
	return path;
}

/* The drop-in directory and where it was written; NULL: there is none. */
static const char *
include_directory(struct conf_reading *r, const struct conf_file *main_file,
    const struct conf_at **ret_at)
{
	const config_setting_t *setting = file_top(main_file, "include");
	size_t n = strlen(r->path);
	const char *text;
	char *path;

	*ret_at = NULL;
	if (setting != NULL) {
		/* Of the wrong type: read_top tells. */
		if (config_setting_type(setting) != CONFIG_TYPE_STRING ||
		    conf_at(setting)->bad)
			return NULL;
		text = config_setting_get_string(setting);
		*ret_at = conf_at(setting);
		return text[0] != '\0' ? beside(r, text) : NULL;
	}
	path = arena_alloc(r->arena, n + 3);
	if (path == NULL) {
		conf_no_memory(r);
		return NULL;
	}
	memcpy(path, r->path, n);
	memcpy(path + n, ".d", 2);
	return path;
}

/* The names of the drop-ins, NULL if there are none to read. */
static char *
list_drop_ins(struct conf_reading *r, const struct conf_at *at, const char *dir,
    size_t *ret_n)
{
	struct conf_key key = { NULL, "include", false };
	const char *why = NULL, *text;
	char *names = NULL;
	size_t n = 0;
	int error;

	error = r->source->list(r->source->arg, dir, &names, &n, &why);
	if (error == -ENOENT && at == NULL)
		return NULL;
	text = why != NULL ? why : strerror(-error);
	if (error < 0 && at != NULL)
		conf_complain(r, CAB_ERROR, at, &key, "the directory %s%s%s",
		    dir, why != NULL ? " " : ": ", text);
	else if (error < 0)
		diag_add(r->diag, CAB_ERROR, dir, 0,
		    "this directory of drop-in files %s%s",
		    why != NULL ? "" : "cannot be read: ", text);
	if (error < 0)
		return NULL;
	if (n > DROP_INS_MAX) {
		diag_add(r->diag, CAB_ERROR, dir, 0,
		    "more than %d drop-in files", DROP_INS_MAX);
		free(names);
		return NULL;
	}
	*ret_n = n;
	return names;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

struct files {
	struct conf_file **v; /* the main one first; none is NULL */
	size_t n;
};

static bool
add_file(struct conf_reading *r, struct files *files, const char *path)
{
	struct conf_file **more, *file;

	more = realloc(files->v, (files->n + 1) * sizeof(*more));
	if (more == NULL) {
		conf_no_memory(r);
		return false;
	}
	files->v = more;
	file = file_load(r, path);
	if (file == NULL)
		return false;
	files->v[files->n++] = file;
	return true;
}

static void
add_drop_ins(struct conf_reading *r, struct files *files,
    const struct conf_at *at, const char *dir)
{
	size_t n = 0, i, length, size;
	char *names = list_drop_ins(r, at, dir, &n);
	const char *p = names;
	char *path;

	for (i = 0; i < n; i++, p += length + 1) {
		length = strlen(p);
		size = strlen(dir) + length + 2;
		path = arena_alloc(r->arena, size);
		if (path == NULL) {
			conf_no_memory(r);
			break;
		}
		snprintf(path, size, "%s/%s", dir, p);
		if (!add_file(r, files, path))
			break;
	}
	free(names);
}

/* Memory for as many services as all files hold, so that no field ever moves. */
static bool
make_services(struct conf_reading *r, const struct files *files)
{
	const config_setting_t *list;
	size_t total = 0, i;

	for (i = 0; i < files->n; i++) {
		list = service_list(files->v[i]);
		if (list != NULL)
			total += (size_t)config_setting_length(list);
	}
	if (total > BOARD_SERVICES) {
		diag_add(r->diag, CAB_ERROR, r->path, 0,
		    "%zu services, and at most %d are possible", total,
		    BOARD_SERVICES);
		return false;
	}
	r->services = arena_alloc(r->arena, total * sizeof(*r->services));
	r->broken = arena_alloc(r->arena, total * sizeof(*r->broken));
	if (r->services == NULL || r->broken == NULL) {
		conf_no_memory(r);
		return false;
	}
	r->conf->services = r->services;
	return true;
}

static void
read_files(struct conf_reading *r, struct files *files)
{
	struct cab_service template = { 0 };
	const struct conf_at *at;
	const char *dir;
	size_t i;

	if (!add_file(r, files, r->path))
		return;
	dir = include_directory(r, files->v[0], &at);
	if (dir != NULL)
		add_drop_ins(r, files, at, dir);
	if (!make_services(r, files))
		return;
	read_top(r, files->v[0]);
	r->conf->include = files->n > 1 || at != NULL ? dir : NULL;
	read_defaults(r, files->v[0], &template);
	for (i = 0; i < files->n; i++) {
		if (i > 0)
			check_drop_in(r, files->v[i]);
		read_services(r, files->v[i], &template);
	}
	check_all(r, files->v[0]->parsed);
}

/* A finding and where it came in the order of finding. */
struct ranked {
	struct cab_finding finding;
	size_t file, index;
};

static int
compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->finding.line != y->finding.line)
		return x->finding.line < y->finding.line ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

/* Puts the findings from the given one on into the order of files and lines. */
static void
sort_findings(struct cab_diag *diag, size_t from)
{
	size_t n = diag->n - from, i, j;
	struct ranked *ranked = calloc(n + 1, sizeof(*ranked));
	const char *file, *other;

	for (i = 0; ranked != NULL && i < n; i++) {
		ranked[i].finding = diag->findings[from + i];
		ranked[i].index = i;
		file = ranked[i].finding.file;
		for (j = 0; j < i; j++) {
			other = ranked[j].finding.file;
			if (file != NULL && other != NULL &&
			    strcmp(file, other) == 0)
				break;
		}
		ranked[i].file = j < i ? ranked[j].file : i;
	}
	if (ranked != NULL) {
		qsort(ranked, n, sizeof(*ranked), compare_ranked);
		for (i = 0; i < n; i++)
			diag->findings[from + i] = ranked[i].finding;
	}
	free(ranked);
}

struct cab_conf *
conf_read(const char *path, const struct cab_desc *const descs[],
    const struct cab_conf_source *source, struct cab_diag *diag,
    struct cab_buf *dump)
{
	struct conf_reading r = { .descs = descs,
		.source = source,
		.names = source->names != NULL ? source->names :
						 &conf_system_names,
		.diag = diag,
		.arena = arena_new() };
	size_t i, errors = diag->errors, before = diag->n;
	struct files files = { 0 };

	if (r.arena != NULL)
		r.conf = arena_alloc(r.arena, sizeof(*r.conf));
	if (r.conf != NULL)
		r.path = arena_strdup(r.arena, path, strlen(path));
	if (r.path == NULL) {
		conf_no_memory(&r);
	} else {
		r.conf->path = r.path;
		r.conf->arena = r.arena;
		read_files(&r, &files);
	}
	if (diag->errors == errors && dump != NULL && dump_conf(&r, dump) < 0)
		conf_no_memory(&r);
	for (i = 0; i < files.n; i++)
		file_free(files.v[i]);
	free(files.v);
	origin_release(&r.origins);
	sort_findings(diag, before);
	if (diag->errors == errors)
		return r.conf;
	arena_free(r.arena);
	return NULL;
}
