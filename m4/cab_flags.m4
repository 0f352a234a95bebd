# SPDX-License-Identifier: GPL-2.0-or-later
# Probes for compiler and linker flags. Each flag is tried with -Werror, so
# that a compiler that only warns about an unknown flag counts as not having it.

# CAB_CFLAG(VARIABLE, FLAG)
# Append FLAG to VARIABLE when the compiler takes it.
AC_DEFUN([CAB_CFLAG], [
	AS_VAR_PUSHDEF([cab_cache], [cab_cv_cflag_$2])
	AC_CACHE_CHECK([whether $CC takes $2], [cab_cache], [
		cab_saved_CFLAGS=$CFLAGS
		CFLAGS="$CFLAGS -Werror $2"
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM],
		    [AS_VAR_SET([cab_cache], [yes])],
		    [AS_VAR_SET([cab_cache], [no])])
		CFLAGS=$cab_saved_CFLAGS
	])
	AS_VAR_IF([cab_cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
	AS_VAR_POPDEF([cab_cache])
])

# CAB_CFLAGS(VARIABLE, FLAGS)
# CAB_CFLAG for each word of FLAGS.
AC_DEFUN([CAB_CFLAGS],
    [m4_foreach_w([cab_flag], [$2], [CAB_CFLAG([$1], cab_flag)])])

# CAB_LINKFLAG(VARIABLE, FLAG, [COMPILER-FLAG])
# Append FLAG to VARIABLE when a program links with it.
AC_DEFUN([CAB_LINKFLAG], [
	AS_VAR_PUSHDEF([cab_cache], [cab_cv_linkflag_$2])
	AC_CACHE_CHECK([whether the linker takes $2], [cab_cache], [
		cab_saved_CFLAGS=$CFLAGS
		cab_saved_LDFLAGS=$LDFLAGS
		CFLAGS="$CFLAGS -Werror $3"
		LDFLAGS="$LDFLAGS $2"
		AC_LINK_IFELSE([AC_LANG_PROGRAM],
		    [AS_VAR_SET([cab_cache], [yes])],
		    [AS_VAR_SET([cab_cache], [no])])
		CFLAGS=$cab_saved_CFLAGS
		LDFLAGS=$cab_saved_LDFLAGS
	])
	AS_VAR_IF([cab_cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
	AS_VAR_POPDEF([cab_cache])
])

# CAB_FORTIFY(VARIABLE)
# Append the highest _FORTIFY_SOURCE that compiler and C library honour. It
# needs optimisation: without, glibc only warns, and -Werror builds break.
AC_DEFUN([CAB_FORTIFY], [
	AC_CACHE_CHECK([for the level of _FORTIFY_SOURCE], [cab_cv_fortify], [
		cab_cv_fortify=none
		cab_saved_CFLAGS=$CFLAGS
		for cab_level in 3 2; do
			CFLAGS="$cab_saved_CFLAGS -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$cab_level"
			AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
				#include <features.h>
				#if !defined __OPTIMIZE__ || __USE_FORTIFY_LEVEL < _FORTIFY_SOURCE
				# error not honoured
				#endif
			]])], [cab_cv_fortify=$cab_level])
			test "$cab_cv_fortify" = none || break
		done
		CFLAGS=$cab_saved_CFLAGS
	])
	AS_IF([test "$cab_cv_fortify" != none],
	    [AS_VAR_APPEND([$1],
		[" -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$cab_cv_fortify"])])
])

# CAB_NEED_PKG(PREFIX, MODULE-AND-VERSION, DEBIAN-PACKAGE)
# PKG_CHECK_MODULES that ends with the name of the package to install.
AC_DEFUN([CAB_NEED_PKG], [
	PKG_CHECK_MODULES([$1], [$2], [], [
		AC_MSG_ERROR([$2 was not found: $$1[]_PKG_ERRORS
On Debian and Ubuntu: apt install $3
Elsewhere install it by its own name, or point PKG_CONFIG_PATH at it.])
	])
])
