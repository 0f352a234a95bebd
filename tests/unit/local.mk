# SPDX-License-Identifier: GPL-2.0-or-later
# A unit test is one line of the list: test_NAME is built from test_NAME.c alone
# and linked with everything, of which the linker takes what the test calls. A
# test of a low layer has an _LDADD line too: it gets its own layer and those
# under it, so that it cannot lean on a layer above.

UNIT_SUPPORT = tests/support/libsupport.a
UNIT_BASE = src/base/libbase.a $(CMOCKA_LIBS) $(CAB_LIBS)
UNIT_ACCESS = src/access/libaccess.a src/stats/libstats.a $(UNIT_BASE)
UNIT_STATS = src/stats/libstats.a $(UNIT_BASE)
UNIT_IPC = src/ipc/libipc.a $(UNIT_BASE)
UNIT_CONF = $(UNIT_SUPPORT) src/conf/libconf.a src/access/libaccess.a \
	src/stats/libstats.a src/ipc/libipc.a $(UNIT_BASE)

# Twice, because the archives of the roles need each other.
LDADD = $(UNIT_SUPPORT) $(CAB_ARCHIVES) $(UNIT_SUPPORT) $(CAB_ARCHIVES) \
	$(CMOCKA_LIBS) $(CAB_LIBS)

UNIT_TESTS = \
	%reldir%/test_buf \
	%reldir%/test_str \
	%reldir%/test_addr \
	%reldir%/test_fd \
	%reldir%/test_hush \
	%reldir%/test_clock \
	%reldir%/test_timer \
	%reldir%/test_title \
	%reldir%/test_log \
	%reldir%/test_event \
	%reldir%/test_diag \
	%reldir%/test_pool \
	%reldir%/test_acl \
	%reldir%/test_quota \
	%reldir%/test_flood \
	%reldir%/test_rate \
	%reldir%/test_udpguard \
	%reldir%/test_board \
	%reldir%/test_chan \
	%reldir%/test_ctl \
	%reldir%/test_ctl_text \
	%reldir%/test_metrics \
	%reldir%/test_schema \
	%reldir%/test_token \
	%reldir%/test_names \
	%reldir%/test_lex \
	%reldir%/test_address \
	%reldir%/test_read \
	%reldir%/test_check \
	%reldir%/test_dump \
	%reldir%/test_wire \
	%reldir%/test_conf_child \
	%reldir%/test_etc \
	%reldir%/test_table \
	%reldir%/test_echo \
	%reldir%/test_discard \
	%reldir%/test_daytime \
	%reldir%/test_http \
	%reldir%/test_http_cond \
	%reldir%/test_http_parse \
	%reldir%/test_http_file \
	%reldir%/test_smtp \
	%reldir%/test_smtp_parse \
	%reldir%/test_conn \
	%reldir%/test_balance \
	%reldir%/test_sandbox \
	%reldir%/test_launcher \
	%reldir%/test_spawn \
	%reldir%/test_launcher_child \
	%reldir%/test_env \
	%reldir%/test_reap \
	%reldir%/test_wait \
	%reldir%/test_output \
	%reldir%/test_batch \
	%reldir%/test_role_spawn \
	%reldir%/test_store \
	%reldir%/test_passed \
	%reldir%/test_unixfile \
	%reldir%/test_options \
	%reldir%/test_override \
	%reldir%/test_confine \
	%reldir%/test_settings \
	%reldir%/test_supervisor \
	%reldir%/test_orphans \
	%reldir%/test_listen \
	%reldir%/test_plan \
	%reldir%/test_apply \
	%reldir%/test_roles \
	%reldir%/test_notify \
	%reldir%/test_files \
	%reldir%/test_reader

%canon_reldir%_test_buf_LDADD = $(UNIT_BASE)
%canon_reldir%_test_str_LDADD = $(UNIT_BASE)
%canon_reldir%_test_addr_LDADD = $(UNIT_BASE)
%canon_reldir%_test_fd_LDADD = $(UNIT_BASE)
%canon_reldir%_test_hush_LDADD = $(UNIT_BASE)
%canon_reldir%_test_clock_LDADD = $(UNIT_BASE)
%canon_reldir%_test_timer_LDADD = $(UNIT_BASE)
%canon_reldir%_test_title_LDADD = $(UNIT_BASE)
%canon_reldir%_test_log_LDADD = $(UNIT_BASE)
%canon_reldir%_test_event_LDADD = $(UNIT_BASE)
%canon_reldir%_test_diag_LDADD = $(UNIT_BASE)
%canon_reldir%_test_pool_LDADD = $(UNIT_BASE)
%canon_reldir%_test_acl_LDADD = $(UNIT_ACCESS)
%canon_reldir%_test_quota_LDADD = $(UNIT_ACCESS)
%canon_reldir%_test_flood_LDADD = $(UNIT_ACCESS)
%canon_reldir%_test_rate_LDADD = $(UNIT_ACCESS)
%canon_reldir%_test_udpguard_LDADD = $(UNIT_ACCESS)
%canon_reldir%_test_board_LDADD = $(UNIT_STATS)
%canon_reldir%_test_chan_LDADD = $(UNIT_IPC)
%canon_reldir%_test_ctl_LDADD = $(UNIT_IPC)
%canon_reldir%_test_ctl_text_LDADD = src/ctl/libctl.a $(UNIT_IPC)
%canon_reldir%_test_metrics_LDADD = $(UNIT_STATS)
%canon_reldir%_test_schema_LDADD = $(UNIT_CONF)
%canon_reldir%_test_token_LDADD = $(UNIT_CONF)
%canon_reldir%_test_names_LDADD = $(UNIT_CONF)
%canon_reldir%_test_lex_LDADD = $(UNIT_CONF)
%canon_reldir%_test_address_LDADD = $(UNIT_CONF)
%canon_reldir%_test_read_LDADD = $(UNIT_CONF)
%canon_reldir%_test_check_LDADD = $(UNIT_CONF)
%canon_reldir%_test_dump_LDADD = $(UNIT_CONF)
%canon_reldir%_test_wire_LDADD = $(UNIT_CONF)
%canon_reldir%_test_conf_child_LDADD = $(UNIT_CONF)

EXTRA_PROGRAMS += $(UNIT_TESTS)
if HAVE_CMOCKA
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
else
TESTS += %reldir%/no-cmocka
endif
dist_check_SCRIPTS += %reldir%/no-cmocka
