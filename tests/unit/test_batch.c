/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of messages on their way to a role: order, descriptors, a channel that
 * is full, batches that are superseded, and that nothing stays open.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/chan.h"
#include "supervisor/batch.h"

static int chan[2];

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static struct shared_fd *
new_shared(void)
{
	struct shared_fd *shared = shared_fd_new(eventfd(0, EFD_CLOEXEC));

	assert_non_null(shared);
	return shared;
}

/* A batch of n messages whose types count from first. */
static struct batch *
counting(uint32_t first, uint32_t n)
{
	struct batch *batch = batch_new();

	assert_non_null(batch);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(
		    batch_add(batch, first + i, &i, sizeof(i), NULL), 0);
	return batch;
}

static uint32_t
receive(void)
{
	static struct chan_msg msg;
	uint32_t type;
	int r = chan_recv(chan[1], &msg);

	if (r != 1)
		return 0;
	type = msg.type;
	chan_msg_release(&msg);
	return type;
}

static void
test_shared_fd(void **state)
{
	struct shared_fd *shared = new_shared(), *more;
	int fd = shared->fd;

	(void)state;
	more = shared_fd_ref(shared);
	assert_ptr_equal(more, shared);
	shared_fd_unref(shared);
	assert_true(is_open(fd));
	shared_fd_unref(more);
	assert_false(is_open(fd));
	shared_fd_unref(NULL);
	assert_null(shared_fd_ref(NULL));
}

static void
test_order_and_descriptors(void **state)
{
	struct shared_fd *shared = new_shared();
	struct batch *batch = batch_new();
	static struct chan_msg msg;
	struct outbox outbox;
	int fd = shared->fd;

	(void)state;
	outbox_init(&outbox);
	assert_int_equal(batch_add(batch, 7, "seven", 5, NULL), 0);
	assert_int_equal(batch_add(batch, 8, NULL, 0, shared), 0);
	shared_fd_unref(shared);
	assert_int_equal(outbox_put(&outbox, batch, false), 0);
	assert_int_equal(outbox_put(&outbox, batch, false), 0);
	batch_unref(batch);
	assert_true(is_open(fd));
	assert_int_equal(outbox_flush(&outbox, chan[0]), 0);
	assert_false(is_open(fd));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(chan_recv(chan[1], &msg), 1);
		assert_int_equal(msg.type, 7);
		assert_int_equal(msg.n, 5);
		assert_memory_equal(msg.body, "seven", 5);
		assert_int_equal(chan_recv(chan[1], &msg), 1);
		assert_int_equal(msg.type, 8);
		assert_int_equal(msg.n_fds, 1);
		chan_msg_release(&msg);
	}
	assert_int_equal(chan_recv(chan[1], &msg), -EAGAIN);
}

static void
test_full_channel(void **state)
{
	struct batch *batch = counting(1, 5000);
	struct outbox outbox;
	uint32_t next = 1, type;
	unsigned waits = 0;
	int r;

	(void)state;
	outbox_init(&outbox);
	assert_int_equal(outbox_put(&outbox, batch, false), 0);
	batch_unref(batch);
	while ((r = outbox_flush(&outbox, chan[0])) != 0) {
		assert_int_equal(r, -EAGAIN);
		waits++;
		while ((type = receive()) != 0)
			assert_int_equal(type, next++);
	}
	while ((type = receive()) != 0)
		assert_int_equal(type, next++);
	assert_int_equal(next, 5001);
	assert_true(waits > 0);
}

static void
test_superseded(void **state)
{
	struct batch *old = counting(100, 3), *one = counting(200, 1),
		     *new = counting(300, 2);
	struct outbox outbox;

	(void)state;
	outbox_init(&outbox);
	assert_int_equal(outbox_put(&outbox, old, true), 0);
	assert_int_equal(outbox_put(&outbox, one, false), 0);
	assert_int_equal(outbox_put(&outbox, new, true), 0);
	/* And what comes last goes to the end, although the end was dropped. */
	assert_int_equal(outbox_put(&outbox, old, true), 0);
	assert_int_equal(outbox_put(&outbox, one, false), 0);
	assert_int_equal(outbox_flush(&outbox, chan[0]), 0);
	assert_int_equal(receive(), 200);
	assert_int_equal(receive(), 100);
	assert_int_equal(receive(), 101);
	assert_int_equal(receive(), 102);
	assert_int_equal(receive(), 200);
	assert_int_equal(receive(), 0);
	batch_unref(old);
	batch_unref(one);
	batch_unref(new);
}

static void
test_begun_is_finished(void **state)
{
	struct batch *old = counting(1, 5000), *new = counting(9000, 1);
	struct outbox outbox;
	uint32_t type, last = 0;
	unsigned n = 0;

	(void)state;
	outbox_init(&outbox);
	assert_int_equal(outbox_put(&outbox, old, true), 0);
	assert_int_equal(outbox_flush(&outbox, chan[0]), -EAGAIN);
	assert_int_equal(outbox_put(&outbox, new, true), 0);
	do {
		while ((type = receive()) != 0) {
			last = type;
			n++;
		}
	} while (outbox_flush(&outbox, chan[0]) != 0);
	while ((type = receive()) != 0) {
		last = type;
		n++;
	}
	assert_int_equal(n, 5001);
	assert_int_equal(last, 9000);
	batch_unref(old);
	batch_unref(new);
}

static void
test_peer_gone(void **state)
{
	struct batch *batch = counting(1, 2);
	struct outbox outbox;
	int fds[2];

	(void)state;
	outbox_init(&outbox);
	assert_int_equal(chan_pair(fds, 1), 0);
	fd_close(fds[1]);
	assert_int_equal(outbox_put(&outbox, batch, false), 0);
	batch_unref(batch);
	assert_int_equal(outbox_flush(&outbox, fds[0]), -EPIPE);
	outbox_clear(&outbox);
	assert_null(outbox.first);
	assert_int_equal(outbox_flush(&outbox, fds[0]), 0);
	fd_close(fds[0]);
}

static void
test_clear(void **state)
{
	struct outbox zeroed = { 0 }, outbox;
	struct shared_fd *shared = new_shared();
	struct batch *batch = batch_new();
	int fd = shared->fd;

	(void)state;
	outbox_clear(&zeroed);
	assert_int_equal(outbox_put(&zeroed, batch, false), 0);
	outbox_clear(&zeroed);
	batch_unref(batch);
	batch = batch_new();
	assert_int_equal(batch_add(batch, 1, NULL, 0, shared), 0);
	shared_fd_unref(shared);
	outbox_init(&outbox);
	assert_int_equal(outbox_put(&outbox, batch, true), 0);
	batch_unref(batch);
	assert_true(is_open(fd));
	outbox_clear(&outbox);
	assert_false(is_open(fd));
	batch_unref(NULL);
}

static int
set_up(void **state)
{
	(void)state;
	return chan_pair(chan, 1);
}

static int
tear_down(void **state)
{
	(void)state;
	fd_close(chan[0]);
	fd_close(chan[1]);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_shared_fd),
		TEST(test_order_and_descriptors),
		TEST(test_full_channel),
		TEST(test_superseded),
		TEST(test_begun_is_finished),
		TEST(test_peer_gone),
		TEST(test_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
