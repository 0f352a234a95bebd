/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The launcher as a process of its own, with the test in the place of the
 * supervisor and of worker 0.  Programs are real; sockets are pairs.
 */
#ifndef CAB_TESTS_LAUNCH_H
#define CAB_TESTS_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "conf/model.h"
#include "ipc/msg.h"
#include "stats/board.h"

/* A configuration of program services, filled in by hand. */
#define LAUNCH_SERVICES 4
struct launch_conf {
	struct cab_conf conf;
	struct cab_service services[LAUNCH_SERVICES];
	struct cab_exec execs[LAUNCH_SERVICES];
	const char *args[LAUNCH_SERVICES][8];
	size_t n;
};

/* Adds the service NAME that runs program with the arguments up to NULL; its exec options. */
struct cab_exec *launch_service(struct launch_conf *conf, const char *name,
    const char *program, ...) __attribute__((sentinel));

/* The service whose exec options are `sh -c script`. */
struct cab_exec *
launch_script(struct launch_conf *conf, const char *name, const char *script);

struct launch {
	pid_t pid;
	int chan, link, wake, board_fd;
	struct board *board;
	struct ticket_pool tickets;
	FILE *log; /* the launcher's stderr */
	uint64_t conn_id;
	uint32_t ticket; /* of the last launch_run */
};

/* Starts it and says HELLO, WAKE and LINK for worker 0. */
void launch_start(struct launch *launch);

/* Sends a new link for worker 0. */
void launch_link(struct launch *launch);

/* One message to the launcher; fd -1: none. */
void launch_send(
    struct launch *launch, uint32_t type, const void *body, size_t n, int fd);

/* CONFIG; COMMIT and the wait for READY are launch_commit. */
void launch_config(
    struct launch *launch, struct launch_conf *conf, uint64_t generation);
void launch_commit(struct launch *launch, uint64_t generation);

/* Both, for generation 1. */
void launch_use(struct launch *launch, struct launch_conf *conf);

/* The type of the next answer; its text, if any, in text. */
uint32_t launch_answer(struct launch *launch, char *text, size_t cap);

/* An admitted connection of a service (its index is its scoreboard slot too): our end of the socket. */
int launch_run(struct launch *launch, uint64_t generation, uint32_t service);

/* The same with everything chosen by the caller; fd stays the caller's. */
void launch_run_msg(struct launch *launch, const struct msg_run *run, int fd);

/* A ticket for a place of this service slot, as worker 0 takes it, for a connection numbered launch->conn_id. */
uint32_t launch_ticket(struct launch *launch, uint32_t slot);

/* Reads to the end; the text, cut and terminated. */
size_t launch_read(int fd, char *text, size_t cap);

/* Waits until the log holds a line with both words (second may be NULL);
 * returns it, until the next call. */
const char *
launch_log(struct launch *launch, const char *word, const char *second);
bool launch_logged(struct launch *launch, const char *word);

/* Waits for something to become true; the test fails when it does not. */
void launch_until(
    bool (*is_so)(struct launch *, void *), struct launch *launch, void *arg);
bool launch_idle(
    struct launch *launch, void *arg); /* no program runs, no place is taken */

/* Its exit status as waitpid gives it, after it ended by itself or by launch_stop. */
int launch_wait(struct launch *launch);

/* STOP now, and everything closed; does nothing to one that has been waited for. */
void launch_stop(struct launch *launch);

#endif
