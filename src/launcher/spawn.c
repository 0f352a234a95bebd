/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making processes.  Launcher only; single-threaded.  clone(2) with CLONE_VM
 * and CLONE_VFORK copies no page tables however large the launcher is, with
 * CLONE_FILES no descriptors however many programs run (child.c unshares), and the
 * failure of a step comes back through the shared memory.  No signal is
 * delivered while the memory is shared: this process never takes any.
 */
#include "launcher/spawn.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (64 * 1024)
#define SIGNALS    64 /* the kernel's, not the C library's idea of the last one */

/* Highest address of the child's stack; below its lowest lies a page that faults. */
static char *
stack_top(void)
{
	static char *top;
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	char *p;

	if (top != NULL)
		return top;
	p = mmap(NULL, guard + STACK_SIZE, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (mprotect(p + guard, STACK_SIZE, PROT_READ | PROT_WRITE) < 0) {
		munmap(p, guard + STACK_SIZE);
		return NULL;
	}
	top = p + guard + STACK_SIZE;
	return top;
}

void
spawn_own_signals(void)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	/* struct kernel_sigaction of any architecture: SIG_DFL, no flags, empty mask. */
	static const unsigned long plain[8];
	struct sigaction action;
	sigset_t set;
	size_t i;
	int n;

	/* Handlers are left alone: execve(2) resets those.  The C library hides two signals. */
	for (n = 1; n <= SIGNALS; n++)
		if (sigaction(n, NULL, &action) < 0 ||
		    action.sa_handler == SIG_IGN)
			(void)syscall(
			    SYS_rt_sigaction, n, plain, NULL, SIGNALS / 8);
	sigfillset(&set);
	for (i = 0; i < CAB_N(faults); i++)
		sigdelset(&set, faults[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

pid_t
spawn_start(struct child_plan *plan)
{
	char *stack = stack_top();
	pid_t pid;

	plan->failed_step = CHILD_NONE;
	plan->failed_errno = 0;
	if (stack == NULL)
		return -ENOMEM;
	pid = clone(child_enter, stack,
	    CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, plan);
	if (pid < 0)
		return -errno;
	if (plan->failed_step == CHILD_NONE)
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return -plan->failed_errno;
}

/* ---- plans -------------------------------------------------------------------- */

static uint64_t
bounding_set(void)
{
	uint64_t set = 0;
	int cap;

	for (cap = 0; cap < 64 && cap_get_bound((cap_value_t)cap) >= 0; cap++)
		if (cap_get_bound((cap_value_t)cap) == 1)
			set |= UINT64_C(1) << cap;
	return set;
}

static uint64_t
permitted_set(void)
{
	cap_flag_value_t value;
	uint64_t set = 0;
	cap_t caps;
	int cap;

	caps = cap_get_proc();
	if (caps == NULL)
		return 0;
	for (cap = 0; cap < 64; cap++)
		if (cap_get_flag(caps, cap, CAP_PERMITTED, &value) == 0 &&
		    value == CAP_SET)
			set |= UINT64_C(1) << cap;
	cap_free(caps);
	return set;
}

void
spawn_self_look(struct spawn_self *self)
{
	int n;

	self->uid = geteuid();
	self->gid = getegid();
	self->permitted = permitted_set();
	self->bounding = bounding_set();
	self->nice = getpriority(PRIO_PROCESS, 0);
	getrlimit(RLIMIT_NOFILE, &self->files);
	n = getgroups(CAB_N(self->groups), (gid_t *)self->groups);
	self->n_groups = n > 0 ? (size_t)n : 0;
}

static bool
may(const struct spawn_self *self, int cap)
{
	return (self->permitted >> cap & 1) != 0;
}

static bool
group_held(const struct spawn_self *self, uint32_t gid)
{
	size_t i;

	for (i = 0; i < self->n_groups; i++)
		if (self->groups[i] == gid)
			return true;
	return gid == self->gid;
}

/*
 * Without the right to change groups those that we have anyway will do; asking
 * for any other makes the step fail and say so.
 */
static void
plan_groups(const struct spawn_self *self, const struct cab_exec *exec,
    struct child_plan *plan)
{
	size_t i;

	plan->groups = exec->group_ids.v;
	plan->n_groups = exec->group_ids.n;
	plan->set_groups = may(self, CAP_SETGID);
	for (i = 0; i < plan->n_groups && !plan->set_groups; i++)
		plan->set_groups = !group_held(self, plan->groups[i]);
}

static void
plan_identity(const struct spawn_self *self, const struct cab_exec *exec,
    struct child_plan *plan)
{
	plan->uid = self->def_uid;
	plan->gid = self->def_gid;
	if (exec->user.name != NULL) {
		plan->uid = exec->user.id;
		plan->gid = exec->user.gid;
	}
	if (exec->group.name != NULL)
		plan->gid = exec->group.id;
	plan_groups(self, exec, plan);
}

/*
 * None but the configured ones.  A program that was given to root by name and
 * has no list of its own keeps what the daemon has: that is why it was given to
 * root.  A setuid program that may gain privileges needs the bounding set.
 */
static void
plan_capabilities(const struct spawn_self *self, const struct cab_exec *exec,
    struct child_plan *plan)
{
	plan->no_new_privs = exec->no_new_privileges;
	plan->capabilities = exec->capability_bits;
	plan->all_capabilities = exec->user.name != NULL &&
	    exec->user.id == 0 && exec->capabilities.n == 0;
	if (plan->all_capabilities)
		plan->capabilities = 0;
	else if (exec->no_new_privileges && may(self, CAP_SETPCAP))
		plan->drop_bounding = self->bounding & ~plan->capabilities;
}

static void
plan_limit(struct child_plan *plan, int resource, int64_t value)
{
	plan->limits[plan->n_limits++] = (struct child_limit){
		.resource = resource,
		.value = { .rlim_cur = (rlim_t)value, .rlim_max = (rlim_t)value },
	};
}

static void
plan_limits(const struct spawn_self *self, const struct cab_exec *exec,
    struct child_plan *plan)
{
	const struct cab_rlimits *r = &exec->rlimits;
	const struct {
		int resource;
		int64_t value;
	} rows[] = {
		{ RLIMIT_CPU, (r->cpu + 999) / 1000 },
		{ RLIMIT_NPROC, r->processes },
		{ RLIMIT_AS, r->address_space },
		{ RLIMIT_DATA, r->data },
		{ RLIMIT_STACK, r->stack },
		{ RLIMIT_FSIZE, r->file_size },
		{ RLIMIT_MEMLOCK, r->locked },
		{ RLIMIT_NOFILE, r->files },
	};
	size_t i;

	for (i = 0; i < CAB_N(rows); i++)
		if (rows[i].value > 0)
			plan_limit(plan, rows[i].resource, rows[i].value);
	if (r->core_set)
		plan_limit(plan, RLIMIT_CORE, r->core);
	/* Ours has been raised for our own use; select(2) in a program does not survive that. */
	if (r->files == 0)
		plan->limits[plan->n_limits++] = (struct child_limit){
			.resource = RLIMIT_NOFILE, .value = self->files
		};
}

/* NULL where we are, or chroot leads, already. */
static const char *
directory_of(const struct cab_exec *exec)
{
	return strcmp(exec->directory, "/") == 0 ? NULL : exec->directory;
}

int
spawn_plan(const struct spawn_self *self, const struct cab_exec *exec,
    struct child_plan *plan, char ***ret_argv)
{
	char **argv;
	size_t i;

	argv = calloc(exec->args.n + 2, sizeof(*argv));
	if (argv == NULL)
		return -ENOMEM;
	argv[0] = (char *)(uintptr_t)exec->program;
	for (i = 0; i < exec->args.n; i++)
		argv[i + 1] = (char *)(uintptr_t)exec->args.v[i];
	*plan = (struct child_plan){
		.program = exec->program,
		.argv = argv,
		.in_out = -1,
		.error = -1,
		.chroot = exec->chroot,
		.directory = directory_of(exec),
		.umask_bits = (mode_t)exec->umask_bits,
		.nice = self->nice + (int)exec->nice,
		.set_nice = exec->nice != 0,
	};
	plan_identity(self, exec, plan);
	plan_capabilities(self, exec, plan);
	plan_limits(self, exec, plan);
	*ret_argv = argv;
	return 0;
}
