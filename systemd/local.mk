# SPDX-License-Identifier: GPL-2.0-or-later
# What systemd reads. Files with the directories of this build in them are made
# by make, not configure: only make knows them fully expanded.

SYSTEMD_MADE = \
	%reldir%/cabinetd.service \
	%reldir%/cabinetd-builtins.service \
	%reldir%/tmpfiles.d/cabinetd.conf

# What one hosted program or another needs beyond the unit, to be linked into
# cabinetd.service.d: see cabinetd(8).
SYSTEMD_DROPINS = \
	%reldir%/dropins/home.conf \
	%reldir%/dropins/jit.conf \
	%reldir%/dropins/monitoring.conf \
	%reldir%/dropins/namespaces.conf \
	%reldir%/dropins/setuid.conf

$(SYSTEMD_MADE): %: %.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) \
	    -e 's|[@]bindir@|$(bindir)|g' \
	    -e 's|[@]sbindir@|$(sbindir)|g' \
	    -e 's|[@]sysconfdir@|$(sysconfdir)|g' \
	    -e 's|[@]runstatedir@|$(runstatedir)|g' $< > $@.tmp && mv $@.tmp $@

all-local: $(SYSTEMD_MADE)
CLEANFILES += $(SYSTEMD_MADE)

if INSTALL_UNITS
nodist_systemdsystemunit_DATA = \
	%reldir%/cabinetd.service \
	%reldir%/cabinetd-builtins.service \
	%reldir%/cabinetd-builtins.socket
dropindir = $(pkgdatadir)/dropins
dropin_DATA = $(SYSTEMD_DROPINS)
endif
if INSTALL_SYSUSERS
sysusers_DATA = %reldir%/sysusers.d/cabinetd.conf
endif
if INSTALL_TMPFILES
nodist_tmpfiles_DATA = %reldir%/tmpfiles.d/cabinetd.conf
endif

if INSTALL_CATALOG
catalog_DATA = %reldir%/cabinetd.catalog
endif

# journald explains what its compiled catalogue has. A package, or whoever else
# sets DESTDIR, does this where the files end up.
.PHONY: install-catalog
install-catalog:
	@if test -z '$(DESTDIR)' && test -n '$(catalogdir)' && \
	    test "`id -u`" = 0 && command -v journalctl >/dev/null; then \
	    echo ' journalctl --update-catalog'; \
	    journalctl --update-catalog || \
		echo ' the catalogue was not compiled: journalctl -x explains nothing'; \
	fi

EXTRA_DIST += \
	%reldir%/cabinetd.catalog \
	$(SYSTEMD_DROPINS) \
	%reldir%/cabinetd.service.in \
	%reldir%/cabinetd-builtins.service.in \
	%reldir%/cabinetd-builtins.socket \
	%reldir%/sysusers.d/cabinetd.conf \
	%reldir%/tmpfiles.d/cabinetd.conf.in

AM_DISTCHECK_CONFIGURE_FLAGS = \
	--with-systemdsystemunitdir='$${prefix}/lib/systemd/system' \
	--with-sysusersdir='$${prefix}/lib/sysusers.d' \
	--with-tmpfilesdir='$${prefix}/lib/tmpfiles.d' \
	--with-catalogdir='$${prefix}/lib/systemd/catalog'
