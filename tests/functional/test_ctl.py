# SPDX-License-Identifier: GPL-2.0-or-later
"""
cabinetctl against the real daemon: every verb, who may use it, what a failed
reload says, and that no client of the control socket can hold the daemon up.
"""

import contextlib
import fcntl
import grp
import json
import os
import pty
import pwd
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import termios
import time

import pytest

import harness
from harness import (BINARY, PATIENCE, ROOT, UNPRIVILEGED, DaemonExited,
                     echoes, in_parallel, needs_root, program, receive,
                     receive_all, smtp, tcp, unharmed, wait_until)

CTL = BINARY.parent / "cabinetctl"
HERE = ("tcp://127.0.0.1:0",)


class Result:
    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err

    def __repr__(self):
        return f"<{self.status} {self.out!r} {self.err!r}>"


def run_ctl(*args, timeout=60, env=None, **kwargs):
    done = subprocess.run(
        [str(CTL), *map(str, args)], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
        env={**harness.base_environment(), **(env or {})}, **kwargs)
    result = Result(done.returncode, done.stdout.decode(),
                    done.stderr.decode())
    for mark in harness.SANITIZER_MARKS:
        assert mark not in result.err, result.err
    return result


def ctl(daemon, *args, status=0, **kwargs):
    result = run_ctl("--socket", daemon.control, *args, **kwargs)
    daemon.hear()
    assert result.status == status, result
    return result


def ask(daemon, *args, status=0, **kwargs):
    """The reply as JSON."""
    result = ctl(daemon, "--json", *args, status=status, **kwargs)
    reply = json.loads(result.out)
    assert reply["ok"] == (status == 0)
    assert result.err == ""
    return reply


def service(daemon, name):
    found = [s for s in ask(daemon, "services")["services"]
             if s["name"] == name]
    assert len(found) == 1, found
    return found[0]


def port_of(daemon, name, scheme="tcp"):
    for listener in service(daemon, name)["listeners"]:
        found = re.fullmatch(rf"{scheme}://.*:(\d+)", listener)
        if found:
            return int(found.group(1))
    raise AssertionError(f"{name} has no {scheme} listener")


def connections(daemon, *name):
    return ask(daemon, "connections", *name)["connections"]


def raw(daemon, data, timeout=PATIENCE):
    """What the daemon replies to these bytes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(str(daemon.control))
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return receive_all(sock, reset_ok=True).decode()


def gone(sock):
    """The other end has closed, one way or another."""
    return receive_all(sock, reset_ok=True) == b""


ECHO = {"name": "echo", "listen": HERE, "protocol": "echo"}
SMTP = {"name": "mail", "listen": HERE, "protocol": "smtp"}


def cat(**more):
    return {"name": "cat", "listen": HERE,
            "exec": program("/bin/cat", **more)}


# ---------------------------------------------------------------- looking

def test_status(daemon):
    d = daemon([ECHO, cat()], workers=2)
    reply = ask(d, "status")
    head = reply["daemon"]
    assert head["pid"] == d.pid
    assert head["state"] == "serving"
    assert head["workers"] == 2
    assert head["services"] == 2
    assert head["listeners"] == 2
    assert head["config"] == str(d.config)
    assert head["reloads"] == 0 and head["reload_failures"] == 0
    assert head["last_reload"] is None and head["last_reload_time"] is None
    assert head["log_level"] == "info" and head["log_dropped"] == 0
    assert head["uptime"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
                        head["started"])
    roles = reply["processes"]
    assert [r["pid"] for r in roles if r["role"] == "worker"] == \
        [p.pid for p in d.workers()]
    assert [r["slot"] for r in roles if r["role"] == "worker"] == [0, 1]
    assert [r["pid"] for r in roles if r["role"] == "launcher"] == \
        [d.launcher().pid]
    assert all(r["restarts"] == 0 for r in roles)
    plain = ctl(d, "status").out
    assert re.search(rf"^pid +{d.pid}$", plain, re.M)
    assert "\t" not in plain and "\033" not in plain


def test_status_counts_restarts_and_reloads(daemon):
    d = daemon([ECHO], workers=2)
    victim = d.workers()[1]
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: [r["restarts"] for r in ask(d, "status")["processes"]
                        if r["role"] == "worker"] == [0, 1],
               "a restart is counted")
    ctl(d, "reload")
    d.write(config="services = nonsense;\n")
    ctl(d, "reload", status=1)
    head = ask(d, "status")["daemon"]
    assert (head["reloads"], head["reload_failures"]) == (1, 1)
    assert head["last_reload"] == "failed"
    assert head["last_reload_time"].endswith("Z")


def test_times_in_a_pipe(daemon):
    """As RFC 3339 has them."""
    d = daemon([ECHO], workers=1)
    for zone, offset in (("UTC", "+00:00"), ("XYZ3:30", "-03:30")):
        out = ctl(d, "status", env={"TZ": zone}).out
        text = re.search(r"^started +(\S+)$", out, re.M).group(1)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
                            + re.escape(offset), text)


def test_services_show_real_addresses_and_counts(daemon, work):
    d = daemon([{**ECHO, "listen": ("tcp://127.0.0.1:0", "udp://127.0.0.1:0",
                                    f"unix://{work}/e.sock")},
                {"name": "off", "listen": HERE, "protocol": "echo",
                 "enabled": False}, cat()], workers=2)
    with tcp(port_of(d, "echo")) as sock:
        assert echoes(sock, b"hello")
        row = service(d, "echo")
        assert row["active"] == 1 and row["accepted"] == 1
        # While it is open: not only when it has finished.
        assert row["received"] == 5 and row["sent"] == 5
    with harness.udp(port_of(d, "echo", "udp")) as sock:
        sock.send(b"hello")
        assert sock.recv(100) == b"hello"
    wait_until(lambda: service(d, "echo")["active"] == 0, "it has gone")
    row = service(d, "echo")
    assert row["state"] == "serving" and row["protocol"] == "echo"
    assert row["program"] is None
    assert row["datagrams"] == 1 and row["received"] == 10
    assert f"unix://{work}/e.sock" in row["listeners"]
    assert len(row["listeners"]) == 3
    row = service(d, "off")
    assert row["state"] == "disabled" and row["listeners"] == []
    row = service(d, "cat")
    assert row["protocol"] == "exec" and row["program"] == "/bin/cat"
    lines = ctl(d, "services").out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["echo", "serving", "echo"], ["off", "disabled", "echo"],
        ["cat", "serving", "exec"]]


def test_connections(daemon):
    d = daemon([ECHO, SMTP, cat()], workers=2)
    with tcp(port_of(d, "echo")) as one, tcp(port_of(d, "cat")) as two, \
            tcp(port_of(d, "mail")) as three:
        assert echoes(one) and echoes(two)
        assert receive(three, 4) == b"220 "
        rows = {r["service"]: r for r in connections(d)}
        assert set(rows) == {"echo", "cat", "mail"}
        for name, sock in (("echo", one), ("cat", two), ("mail", three)):
            assert rows[name]["peer"] == \
                "%s:%d" % sock.getsockname(), rows[name]
            assert rows[name]["age"] >= 0
            assert re.fullmatch(r"\d+", rows[name]["id"])
        assert len({r["id"] for r in rows.values()}) == 3
        assert rows["echo"]["process"] in ("worker 0", "worker 1")
        assert rows["echo"]["program"] is None
        assert rows["cat"]["process"] == "launcher"
        assert harness.Process(rows["cat"]["program"]).title == "/bin/cat"
        assert [r["service"] for r in connections(d, "echo")] == ["echo"]
        assert "mial" in ask(d, "connections", "mial", status=1)["error"]
    wait_until(lambda: connections(d) == [], "all have gone")


def test_a_stuck_worker_hides_nothing(daemon):
    d = daemon([ECHO], workers=1)
    with tcp(port_of(d, "echo")) as sock:
        assert echoes(sock)
        # It says so at the end of its turn, after the echo has left.
        wait_until(lambda: ask(d, "status")["processes"][0]["connections"] == 1,
                   "the worker tells how many it holds")
        worker = d.workers()[0]
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            assert len(connections(d)) == 1
            assert ask(d, "status")["processes"][0]["connections"] == 1
            assert service(d, "echo")["active"] == 1
        finally:
            os.kill(worker.pid, signal.SIGCONT)
        assert echoes(sock)


def test_many_connections(daemon):
    d = daemon([{**ECHO, "limits": {"per_source": 0}}], workers=2)
    port = port_of(d, "echo")
    socks = [tcp(port) for _ in range(900)]
    try:
        wait_until(lambda: service(d, "echo")["active"] == 900, "all are in")
        rows = connections(d)
        assert len(rows) == 900
        assert {r["peer"] for r in rows} == \
            {"%s:%d" % s.getsockname() for s in socks}
        top = ask(d, "top")
        assert top["sources"] == [{"source": "127.0.0.1", "connections": 900}]
    finally:
        for sock in socks:
            sock.close()


# ---------------------------------------------------------------- reload

def test_reload_tells_what_changed(daemon):
    one, two, three = ({**ECHO, "name": n} for n in ("one", "two", "three"))
    d = daemon([one, two, three], workers=2)
    d.write([one, {**two, "limits": {"connections": 7}},
             {**ECHO, "name": "four"}])
    reply = ask(d, "reload")
    assert {c["service"]: c["change"] for c in reply["changes"]} == {
        "one": "kept", "two": "changed", "three": "dropped", "four": "added"}
    assert reply["reload"] == {"generation": reply["reload"]["generation"],
                               "added": 1, "changed": 1, "dropped": 1,
                               "kept": 1}
    assert reply["findings"] == []
    with tcp(port_of(d, "four")) as sock:
        assert echoes(sock)
    d.write([one])
    out = ctl(d, "reload").out
    assert re.search(r"^kept +one$", out, re.M)
    assert re.search(r"^dropped +(two, four|four, two)$", out, re.M)
    assert re.search(r"^added +-$", out, re.M)


@pytest.mark.parametrize("changes, words", [
    ({"log": {"target": "journal"}}, ["log.target"]),
    pytest.param({"user": "daemon"}, ["user"], marks=needs_root),
    pytest.param({"user": "daemon", "log": {"target": "journal"}},
                 ["user", "log.target"], marks=needs_root),
])
def test_reload_tells_what_needs_a_restart(daemon, changes, words):
    d = daemon([ECHO], workers=1)
    d.write([ECHO], workers=1, **changes)
    # As long as it is so, not only the first time.
    for _ in range(2):
        found = ask(d, "reload")["findings"]
        assert [(f["severity"], f["file"], f["text"].split(":")[0])
                for f in found] == \
            [("warning", str(d.config), word) for word in words]
        assert all("started again" in f["text"] for f in found)
    assert f"{d.config}: warning: {words[0]}: " in ctl(d, "reload").err
    since = d.mark()
    d.signal(signal.SIGHUP)
    d.wait_log(f"{words[0]}: another one now", since)
    d.write([ECHO], workers=1)
    assert ask(d, "reload")["findings"] == []


def test_reload_tells_of_a_misfit(daemon):
    d = daemon([ECHO], workers=1)
    d.write([{**ECHO, "limits": {"connections": 10_000_000}}], workers=1)
    found, = ask(d, "reload")["findings"]
    assert found["severity"] == "warning"
    assert "LimitNOFILE=" in found["text"]


@pytest.mark.parametrize("text", ["", "services = ( );\n"])
def test_reload_without_any_service_warns(daemon, text):
    d = daemon([ECHO], workers=1)
    d.write(config=f'control = "{d.control}";\n{text}')
    reply = ask(d, "reload")
    warned = [(f["severity"], f["file"]) for f in reply["findings"]
              if "no service is configured" in f["text"]]
    assert warned == [("warning", str(d.config))]
    assert reply["reload"]["dropped"] == 1


def test_failed_reload_keeps_the_old(daemon):
    d = daemon([ECHO], workers=2)
    port = port_of(d, "echo")
    generation = ask(d, "status")["daemon"]["generation"]
    d.write(config='workers = 2;\nnonsense = 1;\nservices = ( { name = "e"; '
                   'listen = 7777777; protocol = "echo"; } );\n')
    reply = ask(d, "reload", status=1)
    assert reply["exit"] == 1
    lines = {(f["file"], f["line"], f["severity"])
             for f in reply["findings"]}
    assert (str(d.config), 2, "error") in lines
    assert (str(d.config), 3, "error") in lines
    result = ctl(d, "reload", status=1)
    assert f"{d.config}:2: error: " in result.err
    assert "the old configuration stays" in result.err
    assert result.out == ""
    with tcp(port) as sock:
        assert echoes(sock)
    assert ask(d, "status")["daemon"]["generation"] == generation


def test_reload_that_cannot_bind_says_where(daemon, work):
    d = daemon([ECHO], workers=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        d.write([ECHO, {"name": "two", "protocol": "echo",
                        "listen": f"tcp://127.0.0.1:{port}"}])
        reply = ask(d, "reload", status=1)
    found = [f for f in reply["findings"] if f["severity"] == "error"]
    assert len(found) == 1 and f":{port}" in found[0]["text"]
    assert found[0]["file"] == str(d.config) and found[0]["line"] > 0
    assert len(ask(d, "services")["services"]) == 1


def test_every_reload_sees_what_was_written_before_it(daemon):
    d = daemon([ECHO], workers=2)
    for round_ in range(5):
        name = f"s{round_}"
        d.write([ECHO, {**ECHO, "name": name}])

        def reload():
            ask(d, "reload")
            assert service(d, name)["state"] == "serving"
        in_parallel([reload] * 10)
    head = ask(d, "status")["daemon"]
    # Those that asked while one was under way shared the next.
    assert 5 <= head["reloads"] <= 50


def test_reload_and_sighup_at_once(daemon):
    d = daemon([ECHO], workers=2)
    d.write([ECHO, {**ECHO, "name": "two"}])
    for _ in range(20):
        d.signal(signal.SIGHUP)
    assert "two" in [c["service"] for c in ask(d, "reload")["changes"]]


def test_a_client_that_leaves_costs_nothing(daemon):
    d = daemon([ECHO], workers=1)
    before = d_descriptors(d)
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(d.control))
            sock.sendall(b"reload\n")
    ctl(d, "reload")
    assert ask(d, "status")["daemon"]["state"] == "serving"
    wait_until(lambda: d_descriptors(d) <= before, "no descriptor is left")


def d_descriptors(daemon):
    return harness.Process(daemon.pid).descriptors()


# ---------------------------------------------------------------- drain, disable

def test_drain_refuses_politely(daemon):
    d = daemon([SMTP, ECHO], workers=2)
    port = port_of(d, "mail")
    with smtp(port) as old:
        assert ask(d, "drain", "mail")["service"] == {
            "name": "mail", "state": "draining", "active": 1}
        for _ in range(4):
            with smtp(port, greet=False) as new:
                assert new.reply()[0] == 421
                assert new.closed()
        assert old.code("NOOP") == 250
        row = service(d, "mail")
        assert row["state"] == "draining" and row["refused"] == 4
        with tcp(port_of(d, "echo")) as other:
            assert echoes(other)
        # A reload changes nothing about it.
        ctl(d, "reload")
        assert service(d, "mail")["state"] == "draining"
        assert ask(d, "enable", "mail")["service"]["state"] == "serving"
        assert old.code("NOOP") == 250
    with smtp(port) as new:
        assert new.code("NOOP") == 250
    assert service(d, "mail")["state"] == "serving"


def test_drain_of_datagrams_and_programs(daemon):
    d = daemon([{**ECHO, "listen": ("udp://127.0.0.1:0",)}, cat()], workers=1)
    ctl(d, "drain", "echo")
    ctl(d, "drain", "cat")
    with harness.udp(port_of(d, "echo", "udp")) as sock:
        sock.send(b"x")
        assert harness.silent(sock)
    with tcp(port_of(d, "cat")) as sock:
        assert gone(sock)
    assert service(d, "echo")["refused"] == 1
    ctl(d, "enable", "cat")
    with tcp(port_of(d, "cat")) as sock:
        assert echoes(sock)


def test_drain_of_a_program_that_accepts(daemon):
    d = daemon([{"name": "w", "listen": ("udp://127.0.0.1:0",),
                 "exec": program("/bin/true", wait=True)}], workers=1)
    assert "disable" in ask(d, "drain", "w", status=1)["error"]
    assert "itself" in ask(d, "explain", "::1", "w", status=1)["error"]


def is_open(port):
    try:
        tcp(port).close()
    except ConnectionRefusedError:
        return False
    return True


def test_disable_closes_until_enabled(daemon):
    port = harness.free_port()
    fixed = {**ECHO, "listen": f"tcp://127.0.0.1:{port}"}
    d = daemon([fixed, {**ECHO, "name": "other"}], workers=2)
    with tcp(port) as old:
        assert echoes(old)
        assert ask(d, "disable", "echo")["service"]["state"] == "disabled"
        assert not is_open(port)
        assert service(d, "echo")["listeners"] == []
        assert echoes(old)
        with tcp(port_of(d, "other")) as sock:
            assert echoes(sock)
        # It stays so over reloads, changed or not, and asking twice is fine.
        ctl(d, "reload")
        d.write([{**fixed, "limits": {"connections": 5}}])
        ctl(d, "reload")
        ctl(d, "disable", "echo")
        assert not is_open(port)
        assert service(d, "echo")["state"] == "disabled"
        assert "disabled" in ask(d, "drain", "echo", status=1)["error"]
        assert ask(d, "explain", "127.0.0.1", "echo")["decision"]["reason"] \
            == "state"
        # Nor does a reload that fails switch it on.
        d.write(config="x")
        ctl(d, "reload", status=1)
        assert not is_open(port)
        assert ask(d, "enable", "echo")["service"]["state"] == "serving"
        assert echoes(old)
    with tcp(port) as sock:
        assert echoes(sock)


def test_enable_that_cannot_bind(daemon):
    port = harness.free_port()
    d = daemon([{**ECHO, "listen": f"tcp://127.0.0.1:{port}"}], workers=1)
    ctl(d, "disable", "echo")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        reply = ask(d, "enable", "echo", status=1)
        assert str(port) in reply["findings"][0]["text"]
        assert service(d, "echo")["state"] == "disabled"
    ctl(d, "enable", "echo")
    assert is_open(port)


def test_disabled_in_the_configuration(daemon):
    d = daemon([{**ECHO, "enabled": False}], workers=1)
    place = rf"disabled in the configuration, {re.escape(str(d.config))}:\d+"
    assert re.search(place, ask(d, "enable", "echo", status=1)["error"])
    # Nor does it serve because a switch by hand has been undone.
    for _ in range(2):
        assert ask(d, "disable", "echo")["service"]["state"] == "disabled"
        assert re.search(place, ask(d, "enable", "echo", status=1)["error"])
        assert service(d, "echo")["state"] == "disabled"
    d.write([ECHO])
    ctl(d, "reload")
    assert service(d, "echo")["state"] == "serving"


def test_enable_what_has_left_the_configuration(daemon):
    d = daemon([ECHO, {**ECHO, "name": "other"}], workers=1)
    ctl(d, "disable", "echo")
    d.write([{**ECHO, "name": "other"}])
    ctl(d, "reload")
    assert "no service" in ask(d, "enable", "echo", status=1)["error"]
    # It is not disabled any more, all the same.
    d.write([ECHO])
    ctl(d, "reload")
    assert service(d, "echo")["state"] == "serving"


def datagrams(listen, **more):
    """A program that takes its socket over and answers who it is."""
    script = ("import os, socket\n"
              "s = socket.socket(fileno=0)\n"
              "while True:\n"
              "    data, peer = s.recvfrom(100)\n"
              "    s.sendto(str(os.getpid()).encode(), peer)\n")
    return {"name": "w", "listen": listen, "timeouts": {"drain": "1min"},
            "exec": program("/usr/bin/python3", "-c", script, wait=True), **more}


def who_answers(port):
    with harness.udp(port) as sock:
        sock.send(b"x")
        return int(sock.recv(100))


def test_a_program_has_the_socket_of_a_service_that_comes_back(daemon):
    """Nobody could bind its address meanwhile, and nobody has to."""
    port = harness.free_port()
    w = datagrams(f"udp://127.0.0.1:{port}")
    d = daemon([w, ECHO], workers=1, drain=0)
    pid = who_answers(port)
    for _ in range(2):
        ctl(d, "disable", "w")
        assert ask(d, "enable", "w")["service"]["state"] == "serving"
        assert who_answers(port) == pid
        for services in ([ECHO], [w, ECHO]):
            d.write(services)
            ctl(d, "reload")
        assert who_answers(port) == pid
    # A reload that fails takes nothing, however often.
    ctl(d, "disable", "w")
    for services in ([w, {**ECHO, "listen": "tcp://192.0.2.1:7"}], [w]):
        d.write(services)
        ctl(d, "reload", status=len(services) - 1)
    ctl(d, "enable", "w")
    assert who_answers(port) == pid
    # When it ends, the next one takes its place.
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "it has ended")
    assert who_answers(port) != pid


def test_a_changed_service_comes_back(daemon):
    """Its old program has until the end of its drain, as after any change."""
    port = harness.free_port()
    listen = f"udp://127.0.0.1:{port}"
    d = daemon([datagrams(listen, timeouts={"drain": "500ms"})], workers=1,
               drain=0)
    pid = who_answers(port)
    d.write([])
    ctl(d, "reload")
    d.write([datagrams(listen)])
    ctl(d, "reload")
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "it has ended")
    assert who_answers(port) != pid
    # Another service may have it as well.
    ctl(d, "disable", "w")
    d.write([{**ECHO, "listen": listen}])
    ctl(d, "reload")
    assert service(d, "echo")["listeners"] == [listen]


def test_a_socket_is_not_kept_for_a_program_that_has_ended(daemon):
    port = harness.free_port()
    d = daemon([datagrams(f"udp://127.0.0.1:{port}")], workers=1, drain=0)
    ctl(d, "disable", "w")          # none has been started yet
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
    ctl(d, "enable", "w")
    pid = who_answers(port)
    ctl(d, "disable", "w")
    os.kill(pid, signal.SIGKILL)

    def is_free():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True
    wait_until(is_free, "another program can have the address")


def test_switches_at_once(daemon):
    names = [f"s{i}" for i in range(8)]
    d = daemon([{**ECHO, "name": n} for n in names], workers=2)
    in_parallel([lambda n=n: ctl(d, "disable", n) for n in names]
                + [lambda: ctl(d, "reload")] * 3)
    assert {s["state"] for s in ask(d, "services")["services"]} == {"disabled"}
    in_parallel([lambda n=n: ctl(d, "enable", n) for n in names]
                + [lambda: ctl(d, "reload")] * 3)
    assert {s["state"] for s in ask(d, "services")["services"]} == {"serving"}
    for name in names:
        with tcp(port_of(d, name)) as sock:
            assert echoes(sock)


# ---------------------------------------------------------------- kill

def test_kill_ends_one_connection(daemon):
    d = daemon([ECHO], workers=2)
    port = port_of(d, "echo")
    with tcp(port) as one, tcp(port) as two:
        assert echoes(one) and echoes(two)
        peers = {r["peer"]: r["id"] for r in connections(d)}
        ctl(d, "kill", peers["%s:%d" % one.getsockname()])
        assert gone(one)
        assert echoes(two)
        assert len(connections(d)) == 1


def test_kill_ends_a_program(daemon):
    d = daemon([cat()], workers=1)
    with tcp(port_of(d, "cat")) as sock:
        assert echoes(sock)
        row = connections(d)[0]
        process = harness.Process(row["program"])
        ctl(d, "kill", row["id"])
        assert gone(sock)
        wait_until(lambda: not process.alive(), "the program has ended")
    # Asked for, so nothing to warn of.
    d.wait_log("info: service cat: program was ended by signal 15 .TERM. "
               "by hand after")
    assert "timeouts.total" not in d.log()


def test_kill_of_a_program_that_ends_by_itself(daemon):
    """Whatever status it ends with; sampling does not hide what was done by
    hand."""
    d = daemon([{**cat(), "log": {"connections": True, "sample": 1000},
                 "name": f"exits{status}",
                 "exec": program("/bin/sh", "-c", f"trap 'exit {status}' TERM;"
                                 " echo ready; sleep 1000 & wait")}
                for status in (0, 3)], workers=1)
    for status in (0, 0, 3):
        with tcp(port_of(d, f"exits{status}")) as sock:
            assert receive(sock, 6) == b"ready\n"
            ctl(d, "kill", connections(d)[0]["id"])
            assert gone(sock)
    d.wait_log("info: service exits3: program ended with status 3 by hand")
    wait_until(lambda: d.log().count(
        "info: service exits0: program ended with status 0 by hand") == 2,
        "both are logged")


def test_kill_ends_a_program_that_does_not_want_to(daemon):
    d = daemon([{**cat(), "exec": program(
        "/bin/sh", "-c", "trap '' TERM; echo ready; "
        "while :; do sleep 1; done")}], workers=1)
    with tcp(port_of(d, "cat")) as sock:
        assert receive(sock, 6) == b"ready\n"
        row = connections(d)[0]
        process = harness.Process(row["program"])
        ctl(d, "kill", row["id"])
        assert not process.alive()
        assert gone(sock)


@pytest.mark.parametrize("word, status", [
    ("0", 1), ("12345", 1), ("18446744073709551615", 1),
    ("18446744073709551616", 64), ("-1", 64), ("x", 64), ("1x", 64)])
def test_kill_of_what_is_not_there(daemon, word, status):
    d = daemon([ECHO], workers=1)
    assert ask(d, "kill", "--", word, status=status)["exit"] == status


# ---------------------------------------------------------------- explain

def test_explain_access(daemon):
    d = daemon([{**ECHO, "access": {"allow": ("10.0.0.0/8", "::1"),
                                    "deny": "10.1.0.0/16"}}], workers=1)

    def access(address):
        reply = ask(d, "explain", address, "echo")
        rule = [c["rule"] for c in reply["checks"] if c["check"] == "access"]
        return reply["decision"]["verdict"], rule[0]
    assert access("10.2.3.4") == ("admitted", "access.allow 10.0.0.0/8")
    assert access("10.1.3.4") == ("refused", "access.deny 10.1.0.0/16")
    assert access("192.0.2.1") == ("refused", "not in access.allow")
    assert access("::1") == ("admitted", "access.allow ::1")
    assert access("::ffff:10.1.3.4") == ("refused", "access.deny 10.1.0.0/16")
    assert access("uid:0")[0] == "admitted"
    assert "admitted" in ctl(d, "explain", "10.2.3.4", "echo").out
    for bad in ("10.0.0", "localhost", "10.0.0.0/8", "uid:x", "uid:-1"):
        ask(d, "explain", bad, "echo", status=64)
    assert "did you mean" in ask(d, "explain", "::1", "ecoh",
                                 status=1)["error"]


def test_explain_counts_as_admission_does(daemon):
    d = daemon([{**ECHO, "limits": {"per_source": 2, "connections": 3}},
                {**ECHO, "name": "slow", "limits": {"rate": "1/h"}},
                {**ECHO, "name": "queue",
                 "limits": {"connections": 1, "on_limit": "queue"}}],
               workers=2)

    def decision(address, name):
        found = ask(d, "explain", address, name)["decision"]
        return found["verdict"], found["reason"]
    port = port_of(d, "echo")
    with tcp(port) as one, tcp(port) as two:
        assert echoes(one)
        assert decision("127.0.0.1", "echo")[0] == "admitted" or echoes(two)
        assert echoes(two)
        # To ask is not to be charged, however often.
        for _ in range(5):
            assert decision("127.0.0.1", "echo") == ("refused", "per_source")
            assert decision("127.0.0.2", "echo") == ("admitted", None)
        with tcp(port, source="127.0.0.2") as three:
            assert echoes(three)
            assert decision("127.0.0.3", "echo") == ("refused", "connections")
    assert decision("127.0.0.1", "slow") == ("admitted", None)
    with tcp(port_of(d, "slow")) as sock:
        assert echoes(sock)
    assert decision("127.0.0.1", "slow") == ("refused", "rate")
    with tcp(port_of(d, "queue")) as sock:
        assert echoes(sock)
        assert decision("127.0.0.1", "queue") == ("waits", "connections")


def test_sources_of_unix_clients_are_users(daemon, work):
    """Told apart as they are counted."""
    at = work / "e.sock"
    d = daemon([{**ECHO, "listen": (f"unix://{at}",)}], workers=1)
    head = ask(d, "explain", "uid:1234", "echo")["decision"]
    assert head["address"] == "uid:1234" and head["verdict"] == "admitted"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(at))
        assert echoes(sock)
        assert ask(d, "top")["sources"] == [
            {"source": f"uid:{os.getuid()}", "connections": 1}]


def test_explain_datagrams(daemon, work):
    """Their rate is a rule of its own, also where connections have none."""
    both = ("tcp://127.0.0.1:0", "udp://127.0.0.1:0")
    d = daemon([{**ECHO, "listen": both},
                {**ECHO, "name": "set", "listen": ("udp://127.0.0.1:0",),
                 "limits": {"per_source_rate": "1/h"}},
                {**ECHO, "name": "free", "listen": both,
                 "limits": {"per_source_rate": "0"}}], workers=2)

    def checks(address, name):
        reply = ask(d, "explain", address, name)
        return reply["decision"], {c["check"]: c for c in reply["checks"]}
    head, rules = checks("127.0.0.4", "echo")
    assert list(rules) == ["state", "access", "per_source", "per_source_rate",
                           "connections", "rate", "datagrams"]
    assert rules["per_source_rate"]["rule"] == "no limit"
    assert rules["datagrams"]["rule"] == "limits.per_source_rate 10/s"
    assert rules["datagrams"]["now"] == "below it"
    assert head["verdict"] == "admitted"
    assert checks("uid:0", "echo")[1]["datagrams"]["rule"] == "no limit"
    assert checks("127.0.0.4", "free")[1]["datagrams"]["rule"] == "no limit"

    head, rules = checks("127.0.0.4", "set")
    assert list(rules) == ["state", "access", "datagrams"]
    assert (head["verdict"], head["reason"]) == ("admitted", None)
    with harness.udp(port_of(d, "set", "udp"), source="127.0.0.4") as sock:
        for _ in range(2):
            sock.send(b"x")
            assert sock.recv(1) == b"x"
    head, rules = checks("127.0.0.4", "set")
    assert (head["verdict"], head["reason"]) == ("refused", "datagrams")
    assert rules["datagrams"]["result"] == "fail"
    assert rules["datagrams"]["rule"] == "limits.per_source_rate 1/h"
    assert rules["datagrams"]["now"].startswith("reached, for ")
    assert checks("127.0.0.5", "set")[0]["verdict"] == "admitted"


def test_explain_counts_datagrams_with_connections(daemon):
    """As they are charged: one rate of the source for both."""
    d = daemon([{**ECHO, "listen": ("tcp://127.0.0.1:0", "udp://127.0.0.1:0"),
                 "limits": {"per_source_rate": "1/h"}}], workers=1)
    with harness.udp(port_of(d, "echo", "udp")) as sock:
        for _ in range(2):
            sock.send(b"x")
            assert sock.recv(1) == b"x"
    reply = ask(d, "explain", "127.0.0.1", "echo")
    assert reply["decision"]["reason"] == "per_source_rate"
    assert [c["check"] for c in reply["checks"] if c["result"] == "fail"] == [
        "per_source_rate", "datagrams"]


# ---------------------------------------------------------------- log level, top

def test_log_level(daemon):
    d = daemon([ECHO], workers=1)
    assert ctl(d, "log-level", "debug").out == ""
    assert ask(d, "status")["daemon"]["log_level"] == "debug"
    ctl(d, "log-level", "error")
    assert ask(d, "status")["daemon"]["log_level"] == "error"
    assert "warning" in ask(d, "log-level", "warnin", status=64)["error"]
    ctl(d, "reload")
    assert ask(d, "status")["daemon"]["log_level"] == "info"


def test_log_level_reaches_the_workers(daemon):
    d = daemon([{**ECHO, "log": {"connections": True}}], workers=1)
    port = port_of(d, "echo")

    def talk():
        with tcp(port) as sock:
            assert echoes(sock)
    ctl(d, "log-level", "warning")
    ctl(d, "status")
    talk()
    wait_until(lambda: service(d, "echo")["active"] == 0, "it has gone")
    assert "connection finished" not in d.log()
    ctl(d, "log-level", "info")
    talk()
    wait_until(lambda: "connection finished" in d.log(), "it is logged")


def test_top_in_a_pipe(daemon):
    d = daemon([ECHO, SMTP], workers=2)
    with tcp(port_of(d, "echo")) as sock:
        assert echoes(sock)
        out = ctl(d, "top").out
    services, _, sources = out.partition("\n\n")
    rows = [line.split() for line in services.splitlines()]
    assert [row[:3] for row in rows] == [
        ["(all)", "-", "1"], ["echo", "serving", "1"],
        ["mail", "serving", "0"]]
    for row in rows:
        assert all(re.fullmatch(r"\d+\.\d", rate) for rate in row[3:6]), row
        assert all(re.fullmatch(r"\d+", rate) for rate in row[6:]), row
        assert len(row) == 8
    assert [line.split() for line in sources.splitlines()] == [
        ["127.0.0.1", "1"]]
    reply = ask(d, "top")
    assert {c["name"] for c in reply["counters"]} == {"echo", "mail"}
    run_ctl("--socket", d.work / "nothing", "top").status == 2


@pytest.mark.parametrize("how", ["q", "interrupt"])
def test_top_on_a_terminal(daemon, how):
    d = daemon([ECHO], workers=1)
    pid, master = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(str(CTL), [str(CTL), "--socket", str(d.control), "top"])
    shown = b""
    try:
        def more():
            nonlocal shown
            ready, _, _ = select.select([master], [], [], 0.1)
            if ready:
                try:
                    shown += os.read(master, 65536)
                except OSError:
                    pass
            return shown
        wait_until(lambda: b"SERVICE" in more() and b"echo" in shown,
                   "the picture")
        # Twice: it goes on.
        wait_until(lambda: more().count(b"SERVICE") >= 2, "the next picture")
        os.write(master, b"q" if how == "q" else b"\x03")
        wait_until(lambda: b"\033[?1049l" in more(),
                   "the old screen comes back")
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(master)


def top_on_terminal(d, rows, columns, term="xterm"):
    """What it shows until it has drawn twice or has ended."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ,
                struct.pack("HHHH", rows, columns, 0, 0))
    top = subprocess.Popen(
        [str(CTL), "--socket", str(d.control), "top"], stdin=slave,
        stdout=slave, env={**harness.base_environment(), "TERM": term})
    os.close(slave)
    shown = b""
    try:
        with contextlib.suppress(OSError):  # EIO: it has closed it
            while shown.count(b"\033[J") < 2:
                shown += os.read(master, 65536)
    finally:
        top.kill()
        top.wait(10)
        os.close(master)
    return shown.decode()


def second_picture(shown):
    picture = shown.split("\033[J")[1].replace("\033[H", "")
    return [line.replace("\033[K", "") for line in picture.splitlines()]


def test_top_on_a_small_terminal(daemon):
    """Sources take no more of it than they need."""
    names = [f"echo{i}" for i in range(9)]
    d = daemon([{**ECHO, "name": name} for name in names], workers=1)
    with tcp(port_of(d, "echo4")) as sock:
        assert echoes(sock)
        lines = second_picture(top_on_terminal(d, 12, 60))
    assert len(lines) < 12 and max(map(len, lines)) <= 60, lines
    assert sum("echo" in line for line in lines) == 4, lines
    assert sum("127.0.0.1" in line for line in lines) == 1, lines


@pytest.mark.parametrize("columns, headings", [
    (200, "STATE ACTIVE ACCEPTED DATAGRAMS REFUSED IN OUT"),
    (80, "STATE ACTIVE ACCEPTED DATAGRAMS REFUSED IN OUT"),
    (70, "STATE ACTIVE ACCEPTED REFUSED IN OUT"),
    (60, "ACTIVE ACCEPTED REFUSED IN OUT"),
    (40, "ACTIVE ACCEPTED REFUSED"),
    (20, "ACTIVE"),
    (5, "")])
def test_top_fits_the_terminal(daemon, columns, headings):
    """Whole columns, or none of them."""
    d = daemon([{**ECHO, "name": "a-service-with-a-name-longer-than-others"}],
               workers=1)
    with tcp(port_of(d, "a-service-with-a-name-longer-than-others")) as sock:
        assert echoes(sock)
        lines = second_picture(top_on_terminal(d, 24, columns))
    assert max(map(len, lines)) <= columns, lines
    head, = [line for line in lines if line.startswith("SERVI")]
    assert " ".join(head.split()[1:]) == headings, lines
    row, = [line for line in lines if line.startswith("a-ser")]
    if headings:
        assert len(row.split()) == len(head.split())
    if columns == 80:
        assert len(row) == 80 and row.split()[2] == "1"


def test_top_on_a_dumb_terminal(daemon):
    """Nothing that it could not draw: one picture, and the end."""
    d = daemon([ECHO], workers=1)
    shown = top_on_terminal(d, 24, 80, "dumb")
    assert "\033" not in shown
    assert re.search(r"^SERVICE +STATE ", shown, re.M)
    assert re.search(r"^echo +serving +0 ", shown, re.M)


# ---------------------------------------------------------------- the command line

def test_no_daemon(work):
    for path in (work / "none", work, __file__):
        result = run_ctl("--socket", path, "status")
        assert result.status == 2 and result.out == "", result
    assert "systemctl start" in \
        run_ctl("--socket", work / "none", "status").err
    reply = json.loads(
        run_ctl("--json", "--socket", work / "none", "status").out)
    assert reply["ok"] is False and reply["exit"] == 2
    assert run_ctl("--socket", "/" + "x" * 200, "status").status == 2


def test_usage():
    for args in ((), ("statu",), ("drain",), ("reload", "x"),
                 ("connections", "a", "b"), ("--nonsense",), ("kill",)):
        result = run_ctl(*args)
        assert result.status == 64 and result.err != "", (args, result)
    assert '"status"' in run_ctl("statu").err
    for args, what in ((("statu",), '"status"'), ((), "verb"),
                       (("drain",), "drain NAME"), (("-x",), '"-x"'),
                       (("--nonsense", "status"), '"--nonsense"'),
                       (("--json=1",), "takes no value"), (("-s",), "path")):
        for order in (("--json", *args), (*args, "--json")):
            if order == ("-s", "--json"):  # which is the path
                continue
            result = run_ctl(*order)
            assert result.status == 64 and result.err == "", (order, result)
            reply = json.loads(result.out)
            assert reply["ok"] is False and reply["exit"] == 64
            assert what in reply["error"]
    for words in (("drain", "a b"), ("drain", ""), ("drain", "a\nreload")):
        assert run_ctl("--socket", "/nowhere", *words).status == 64


def test_help_and_version():
    text = run_ctl("--help").out
    for verb in ("status", "services", "connections", "reload", "drain",
                 "enable", "disable", "kill", "metrics", "explain",
                 "log-level", "top"):
        assert re.search(rf"^ +{verb} ", text, re.M), verb
    assert re.fullmatch(r"cabinetctl \d+\.\d+\.\d+\n",
                        run_ctl("--version").out)


def test_full_output(daemon):
    d = daemon([ECHO], workers=1)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(CTL), "-s", str(d.control), "status"],
                              stdout=full, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1 and done.stderr != b""


def test_something_else_listens(work):
    path = work / "other.sock"
    replies = [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"ok\n", b"\0" * 5000,
               b"ok\ntable a b:int\nx\n\nend\n", b"ok\nend\n\n"]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        for reply in replies:
            with subprocess.Popen(
                    [str(CTL), "-s", str(path), "status"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
                conn, _ = server.accept()
                with conn:
                    assert conn.recv(100) == b"status\n"
                    conn.sendall(reply)
                out, err = client.communicate(timeout=30)
            assert client.returncode == 2, (reply, out, err)
            assert out == b"" and b"cabinetctl: " in err


# ---------------------------------------------------------------- who may do what

def nobody():
    return pwd.getpwnam(UNPRIVILEGED)


def as_user(*groups):
    return {"user": UNPRIVILEGED, "group": "nogroup",
            "extra_groups": list(groups)}


LOOK = (("status",), ("services",), ("connections",), ("metrics",),
        ("explain", "::1", "echo"), ("top",))
CHANGE = (("reload",), ("drain", "echo"), ("enable", "echo"),
          ("disable", "echo"), ("kill", "1"), ("log-level", "debug"))


def test_socket_is_the_owners_alone(daemon):
    d = daemon([ECHO], workers=1)
    info = d.control.stat()
    assert stat.S_ISSOCK(info.st_mode)
    assert stat.S_IMODE(info.st_mode) == 0o600
    assert info.st_uid == os.geteuid()
    d.stop()
    assert not d.control.exists()


@needs_root
def test_strangers_are_kept_out(daemon):
    d = daemon([ECHO], workers=1)
    for verb in LOOK + CHANGE:
        result = ctl(d, *verb, status=2, **as_user())
        assert "permission denied" in result.err
    # The kernel is asked who it is even where the file lets everybody in.
    d.control.chmod(0o666)
    for verb in LOOK + CHANGE:
        result = ctl(d, *verb, status=2, **as_user())
        assert "permission denied" in result.err, result


@needs_root
def test_admin_group_may_look(daemon):
    group = grp.getgrnam("adm")
    d = daemon([ECHO], workers=1, admin_group="adm")
    info = d.control.stat()
    assert stat.S_IMODE(info.st_mode) == 0o660
    assert info.st_gid == group.gr_gid
    for verb in LOOK:
        ctl(d, *verb, **as_user("adm"))
        ctl(d, *verb, user=UNPRIVILEGED, group="adm", extra_groups=[])
        ctl(d, *verb, status=2, **as_user("users"))
    for verb in CHANGE:
        result = ctl(d, *verb, status=1, **as_user("adm"))
        assert "permission denied" in result.err
    assert service(d, "echo")["state"] == "serving"


@needs_root
def test_admin_group_changes_on_reload(daemon):
    d = daemon([ECHO], workers=1)
    member = as_user("adm")
    ctl(d, "status", status=2, **member)
    d.write([ECHO], admin_group="adm")
    ctl(d, "reload")
    ctl(d, "status", **member)
    # A reload that fails leaves the group as it was.
    d.write(config=f'control = "{d.control}"; user = "{UNPRIVILEGED}";\n'
                   'services = ( { name = "x"; protocol = "echo"; '
                   f'listen = "unix://{d.work}/none/x"; }} );\n')
    ctl(d, "reload", status=1)
    ctl(d, "status", **member)
    assert d.control.stat().st_gid == grp.getgrnam("adm").gr_gid
    d.write([ECHO])
    ctl(d, "reload")
    ctl(d, "status", status=2, **member)
    assert stat.S_IMODE(d.control.stat().st_mode) == 0o600


@needs_root
def test_admin_group_without_chown(daemon):
    """As in the shipped unit, whose bounding set holds no CAP_CHOWN."""
    import ctypes

    def bound():
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (0, 1, 3):  # CHOWN, DAC_OVERRIDE, FOWNER
            assert libc.prctl(24, capability, 0, 0, 0) == 0
    d = daemon([ECHO], workers=1, admin_group="adm", preexec=bound)
    info = d.control.stat()
    assert info.st_gid == grp.getgrnam("adm").gr_gid
    assert stat.S_IMODE(info.st_mode) == 0o660
    ctl(d, "status", **as_user("adm"))


@needs_root
def test_daemon_of_a_plain_user(daemon, work):
    runtime = work / "run"
    runtime.mkdir()
    os.chown(runtime, nobody().pw_uid, nobody().pw_gid)
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    d = daemon([ECHO], workers=1, plain=True, env=env)
    d.control = runtime / "cabinetd/control.sock"
    assert stat.S_IMODE(d.control.stat().st_mode) == 0o600
    assert stat.S_IMODE(d.control.parent.stat().st_mode) == 0o700
    assert ask(d, "status")["daemon"]["pid"] == d.pid
    # Its own user finds it without being told where.
    assert json.loads(run_ctl("--json", "status", env=env, **as_user()).out)[
        "daemon"]["pid"] == d.pid
    assert run_ctl("disable", "echo", env=env, **as_user()).status == 0
    assert service(d, "echo")["state"] == "disabled"


def test_plain_user_without_a_place_serves_all_the_same(daemon):
    d = daemon([ECHO], workers=1, plain=True, control=None) if ROOT else \
        daemon([ECHO], workers=1, control=None)
    assert "cannot listen" in d.log() and "XDG_RUNTIME_DIR" in d.log()


# ---------------------------------------------------------------- where it listens

def test_socket_follows_a_reload(daemon, work):
    d = daemon([ECHO], workers=1)
    old, new = d.control, work / "new.sock"
    d.write([ECHO], control=new)
    ctl(d, "reload")
    assert not old.exists()
    d.control = new
    assert ask(d, "status")["daemon"]["pid"] == d.pid
    # A place that cannot be had keeps everything as it was.
    d.write([ECHO, {**ECHO, "name": "two"}], control=work / "no/where.sock")
    reply = ask(d, "reload", status=1)
    assert reply["findings"][0]["file"] == str(d.config)
    assert reply["findings"][0]["line"] == 1 + \
        d.config.read_text().splitlines().index(
            next(line for line in d.config.read_text().splitlines()
                 if line.startswith("control")))
    assert "create it" in reply["findings"][0]["text"]
    assert len(ask(d, "services")["services"]) == 1


def test_a_place_that_was_asked_for_must_be_had(daemon, work):
    with pytest.raises(DaemonExited) as caught:
        daemon([ECHO], workers=1, control=work / "no/where.sock")
    assert caught.value.status == 1
    assert re.search(r"\.conf:\d+: control: cannot listen on ",
                     caught.value.log)


def test_the_socket_of_another_daemon_is_left_alone(daemon):
    d = daemon([ECHO], workers=1)
    with pytest.raises(DaemonExited) as caught:
        daemon([ECHO], workers=1, control=d.control)
    assert "another daemon" in caught.value.log
    assert ask(d, "status")["daemon"]["pid"] == d.pid


def test_a_dead_daemons_socket_is_replaced(daemon, work):
    path = work / "c.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    d = daemon([ECHO], workers=1, control=path)
    d.control = path
    assert ask(d, "status")["daemon"]["pid"] == d.pid


def test_answers_while_it_stops(daemon):
    d = daemon([cat()], workers=1)
    with tcp(port_of(d, "cat")) as sock:
        assert echoes(sock)
        d.signal(signal.SIGTERM)
        wait_until(lambda: ask(d, "status")["daemon"]["state"] == "stopping",
                   "it says so")
        assert "stopping" in ask(d, "reload", status=1)["error"]
        assert len(connections(d)) == 1
        ctl(d, "metrics")
    d.finish()


# ---------------------------------------------------------------- hostile clients

@pytest.mark.parametrize("data", [
    b"\n", b" \n", b"\0\n", b"status\0\n", b"status \n", b" status\n",
    b"STATUS\n", b"status\r\n", b"\xff\xfe\xfd\n", b"a b c d e f\n",
    b"x" * 4095 + b"\n", b"x" * 4096, b"x" * 100000, b"\x1b]0;x\x07\n",
    bytes(range(256)), b"drain\n", b"drain a b\n", b"GET / HTTP/1.1\r\n\r\n",
])
def test_bad_requests(daemon, data):
    d = daemon([ECHO], workers=1)
    reply = raw(d, data)
    assert reply.startswith("error 64 ") and reply.endswith("\nend\n"), reply
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\xff]", reply)
    assert ask(d, "status")["ok"]


def test_only_the_first_request_counts(daemon):
    d = daemon([ECHO], workers=1)
    reply = raw(d, b"log-level error\ndisable echo\n")
    assert reply == "ok\nend\n"
    assert service(d, "echo")["state"] == "serving"


def test_slow_and_silent_clients(daemon):
    d = daemon([ECHO], workers=1)
    idle = []
    try:
        for i in range(40):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(PATIENCE)
            sock.connect(str(d.control))
            sock.send(b"stat" if i % 2 else b"s")
            idle.append(sock)
        # They lose their places, and others get theirs.
        assert ask(d, "status")["daemon"]["pid"] == d.pid
        with tcp(port_of(d, "echo")) as sock:
            assert echoes(sock)
        for sock in idle:
            assert gone(sock)
    finally:
        for sock in idle:
            sock.close()


def test_clients_that_do_not_read(daemon):
    d = daemon([ECHO], workers=1)
    deaf = []
    try:
        for _ in range(12):
            sock = socket.socket(socket.AF_UNIX)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            sock.connect(str(d.control))
            sock.sendall(b"metrics\n")
            deaf.append(sock)
        for _ in range(10):
            assert ask(d, "status")["daemon"]["pid"] == d.pid
    finally:
        for sock in deaf:
            sock.close()


def test_a_hundred_clients_at_once(daemon):
    d = daemon([ECHO], workers=2)
    with unharmed(d):
        in_parallel([lambda: ask(d, "status")] * 40
                    + [lambda: ask(d, "services")] * 40
                    + [lambda: ask(d, "reload")] * 20, timeout=90)


@needs_root
def test_lookers_cannot_lock_out_root(daemon):
    d = daemon([ECHO], workers=1, admin_group="adm")
    flood = subprocess.Popen(
        ["/usr/bin/python3", "-c", """
import socket, sys, time
held = []
print("go", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(1)
    try:
        s.connect(sys.argv[1])
    except OSError:
        pass
    held.append(s)
    if len(held) > 100:
        held.pop(0).close()
""", str(d.control)], stdout=subprocess.PIPE, **as_user("adm"))
    try:
        assert flood.stdout.readline() == b"go\n"
        for _ in range(5):
            assert ask(d, "status")["daemon"]["pid"] == d.pid
    finally:
        flood.kill()
        flood.wait()
        flood.stdout.close()


def test_a_hostile_hour_leaves_nothing(daemon):
    d = daemon([ECHO], workers=1)
    ctl(d, "status")
    before = d_descriptors(d)
    for i in range(300):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(d.control))
            if i % 3:
                sock.send(b"metrics\n"[:i % 9])
            if i % 5 == 0:
                sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: d_descriptors(d) <= before, "no descriptor is left")
    assert ask(d, "status")["daemon"]["pid"] == d.pid


# ---------------------------------------------------------------- completion

def complete(shell_words, env):
    script = harness.REPO / "completions/bash/cabinetctl"
    words = " ".join(f"'{w}'" for w in shell_words)
    out = subprocess.run(
        ["bash", "-c", f"""
source '{script}'
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_cabinetctl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""], stdout=subprocess.PIPE, timeout=30, check=True,
        env={**harness.base_environment(), **env})
    return sorted(w.strip() for w in out.stdout.decode().split("\n")
                  if w.strip())


@harness.needs("bash")
def test_completion(daemon, work):
    d = daemon([ECHO, {**ECHO, "name": "daytime", "protocol": "daytime"}],
               workers=1)
    links = work / "bin"
    links.mkdir()
    (links / "cabinetctl").symlink_to(CTL)
    env = {"PATH": f"{links}:/usr/bin:/bin"}
    at = ["cabinetctl", "--socket", str(d.control)]
    assert complete([*at, "d"], env) == ["disable", "drain"]
    assert complete([*at, "drain", ""], env) == ["daytime", "echo"]
    assert complete([*at, "explain", "::1", "e"], env) == ["echo"]
    assert complete([*at, "log-level", "w"], env) == ["warning"]
    # As bash takes "--socket=PATH" apart.
    assert complete(["cabinetctl", "--socket", "=", str(d.control), "drain",
                     "d"], env) == ["daytime"]
    assert complete(["cabinetctl", "--socket", "=", str(d.control)[:-1]],
                    env) == [str(d.control)]
    assert complete(["cabinetctl", "--s"], env) == ["--socket"]
    # Several options behind one dash, and the path behind them.
    for short in (["-s", str(d.control)], [f"-s{d.control}"],
                  ["-js", str(d.control)], [f"-js{d.control}"]):
        assert complete(["cabinetctl", *short, "drain", "d"], env) == [
            "daytime"]
        *head, last = short
        assert complete(["cabinetctl", *head, last[:-1]], env) == [last]
    assert complete([*at, "reload", ""], env) == []
    with tcp(port_of(d, "echo")) as sock:
        assert echoes(sock)
        assert complete([*at, "kill", ""], env) == [connections(d)[0]["id"]]


ZSH = """
fpath=({folder} $fpath)
PS1= PS2= RPS1= LISTMAX=1000
unsetopt beep zle_bracketed_paste
autoload -Uz compinit && compinit -u -D
# What the line is, after everything typed before it was worked on.
tell() {{ print -r -- "<<$BUFFER>>"; BUFFER= }}
zle -N tell
bindkey '^X' tell
print ready
"""


@contextlib.contextmanager
def zsh(work, env):
    """A function that types a line, presses TAB, and returns what is there."""
    rc = work / "zdotdir/.zshrc"
    rc.parent.mkdir()
    rc.write_text(ZSH.format(folder=harness.REPO / "completions/zsh"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ,
                struct.pack("HHHH", 24, 200, 0, 0))
    shell = subprocess.Popen(
        ["zsh", "-d", "-i"], stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
        env={**harness.base_environment(), **env, "TERM": "dumb",
             "ZDOTDIR": str(rc.parent)})
    os.close(theirs)
    seen = b""

    def until(pattern):
        nonlocal seen
        end = time.monotonic() + 30
        while not (found := re.search(pattern, seen)):
            assert time.monotonic() < end, seen
            if select.select([ours], [], [], 0.2)[0]:
                seen += os.read(ours, 65536)
        return found

    def typed(text):
        nonlocal seen
        seen = b""
        os.write(ours, text.encode() + b"\t\x18")
        return until(rb"<<(.*)>>").group(1).decode()

    try:
        until(b"ready")
        yield typed
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


@harness.needs("zsh")
def test_zsh_completion(daemon, work):
    d = daemon([ECHO, {**ECHO, "name": "daytime", "protocol": "daytime"}],
               workers=1)
    links = work / "bin"
    links.mkdir()
    (links / "cabinetctl").symlink_to(CTL)
    at = f"cabinetctl --socket {d.control} "
    with zsh(work, {"PATH": f"{links}:/usr/bin:/bin"}) as typed:
        assert typed("cabinetctl rel") == "cabinetctl reload "
        assert typed("cabinetctl --js") == "cabinetctl --json "
        assert typed(at + "disable d") == at + "disable daytime "
        assert typed(at + "explain ::1 e") == at + "explain ::1 echo "
        assert typed(at + "log-level w") == at + "log-level warning "
        for short in ("-s ", "-s", "-js "):
            line = f"cabinetctl {short}{d.control} drain "
            assert typed(line + "d") == line + "daytime "
        with tcp(port_of(d, "echo")) as sock:
            assert echoes(sock)
            assert typed(at + "kill ") == \
                f"{at}kill {connections(d)[0]['id']} "
