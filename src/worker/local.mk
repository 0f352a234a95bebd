# SPDX-License-Identifier: GPL-2.0-or-later
# The unprivileged role: the only code that touches peer bytes.

noinst_LIBRARIES += %reldir%/libworker.a
%canon_reldir%_libworker_a_SOURCES = \
	%reldir%/worker.c \
	%reldir%/worker.h \
	%reldir%/loop.c \
	%reldir%/loop.h \
	%reldir%/accept.c \
	%reldir%/accept.h \
	%reldir%/balance.c \
	%reldir%/balance.h \
	%reldir%/conn.c \
	%reldir%/conn_api.c \
	%reldir%/conn_private.h \
	%reldir%/output.c \
	%reldir%/datagram.c \
	%reldir%/datagram.h \
	%reldir%/transport.c \
	%reldir%/transport.h \
	%reldir%/service.c \
	%reldir%/service.h \
	%reldir%/handoff.c \
	%reldir%/handoff.h \
	%reldir%/record.c \
	%reldir%/record.h \
	%reldir%/sandbox.c \
	%reldir%/sandbox.h \
	%reldir%/metrics.c \
	%reldir%/metrics.h \
	%reldir%/conn_api.c \
	%reldir%/conn_private.h \
	%reldir%/output.c
