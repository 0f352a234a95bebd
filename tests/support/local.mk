# SPDX-License-Identifier: GPL-2.0-or-later
# What unit tests and fuzz targets share: the worker's connection engine over
# memory and a fake clock, and the launcher as a process of its own.

check_LIBRARIES += %reldir%/libsupport.a
%canon_reldir%_libsupport_a_SOURCES = \
	%reldir%/conf_fake.c \
	%reldir%/conf_fake.h \
	%reldir%/events.c \
	%reldir%/events.h \
	%reldir%/http_client.c \
	%reldir%/http_client.h \
	%reldir%/launch.c \
	%reldir%/launch.h \
	%reldir%/mem.c \
	%reldir%/mem.h
