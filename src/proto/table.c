/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * THE list of built-in protocols: a new one is one line here and defines a
 * struct cab_proto named proto_NAME in its file.  Data only; every process
 * reads the descriptions, workers alone call the code behind them.
 */

#include "proto/proto.h"

#include <string.h>

/* In name order, which is the order that users see. */
#define CAB_BUILTINS(X) \
	X(daytime)      \
	X(discard)      \
	X(echo)         \
	X(http)         \
	X(smtp)

#define CAB_PROTO_EXTERN(name) extern const struct cab_proto proto_##name;
#define CAB_PROTO_ROW(name)    &proto_##name,
#define CAB_DESC_ROW(name)     &proto_##name.desc,

CAB_BUILTINS(CAB_PROTO_EXTERN)

const struct cab_proto *const cab_protos[] = { CAB_BUILTINS(CAB_PROTO_ROW) NULL };

const struct cab_desc *const cab_descs[] = { CAB_BUILTINS(CAB_DESC_ROW) NULL };

const struct cab_proto *
proto_find(const char *name)
{
	size_t i;

	for (i = 0; cab_protos[i] != NULL; i++) {
		if (strcmp(cab_protos[i]->desc.name, name) == 0)
			return cab_protos[i];
	}
	return NULL;
}
