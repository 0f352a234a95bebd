# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh disable=SC2034,SC2154
# Sourced by tools/demo and tools/test: the Debian packages that they need, and
# the steps that both take. The caller has set top, the source tree.

# To build from a checkout.
CAB_PACKAGES_BUILD='autoconf automake gcc libc6-dev libcap-dev libconfig-dev
libseccomp-dev libsystemd-dev make pkgconf'

# To try what the demo serves.
CAB_PACKAGES_TRY='curl netcat-openbsd swaks telnet'

# To test: a second compiler, the test runners, the lints' tools, ps, ip and
# strace, a shell whose completion is tried, and what boots the machine of the
# system tests.
CAB_PACKAGES_TEST='clang iproute2 libcmocka-dev mandoc procps python3
python3-pytest shellcheck strace systemd systemd-container zsh'

say()
{
	printf '==> %s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

is_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Run a command as root: directly, or with sudo.
as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		return 127
	fi
}

# need_packages PACKAGE...: install those that are missing.
need_packages()
{
	if ! command -v dpkg-query >/dev/null; then
		say "not a Debian system: taking for granted what these packages hold: $*"
		return
	fi
	missing=
	for package; do
		is_installed "$package" || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
		die "missing packages:$missing
There is no sudo here; as root run: apt-get install$missing"
	fi
	say "installing missing Debian packages:$missing"
	as_root apt-get update -qq ||
		die "apt-get update failed; by hand: apt-get install$missing"
	# shellcheck disable=SC2086 # one word per package
	as_root env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -qq -y --no-install-recommends $missing ||
		die "apt-get install failed; by hand: apt-get install$missing"
}

# get_promtool DIRECTORY: Prometheus' own checker of metrics, taken out of its
# package: to install that would start a server that listens. Without it the
# tests that want it are skipped.
get_promtool()
{
	if command -v promtool >/dev/null; then
		return
	fi
	if [ ! -x "$1/usr/bin/promtool" ] && command -v apt-get >/dev/null; then
		say "taking promtool out of Debian's package prometheus"
		mkdir -p "$1" && (cd "$1" && rm -f prometheus_*.deb &&
		    apt-get download -qq prometheus >download.log 2>&1 &&
		    dpkg-deb --fsys-tarfile prometheus_*.deb |
		    tar xf - ./usr/bin/promtool; rm -f prometheus_*.deb)
	fi
	if [ -x "$1/usr/bin/promtool" ]; then
		CAB_PROMTOOL=$1/usr/bin/promtool
		export CAB_PROMTOOL
	else
		say "promtool cannot be had: metrics are checked without it"
	fi
}

# make_configure: autoreconf in a fresh checkout. Later changes of its input are
# the business of the made Makefiles, which know what depends on what.
make_configure()
{
	if [ -e "$top/config.status" ]; then
		die "$top is configured itself, which stops builds elsewhere; run: make -C '$top' distclean"
	fi
	if [ -x "$top/configure" ] && [ -f "$top/Makefile.in" ]; then
		return
	fi
	say "making configure (autoreconf)"
	(cd "$top" && autoreconf -fi >build/autoreconf.log 2>&1) || {
		cat "$top/build/autoreconf.log" >&2
		die "autoreconf failed"
	}
}

# make_tree DIRECTORY: the directory that is built in.
make_tree()
{
	if ! mkdir -p "$top/build" "$1" || [ ! -w "$1" ]; then
		die "cannot write to $1: did someone else build there? Remove it or see ${0##*/} --help"
	fi
}

# configure_in DIRECTORY ARGUMENT...: configure a build tree, unless it was
# configured with the same arguments already.
configure_in()
{
	build_dir=$1
	shift
	mkdir -p "$build_dir" || die "cannot make $build_dir"
	if [ "$(cat "$build_dir/configured-with" 2>/dev/null)" = "with: $*" ]; then
		return
	fi
	say "configuring ${build_dir#"$top/"}: configure${*:+ $*}"
	rm -f "$build_dir/configured-with"
	if ! (cd "$build_dir" &&
	    "$top/configure" -q "$@" >configure.out 2>&1); then
		cat "$build_dir/configure.out" >&2
		die "configure failed; more in $build_dir/config.log"
	fi
	echo "with: $*" >"$build_dir/configured-with"
}

# system_tree DIRECTORY: the build that the system tests install, as a package
# would be built, and their load client.
system_tree()
{
	configure_in "$1" CC=gcc --prefix=/usr --sysconfdir=/etc \
	    --localstatedir=/var --enable-werror
	say "building in ${1#"$top/"}"
	make_in "$1" all
	make_in "$1" tests/system/client
}

# run_system TREE PYTEST-ARGUMENT...: the system tests with Debian's python3.
run_system()
{
	system_build=$1
	shift
	python=/usr/bin/python3
	[ -x "$python" ] || python=python3
	(cd "$top/tests/system" &&
	    env CABINETD_SYSTEM_BUILD="$system_build" PYTHONDONTWRITEBYTECODE=1 \
	    "$python" -m pytest -p no:cacheprovider "$@" .)
}

# make_in DIRECTORY TARGET: make, silent but for compilers that complain.
make_in()
{
	make -C "$1" -s V=1 --no-print-directory \
	    -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)" "$2"
}
