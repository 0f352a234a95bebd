# SPDX-License-Identifier: GPL-2.0-or-later
# What unit tests and fuzz targets share: the worker's connection engine over
# memory and a fake clock.

check_LIBRARIES += %reldir%/libsupport.a
%canon_reldir%_libsupport_a_SOURCES = \
	%reldir%/mem.c \
	%reldir%/mem.h
