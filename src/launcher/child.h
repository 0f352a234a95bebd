/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps between clone(2) and execve(2), as data made by the launcher and
 * code that runs in the child.  Launcher only.
 */
#ifndef CAB_LAUNCHER_CHILD_H
#define CAB_LAUNCHER_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* In the order in which they are taken. */
enum child_step {
	CHILD_NONE, /* no step failed */
	CHILD_SESSION,
	CHILD_DESCRIPTORS,
	CHILD_STDIO,
	CHILD_CLOSE,
	CHILD_SIGNALS,
	CHILD_LIMITS,
	CHILD_NICE,
	CHILD_CHROOT,
	CHILD_DIRECTORY,
	CHILD_BOUNDING,
	CHILD_GROUPS,
	CHILD_GROUP,
	CHILD_USER,
	CHILD_CAPABILITIES,
	CHILD_VERIFY,
	CHILD_NO_NEW_PRIVS,
	CHILD_EXECUTE,
	CHILD_STEPS
};

#define CHILD_LIMITS_MAX 10
#define CHILD_KEEP_ID    ((uint32_t)-1) /* uid and gid: whatever the launcher has */

struct child_limit {
	int resource;
	struct rlimit value;
};

/* What the program gets.  The child only reads it, but for the last two. */
struct child_plan {
	const char *program;
	char *const *argv, *const *envp;
	int in_out; /* becomes 0 and 1 */
	int error;  /* becomes 2 */
	const char *chroot, *directory; /* NULL: stays */
	mode_t umask_bits;
	int nice; /* absolute */
	bool set_nice;
	struct child_limit limits[CHILD_LIMITS_MAX];
	size_t n_limits;
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t n_groups;
	bool set_groups;
	bool all_capabilities;  /* keeps what the launcher has */
	uint64_t capabilities;  /* else exactly these */
	uint64_t drop_bounding; /* taken out of the bounding set */
	bool no_new_privs;

	enum child_step failed_step; /* set by the child when it gives up */
	int failed_errno;
};

/*
 * What clone(2) calls in the child: takes the steps and becomes the program, or
 * says in the plan which step failed and ends with status 127.  Shares memory
 * with the launcher, which sleeps meanwhile.
 */
int child_enter(void *plan);

/* "change its user": completes "cannot ...". */
const char *child_step_text(enum child_step step);

#endif
