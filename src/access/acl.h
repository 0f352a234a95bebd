/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Address rules.  Pure.  The longest prefix that matches decides, whichever
 * list it stands in; deny wins a tie; with no match the peer is allowed unless
 * there is an allow list.  Unix and vsock peers are not subject to prefixes.
 */
#ifndef CAB_ACCESS_ACL_H
#define CAB_ACCESS_ACL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

struct acl_rules {
	const struct cab_prefix *allow, *deny;
	size_t n_allow, n_deny;
};

/* *ret_rule (may be NULL) gets the prefix that decided, or NULL. */
bool acl_allows(const struct acl_rules *rules, const struct cab_peer *peer,
    const struct cab_prefix **ret_rule);

#endif
