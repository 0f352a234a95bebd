# SPDX-License-Identifier: GPL-2.0-or-later
# The yardstick: a load client and the floors it is held against. Not part of
# what is built, tested or installed: "make bench-programs" makes them.

bench_list = \
	%reldir%/floor \
	%reldir%/load
EXTRA_PROGRAMS += $(bench_list)
CLEANFILES += $(bench_list)

%canon_reldir%_floor_SOURCES = \
	%reldir%/common.c \
	%reldir%/common.h \
	%reldir%/floor.c \
	%reldir%/floor.h \
	%reldir%/floor_guarded.c
%canon_reldir%_floor_LDADD =
%canon_reldir%_load_SOURCES = \
	%reldir%/common.c \
	%reldir%/common.h \
	%reldir%/load.c \
	%reldir%/load.h \
	%reldir%/load_conn.c \
	%reldir%/load_modes.c \
	%reldir%/load_tally.c
%canon_reldir%_load_LDADD =

EXTRA_DIST += \
	%reldir%/README \
	%reldir%/accounting.py \
	%reldir%/cases.py \
	%reldir%/chart.py \
	%reldir%/contenders.py \
	%reldir%/packages.py \
	%reldir%/report.py \
	%reldir%/results.json \
	%reldir%/results.svg \
	%reldir%/results.txt \
	%reldir%/servers.py

.PHONY: bench-programs
bench-programs: $(bench_list)
