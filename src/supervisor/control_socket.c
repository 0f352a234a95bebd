/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket.  Supervisor only, perhaps as root.  Rights are asked of
 * the kernel for each connection: the file's mode keeps strangers from
 * connecting, but decides about nothing more.
 */
#include "supervisor/control_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define BACKLOG    64
#define GROUPS_MAX 65536 /* NGROUPS_MAX of Linux */

static struct cab_socket_opts
file_opts(const struct cab_conf *conf)
{
	bool group = conf->admin_group.name != NULL;

	return (struct cab_socket_opts){ .group = conf->admin_group,
		.mode = group ? 0660 : 0600 };
}

static uint32_t
admin_gid(const struct cab_conf *conf)
{
	return conf->admin_group.name != NULL ? conf->admin_group.id : UINT32_MAX;
}

/* The directory of the default path, which nobody else makes without systemd. */
static void
make_directory(const char *path, mode_t mode)
{
	const char *slash = strrchr(path, '/');
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	mode_t mask;

	if (slash == NULL || slash == path || strlen(path) >= sizeof(dir))
		return;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	mask = umask(0);
	/* Whatever is wrong with it, binding will tell. */
	(void)mkdir(dir, mode);
	umask(mask);
}

static int
set_capability(cap_value_t which, cap_flag_value_t to)
{
	cap_t caps = cap_get_proc();
	int r;

	if (caps == NULL)
		return -errno;
	r = cap_set_flag(caps, CAP_EFFECTIVE, 1, &which, to);
	if (r == 0)
		r = cap_set_proc(caps);
	r = r < 0 ? -errno : 0;
	cap_free(caps);
	return r;
}

/*
 * Makes the file as a member of the group, where files may not be given away:
 * a unit that lets the launcher change groups need not allow chown as well.
 */
static int
bind_in_group(struct control_socket *sock, const struct cab_socket_opts *opts,
    const char **why)
{
	struct cab_socket_opts plain = { .mode = opts->mode };
	int r = set_capability(CAP_SETGID, CAP_SET);

	if (r < 0)
		return -EPERM;
	(void)setfsgid(opts->group.id);
	r = (uint32_t)setfsgid((gid_t)-1) == opts->group.id ?
	    unix_file_bind(
		sock->fd, SOCK_STREAM, &sock->addr, &plain, &sock->file, why) :
	    -EPERM;
	(void)setfsgid(getegid());
	(void)set_capability(CAP_SETGID, CAP_CLEAR);
	return r;
}

static int
bind_file(
    struct control_socket *sock, const struct cab_conf *conf, const char **why)
{
	struct cab_socket_opts opts = file_opts(conf);
	int r = unix_file_bind(
	    sock->fd, SOCK_STREAM, &sock->addr, &opts, &sock->file, why);

	if (r != -EPERM || opts.group.name == NULL || geteuid() != 0)
		return r;
	/* The failed attempt has bound the descriptor for good. */
	fd_close(sock->fd);
	sock->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sock->fd < 0)
		return -errno;
	return bind_in_group(sock, &opts, why) == 0 ? 0 : r;
}

int
control_socket_open(
    const struct cab_conf *conf, struct control_socket *ret, const char **why)
{
	struct control_socket sock = { .fd = -1, .admin_gid = admin_gid(conf) };
	size_t n = conf->control != NULL ? strlen(conf->control) : 0;
	int r = 0;

	*why = NULL;
	if (n == 0) {
		*why = "there is no place for it: set XDG_RUNTIME_DIR, or "
		       "control in the configuration";
		return -ENOENT;
	}
	if (n >= sizeof(sock.addr.un.sun_path))
		return -ENAMETOOLONG;
	sock.addr.un.sun_family = AF_UNIX;
	memcpy(sock.addr.un.sun_path, conf->control, n + 1);
	sock.addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
	    1);
	if (conf->control_line == 0)
		make_directory(conf->control, geteuid() == 0 ? 0755 : 0700);
	sock.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = sock.fd < 0 ? -errno : bind_file(&sock, conf, why);
	if (r == 0 && listen(sock.fd, BACKLOG) < 0)
		r = -errno;
	if (r == 0)
		*ret = sock;
	else
		control_socket_close(&sock);
	if (r == -EADDRINUSE)
		*why = "another daemon has it: stop that one, or set control to "
		       "another path";
	return r;
}

int
control_socket_regroup(
    struct control_socket *sock, const struct cab_conf *conf, const char **why)
{
	struct cab_socket_opts opts = file_opts(conf);
	int r;

	/* Back to our own group, where there was another. */
	if (opts.group.name == NULL && sock->admin_gid != UINT32_MAX)
		opts.group = (struct cab_account){ "", getegid(), getegid() };
	r = unix_file_protect(&sock->file, &sock->addr, &opts, why);
	if (r == 0)
		sock->admin_gid = admin_gid(conf);
	return r;
}

bool
control_socket_stays(
    const struct control_socket *sock, const struct cab_conf *conf)
{
	return sock->fd >= 0 && conf->control != NULL &&
	    strcmp(sock->addr.un.sun_path, conf->control) == 0;
}

void
control_socket_close(struct control_socket *sock)
{
	if (sock->fd >= 0)
		unix_file_remove(&sock->file, &sock->addr);
	sock->fd = fd_close(sock->fd);
	sock->file.made = false;
}

static bool
in_group(int fd, gid_t gid)
{
	socklen_t len = 0;
	gid_t *groups;
	bool found = false;

	/* Asked for nothing, the kernel says how much there is. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 ||
	    errno != ERANGE || len > GROUPS_MAX * sizeof(*groups))
		return false;
	groups = malloc(len);
	if (groups == NULL)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0)
		for (size_t i = 0; i < len / sizeof(*groups); i++)
			found |= groups[i] == gid;
	free(groups);
	return found;
}

int
control_socket_peer(
    const struct control_socket *sock, int fd, struct control_peer *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*ret = (struct control_peer){ .uid = cred.uid, .pid = cred.pid };
	ret->full = cred.uid == 0 || cred.uid == geteuid();
	ret->look = ret->full ||
	    (sock->admin_gid != UINT32_MAX &&
		(cred.gid == sock->admin_gid || in_group(fd, sock->admin_gid)));
	return 0;
}
