# SPDX-License-Identifier: GPL-2.0-or-later

dist_man_MANS += \
	%reldir%/cabinetd.8 \
	%reldir%/cabinetd.conf.5
