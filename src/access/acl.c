/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which prefix decides about a peer.  Pure; used by workers for every stream
 * connection and datagram, and to explain a decision to the administrator.
 */
#include "config.h"

#include "access/acl.h"

static const struct cab_prefix *
longest_match(const struct cab_prefix *list, size_t n, const struct cab_peer *peer)
{
	const struct cab_prefix *best = NULL;

	for (size_t i = 0; i < n; i++)
		if ((!best || list[i].bits > best->bits) &&
		    prefix_match(&list[i], peer))
			best = &list[i];
	return best;
}

bool
acl_allows(const struct acl_rules *rules, const struct cab_peer *peer,
    const struct cab_prefix **ret_rule)
{
	const struct cab_prefix *allow = NULL, *deny = NULL;
	bool allowed;

	if (ret_rule)
		*ret_rule = NULL;
	if (peer->family != AF_INET && peer->family != AF_INET6)
		return true;
	allow = longest_match(rules->allow, rules->n_allow, peer);
	deny = longest_match(rules->deny, rules->n_deny, peer);
	if (allow && deny)
		allowed = allow->bits > deny->bits;
	else
		allowed = allow || (!deny && rules->n_allow == 0);
	if (ret_rule)
		*ret_rule = allowed ? allow : deny;
	return allowed;
}
