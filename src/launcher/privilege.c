/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Least privilege for the launcher.  It starts as root (or with what systemd
 * leaves it) and keeps what starting the configured programs takes.  Giving up is
 * for good, so a later configuration that asks for more needs a new launcher.
 */
#include "launcher/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>

#define BIT(cap) (UINT64_C(1) << (cap))

/* To become the program's user, to end programs, to let them change their root, to limit their sets. */
#define OWN                                                  \
	(BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL) | \
	    BIT(CAP_SYS_CHROOT) | BIT(CAP_SETPCAP))

static bool
raises_limit(const struct child_plan *plan)
{
	struct rlimit now;
	size_t i;

	for (i = 0; i < plan->n_limits; i++)
		if (getrlimit((__rlimit_resource_t)plan->limits[i].resource,
			&now) == 0 &&
		    plan->limits[i].value.rlim_max > now.rlim_max)
			return true;
	return false;
}

struct privilege
privilege_needed(const struct launcher *l, const struct cab_conf *conf)
{
	/* The bounding set limits execve(2) alone, and the launcher executes nothing itself. */
	struct privilege need = { OWN, 0 };
	struct child_plan plan;
	char **argv;
	size_t i;

	for (i = 0; i < conf->n_services; i++) {
		const struct cab_exec *exec = conf->services[i].exec;

		if (exec == NULL || spawn_plan(&l->self, exec, &plan, &argv) < 0)
			continue;
		free(argv);
		need.permitted |= plan.capabilities;
		need.bounding |= plan.capabilities;
		if (exec->nice < 0)
			need.permitted |= BIT(CAP_SYS_NICE);
		if (raises_limit(&plan))
			need.permitted |= BIT(CAP_SYS_RESOURCE);
		if (plan.all_capabilities)
			need.permitted |= l->had_bounding;
		/* Root and a setuid program get the bounding set. */
		if (plan.all_capabilities || !plan.no_new_privs)
			need.bounding |= l->had_bounding;
	}
	return need;
}

/* "cap_net_raw, cap_chown", or that there are too many to name. */
static void
names_of(uint64_t bits, char *text, size_t cap)
{
	cap_value_t bit;
	size_t n = 0;
	char *name;

	if (__builtin_popcountll(bits) > 8) {
		snprintf(text, cap, "all that the daemon has");
		return;
	}
	for (bit = 0; bit < 64; bit++) {
		if ((bits & BIT(bit)) == 0)
			continue;
		name = cap_to_name(bit);
		if (n < cap && name != NULL)
			n += (size_t)snprintf(
			    text + n, cap - n, "%s%s", n > 0 ? ", " : "", name);
		cap_free(name);
	}
}

bool
privilege_held(const struct launcher *l, const struct privilege *needed,
    char *text, size_t cap)
{
	uint64_t missing = (needed->permitted & l->had_permitted &
			       ~l->self.permitted) |
	    (needed->bounding & l->had_bounding & ~l->self.bounding);

	names_of(missing, text, cap);
	return missing == 0;
}

int
privilege_keep(struct launcher *l, const struct privilege *needed)
{
	uint64_t keep = needed->permitted & l->self.permitted;
	cap_value_t bit;
	cap_t caps;
	int r = 0;

	for (bit = 0; bit < 64; bit++)
		if ((l->self.bounding & ~needed->bounding & BIT(bit)) != 0 &&
		    (l->self.permitted & BIT(CAP_SETPCAP)) != 0 &&
		    cap_drop_bound(bit) < 0)
			return -errno;
	caps = cap_init();
	if (caps == NULL)
		return -ENOMEM;
	for (bit = 0; bit < 64 && r == 0; bit++)
		if ((keep & BIT(bit)) != 0 &&
		    (cap_set_flag(caps, CAP_PERMITTED, 1, &bit, CAP_SET) < 0 ||
			cap_set_flag(caps, CAP_EFFECTIVE, 1, &bit, CAP_SET) < 0))
			r = -errno;
	if (r == 0 && cap_set_proc(caps) < 0)
		r = -errno;
	cap_free(caps);
	if (r < 0)
		return r;
	l->self.permitted = keep;
	l->self.bounding &= needed->bounding;
	return 0;
}
