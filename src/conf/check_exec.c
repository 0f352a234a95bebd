/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judges a service that is a program: who runs it, what it finds where it runs,
 * and which settings cannot hold for it.  Config role only.  A program never
 * gets the rights of root, or clients of its own, unless that is written.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>

#include "conf/address.h"
#include "conf/subject.h"

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
		exec->home = subject_keep(s, user.home);
	if (exec->group.name != NULL)
		return;
	if (names->group_name(names->arg, exec->user.gid, name) < 0)
		snprintf(name, sizeof(name), "%u", (unsigned)exec->user.gid);
	exec->group = (struct cab_account){ subject_keep(s, name),
		exec->user.gid, exec->user.gid };
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
				    subject_shown(text, exec->groups.v[n]));
			}
	} else if (s->r->source->privileged && exec->user.name != NULL) {
		r = names->groups(
		    names->arg, exec->user.name, exec->group.id, ids, &n);
		if (r < 0)
			fault(s, &exec->user,
			    "exec.user: the groups of \"%s\" cannot be looked up: %s",
			    subject_shown(text, exec->user.name), strerror(-r));
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
			    subject_shown(text, path),
			    subject_probe(CAB_PROBE_PROGRAM, -r));
	}
	below(exec, exec->directory, path);
	r = source->probe(source->arg, path, CAB_PROBE_DIR);
	if (r < 0 && exec->chroot != NULL)
		warn(s, &exec->directory, "exec.directory: %s %s",
		    subject_shown(text, path), subject_probe(CAB_PROBE_DIR, -r));
	else if (r < 0)
		fault(s, &exec->directory, "exec.directory: %s %s",
		    subject_shown(text, path), subject_probe(CAB_PROBE_DIR, -r));
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
		    subject_shown(text, wanted),
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
	if (subject_own(s, &limits->connections) ||
	    subject_own(s, &limits->per_source) || subject_own(s, &limits->rate) ||
	    subject_own(s, &limits->per_source_rate) ||
	    subject_own(s, &limits->on_limit))
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
	if ((subject_own(s, &timeouts->first_byte) && timeouts->first_byte > 0) ||
	    (subject_own(s, &timeouts->idle) && timeouts->idle > 0))
		warn(s,
		    subject_own(s, &timeouts->idle) ? &timeouts->idle :
						      &timeouts->first_byte,
		    "timeouts: first_byte and idle do not hold for a program");
	timeouts->first_byte = timeouts->idle = 0;
	if (origin_get(&s->r->origins, &timeouts->total) == NULL)
		timeouts->total = 0;
	if (origin_set(&s->r->origins, &timeouts->first_byte, NULL, 0, false) < 0 ||
	    origin_set(&s->r->origins, &timeouts->idle, NULL, 0, false) < 0)
		conf_no_memory(s->r);
}

void
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
			    subject_shown(text, exec->pass_env.v[i]));
	if (exec->nice < 0 && !s->r->source->privileged)
		fault(s, &exec->nice,
		    "exec.nice: only a daemon that is started as root can go below "
		    "0");
	if (s->broken)
		return;
	check_wait(s, exec);
	exec_timeouts(s);
}
