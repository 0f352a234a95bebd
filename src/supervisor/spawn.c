/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts a role: the supervisor's own binary, whose file may have been replaced
 * since (an upgrade), with a fresh address layout.  Supervisor only.  Nothing
 * that the supervisor has open or was told reaches a role by accident: every
 * descriptor here is close-on-exec and the environment is a list of names.
 */
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "ipc/msg.h"

/* What a role without a task of its own may know; a name ending in '_' is a prefix. */
static const char *const minimal_names[] = { "PATH", "LANG", "LC_", "TZ",
	"TZDIR", "HOME", "XDG_RUNTIME_DIR", "JOURNAL_STREAM", "LD_LIBRARY_PATH",
	"ASAN_", "UBSAN_", "LSAN_", "MSAN_", "LLVM_PROFILE_FILE", "GCOV_" };

/* What systemd tells the supervisor alone: a program that had it could speak for us. */
static const char *const private_names[] = { "NOTIFY_SOCKET", "LISTEN_",
	"WATCHDOG_", "FDSTORE" };

static struct rlimit own_limit; /* descriptors, before it was raised */
static bool limit_raised;

static bool
name_listed(const char *entry, const char *const names[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(names[i]);

		if (strncmp(entry, names[i], len) == 0 &&
		    (entry[len] == '=' || names[i][len - 1] == '_'))
			return true;
	}
	return false;
}

/* The role's environment: fresh memory that points into ours; NULL on -ENOMEM. */
static char **
role_environment(bool full)
{
	size_t n = 0, kept = 0;
	char **env;

	while (environ != NULL && environ[n] != NULL)
		n++;
	env = calloc(n + 1, sizeof(*env));
	if (env == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		bool keep;

		if (full)
			keep = !name_listed(environ[i], private_names,
			    sizeof(private_names) / sizeof(private_names[0]));
		else
			keep = name_listed(environ[i], minimal_names,
			    sizeof(minimal_names) / sizeof(minimal_names[0]));
		if (keep)
			env[kept++] = environ[i];
	}
	return env;
}

/* Process group: Ctrl-C at a terminal is for the supervisor, which drains the others. */
static int
spawn_attributes(posix_spawnattr_t *attr)
{
	sigset_t set;
	int r;

	r = posix_spawnattr_setflags(attr,
	    POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
		POSIX_SPAWN_SETPGROUP);
	if (r == 0)
		r = posix_spawnattr_setpgroup(attr, 0);
	sigfillset(&set);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &set);
	sigemptyset(&set);
	if (r == 0)
		r = posix_spawnattr_setsigmask(attr, &set);
	return r;
}

static int
spawn_descriptors(posix_spawn_file_actions_t *actions, int channel)
{
	int r;

	/* First the channel: the null device must not land on its number. */
	r = posix_spawn_file_actions_adddup2(actions, channel, MSG_ROLE_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(
		    actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(
		    actions, STDIN_FILENO, STDOUT_FILENO);
	return r;
}

/* Children inherit limits, so ours is lowered for as long as one is being made. */
static void
limit_lower(bool lower)
{
	struct rlimit limit;

	if (!limit_raised || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = lower ? own_limit.rlim_cur : limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

size_t
roles_raise_limit(void)
{
	if (!limit_raised)
		limit_raised = getrlimit(RLIMIT_NOFILE, &own_limit) == 0;
	return fd_raise_limit();
}

pid_t
roles_spawn(const char *title, int channel)
{
	char *argv[] = { (char *)(uintptr_t)title, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char **env;
	pid_t pid;
	int r;

	env = role_environment(strcmp(title, ROLE_TITLE_LAUNCHER) == 0);
	if (env == NULL)
		return -ENOMEM;
	r = posix_spawnattr_init(&attr);
	if (r != 0)
		goto out_env;
	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		goto out_attr;
	r = spawn_attributes(&attr);
	if (r == 0)
		r = spawn_descriptors(&actions, channel);
	if (r == 0) {
		limit_lower(true);
		r = posix_spawn(
		    &pid, "/proc/self/exe", &actions, &attr, argv, env);
		limit_lower(false);
	}
	posix_spawn_file_actions_destroy(&actions);
out_attr:
	posix_spawnattr_destroy(&attr);
out_env:
	free(env);
	return r == 0 ? pid : -r;
}
