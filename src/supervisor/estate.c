/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The estate as bytes.  Supervisor only.  A build is known by its file: what
 * was installed anew is another one, whatever its version says, and no layout
 * of another build is ever looked at.
 */
#include "supervisor/estate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"

#define ESTATE_MAX (64 << 20)
#define MAGIC      UINT64_C(0x3165746174736263) /* "cbstate1" */

struct head {
	uint64_t magic;
	uint64_t build[4];
	uint64_t generation;
	uint32_t n_slots, n_off;
	uint64_t off_bytes, conf_bytes;
};

/* Of the program that runs, even if another one has its name by now. */
static int
own_build(uint64_t ret[4])
{
	struct stat st;

	if (stat("/proc/self/exe", &st) < 0)
		return -errno;
	ret[0] = st.st_dev;
	ret[1] = st.st_ino;
	ret[2] = (uint64_t)st.st_size;
	ret[3] = (uint64_t)st.st_mtim.tv_sec * 1000000000 +
	    (uint64_t)st.st_mtim.tv_nsec;
	return 0;
}

int
estate_encode(const struct estate *estate)
{
	struct head head = { .magic = MAGIC,
		.generation = estate->generation,
		.n_slots = (uint32_t)estate->n_slots,
		.n_off = (uint32_t)estate->n_off,
		.conf_bytes = estate->n_conf };
	struct cab_buf bytes = CAB_BUF_INIT(0);
	int r = own_build(head.build);

	for (size_t i = 0; i < estate->n_off; i++)
		head.off_bytes += strlen(estate->off[i]) + 1;
	if (r == 0)
		r = buf_append(&bytes, &head, sizeof(head));
	if (r == 0)
		r = buf_append(&bytes, estate->slots,
		    estate->n_slots * sizeof(estate->slots[0]));
	for (size_t i = 0; r == 0 && i < estate->n_off; i++)
		r = buf_append(
		    &bytes, estate->off[i], strlen(estate->off[i]) + 1);
	if (r == 0)
		r = buf_append(&bytes, estate->conf, estate->n_conf);
	if (r == 0)
		r = fd_sealed_memfd(
		    "cabinetd-state", buf_slice(&bytes).p, buf_len(&bytes));
	buf_release(&bytes);
	return r;
}

static int
decode_head(const char *bytes, size_t n, struct head *ret)
{
	uint64_t build[4];
	int r = own_build(build);

	if (r < 0)
		return r;
	if (n < sizeof(*ret))
		return -EBADMSG;
	memcpy(ret, bytes, sizeof(*ret));
	if (ret->magic != MAGIC || memcmp(ret->build, build, sizeof(build)) != 0)
		return -EXDEV;
	n -= sizeof(*ret);
	if (ret->off_bytes > n || ret->n_off > ret->off_bytes ||
	    ret->conf_bytes > n ||
	    (uint64_t)ret->n_slots * sizeof(uint32_t) + ret->off_bytes +
		    ret->conf_bytes !=
		n)
		return -EBADMSG;
	return 0;
}

/* n bytes as fresh memory, never NULL for want of bytes. */
static void *
copy(const char *bytes, size_t n)
{
	void *p = malloc(n + 1);

	if (p != NULL)
		memcpy(p, bytes, n);
	return p;
}

static int
decode_off(const char *bytes, const struct head *head, struct estate *estate)
{
	const char *end = bytes + head->off_bytes;

	estate->off = calloc((size_t)head->n_off + 1, sizeof(*estate->off));
	if (estate->off == NULL)
		return -ENOMEM;
	while (bytes < end) {
		size_t n = strnlen(bytes, (size_t)(end - bytes));

		if (bytes + n == end || estate->n_off == head->n_off)
			return -EBADMSG;
		estate->off[estate->n_off] = strdup(bytes);
		if (estate->off[estate->n_off++] == NULL)
			return -ENOMEM;
		bytes += n + 1;
	}
	return estate->n_off == head->n_off ? 0 : -EBADMSG;
}

int
estate_decode(int fd, struct estate *ret)
{
	struct estate estate = { 0 };
	struct head head = { 0 };
	char *bytes = NULL;
	const char *p;
	size_t n;
	int r;

	r = fd_read_all(fd, ESTATE_MAX, &bytes, &n);
	if (r == 0)
		r = decode_head(bytes, n, &head);
	if (r < 0)
		goto out;
	p = bytes + sizeof(head);
	estate.generation = head.generation;
	estate.n_slots = head.n_slots;
	estate.slots = copy(p, head.n_slots * sizeof(uint32_t));
	p += head.n_slots * sizeof(uint32_t);
	r = estate.slots != NULL ? decode_off(p, &head, &estate) : -ENOMEM;
	p += head.off_bytes;
	estate.n_conf = head.conf_bytes;
	if (r == 0)
		estate.conf = copy(p, head.conf_bytes);
	if (r == 0 && estate.conf == NULL)
		r = -ENOMEM;
out:
	free(bytes);
	if (r == 0)
		*ret = estate;
	else
		estate_release(&estate);
	return r;
}

void
estate_release(struct estate *estate)
{
	for (size_t i = 0; i < estate->n_off; i++)
		free(estate->off[i]);
	free(estate->off);
	free(estate->slots);
	free(estate->conf);
	*estate = (struct estate){ 0 };
}
