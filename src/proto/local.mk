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
	%reldir%/http.h \
	%reldir%/http_bytes.h \
	%reldir%/http_cache.c \
	%reldir%/http_cache.h \
	%reldir%/http_chunk.c \
	%reldir%/http_cond.c \
	%reldir%/http_cond.h \
	%reldir%/http_file.c \
	%reldir%/http_file.h \
	%reldir%/http_inspect.c \
	%reldir%/http_metrics.c \
	%reldir%/http_mime.c \
	%reldir%/http_opts.c \
	%reldir%/http_parse.c \
	%reldir%/http_parse.h \
	%reldir%/http_reply.c \
	%reldir%/http_reply.h \
	%reldir%/http_route.c \
	%reldir%/http_route.h \
	%reldir%/http_share.c \
	%reldir%/http_share.h \
	%reldir%/http_static.c \
	%reldir%/http_static.h \
	%reldir%/smtp.c \
	%reldir%/smtp.h \
	%reldir%/smtp_command.c \
	%reldir%/smtp_parse.c \
	%reldir%/smtp_parse.h
