/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every fuzz target has: its entry, and a check that ends the run. */
#ifndef CAB_TESTS_FUZZ_H
#define CAB_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* libFuzzer's contract, and replay.c's: every target defines it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Unlike assert(3), whatever NDEBUG says. */
#define must(condition)                                                    \
	do {                                                               \
		if (!(condition)) {                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
			    #condition);                                   \
			abort();                                           \
		}                                                          \
	} while (0)

#endif
