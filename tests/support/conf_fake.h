/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configurations for tests: files, accounts and hosts that exist in memory
 * only, and protocols with an option of every type.
 */
#ifndef CAB_TESTS_CONF_FAKE_H
#define CAB_TESTS_CONF_FAKE_H

#include "conf/model.h"
#include "conf/names.h"

#define FAKE_MAIN "/etc/cabinetd.conf"
#define FAKE_FILES 64

/* Accounts: root 0, cabinetd 990 (groups 990, 50), git 1001 (1001), nobody 65534; and the user of the test. */
struct fake_file {
	const char *path, *text;
	size_t n;
	int error; /* open fails so, with why */
	const char *why;
};

struct fake {
	struct fake_file files[FAKE_FILES];
	size_t n;
	unsigned opened, listed;
	bool no_cabinetd; /* there is no such user */
	bool no_hosts;    /* look-ups of hosts fail */
	struct conf_names names;
	struct cab_conf_source source;
};

void fake_init(struct fake *fake, bool privileged);

/* Adds a file; text is not copied. */
void fake_add(struct fake *fake, const char *path, const char *text);
void fake_add_bytes(struct fake *fake, const char *path, const void *text, size_t n);
void fake_add_error(struct fake *fake, const char *path, int error, const char *why);

/* The protocols "echo" (both transports, no options), "line" (streams), "web" (struct fake_web). */
extern const struct cab_desc *const fake_descs[];

struct fake_route {
	const char *path, *body;
	int64_t status;
};

struct fake_web {
	bool flag;
	int64_t count, size, time, mode, least;
	struct cab_rate rate;
	const char *text, *root, *secret, *computed;
	int choice;
	struct cab_account user, group;
	struct cab_strings index, env;
	struct cab_prefixes from;
	struct cab_groups routes;
	const struct fake_route *special;
	struct fake_route inner;
};

/* Reads FAKE_MAIN, which has this text; more files may have been added. */
struct cab_conf *fake_read(struct fake *fake, const char *text, struct cab_diag *diag, struct cab_buf *dump);

/* True when there is such a finding; file NULL: FAKE_MAIN; line -1: any. */
bool fake_found(const struct cab_diag *diag, enum cab_severity severity, const char *file, int line,
		const char *words);

/* All findings as text, for the message of a test that fails; fresh memory. */
char *fake_findings(const struct cab_diag *diag);

#endif
