/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notes to systemd.  Supervisor only: the other roles never see NOTIFY_SOCKET.
 * A manager that does not read holds us up for a second at most, and nobody who
 * is being served.
 */
#include "supervisor/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/event.h"
#include "base/fd.h"
#include "base/log.h"

struct notify_watchdog {
	sd_event_source *timer;
	uint64_t every; /* us */
	bool (*healthy)(void *arg);
	void *arg;
	bool starved;
};

/* Where systemd listens; false when nobody does. */
static bool
notify_address(struct sockaddr_un *un, socklen_t *ret_len)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path != NULL ? strlen(path) : 0;

	if (n < 2 || n >= sizeof(un->sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return false;
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(un->sun_path, path, n + 1);
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (path[0] == '@')
		un->sun_path[0] = '\0';
	else
		++*ret_len;
	return true;
}

/*
 * Not sd_notify(3): that waits for as long as systemd does not read.  What the
 * manager acts on may wait for a moment, the rest is lost.
 */
static bool
notify_send(const char *state, bool important, const int *fds, unsigned n_fds)
{
	const struct timeval moment = { .tv_sec = 1 };
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int) * NOTIFY_FDS)];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)state, strlen(state) };
	struct sockaddr_un un;
	struct msghdr mh = { .msg_name = &un, .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	int fd;

	if (!notify_address(&un, &mh.msg_namelen))
		return false;
	if (n_fds > 0) {
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(int) * n_fds) };
		memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * n_fds);
		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &moment, sizeof(moment));
	do
		n = sendmsg(
		    fd, &mh, MSG_NOSIGNAL | (important ? 0 : MSG_DONTWAIT));
	while (n < 0 && errno == EINTR);
	if (n < 0 && important)
		log_warning("cannot tell systemd \"%.*s\": %s",
		    (int)strcspn(state, "\n"), state, strerror(errno));
	fd_close(fd);
	return n >= 0;
}

void
notify_fds(const char *state, const int *fds, unsigned n)
{
	(void)notify_send(state, true, fds, n);
}

/* Our copy of the far end is closed, and systemd's when it gets to the message. */
void
notify_barrier(int timeout_ms)
{
	int fds[2];
	bool sent;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	sent = notify_send("BARRIER=1", true, &fds[1], 1);
	fd_close(fds[1]);
	if (sent)
		(void)poll(&(struct pollfd){ fds[0], 0, 0 }, 1, timeout_ms);
	fd_close(fds[0]);
}

static void __attribute__((format(printf, 2, 0)))
notify(const char *state, const char *fmt, va_list ap)
{
	char status[256], text[320];

	vsnprintf(status, sizeof(status), fmt, ap);
	snprintf(text, sizeof(text), "%sSTATUS=%s", state, status);
	(void)notify_send(text, state[0] != '\0', NULL, 0);
}

void
notify_ready(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	notify("READY=1\n", fmt, ap);
	va_end(ap);
}

void
notify_reloading(void)
{
	struct timespec now;
	char text[128];

	/* The time is for units of Type=notify-reload (systemd 253). */
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text),
	    "RELOADING=1\nMONOTONIC_USEC=%" PRIu64
	    "\nSTATUS=Reading the configuration again",
	    (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	(void)notify_send(text, true, NULL, 0);
}

void
notify_stopping(uint64_t within_ms, const char *fmt, ...)
{
	char state[80];
	va_list ap;

	snprintf(state, sizeof(state),
	    "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\n", within_ms * 1000);
	va_start(ap, fmt);
	notify(state, fmt, ap);
	va_end(ap);
}

void
notify_status(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	notify("", fmt, ap);
	va_end(ap);
}

static int
on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct notify_watchdog *watchdog = arg;
	bool healthy = watchdog->healthy(watchdog->arg);

	(void)usec;
	if (healthy)
		(void)notify_send("WATCHDOG=1", false, NULL, 0);
	else if (!watchdog->starved)
		log_event(CAB_LOG_ERR, EVENT_UNHEALTHY,
		    "a role has been out of service for too long: no longer "
		    "feeding systemd's watchdog");
	watchdog->starved = !healthy;
	(void)sd_event_source_set_time_relative(source, watchdog->every);
	return 0;
}

int
notify_watchdog(sd_event *event, bool (*healthy)(void *arg), void *arg,
    struct notify_watchdog **ret)
{
	struct notify_watchdog *watchdog;
	uint64_t every;
	int r;

	*ret = NULL;
	r = sd_watchdog_enabled(0, &every);
	if (r <= 0)
		return r;
	watchdog = calloc(1, sizeof(*watchdog));
	if (watchdog == NULL)
		return -ENOMEM;
	/* Two chances, should the machine be busy. */
	*watchdog = (struct notify_watchdog){
		.every = every / 3, .healthy = healthy, .arg = arg
	};
	r = sd_event_add_time(event, &watchdog->timer, CLOCK_MONOTONIC, 0,
	    every / 20, on_timer, watchdog);
	if (r >= 0)
		r = sd_event_source_set_enabled(watchdog->timer, SD_EVENT_ON);
	if (r < 0) {
		notify_watchdog_free(watchdog);
		return r;
	}
	*ret = watchdog;
	return 0;
}

void
notify_watchdog_free(struct notify_watchdog *watchdog)
{
	if (watchdog == NULL)
		return;
	sd_event_source_disable_unref(watchdog->timer);
	free(watchdog);
}
