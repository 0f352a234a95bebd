/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets that systemd passed to the daemon (sd_listen_fds(3)).  Supervisor
 * only.  They wait here until a configured listener takes them.
 */
#ifndef CAB_SUPERVISOR_PASSED_H
#define CAB_SUPERVISOR_PASSED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "conf/model.h"

struct passed_socket {
	int fd;     /* -1: taken */
	char *name; /* FDNAME, as systemd gave it */
	enum cab_listen_kind kind;
	struct cab_sockaddr addr;
	bool dual; /* IPv6 that takes IPv4 clients too */
};

struct passed {
	struct passed_socket *v;
	size_t n;
};

/*
 * Collects them and clears the variables that announced them.  What is not a
 * listening socket of a kind we know is closed with a warning.  0 or -errno.
 */
int passed_collect(struct passed *ret);

/* What kind of listening socket a descriptor is: 0, or -EPROTOTYPE if none of ours. */
int passed_classify(int fd, struct passed_socket *ret);

/* The first one at or after from that the listener means and nobody has taken; NULL if none. */
struct passed_socket *passed_find(
    const struct passed *passed, const struct cab_listen *listen, size_t from);

/* The names passed, for a message: "web, mail" or "none". */
const char *passed_names(const struct passed *passed, char *dst, size_t cap);

/* Closes what nobody has taken, with a warning each. */
void passed_close_rest(struct passed *passed);

/* Accepts a zeroed one. */
void passed_release(struct passed *passed);

#endif
