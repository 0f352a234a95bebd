/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our entries into libsystemd: each of its functions that we use is defined
 * here and goes on to the library's.  Supervisor only.  The prototypes are
 * those of its own headers, so that the compiler compares them.
 */
#include "config.h"

#include "supervisor/libsystemd.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#define LIBRARY "libsystemd.so.0"

/* clang-format off */
#define FUNCTIONS(F) \
	F(int, sd_event_new, (sd_event **ret), (ret)) \
	F(sd_event *, sd_event_unref, (sd_event *e), (e)) \
	F(int, sd_event_prepare, (sd_event *e), (e)) \
	F(int, sd_event_wait, (sd_event *e, uint64_t usec), (e, usec)) \
	F(int, sd_event_dispatch, (sd_event *e), (e)) \
	F(int, sd_event_get_state, (sd_event *e), (e)) \
	F(int, sd_event_exit, (sd_event *e, int code), (e, code)) \
	F(int, sd_event_add_io, (sd_event *e, sd_event_source **ret, int fd, \
		uint32_t events, sd_event_io_handler_t handler, void *arg), \
	    (e, ret, fd, events, handler, arg)) \
	F(int, sd_event_add_time, (sd_event *e, sd_event_source **ret, \
		clockid_t clock, uint64_t usec, uint64_t accuracy, \
		sd_event_time_handler_t handler, void *arg), \
	    (e, ret, clock, usec, accuracy, handler, arg)) \
	F(int, sd_event_add_time_relative, (sd_event *e, sd_event_source **ret, \
		clockid_t clock, uint64_t usec, uint64_t accuracy, \
		sd_event_time_handler_t handler, void *arg), \
	    (e, ret, clock, usec, accuracy, handler, arg)) \
	F(int, sd_event_add_signal, (sd_event *e, sd_event_source **ret, \
		int number, sd_event_signal_handler_t handler, void *arg), \
	    (e, ret, number, handler, arg)) \
	F(sd_event_source *, sd_event_source_disable_unref, \
	    (sd_event_source *s), (s)) \
	F(int, sd_event_source_set_enabled, (sd_event_source *s, int how), (s, how)) \
	F(int, sd_event_source_set_io_events, \
	    (sd_event_source *s, uint32_t events), (s, events)) \
	F(int, sd_event_source_set_time, (sd_event_source *s, uint64_t usec), \
	    (s, usec)) \
	F(int, sd_event_source_set_time_relative, \
	    (sd_event_source *s, uint64_t usec), (s, usec)) \
	F(int, sd_listen_fds, (int unset), (unset)) \
	F(int, sd_listen_fds_with_names, (int unset, char ***ret), (unset, ret)) \
	F(int, sd_watchdog_enabled, (int unset, uint64_t *ret), (unset, ret))

#define DEFINE(type, name, parameters, arguments) \
	static __typeof__(name) *name##_there; \
	type name parameters { return name##_there arguments; }

#define ENTRY(type, name, parameters, arguments) { #name, &name##_there },
/* clang-format on */

FUNCTIONS(DEFINE)

static const struct {
	const char *name;
	void *there; /* a pointer to a pointer to a function */
} functions[] = { FUNCTIONS(ENTRY) };

const char *
libsystemd_load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (library == NULL)
		return dlerror();
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *there = dlsym(library, functions[i].name);

		if (there == NULL)
			return dlerror();
		memcpy(functions[i].there, &there, sizeof(there));
	}
	return NULL;
}
