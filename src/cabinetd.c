/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main() of every process of the daemon: one binary, which finds its role in
 * argv[0].  The supervisor starts it again under a title for each of the others
 * and gives them a channel; a user starts it as the supervisor.  No logic here.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "conf/model.h"
#include "ipc/msg.h"
#include "launcher/launcher.h"
#include "proto/proto.h"
#include "supervisor/spawn.h"
#include "supervisor/supervisor.h"
#include "worker/worker.h"

static void __attribute__((noreturn)) run_worker(void)
{
	worker_main(cab_protos, cab_descs);
}

static void __attribute__((noreturn)) run_launcher(void)
{
	launcher_main(cab_descs);
}

static void __attribute__((noreturn)) run_config(void)
{
	conf_child_main(MSG_ROLE_FD, cab_descs);
}

static const struct {
	const char *title;
	void (*run)(void) __attribute__((noreturn));
} roles[] = {
	{ ROLE_TITLE_WORKER, run_worker },
	{ ROLE_TITLE_LAUNCHER, run_launcher },
	{ ROLE_TITLE_CONFIG, run_config },
};

/* A closed 0, 1 or 2 would become a socket, and the log be written into it. */
static bool
open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(fd);
	return fd >= 0;
}

/* A user who calls the program by such a name gets told, not a hanging process. */
static void
need_channel(const char *title)
{
	if (fd_socket_option(MSG_ROLE_FD, SOL_SOCKET, SO_DOMAIN) == AF_UNIX &&
	    fd_socket_option(MSG_ROLE_FD, SOL_SOCKET, SO_TYPE) == SOCK_SEQPACKET)
		return;
	fprintf(stderr, "%s: this role is started by cabinetd itself\n", title);
	exit(EX_USAGE);
}

int
main(int argc, char **argv)
{
	const char *title = argc > 0 ? argv[0] : "cabinetd";

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strncmp(title, roles[i].title, strlen(roles[i].title)) != 0)
			continue;
		need_channel(roles[i].title);
		(void)fd_set_cloexec(MSG_ROLE_FD, 1);
		/* Executed by way of /proc/self/exe, it would be called "exe". */
		(void)prctl(PR_SET_NAME, "cabinetd");
		roles[i].run();
	}
	if (!open_standard()) {
		return EX_OSERR;
	}
	return supervisor_main(argc, argv, cab_descs);
}
