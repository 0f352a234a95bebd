/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of mini-HTTP: a document root on disk, asked over the in-memory
 * transport.  No target, link or odd file leads out of it or to anything but a
 * regular file; ranges, conditions, and the cache of small files.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "proto/builtin.h"
#include "proto/http.h"
#include "proto/http_cache.h"
#include "proto/http_cond.h"
#include "proto/http_file.h"
#include "tests/support/http_client.h"
#include "tests/support/mem.h"

#define SECRET "TOP SECRET"
#define BIG    300000
/* Tue, 14 Nov 2023 22:13:20 GMT */
#define STAMP 1700000000

static char base[64]; /* a directory that holds the root and what must stay outside */
static char big[BIG + 1];
static struct http_opts *opts;
static struct mem_service *service;

/* ---- a site on disk ---- */

static const char *
at(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static void
put_bytes(const char *name, const void *p, size_t n)
{
	struct timespec times[2] = { { STAMP, 0 }, { STAMP, 5 } };
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void
put(const char *name, const char *text)
{
	put_bytes(name, text, strlen(text));
}

static void
put_dir(const char *name)
{
	assert_int_equal(mkdir(at(name), 0755), 0);
}

static void
put_link(const char *name, const char *to)
{
	assert_int_equal(symlink(to, at(name)), 0);
}

static void
put_socket(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", at(name)) <
	    (int)sizeof(addr.sun_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
}

static int
build_site(void **state)
{
	(void)state;
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)('a' + i % 23);
	snprintf(base, sizeof(base), "/tmp/test_http_file.XXXXXX");
	if (!mkdtemp(base) || chmod(base, 0755) < 0)
		return -1;
	umask(022);
	put("secret.txt", SECRET);
	put_dir("sibling");
	put("sibling/x", SECRET);
	put_dir("root");
	put("root/index.html", "<p>index\n");
	put("root/a.txt", "0123456789");
	put("root/empty", "");
	put("root/noext", "noext");
	put("root/100%", "percent");
	put("root/a b", "space");
	put("root/\xc3\xa9", "utf-8");
	put("root/back\\slash", "backslash");
	put_bytes("root/big.bin", big, BIG);
	put_dir("root/dir");
	put("root/dir/index.html", "dir index\n");
	put("root/dir/x.css", "css");
	put_dir("root/bare");
	put("root/bare/file", "bare file");
	put_dir("root/second");
	put("root/second/index.txt", "second choice");
	put_dir("root/.git");
	put("root/.git/config", SECRET);
	put("root/.htpasswd", SECRET);
	put("root/dir/.hidden", SECRET);
	put("root/...", SECRET);
	put_dir("root/.well-known");
	put("root/.well-known/acme", "token");
	put("root/.well-known/.hidden", SECRET);
	put_dir("root/.well-known-not");
	put("root/.well-known-not/x", SECRET);
	put_link("root/in", "a.txt");
	put_link("root/in-dir", "dir");
	put_link("root/in-up", "dir/../a.txt");
	put_link("root/out", "../secret.txt");
	put_link("root/out-up", "dir/../../secret.txt");
	put_link("root/out-dir", "../sibling");
	put_link("root/out-abs", "/etc/passwd");
	put_link("root/abs-in", at("root/a.txt"));
	put_link("root/chain", "out");
	put_link("root/loop", "loop");
	put_link("root/dangling", "nowhere");
	put_link("root/proc", "/proc/self/environ");
	put_link("root/slash", "/");
	put_link("root/dir/up", "../..");
	put_link("root/dir/root", "..");
	if (mkfifo(at("root/fifo"), 0644) < 0)
		return -1;
	put_socket("root/socket");
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int
remove_site(void **state)
{
	(void)state;
	return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
serve(void)
{
	int root = open(at("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_true(root >= 0);
	service = mem_service_new(&proto_http, opts, "root", root);
	assert_non_null(service);
}

static int
set_up(void **state)
{
	(void)state;
	opts = mem_default_options(&http_group);
	if (!opts)
		return -1;
	opts->root = "/configured";
	serve();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	mem_service_free(service);
	free(opts);
	return 0;
}

static void
serve_again(void)
{
	mem_service_free(service);
	serve();
}

/* ---- asking ---- */

static char kept[BIG + 2000];

/* The only reply to a request for the target with these field lines. */
static struct http_reply
ask(const char *method, const char *target, const char *fields)
{
	struct mem_conn *conn = mem_open(service);
	struct cab_slice out;
	struct http_reply reply;
	char text[9000];
	int n = snprintf(text, sizeof(text),
	    "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, target, fields);

	assert_true(n > 0 && (size_t)n < sizeof(text));
	mem_feed(conn, text, (size_t)n);
	out.p = mem_output(conn, &out.n);
	assert_true(out.n < sizeof(kept));
	memcpy(kept, out.p, out.n);
	kept[out.n] = '\0';
	out.p = kept;
	mem_free(conn);
	assert_true(client_next(&out, strcmp(method, "HEAD") == 0, &reply));
	assert_int_equal(out.n, 0);
	return reply;
}

static struct http_reply
get(const char *target)
{
	return ask("GET", target, "");
}

static void
expect(const char *target, int status, const char *body)
{
	struct http_reply r = get(target);

	if (r.status != status)
		fail_msg("%s: %d, not %d", target, r.status, status);
	if (body)
		client_expect_body(&r, body);
}

/* ---- what there is ---- */

static void
test_files(void **state)
{
	struct http_reply r;

	(void)state;
	expect("/", 200, "<p>index\n");
	expect("/index.html", 200, "<p>index\n");
	expect("/%69ndex.html", 200, "<p>index\n");
	expect("/a.txt", 200, "0123456789");
	expect("/a.txt?x=../y", 200, "0123456789");
	expect("//a.txt", 200, "0123456789");
	expect("/dir//x.css", 200, "css");
	expect("/empty", 200, "");
	expect("/100%25", 200, "percent");
	expect("/a%20b", 200, "space");
	expect("/%c3%a9", 200, "utf-8");
	expect("/back%5cslash", 200, "backslash");
	expect("/dir/", 200, "dir index\n");
	expect("/bare/file", 200, "bare file");
	expect("/big.bin", 200, big);
	expect("/.well-known/acme", 200, "token");
	r = get("/a.txt");
	client_expect_field(&r, "Content-Type", "text/plain; charset=utf-8");
	client_expect_field(&r, "Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT");
	client_expect_field(&r, "Accept-Ranges", "bytes");
	assert_true(client_field(&r, "ETag").n > 10);
	r = get("/dir/");
	client_expect_field(&r, "Content-Type", "text/html; charset=utf-8");
}

static void
test_head_equals_get(void **state)
{
	static const char *const targets[] = { "/", "/a.txt", "/big.bin",
		"/absent", "/dir", "/empty" };

	(void)state;
	for (size_t i = 0; i < CAB_N(targets); i++) {
		char head[1000];
		struct http_reply r = ask("HEAD", targets[i], "");
		size_t n = r.head.n;

		assert_true(n < sizeof(head));
		memcpy(head, r.head.p, n);
		r = get(targets[i]);
		assert_int_equal(r.head.n, n);
		assert_memory_equal(r.head.p, head, n);
	}
}

static void
test_one_write(void **state)
{
	struct mem_conn *conn = mem_open(service);
	const char *text = "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n";

	(void)state;
	mem_feed(conn, text, strlen(text));
	assert_int_equal(mem_writes(conn), 1);
	mem_free(conn);
}

static void
test_redirects(void **state)
{
	static const struct {
		const char *target, *location;
	} cases[] = {
		{ "/dir", "/dir/" },
		{ "/dir?a=b%20c", "/dir/?a=b%20c" },
		{ "/di%72", "/di%72/" },
		{ "//dir", "/dir/" },
		{ "///dir", "/dir/" },
		{ "http://other.example/dir", "/dir/" },
		{ "/in-dir", "/in-dir/" },
		{ "/bare", "/bare/" },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		struct http_reply r = get(cases[i].target);

		assert_int_equal(r.status, 301);
		client_expect_field(&r, "Location", cases[i].location);
	}
}

static void
test_index(void **state)
{
	static const char *const names[] = { "index.html", "index.txt" };

	(void)state;
	expect("/bare/", 404, NULL);
	expect("/second/", 404, NULL);
	opts->index = (struct cab_strings){ names, 2 };
	serve_again();
	expect("/second/", 200, "second choice");
	expect("/dir/", 200, "dir index\n");
	expect("/bare/", 404, NULL);
}

static void
test_links(void **state)
{
	(void)state;
	expect("/in", 200, "0123456789");
	expect("/in-up", 200, "0123456789");
	expect("/in-dir/x.css", 200, "css");
	expect("/dir/root/a.txt", 200, "0123456789");
	opts->follow_symlinks = false;
	serve_again();
	expect("/in", 404, NULL);
	expect("/in-up", 404, NULL);
	expect("/in-dir/x.css", 404, NULL);
	expect("/a.txt", 200, "0123456789");
}

/* ---- what there is not ---- */

static const char *const ways_out[] = {
	"/absent",
	"/absent/",
	"/a.txt/",
	"/a.txt/x",
	"/index.html/index.html",
	"/..",
	"/../",
	"/../secret.txt",
	"/../../secret.txt",
	"/../../../../../../../../etc/passwd",
	"/./a.txt",
	"/dir/./x.css",
	"/dir/../a.txt",
	"/dir/../../secret.txt",
	"/dir/..",
	"/%2e%2e/secret.txt",
	"/%2E%2e/secret.txt",
	"/.%2e/secret.txt",
	"/%2e./secret.txt",
	"/%2e/a.txt",
	"/..%2fsecret.txt",
	"/..%2Fsecret.txt",
	"/%2e%2e%2fsecret.txt",
	"/dir%2fx.css",
	"/dir%2f..%2f..%2fsecret.txt",
	"/..%5csecret.txt",
	"/..\\secret.txt",
	"/%5c..%5csecret.txt",
	"/%252e%252e/secret.txt",
	"/%252e%252e%252fsecret.txt",
	"/%25%32%65%25%32%65/secret.txt",
	"/%c0%ae%c0%ae/secret.txt",
	"/%c0%ae%c0%ae%c0%afsecret.txt",
	"/%e0%80%ae%e0%80%ae/secret.txt",
	"/%uff0e%uff0e/secret.txt",
	"/%%32%65%%32%65/secret.txt",
	"/..;/secret.txt",
	"/..%00/secret.txt",
	"/%2e%2e%00/secret.txt",
	"/..%20/secret.txt",
	"/..%09/secret.txt",
	"/..%0d%0a/secret.txt",
	"/.../secret.txt",
	"/...",
	"/....//secret.txt",
	"//../secret.txt",
	"///../secret.txt",
	"/.//../secret.txt",
	"//..//secret.txt",
	"/dir//../../secret.txt",
	"/..//secret.txt",
	"/.",
	"/./",
	"/..?",
	"/../secret.txt?x",
	"/../root/a.txt",
	"/../sibling/x",
	"/dir/up/secret.txt",
	"/dir/up/sibling/x",
	"/dir/up/root/a.txt",
	"/dir/root/../secret.txt",
	"/out",
	"/out/",
	"/out-up",
	"/out-dir",
	"/out-dir/",
	"/out-dir/x",
	"/out-abs",
	"/abs-in",
	"/chain",
	"/loop",
	"/loop/x",
	"/dangling",
	"/proc",
	"/slash",
	"/slash/etc/passwd",
	"/slash/proc/self/environ",
	"/etc/passwd",
	"//etc/passwd",
	"/%2fetc/passwd",
	"/%2fetc%2fpasswd",
	"/proc/self/environ",
	"/dev/fd/0",
	"/dev/null",
	"/fifo",
	"/socket",
	"/.git",
	"/.git/",
	"/.git/config",
	"/%2egit/config",
	"/.htpasswd",
	"/%2ehtpasswd",
	"/dir/.hidden",
	"/dir/%2ehidden",
	"/.well-known",
	"/.well-known/",
	"/.well-known/.hidden",
	"/.well-known/../.git/config",
	"/.well-known-not/x",
	"/dir/.well-known/x",
	"/a.txt%00",
	"/a.txt%00.html",
	"/%00",
	"/a.txt%20",
	"/a.txt.",
	"/a.txt::$DATA",
	"/~root/",
	"/C:/secret.txt",
	"/file:///etc/passwd",
	"http://a/../secret.txt",
	"http://a/%2e%2e/secret.txt",
	"http://../secret.txt",
	"http://a//etc/passwd",
};

static void
test_ways_out(void **state)
{
	(void)state;
	assert_true(CAB_N(ways_out) >= 80);
	for (int follow = 0; follow < 2; follow++) {
		opts->follow_symlinks = follow;
		serve_again();
		for (size_t i = 0; i < CAB_N(ways_out); i++) {
			struct http_reply r = get(ways_out[i]);
			/* A directory may be named, what is in it is what counts. */
			bool dir = strcmp(ways_out[i], "/.well-known") == 0;

			if (r.status != 400 && r.status != 404 &&
			    !(dir && r.status == 301))
				fail_msg("%s: %d", ways_out[i], r.status);
			assert_null(strstr(kept, SECRET));
			assert_null(strstr(kept, "root:"));
		}
	}
}

static void
test_long_names(void **state)
{
	static char target[8000];

	(void)state;
	target[0] = '/';
	memset(target + 1, 'x', 300);
	expect(target, 404, NULL);
	memset(target + 1, 'x', 7000);
	expect(target, 404, NULL);
	for (size_t i = 0; i < 7000; i += 2)
		memcpy(target + i, "/x", 2);
	expect(target, 404, NULL);
	/* just short of the longest, so that the index does not fit */
	memset(target + 1, 'x', PATH_MAX - 5);
	for (size_t i = 0; i < PATH_MAX - 5; i += 100)
		target[i] = '/';
	memcpy(target + PATH_MAX - 5, "/", 2);
	expect(target, 404, NULL);
}

static void
test_no_root(void **state)
{
	(void)state;
	mem_service_free(service);
	opts->root = NULL;
	service = mem_service_new(&proto_http, opts, NULL, -1);
	assert_non_null(service);
	expect("/", 404, NULL);
	expect("/a.txt", 404, NULL);
	mem_service_free(service);
	/* Configured, but not handed over: no service rather than half of one. */
	opts->root = "/configured";
	service = mem_service_new(&proto_http, opts, NULL, -1);
	assert_null(service);
	opts->root = NULL;
	service = mem_service_new(&proto_http, opts, NULL, -1);
}

static void
test_unreadable(void **state)
{
	bool root = geteuid() == 0;

	(void)state;
	put("root/locked", SECRET);
	assert_int_equal(chmod(at("root/locked"), 0), 0);
	put_dir("root/locked-dir");
	put("root/locked-dir/x", SECRET);
	assert_int_equal(chmod(at("root/locked-dir"), 0), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	struct http_reply a = get("/locked"), b = get("/locked-dir/x");
	struct http_reply c = get("/locked-dir/");
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(at("root/locked-dir"), 0755), 0);
	assert_int_equal(a.status, 403);
	assert_int_equal(b.status, 403);
	assert_int_equal(c.status, 403);
}

static void
test_no_descriptors(void **state)
{
	struct rlimit old, none;
	struct http_reply r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ 0, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = get("/a.txt");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r.status, 503);
	client_expect_field(&r, "Retry-After", "1");
	expect("/a.txt", 200, "0123456789");
}

static void
test_shrinking(void **state)
{
	struct mem_conn *conn = mem_open(service);
	const char *text = "GET /shrinks HTTP/1.1\r\nHost: a\r\n\r\n";
	size_t n;

	(void)state;
	put_bytes("root/shrinks", big, BIG);
	mem_window(conn, 5000);
	mem_feed(conn, text, strlen(text));
	assert_int_equal(truncate(at("root/shrinks"), 10000), 0);
	mem_window(conn, SIZE_MAX);
	mem_output(conn, &n);
	assert_true(n < BIG);
	assert_true(mem_closed(conn));
	mem_free(conn);
}

/* ---- ranges and conditions ---- */

static void
test_ranges(void **state)
{
	static const struct {
		const char *range;
		int status;
		const char *body, *content_range;
	} cases[] = {
		{ "bytes=0-3", 206, "0123", "bytes 0-3/10" },
		{ "bytes=3-3", 206, "3", "bytes 3-3/10" },
		{ "bytes=7-", 206, "789", "bytes 7-9/10" },
		{ "bytes=-3", 206, "789", "bytes 7-9/10" },
		{ "bytes=-30", 206, "0123456789", "bytes 0-9/10" },
		{ "bytes=0-99", 206, "0123456789", "bytes 0-9/10" },
		{ "bytes=10-", 416, NULL, "bytes */10" },
		{ "bytes=-0", 416, NULL, "bytes */10" },
		{ "bytes=0-1,3-4", 200, "0123456789", NULL },
		{ "bytes=3-1", 200, "0123456789", NULL },
		{ "lines=0-1", 200, "0123456789", NULL },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		char fields[100];
		struct http_reply r;

		snprintf(fields, sizeof(fields), "Range: %s\r\n", cases[i].range);
		r = ask("GET", "/a.txt", fields);
		assert_int_equal(r.status, cases[i].status);
		if (cases[i].body)
			client_expect_body(&r, cases[i].body);
		client_expect_field(&r, "Content-Range", cases[i].content_range);
	}
	/* of a file that the kernel sends */
	struct http_reply r = ask(
	    "GET", "/big.bin", "Range: bytes=100-200099\r\n");
	assert_int_equal(r.status, 206);
	assert_int_equal(r.body.n, 200000);
	assert_memory_equal(r.body.p, big + 100, 200000);
	r = ask("HEAD", "/a.txt", "Range: bytes=0-3\r\n");
	assert_int_equal(r.status, 200);
	client_expect_field(&r, "Content-Length", "10");
}

static void
test_conditions(void **state)
{
	struct http_reply r = get("/a.txt");
	char tag[HTTP_ETAG_MAX], fields[300];

	(void)state;
	snprintf(tag, sizeof(tag), "%.*s", (int)client_field(&r, "ETag").n,
	    client_field(&r, "ETag").p);
	snprintf(fields, sizeof(fields), "If-None-Match: \"x\", %s\r\n", tag);
	r = ask("GET", "/a.txt", fields);
	assert_int_equal(r.status, 304);
	client_expect_field(&r, "ETag", tag);
	client_expect_field(&r, "Content-Type", NULL);
	r = ask("GET", "/a.txt", "If-None-Match: \"x\"\r\n");
	assert_int_equal(r.status, 200);
	client_expect_body(&r, "0123456789");
	r = ask("GET", "/a.txt",
	    "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n");
	assert_int_equal(r.status, 304);
	r = ask("GET", "/a.txt",
	    "If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT\r\n");
	assert_int_equal(r.status, 200);
	r = ask("GET", "/a.txt", "If-Match: \"x\"\r\n");
	assert_int_equal(r.status, 412);
	snprintf(fields, sizeof(fields), "If-Range: %s\r\nRange: bytes=1-2\r\n",
	    tag);
	r = ask("GET", "/a.txt", fields);
	assert_int_equal(r.status, 206);
	r = ask("GET", "/a.txt", "If-Range: \"x\"\r\nRange: bytes=1-2\r\n");
	assert_int_equal(r.status, 200);
}

/* Another file of the same name has another tag. */
static void
test_etag_changes(void **state)
{
	char before[HTTP_ETAG_MAX];
	struct http_reply r;

	(void)state;
	put("root/tagged", "one");
	r = get("/tagged");
	snprintf(before, sizeof(before), "%.*s",
	    (int)client_field(&r, "ETag").n, client_field(&r, "ETag").p);
	put("root/tagged", "longer");
	r = get("/tagged");
	assert_int_not_equal(client_field(&r, "ETag").n, 0);
	assert_true(client_field(&r, "ETag").n != strlen(before) ||
	    memcmp(client_field(&r, "ETag").p, before, strlen(before)) != 0);
}

/* ---- the cache ---- */

static struct cab_clock now;

/* From now on the clock tells the time that files have, later by some seconds. */
static void
use_real_time(void)
{
	now = cab_clock;
	now.wall_ns = ((int64_t)time(NULL) + 60) * 1000000000;
	clock_fake(&now);
}

static void
pass(uint64_t ms)
{
	now.mono_ns += ms * 1000000;
	now.wall_ns += (int64_t)ms * 1000000;
	clock_fake(&now);
}

static void
replace(const char *name, const char *text)
{
	char to[PATH_MAX];

	put("fresh", text);
	assert_true(snprintf(to, sizeof(to), "%s", at(name)) < (int)sizeof(to));
	assert_int_equal(rename(at("fresh"), to), 0);
}

static void
test_cache(void **state)
{
	(void)state;
	put("root/hot", "version 1");
	use_real_time();
	expect("/hot", 200, "version 1");
	replace("root/hot", "version 2");
	/* believed for a second */
	pass(900);
	expect("/hot", 200, "version 1");
	pass(200);
	expect("/hot", 200, "version 2");
	replace("root/hot", "version 3");
	pass(1000);
	expect("/hot", 200, "version 3");
	pass(500);
	assert_int_equal(unlink(at("root/hot")), 0);
	pass(1000);
	expect("/hot", 404, NULL);
	expect("/hot", 404, NULL);
}

static void
test_cache_in_place(void **state)
{
	(void)state;
	put("root/hot", "version 1");
	use_real_time();
	expect("/hot", 200, "version 1");
	put("root/hot", "version 2"); /* the same size and time of modification */
	pass(1000);
	expect("/hot", 200, "version 2");
	/* still there, unchanged: kept again and again */
	for (int i = 0; i < 3; i++) {
		pass(1000);
		expect("/hot", 200, "version 2");
	}
}

/* What was changed a moment ago may change again unseen. */
static void
test_cache_settles(void **state)
{
	(void)state;
	put("root/hot", "version 1");
	use_real_time();
	now.wall_ns -= INT64_C(59) * 1000000000;
	clock_fake(&now);
	expect("/hot", 200, "version 1");
	put("root/hot", "version 2");
	expect("/hot", 200, "version 2");
	assert_int_equal(unlink(at("root/hot")), 0);
	expect("/hot", 404, NULL);
}

static void
test_cache_off(void **state)
{
	(void)state;
	opts->cache = 0;
	serve_again();
	put("root/hot", "version 1");
	use_real_time();
	expect("/hot", 200, "version 1");
	replace("root/hot", "version 2");
	expect("/hot", 200, "version 2");
}

/* Everything that a file can be asked for can be asked of a kept one. */
static void
test_cache_all_replies(void **state)
{
	static const char *const fields[] = { "", "", "Range: bytes=2-4\r\n",
		"If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n",
		"Connection: close\r\n", "If-Match: \"x\"\r\n",
		"Range: bytes=10-\r\n" };
	static char before[CAB_N(fields)][1000];

	(void)state;
	use_real_time();
	for (int cached = 0; cached < 2; cached++) {
		opts->cache = cached ? 1 << 20 : 0;
		serve_again();
		clock_fake(&now);
		expect("/a.txt", 200, "0123456789");
		for (size_t i = 0; i < CAB_N(fields); i++) {
			ask(i == 1 ? "HEAD" : "GET", "/a.txt", fields[i]);
			assert_true(strlen(kept) < sizeof(before[i]));
			if (cached)
				assert_string_equal(kept, before[i]);
			else
				memcpy(before[i], kept, strlen(kept) + 1);
		}
	}
}

static void
test_cache_bounded(void **state)
{
	struct http_cache *cache = http_cache_new(20000);
	struct http_file file = { .fd = -1, .size = 1000, .type = "a/b" };
	char head[] = "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 06:42:05 GMT\r\n";
	struct http_text t = { head, sizeof(head) - 1, sizeof(head) - 1 };
	char path[20];

	(void)state;
	assert_true(http_cache_fits(cache, 5000));
	assert_false(http_cache_fits(cache, 5001));
	assert_false(http_cache_fits(cache, UINT64_MAX));
	for (int i = 0; i < 1000; i++) {
		struct http_canned *canned = http_canned_new(200, &t, 1000);
		int n = snprintf(path, sizeof(path), "/%d", i);

		assert_non_null(http_cache_add(cache,
		    (struct cab_slice){ path, (size_t)n }, &file, canned));
		/* This one is used all the time, so it stays. */
		assert_non_null(http_cache_find(cache, CAB_SLICE("/0")));
		assert_true(http_cache_bytes(cache) <= 20000);
	}
	assert_non_null(http_cache_find(cache, CAB_SLICE("/999")));
	assert_null(http_cache_find(cache, CAB_SLICE("/1")));
	assert_null(http_cache_find(cache, CAB_SLICE("/")));
	assert_null(http_cache_add(
	    cache, CAB_SLICE("/huge"), &file, http_canned_new(200, &t, 30000)));
	http_cache_drop(cache, http_cache_find(cache, CAB_SLICE("/999")));
	assert_null(http_cache_find(cache, CAB_SLICE("/999")));
	http_cache_free(cache);
	http_cache_free(NULL);
}

/* ---- files that several ask for at once ---- */

#define ASKERS 4

static int statuses[ASKERS];

/* All ask at once; whoever gets a file gets it whole, all of it these bytes. */
static void
ask_together(const char *const targets[], char filled_with)
{
	struct mem_conn *conns[ASKERS];
	struct http_reply reply;
	struct cab_slice out;
	char text[100];

	for (size_t i = 0; i < ASKERS; i++) {
		int n = snprintf(text, sizeof(text),
		    "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", targets[i]);

		conns[i] = mem_open(service);
		mem_bring(conns[i], text, (size_t)n);
	}
	for (size_t i = 0; i < 1 + BIG / 4096; i++)
		mem_turn(service);
	for (size_t i = 0; i < ASKERS; i++) {
		out.p = mem_output(conns[i], &out.n);
		assert_true(client_next(&out, false, &reply));
		assert_int_equal(out.n, 0);
		statuses[i] = reply.status;
		for (size_t k = 0; reply.status == 200 && k < reply.body.n; k++)
			assert_int_equal(reply.body.p[k], filled_with);
		mem_free(conns[i]);
	}
}

static void
replace_filled(const char *name, char with, size_t n)
{
	memset(kept, with, n);
	kept[n] = '\0';
	replace(name, kept);
}

static void
test_shared(void **state)
{
	static const char *const targets[ASKERS] = { "/shared", "/shared",
		"/a-shared", "/shared" };
	int before = dup(STDIN_FILENO);

	(void)state;
	close(before);
	for (char c = 'a'; c < 'd'; c++) {
		/* Never what another turn has found. */
		replace_filled("root/shared", c, BIG - (size_t)c);
		replace_filled("root/a-shared", c, BIG - 10 * (size_t)c);
		ask_together(targets, c);
		for (size_t i = 0; i < ASKERS; i++)
			assert_int_equal(statuses[i], 200);
		assert_int_equal(unlink(at("root/shared")), 0);
		ask_together(targets, c);
		for (size_t i = 0; i < ASKERS; i++)
			assert_int_equal(
			    statuses[i], strstr(targets[i], "a-") ? 200 : 404);
	}
	/* Nothing is left open. */
	assert_int_equal(dup(STDIN_FILENO), before);
	close(before);
}

/* Whatever is asked of a shared file is answered as if it were not. */
static void
test_shared_all_replies(void **state)
{
	static const char *const asked[] = {
		"GET /shared HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /shared HTTP/1.1\r\nHost: a\r\nRange: bytes=100-50000\r\n\r\n",
		"HEAD /shared HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /shared HTTP/1.1\r\nHost: a\r\nRange: bytes=-10\r\n\r\n",
		"GET /shared HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n",
		"GET /shared HTTP/1.1\r\nHost: a\r\nIf-Match: \"x\"\r\n\r\n",
		"GET /shared HTTP/1.1\r\nHost: a\r\nRange: bytes=70000-\r\n\r\n",
		"GET /shared-dir HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /shared-dir/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /shared-dir/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /shared-dir/index.html HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /shared HTTP/1.1\r\nHost: a\r\n\r\n",
	};
	struct mem_conn *alone[CAB_N(asked)], *together[CAB_N(asked)];
	struct cab_slice a, b;

	(void)state;
	put_bytes("root/shared", big, 60000);
	put_dir("root/shared-dir");
	put_bytes("root/shared-dir/index.html", big, 50000);
	for (size_t i = 0; i < CAB_N(asked); i++) {
		alone[i] = mem_open(service);
		mem_feed(alone[i], asked[i], strlen(asked[i]));
	}
	for (size_t i = 0; i < CAB_N(asked); i++) {
		together[i] = mem_open(service);
		mem_bring(together[i], asked[i], strlen(asked[i]));
	}
	for (size_t i = 0; i < 1 + 60000 / 4096 + 1; i++)
		mem_turn(service);
	for (size_t i = 0; i < CAB_N(asked); i++) {
		a.p = mem_output(alone[i], &a.n);
		b.p = mem_output(together[i], &b.n);
		assert_true(a.n > 0);
		assert_int_equal(a.n, b.n);
		assert_memory_equal(a.p, b.p, a.n);
		mem_free(alone[i]);
		mem_free(together[i]);
	}
}

/* As many are served as there are descriptors for: none is kept back from them. */
static void
test_shared_without_descriptors(void **state)
{
	static const char *const same[ASKERS] = { "/shared", "/shared",
		"/shared", "/shared" };
	static const char *const two[ASKERS] = { "/shared", "/shared",
		"/a-shared", "/a-shared" };
	int next = dup(STDIN_FILENO);
	struct rlimit old, few;

	(void)state;
	close(next);
	for (int fd = next; fd <= next + ASKERS; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			skip(); /* inherited: what is spare cannot be counted */
	replace_filled("root/shared", 'a', BIG);
	replace_filled("root/a-shared", 'a', BIG);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (size_t k = 0; k < 2 * ASKERS; k++) {
		size_t spare = 1 + k / 2;

		few = (struct rlimit){ (rlim_t)next + spare, old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		ask_together(k % 2 ? same : two, 'a');
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		for (size_t i = 0; i < ASKERS; i++)
			assert_int_equal(statuses[i], i < spare ? 200 : 503);
	}
}

/* ---- pieces ---- */

static void
test_decode(void **state)
{
	static const struct {
		const char *from;
		int r;
		const char *to;
	} cases[] = {
		{ "", 0, "" },
		{ "/a", 0, "/a" },
		{ "/%61%2E%7e", 0, "/a.~" },
		{ "/%c3%A9", 0, "/\xc3\xa9" },
		{ "/%2541", 0, "/%41" },
		{ "/+", 0, "/+" },
		{ "/%2f", -ENOENT, NULL },
		{ "/%00", -EINVAL, NULL },
		{ "/%1f", -EINVAL, NULL },
		{ "/%7F", -EINVAL, NULL },
		{ "/%", -EINVAL, NULL },
		{ "/%4", -EINVAL, NULL },
		{ "/%g0", -EINVAL, NULL },
		{ "/%0g", -EINVAL, NULL },
		{ "/12345678", -ENAMETOOLONG, NULL },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++) {
		struct cab_slice from = { cases[i].from, strlen(cases[i].from) };
		struct cab_slice to = { NULL, 77 };
		char buf[8];

		assert_int_equal(
		    http_path_decode(from, buf, sizeof(buf), &to), cases[i].r);
		if (cases[i].to) {
			assert_int_equal(to.n, strlen(cases[i].to));
			assert_memory_equal(to.p, cases[i].to, to.n);
		} else {
			assert_int_equal(to.n, 77);
		}
	}
}

static void
test_mime(void **state)
{
	static const char *const cases[][2] = {
		{ "a.html", "text/html; charset=utf-8" },
		{ "a.HTM", "text/html; charset=utf-8" },
		{ "a.tar.gz", "application/gzip" },
		{ "x/a.css", "text/css; charset=utf-8" },
		{ "a.js", "text/javascript; charset=utf-8" },
		{ "a.json", "application/json" },
		{ "a.png", "image/png" },
		{ "a.7z", "application/x-7z-compressed" },
		{ "a.zst", "application/zstd" },
		{ "a", "application/octet-stream" },
		{ "a.", "application/octet-stream" },
		{ "a.nonsense", "application/octet-stream" },
		{ "x.html/a", "application/octet-stream" },
		{ "", "application/octet-stream" },
	};

	(void)state;
	for (size_t i = 0; i < CAB_N(cases); i++)
		assert_string_equal(http_mime_type(cases[i][0]), cases[i][1]);
}

static void
test_probe(void **state)
{
	int dir = open(at("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(http_file_probe(dir), 0);
	close(dir);
	assert_int_equal(http_file_probe(dir), -EBADF);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_files),
		T(test_head_equals_get),
		T(test_one_write),
		T(test_redirects),
		T(test_index),
		T(test_links),
		T(test_ways_out),
		T(test_long_names),
		T(test_no_root),
		T(test_unreadable),
		T(test_no_descriptors),
		T(test_shrinking),
		T(test_ranges),
		T(test_conditions),
		T(test_etag_changes),
		T(test_cache),
		T(test_cache_in_place),
		T(test_cache_settles),
		T(test_cache_off),
		T(test_cache_all_replies),
		T(test_cache_bounded),
		T(test_shared),
		T(test_shared_all_replies),
		T(test_shared_without_descriptors),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_mime),
		cmocka_unit_test(test_probe),
	};

	return cmocka_run_group_tests(tests, build_site, remove_site);
}
