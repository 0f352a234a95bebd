# SPDX-License-Identifier: GPL-2.0-or-later
"""
echo (RFC 862), discard (RFC 863) and daytime (RFC 867) over TCP, UDP, unix
and unixgram sockets, and the datagram rule that no protocol can forget.
"""

import contextlib
import errno
import os
import re
import select
import shutil
import socket
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

from harness import (Daemon, echoes, find_binary, free_port, in_parallel,
                     needs, needs_root, push, receive, receive_all, reset,
                     silent, tcp, udp, unharmed, unix_name, unix_stream,
                     wait_until)

SERVICES = ("echo", "discard", "daytime")
DAYTIME = re.compile(
    rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) "
    rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    rb"([ 12][0-9]|3[01]) [0-2][0-9]:[0-5][0-9]:[0-6][0-9] [0-9]{4}\r\n")


@pytest.fixture(scope="module")
def world(module_work):
    work = module_work
    ports = {name: free_port() for name in SERVICES}
    tag = f"@cabinetd-test-{os.getpid()}-world"
    services = [
        {"name": name, "protocol": name,
         "listen": [f"tcp://*:{port}", f"udp://*:{port}",
                    f"unix://{work}/{name}.sock", f"unix://{tag}-{name}",
                    f"unixgram://{work}/{name}.gram",
                    f"unixgram://{tag}-{name}-gram"],
         "limits": {"connections": 5000, "per_source": 5000,
                    "per_source_rate": 0}}
        for name, port in ports.items()]
    work.chmod(0o777)   # clients' own datagram sockets live here too
    with Daemon(services=services, work=work, workers=2) as daemon:
        yield SimpleNamespace(daemon=daemon, work=work, tag=tag, **ports)


@pytest.fixture
def served(world):
    with unharmed(world.daemon):
        yield world


def stream(world, service, kind):
    if kind == "unix":
        return unix_stream(world.work / f"{service}.sock")
    if kind == "abstract":
        return unix_stream(f"{world.tag}-{service}")
    return tcp(getattr(world, service),
               {"tcp4": "127.0.0.1", "tcp6": "::1"}[kind])


STREAMS = ("tcp4", "tcp6", "unix", "abstract")


@contextlib.contextmanager
def datagrams(world, service, kind):
    """A connected datagram client of the service."""
    if kind in ("udp4", "udp6"):
        with udp(getattr(world, service),
                 {"udp4": "127.0.0.1", "udp6": "::1"}[kind]) as sock:
            yield sock
        return
    place = unix_name(f"{world.tag}-{service}-gram") if kind == "abstract" \
        else f"{world.work}/{service}.gram"
    mine = f"{world.work}/c{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.bind(mine)
        os.chmod(mine, 0o777)
        try:
            sock.connect(place)
            yield sock
        finally:
            os.unlink(mine)


GRAMS = ("udp4", "udp6", "unixgram", "abstract")


@pytest.fixture(params=STREAMS)
def kind(request):
    return request.param


@pytest.fixture(params=GRAMS)
def gram(request):
    return request.param


@pytest.fixture
def fresh(daemon):
    """A daemon of its own, so that rates start full; returns udp ports."""
    def start(*names, host="127.0.0.1", **more):
        ports = [free_port() for _ in names]
        services = [{"name": name, "protocol": name,
                     "listen": f"udp://{host}:{port}", **more}
                    for name, port in zip(names, ports)]
        daemon(services=services)
        return ports if len(ports) > 1 else ports[0]
    return start


# ---------------------------------------------------------------- echo, streams

def test_echo(served, kind):
    with stream(served, "echo", kind) as sock:
        for text in (b"a", b"hello\r\n", b"\0\xff\x1b[0m\n", b"x" * 5000):
            assert echoes(sock, text)


def test_echo_half_close(served, kind):
    # Defect 6 of xinetd: what was sent before the half-close got lost.
    data = os.urandom(200_000)
    with stream(served, "echo", kind) as sock:
        writer = push(sock, data)
        got = receive(sock, 100_000)
        writer.join(10)
        sock.shutdown(socket.SHUT_WR)
        got += receive_all(sock)
    assert got == data


def test_echo_half_close_at_once(served, kind):
    with stream(served, "echo", kind) as sock:
        sock.sendall(b"abc")
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b"abc"


def test_echo_half_close_without_a_byte(served, kind):
    with stream(served, "echo", kind) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b""


def test_echo_slow_reader_of_16_mib(served, kind):
    # Defect 13 of the BSD inetds: a partial write was not retried.
    data = os.urandom(1 << 20) * 16
    with stream(served, "echo", kind) as sock:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)

        def write():
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        failed = []

        def guard():
            try:
                write()
            except OSError as fault:
                failed.append(fault)
        thread = threading.Thread(target=guard, daemon=True)
        thread.start()
        time.sleep(0.5)     # let every buffer between us fill
        got = bytearray()
        step = 1
        while True:
            part = sock.recv(step)
            if not part:
                break
            got += part
            step = min(step * 2, 300_000)
        thread.join(10)
    assert not failed
    assert len(got) == len(data)
    assert bytes(got) == data


def test_echo_a_mebibyte_in_odd_splits(served):
    data = os.urandom(1 << 20)
    sizes = [1, 2, 3, 7, 13, 255, 256, 257, 1023, 4095, 4096, 4097, 16383,
             16384, 16385, 65535, 65536, 65537]
    with stream(served, "echo", "tcp4") as sock:
        def write():
            at = turn = 0
            while at < len(data):
                size = sizes[turn % len(sizes)]
                sock.sendall(data[at:at + size])
                at += size
                turn += 1
        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        assert receive(sock, len(data)) == data
        thread.join(10)


def test_echo_single_bytes(served, kind):
    data = bytes(range(256)) * 16
    with stream(served, "echo", kind) as sock:
        def write():
            for at in range(len(data)):
                sock.sendall(data[at:at + 1])
        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        assert receive(sock, len(data)) == data
        thread.join(10)


def test_echo_stops_reading_when_nobody_reads(served):
    # Input stops while output is above its mark: memory stays bounded.
    block = b"x" * 65536
    with stream(served, "echo", "tcp4") as sock:
        sock.setblocking(False)
        sent, quiet = 0, 0
        while quiet < 10:
            try:
                sent += sock.send(block)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.05)
            assert sent < 64 << 20, "the daemon swallows without end"
        # And nothing of it is lost once somebody reads.
        sock.settimeout(10)
        sock.shutdown(socket.SHUT_WR)
        got = receive_all(sock)
        assert len(got) == sent and got.count(b"x") == sent


def test_echo_urgent_data_does_no_harm(served):
    with stream(served, "echo", "tcp4") as sock:
        sock.sendall(b"abc")
        sock.send(b"!", socket.MSG_OOB)
        sock.sendall(b"def")
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) in (b"abcdef", b"abc!def")


def test_reset_mid_way(served, kind):
    for service in SERVICES:
        for size in (0, 1, 100_000):
            sock = stream(served, service, kind)
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                sock.send(b"x" * size)
            if kind.startswith("tcp"):
                reset(sock)
            else:
                sock.close()
    with stream(served, "echo", kind) as sock:
        assert echoes(sock)


def test_reset_with_unread_output(served):
    for _ in range(30):
        sock = stream(served, "echo", "tcp4")
        writer = push(sock, b"x" * 400_000)
        sock.recv(1)
        reset(sock)
        writer.join(10)
    with stream(served, "echo", "tcp4") as sock:
        assert echoes(sock)


def test_many_parallel(served):
    def job(number):
        def run():
            kinds = STREAMS[number % len(STREAMS)]
            with stream(served, "echo", kinds) as sock:
                for turn in range(5):
                    assert echoes(sock, f"{number}:{turn}".encode() * 50)
                sock.shutdown(socket.SHUT_WR)
                assert receive_all(sock) == b""
        return run
    in_parallel([job(number) for number in range(100)], 40)


def test_a_thousand_idle_connections(served):
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(stream(served, "echo", "tcp4"))
                 for _ in range(1000)]
        assert echoes(crowd[0]) and echoes(crowd[-1])
        with stream(served, "echo", "tcp6") as sock:
            assert echoes(sock)
        for sock in crowd[::50]:
            assert echoes(sock)


def test_connect_and_vanish(served):
    for _ in range(300):
        sock = socket.socket()
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(("127.0.0.1", served.echo))
        reset(sock)
    with stream(served, "echo", "tcp4") as sock:
        assert echoes(sock)


def test_descriptors_come_back(served):
    """Closed connections leave no descriptor behind in any role."""
    def count():
        return {p.pid: p.descriptors()
                for p in served.daemon.roles("worker|launcher")}
    with stream(served, "echo", "tcp4") as sock:
        assert echoes(sock)
    time.sleep(0.3)
    before = count()
    for service in SERVICES:
        for kind_ in STREAMS:
            for _ in range(20):
                with stream(served, service, kind_) as sock:
                    sock.shutdown(socket.SHUT_WR)
                    receive_all(sock, reset_ok=True)
    wait_until(lambda: all(count()[pid] <= was + 1
                           for pid, was in before.items()),
               f"descriptors back at {before}, now {count()}")


# ---------------------------------------------------------------- discard, streams

def test_discard(served, kind):
    with stream(served, "discard", kind) as sock:
        sock.sendall(os.urandom(8 << 20))
        assert silent(sock, 0.2)
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b""


def test_discard_keeps_the_connection(served, kind):
    with stream(served, "discard", kind) as sock:
        for _ in range(3):
            sock.sendall(b"text\r\n")
            assert silent(sock, 0.1)


# ---------------------------------------------------------------- daytime, streams

def is_now(text, before):
    assert DAYTIME.fullmatch(text), text
    said = time.strptime(text.decode().strip(), "%a %b %d %H:%M:%S %Y")
    # The daemon runs with TZ=UTC; it may cache the string for a second.
    import calendar
    assert int(before) - 1 <= calendar.timegm(said) <= time.time() + 1


def test_daytime(served, kind):
    before = time.time()
    with stream(served, "daytime", kind) as sock:
        text = receive_all(sock)
    is_now(text, before)


def test_daytime_ignores_what_it_is_told(served, kind):
    # Bytes the daemon never reads must not cost the client its answer.
    with stream(served, "daytime", kind) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n" * 100)
        assert DAYTIME.fullmatch(receive_all(sock, reset_ok=True))


def test_daytime_to_a_half_closed_client(served, kind):
    with stream(served, "daytime", kind) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert DAYTIME.fullmatch(receive_all(sock))


def test_daytime_goes_on(served):
    texts = set()
    end = time.monotonic() + 10
    while len(texts) < 2 and time.monotonic() < end:
        with stream(served, "daytime", "tcp4") as sock:
            texts.add(receive_all(sock))
    assert len(texts) == 2, "the clock stands still"


def test_daytime_many(served):
    def job():
        for _ in range(20):
            with stream(served, "daytime", "tcp4") as sock:
                assert DAYTIME.fullmatch(receive_all(sock))
    in_parallel([job] * 10)


# ---------------------------------------------------------------- datagrams

def test_echo_datagrams(served, gram):
    with datagrams(served, "echo", gram) as sock:
        for data in (b"a", b"hello\n", bytes(range(256)), b"x" * 1400,
                     b"y" * 8192):
            sock.send(data)
            assert sock.recv(65536) == data


def test_echo_largest_datagram(served):
    data = os.urandom(65507)
    with datagrams(served, "echo", "udp4") as sock:
        sock.send(data)
        assert sock.recv(65536) == data     # never a truncated one


def test_echo_empty_datagram(served, gram):
    with datagrams(served, "echo", gram) as sock:
        sock.send(b"")
        if not silent(sock, 0.3):
            assert sock.recv(100) == b""
        sock.send(b"x")
        assert sock.recv(100) == b"x"


def test_daytime_datagrams(served, gram):
    before = time.time()
    with datagrams(served, "daytime", gram) as sock:
        for request in (b"", b"\n", b"what time is it?" * 20):
            sock.send(request)
            is_now(sock.recv(65536), before)


def test_discard_datagrams_never_answers(served, gram):
    with datagrams(served, "discard", gram) as sock:
        for request in (b"", b"x", b"x" * 8000):
            sock.send(request)
        assert silent(sock, 0.5)


def test_an_unbound_unix_client_gets_nothing_and_harms_nothing(served):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        for _ in range(50):
            sock.sendto(b"x", f"{served.work}/echo.gram")
    with datagrams(served, "echo", "unixgram") as sock:
        sock.send(b"still here")
        assert sock.recv(100) == b"still here"


def test_a_unix_client_that_does_not_read_blocks_nobody(served):
    mine = f"{served.work}/deaf"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(mine)
        os.chmod(mine, 0o777)
        deaf.settimeout(2)
        for _ in range(500):
            with contextlib.suppress(TimeoutError, OSError):
                deaf.sendto(b"x" * 1000, socket.MSG_DONTWAIT,
                            f"{served.work}/echo.gram")
        with datagrams(served, "echo", "unixgram") as sock:
            sock.send(b"still here")
            assert sock.recv(100) == b"still here"
        with stream(served, "echo", "tcp4") as sock:
            assert echoes(sock)
    os.unlink(mine)


def test_the_answer_comes_from_the_address_that_was_asked(served):
    # A wildcard socket that answers from its first address loses clients.
    for host in ("127.0.0.1", "127.0.0.9", "127.3.2.1"):
        with udp(served.echo, host) as sock:    # connected: others dropped
            sock.send(host.encode())
            assert sock.recv(100) == host.encode()


def test_many_datagram_sources(served):
    def job(number):
        def run():
            with udp(served.echo, source=f"127.0.2.{number}") as sock:
                sock.settimeout(2)
                for turn in range(5):
                    text = f"{number}.{turn}".encode()
                    for _ in range(4):      # datagrams may be dropped
                        sock.send(text)
                        with contextlib.suppress(TimeoutError):
                            while sock.recv(100) != text:
                                pass
                            break
                    else:
                        raise AssertionError("no answer")
        return run
    in_parallel([job(number) for number in range(1, 31)])


def test_reply_to_a_closed_port_does_no_harm(served):
    # The ICMP error comes back to the daemon's socket.
    for _ in range(20):
        with udp(served.echo) as sock:
            sock.send(b"x")
    time.sleep(0.2)
    with udp(served.echo, source="127.0.0.44") as sock:
        sock.send(b"still here")
        assert sock.recv(100) == b"still here"


# ---------------------------------------------------------------- the datagram rule

@pytest.mark.parametrize("service", SERVICES)
def test_reply_is_never_longer_than_it_may_be(fresh, service):
    port = fresh(service, limits={"per_source_rate": 0})
    with udp(port) as sock:
        for size in [*range(0, 70), 100, 500, 1400, 1500, 9000]:
            sock.send(b"x" * size)
            wait = 0.3 if service == "discard" or size == 0 else 5
            if silent(sock, 0.01 if service == "discard" else wait):
                continue
            reply = sock.recv(65536)
            assert len(reply) <= max(size, 64)
            assert service != "discard"


def count_replies(sock, number, request=b"x"):
    for _ in range(number):
        sock.send(request)
    count = 0
    while not silent(sock, 0.4):
        sock.recv(65536)
        count += 1
    return count


@pytest.mark.parametrize("service", ["echo", "daytime"])
def test_a_source_gets_ten_replies_a_second(fresh, service):
    port = fresh(service)
    with udp(port) as sock:
        got = count_replies(sock, 100)
    # A burst of 20, and 10 more for every second that passed meanwhile.
    assert 20 <= got <= 35
    with udp(port, source="127.0.0.2") as sock:
        sock.send(b"x")
        assert sock.recv(100), "another source pays for the first"


def test_a_new_source_port_is_no_new_source(fresh):
    port = fresh("echo")
    got = 0
    for _ in range(10):
        with udp(port) as sock:
            got += count_replies(sock, 10)
            if got > 20:
                break
    # Some ten half seconds at most went by in the loop.
    assert 20 <= got <= 20 + 50 + 10


def test_the_rate_refills(fresh):
    port = fresh("echo")
    with udp(port) as sock:
        assert count_replies(sock, 60) >= 20

        def answered():
            sock.send(b"again")
            return not silent(sock, 0.2)
        wait_until(answered, "the bucket fills again")


def test_rate_of_zero_lifts_the_limit(fresh):
    port = fresh("echo", limits={"per_source_rate": 0})
    with udp(port) as sock:
        for number in range(300):
            sock.send(str(number).encode())
            assert sock.recv(100) == str(number).encode()


def test_a_configured_rate(fresh):
    port = fresh("echo", limits={"per_source_rate": "3/min"})
    with udp(port) as sock:
        assert 3 <= count_replies(sock, 50) <= 8


def test_the_rate_holds_for_ipv6_networks(fresh):
    port = fresh("echo", host="[::1]")
    with udp(port, "::1") as sock:
        assert 20 <= count_replies(sock, 100) <= 35


@needs_root
@pytest.mark.parametrize("source_port", [7, 13, 17, 19, 37, 53, 123])
def test_no_reply_to_the_port_of_a_datagram_service(fresh, source_port):
    # CVE-1999-0103 and CVE-2024-2169: two services talk to each other for ever.
    echo, daytime = fresh("echo", "daytime")
    for port in (echo, daytime):
        try:
            client = udp(port, source=("127.0.0.5", source_port))
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE:
                pytest.skip("the port is taken on this machine")
            raise
        with client as sock:
            sock.send(b"x" * 100)
            assert silent(sock, 0.3)
        with udp(port, source="127.0.0.5") as sock:
            sock.send(b"x" * 100)
            assert sock.recv(200)


def test_no_reply_to_a_port_that_the_daemon_serves(fresh):
    echo, daytime = fresh("echo", "daytime")
    for port in (echo, daytime):
        for source_port in (echo, daytime):
            with udp(port, source=("127.0.0.6", source_port)) as sock:
                sock.send(b"x" * 100)
                assert silent(sock, 0.3)


def test_no_loop_between_two_of_its_own_services(daemon):
    """One spoofed packet between two services starts no storm."""
    one, two = free_port(), free_port()
    running = daemon(services=[
        {"name": "one", "protocol": "echo", "listen": f"udp://127.0.0.1:{one}",
         "limits": {"per_source_rate": 0}},
        {"name": "two", "protocol": "echo", "listen": f"udp://127.0.0.2:{two}",
         "limits": {"per_source_rate": 0}}])
    # Same source address and port as service two has, by SO_REUSEADDR luck
    # not possible; its port on another address stands for it.
    with udp(one, source=("127.0.0.3", two)) as sock:
        for _ in range(10):
            sock.send(b"ping")
        assert silent(sock, 0.3)
    ticks = sum(p.ticks for p in running.workers())
    time.sleep(0.5)
    assert sum(p.ticks for p in running.workers()) - ticks < 25, "a storm"


@pytest.mark.parametrize("target", ["127.255.255.255", "255.255.255.255"])
def test_no_reply_to_broadcast(fresh, target):
    """At the wildcard address the kernel has to tell of each datagram."""
    port = fresh("echo", host="*")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.settimeout(5)
        sock.bind(("127.0.0.1", 0))
        try:
            sock.sendto(b"x" * 100, (target, port))
        except OSError:
            pytest.skip("this machine sends no broadcast here")
        assert silent(sock, 0.4)
        sock.sendto(b"unicast", ("127.0.0.1", port))
        assert sock.recv(100) == b"unicast"


def test_no_reply_at_a_broadcast_address(daemon):
    """Whoever binds the broadcast of a network has bound no host's address."""
    port = free_port()
    running = daemon(services=[
        {"name": "wide", "protocol": "echo",
         "listen": f"udp://127.255.255.255:{port}"}])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.settimeout(5)
        sock.bind(("127.0.0.1", 0))
        sock.sendto(b"x" * 100, ("127.255.255.255", port))
        assert silent(sock, 0.4)
    text = subprocess.run(
        [str(find_binary().with_name("cabinetctl")), "--socket",
         str(running.control), "metrics"],
        timeout=30, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert re.search(r'^cabinetd_datagrams_dropped_total\{.*"wide".*\} 1$',
                     text, re.M), text


def test_descriptors_in_datagrams_are_refused(daemon):
    """A unix peer that sends open files along fills no table of ours."""
    name = f"@cabinetd-test-{os.getpid()}-open-files"
    running = daemon(workers=1, services=[
        {"name": "gram", "protocol": "echo", "listen": f"unixgram://{name}"}])
    worker, = running.workers()
    table = f"/proc/{worker.pid}/fd"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind("")                   # a name of the kernel's choice
        sock.connect(unix_name(name))
        before = len(os.listdir(table))
        for i in range(50):
            socket.send_fds(sock, [b"%d" % i], [sock.fileno()] * 6)
            assert sock.recv(100) == b"%d" % i
        assert len(os.listdir(table)) == before


def test_datagram_access_rules(fresh):
    port = fresh("echo", access={"deny": ["127.0.0.2"]})
    with udp(port, source="127.0.0.2") as sock:
        sock.send(b"x")
        assert silent(sock, 0.4)
    with udp(port, source="127.0.0.3") as sock:
        sock.send(b"x")
        assert sock.recv(10) == b"x"


def test_a_flood_of_datagrams_starves_nobody(fresh):
    port = fresh("echo")
    stop = threading.Event()

    def flood():
        with udp(port, source="127.0.0.2") as sock:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    sock.send(b"x" * 64)
    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    try:
        for turn in range(20):
            with udp(port, source=f"127.0.0.{10 + turn}") as sock:
                sock.settimeout(1)
                for _ in range(10):     # the kernel may drop under a flood
                    sock.send(b"polite")
                    with contextlib.suppress(TimeoutError):
                        assert sock.recv(100) == b"polite"
                        break
                else:
                    pytest.fail("a polite source was starved")
    finally:
        stop.set()
        thread.join(10)


# ---------------------------------------------------------------- other people's clients

@needs("telnet")
def test_telnet_daytime(served):
    # At the end of its own input telnet leaves, whatever is on its way to it.
    silent, ours = os.pipe()
    try:
        result = subprocess.run(["telnet", "127.0.0.1", str(served.daytime)],
                                stdin=silent, capture_output=True, timeout=20)
    finally:
        os.close(silent)
        os.close(ours)
    assert DAYTIME.search(result.stdout.replace(b"\n", b"\r\n")
                          .replace(b"\r\r", b"\r")), result


@needs("telnet")
def test_telnet_echo(served):
    process = subprocess.Popen(["telnet", "::1", str(served.echo)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdin.write(b"hello there\n")
        process.stdin.flush()
        text = b""
        while b"hello there" not in text:
            ready, _, _ = select.select([process.stdout], [], [], 10)
            assert ready, text
            part = os.read(process.stdout.fileno(), 1000)
            assert part, text
            text += part
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.skipif(not any(shutil.which(nc) for nc in ("nc", "ncat")),
                    reason="no nc")
def test_netcat_udp(served):
    result = subprocess.run(["nc", "-u", "-w", "1", "127.0.0.1",
                             str(served.echo)], input=b"hello nc\n",
                            capture_output=True, timeout=20)
    assert result.stdout == b"hello nc\n", result
