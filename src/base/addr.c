/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses and prefixes: text to bytes and back, normal forms, comparison.
 * Every process; peers' addresses pass here on every connection.  Never
 * resolves a name.  An IPv4-mapped IPv6 address or prefix is always its IPv4
 * self, so that no rule can be dodged by the other spelling.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

/* ---- peers ------------------------------------------------------------------ */

static void
peer_from_in6(struct cab_peer *peer, const struct sockaddr_in6 *in6)
{
	peer->port = ntohs(in6->sin6_port);
	if (memcmp(&in6->sin6_addr, v4_mapped, sizeof(v4_mapped)) == 0) {
		peer->family = AF_INET;
		memcpy(peer->ip, (const uint8_t *)&in6->sin6_addr + 12, 4);
		return;
	}
	peer->family = AF_INET6;
	peer->scope = in6->sin6_scope_id;
	memcpy(peer->ip, &in6->sin6_addr, 16);
}

void
peer_from_sockaddr(struct cab_peer *peer, const struct sockaddr *sa, socklen_t len)
{
	const void *bytes = sa; /* need not be aligned for every family */
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_vm vm;
	sa_family_t family = AF_UNSPEC;

	memset(peer, 0, sizeof(*peer));
	if (len >= sizeof(family) && len <= sizeof(struct sockaddr_storage))
		memcpy(&family, bytes, sizeof(family));
	if (family == AF_INET && len >= sizeof(in)) {
		memcpy(&in, bytes, sizeof(in));
		peer->port = ntohs(in.sin_port);
		memcpy(peer->ip, &in.sin_addr, 4);
	} else if (family == AF_INET6 && len >= sizeof(in6)) {
		memcpy(&in6, bytes, sizeof(in6));
		peer_from_in6(peer, &in6);
		return;
	} else if (family == AF_UNIX) {
		/* Who it is only SO_PEERCRED can tell. */
		peer->cred.uid = peer->cred.gid = UINT32_MAX;
	} else if (family == AF_VSOCK && len >= sizeof(vm)) {
		memcpy(&vm, bytes, sizeof(vm));
		peer->vsock.cid = vm.svm_cid;
		peer->vsock.port = vm.svm_port;
	} else {
		family = AF_UNSPEC;
	}
	peer->family = (uint8_t)family;
}

void
peer_to_sockaddr(const struct cab_peer *peer, struct cab_sockaddr *ret)
{
	struct sockaddr_vm vm = { .svm_family = AF_VSOCK };

	memset(ret, 0, sizeof(*ret));
	switch (peer->family) {
	case AF_INET:
		ret->len = sizeof(ret->in);
		ret->in.sin_family = AF_INET;
		ret->in.sin_port = htons(peer->port);
		memcpy(&ret->in.sin_addr, peer->ip, 4);
		break;
	case AF_INET6:
		ret->len = sizeof(ret->in6);
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons(peer->port);
		ret->in6.sin6_scope_id = peer->scope;
		memcpy(&ret->in6.sin6_addr, peer->ip, 16);
		break;
	case AF_VSOCK:
		vm.svm_cid = peer->vsock.cid;
		vm.svm_port = peer->vsock.port;
		ret->len = sizeof(vm);
		memcpy(&ret->ss, &vm, sizeof(vm));
		break;
	default:
		ret->len = sizeof(sa_family_t);
		ret->sa.sa_family = peer->family;
	}
}

char *
peer_ip_text(const struct cab_peer *peer, char *dst, size_t cap)
{
	char ip[INET6_ADDRSTRLEN];

	switch (peer->family) {
	case AF_INET:
	case AF_INET6:
		inet_ntop(peer->family, peer->ip, ip, sizeof(ip));
		if (peer->family == AF_INET6 && peer->scope != 0)
			snprintf(dst, cap, "%s%%%" PRIu32, ip, peer->scope);
		else
			snprintf(dst, cap, "%s", ip);
		break;
	case AF_UNIX:
		snprintf(dst, cap, "unix");
		break;
	case AF_VSOCK:
		snprintf(dst, cap, "vsock:%" PRIu32, peer->vsock.cid);
		break;
	default:
		snprintf(dst, cap, "unknown");
	}
	return dst;
}

char *
peer_text(const struct cab_peer *peer, char *dst, size_t cap)
{
	char ip[CAB_PEER_TEXT];

	peer_ip_text(peer, ip, sizeof(ip));
	if (peer->family == AF_INET)
		snprintf(dst, cap, "%s:%u", ip, peer->port);
	else if (peer->family == AF_INET6)
		snprintf(dst, cap, "[%s]:%u", ip, peer->port);
	else if (peer->family == AF_VSOCK)
		snprintf(dst, cap, "%s:%" PRIu32, ip, peer->vsock.port);
	else if (peer->family == AF_UNIX && peer->cred.uid != UINT32_MAX)
		snprintf(dst, cap, "uid:%" PRIu32, peer->cred.uid);
	else
		snprintf(dst, cap, "%s", ip);
	return dst;
}

char *
peer_source_text(const struct cab_peer *peer, char *dst, size_t cap)
{
	return peer->family == AF_UNIX ? peer_text(peer, dst, cap) :
					 peer_ip_text(peer, dst, cap);
}

void
peer_cut(struct cab_peer *peer, unsigned bits)
{
	size_t width = peer->family == AF_INET ? 4 :
	    peer->family == AF_INET6       ? 16 :
					     0;

	if (width == 0 || bits >= width * 8)
		return;
	peer->scope = 0;
	peer->ip[bits / 8] &= (uint8_t)(0xff00 >> bits % 8);
	memset(peer->ip + bits / 8 + 1, 0, width - bits / 8 - 1);
}

void
peer_anonymise(struct cab_peer *peer)
{
	peer_cut(peer,
	    peer->family == AF_INET ? CAB_ANONYMOUS_V4 : CAB_ANONYMOUS_V6);
}

struct cab_source
peer_source(const struct cab_peer *peer)
{
	struct cab_source source = { .family = peer->family };
	int i;

	switch (peer->family) {
	case AF_INET:
		for (i = 0; i < 4; i++)
			source.bits = source.bits << 8 | peer->ip[i];
		break;
	case AF_INET6:
		for (i = 0; i < 8; i++)
			source.bits = source.bits << 8 | peer->ip[i];
		/* fe80::/64 exists once per link. */
		if (peer->ip[0] == 0xfe && (peer->ip[1] & 0xc0) == 0x80)
			source.bits ^= peer->scope;
		break;
	case AF_UNIX:
		source.bits = peer->cred.uid;
		break;
	case AF_VSOCK:
		source.bits = peer->vsock.cid;
		break;
	}
	return source;
}

bool
peer_is_unicast(const struct cab_peer *peer)
{
	static const uint8_t any[16];

	switch (peer->family) {
	case AF_INET:
		/* 0.0.0.0/8 is no source, 224.0.0.0/3 multicast, reserved and broadcast. */
		return peer->ip[0] != 0 && peer->ip[0] < 224;
	case AF_INET6:
		return peer->ip[0] != 0xff && memcmp(peer->ip, any, 16) != 0;
	case AF_UNIX:
	case AF_VSOCK:
		return true;
	}
	return false;
}

/* ---- prefixes --------------------------------------------------------------- */

/* True when the bits behind the first `bits` of n bytes are zero. */
static bool
host_bits_clear(const uint8_t *ip, size_t n, unsigned bits)
{
	size_t i = bits / 8;

	if (bits % 8 != 0 && (ip[i++] & (0xff >> bits % 8)) != 0)
		return false;
	for (; i < n; i++)
		if (ip[i] != 0)
			return false;
	return true;
}

/* "8" after the slash; no sign, no leading zero, no more than max. */
static int
prefix_length(struct cab_slice text, unsigned max, unsigned *ret)
{
	int64_t bits;

	if (text.n == 0 || text.n > 3 || text.p[0] == '-' ||
	    (text.p[0] == '0' && text.n > 1))
		return -EINVAL;
	if (str_to_i64(text, &bits) < 0 || bits > max)
		return -EINVAL;
	*ret = (unsigned)bits;
	return 0;
}

int
prefix_parse(struct cab_slice text, struct cab_prefix *ret, const char **why)
{
	const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
	struct cab_prefix prefix = { .family = AF_INET };
	char ip[INET6_ADDRSTRLEN] = "";
	size_t n = slash != NULL ? (size_t)(slash - text.p) : text.n, width = 4;
	unsigned bits;

	*why = "is not an IPv4 or IPv6 address or prefix (names are not allowed)";
	if (n == 0 || n >= sizeof(ip) || memchr(text.p, '\0', n) != NULL)
		return -EINVAL;
	memcpy(ip, text.p, n);
	if (strchr(ip, '%') != NULL) {
		*why = "has a zone, which an address rule cannot have";
		return -EINVAL;
	}
	if (inet_pton(AF_INET, ip, prefix.ip) != 1) {
		if (inet_pton(AF_INET6, ip, prefix.ip) != 1)
			return -EINVAL;
		prefix.family = AF_INET6;
		width = 16;
	}
	bits = (unsigned)width * 8;
	if (slash != NULL &&
	    prefix_length((struct cab_slice){ slash + 1, text.n - n - 1 }, bits,
		&bits) < 0) {
		*why = width == 4 ? "needs a prefix length from 0 to 32" :
				    "needs a prefix length from 0 to 128";
		return -EINVAL;
	}
	if (!host_bits_clear(prefix.ip, width, bits)) {
		*why = "has bits set behind the prefix length";
		return -EINVAL;
	}
	if (prefix.family == AF_INET6 && bits >= 96 &&
	    memcmp(prefix.ip, v4_mapped, sizeof(v4_mapped)) == 0) {
		prefix.family = AF_INET;
		bits -= 96;
		memmove(prefix.ip, prefix.ip + 12, 4);
		memset(prefix.ip + 4, 0, 12);
	}
	prefix.bits = (uint8_t)bits;
	*ret = prefix;
	*why = NULL;
	return 0;
}

char *
prefix_text(const struct cab_prefix *prefix, char *dst, size_t cap)
{
	char ip[INET6_ADDRSTRLEN] = "?";

	inet_ntop(prefix->family, prefix->ip, ip, sizeof(ip));
	if (prefix->bits == (prefix->family == AF_INET ? 32 : 128))
		snprintf(dst, cap, "%s", ip);
	else
		snprintf(dst, cap, "%s/%u", ip, prefix->bits);
	return dst;
}

bool
prefix_match(const struct cab_prefix *prefix, const struct cab_peer *peer)
{
	unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;

	if (prefix->family != peer->family)
		return false;
	if (memcmp(prefix->ip, peer->ip, whole) != 0)
		return false;
	return rest == 0 ||
	    ((prefix->ip[whole] ^ peer->ip[whole]) & (0xff00 >> rest & 0xff)) ==
	    0;
}

bool
prefix_among(const struct cab_prefix *list, size_t n, const struct cab_peer *peer)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_match(&list[i], peer))
			return true;
	return false;
}

/* ---- socket addresses --------------------------------------------------------- */

/* A zone as an interface name or its index, on link-local addresses only. */
static int
parse_zone(const char *zone, const struct in6_addr *ip, uint32_t *ret)
{
	struct cab_slice text = { zone, strlen(zone) };
	int64_t index;
	int r;

	if (!IN6_IS_ADDR_LINKLOCAL(ip) && !IN6_IS_ADDR_MC_LINKLOCAL(ip))
		return -EINVAL;
	r = str_to_i64(text, &index);
	if (r == -EINVAL)
		index = if_nametoindex(zone);
	if (r == -ERANGE || index <= 0 || index > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)index;
	return 0;
}

int
sockaddr_parse_ip(struct cab_slice text, uint16_t port, struct cab_sockaddr *ret)
{
	char ip[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE] = "", *zone;
	struct cab_sockaddr addr;

	memset(&addr, 0, sizeof(addr));
	if (text.n == 0 || text.n >= sizeof(ip) ||
	    memchr(text.p, '\0', text.n) != NULL)
		return -EINVAL;
	memcpy(ip, text.p, text.n);
	if (inet_pton(AF_INET, ip, &addr.in.sin_addr) == 1) {
		addr.len = sizeof(addr.in);
		addr.in.sin_family = AF_INET;
		addr.in.sin_port = htons(port);
		*ret = addr;
		return 0;
	}
	zone = strchr(ip, '%');
	if (zone != NULL)
		*zone++ = '\0';
	if (inet_pton(AF_INET6, ip, &addr.in6.sin6_addr) != 1)
		return -EINVAL;
	if (zone != NULL &&
	    parse_zone(zone, &addr.in6.sin6_addr, &addr.in6.sin6_scope_id) < 0)
		return -EINVAL;
	addr.len = sizeof(addr.in6);
	addr.in6.sin6_family = AF_INET6;
	addr.in6.sin6_port = htons(port);
	*ret = addr;
	return 0;
}

bool
sockaddr_equal(const struct cab_sockaddr *a, const struct cab_sockaddr *b)
{
	struct sockaddr_vm va, vb;

	if (a->len != b->len || a->sa.sa_family != b->sa.sa_family)
		return false;
	switch (a->sa.sa_family) {
	case AF_INET:
		return a->in.sin_port == b->in.sin_port &&
		    a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	case AF_INET6:
		return a->in6.sin6_port == b->in6.sin6_port &&
		    a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
		    IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
	case AF_VSOCK:
		memcpy(&va, &a->ss, sizeof(va));
		memcpy(&vb, &b->ss, sizeof(vb));
		return va.svm_cid == vb.svm_cid && va.svm_port == vb.svm_port;
	}
	return a->len <= sizeof(a->ss) && memcmp(&a->ss, &b->ss, a->len) == 0;
}

/* A path up to its NUL, or "@" and an abstract name of exactly n bytes. */
static void
unix_text(const struct sockaddr_un *un, socklen_t len, char *dst, size_t cap)
{
	size_t head = offsetof(struct sockaddr_un, sun_path), n, i;
	bool abstract;

	n = len > head ? len - head : 0;
	if (n > sizeof(un->sun_path))
		n = sizeof(un->sun_path);
	abstract = n > 0 && un->sun_path[0] == '\0';
	if (!abstract)
		n = strnlen(un->sun_path, n);
	if (cap == 0)
		return;
	for (i = 0; i < n && i < cap - 1; i++) {
		unsigned char c = (unsigned char)un->sun_path[i];

		if (abstract && i == 0)
			dst[i] = '@';
		else
			dst[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	dst[i] = '\0';
}

char *
sockaddr_text(const struct cab_sockaddr *addr, char *dst, size_t cap)
{
	char ip[INET6_ADDRSTRLEN];
	struct cab_peer peer;
	struct sockaddr_vm vm;

	switch (addr->sa.sa_family) {
	case AF_INET6:
		/* Not by way of a peer: a mapped address stays what was configured. */
		inet_ntop(AF_INET6, &addr->in6.sin6_addr, ip, sizeof(ip));
		if (addr->in6.sin6_scope_id != 0)
			snprintf(dst, cap, "[%s%%%" PRIu32 "]:%u", ip,
			    addr->in6.sin6_scope_id, ntohs(addr->in6.sin6_port));
		else
			snprintf(dst, cap, "[%s]:%u", ip,
			    ntohs(addr->in6.sin6_port));
		break;
	case AF_UNIX:
		unix_text(&addr->un, addr->len, dst, cap);
		break;
	case AF_VSOCK:
		memcpy(&vm, &addr->ss, sizeof(vm));
		if (vm.svm_cid == VMADDR_CID_ANY)
			snprintf(dst, cap, "*:%u", vm.svm_port);
		else
			snprintf(dst, cap, "%u:%u", vm.svm_cid, vm.svm_port);
		break;
	default:
		peer_from_sockaddr(&peer, &addr->sa, addr->len);
		peer_text(&peer, dst, cap);
	}
	return dst;
}

uint16_t
sockaddr_port(const struct cab_sockaddr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return ntohs(addr->in.sin_port);
	if (addr->sa.sa_family == AF_INET6)
		return ntohs(addr->in6.sin6_port);
	return 0;
}
