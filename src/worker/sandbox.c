/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's sandbox.  What a protocol parser could be made to do ends here:
 * no program, no new socket, no signal, no executable memory.  Files can be
 * opened through openat2 only, which documents need, and for reading only; that
 * they lie below the document root is for the caller to ask of the kernel
 * (RESOLVE_BENEATH).
 */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/sandbox.h"

static int
drop_ids(uint32_t uid, uint32_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (uid == UINT32_MAX)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -errno;
	if (getresuid(&r, &e, &s) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return -errno;
	if (r != uid || e != uid || s != uid || rg != gid || eg != gid ||
	    sg != gid)
		return -EPERM;
	/* What can be taken back was not dropped. */
	if (uid != 0 && setuid(0) == 0)
		return -EPERM;
	return 0;
}

/* While still privileged; a plain user cannot, and has nothing to drop. */
static void
drop_bounding_set(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static int
drop_capabilities(void)
{
	cap_t none = cap_init();
	int r = 0;

	if (!none)
		return -errno;
	if (cap_set_proc(none) < 0)
		r = -errno;
	cap_free(none);
	return r;
}

static int
limit_resources(uint32_t max_fds)
{
	const struct {
		int what;
		rlim_t max;
	} rows[] = {
		{ RLIMIT_NOFILE, max_fds },
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_MEMLOCK, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rlimit limit = { rows[i].max, rows[i].max };

		if (setrlimit(rows[i].what, &limit) < 0)
			return -errno;
	}
	return 0;
}

#ifndef CAB_SANITIZE /* the sanitizers' run time needs more than a worker does */
static const int allowed[] = {
	SCMP_SYS(accept4),
	SCMP_SYS(brk),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(getpeername),
	SCMP_SYS(getrandom),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(gettid),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(lseek),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(newfstatat),
	SCMP_SYS(openat2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(pread64),
	SCMP_SYS(pwritev2),
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(recv),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(send),
	SCMP_SYS(sendfile),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),
	SCMP_SYS(statx),
	SCMP_SYS(uname),
	SCMP_SYS(write),
	SCMP_SYS(writev),
};

/* What Landlock is asked to forbid everywhere: all but reading. */
#define FILE_CHANGES                                                      \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |     \
	    LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
	    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
	    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |   \
	    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | \
	    LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

/*
 * The flags of openat2 lie in memory, where the filter of system calls cannot
 * look.  Best effort: a kernel without Landlock leaves it to the permissions of
 * the files.
 */
static int
forbid_file_changes(void)
{
	const struct landlock_ruleset_attr rules = {
		.handled_access_fs = FILE_CHANGES
	};
	long fd;
	int r = 0;

	fd = syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
	if (fd < 0)
		return 0;
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		r = -errno;
	close((int)fd);
	return r;
}

/* No path of the program leads here: whoever calls these is not the program any more. */
static const int deadly[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(ptrace),
	SCMP_SYS(socket),
	SCMP_SYS(bind),
	SCMP_SYS(connect),
	SCMP_SYS(listen),
	SCMP_SYS(mount),
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(bpf),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(keyctl),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(kexec_load),
	SCMP_SYS(init_module),
	SCMP_SYS(perf_event_open),
};

/* Memory may be mapped, never made executable. */
static int
filter_memory(scmp_filter_ctx ctx)
{
	int r;

	r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
	    SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
	if (r < 0)
		return r;
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
	    SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0));
}

/* No tracing by the own user either, and the filter. */
static int
filter_calls(void)
{
	scmp_filter_ctx ctx;
	int r;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return -ENOMEM;
	r = filter_memory(ctx);
	/* A call that this architecture does not have (-EDOM) needs no rule. */
	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]);
	     i++) {
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
		if (r == -EDOM)
			r = 0;
	}
	for (size_t i = 0; r == 0 && i < sizeof(deadly) / sizeof(deadly[0]); i++) {
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
		if (r == -EDOM)
			r = 0;
	}
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
#else /* the leak checker traces its own process, profiles are written */
static int
forbid_file_changes(void)
{
	return 0;
}

static int
filter_calls(void)
{
	return 0;
}
#endif

int
sandbox_enter(uint32_t uid, uint32_t gid, uint32_t max_fds, const char **ret_step)
{
	int r;

	*ret_step = "set resource limits";
	r = limit_resources(max_fds);
	if (r < 0)
		return r;
	drop_bounding_set();
	*ret_step = "change to the unprivileged user";
	r = drop_ids(uid, gid);
	if (r < 0)
		return r;
	*ret_step = "drop capabilities";
	r = drop_capabilities();
	if (r < 0)
		return r;
	*ret_step = "set no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	*ret_step = "forbid changes of files";
	r = forbid_file_changes();
	if (r < 0)
		return r;
	*ret_step = "load the system call filter";
	return filter_calls();
}
