/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's life: a fixed script at the start, an event loop that waits
 * for signals and for the other roles, a drain at the end.  Owns configuration
 * and listening sockets.  Never reads a byte of the network nor of a
 * configuration file, and handles no signal but through the loop.
 */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/event.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/title.h"
#include "conf/model.h"
#include "stats/board.h"
#include "supervisor/apply.h"
#include "supervisor/confine.h"
#include "supervisor/control.h"
#include "supervisor/heritage.h"
#include "supervisor/libsystemd.h"
#include "supervisor/notify.h"
#include "supervisor/options.h"
#include "supervisor/orphans.h"
#include "supervisor/override.h"
#include "supervisor/passed.h"
#include "supervisor/process.h"
#include "supervisor/reader.h"
#include "supervisor/roles.h"
#include "supervisor/settings.h"

/* A signal sent to us and to our group alike (timeout, sudo) is one signal. */
#define ECHO_MS 100
#define BARRIER_MS 2000 /* that systemd has to read what we put into the store */

struct supervisor {
	const struct cab_desc *const *descs;
	struct options options;
	sd_event *event;
	struct heritage heritage;
	struct board *board; /* the heritage's */
	struct passed passed;
	struct confine confine;
	struct roles *roles;
	struct apply *apply;
	struct reader *reader; /* at work, else NULL */
	sd_event_source *reader_io, *reader_timer;
	struct control *control;
	struct overrides overrides;
	char *turned; /* the service that is being switched by hand, else NULL */
	bool turned_off; /* which way */
	struct notify_watchdog *watchdog;
	uint32_t uid; /* of the workers; UINT32_MAX: ours */
	enum cab_log_target target;
	size_t max_fds;
	size_t services, sockets;
	uint64_t stopping_ms; /* since when */
	uint64_t first_drain_ms; /* until a configuration is in use; roles that we found may serve clients */
	bool served, stopping;
	bool left;   /* the other processes go on, for a supervisor after us */
	bool again;  /* a reload was asked for while one was under way */
	bool broken; /* the configuration could not be read or used the last time */
	bool comparing; /* it is being read for the first time, while roles run */
	int status; /* to exit with */
};

/* ---- what there is to say ---------------------------------------------------------------- */

static void
log_findings(const struct cab_diag *diag)
{
	struct event event;
	char where[32] = "";

	for (size_t i = 0; i < diag->n; i++) {
		const struct cab_finding *f = &diag->findings[i];

		if (f->line > 0)
			snprintf(where, sizeof(where), ":%d", f->line);
		event_begin(&event);
		event_word(&event, FIELD_FILE, f->file);
		if (f->line > 0)
			event_number(&event, FIELD_LINE, (uint64_t)f->line);
		event_said(&event);
		event_log(&event,
		    f->severity == CAB_ERROR ? CAB_LOG_ERR : CAB_LOG_WARNING,
		    EVENT_FINDING, "%s%s%s%s", f->file != NULL ? f->file : "",
		    f->file != NULL && f->line > 0 ? where : "",
		    f->file != NULL ? ": " : "", f->text);
	}
	if (diag->truncated)
		log_error("there are more findings than these %zu", diag->n);
}

static void remark(struct supervisor *self, const struct cab_conf *conf,
    const char *kind, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* About a configuration that is in use: for the log, and for who asked for the reload. */
static void
remark(struct supervisor *self, const struct cab_conf *conf, const char *kind,
    const char *fmt, ...)
{
	struct cab_diag diag = { 0 };
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event(CAB_LOG_WARNING, kind, "%s", text);
	/* Nobody can ask before the first one is in use. */
	if (self->control == NULL)
		return;
	diag_add(&diag, CAB_WARNING, conf->path, 0, "%s", text);
	control_findings(self->control, &diag);
	diag_release(&diag);
}

/* Settings that only a new start can change. */
static void
warn_fixed(struct supervisor *self, const struct cab_conf *conf)
{
	if (self->uid != UINT32_MAX && self->uid != conf->user.id)
		remark(self, conf, EVENT_NEEDS_RESTART,
		    "user: another one now, which the workers become when the "
		    "daemon is started again");
	if (self->target != settings_log_target(conf))
		remark(self, conf, EVENT_NEEDS_RESTART,
		    "log.target: another one now, which takes effect when the "
		    "daemon is started again");
}

static void
warn_misfit(struct supervisor *self, const struct cab_conf *conf)
{
	unsigned workers = settings_workers(conf);
	const struct cab_service *service = settings_misfit(
	    conf, workers, self->max_fds);
	int64_t hog = settings_hog(conf, workers, self->max_fds);
	char many[24];

	if (service != NULL)
		remark(self, conf, EVENT_MISFIT,
		    "service \"%s\": limits.connections is %" PRId64
		    ", more than the workers (%u, with %zu open files each) can "
		    "hold: raise LimitNOFILE= in the unit (ulimit -n) or lower "
		    "the limit",
		    service->name, service->limits.connections, workers,
		    self->max_fds);
	if (hog == 0)
		return;
	snprintf(many, sizeof(many), "%" PRId64, hog);
	remark(self, conf, EVENT_MISFIT,
	    "one client may have %s connections over all services, more than the "
	    "workers (%u, with %zu open files each) can hold, and so keep others "
	    "out: raise LimitNOFILE= in the unit (ulimit -n) or lower "
	    "limits.per_source",
	    hog < INT64_MAX ? many : "any number of", workers, self->max_fds);
}

/* ---- from one configuration to the next ------------------------------------------------- */

static void start_reload(struct supervisor *self);

static void
say_ready(const struct supervisor *self)
{
	unsigned workers = roles_workers(self->roles);

	notify_ready("%sServing %zu service%s on %zu socket%s with %u worker%s",
	    self->broken ? "THE NEW CONFIGURATION CANNOT BE USED. " : "",
	    self->services, self->services == 1 ? "" : "s", self->sockets,
	    self->sockets == 1 ? "" : "s", workers, workers == 1 ? "" : "s");
}

/* No transaction is under way: the next one, if any is wanted. */
static void
go_on(struct supervisor *self)
{
	if (self->stopping)
		return;
	if (self->again)
		start_reload(self);
	else
		control_idle(self->control);
}

static bool
is_busy(const struct supervisor *self)
{
	return !self->served || self->reader != NULL || apply_busy(self->apply);
}

/* The first configuration cannot be used. */
static void
start_failed(struct supervisor *self, int error)
{
	if (heritage_return(&self->heritage)) {
		log_event(CAB_LOG_ERR, EVENT_RELOAD_REFUSED,
		    "the configuration cannot be used: what the supervisor "
		    "before has started goes on as it is");
	} else if (error == -EADDRINUSE) {
		/* Those who have the socket must close it, and so must systemd,
		 * or no start will ever succeed. */
		passed_close_rest(&self->passed);
		roles_retire(self->roles, true);
		atomic_store(&self->board->daemon.left, 1);
	}
	self->status = EXIT_FAILURE;
	(void)sd_event_exit(self->event, 0);
}

/* The first configuration: it serves, or the daemon ends. */
static void
start_done(struct supervisor *self, const struct apply_result *result)
{
	if (result->error < 0) {
		start_failed(self, result->error);
		return;
	}
	passed_close_rest(&self->passed);
	passed_close_others(&self->passed);
	roles_retire(self->roles, false);
	self->served = true;
	log_event(CAB_LOG_NOTICE,
	    self->heritage.whole ? EVENT_TAKEN_OVER : EVENT_STARTED,
	    "cabinetd " PACKAGE_VERSION
	    " serves%s: services %zu, sockets %zu, workers %u",
	    self->heritage.whole ? " on, with a new supervisor" : "",
	    self->services, self->sockets, roles_workers(self->roles));
	if (self->comparing) {
		start_reload(self);
		return;
	}
	say_ready(self);
	go_on(self);
}

/* However it went, systemd and whoever asked may go on. */
static void
reload_done(struct supervisor *self, int error)
{
	if (error < 0)
		log_event(CAB_LOG_ERR, EVENT_RELOAD_REFUSED,
		    "the configuration was not changed: the old one stays in "
		    "force");
	self->broken = error < 0;
	self->comparing = false;
	say_ready(self);
	control_reloaded(self->control, error);
	go_on(self);
}

static void
log_changed(const struct apply_result *result)
{
	struct event event;

	event_begin(&event);
	event_number(&event, FIELD_ADDED, result->added);
	event_number(&event, FIELD_CHANGED, result->changed);
	event_number(&event, FIELD_DROPPED, result->dropped);
	event_number(&event, FIELD_KEPT, result->kept);
	event_said(&event);
	event_log(&event, CAB_LOG_NOTICE, EVENT_RELOADED,
	    "the configuration was changed: services added %zu, changed %zu, "
	    "dropped %zu, kept %zu",
	    result->added, result->changed, result->dropped, result->kept);
}

static void
reload_applied(struct supervisor *self, const struct apply_result *result)
{
	const struct cab_conf *conf = apply_current(self->apply);

	if (result->error == 0) {
		log_changed(result);
		warn_fixed(self, conf);
		warn_misfit(self, conf);
		log_set_level(settings_log_level(conf));
		roles_set_log_level(self->roles, settings_log_level(conf));
		roles_resize(self->roles, settings_workers(conf));
	}
	reload_done(self, result->error);
}

/* A service was switched by hand, or not. */
static void
turn_done(struct supervisor *self, int error)
{
	char *name = self->turned;

	self->turned = NULL;
	if (error < 0)
		(void)overrides_set(&self->overrides, name, !self->turned_off);
	log_fields(error < 0 ? CAB_LOG_ERR : CAB_LOG_NOTICE, EVENT_SWITCHED,
	    &(struct cab_log_field){ .name = FIELD_SERVICE, .value = name }, 1,
	    "service %s %s%s",
	    name, error < 0 ? "could not be " : "was ",
	    self->turned_off ? "disabled by hand" : "enabled by hand");
	say_ready(self);
	control_switched(self->control, error);
	free(name);
	go_on(self);
}

static void
on_applied(void *arg, const struct apply_result *result)
{
	struct supervisor *self = arg;

	overrides_settle(&self->overrides, result->error == 0);
	if (result->error == 0)
		heritage_keep(
		    &self->heritage, self->apply, &self->overrides);
	control_settle(self->control, result);
	log_findings(result->findings);
	self->services = result->services;
	self->sockets = result->listeners;
	if (self->turned != NULL)
		turn_done(self, result->error);
	else if (self->served)
		reload_applied(self, result);
	else
		start_done(self, result);
}

/* ---- reading it again
 * --------------------------------------------------------------------- */

static bool
own_child(void *arg, pid_t pid)
{
	const struct supervisor *self = arg;

	return roles_own(self->roles, pid);
}

static void
reader_end(struct supervisor *self)
{
	self->reader_io = sd_event_source_disable_unref(self->reader_io);
	self->reader_timer = sd_event_source_disable_unref(self->reader_timer);
	reader_free(self->reader);
	self->reader = NULL;
	/* Those that died meanwhile. */
	if (self->roles != NULL)
		orphans_reap(own_child, self);
}

/* What the supervisor before had read is what the files say still. */
static bool
nothing_new(struct supervisor *self, const struct reader_result *result)
{
	if (!self->comparing || result->conf == NULL ||
	    !overrides_same(
		&self->overrides, result->snapshot_fd, result->snapshot_n))
		return false;
	self->comparing = false;
	log_debug("the configuration is as it was");
	say_ready(self);
	go_on(self);
	return true;
}

static void
reader_done(struct supervisor *self)
{
	struct reader_result result = { .snapshot_fd = -1 };
	int r = 0;

	reader_take(self->reader, &result);
	reader_end(self);
	log_findings(&result.diag);
	control_findings(self->control, &result.diag);
	if (nothing_new(self, &result)) {
		reader_result_release(&result);
		return;
	}
	if (result.conf != NULL)
		r = overrides_read(&self->overrides, &result.conf,
		    &result.snapshot_fd, &result.snapshot_n);
	if (r < 0)
		log_error("cannot take over the configuration: %s", strerror(-r));
	if (result.conf != NULL && r == 0) {
		apply_begin(self->apply, result.conf, result.snapshot_fd,
		    result.snapshot_n);
		result.conf = NULL;
		result.snapshot_fd = -1;
	} else {
		reload_done(self, -EINVAL);
	}
	reader_result_release(&result);
}

static void
reader_turn(struct supervisor *self)
{
	uint64_t usec;

	if (reader_step(self->reader) != 0) {
		reader_done(self);
		return;
	}
	usec = (uint64_t)reader_deadline_ms(self->reader) * 1000;
	(void)sd_event_source_set_time_relative(self->reader_timer, usec);
	(void)sd_event_source_set_enabled(self->reader_timer, SD_EVENT_ONESHOT);
}

static int
on_reader_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	(void)source;
	(void)fd;
	(void)events;
	reader_turn(arg);
	return 0;
}

static int
on_reader_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	reader_turn(arg);
	return 0;
}

static int
reader_begin(struct supervisor *self)
{
	int r;

	r = reader_start(&self->reader, self->options.config, MSG_READ_LOAD);
	if (r < 0)
		return r;
	r = sd_event_add_io(self->event, &self->reader_io,
	    reader_fd(self->reader), EPOLLIN, on_reader_io, self);
	if (r >= 0)
		r = sd_event_add_time_relative(self->event, &self->reader_timer,
		    CLOCK_MONOTONIC,
		    (uint64_t)reader_deadline_ms(self->reader) * 1000, 0,
		    on_reader_timer, self);
	if (r < 0)
		reader_end(self);
	return r;
}

static void
start_reload(struct supervisor *self)
{
	int r;

	self->again = false;
	control_reading(self->control);
	if (!self->comparing)
		notify_reloading();
	log_info("reading %s again", self->options.config);
	r = reader_begin(self);
	if (r < 0) {
		log_error("cannot read the configuration: %s", strerror(-r));
		reload_done(self, r);
	}
}

/* ---- what the administrator asks for
 * ------------------------------------------------------ */

static void
on_reload(void *arg)
{
	struct supervisor *self = arg;

	/* However often it is asked for meanwhile, one more will do. */
	if (is_busy(self))
		self->again = true;
	else
		start_reload(self);
}

static int
on_turn(void *arg, const char *name, bool off)
{
	struct supervisor *self = arg;
	struct cab_conf *conf = NULL;
	size_t n = 0;
	int r, fd = -1;

	if (is_busy(self))
		return -EBUSY;
	if (overrides_has(&self->overrides, name) == off)
		return -EALREADY;
	self->turned = strdup(name);
	r = self->turned != NULL ? overrides_set(&self->overrides, name, off) :
				   -ENOMEM;
	if (r == 0)
		r = overrides_again(&self->overrides, &conf, &fd, &n);
	if (r < 0) {
		(void)overrides_set(&self->overrides, name, !off);
		free(self->turned);
		self->turned = NULL;
		return r;
	}
	self->turned_off = off;
	apply_begin(self->apply, conf, fd, n);
	return 0;
}

static bool
is_off(void *arg, const char *name)
{
	return overrides_has(&((struct supervisor *)arg)->overrides, name);
}

/* ---- signals --------------------------------------------------------------------------- */

static int
on_hup(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	struct supervisor *self = arg;

	(void)source;
	(void)info;
	if (!self->stopping)
		on_reload(self);
	return 0;
}

static int
on_term(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	struct supervisor *self = arg;
	const struct cab_conf *conf = apply_current(self->apply);
	uint64_t drain_ms = conf != NULL ? (uint64_t)conf->stop_drain :
					   self->first_drain_ms;

	(void)source;
	if (self->stopping && clock_ms() - self->stopping_ms < ECHO_MS)
		return 0;
	if (self->stopping) {
		log_notice("%s again: ending at once",
		    info->ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
		roles_kill(self->roles);
		return 0;
	}
	self->stopping = true;
	self->stopping_ms = clock_ms();
	log_event(CAB_LOG_NOTICE, EVENT_STOPPING,
	    "%s: stopping, connections have %" PRIu64 ".%03" PRIu64
	    " s to finish",
	    info->ssi_signo == SIGINT ? "SIGINT" : "SIGTERM", drain_ms / 1000,
	    drain_ms % 1000);
	notify_stopping(drain_ms + ROLES_STOP_GRACE_MS,
	    "Waiting for connections to finish");
	control_stopping(self->control);
	reader_end(self);
	roles_stop(self->roles, drain_ms);
	apply_close(self->apply);
	return 0;
}

/*
 * A restart: our successor is started as soon as we are gone, and replaces the
 * other processes, which serve until then.
 */
static int
on_usr2(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	struct supervisor *self = arg;

	(void)source;
	(void)info;
	if (self->stopping || !store_enabled())
		return 0;
	self->stopping = self->left = true;
	log_event(CAB_LOG_NOTICE, EVENT_LEFT,
	    "SIGUSR2: leaving everything to the next supervisor");
	atomic_store(&self->board->daemon.left, 1);
	notify_stopping(
	    BARRIER_MS, "Leaving everything to the next supervisor");
	control_stopping(self->control);
	reader_end(self);
	apply_leave(self->apply);
	roles_leave(self->roles);
	notify_barrier(BARRIER_MS);
	(void)sd_event_exit(self->event, 0);
	return 0;
}

static int
on_chld(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	struct supervisor *self = arg;

	(void)source;
	(void)info;
	roles_reap(self->roles);
	/* The reader waits for its own child. */
	if (self->reader == NULL)
		orphans_reap(own_child, self);
	return 0;
}

static const struct {
	int number;
	sd_event_signal_handler_t handler;
} signals[] = {
	{ SIGTERM, on_term },
	{ SIGINT, on_term },
	{ SIGHUP, on_hup },
	{ SIGUSR2, on_usr2 },
	{ SIGCHLD, on_chld },
};

/* From here on a signal waits until the event loop asks for it. */
static int
block_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < CAB_N(signals); i++)
		sigaddset(&mask, signals[i].number);
	return sigprocmask(SIG_BLOCK, &mask, NULL) < 0 ? -errno : 0;
}

static int
watch_signals(struct supervisor *self)
{
	int r = 0;

	for (size_t i = 0; i < CAB_N(signals) && r >= 0; i++)
		r = sd_event_add_signal(self->event, NULL, signals[i].number,
		    signals[i].handler, self);
	return r;
}

/* ---- the script ------------------------------------------------------------------------- */

static void
on_role_ready(void *arg)
{
	apply_ready(((struct supervisor *)arg)->apply);
}

static void
on_role_failed(void *arg, const char *role, uint64_t generation, const char *text)
{
	apply_failed(((struct supervisor *)arg)->apply, role, generation, text);
}

static void
on_role_died(void *arg, const char *role, unsigned times)
{
	apply_died(((struct supervisor *)arg)->apply, role, times);
}

static void
on_roles_empty(void *arg)
{
	(void)sd_event_exit(((struct supervisor *)arg)->event, 0);
}

static bool
is_healthy(void *arg)
{
	return roles_healthy(((struct supervisor *)arg)->roles);
}

/* What the roles are given once and for all. */
static int
set_up_roles(struct supervisor *self, const struct cab_conf *conf)
{
	bool root = geteuid() == 0;
	int r;
	struct roles_setup setup = { .event = self->event,
		.workers = settings_workers(conf),
		.log_target = self->target,
		.log_level = settings_log_level(conf),
		.uid = root ? conf->user.id : UINT32_MAX,
		.gid = root ? conf->user.gid : UINT32_MAX,
		.spawn = roles_spawn,
		.watch = { on_role_ready, on_role_failed, on_role_died,
		    on_roles_empty, self } };

	self->uid = setup.uid;
	self->first_drain_ms = (uint64_t)conf->stop_drain;
	self->max_fds = roles_raise_limit();
	setup.max_fds = self->max_fds < UINT32_MAX ? (uint32_t)self->max_fds :
						     UINT32_MAX;
	warn_misfit(self, conf);
	r = heritage_board(&self->heritage);
	if (r < 0)
		return r;
	self->board = setup.board = self->heritage.board;
	setup.board_fd = self->heritage.board_fd;
	setup.epoch = self->heritage.epoch;
	atomic_fetch_add(&self->board->daemon.supervisors, 1);
	r = roles_new(&self->roles, &setup);
	if (r < 0)
		return r;
	heritage_roles(&self->heritage, &self->passed, self->roles);
	roles_adopted(self->roles);
	return 0;
}

static int
on_prepare(void *arg, const struct cab_conf *conf, struct cab_diag *findings)
{
	struct supervisor *self = arg;

	confine_check(&self->confine, conf, findings);
	return control_prepare(self->control, conf, findings);
}

static void
on_fresh(void *arg, uint32_t slot)
{
	board_renew(((struct supervisor *)arg)->board, slot);
}

static bool
on_busy(void *arg, uint32_t slot)
{
	struct board_counters sum;

	board_sum(((struct supervisor *)arg)->board, slot, &sum);
	return sum.started > sum.exited;
}

static int
set_up_control(struct supervisor *self)
{
	struct control_setup setup = { .event = self->event,
		.board = self->board,
		.roles = self->roles,
		.config = self->options.config,
		.reload = on_reload,
		.turn = on_turn,
		.is_off = is_off,
		.arg = self };

	return control_new(&self->control, &setup);
}

static int
set_up(struct supervisor *self, const struct cab_conf *conf)
{
	struct apply_setup setup = { .passed = &self->passed,
		.done = on_applied,
		.prepare = on_prepare,
		.fresh = on_fresh,
		.busy = on_busy,
		.arg = self };
	int r;

	r = sd_event_new(&self->event);
	if (r >= 0)
		r = watch_signals(self);
	if (r >= 0)
		r = set_up_roles(self, conf);
	if (r >= 0)
		r = set_up_control(self);
	if (r >= 0) {
		setup.event = self->event;
		setup.roles = self->roles;
		r = apply_new(&self->apply, &setup);
	}
	if (r >= 0)
		r = heritage_apply(&self->heritage, self->apply);
	if (r >= 0) {
		control_use(self->control, self->apply);
		r = notify_watchdog(
		    self->event, is_healthy, self, &self->watchdog);
	}
	if (r >= 0)
		r = orphans_adopt();
	return r;
}

/* Until sd_event_exit; one reading of the clocks per turn, for the log. */
static int
loop(struct supervisor *self)
{
	int r = 0;

	while (r >= 0 && sd_event_get_state(self->event) != SD_EVENT_FINISHED) {
		r = sd_event_prepare(self->event);
		if (r == 0)
			r = sd_event_wait(self->event, UINT64_MAX);
		clock_tick();
		if (r > 0)
			r = sd_event_dispatch(self->event);
		atomic_store(&self->board->daemon.log_dropped, log_dropped());
	}
	return r;
}

static void
tear_down(struct supervisor *self)
{
	reader_end(self);
	notify_watchdog_free(self->watchdog);
	control_free(self->control);
	apply_free(self->apply);
	roles_free(self->roles);
	if (self->served && !self->left)
		heritage_forget(&self->heritage);
	if (!self->left)
		orphans_end();
	passed_release(&self->passed);
	heritage_release(&self->heritage);
	sd_event_unref(self->event);
	overrides_release(&self->overrides);
	free(self->turned);
}

static int
serve(struct supervisor *self, struct reader_result *first)
{
	struct cab_conf *conf = first->conf;
	int r;

	self->target = settings_log_target(conf);
	log_open(self->target, settings_log_level(conf), NULL);
	log_findings(&first->diag);
	r = set_up(self, conf);
	if (r >= 0)
		r = overrides_read(&self->overrides, &first->conf,
		    &first->snapshot_fd, &first->snapshot_n);
	if (r >= 0) {
		apply_begin(
		    self->apply, conf, first->snapshot_fd, first->snapshot_n);
		first->conf = NULL;
		first->snapshot_fd = -1;
		r = loop(self);
	}
	if (r < 0) {
		log_event(CAB_LOG_ERR, EVENT_CANNOT_START, "cannot go on: %s",
		    strerror(-r));
		self->status = EXIT_FAILURE;
	}
	return self->status;
}

/* ---- the command line
 * --------------------------------------------------------------------- */

static int
cannot_read(const struct supervisor *self, int error)
{
	fprintf(stderr, "cabinetd: cannot read %s: %s\n", self->options.config,
	    strerror(-error));
	return EX_OSERR;
}

/* The configuration that is in use, from the supervisor before. */
static int
take_over(struct supervisor *self, struct reader_result *first)
{
	const struct estate *estate = &self->heritage.estate;
	int r = 0;

	for (size_t i = 0; i < estate->n_off && r == 0; i++)
		r = overrides_set(&self->overrides, estate->off[i], true);
	if (r == 0)
		r = conf_decode(
		    self->descs, estate->conf, estate->n_conf, &first->conf);
	if (r == 0)
		r = first->snapshot_fd = fd_sealed_memfd(
			"cabinetd-configuration", estate->conf, estate->n_conf);
	if (r < 0) {
		log_error("cannot take over from the supervisor before: %s",
		    strerror(-r));
		heritage_refuse(&self->heritage);
		return r;
	}
	first->snapshot_n = estate->n_conf;
	heritage_accept(&self->heritage);
	return 0;
}

/* Reads it; where it is broken, what runs already goes on. */
static int
read_first(struct supervisor *self, struct reader_result *first)
{
	int r = reader_run(self->options.config, MSG_READ_LOAD, first);

	if (r == 0 && first->conf == NULL && self->heritage.whole) {
		log_event(CAB_LOG_ERR, EVENT_RELOAD_REFUSED,
		    "the configuration cannot be used: what the supervisor "
		    "before has started goes on as it is");
		self->broken = true;
		return take_over(self, first);
	}
	heritage_refuse(&self->heritage);
	return r;
}

static int
run_serve(struct supervisor *self)
{
	struct reader_result first = { .snapshot_fd = -1 };
	char why[PASSED_WHY] = "";
	const char *missing;
	int r;

	r = block_signals();
	process_settle();
	missing = libsystemd_load();
	if (missing != NULL) {
		log_event(CAB_LOG_ERR, EVENT_CANNOT_START,
		    "cannot use libsystemd (Debian: libsystemd0): %s", missing);
		return EXIT_FAILURE;
	}
	confine_look(&self->confine);
	if (r == 0)
		r = passed_collect(&self->passed, why);
	if (r < 0) {
		log_event(CAB_LOG_ERR, EVENT_CANNOT_START, "cannot start: %s",
		    why[0] != '\0' ? why : strerror(-r));
		return EXIT_FAILURE;
	}
	heritage_find(&self->heritage, &self->passed);
	self->comparing = self->heritage.whole && !self->heritage.left &&
	    take_over(self, &first) == 0;
	r = self->comparing ? 0 : read_first(self, &first);
	if (r < 0) {
		r = cannot_read(self, r);
	} else if (first.conf == NULL) {
		diag_print(&first.diag, stderr);
		r = EX_CONFIG;
	} else {
		r = serve(self, &first);
	}
	reader_result_release(&first);
	tear_down(self);
	return r;
}

static int
run_check(struct supervisor *self)
{
	struct reader_result result = { .snapshot_fd = -1 };
	bool print = self->options.mode == OPTIONS_PRINT;
	int r;

	r = reader_run(self->options.config,
	    print ? MSG_READ_PRINT : MSG_READ_CHECK, &result);
	if (r < 0)
		return cannot_read(self, r);
	diag_print(&result.diag, stderr);
	if (result.diag.errors > 0)
		r = EX_CONFIG;
	else if (print)
		r = fd_write_all(STDOUT_FILENO, result.dump, result.dump_n) < 0 ?
		    EX_IOERR :
		    EX_OK;
	else
		r = printf("%s: OK\n", self->options.config) < 0 ? EX_IOERR :
								   EX_OK;
	reader_result_release(&result);
	return r;
}

static int
run_schema(struct supervisor *self)
{
	struct cab_buf text = CAB_BUF_INIT(0);
	int r;

	r = conf_dump_schema(self->descs, &text);
	if (r == 0)
		r = fd_write_all(
		    STDOUT_FILENO, buf_slice(&text).p, buf_len(&text));
	buf_release(&text);
	return r == 0 ? EX_OK : EX_IOERR;
}

static int
run_help(struct supervisor *self)
{
	if (self->options.mode == OPTIONS_HELP)
		options_help();
	else
		options_version();
	return EX_OK;
}

static int (*const modes[])(struct supervisor *) = {
	[OPTIONS_RUN] = run_serve,
	[OPTIONS_CHECK] = run_check,
	[OPTIONS_PRINT] = run_check,
	[OPTIONS_SCHEMA] = run_schema,
	[OPTIONS_VERSION] = run_help,
	[OPTIONS_HELP] = run_help,
};

static void
show_title(int argc, char **argv, const char *config)
{
	char title[512];

	snprintf(title, sizeof(title), "cabinetd: supervisor -c %s", config);
	title_set(argc, argv, title);
}

int
supervisor_main(int argc, char **argv, const struct cab_desc *const descs[])
{
	struct supervisor self = { .descs = descs };
	int r;

	overrides_init(&self.overrides, descs);
	heritage_init(&self.heritage);
	clock_tick();
	r = options_parse(argc, argv, &self.options);
	if (r == 0 && self.options.mode == OPTIONS_RUN)
		show_title(argc, argv, self.options.config);
	if (r == 0)
		r = modes[self.options.mode](&self);
	options_release(&self.options);
	if (fflush(stdout) != 0 && r == EX_OK)
		r = EX_IOERR;
	return r;
}
