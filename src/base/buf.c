/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A growable run of bytes.  Every process.  Appending and consuming cost
 * amortised constant time per byte: bytes are moved only over a gap at least as
 * long as themselves.  Never holds more than the owner's limit and never
 * touches its contents on failure.
 */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 256

/* The next power of two that holds n bytes; 0 when there is none. */
static size_t
buf_round(size_t n)
{
	size_t cap = BUF_FIRST;

	while (cap < n) {
		if (cap > SIZE_MAX / 2)
			return 0;
		cap *= 2;
	}
	return cap;
}

/* Room for n bytes after the tail, `extra` of which do not count as contents. */
static int
buf_reserve(struct cab_buf *b, size_t n, size_t extra)
{
	size_t len = buf_len(b), need, cap;
	char *data;

	if (b->limit != 0 && (len > b->limit || n > b->limit - len))
		return -EMSGSIZE;
	if (__builtin_add_overflow(len, n, &need) ||
	    __builtin_add_overflow(need, extra, &need))
		return -ENOMEM;
	if (b->data != NULL && b->cap - b->tail >= n + extra)
		return 0;
	if (b->data != NULL && b->cap >= need && b->head >= len) {
		memmove(b->data, b->data + b->head, len);
		b->head = 0;
		b->tail = len;
		return 0;
	}
	cap = buf_round(need);
	/* It would fit, but only by moving more bytes than were consumed. */
	if (cap != 0 && cap <= b->cap)
		cap = buf_round(b->cap + 1);
	if (cap == 0)
		return -ENOMEM;
	data = malloc(cap);
	if (data == NULL)
		return -ENOMEM;
	if (len > 0)
		memcpy(data, b->data + b->head, len);
	free(b->data);
	b->data = data;
	b->head = 0;
	b->tail = len;
	b->cap = cap;
	return 0;
}

int
buf_append(struct cab_buf *b, const void *src, size_t n)
{
	int r;

	if (n == 0)
		return 0;
	r = buf_reserve(b, n, 0);
	if (r < 0)
		return r;
	memcpy(b->data + b->tail, src, n);
	b->tail += n;
	return 0;
}

int
buf_vprintf(struct cab_buf *b, const char *fmt, va_list ap)
{
	size_t spare = b->data != NULL ? b->cap - b->tail : 0;
	va_list again;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(spare > 0 ? b->data + b->tail : NULL, spare, fmt, ap);
	if (n < 0) {
		r = errno > 0 ? -errno : -EINVAL;
		goto out;
	}
	r = buf_reserve(b, (size_t)n, 1);
	if (r < 0)
		goto out;
	/* vsnprintf writes a NUL: not part of the contents, but room is needed. */
	if ((size_t)n >= spare)
		vsnprintf(b->data + b->tail, (size_t)n + 1, fmt, again);
	b->tail += (size_t)n;
out:
	va_end(again);
	return r;
}

int
buf_printf(struct cab_buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

char *
buf_room(struct cab_buf *b, size_t n)
{
	/* One more than asked for, so that a zeroed buf has a place to return. */
	if (buf_reserve(b, n, n == 0) < 0)
		return NULL;
	return b->data + b->tail;
}

void
buf_added(struct cab_buf *b, size_t n)
{
	assert(n <= b->cap - b->tail);
	b->tail += n;
}

void
buf_consume(struct cab_buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->head += n;
	if (b->head == b->tail)
		b->head = b->tail = 0;
}

void
buf_clear(struct cab_buf *b)
{
	b->head = b->tail = 0;
}

void
buf_release(struct cab_buf *b)
{
	free(b->data);
	b->data = NULL;
	b->head = b->tail = b->cap = 0;
}
