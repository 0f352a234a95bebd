/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening addresses as they are written in the file (an URL or a
 * bare port number).  Config role only.
 */
#ifndef CAB_CONF_ADDRESS_H
#define CAB_CONF_ADDRESS_H

#include "conf/model.h"
#include "conf/names.h"

#define ADDRESS_WHY 512

/*
 * Parses one address; a name or "*" makes several listeners of it.  ret has
 * room for NAMES_HOSTS.  0; -EINVAL with what is wrong and what to write in
 * why; -ENOMEM.  file and line of the listeners are left alone.
 */
int address_parse(const struct conf_names *names, struct cab_arena *arena, const char *text,
		  struct cab_listen ret[NAMES_HOSTS], size_t *ret_n, char why[ADDRESS_WHY]);

/* The same for a number: that TCP port, both families. */
int address_parse_port(struct cab_arena *arena, int64_t port, struct cab_listen ret[NAMES_HOSTS], size_t *ret_n,
		       char why[ADDRESS_WHY]);

/* True when the kernel would refuse to bind the second after the first; interfaces may be NULL. */
bool address_conflict(const struct cab_listen *a, const char *a_interface, const struct cab_listen *b,
		      const char *b_interface);

/* True when it is bound to every address (of its family). */
bool address_is_any(const struct cab_listen *l);

/* True when a and the one after it are the two halves of "*". */
bool address_is_pair(const struct cab_listen *a, const struct cab_listen *b);

/* Streams are CAB_STREAM, datagrams CAB_DGRAM; 0 when only the socket knows (CAB_SYSTEMD). */
unsigned address_transport(const struct cab_listen *l);

#endif
