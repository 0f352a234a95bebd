/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's sandbox, from the inside: each attempt runs in a child.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/sandbox.h"

enum {
	DONE = 0,
	NO_SANDBOX = 100,
	ALLOWED = 101,
	OTHER = 102
};

/* How a child ends that enters the sandbox as this user and then makes the attempt. */
static int
attempt(uint32_t uid, int (*what)(void))
{
	const char *step;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_enter(uid, uid, 64, &step) < 0)
			_exit(NO_SANDBOX);
		_exit(what());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int
try_normal_work(void)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return OTHER;
	*p = 1;
	return munmap(p, 4096) == 0 && getpid() > 0 ? DONE : OTHER;
}

static int
try_regain_root(void)
{
	return syscall(SYS_setresuid, 0, 0, 0) == 0 ? ALLOWED : DONE;
}

#ifndef CAB_SANITIZE
static char scratch[] = "/tmp/cabinetd-test-XXXXXX";

static int
try_exec(void)
{
	char name[] = "true";
	char *const argv[] = { name, NULL };

	execv("/bin/true", argv);
	return OTHER;
}

static int
try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? OTHER : ALLOWED;
}

static int
try_fork(void)
{
	return fork() < 0 ? OTHER : ALLOWED;
}

static int
try_open(void)
{
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? ALLOWED : errno == EPERM ? DONE : OTHER;
}

static int
try_open2(const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
		.mode = flags & O_CREAT ? 0600 : 0 };
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd >= 0 ? ALLOWED : errno == EACCES ? DONE : OTHER;
}

static int
try_read_file(void)
{
	return try_open2(scratch, O_RDONLY);
}

static int
try_write_file(void)
{
	return try_open2(scratch, O_WRONLY);
}

static int
try_make_file(void)
{
	return try_open2("/tmp/cabinetd-test-sandbox", O_RDWR | O_CREAT);
}

static int
try_executable_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? DONE : ALLOWED;
}

static int
try_kill(void)
{
	return kill(1, 0) == 0 ? ALLOWED : errno == EPERM ? DONE : OTHER;
}

static void
deadly_calls_kill(void **state)
{
	int (*const attempts[])(void) = { try_exec, try_socket, try_fork };

	(void)state;
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		int status = attempt(UINT32_MAX, attempts[i]);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

/* Even files that the user may write. */
static void
files_are_for_reading(void **state)
{
	int fd = mkstemp(scratch);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1) {
		unlink(scratch);
		skip(); /* the kernel knows no Landlock, or does not tell us */
	}
	assert_int_equal(
	    WEXITSTATUS(attempt(UINT32_MAX, try_read_file)), ALLOWED);
	assert_int_equal(attempt(UINT32_MAX, try_write_file), DONE);
	assert_int_equal(attempt(UINT32_MAX, try_make_file), DONE);
	unlink(scratch);
}

static void
other_calls_are_refused(void **state)
{
	(void)state;
	assert_int_equal(attempt(UINT32_MAX, try_open), DONE);
	assert_int_equal(attempt(UINT32_MAX, try_executable_memory), DONE);
	assert_int_equal(attempt(UINT32_MAX, try_kill), DONE);
}
#endif

static void
work_goes_on(void **state)
{
	(void)state;
	assert_int_equal(attempt(UINT32_MAX, try_normal_work), DONE);
}

static void
root_is_gone_for_good(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* only root has something to lose */
	assert_int_equal(attempt(65534, try_regain_root), DONE);
	assert_int_equal(attempt(65534, try_normal_work), DONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_goes_on),
		cmocka_unit_test(root_is_gone_for_good),
#ifndef CAB_SANITIZE /* there is no filter with the sanitizers */
		cmocka_unit_test(deadly_calls_kill),
		cmocka_unit_test(other_calls_are_refused),
		cmocka_unit_test(files_are_for_reading),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
