/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the check share: the thing that is judged, and findings
 * about its fields in their places.  Config role only; private to check*.c.
 */
#ifndef CAB_CONF_SUBJECT_H
#define CAB_CONF_SUBJECT_H

#include "conf/read.h"

/* The thing that is judged: the top (service NULL) or a service. */
struct subject {
	struct conf_reading *r;
	struct cab_service *service;
	const struct conf_key *key; /* of the group that is looked at; NULL: the top */
	struct conf_key root;
	char label[CONF_SHOWN];
	struct conf_at at; /* of the service */
	bool good;
	bool broken;   /* some of it could not be read, and is as if not written */
	bool own_root; /* exec.chroot: paths of the program lie below it */
};

/* Where a field was written, or else where its service begins. */
struct conf_at subject_place(const struct subject *s, const void *field);

/* True when the field was written for the service itself, not in "defaults". */
bool subject_own(const struct subject *s, const void *field);

/* A copy that lives with the configuration; NULL without memory, which is reported. */
const char *subject_keep(struct subject *s, const char *text);

/* A text as it may stand in a finding. */
const char *subject_shown(char dst[static CONF_SHOWN], const char *text);

/* What is wrong with a path that was probed, after its name. */
const char *subject_probe(enum cab_probe kind, int error);

#define fault_in(s, name, field, ...)                                      \
	do {                                                               \
		struct conf_at at_ = subject_place(s, field);              \
		conf_complain((s)->r, CAB_ERROR, &at_, name, __VA_ARGS__); \
		(s)->good = false;                                         \
	} while (0)

#define fault(s, field, ...) fault_in(s, (s)->key, field, __VA_ARGS__)

#define warn(s, field, ...)                                                      \
	do {                                                                     \
		struct conf_at at_ = subject_place(s, field);                    \
		conf_complain((s)->r, CAB_WARNING, &at_, (s)->key, __VA_ARGS__); \
	} while (0)

/* check_exec.c: a service that is a program. */
void check_exec(struct subject *s, struct cab_exec *exec);

/* check_unique.c: names and listeners of all services. */
void check_unique(struct conf_reading *r);

#endif
