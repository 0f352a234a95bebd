# SPDX-License-Identifier: GPL-2.0-or-later
# Manual pages, in mdoc.

dist_man_MANS += \
	%reldir%/cabinetd.8 \
	%reldir%/cabinetd.conf.5
