/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log records to stderr or to the journal's native socket, one system call
 * each.  Every process; single-threaded.  Never blocks, never allocates, never
 * lets a byte through that could forge a line: what the target cannot take is
 * dropped, counted, and reported once the target takes records again.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/event.h"
#include "base/fd.h"
#include "base/str.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* A line is at most what a pipe takes in one piece. */
#define LINE_MAX_BYTES   4096
#define VALUE_MAX_BYTES  8192
#define RECORD_MAX_BYTES 32768

#define CATCH_UP_MS 1000

enum line_kind {
	LINE_UNKNOWN, /* not looked at yet */
	LINE_FILE,    /* a write does not wait */
	LINE_OWN,     /* a pipe or terminal opened again, not blocking */
	LINE_POLL,    /* a pipe or terminal that could not be opened again */
	LINE_SOCKET,
};

static struct {
	enum cab_log_target target;
	enum cab_log_level level;
	char tag[32];
	int journal;         /* socket, -1 if none */
	enum line_kind kind; /* of stderr */
	int line; /* where lines go: 2, or our own descriptor of the same file */
	bool stamp, priority;
	uint64_t dropped, unreported;
	uint64_t tried_ms; /* when log_catch_up last tried */
} log_state = { .level = CAB_LOG_INFO, .journal = -1, .line = STDERR_FILENO };

/* The bytes of one record on their way to the target. */
struct record {
	char *p;
	size_t n, cap;
};

static const char *const level_names[] = { [CAB_LOG_ERR] = "error",
	[CAB_LOG_WARNING] = "warning",
	[CAB_LOG_NOTICE] = "notice",
	[CAB_LOG_INFO] = "info",
	[CAB_LOG_DEBUG] = "debug" };

/* ---- opening ------------------------------------------------------------------ */

bool
log_under_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char mine[64];
	struct stat st;

	if (stream == NULL || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	return strcmp(stream, mine) == 0;
}

/*
 * A pipe or terminal is opened again, because O_NONBLOCK on stderr itself would
 * be seen by everyone who shares it, our parent's shell included.
 */
static void
open_line(void)
{
	struct stat st;

	if (log_state.line != STDERR_FILENO)
		fd_close(log_state.line);
	log_state.line = STDERR_FILENO;
	log_state.kind = LINE_FILE;
	log_state.stamp = isatty(STDERR_FILENO) == 1;
	log_state.priority = log_under_journal();
	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode)) {
		log_state.kind = LINE_SOCKET;
	} else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		int fd = open("/proc/self/fd/2",
		    O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

		log_state.kind = fd >= 0 ? LINE_OWN : LINE_POLL;
		log_state.line = fd >= 0 ? fd : STDERR_FILENO;
	}
}

static struct sockaddr_un journal_addr = { .sun_family = AF_UNIX,
	.sun_path = JOURNAL_SOCKET };

void
log_fake_journal(const char *path)
{
	snprintf(journal_addr.sun_path, sizeof(journal_addr.sun_path), "%s",
	    path != NULL ? path : JOURNAL_SOCKET);
}

static int
open_journal(void)
{
	int fd, size = 1 << 20;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&journal_addr, sizeof(journal_addr)) <
	    0)
		return fd_close(fd);
	/* As large as the kernel allows: a burst waits here, not with us. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return fd;
}

void
log_open(enum cab_log_target target, enum cab_log_level level, const char *tag)
{
	log_state.level = level;
	snprintf(
	    log_state.tag, sizeof(log_state.tag), "%s", tag != NULL ? tag : "");
	log_state.journal = fd_close(log_state.journal);
	if (target == CAB_LOG_JOURNAL)
		log_state.journal = open_journal();
	log_state.target = log_state.journal >= 0 ? CAB_LOG_JOURNAL :
						    CAB_LOG_STDERR;
	open_line();
	if (target == CAB_LOG_JOURNAL && log_state.journal < 0)
		log_warning("cannot reach the journal at %s: logging to stderr",
		    journal_addr.sun_path);
}

void
log_set_level(enum cab_log_level level)
{
	log_state.level = level;
}

bool
log_enabled(enum cab_log_level level)
{
	return level <= log_state.level;
}

int
log_fd(void)
{
	if (log_state.target == CAB_LOG_JOURNAL)
		return log_state.journal;
	return log_state.line != STDERR_FILENO ? log_state.line : -1;
}

uint64_t
log_dropped(void)
{
	return log_state.dropped;
}

/* ---- lines for stderr ----------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3)))
record_printf(struct record *r, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->p + r->n, r->cap - r->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		r->n += (size_t)n < r->cap - r->n ? (size_t)n : r->cap - r->n - 1;
}

/* Our own words: only what would break the line or the terminal is replaced. */
static void
record_text(struct record *r, const char *text)
{
	for (; *text != '\0' && r->cap - r->n > 5; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			record_printf(r, "\\x%02x", c);
		else
			r->p[r->n++] = *text;
	}
	r->p[r->n] = '\0';
}

static size_t
field_size(const struct cab_log_field *field)
{
	return field->n > 0 || field->value == NULL ? field->n :
						      strlen(field->value);
}

static void
record_field(struct record *r, const struct cab_log_field *field)
{
	size_t n = field_size(field);
	bool quote = n == 0 || memchr(field->value, ' ', n) != NULL;

	/* Not even the name and an empty value: leave the field out. */
	if (r->cap - r->n < strlen(field->name) + 12)
		return;
	record_printf(r, " %s=%s", field->name, quote ? "\"" : "");
	r->n += str_escape(r->p + r->n, r->cap - r->n - (quote ? 1 : 0),
	    n > 0 ? field->value : "", n);
	if (quote)
		record_printf(r, "\"");
}

static bool
send_line(const char *line, size_t n)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)line, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd ready = { .fd = log_state.line, .events = POLLOUT };
	ssize_t sent;

	do {
		if (log_state.kind == LINE_SOCKET)
			sent = sendmsg(
			    log_state.line, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		else if (log_state.kind == LINE_POLL &&
		    (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT)))
			return false;
		else
			sent = write(log_state.line, line, n);
	} while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)n;
}

static bool
log_to_stderr(enum cab_log_level level, const struct cab_log_field *fields,
    size_t n, const char *text)
{
	char line[LINE_MAX_BYTES];
	/* One byte stays free for the line break. */
	struct record r = { .p = line, .cap = sizeof(line) - 1 };
	size_t i;

	if (log_state.kind == LINE_UNKNOWN)
		open_line();
	if (log_state.priority)
		record_printf(&r, "<%d>", level);
	if (log_state.stamp)
		record_printf(&r, "%.15s ", clock_daytime() + 4);
	if (log_state.tag[0] != '\0')
		record_printf(&r, "cabinetd[%s]: ", log_state.tag);
	else
		record_printf(&r, "cabinetd: ");
	record_printf(&r, "%s: ", level_names[level]);
	record_text(&r, text);
	for (i = 0; i < n; i++)
		if (!fields[i].native)
			record_field(&r, &fields[i]);
	line[r.n++] = '\n';
	return send_line(line, r.n);
}

/* ---- datagrams for the journal ---------------------------------------------------- */

/*
 * NAME=value, or for a value with a line break or control byte NAME, a line break, the
 * length as 64 bits little endian, and the bytes (systemd: JOURNAL_NATIVE_PROTOCOL).
 */
static void
journal_field(struct record *r, const char *prefix, const char *name,
    const void *value, size_t n)
{
	const unsigned char *p = value;
	bool binary = false;
	size_t i;

	if (n > VALUE_MAX_BYTES)
		n = VALUE_MAX_BYTES;
	if (r->cap - r->n < strlen(prefix) + strlen(name) + n + 12)
		return;
	for (i = 0; i < n && !binary; i++)
		binary = p[i] < 0x20;
	record_printf(r, "%s%s%s", prefix, name, binary ? "\n" : "=");
	for (i = 0; binary && i < 8; i++)
		r->p[r->n++] = (char)((uint64_t)n >> 8 * i & 0xff);
	if (n > 0)
		memcpy(r->p + r->n, value, n);
	r->n += n;
	r->p[r->n++] = '\n';
}

static bool
send_journal(char *data, size_t n)
{
	struct iovec iov = { .iov_base = data, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	for (;;) {
		sent = sendmsg(
		    log_state.journal, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent >= 0)
			return true;
		if (errno == EINTR)
			continue;
		/* The socket was made anew: name it, as connect may be forbidden by now. */
		if ((errno != ECONNREFUSED && errno != ECONNRESET &&
			errno != ENOTCONN) ||
		    msg.msg_name != NULL)
			return false;
		msg.msg_name = &journal_addr;
		msg.msg_namelen = sizeof(journal_addr);
	}
}

static bool
log_to_journal(enum cab_log_level level, const char *id,
    const struct cab_log_field *fields, size_t n, const char *text)
{
	static char data[RECORD_MAX_BYTES];
	struct record r = { .p = data, .cap = sizeof(data) };
	size_t i;

	journal_field(&r, "", "MESSAGE", text, strlen(text));
	record_printf(&r, "PRIORITY=%d\nSYSLOG_IDENTIFIER=cabinetd\n", level);
	if (id != NULL)
		journal_field(&r, "", "MESSAGE_ID", id, strlen(id));
	if (log_state.tag[0] != '\0')
		journal_field(&r, "CABINETD_", FIELD_ROLE, log_state.tag,
		    strlen(log_state.tag));
	for (i = 0; i < n; i++)
		journal_field(&r, "CABINETD_", fields[i].name, fields[i].value,
		    field_size(&fields[i]));
	return send_journal(data, r.n);
}

/* ---- records ------------------------------------------------------------------------ */

static bool
log_record(enum cab_log_level level, const char *id,
    const struct cab_log_field *fields, size_t n, const char *text)
{
	if (log_state.target == CAB_LOG_JOURNAL)
		return log_to_journal(level, id, fields, n, text);
	return log_to_stderr(level, fields, n, text);
}

/* The target takes records again: say what is missing. */
static void
report_dropped(void)
{
	struct event event;
	char text[80];

	snprintf(text, sizeof(text),
	    "%" PRIu64 " log records were lost: the log could not take them",
	    log_state.unreported);
	event_begin(&event);
	event_number(&event, FIELD_COUNT, log_state.unreported);
	event_said(&event);
	if (log_record(CAB_LOG_WARNING, EVENT_LOG_LOST, event.v, event.n, text))
		log_state.unreported = 0;
}

void
log_fields(enum cab_log_level level, const char *id,
    const struct cab_log_field *fields, size_t n, const char *fmt, ...)
{
	static char text[VALUE_MAX_BYTES];
	int saved = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	if (!log_record(level, id, fields, n, text)) {
		log_state.dropped++;
		log_state.unreported++;
	} else if (log_state.unreported > 0) {
		report_dropped();
	}
	errno = saved;
}

bool
log_catch_up(void)
{
	uint64_t now;

	if (log_state.unreported == 0)
		return false;
	now = clock_ms();
	if (now - log_state.tried_ms >= CATCH_UP_MS) {
		log_state.tried_ms = now;
		report_dropped();
	}
	return log_state.unreported > 0;
}

bool
log_gate(struct cab_log_gate *gate, uint32_t burst, uint32_t period_ms,
    uint32_t *ret_suppressed)
{
	uint64_t now = clock_ms();

	if (gate->count > 0 && now - gate->window_ms >= period_ms)
		gate->count = 0;
	if (gate->count >= burst) {
		if (gate->suppressed < UINT32_MAX)
			gate->suppressed++;
		return false;
	}
	if (gate->count++ == 0)
		gate->window_ms = now;
	*ret_suppressed = gate->suppressed;
	gate->suppressed = 0;
	return true;
}
