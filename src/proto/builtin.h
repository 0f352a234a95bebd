/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Some built-in protocols by name, for the files that define them and for tests
 * that link one protocol alone.  Everything else finds a protocol through
 * proto_find or the lists of proto.h; table.c declares what it lists itself.
 */
#ifndef CAB_PROTO_BUILTIN_H
#define CAB_PROTO_BUILTIN_H

#include "proto/proto.h"

extern const struct cab_proto proto_daytime; /* daytime.c */
extern const struct cab_proto proto_discard; /* discard.c */
extern const struct cab_proto proto_echo;    /* echo.c */
extern const struct cab_proto proto_http;    /* http.c */
extern const struct cab_proto proto_smtp;    /* smtp.c */

#endif
