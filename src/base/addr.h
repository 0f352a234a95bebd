/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses: listening addresses as the kernel takes them, peers in a compact
 * normal form (an IPv4-mapped IPv6 address is always IPv4 here), and prefixes.
 * Pure text and arithmetic; names are never resolved here.  Every process.
 */
#ifndef CAB_BASE_ADDR_H
#define CAB_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

/* One end of a connection: 24 bytes. */
struct cab_peer {
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX, AF_VSOCK, AF_UNSPEC */
	uint16_t port;  /* host order */
	uint32_t scope; /* IPv6 zone index */
	union {
		uint8_t ip[16]; /* network order; IPv4 uses the first four */
		struct {
			uint32_t uid, gid;
			int32_t pid;
		} cred; /* AF_UNIX: who connected */
		struct {
			uint32_t cid, port;
		} vsock;
	};
};

/* A socket address of any kind, as bind(2) takes it. */
struct cab_sockaddr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage ss;
	};
};

/* A numeric prefix: v4 and v6 never match each other. */
struct cab_prefix {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t bits;
	uint8_t ip[16]; /* host bits are zero */
};

#define CAB_PEER_TEXT 80  /* "[v6%zone]:port" and NUL always fit */
#define CAB_ADDR_TEXT 160 /* a listening address in configuration syntax always fits, unix paths included */

/* Normalises what accept(2), getsockname(2) or recvmsg(2) gave.  Unknown families become AF_UNSPEC. */
void peer_from_sockaddr(struct cab_peer *peer, const struct sockaddr *sa, socklen_t len);
void peer_to_sockaddr(const struct cab_peer *peer, struct cab_sockaddr *ret);

/* "192.0.2.1", "2001:db8::1", "fe80::1%3", "unix", ... without and with the port ("192.0.2.1:80", "[::1]:80", "uid:1000"). */
char *peer_ip_text(const struct cab_peer *peer, char *dst, size_t cap);
char *peer_text(const struct cab_peer *peer, char *dst, size_t cap);

/* Who it is, in words that tell sources apart: as peer_ip_text, but "uid:1000". */
char *peer_source_text(const struct cab_peer *peer, char *dst, size_t cap);

/* Keeps the first bits of an IPv4 or IPv6 address, and drops its zone; leaves other peers and the port alone. */
void peer_cut(struct cab_peer *peer, unsigned bits);

/* Makes it the address of many: the last octet of IPv4, the last 80 bits of IPv6 become zero. */
#define CAB_ANONYMOUS_V4 24
#define CAB_ANONYMOUS_V6 48
void peer_anonymise(struct cab_peer *peer);

/* What a source counts as: IPv4 /32, IPv6 /64, a unix peer's uid, a vsock CID; family in the top byte's place. */
struct cab_source {
	uint64_t bits;
	uint32_t family;
};
struct cab_source peer_source(const struct cab_peer *peer);

/* "10.0.0.0/8", "::1", "192.0.2.7"; set host bits, names and zones are refused.  0 or -EINVAL; *why says what is wrong. */
int prefix_parse(struct cab_slice text, struct cab_prefix *ret, const char **why);
char *prefix_text(const struct cab_prefix *prefix, char *dst, size_t cap);
bool prefix_match(const struct cab_prefix *prefix, const struct cab_peer *peer);

/* True when one of the prefixes matches. */
bool prefix_among(const struct cab_prefix *list, size_t n, const struct cab_peer *peer);

/* Numeric IPv4, or IPv6 with optional zone name or index; no brackets.  0 or -EINVAL. */
int sockaddr_parse_ip(struct cab_slice text, uint16_t port, struct cab_sockaddr *ret);
bool sockaddr_equal(const struct cab_sockaddr *a, const struct cab_sockaddr *b);

/* In configuration syntax without the scheme: "127.0.0.1:80", "[::1]:80", "/run/x.sock", "@name", "3:1024". */
char *sockaddr_text(const struct cab_sockaddr *addr, char *dst, size_t cap);

/* Port in host order; 0 for addresses without one. */
uint16_t sockaddr_port(const struct cab_sockaddr *addr);

/* Loopback, unicast and the rest; used by the datagram rule. */
bool peer_is_unicast(const struct cab_peer *peer);

#endif
