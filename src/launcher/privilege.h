/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The launcher's own capabilities.  Launcher only.
 */
#ifndef CAB_LAUNCHER_PRIVILEGE_H
#define CAB_LAUNCHER_PRIVILEGE_H

#include "launcher/state.h"

/* Bits of capabilities. */
struct privilege {
	uint64_t permitted, bounding;
};

/* What the programs of a configuration take: our own few, and what they are given. */
struct privilege privilege_needed(const struct launcher *l, const struct cab_conf *conf);

/*
 * True when the launcher has what is needed, or never had it (then the start of
 * the program will say so).  False when it gave it up: the names, in text.
 */
bool privilege_held(const struct launcher *l, const struct privilege *needed, char *text, size_t cap);

/* Gives everything else up, for good: 0 or -errno. */
int privilege_keep(struct launcher *l, const struct privilege *needed);

#endif
