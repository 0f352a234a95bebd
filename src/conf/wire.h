/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The snapshot: a checked configuration as flat bytes, written by the config
 * role and read by every other one.  The format follows from the rows; a hash
 * over them stands in the header, so that bytes of a binary with other rows are
 * refused and never misread.  Private to conf/; the calls are in model.h.
 */
#ifndef CAB_CONF_WIRE_H
#define CAB_CONF_WIRE_H

#include <stdint.h>

#include "conf/model.h"

#define WIRE_MAGIC   "CABCONF"
#define WIRE_VERSION 1
#define WIRE_MAX     ((size_t)64 << 20) /* bytes of a snapshot */

struct wire_head {
	char magic[8];
	uint32_t version, pad;
	uint64_t rows; /* of the top and of a service */
	uint64_t n;    /* bytes after the head */
};

/* Changes whenever the rows below the group do. */
uint64_t wire_rows_hash(const struct cab_group *group);

#endif
