/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The title of a process as ps(1) shows it.  For a process that was not started
 * under the title it should have; roles get theirs as argv[0].
 */
#ifndef CAB_BASE_TITLE_H
#define CAB_BASE_TITLE_H

/*
 * Writes "TITLE" over the command line, cut to the room that it and the
 * environment take up in memory.  The environment moves to fresh memory first;
 * argv[] must not be used afterwards.  Without memory nothing changes.
 */
void title_set(int argc, char **argv, const char *title);

#endif
