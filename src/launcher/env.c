/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The environment of a program.  Launcher only.  Nothing is inherited but what
 * pass_env names, and nothing that a peer can choose the text of gets in: of
 * the peer there are only numbers (CVE-2014-6271, CVE-2016-5385, CVE-2017-17562).
 */
#include "launcher/env.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PROGRAM_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The entries one behind the other with their NULs; NULL-safe against errors: the first one sticks. */
struct env {
	struct cab_buf text;
	size_t n;
	int error;
};

/* Takes an entry of the same name out again. */
static void
env_forget(struct env *env, const char *name, size_t name_n)
{
	char *p = env->text.data, *end = p + buf_len(&env->text);

	while (p != NULL && p < end) {
		size_t n = strlen(p) + 1;

		if (strncmp(p, name, name_n) == 0 && p[name_n] == '=') {
			memmove(p, p + n, (size_t)(end - p) - n);
			env->text.tail -= n;
			env->n--;
			return;
		}
		p += n;
	}
}

static void
env_add(struct env *env, const char *entry)
{
	const char *equals = strchr(entry, '=');

	if (equals == NULL || equals == entry)
		return;
	env_forget(env, entry, (size_t)(equals - entry));
	if (env->error == 0)
		env->error = buf_append(&env->text, entry, strlen(entry) + 1);
	if (env->error == 0)
		env->n++;
}

/* Our own names, each set once. */
static void
env_set(struct env *env, const char *prefix, const char *name, const char *value)
{
	const struct cab_slice parts[] = { { prefix, strlen(prefix) },
		{ name, strlen(name) }, CAB_SLICE("="),
		{ value, strlen(value) + 1 } };
	size_t i;

	for (i = 0; i < CAB_N(parts) && env->error == 0; i++)
		env->error = buf_append(&env->text, parts[i].p, parts[i].n);
	if (env->error == 0)
		env->n++;
}

static void
env_set_number(
    struct env *env, const char *prefix, const char *name, uint64_t value)
{
	char text[24], *p = text + sizeof(text) - 1;

	*p = '\0';
	do
		*--p = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	env_set(env, prefix, name, p);
}

static bool
is_ip(const struct cab_peer *peer)
{
	return peer != NULL &&
	    (peer->family == AF_INET || peer->family == AF_INET6);
}

static void
env_local(struct env *env, const struct env_source *source)
{
	char ip[CAB_PEER_TEXT];

	if (!is_ip(source->local))
		return;
	peer_ip_text(source->local, ip, sizeof(ip));
	env_set(env, source->proto, "LOCALIP", ip);
	env_set_number(env, source->proto, "LOCALPORT", source->local->port);
}

static void
env_peer(struct env *env, const struct env_source *source)
{
	const struct cab_peer *peer = source->peer;
	char ip[CAB_PEER_TEXT];

	if (peer == NULL)
		return;
	peer_ip_text(peer, ip, sizeof(ip));
	env_set(env, "", "REMOTE_ADDR", ip);
	env_set(env, "", "REMOTE_HOST", ip);
	if (is_ip(peer)) {
		env_set(env, source->proto, "REMOTEIP", ip);
		env_set_number(env, source->proto, "REMOTEPORT", peer->port);
		env_set_number(env, "", "REMOTE_PORT", peer->port);
	} else if (peer->family == AF_VSOCK) {
		env_set_number(env, "", "REMOTE_PORT", peer->vsock.port);
	} else if (peer->family == AF_UNIX && peer->cred.uid != UINT32_MAX) {
		env_set_number(env, "", "REMOTE_UID", peer->cred.uid);
		env_set_number(env, "", "REMOTE_GID", peer->cred.gid);
		if (peer->cred.pid > 0)
			env_set_number(
			    env, "", "REMOTE_PID", (uint64_t)peer->cred.pid);
	}
}

/* What systemd says to its service is not for the service's children (CVE-2016-7795 and A37). */
static bool
env_private(const char *name)
{
	static const char *const prefixes[] = { "NOTIFY_SOCKET", "LISTEN_",
		"WATCHDOG_", "FDSTORE" };
	size_t i;

	for (i = 0; i < CAB_N(prefixes); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static void
env_pass(struct env *env, const char *name, char *const *own)
{
	size_t n = strlen(name);

	if (n == 0 || strchr(name, '=') != NULL || env_private(name))
		return;
	for (; own != NULL && *own != NULL; own++)
		if (strncmp(*own, name, n) == 0 && (*own)[n] == '=') {
			env_add(env, *own);
			return;
		}
}

/* The pointers in front, the text behind them. */
static char **
env_block(const struct env *env)
{
	size_t head = (env->n + 1) * sizeof(char *), n = buf_len(&env->text), i;
	char **block, *p;

	block = malloc(head + n);
	if (block == NULL)
		return NULL;
	p = (char *)block + head;
	if (n > 0)
		memcpy(p, buf_slice(&env->text).p, n);
	for (i = 0; i < env->n; i++) {
		block[i] = p;
		p += strlen(p) + 1;
	}
	block[env->n] = NULL;
	return block;
}

char **
env_make(const struct env_source *source)
{
	const struct cab_exec *exec = source->service->exec;
	struct env env = { .text = CAB_BUF_INIT(0) };
	char **block = NULL;
	size_t i;

	env_set(&env, "", "PATH", PROGRAM_PATH);
	env_set(&env, "", "CABINETD_SERVICE", source->service->name);
	if (source->peer != NULL)
		env_set_number(&env, "", "CABINETD_CONN", source->conn_id);
	env_set(&env, "", "PROTO", source->proto);
	env_local(&env, source);
	env_peer(&env, source);
	if (exec->user.name != NULL) {
		env_set(&env, "", "USER", exec->user.name);
		env_set(&env, "", "LOGNAME", exec->user.name);
		env_set(&env, "", "HOME", exec->home != NULL ? exec->home : "/");
		env_set(&env, "", "SHELL", "/bin/sh");
	}
	for (i = 0; i < exec->pass_env.n; i++)
		env_pass(&env, exec->pass_env.v[i], source->own);
	for (i = 0; i < exec->env.n; i++)
		env_add(&env, exec->env.v[i]);
	if (env.error == 0)
		block = env_block(&env);
	buf_release(&env.text);
	return block;
}
