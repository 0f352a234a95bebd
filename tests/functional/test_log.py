# SPDX-License-Identifier: GPL-2.0-or-later
"""
What is logged about connections, as lines on standard error and as records for
the journal, which a socket of ours stands in for: every fact in its field, one
record for each finished connection where that is asked for, refusals summed up
by network, addresses anonymised, and a log that takes nothing only counted.
"""

import contextlib
import ctypes
import os
import re
import shlex
import socket
import struct
import threading

import pytest

from harness import (REPO, echoes, free_port, in_parallel, is_refused,
                     needs_root, program, receive_all, reset, tcp, wait_until)
from test_ctl import connections, ctl

HERE = "tcp://127.0.0.1:{}"
EVENTS = dict(re.findall(r'#define EVENT_(\w+)\s+"([0-9a-f]{32})"',
                         (REPO / "src/base/event.h").read_text()))
FIELDS = set(re.findall(r'#define FIELD_\w+\s+"(\w+)"',
                        (REPO / "src/base/event.h").read_text()))
# Longer than the quiet that ends a flood.
FLOOD_PATIENCE = 30


def echo(port, **log):
    return {"name": "svc", "listen": HERE.format(port), "protocol": "echo",
            "log": log}


# ---------------------------------------------------------------- lines

def lines(daemon, begin):
    """Lines of one kind: the text, and the fields behind it."""
    found = []
    for line in daemon.log().splitlines():
        text = re.sub(r"^cabinetd(\[[^]]*\])?: ", "", line)
        if not re.match(rf"(info|notice|warning|error): {begin}", text):
            continue
        fields = dict(word.split("=", 1) for word in
                      shlex.split(text.replace("\\", "\\\\"))
                      if re.match(r"[A-Z_]+=", word))
        found.append((text, fields))
    return found


def wait_lines(daemon, begin, n=1, timeout=10):
    wait_until(lambda: len(lines(daemon, begin)) >= n,
               f"{n} lines {begin!r} of {daemon.label}", timeout)
    found = lines(daemon, begin)
    assert len(found) == n, found
    return found


def unlogged(daemon, reason):
    text = ctl(daemon, "metrics").out
    return sum(map(int, re.findall(
        r"(?m)^cabinetd_connections_not_logged_total\{.*"
        rf'reason="{reason}"\}} (\d+)', text)))


def test_finished_connection(daemon):
    port = free_port()
    d = daemon([echo(port, connections=True)])
    with tcp(port, source="127.0.0.5") as sock:
        source = sock.getsockname()[1]
        assert echoes(sock, b"x" * 1000)
    (text, fields), = wait_lines(d, "connection finished")
    assert f"service svc, 127.0.0.5:{source}, served after " in text
    assert "1000 bytes in, 1000 out (closed by the client)" in text
    assert int(fields.pop("CONN")) > 0
    assert int(fields.pop("DURATION_US")) >= 0
    assert fields == {
        "SERVICE": "svc", "PEER": f"127.0.0.5:{source}",
        "LOCAL": f"127.0.0.1:{port}", "VERDICT": "served",
        "REASON": "closed by the client", "BYTES_IN": "1000",
        "BYTES_OUT": "1000"}


def test_nothing_is_logged_by_default(daemon):
    port = free_port()
    service = echo(port)
    del service["log"]
    d = daemon([service])
    with tcp(port) as sock:
        assert echoes(sock)
    wait_until(lambda: not connections(d), "it has gone")
    assert lines(d, "connection") == []


def test_verdicts(daemon):
    """Why a connection ended, one service for each way."""
    ports = {name: free_port() for name in
             ("idle", "first", "total", "day", "reset", "hand", "stop")}
    timeouts = {"idle": {"idle": "300ms"}, "first": {"first_byte": "300ms"},
                "total": {"total": "300ms"}}
    d = daemon([{"name": name, "listen": HERE.format(port),
                 "protocol": "daytime" if name == "day" else "echo",
                 "timeouts": timeouts.get(name, {})}
                for name, port in ports.items()],
               defaults={"log": {"connections": True}})
    socks = {name: tcp(port) for name, port in ports.items()}
    for name in ("idle", "reset", "hand", "stop"):
        assert echoes(socks[name])
    reset(socks["reset"])
    number, = (c["id"] for c in connections(d, "hand"))
    ctl(d, "kill", str(number))
    for name in ("idle", "first", "total", "day", "hand"):
        receive_all(socks[name], reset_ok=True)
        socks[name].close()
    wait_lines(d, "connection finished", 6)
    d.stop()
    socks["stop"].close()
    found = {fields["SERVICE"]: (fields["VERDICT"], fields["REASON"])
             for _, fields in wait_lines(d, "connection finished", 7)}
    assert found == {
        "idle": ("timeout", "timeouts.idle"),
        "first": ("timeout", "timeouts.first_byte"),
        "total": ("timeout", "timeouts.total"),
        "day": ("served", "finished"),
        "reset": ("reset", "the client reset or left it"),
        "hand": ("ended", "by hand"),
        "stop": ("ended", "the service or the daemon went away")}


def test_sample(daemon):
    port = free_port()
    d = daemon([{**echo(port, connections=True, sample=10),
                 "timeouts": {"idle": "300ms"}}], workers=1)
    for _ in range(95):
        with tcp(port) as sock:
            assert echoes(sock)
    wait_until(lambda: unlogged(d, "sample") == 85, "all have finished")
    found = wait_lines(d, "connection finished", 10)
    assert all(fields["SAMPLE"] == "10" for _, fields in found)
    # What goes wrong is never left out.
    socks = [tcp(port) for _ in range(5)]
    for sock in socks:
        assert echoes(sock)
    for sock in socks:
        receive_all(sock, reset_ok=True)
        sock.close()
    found = wait_lines(d, "connection finished", 15)[10:]
    assert {(f["VERDICT"], f["SAMPLE"]) for _, f in found} == {("timeout", "1")}
    assert unlogged(d, "sample") == 85


def test_quiet_from(daemon):
    port, other = free_port(), free_port()
    quiet = ["127.0.0.9", "127.1.0.0/16"]
    d = daemon([{**echo(port, connections=True, quiet_from=quiet),
                 "timeouts": {"idle": "300ms"}},
                {"name": "cat", "listen": HERE.format(other),
                 "exec": program("/bin/cat"), "log": {"quiet_from": quiet}}])
    for to in (port, other):
        for source in ("127.0.0.9", "127.1.2.3"):
            with tcp(to, source=source) as sock:
                assert echoes(sock)
    with tcp(port, source="127.0.0.9") as sock:     # not well finished
        receive_all(sock, reset_ok=True)
    with tcp(port, source="127.0.0.8") as sock:
        assert echoes(sock)
    wait_until(lambda: unlogged(d, "quiet_from") == 4, "they are counted")
    found = wait_lines(d, "connection finished", 2)
    assert [(f["PEER"].split(":")[0], f["VERDICT"]) for _, f in found] == [
        ("127.0.0.9", "timeout"), ("127.0.0.8", "served")]
    assert lines(d, "service cat: program") == []


def test_program(daemon):
    """Without log.connections, too; with it one record for each, however many."""
    ports = [free_port() for _ in range(3)]
    d = daemon([
        {"name": "bad", "listen": HERE.format(ports[0]),
         "exec": program("/bin/sh", "-c", "cat; exit 7")},
        {"name": "many", "listen": HERE.format(ports[1]),
         "exec": program("/bin/true"), "log": {"connections": True}},
        {"name": "some", "listen": HERE.format(ports[2]),
         "exec": program("/bin/true"),
         "log": {"connections": True, "sample": 5}}])
    with tcp(ports[0]) as sock:
        source = sock.getsockname()[1]
        assert echoes(sock)
    (text, fields), = wait_lines(d, "service bad: program")
    assert "program ended with status 7 after " in text
    for name in ("CONN", "PID", "DURATION_US", "CPU_US", "MAXRSS_KB"):
        assert int(fields.pop(name)) > 0, name
    assert fields == {
        "SERVICE": "bad", "PEER": f"127.0.0.1:{source}",
        "LOCAL": f"127.0.0.1:{ports[0]}", "VERDICT": "failed",
        "REASON": "ended with status 7", "STATUS": "7"}
    for _ in range(150):    # more than are logged where nobody asked
        with tcp(ports[1]) as sock:
            receive_all(sock)
    wait_lines(d, "service many: program", 150, 30)
    for _ in range(20):
        with tcp(ports[2]) as sock:
            receive_all(sock)
    wait_until(lambda: unlogged(d, "sample") == 16, "they are counted")
    found = wait_lines(d, "service some: program", 4)
    assert all(fields["SAMPLE"] == "5" for _, fields in found)


def test_anonymise(daemon, work):
    """Neither a field nor the text of any record tells one client from another."""
    ports = [free_port() for _ in range(5)]
    gone = work / "program"
    gone.write_text("")
    gone.chmod(0o755)
    d = daemon([
        echo(ports[0], connections=True),
        {"name": "deny", "listen": HERE.format(ports[1]), "protocol": "echo",
         "access": {"deny": ["127.0.0.0/8"]}},
        {"name": "cat", "listen": HERE.format(ports[2]),
         "exec": program("/bin/sh", "-c", "echo hello >&2; cat")},
        {"name": "none", "listen": HERE.format(ports[3]),
         "exec": program(gone)},
        {"name": "mail", "listen": HERE.format(ports[4]), "protocol": "smtp",
         "smtp": {"hostname": "mx.example.org"},
         "timeouts": {"idle": "300ms"}}],
        defaults={"log": {"anonymise": True, "connections": True}})
    gone.unlink()
    for port in (ports[0], ports[2]):
        with tcp(port, source="127.7.8.91") as sock:
            assert echoes(sock)
    for _ in range(9):
        with tcp(ports[1], source="127.7.8.91") as sock:
            assert is_refused(sock)
    for port in (ports[3], ports[4]):
        with tcp(port, source="127.7.8.91") as sock:
            receive_all(sock, reset_ok=True)
    wait_lines(d, "connection finished", 2)
    wait_lines(d, "service cat: program")
    wait_lines(d, "cat: hello")
    wait_lines(d, "service none: cannot start")
    wait_lines(d, "service deny: 4 refused from 127.7.8.0/24", 1,
               FLOOD_PATIENCE)
    assert d.log().count("127.7.8.0:") >= 9
    assert "127.7.8.91" not in d.log()


# ---------------------------------------------------------------- floods

def test_flood(daemon):
    """Over all workers: the first five by themselves, the others in one record."""
    port = free_port()
    d = daemon([{**echo(port), "access": {"deny": ["127.0.0.0/8"]}}], workers=4)

    def knock(index):
        with tcp(port, source=f"127.0.{index % 2}.{index % 200 + 1}") as sock:
            assert is_refused(sock)
    in_parallel([lambda index=index: knock(index) for index in range(120)])
    found = wait_lines(d, "refused a connection", 10)
    assert {f["REASON"] for _, f in found} == {"access rules"}
    assert {f["LOCAL"] for _, f in found} == {f"127.0.0.1:{port}"}
    assert all(re.search(rf"access rules \(service svc, {f['PEER']}\)", text)
               for text, f in found)
    found = wait_lines(d, "service svc: ", 2, FLOOD_PATIENCE)
    assert sorted(f.pop("NETWORK") for _, f in found) == [
        "127.0.0.0/24", "127.0.1.0/24"]
    for text, fields in found:
        took = re.match(r"notice: service svc: 55 refused from 127\.0\.[01]\.0"
                        r"/24 in (\d+\.\d{3}) s \(access rules\), then no "
                        r"more [A-Z]", text).group(1)
        assert int(fields.pop("DURATION_US")) == int(took.replace(".", "")) * \
            1000
        assert fields == {"SERVICE": "svc", "VERDICT": "refused",
                          "REASON": "access rules", "COUNT": "55",
                          "TOTAL": "55"}


def test_flood_outlives_its_worker(daemon):
    """What a worker has counted when it dies is told all the same."""
    port = free_port()
    d = daemon([{**echo(port), "access": {"deny": ["127.0.0.0/8"]}}], workers=1)
    for _ in range(30):
        with tcp(port) as sock:
            assert is_refused(sock)
    worker, = d.workers()
    os.kill(worker.pid, 9)
    (text, _), = wait_lines(d, "service svc: ", 1, FLOOD_PATIENCE)
    assert " 25 refused from 127.0.0.0/24 in " in text


def test_full(daemon):
    """Who waits for a place is told of once, not once for each client."""
    port = free_port()
    d = daemon([{**echo(port), "limits": {"connections": 1,
                                          "on_limit": "queue"}}], workers=1)
    with tcp(port) as holder:
        assert echoes(holder)
        waiting = [tcp(port) for _ in range(5)]
        (text, fields), = wait_lines(d, "service svc is full")
        assert "limits.connections (1) reached, new clients wait" in text
        assert fields == {"SERVICE": "svc",
                          "REASON": "limits.connections reached"}
    for sock in waiting:
        assert echoes(sock)
        sock.close()
    wait_lines(d, "service svc is full")


# ---------------------------------------------------------------- the journal

class Journal:
    """A socket in the place of journald's, seen by one daemon alone."""

    def __init__(self, work):
        self.path = work / "journal.sock"
        self.records = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.path.chmod(0o666)
        self._reading = threading.Event()
        self._ended = False
        self._socket.settimeout(0.1)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.hang(False)
        self._thread.start()

    def _read(self):
        while not self._ended:
            self._reading.wait()
            with contextlib.suppress(TimeoutError):
                self.records.append(self.parse(self._socket.recv(1 << 20)))

    @staticmethod
    def parse(data):
        """systemd's native protocol, strictly."""
        record = {}
        while data:
            head, _, rest = data.partition(b"\n")
            if b"=" in head:
                name, _, value = head.partition(b"=")
                data = rest
            else:
                name = head
                size, = struct.unpack("<Q", rest[:8])
                value, end, data = rest[8:8 + size], rest[8 + size:9 + size], \
                    rest[9 + size:]
                assert len(value) == size and end == b"\n"
            assert re.fullmatch(rb"[A-Z][A-Z0-9_]*", name), name
            assert name.decode() not in record, name
            record[name.decode()] = value.decode("utf-8", "replace")
        return record

    def hang(self, on):
        (self._reading.clear if on else self._reading.set)()

    def of(self, event):
        return [r for r in self.records
                if r.get("MESSAGE_ID") == EVENTS[event]]

    def wait(self, event, n=1, timeout=10):
        wait_until(lambda: len(self.of(event)) >= n,
                   f"{n} records {event}", timeout)
        found = self.of(event)
        assert len(found) == n, found
        return found

    def enter(self):
        """Between fork and exec of the daemon: gives it a /run of its own."""
        libc = ctypes.CDLL(None, use_errno=True)

        def call(result):
            if result != 0:
                raise OSError(ctypes.get_errno(), "mount namespace")
        call(libc.unshare(0x00020000))                          # CLONE_NEWNS
        call(libc.mount(b"none", b"/", None, 0x44000, None))    # rec, private
        call(libc.mount(b"tmpfs", b"/run", b"tmpfs", 0, None))
        os.makedirs("/run/systemd/journal")
        target = "/run/systemd/journal/socket"
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
        call(libc.mount(str(self.path).encode(), target.encode(), None,
                        0x1000, None))                          # bind

    def close(self):
        self._ended = True
        self.hang(False)
        self._thread.join()
        self._socket.close()


@pytest.fixture
def journal(work):
    with contextlib.closing(Journal(work)) as one:
        yield one


@pytest.fixture
def logged(daemon, journal):
    """Factory like daemon; what it starts logs to journal."""
    def start(services, **more):
        return daemon(services, preexec=journal.enter,
                      log={"target": "journal"}, **more)
    return start


@needs_root
def test_native_fields(logged, journal):
    ports = [free_port() for _ in range(4)]
    d = logged([
        echo(ports[0], connections=True),
        {"name": "deny", "listen": HERE.format(ports[1]), "protocol": "echo",
         "access": {"deny": ["127.0.0.0/8"]}},
        {"name": "bad", "listen": HERE.format(ports[2]),
         "exec": program("/bin/sh", "-c", "echo oh >&2; kill -TERM $$")},
        {"name": "six", "listen": f"tcp://[::1]:{ports[3]}",
         "protocol": "daytime", "log": {"connections": True}}], workers=1)
    journal.wait("STARTED")
    with tcp(ports[0], source="127.0.0.5") as sock:
        source = str(sock.getsockname()[1])
        assert echoes(sock, b"y" * 10)
    record, = journal.wait("FINISHED")
    assert record.pop("MESSAGE").startswith(
        f"connection finished: service svc, 127.0.0.5:{source}, served after ")
    assert int(record.pop("CABINETD_CONN")) > 0
    assert int(record.pop("CABINETD_DURATION_US")) >= 0
    assert record == {
        "MESSAGE_ID": EVENTS["FINISHED"], "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "cabinetd", "CABINETD_ROLE": "worker 0",
        "CABINETD_SERVICE": "svc", "CABINETD_PEER": f"127.0.0.5:{source}",
        "CABINETD_PEER_ADDRESS": "127.0.0.5", "CABINETD_PEER_PORT": source,
        "CABINETD_LOCAL": f"127.0.0.1:{ports[0]}",
        "CABINETD_LOCAL_ADDRESS": "127.0.0.1",
        "CABINETD_LOCAL_PORT": str(ports[0]), "CABINETD_VERDICT": "served",
        "CABINETD_REASON": "closed by the client", "CABINETD_BYTES_IN": "10",
        "CABINETD_BYTES_OUT": "10"}
    with tcp(ports[1]) as sock:
        assert is_refused(sock)
    record, = journal.wait("REFUSED")
    assert record["CABINETD_VERDICT"] == "refused"
    assert record["CABINETD_REASON"] == "access rules"
    assert record["CABINETD_LOCAL_PORT"] == str(ports[1])
    assert record["PRIORITY"] == "5"
    with tcp(ports[2]) as sock:
        receive_all(sock)
    record, = journal.wait("PROGRAM_STDERR")
    pid = record["CABINETD_PID"]
    record, = journal.wait("PROGRAM_ENDED")
    assert record["CABINETD_ROLE"] == "launcher"
    assert record["CABINETD_PID"] == pid
    assert record["CABINETD_SIGNAL"] == "15"
    assert record["CABINETD_LOCAL_PORT"] == str(ports[2])
    assert int(record["CABINETD_CPU_US"]) > 0
    with tcp(ports[3], "::1") as sock:
        receive_all(sock)
    record = journal.wait("FINISHED", 2)[1]
    assert record["CABINETD_PEER_ADDRESS"] == "::1"
    assert record["CABINETD_LOCAL"] == f"[::1]:{ports[3]}"
    d.stop()
    journal.wait("STOPPING")


@needs_root
def test_native_fields_of_the_daemon(logged, journal):
    port = free_port()
    d = logged([echo(port)], workers=1)
    d.reload(services=[echo(port), {**echo(free_port()), "name": "more"}])
    record, = journal.wait("RELOADED")
    assert [record["CABINETD_" + n] for n in ("ADDED", "CHANGED", "DROPPED",
                                               "KEPT")] == ["1", "0", "0", "1"]
    ctl(d, "disable", "more")
    record, = journal.wait("SWITCHED")
    assert record["CABINETD_SERVICE"] == "more"
    d.reload(config="workers = 1;\nservices = ( { nam = 7; } );\n")
    journal.wait("RELOAD_REFUSED")
    found = [r for r in journal.of("FINDING") if r["PRIORITY"] == "3"]
    assert found
    for record in found:
        assert record["CABINETD_FILE"] == str(d.config)
        assert record["CABINETD_LINE"] == "2"
        assert record["MESSAGE"].startswith(f"{d.config}:2: ")
    worker, = d.workers()
    os.kill(worker.pid, 9)
    record, = journal.wait("ROLE_ENDED")
    assert record["CABINETD_CHILD"] == "worker 0"
    assert record["CABINETD_PID"] == str(worker.pid)
    assert record["CABINETD_SIGNAL"] == "9"
    journal.wait("ROLE_AGAIN")
    for record in journal.records:
        names = {n.removeprefix("CABINETD_") for n in record
                 if n.startswith("CABINETD_")}
        assert names <= FIELDS, record
        assert record.get("MESSAGE_ID") in {None, *EVENTS.values()}, record


@needs_root
def test_native_log_that_takes_nothing(logged, journal):
    """Serving goes on, what is lost is counted by role and told afterwards."""
    port = free_port()
    d = logged([echo(port, connections=True)], workers=1)
    journal.wait("STARTED")
    journal.hang(True)

    def lost():
        return int(re.search(
            r'cabinetd_log_records_dropped_total\{role="worker 0"\} (\d+)',
            ctl(d, "metrics").out).group(1))
    for _ in range(2000):
        with tcp(port) as sock:
            assert echoes(sock)
        if lost() > 20:
            break
    dropped = wait_until(lost, "the socket is full")
    journal.hang(False)

    # Nothing else happens that could be logged.
    record = wait_until(lambda: [r for r in journal.of("LOG_LOST")
                                 if r["CABINETD_ROLE"] == "worker 0"],
                        "it is told")[0]
    assert dropped <= int(record["CABINETD_COUNT"]) == lost()
    assert record["MESSAGE"].startswith(f"{record['CABINETD_COUNT']} log ")


@needs_root
def test_native_peer_bytes_are_escaped(logged, journal):
    """Line breaks and a field of the client's making stay text."""
    port = free_port()
    logged([{"name": "sh", "listen": HERE.format(port),
             "exec": program("/bin/sh", "-c", "cat >&2")}])
    with tcp(port) as sock:
        sock.sendall(b"\x1b[2J\r\0MESSAGE_ID=x\xff\nCABINETD_SERVICE=forged\n")
        sock.shutdown(socket.SHUT_WR)
        receive_all(sock)
    found = journal.wait("PROGRAM_STDERR", 2)
    assert [r["MESSAGE"] for r in found] == [
        "sh: \\x1b[2J\\x0d\\x00MESSAGE_ID=x\\xff",
        "sh: CABINETD_SERVICE=forged"]
    assert {r["CABINETD_SERVICE"] for r in found} == {"sh"}
