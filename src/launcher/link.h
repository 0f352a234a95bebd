/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pairs to the workers, over which admitted connections come.  Launcher only.
 */
#ifndef CAB_LAUNCHER_LINK_H
#define CAB_LAUNCHER_LINK_H

#include "launcher/state.h"

void links_init(struct launcher *l);

/* A (new) link to the worker in this slot (< BOARD_WORKERS); takes over fd. */
void link_set(struct launcher *l, uint32_t slot, int fd);

/* Takes connections while there is a configuration and room; call when either may have changed. */
void links_resume(struct launcher *l);

/* What was held for a newer configuration gets its answer now. */
void links_recheck(struct launcher *l);

/* Starts what has been sent so far, at the end. */
void links_drain(struct launcher *l);

/* No more connections are taken, for good. */
void links_stop(struct launcher *l);

/* True while a worker might still pass something on. */
bool links_open(const struct launcher *l);

void links_release(struct launcher *l);

#endif
