/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that several of the requests in one batch of events ask for is opened
 * and looked at for some of them only.  Nothing is believed, and nothing stays
 * open, beyond the batch; but a client that comes during it can get what was
 * there at its start.  Workers.
 */
#ifndef CAB_PROTO_HTTP_SHARE_H
#define CAB_PROTO_HTTP_SHARE_H

#include "proto/http_file.h"

/* As http_file_open for the path of this request: the descriptor is the caller's. */
int http_share_open(struct http_turn *turn, struct http_file *ret);

#endif
