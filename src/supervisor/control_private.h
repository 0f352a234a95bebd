/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the control server share.  Private to supervisor/control*.
 */
#ifndef CAB_SUPERVISOR_CONTROL_PRIVATE_H
#define CAB_SUPERVISOR_CONTROL_PRIVATE_H

#include "ipc/ctl.h"
#include "supervisor/control.h"
#include "supervisor/control_socket.h"

/* What a client waits for. */
enum control_wait {
	WAIT_NOTHING,
	WAIT_READING, /* a reading of the configuration that begins from now on */
	WAIT_RELOAD,  /* the end of the one under way */
	WAIT_TURN,    /* that no transaction is under way, to begin its own */
	WAIT_SWITCH,  /* the end of its own */
	WAIT_KILL     /* the end of a connection */
};

struct tally;

struct client {
	struct control *control;
	struct client *next;
	int fd;
	sd_event_source *io, *timer;
	struct control_peer peer;
	uint64_t since_us;
	struct cab_buf in, out;
	struct ctl_writer reply;
	struct ctl_request request;
	bool asked; /* the request has been read */
	bool done;  /* the reply is complete */
	enum control_wait wait;
	uint64_t conn_id;  /* WAIT_KILL, as are these */
	uint64_t until_us;
	uint64_t asked_us; /* when the role was told last */
	uint32_t asked_slot;
	/* Adds a bounded piece to the reply: true when that was the last. */
	bool (*produce)(struct client *client);
	uint32_t slot, at, service; /* where produce goes on */
	struct tally *tally;
};

struct control {
	struct control_setup setup;
	const struct apply *apply;
	struct control_socket current, next;
	bool stays;       /* the current socket does for what is being applied */
	uint32_t old_gid; /* which it had before */
	sd_event_source *io;
	struct client *clients; /* the oldest first */
	unsigned n_clients;
	struct cab_diag findings; /* of the reload or switching under way */
	struct apply_result changes;
	struct apply_dropped *gone; /* copies */
	uint64_t applied_us;        /* when anything was last applied, 0: never */
	uint64_t reload_ms;         /* wall clock of the last one, 0: none */
	bool reload_failed, stopping;
	uint64_t started_us;
};

struct control_verb {
	const char *name;
	/* Answers, or sets what the client waits for. */
	void (*run)(struct client *client);
};

/* control.c */
uint64_t control_now_us(void);
void client_refuse(struct client *client, enum ctl_exit code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void client_end(struct client *client); /* the reply is complete */
void client_alarm(struct client *client, uint64_t in_us);

/* The service that a word names; else refuses, with the nearest name, and returns false. */
bool client_service(
    struct client *client, const char *name, struct apply_service *ret);

/* control_verbs.c */
void control_run(struct client *client);
void control_kill_step(struct client *client);
void control_turn(struct client *client);
void control_report(struct client *client, int error);

/* control_show.c */
void control_status(struct client *client);
void control_services(struct client *client);
void control_connections(struct client *client);
void control_metrics(struct client *client);
void control_top(struct client *client);
void tally_free(struct tally *tally);

/* control_explain.c */
void control_explain(struct client *client);

#endif
