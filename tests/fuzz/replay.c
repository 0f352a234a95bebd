/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The main() of a fuzz target built without libFuzzer: runs the target once on
 * each file named on the command line, so that any compiler can replay a
 * corpus. Each input lives in a block of exactly its size, so that a read past
 * its end is seen by AddressSanitizer.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* libFuzzer's contract: a target may define it. */
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

/* Read the whole of path into a new block: 0 or a negative errno. */
static int
replay_load(const char *path, uint8_t **data, size_t *len)
{
	uint8_t *block = NULL;
	FILE *f;
	long end;
	int r = 0;

	f = fopen(path, "rbe");
	if (f == NULL)
		return -errno;
	if (fseek(f, 0, SEEK_END) < 0 || (end = ftell(f)) < 0 ||
	    fseek(f, 0, SEEK_SET) < 0) {
		r = -errno;
		goto out;
	}
	block = malloc((size_t)end);
	if (block == NULL && end > 0) {
		r = -ENOMEM;
		goto out;
	}
	if (end > 0 && fread(block, 1, (size_t)end, f) != (size_t)end) {
		r = -EIO;
		goto out;
	}
	*data = block;
	*len = (size_t)end;
	block = NULL;
out:
	free(block);
	fclose(f);
	return r;
}

int
main(int argc, char **argv)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int i, r;

	if (LLVMFuzzerInitialize != NULL && LLVMFuzzerInitialize(&argc, &argv))
		return EXIT_FAILURE;
	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE...\n", argv[0]);
		return EXIT_FAILURE;
	}
	for (i = 1; i < argc; i++) {
		r = replay_load(argv[i], &data, &len);
		if (r < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
			return EXIT_FAILURE;
		}
		/* Named first: a crash then shows which input it was. */
		fprintf(stderr, "replay %s (%zu bytes)\n", argv[i], len);
		LLVMFuzzerTestOneInput(data, len);
		free(data);
	}
	return EXIT_SUCCESS;
}
