# SPDX-License-Identifier: GPL-2.0-or-later
# One file per built-in protocol; a new one is one line here and one in table.c.

noinst_LIBRARIES += %reldir%/libproto.a
%canon_reldir%_libproto_a_SOURCES = \
	%reldir%/proto.h \
	%reldir%/conn.h \
	%reldir%/table.c \
	%reldir%/builtin.h \
	%reldir%/echo.c \
	%reldir%/discard.c \
	%reldir%/daytime.c \
	%reldir%/http.c \
	%reldir%/http_parse.c \
	%reldir%/http_parse.h \
	%reldir%/http_file.c \
	%reldir%/http_file.h \
	%reldir%/smtp.c \
	%reldir%/smtp_parse.c \
	%reldir%/smtp_parse.h
