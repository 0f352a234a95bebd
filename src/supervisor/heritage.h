/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking over from the supervisor before, and leaving everything in order for
 * the one after.  Supervisor only; does nothing where systemd keeps no
 * descriptors for us.
 */
#ifndef CAB_SUPERVISOR_HERITAGE_H
#define CAB_SUPERVISOR_HERITAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "stats/board.h"
#include "supervisor/apply.h"
#include "supervisor/estate.h"
#include "supervisor/override.h"
#include "supervisor/passed.h"
#include "supervisor/roles.h"
#include "supervisor/store.h"

struct heritage {
	bool whole; /* what runs can be taken over as it is: estate and board are set */
	bool left;  /* but its supervisor wanted it to be replaced */
	struct passed_other *found_state, *found_board; /* in what was passed */
	struct passed_other *refused; /* the board of what was whole, or NULL */
	struct estate estate;
	uint64_t epoch; /* of the board in use */
	struct board *board;
	int board_fd;           /* -1: none */
	char state[STORE_NAME]; /* of the state in the store, or "" */
	bool board_kept;        /* it is in the store */
};

void heritage_init(struct heritage *heritage);

/* Looks through what was passed. */
void heritage_find(struct heritage *heritage, struct passed *passed);

/* What was found whole is taken over. */
void heritage_accept(struct heritage *heritage);

/* It is not: from here on another board is in use, which is still to be made. */
void heritage_refuse(struct heritage *heritage);

/*
 * We end without having served: what was whole, but refused, our successor is to
 * take over.  False when there is no such thing.
 */
bool heritage_return(const struct heritage *heritage);

/* Makes the board where none was taken over: 0 or -errno. */
int heritage_board(struct heritage *heritage);

/* What has been taken over is the first configuration: 0 or -errno. */
int heritage_apply(const struct heritage *heritage, struct apply *apply);

/*
 * The roles that were passed: with a whole heritage those of its board are
 * adopted, all others inherited, see roles.h.
 */
void heritage_roles(const struct heritage *heritage, struct passed *passed,
    struct roles *roles);

/* Writes down what is in use now, for who comes after us. */
void heritage_keep(struct heritage *heritage, const struct apply *apply,
    const struct overrides *overrides);

/* Nobody shall come after us. */
void heritage_forget(struct heritage *heritage);

/* Accepts an initialised one. */
void heritage_release(struct heritage *heritage);

#endif
