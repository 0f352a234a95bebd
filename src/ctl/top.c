/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The live view.  cabinetctl only.  The daemon says how much it has counted;
 * rates are made here, from two samples and the daemon's own clock, so that a
 * slow link bends none of them.  Leaves the terminal as it found it.
 */
#include "ctl/top.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/client.h"
#include "ctl/render.h"

#define PERIOD_MS 1000

/* Counted per service, in the order of the wire's columns. */
enum count {
	ACTIVE,
	ACCEPTED,
	DATAGRAMS,
	REFUSED,
	ERRORS,
	RECEIVED,
	SENT,
	COUNTS
};
static const char *const columns[COUNTS] = { "active", "accepted", "datagrams",
	"refused", "errors", "received", "sent" };

struct service {
	const char *name, *state; /* the reply's */
	uint64_t counts[COUNTS];
	double rates[COUNTS]; /* per second */
};

struct sample {
	struct ctl_reply reply;
	uint64_t clock_ms, time_ms, uptime_ms, workers;
	struct service *services;
	size_t n;
};

/* ---- samples ------------------------------------------------------------------------- */

static void
sample_release(struct sample *sample)
{
	free(sample->services);
	ctl_reply_release(&sample->reply);
	*sample = (struct sample){ .n = 0 };
}

static uint64_t
number(const struct ctl_data *data, size_t row, const char *name)
{
	size_t c = ctl_column_find(data, name);

	return c < data->n_columns && row < data->n_rows ?
	    strtoull(ctl_field_at(data, row, c)->text, NULL, 10) :
	    0;
}

/* False when the reply is not what it should be. */
static bool
take_apart(struct sample *sample)
{
	const struct ctl_data *head = ctl_reply_table(&sample->reply, "sample"),
			      *data = ctl_reply_table(&sample->reply, "counters");
	size_t name, state;

	if (head == NULL || data == NULL)
		return false;
	name = ctl_column_find(data, "name");
	state = ctl_column_find(data, "state");
	sample->services = calloc(data->n_rows + 1, sizeof(*sample->services));
	if (name == data->n_columns || state == data->n_columns ||
	    sample->services == NULL)
		return false;
	sample->clock_ms = number(head, 0, "clock");
	sample->time_ms = number(head, 0, "time");
	sample->uptime_ms = number(head, 0, "uptime");
	sample->workers = number(head, 0, "workers");
	for (sample->n = 0; sample->n < data->n_rows; sample->n++) {
		struct service *s = &sample->services[sample->n];

		s->name = ctl_field_at(data, sample->n, name)->text;
		s->state = ctl_field_at(data, sample->n, state)->text;
		for (unsigned k = 0; k < COUNTS; k++)
			s->counts[k] = number(data, sample->n, columns[k]);
	}
	return true;
}

/* 0, or an exit status and why. */
static int
sample_take(const char *path, struct sample *ret, char why[CLIENT_WHY])
{
	static const char *const words[] = { "top" };
	struct sample sample = { .n = 0 };
	int code = client_ask(path, words, 1, &sample.reply, why);

	if (code != 0)
		return code;
	if (sample.reply.error != NULL) {
		code = sample.reply.code;
		snprintf(why, CLIENT_WHY, "%s", sample.reply.error);
	} else if (!take_apart(&sample)) {
		code = CTL_UNREACHABLE;
		snprintf(why, CLIENT_WHY,
		    "the daemon at %s is of another version", path);
	}
	if (code == 0)
		*ret = sample;
	else
		sample_release(&sample);
	return code;
}

static const struct service *
find(const struct sample *sample, const char *name)
{
	for (size_t i = 0; i < sample->n; i++)
		if (strcmp(sample->services[i].name, name) == 0)
			return &sample->services[i];
	return NULL;
}

/* A daemon that was started again counts from nothing: then there is no rate yet. */
static void
make_rates(struct sample *now, const struct sample *before)
{
	double seconds = now->clock_ms > before->clock_ms ?
	    (double)(now->clock_ms - before->clock_ms) / 1000 :
	    0;

	for (size_t i = 0; i < now->n; i++) {
		struct service *s = &now->services[i];
		const struct service *old = find(before, s->name);

		for (unsigned k = ACCEPTED; k < COUNTS; k++)
			if (old != NULL && seconds > 0 &&
			    s->counts[k] >= old->counts[k])
				s->rates[k] = (double)(s->counts[k] -
						  old->counts[k]) /
				    seconds;
	}
}

/* The busiest first. */
static int
compare(const void *a, const void *b)
{
	static const enum count order[] = { ACCEPTED, DATAGRAMS, REFUSED,
		RECEIVED, SENT };
	const struct service *x = a, *y = b;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (x->rates[order[i]] != y->rates[order[i]])
			return x->rates[order[i]] > y->rates[order[i]] ? -1 : 1;
	if (x->counts[ACTIVE] != y->counts[ACTIVE])
		return x->counts[ACTIVE] > y->counts[ACTIVE] ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* ---- the picture ------------------------------------------------------------------------ */

/* Lines that fit; where they replace others, each is cleared to its end. */
struct screen {
	struct render render;
	int lines, columns; /* left; 0 columns: no limit */
	bool live;          /* drawn over and over */
	int name;           /* columns for the name of a service */
	unsigned most;      /* rank of what there is room for */
};

static void __attribute__((format(printf, 2, 3)))
line(struct screen *screen, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	int n;

	if (screen->lines-- <= 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (screen->columns > 0 && n > screen->columns)
		text[screen->columns] = '\0';
	render_text(&screen->render, text);
	fputs(screen->live ? "\033[K\n" : "\n", screen->render.out);
}

/* What stands behind the name of a service; the highest ranks give way first. */
static const struct column {
	const char *heading;
	int width; /* negative: to the left */
	enum count count; /* COUNTS: its state */
	unsigned rank;
} shown[] = {
	{ "STATE", -8, COUNTS, 5 },
	{ "ACTIVE", 6, ACTIVE, 0 },
	{ "ACCEPTED", 9, ACCEPTED, 1 },
	{ "DATAGRAMS", 9, DATAGRAMS, 6 },
	{ "REFUSED", 9, REFUSED, 2 },
	{ "IN", 8, RECEIVED, 3 },
	{ "OUT", 8, SENT, 4 },
};
#define SHOWN     (sizeof(shown) / sizeof(shown[0]))
#define NAME_MIN  12
#define NAME_MOST 32
#define NAME_PIPE 255

static void
fit(struct screen *screen)
{
	int taken;

	screen->most = SHOWN;
	do {
		screen->most--;
		taken = 0;
		for (size_t i = 0; i < SHOWN; i++)
			if (shown[i].rank <= screen->most)
				taken += abs(shown[i].width) + 1;
	} while (screen->columns > 0 && screen->most > 0 &&
	    screen->columns < taken + NAME_MIN);
	screen->name = screen->columns - taken;
	if (screen->columns == 0 || screen->name > NAME_MOST)
		screen->name = NAME_MOST;
	else if (screen->name < NAME_MIN)
		screen->name = NAME_MIN;
}

/* Round and with its unit for people, else the number alone. */
static const char *
rate_text(const struct screen *screen, char dst[32], double rate, bool bytes)
{
	char size[24];

	if (!screen->render.terminal)
		snprintf(dst, 32, bytes ? "%.0f" : "%.1f", rate);
	else if (bytes)
		snprintf(dst, 32, "%s/s",
		    render_size(size, sizeof(size), (uint64_t)rate));
	else
		snprintf(
		    dst, 32, rate < 10 && rate > 0 ? "%.1f/s" : "%.0f/s", rate);
	return dst;
}

static const char *
cell_text(const struct screen *screen, const struct service *s,
    enum count count, char dst[32])
{
	if (count == COUNTS)
		return s->state;
	if (count != ACTIVE)
		return rate_text(screen, dst, s->rates[count],
		    count == RECEIVED || count == SENT);
	snprintf(dst, 32, "%" PRIu64, s->counts[ACTIVE]);
	return dst;
}

/* NULL: the headings. */
static void
draw_row(struct screen *screen, const struct service *s)
{
	int longest = screen->render.terminal ? screen->name : NAME_PIPE;
	char text[NAME_PIPE + 1 + SHOWN * 34], cell[32];
	size_t n;

	n = (size_t)snprintf(text, sizeof(text), "%-*.*s", screen->name, longest,
	    s != NULL ? s->name : "SERVICE");
	for (size_t i = 0; i < SHOWN; i++)
		if (shown[i].rank <= screen->most)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    " %*.32s", shown[i].width,
			    s != NULL ?
				cell_text(screen, s, shown[i].count, cell) :
				shown[i].heading);
	line(screen, "%s", text);
}

static void
draw_sources(struct screen *screen, const struct sample *sample)
{
	const struct ctl_data *data = ctl_reply_table(&sample->reply, "sources");
	int width = screen->columns > 0 && screen->columns < 49 ?
	    screen->columns - 9 :
	    40;
	size_t source, n;

	if (data == NULL || data->n_rows == 0)
		return;
	source = ctl_column_find(data, "source");
	n = ctl_column_find(data, "connections");
	if (source == data->n_columns || n == data->n_columns)
		return;
	line(screen, "%s", "");
	if (screen->render.terminal)
		line(screen, "%-*s %8s", width, "SOURCE", "ACTIVE");
	for (size_t i = 0; i < data->n_rows; i++)
		line(screen, "%-*.40s %8s", width,
		    ctl_field_at(data, i, source)->text,
		    ctl_field_at(data, i, n)->text);
}

/* Lines to keep for them: all that they take, but not most of the screen. */
static int
lines_of_sources(const struct screen *screen, const struct sample *sample)
{
	const struct ctl_data *data = ctl_reply_table(&sample->reply, "sources");
	int n = data != NULL && data->n_rows > 0 ? (int)data->n_rows + 2 : 0;

	return n < screen->lines / 2 ? n : screen->lines / 2;
}

static void
draw_head(struct screen *screen, const struct sample *sample)
{
	time_t seconds = (time_t)(sample->time_ms / 1000);
	char up[48], now[16] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm) != NULL)
		(void)strftime(now, sizeof(now), "%H:%M:%S", &tm);
	line(screen, "cabinetd at %s, up %s, workers %" PRIu64 ", services %zu",
	    now, render_duration(up, sizeof(up), sample->uptime_ms),
	    sample->workers, sample->n);
	line(screen, "%s", "");
	draw_row(screen, NULL);
}

static void
draw(struct screen *screen, struct sample *sample)
{
	struct service all = { .name = "(all)",
		.state = screen->render.terminal ? "" : "-" };
	int keep;

	for (size_t i = 0; i < sample->n; i++)
		for (unsigned k = 0; k < COUNTS; k++) {
			all.counts[k] += sample->services[i].counts[k];
			all.rates[k] += sample->services[i].rates[k];
		}
	qsort(sample->services, sample->n, sizeof(*sample->services), compare);
	fit(screen);
	if (screen->render.terminal)
		draw_head(screen, sample);
	draw_row(screen, &all);
	keep = lines_of_sources(screen, sample);
	for (size_t i = 0; i < sample->n; i++)
		if (screen->lines > keep)
			draw_row(screen, &sample->services[i]);
	draw_sources(screen, sample);
}

/* ---- the terminal --------------------------------------------------------------------------- */

struct terminal {
	struct termios before;
	int signals;
};

static int
terminal_open(struct terminal *terminal)
{
	struct termios raw;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	if (tcgetattr(STDIN_FILENO, &terminal->before) < 0 ||
	    sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	terminal->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (terminal->signals < 0)
		return -errno;
	raw = terminal->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	/* The other screen, no cursor. */
	fputs("\033[?1049h\033[?25l", stdout);
	return 0;
}

static void
terminal_close(struct terminal *terminal)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal->before);
	terminal->signals = fd_close(terminal->signals);
}

/* Waits a period; false when the user has had enough. */
static bool
terminal_wait(const struct terminal *terminal)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = terminal->signals, .events = POLLIN } };
	struct signalfd_siginfo info;
	char key;

	if (poll(fds, 2, PERIOD_MS) <= 0)
		return true;
	while (read(terminal->signals, &info, sizeof(info)) > 0)
		if (info.ssi_signo != SIGWINCH)
			return false;
	if ((fds[0].revents & POLLIN) == 0)
		return (fds[0].revents & (POLLHUP | POLLERR)) == 0;
	return read(STDIN_FILENO, &key, 1) == 1 && key != 'q' && key != 'Q';
}

/* A terminal that does not know its size says 0. */
static struct screen
screen_now(struct render render)
{
	struct winsize size = { .ws_row = 0 };

	if (!render.terminal)
		return (struct screen){ .render = render };
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	if (size.ws_row == 0)
		size.ws_row = 24;
	return (struct screen){ .render = render,
		.lines = size.ws_row > 1 ? size.ws_row - 1 : 1,
		.columns = size.ws_col > 0 ? size.ws_col : 80 };
}

/* ---- both ways ------------------------------------------------------------------------------- */

static void
watch(const char *path, struct sample *before, struct render render)
{
	struct terminal terminal;
	char why[CLIENT_WHY];

	if (terminal_open(&terminal) < 0)
		return;
	do {
		struct screen screen = screen_now(render);
		struct sample now;
		int code = sample_take(path, &now, why);

		screen.live = true;
		fputs("\033[H", render.out);
		if (code == 0) {
			make_rates(&now, before);
			draw(&screen, &now);
			sample_release(before);
			*before = now;
		} else {
			/* It may just be starting again. */
			line(&screen, "%s", why);
		}
		fputs("\033[J", render.out);
		fflush(render.out);
	} while (terminal_wait(&terminal));
	terminal_close(&terminal);
}

static int
once(const char *path, const struct sample *before, struct render render,
    char why[CLIENT_WHY])
{
	const struct timespec period = { .tv_sec = PERIOD_MS / 1000 };
	struct screen screen = screen_now(render);
	struct sample now;
	int code;

	screen.lines = INT32_MAX;
	(void)nanosleep(&period, NULL);
	code = sample_take(path, &now, why);
	if (code == 0) {
		make_rates(&now, before);
		draw(&screen, &now);
		sample_release(&now);
	}
	return code;
}

int
top_run(const char *path)
{
	struct render render = render_for(stdout);
	struct sample first = { .n = 0 };
	char why[CLIENT_WHY];
	int code = sample_take(path, &first, why);

	if (code == 0 && render.ansi && isatty(STDIN_FILENO))
		watch(path, &first, render);
	else if (code == 0)
		code = once(path, &first, render, why);
	if (code != 0)
		fprintf(stderr, "cabinetctl: %s\n", why);
	sample_release(&first);
	return code;
}
