/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox of the config role.  Looking up users and hosts loads modules of
 * the system's choice, so the filter names what is denied: everything with an
 * effect outside this process.  What it denies fails with EPERM, which those
 * modules survive; the role never needs it.
 */
#include "conf/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef CAB_SANITIZE
#define CPU_SECONDS 15
#else
#define CPU_SECONDS 2
#endif
#define MEMORY_BYTES ((rlim_t)256 << 20)
#define FILE_BYTES   ((rlim_t)128 << 20) /* memory files count, too */
#define FILES        64

static const char *const denied[] = {
	/* other programs and processes */
	"execve",
	"execveat",
	"fork",
	"vfork",
	"clone",
	"kill",
	"tkill",
	"rt_sigqueueinfo",
	"rt_tgsigqueueinfo",
	"pidfd_send_signal",
	"pidfd_getfd",
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"process_madvise",
	"kcmp",
	"setpriority",
	"sched_setscheduler",
	"sched_setattr",
	"sched_setparam",
	"ioprio_set",
	"migrate_pages",
	"move_pages",
	/* serving */
	"bind",
	"listen",
	"accept",
	"accept4",
	/* the file system */
	"creat",
	"truncate",
	"truncate64",
	"mkdir",
	"mkdirat",
	"rmdir",
	"unlink",
	"unlinkat",
	"rename",
	"renameat",
	"renameat2",
	"link",
	"linkat",
	"symlink",
	"symlinkat",
	"mknod",
	"mknodat",
	"chmod",
	"fchmodat",
	"fchmodat2",
	"chown",
	"chown32",
	"lchown",
	"lchown32",
	"fchownat",
	"utime",
	"utimes",
	"futimesat",
	"utimensat",
	"setxattr",
	"lsetxattr",
	"removexattr",
	"lremovexattr",
	"mount",
	"umount",
	"umount2",
	"pivot_root",
	"chroot",
	"move_mount",
	"open_tree",
	"fsopen",
	"fsmount",
	"fsconfig",
	"fspick",
	"mount_setattr",
	"open_by_handle_at",
	"name_to_handle_at",
	"quotactl",
	"quotactl_fd",
	"swapon",
	"swapoff",
	"fanotify_init",
	"acct",
	/* identity and limits */
	"setuid",
	"setuid32",
	"setgid",
	"setgid32",
	"setreuid",
	"setreuid32",
	"setregid",
	"setregid32",
	"setresuid",
	"setresuid32",
	"setresgid",
	"setresgid32",
	"setfsuid",
	"setfsuid32",
	"setfsgid",
	"setfsgid32",
	"setgroups",
	"setgroups32",
	"capset",
	"setrlimit",
	"setns",
	"unshare",
	"setsid",
	"setpgid",
	"personality",
	/* the kernel */
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"keyctl",
	"add_key",
	"request_key",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"reboot",
	"syslog",
	"settimeofday",
	"clock_settime",
	"clock_adjtime",
	"adjtimex",
	"sethostname",
	"setdomainname",
	"iopl",
	"ioperm",
	"vhangup",
	"vmsplice",
	"tee",
};

/* glibc falls back to older calls when it hears that these do not exist. */
static const char *const absent[] = { "clone3", "openat2" };

static const char *const opening[] = { "open", "openat" };

static struct scmp_arg_cmp
match(unsigned arg, enum scmp_compare op, uint64_t a, uint64_t b)
{
	return (struct scmp_arg_cmp){
		.arg = arg, .op = op, .datum_a = a, .datum_b = b
	};
}

static int
deny(scmp_filter_ctx ctx, const char *name, uint32_t action, unsigned n,
    const struct scmp_arg_cmp *args)
{
	int call = seccomp_syscall_resolve_name(name), r;

	/* This kernel's headers or this machine do not have it. */
	if (call == __NR_SCMP_ERROR)
		return 0;
	r = seccomp_rule_add_array(ctx, action, call, n, args);
	return r == -EDOM ? 0 : r;
}

/* Reading is fine, writing is not. */
static int
deny_writing(scmp_filter_ctx ctx)
{
	static const int flags[] = { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC };
	size_t i, j;
	int r = 0;

	for (i = 0; i < sizeof(opening) / sizeof(opening[0]); i++)
		for (j = 0; r == 0 && j < sizeof(flags) / sizeof(flags[0]); j++) {
			uint64_t bits = (uint64_t)flags[j];
			struct scmp_arg_cmp arg = match(
			    (unsigned)i + 1, SCMP_CMP_MASKED_EQ, bits, bits);

			r = deny(ctx, opening[i], SCMP_ACT_ERRNO(EPERM), 1, &arg);
		}
	return r;
}

/*
 * Sockets only of the kinds that look-ups need.  The kernel looks at 32 bits of
 * the argument, the filter at 64: what is set above them is "greater".
 */
static int
deny_families(scmp_filter_ctx ctx)
{
	static const int allowed[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
	struct scmp_arg_cmp arg;
	int family, r = 0;
	size_t i;

	for (family = 0; r == 0 && family <= AF_NETLINK; family++) {
		for (i = 0; i < 4 && allowed[i] != family; i++)
			;
		if (i < 4)
			continue;
		arg = match(0, SCMP_CMP_EQ, (uint64_t)family, 0);
		r = deny(ctx, "socket", SCMP_ACT_ERRNO(EAFNOSUPPORT), 1, &arg);
	}
	arg = match(0, SCMP_CMP_GT, AF_NETLINK, 0);
	return r < 0 ?
	    r :
	    deny(ctx, "socket", SCMP_ACT_ERRNO(EAFNOSUPPORT), 1, &arg);
}

/* Its errors may go to a terminal: nothing must be typed into that. */
static int
deny_typing(scmp_filter_ctx ctx)
{
	static const uint64_t requests[] = { TIOCSTI, TIOCLINUX };
	struct scmp_arg_cmp arg;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < 2; i++) {
		arg = match(1, SCMP_CMP_MASKED_EQ, UINT32_MAX, requests[i]);
		r = deny(ctx, "ioctl", SCMP_ACT_ERRNO(EPERM), 1, &arg);
	}
	return r;
}

static int
filter_calls(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	/* Its own limits may be asked for, not set; signals go to itself only. */
	struct scmp_arg_cmp limits = match(2, SCMP_CMP_NE, 0, 0);
	struct scmp_arg_cmp others = match(0, SCMP_CMP_NE, (uint64_t)getpid(), 0);
	size_t i;
	int r = 0;

	if (ctx == NULL)
		return -ENOMEM;
	for (i = 0; r == 0 && i < sizeof(denied) / sizeof(denied[0]); i++)
		r = deny(ctx, denied[i], SCMP_ACT_ERRNO(EPERM), 0, NULL);
	for (i = 0; r == 0 && i < sizeof(absent) / sizeof(absent[0]); i++)
		r = deny(ctx, absent[i], SCMP_ACT_ERRNO(ENOSYS), 0, NULL);
	if (r == 0)
		r = deny(ctx, "prlimit64", SCMP_ACT_ERRNO(EPERM), 1, &limits);
	if (r == 0)
		r = deny(ctx, "tgkill", SCMP_ACT_ERRNO(EPERM), 1, &others);
	if (r == 0)
		r = deny_typing(ctx);
	if (r == 0)
		r = deny_writing(ctx);
	if (r == 0)
		r = deny_families(ctx);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	/* A kernel without seccomp: the rest of the sandbox has to do. */
	return r == -EINVAL || r == -ENOSYS ? 0 : r;
}

static int
become(uint32_t uid, uint32_t gid)
{
	uid_t r, e, s;

	if (uid == UINT32_MAX)
		return 0;
	/* A user namespace may forbid setgroups() and have no such user: root is nobody special there. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return -errno;
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return errno == EINVAL ? 0 : -errno;
	if (getresuid(&r, &e, &s) < 0 || r != uid || e != uid || s != uid)
		return -EPERM;
	/* There must be no way back. */
	return uid != 0 && setuid(0) == 0 ? -EPERM : 0;
}

static int
drop_capabilities(void)
{
	cap_t none = cap_init();
	int r;

	if (none == NULL)
		return -ENOMEM;
	r = cap_set_proc(none) < 0 ? -errno : 0;
	cap_free(none);
	return r;
}

static int
limit(void)
{
	static const struct {
		int resource;
		rlim_t soft, hard;
	} limits[] = {
		{ RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS + 1 },
#ifndef CAB_SANITIZE
		/* The sanitizers reserve terabytes of address space. */
		{ RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES },
#endif
		{ RLIMIT_FSIZE, FILE_BYTES, FILE_BYTES },
		{ RLIMIT_NOFILE, FILES, FILES },
		{ RLIMIT_NPROC, 0, 0 },
		{ RLIMIT_CORE, 0, 0 },
	};
	struct rlimit l, old;
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		l = (struct rlimit){ limits[i].soft, limits[i].hard };
		/* A limit that is lower already stays. */
		if (getrlimit(limits[i].resource, &old) == 0 &&
		    old.rlim_max < l.rlim_max)
			l.rlim_cur = l.rlim_max = old.rlim_max;
		if (setrlimit(limits[i].resource, &l) < 0)
			return -errno;
	}
	return 0;
}

int
conf_sandbox(uint32_t uid, uint32_t gid, const char **what)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	int r;

	*what = "giving up the rights of root";
	r = become(uid, gid);
	if (r == 0)
		r = drop_capabilities();
	/* Whom it answers to may die while it waits for a name server. */
	if (r == 0 &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0))
		r = -errno;
	if (r < 0)
		return r;
	*what = "limiting itself";
	/* A file that grows too large is an error, not a signal. */
	r = sigaction(SIGXFSZ, &ignore, NULL) < 0 ? -errno : limit();
	if (r < 0)
		return r;
	*what = "filtering its system calls";
	return filter_calls();
}
