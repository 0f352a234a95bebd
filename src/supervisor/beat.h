/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a role still comes round, judged by the time of its last turn in the
 * scoreboard.  Supervisor only.  Pure: the caller has the clock.
 */
#ifndef CAB_SUPERVISOR_BEAT_H
#define CAB_SUPERVISOR_BEAT_H

#include <stdbool.h>
#include <stdint.h>

/* One role; all zero when it is started. */
struct beat {
	uint64_t seen_ms;    /* the last turn known of, by its own clock; 0: none yet */
	uint64_t checked_ms; /* 0: never */
	uint64_t silent_ms;  /* how much of our own time has passed without another */
};

#define BEAT_CHECK_MS 250 /* how often to look */

/*
 * True when nothing has moved for most_ms, or before its first turn for
 * BEAT_START_MS.  A look that comes late counts for two: who was held up
 * himself, with the whole machine perhaps, cannot blame others.
 */
#define BEAT_START_MS 20000
bool beat_late(struct beat *beat, uint64_t beat_ms, uint64_t now_ms,
    uint64_t most_ms);

#endif
