/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The datagram rule (DESIGN section 5): which datagrams may be answered, and
 * with how much.  Pure; it sits in the core so that no protocol can forget it.
 * CVE-1999-0103, CVE-2024-2169 (loops), US-CERT TA14-017A (amplification).
 */
#ifndef CAB_ACCESS_UDPGUARD_H
#define CAB_ACCESS_UDPGUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* Ports this daemon serves datagrams on. */
struct udpguard {
	uint8_t served[65536 / 8];
};
void udpguard_serve(struct udpguard *guard, uint16_t port);

/* True when a reply to this source may be sent at all: unicast both ways, and a
 * source port that is not a datagram service's. */
bool udpguard_may_reply(const struct udpguard *guard,
    const struct cab_peer *from, const struct cab_peer *to);

/* The longest reply to a request of n bytes. */
static inline size_t
udpguard_max_reply(size_t n)
{
	return n > 64 ? n : 64;
}

#endif
