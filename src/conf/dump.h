/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The effective settings as configuration text, for --print-config.  Config
 * role only; private to conf/.
 */
#ifndef CAB_CONF_DUMP_H
#define CAB_CONF_DUMP_H

#include "conf/read.h"

/* 0 or -ENOMEM. */
int dump_conf(const struct conf_reading *r, struct cab_buf *out);

#endif
