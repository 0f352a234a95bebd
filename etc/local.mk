# SPDX-License-Identifier: GPL-2.0-or-later
# The default configurations are installed only where there are none, and
# removed only while they are what was installed. Examples go with the
# documentation.

ETC_EXAMPLES = \
	%reldir%/examples/health-check.conf \
	%reldir%/examples/mail-sink.conf \
	%reldir%/examples/programs.conf \
	%reldir%/examples/test-servers.conf \
	%reldir%/examples/web.conf

ETC_CONFIGS = cabinetd.conf cabinetd-builtins.conf
EXTRA_DIST += \
	%reldir%/cabinetd-builtins.conf \
	%reldir%/cabinetd.conf

examplesdir = $(docdir)/examples
dist_examples_DATA = $(ETC_EXAMPLES)

.PHONY: install-config
install-config:
	@$(MKDIR_P) '$(DESTDIR)$(sysconfdir)'
	@for name in $(ETC_CONFIGS); do \
	    to='$(DESTDIR)$(sysconfdir)'/$$name; \
	    if test -e "$$to"; then \
		echo " keeping $$to"; \
	    else \
		echo " $(INSTALL_DATA) $(srcdir)/etc/$$name '$$to'"; \
		$(INSTALL_DATA) "$(srcdir)/etc/$$name" "$$to" || exit 1; \
	    fi; \
	done

uninstall-hook:
	@for name in $(ETC_CONFIGS); do \
	    to='$(DESTDIR)$(sysconfdir)'/$$name; \
	    if cmp -s "$(srcdir)/etc/$$name" "$$to"; then \
		echo " rm -f '$$to'"; rm -f "$$to"; \
	    elif test -e "$$to"; then \
		echo " keeping $$to: it was changed"; \
	    fi; \
	done
