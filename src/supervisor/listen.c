/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens listening sockets, and says in words why one cannot be opened.
 * Supervisor only.  Never accepts, never reads; every socket is non-blocking
 * and close-on-exec from birth.
 */
#include "supervisor/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hush.h"
#include "base/str.h"

/* Seconds of silence before the first probe, between probes, and probes until a peer counts as gone. */
#define KEEPALIVE_IDLE   60
#define KEEPALIVE_EVERY  10
#define KEEPALIVE_PROBES 3

static const struct {
	const char *scheme;
	int type;
} kinds[] = {
	[CAB_TCP] = { "tcp", SOCK_STREAM },
	[CAB_UDP] = { "udp", SOCK_DGRAM },
	[CAB_UNIX] = { "unix", SOCK_STREAM },
	[CAB_UNIXGRAM] = { "unixgram", SOCK_DGRAM },
	[CAB_VSOCK] = { "vsock", SOCK_STREAM },
};

static bool
is_inet(const struct cab_sockaddr *addr)
{
	return addr->sa.sa_family == AF_INET || addr->sa.sa_family == AF_INET6;
}

/* ---- why not --------------------------------------------------------------------- */

/* The first port that needs no privilege. */
static int
first_free_port(void)
{
	char text[16] = "";
	FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	int64_t port = 1024;
	size_t n;

	if (f != NULL) {
		if (fgets(text, sizeof(text), f) != NULL) {
			n = strcspn(text, "\n");
			(void)str_to_i64((struct cab_slice){ text, n }, &port);
		}
		fclose(f);
	}
	return (int)port;
}

/* Who has it, as a command to run. */
static void
remedy_in_use(enum cab_listen_kind kind, const struct cab_sockaddr *addr,
    char *dst, size_t cap)
{
	if (is_inet(addr))
		snprintf(dst, cap,
		    "stop the program that has it (ss -l%cnp 'sport = :%u' shows "
		    "it), or choose another port",
		    kind == CAB_TCP ? 't' : 'u', sockaddr_port(addr));
	else if (addr->sa.sa_family == AF_UNIX)
		snprintf(dst, cap,
		    "stop the program that has it (ss -lxp shows it), or choose "
		    "another name");
	else
		snprintf(dst, cap,
		    "stop the program that has it (ss -l --vsock -p shows it), or "
		    "choose another port");
}

static void
remedy_denied(const struct cab_sockaddr *addr, char *dst, size_t cap)
{
	int first = first_free_port();

	if (is_inet(addr) && sockaddr_port(addr) < first)
		snprintf(dst, cap,
		    "ports below %d need root or CAP_NET_BIND_SERVICE: start the "
		    "daemon as root, or choose a port from %d on "
		    "(net.ipv4.ip_unprivileged_port_start)",
		    first, first);
	else if (unix_file_path(addr) != NULL)
		snprintf(dst, cap,
		    "the daemon may not create files in that directory: change "
		    "the directory's owner or mode, or choose another");
	else
		snprintf(dst, cap, "a security policy of this host forbids it");
}

/* Says what went wrong with a socket and how to mend it. */
static void
explain(enum cab_listen_kind kind, const struct cab_sockaddr *addr, int error,
    char why[LISTEN_WHY])
{
	char remedy[LISTEN_WHY - 64] = "";

	switch (-error) {
	case EADDRINUSE:
		remedy_in_use(kind, addr, remedy, sizeof(remedy));
		break;
	case EACCES:
	case EPERM:
		remedy_denied(addr, remedy, sizeof(remedy));
		break;
	case EADDRNOTAVAIL:
		snprintf(remedy, sizeof(remedy),
		    "this host has no such address (ip address lists them); to "
		    "listen before it appears set socket = { freebind = true; }");
		break;
	case EAFNOSUPPORT:
		snprintf(remedy, sizeof(remedy),
		    "this kernel, or the sandbox of the unit "
		    "(RestrictAddressFamilies=), does not have that kind of "
		    "address");
		break;
	case EMFILE:
	case ENFILE:
		snprintf(remedy, sizeof(remedy),
		    "raise the limit of open files (LimitNOFILE= in the unit, "
		    "ulimit -n)");
		break;
	case EINVAL:
		if (addr->sa.sa_family == AF_INET6 &&
		    IN6_IS_ADDR_LINKLOCAL(&addr->in6.sin6_addr))
			snprintf(remedy, sizeof(remedy),
			    "a link-local address needs its interface: "
			    "[fe80::1%%eth0]");
		break;
	case ENODEV:
		snprintf(remedy, sizeof(remedy),
		    "there is no such network interface (ip link lists them)");
		break;
	}
	snprintf(why, LISTEN_WHY, "%s%s%s", strerror(-error),
	    remedy[0] != '\0' ? "; " : "", remedy);
}

/* ---- options ---------------------------------------------------------------------- */

enum {
	ON_TCP = 1 << CAB_TCP,
	ON_UDP = 1 << CAB_UDP,
	ON_V4 = 1 << 8,
	ON_V6 = 1 << 9,
	ON_INET = 1 << 10,
	ON_FRESH = 1 << 11, /* cannot be changed once bound, or only matters then */
	ON_MANY = 1 << 12, /* may get what was sent to more than one address */
	ON_LINK = 1 << 13 /* of one link: the kernel has bound it to the device */
};

static int
want_option(int fd, int level, int name, int want)
{
	socklen_t len = sizeof(int);
	int have;

	/* Setting a mark to what it is already would take a capability too. */
	if (getsockopt(fd, level, name, &have, &len) == 0 && have == want)
		return 0;
	return setsockopt(fd, level, name, &want, sizeof(want)) < 0 ? -errno : 0;
}

/* Beyond the system's maximum if we may, else as far as it goes. */
static void
want_buffer(int fd, int force, int name, int64_t bytes)
{
	int value = (int)bytes;

	if (bytes > 0 &&
	    setsockopt(fd, SOL_SOCKET, force, &value, sizeof(value)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value));
}

static int
want_interface(int fd, const char *interface, char why[LISTEN_WHY])
{
	char have[IFNAMSIZ] = "";
	const char *want = interface != NULL ? interface : "";
	socklen_t len = sizeof(have);
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, have, &len) == 0 &&
	    strcmp(have, want) == 0)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, want,
		(socklen_t)strlen(want)) == 0)
		return 0;
	r = -errno;
	snprintf(why, LISTEN_WHY, "interface \"%s\": %s; %s", want, strerror(-r),
	    r == -EPERM ? "that takes CAP_NET_RAW" :
			  "ip link lists what there is");
	return r;
}

/* what: the bits above that are true of the socket. */
static int
tune(int fd, unsigned what, const struct cab_socket_opts *opts,
    char why[LISTEN_WHY])
{
	const struct {
		unsigned on;
		int level, name, want;
		const char *label;
	} rows[] = {
		{ ON_TCP | ON_FRESH, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR" },
		{ ON_V6 | ON_FRESH, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY" },
		{ ON_INET | ON_FRESH, IPPROTO_IP, IP_FREEBIND, opts->freebind,
		    "freebind" },
		{ ON_INET, SOL_SOCKET, SO_MARK, (int)opts->mark, "mark" },
		/* Accepted connections inherit these from the listener. */
		{ ON_TCP, IPPROTO_TCP, TCP_NODELAY, opts->nodelay, "nodelay" },
		{ ON_TCP, SOL_SOCKET, SO_KEEPALIVE, opts->keepalive, "keepalive" },
		{ ON_TCP, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE, "keepalive" },
		{ ON_TCP, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY,
		    "keepalive" },
		{ ON_TCP, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES,
		    "keepalive" },
		/* Where a datagram was sent to: replies leave from there, broadcasts get none. */
		{ ON_UDP | ON_V4 | ON_MANY, IPPROTO_IP, IP_PKTINFO, 1,
		    "IP_PKTINFO" },
		{ ON_UDP | ON_V6 | ON_MANY, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1,
		    "IPV6_RECVPKTINFO" },
	};
	int r;

	for (size_t i = 0; i < CAB_N(rows); i++) {
		if ((rows[i].on & what) != rows[i].on)
			continue;
		r = want_option(fd, rows[i].level, rows[i].name, rows[i].want);
		if (r < 0) {
			snprintf(why, LISTEN_WHY, "socket option %s: %s%s",
			    rows[i].label, strerror(-r),
			    r == -EPERM ? "; that takes CAP_NET_ADMIN" : "");
			return r;
		}
	}
	want_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, opts->receive_buffer);
	want_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, opts->send_buffer);
	/* To take a socket off its link would need a privilege, and be wrong. */
	if (!(what & ON_INET) || (what & ON_LINK && opts->interface == NULL))
		return 0;
	return want_interface(fd, opts->interface, why);
}

/*
 * Whether all that a socket with this address gets was sent to that one host
 * address, so that nobody has to ask of each datagram.  In doubt it was not:
 * an address that is not there yet or that another routing table has may turn
 * out to be a broadcast.
 */
static bool
has_one_address(
    const struct cab_sockaddr *addr, const struct cab_socket_opts *opts)
{
	CAB_AUTO_FD int fd = -1;
	struct cab_peer peer;

	peer_from_sockaddr(&peer, &addr->sa, addr->len);
	if (!peer_is_unicast(&peer) || opts->freebind || opts->interface)
		return false;
	/* To connect to the broadcast of a network takes SO_BROADCAST. */
	fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, &addr->sa, addr->len) == 0;
}

static unsigned
what_it_is(enum cab_listen_kind kind, const struct cab_sockaddr *addr,
    const struct cab_service *service)
{
	unsigned what = 1u << kind;

	if (!is_inet(addr))
		return what;
	what |= ON_INET | (addr->sa.sa_family == AF_INET ? ON_V4 : ON_V6);
	if (what & ON_V6 && IN6_IS_ADDR_LINKLOCAL(&addr->in6.sin6_addr))
		what |= ON_LINK;
	/* A program has always been told; what it needs is its affair. */
	if (kind == CAB_UDP &&
	    (service->exec || !has_one_address(addr, &service->socket)))
		what |= ON_MANY;
	return what;
}

static int
tune_fd(const struct listener *listener, int fd,
    const struct cab_service *service, char why[LISTEN_WHY])
{
	const char *reason = NULL;
	int r;

	r = tune(fd,
	    what_it_is(listener->kind, &listener->addr, service),
	    &service->socket, why);
	if (r < 0)
		return r;
	/* systemd chose the backlog and the file of what it passed. */
	if (listener->passed != NULL)
		return 0;
	if (kinds[listener->kind].type == SOCK_STREAM &&
	    listen(fd, (int)service->socket.backlog) < 0) {
		r = -errno;
		explain(listener->kind, &listener->addr, r, why);
		return r;
	}
	r = unix_file_protect(
	    &listener->file, &listener->addr, &service->socket, &reason);
	if (r < 0)
		snprintf(why, LISTEN_WHY, "%s%s%s", strerror(-r),
		    reason != NULL ? "; " : "", reason != NULL ? reason : "");
	return r;
}

int
listener_tune(const struct listener *listener,
    const struct cab_service *service, char why[LISTEN_WHY])
{
	return tune_fd(listener, listener->fd->fd, service, why);
}

/* ---- opening ---------------------------------------------------------------------- */

static void
listener_name(struct listener *listener)
{
	char addr[CAB_ADDR_TEXT];

	snprintf(listener->text, sizeof(listener->text), "%s://%s",
	    kinds[listener->kind].scheme,
	    sockaddr_text(&listener->addr, addr, sizeof(addr)));
}

static int
bind_socket(int fd, struct listener *listener,
    const struct cab_socket_opts *opts, char why[LISTEN_WHY])
{
	const struct cab_sockaddr *addr = &listener->addr;
	const char *reason = NULL;
	int type = kinds[listener->kind].type, r;

	if (unix_file_path(addr) != NULL)
		r = unix_file_bind(
		    fd, type, addr, opts, &listener->file, &reason);
	else
		r = bind(fd, &addr->sa, addr->len) < 0 ? -errno : 0;
	if (r == 0 && type == SOCK_STREAM && listen(fd, (int)opts->backlog) < 0)
		r = -errno;
	if (r < 0 && reason != NULL)
		snprintf(why, LISTEN_WHY, "%s; %s", strerror(-r), reason);
	else if (r < 0)
		explain(listener->kind, addr, r, why);
	return r;
}

/* Which port it became. */
static int
learn_address(int fd, struct listener *listener)
{
	struct cab_sockaddr bound = { .len = sizeof(bound.ss) };

	if (!is_inet(&listener->addr))
		return 0;
	if (getsockname(fd, &bound.sa, &bound.len) < 0)
		return -errno;
	listener->addr = bound;
	return 0;
}

int
listener_open(const struct cab_service *service, const struct cab_listen *listen,
    bool share, struct listener **ret, char why[LISTEN_WHY])
{
	struct listener *listener = calloc(1, sizeof(*listener));
	unsigned what =
	    what_it_is(listen->kind, &listen->addr, service) | ON_FRESH;
	int fd = -1, r = -ENOMEM;

	if (listener == NULL)
		goto fail;
	listener->refs = 1;
	listener->kind = listen->kind;
	listener->addr = listen->addr;
	fd = socket(listen->addr.sa.sa_family,
	    kinds[listen->kind].type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : 0;
	if (r < 0)
		goto fail;
	r = tune(fd, what, &service->socket, why);
	if (r == 0 && share)
		r = want_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r < 0)
		goto out;
	r = bind_socket(fd, listener, &service->socket, why);
	if (r < 0)
		goto out;
	if (share)
		(void)want_option(fd, SOL_SOCKET, SO_REUSEPORT, 0);
	r = learn_address(fd, listener);
	if (r < 0)
		goto fail;
	listener->fd = shared_fd_new(fd);
	fd = -1;
	if (listener->fd == NULL) {
		r = -ENOMEM;
		goto fail;
	}
	listener_name(listener);
	*ret = listener;
	return 0;
fail:
	explain(listen->kind, &listen->addr, r, why);
out:
	fd_close(fd);
	listener_unref(listener);
	return r;
}

/* ---- what systemd passed ------------------------------------------------------------ */

/* A protocol names its transports; a program takes connections, or with wait either. */
static bool
service_takes(const struct cab_service *service, int type)
{
	if (service->desc != NULL)
		return (service->desc->transports &
			   (type == SOCK_STREAM ? CAB_STREAM : CAB_DGRAM)) != 0;
	return type == SOCK_STREAM || service_waits(service);
}

/* As a listener of ours; the descriptor is the caller's still. */
static int
adopted(struct passed_socket *socket, int fd, struct listener **ret)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int r;

	r = listener != NULL ? fd_set_nonblock(fd, 1) : -ENOMEM;
	if (r == 0)
		r = fd_set_cloexec(fd, 1);
	if (r < 0) {
		free(listener);
		return r;
	}
	*listener = (struct listener){ .refs = 1,
		.kind = socket->kind,
		.addr = socket->addr,
		.dual = socket->dual,
		.passed = passed_is_unit(socket) ? socket : NULL };
	if (listener->passed == NULL) {
		snprintf(listener->stored, sizeof(listener->stored), "%s",
		    socket->name);
		listener->file = (struct unix_file){
			.made = socket->item.v[STORE_INO] != 0,
			.dev = socket->item.v[STORE_DEV],
			.ino = socket->item.v[STORE_INO]
		};
	}
	listener_name(listener);
	*ret = listener;
	return 0;
}

/* What systemd passed stays in our hands, whatever becomes of the listener. */
static int
own_fd(struct passed_socket *socket)
{
	int fd = socket->fd;

	if (passed_is_unit(socket)) {
		fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : fd;
	}
	socket->fd = -1;
	return fd;
}

static int
adopt(const struct cab_service *service, struct passed_socket *socket,
    struct listener **ret, char why[LISTEN_WHY])
{
	struct listener *listener;
	int r;

	r = adopted(socket, socket->fd, &listener);
	if (r < 0)
		goto fail;
	r = listener_lost(listener) ? -ESTALE :
				      tune_fd(listener, socket->fd, service, why);
	if (r < 0) {
		free(listener);
		return r;
	}
	r = own_fd(socket);
	if (r >= 0) {
		listener->fd = shared_fd_new(r);
		r = listener->fd != NULL ? 0 : -ENOMEM;
	}
	if (r < 0) {
		free(listener);
		goto fail;
	}
	if (listener->passed != NULL)
		socket->listener = listener;
	else /* by a supervisor that died in the middle of a reload */
		hush(listener->fd->fd, false);
	*ret = listener;
	return 0;
fail:
	explain(socket->kind, &socket->addr, r, why);
	return r;
}

int
listener_adopt(const struct cab_service *service, struct passed_socket *socket,
    struct listener **ret, char why[LISTEN_WHY])
{
	int r;

	if (!service_takes(service, kinds[socket->kind].type)) {
		snprintf(why, LISTEN_WHY,
		    "systemd passed a %s socket, which %s does not serve; change "
		    "the .socket unit",
		    kinds[socket->kind].scheme,
		    service->protocol != NULL ? service->protocol :
						"a program without wait = true");
		return -EPROTOTYPE;
	}
	if (socket->listener == NULL) {
		r = adopt(service, socket, ret, why);
	} else {
		r = listener_tune(socket->listener, service, why);
		if (r == 0)
			*ret = listener_ref(socket->listener);
	}
	if (r == 0)
		socket->claimed = true;
	return r;
}

void
listener_keep(struct listener *listener, uint64_t key)
{
	struct store_item item = { .kind = STORE_LISTENER };

	/* A .socket unit passes its sockets again each time. */
	if (!store_enabled() || listener->passed != NULL ||
	    listener->stored[0] != '\0')
		return;
	item.v[STORE_KEY] = key;
	item.v[STORE_SERIAL] = store_serial();
	if (listener->file.made) {
		item.v[STORE_DEV] = listener->file.dev;
		item.v[STORE_INO] = listener->file.ino;
	}
	store_name(&item, listener->stored);
	store_put(listener->stored, &listener->fd->fd, 1);
}

void
listener_leave(struct listener *listener)
{
	listener->stored[0] = '\0';
	listener->file.made = false;
}

bool
listener_lost(const struct listener *listener)
{
	return listener->file.made &&
	    !unix_file_present(&listener->file, &listener->addr);
}

/* ---- neighbours -------------------------------------------------------------------- */

static bool
any_address(const struct cab_sockaddr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return addr->sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

static bool
same_port(const struct listener *listener, const struct cab_listen *listen)
{
	return listener->kind == listen->kind && is_inet(&listen->addr) &&
	    is_inet(&listener->addr) && sockaddr_port(&listen->addr) != 0 &&
	    sockaddr_port(&listener->addr) == sockaddr_port(&listen->addr);
}

bool
listener_overlaps(const struct listener *listener, const struct cab_listen *listen)
{
	if (!same_port(listener, listen))
		return false;
	if (listener->dual && any_address(&listener->addr))
		return true;
	return listener->addr.sa.sa_family == listen->addr.sa.sa_family &&
	    (any_address(&listener->addr) || any_address(&listen->addr));
}

bool
listener_covers(const struct listener *listener, const struct cab_listen *listen)
{
	return listener->dual && any_address(&listener->addr) &&
	    same_port(listener, listen) &&
	    listen->addr.sa.sa_family == AF_INET && any_address(&listen->addr);
}

void
listener_share(const struct listener *listener, bool on)
{
	(void)want_option(listener->fd->fd, SOL_SOCKET, SO_REUSEPORT, on);
}

struct listener *
listener_ref(struct listener *listener)
{
	if (listener != NULL)
		listener->refs++;
	return listener;
}

void
listener_unref(struct listener *listener)
{
	if (listener == NULL || --listener->refs > 0)
		return;
	if (listener->stored[0] != '\0')
		store_remove(listener->stored, 1);
	if (listener->passed != NULL)
		listener->passed->listener = NULL;
	unix_file_remove(&listener->file, &listener->addr);
	shared_fd_unref(listener->fd);
	free(listener);
}
