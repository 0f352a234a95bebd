/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Look-ups through the C library.  Config role only.  Never called with a
 * string that came from a network peer.
 */
#include "conf/names.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* A decimal id; -EINVAL if the text is not a number at all. */
static int
number(const char *text, uint32_t *ret)
{
	int64_t value;
	int r = str_to_i64((struct cab_slice){ text, strlen(text) }, &value);

	if (r == -EINVAL)
		return r;
	/* UINT32_MAX is "no id" to the kernel. */
	if (r < 0 || value < 0 || value >= UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)value;
	return 0;
}

static int
system_user(void *arg, const char *name, struct conf_user *ret)
{
	struct passwd *pw;
	uint32_t uid;
	int r;

	(void)arg;
	r = number(name, &uid);
	if (r == -ERANGE)
		return -ENOENT;
	errno = 0;
	pw = r == 0 ? getpwuid(uid) : getpwnam(name);
	if (pw == NULL)
		return errno == 0 || errno == ESRCH ? -ENOENT : -errno;
	if (strlen(pw->pw_name) >= sizeof(ret->name) ||
	    strlen(pw->pw_dir) >= sizeof(ret->home))
		return -ENAMETOOLONG;
	ret->uid = pw->pw_uid;
	ret->gid = pw->pw_gid;
	snprintf(ret->name, sizeof(ret->name), "%s", pw->pw_name);
	snprintf(ret->home, sizeof(ret->home), "%s", pw->pw_dir);
	return 0;
}

static int
system_group(void *arg, const char *name, uint32_t *ret_gid)
{
	struct group *gr;
	uint32_t gid;
	int r;

	(void)arg;
	r = number(name, &gid);
	if (r == -ERANGE)
		return -ENOENT;
	errno = 0;
	gr = r == 0 ? getgrgid(gid) : getgrnam(name);
	if (gr == NULL)
		return errno == 0 || errno == ESRCH ? -ENOENT : -errno;
	*ret_gid = gr->gr_gid;
	return 0;
}

static int
system_group_name(void *arg, uint32_t gid, char ret[NAMES_TEXT])
{
	struct group *gr;

	(void)arg;
	gr = getgrgid(gid);
	if (gr == NULL || strlen(gr->gr_name) >= NAMES_TEXT)
		return -ENOENT;
	snprintf(ret, NAMES_TEXT, "%s", gr->gr_name);
	return 0;
}

static int
system_groups(void *arg, const char *user, uint32_t gid,
    uint32_t ids[NAMES_GROUPS], size_t *ret_n)
{
	gid_t list[NAMES_GROUPS];
	int n = NAMES_GROUPS, i;

	(void)arg;
	if (getgrouplist(user, gid, list, &n) < 0)
		return -E2BIG;
	for (i = 0; i < n; i++)
		ids[i] = list[i];
	*ret_n = (size_t)n;
	return 0;
}

static int
system_host(void *arg, const char *host, struct cab_sockaddr ret[NAMES_HOSTS],
    size_t *ret_n, const char **why)
{
	/* One socket type, or every address would come once for each. */
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *ai;
	size_t n = 0;
	int r;

	(void)arg;
	r = getaddrinfo(host, NULL, &hints, &list);
	if (r != 0) {
		*why = r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r);
		return -ENOENT;
	}
	for (ai = list; ai != NULL && n < NAMES_HOSTS; ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(ret[n].ss) ||
		    (ai->ai_family != AF_INET && ai->ai_family != AF_INET6))
			continue;
		memset(&ret[n], 0, sizeof(ret[n]));
		ret[n].len = ai->ai_addrlen;
		memcpy(&ret[n].ss, ai->ai_addr, ai->ai_addrlen);
		n++;
	}
	freeaddrinfo(list);
	*why = "it has no IPv4 or IPv6 address";
	*ret_n = n;
	return n > 0 ? 0 : -ENOENT;
}

static int
system_port(void *arg, const char *name, const char *transport, uint16_t *ret)
{
	struct servent *entry;

	(void)arg;
	entry = getservbyname(name, transport);
	if (entry == NULL)
		return -ENOENT;
	*ret = ntohs((uint16_t)entry->s_port);
	return 0;
}

const struct conf_names conf_system_names = {
	.user = system_user,
	.group = system_group,
	.group_name = system_group_name,
	.groups = system_groups,
	.host = system_host,
	.port = system_port,
};
