/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Succession.  Supervisor only.  A state in the store is complete when it is
 * there at all: it goes in last and comes out after the next one is in, so that
 * whenever a supervisor dies, what is found fits together or is not believed.
 */
#include "supervisor/heritage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"

void
heritage_init(struct heritage *heritage)
{
	*heritage = (struct heritage){ .board_fd = -1 };
}

/* ---- finding -------------------------------------------------------------------------- */

static struct passed_other *
newest_state(struct passed *passed)
{
	struct passed_other *best = NULL;

	for (size_t i = 0; i < passed->n_others; i++) {
		struct passed_other *one = &passed->others[i];
		const uint64_t *a = one->item.v;
		const uint64_t *b = best != NULL ? best->item.v : NULL;

		if (one->item.kind != STORE_STATE)
			continue;
		if (b == NULL || a[STORE_EPOCH] > b[STORE_EPOCH] ||
		    (a[STORE_EPOCH] == b[STORE_EPOCH] &&
			a[STORE_GENERATION] > b[STORE_GENERATION]))
			best = one;
	}
	return best;
}

static struct passed_other *
board_of(struct passed *passed, uint64_t epoch)
{
	for (size_t i = 0; i < passed->n_others; i++)
		if (passed->others[i].item.kind == STORE_BOARD &&
		    passed->others[i].item.v[STORE_EPOCH] == epoch)
			return &passed->others[i];
	return NULL;
}

void
heritage_find(struct heritage *heritage, struct passed *passed)
{
	struct passed_other *state = newest_state(passed), *board;
	int r;

	if (state == NULL)
		return;
	board = board_of(passed, state->item.v[STORE_EPOCH]);
	r = board != NULL ? estate_decode(state->fd, &heritage->estate) : -ENOENT;
	if (r == 0)
		r = board_map(board->fd, &heritage->board);
	if (r < 0) {
		log_notice("another %s has run before: what it has started is "
			   "replaced%s%s",
		    r == -EXDEV ? "build" : "supervisor", r == -EXDEV ? "" : ": ",
		    r == -EXDEV ? "" : strerror(-r));
		estate_release(&heritage->estate);
		return;
	}
	heritage->whole = true;
	heritage->left = atomic_load(&heritage->board->daemon.left) != 0;
	heritage->found_state = state;
	heritage->found_board = board;
}

void
heritage_accept(struct heritage *heritage)
{
	const char *name = heritage->found_state->name;

	heritage->epoch = heritage->found_state->item.v[STORE_EPOCH];
	heritage->board_fd = passed_take(heritage->found_board);
	heritage->board_kept = true;
	memcpy(heritage->state, name, strlen(name) + 1);
	fd_close(passed_take(heritage->found_state));
	atomic_store(&heritage->board->daemon.left, 0);
}

int
heritage_board(struct heritage *heritage)
{
	if (heritage->board != NULL)
		return 0;
	heritage->board_fd = board_create(&heritage->board);
	return heritage->board_fd < 0 ? heritage->board_fd : 0;
}

int
heritage_apply(const struct heritage *heritage, struct apply *apply)
{
	const struct estate *estate = &heritage->estate;
	uint64_t last;

	if (!heritage->whole)
		return 0;
	/* Transactions that were not finished had numbers, too.  Workers can
	 * write to the board, so that is not to be believed without bounds. */
	last = atomic_load(&heritage->board->daemon.announced);
	if (last < estate->generation || last - estate->generation > 1000)
		last = estate->generation + 1000;
	return apply_inherit(apply, estate->slots, estate->n_slots, last);
}

/* ---- roles ---------------------------------------------------------------------------- */

static bool
is_channel(int fd)
{
	return fd_socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_SEQPACKET;
}

/* The other descriptor of the same name. */
static struct passed_other *
second_of(struct passed *passed, size_t first)
{
	for (size_t i = first + 1; i < passed->n_others; i++)
		if (passed->others[i].fd >= 0 &&
		    strcmp(passed->others[i].name, passed->others[first].name) ==
			0)
			return &passed->others[i];
	return NULL;
}

void
heritage_roles(
    const struct heritage *heritage, struct passed *passed, struct roles *roles)
{
	for (size_t i = 0; i < passed->n_others; i++) {
		struct passed_other *a = &passed->others[i], *b;
		struct roles_found found = { .name = a->name,
			.slot = (uint32_t)a->item.v[STORE_SLOT],
			.pid = (pid_t)a->item.v[STORE_PID] };

		if (a->fd < 0 || a->item.kind != STORE_ROLE)
			continue;
		b = second_of(passed, i);
		/* One without the other is of no use: closing it ends the role. */
		if (b == NULL || is_channel(a->fd) == is_channel(b->fd))
			continue;
		found.chan = passed_take(is_channel(a->fd) ? a : b);
		found.pidfd = passed_take(a->fd >= 0 ? a : b);
		if (heritage->whole &&
		    a->item.v[STORE_EPOCH] == heritage->epoch)
			roles_adopt(roles, &found);
		else
			roles_inherit(roles, &found);
	}
}

/* ---- leaving -------------------------------------------------------------------------- */

static void
keep_board(struct heritage *heritage)
{
	struct store_item item = { .kind = STORE_BOARD,
		.v[STORE_EPOCH] = heritage->epoch };
	char name[STORE_NAME];

	if (heritage->board_kept)
		return;
	heritage->board_kept = true;
	store_name(&item, name);
	store_put(name, &heritage->board_fd, 1);
}

static void
keep_state(struct heritage *heritage, int fd, uint64_t generation)
{
	struct store_item item = { .kind = STORE_STATE,
		.v[STORE_EPOCH] = heritage->epoch,
		.v[STORE_GENERATION] = generation };
	char name[STORE_NAME];

	store_name(&item, name);
	store_put(name, &fd, 1);
	if (heritage->state[0] != '\0')
		store_remove(heritage->state, 1);
	memcpy(heritage->state, name, sizeof(name));
}

static int
gather(const struct apply *apply, const struct overrides *overrides,
    struct estate *estate)
{
	struct apply_service service;
	size_t n = 0;

	while (apply_service(apply, n, &service))
		n++;
	estate->generation = apply_generation(apply);
	estate->slots = calloc(n + 1, sizeof(*estate->slots));
	if (estate->slots == NULL)
		return -ENOMEM;
	for (; apply_service(apply, estate->n_slots, &service); estate->n_slots++)
		estate->slots[estate->n_slots] = service.slot;
	return overrides_as_read(overrides, &estate->conf, &estate->n_conf);
}

void
heritage_keep(struct heritage *heritage, const struct apply *apply,
    const struct overrides *overrides)
{
	/* The names are lent. */
	struct estate estate = { .off = overrides->names, .n_off = overrides->n };
	int r;

	if (!store_enabled())
		return;
	r = gather(apply, overrides, &estate);
	if (r == 0)
		r = estate_encode(&estate);
	if (r >= 0) {
		keep_board(heritage);
		keep_state(heritage, r, estate.generation);
		fd_close(r);
	} else {
		log_error("cannot write down the state for a supervisor after "
			  "this one: %s",
		    strerror(-r));
	}
	estate.off = NULL;
	estate.n_off = 0;
	estate_release(&estate);
}

void
heritage_forget(struct heritage *heritage)
{
	struct store_item item = { .kind = STORE_BOARD,
		.v[STORE_EPOCH] = heritage->epoch };
	char name[STORE_NAME];

	if (heritage->state[0] != '\0')
		store_remove(heritage->state, 1);
	store_name(&item, name);
	if (heritage->board_kept)
		store_remove(name, 1);
}

void
heritage_refuse(struct heritage *heritage)
{
	struct passed_other *board = heritage->whole ? heritage->found_board :
						       NULL;
	struct timespec now;

	heritage_release(heritage);
	heritage->refused = board;
	/* Later ones are greater, as long as the machine is up, as is the store. */
	clock_gettime(CLOCK_BOOTTIME, &now);
	heritage->epoch = (uint64_t)now.tv_sec * 1000000 +
	    (uint64_t)now.tv_nsec / 1000;
}

bool
heritage_return(const struct heritage *heritage)
{
	struct board *board;

	if (heritage->refused == NULL ||
	    board_map(heritage->refused->fd, &board) < 0)
		return false;
	atomic_store(&board->daemon.left, 0);
	board_unmap(board);
	return true;
}

void
heritage_release(struct heritage *heritage)
{
	estate_release(&heritage->estate);
	board_unmap(heritage->board);
	fd_close(heritage->board_fd);
	heritage_init(heritage);
}
