/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GET and HEAD of files below the document root.  Workers.
 */
#ifndef CAB_PROTO_HTTP_STATIC_H
#define CAB_PROTO_HTTP_STATIC_H

#include "proto/http.h"

/* Answers a GET or HEAD of turn->path, which starts with '/'; the service has a root. */
void http_static(struct http_turn *turn);

#endif
