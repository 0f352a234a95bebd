/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies as JSON (RFC 8259) for programs; the names are those of the wire and
 * stay as they are.  cabinetctl only.
 */
#ifndef CAB_CTL_JSON_H
#define CAB_CTL_JSON_H

#include <stdio.h>

#include "ipc/ctl.h"

/*
 * One object: "ok", for a refusal "error" and "exit", then each table as a list
 * of objects and each record as an object.  Sizes are bytes, durations seconds,
 * times strings in UTC (RFC 3339); a field without a value is null.
 */
void json_reply(FILE *out, const struct ctl_reply *reply);

/* The same for a daemon that cannot be reached. */
void json_error(FILE *out, int code, const char *error);

#endif
