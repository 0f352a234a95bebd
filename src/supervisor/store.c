/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of what lies in systemd's descriptor store, and putting it there.
 * Supervisor only.  systemd answers nothing, so that there is room is a matter
 * of counting.
 */
#include "supervisor/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/event.h"
#include "base/str.h"
#include "supervisor/notify.h"

static const struct {
	const char *prefix;
	unsigned n; /* numbers that follow, each after a dot, in hexadecimal */
} kinds[STORE_KINDS] = {
	[STORE_LISTENER] = { "cabinetd-listener", 4 },
	[STORE_BOARD] = { "cabinetd-scoreboard", 1 },
	[STORE_STATE] = { "cabinetd-state", 2 },
	[STORE_ROLE] = { "cabinetd-role", 3 },
};

static unsigned stored; /* descriptors */
static uint64_t last_serial;
static bool complained;

/* ---- names -------------------------------------------------------------------------- */

void
store_name(const struct store_item *item, char dst[STORE_NAME])
{
	int n = snprintf(dst, STORE_NAME, "%s", kinds[item->kind].prefix);

	for (unsigned i = 0; i < kinds[item->kind].n; i++)
		n += snprintf(dst + n, STORE_NAME - (size_t)n, ".%" PRIx64,
		    item->v[i]);
}

/* ".1f": the number behind it, or NULL. */
static const char *
parse_number(const char *p, uint64_t *ret)
{
	uint64_t value = 0;
	unsigned digits = 0;

	if (*p++ != '.')
		return NULL;
	for (; *p != '\0' && strchr("0123456789abcdef", *p) != NULL; p++) {
		value = value << 4 |
		    (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
		digits++;
	}
	*ret = value;
	return digits > 0 && digits <= 16 ? p : NULL;
}

void
store_parse(const char *name, struct store_item *ret)
{
	for (int kind = STORE_OTHER + 1; kind < STORE_KINDS; kind++) {
		size_t n = strlen(kinds[kind].prefix);
		struct store_item item = { .kind = (enum store_kind)kind };
		const char *p = name + n;

		if (strncmp(name, kinds[kind].prefix, n) != 0)
			continue;
		for (unsigned i = 0; i < kinds[kind].n && p != NULL; i++)
			p = parse_number(p, &item.v[i]);
		if (p == NULL || *p != '\0')
			continue;
		*ret = item;
		return;
	}
	*ret = (struct store_item){ .kind = STORE_OTHER };
}

/* ---- the store ------------------------------------------------------------------------ */

static unsigned
capacity(void)
{
	const char *text = getenv("FDSTORE");
	int64_t n;

	if (text == NULL || getenv("NOTIFY_SOCKET") == NULL ||
	    str_to_i64((struct cab_slice){ text, strlen(text) }, &n) < 0 || n < 0)
		return 0;
	return n < UINT32_MAX ? (unsigned)n : UINT32_MAX;
}

bool
store_enabled(void)
{
	return capacity() > 0;
}

void
store_found(const struct store_item *item)
{
	stored++;
	if (item->kind == STORE_LISTENER && item->v[STORE_SERIAL] > last_serial)
		last_serial = item->v[STORE_SERIAL];
}

uint64_t
store_serial(void)
{
	return ++last_serial;
}

void
store_put(const char *name, const int *fds, unsigned n)
{
	char state[STORE_NAME + 64];

	if (!store_enabled())
		return;
	stored += n;
	if (stored > capacity() && !complained) {
		complained = true;
		log_event(CAB_LOG_WARNING, EVENT_STORE_FULL,
		    "systemd keeps no more than %u descriptors for us: "
			    "what is beyond that is lost when the supervisor "
			    "ends; raise FileDescriptorStoreMax= and FDSTORE "
			    "in the unit",
		    capacity());
	}
	/* Nothing but us decides about them: a socket with an error is not a dead one. */
	snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	notify_fds(state, fds, n);
}

void
store_remove(const char *name, unsigned n)
{
	char state[STORE_NAME + 64];

	if (!store_enabled())
		return;
	stored -= n < stored ? n : stored;
	snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	notify_fds(state, NULL, 0);
}
