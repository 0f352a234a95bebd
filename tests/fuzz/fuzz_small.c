/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target of echo, discard and daytime over the in-memory transport: what
 * comes out depends on the bytes alone, not on how they were cut or how slowly
 * the peer reads.  Also their datagram halves.
 *
 * Input: the protocol, the step of the cut run, the window of the reader, the
 * room for a datagram's reply, then the bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/builtin.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/mem.h"

#define MAX_INPUT    300000
#define DAYTIME_LINE 26

static const struct cab_proto *const protos[] = { &proto_echo, &proto_discard,
	&proto_daytime };
static struct mem_service *services[CAB_N(protos)];

static void
check_output(const struct cab_proto *proto, struct mem_conn *conn,
    const uint8_t *data, size_t len)
{
	size_t n;
	const char *out = mem_output(conn, &n);

	must(mem_finished(conn));
	if (proto == &proto_discard)
		must(n == 0);
	else if (proto == &proto_daytime)
		must(n == DAYTIME_LINE && memcmp(out + n - 2, "\r\n", 2) == 0);
	else
		must(n == len && (n == 0 || memcmp(out, data, n) == 0));
}

static void
check_stream(const struct cab_proto *proto, struct mem_service *service,
    const uint8_t *data, size_t len, size_t step, size_t window)
{
	struct mem_conn *conn = mem_open(service);
	size_t before, n;

	if (window > 0)
		mem_window(conn, 0);
	mem_feed_split(conn, data, len, step);
	mem_half_close(conn);
	if (window > 0) {
		mem_output(conn, &n);
		do {
			before = n;
			mem_window(conn, window);
			mem_output(conn, &n);
		} while (n > before);
	}
	check_output(proto, conn, data, len);
	mem_free(conn);
}

static void
check_datagram(const struct cab_proto *proto, struct mem_service *service,
    const uint8_t *data, size_t len, size_t cap)
{
	struct cab_slice request = { (const char *)data, len };
	char *reply = malloc(
	    cap > 0 ? cap : 1); /* exact, so that writing past it is seen */
	ssize_t n;

	must(reply != NULL);
	n = proto->datagram(mem_running(service), request, reply, cap);
	must(n == -1 || (n >= 0 && (size_t)n <= cap));
	if (proto == &proto_discard)
		must(n == -1);
	else if (proto == &proto_daytime)
		must(n == (cap < DAYTIME_LINE ? -1 : DAYTIME_LINE));
	else if (len > cap)
		must(n == -1);
	else
		must((size_t)n == len &&
		    (len == 0 || memcmp(reply, data, len) == 0));
	free(reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct cab_proto *proto;
	const uint8_t *bytes;
	unsigned which;
	size_t n;

	if (len < 4 || len > MAX_INPUT)
		return 0;
	which = data[0] % CAB_N(protos);
	proto = protos[which];
	if (services[which] == NULL)
		services[which] = mem_service_new(proto, NULL, NULL, -1);
	must(services[which] != NULL);
	bytes = data + 4;
	n = len - 4;
	check_stream(proto, services[which], bytes, n, SIZE_MAX, 0);
	check_stream(proto, services[which], bytes, n, data[1] + 1u, 0);
	check_stream(
	    proto, services[which], bytes, n, SIZE_MAX, data[2] * 16u + 1);
	check_datagram(proto, services[which], bytes, n, data[3] * 2u);
	return 0;
}
