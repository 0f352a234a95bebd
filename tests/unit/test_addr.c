/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses: every spelling has one normal form, v4-mapped peers and prefixes
 * are IPv4, and texts that could be read two ways are refused.
 *
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <net/if.h>

#include "base/addr.h"

static struct cab_slice
text(const char *s)
{
	return (struct cab_slice){ s, strlen(s) };
}

static struct cab_peer
peer(const char *ip, uint16_t port)
{
	struct cab_sockaddr addr;
	struct cab_peer p;

	assert_int_equal(sockaddr_parse_ip(text(ip), port, &addr), 0);
	peer_from_sockaddr(&p, &addr.sa, addr.len);
	return p;
}

static void
writes_peers(void **state)
{
	struct cab_peer p;
	char out[CAB_PEER_TEXT];

	(void)state;
	p = peer("192.0.2.1", 80);
	assert_string_equal(peer_text(&p, out, sizeof(out)), "192.0.2.1:80");
	assert_string_equal(peer_ip_text(&p, out, sizeof(out)), "192.0.2.1");
	p = peer("::1", 65535);
	assert_string_equal(peer_text(&p, out, sizeof(out)), "[::1]:65535");
	assert_string_equal(peer_source_text(&p, out, sizeof(out)), "::1");
	p = peer("fe80::1%3", 1);
	assert_string_equal(peer_text(&p, out, sizeof(out)), "[fe80::1%3]:1");
	assert_string_equal(peer_ip_text(&p, out, sizeof(out)), "fe80::1%3");
	p = (struct cab_peer){ .family = AF_UNIX, .cred = { 1000, 100, 42 } };
	assert_string_equal(peer_text(&p, out, sizeof(out)), "uid:1000");
	assert_string_equal(peer_ip_text(&p, out, sizeof(out)), "unix");
	assert_string_equal(peer_source_text(&p, out, sizeof(out)), "uid:1000");
	p = (struct cab_peer){ .family = AF_VSOCK, .vsock = { 3, 1024 } };
	assert_string_equal(peer_text(&p, out, sizeof(out)), "vsock:3:1024");
	p = (struct cab_peer){ .family = AF_UNSPEC };
	assert_string_equal(peer_text(&p, out, sizeof(out)), "unknown");
	p = peer("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
	p.scope = UINT32_MAX;
	peer_text(&p, out, sizeof(out));
	assert_string_equal(
	    out, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

static void
normalises_mapped_peers(void **state)
{
	struct cab_peer v4 = peer("192.0.2.7", 99);
	struct cab_peer mapped = peer("::ffff:192.0.2.7", 99);
	struct cab_peer compat = peer("::192.0.2.7", 99);

	(void)state;
	assert_memory_equal(&v4, &mapped, sizeof(v4));
	assert_int_equal(compat.family, AF_INET6);
}

static void
survives_odd_socket_addresses(void **state)
{
	struct cab_sockaddr addr;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct cab_peer p;
	socklen_t len;

	(void)state;
	assert_int_equal(sockaddr_parse_ip(text("::1"), 1, &addr), 0);
	for (len = 0; len < sizeof(addr.in6); len++) {
		memset(&p, 0xee, sizeof(p));
		peer_from_sockaddr(&p, &addr.sa, len);
		assert_int_equal(p.family, AF_UNSPEC);
	}
	/* An unnamed unix peer is two bytes long. */
	peer_from_sockaddr(&p, (struct sockaddr *)&un, sizeof(sa_family_t));
	assert_int_equal(p.family, AF_UNIX);
	assert_int_equal(p.cred.uid, UINT32_MAX);
	addr.sa.sa_family = AF_APPLETALK;
	peer_from_sockaddr(&p, &addr.sa, sizeof(addr.ss));
	assert_int_equal(p.family, AF_UNSPEC);
}

static void
turns_peers_back(void **state)
{
	static const char *const ips[] = { "192.0.2.1", "::1", "fe80::9%2" };
	struct cab_sockaddr addr;
	struct cab_peer p, back;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(ips) / sizeof(ips[0]); i++) {
		p = peer(ips[i], 4242);
		peer_to_sockaddr(&p, &addr);
		peer_from_sockaddr(&back, &addr.sa, addr.len);
		assert_memory_equal(&p, &back, sizeof(p));
	}
	memset(&p, 0, sizeof(p));
	p.family = AF_VSOCK;
	p.vsock.cid = 3;
	p.vsock.port = 70000;
	peer_to_sockaddr(&p, &addr);
	assert_int_equal(addr.len, sizeof(struct sockaddr_vm));
	peer_from_sockaddr(&back, &addr.sa, addr.len);
	assert_memory_equal(&p, &back, sizeof(p));
}

static void
counts_sources(void **state)
{
	struct cab_peer a, b;
	struct cab_source s, t;

	(void)state;
	a = peer("2001:db8:1:2:aaaa::1", 1);
	b = peer("2001:db8:1:2:bbbb::2", 2);
	s = peer_source(&a);
	t = peer_source(&b);
	assert_true(s.bits == t.bits && s.family == t.family);
	b = peer("2001:db8:1:3:aaaa::1", 1);
	t = peer_source(&b);
	assert_true(s.bits != t.bits);
	a = peer("10.0.0.1", 1);
	b = peer("10.0.0.2", 1);
	s = peer_source(&a);
	t = peer_source(&b);
	assert_true(s.bits != t.bits);
	/* Same bits, another family: another source. */
	b = (struct cab_peer){ .family = AF_UNIX, .cred = { .uid = 0x0a000001 } };
	t = peer_source(&b);
	assert_true(s.bits == t.bits && s.family != t.family);
	a = peer("fe80::1%2", 1);
	b = peer("fe80::1%3", 1);
	s = peer_source(&a);
	t = peer_source(&b);
	assert_true(s.bits != t.bits);
}

static void
parses_prefixes(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} rows[] = {
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "192.0.2.7", "192.0.2.7" },
		{ "192.0.2.7/32", "192.0.2.7" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "::/0", "::/0" },
		{ "::1", "::1" },
		{ "2001:DB8::/33", "2001:db8::/33" },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8" },
		{ "::ffff:10.1.2.3", "10.1.2.3" },
		{ "::ffff:0:0/96", "0.0.0.0/0" },
		{ "::/95", "::/95" },
		{ "10.0.0.1/8", NULL },
		{ "2001:db8::1/64", NULL },
		{ "128.0.0.0/0", NULL },
		{ "10.0.0.0/33", NULL },
		{ "::/129", NULL },
		{ "10.0.0.0/", NULL },
		{ "10.0.0.0/08", NULL },
		{ "10.0.0.0/-1", NULL },
		{ "10.0.0.0/+8", NULL },
		{ "10.0.0.0/8/8", NULL },
		{ "10.0.0.0/255.0.0.0", NULL },
		{ "10.0.0", NULL },
		{ "010.0.0.1", NULL },
		{ "fe80::1%lo", NULL },
		{ "fe80::%1/64", NULL },
		{ "localhost", NULL },
		{ " 10.0.0.1", NULL },
		{ "10.0.0.1 ", NULL },
		{ "/8", NULL },
		{ "", NULL },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999", NULL },
	};
	struct cab_prefix p, before;
	char out[CAB_ADDR_TEXT];
	const char *why;
	size_t i;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(&p, &before, sizeof(p));
		if (rows[i].out == NULL) {
			assert_int_equal(
			    prefix_parse(text(rows[i].in), &p, &why), -EINVAL);
			assert_non_null(why);
			assert_memory_equal(&p, &before, sizeof(p));
			continue;
		}
		assert_int_equal(prefix_parse(text(rows[i].in), &p, &why), 0);
		assert_string_equal(
		    prefix_text(&p, out, sizeof(out)), rows[i].out);
	}
	assert_int_equal(
	    prefix_parse(CAB_SLICE("10.0.0.1\0x"), &p, &why), -EINVAL);
}

static void
matches_prefixes(void **state)
{
	static const struct {
		const char *prefix, *ip;
		bool match;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "::ffff:10.1.1.1", true },
		{ "::ffff:10.0.0.0/104", "10.1.1.1", true },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "203.0.113.9", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "::ffff:10.1.1.1", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.6", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "fe80::/10", "fe80::1%2", true },
		{ "::1", "::1", true },
	};
	struct cab_prefix p;
	struct cab_peer from;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(prefix_parse(text(rows[i].prefix), &p, &why), 0);
		from = peer(rows[i].ip, 1);
		assert_int_equal(prefix_match(&p, &from), rows[i].match);
	}
	from = (struct cab_peer){ .family = AF_UNIX };
	assert_int_equal(prefix_parse(text("0.0.0.0/0"), &p, &why), 0);
	assert_false(prefix_match(&p, &from));
}

static void
parses_socket_addresses(void **state)
{
	static const char *const bad[] = { "", "1.2.3", "1.2.3.4.5", "[::1]",
		"::1%", "2001:db8::1%1", "fe80::1%no-such-if", "fe80::1%0",
		"fe80::1%99999999999", "::g", "1.2.3.4%1", "localhost",
		"fe80::1%0123456789012345678901234567890123456789012345678" };
	struct cab_sockaddr addr, other;
	char out[CAB_ADDR_TEXT];
	size_t i;

	(void)state;
	memset(&other, 0x5a, sizeof(other));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(&addr, &other, sizeof(addr));
		assert_int_equal(
		    sockaddr_parse_ip(text(bad[i]), 1, &addr), -EINVAL);
		assert_memory_equal(&addr, &other, sizeof(addr));
	}
	assert_int_equal(sockaddr_parse_ip(text("127.0.0.1"), 80, &addr), 0);
	assert_string_equal(
	    sockaddr_text(&addr, out, sizeof(out)), "127.0.0.1:80");
	assert_int_equal(sockaddr_port(&addr), 80);
	assert_int_equal(sockaddr_parse_ip(text("127.0.0.1"), 81, &other), 0);
	assert_false(sockaddr_equal(&addr, &other));
	assert_int_equal(sockaddr_parse_ip(text("::"), 80, &other), 0);
	assert_false(sockaddr_equal(&addr, &other));
	assert_string_equal(sockaddr_text(&other, out, sizeof(out)), "[::]:80");
	assert_int_equal(sockaddr_parse_ip(text("0::0"), 80, &addr), 0);
	assert_true(sockaddr_equal(&addr, &other));
	assert_int_equal(sockaddr_parse_ip(text("fe80::1%1"), 80, &addr), 0);
	assert_int_equal(addr.in6.sin6_scope_id, 1);
	if (if_nametoindex("lo") != 0) {
		assert_int_equal(
		    sockaddr_parse_ip(text("fe80::1%lo"), 80, &other), 0);
		assert_int_equal(other.in6.sin6_scope_id, if_nametoindex("lo"));
	}
}

static void
writes_unix_and_vsock(void **state)
{
	struct cab_sockaddr addr = { 0 }, other;
	struct sockaddr_vm vm = {
		.svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 1024
	};
	const socklen_t head = offsetof(struct sockaddr_un, sun_path);
	char out[CAB_ADDR_TEXT];

	(void)state;
	addr.un.sun_family = AF_UNIX;
	addr.len = head;
	assert_string_equal(sockaddr_text(&addr, out, sizeof(out)), "");
	memcpy(addr.un.sun_path, "/run/x.sock", 12);
	addr.len = head + 12;
	assert_string_equal(
	    sockaddr_text(&addr, out, sizeof(out)), "/run/x.sock");
	assert_int_equal(sockaddr_port(&addr), 0);
	other = addr;
	assert_true(sockaddr_equal(&addr, &other));
	other.un.sun_path[5] = 'y';
	assert_false(sockaddr_equal(&addr, &other));
	memcpy(addr.un.sun_path, "\0na\nme", 6);
	addr.len = head + 6;
	assert_string_equal(sockaddr_text(&addr, out, sizeof(out)), "@na?me");
	/* A path may fill the field without a NUL. */
	memset(addr.un.sun_path, 'a', sizeof(addr.un.sun_path));
	addr.len = sizeof(addr.un);
	sockaddr_text(&addr, out, sizeof(out));
	assert_int_equal(strlen(out), sizeof(addr.un.sun_path));
	sockaddr_text(&addr, out, 5);
	assert_string_equal(out, "aaaa");

	memset(&addr, 0, sizeof(addr));
	memcpy(&addr.ss, &vm, sizeof(vm));
	addr.len = sizeof(vm);
	assert_string_equal(sockaddr_text(&addr, out, sizeof(out)), "3:1024");
	other = addr;
	assert_true(sockaddr_equal(&addr, &other));
}

static void
knows_unicast(void **state)
{
	static const struct {
		const char *ip;
		bool unicast;
	} rows[] = {
		{ "127.0.0.1", true },
		{ "192.0.2.1", true },
		{ "223.255.255.255", true },
		{ "0.0.0.0", false },
		{ "224.0.0.1", false },
		{ "239.1.2.3", false },
		{ "255.255.255.255", false },
		{ "::ffff:224.0.0.1", false },
		{ "::1", true },
		{ "2001:db8::1", true },
		{ "::", false },
		{ "ff02::1", false },
	};
	struct cab_peer p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		p = peer(rows[i].ip, 1);
		assert_int_equal(peer_is_unicast(&p), rows[i].unicast);
	}
	p = (struct cab_peer){ .family = AF_UNIX };
	assert_true(peer_is_unicast(&p));
	p.family = AF_UNSPEC;
	assert_false(peer_is_unicast(&p));
}

/* Bits that stay, for both families at every length. */
static void
cuts_addresses(void **state)
{
	struct cab_peer peer, before = { .family = AF_INET6,
		.port = 7,
		.scope = 3,
		.ip = { [0 ... 15] = 0xff } };
	char out[CAB_PEER_TEXT];

	(void)state;
	for (unsigned bits = 0; bits < 128; bits++) {
		peer = before;
		peer_cut(&peer, bits);
		for (unsigned i = 0; i < 128; i++)
			assert_int_equal(
			    peer.ip[i / 8] >> (7 - i % 8) & 1, i < bits);
		assert_int_equal(peer.port, 7);
		assert_int_equal(peer.scope, 0);
	}
	peer = before;
	peer_cut(&peer, 128);
	assert_memory_equal(&peer, &before, sizeof(peer));
	peer_anonymise(&peer);
	assert_string_equal(
	    peer_ip_text(&peer, out, sizeof(out)), "ffff:ffff:ffff::");
	peer.family = AF_INET;
	memcpy(peer.ip, (uint8_t[]){ 192, 0, 2, 7 }, 4);
	peer_anonymise(&peer);
	assert_string_equal(peer_text(&peer, out, sizeof(out)), "192.0.2.0:7");
	before = (struct cab_peer){ .family = AF_UNIX, .cred = { 1000, 99, 7 } };
	peer = before;
	peer_anonymise(&peer);
	assert_memory_equal(&peer, &before, sizeof(peer));
}

static void
finds_a_peer_among_prefixes(void **state)
{
	struct cab_peer peer = { .family = AF_INET, .ip = { 10, 0, 0, 5 } };
	struct cab_prefix list[2];
	const char *why;

	(void)state;
	assert_int_equal(prefix_parse(text("10.0.0.5"), &list[0], &why), 0);
	assert_int_equal(prefix_parse(text("192.0.2.0/24"), &list[1], &why), 0);
	assert_false(prefix_among(NULL, 0, &peer));
	assert_true(prefix_among(list, 2, &peer));
	assert_false(prefix_among(list + 1, 1, &peer));
	memcpy(peer.ip, (uint8_t[]){ 192, 0, 2, 200 }, 4);
	assert_true(prefix_among(list, 2, &peer));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_peers),
		cmocka_unit_test(normalises_mapped_peers),
		cmocka_unit_test(survives_odd_socket_addresses),
		cmocka_unit_test(turns_peers_back),
		cmocka_unit_test(counts_sources),
		cmocka_unit_test(parses_prefixes),
		cmocka_unit_test(matches_prefixes),
		cmocka_unit_test(parses_socket_addresses),
		cmocka_unit_test(writes_unix_and_vsock),
		cmocka_unit_test(knows_unicast),
		cmocka_unit_test(cuts_addresses),
		cmocka_unit_test(finds_a_peer_among_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
