/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's own process: what it inherited and what it may do.
 */
#ifndef CAB_SUPERVISOR_PROCESS_H
#define CAB_SUPERVISOR_PROCESS_H

/*
 * At the start, before anything is opened: signals that mean nothing are
 * ignored, inherited descriptors will not reach the roles, files that are made
 * are ours alone, and root's powers that are not needed are switched off.
 */
void process_settle(void);

#endif
