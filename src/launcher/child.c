/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The child's side of starting a program.  It runs in the launcher's memory on a
 * stack of its own while the launcher sleeps, so it may not allocate, not
 * change a variable of the launcher but for the two fields of the plan, and not
 * call a C library function that keeps state: glibc's setuid() and friends talk
 * to other threads.  Every step is one raw system call, checked; a step that
 * fails ends the child, so that no program ever runs with more than it should.
 */
#include "launcher/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 32-bit systems have two generations of these calls; the plain names are the 16-bit one. */
#ifdef SYS_setresuid32
#define NR_SETRESUID SYS_setresuid32
#define NR_SETRESGID SYS_setresgid32
#define NR_GETRESUID SYS_getresuid32
#define NR_GETRESGID SYS_getresgid32
#define NR_SETGROUPS SYS_setgroups32
#else
#define NR_SETRESUID SYS_setresuid
#define NR_SETRESGID SYS_setresgid
#define NR_GETRESUID SYS_getresuid
#define NR_GETRESGID SYS_getresgid
#define NR_SETGROUPS SYS_setgroups
#endif

/* The sanitizers keep books per thread and know nothing of a second process in the same memory. */
#define IN_CHILD        \
	__attribute__(( \
	    no_sanitize("address"), no_sanitize("undefined"), noinline))

#define SIGNAL_SET_SIZE 8 /* the kernel's, not the C library's */

typedef int step_fn(const struct child_plan *plan);

static IN_CHILD int
check(long r)
{
	return r < 0 ? errno : 0;
}

static IN_CHILD int
step_session(const struct child_plan *plan)
{
	(void)plan;
	return check(syscall(SYS_setsid));
}

/*
 * Until here the table is the launcher's own: copying it, with a descriptor for
 * each running program, would cost more the more of them there are.
 */
static IN_CHILD int
step_descriptors(const struct child_plan *plan)
{
	int last = plan->in_out > plan->error ? plan->in_out : plan->error;

	if (last < 2)
		last = 2;
	if (syscall(SYS_close_range, (unsigned)last + 1, ~0U,
		CLOSE_RANGE_UNSHARE) == 0)
		return 0;
	/* Before Linux 5.9, and under sandboxes that do not know it. */
	return errno == ENOSYS ? check(syscall(SYS_unshare, CLONE_FILES)) : errno;
}

static IN_CHILD int
step_stdio(const struct child_plan *plan)
{
	int in_out = plan->in_out, error = plan->error;

	/* Lifted out of the way first: either may have a number below 3 itself. */
	if (in_out < 3)
		in_out = (int)syscall(SYS_fcntl, in_out, F_DUPFD, 3);
	if (error < 3)
		error = (int)syscall(SYS_fcntl, error, F_DUPFD, 3);
	if (in_out < 0 || error < 0 || syscall(SYS_dup3, in_out, 0, 0) < 0 ||
	    syscall(SYS_dup3, in_out, 1, 0) < 0 ||
	    syscall(SYS_dup3, error, 2, 0) < 0)
		return errno;
	return 0;
}

static IN_CHILD int
step_close(const struct child_plan *plan)
{
	struct {
		uint64_t soft, hard;
	} files;
	unsigned fd;

	(void)plan;
	if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
		return 0;
	if (errno != ENOSYS)
		return errno;
	if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &files) < 0)
		return errno;
	for (fd = 3; fd < files.soft; fd++)
		syscall(SYS_close, fd);
	return 0;
}

/* None is ignored in the launcher (spawn_own_signals), and execve resets the handlers. */
static IN_CHILD int
step_signals(const struct child_plan *plan)
{
	uint64_t none = 0;

	(void)plan;
	return check(syscall(
	    SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SIGNAL_SET_SIZE));
}

static IN_CHILD int
step_limits(const struct child_plan *plan)
{
	struct {
		uint64_t soft, hard;
	} value;
	size_t i;

	for (i = 0; i < plan->n_limits; i++) {
		const struct child_limit *limit = &plan->limits[i];

		value.soft = limit->value.rlim_cur;
		value.hard = limit->value.rlim_max;
		if (syscall(SYS_prlimit64, 0, limit->resource, &value, NULL) < 0)
			return errno;
	}
	return 0;
}

static IN_CHILD int
step_nice(const struct child_plan *plan)
{
	syscall(SYS_umask, plan->umask_bits);
	if (!plan->set_nice)
		return 0;
	return check(syscall(SYS_setpriority, PRIO_PROCESS, 0, plan->nice));
}

static IN_CHILD int
step_chroot(const struct child_plan *plan)
{
	if (plan->chroot == NULL)
		return 0;
	if (syscall(SYS_chroot, plan->chroot) < 0)
		return errno;
	/* Also when a directory follows: a relative way out must not stay open. */
	return check(syscall(SYS_chdir, "/"));
}

static IN_CHILD int
step_directory(const struct child_plan *plan)
{
	if (plan->directory == NULL)
		return 0;
	return check(syscall(SYS_chdir, plan->directory));
}

/* Now, because it takes CAP_SETPCAP, which goes with the user. */
static IN_CHILD int
step_bounding(const struct child_plan *plan)
{
	unsigned cap;

	for (cap = 0; cap < 64; cap++)
		if ((plan->drop_bounding >> cap & 1) != 0 &&
		    syscall(SYS_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return errno;
	return 0;
}

static IN_CHILD int
step_groups(const struct child_plan *plan)
{
	if (!plan->set_groups)
		return 0;
	return check(syscall(NR_SETGROUPS, plan->n_groups, plan->groups));
}

static IN_CHILD int
step_group(const struct child_plan *plan)
{
	if (plan->gid == CHILD_KEEP_ID)
		return 0;
	return check(syscall(NR_SETRESGID, plan->gid, plan->gid, plan->gid));
}

static IN_CHILD int
step_user(const struct child_plan *plan)
{
	if (plan->capabilities != 0 &&
	    syscall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return errno;
	if (plan->uid == CHILD_KEEP_ID)
		return 0;
	return check(syscall(NR_SETRESUID, plan->uid, plan->uid, plan->uid));
}

static IN_CHILD bool
has_no_capabilities(struct __user_cap_header_struct *head)
{
	struct __user_cap_data_struct data[2];

	return syscall(SYS_capget, head, data) == 0 &&
	    (data[0].permitted | data[1].permitted | data[0].inheritable |
		data[1].inheritable) == 0;
}

/*
 * Exactly the wanted capabilities in every set; ambient, so that they survive
 * execve.  The kernel keeps the ambient set within the permitted and inheritable ones,
 * so what is not raised here is not in it.
 */
static IN_CHILD int
step_capabilities(const struct child_plan *plan)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	unsigned cap, i;

	if (plan->all_capabilities)
		return 0;
	/* The change of the user took them: asking costs less than a new set of credentials. */
	if (plan->capabilities == 0 && has_no_capabilities(&head))
		return 0;
	for (i = 0; i < 2; i++) {
		uint32_t bits = (uint32_t)(plan->capabilities >> 32 * i);

		data[i].effective = data[i].permitted = data[i].inheritable = bits;
	}
	if (syscall(SYS_capset, &head, data) < 0)
		return errno;
	for (cap = 0; cap < 64; cap++)
		if ((plan->capabilities >> cap & 1) != 0 &&
		    syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
			cap, 0, 0) < 0)
			return errno;
	return 0;
}

static IN_CHILD int
verify_ids(long nr, uint32_t want)
{
	uint32_t real = ~want, effective = ~want, saved = ~want;

	if (want == CHILD_KEEP_ID)
		return 0;
	if (syscall(nr, &real, &effective, &saved) < 0)
		return errno;
	return real == want && effective == want && saved == want ? 0 : EPERM;
}

/* CVE-2023-40303 and its kin: believe what getres*id say, and that there is no way back. */
static IN_CHILD int
step_verify(const struct child_plan *plan)
{
	int r = verify_ids(NR_GETRESUID, plan->uid);

	if (r == 0)
		r = verify_ids(NR_GETRESGID, plan->gid);
	if (r != 0 || plan->uid == 0 || plan->uid == CHILD_KEEP_ID ||
	    plan->all_capabilities || (plan->capabilities >> CAP_SETUID & 1) != 0)
		return r;
	return syscall(NR_SETRESUID, -1, 0, -1) < 0 ? 0 : EPERM;
}

static IN_CHILD int
step_no_new_privs(const struct child_plan *plan)
{
	if (!plan->no_new_privs)
		return 0;
	return check(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static IN_CHILD int
step_execute(const struct child_plan *plan)
{
	return check(syscall(SYS_execve, plan->program, plan->argv, plan->envp));
}

static step_fn *const steps[CHILD_STEPS] = {
	[CHILD_SESSION] = step_session,
	[CHILD_DESCRIPTORS] = step_descriptors,
	[CHILD_STDIO] = step_stdio,
	[CHILD_CLOSE] = step_close,
	[CHILD_SIGNALS] = step_signals,
	[CHILD_LIMITS] = step_limits,
	[CHILD_NICE] = step_nice,
	[CHILD_CHROOT] = step_chroot,
	[CHILD_DIRECTORY] = step_directory,
	[CHILD_BOUNDING] = step_bounding,
	[CHILD_GROUPS] = step_groups,
	[CHILD_GROUP] = step_group,
	[CHILD_USER] = step_user,
	[CHILD_CAPABILITIES] = step_capabilities,
	[CHILD_VERIFY] = step_verify,
	[CHILD_NO_NEW_PRIVS] = step_no_new_privs,
	[CHILD_EXECUTE] = step_execute,
};

IN_CHILD int
child_enter(void *arg)
{
	struct child_plan *plan = arg;
	int step, error;

	for (step = CHILD_NONE + 1; step < CHILD_STEPS; step++) {
		error = steps[step](plan);
		if (error != 0) {
			plan->failed_errno = error;
			plan->failed_step = (enum child_step)step;
			break;
		}
	}
	for (;;)
		syscall(SYS_exit_group, 127);
}

const char *
child_step_text(enum child_step step)
{
	static const char *const texts[CHILD_STEPS] = {
		[CHILD_NONE] = "make a process",
		[CHILD_SESSION] = "make a session",
		[CHILD_DESCRIPTORS] = "get descriptors of its own",
		[CHILD_STDIO] = "pass the socket on",
		[CHILD_CLOSE] = "close the other descriptors",
		[CHILD_SIGNALS] = "reset the signals",
		[CHILD_LIMITS] = "set its resource limits",
		[CHILD_NICE] = "set its niceness",
		[CHILD_CHROOT] = "change its root directory",
		[CHILD_DIRECTORY] = "enter its directory",
		[CHILD_BOUNDING] = "limit its capabilities",
		[CHILD_GROUPS] = "set its supplementary groups",
		[CHILD_GROUP] = "change its group",
		[CHILD_USER] = "change its user",
		[CHILD_CAPABILITIES] = "set its capabilities",
		[CHILD_VERIFY] = "verify the change of its user",
		[CHILD_NO_NEW_PRIVS] = "forbid new privileges",
		[CHILD_EXECUTE] = "execute it",
	};

	return step < CHILD_STEPS ? texts[step] : "start it";
}
