# SPDX-License-Identifier: GPL-2.0-or-later
# Unit tests, corpus replay and lints. The functional tests need a running
# daemon and pytest: tools/test starts them.

include %reldir%/support/local.mk
include %reldir%/unit/local.mk
include %reldir%/fuzz/local.mk
include %reldir%/lint/local.mk
include %reldir%/system/local.mk

EXTRA_DIST += %reldir%/functional

AM_TESTS_ENVIRONMENT = \
	CAB_SRC='$(abs_top_srcdir)'; export CAB_SRC; \
	CAB_BUILD='$(abs_top_builddir)'; export CAB_BUILD; \
	CAB_FUZZ_TARGETS='$(FUZZ_TARGETS)'; export CAB_FUZZ_TARGETS; \
	UBSAN_OPTIONS=$${UBSAN_OPTIONS-print_stacktrace=1}; \
	export UBSAN_OPTIONS;

# Python's caches do not belong in a tarball.
dist-hook:
	find $(distdir) -name __pycache__ -type d -prune -exec rm -rf {} +

# Build the test programs and run none.
.PHONY: check-programs
check-programs: $(check_LIBRARIES) $(check_PROGRAMS)
