/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between roles: frames, descriptors, and hostile senders.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/msg.h"

static struct chan_msg msg;
static int pair[2];

static int
setup(void **state)
{
	(void)state;
	return chan_pair(pair, 1);
}

static int
teardown(void **state)
{
	(void)state;
	pair[0] = fd_close(pair[0]);
	pair[1] = fd_close(pair[1]);
	return 0;
}

/* How many descriptors this process has open. */
static unsigned
open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
frames_arrive_whole(void **state)
{
	char big[CHAN_MAX_BODY];

	(void)state;
	memset(big, 'b', sizeof(big));
	assert_int_equal(chan_recv(pair[1], &msg), -EAGAIN);
	assert_int_equal(chan_send(pair[0], 7, "hello", 5, NULL, 0), 0);
	assert_int_equal(chan_send(pair[0], 8, NULL, 0, NULL, 0), 0);
	assert_int_equal(chan_send(pair[0], 9, big, sizeof(big), NULL, 0), 0);
	assert_int_equal(
	    chan_send(pair[0], 9, big, sizeof(big) + 1, NULL, 0), -EMSGSIZE);
	assert_int_equal(chan_recv(pair[1], &msg), 1);
	assert_int_equal(msg.type, 7);
	assert_string_equal((char *)msg.body, "hello");
	assert_int_equal(chan_recv(pair[1], &msg), 1);
	assert_int_equal(msg.n, 0);
	assert_int_equal(chan_recv(pair[1], &msg), 1);
	assert_int_equal(msg.n, sizeof(big));
	assert_memory_equal(msg.body, big, sizeof(big));
	pair[0] = fd_close(pair[0]);
	assert_int_equal(chan_recv(pair[1], &msg), 0);
	assert_int_equal(chan_send(pair[1], 7, NULL, 0, NULL, 0), -EPIPE);
}

static void
descriptors_travel_and_belong_to_one(void **state)
{
	unsigned before = open_fds();
	int pipefd[2], got;
	char c;

	(void)state;
	assert_int_equal(pipe(pipefd), 0);
	assert_int_equal(chan_send(pair[0], 1, "x", 1, &pipefd[1], 1), 0);
	close(pipefd[1]);
	assert_int_equal(chan_recv(pair[1], &msg), 1);
	assert_int_equal(msg.n_fds, 1);
	got = chan_take_fd(&msg, 0);
	assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
	assert_int_equal(chan_take_fd(&msg, 0), -1);
	assert_int_equal(chan_take_fd(&msg, 1), -1);
	chan_msg_release(&msg);
	assert_int_equal(write(got, "y", 1), 1);
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	close(got);
	close(pipefd[0]);
	assert_int_equal(open_fds(), before);
}

static void
full_channel_says_so(void **state)
{
	char body[4096] = { 0 };
	int r = 0;

	(void)state;
	for (int i = 0; i < 10000 && r == 0; i++)
		r = chan_send(pair[0], 1, body, sizeof(body), NULL, 0);
	assert_int_equal(r, -EAGAIN);
}

static void
send_raw(const void *p, size_t n, const int *fds, size_t n_fds)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };
	_Alignas(
	    struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)] = { 0 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
	}
	assert_true(sendmsg(pair[0], &mh, 0) >= 0);
}

static void
malformed_frames_leak_nothing(void **state)
{
	static const struct {
		uint32_t words[4];
		size_t n;
	} frames[] = {
		{ { 1 }, 4 },        /* no room for a head */
		{ { 1, 4 }, 8 },     /* promises more than there is */
		{ { 1, 0, 5 }, 12 }, /* has more than it promises */
		{ { 1, UINT32_MAX }, 8 },
	};
	unsigned before = open_fds();
	int fds[16];
	uint32_t good[2] = { 1, 0 };

	(void)state;
	for (int i = 0; i < 16; i++)
		fds[i] = pair[0];
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		send_raw(frames[i].words, frames[i].n, fds, 1);
		assert_int_equal(chan_recv(pair[1], &msg), -EBADMSG);
	}
	send_raw(good, sizeof(good), fds, 3); /* more descriptors than we take */
	assert_int_equal(chan_recv(pair[1], &msg), -EBADMSG);
	send_raw(good, sizeof(good), fds,
	    16); /* more than fit in the control buffer */
	assert_int_equal(chan_recv(pair[1], &msg), -EBADMSG);
	send_raw(good, sizeof(good), fds, 2);
	assert_int_equal(chan_recv(pair[1], &msg), 1);
	chan_msg_release(&msg);
	assert_int_equal(open_fds(), before);
}

static void
every_message_has_a_rule(void **state)
{
	(void)state;
	assert_null(msg_rule(0));
	assert_null(msg_rule(MSG_MAX));
	assert_null(msg_rule(UINT32_MAX));
	for (uint32_t type = 1; type < MSG_MAX; type++) {
		const struct msg_rule *rule = msg_rule(type);

		if (!rule)
			fail_msg("message %u has no rule", type);
		assert_true(rule->min <= rule->max && rule->max <= CHAN_MAX_BODY);
		assert_true(rule->min_fds <= rule->max_fds &&
		    rule->max_fds <= CHAN_MAX_FDS);
		msg = (struct chan_msg){
			.type = type, .n = rule->min, .n_fds = rule->min_fds
		};
		assert_true(msg_valid(&msg));
		msg.n_fds = rule->max_fds + 1;
		assert_false(msg_valid(&msg));
		msg.n_fds = rule->min_fds;
		msg.n = rule->max + 1;
		assert_false(msg_valid(&msg));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    frames_arrive_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    descriptors_travel_and_belong_to_one, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    full_channel_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    malformed_frames_leak_nothing, setup, teardown),
		cmocka_unit_test(every_message_has_a_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
