/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judging heartbeats.  Supervisor only.  The role's time is compared with
 * nothing but its own: only the time between our looks is measured.
 */
#include "supervisor/beat.h"

bool
beat_late(
    struct beat *beat, uint64_t beat_ms, uint64_t now_ms, uint64_t most_ms)
{
	uint64_t passed = beat->checked_ms != 0 ? now_ms - beat->checked_ms : 0;

	beat->checked_ms = now_ms;
	if (beat_ms != beat->seen_ms) {
		beat->seen_ms = beat_ms;
		beat->silent_ms = 0;
		return false;
	}
	beat->silent_ms += passed < 2 * BEAT_CHECK_MS ? passed :
							2 * BEAT_CHECK_MS;
	return beat->silent_ms >= (beat_ms != 0 ? most_ms : BEAT_START_MS);
}
