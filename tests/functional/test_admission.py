# SPDX-License-Identifier: GPL-2.0-or-later
"""
Who may connect, how many at once, for how long: access rules, limits counted
over all workers, refusals in the protocol's words, timeouts, a shortage of
descriptors, and the one client that must not switch a service off.
"""

import contextlib
import multiprocessing
import os
import random
import re
import resource
import signal
import socket
import threading
import time

import pytest

from harness import (PATIENCE, SANITIZED, Http, Process, Smtp, echoes,
                     free_port, in_parallel, is_refused, program, receive,
                     receive_all, reset, run_binary, silent, tcp, udp,
                     unix_stream, wait_until)


@pytest.fixture
def one(daemon):
    """Starts a daemon with one echo service; returns (daemon, port)."""
    def start(listen="tcp://127.0.0.1:{}", workers=2, protocol="echo", **more):
        port = free_port()
        service = {"name": "svc", "listen": listen.format(port), **more}
        if "exec" not in more:
            service["protocol"] = protocol
        return daemon(services=[service], workers=workers), port
    return start


def served(port, host="127.0.0.1", source=None):
    """Whether an echo service serves this source."""
    with tcp(port, host, source) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(b"hello")
        try:
            data = sock.recv(5)
        except ConnectionResetError:
            return False
        assert data in (b"", b"hello")
        return data == b"hello"


# ---------------------------------------------------------------- access

def test_deny(one):
    _, port = one(access={"deny": ["127.0.0.2"]})
    assert served(port)
    assert not served(port, source="127.0.0.2")
    assert served(port, source="127.0.0.3")


def test_allow(one):
    _, port = one(access={"allow": ["127.0.0.1"]})
    assert served(port)
    assert not served(port, source="127.0.0.2")


def test_allow_prefix(one):
    _, port = one(access={"allow": ["127.0.1.0/24", "127.0.2.128/25"]})
    for source, wanted in (("127.0.1.0", True), ("127.0.1.255", True),
                           ("127.0.2.1", False), ("127.0.2.127", False),
                           ("127.0.2.128", True), ("127.0.0.255", False),
                           ("127.0.0.1", False)):
        assert served(port, source=source) is wanted, source


def test_the_longest_prefix_decides(one):
    _, port = one(access={"allow": ["127.0.0.0/8", "127.1.1.1"],
                          "deny": ["127.1.0.0/16"]})
    for source, wanted in (("127.0.0.1", True), ("127.1.0.1", False),
                           ("127.1.1.1", True), ("127.1.1.2", False),
                           ("127.2.0.1", True)):
        assert served(port, source=source) is wanted, source


def test_deny_wins_a_tie(one):
    _, port = one(access={"allow": ["127.0.0.0/24"],
                          "deny": ["127.0.0.0/24"]})
    assert not served(port)


def test_deny_everyone_but(one):
    _, port = one(access={"allow": ["127.0.0.9"], "deny": ["0.0.0.0/0"]})
    assert served(port, source="127.0.0.9")
    assert not served(port)


def test_one_string_is_a_list_of_one(one):
    _, port = one(access={"allow": "127.0.0.1"})
    assert served(port)
    assert not served(port, source="127.0.0.2")


def test_zero_length_prefixes_keep_to_their_family(one):
    _, port = one("tcp://*:{}", access={"deny": ["0.0.0.0/0"]})
    assert not served(port)
    assert served(port, "::1")


def test_ipv6_prefixes(one):
    _, port = one("tcp://*:{}", access={"allow": ["::1"]})
    assert served(port, "::1")
    assert not served(port)
    _, port = one("tcp://*:{}", access={"deny": ["::/64"]})
    assert not served(port, "::1")
    assert served(port)


@pytest.mark.parametrize("listen", ["tcp://*:{}", "tcp://[::]:{}"])
def test_mapped_addresses_are_ipv4(one, listen):
    # ::ffff:127.0.0.1 is 127.0.0.1, for the rules and in every text.
    daemon, port = one(listen, access={"allow": ["127.0.0.0/8"]})
    try:
        sock = tcp(port)
    except ConnectionRefusedError:
        assert "[::]" in listen     # an IPv6-only socket is fine too
        return
    with sock:
        assert echoes(sock)
    assert not served(port, "::1")
    assert "::ffff:" not in daemon.log()


def test_mapped_peer_in_the_environment(one):
    _, port = one("tcp://*:{}", exec=program("/usr/bin/env"))
    with tcp(port, source="127.0.0.5") as sock:
        text = receive_all(sock, reset_ok=True).decode()
    assert "REMOTE_ADDR=127.0.0.5\n" in text and "::ffff" not in text


def test_rules_written_as_mapped_addresses(one, check):
    # Either understood as IPv4 or refused; never a rule that matches nothing.
    text = ('services = ( { name = "a"; listen = "tcp://127.0.0.1:0";'
            ' protocol = "echo";'
            ' access = { deny = ( "::ffff:127.0.0.2/128" ); }; } );\n')
    if check(text).returncode == 78:
        return
    _, port = one(access={"deny": ["::ffff:127.0.0.2/128"]})
    assert served(port)
    assert not served(port, source="127.0.0.2")


def test_unix_peers_have_no_address(one, work):
    _, _ = one(f"unix://{work}/s.sock", access={"allow": ["192.0.2.1"]})
    with unix_stream(work / "s.sock") as sock:
        assert echoes(sock)


def test_denied_clients_cost_the_others_nothing(one):
    # Defect 5 of xinetd: denied clients tripped the limit of everyone.
    _, port = one(access={"deny": ["127.0.0.2"]},
                  limits={"connections": 3, "per_source": 3})
    for _ in range(100):
        with tcp(port, source="127.0.0.2") as sock:
            assert is_refused(sock)
    with tcp(port) as a, tcp(port) as b, tcp(port) as c:
        assert echoes(a) and echoes(b) and echoes(c)


def test_denied_clients_get_no_program(one):
    daemon, port = one(exec=program("/bin/cat"),
                       access={"deny": ["127.0.0.2"]})
    with tcp(port, source="127.0.0.2") as sock:
        with contextlib.suppress(OSError):
            sock.sendall(b"x")
        assert is_refused(sock)
    assert not [p for p in daemon.family() if "/bin/cat" in p.title]


def test_denied_http_and_smtp_clients_learn_nothing_more(one):
    for protocol in ("http", "smtp"):
        options = {"routes": [{"path": "/", "status": 200,
                               "body": "secret"}]} if protocol == "http" else {}
        _, port = one(protocol=protocol, **{protocol: options},
                      access={"deny": ["127.0.0.2"]})
        with tcp(port, source="127.0.0.2") as sock:
            with contextlib.suppress(OSError):
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            data = receive_all(sock, reset_ok=True)
        assert b"secret" not in data
        assert re.match(rb"$|HTTP/1\.1 (403|503|429) |(554|421|550|521) ", data)


# ---------------------------------------------------------------- limits

def hold(port, number, **kwargs):
    """That many served connections, all open."""
    held = []
    for _ in range(number):
        held.append(tcp(port, **kwargs))
        assert echoes(held[-1]), "a place below the limit was refused"
    return held


def refused(port, **kwargs):
    with tcp(port, **kwargs) as sock:
        return is_refused(sock)


def free_again(port, **kwargs):
    wait_until(lambda: served(port, **kwargs), "a place is free again")


def close_all(held):
    for sock in held:
        sock.close()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_connections_are_counted_over_all_workers(one, workers):
    _, port = one(workers=workers, limits={"connections": 5})
    for _ in range(3):
        held = hold(port, 5)
        for _ in range(10):
            assert refused(port)
        held.pop().close()
        free_again(port)
        close_all(held)
        free_again(port)
        wait_until(lambda: can_hold(port, 5), "five places again")


def can_hold(port, number, **kwargs):
    held = []
    try:
        for _ in range(number):
            sock = tcp(port, **kwargs)
            held.append(sock)
            sock.sendall(b"x")
            if sock.recv(1) != b"x":
                return False
        return True
    except ConnectionError:
        return False
    finally:
        close_all(held)
        time.sleep(0.02)


def test_per_source_is_counted_over_all_workers(one):
    _, port = one(limits={"connections": 100, "per_source": 3})
    mine = hold(port, 3, source="127.0.0.2")
    other = hold(port, 3, source="127.0.0.3")
    for _ in range(10):
        assert refused(port, source="127.0.0.2")
        assert refused(port, source="127.0.0.3")
    assert served(port, source="127.0.0.4")
    mine.pop().close()
    free_again(port, source="127.0.0.2")
    close_all(mine + other)
    wait_until(lambda: can_hold(port, 3, source="127.0.0.2"), "three places")


def test_per_source_counts_ipv6_networks(one):
    _, port = one("tcp://[::1]:{}", limits={"per_source": 2})
    held = hold(port, 2, host="::1")
    assert refused(port, host="::1")
    close_all(held)
    free_again(port, host="::1")


def test_limits_are_those_of_one_service(daemon):
    one, two = free_port(), free_port()
    daemon(services=[
        {"name": "one", "listen": f"tcp://127.0.0.1:{one}",
         "protocol": "echo", "limits": {"connections": 1}},
        {"name": "two", "listen": f"tcp://127.0.0.1:{two}",
         "protocol": "echo", "limits": {"connections": 1}}], workers=2)
    first = hold(one, 1)
    second = hold(two, 1)
    assert refused(one) and refused(two)
    close_all(first + second)


def test_limit_over_all_listeners_of_a_service(daemon, work):
    one, two = free_port(), free_port()
    daemon(services=[{
        "name": "svc", "protocol": "echo", "limits": {"connections": 2},
        "listen": [f"tcp://127.0.0.1:{one}", f"tcp://127.0.0.1:{two}",
                   f"unix://{work}/s.sock"]}], workers=2)
    held = hold(one, 1) + hold(two, 1)
    assert refused(one) and refused(two)
    with unix_stream(work / "s.sock") as sock:
        assert is_refused(sock)
    close_all(held)
    free_again(one)


def test_unix_peers_count_as_a_source(one, work):
    _, _ = one(f"unix://{work}/s.sock", limits={"per_source": 2})
    with unix_stream(work / "s.sock") as a, unix_stream(work / "s.sock") as b:
        assert echoes(a) and echoes(b)
        with unix_stream(work / "s.sock") as c:
            assert is_refused(c)


def test_zero_lifts_a_limit(one):
    _, port = one(limits={"connections": 0, "per_source": 0})
    held = hold(port, 300)
    close_all(held)


def test_the_default_limit_of_a_source(one):
    # Documented: 100 at once from one source, so that no one takes them all.
    _, port = one()
    held = hold(port, 100, source="127.0.0.2")
    assert refused(port, source="127.0.0.2")
    assert served(port, source="127.0.0.3")
    close_all(held)


def test_clients_that_reset_give_their_place_back(one):
    _, port = one(limits={"connections": 4})
    for _ in range(20):
        for sock in hold_some(port, 4):
            reset(sock)
    wait_until(lambda: can_hold(port, 4), "four places again")


def hold_some(port, number):
    return [tcp(port) for _ in range(number)]


def test_half_closed_clients_give_their_place_back(one):
    _, port = one(limits={"connections": 2})
    for _ in range(20):
        with tcp(port) as sock:
            sock.sendall(b"x")
            sock.shutdown(socket.SHUT_WR)
            receive_all(sock, reset_ok=True)
    wait_until(lambda: can_hold(port, 2), "two places again")


def test_a_storm_leaves_the_count_right(one):
    """Ten thousand comings and goings over two workers, then the exact limit."""
    _, port = one(limits={"connections": 6})
    order = random.Random(3)

    def job():
        for _ in range(100):
            with contextlib.suppress(OSError):
                sock = tcp(port)
                with contextlib.suppress(OSError):
                    sock.sendall(b"x")
                    if order.random() < 0.5:
                        sock.recv(1)
                if order.random() < 0.5:
                    reset(sock)
                else:
                    sock.close()
    in_parallel([job] * 20, 50)
    wait_until(lambda: can_hold(port, 6), "six places again")
    held = hold(port, 6)
    assert refused(port)
    close_all(held)


def test_exec_places_are_held_until_the_program_ends(one):
    daemon, port = one(exec=program("/bin/cat"), limits={"connections": 3})
    held = hold(port, 3)
    for _ in range(5):
        assert refused(port)
    held.pop().close()
    free_again(port)
    close_all(held)
    wait_until(lambda: can_hold(port, 3), "three places again")
    # A client that goes while its program stays still holds the place.
    held = hold(port, 2)
    sock = tcp(port)
    assert echoes(sock)
    close_all([*held, sock])
    wait_until(lambda: can_hold(port, 3), "three places again")


def test_exec_place_of_a_program_that_outlives_its_client(one):
    daemon, port = one(exec=program("/bin/sleep", "1000"),
                       limits={"connections": 1})
    with tcp(port):
        wait_until(lambda: [p for p in daemon.family()
                            if p.title.startswith("/bin/sleep")],
                   "the program runs")
    time.sleep(0.2)
    assert refused(port)
    for process in daemon.family():
        if process.title.startswith("/bin/sleep"):
            os.kill(process.pid, signal.SIGKILL)

    def admitted():
        with tcp(port) as sock:
            return silent(sock, 0.2)
    wait_until(admitted, "the place is free again")
    for process in daemon.family():
        if process.title.startswith("/bin/sleep"):
            os.kill(process.pid, signal.SIGKILL)


def test_exec_per_source(one):
    _, port = one(exec=program("/bin/cat"), limits={"per_source": 2})
    held = hold(port, 2, source="127.0.0.2")
    assert refused(port, source="127.0.0.2")
    assert served(port, source="127.0.0.3")
    close_all(held)
    wait_until(lambda: can_hold(port, 2, source="127.0.0.2"), "two places")


# ---------------------------------------------------------------- words of refusal

ROUTES = {"routes": [{"path": "/healthz", "status": 200, "body": "ok\n"}]}


@pytest.mark.parametrize("limits, status", [
    ({"connections": 1}, 503), ({"connections": 50, "per_source": 1}, 429)])
def test_http_words(one, limits, status):
    _, port = one(protocol="http", http=ROUTES, limits=limits)
    with Http(tcp(port)) as holder:
        assert holder.open()
        for _ in range(5):
            # The refusal needs no request and survives one.
            with Http(tcp(port)) as link:
                with contextlib.suppress(OSError):
                    link.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                reply = link.reply()
                assert reply.status == status
                assert "close" in reply.get("Connection").lower()
                assert link.closed()


def test_smtp_words(one):
    _, port = one(protocol="smtp", smtp={"mode": "sink"},
                  limits={"per_source": 1})
    with Smtp(tcp(port)) as holder:
        assert holder.greeting[0] == 220
        for _ in range(5):
            with Smtp(tcp(port)) as client:
                assert client.greeting[0] == 421
                assert client.closed()


@pytest.mark.parametrize("protocol", ["echo", "discard", "daytime"])
def test_plain_close_elsewhere(one, protocol):
    _, port = one(protocol=protocol, limits={"rate": "1/h"}
                  if protocol == "daytime" else {"connections": 1})
    with tcp(port) as holder:
        if protocol == "daytime":
            assert receive_all(holder)
        else:
            holder.sendall(b"x")
            time.sleep(0.2)
        for _ in range(3):
            assert refused(port)


# ---------------------------------------------------------------- rates

def test_rate_never_closes_the_listener(one):
    _, port = one(limits={"rate": "3/min"})
    got = [served(port) for _ in range(30)]
    assert got[:3] == [True] * 3
    assert sum(got) <= 5
    for _ in range(30):
        with tcp(port):     # accepted and refused, never ECONNREFUSED
            pass


def test_rate_per_source_charges_only_the_source(one):
    # Today one client can switch a service off for everybody.
    _, port = one(limits={"per_source_rate": "3/min"})
    got = [served(port, source="127.0.0.2") for _ in range(50)]
    # Twice the count may come at once, and time goes by.
    assert 3 <= sum(got) <= 8
    for number in range(10, 20):
        assert served(port, source=f"127.0.0.{number}")


def test_rate_of_http_is_429(one):
    _, port = one(protocol="http", http=ROUTES,
                  limits={"per_source_rate": "1/min"})
    with Http(tcp(port)) as link:
        assert link.ask("/healthz").status == 200
    statuses = set()
    for _ in range(5):
        with Http(tcp(port)) as link:
            with contextlib.suppress(OSError):
                link.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            statuses.add(link.reply().status)
    assert 429 in statuses and statuses <= {429, 200}


# ---------------------------------------------------------------- queue

@pytest.mark.parametrize("workers", [1, 2])
def test_queue(one, workers):
    _, port = one(workers=workers,
                  limits={"connections": 2, "on_limit": "queue"})
    held = hold(port, 2)
    waiting = [tcp(port) for _ in range(3)]
    for number, sock in enumerate(waiting):
        sock.sendall(b"%d" % number)
    for sock in waiting:
        assert silent(sock, 0.3), "beyond the limit"
    held.pop(0).close()
    assert receive(waiting[0], 1) == b"0"
    for sock in waiting[1:]:
        assert silent(sock, 0.2)
    held.pop(0).close()
    assert receive(waiting[1], 1) == b"1"
    waiting[0].close()
    assert receive(waiting[2], 1) == b"2"
    close_all(waiting[1:])
    free_again(port)


def test_queue_of_an_exec_service(one):
    _, port = one(exec=program("/bin/cat"),
                  limits={"connections": 1, "on_limit": "queue"})
    held = hold(port, 1)
    with tcp(port) as waiting:
        waiting.sendall(b"next")
        assert silent(waiting, 0.3)
        held[0].close()
        assert receive(waiting, 4) == b"next"


def test_queue_does_not_spin(one):
    daemon, port = one(limits={"connections": 1, "on_limit": "queue"})
    held = hold(port, 1)
    waiting = [tcp(port) for _ in range(20)]
    assert busy(daemon, 1.0) < 30
    close_all(held + waiting)
    free_again(port)


def test_queue_serves_every_waiting_client(one):
    _, port = one(limits={"connections": 2, "on_limit": "queue"})

    def job():
        with tcp(port, timeout=30) as sock:
            assert echoes(sock)
            time.sleep(0.02)
    in_parallel([job] * 40, 40)


# ---------------------------------------------------------------- timeouts

def test_first_byte(one):
    _, port = one(timeouts={"first_byte": "300ms"})
    with tcp(port) as sock:
        assert is_refused(sock)
    with tcp(port) as sock:
        assert echoes(sock)
        assert silent(sock, 0.8), "first_byte is about the first byte only"
        assert echoes(sock)


def test_idle(one):
    _, port = one(timeouts={"idle": "600ms"})
    with tcp(port) as sock:
        for _ in range(6):
            assert echoes(sock)
            time.sleep(0.25)
        assert is_refused(sock)


def test_total(one):
    _, port = one(timeouts={"total": "1s"})
    with tcp(port) as sock:
        end = time.monotonic() + 15
        with contextlib.suppress(ConnectionError, AssertionError):
            while time.monotonic() < end:
                assert echoes(sock)
                time.sleep(0.05)
        assert time.monotonic() < end, "total never ends the connection"
    free_again(port)


def test_timeouts_give_the_place_back(one):
    _, port = one(timeouts={"first_byte": "300ms"}, limits={"connections": 3})
    crowd = [tcp(port) for _ in range(3)]
    for sock in crowd:
        assert is_refused(sock)
    wait_until(lambda: can_hold(port, 3), "three places again")
    close_all(crowd)


def test_a_client_that_never_reads_is_cut(one):
    _, port = one(timeouts={"idle": "500ms"})
    with tcp(port) as sock:
        sock.setblocking(False)
        end = time.monotonic() + 20
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < end:
                with contextlib.suppress(BlockingIOError):
                    sock.send(b"x" * 65536)
                time.sleep(0.01)
        assert time.monotonic() < end, "never cut"


def test_default_timeouts_are_on(check, work):
    path = work / "cabinetd.conf"
    path.write_text('services = ( { name = "a"; listen = 7;'
                    ' protocol = "echo"; } );\n')
    text = run_binary("-c", path, "--print-config").out
    for name in ("first_byte", "idle"):
        line = next(line for line in text.splitlines() if name in line)
        assert re.search(r"[1-9]", line), line
    for name in ("connections", "per_source"):
        line = next(line for line in text.splitlines()
                    if re.search(rf"\b{name}\b", line))
        assert re.search(r"[1-9]", line), line


# ---------------------------------------------------------------- shortage

def busy(daemon, seconds):
    """Clock ticks that all roles use in so many seconds."""
    def ticks():
        return sum(p.ticks for p in daemon.roles("worker|launcher")) \
            + Process(daemon.pid).ticks
    before = ticks()
    time.sleep(seconds)
    return ticks() - before


@pytest.mark.bound(90)
@pytest.mark.parametrize("kind", ["echo", "exec"])
def test_too_few_descriptors(daemon, kind):
    """More clients than descriptors: no spin, no crash, and it recovers."""
    port, other = free_port(), free_port()
    what = {"protocol": "echo"} if kind == "echo" \
        else {"exec": program("/bin/cat")}
    few = 96

    def restrict():
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))
    running = daemon(services=[
        {"name": "svc", "listen": f"tcp://127.0.0.1:{port}", **what,
         "limits": {"connections": 60 if kind == "exec" else 10000,
                    "per_source": 10000}},
        {"name": "other", "listen": f"tcp://127.0.0.1:{other}",
         "protocol": "daytime"}], workers=1, preexec=restrict)
    crowd = []
    try:
        for number in range(250):
            sock = tcp(port, source=f"127.0.5.{number % 250 + 1}")
            crowd.append(sock)
            with contextlib.suppress(OSError):
                sock.sendall(b"x")
        time.sleep(1)
        # A worker that spins burns two hundred ticks in two seconds.
        assert busy(running, 2) < 60, running.log()[-3000:]
        running.check()
        assert len(running.log().splitlines()) < 500
    finally:
        close_all(crowd)
    wait_until(lambda: served(port), "serves again", 20)
    with tcp(other) as sock:
        assert sock.recv(100).endswith(b"\r\n")


def test_a_config_that_cannot_fit_says_so(daemon):
    """A limit beyond RLIMIT_NOFILE is told about, at the latest in the log."""
    port = free_port()

    def restrict():
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
    running = daemon(services=[
        {"name": "svc", "listen": f"tcp://127.0.0.1:{port}",
         "protocol": "echo", "limits": {"connections": 100000}}],
        workers=1, preexec=restrict)
    assert served(port)
    assert re.search(r"descriptor|nofile|open files", running.log(), re.I), \
        running.log()


def test_kernel_queue_overflow_is_no_harm(one):
    _, port = one(socket={"backlog": 2})
    for _ in range(200):
        assert served(port)


# ---------------------------------------------------------------- the hammer

HAMMER_SECONDS = float(os.environ.get("CABINETD_HAMMER_SECONDS", "4"))
HAMMERER = "127.0.0.2"


def hammer(port, talk, stop, count):
    """One process of one source that connects as fast as it can."""
    random.seed(os.getpid())
    kept = []
    number = 0
    while not stop.is_set():
        try:
            sock = tcp(port, source=HAMMERER, timeout=0.5)
        except OSError:
            continue
        number += 1
        try:
            sock.setblocking(False)
            choice = random.random()
            if choice < 0.6:
                with contextlib.suppress(OSError):
                    sock.send(talk)
            if choice < 0.05 and len(kept) < 2000:
                kept.append(sock)
                continue
            if choice < 0.3:
                sock.settimeout(0.05)
                with contextlib.suppress(OSError):
                    sock.recv(1000)
        finally:
            if sock not in kept[-1:]:
                with contextlib.suppress(OSError):
                    reset(sock)
    with count.get_lock():
        count.value += number
    for sock in kept:
        sock.close()


def polite_echo(sock):
    assert echoes(sock, b"polite client")


def polite_daytime(sock):
    assert receive_all(sock).endswith(b"\r\n")


def polite_discard(sock):
    sock.sendall(b"x" * 100)
    sock.shutdown(socket.SHUT_WR)
    assert receive_all(sock) == b""


def polite_http(sock):
    link = Http(sock)
    assert link.ask("/healthz").body == b"ok\n"


def polite_smtp(sock):
    client = Smtp(sock)
    assert client.greeting[0] == 220
    assert client.code("EHLO polite.example") == 250
    assert client.code("QUIT") == 221


TARGETS = {
    "echo": ({"protocol": "echo"}, b"x" * 100, polite_echo),
    "discard": ({"protocol": "discard"}, b"x" * 100, polite_discard),
    "daytime": ({"protocol": "daytime"}, b"", polite_daytime),
    "http": ({"protocol": "http", "http": ROUTES},
             b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", polite_http),
    "smtp": ({"protocol": "smtp", "smtp": {"mode": "sink"}},
             b"EHLO x\r\n", polite_smtp),
    "program": ({"exec": program("/bin/cat")}, b"x", polite_echo),
}


@pytest.mark.bound(60 + 2 * HAMMER_SECONDS)
@pytest.mark.parametrize("name", TARGETS)
def test_one_client_never_switches_a_service_off(daemon, name):
    """Default settings, one source at full speed, twenty polite sources."""
    what, talk, polite = TARGETS[name]
    port = free_port()
    running = daemon(services=[{"name": name, **what,
                                "listen": f"tcp://127.0.0.1:{port}"}])
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    count = context.Value("l", 0)
    hammers = [context.Process(target=hammer, args=(port, talk, stop, count))
               for _ in range(2)]
    for process in hammers:
        process.start()
    faults, done = [], []

    def client(source):
        end = time.monotonic() + HAMMER_SECONDS
        while time.monotonic() < end:
            try:
                with tcp(port, source=source,
                         timeout=30 if SANITIZED else 10) as sock:
                    polite(sock)
                done.append(source)
            except (OSError, AssertionError, EOFError) as fault:
                faults.append((source, repr(fault)))
            time.sleep(0.1)
    try:
        in_parallel([lambda s=f"127.0.0.{n}": client(s)
                     for n in range(10, 30)], HAMMER_SECONDS + 45)
    finally:
        stop.set()
        for process in hammers:
            process.join(20)
            if process.is_alive():
                process.kill()
                process.join(5)
    assert not faults, f"{len(faults)} of {len(done) + len(faults)}: " \
        f"{faults[:5]}\n{running.log()[-2000:]}"
    assert len(set(done)) == 20
    assert count.value > 100, "the hammer did not hammer"
    running.check()
    assert len(running.log().splitlines()) < 2000 + 30 * HAMMER_SECONDS
    # And the hammering source itself is served again at once.
    def served_again():
        with contextlib.suppress(OSError, AssertionError, EOFError), \
                tcp(port, source=HAMMERER) as sock:
            polite(sock)
            return True
    wait_until(served_again, "the hammerer is served again")


def test_udp_and_tcp_of_a_service_do_not_share_their_fate(daemon):
    port = free_port()
    daemon(services=[{"name": "echo", "protocol": "echo",
                      "listen": [f"tcp://127.0.0.1:{port}",
                                 f"udp://127.0.0.1:{port}"]}])
    stop = threading.Event()

    def flood():
        with udp(port, source=HAMMERER) as sock:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    sock.send(b"x" * 100)
    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    try:
        for number in range(40):
            assert served(port, source=f"127.0.0.{10 + number % 20}")
    finally:
        stop.set()
        thread.join(PATIENCE)
