# SPDX-License-Identifier: GPL-2.0-or-later
# Config text to an immutable, checked snapshot.

noinst_LIBRARIES += %reldir%/libconf.a
%canon_reldir%_libconf_a_SOURCES = \
	%reldir%/model.c \
	%reldir%/model.h \
	%reldir%/schema.c \
	%reldir%/schema.h \
	%reldir%/token.c \
	%reldir%/token.h \
	%reldir%/lex.c \
	%reldir%/lex.h \
	%reldir%/names.c \
	%reldir%/names.h \
	%reldir%/value.c \
	%reldir%/value.h \
	%reldir%/address.c \
	%reldir%/address.h \
	%reldir%/origin.c \
	%reldir%/origin.h \
	%reldir%/file.c \
	%reldir%/file.h \
	%reldir%/group.c \
	%reldir%/group.h \
	%reldir%/read.c \
	%reldir%/read.h \
	%reldir%/check.c \
	%reldir%/check.h \
	%reldir%/check_exec.c \
	%reldir%/check_unique.c \
	%reldir%/subject.h \
	%reldir%/dump.c \
	%reldir%/dump.h \
	%reldir%/wire.c \
	%reldir%/wire.h \
	%reldir%/sandbox.c \
	%reldir%/sandbox.h \
	%reldir%/child.c
