/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handler "metrics": the daemon's metrics for Prometheus.  Workers.  The
 * core makes the text; here it gets its head.
 */
#include "base/buf.h"
#include "proto/http_route.h"

/* What a connection's output may hold, with room for the head. */
#define METRICS_MAX (1000 * 1024)

void
http_metrics(struct http_turn *turn)
{
	struct cab_buf text = CAB_BUF_INIT(METRICS_MAX);
	struct http_text t = http_scratch();

	if (cab_metrics(turn->conn, &text) < 0) {
		http_reply_status(turn, 503, "");
	} else {
		http_head_begin(&t, turn->service->opts, 200);
		http_head_field(&t, "Content-Type", CAB_METRICS_TYPE);
		http_head_field(&t, "Cache-Control", "no-store");
		http_head_length(&t, buf_len(&text));
		http_head_end(&t, turn);
		if (http_send_head(turn, &t) && turn->req->method != HTTP_HEAD)
			cab_write(
			    turn->conn, buf_slice(&text).p, buf_len(&text));
	}
	buf_release(&text);
}
