/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judges a configuration as a whole: accounts, programs and directories exist,
 * protocols fit their sockets.  Config role only.  Whatever would open a
 * service wider than it was written, or would only fail when the first client
 * comes, is an error here.
 */
#include "conf/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "conf/address.h"
#include "conf/subject.h"

#define NOBODY "nobody"
/* New clients wait while the daemon stops, so not as long as after a reload. */
#define STOP_DRAIN_MS 10000

struct conf_at
subject_place(const struct subject *s, const void *field)
{
	const struct conf_origin *origin = origin_get(&s->r->origins, field);

	if (origin == NULL)
		return s->at;
	return (struct conf_at){ origin->file, origin->line, false };
}

bool
subject_own(const struct subject *s, const void *field)
{
	const struct conf_origin *origin = origin_get(&s->r->origins, field);

	return origin != NULL && !origin->inherited;
}

const char *
subject_shown(char dst[static CONF_SHOWN], const char *s)
{
	str_escape(dst, CONF_SHOWN, s, strlen(s));
	return dst;
}

const char *
subject_keep(struct subject *s, const char *text)
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
		    subject_shown(text, account->name),
		    r == -ENOENT ? "" : ": ", r == -ENOENT ? "" : strerror(-r));
		return;
	}
	account->name = subject_keep(s, user.name);
	account->id = user.uid;
	account->gid = user.gid;
	/* The top's user is for root alone; anyone else stays who he is. */
	if (s->service != NULL && !s->r->source->privileged &&
	    user.uid != geteuid())
		fault_in(s, &key, account,
		    "only a daemon that is started as root can use the rights "
		    "of user \"%s\"",
		    subject_shown(text, user.name));
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
		    subject_shown(text, account->name),
		    r == -ENOENT ? "" : ": ", r == -ENOENT ? "" : strerror(-r));
		return;
	}
	if (names->group_name(names->arg, gid, real) == 0)
		account->name = subject_keep(s, real);
	account->id = account->gid = gid;
	if (!s->r->source->privileged && !own_group(gid))
		fault_in(s, &key, account,
		    "only a daemon that is started as root can use the rights "
		    "of group \"%s\"",
		    subject_shown(text, account->name));
}

const char *
subject_probe(enum cab_probe kind, int error)
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
		fault_in(s, &key, field, "%s %s", subject_shown(text, *field),
		    subject_probe(kind, -r));
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
		conf->user = (struct cab_account){ subject_keep(s, number),
			geteuid(), getegid() };
		if (names->user(names->arg, number, &user) == 0)
			conf->user.name = subject_keep(s, user.name);
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
	conf->user = (struct cab_account){ subject_keep(s, user.name), user.uid,
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
	return n < (int)sizeof(path) ? subject_keep(s, path) : NULL;
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
	conf->stop_drain = origin_get(&r->origins, &conf->drain) != NULL ?
	    conf->drain :
	    STOP_DRAIN_MS;
	return s.good;
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
		    "listen: only root can listen on port %u, or a daemon that "
		    "was given CAP_NET_BIND_SERVICE or the socket itself",
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
check_drain(struct subject *s)
{
	struct cab_timeouts *timeouts = &s->service->timeouts;

	if (origin_get(&s->r->origins, &timeouts->drain) == NULL)
		timeouts->drain = s->r->conf->drain;
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
	check_drain(&s);
}

void
check_all(struct conf_reading *r, bool top_known)
{
	size_t i;

	r->user_known = top_known && check_top(r);
	for (i = 0; i < r->conf->n_services; i++)
		check_service(r, i);
	check_unique(r);
	if (r->conf->n_services == 0 && r->diag->errors == 0)
		diag_add(r->diag, CAB_WARNING, r->path, 0,
		    "no service is configured: nothing would be served");
}
