# SPDX-License-Identifier: GPL-2.0-or-later
# Framed messages between the roles.

noinst_LIBRARIES += %reldir%/libipc.a
%canon_reldir%_libipc_a_SOURCES = \
	%reldir%/msg.c \
	%reldir%/msg.h \
	%reldir%/chan.c \
	%reldir%/chan.h \
	%reldir%/ctl.c \
	%reldir%/ctl.h
