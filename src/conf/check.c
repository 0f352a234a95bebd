/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judges a configuration as a whole: accounts, programs and directories exist,
 * names and listeners are unique, protocols fit their sockets, programs run as
 * somebody.  Config role only.  Whatever would open a service wider than it was
 * written, or would only fail when the first client comes, is an error here.
 */
#include "conf/check.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>
#include <unistd.h>

#include "base/fd.h"
#include "conf/address.h"

#define NOBODY      "nobody"
#define LISTENS_MAX 16384 /* of all services */
#define BUCKETS     4096

/* The thing that is judged: the top (service NULL) or a service. */
struct subject {
	struct conf_reading *r;
	struct cab_service *service;
	const struct conf_key *key; /* of the group that is looked at; NULL: the top */
	struct conf_key root;
	char label[CONF_SHOWN];
	struct conf_at at; /* of the service */
	bool good;
	bool broken; /* some of it could not be read, and is as if not written */
	bool own_root; /* exec.chroot: paths of the program lie below it */
};

/* Where a field was written, or else where its service begins. */
static struct conf_at
place_of(const struct subject *s, const void *field)
{
	const struct conf_origin *origin = origin_get(&s->r->origins, field);

	if (origin == NULL)
		return s->at;
	return (struct conf_at){ origin->file, origin->line, false };
}

/* True when the field was written for the service itself, not in "defaults". */
static bool
is_own(const struct subject *s, const void *field)
{
	const struct conf_origin *origin = origin_get(&s->r->origins, field);

	return origin != NULL && !origin->inherited;
}

#define fault_in(s, name, field, ...)                                      \
	do {                                                               \
		struct conf_at at_ = place_of(s, field);                   \
		conf_complain((s)->r, CAB_ERROR, &at_, name, __VA_ARGS__); \
		(s)->good = false;                                         \
	} while (0)

#define fault(s, field, ...) fault_in(s, (s)->key, field, __VA_ARGS__)

#define warn(s, field, ...)                                                      \
	do {                                                                     \
		struct conf_at at_ = place_of(s, field);                         \
		conf_complain((s)->r, CAB_WARNING, &at_, (s)->key, __VA_ARGS__); \
	} while (0)

static const char *
shown(char dst[static CONF_SHOWN], const char *s)
{
	str_escape(dst, CONF_SHOWN, s, strlen(s));
	return dst;
}

static const char *
keep(struct subject *s, const char *text)
{
	const char *copy = arena_strdup(s->r->arena, text, strlen(text));

	if (copy == NULL) {
		conf_no_memory(s->r);
		s->good = false;
	}
	return copy;
}

/* ---- accounts and paths, whichever row they stand in ---------------------------- */

static bool
own_group(uint32_t gid)
{
	gid_t groups[NAMES_GROUPS];
	int n = getgroups(NAMES_GROUPS, groups), i;

	for (i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return gid == getegid();
}

static void
check_user(struct subject *s, const char *name, struct cab_account *account)
{
	const struct conf_names *names = s->r->names;
	const struct conf_key key = { s->key, name, false };
	struct conf_user user;
	char text[CONF_SHOWN];
	int r;

	if (account->name == NULL) {
		account->id = account->gid = UINT32_MAX;
		return;
	}
	r = names->user(names->arg, account->name, &user);
	if (r < 0) {
		fault_in(s, &key, account,
		    r == -ENOENT ? "there is no user \"%s\"%s%s" :
				   "user \"%s\" cannot be looked up%s%s",
		    shown(text, account->name), r == -ENOENT ? "" : ": ",
		    r == -ENOENT ? "" : strerror(-r));
		return;
	}
	account->name = keep(s, user.name);
	account->id = user.uid;
	account->gid = user.gid;
	/* The top's user is for root alone; anyone else stays who he is. */
	if (s->service != NULL && !s->r->source->privileged &&
	    user.uid != geteuid())
		fault_in(s, &key, account,
		    "only a daemon that is started as root can use the rights "
		    "of user \"%s\"",
		    shown(text, user.name));
}

static void
check_group(struct subject *s, const char *name, struct cab_account *account)
{
	const struct conf_names *names = s->r->names;
	const struct conf_key key = { s->key, name, false };
	char text[CONF_SHOWN], real[NAMES_TEXT];
	uint32_t gid;
	int r;

	if (account->name == NULL) {
		account->id = account->gid = UINT32_MAX;
		return;
	}
	r = names->group(names->arg, account->name, &gid);
	if (r < 0) {
		fault_in(s, &key, account,
		    r == -ENOENT ? "there is no group \"%s\"%s%s" :
				   "group \"%s\" cannot be looked up%s%s",
		    shown(text, account->name), r == -ENOENT ? "" : ": ",
		    r == -ENOENT ? "" : strerror(-r));
		return;
	}
	if (names->group_name(names->arg, gid, real) == 0)
		account->name = keep(s, real);
	account->id = account->gid = gid;
	if (!s->r->source->privileged && !own_group(gid))
		fault_in(s, &key, account,
		    "only a daemon that is started as root can use the rights "
		    "of group \"%s\"",
		    shown(text, account->name));
}

static const char *
probe_text(enum cab_probe kind, int error)
{
	switch (error) {
	case ENOENT:
		return "does not exist";
	case EISDIR:
		return "is a directory";
	case ENOTDIR:
		return kind == CAB_PROBE_DIR ? "is not a directory" :
					       "lies below something that is no "
					       "directory";
	case EACCES:
		return kind == CAB_PROBE_PROGRAM ? "is not executable" :
						   "may not be read";
	case EINVAL:
		return "is not a regular file";
	case ELOOP:
		return "is a loop of symbolic links";
	default:
		return strerror(error);
	}
}

static void
check_path(struct subject *s, const struct cab_opt *row, const char *const *field)
{
	const struct cab_conf_source *source = s->r->source;
	enum cab_probe kind = row->flags & CAB_F_PROGRAM ? CAB_PROBE_PROGRAM :
	    row->flags & CAB_F_DIR                       ? CAB_PROBE_DIR :
							   CAB_PROBE_FILE;
	const struct conf_key key = { s->key, row->name, false };
	char text[CONF_SHOWN];
	int r;

	if (*field == NULL ||
	    !(row->flags & (CAB_F_PROGRAM | CAB_F_DIR | CAB_F_FILE)))
		return;
	if (s->own_root && kind == CAB_PROBE_PROGRAM)
		return;
	r = source->probe(source->arg, *field, kind);
	if (r < 0)
		fault_in(s, &key, field, "%s %s", shown(text, *field),
		    probe_text(kind, -r));
}

static void
check_rows(struct subject *s, const struct cab_group *rows, void *base);

/* The rows of a group, with its name in the findings. */
static void
check_group_rows(struct subject *s, const char *name,
    const struct cab_group *rows, void *base)
{
	const struct conf_key *outer = s->key;
	struct conf_key key = { outer, name, false };

	s->key = &key;
	check_rows(s, rows, base);
	s->key = outer;
}

static void
check_rows(struct subject *s, const struct cab_group *rows, void *base)
{
	const struct cab_groups *list;
	size_t i, j;
	void *field;

	for (i = 0; i < rows->n_opts; i++) {
		const struct cab_opt *row = &rows->opts[i];

		field = CONF_FIELD(base, row);
		switch (row->type) {
		case CAB_T_USER:
			check_user(s, row->name, field);
			break;
		case CAB_T_GROUP:
			check_group(s, row->name, field);
			break;
		case CAB_T_PATH:
			check_path(s, row, field);
			break;
		case CAB_T_SUB:
			check_group_rows(s, row->name, row->sub, field);
			break;
		case CAB_T_SUBOPT:
			if (*(void **)field != NULL)
				check_group_rows(
				    s, row->name, row->sub, *(void **)field);
			break;
		case CAB_T_SUBS:
			list = field;
			for (j = 0; j < list->n; j++)
				check_group_rows(s, row->name, row->sub,
				    (char *)(uintptr_t)list->v +
					j * row->sub->size);
			break;
		default:
			break;
		}
	}
}

/* ---- the top ------------------------------------------------------------------------ */

/* Nobody wrote who the workers are: the default account, or the next best. */
static void
default_user(struct subject *s)
{
	const struct conf_names *names = s->r->names;
	struct cab_conf *conf = s->r->conf;
	char number[16];
	struct conf_user user;
	int r;

	if (!s->r->source->privileged) {
		snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
		conf->user = (struct cab_account){ keep(s, number), geteuid(),
			getegid() };
		if (names->user(names->arg, number, &user) == 0)
			conf->user.name = keep(s, user.name);
		return;
	}
	r = names->user(names->arg, conf->user.name, &user);
	if (r == -ENOENT && names->user(names->arg, NOBODY, &user) == 0) {
		conf->user_fallback = true;
		warn(s, NULL,
		    "user: there is no user \"%s\", so \"" NOBODY
		    "\" is taken: create it, or set user",
		    conf->user.name);
		r = 0;
	}
	if (r < 0) {
		fault(s, NULL,
		    "user: there is no user \"%s\": create it, or set user",
		    conf->user.name);
		return;
	}
	conf->user = (struct cab_account){ keep(s, user.name), user.uid,
		user.gid };
}

/* A plain user's control socket; NULL if he has no directory for such things. */
static const char *
own_control(struct subject *s)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char path[108]; /* of a sockaddr_un */
	int n;

	if (dir == NULL || dir[0] != '/')
		return NULL;
	n = snprintf(path, sizeof(path), "%s/cabinetd/control.sock", dir);
	return n < (int)sizeof(path) ? keep(s, path) : NULL;
}

/* False: it is not known who the workers are. */
static bool
check_top(struct conf_reading *r)
{
	struct subject s = { .r = r, .good = true, .at = { r->path, 0, false } };
	struct subject group = s;
	struct cab_conf *conf = r->conf;
	const struct conf_origin *written;

	if (conf->user.name == NULL) {
		s.good = false; /* what was written could not be read */
	} else if (origin_get(&r->origins, &conf->user) == NULL) {
		default_user(&s);
	} else {
		check_user(&s, "user", &conf->user);
		if (s.good && r->source->privileged && conf->user.id == 0)
			warn(&s, &conf->user,
			    "user: the workers will have the rights of root");
	}
	check_group(&group, "admin_group", &conf->admin_group);
	written = origin_get(&r->origins, &conf->control);
	if (written != NULL)
		conf->control_line = written->line;
	else if (!r->source->privileged)
		conf->control = own_control(&s);
	return s.good;
}

/* ---- programs ------------------------------------------------------------------------- */

/* Who runs it: never root unless that is written. */
static void
exec_user(struct subject *s, struct cab_exec *exec)
{
	const struct cab_account *daemon = &s->r->conf->user;
	const struct conf_names *names = s->r->names;
	char name[NAMES_TEXT];
	struct conf_user user;

	if (exec->user.name == NULL && s->r->source->privileged)
		exec->user = *daemon;
	if (exec->user.name == NULL)
		return;
	if (names->user(names->arg, exec->user.name, &user) == 0)
		exec->home = keep(s, user.home);
	if (exec->group.name != NULL)
		return;
	if (names->group_name(names->arg, exec->user.gid, name) < 0)
		snprintf(name, sizeof(name), "%u", (unsigned)exec->user.gid);
	exec->group = (struct cab_account){ keep(s, name), exec->user.gid,
		exec->user.gid };
}

static void
exec_groups(struct subject *s, struct cab_exec *exec)
{
	const struct conf_names *names = s->r->names;
	uint32_t ids[NAMES_GROUPS], *copy;
	char text[CONF_SHOWN];
	size_t n = 0, i;
	int r = 0;

	if (origin_get(&s->r->origins, &exec->groups) != NULL) {
		if (!s->r->source->privileged)
			fault(s, &exec->groups,
			    "exec.groups: only a daemon that is started as root can "
			    "change them");
		for (n = 0; n < exec->groups.n && n < NAMES_GROUPS; n++)
			if (names->group(
				names->arg, exec->groups.v[n], &ids[n]) < 0) {
				ids[n] = UINT32_MAX;
				fault(s, &exec->groups,
				    "exec.groups: there is no group \"%s\"",
				    shown(text, exec->groups.v[n]));
			}
	} else if (s->r->source->privileged && exec->user.name != NULL) {
		r = names->groups(
		    names->arg, exec->user.name, exec->group.id, ids, &n);
		if (r < 0)
			fault(s, &exec->user,
			    "exec.user: the groups of \"%s\" cannot be looked up: %s",
			    shown(text, exec->user.name), strerror(-r));
	}
	if (!s->good || n == 0)
		return;
	copy = arena_alloc(s->r->arena, n * sizeof(*copy));
	if (copy == NULL) {
		conf_no_memory(s->r);
		return;
	}
	for (i = 0; i < n; i++)
		copy[i] = ids[i];
	exec->group_ids = (struct cab_ids){ copy, n };
}

/* A path of the program, below the program's own root if it has one. */
static const char *
below(const struct cab_exec *exec, const char *path,
    char dst[static NAMES_PATH * 2])
{
	const char *root = exec->chroot != NULL ? exec->chroot : "";
	size_t n = strlen(root);

	while (n > 0 && root[n - 1] == '/')
		n--;
	snprintf(dst, NAMES_PATH * 2, "%.*s%s", (int)n, root, path);
	return dst;
}

static void
exec_paths(struct subject *s, const struct cab_exec *exec)
{
	const struct cab_conf_source *source = s->r->source;
	char path[NAMES_PATH * 2], text[CONF_SHOWN];
	int r;

	if (exec->chroot != NULL && !source->privileged)
		fault(s, &exec->chroot,
		    "exec.chroot: only a daemon that is started as root can do "
		    "that");
	if (exec->chroot != NULL && exec->program != NULL) {
		below(exec, exec->program, path);
		r = source->probe(source->arg, path, CAB_PROBE_PROGRAM);
		/* Links below another root may well be broken in this one. */
		if (r < 0)
			warn(s, &exec->program, "exec.program: %s %s",
			    shown(text, path), probe_text(CAB_PROBE_PROGRAM, -r));
	}
	below(exec, exec->directory, path);
	r = source->probe(source->arg, path, CAB_PROBE_DIR);
	if (r < 0 && exec->chroot != NULL)
		warn(s, &exec->directory, "exec.directory: %s %s",
		    shown(text, path), probe_text(CAB_PROBE_DIR, -r));
	else if (r < 0)
		fault(s, &exec->directory, "exec.directory: %s %s",
		    shown(text, path), probe_text(CAB_PROBE_DIR, -r));
}

static int
capability(const char *name, uint64_t *bits)
{
	char full[64];
	cap_value_t value;

	snprintf(full, sizeof(full), "%s%s",
	    strncasecmp(name, "cap_", 4) == 0 ? "" : "cap_", name);
	if (cap_from_name(full, &value) < 0 || value < 0 || value > 63)
		return -ENOENT;
	*bits |= UINT64_C(1) << value;
	return 0;
}

static void
exec_capabilities(struct subject *s, struct cab_exec *exec)
{
	struct cab_nearest near;
	char text[CONF_SHOWN];
	char *name;
	size_t i;
	int c;

	if (exec->capabilities.n > 0 && !s->r->source->privileged)
		fault(s, &exec->capabilities,
		    "exec.capabilities: only a daemon that is started as root can "
		    "give some");
	for (i = 0; i < exec->capabilities.n; i++) {
		const char *wanted = exec->capabilities.v[i];

		if (capability(wanted, &exec->capability_bits) == 0)
			continue;
		near = (struct cab_nearest){ .want = wanted };
		for (c = 0; c <= CAP_LAST_CAP; c++) {
			static char names[CAP_LAST_CAP + 1][40];

			name = cap_to_name(c);
			if (name == NULL)
				continue;
			snprintf(names[c], sizeof(names[c]), "%s",
			    strncasecmp(wanted, "cap_", 4) == 0 ? name :
								  name + 4);
			cap_free(name);
			nearest_offer(&near, names[c]);
		}
		fault(s, &exec->capabilities,
		    "exec.capabilities: there is no capability \"%s\"%s%s%s",
		    shown(text, wanted),
		    near.best != NULL ? "; did you mean \"" : "",
		    near.best != NULL ? near.best : "",
		    near.best != NULL ? "\"?" : "");
	}
}

static bool
variable_name(const char *s)
{
	size_t n = strspn(s,
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

	return n > 0 && s[n] == '\0' && (s[0] < '0' || s[0] > '9');
}

/* A list that lets everybody in is no restriction. */
static bool
restricts(const struct cab_access *access)
{
	size_t i;
	bool v4 = false, v6 = false;

	if (access->deny.n > 0)
		return true;
	for (i = 0; i < access->allow.n; i++) {
		v4 = v4 ||
		    (access->allow.v[i].family == AF_INET &&
			access->allow.v[i].bits == 0);
		v6 = v6 ||
		    (access->allow.v[i].family == AF_INET6 &&
			access->allow.v[i].bits == 0);
	}
	return access->allow.set && !(v4 && v6);
}

/* The program takes the listening socket: the daemon sees no client of it. */
static void
check_wait(struct subject *s, const struct cab_exec *exec)
{
	const struct cab_service *service = s->service;
	const struct cab_limits *limits = &service->limits;
	size_t i;

	for (i = 0; !exec->wait && i < service->listens.n; i++) {
		const struct cab_listen *l = &service->listens.v[i];

		if (address_transport(l) == CAB_DGRAM) {
			fault(s, &service->listens,
			    "listen: %s takes datagrams, and a program can only "
			    "have them with exec.wait = true",
			    l->text);
			break;
		}
	}
	if (!exec->wait)
		return;
	if (restricts(&service->access))
		fault(s,
		    service->access.deny.n > 0 ? &service->access.deny :
						 &service->access.allow,
		    "access: a program with exec.wait = true takes its clients "
		    "itself, so these rules would not hold (allow = "
		    "( \"0.0.0.0/0\", \"::/0\" ) lets everybody in)");
	if (is_own(s, &limits->connections) || is_own(s, &limits->per_source) ||
	    is_own(s, &limits->rate) || is_own(s, &limits->per_source_rate) ||
	    is_own(s, &limits->on_limit))
		warn(s, NULL,
		    "limits: a program with exec.wait = true takes its clients "
		    "itself, so no limit holds");
}

/* Timeouts that hold for a program; the rest are off, and shown that way. */
static void
exec_timeouts(struct subject *s)
{
	struct cab_timeouts *timeouts = &s->service->timeouts;

	/* The bytes go past the daemon: it cannot tell the first from none. */
	if ((is_own(s, &timeouts->first_byte) && timeouts->first_byte > 0) ||
	    (is_own(s, &timeouts->idle) && timeouts->idle > 0))
		warn(s,
		    is_own(s, &timeouts->idle) ? &timeouts->idle :
						 &timeouts->first_byte,
		    "timeouts: first_byte and idle do not hold for a program, "
		    "only total does");
	timeouts->first_byte = timeouts->idle = 0;
	if (origin_get(&s->r->origins, &timeouts->total) == NULL)
		timeouts->total = 0;
	if (origin_set(&s->r->origins, &timeouts->first_byte, NULL, 0, false) < 0 ||
	    origin_set(&s->r->origins, &timeouts->idle, NULL, 0, false) < 0)
		conf_no_memory(s->r);
}

static void
check_exec(struct subject *s, struct cab_exec *exec)
{
	bool user = exec->user.name != NULL || s->r->user_known;
	char text[CONF_SHOWN];
	size_t i;

	exec->rlimits.core_set = origin_get(&s->r->origins,
				     &exec->rlimits.core) != NULL;
	if (s->good && user && !s->broken) {
		exec_user(s, exec);
		exec_groups(s, exec);
	}
	exec_paths(s, exec);
	exec_capabilities(s, exec);
	for (i = 0; i < exec->pass_env.n; i++)
		if (!variable_name(exec->pass_env.v[i]))
			fault(s, &exec->pass_env,
			    "exec.pass_env: \"%s\" is not the name of a variable",
			    shown(text, exec->pass_env.v[i]));
	if (exec->nice < 0 && !s->r->source->privileged)
		fault(s, &exec->nice,
		    "exec.nice: only a daemon that is started as root can go below "
		    "0");
	if (s->broken)
		return;
	check_wait(s, exec);
	exec_timeouts(s);
}

/* ---- services ------------------------------------------------------------------------- */

static void
check_transports(struct subject *s)
{
	const struct cab_service *service = s->service;
	unsigned transport;
	size_t i;

	for (i = 0; i < service->listens.n; i++) {
		const struct cab_listen *l = &service->listens.v[i];

		transport = address_transport(l);
		if (transport == 0 || service->desc->transports & transport)
			continue;
		fault(s, &service->listens,
		    "listen: protocol \"%s\" does not serve %s (%s)",
		    service->protocol,
		    transport == CAB_DGRAM ? "datagrams" : "streams", l->text);
		break;
	}
}

static void
check_access(struct subject *s)
{
	const struct cab_access *access = &s->service->access;
	char text[64];
	size_t i, j;

	for (i = 0; i < access->deny.n; i++)
		for (j = 0; j < access->allow.n; j++)
			if (memcmp(&access->deny.v[i], &access->allow.v[j],
				sizeof(access->deny.v[i])) == 0) {
				warn(s, &access->deny,
				    "access: %s stands in both lists, and is "
				    "denied",
				    prefix_text(&access->deny.v[i], text,
					sizeof(text)));
				break;
			}
}

/* The lowest port that anyone may bind. */
static int64_t
first_free_port(void)
{
	CAB_AUTO_FD int fd = open("/proc/sys/net/ipv4/ip_unprivileged_port_start",
	    O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	int64_t port = 1024;
	size_t n = 0;

	if (fd >= 0 && fd_read_all(fd, 32, &text, &n) == 0) {
		while (n > 0 && text[n - 1] == '\n')
			n--;
		if (str_to_i64((struct cab_slice){ text, n }, &port) < 0)
			port = 1024;
	}
	free(text);
	return port;
}

static void
check_ports(struct subject *s)
{
	const struct cab_service *service = s->service;
	int64_t free_from;
	size_t i;

	if (s->r->source->privileged || !service->enabled)
		return;
	free_from = first_free_port();
	for (i = 0; i < service->listens.n; i++) {
		uint16_t port = sockaddr_port(&service->listens.v[i].addr);

		if (port == 0 || port >= free_from)
			continue;
		warn(s, &service->listens,
		    "listen: port %u is for root, or for a daemon that was "
		    "given CAP_NET_BIND_SERVICE or the socket",
		    port);
		break;
	}
}

static void
check_name(struct subject *s, size_t index)
{
	const struct cab_service *service = s->service;
	char text[CONF_SHOWN / 2];

	s->root = (struct conf_key){ NULL, s->label, true };
	s->key = &s->root;
	if (service->name == NULL) {
		snprintf(s->label, sizeof(s->label), "service %zu", index + 1);
		return;
	}
	str_escape(text, sizeof(text), service->name, strlen(service->name));
	snprintf(s->label, sizeof(s->label), "service \"%s\"", text);
	if (!conf_name_valid(service->name))
		fault(s, &service->name,
		    "name: may hold letters, digits, \".\", \"_\" and \"-\" "
		    "only, and at most 64 of them");
}

static void
check_limits(struct subject *s)
{
	struct cab_limits *limits = &s->service->limits;

	limits->per_source_rate_set = origin_get(&s->r->origins,
					  &limits->per_source_rate) != NULL;
	if (origin_get(&s->r->origins, &limits->per_source) != NULL &&
	    limits->connections > 0 && limits->per_source > limits->connections)
		warn(s, &limits->per_source,
		    "limits.per_source: this is more than connections, so one "
		    "source can take every place");
}

static void
check_service(struct conf_reading *r, size_t index)
{
	struct cab_service *service = &r->services[index];
	struct subject s = { .r = r,
		.service = service,
		.good = true,
		.broken = r->broken[index],
		.at = { service->file, service->line, false } };

	s.own_root = service->exec != NULL && service->exec->chroot != NULL;
	check_name(&s, index);
	check_rows(&s, &conf_group_service, service);
	if (service->options != NULL)
		check_group_rows(&s, service->desc->name,
		    service->desc->options, service->options);
	if (service->exec != NULL)
		check_exec(&s, (struct cab_exec *)(uintptr_t)service->exec);
	else if (service->desc != NULL)
		check_transports(&s);
	check_access(&s);
	check_ports(&s);
	check_limits(&s);
}

/* ---- between services
 * --------------------------------------------------------------------- */

static void
check_names(struct conf_reading *r)
{
	size_t i, j;

	for (i = 0; i < r->conf->n_services; i++) {
		const struct cab_service *a = &r->services[i], *b;
		struct conf_at at = { a->file, a->line, false };
		const struct conf_origin *origin = origin_get(
		    &r->origins, &a->name);
		char text[CONF_SHOWN];

		if (a->name == NULL)
			continue;
		if (origin != NULL)
			at = (struct conf_at){ origin->file, origin->line, false };
		for (j = 0; j < i; j++) {
			b = &r->services[j];
			if (b->name == NULL || strcmp(a->name, b->name) != 0)
				continue;
			conf_complain(r, CAB_ERROR, &at, NULL,
			    "service \"%s\": name: the service in %s:%d has "
			    "the same name",
			    shown(text, a->name), b->file, b->line);
			break;
		}
	}
}

/* One listener of an enabled service, in a bucket of those it may clash with. */
struct bound {
	const struct cab_listen *listen;
	const struct cab_service *service;
	size_t next; /* in the bucket, index + 1 */
};

static size_t
bucket_of(const struct cab_listen *l)
{
	uint64_t h = l->kind == CAB_UNIXGRAM ? CAB_UNIX : l->kind;
	const char *p = l->name != NULL ? l->name : l->addr.un.sun_path;
	size_t n = l->name != NULL ? strlen(l->name) :
				     sizeof(l->addr.un.sun_path);

	if (l->kind == CAB_TCP || l->kind == CAB_UDP) {
		h = h * 65536 + sockaddr_port(&l->addr);
		n = 0;
	} else if (l->kind == CAB_VSOCK) {
		n = 0;
	}
	for (; n > 0; n--)
		h = (h ^ (unsigned char)*p++) * UINT64_C(0x100000001b3);
	return (size_t)(h % BUCKETS);
}

static void
report_clash(struct conf_reading *r, const struct bound *a, const struct bound *b)
{
	struct conf_at at = { a->listen->file, a->listen->line, false };
	char mine[CONF_SHOWN], other[CONF_SHOWN];

	conf_complain(r, CAB_ERROR, &at, NULL,
	    "service \"%s\": listen: %s cannot be had together with %s of "
	    "service \"%s\" in %s:%d",
	    shown(mine, a->service->name), a->listen->text, b->listen->text,
	    shown(other, b->service->name), b->listen->file, b->listen->line);
}

static void
check_clashes(struct conf_reading *r, struct bound *all, size_t n)
{
	static size_t buckets[BUCKETS];
	size_t i, j, *bucket, clashed = 0;

	memset(buckets, 0, sizeof(buckets));
	for (i = 0; i < n; i++) {
		struct bound *a = &all[i];

		bucket = &buckets[bucket_of(a->listen)];
		for (j = *bucket; j > 0; j = all[j - 1].next)
			if (address_conflict(a->listen,
				a->service->socket.interface, all[j - 1].listen,
				all[j - 1].service->socket.interface))
				break;
		/* Both halves of "*" clash as one. */
		if (j > 0 &&
		    !(clashed == i && i > 0 &&
			address_is_pair(all[i - 1].listen, a->listen)))
			report_clash(r, a, &all[j - 1]);
		if (j > 0)
			clashed = i + 1;
		a->next = *bucket;
		*bucket = i + 1;
	}
}

static void
check_listens(struct conf_reading *r)
{
	struct bound *all;
	size_t n = 0, i, j;

	for (i = 0; i < r->conf->n_services; i++)
		n += r->services[i].listens.n;
	if (n > LISTENS_MAX) {
		diag_add(r->diag, CAB_ERROR, r->path, 0,
		    "%zu listeners, and at most %d are possible", n, LISTENS_MAX);
		return;
	}
	all = calloc(n + 1, sizeof(*all));
	if (all == NULL) {
		conf_no_memory(r);
		return;
	}
	for (i = 0, n = 0; i < r->conf->n_services; i++) {
		const struct cab_service *s = &r->services[i];

		for (j = 0; s->enabled && s->name != NULL && j < s->listens.n; j++)
			all[n++] = (struct bound){ &s->listens.v[j], s, 0 };
	}
	check_clashes(r, all, n);
	free(all);
}

void
check_all(struct conf_reading *r, bool top_known)
{
	size_t i;

	r->user_known = top_known && check_top(r);
	for (i = 0; i < r->conf->n_services; i++)
		check_service(r, i);
	check_names(r);
	check_listens(r);
}
