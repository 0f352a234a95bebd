/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets passed by systemd.  Supervisor only.  What was passed is looked at
 * before it is used: a unit file may name the wrong socket, or none.
 */
#include "supervisor/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/event.h"
#include "base/fd.h"
#include "base/hush.h"
#include "base/log.h"
#include "base/str.h"
#include "supervisor/unixfile.h"

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

int
passed_classify(int fd, struct passed_socket *ret)
{
	struct passed_socket found = { .fd = fd, .name = ret->name };
	int domain = fd_socket_option(fd, SOL_SOCKET, SO_DOMAIN),
	    type = fd_socket_option(fd, SOL_SOCKET, SO_TYPE);
	size_t i = 0;

	while (i < CAB_N(kinds) &&
	    (kinds[i].domain != domain || kinds[i].type != type))
		i++;
	if (i == CAB_N(kinds))
		return -EPROTOTYPE;
	if (type == SOCK_STREAM && fd_socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		return -EPROTOTYPE;
	found.kind = kinds[i].kind;
	found.addr.len = sizeof(found.addr.ss);
	if (getsockname(fd, &found.addr.sa, &found.addr.len) < 0)
		return -EPROTOTYPE;
	found.dual = domain == AF_INET6 &&
	    fd_socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
	*ret = found;
	return 0;
}

/* Sorts one descriptor in; false when it is of no use. */
static bool
collect(struct passed *passed, int fd, char *name)
{
	struct passed_socket socket = { .name = name };
	struct store_item item;

	store_parse(name, &item);
	if (item.kind != STORE_OTHER)
		store_found(&item);
	if (item.kind != STORE_OTHER && item.kind != STORE_LISTENER) {
		passed->others[passed->n_others++] =
		    (struct passed_other){ fd, name, item };
		return true;
	}
	if (passed_classify(fd, &socket) < 0) {
		if (item.kind == STORE_LISTENER)
			store_remove(name, 1);
		return false;
	}
	socket.item = item;
	passed->v[passed->n++] = socket;
	return true;
}

static bool
variable_number(const char *name, int64_t most, int64_t *ret)
{
	const char *text = getenv(name);

	return text != NULL &&
	    str_to_i64((struct cab_slice){ text, strlen(text) }, ret) == 0 &&
	    *ret > 0 && *ret <= most;
}

/* Which of the variables does not fit, and why. */
static void
explain(char why[PASSED_WHY])
{
	const char *bad = NULL, *value;
	int64_t n = 0;
	int fd = SD_LISTEN_FDS_START;
	char shown[128];

	if (!variable_number("LISTEN_PID", INT_MAX, &n))
		bad = "LISTEN_PID";
	else if (!variable_number(
		     "LISTEN_FDS", INT_MAX - SD_LISTEN_FDS_START, &n))
		bad = "LISTEN_FDS";
	while (bad == NULL && fd < SD_LISTEN_FDS_START + n &&
	    fcntl(fd, F_GETFD) >= 0)
		fd++;
	value = getenv(bad != NULL ? bad : "LISTEN_FDNAMES");
	value = value != NULL ? value : "";
	str_escape(shown, sizeof(shown), value, strlen(value));
	if (bad != NULL)
		snprintf(why, PASSED_WHY, "%s is \"%s\", not a number from 1 on",
		    bad, shown);
	else if (fd < SD_LISTEN_FDS_START + n)
		snprintf(why, PASSED_WHY,
		    "LISTEN_FDS is %d, so descriptors %d to %d should have been "
		    "passed, but %d is not open",
		    (int)n, SD_LISTEN_FDS_START,
		    SD_LISTEN_FDS_START + (int)n - 1, fd);
	else
		snprintf(why, PASSED_WHY,
		    "LISTEN_FDNAMES is \"%s\", which is not a list of %d name%s "
		    "with colons between them, as LISTEN_FDS says",
		    shown, (int)n, n == 1 ? "" : "s");
}

int
passed_collect(struct passed *ret, char why[PASSED_WHY])
{
	struct passed passed = { 0 };
	char **names = NULL;
	char shown[128];
	int n;

	n = sd_listen_fds_with_names(0, &names);
	if (n < 0 && n != -ENOMEM)
		explain(why);
	else if (n < 0)
		snprintf(why, PASSED_WHY, "%s", strerror(-n));
	if (n >= 0)
		(void)sd_listen_fds(1);
	if (n <= 0) {
		*ret = passed;
		return n;
	}
	passed.v = calloc((size_t)n, sizeof(*passed.v));
	passed.others = calloc((size_t)n, sizeof(*passed.others));
	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (passed.v != NULL && passed.others != NULL &&
		    collect(&passed, fd, names[i]))
			continue;
		str_escape(shown, sizeof(shown), names[i], strlen(names[i]));
		log_warning("descriptor %d, passed as \"%s\", is no listening "
			    "socket that can be served: closed",
		    fd, shown);
		fd_close(fd);
		free(names[i]);
	}
	free(names);
	if (passed.v == NULL || passed.others == NULL) {
		passed_release(&passed);
		snprintf(why, PASSED_WHY, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	*ret = passed;
	return 0;
}

void
passed_unclaim(struct passed *passed)
{
	for (size_t i = 0; i < passed->n; i++)
		passed->v[i].claimed = false;
}

bool
passed_is_unit(const struct passed_socket *socket)
{
	return socket->item.kind != STORE_LISTENER;
}

static bool
is_free(const struct passed_socket *socket)
{
	return socket->fd >= 0 && !socket->claimed;
}

static bool
is_meant(const struct passed_socket *socket, const struct cab_listen *listen)
{
	if (listen->kind == CAB_SYSTEMD)
		return passed_is_unit(socket) &&
		    strcmp(socket->name, listen->name) == 0;
	return socket->kind == listen->kind &&
	    sockaddr_equal(&socket->addr, &listen->addr);
}

struct passed_socket *
passed_find(const struct passed *passed, const struct cab_listen *listen,
    uint64_t key)
{
	for (size_t i = 0; i < passed->n; i++) {
		struct passed_socket *socket = &passed->v[i];

		if (is_free(socket) && !passed_is_unit(socket) &&
		    socket->kind == listen->kind &&
		    socket->item.v[STORE_KEY] == key)
			return socket;
	}
	for (size_t i = 0; i < passed->n; i++)
		if (is_free(&passed->v[i]) && is_meant(&passed->v[i], listen))
			return &passed->v[i];
	return NULL;
}

const char *
passed_names(const struct passed *passed, char *dst, size_t cap)
{
	size_t n = 0;

	snprintf(dst, cap, "none");
	for (size_t i = 0; i < passed->n && n + 3 < cap; i++) {
		if (!passed_is_unit(&passed->v[i]))
			continue;
		if (n > 0)
			n += (size_t)snprintf(dst + n, cap - n, ", ");
		n += str_escape(dst + n, cap - n, passed->v[i].name,
		    strlen(passed->v[i].name));
	}
	return dst;
}

void
passed_drop(struct passed_socket *socket)
{
	const struct unix_file file = { .made = socket->item.v[STORE_INO] != 0,
		.dev = socket->item.v[STORE_DEV],
		.ino = socket->item.v[STORE_INO] };

	store_remove(socket->name, 1);
	unix_file_remove(&file, &socket->addr);
	socket->fd = fd_close(socket->fd);
}

static void
close_rest(struct passed_socket *socket)
{
	char addr[CAB_ADDR_TEXT], name[128];

	sockaddr_text(&socket->addr, addr, sizeof(addr));
	if (!passed_is_unit(socket)) {
		log_info("no longer listening on %s, which the supervisor before "
			 "had left",
		    addr);
		/* Workers, who are told to retire next, serve its last clients. */
		hush(socket->fd, true);
		passed_drop(socket);
		return;
	}
	str_escape(name, sizeof(name), socket->name, strlen(socket->name));
	log_event(CAB_LOG_WARNING, EVENT_SOCKET_UNUSED,
	    "no service listens on the socket that systemd passed as \"%s\" "
	    "(%s): its clients wait until one does",
	    name, addr);
}

void
passed_close_rest(struct passed *passed)
{
	for (size_t i = 0; i < passed->n; i++)
		if (is_free(&passed->v[i]))
			close_rest(&passed->v[i]);
}

int
passed_take(struct passed_other *other)
{
	int fd = other->fd;

	other->fd = -1;
	return fd;
}

void
passed_close_others(struct passed *passed)
{
	for (size_t i = 0; i < passed->n_others; i++) {
		struct passed_other *other = &passed->others[i];

		if (other->fd < 0)
			continue;
		store_remove(other->name, 1);
		other->fd = fd_close(other->fd);
	}
}

void
passed_release(struct passed *passed)
{
	for (size_t i = 0; i < passed->n; i++) {
		fd_close(passed->v[i].fd);
		free(passed->v[i].name);
	}
	for (size_t i = 0; i < passed->n_others; i++) {
		fd_close(passed->others[i].fd);
		free(passed->others[i].name);
	}
	free(passed->v);
	free(passed->others);
	*passed = (struct passed){ 0 };
}
