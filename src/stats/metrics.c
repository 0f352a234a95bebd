/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics as text.  Supervisor and workers.  Samples of one metric have to
 * stand together, so services are walked once for each metric, over sums that
 * are made once.  Whatever stands in a label is escaped.
 */
#include "stats/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"

#define CODES_MAX 64 /* of one service */

struct service {
	struct board_label label;
	uint32_t slot;
	struct board_counters sum;
};

/* Text that has failed once stays failed: half of it is no exposition. */
struct out {
	const struct metrics_view *view;
	struct service *services;
	size_t n_services;
	struct cab_buf *buf;
	int error;
};

static void
put(struct out *out, const char *s, size_t n)
{
	if (out->error == 0)
		out->error = buf_append(out->buf, s, n);
}

static void
put_str(struct out *out, const char *s)
{
	put(out, s, strlen(s));
}

/* A label's value: backslash, double quote and line feed are escaped. */
static void
put_value(struct out *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '\n') {
			put(out, "\\n", 2);
			continue;
		}
		if (*s == '\\' || *s == '"')
			put(out, "\\", 1);
		put(out, s, 1);
	}
}

static void
put_number(struct out *out, uint64_t n)
{
	char digits[24], *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	put(out, p, (size_t)(digits + sizeof(digits) - p));
}

/* Thousandths, millionths as a decimal number: unit is a power of ten. */
static void
put_parts(struct out *out, uint64_t n, uint64_t unit)
{
	uint64_t rest = n % unit;

	put_number(out, n / unit);
	if (rest > 0)
		put(out, ".", 1);
	for (; rest > 0; rest %= unit) {
		unit /= 10;
		put_number(out, rest / unit);
	}
}

/* ---- one metric ---- */

static void
begin(struct out *out, const char *name, const char *type, const char *help)
{
	const char *const parts[] = { "# HELP ", name, " ", help, "\n# TYPE ",
		name, " ", type, "\n" };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		put_str(out, parts[i]);
}

/* Name and labels; the caller adds the value by one of the ends below. */
static void
sample(struct out *out, const char *name, const char *suffix,
    const char *const labels[][2], size_t n)
{
	put_str(out, name);
	put_str(out, suffix);
	for (size_t i = 0; i < n; i++) {
		put_str(out, i ? "," : "{");
		put_str(out, labels[i][0]);
		put_str(out, "=\"");
		put_value(out, labels[i][1]);
		put_str(out, "\"");
	}
	put_str(out, n ? "} " : " ");
}

static void
end_number(struct out *out, uint64_t value)
{
	put_number(out, value);
	put(out, "\n", 1);
}

static void
end_parts(struct out *out, uint64_t value, uint64_t unit)
{
	put_parts(out, value, unit);
	put(out, "\n", 1);
}

/* A sample of a service, perhaps with one label more. */
static void
service_sample(struct out *out, const char *name, const char *suffix,
    const struct service *service, const char *label, const char *value)
{
	const char *const labels[][2] = { { "service", service->label.name },
		{ "protocol", service->label.protocol }, { label, value } };

	sample(out, name, suffix, labels, label ? 3 : 2);
}

/* ---- the daemon ---- */

static void
plain(struct out *out, const char *name, const char *type, const char *help,
    uint64_t value)
{
	begin(out, name, type, help);
	sample(out, name, "", NULL, 0);
	end_number(out, value);
}

static void
daemon_metrics(struct out *out)
{
	static const char *const version[][2] = { { "version", PACKAGE_VERSION } };
	static const char *const success[][2] = { { "result", "success" } },
				 *const failure[][2] = { { "result", "failure" } };
	const struct board_daemon *daemon = &out->view->board->daemon;
	uint64_t reloads = atomic_load(&daemon->reloads);
	uint64_t failures = atomic_load(&daemon->reload_failures);

	begin(out, "cabinetd_build_info", "gauge", "Version of the daemon.");
	sample(out, "cabinetd_build_info", "", version, 1);
	end_number(out, 1);
	begin(out, "cabinetd_start_time_seconds", "gauge",
	    "When the daemon was started, in seconds since 1970.");
	sample(out, "cabinetd_start_time_seconds", "", NULL, 0);
	end_parts(out, atomic_load(&daemon->started_ms), 1000);
	plain(out, "cabinetd_configuration_generation", "gauge",
	    "Number of the configuration in use, counted from the start.",
	    atomic_load(&daemon->generation));
	plain(out, "cabinetd_supervisor_starts_total", "counter",
	    "Supervisors that have looked after the roles, one after the other.",
	    atomic_load(&daemon->supervisors));
	plain(out, "cabinetd_role_hangs_total", "counter",
	    "Workers and launchers that hung and were replaced.",
	    atomic_load(&daemon->hangs));
	begin(out, "cabinetd_reloads_total", "counter",
	    "Attempts to change the configuration, by result.");
	sample(out, "cabinetd_reloads_total", "", success, 1);
	end_number(out, reloads);
	sample(out, "cabinetd_reloads_total", "", failure, 1);
	end_number(out, failures);
}

/* ---- the roles ---- */

static uint64_t
role_restarts(const struct board_role *role)
{
	return atomic_load(&role->restarts);
}

static uint64_t
role_connections(const struct board_role *role)
{
	return atomic_load(&role->connections);
}

static uint64_t
role_dropped(const struct board_role *role)
{
	return atomic_load(&role->log_dropped);
}

static const struct {
	const char *name, *type, *help;
	uint64_t (*value)(const struct board_role *role);
} role_rows[] = {
	{ "cabinetd_role_restarts_total", "counter",
	    "How often a worker or the launcher was started again.",
	    role_restarts },
	{ "cabinetd_role_connections", "gauge",
	    "Connections open in a worker, programs run by the launcher.",
	    role_connections },
	{ "cabinetd_log_records_dropped_total", "counter",
	    "Records that the log could not take.", role_dropped },
};

static void
role_metrics(struct out *out)
{
	static const char *const supervisor[][2] = { { "role", "supervisor" } };
	const struct board *board = out->view->board;
	unsigned workers = atomic_load(&board->daemon.workers);

	for (size_t i = 0; i < sizeof(role_rows) / sizeof(role_rows[0]); i++) {
		begin(out, role_rows[i].name, role_rows[i].type,
		    role_rows[i].help);
		for (unsigned r = 0; r < BOARD_ROLES; r++) {
			char name[24] = "launcher";
			const char *const label[][2] = { { "role", name } };

			if (r < BOARD_WORKERS && r >= workers)
				continue;
			if (r < BOARD_WORKERS)
				snprintf(name, sizeof(name), "worker %u", r);
			sample(out, role_rows[i].name, "", label, 1);
			end_number(out, role_rows[i].value(&board->roles[r]));
		}
	}
	/* The last of the rows is the supervisor's too. */
	sample(out, "cabinetd_log_records_dropped_total", "", supervisor, 1);
	end_number(out, atomic_load(&board->daemon.log_dropped));
}

/* ---- services ---- */

#define COUNTER(member) offsetof(struct board_counters, member)

static const struct {
	const char *name, *help;
	size_t offset;
	uint32_t only; /* of services with one of these flags; 0: of all */
} counter_rows[] = {
	{ "cabinetd_connections_accepted_total", "Connections admitted.",
	    COUNTER(accepted), BOARD_LABEL_STREAMS },
	{ "cabinetd_received_bytes_total",
	    "Bytes received, not counting those that programs read.",
	    COUNTER(bytes_in), 0 },
	{ "cabinetd_sent_bytes_total",
	    "Bytes sent, not counting those that programs wrote.",
	    COUNTER(bytes_out), 0 },
	{ "cabinetd_datagrams_received_total", "Datagrams received.",
	    COUNTER(datagrams_in), BOARD_LABEL_DATAGRAMS },
	{ "cabinetd_datagrams_sent_total", "Datagrams sent in reply.",
	    COUNTER(datagrams_out), BOARD_LABEL_DATAGRAMS },
	{ "cabinetd_datagrams_dropped_total",
	    "Replies not sent, because the datagram rule forbids or the socket "
	    "was full.",
	    COUNTER(datagrams_dropped), BOARD_LABEL_DATAGRAMS },
	{ "cabinetd_programs_started_total", "Programs started.",
	    COUNTER(started), BOARD_LABEL_PROGRAM },
	{ "cabinetd_programs_exited_total", "Programs that have ended.",
	    COUNTER(exited), BOARD_LABEL_PROGRAM },
	{ "cabinetd_programs_failed_total",
	    "Programs that could not be started or ended badly.",
	    COUNTER(failed), BOARD_LABEL_PROGRAM },
};

static bool
wanted(const struct service *service, uint32_t only)
{
	return only == 0 || (service->label.flags & only) != 0;
}

static bool
any_wanted(const struct out *out, uint32_t only)
{
	for (size_t i = 0; i < out->n_services; i++)
		if (wanted(&out->services[i], only))
			return true;
	return false;
}

static void
counter_metrics(struct out *out)
{
	for (size_t m = 0; m < sizeof(counter_rows) / sizeof(counter_rows[0]);
	     m++) {
		const char *name = counter_rows[m].name;

		if (!any_wanted(out, counter_rows[m].only))
			continue;
		begin(out, name, "counter", counter_rows[m].help);
		for (size_t i = 0; i < out->n_services; i++) {
			const struct service *service = &out->services[i];
			const char *sum = (const char *)&service->sum;

			if (!wanted(service, counter_rows[m].only))
				continue;
			service_sample(out, name, "", service, NULL, NULL);
			end_number(out,
			    *(const uint64_t *)(const void *)(sum +
				counter_rows[m].offset));
		}
	}
}

static void
state_metrics(struct out *out)
{
	static const char up[] = "cabinetd_service_up",
			  active[] = "cabinetd_connections_active";
	const struct board_service *rows = out->view->board->services;

	begin(out, up, "gauge",
	    "1 while a service takes new clients, 0 while it is drained or "
	    "disabled.");
	for (size_t i = 0; i < out->n_services; i++) {
		const struct service *service = &out->services[i];
		uint32_t flags = atomic_load(&rows[service->slot].flags);

		service_sample(out, up, "", service, NULL, NULL);
		end_number(out,
		    (service->label.flags & BOARD_LABEL_ENABLED) != 0 &&
			(flags & BOARD_DRAINING) == 0);
	}
	begin(out, active, "gauge", "Connections open now.");
	for (size_t i = 0; i < out->n_services; i++) {
		service_sample(out, active, "", &out->services[i], NULL, NULL);
		end_number(out, atomic_load(&rows[out->services[i].slot].active));
	}
}

static void
refusal_metrics(struct out *out)
{
	static const char name[] = "cabinetd_connections_refused_total";

	begin(out, name, "counter",
	    "Connections and datagrams refused, by reason.");
	for (size_t i = 0; i < out->n_services; i++)
		for (size_t r = 0; r < BOARD_REFUSALS; r++) {
			if (!board_reasons[r])
				continue;
			service_sample(out, name, "", &out->services[i],
			    "reason", board_reasons[r]);
			end_number(out, out->services[i].sum.refused[r]);
		}
}

static void
unlogged_metrics(struct out *out)
{
	static const char name[] = "cabinetd_connections_not_logged_total";
	static const char *const why[BOARD_UNLOGGED] = {
		[BOARD_UNLOGGED_SAMPLE] = "sample",
		[BOARD_UNLOGGED_QUIET] = "quiet_from"
	};

	if (!any_wanted(out, BOARD_LABEL_STREAMS))
		return;
	begin(out, name, "counter",
	    "Finished connections that a service logs, but for its options "
	    "sample and quiet_from.");
	for (size_t i = 0; i < out->n_services; i++) {
		if (!wanted(&out->services[i], BOARD_LABEL_STREAMS))
			continue;
		for (size_t w = 0; w < BOARD_UNLOGGED; w++) {
			service_sample(out, name, "", &out->services[i],
			    "reason", why[w]);
			end_number(out, out->services[i].sum.unlogged[w]);
		}
	}
}

static void
error_metrics(struct out *out)
{
	static const char name[] = "cabinetd_protocol_errors_total";

	begin(out, name, "counter",
	    "Errors that a protocol answered or found, by its reply code.");
	for (size_t i = 0; i < out->n_services; i++) {
		struct board_code codes[CODES_MAX];
		size_t n = board_sum_codes(
		    out->view->board, out->services[i].slot, codes, CODES_MAX);

		for (size_t k = 0; k < n; k++) {
			char code[24] = "other";

			if (codes[k].code != 0)
				snprintf(code, sizeof(code), "%" PRIu64,
				    codes[k].code);
			service_sample(
			    out, name, "", &out->services[i], "code", code);
			end_number(out, codes[k].count);
		}
	}
}

static void
histogram(struct out *out, const char *name, const struct service *service)
{
	uint64_t below = 0;

	for (size_t b = 0; b < BOARD_BUCKETS; b++) {
		char le[24] = "+Inf";

		if (b < BOARD_BUCKETS - 1)
			snprintf(
			    le, sizeof(le), "%g",
			    (double)board_bucket_us[b] / 1e6);
		below += service->sum.durations[b];
		service_sample(out, name, "_bucket", service, "le", le);
		end_number(out, below);
	}
	service_sample(out, name, "_sum", service, NULL, NULL);
	end_parts(out, service->sum.duration_us, 1000000);
	service_sample(out, name, "_count", service, NULL, NULL);
	end_number(out, below);
}

static void
duration_metrics(struct out *out)
{
	static const char name[] = "cabinetd_connection_duration_seconds";

	if (!any_wanted(out, BOARD_LABEL_STREAMS))
		return;
	begin(out, name, "histogram",
	    "How long connections that have finished were open.");
	for (size_t i = 0; i < out->n_services; i++)
		if (wanted(&out->services[i], BOARD_LABEL_STREAMS))
			histogram(out, name, &out->services[i]);
}

/* ---- listeners ---- */

static void
queue_metrics(struct out *out)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} rows[] = {
		{ "cabinetd_listener_queue_length",
		    "Clients in the kernel's queue that nobody has accepted yet.",
		    offsetof(struct metrics_listener, queued) },
		{ "cabinetd_listener_queue_limit", "How many the queue can hold.",
		    offsetof(struct metrics_listener, limit) },
	};
	const struct metrics_view *view = out->view;

	for (size_t m = 0; view->n_listeners > 0 && m < 2; m++) {
		begin(out, rows[m].name, "gauge", rows[m].help);
		for (size_t i = 0; i < view->n_listeners; i++) {
			const struct metrics_listener *l = &view->listeners[i];
			const char *const labels[][2] = {
				{ "service", l->service },
				{ "listener", l->address },
			};

			sample(out, rows[m].name, "", labels, 2);
			end_number(out,
			    *(const uint32_t *)(const void *)((const char *)l +
				rows[m].offset));
		}
	}
}

int
metrics_queue(int fd, struct metrics_listener *ret)
{
	struct cab_sockaddr addr = { .len = sizeof(addr.ss) };
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	char text[CAB_ADDR_TEXT - 8];

	/* On a listening socket these two say what the queue holds and may hold. */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	    getsockname(fd, &addr.sa, &addr.len) < 0)
		return -ENOTSUP;
	ret->queued = info.tcpi_unacked;
	ret->limit = info.tcpi_sacked;
	snprintf(ret->address, sizeof(ret->address), "tcp://%s",
	    sockaddr_text(&addr, text, sizeof(text)));
	return 0;
}

/* ---- all ---- */

static int
collect(struct out *out)
{
	const struct board *board = out->view->board;
	uint32_t n = atomic_load(&board->daemon.labels);

	if (n > BOARD_SERVICES)
		n = BOARD_SERVICES;
	out->services = calloc(n + 1, sizeof(*out->services));
	if (!out->services)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct service *service = &out->services[out->n_services];

		if (!board_label_look(board, i, &service->label))
			continue;
		service->slot = i;
		board_sum(board, i, &service->sum);
		out->n_services++;
	}
	return 0;
}

int
metrics_render(const struct metrics_view *view, struct cab_buf *buf)
{
	static void (*const parts[])(struct out *) = { daemon_metrics,
		role_metrics, state_metrics, counter_metrics, refusal_metrics,
		unlogged_metrics, error_metrics, duration_metrics, queue_metrics };
	struct out out = { .view = view, .buf = buf };

	out.error = collect(&out);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		parts[i](&out);
	free(out.services);
	return out.error;
}
