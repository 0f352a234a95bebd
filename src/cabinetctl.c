/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main() of cabinetctl.  No logic here.
 */
#include "ctl/ctl.h"

int
main(int argc, char **argv)
{
	return ctl_main(argc, argv);
}
