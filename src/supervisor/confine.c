/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What services need beyond what the daemon was started with: a table of needs.
 * Supervisor only.  Such a service would fail when its first client comes, and
 * the reason would be found in neither the configuration nor the program.
 * Sockets are not here: opening one that is forbidden is an error by itself.
 */
#include "supervisor/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/str.h"

#define WHAT 320 /* bytes of the words for one need */

#define DROPINS CAB_DROPINDIR "/"

void
confine_look(struct confine *ret)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t have;

	*ret = (struct confine){ .root = geteuid() == 0,
		.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 };
	for (cap_value_t bit = 0; caps != NULL && bit < 64; bit++)
		if (cap_get_flag(caps, bit, CAP_PERMITTED, &have) == 0 &&
		    have == CAP_SET)
			ret->permitted |= UINT64_C(1) << bit;
	cap_free(caps);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

		(void)getrlimit((__rlimit_resource_t)i, &limit);
		ret->hard[i] = limit.rlim_max;
	}
}

/* ---- needs ------------------------------------------------------------------------ */

static bool
has(const struct confine *confine, int cap)
{
	return (confine->permitted >> cap & 1) != 0;
}

/* A service that is a program, and what it may have to do with. */
struct asked {
	const struct confine *confine;
	const struct cab_conf *conf;
	const struct cab_exec *exec;
};

/* Each: true when the program needs what it cannot have; *what then names it. */

static bool
needs_user(const struct asked *a, char what[WHAT])
{
	const struct cab_account *user = a->exec->user.name != NULL ?
	    &a->exec->user :
	    &a->conf->user;
	uint32_t gid = a->exec->group.name != NULL ? a->exec->group.id :
						     user->gid;
	char name[64];

	/* For anyone but root another user is an error. */
	if (!a->confine->root || user->name == NULL)
		return false;
	if ((user->id == 0 || has(a->confine, CAP_SETUID)) &&
	    (gid == 0 || has(a->confine, CAP_SETGID)))
		return false;
	str_escape(name, sizeof(name), user->name, strlen(user->name));
	snprintf(what, WHAT, "exec.user: it runs as %s", name);
	return true;
}

static bool
needs_capabilities(const struct asked *a, char what[WHAT])
{
	uint64_t missing = a->exec->capability_bits & ~a->confine->permitted;
	size_t n;

	n = (size_t)snprintf(what, WHAT, "exec.capabilities: it has no");
	for (cap_value_t bit = 0; bit < 64; bit++) {
		char *name = missing >> bit & 1 ? cap_to_name(bit) : NULL;

		if (name != NULL && n < WHAT)
			n += (size_t)snprintf(what + n, WHAT - n, " %s", name);
		cap_free(name);
	}
	return missing != 0;
}

static bool
needs_chroot(const struct asked *a, char what[WHAT])
{
	snprintf(what, WHAT, "exec.chroot: it changes its root directory");
	return a->exec->chroot != NULL && a->confine->root &&
	    !has(a->confine, CAP_SYS_CHROOT);
}

static bool
needs_nice(const struct asked *a, char what[WHAT])
{
	snprintf(what, WHAT, "exec.nice: it is to run before others");
	return a->exec->nice < 0 && a->confine->root &&
	    !has(a->confine, CAP_SYS_NICE);
}

static bool
needs_setuid(const struct asked *a, char what[WHAT])
{
	snprintf(what, WHAT,
	    "exec.no_new_privileges: setuid programs that it runs gain no "
	    "rights");
	return !a->exec->no_new_privileges && a->confine->no_new_privs;
}

static bool
needs_limit(const struct asked *a, char what[WHAT])
{
	const struct cab_rlimits *r = &a->exec->rlimits;
	const struct {
		const char *name, *setting;
		int resource;
		int64_t value;
	} rows[] = {
		{ "cpu", "LimitCPU", RLIMIT_CPU, (r->cpu + 999) / 1000 },
		{ "files", "LimitNOFILE", RLIMIT_NOFILE, r->files },
		{ "processes", "LimitNPROC", RLIMIT_NPROC, r->processes },
		{ "address_space", "LimitAS", RLIMIT_AS, r->address_space },
		{ "data", "LimitDATA", RLIMIT_DATA, r->data },
		{ "stack", "LimitSTACK", RLIMIT_STACK, r->stack },
		{ "file_size", "LimitFSIZE", RLIMIT_FSIZE, r->file_size },
		{ "core", "LimitCORE", RLIMIT_CORE, r->core },
		{ "locked", "LimitMEMLOCK", RLIMIT_MEMLOCK, r->locked },
	};

	for (size_t i = 0; i < CAB_N(rows); i++) {
		rlim_t hard = a->confine->hard[rows[i].resource];

		if (rows[i].value <= 0 || hard == RLIM_INFINITY ||
		    (rlim_t)rows[i].value <= hard ||
		    has(a->confine, CAP_SYS_RESOURCE))
			continue;
		snprintf(what, WHAT, "exec.rlimits.%s: it is above %s= (%ju)",
		    rows[i].name, rows[i].setting, (uintmax_t)hard);
		return true;
	}
	return false;
}

static bool
needs_execution(const struct asked *a, char what[WHAT])
{
	const char *root = a->exec->chroot != NULL ? a->exec->chroot : "";
	char path[8192], shown[256];
	struct statvfs fs;

	snprintf(path, sizeof(path), "%s%s", root, a->exec->program);
	str_escape(shown, sizeof(shown), path, strlen(path));
	snprintf(what, WHAT, "exec.program: %s may not be executed", shown);
	return statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOEXEC) != 0;
}

static bool
needs_directory(const struct asked *a, char what[WHAT])
{
	char shown[192];

	str_escape(shown, sizeof(shown), a->exec->directory,
	    strlen(a->exec->directory));
	/* Below a root directory of its own nothing can be told from here. */
	if (a->exec->chroot != NULL || access(a->exec->directory, F_OK) == 0)
		return false;
	snprintf(what, WHAT, "exec.directory: %s: %s", shown, strerror(errno));
	return true;
}

static const struct need {
	bool (*unmet)(const struct asked *a, char what[WHAT]);
	const char *remedy;
} needs[] = {
	{ needs_execution,
	    "the file system is mounted noexec, or the unit has NoExecPaths= "
	    "(cabinetd-builtins.service does; programs are for "
	    "cabinetd.service)" },
	{ needs_user,
	    "that takes CAP_SETUID and CAP_SETGID: add them to "
	    "CapabilityBoundingSet= of the unit (systemctl edit)" },
	{ needs_capabilities,
	    "add them to CapabilityBoundingSet= of the unit (systemctl edit)" },
	{ needs_chroot,
	    "that takes CAP_SYS_CHROOT: add it to CapabilityBoundingSet= of the "
	    "unit (systemctl edit), or use the drop-in " DROPINS
	    "namespaces.conf" },
	{ needs_nice,
	    "that takes CAP_SYS_NICE: add it to CapabilityBoundingSet= of the "
	    "unit (systemctl edit)" },
	{ needs_setuid,
	    "NoNewPrivileges= is set: use the drop-in " DROPINS "setuid.conf" },
	{ needs_limit, "raise it in the unit (systemctl edit)" },
	{ needs_directory,
	    "make it; if it is a home directory that the unit hides, use the "
	    "drop-in " DROPINS "home.conf" },
};

void
confine_check(const struct confine *confine, const struct cab_conf *conf,
    struct cab_diag *findings)
{
	char what[WHAT];

	for (size_t i = 0; i < conf->n_services; i++) {
		const struct cab_service *service = &conf->services[i];
		const struct asked asked = { confine, conf, service->exec };

		if (!service->enabled || service->exec == NULL)
			continue;
		for (size_t k = 0; k < CAB_N(needs); k++)
			if (needs[k].unmet(&asked, what))
				diag_add(findings, CAB_WARNING, service->file,
				    service->line, "service \"%s\": %s: %s",
				    service->name, what, needs[k].remedy);
	}
}
