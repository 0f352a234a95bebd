# SPDX-License-Identifier: GPL-2.0-or-later
"""
System calls per operation, counted with strace on the worker.  A count is not a
time: it says on every machine the same.

What has to be done comes in rounds, each put before a worker that is stopped
meanwhile, so that it finds all of it at once and no chance decides how much one
epoll_wait returns.
"""

import collections
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness import (ROOT, SANITIZED, Process, echoes, free_port, in_parallel,
                     program, receive, receive_all, tcp, udp, wait_until)
from test_survive import kept

ROUNDS = 16
CLIENTS = 64
SETTLED = 3             # s without a change, for the cache of small files
# A sanitizer's own memory, which comes and goes when it likes.
NOT_OURS = ("mmap", "munmap", "madvise") if SANITIZED else ()
WAITING = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "restart_syscall")

pytestmark = [
    pytest.mark.skipif(not ROOT, reason="only root may trace the worker, which "
                       "runs as another user"),
    pytest.mark.skipif(shutil.which("strace") is None,
                       reason="strace is not installed")]


class Calls:
    """The system calls of a process, from attach to detach."""

    def __init__(self, pid, path, *options):
        self.path = path
        self.strace = subprocess.Popen(
            ["strace", *options, "-p", str(pid), "-o", str(path)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)

    def __enter__(self):
        line = self.strace.stderr.readline().decode("utf-8", "replace")
        if "attached" not in line:
            self.__exit__()
            pytest.skip("processes cannot be traced here: " + line.strip())
        return self

    def __exit__(self, *_):
        self.strace.send_signal(signal.SIGINT)
        self.strace.wait(30)
        self.strace.stderr.close()

    def count(self):
        """How often each was made; those that found nothing, apart."""
        found = collections.Counter()
        for line in self.path.read_text("utf-8", "replace").splitlines():
            name = re.match(r"(\w+)\(", line)
            if name and name.group(1) in NOT_OURS:
                continue
            if name and name.group(1) in WAITING:
                found["waiting"] += 1
            elif name and re.search(r"= -1 EAGAIN\b", line):
                found[name.group(1) + " in vain"] += 1
            elif name:
                found[name.group(1)] += 1
        return found


@contextlib.contextmanager
def stopped(pid):
    """What the block does is there before the process goes on."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: Process(pid).state in "tT", "the worker stops",
                   pause=0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def judge(calls, operations, each):
    """
    At most so many calls for each operation.  Beyond them: one in six
    operations may have a wait or an attempt in vain to share (the first bursts
    of connections are taken in small steps), and the once-in-a-second work of
    the worker may come in between.
    """
    counts = calls.count()
    work = sum(n for name, n in counts.items()
               if name != "waiting" and not name.endswith("in vain"))
    shared = sum(counts.values()) - work
    listing = "\n".join(f"  {name:20} {n:6} {n / operations:8.3f} each"
                        for name, n in counts.most_common())
    listing = f"{operations} operations:\n{listing}\n" \
        + calls.path.read_text("utf-8", "replace")[-3000:]
    assert each < 1 or work >= int(each) * operations, \
        "calls were missed; " + listing
    assert work <= each * operations + operations / 50, listing
    assert shared <= operations / 6, listing


@pytest.fixture
def serve(daemon, work):
    """Starts one service with one worker; its port and the worker's pid."""
    def start(scheme="tcp", **service):
        port = free_port()
        running = daemon(workers=1, services=[
            {"name": "counted", "listen": f"{scheme}://127.0.0.1:{port}",
             **service}])
        return port, running.workers()[0].pid
    return start


def persistent(port, pid, work, request, n_reply):
    """Rounds of one request on each of the connections that stay."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(tcp(port)) for _ in range(CLIENTS)]
        for client in clients:          # accepted, and whatever is cached, is
            client.sendall(request)
            receive(client, n_reply)
        with Calls(pid, work / "calls") as calls:
            for _ in range(ROUNDS):
                with stopped(pid):
                    for client in clients:
                        client.sendall(request)
                for client in clients:
                    receive(client, n_reply)
    return calls


def one_each(port, pid, work, request):
    """Rounds of connections that are there, with their request, at once."""
    with tcp(port) as client:           # whatever is cached, is
        client.sendall(request)
        assert receive_all(client)
    with Calls(pid, work / "calls") as calls:
        for _ in range(ROUNDS):
            with contextlib.ExitStack() as stack:
                with stopped(pid):
                    clients = [stack.enter_context(tcp(port))
                               for _ in range(CLIENTS)]
                    for client in clients:
                        client.sendall(request)
                for client in clients:
                    assert receive_all(client)
    return calls


def get(path, *fields):
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *fields, "", ""]
    return "\r\n".join(lines).encode()


def reply_length(port, request):
    with tcp(port) as client:
        client.sendall(request)
        client.shutdown(1)
        return len(receive_all(client))


def test_echo(serve, work):
    """recv, send."""
    port, pid = serve(protocol="echo")
    calls = persistent(port, pid, work, b"x" * 64, 64)
    judge(calls, ROUNDS * CLIENTS, 2)


def test_daytime(serve, work):
    """
    accept, send, shutdown, which lets the text and the end leave in one
    segment, and a share of close: up to sixteen are closed together.
    """
    port, pid = serve(protocol="daytime")
    judge(one_each(port, pid, work, b""), ROUNDS * CLIENTS, 3 + 1 / 8)


def test_daytime_alone(serve, work):
    """The same for clients that come one by one, and nothing stays open."""
    port, pid = serve(protocol="daytime")
    before = len(os.listdir(f"/proc/{pid}/fd"))
    n = 4 * CLIENTS
    with Calls(pid, work / "calls") as calls:
        for _ in range(n):
            with tcp(port) as client:
                assert receive_all(client)
        wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before,
                   "the last ones are closed")
    counts = calls.count()
    made = sum(count for name, count in counts.items() if name != "waiting")
    assert 3 * n <= made <= (3 + 1 / 4) * n, counts
    # For that it is woken, and does not wait for something else to happen.
    last = calls.path.read_text("utf-8", "replace").rsplit("shutdown(", 1)[1]
    waits = [int(ms) for ms in re.findall(r"epoll_wait\(.*, (-?\d+)\) +=", last)]
    assert any(0 <= ms <= 100 for ms in waits), last


@pytest.mark.parametrize("path", ["/ok", "/small.txt"])
def test_http_keep_alive(serve, work, path):
    """recv, send: for a fixed reply and for a small file that is in use."""
    (work / "www").mkdir()
    small = work / "www/small.txt"
    small.write_text("x" * 1024)
    # What changed a moment ago is not taken from the cache.
    wait_until(lambda: time.time() > small.stat().st_ctime + SETTLED,
               "the file is settled")
    port, pid = serve(protocol="http", http={
        "root": work / "www",
        "routes": [{"path": "/ok", "status": 200, "body": "ok\n"}]})
    length = reply_length(port, get(path))
    calls = persistent(port, pid, work, get(path), length)
    judge(calls, ROUNDS * CLIENTS, 2)


def test_http_connection_each(serve, work):
    """accept, recv, send, close."""
    port, pid = serve(protocol="http", http={
        "routes": [{"path": "/ok", "status": 200, "body": "ok\n"}]})
    calls = one_each(port, pid, work, get("/ok", "Connection: close"))
    judge(calls, ROUNDS * CLIENTS, 4)


@pytest.fixture
def serve_file(kept, work):
    """
    Serves /large.bin of so many bytes through a socket with this congestion
    control, passed as systemd does; its port and the worker's pid.
    """
    with socket.create_server(("127.0.0.1", 0)) as web:
        def start(control, size):
            try:
                web.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION,
                               control.encode())
            except FileNotFoundError:
                pytest.skip(f"this kernel has no {control}")
            (work / "www").mkdir()
            (work / "www/large.bin").write_bytes(b"x" * size)
            running = kept([{"name": "counted", "listen": "systemd://web",
                             "protocol": "http",
                             "http": {"root": work / "www"}}],
                           workers=1, room=0, extra=[("web", web.fileno())])
            return web.getsockname()[1], running.workers()[0].pid
        yield start


@pytest.mark.parametrize("control, part", [("reno", 1 << 20),
                                           ("bbr", 256 << 10)])
def test_http_large_file(serve_file, work, control, part):
    """
    recv, open, fstat, send of the head, sendfile in parts, close; the parts
    are as large as suits the congestion control, which is asked for once.
    """
    size = 4 * part
    port, pid = serve_file(control, size)
    with tcp(port) as client, Calls(pid, work / "calls") as calls:
        for _ in range(ROUNDS):
            client.sendall(get("/large.bin"))
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            receive(client, size - len(head.split(b"\r\n\r\n", 1)[1]))
    text = calls.path.read_text("utf-8", "replace")
    asked = [int(n) for n in re.findall(r"sendfile\(.*, (\d+)\) +=", text)]
    heads = [int(n) for n in re.findall(r"MSG_MORE.* = (\d+)$", text, re.M)]
    assert len(heads) == ROUNDS
    # Without the last one perhaps, which may end after strace has gone.  A
    # rest of the length of a head has no part of its own.
    assert len(asked) >= 4 * ROUNDS - 1, text[-3000:]
    assert part <= max(asked) <= part + heads[0], text[-3000:]
    assert text.count("TCP_CONGESTION") == 1, text[-3000:]
    if control == "bbr":    # the first with the head
        assert asked[0] + heads[0] == part, text[:3000]


def test_http_many_large_files(serve_file, work):
    """
    A batch ends when 8 MiB of files have gone, so that a slow disk is no hang:
    more than two of 16 requests for one file open it.
    """
    port, pid = serve_file("reno", 1 << 20)
    length = reply_length(port, get("/large.bin"))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(tcp(port)) for _ in range(16)]
        for client in clients:          # the socket's buffers grow to that
            client.sendall(get("/large.bin"))
            receive(client, length)
        with Calls(pid, work / "calls") as calls:
            with stopped(pid):
                for client in clients:
                    client.sendall(get("/large.bin"))
            in_parallel([lambda c=client: receive(c, length)
                         for client in clients])
    text = calls.path.read_text("utf-8", "replace")
    assert calls.count()["openat2"] > 2, text[-5000:]


def test_http_shared_file(serve, work):
    """
    recv, send of the head, sendfile, and a descriptor of one's own; open and
    fstat twice for those that ask for the same in one batch.
    """
    (work / "www").mkdir()
    (work / "www/middle.bin").write_bytes(b"x" * (40 << 10))
    port, pid = serve(protocol="http", http={"root": work / "www"})
    length = reply_length(port, get("/middle.bin"))
    calls = persistent(port, pid, work, get("/middle.bin"), length)
    counts = calls.count()
    operations = ROUNDS * CLIENTS
    assert counts["sendto"] == operations, counts
    assert 0 < counts["openat2"] <= operations / 6, counts
    judge(calls, operations, 5 + 3 / 6)


def test_pipelined_requests_take_turns(serve, work):
    """Who has sent a thousand at once is no reason for others to wait."""
    port, pid = serve(protocol="http", http={
        "routes": [{"path": "/ok", "status": 200, "body": "ok\n"}]})
    length = reply_length(port, get("/ok"))
    with tcp(port) as many, tcp(port) as one:
        for client in many, one:                # accepted
            client.sendall(get("/ok"))
            receive(client, length)
        with Calls(pid, work / "calls") as calls:
            with stopped(pid):
                many.sendall(1000 * get("/ok"))
                one.sendall(get("/ok"))
            receive(one, length)
            receive(many, 1000 * length)
    text = calls.path.read_text("utf-8", "replace")
    sent = [(int(fd), int(n)) for fd, n in
            re.findall(r"sendto\((\d+), .* = (\d+)$", text, re.M)]
    # The result of the last call may come after strace has gone.
    assert sum(n for _, n in sent) >= 900 * length, text[-3000:]
    other = next(i for i, (fd, _) in enumerate(sent)
                 if [n for f, n in sent if f == fd] == [length])
    assert sum(n for _, n in sent[:other]) <= 16 * length, sent[:20]


def test_udp_echo(serve, work):
    """A share of recvmmsg and sendmmsg: batches of at least sixteen."""
    port, pid = serve("udp", protocol="echo",
                      limits={"per_source_rate": "1000000/s"})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(udp(port)) for _ in range(CLIENTS)]
        with Calls(pid, work / "calls") as calls:
            for _ in range(ROUNDS):
                with stopped(pid):
                    for client in clients:
                        client.send(b"x" * 64)
                for client in clients:
                    assert client.recv(100) == b"x" * 64
    judge(calls, ROUNDS * CLIENTS, 2 / 16)


def test_smtp_session(serve, work):
    """accept, epoll_ctl and close; a send for each of 7 replies, 6 recv."""
    port, pid = serve(protocol="smtp", smtp={"hostname": "mx.example",
                                             "mode": "sink"})
    said = (b"HELO client.example\r\n", b"MAIL FROM:<a@client.example>\r\n",
            b"RCPT TO:<b@mx.example>\r\n", b"DATA\r\n",
            b"Subject: x\r\n\r\n" + 1000 * b"x" + b"\r\n.\r\n", b"QUIT\r\n")
    with Calls(pid, work / "calls") as calls:
        for _ in range(ROUNDS):
            with tcp(port) as client, client.makefile("rb") as replies:
                assert replies.readline().startswith(b"220 ")
                for line in said:
                    client.sendall(line)
                    assert replies.readline()[:1] in (b"2", b"3"), line
                assert replies.readline() == b""
    counts = calls.count()
    made = sum(n for name, n in counts.items()
               if name != "waiting" and not name.endswith("in vain"))
    assert 16 * ROUNDS <= made <= 16 * ROUNDS + 4, counts
    assert counts["recvfrom in vain"] <= 2, counts


def test_start_of_a_program(daemon, work):
    """In the launcher and in the child before execve, while others run."""
    port = free_port()
    running = daemon(workers=1, services=[
        {"name": "cat", "listen": f"tcp://127.0.0.1:{port}",
         "exec": program("/bin/cat")}])
    pid = running.launcher().pid
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            assert echoes(stack.enter_context(tcp(port)))
        with Calls(pid, work / "calls", "-f") as calls:
            for _ in range(ROUNDS):
                with tcp(port) as client:
                    client.shutdown(socket.SHUT_WR)
                    assert receive_all(client) == b""
            wait_until(lambda: calls.path.read_text("utf-8", "replace")
                       .count("[{WIFEXITED(s)") >= ROUNDS, "all were reaped")
    lines = calls.path.read_text("utf-8", "replace").splitlines()
    own, children = collections.Counter(), collections.defaultdict(list)
    for line in lines:
        found = re.match(r"(\d+) +(\w+)\(", line)
        if not found:
            continue
        name = found.group(2)
        if int(found.group(1)) == pid:
            own["waiting" if name in WAITING else name] += 1
        elif "execve" not in children[found.group(1)]:
            children[found.group(1)].append(name)
    listing = "\n".join(lines[-150:])
    assert len(children) == ROUNDS, listing
    for names in children.values():
        assert names[-1] == "execve" and len(names) <= 18, names
    # How much is logged about its end is the record gate's affair.
    for name in ("write", "sendmsg", "sendto", "poll", "ppoll"):
        own.pop(name, None)
    waits = own.pop("waiting")
    assert 15 * ROUNDS <= sum(own.values()) <= 19 * ROUNDS + 4, own
    assert waits <= 4 * ROUNDS, waits
