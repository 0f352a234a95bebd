/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * systemd's descriptor store: what lies there outlives the supervisor, and its
 * successor gets it back.  Supervisor only.  Each descriptor's name says what it
 * is, in numbers; no other record of them is kept.
 */
#ifndef CAB_SUPERVISOR_STORE_H
#define CAB_SUPERVISOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_NAME 128

enum store_kind {
	STORE_OTHER,    /* none of ours */
	STORE_LISTENER, /* a listening socket that we have bound */
	STORE_BOARD,    /* the scoreboard */
	STORE_STATE,    /* see estate.h */
	STORE_ROLE,     /* two: our end of a role's channel, and its pidfd */
	STORE_KINDS
};

/* Which number of a name is what.  Other builds read them, too: their form is frozen. */
enum store_field {
	STORE_KEY = 0, /* LISTENER: plan_listen_key */
	STORE_SERIAL = 1,
	STORE_DEV = 2, /* of the file of a unix socket that we have made; 0: none */
	STORE_INO = 3,
	STORE_EPOCH = 0,      /* BOARD, STATE, ROLE: which scoreboard it belongs to */
	STORE_GENERATION = 1, /* STATE */
	STORE_SLOT = 1,       /* ROLE */
	STORE_PID = 2,
	STORE_FIELDS = 4
};

/* A name taken apart. */
struct store_item {
	enum store_kind kind;
	uint64_t v[STORE_FIELDS]; /* by enum store_field */
};

void store_name(const struct store_item *item, char dst[STORE_NAME]);

/* What is not exactly a name of ours becomes STORE_OTHER. */
void store_parse(const char *name, struct store_item *ret);

/* True when systemd keeps descriptors for us: the unit says how many in $FDSTORE. */
bool store_enabled(void);

/* A descriptor of this name was in the store at our start. */
void store_found(const struct store_item *item);

/* A serial number that no descriptor in the store has. */
uint64_t store_serial(void);

/*
 * Puts descriptors into the store, which are the caller's still; does nothing
 * where there is none.  Says once in the log when there is no room for more.
 */
void store_put(const char *name, const int *fds, unsigned n);

/* Takes what has the name out again; n: how many there are. */
void store_remove(const char *name, unsigned n);

#endif
