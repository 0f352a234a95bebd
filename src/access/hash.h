/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A keyed hash for tables whose keys come from peers: the key is random per
 * daemon, so nobody can choose what collides.  Pure.
 */
#ifndef CAB_ACCESS_HASH_H
#define CAB_ACCESS_HASH_H

#include <stdint.h>

/* No hash is smaller: a table may give smaller numbers meanings of its own. */
#define ACCESS_HASH_MIN 2

uint64_t access_hash(const uint8_t key[16], uint64_t a, uint64_t b);

#endif
