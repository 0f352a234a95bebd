/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sharing of connections between workers, from what the scoreboard says.
 * Workers.  Decides only who comes first: nobody ever leaves a client waiting
 * for somebody else, who might be stuck.
 */
#include "config.h"

#include "worker/balance.h"

/* Not worth a system call: this many, and one in so many of what the others hold. */
#define SLACK_LEAST 2
#define SLACK_SHARE 16

struct balance
balance_look(const struct board *board, uint32_t slot)
{
	uint32_t workers = atomic_load_explicit(
	    &board->daemon.workers, memory_order_relaxed);
	uint32_t generation = atomic_load_explicit(
	    &board->roles[slot].generation, memory_order_relaxed);
	struct balance others = { 0 };

	for (uint32_t i = 0; i < workers && i < BOARD_WORKERS; i++) {
		const struct board_role *role = &board->roles[i];

		/* A slot that is no longer used keeps the generation of its end. */
		if (i == slot ||
		    atomic_load_explicit(
			&role->generation, memory_order_relaxed) != generation)
			continue;
		others.n++;
		others.held += atomic_load_explicit(
		    &role->connections, memory_order_relaxed);
	}
	return others;
}

bool
balance_over(const struct balance *others, uint32_t held)
{
	uint64_t mean;

	if (others->n == 0)
		return false;
	mean = others->held / others->n;
	return held > mean + mean / SLACK_SHARE + SLACK_LEAST;
}

bool
balance_step_back(const struct balance *others, uint32_t held, uint32_t in_a_row)
{
	return others->n > 0 &&
	    (in_a_row >= BALANCE_RUN || balance_over(others, held));
}

void
burst_took(struct burst *burst, unsigned wanted, unsigned taken)
{
	unsigned size = burst_size(burst);
	unsigned tries = size > 1 ? BURST_TRIES / 4 : BURST_TRIES << burst->wary;

	if (taken < wanted) {
		if (size == 2 && burst->wary < BURST_WARY)
			burst->wary++;
		/* Half: what is left of a burst says little about the next. */
		burst->size = (uint8_t)(taken > size / 2 ? taken : size / 2);
		burst->full = 0;
	} else if (taken >= size && burst->full < tries) {
		burst->full++;
	} else if (taken >= size) {
		/* And again with the next full one, as long as that goes well. */
		if (size > 1)
			burst->wary = 0;
		burst->size = (uint8_t)(size * 2 < BURST_MAX ? size * 2 :
							       BURST_MAX);
	}
}
