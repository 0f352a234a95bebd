/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The title of a process.  Supervisor only: the kernel shows the memory in
 * which it once put the command line, so the title is written there.
 */
#include "base/title.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A copy of the environment that does not point into the old one; NULL on
 * -ENOMEM.  One block, so that a variable taken out later leaves no lost memory.
 */
static char **
copy_environment(void)
{
	size_t n = 0, bytes = 0, i, length;
	char **copy, *p;

	while (environ && environ[n])
		bytes += strlen(environ[n++]) + 1;
	copy = malloc((n + 1) * sizeof(*copy) + bytes);
	if (!copy)
		return NULL;
	p = (char *)(copy + n + 1);
	for (i = 0; i < n; i++) {
		length = strlen(environ[i]) + 1;
		copy[i] = memcpy(p, environ[i], length);
		p += length;
	}
	copy[n] = NULL;
	return copy;
}

/* Extends the run of bytes that ends at *end by a string that starts there. */
static void
extend(char **end, char *string)
{
	if (string == *end)
		*end += strlen(string) + 1;
}

void
title_set(int argc, char **argv, const char *title)
{
	char *start, *end, **copy;
	size_t n = strlen(title), room;

	if (argc < 1 || !(copy = copy_environment()))
		return;
	start = end = argv[0];
	for (int i = 0; i < argc; i++)
		extend(&end, argv[i]);
	for (size_t i = 0; environ && environ[i]; i++)
		extend(&end, environ[i]);
	environ = copy;
	room = (size_t)(end - start) - 1;
	memset(start, 0, room);
	memcpy(start, title, n < room ? n : room);
}
