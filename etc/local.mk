# SPDX-License-Identifier: GPL-2.0-or-later
# The default configuration is installed only where there is none, and removed
# only while it is what was installed. Examples go with the documentation.

ETC_EXAMPLES =

EXTRA_DIST += %reldir%/cabinetd.conf

examplesdir = $(docdir)/examples
dist_examples_DATA = $(ETC_EXAMPLES)

.PHONY: install-config
install-config:
	@$(MKDIR_P) '$(DESTDIR)$(sysconfdir)'
	@if test -e '$(DESTDIR)$(sysconfdir)/cabinetd.conf'; then \
	    echo " keeping $(DESTDIR)$(sysconfdir)/cabinetd.conf"; \
	else \
	    echo " $(INSTALL_DATA) $(srcdir)/etc/cabinetd.conf '$(DESTDIR)$(sysconfdir)/cabinetd.conf'"; \
	    $(INSTALL_DATA) $(srcdir)/etc/cabinetd.conf \
		'$(DESTDIR)$(sysconfdir)/cabinetd.conf'; \
	fi

uninstall-hook:
	@if cmp -s $(srcdir)/etc/cabinetd.conf '$(DESTDIR)$(sysconfdir)/cabinetd.conf'; then \
	    echo " rm -f '$(DESTDIR)$(sysconfdir)/cabinetd.conf'"; \
	    rm -f '$(DESTDIR)$(sysconfdir)/cabinetd.conf'; \
	elif test -e '$(DESTDIR)$(sysconfdir)/cabinetd.conf'; then \
	    echo " keeping $(DESTDIR)$(sysconfdir)/cabinetd.conf: it was changed"; \
	fi
