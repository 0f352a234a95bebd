# SPDX-License-Identifier: GPL-2.0-or-later
# The scoreboard that all roles share.

noinst_LIBRARIES += %reldir%/libstats.a
%canon_reldir%_libstats_a_SOURCES = \
	%reldir%/board.c \
	%reldir%/board.h \
	%reldir%/metrics.c \
	%reldir%/metrics.h
