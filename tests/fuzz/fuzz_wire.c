/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target of the snapshot's decoder: no bytes do harm, and what is taken
 * encodes to the very bytes that it came from.
 *
 * Input: one byte; if it is even the body of a snapshot follows, else groups of
 * three bytes, each of which sets one byte (offset, value) of a good one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/conf_fake.h"

#define MAX_INPUT 65536

static const char text[] =
    "services = ( { name = \"web\"; listen = ( 80, \"unix:///run/x\", "
    "\"vsock://*:7\", \"systemd://s\" ); protocol = \"echo\"; access = { allow "
    "= ( \"10.0.0.0/8\", \"::1\" ); }; }, { name = \"w\"; listen = 81; protocol "
    "= \"web\"; web = { text = \"x\"; routes = ( { path = \"/a\"; }, { path = "
    "\"/b\"; } ); special = { path = \"/c\"; }; }; }, { name = \"git\"; listen "
    "= 9418; exec = { program = \"/bin/cat\"; args = \"-u\"; }; } );";

/* A good snapshot; made once. */
static const struct cab_buf *
good(void)
{
	static struct cab_buf bytes;
	struct cab_diag diag = { 0 };
	struct cab_conf *conf;
	struct fake fake;

	if (buf_len(&bytes) > 0)
		return &bytes;
	fake_init(&fake, true);
	conf = fake_read(&fake, text, &diag, NULL);
	must(conf != NULL && conf_encode(conf, &bytes) == 0);
	conf_free(conf);
	diag_release(&diag);
	return &bytes;
}

/* The snapshot that the input means, in memory of exactly its size. */
static unsigned char *
make(const uint8_t *data, size_t len, size_t *ret_n)
{
	const struct cab_buf *base = good();
	bool body = (data[0] & 1) == 0;
	size_t n = body ? sizeof(struct wire_head) + len - 1 : buf_len(base), at;
	unsigned char *bytes = malloc(n);
	struct wire_head head;

	must(bytes != NULL && base->data != NULL);
	memcpy(bytes, base->data + base->head,
	    body ? sizeof(struct wire_head) : buf_len(base));
	data++;
	len--;
	if (body) {
		memcpy(bytes + sizeof(head), data, len);
		memcpy(&head, bytes, sizeof(head));
		head.n = len;
		memcpy(bytes, &head, sizeof(head));
	}
	for (; !body && len >= 3; data += 3, len -= 3) {
		at = (size_t)data[0] << 8 | data[1];
		bytes[at % n] = data[2];
	}
	*ret_n = n;
	return bytes;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cab_buf again = CAB_BUF_INIT(0);
	struct cab_conf *conf = NULL;
	unsigned char *bytes;
	size_t n;

	if (len == 0 || len > MAX_INPUT)
		return 0;
	bytes = make(data, len, &n);
	if (conf_decode(fake_descs, bytes, n, &conf) == 0) {
		must(conf_encode(conf, &again) == 0);
		must(buf_len(&again) == n);
		must(memcmp(buf_slice(&again).p, bytes, n) == 0);
	} else {
		must(conf == NULL);
	}
	conf_free(conf);
	buf_release(&again);
	free(bytes);
	return 0;
}
