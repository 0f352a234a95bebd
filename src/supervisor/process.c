/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the supervisor's process what it should be, whoever started it and with
 * whatever left open.  Supervisor only, once.
 */
#include "supervisor/process.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/*
 * Root's other powers are switched off, not given up: where a unit sets
 * NoNewPrivileges= the launcher would get back no more than we have.
 */
static const cap_value_t caps_needed[] = {
	CAP_CHOWN, /* owner and group of unix sockets */
	CAP_DAC_OVERRIDE, /* configuration, document roots, directories of unix sockets */
	CAP_FOWNER,    /* mode of unix sockets given to somebody else */
	CAP_KILL,      /* roles that run as somebody else */
	CAP_NET_ADMIN, /* socket.mark, buffers beyond the system's maximum */
	CAP_NET_BIND_SERVICE, /* ports below 1024 */
	CAP_NET_RAW,          /* socket.interface changed on reload */
};

#define N_CAPS (sizeof(caps_needed) / sizeof(caps_needed[0]))

static int
narrow_capabilities(void)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t have;
	int r;

	if (caps == NULL)
		return -errno;
	r = cap_clear_flag(caps, CAP_EFFECTIVE);
	for (size_t i = 0; r == 0 && i < N_CAPS; i++)
		if (cap_get_flag(caps, caps_needed[i], CAP_PERMITTED, &have) == 0 &&
		    have == CAP_SET)
			r = cap_set_flag(
			    caps, CAP_EFFECTIVE, 1, &caps_needed[i], CAP_SET);
	if (r == 0)
		r = cap_set_proc(caps);
	r = r < 0 ? -errno : 0;
	cap_free(caps);
	return r;
}

/* Whoever started us may have left anything open; it must not reach the roles. */
static void
mark_inherited(void)
{
	if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	/* Before Linux 5.11. */
	for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
		(void)fd_set_cloexec(fd, 1);
}

void
process_settle(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	/* To ignore one throws away what is pending: none that we heed. */
	static const int ignored[] = { SIGPIPE, SIGUSR1 };
	int r;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)sigaction(ignored[i], &ignore, NULL);
	mark_inherited();
	umask(0077);
	if (geteuid() == 0) {
		/* No core file, of which a user could learn what root knows. */
		(void)prctl(PR_SET_DUMPABLE, 0);
		r = narrow_capabilities();
		if (r < 0)
			log_warning("cannot switch off root's capabilities: %s",
			    strerror(-r));
	}
}
