# SPDX-License-Identifier: GPL-2.0-or-later
# Unit tests, corpus replay and lints. The functional tests need a running
# daemon and pytest: tools/test starts them.

include %reldir%/support/local.mk
include %reldir%/unit/local.mk
