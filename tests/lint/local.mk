# SPDX-License-Identifier: GPL-2.0-or-later
# Lints: each is a script that prints FILE:LINE: TEXT for what it dislikes and
# ends with 77 when this machine lacks the tool it needs.

dist_check_SCRIPTS += \
	%reldir%/banned \
	%reldir%/events \
	%reldir%/functions \
	%reldir%/layers \
	%reldir%/listed \
	%reldir%/manpages \
	%reldir%/options \
	%reldir%/shell \
	%reldir%/spdx \
	%reldir%/unit
TESTS += \
	%reldir%/banned \
	%reldir%/events \
	%reldir%/functions \
	%reldir%/layers \
	%reldir%/listed \
	%reldir%/manpages \
	%reldir%/options \
	%reldir%/shell \
	%reldir%/spdx \
	%reldir%/unit
EXTRA_DIST += %reldir%/lib.sh
