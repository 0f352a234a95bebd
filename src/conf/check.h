/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that needs more than one option, another service, an account or
 * the file system to judge.  Config role only; private to conf/.
 */
#ifndef CAB_CONF_CHECK_H
#define CAB_CONF_CHECK_H

#include "conf/read.h"

/*
 * Judges what was read and fills in the computed fields.  Findings go to
 * r->diag.  What could not be read is as if it were not written, and not
 * complained of again.  top_known: the main file could be parsed.
 */
void check_all(struct conf_reading *r, bool top_known);

#endif
