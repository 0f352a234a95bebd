/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floor of programs that are started as cabinetd promises: one process
 * accepts and hands the socket to another, which starts the program in a
 * session of its own, as another user without a way back, with no descriptor
 * but three and its standard error in a pipe that is read.  Beside the floor
 * without all that it shows what these promises cost, and beside cabinetd what
 * everything else does.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "common.h"
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS 16
#define STACK  65536

/* What the child reads from the memory that it shares. */
struct start {
	const char *program;
	int socket, error;
	uid_t uid;
	gid_t gid;
};

/* ---- the socket's way ------------------------------------------------- */

union rights {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void
hand_over(int to, int fd)
{
	union rights rights = { .bytes = { 0 } };
	char text[64] = { 0 };
	struct iovec iov = { text, sizeof(text) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = rights.bytes,
		.msg_controllen = sizeof(rights.bytes) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	(void)sendmsg(to, &msg, 0);
}

static int
take_over(int from)
{
	union rights rights;
	char text[64];
	struct iovec iov = { text, sizeof(text) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = rights.bytes,
		.msg_controllen = sizeof(rights.bytes) };
	int fd = -1;

	if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	if (CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void
accept_for(int listener, int to)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		hand_over(to, fd);
		close(fd);
	}
}

/* ---- the program's start ------------------------------------------------ */

static int
child(void *arg)
{
	struct start *start = arg;
	int last = start->socket > start->error ? start->socket : start->error;
	char *const argv[] = { (char *)(uintptr_t)start->program, NULL };
	char *const envp[] = { NULL };
	uint64_t none = 0;

	if (syscall(SYS_setsid) < 0 ||
	    syscall(SYS_close_range, (unsigned)last + 1, ~0U,
		CLOSE_RANGE_UNSHARE) < 0 ||
	    syscall(SYS_dup3, start->socket, 0, 0) < 0 ||
	    syscall(SYS_dup3, start->socket, 1, 0) < 0 ||
	    syscall(SYS_dup3, start->error, 2, 0) < 0 ||
	    syscall(SYS_close_range, 3U, ~0U, 0U) < 0 ||
	    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8) < 0)
		_exit(127);
	if (start->uid != 0 &&
	    (syscall(SYS_setgroups, 1, &start->gid) < 0 ||
		syscall(SYS_setresgid, start->gid, start->gid, start->gid) < 0 ||
		syscall(SYS_setresuid, start->uid, start->uid, start->uid) < 0))
		_exit(127);
	if (syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		syscall(SYS_execve, start->program, argv, envp);
	_exit(127);
}

static void
watch(int ep, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		bench_die(errno, "epoll_ctl");
}

static void
start_program(int ep, struct start *start)
{
	static char stack[STACK] __attribute__((aligned(64)));
	int ends[2];

	if (start->socket < 0)
		return;
	if (pipe2(ends, O_CLOEXEC) < 0)
		bench_die(errno, "pipe2");
	watch(ep, ends[0]);
	start->error = ends[1];
	if (clone(child, stack + sizeof(stack),
		CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, start) < 0)
		bench_die(errno, "clone");
	close(ends[1]);
	close(start->socket);
}

static void
read_error(int fd)
{
	char text[4096];

	if (read(fd, text, sizeof(text)) <= 0)
		close(fd);
}

static void
reap(int signals)
{
	struct signalfd_siginfo info;

	(void)!read(signals, &info, sizeof(info));
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
}

static int
open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void
floor_run_guarded(int listener, const char *program)
{
	const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
	struct start start = { .program = program,
		.uid = nobody ? nobody->pw_uid : 0,
		.gid = nobody ? nobody->pw_gid : 0 };
	struct epoll_event ev[EVENTS];
	int ep = epoll_create1(EPOLL_CLOEXEC), signals, pair[2];

	if (ep < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		bench_die(errno, "socketpair");
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		accept_for(listener, pair[0]);
	}
	signals = open_signals();
	watch(ep, pair[1]);
	watch(ep, signals);
	for (;;) {
		int n = epoll_wait(ep, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.fd == signals) {
				reap(signals);
			} else if (ev[i].data.fd == pair[1]) {
				start.socket = take_over(pair[1]);
				start_program(ep, &start);
			} else {
				read_error(ev[i].data.fd);
			}
		}
	}
}
