/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The live view.  cabinetctl only.
 */
#ifndef CAB_CTL_TOP_H
#define CAB_CTL_TOP_H

/*
 * On a terminal that can be drawn on until the user has seen enough, else once:
 * two samples and the rates between them.  Returns the exit status after a
 * message on stderr.
 */
int top_run(const char *path);

#endif
