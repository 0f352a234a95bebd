/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening sockets: opening them as the configuration says, or taking over one
 * that systemd passed.  Supervisor only; workers and launcher get descriptors.
 */
#ifndef CAB_SUPERVISOR_LISTEN_H
#define CAB_SUPERVISOR_LISTEN_H

#include <stdbool.h>

#include "base/addr.h"
#include "conf/model.h"
#include "supervisor/batch.h"
#include "supervisor/passed.h"
#include "supervisor/unixfile.h"

#define LISTEN_TEXT (CAB_ADDR_TEXT + 16)

/* One bound socket; counted, because two configurations may share it for a while. */
struct listener {
	unsigned refs;
	enum cab_listen_kind kind; /* of the socket; never CAB_SYSTEMD */
	struct cab_sockaddr addr;  /* as bound: port 0 has become a real one */
	char text[LISTEN_TEXT];    /* "tcp://127.0.0.1:80" */
	bool dual;                 /* IPv6, and takes IPv4 clients too */
	struct passed_socket *passed; /* by a .socket unit of systemd, or NULL */
	char stored[STORE_NAME];   /* its name in the descriptor store, or "" */
	struct unix_file file;
	struct shared_fd *fd;
};

#define LISTEN_WHY 512

/*
 * Opens a socket for one listener of a service, ready to accept.  With share,
 * it may overlap with ours that listener_share was called for.  0 or -errno;
 * then why holds the reason and what to do about it, in words, one line.
 */
int listener_open(const struct cab_service *service,
    const struct cab_listen *listen, bool share, struct listener **ret,
    char why[LISTEN_WHY]);

/*
 * Takes over one from the store, which is consumed only on success, or claims a
 * passed socket, which must outlive the listener and may have one already: then
 * it gets another reference.  0; -ESTALE when no client can reach it any more;
 * or -errno and why.
 */
int listener_adopt(const struct cab_service *service,
    struct passed_socket *socket, struct listener **ret, char why[LISTEN_WHY]);

/* Gives the socket the options that can be changed while it listens.  0 or -errno and why. */
int listener_tune(const struct listener *listener,
    const struct cab_service *service, char why[LISTEN_WHY]);

/* Sees to it that it is in the descriptor store, under the key of the plan. */
void listener_keep(struct listener *listener, uint64_t key);

/* It is left to our successor: closing it will neither take it out of the store nor remove its file. */
void listener_leave(struct listener *listener);

/* True when no client can reach it any more: its file is gone. */
bool listener_lost(const struct listener *listener);

/* True when the address of listen cannot be bound as long as this one is, because they overlap. */
bool listener_overlaps(
    const struct listener *listener, const struct cab_listen *listen);

/* True when this one serves the clients of listen too: [::]:80 for both families. */
bool listener_covers(
    const struct listener *listener, const struct cab_listen *listen);

/* Lets a socket opened with share bind an overlapping address, until switched off again. */
void listener_share(const struct listener *listener, bool on);

struct listener *listener_ref(struct listener *listener);

/* The last one closes the socket and removes its file; accepts NULL. */
void listener_unref(struct listener *listener);

#endif
