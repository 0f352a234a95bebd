/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A checked configuration in memory: immutable once made, one arena, freed as a
 * whole.  The supervisor holds it, workers and launcher decode their own copy
 * from the snapshot.  The rows that describe these structs are in schema.c.
 */
#ifndef CAB_CONF_MODEL_H
#define CAB_CONF_MODEL_H

#include "base/buf.h"
#include "base/diag.h"
#include "conf/schema.h"

enum { CAB_ON_LIMIT_REFUSE, CAB_ON_LIMIT_QUEUE };
enum { CAB_LOG_TO_AUTO, CAB_LOG_TO_JOURNAL, CAB_LOG_TO_STDERR };
enum { CAB_LOG_LEVEL_ERROR, CAB_LOG_LEVEL_WARNING, CAB_LOG_LEVEL_NOTICE, CAB_LOG_LEVEL_INFO, CAB_LOG_LEVEL_DEBUG };
enum { CAB_ERR_TO_JOURNAL, CAB_ERR_TO_NULL }; /* exec.stderr; "journal" means the daemon's log, whatever its target */

struct cab_limits {
	int64_t connections; /* at once, over all workers and programs; 0: no limit */
	int64_t per_source;  /* at once from one IPv4 address, IPv6 /64, uid; 0: no limit */
	struct cab_rate rate, per_source_rate;
	bool per_source_rate_set; /* COMPUTED: given in the file; else datagram listeners use 10/s */
	int on_limit;
};

struct cab_timeouts {
	int64_t first_byte, idle, total; /* ms, 0: none */
	int64_t drain;                   /* ms, for what is left of a changed or dropped service; 0: at once */
};

struct cab_access {
	struct cab_prefixes allow, deny;
};

struct cab_service_log {
	bool connections; /* one record per finished connection */
	int64_t sample;   /* of those that finished well, one in so many */
	struct cab_prefixes quiet_from; /* sources whose connections leave none when they finish well */
	bool anonymise;   /* peers' addresses lose their last part */
};

struct cab_socket_opts {
	int64_t backlog;
	bool nodelay, keepalive, freebind;
	const char *interface;
	int64_t mark;
	int64_t receive_buffer, send_buffer;
	struct cab_account owner, group;
	int64_t mode; /* unix socket file */
};

struct cab_rlimits { /* 0: inherit; otherwise soft and hard limit; cpu in ms, the rest in bytes or pieces */
	int64_t cpu, files, processes, address_space, data, stack, file_size, core, locked;
	bool core_set; /* COMPUTED: core was given, 0 then means none */
};

struct cab_exec {
	const char *program;
	struct cab_strings args; /* without argv[0] */
	struct cab_account user, group;
	struct cab_strings groups; /* supplementary, by name; when not given the user's own */
	struct cab_ids group_ids;  /* COMPUTED: what setgroups(2) gets */
	const char *home;          /* COMPUTED: the user's home directory, NULL if no user */
	const char *chroot, *directory;
	int64_t umask_bits, nice;
	struct cab_rlimits rlimits;
	struct cab_strings env;      /* NAME=VALUE */
	struct cab_strings pass_env; /* names taken from the daemon's own environment */
	bool wait;
	int stderr_to;
	struct cab_strings capabilities; /* names kept for the program; none by default */
	uint64_t capability_bits;        /* COMPUTED */
	bool no_new_privileges;
};

struct cab_service {
	const char *name;
	bool enabled;
	struct cab_listens listens;
	const char *protocol;           /* NULL for a program */
	const struct cab_desc *desc;    /* not a row: found by name after reading and after decoding; NULL for a program */
	void *options;                  /* desc->options->size bytes, NULL if the protocol takes none */
	const struct cab_exec *exec;    /* NULL for a protocol */
	struct cab_limits limits;
	struct cab_timeouts timeouts;
	struct cab_access access;
	struct cab_service_log log;
	struct cab_socket_opts socket;
	const char *file; /* where the entry starts */
	int line;
};

struct cab_log_opts {
	int target, level;
};

struct cab_conf {
	int64_t workers; /* as configured; 0: one per CPU */
	struct cab_account user;
	bool user_fallback; /* COMPUTED: user was not given and the default account is missing: nobody was taken */
	const char *control;
	int64_t control_line; /* COMPUTED: where control was written, 0: it was not */
	struct cab_account admin_group; /* may look through the control socket */
	const char *include;
	int64_t drain;      /* ms: for services that do not say */
	int64_t stop_drain; /* COMPUTED: ms, when the daemon stops */
	struct cab_log_opts log;
	const struct cab_service *services;
	size_t n_services;
	const char *path; /* the main file */
	struct cab_arena *arena;
};

/* Memory that lives and dies as one. */
struct cab_arena;
struct cab_arena *arena_new(void);
void *arena_alloc(struct cab_arena *arena, size_t n); /* zeroed, aligned; NULL on -ENOMEM */
char *arena_strdup(struct cab_arena *arena, const char *s, size_t n);
void arena_free(struct cab_arena *arena);

/* The rows. */
extern const struct cab_group conf_group_top;     /* struct cab_conf, without services and defaults */
extern const struct cab_group conf_group_service; /* struct cab_service, without protocol option groups */

/* Frees the arena and with it everything; accepts NULL. */
void conf_free(struct cab_conf *conf);

/* True when any free port will do, so that the address alone does not tell two apart. */
bool listen_any_port(const struct cab_listen *listen);

/* True when its program takes the listening sockets over (exec.wait). */
bool service_waits(const struct cab_service *service);

const struct cab_service *conf_find(const struct cab_conf *conf, const char *name);

/*
 * True when conf has this service, of another configuration, as it is there.
 * *cursor starts at 0: whoever asks for the services in order has no search to pay for.
 */
bool conf_keeps(const struct cab_conf *conf, const struct cab_service *service, size_t *cursor);

/* ---- reading (config role) ------------------------------------------ */

struct conf_names;

enum cab_probe { CAB_PROBE_PROGRAM, CAB_PROBE_DIR, CAB_PROBE_FILE };

/* How the reader reaches the file system: the config role has no rights of its own. */
struct cab_conf_source {
	/* Opens a regular file read-only: descriptor or -errno; *why may get an explanation ("is a directory"), good until the next call. */
	int (*open)(void *arg, const char *path, const char **why);
	/* Names in a directory that end in ".conf", sorted, each with a NUL, fresh memory: 0 or -errno with *why as above. */
	int (*list)(void *arg, const char *dir, char **ret_names, size_t *ret_n, const char **why);
	/* 0, or -errno saying why the path is not what the option needs. */
	int (*probe)(void *arg, const char *path, enum cab_probe kind);
	void *arg;
	bool privileged; /* the daemon runs as root: users may be switched to */
	const struct conf_names *names; /* accounts, hosts and ports (names.h); NULL: the system's */
};

/*
 * Reads the file and its drop-ins, checks everything, collects every finding.
 * Returns the configuration, or NULL when there was at least one error.  When
 * dump is given, it receives the effective settings with the origin of each.
 */
struct cab_conf *conf_read(const char *path, const struct cab_desc *const descs[], const struct cab_conf_source *source,
			   struct cab_diag *diag, struct cab_buf *dump);

/* One line per option: PATH TAB TYPE TAB DEFAULT TAB HELP; for cabinetd --dump-schema. */
int conf_dump_schema(const struct cab_desc *const descs[], struct cab_buf *out);

/* ---- the snapshot --------------------------------------------------- */

/* Flat bytes; equal services have equal bytes, so a plan compares with memcmp. 0 or -errno. */
int conf_encode(const struct cab_conf *conf, struct cab_buf *out);
int conf_encode_service(const struct cab_service *service, struct cab_buf *out);

/* 1 when the two say the same, 0 when not, or -errno. */
int conf_service_equal(const struct cab_service *a, const struct cab_service *b);

/* The reverse.  The bytes are not trusted: every length, index and enum is checked; -EBADMSG, -ENOMEM. */
int conf_decode(const struct cab_desc *const descs[], const void *bytes, size_t n, struct cab_conf **ret);

/* ---- the config role ------------------------------------------------- */

/*
 * main() of the disposable child: speaks with the supervisor over chan (fd),
 * sandboxes itself, reads, answers, exits.  Never returns.  The exchange is in ipc/msg.h.
 */
void conf_child_main(int chan, const struct cab_desc *const descs[]) __attribute__((noreturn));

#endif
