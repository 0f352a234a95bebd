/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The launcher role as a process: what it does for a worker, what it refuses a
 * worker that lies, how it changes configurations and how it ends.  The
 * programs are real.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/quota.h"
#include "base/fd.h"
#include "tests/support/launch.h"

static struct launch launch;

static int
setup(void **state)
{
	(void)state;
	launch_start(&launch);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	launch_stop(&launch);
	return 0;
}

static void
expect_closed(int fd)
{
	char text[100];

	assert_int_equal(launch_read(fd, text, sizeof(text)), 0);
	fd_close(fd);
}

static void
expect_text(int fd, const char *want)
{
	char text[4096];

	launch_read(fd, text, sizeof(text));
	assert_string_equal(text, want);
	fd_close(fd);
}

static void
expect_echo(int fd, char c)
{
	char back = 0;

	assert_int_equal(write(fd, &c, 1), 1);
	assert_int_equal(read(fd, &back, 1), 1);
	assert_int_equal(back, c);
}

/* ---- what a worker gets ------------------------------------------------------------- */

static void
runs_a_program_on_the_socket(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct board_counters sum;
	int fd;

	(void)state;
	launch_service(&conf, "cat", "/bin/cat", NULL);
	launch_use(&launch, &conf);
	fd = launch_run(&launch, 1, 0);
	assert_int_equal(write(fd, "hello\n", 6), 6);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	expect_text(fd, "hello\n");
	launch_until(launch_idle, &launch, NULL);
	launch_log(&launch, "service cat: program ended with status 0", NULL);
	board_sum(launch.board, 0, &sum);
	assert_int_equal(sum.started, 1);
	assert_int_equal(sum.exited, 1);
	assert_int_equal(sum.finished, 1);
	assert_int_equal(sum.failed, 0);
	assert_true(
	    atomic_load(&launch.board->roles[BOARD_LAUNCHER].beat_ms) > 0);
	assert_int_equal(
	    atomic_load(&launch.board->roles[BOARD_LAUNCHER].generation), 1);
}

static void
wakes_who_waits_for_a_place(void **state)
{
	struct pollfd woken = { .fd = launch.wake, .events = POLLIN };
	struct launch_conf conf = { .n = 0 };
	int fd;

	(void)state;
	launch_service(&conf, "cat", "/bin/cat", NULL);
	launch_use(&launch, &conf);
	fd = launch_run(&launch, 1, 0);
	atomic_store(&launch.board->services[0].waiters, 1);
	assert_int_equal(poll(&woken, 1, 0), 0);
	assert_int_equal(atomic_load(&launch.board->services[0].active), 1);
	shutdown(fd, SHUT_WR);
	expect_closed(fd);
	assert_int_equal(poll(&woken, 1, 30000), 1);
	assert_int_equal(atomic_load(&launch.board->services[0].active), 0);
}

static void
records_how_programs_end(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct board_counters sum;
	const char *line;

	(void)state;
	launch_script(&conf, "seven", "exit 7");
	launch_script(&conf, "killed", "kill -KILL $$");
	launch_use(&launch, &conf);
	expect_closed(launch_run(&launch, 1, 0));
	line = launch_log(&launch, "notice: service seven: ", "status 7");
	assert_non_null(
	    strstr(line, " SERVICE=seven CONN=1 PEER=192.0.2.1:40000 PID="));
	assert_non_null(strstr(line, " STATUS=7 DURATION_US="));
	assert_non_null(strstr(line, " CPU_US="));
	assert_non_null(strstr(line, " MAXRSS_KB="));
	expect_closed(launch_run(&launch, 1, 1));
	line = launch_log(
	    &launch, "warning: service killed: ", "signal 9 (KILL)");
	assert_non_null(strstr(line, " CONN=2 "));
	assert_non_null(strstr(line, " SIGNAL=9 "));
	launch_until(launch_idle, &launch, NULL);
	board_sum(launch.board, 0, &sum);
	assert_int_equal(sum.failed, 1);
}

static void
logs_stderr(void **state)
{
	struct launch_conf conf = { .n = 0 };
	const char *line;

	(void)state;
	launch_script(&conf, "loud",
	    "echo out; printf 'one\\n\\033[2Jtwo\\nthe \"end\"' >&2");
	launch_script(&conf, "mute", "echo nobody hears this >&2; echo out")
	    ->stderr_to = CAB_ERR_TO_NULL;
	launch_use(&launch, &conf);
	expect_text(launch_run(&launch, 1, 0), "out\n");
	line = launch_log(&launch, "loud: one", NULL);
	assert_non_null(
	    strstr(line, " SERVICE=loud CONN=1 PEER=192.0.2.1:40000 PID="));
	launch_log(&launch, "loud: \\x1b[2Jtwo", NULL);
	launch_log(&launch, "loud: the \\x22end\\x22", NULL);
	expect_text(launch_run(&launch, 1, 1), "out\n");
	launch_log(&launch, "service mute: program ended", NULL);
	assert_false(launch_logged(&launch, "nobody hears"));
}

/* More than the pipe holds, a line that never ends, and more lines than anyone wants to read. */
static void
keeps_reading_stderr(void **state)
{
	struct launch_conf conf = { .n = 0 };

	(void)state;
	launch_script(
	    &conf, "endless", "head -c 3000000 /dev/zero >&2; echo done");
	launch_script(
	    &conf, "lines", "yes complaint | head -n 50000 >&2; echo done");
	launch_use(&launch, &conf);
	expect_text(launch_run(&launch, 1, 0), "done\n");
	launch_log(&launch, "endless: \\x00\\x00", "...");
	expect_text(launch_run(&launch, 1, 1), "done\n");
	launch_log(&launch, "service lines: program ended", NULL);
	launch_until(launch_idle, &launch, NULL);
	assert_true(lseek(fileno(launch.log), 0, SEEK_END) < 200000);
}

static void
ends_programs_that_take_too_long(void **state)
{
	struct launch_conf conf = { .n = 0 };

	(void)state;
	launch_script(&conf, "slow", "sleep 1000");
	conf.services[0].timeouts.total = 30;
	launch_use(&launch, &conf);
	expect_closed(launch_run(&launch, 1, 0));
	launch_log(&launch, "service slow: program was ended by signal 15",
	    "timeouts.total");
}

/* ---- failures --------------------------------------------------------------------- */

static void
says_what_cannot_be_started(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct board_counters sum;
	int fd;

	(void)state;
	launch_service(&conf, "gone", "/nonexistent/program", NULL);
	launch_service(&conf, "cat", "/bin/cat", NULL);
	launch_service(&conf, "lost", "/bin/cat", NULL)->directory = "/nonexistent";
	launch_use(&launch, &conf);
	expect_closed(launch_run(&launch, 1, 0));
	launch_log(&launch,
	    "error: service gone: cannot start /nonexistent/program: "
	    "cannot execute it: No such file or directory",
	    "CONN=1");
	/* Within the pause: closed at once, and not said again. */
	expect_closed(launch_run(&launch, 1, 0));
	expect_closed(launch_run(&launch, 1, 2));
	launch_log(&launch,
	    "service lost: cannot start /bin/cat: cannot enter its directory: ",
	    NULL);
	launch_until(launch_idle, &launch, NULL);
	board_sum(launch.board, 0, &sum);
	assert_int_equal(sum.failed, 2);
	assert_int_equal(sum.finished, 2);
	assert_int_equal(sum.started, 0);
	/* Others do not feel it. */
	fd = launch_run(&launch, 1, 1);
	shutdown(fd, SHUT_WR);
	expect_closed(fd);
	launch_log(&launch, "service cat: program ended with status 0", NULL);
}

static bool
ran_again(struct launch *l, void *arg)
{
	char text[16];
	int fd = launch_run(l, 1, 0);

	(void)arg;
	launch_read(fd, text, sizeof(text));
	fd_close(fd);
	return strcmp(text, "here\n") == 0;
}

static void
tries_again_later(void **state)
{
	char dir[] = "/tmp/cab-test-launcher-XXXXXX", path[64];
	struct launch_conf conf = { .n = 0 };
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/program", dir);
	launch_service(&conf, "late", path, NULL);
	launch_use(&launch, &conf);
	expect_closed(launch_run(&launch, 1, 0));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0755), 0);
	assert_int_equal(fd_write_all(fd, "#!/bin/sh\necho here\n", 20), 0);
	fd_close(fd);
	launch_until(ran_again, &launch, NULL);
	launch_until(launch_idle, &launch, NULL);
	unlink(path);
	rmdir(dir);
}

/* ---- workers that lie ---------------------------------------------------------------- */

/* A connection with a ticket of its own. */
static void
send_run(struct msg_run *run, uint32_t slot, int fd)
{
	run->ticket = launch_ticket(&launch, slot);
	run->conn_id = launch.conn_id;
	launch_run_msg(&launch, run, fd);
}

static void
refuses_what_makes_no_sense(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct msg_run run = { .generation = 2 };
	const struct board_counters *count;
	int pair[2], udp;

	(void)state;
	launch_service(&conf, "cat", "/bin/cat", NULL);
	launch_service(&conf, "other", "/bin/cat", NULL)->wait = true;
	launch_config(&launch, &conf, 2);
	launch_commit(&launch, 2);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(udp >= 0);

	/* No such service; one that is not for connections; no connection. */
	run.service = 99;
	send_run(&run, 0, pair[1]);
	launch_log(&launch, "without a program", NULL);
	run.service = 1;
	send_run(&run, 1, pair[1]);
	run.service = 0;
	send_run(&run, 0, udp);
	launch_log(&launch, "not a connection", NULL);
	/* A configuration long gone, and no service of the newest has the slot. */
	run.generation = 1;
	send_run(&run, 7, pair[1]);
	run.generation = 2;
	/* No place, somebody else's place, a place that cannot be. */
	run.ticket = 12345;
	launch_run_msg(&launch, &run, pair[1]);
	run.ticket = UINT32_MAX;
	launch_run_msg(&launch, &run, pair[1]);
	run.ticket = BOARD_TICKETS * 3;
	launch_run_msg(&launch, &run, pair[1]);
	fd_close(pair[1]);
	fd_close(udp);
	/* All sockets have been closed and all places given back; nothing ran. */
	expect_closed(pair[0]);
	launch_until(launch_idle, &launch, NULL);
	count = launch.board->counters[BOARD_LAUNCHER];
	assert_int_equal(count[0].started, 0);
	assert_int_equal(count[1].started, 0);
	/* What came with a place has ended, and counts as that. */
	assert_int_equal(count[0].finished, 2);
	assert_int_equal(count[1].finished, 1);
	assert_int_equal(count[7].finished, 1);
}

/* The ticket of a worker that died belongs to a connection of its successor. */
static void
leaves_the_successor_its_ticket(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct msg_run late = { .generation = 1 };
	const struct board_ticket *ticket;
	int pair[2];

	(void)state;
	launch_service(&conf, "cat", "/bin/cat", NULL);
	launch_use(&launch, &conf);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	late.ticket = launch_ticket(&launch, 0);
	late.conn_id = launch.conn_id - 1;
	ticket = &launch.board->tickets[late.ticket];
	launch_run_msg(&launch, &late, pair[1]);
	fd_close(pair[1]);
	expect_closed(pair[0]);
	assert_int_equal(atomic_load(&ticket->owner), 1);
	ticket_release(launch.board, late.ticket, 0);
	launch_until(launch_idle, &launch, NULL);
}

static void
ends_the_link_of_a_broken_worker(void **state)
{
	struct pollfd closed = { .fd = launch.link, .events = POLLIN };
	struct launch_conf conf = { .n = 0 };
	struct chan_msg msg;
	int fd;

	(void)state;
	launch_service(&conf, "cat", "/bin/cat", NULL);
	launch_use(&launch, &conf);
	assert_int_equal(chan_send(launch.link, MSG_RUN, "short", 5, NULL, 0), 0);
	assert_int_equal(poll(&closed, 1, 30000), 1);
	assert_int_equal(chan_recv(launch.link, &msg), 0);
	launch_log(&launch, "worker 0: its link is closed", NULL);
	/* A new worker in the slot gets a new link, and that works. */
	launch_link(&launch);
	fd = launch_run(&launch, 1, 0);
	shutdown(fd, SHUT_WR);
	expect_closed(fd);
	launch_log(&launch, "service cat: program ended with status 0", NULL);
}

/* ---- configurations -------------------------------------------------------------------- */

static void
waits_for_a_newer_configuration(void **state)
{
	struct launch_conf conf = { .n = 0 }, newer = { .n = 0 };
	int early, first, fd;

	(void)state;
	launch_script(&conf, "a", "echo first");
	launch_script(&newer, "a", "echo second");
	/* Before there is any, and from a worker that is ahead of us. */
	early = launch_run(&launch, 1, 0);
	launch_use(&launch, &conf);
	expect_text(early, "first\n");
	fd = launch_run(&launch, 2, 0);
	first = launch_run(&launch, 1, 0);
	launch_config(&launch, &newer, 2);
	launch_commit(&launch, 2);
	expect_text(fd, "second\n");
	/* And one that is behind is served as it was admitted. */
	expect_text(first, "first\n");
	expect_text(launch_run(&launch, 1, 0), "first\n");
	expect_text(launch_run(&launch, 2, 0), "second\n");
}

/* Says which slot a service has whose sockets are none of ours. */
static void
name_slot(struct launch *of, uint64_t generation, uint32_t service, uint32_t slot)
{
	struct msg_listener body = {
		.generation = generation, .service = service, .slot = slot
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	launch_send(of, MSG_LISTENER, &body, sizeof(body), fd);
	fd_close(fd);
}

static void
keeps_a_configuration_while_it_is_used(void **state)
{
	struct launch_conf conf = { .n = 0 }, other = { .n = 0 };
	uint64_t generation;
	int fd;

	(void)state;
	launch_service(&conf, "cat", "/bin/cat", NULL);
	launch_use(&launch, &conf);
	fd = launch_run(&launch, 1, 0);
	expect_echo(fd, 'x');
	for (generation = 2; generation < 20; generation++) {
		launch_config(&launch, &conf, generation);
		launch_commit(&launch, generation);
	}
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	expect_closed(fd);
	launch_log(&launch, "service cat: program ended with status 0", NULL);
	/* Now the first one is gone: a late connection for it, as when we were
	 * started meanwhile, gets what its service has become. */
	launch_script(&other, "another", "echo wrong");
	launch_script(&other, "cat", "echo right");
	launch_config(&launch, &other, generation);
	name_slot(&launch, generation, 0, 1);
	name_slot(&launch, generation, 1, 0);
	launch_commit(&launch, generation);
	expect_text(launch_run(&launch, 1, 0), "right\n");
	/* There is no such service any more. */
	expect_closed(launch_run(&launch, 1, 2));
	launch_log(&launch, "service without a program", NULL);
	launch_until(launch_idle, &launch, NULL);
}

static void
refuses_a_snapshot_that_is_none(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct msg_config body = { .generation = 2, .n = 7 };
	struct msg_commit commit = { .generation = 2 };
	char text[400];
	int fd;

	(void)state;
	launch_script(&conf, "a", "echo still here");
	launch_use(&launch, &conf);
	fd = fd_sealed_memfd("test", "garbage", 7);
	launch_send(&launch, MSG_CONFIG, &body, sizeof(body), fd);
	launch_send(&launch, MSG_COMMIT, &commit, sizeof(commit), -1);
	assert_int_equal(launch_answer(&launch, text, sizeof(text)), MSG_FAILED);
	assert_non_null(strstr(text, "cannot read the configuration"));
	fd_close(fd);
	expect_text(launch_run(&launch, 1, 0), "still here\n");
	launch_config(&launch, &conf, 3);
	launch_commit(&launch, 3);
	expect_text(launch_run(&launch, 3, 0), "still here\n");
}

/* ---- sockets that programs take over
 * ------------------------------------------------------ */

/* A datagram socket on loopback; what is sent to it. */
static int
datagram_socket(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd;

	*addr = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	return fd;
}

static void
datagram(const struct sockaddr_in *to, const char *text)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, text, strlen(text), 0,
			     (const struct sockaddr *)to, sizeof(*to)),
	    strlen(text));
	fd_close(fd);
}

static void
send_listener(uint64_t generation, uint32_t service, int fd)
{
	struct msg_listener body = {
		.generation = generation, .service = service, .slot = service
	};

	launch_send(&launch, MSG_LISTENER, &body, sizeof(body), fd);
}

#define TAKE "dd bs=100 count=1 >&2 2>/dev/null; "

static void
hands_a_socket_over(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct sockaddr_in addr;
	const char *line;
	int fd = datagram_socket(&addr);

	(void)state;
	launch_script(&conf, "taker", TAKE "echo $PROTO $UDPLOCALIP >&2")->wait = true;
	launch_config(&launch, &conf, 1);
	send_listener(1, 0, fd);
	launch_commit(&launch, 1);
	datagram(&addr, "one\n");
	launch_log(&launch, "taker: one", NULL);
	launch_log(&launch, "taker: UDP 127.0.0.1", NULL);
	line = launch_log(
	    &launch, "service taker: program ended with status 0", NULL);
	assert_null(strstr(line, "PEER="));
	/* And again, with the same socket under a new configuration. */
	launch_config(&launch, &conf, 2);
	send_listener(2, 0, fd);
	launch_commit(&launch, 2);
	datagram(&addr, "two\n");
	launch_log(&launch, "taker: two", NULL);
	fd_close(fd);
}

/* One program at a time, over a change of configurations too. */
static void
leaves_a_taken_socket_alone(void **state)
{
	struct launch_conf conf = { .n = 0 }, none = { .n = 0 };
	struct board_counters *count = &launch.board->counters[BOARD_LAUNCHER][0];
	struct sockaddr_in addr;
	int fd = datagram_socket(&addr);

	(void)state;
	launch_script(&conf, "keeper", TAKE TAKE TAKE)->wait = true;
	launch_service(&none, "cat", "/bin/cat", NULL);
	launch_config(&launch, &conf, 1);
	send_listener(1, 0, fd);
	launch_commit(&launch, 1);
	datagram(&addr, "one\n");
	launch_log(&launch, "keeper: one", NULL);
	launch_config(&launch, &conf, 2);
	send_listener(2, 0, fd);
	launch_commit(&launch, 2);
	datagram(&addr, "two\n");
	launch_log(&launch, "keeper: two", NULL);
	/* The service goes; its program may finish. */
	launch_config(&launch, &none, 3);
	launch_commit(&launch, 3);
	datagram(&addr, "three\n");
	launch_log(&launch, "keeper: three", NULL);
	launch_log(&launch, "service keeper: program ended with status 0", NULL);
	datagram(&addr, "four\n");
	launch_config(&launch, &none, 4);
	launch_commit(&launch, 4);
	assert_int_equal(count->started, 1);
	fd_close(fd);
}

static bool
started_thrice(struct launch *l, void *arg)
{
	(void)arg;
	return l->board->counters[BOARD_LAUNCHER][0].started >= 3;
}

/* Nobody reads the datagram: it goes on trying, and others are served meanwhile. */
static void
survives_a_taker_that_takes_nothing(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct sockaddr_in addr;
	int fd = datagram_socket(&addr);

	(void)state;
	launch_script(&conf, "deaf", "exit 1")->wait = true;
	launch_script(&conf, "a", "echo fine");
	launch_config(&launch, &conf, 1);
	send_listener(1, 0, fd);
	launch_commit(&launch, 1);
	datagram(&addr, "one\n");
	launch_until(started_thrice, &launch, NULL);
	expect_text(launch_run(&launch, 1, 1), "fine\n");
	fd_close(fd);
}

/* ---- leaving nothing behind -------------------------------------------------------------- */

static unsigned
open_descriptors(void)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)launch.pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static bool
few_descriptors(struct launch *l, void *arg)
{
	(void)l;
	return open_descriptors() <= *(unsigned *)arg;
}

static bool
no_children(struct launch *l, void *arg)
{
	char path[64];
	FILE *f;
	int c;

	(void)arg;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)l->pid,
	    (int)l->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	c = getc(f);
	fclose(f);
	return c == EOF;
}

static void
leaves_nothing_behind(void **state)
{
	struct launch_conf conf = { .n = 0 };
	unsigned before, i;
	int fd;

	(void)state;
	launch_script(&conf, "a", "echo x; echo y >&2");
	launch_script(&conf, "orphans", "(sleep 0.05; exit 3) <&- >&- 2>&- & ");
	launch_service(&conf, "gone", "/nonexistent", NULL);
	launch_use(&launch, &conf);
	expect_text(launch_run(&launch, 1, 0), "x\n");
	launch_until(launch_idle, &launch, NULL);
	before = open_descriptors();
	for (i = 0; i < 40; i++) {
		fd = launch_run(&launch, 1, i % 3);
		expect_text(fd, i % 3 == 0 ? "x\n" : "");
	}
	launch_until(launch_idle, &launch, NULL);
	launch_until(no_children, &launch, NULL);
	launch_until(few_descriptors, &launch, &before);
}

static uint64_t
status_bits(pid_t pid, const char *name)
{
	char path[64], line[256];
	uint64_t bits = UINT64_MAX;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			bits = strtoull(strchr(line, ':') + 1, NULL, 16);
	fclose(f);
	return bits;
}

#define BIT(cap) (UINT64_C(1) << (cap))

static void
expect_refused(struct launch_conf *conf, uint64_t generation, const char *why)
{
	struct msg_commit commit = { .generation = generation };
	char text[400];

	launch_config(&launch, conf, generation);
	launch_send(&launch, MSG_COMMIT, &commit, sizeof(commit), -1);
	assert_int_equal(launch_answer(&launch, text, sizeof(text)), MSG_FAILED);
	assert_non_null(strstr(text, why));
}

static void
keeps_few_capabilities(void **state)
{
	const uint64_t own = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL) |
	    BIT(CAP_SYS_CHROOT) | BIT(CAP_SETPCAP);
	struct launch_conf conf = { .n = 0 }, more = { .n = 0 };
	struct cab_exec *exec;
	struct msg_commit commit = { .generation = 9 };
	uint64_t had;
	int fd;

	(void)state;
	had = status_bits(getpid(), "CapPrm");
	launch_service(&conf, "cat", "/bin/cat", NULL);
	launch_use(&launch, &conf);
	assert_int_equal(status_bits(launch.pid, "CapPrm"), own & had);
	assert_int_equal(status_bits(launch.pid, "CapEff"), own & had);
	assert_int_equal(status_bits(launch.pid, "CapInh"), 0);
	if (geteuid() != 0)
		skip();
	/* Its bounding set is for programs, and none of these gets any. */
	assert_int_equal(status_bits(launch.pid, "CapBnd"), 0);
	/* It cannot get them back, so a configuration that needs more is
	 * refused while a program runs ... */
	exec = launch_service(&more, "raw", "/bin/cat", NULL);
	exec->capability_bits = BIT(CAP_NET_RAW);
	fd = launch_run(&launch, 1, 0);
	expect_echo(fd, 'x');
	expect_refused(&more, 2, "cap_net_raw");
	/* Root without a list of its own takes all there are, and so does sudo. */
	more.execs[0].capability_bits = 0;
	more.execs[0].user = (struct cab_account){ "root", 0, 0 };
	expect_refused(&more, 3, "all that the daemon has");
	more.execs[0].user = (struct cab_account){ "daemon", 1, 1 };
	more.execs[0].no_new_privileges = false;
	expect_refused(&more, 4, "all that the daemon has");
	more.execs[0].no_new_privileges = true;
	more.execs[0].nice = -1;
	expect_refused(&more, 5, "cap_sys_nice");
	shutdown(fd, SHUT_WR);
	expect_closed(fd);
	launch_until(launch_idle, &launch, NULL);
	/* ... and ends it otherwise: its successor has them. */
	launch_config(&launch, &more, commit.generation);
	launch_send(&launch, MSG_COMMIT, &commit, sizeof(commit), -1);
	assert_int_equal(launch_wait(&launch), 0);
	launch_log(&launch, "starting anew", "cap_sys_nice");
}

/* ---- the end -------------------------------------------------------------------------------- */

static void
drains_before_it_stops(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct msg_stop stop = { .drain_ms = 600000 };
	int fd, late;

	(void)state;
	launch_service(&conf, "cat", "/bin/cat", NULL);
	launch_use(&launch, &conf);
	fd = launch_run(&launch, 1, 0);
	expect_echo(fd, 'x');
	launch_send(&launch, MSG_STOP, &stop, sizeof(stop), -1);
	/* What a worker still passes on has been admitted. */
	late = launch_run(&launch, 1, 0);
	assert_int_equal(write(late, "y", 1), 1);
	shutdown(late, SHUT_WR);
	expect_text(late, "y");
	shutdown(fd, SHUT_WR);
	expect_closed(fd);
	assert_int_equal(launch_wait(&launch), 0);
}

static void
ends_programs_when_the_time_is_up(void **state)
{
	struct launch_conf conf = { .n = 0 };
	struct msg_stop stop = { .drain_ms = 10 };
	char text[8];
	int polite, deaf;

	(void)state;
	launch_script(&conf, "polite", "echo up; sleep 1000");
	launch_script(
	    &conf, "deaf", "trap '' TERM; echo up; while :; do sleep 1; done");
	launch_use(&launch, &conf);
	polite = launch_run(&launch, 1, 0);
	deaf = launch_run(&launch, 1, 1);
	assert_int_equal(read(polite, text, 3), 3);
	assert_int_equal(read(deaf, text, 3), 3);
	launch_send(&launch, MSG_STOP, &stop, sizeof(stop), -1);
	expect_closed(polite);
	assert_int_equal(launch_wait(&launch), 0);
	launch_log(
	    &launch, "service polite: program was ended by signal 15", NULL);
	expect_closed(deaf);
}

static void
ends_programs_with_the_supervisor(void **state)
{
	struct launch_conf conf = { .n = 0 };
	char text[8];
	int fd;

	(void)state;
	launch_script(&conf, "a", "echo up; sleep 1000");
	launch_use(&launch, &conf);
	fd = launch_run(&launch, 1, 0);
	assert_int_equal(read(fd, text, 3), 3);
	launch.chan = fd_close(launch.chan);
	assert_int_equal(launch_wait(&launch), 0);
	expect_closed(fd);
	launch_log(&launch, "the supervisor is gone", NULL);
}

static void
ignores_signals_meant_for_the_supervisor(void **state)
{
	struct launch_conf conf = { .n = 0 };

	(void)state;
	launch_script(&conf, "a", "echo alive");
	launch_use(&launch, &conf);
	kill(launch.pid, SIGTERM);
	kill(launch.pid, SIGINT);
	kill(launch.pid, SIGHUP);
	kill(launch.pid, SIGPIPE);
	expect_text(launch_run(&launch, 1, 0), "alive\n");
}

#define ROLE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ROLE_TEST(runs_a_program_on_the_socket),
		ROLE_TEST(wakes_who_waits_for_a_place),
		ROLE_TEST(records_how_programs_end),
		ROLE_TEST(logs_stderr),
		ROLE_TEST(keeps_reading_stderr),
		ROLE_TEST(ends_programs_that_take_too_long),
		ROLE_TEST(says_what_cannot_be_started),
		ROLE_TEST(tries_again_later),
		ROLE_TEST(refuses_what_makes_no_sense),
		ROLE_TEST(leaves_the_successor_its_ticket),
		ROLE_TEST(ends_the_link_of_a_broken_worker),
		ROLE_TEST(waits_for_a_newer_configuration),
		ROLE_TEST(keeps_a_configuration_while_it_is_used),
		ROLE_TEST(refuses_a_snapshot_that_is_none),
		ROLE_TEST(hands_a_socket_over),
		ROLE_TEST(leaves_a_taken_socket_alone),
		ROLE_TEST(survives_a_taker_that_takes_nothing),
		ROLE_TEST(leaves_nothing_behind),
		ROLE_TEST(keeps_few_capabilities),
		ROLE_TEST(drains_before_it_stops),
		ROLE_TEST(ends_programs_when_the_time_is_up),
		ROLE_TEST(ends_programs_with_the_supervisor),
		ROLE_TEST(ignores_signals_meant_for_the_supervisor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
