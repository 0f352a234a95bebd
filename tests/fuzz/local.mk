# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzz targets. With --enable-fuzzing they are libFuzzer programs; without it
# the same sources get a main() that replays files. Either way make check feeds
# each of them its corpus. A target is one line of the list and a folder of the
# same name below corpus/.

FUZZ_TARGETS = \
	%reldir%/fuzz_base \
	%reldir%/fuzz_conf \
	%reldir%/fuzz_ctl \
	%reldir%/fuzz_http \
	%reldir%/fuzz_small \
	%reldir%/fuzz_smtp \
	%reldir%/fuzz_store \
	%reldir%/fuzz_wire

check_PROGRAMS += $(FUZZ_TARGETS)
%canon_reldir%_fuzz_base_SOURCES = %reldir%/fuzz_base.c %reldir%/fuzz.h
%canon_reldir%_fuzz_base_LDADD = $(UNIT_BASE)
%canon_reldir%_fuzz_conf_SOURCES = %reldir%/fuzz_conf.c %reldir%/fuzz.h
%canon_reldir%_fuzz_ctl_SOURCES = %reldir%/fuzz_ctl.c %reldir%/fuzz.h
%canon_reldir%_fuzz_ctl_LDADD = src/ctl/libctl.a $(UNIT_IPC)
%canon_reldir%_fuzz_http_SOURCES = %reldir%/fuzz_http.c %reldir%/fuzz.h
%canon_reldir%_fuzz_small_SOURCES = %reldir%/fuzz_small.c %reldir%/fuzz.h
%canon_reldir%_fuzz_smtp_SOURCES = %reldir%/fuzz_smtp.c %reldir%/fuzz.h
%canon_reldir%_fuzz_store_SOURCES = %reldir%/fuzz_store.c %reldir%/fuzz.h
%canon_reldir%_fuzz_wire_SOURCES = %reldir%/fuzz_wire.c %reldir%/fuzz.h
%canon_reldir%_fuzz_wire_LDADD = $(UNIT_CONF)

if FUZZING
FUZZ_LINK = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
%canon_reldir%_fuzz_base_LDFLAGS = $(FUZZ_LINK)
%canon_reldir%_fuzz_conf_LDFLAGS = $(FUZZ_LINK)
%canon_reldir%_fuzz_ctl_LDFLAGS = $(FUZZ_LINK)
%canon_reldir%_fuzz_http_LDFLAGS = $(FUZZ_LINK)
%canon_reldir%_fuzz_small_LDFLAGS = $(FUZZ_LINK)
%canon_reldir%_fuzz_smtp_LDFLAGS = $(FUZZ_LINK)
%canon_reldir%_fuzz_store_LDFLAGS = $(FUZZ_LINK)
%canon_reldir%_fuzz_wire_LDFLAGS = $(FUZZ_LINK)
else
%canon_reldir%_fuzz_base_SOURCES += %reldir%/replay.c
%canon_reldir%_fuzz_conf_SOURCES += %reldir%/replay.c
%canon_reldir%_fuzz_ctl_SOURCES += %reldir%/replay.c
%canon_reldir%_fuzz_http_SOURCES += %reldir%/replay.c
%canon_reldir%_fuzz_small_SOURCES += %reldir%/replay.c
%canon_reldir%_fuzz_smtp_SOURCES += %reldir%/replay.c
%canon_reldir%_fuzz_store_SOURCES += %reldir%/replay.c
%canon_reldir%_fuzz_wire_SOURCES += %reldir%/replay.c
endif

dist_check_SCRIPTS += %reldir%/corpora
TESTS += %reldir%/corpora
EXTRA_DIST += %reldir%/corpus
