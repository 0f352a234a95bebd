# SPDX-License-Identifier: GPL-2.0-or-later
# The role that starts programs; it reads no peer bytes.

noinst_LIBRARIES += %reldir%/liblauncher.a
%canon_reldir%_liblauncher_a_SOURCES = \
	%reldir%/launcher.c \
	%reldir%/launcher.h \
	%reldir%/state.h \
	%reldir%/loop.c \
	%reldir%/privilege.c \
	%reldir%/privilege.h \
	%reldir%/generation.c \
	%reldir%/link.c \
	%reldir%/link.h \
	%reldir%/start.c \
	%reldir%/start.h \
	%reldir%/spawn.c \
	%reldir%/spawn.h \
	%reldir%/child.c \
	%reldir%/child.h \
	%reldir%/env.c \
	%reldir%/env.h \
	%reldir%/reap.c \
	%reldir%/reap.h \
	%reldir%/output.c \
	%reldir%/output.h \
	%reldir%/wait.c \
	%reldir%/wait.h \
	%reldir%/record.c \
	%reldir%/record.h \
	%reldir%/loop.c \
	%reldir%/record.c \
	%reldir%/record.h \
	%reldir%/state.h \
	%reldir%/generation.c \
	%reldir%/link.c \
	%reldir%/link.h \
	%reldir%/privilege.c \
	%reldir%/privilege.h \
	%reldir%/start.c \
	%reldir%/start.h \
	%reldir%/wait.c \
	%reldir%/wait.h
