# SPDX-License-Identifier: GPL-2.0-or-later
# Who may connect: pure decisions, no input or output.

noinst_LIBRARIES += %reldir%/libaccess.a
%canon_reldir%_libaccess_a_SOURCES = \
	%reldir%/acl.c \
	%reldir%/acl.h \
	%reldir%/flood.c \
	%reldir%/flood.h \
	%reldir%/hash.c \
	%reldir%/hash.h \
	%reldir%/quota.c \
	%reldir%/quota.h \
	%reldir%/rate.c \
	%reldir%/rate.h \
	%reldir%/udpguard.c \
	%reldir%/udpguard.h
