# SPDX-License-Identifier: GPL-2.0-or-later
# The administrator's client.

noinst_LIBRARIES += %reldir%/libctl.a
%canon_reldir%_libctl_a_SOURCES = \
	%reldir%/client.c \
	%reldir%/client.h \
	%reldir%/ctl.c \
	%reldir%/ctl.h \
	%reldir%/json.c \
	%reldir%/json.h \
	%reldir%/render.c \
	%reldir%/render.h \
	%reldir%/top.c \
	%reldir%/top.h
