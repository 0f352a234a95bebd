/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vocabulary of the configuration: one row per option says its name, type,
 * place in a C struct, range, default and help.  Reading, defaults, checking,
 * --print-config, the snapshot that travels between roles, the man page lint
 * and the fuzz dictionary all follow from the rows.  Data only; every process.
 */
#ifndef CAB_CONF_SCHEMA_H
#define CAB_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"

/* ---- values that options hold -------------------------------------- */

struct cab_rate {
	uint32_t count, period_ms; /* count 0: no limit */
};

struct cab_strings {
	const char *const *v;
	size_t n;
};

struct cab_prefixes {
	const struct cab_prefix *v;
	size_t n;
	bool set; /* the option was given; an empty list given is an error, so set means n > 0 */
};

struct cab_account {
	const char *name; /* NULL: not given */
	uint32_t id, gid; /* uid and primary gid of a user; id == gid for a group */
};

struct cab_ids {
	const uint32_t *v;
	size_t n;
};

struct cab_groups { /* a list of groups, e.g. services, routes */
	const void *v;  /* n structs of sub->size bytes */
	size_t n;
};

enum cab_listen_kind { CAB_TCP, CAB_UDP, CAB_UNIX, CAB_UNIXGRAM, CAB_VSOCK, CAB_SYSTEMD };

/* One socket to listen on; "*" and bare ports have become two of these. */
struct cab_listen {
	enum cab_listen_kind kind;
	const char *text;         /* canonical: "tcp://0.0.0.0:80", "unix:///run/x", "systemd://web" */
	const char *name;         /* CAB_SYSTEMD: the FDNAME */
	struct cab_sockaddr addr; /* len 0 for CAB_SYSTEMD */
	bool optional;            /* the IPv6 half of "*": skipped where the kernel has no IPv6 */
	const char *file;         /* where it was written */
	int line;
};

struct cab_listens {
	const struct cab_listen *v;
	size_t n;
};

/* ---- rows ----------------------------------------------------------- */

enum cab_type {
	CAB_T_BOOL,     /* bool */
	CAB_T_INT,      /* int64_t */
	CAB_T_SIZE,     /* int64_t, bytes */
	CAB_T_TIME,     /* int64_t, milliseconds */
	CAB_T_RATE,     /* struct cab_rate */
	CAB_T_OCTAL,    /* int64_t, from a string such as "0660" */
	CAB_T_STRING,   /* const char *, NULL when not given and without default */
	CAB_T_ENUM,     /* int: index into words */
	CAB_T_PATH,     /* const char *, absolute */
	CAB_T_USER,     /* struct cab_account, looked up when the configuration is checked */
	CAB_T_GROUP,    /* struct cab_account */
	CAB_T_STRINGS,  /* struct cab_strings; one string or a list of strings */
	CAB_T_ENV,      /* struct cab_strings of NAME=VALUE; a list of such strings or a group { NAME = "VALUE"; } */
	CAB_T_PREFIXES, /* struct cab_prefixes; one string or a list */
	CAB_T_LISTENS,  /* struct cab_listens */
	CAB_T_IDS,      /* struct cab_ids; never written by hand, see CAB_F_COMPUTED */
	CAB_T_SUB,      /* a nested group, inline at the offset */
	CAB_T_SUBOPT,   /* a nested group that may be absent: pointer, NULL if absent */
	CAB_T_SUBS,     /* struct cab_groups: a list of groups */
};

enum cab_flags {
	CAB_F_REQUIRED = 1 << 0, /* must be given */
	CAB_F_COMPUTED = 1 << 1, /* has no text form: set by a check, travels in the snapshot */
	CAB_F_PROGRAM = 1 << 2,  /* PATH: must name an executable regular file */
	CAB_F_DIR = 1 << 3,      /* PATH: must name a directory */
	CAB_F_FILE = 1 << 4,     /* PATH: must name a readable regular file */
	CAB_F_OPEN = 1 << 5,     /* PATH with DIR or FILE: the supervisor opens it and workers get the descriptor */
	CAB_F_NONEMPTY = 1 << 6, /* STRING or STRINGS: "" and () are errors */
	CAB_F_TEXT = 1 << 7,     /* STRING: may hold line breaks; without it control characters are errors */
	CAB_F_UNLIMITED = 1 << 8, /* INT/SIZE/TIME: the word "unlimited" means 0; shown that way */
	CAB_F_UNSET = 1 << 9     /* not given means something that no value means: then shown as not set */
};

struct cab_group {
	const char *name; /* "limits", "http", ... for messages */
	const struct cab_opt *opts;
	size_t n_opts;
	size_t size; /* of the C struct */
	/*
	 * Cross-field rules, NULL if none.  Pure: looks only at the struct, reports
	 * through complain(arg, option name or NULL, printf text), may set COMPUTED fields
	 * from data in the struct.  Called after every option has been read without error.
	 */
	void (*check)(void *options,
		      void (*complain)(void *arg, const char *option, const char *fmt, ...)
			  __attribute__((format(printf, 3, 4))),
		      void *arg);
};

struct cab_opt {
	const char *name;
	enum cab_type type;
	unsigned flags;
	size_t offset;
	int64_t min, max;             /* INT, SIZE, TIME (ms): allowed range when max > min; STRING, STRINGS: max length or count when max > 0 */
	const char *def;              /* default as it would be written in the file (without quotes); NULL: absent, zero or empty */
	const char *const *words;     /* ENUM: NULL-terminated */
	const struct cab_group *sub;  /* SUB, SUBOPT, SUBS */
	const char *help;             /* one line, no full stop */
};

#define CAB_N(rows) (sizeof(rows) / sizeof((rows)[0]))

/* ---- what a built-in protocol tells about itself -------------------- */

enum cab_transport_kind { CAB_STREAM = 1, CAB_DGRAM = 2 };

/* The data half of a protocol: all that the supervisor, the checker and the tools ever use. */
struct cab_desc {
	const char *name;        /* as in protocol = "NAME", and the name of its option group */
	const char *summary;     /* one line */
	unsigned transports;     /* CAB_STREAM | CAB_DGRAM */
	const struct cab_group *options; /* NULL: takes no options */
};


#endif
