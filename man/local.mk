# SPDX-License-Identifier: GPL-2.0-or-later
# The pages are written for a system-wide build (--sysconfdir=/etc); what is
# installed names the directory of this build.

dist_man_MANS += \
	%reldir%/cabinetctl.1 \
	%reldir%/cabinetd.8 \
	%reldir%/cabinetd.conf.5

.PHONY: install-man-paths
install-man-paths:
	@test '$(sysconfdir)' = /etc || for page in $(dist_man_MANS); do \
	    installed='$(DESTDIR)$(mandir)'/man$${page##*.}/$${page##*/}; \
	    $(SED) 's|/etc/cabinetd|$(sysconfdir)/cabinetd|g' "$$installed" \
		>"$$installed.tmp" && \
	    cat "$$installed.tmp" >"$$installed" && rm -f "$$installed.tmp" || exit 1; \
	done
