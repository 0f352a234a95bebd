/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the transaction from one configuration to the next, with real
 * sockets on loopback and roles that answer as their test wants: all of it
 * happens, or nothing does, and nothing stays open.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "ipc/chan.h"
#include "ipc/msg.h"
#include "proto/proto.h"
#include "supervisor/apply.h"
#include "tests/support/events.h"

#define SERVICES_MAX 8
#define LISTENS_MAX  4
#define PATIENCE \
	UINT64_C(20000000) /* us without any event before a test fails */

/* ---- roles that only listen ------------------------------------------------------------ */

static struct {
	uint64_t announced;
	struct batch *workers, *launcher, *dismissed;
	const char *missing; /* who has not answered yet */
	unsigned started, killed;
} told;

void
roles_announce(struct roles *roles, uint64_t generation,
    const struct roles_batches *batches)
{
	(void)roles;
	batch_unref(told.workers);
	batch_unref(told.launcher);
	batch_unref(told.dismissed);
	told.workers = batch_ref(batches->workers);
	told.launcher = batch_ref(batches->launcher);
	told.dismissed = batch_ref(batches->dismissed);
	told.announced = generation;
	told.missing = "worker 0";
}

void
roles_start(struct roles *roles)
{
	(void)roles;
	told.started++;
}

const char *
roles_missing(const struct roles *roles)
{
	(void)roles;
	return told.missing;
}

void
roles_kill_missing(struct roles *roles)
{
	(void)roles;
	told.killed++;
}

/* ---- the rig --------------------------------------------------------------------------- */

struct option_struct {
	const char *root, *file, *other;
};

static const struct cab_opt rows[] = {
	{ .name = "other",
	    .type = CAB_T_PATH,
	    .flags = CAB_F_DIR,
	    .offset = offsetof(struct option_struct, other) },
	{ .name = "root",
	    .type = CAB_T_PATH,
	    .flags = CAB_F_DIR | CAB_F_OPEN,
	    .offset = offsetof(struct option_struct, root) },
	{ .name = "file",
	    .type = CAB_T_PATH,
	    .flags = CAB_F_FILE | CAB_F_OPEN,
	    .offset = offsetof(struct option_struct, file) },
};
static const struct cab_group group = { .name = "opts",
	.opts = rows,
	.n_opts = CAB_N(rows),
	.size = sizeof(struct option_struct) };
static const struct cab_desc with_options = { .name = "opts",
	.transports = CAB_STREAM | CAB_DGRAM,
	.options = &group };
static const struct cab_desc plain = { .name = "plain",
	.transports = CAB_STREAM | CAB_DGRAM };

static char directory[] = "/tmp/cab-apply-XXXXXX";
static sd_event *event;
static struct passed passed;
static struct apply *apply;
static unsigned dones, fds_before;
static struct apply_result result;
static char findings[2048];

static unsigned
open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
on_done(void *arg, const struct apply_result *r)
{
	size_t n = 0;

	(void)arg;
	dones++;
	result = *r;
	findings[0] = '\0';
	for (size_t i = 0; i < r->findings->n; i++)
		n += (size_t)snprintf(findings + n, sizeof(findings) - n,
		    "%s:%d: %s\n",
		    r->findings->findings[i].file != NULL ?
			r->findings->findings[i].file :
			"-",
		    r->findings->findings[i].line, r->findings->findings[i].text);
}

/* A configuration in an arena, as conf_decode makes them; grows while it is being written. */
struct draft {
	struct cab_conf *conf;
	struct cab_service *services;
	struct cab_listen *listens;
};

static struct draft
new_draft(void)
{
	struct cab_arena *arena = arena_new();
	struct draft d;

	assert_non_null(arena);
	d.conf = arena_alloc(arena, sizeof(*d.conf));
	d.services = arena_alloc(arena, SERVICES_MAX * sizeof(*d.services));
	d.listens = arena_alloc(
	    arena, SERVICES_MAX * LISTENS_MAX * sizeof(*d.listens));
	d.conf->arena = arena;
	d.conf->services = d.services;
	d.conf->path = "/etc/test.conf";
	return d;
}

static struct cab_service *
add_service(struct draft *d, const char *name)
{
	struct cab_service *service = &d->services[d->conf->n_services];

	assert_true(d->conf->n_services < SERVICES_MAX);
	*service = (struct cab_service){ .name = name,
		.enabled = true,
		.protocol = "plain",
		.desc = &plain,
		.socket = { .backlog = 10, .mode = 0600 },
		.file = "/etc/test.conf",
		.line = (int)d->conf->n_services + 10,
		.listens = {
		    .v = &d->listens[d->conf->n_services * LISTENS_MAX] } };
	d->conf->n_services++;
	return service;
}

static struct cab_listen *
add_listen(struct draft *d, enum cab_listen_kind kind, const char *text)
{
	struct cab_service *service = &d->services[d->conf->n_services - 1];
	size_t k = service->listens.n++;
	struct cab_listen *listen =
	    &d->listens[(d->conf->n_services - 1) * LISTENS_MAX + k];

	assert_true(k < LISTENS_MAX);
	*listen = (struct cab_listen){ .kind = kind,
		.text = text,
		.file = "/etc/test.conf",
		.line = service->line };
	return listen;
}

static void
add_tcp(struct draft *d, const char *ip, uint16_t port)
{
	struct cab_listen *listen = add_listen(d, CAB_TCP, "tcp://test");

	assert_int_equal(sockaddr_parse_ip((struct cab_slice){ ip, strlen(ip) },
			     port, &listen->addr),
	    0);
}

static void
add_unix(struct draft *d, const char *path)
{
	struct cab_listen *listen = add_listen(d, CAB_UNIX, path);

	listen->addr.un.sun_family = AF_UNIX;
	memcpy(listen->addr.un.sun_path, path, strlen(path) + 1);
	listen->addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(path) + 1);
}

static void
begin(struct draft *d)
{
	int fd = fd_sealed_memfd("test", "snapshot", 8);

	assert_true(fd >= 0);
	apply_begin(apply, d->conf, fd, 8);
}

static void
answer(void)
{
	told.missing = NULL;
	apply_ready(apply);
}

static void
must_apply(struct draft *d)
{
	unsigned before = dones;

	begin(d);
	assert_true(apply_busy(apply));
	answer();
	assert_false(apply_busy(apply));
	assert_int_equal(dones, before + 1);
	if (result.error != 0)
		fail_msg("%s", findings);
	assert_ptr_equal(apply_current(apply), d->conf);
}

/* The messages of a batch; the caller closes the listeners' descriptors. */
struct seen {
	unsigned n, listeners, resources;
	struct msg_listener listener[8];
	struct msg_resource resource[4];
	int fds[8], resource_fds[4];
	uint64_t generation;
};

static void
look(struct batch *batch, struct seen *seen)
{
	static struct chan_msg msg;
	struct msg_commit commit;
	struct outbox outbox;
	int chan[2];

	memset(seen, 0, sizeof(*seen));
	outbox_init(&outbox);
	assert_int_equal(chan_pair(chan, 1), 0);
	assert_int_equal(outbox_put(&outbox, batch, false), 0);
	assert_int_equal(outbox_flush(&outbox, chan[0]), 0);
	while (chan_recv(chan[1], &msg) == 1) {
		assert_true(msg_valid(&msg));
		assert_int_equal(msg.type == MSG_CONFIG, seen->n == 0);
		seen->n++;
		if (msg.type == MSG_LISTENER) {
			memcpy(&seen->listener[seen->listeners], msg.body, msg.n);
			seen->fds[seen->listeners++] = chan_take_fd(&msg, 0);
		} else if (msg.type == MSG_RESOURCE) {
			memcpy(&seen->resource[seen->resources], msg.body, msg.n);
			seen->resource_fds[seen->resources++] = chan_take_fd(
			    &msg, 0);
		} else if (msg.type == MSG_COMMIT || msg.type == MSG_DISMISS) {
			memcpy(&commit, msg.body, sizeof(commit));
			seen->generation = commit.generation;
		}
		chan_msg_release(&msg);
	}
	fd_close(chan[0]);
	fd_close(chan[1]);
}

static void
look_away(struct seen *seen)
{
	for (unsigned i = 0; i < seen->listeners; i++)
		fd_close(seen->fds[i]);
	for (unsigned i = 0; i < seen->resources; i++)
		fd_close(seen->resource_fds[i]);
}

/* The port that the n-th listener of the workers has, and that someone answers there. */
static uint16_t
port_of(unsigned n)
{
	struct cab_sockaddr addr = { .len = sizeof(addr.ss) };
	struct seen seen;

	look(told.workers, &seen);
	assert_true(n < seen.listeners);
	assert_int_equal(getsockname(seen.fds[n], &addr.sa, &addr.len), 0);
	look_away(&seen);
	return sockaddr_port(&addr);
}

static bool
answers(uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;

	fd_close(fd);
	return yes;
}

/* Neither taken nor refused. */
static bool
is_deaf(uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd poll_ = { .fd = fd, .events = POLLOUT };
	bool yes;

	(void)connect(fd, (struct sockaddr *)&in, sizeof(in));
	yes = poll(&poll_, 1, 200) == 0;
	fd_close(fd);
	return yes;
}

static int
set_up(void **state)
{
	const struct apply_setup setup = { .passed = &passed, .done = on_done };
	struct apply_setup with_event = setup;

	(void)state;
	memset(&told, 0, sizeof(told));
	dones = 0;
	log_set_level(CAB_LOG_ERR - 1);
	fds_before = open_descriptors();
	if (sd_event_new(&event) < 0)
		return -1;
	with_event.event = event;
	with_event.answer_within = 20000;
	return apply_new(&apply, &with_event);
}

static int
tear_down(void **state)
{
	(void)state;
	apply_free(apply);
	batch_unref(told.workers);
	batch_unref(told.launcher);
	batch_unref(told.dismissed);
	passed_release(&passed);
	event = sd_event_unref(event);
	return open_descriptors() != fds_before;
}

/* ---- tests ------------------------------------------------------------------------------- */

static void
test_first(void **state)
{
	struct draft d = new_draft();
	struct seen seen;

	(void)state;
	assert_null(apply_current(apply));
	add_service(&d, "one");
	add_tcp(&d, "127.0.0.1", 0);
	add_service(&d, "two");
	add_tcp(&d, "127.0.0.1", 0);
	add_tcp(&d, "127.0.0.1", 0);
	must_apply(&d);
	assert_int_equal(told.started, 1);
	assert_int_equal(result.services, 2);
	assert_int_equal(result.listeners, 3);
	assert_int_equal(result.added, 2);
	look(told.workers, &seen);
	assert_int_equal(seen.generation, told.announced);
	assert_int_equal(seen.n, 5);
	assert_int_equal(seen.listener[2].service, 1);
	assert_int_equal(seen.listener[2].listen, 1);
	assert_int_equal(seen.listener[1].slot, seen.listener[2].slot);
	assert_int_not_equal(seen.listener[0].slot, seen.listener[1].slot);
	look_away(&seen);
	look(told.launcher, &seen);
	assert_int_equal(seen.listeners, 0);
	/* Those that serve no more hear what is in use, and get no socket. */
	look(told.dismissed, &seen);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.listeners, 0);
	assert_int_equal(seen.generation, told.announced);
	assert_true(answers(port_of(0)) && answers(port_of(2)));
}

static void
test_change_keeps_what_stays(void **state)
{
	struct draft a = new_draft(), b = new_draft();
	uint16_t kept, dropped;

	(void)state;
	add_service(&a, "keep");
	add_tcp(&a, "127.0.0.1", 0);
	add_service(&a, "drop");
	add_tcp(&a, "127.0.0.1", 0);
	must_apply(&a);
	kept = port_of(0);
	dropped = port_of(1);
	add_service(&b, "new");
	add_tcp(&b, "127.0.0.1", 0);
	add_service(&b, "keep")->limits.connections = 5;
	add_tcp(&b, "127.0.0.1", 0);
	begin(&b);
	/* Until all roles answer, the old ones are open, but nobody new gets in. */
	apply_ready(apply);
	assert_true(apply_busy(apply));
	assert_true(is_deaf(dropped));
	assert_true(answers(kept));
	assert_ptr_equal(apply_current(apply), a.conf);
	answer();
	assert_int_equal(result.error, 0);
	assert_int_equal(result.added, 1);
	assert_int_equal(result.changed, 1);
	assert_int_equal(result.dropped, 1);
	assert_int_equal(result.kept, 0);
	assert_int_equal(port_of(1), kept);
	assert_true(answers(kept) && answers(port_of(0)));
	assert_false(answers(dropped));
	assert_int_equal(told.announced, 2);
}

static void
test_every_socket_that_fails_is_told(void **state)
{
	struct draft a = new_draft(), b = new_draft();
	uint16_t port;

	(void)state;
	add_service(&a, "old");
	add_tcp(&a, "127.0.0.1", 0);
	must_apply(&a);
	port = port_of(0);
	add_service(&b, "fine");
	add_tcp(&b, "127.0.0.1", 0);
	add_service(&b, "far");
	add_tcp(&b, "198.51.100.9", 0);
	add_tcp(&b, "198.51.100.10", 0);
	add_service(&b, "nowhere");
	add_unix(&b, "/tmp/cab-no-such-directory/sock");
	begin(&b);
	assert_false(apply_busy(apply));
	assert_int_equal(dones, 2);
	assert_int_equal(result.error, -EADDRNOTAVAIL);
	assert_non_null(strstr(findings, "/etc/test.conf:11: service \"far\""));
	assert_non_null(
	    strstr(findings, "/etc/test.conf:12: service \"nowhere\""));
	assert_non_null(strstr(strstr(findings, "far") + 3, "\"far\""));
	assert_null(strstr(findings, "fine"));
	/* Nobody was told and the old state is whole. */
	assert_int_equal(told.announced, 1);
	assert_ptr_equal(apply_current(apply), a.conf);
	assert_true(answers(port));
	assert_int_equal(result.services, 1);
}

static void
test_a_role_that_refuses(void **state)
{
	struct draft a = new_draft(), b = new_draft();
	char path[64];
	struct seen seen;
	struct stat st;
	uint16_t port;

	(void)state;
	snprintf(path, sizeof(path), "%s/new", directory);
	add_service(&a, "old");
	add_tcp(&a, "127.0.0.1", 0);
	must_apply(&a);
	port = port_of(0);
	add_service(&b, "new");
	add_unix(&b, path);
	begin(&b);
	assert_int_equal(stat(path, &st), 0);
	assert_true(is_deaf(port));
	/* About another generation: not ours. */
	apply_failed(apply, "worker 1", 1, "late");
	assert_true(apply_busy(apply));
	apply_failed(apply, "worker 1", 2, "no memory");
	assert_false(apply_busy(apply));
	assert_int_equal(result.error, -ECANCELED);
	assert_non_null(strstr(findings, "worker 1: no memory"));
	assert_int_equal(stat(path, &st), -1);
	/* The roles that had switched are told to go back, under a new number. */
	assert_int_equal(told.announced, 3);
	look(told.workers, &seen);
	assert_int_equal(seen.generation, 3);
	assert_int_equal(seen.listeners, 1);
	look_away(&seen);
	assert_int_equal(port_of(0), port);
	assert_true(answers(port));
	answer();
	assert_int_equal(dones, 2);
	assert_ptr_equal(apply_current(apply), a.conf);
}

static void
test_a_role_that_dies(void **state)
{
	struct draft a = new_draft();

	(void)state;
	add_service(&a, "one");
	add_tcp(&a, "127.0.0.1", 0);
	begin(&a);
	/* Once may be bad luck. */
	apply_died(apply, "worker 0", 1);
	apply_died(apply, "worker 0", 2);
	assert_true(apply_busy(apply));
	apply_died(apply, "worker 0", 3);
	assert_false(apply_busy(apply));
	assert_int_equal(result.error, -ECHILD);
	assert_non_null(strstr(findings, "worker 0 died 3 times"));
	assert_null(apply_current(apply));
	apply_died(apply, "worker 0", 4);
	assert_int_equal(dones, 1);
}

/* It is replaced once; only when its successor hangs as well is that the end. */
static void
test_a_role_that_hangs(void **state)
{
	struct draft a = new_draft(), b = new_draft();

	(void)state;
	add_service(&a, "one");
	add_tcp(&a, "127.0.0.1", 0);
	begin(&a);
	while (told.killed == 0)
		assert_true(events_run(event, PATIENCE) > 0);
	assert_true(apply_busy(apply));
	answer();
	assert_int_equal(result.error, 0);
	add_service(&b, "two");
	add_tcp(&b, "127.0.0.1", 0);
	begin(&b);
	while (dones == 1)
		assert_true(events_run(event, PATIENCE) > 0);
	assert_int_equal(told.killed, 3);
	assert_int_equal(result.error, -ETIMEDOUT);
	assert_non_null(strstr(findings, "worker 0 does not answer"));
	assert_ptr_equal(apply_current(apply), a.conf);
	assert_int_equal(told.announced, 3);
}

static void
test_kept_sockets_get_new_options_and_back(void **state)
{
	struct draft a = new_draft(), b = new_draft(), c = new_draft();
	char path[64];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/mode", directory);
	add_service(&a, "one");
	add_unix(&a, path);
	must_apply(&a);
	add_service(&b, "one")->socket.mode = 0666;
	add_unix(&b, path);
	begin(&b);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	apply_failed(apply, "launcher", 2, "no");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	add_service(&c, "one")->socket.mode = 0660;
	add_unix(&c, path);
	must_apply(&c);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(result.changed, 1);
	apply_close(apply);
	assert_int_equal(stat(path, &st), -1);
}

static void
test_from_all_addresses_to_one(void **state)
{
	struct draft a = new_draft(), b = new_draft(), c = new_draft();
	uint16_t port;

	(void)state;
	add_service(&a, "one");
	add_tcp(&a, "0.0.0.0", 0);
	must_apply(&a);
	port = port_of(0);
	/* Over a state that names the port, as a file would. */
	add_service(&b, "one");
	add_tcp(&b, "127.0.0.1", port);
	must_apply(&b);
	assert_int_equal(port_of(0), port);
	assert_true(answers(port));
	add_service(&c, "one");
	add_tcp(&c, "0.0.0.0", port);
	must_apply(&c);
	assert_true(answers(port));
}

/* Another daemon's claim would be an error, and so is ours on a socket that stays. */
static void
test_no_room_beside_what_stays(void **state)
{
	struct draft a = new_draft(), b = new_draft(), c = new_draft();
	uint16_t port;

	(void)state;
	add_service(&a, "one");
	add_tcp(&a, "0.0.0.0", 0);
	must_apply(&a);
	port = port_of(0);
	add_service(&b, "one");
	add_tcp(&b, "0.0.0.0", port);
	must_apply(&b);
	add_service(&c, "one");
	add_tcp(&c, "0.0.0.0", port);
	add_service(&c, "two");
	add_tcp(&c, "127.0.0.1", port);
	begin(&c);
	assert_int_equal(result.error, -EADDRINUSE);
	assert_true(answers(port));
}

/* Somebody has tidied /run: reading the configuration again mends that. */
static void
test_a_file_that_was_removed(void **state)
{
	struct draft a = new_draft(), b = new_draft();
	char path[64];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/lost", directory);
	add_service(&a, "one");
	add_unix(&a, path);
	must_apply(&a);
	assert_int_equal(unlink(path), 0);
	add_service(&b, "one");
	add_unix(&b, path);
	must_apply(&b);
	assert_int_equal(result.kept, 1);
	assert_int_equal(stat(path, &st), 0);
	apply_close(apply);
	assert_int_equal(stat(path, &st), -1);
}

static void
test_resources(void **state)
{
	struct draft a = new_draft(), b = new_draft();
	struct option_struct options = {
		.root = directory, .file = "/dev/null", .other = "/no/such"
	};
	struct option_struct missing = { .root = "/no/such/directory" };
	struct cab_service *service = add_service(&a, "one");
	struct seen seen;
	struct stat st, want;

	(void)state;
	service->desc = &with_options;
	service->options = &options;
	must_apply(&a);
	look(told.workers, &seen);
	assert_int_equal(seen.resources, 2);
	assert_string_equal(seen.resource[0].option, "root");
	assert_string_equal(seen.resource[1].option, "file");
	assert_int_equal(seen.resource[0].service, 0);
	assert_int_equal(fstat(seen.resource_fds[0], &st), 0);
	assert_int_equal(stat(directory, &want), 0);
	assert_true(st.st_ino == want.st_ino);
	assert_true(fcntl(seen.resource_fds[0], F_GETFL) & O_PATH);
	look_away(&seen);
	look(told.launcher, &seen);
	assert_int_equal(seen.resources, 0);
	service = add_service(&b, "one");
	service->desc = &with_options;
	service->options = &missing;
	begin(&b);
	assert_int_equal(result.error, -ENOENT);
	assert_non_null(strstr(findings, "/no/such/directory"));
	assert_non_null(strstr(findings, "root"));
}

/* A document root that a worker is to get must be a row of the protocol's own group. */
static void
test_no_resource_hides_in_a_nested_group(void **state)
{
	(void)state;
	for (size_t i = 0; cab_descs[i] != NULL; i++) {
		const struct cab_group *top = cab_descs[i]->options;

		for (size_t k = 0; top != NULL && k < top->n_opts; k++) {
			const struct cab_group *sub = top->opts[k].sub;

			assert_true(strlen(top->opts[k].name) <
			    sizeof(((struct msg_resource *)0)->option));
			for (size_t m = 0; sub != NULL && m < sub->n_opts; m++)
				assert_false(sub->opts[m].flags & CAB_F_OPEN);
		}
	}
}

static void
test_programs(void **state)
{
	struct draft d = new_draft();
	struct cab_exec nowait = { .program = "/bin/cat" },
			wait = { .program = "/bin/cat", .wait = true };
	struct cab_service *service;
	struct seen seen;

	(void)state;
	add_service(&d, "builtin");
	add_tcp(&d, "127.0.0.1", 0);
	service = add_service(&d, "nowait");
	service->desc = NULL;
	service->exec = &nowait;
	add_tcp(&d, "127.0.0.1", 0);
	service = add_service(&d, "wait");
	service->desc = NULL;
	service->exec = &wait;
	add_tcp(&d, "127.0.0.1", 0);
	must_apply(&d);
	look(told.workers, &seen);
	assert_int_equal(seen.listeners, 2);
	assert_int_equal(seen.listener[0].service, 0);
	assert_int_equal(seen.listener[1].service, 1);
	look_away(&seen);
	look(told.launcher, &seen);
	assert_int_equal(seen.listeners, 2);
	assert_int_equal(seen.listener[0].service, 1);
	assert_int_equal(seen.listener[1].service, 2);
	look_away(&seen);
}

static void
test_no_ipv6_is_no_error_for_the_star(void **state)
{
	struct draft d = new_draft();

	(void)state;
	add_service(&d, "one");
	add_tcp(&d, "127.0.0.1", 0);
	add_tcp(&d, "198.51.100.9", 0);
	/* As the IPv6 half of "*" where there is no IPv6. */
	d.listens[1].optional = true;
	must_apply(&d);
	assert_int_equal(result.listeners, 1);
}

static void
pass(const char *name, const char *ip, uint16_t *ret_port)
{
	struct cab_listen any = { 0 };
	int fd;

	assert_int_equal(sockaddr_parse_ip((struct cab_slice){ ip, strlen(ip) },
			     0, &any.addr),
	    0);
	fd = socket(any.addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, &any.addr.sa, any.addr.len), 0);
	assert_int_equal(listen(fd, 4), 0);
	passed.v = realloc(passed.v, (passed.n + 1) * sizeof(*passed.v));
	passed.v[passed.n] = (struct passed_socket){ .name = strdup(name) };
	assert_int_equal(passed_classify(fd, &passed.v[passed.n]), 0);
	*ret_port = sockaddr_port(&passed.v[passed.n++].addr);
}

static void
test_passed_sockets(void **state)
{
	struct draft a = new_draft(), b = new_draft();
	uint16_t named[2], port;

	(void)state;
	pass("web", "127.0.0.1", &named[0]);
	pass("web", "127.0.0.1", &named[1]);
	pass("other", "127.0.0.1", &port);
	add_service(&a, "by-name");
	add_listen(&a, CAB_SYSTEMD, "systemd://web")->name = "web";
	add_service(&a, "by-address");
	add_tcp(&a, "127.0.0.1", port);
	must_apply(&a);
	assert_int_equal(result.listeners, 3);
	assert_int_equal(port_of(0), named[0]);
	assert_int_equal(port_of(1), named[1]);
	assert_int_equal(port_of(2), port);
	/* They stay through a reload although nobody passes them again. */
	add_service(&b, "by-name");
	add_listen(&b, CAB_SYSTEMD, "systemd://web")->name = "web";
	must_apply(&b);
	assert_int_equal(result.listeners, 2);
	assert_int_equal(port_of(1), named[1]);
}

static void
test_passed_socket_that_is_missing(void **state)
{
	struct draft a = new_draft();
	uint16_t port;

	(void)state;
	pass("mail", "127.0.0.1", &port);
	add_service(&a, "web");
	add_listen(&a, CAB_SYSTEMD, "systemd://web")->name = "web";
	begin(&a);
	assert_int_equal(result.error, -ENOENT);
	assert_non_null(strstr(findings, "FileDescriptorName=web"));
	assert_non_null(strstr(findings, "passed at the start: mail"));
}

static void
test_one_passed_socket_for_both_families(void **state)
{
	struct draft a = new_draft();
	uint16_t port;
	int fd;

	(void)state;
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fd_close(fd);
	if (fd < 0)
		skip();
	/* ListenStream=PORT is one socket; tcp and a star are two listeners. */
	pass("web", "::", &port);
	add_service(&a, "web");
	add_tcp(&a, "0.0.0.0", port);
	add_tcp(&a, "::", port);
	must_apply(&a);
	assert_int_equal(result.listeners, 1);
	assert_true(answers(port));
}

static void
test_close_in_the_middle(void **state)
{
	struct draft a = new_draft(), b = new_draft();
	uint16_t port;

	(void)state;
	add_service(&a, "one");
	add_tcp(&a, "127.0.0.1", 0);
	must_apply(&a);
	port = port_of(0);
	add_service(&b, "two");
	add_tcp(&b, "127.0.0.1", 0);
	begin(&b);
	apply_close(apply);
	assert_false(apply_busy(apply));
	assert_null(apply_current(apply));
	/* What the roles still hold is theirs to close. */
	batch_unref(told.workers);
	batch_unref(told.launcher);
	batch_unref(told.dismissed);
	told.workers = told.launcher = told.dismissed = NULL;
	assert_false(answers(port));
	answer();
	apply_died(apply, "worker 0", 9);
	apply_failed(apply, "worker 0", 2, "late");
	assert_int_equal(dones, 1);
}

static int
set_up_group(void **state)
{
	return mkdtemp(directory) == NULL || events_load(state) != 0;
}

static int
tear_down_group(void **state)
{
	(void)state;
	return rmdir(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first),
		TEST(test_change_keeps_what_stays),
		TEST(test_every_socket_that_fails_is_told),
		TEST(test_a_role_that_refuses),
		TEST(test_a_role_that_dies),
		TEST(test_a_role_that_hangs),
		TEST(test_kept_sockets_get_new_options_and_back),
		TEST(test_from_all_addresses_to_one),
		TEST(test_no_room_beside_what_stays),
		TEST(test_a_file_that_was_removed),
		TEST(test_resources),
		TEST(test_no_resource_hides_in_a_nested_group),
		TEST(test_programs),
		TEST(test_no_ipv6_is_no_error_for_the_star),
		TEST(test_passed_sockets),
		TEST(test_passed_socket_that_is_missing),
		TEST(test_one_passed_socket_for_both_families),
		TEST(test_close_in_the_middle),
	};

	return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
