/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Children that the supervisor did not make.  Supervisor only.  The kernel's
 * list of children is read, because wait(2) for any child would take a role's
 * exit away from the event loop.
 */
#include "supervisor/orphans.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/event.h"
#include "base/fd.h"
#include "base/str.h"

#define LIST_MAX   (1 << 20) /* bytes */
#define ASK_ROUNDS 200       /* of 10 ms, between SIGTERM and SIGKILL */
#define END_ROUNDS 300       /* until we stop waiting altogether */

int
orphans_adopt(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

/* Calls what for each child; how many there were. */
static unsigned
each_child(void (*what)(pid_t pid, void *arg), void *arg)
{
	char path[64], *list = NULL, *p;
	unsigned n = 0;
	size_t size;
	int fd;

	snprintf(
	    path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (fd_read_all(fd, LIST_MAX, &list, &size) == 0) {
		for (p = list; *p != '\0'; p += p[0] == ' ') {
			size_t digits = strcspn(p, " ");
			int64_t pid;

			if (str_to_i64((struct cab_slice){ p, digits }, &pid) ==
			    0) {
				what((pid_t)pid, arg);
				n++;
			}
			p += digits;
		}
		free(list);
	}
	fd_close(fd);
	return n;
}

struct owner {
	bool (*own)(void *arg, pid_t pid);
	void *arg;
};

static void
reap_one(pid_t pid, void *arg)
{
	const struct owner *owner = arg;

	if (owner == NULL || !owner->own(owner->arg, pid))
		(void)waitpid(pid, NULL, WNOHANG);
}

void
orphans_reap(bool (*own)(void *arg, pid_t pid), void *arg)
{
	struct owner owner = { own, arg };

	(void)each_child(reap_one, &owner);
}

/* A program leads a session of its own: its whole group goes with it. */
static void
kill_one(pid_t pid, void *arg)
{
	const int *number = arg;

	if (getpgid(pid) == pid)
		(void)kill(-pid, *number);
	else
		(void)kill(pid, *number);
}

void
orphans_end(void)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int number = SIGTERM;

	if (each_child(reap_one, NULL) == 0)
		return;
	log_event(CAB_LOG_NOTICE, EVENT_PROGRAMS_LOST,
	    "ending programs whose launcher was killed");
	for (unsigned round = 0; round < END_ROUNDS; round++) {
		/* Those that come to us when their parent dies are asked too. */
		if (round % 50 == 0 || round == ASK_ROUNDS) {
			number = round >= ASK_ROUNDS ? SIGKILL : SIGTERM;
			(void)each_child(kill_one, &number);
		}
		(void)nanosleep(&pause, NULL);
		if (each_child(reap_one, NULL) == 0)
			return;
	}
}
