/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The environment of a program, made from nothing.  Launcher only.
 */
#ifndef CAB_LAUNCHER_ENV_H
#define CAB_LAUNCHER_ENV_H

#include "base/addr.h"
#include "conf/model.h"

struct env_source {
	const struct cab_service *service; /* a program service */
	const char *proto;                 /* "TCP", "UDP", "UNIX", ... */
	uint64_t conn_id;
	const struct cab_peer *peer; /* NULL: the program takes over the listening socket */
	const struct cab_peer *local;
	char *const *own; /* the daemon's environment, for pass_env */
};

/*
 * NULL-terminated, one block of fresh memory: free() it.  NULL on -ENOMEM.
 * Each name occurs once; what comes later in this list wins:
 *   PATH; CABINETD_SERVICE and, with a connection, CABINETD_CONN; PROTO;
 *   of an IP connection TCPLOCALIP TCPLOCALPORT TCPREMOTEIP TCPREMOTEPORT
 *   REMOTE_ADDR REMOTE_HOST REMOTE_PORT, all numeric, IPv4-mapped as IPv4;
 *   of a unix connection REMOTE_ADDR and REMOTE_HOST "unix", REMOTE_UID
 *   REMOTE_GID REMOTE_PID; of a vsock connection REMOTE_ADDR "vsock:CID",
 *   REMOTE_HOST, REMOTE_PORT; of a listening IP socket <PROTO>LOCALIP
 *   and <PROTO>LOCALPORT; with a configured user USER LOGNAME HOME SHELL;
 *   pass_env, but never what systemd told the daemon alone; env.
 */
char **env_make(const struct env_source *source);

#endif
