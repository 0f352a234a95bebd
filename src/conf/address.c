/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parses listening addresses and decides which two cannot be bound together.
 * Config role only.  Every refusal says what to write instead; nothing is ever
 * bound wider than it was written.
 */
#include "conf/address.h"

#include <ctype.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SHOWN    160
#define HOST_MAX 253 /* RFC 1035 section 2.3.4, as text */

struct parse {
	const struct conf_names *names;
	struct cab_arena *arena;
	struct cab_listen *ret;
	size_t n;
	enum cab_listen_kind kind;
	char *why;
};

static int __attribute__((format(printf, 2, 3)))
refuse(struct parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->why, ADDRESS_WHY, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static const char *
shown(char dst[static SHOWN], struct cab_slice s)
{
	str_escape(dst, SHOWN, s.p, s.n);
	return dst;
}

static const char *
scheme_of(enum cab_listen_kind kind)
{
	static const char *const schemes[] = {
		[CAB_TCP] = "tcp",
		[CAB_UDP] = "udp",
		[CAB_UNIX] = "unix",
		[CAB_UNIXGRAM] = "unixgram",
		[CAB_VSOCK] = "vsock",
		[CAB_SYSTEMD] = "systemd",
	};

	return schemes[kind];
}

/* One listener more, its canonical text included. */
static int
add(struct parse *p, const struct cab_sockaddr *addr, bool optional)
{
	char place[CAB_ADDR_TEXT], text[CAB_ADDR_TEXT + 16];
	struct cab_listen *l;
	size_t i;

	for (i = 0; i < p->n; i++)
		if (sockaddr_equal(&p->ret[i].addr, addr))
			return 0;
	if (p->n == NAMES_HOSTS)
		return 0;
	sockaddr_text(addr, place, sizeof(place));
	snprintf(text, sizeof(text), "%s://%s", scheme_of(p->kind), place);
	l = &p->ret[p->n];
	*l = (struct cab_listen){ .kind = p->kind,
		.addr = *addr,
		.optional = optional,
		.text = arena_strdup(p->arena, text, strlen(text)) };
	if (l->text == NULL)
		return -ENOMEM;
	p->n++;
	return 0;
}

/* "*": IPv4, and IPv6 where the kernel has it. */
static int
add_any(struct parse *p, uint16_t port)
{
	struct cab_sockaddr addr;
	int r;

	memset(&addr, 0, sizeof(addr));
	addr.len = sizeof(addr.in);
	addr.in.sin_family = AF_INET;
	addr.in.sin_port = htons(port);
	r = add(p, &addr, false);
	if (r < 0)
		return r;
	memset(&addr, 0, sizeof(addr));
	addr.len = sizeof(addr.in6);
	addr.in6.sin6_family = AF_INET6;
	addr.in6.sin6_port = htons(port);
	return add(p, &addr, true);
}

/* ---- host and port -------------------------------------------------------------- */

static bool
port_name(struct cab_slice s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '-' &&
		    s.p[i] != '_')
			return false;
	/* RFC 6335 section 5.1: a service name holds a letter. */
	for (i = 0; i < s.n; i++)
		if (isalpha((unsigned char)s.p[i]))
			return s.n < NAMES_TEXT;
	return false;
}

static int
parse_port(struct parse *p, struct cab_slice s, uint16_t *ret)
{
	char text[SHOWN], name[NAMES_TEXT];
	int64_t port;
	int r;

	if (s.n == 0)
		return refuse(p, "the port is missing after the \":\"");
	r = s.p[0] == '-' ? -EINVAL : str_to_i64(s, &port);
	if (r == 0 && s.p[0] == '0' && s.n > 1)
		return refuse(p, "port %s begins with a 0", shown(text, s));
	if (r == -ERANGE || (r == 0 && port > UINT16_MAX))
		return refuse(p, "port %s is not in 0 to 65535", shown(text, s));
	if (r == 0) {
		*ret = (uint16_t)port;
		return 0;
	}
	if (port_name(s)) {
		snprintf(name, sizeof(name), "%.*s", (int)s.n, s.p);
		if (p->names->port(
			p->names->arg, name, scheme_of(p->kind), ret) == 0)
			return 0;
	}
	return refuse(p,
	    "\"%s\" is neither a port number nor the name of a %s service in "
	    "/etc/services",
	    shown(text, s), scheme_of(p->kind));
}

static bool
host_name(struct cab_slice s)
{
	size_t i;

	if (s.n == 0 || s.n > HOST_MAX || s.p[0] == '-' || s.p[0] == '.')
		return false;
	for (i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) &&
		    strchr("-._", s.p[i]) == NULL)
			return false;
	/* Digits and dots alone are an address with a slip in it, never a name. */
	for (i = 0; i < s.n; i++)
		if (isalpha((unsigned char)s.p[i]))
			return true;
	return false;
}

static int
add_host(struct parse *p, struct cab_slice s, uint16_t port)
{
	struct cab_sockaddr addrs[NAMES_HOSTS];
	char text[SHOWN], host[HOST_MAX + 1];
	const char *why = "";
	size_t n = 0, i;
	int r;

	if (!host_name(s))
		return refuse(p,
		    "\"%s\" is no address: write *, an IPv4 address, an IPv6 "
		    "address in brackets or a host name",
		    shown(text, s));
	snprintf(host, sizeof(host), "%.*s", (int)s.n, s.p);
	if (p->names->host(p->names->arg, host, addrs, &n, &why) < 0)
		return refuse(p, "cannot find host %s: %s", host, why);
	for (i = 0; i < n; i++) {
		if (addrs[i].sa.sa_family == AF_INET)
			addrs[i].in.sin_port = htons(port);
		else
			addrs[i].in6.sin6_port = htons(port);
		r = add(p, &addrs[i], false);
		if (r < 0)
			return r;
	}
	return 0;
}

/* "[v6]:port": the host without its brackets. */
static int
split_bracket(struct parse *p, struct cab_slice s, struct cab_slice *host,
    struct cab_slice *port)
{
	const char *end = memchr(s.p, ']', s.n);
	size_t rest;

	if (end == NULL)
		return refuse(p, "the \"[\" has no \"]\"");
	*host = (struct cab_slice){ s.p + 1, (size_t)(end - s.p) - 1 };
	rest = s.n - host->n - 2;
	if (rest == 0 || end[1] != ':')
		return refuse(p, "expected a \":\" and a port after the \"]\"");
	*port = (struct cab_slice){ end + 2, rest - 1 };
	return 0;
}

static int
split_colon(struct parse *p, struct cab_slice s, struct cab_slice *host,
    struct cab_slice *port)
{
	const char *colon = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
	char text[SHOWN];
	uint16_t number;

	if (colon == NULL) {
		/* "tcp://80" is most likely a port. */
		if (s.n > 0 && isdigit((unsigned char)s.p[0]) &&
		    memchr(s.p, '.', s.n) == NULL &&
		    parse_port(p, s, &number) == 0)
			return refuse(p,
			    "the address is missing: write \"%s://*:%u\"",
			    scheme_of(p->kind), number);
		return refuse(p, "the port is missing: write \"%s://%s:PORT\"",
		    scheme_of(p->kind), s.n > 0 ? shown(text, s) : "ADDRESS");
	}
	*host = (struct cab_slice){ s.p, (size_t)(colon - s.p) };
	*port = (struct cab_slice){ colon + 1, s.n - host->n - 1 };
	if (memchr(port->p, ':', port->n) != NULL)
		return refuse(p,
		    "\"%s\" holds more than one \":\": an IPv6 address stands "
		    "in brackets, as in \"%s://[::1]:80\"",
		    shown(text, s), scheme_of(p->kind));
	if (host->n == 0)
		return refuse(p, "the address is missing: write \"%s://*:%s\"",
		    scheme_of(p->kind), shown(text, *port));
	return 0;
}

static int
parse_inet(struct parse *p, struct cab_slice s)
{
	bool bracket = s.n > 0 && s.p[0] == '[';
	struct cab_slice host, port_text;
	struct cab_sockaddr addr;
	char text[SHOWN];
	uint16_t port;
	int r;

	r = bracket ? split_bracket(p, s, &host, &port_text) :
		      split_colon(p, s, &host, &port_text);
	if (r == 0)
		r = parse_port(p, port_text, &port);
	if (r < 0)
		return r;
	if (!bracket && slice_eq(host, "*"))
		return add_any(p, port);
	if (sockaddr_parse_ip(host, port, &addr) < 0) {
		if (!bracket)
			return add_host(p, host, port);
		return refuse(p,
		    memchr(host.p, '%', host.n) != NULL ?
			"\"%s\" is not an IPv6 address with a zone that this "
			"host has" :
			"\"%s\" is not an IPv6 address",
		    shown(text, host));
	}
	if (bracket && addr.sa.sa_family != AF_INET6)
		return refuse(p, "only IPv6 addresses stand in brackets");
	if (addr.sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&addr.in6.sin6_addr))
		return refuse(p, "write the IPv4 address itself");
	if (addr.sa.sa_family == AF_INET6 && addr.in6.sin6_scope_id == 0 &&
	    IN6_IS_ADDR_LINKLOCAL(&addr.in6.sin6_addr))
		return refuse(p,
		    "a link-local address needs its interface: "
		    "\"%s://[%s%%eth0]:%s\"",
		    scheme_of(p->kind), shown(text, host), "PORT");
	return add(p, &addr, false);
}

/* ---- the other kinds ---------------------------------------------------------------- */

static int
parse_unix(struct parse *p, struct cab_slice s)
{
	struct cab_sockaddr addr;
	size_t room = sizeof(addr.un.sun_path) - 1, i;
	char text[SHOWN];

	if (s.n == 0 || (s.p[0] != '/' && s.p[0] != '@'))
		return refuse(p,
		    "write an absolute path (\"%s:///run/x.sock\") or an "
		    "abstract name (\"%s://@x\")",
		    scheme_of(p->kind), scheme_of(p->kind));
	if (s.n == 1 || s.p[s.n - 1] == '/')
		return refuse(p, "\"%s\" does not name a socket", shown(text, s));
	if (s.n > room)
		return refuse(p, "the path is longer than %zu bytes", room);
	for (i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return refuse(p, "the path holds a control character");
	memset(&addr, 0, sizeof(addr));
	addr.un.sun_family = AF_UNIX;
	memcpy(addr.un.sun_path, s.p, s.n);
	addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + s.n);
	if (s.p[0] == '@')
		addr.un.sun_path[0] = '\0';
	else
		addr.len++;
	return add(p, &addr, false);
}

static int
vsock_number(struct cab_slice s, uint32_t *ret)
{
	int64_t value;

	if (s.n == 0 || s.p[0] == '-' || str_to_i64(s, &value) < 0 ||
	    value >= UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)value;
	return 0;
}

static int
parse_vsock(struct parse *p, struct cab_slice s)
{
	const char *colon = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
	struct sockaddr_vm vm = { .svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY };
	struct cab_sockaddr addr;
	struct cab_slice cid, port;

	if (colon == NULL)
		return refuse(p,
		    "write \"vsock://CID:PORT\", with * for any "
		    "CID");
	cid = (struct cab_slice){ s.p, (size_t)(colon - s.p) };
	port = (struct cab_slice){ colon + 1, s.n - cid.n - 1 };
	if ((!slice_eq(cid, "*") && vsock_number(cid, &vm.svm_cid) < 0) ||
	    vsock_number(port, &vm.svm_port) < 0)
		return refuse(p,
		    "CID and port of a vsock are numbers: "
		    "\"vsock://3:1024\", with * for any CID");
	memset(&addr, 0, sizeof(addr));
	addr.len = sizeof(vm);
	memcpy(&addr.ss, &vm, sizeof(vm));
	return add(p, &addr, false);
}

/* sd_listen_fds_with_names(3): up to 255 printable characters without a colon. */
static int
parse_systemd(struct parse *p, struct cab_slice s)
{
	char text[sizeof("systemd://") + 255];
	struct cab_listen *l = &p->ret[0];
	size_t i;

	if (s.n == 0 || s.n > 255)
		return refuse(p,
		    "write \"systemd://NAME\" with the "
		    "FileDescriptorName= of the socket unit");
	for (i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == ':')
			return refuse(p,
			    "a socket's name holds neither "
			    "\":\" nor spaces");
	snprintf(text, sizeof(text), "systemd://%.*s", (int)s.n, s.p);
	*l = (struct cab_listen){ .kind = CAB_SYSTEMD,
		.text = arena_strdup(p->arena, text, strlen(text)),
		.name = arena_strdup(p->arena, s.p, s.n) };
	if (l->text == NULL || l->name == NULL)
		return -ENOMEM;
	p->n = 1;
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------ */

static const struct scheme {
	const char *name;
	enum cab_listen_kind kind;
	int (*parse)(struct parse *p, struct cab_slice rest);
} schemes[] = {
	{ "tcp", CAB_TCP, parse_inet },
	{ "udp", CAB_UDP, parse_inet },
	{ "unix", CAB_UNIX, parse_unix },
	{ "unixgram", CAB_UNIXGRAM, parse_unix },
	{ "vsock", CAB_VSOCK, parse_vsock },
	{ "systemd", CAB_SYSTEMD, parse_systemd },
};

/* No "://": say what the text would have to look like. */
static int
no_scheme(struct parse *p, struct cab_slice s)
{
	struct cab_listen found[NAMES_HOSTS];
	char text[SHOWN], ignored[ADDRESS_WHY];
	struct parse again = *p;
	uint16_t port;

	shown(text, s);
	if (s.n == 0)
		return refuse(p,
		    "the address is empty: write a port number or "
		    "an address such as \"tcp://*:80\"");
	if (s.p[0] == '/' || s.p[0] == '@')
		return refuse(
		    p, "the kind is missing: write \"unix://%s\"", text);
	again.kind = CAB_TCP;
	again.ret = found;
	again.why = ignored;
	if (parse_port(&again, s, &port) == 0)
		return refuse(p,
		    "\"%s\" is text: write %u without quotes, or "
		    "\"tcp://*:%u\"",
		    text, port, port);
	if (memchr(s.p, ':', s.n) != NULL && s.p[0] != ':')
		return refuse(p,
		    "the kind is missing: write \"tcp://%s\" or "
		    "\"udp://%s\"",
		    text, text);
	return refuse(p,
	    "\"%s\" is no address: write a port number or an address such as "
	    "\"tcp://*:80\", \"udp://[::1]:53\" or \"unix:///run/x.sock\"",
	    text);
}

int
address_parse(const struct conf_names *names, struct cab_arena *arena,
    const char *text, struct cab_listen ret[NAMES_HOSTS], size_t *ret_n,
    char why[ADDRESS_WHY])
{
	struct parse p = { .names = names, .arena = arena, .ret = ret, .why = why };
	const char *mark = strstr(text, "://");
	struct cab_slice all = { text, strlen(text) }, scheme, rest;
	struct cab_nearest near;
	char word[SHOWN];
	size_t i;
	int r;

	if (mark == NULL)
		return no_scheme(&p, all);
	scheme = (struct cab_slice){ text, (size_t)(mark - text) };
	rest = (struct cab_slice){ mark + 3, all.n - scheme.n - 3 };
	near = (struct cab_nearest){ .want = shown(word, scheme) };
	for (i = 0; i < CAB_N(schemes); i++) {
		nearest_offer(&near, schemes[i].name);
		if (!slice_eq(scheme, schemes[i].name))
			continue;
		p.kind = schemes[i].kind;
		r = schemes[i].parse(&p, rest);
		*ret_n = p.n;
		return r;
	}
	return refuse(&p,
	    "unknown kind \"%s\"; %s%s%sknown are tcp, udp, unix, "
	    "unixgram, vsock and systemd",
	    word, near.best != NULL ? "did you mean \"" : "",
	    near.best != NULL ? near.best : "", near.best != NULL ? "\"? " : "");
}

int
address_parse_port(struct cab_arena *arena, int64_t port,
    struct cab_listen ret[NAMES_HOSTS], size_t *ret_n, char why[ADDRESS_WHY])
{
	struct parse p = {
		.arena = arena, .ret = ret, .kind = CAB_TCP, .why = why
	};
	int r;

	if (port < 0 || port > UINT16_MAX)
		return refuse(
		    &p, "port %lld is not in 0 to 65535", (long long)port);
	r = add_any(&p, (uint16_t)port);
	*ret_n = p.n;
	return r;
}

/* ---- two of them ------------------------------------------------------------------------ */

static bool
is_any(const struct cab_sockaddr *a)
{
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

static bool
inet_conflict(const struct cab_sockaddr *a, const char *a_interface,
    const struct cab_sockaddr *b, const char *b_interface)
{
	/* IPv6 listeners are V6ONLY, so the families never meet. */
	if (a->sa.sa_family != b->sa.sa_family || sockaddr_port(a) == 0 ||
	    sockaddr_port(a) != sockaddr_port(b))
		return false;
	if (a_interface != NULL && b_interface != NULL &&
	    strcmp(a_interface, b_interface) != 0)
		return false;
	return is_any(a) || is_any(b) || sockaddr_equal(a, b);
}

static bool
vsock_conflict(const struct cab_sockaddr *a, const struct cab_sockaddr *b)
{
	struct sockaddr_vm va, vb;

	memcpy(&va, &a->ss, sizeof(va));
	memcpy(&vb, &b->ss, sizeof(vb));
	return va.svm_port == vb.svm_port &&
	    (va.svm_cid == vb.svm_cid || va.svm_cid == VMADDR_CID_ANY ||
		vb.svm_cid == VMADDR_CID_ANY);
}

bool
address_conflict(const struct cab_listen *a, const char *a_interface,
    const struct cab_listen *b, const char *b_interface)
{
	bool a_unix = a->kind == CAB_UNIX || a->kind == CAB_UNIXGRAM;
	bool b_unix = b->kind == CAB_UNIX || b->kind == CAB_UNIXGRAM;

	/* A path is one file whatever the kind; abstract names are apart. */
	if (a_unix && b_unix)
		return sockaddr_equal(&a->addr, &b->addr) &&
		    (a->kind == b->kind || a->addr.un.sun_path[0] != '\0');
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case CAB_TCP:
	case CAB_UDP:
		return inet_conflict(
		    &a->addr, a_interface, &b->addr, b_interface);
	case CAB_VSOCK:
		return vsock_conflict(&a->addr, &b->addr);
	case CAB_SYSTEMD:
		return strcmp(a->name, b->name) == 0;
	default:
		return false;
	}
}

bool
address_is_pair(const struct cab_listen *a, const struct cab_listen *b)
{
	return a->kind == b->kind && b->optional &&
	    a->addr.sa.sa_family == AF_INET && b->addr.sa.sa_family == AF_INET6 &&
	    is_any(&a->addr) && is_any(&b->addr) &&
	    sockaddr_port(&a->addr) == sockaddr_port(&b->addr);
}

bool
address_is_any(const struct cab_listen *l)
{
	struct sockaddr_vm vm;

	if (l->kind == CAB_TCP || l->kind == CAB_UDP)
		return is_any(&l->addr);
	memcpy(&vm, &l->addr.ss, sizeof(vm));
	return l->kind == CAB_VSOCK && vm.svm_cid == VMADDR_CID_ANY;
}

unsigned
address_transport(const struct cab_listen *l)
{
	if (l->kind == CAB_SYSTEMD)
		return 0;
	return l->kind == CAB_UDP || l->kind == CAB_UNIXGRAM ? CAB_DGRAM :
							       CAB_STREAM;
}
