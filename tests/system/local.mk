# SPDX-License-Identifier: GPL-2.0-or-later
# The load client of the system tests. The tests themselves need root, systemd
# and pytest: tools/test starts them.

check_PROGRAMS += %reldir%/client
%canon_reldir%_client_LDADD =

EXTRA_DIST += \
	%reldir%/conftest.py \
	%reldir%/full \
	%reldir%/keeper \
	%reldir%/pytest.ini \
	%reldir%/rig.py \
	%reldir%/test_activation.py \
	%reldir%/test_builtins.py \
	%reldir%/test_journal.py \
	%reldir%/test_readme.py \
	%reldir%/test_reload.py \
	%reldir%/test_service.py \
	%reldir%/test_supervisor.py \
	%reldir%/test_workers.py
