/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A growable run of bytes: append at the end, consume at the front.  Every
 * process.  Never grows past the limit that its owner gave.
 */
#ifndef CAB_BASE_BUF_H
#define CAB_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

struct cab_buf {
	char *data;   /* allocation, NULL when empty and released */
	size_t head;  /* first unread byte */
	size_t tail;  /* end of the bytes */
	size_t cap;   /* size of the allocation */
	size_t limit; /* most bytes it may hold; 0 means no limit */
};

#define CAB_BUF_INIT(max) ((struct cab_buf){ .limit = (max) })

static inline size_t
buf_len(const struct cab_buf *b)
{
	return b->tail - b->head;
}

static inline struct cab_slice
buf_slice(const struct cab_buf *b)
{
	return (struct cab_slice){ b->data ? b->data + b->head : "", b->tail - b->head };
}

/* Appends; 0, -ENOMEM, or -EMSGSIZE when the limit would be passed (nothing is appended then). */
int buf_append(struct cab_buf *b, const void *src, size_t n);
int buf_printf(struct cab_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct cab_buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Makes room for n more bytes and returns where they go (add them with buf_added), NULL on the errors above. */
char *buf_room(struct cab_buf *b, size_t n);
void buf_added(struct cab_buf *b, size_t n);

/* Drops n bytes from the front (n <= buf_len). */
void buf_consume(struct cab_buf *b, size_t n);

/* Empties; buf_release also gives the memory back.  Both accept a zeroed buf. */
void buf_clear(struct cab_buf *b);
void buf_release(struct cab_buf *b);

#endif
