/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closing a listening TCP socket so that its clients come to no harm: nobody new
 * first, then all who are in its queue, then close.  What is said here is said of
 * the socket, for every process that has it.  The supervisor says it, workers
 * ask, those of another build as well.
 */
#ifndef CAB_BASE_HUSH_H
#define CAB_BASE_HUSH_H

#include <stdbool.h>

/*
 * Lets no new client into the queue.  One that comes now is not answered and
 * tries again, for as long as its own kernel has patience.  One whose handshake
 * is under way may end it, and is reset if that takes longer than until the
 * socket is closed.  Nothing happens to a socket that hush_never was called for.
 */
void hush(int fd, bool on);

/* True from hush to its end. */
bool is_hushed(int fd);

/* From now on, for good: somebody goes on with the socket when we do not. */
void hush_never(int fd);

#endif
