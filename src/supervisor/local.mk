# SPDX-License-Identifier: GPL-2.0-or-later
# The role that owns listeners and the other roles; no peer bytes.

noinst_LIBRARIES += %reldir%/libsupervisor.a
%canon_reldir%_libsupervisor_a_SOURCES = \
	%reldir%/supervisor.c \
	%reldir%/supervisor.h \
	%reldir%/process.c \
	%reldir%/process.h \
	%reldir%/libsystemd.c \
	%reldir%/libsystemd.h \
	%reldir%/settings.c \
	%reldir%/settings.h \
	%reldir%/confine.c \
	%reldir%/confine.h \
	%reldir%/options.c \
	%reldir%/options.h \
	%reldir%/orphans.c \
	%reldir%/orphans.h \
	%reldir%/store.c \
	%reldir%/store.h \
	%reldir%/estate.c \
	%reldir%/estate.h \
	%reldir%/heritage.c \
	%reldir%/heritage.h \
	%reldir%/passed.c \
	%reldir%/passed.h \
	%reldir%/parked.c \
	%reldir%/parked.h \
	%reldir%/listen.c \
	%reldir%/listen.h \
	%reldir%/plan.c \
	%reldir%/plan.h \
	%reldir%/apply.c \
	%reldir%/apply.h \
	%reldir%/batch.c \
	%reldir%/batch.h \
	%reldir%/spawn.c \
	%reldir%/spawn.h \
	%reldir%/beat.c \
	%reldir%/beat.h \
	%reldir%/role.c \
	%reldir%/role.h \
	%reldir%/succession.c \
	%reldir%/roles.c \
	%reldir%/roles.h \
	%reldir%/notify.c \
	%reldir%/notify.h \
	%reldir%/files.c \
	%reldir%/files.h \
	%reldir%/reader.c \
	%reldir%/reader.h \
	%reldir%/control.c \
	%reldir%/control.h \
	%reldir%/control_explain.c \
	%reldir%/control_private.h \
	%reldir%/control_show.c \
	%reldir%/control_socket.c \
	%reldir%/control_socket.h \
	%reldir%/control_verbs.c \
	%reldir%/override.c \
	%reldir%/override.h \
	%reldir%/unixfile.c \
	%reldir%/unixfile.h
