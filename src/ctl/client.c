/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Talking to the daemon.  cabinetctl only.  What answers at the path may be
 * anything: the reply is bounded in size and in time and then taken apart by
 * ipc/ctl.c.
 */
#include "ctl/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"

#define LOOK_SECONDS  20  /* without a byte, for verbs that answer at once */
#define WORK_SECONDS  320 /* for those that change something */
#define READ_PIECE    65536

#define SYSTEM_SOCKET CAB_RUNSTATEDIR "/cabinetd/control.sock"

const char *
client_default_path(char *dst, size_t cap)
{
	const char *own = getenv("XDG_RUNTIME_DIR");
	int n;

	if (geteuid() != 0 && own != NULL && own[0] == '/') {
		n = snprintf(dst, cap, "%s/cabinetd/control.sock", own);
		if (n > 0 && (size_t)n < cap && access(dst, F_OK) == 0)
			return dst;
	}
	snprintf(dst, cap, "%s", SYSTEM_SOCKET);
	return dst;
}

static void
say_unreachable(char why[CLIENT_WHY], const char *path, int error)
{
	if (error == EACCES || error == EPERM)
		snprintf(why, CLIENT_WHY,
		    "permission denied at %s: that takes root, the daemon's own "
		    "user or a member of admin_group",
		    path);
	else if (error == ENOENT || error == ECONNREFUSED)
		snprintf(why, CLIENT_WHY,
		    "no daemon listens at %s: start it (systemctl start "
		    "cabinetd), or name its socket with --socket",
		    path);
	else
		snprintf(why, CLIENT_WHY, "cannot talk to the daemon at %s: %s",
		    path, strerror(error));
}

/* Descriptor, or -errno. */
static int
open_socket(const char *path, time_t seconds)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = seconds };
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(
		fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(
		fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int r = -errno;

		fd_close(fd);
		return r;
	}
	return fd;
}

static int
send_all(int fd, struct cab_slice text)
{
	while (text.n > 0) {
		ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		/* Refused before it was read: the reply says why. */
		if (n < 0)
			return errno == EPIPE ? 0 : -errno;
		text.p += n;
		text.n -= (size_t)n;
	}
	return 0;
}

static int
receive_all(int fd, struct cab_buf *in)
{
	for (;;) {
		char *room = buf_room(in, READ_PIECE);
		ssize_t n;

		if (room == NULL)
			return buf_len(in) < CTL_REPLY_MAX - READ_PIECE ?
			    -ENOMEM :
			    -EMSGSIZE;
		n = recv(fd, room, READ_PIECE, 0);
		if (n < 0 && errno == EINTR)
			continue;
		/* The daemon closes without reading what it did not ask for. */
		if (n < 0 && errno != ECONNRESET)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n <= 0)
			return 0;
		buf_added(in, (size_t)n);
	}
}

int
client_ask(const char *path, const char *const words[], size_t n,
    struct ctl_reply *ret, char why[CLIENT_WHY])
{
	struct cab_buf out = CAB_BUF_INIT(0), in = CAB_BUF_INIT(CTL_REPLY_MAX);
	const struct ctl_verb *verb = n > 0 ? ctl_verb_find(words[0], NULL) :
					      NULL;
	int r = ctl_request_write(&out, words, n), code = 0;
	CAB_AUTO_FD int fd = -1;

	if (r < 0) {
		snprintf(why, CLIENT_WHY, "%s",
		    r == -EINVAL ? "names, addresses and numbers hold no blanks "
				   "and no letters beyond ASCII" :
				   strerror(-r));
		code = CTL_USAGE;
	} else {
		fd = open_socket(path,
		    verb != NULL && verb->changes ? WORK_SECONDS : LOOK_SECONDS);
		r = fd < 0 ? fd : send_all(fd, buf_slice(&out));
		if (r == 0)
			r = receive_all(fd, &in);
		if (r == 0)
			r = ctl_reply_parse(buf_slice(&in).p, buf_len(&in), ret);
	}
	if (code == 0 && r == -EBADMSG) {
		snprintf(why, CLIENT_WHY,
		    "what answers at %s is not a daemon of this version, or it "
		    "ended while it answered",
		    path);
		code = CTL_UNREACHABLE;
	} else if (code == 0 && r < 0) {
		say_unreachable(why, path, -r);
		code = CTL_UNREACHABLE;
	}
	buf_release(&out);
	buf_release(&in);
	return code;
}
