/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets passed by systemd.  Supervisor only.  What was passed is looked at
 * before it is used: a unit file may name the wrong socket, or none.
 */
#include "supervisor/passed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/event.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

static const struct {
	int domain, type;
	enum cab_listen_kind kind;
} kinds[] = {
	{ AF_INET, SOCK_STREAM, CAB_TCP },
	{ AF_INET6, SOCK_STREAM, CAB_TCP },
	{ AF_INET, SOCK_DGRAM, CAB_UDP },
	{ AF_INET6, SOCK_DGRAM, CAB_UDP },
	{ AF_UNIX, SOCK_STREAM, CAB_UNIX },
	{ AF_UNIX, SOCK_DGRAM, CAB_UNIXGRAM },
	{ AF_VSOCK, SOCK_STREAM, CAB_VSOCK },
};

static int
get_int(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -1 : value;
}

int
passed_classify(int fd, struct passed_socket *ret)
{
	struct passed_socket found = { .fd = fd, .name = ret->name };
	int domain = get_int(fd, SOL_SOCKET, SO_DOMAIN),
	    type = get_int(fd, SOL_SOCKET, SO_TYPE);
	size_t i = 0;

	while (i < CAB_N(kinds) &&
	    (kinds[i].domain != domain || kinds[i].type != type))
		i++;
	if (i == CAB_N(kinds))
		return -EPROTOTYPE;
	if (type == SOCK_STREAM && get_int(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		return -EPROTOTYPE;
	found.kind = kinds[i].kind;
	found.addr.len = sizeof(found.addr.ss);
	if (getsockname(fd, &found.addr.sa, &found.addr.len) < 0)
		return -EPROTOTYPE;
	found.dual = domain == AF_INET6 &&
	    get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
	*ret = found;
	return 0;
}

int
passed_collect(struct passed *ret)
{
	struct passed passed = { 0 };
	char **names = NULL;
	char shown[128];
	int n;

	n = sd_listen_fds_with_names(1, &names);
	if (n <= 0) {
		*ret = passed;
		return n;
	}
	passed.v = calloc((size_t)n, sizeof(*passed.v));
	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		struct passed_socket socket = { .name = names[i] };

		if (passed.v != NULL && passed_classify(fd, &socket) == 0) {
			passed.v[passed.n++] = socket;
			continue;
		}
		str_escape(shown, sizeof(shown), names[i], strlen(names[i]));
		log_warning("descriptor %d, passed as \"%s\", is no listening "
			    "socket that can be served: closed",
		    fd, shown);
		fd_close(fd);
		free(names[i]);
	}
	free(names);
	if (passed.v == NULL)
		return -ENOMEM;
	*ret = passed;
	return 0;
}

struct passed_socket *
passed_find(
    const struct passed *passed, const struct cab_listen *listen, size_t from)
{
	for (size_t i = from; i < passed->n; i++) {
		struct passed_socket *socket = &passed->v[i];

		if (socket->fd < 0)
			continue;
		if (listen->kind == CAB_SYSTEMD ?
			strcmp(socket->name, listen->name) == 0 :
			socket->kind == listen->kind &&
			    sockaddr_equal(&socket->addr, &listen->addr))
			return socket;
	}
	return NULL;
}

const char *
passed_names(const struct passed *passed, char *dst, size_t cap)
{
	size_t n = 0;

	snprintf(dst, cap, "none");
	for (size_t i = 0; i < passed->n && n + 3 < cap; i++) {
		if (n > 0)
			n += (size_t)snprintf(dst + n, cap - n, ", ");
		n += str_escape(dst + n, cap - n, passed->v[i].name,
		    strlen(passed->v[i].name));
	}
	return dst;
}

void
passed_close_rest(struct passed *passed)
{
	char addr[CAB_ADDR_TEXT], name[128];

	for (size_t i = 0; i < passed->n; i++) {
		struct passed_socket *socket = &passed->v[i];

		if (socket->fd < 0)
			continue;
		str_escape(
		    name, sizeof(name), socket->name, strlen(socket->name));
		log_event(CAB_LOG_WARNING, EVENT_SOCKET_UNUSED,
		    "no service listens on the socket that systemd passed as "
		    "\"%s\" (%s): closed",
		    name, sockaddr_text(&socket->addr, addr, sizeof(addr)));
		socket->fd = fd_close(socket->fd);
	}
}

void
passed_release(struct passed *passed)
{
	for (size_t i = 0; i < passed->n; i++) {
		fd_close(passed->v[i].fd);
		free(passed->v[i].name);
	}
	free(passed->v);
	*passed = (struct passed){ 0 };
}
