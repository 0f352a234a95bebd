/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may get a datagram back.  Pure; workers.  An answer to a port that
 * itself answers datagrams can start a loop between two hosts that never ends.
 */
#include "config.h"

#include "access/udpguard.h"

/* Privileged ports of datagram services that answer, or that forward, what they receive. */
static const uint16_t answering_ports[] = {
	7,   /* echo */
	9,   /* discard */
	11,  /* systat */
	13,  /* daytime */
	17,  /* qotd */
	18,  /* msp */
	19,  /* chargen */
	37,  /* time */
	42,  /* nameserver */
	49,  /* tacacs */
	53,  /* domain */
	67,  /* bootps */
	68,  /* bootpc */
	69,  /* tftp */
	88,  /* kerberos */
	111, /* sunrpc */
	123, /* ntp */
	137, /* netbios-ns */
	138, /* netbios-dgm */
	161, /* snmp */
	162, /* snmp-trap */
	177, /* xdmcp */
	319, /* ptp-event */
	320, /* ptp-general */
	389, /* cldap */
	427, /* svrloc */
	443, /* quic */
	464, /* kpasswd */
	500, /* isakmp */
	512, /* biff */
	513, /* who */
	514, /* syslog */
	517, /* talk */
	518, /* ntalk */
	520, /* rip */
	521, /* ripng */
	546, /* dhcpv6-client */
	547, /* dhcpv6-server */
	623, /* asf-rmcp */
	631, /* ipp */
	749, /* kerberos-adm */
	853, /* domain-s */
};

void
udpguard_serve(struct udpguard *guard, uint16_t port)
{
	guard->served[port / 8] |= (uint8_t)(1u << (port % 8));
}

static bool
port_answers(const struct udpguard *guard, uint16_t port)
{
	if (guard->served[port / 8] & (1u << (port % 8)))
		return true;
	if (port >= 1024)
		return false;
	for (size_t i = 0;
	     i < sizeof(answering_ports) / sizeof(answering_ports[0]); i++)
		if (answering_ports[i] == port)
			return true;
	return port == 0;
}

bool
udpguard_may_reply(const struct udpguard *guard, const struct cab_peer *from,
    const struct cab_peer *to)
{
	if (from->family == AF_UNIX)
		return true;
	return peer_is_unicast(from) && peer_is_unicast(to) &&
	    !port_answers(guard, from->port);
}
