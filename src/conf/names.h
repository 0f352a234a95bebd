/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Users, groups, host names and port names, behind one table so that tests and
 * fuzzers bring their own.  Config role only: look-ups may load modules and
 * talk to name servers, which no other role must do.
 */
#ifndef CAB_CONF_NAMES_H
#define CAB_CONF_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define NAMES_TEXT 256
#define NAMES_PATH 4096
#define NAMES_GROUPS 1024 /* the most supplementary groups that are kept */
#define NAMES_HOSTS 32    /* the most addresses of a host name that are used */

struct conf_user {
	uint32_t uid, gid;
	char name[NAMES_TEXT];
	char home[NAMES_PATH];
};

struct conf_names {
	/* By name, or by number if the text is one: 0, -ENOENT, or -errno when the look-up itself failed. */
	int (*user)(void *arg, const char *name, struct conf_user *ret);
	int (*group)(void *arg, const char *name, uint32_t *ret_gid);
	/* The name of a group, -ENOENT if it has none. */
	int (*group_name)(void *arg, uint32_t gid, char ret[NAMES_TEXT]);
	/* All groups of a user, gid among them: 0 or -errno. */
	int (*groups)(void *arg, const char *user, uint32_t gid, uint32_t ids[NAMES_GROUPS], size_t *ret_n);
	/* Addresses (without port) of a host: 0 or -ENOENT with the reason in *why. */
	int (*host)(void *arg, const char *host, struct cab_sockaddr ret[NAMES_HOSTS], size_t *ret_n,
		    const char **why);
	/* The port that has a name, of "tcp" or "udp": 0 or -ENOENT. */
	int (*port)(void *arg, const char *name, const char *transport, uint16_t *ret);
	void *arg;
};

extern const struct conf_names conf_system_names;

#endif
