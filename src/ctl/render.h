/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies as text for people: aligned columns, with headings, colours and round
 * figures on a terminal, without them in a pipe.  cabinetctl only.
 */
#ifndef CAB_CTL_RENDER_H
#define CAB_CTL_RENDER_H

#include <stdbool.h>
#include <stdio.h>

#include "ipc/ctl.h"

struct render {
	FILE *out;
	bool terminal; /* headings, round figures, columns without values left out */
	bool ansi;     /* a terminal that takes control sequences */
	bool colour;
};

/* How to write to this stream. */
struct render render_for(FILE *out);

/* One table or record, whatever it holds. */
void render_data(const struct render *render, const struct ctl_data *data);

/* Texts with control bytes as \xNN: nothing of a reply reaches a terminal raw. */
void render_text(const struct render *render, const char *text);

/* "1.5K", "12M"; "250ms", "3min 20s", "2d 4h". */
char *render_size(char *dst, size_t cap, uint64_t bytes);
char *render_duration(char *dst, size_t cap, uint64_t ms);

/* "\033[32m" for words such as "serving", and so on; "" where there is no colour. */
const char *render_colour(const struct render *render, const char *word);
const char *render_plain(const struct render *render);
const char *render_bold(const struct render *render);

#endif
