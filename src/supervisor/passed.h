/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that systemd passed to the daemon (sd_listen_fds(3)): sockets of
 * .socket units, and what our predecessor has left in the store.  Supervisor
 * only.  Sockets wait here until a configured listener takes them.  Those of
 * .socket units are passed once, so they stay here for as long as we live:
 * whatever gives one up may want it back.  Our successor is passed them again.
 */
#ifndef CAB_SUPERVISOR_PASSED_H
#define CAB_SUPERVISOR_PASSED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "conf/model.h"
#include "supervisor/store.h"

struct listener;

struct passed_socket {
	int fd;     /* of one from the store, -1: taken */
	char *name; /* FDNAME, as systemd gave it */
	enum cab_listen_kind kind;
	struct cab_sockaddr addr;
	bool dual; /* IPv6 that takes IPv4 clients too */
	struct store_item item; /* STORE_LISTENER: it was in the store */
	bool claimed; /* by the configuration that was applied last, or is being applied */
	struct listener *listener; /* made of it and still there; it sees to this itself */
};

/* Something else that was in the store. */
struct passed_other {
	int fd; /* -1: taken */
	char *name;
	struct store_item item;
};

struct passed {
	struct passed_socket *v;
	size_t n;
	struct passed_other *others;
	size_t n_others;
};

#define PASSED_WHY 256

/*
 * Collects them and clears the variables that announced them.  What is not a
 * listening socket of a kind we know, nor from our store, is closed with a
 * warning.  0 or -errno; then why says in words what is wrong.
 */
int passed_collect(struct passed *ret, char why[PASSED_WHY]);

/* What kind of listening socket a descriptor is: 0, or -EPROTOTYPE if none of ours. */
int passed_classify(int fd, struct passed_socket *ret);

/* Another configuration is going to be applied: nothing is claimed for it yet. */
void passed_unclaim(struct passed *passed);

/* True when it is systemd's, and passed again to every supervisor. */
bool passed_is_unit(const struct passed_socket *socket);

/*
 * One that the listener means and nobody has taken or claimed; NULL if none.
 * First one from the store that was bound for a listener of this key, which may
 * be 0: none; then by name or address.
 */
struct passed_socket *passed_find(const struct passed *passed,
    const struct cab_listen *listen, uint64_t key);

/* The names passed, for a message: "web, mail" or "none". */
const char *passed_names(const struct passed *passed, char *dst, size_t cap);

/* Closes one from the store, in the store as well, and removes its file. */
void passed_drop(struct passed_socket *socket);

/* Closes those from the store that nobody has taken, and warns of the others. */
void passed_close_rest(struct passed *passed);

/* Takes a descriptor out of the others: the caller's now. */
int passed_take(struct passed_other *other);

/* Closes the others that nobody has taken, in the store as well. */
void passed_close_others(struct passed *passed);

/* Accepts a zeroed one. */
void passed_release(struct passed *passed);

#endif
