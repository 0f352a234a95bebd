# SPDX-License-Identifier: GPL-2.0-or-later
# Leaf code that knows no service.

noinst_LIBRARIES += %reldir%/libbase.a
%canon_reldir%_libbase_a_SOURCES = \
	%reldir%/buf.c \
	%reldir%/buf.h \
	%reldir%/str.c \
	%reldir%/str.h \
	%reldir%/addr.c \
	%reldir%/addr.h \
	%reldir%/fd.c \
	%reldir%/fd.h \
	%reldir%/hush.c \
	%reldir%/hush.h \
	%reldir%/clock.c \
	%reldir%/clock.h \
	%reldir%/timer.c \
	%reldir%/title.c \
	%reldir%/title.h \
	%reldir%/timer.h \
	%reldir%/event.c \
	%reldir%/event.h \
	%reldir%/log.c \
	%reldir%/log.h \
	%reldir%/diag.c \
	%reldir%/diag.h \
	%reldir%/pool.c \
	%reldir%/pool.h
