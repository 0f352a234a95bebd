# SPDX-License-Identifier: GPL-2.0-or-later
# The programs. The roles' libraries call each other both ways (a protocol calls
# into worker/conn.c, the worker calls the protocols), so the list is given to
# the linker twice.

CAB_ARCHIVES = \
	%reldir%/supervisor/libsupervisor.a \
	%reldir%/launcher/liblauncher.a \
	%reldir%/worker/libworker.a \
	%reldir%/proto/libproto.a \
	%reldir%/conf/libconf.a \
	%reldir%/stats/libstats.a \
	%reldir%/ipc/libipc.a \
	%reldir%/access/libaccess.a \
	%reldir%/base/libbase.a

# Without libsystemd, which the supervisor alone loads (supervisor/libsystemd.c).
CAB_LIBS = $(LIBCONFIG_LIBS) $(LIBSECCOMP_LIBS) $(LIBCAP_LIBS)

sbin_PROGRAMS += cabinetd
cabinetd_SOURCES = %reldir%/cabinetd.c
cabinetd_LDADD = $(CAB_ARCHIVES) $(CAB_LIBRARIES) $(CAB_LIBS)

bin_PROGRAMS += cabinetctl
cabinetctl_SOURCES = %reldir%/cabinetctl.c
cabinetctl_LDADD = %reldir%/ctl/libctl.a %reldir%/ipc/libipc.a \
	%reldir%/base/libbase.a
