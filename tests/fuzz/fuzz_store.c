/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target of what a new supervisor finds in systemd's descriptor store: the
 * names, and the state of the one before.  What is taken for ours says on the
 * way back what was read.
 *
 * Input: even first byte: a name; odd: what follows magic and build in a state.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "supervisor/estate.h"
#include "supervisor/store.h"
#include "tests/fuzz/fuzz.h"

#define SAME 40 /* bytes of magic and build, see struct head */
#define MOST (1 << 20)

static void
try_name(const char *bytes, size_t n)
{
	struct store_item item, again;
	char *name = strndup(bytes, n);
	char made[STORE_NAME];

	must(name != NULL);
	store_parse(name, &item);
	if (item.kind != STORE_OTHER) {
		store_name(&item, made);
		store_parse(made, &again);
		must(again.kind == item.kind &&
		    memcmp(again.v, item.v, sizeof(item.v)) == 0);
	}
	free(name);
}

/* A whole state as bytes, the caller's to free. */
static char *
read_state(int fd, size_t *n)
{
	char *bytes = NULL;

	must(fd >= 0);
	must(fd_read_all(fd, 2 * MOST, &bytes, n) == 0);
	close(fd);
	return bytes;
}

static void
try_state(const char *bytes, size_t n)
{
	const struct estate none = { 0 };
	struct estate estate = { 0 };
	size_t n_state, n_again;
	char *state = read_state(estate_encode(&none), &n_state), *again;
	int fd;

	must(n_state > SAME);
	state = realloc(state, SAME + n);
	must(state != NULL);
	memcpy(state + SAME, bytes, n);
	fd = fd_sealed_memfd("state", state, SAME + n);
	must(fd >= 0);
	if (estate_decode(fd, &estate) == 0) {
		again = read_state(estate_encode(&estate), &n_again);
		must(n_again == SAME + n && memcmp(again, state, n_again) == 0);
		free(again);
	}
	estate_release(&estate);
	close(fd);
	free(state);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 1 || len > MOST)
		return 0;
	if (data[0] % 2 == 0)
		try_name((const char *)data + 1, len - 1);
	else
		try_state((const char *)data + 1, len - 1);
	return 0;
}
