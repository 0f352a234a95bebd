/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket's file and who is at the other end of a connection.
 * Supervisor only.
 */
#ifndef CAB_SUPERVISOR_CONTROL_SOCKET_H
#define CAB_SUPERVISOR_CONTROL_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "conf/model.h"
#include "supervisor/unixfile.h"

struct control_socket {
	int fd; /* -1: none */
	struct cab_sockaddr addr;
	struct unix_file file;
	uint32_t admin_gid; /* UINT32_MAX: no such group */
};

/*
 * Listens where the configuration says.  0 or -errno; why says in words what is
 * the matter and what to do about it, NULL where the error alone tells.
 */
int control_socket_open(const struct cab_conf *conf,
    struct control_socket *ret, const char **why);

/* The same socket for another admin_group: 0, or -errno and why. */
int control_socket_regroup(struct control_socket *sock,
    const struct cab_conf *conf, const char **why);

/* True when the configuration wants it where it is. */
bool control_socket_stays(
    const struct control_socket *sock, const struct cab_conf *conf);

/* Removes the file as well. */
void control_socket_close(struct control_socket *sock);

struct control_peer {
	uid_t uid;
	pid_t pid;
	bool full; /* may use every verb */
	bool look; /* may use those that change nothing */
};

/* Who has connected: 0 or -errno. */
int control_socket_peer(
    const struct control_socket *sock, int fd, struct control_peer *ret);

#endif
