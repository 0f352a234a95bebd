/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cabinetctl, as a library: main() holds no logic.
 */
#ifndef CAB_CTL_CTL_H
#define CAB_CTL_CTL_H

/* Returns the exit status (enum ctl_exit). */
int ctl_main(int argc, char **argv);

#endif
