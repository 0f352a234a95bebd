/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the supervisor opens and looks at for the config role, which has no
 * rights of its own.  Supervisor only.
 */
#ifndef CAB_SUPERVISOR_FILES_H
#define CAB_SUPERVISOR_FILES_H

#include <stdbool.h>
#include <stdint.h>

#define FILES_WHY 512

/*
 * Opens a configuration file for reading: an ordinary file on a real file
 * system; for root one that root alone can have written.  first: it is the one
 * that the daemon was told to read.  Descriptor or -errno; then why says what is
 * wrong as the end of a sentence ("is a directory"), or is empty.
 */
int files_open(const char *path, bool privileged, bool first, char why[FILES_WHY]);

/* The names in a directory that end in ".conf", sorted, each with a NUL, as a sealed memory file; -errno as above. */
int files_list(const char *dir, bool privileged, char why[FILES_WHY]);

/* Whether the path is what enum cab_probe names: 0 or -errno. */
int files_probe(const char *path, uint32_t kind);

#endif
