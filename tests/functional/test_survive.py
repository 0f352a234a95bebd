# SPDX-License-Identifier: GPL-2.0-or-later
"""
The end of the supervisor is nobody else's: killed, restarted, replaced by
another build.  A stand-in for systemd keeps the descriptors and passes them to
the next supervisor; what systemd itself does is the system tests' concern.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

import harness
from harness import (PATIENCE, Daemon, free_port, program, receive, tcp, udp,
                     wait_until)
from test_ctl import ask, datagrams, who_answers

CTL = harness.find_binary().with_name("cabinetctl")

# Descriptors at 3 and up, and the variables that announce them, then the program.
PASS = """
import fcntl, os, sys
fds = [int(fd) for fd in sys.argv[1].split(",") if fd]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 1000) for fd in fds]
for place, fd in enumerate(high, 3):
    os.dup2(fd, place)
os.closerange(3 + len(fds), 3000)
if fds:
    os.environ["LISTEN_FDS"] = str(len(fds))
    os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Kept(Daemon):
    """
    The daemon under a manager with a descriptor store, as systemd 252 is one.

    extra   (name, descriptor) pairs to pass as a .socket unit would
    """

    def __init__(self, *args, extra=(), room=512, **kwargs):
        self.store = []         # (name, descriptor)
        self.removed = []
        self.extra = list(extra)
        self._sessions = []
        self._launch = None
        super().__init__(*args, env={"FDSTORE": str(room)}, **kwargs)

    # -- life

    def _start(self, command, env=None, pass_fds=(), **more):
        self._launch = (command, env, more)
        fds = self.extra + self.store
        env = dict(env, LISTEN_FDNAMES=":".join(name for name, _ in fds))
        super()._start(
            [sys.executable, "-c", PASS, ",".join(str(fd) for _, fd in fds),
             *command], env=env, pass_fds=[fd for _, fd in fds], **more)
        self._sessions.append(self.pid)

    def _drain_notes(self, wait):
        ready, _, _ = select.select([self._notify], [], [], wait)
        while ready:
            data, fds, _, _ = socket.recv_fds(self._notify, 65536, 16)
            self._note(data.decode("utf-8", "replace").splitlines(), fds)
            ready, _, _ = select.select([self._notify], [], [], 0)

    def _has(self, fd):
        """systemd keeps nothing twice, whatever its name."""
        new = os.fstat(fd)
        return stat.S_ISSOCK(new.st_mode) and any(
            os.path.samestat(new, os.fstat(old)) for _, old in self.store)

    def _note(self, lines, fds):
        self.notes.extend(lines)
        fields = dict(line.split("=", 1) for line in lines if "=" in line)
        name = fields.get("FDNAME")
        if "FDSTORE" in fields:
            assert re.fullmatch(r"[!-9;-~]{1,255}", name), name
            assert fields["FDPOLL"] == "0"
            assert fds and name not in [other for other, _ in self.store]
            new = [fd for fd in fds if not self._has(fd)]
            self.store.extend((name, fd) for fd in new)
            fds = [fd for fd in fds if fd not in new]
        elif "FDSTOREREMOVE" in fields:
            self.removed.append(name)
            for pair in [pair for pair in self.store if pair[0] == name]:
                self.store.remove(pair)
                os.close(pair[1])
        for fd in fds:          # of BARRIER=1
            os.close(fd)

    def names(self, kind=""):
        self._drain_notes(0)
        return [name for name, _ in self.store
                if name.startswith(f"cabinetd-{kind}")]

    def wait_exit(self, timeout=None):
        """Reads on, as systemd does."""
        end = time.monotonic() + (timeout or self.timeout)
        while self.process.poll() is None and time.monotonic() < end:
            self._drain_notes(0.02)
        return super().wait_exit(0.1)

    def again(self, binary=None, wait=True, tell=signal.SIGKILL):
        """The supervisor ends, by this signal unless it has, and another starts."""
        if self.process.poll() is None:
            self.signal(tell)
        self.wait_exit()
        self._drain_notes(0)
        command, env, more = self._launch
        if binary is not None:
            command = [str(binary), *command[1:]]
        since = len(self.notes)
        self._start(command, env=env, **more)
        if wait:
            self.wait_note("READY=1", since)

    def restart(self, **kwargs):
        self.again(tell=signal.SIGUSR2, **kwargs)

    def empty(self):
        """As systemd does when the unit has been stopped."""
        for _, fd in self.store:
            os.close(fd)
        self.store.clear()

    def leftovers(self):
        found = {p.pid: p for p in super().leftovers()}
        for process in harness.all_processes():
            if process.session in self._sessions and \
                    process.state not in "ZX" and process.pid != self.pid:
                found[process.pid] = process
        return list(found.values())

    def serving(self, kind="worker"):
        """Process ids of those of this kind, whoever their parent is."""
        found = {p.pid: p for p in harness.all_processes()
                 if p.session in self._sessions and p.state not in "ZX"
                 and p.title.startswith(f"cabinetd: {kind}")}
        # A leak checker at its work and a program about to be are no roles.
        return sorted(pid for pid, p in found.items() if p.ppid not in found)

    def destroy(self):
        super().destroy()
        self.empty()


@pytest.fixture
def kept(work):
    with contextlib.ExitStack() as stack:
        def start(services, **kwargs):
            return stack.enter_context(Kept(services, work=work, **kwargs))
        yield start


class Load:
    """Clients that try nothing again; counts what was answered, keeps what was not."""

    def __init__(self, *clients):
        self.done = 0
        self.failures = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(client,))
                         for client in clients]

    def _run(self, client):
        while not self._stop.is_set():
            try:
                client()
                self.done += 1
            except Exception as error:  # whatever it is, a client has seen it
                self.failures.append(repr(error))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.flow()
        return self

    def flow(self, n=20):
        """So many more requests are answered."""
        goal = self.done + n
        wait_until(lambda: self.done >= goal or self.failures,
                   "requests are answered", 30)

    def __exit__(self, kind, value, trace):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE * 2)
        if kind is None:
            assert not self.failures, (len(self.failures), self.failures[:5])


def echo_once(port):
    with tcp(port) as sock:
        sock.sendall(b"hello")
        assert receive(sock, 5) == b"hello"


def echo_held(port):
    """One connection for all requests."""
    sock = tcp(port)

    def client():
        sock.sendall(b"held")
        assert receive(sock, 4) == b"held"
    return client


def answer(sock):
    """One HTTP reply; True when the connection takes another request."""
    data = b""
    while b"\r\n\r\nhello\n" not in data:
        part = sock.recv(4096)
        assert part, f"end of stream after {data!r}"
        data += part
    assert data.startswith(b"HTTP/1.1 200 "), data
    return b"Connection: close" not in data


def http_kept(port):
    """Requests on one connection until the server says that it closes."""
    state = {"sock": None}

    def client():
        sock = state["sock"] or tcp(port)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        state["sock"] = sock if answer(sock) else sock.close()
    return client


def run_cat(port):
    with tcp(port) as sock:
        sock.sendall(b"cat\n")
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock, 4) == b"cat\n"


def services(*ports):
    echo, web, cat = ports
    return [
        {"name": "echo", "listen": [f"tcp://127.0.0.1:{echo}",
                                    f"udp://127.0.0.1:{echo}"],
         "protocol": "echo"},
        {"name": "web", "listen": f"tcp://127.0.0.1:{web}", "protocol": "http",
         "http": {"routes": [{"path": "/", "body": "hello\n"}]}},
        {"name": "cat", "listen": f"tcp://127.0.0.1:{cat}",
         "exec": program("/bin/cat")},
    ]


def three():
    return free_port(), free_port(), free_port()


def ctl(daemon, *words):
    done = subprocess.run(
        [str(CTL), "--socket", str(daemon.control), *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=30, check=False)
    return done.returncode, done.stdout.decode()


def metrics(daemon):
    status, text = ctl(daemon, "metrics")
    assert status == 0, text
    return text


def assert_kept(daemon, sockets, roles):
    """Nothing is in the store but what a successor needs."""
    wait_until(lambda: len(daemon.names("role")) == 2 * roles,
               "the roles in the store")
    assert len(daemon.names("listener")) == sockets, daemon.names()
    assert len(daemon.names("scoreboard")) == 1, daemon.names()
    assert len(daemon.names("state")) == 1, daemon.names()
    assert len(daemon.store) == sockets + 2 * roles + 2, daemon.names()


def copy_of_binary(work):
    """The same program, but another build as far as it can tell."""
    path = work / "another-build"
    shutil.copy(harness.BINARY, path)
    path.chmod(0o755)
    return path


# ---------------------------------------------------------------- killed

def test_killed_supervisor_is_not_noticed(kept):
    ports = three()
    daemon = kept(services(*ports), workers=2)
    roles = daemon.serving("worker") + daemon.serving("launcher")
    assert len(roles) == 3
    held = echo_held(ports[0])
    with Load(lambda: echo_once(ports[0]), held, http_kept(ports[1]),
              lambda: run_cat(ports[2])) as load:
        for _ in range(10):
            load.flow()
            daemon.again()
        load.flow()
    assert daemon.serving("worker") + daemon.serving("launcher") == roles
    assert "supervisor_starts_total 11" in metrics(daemon)
    assert_kept(daemon, sockets=4, roles=3)


def test_a_worker_that_drains_is_taken_over(kept):
    """As one that drains: it keeps what it has, and can be recalled."""
    ports = three()
    daemon = kept(services(*ports), workers=2)
    workers = daemon.serving()
    held = [echo_held(ports[0]) for _ in range(8)]
    # Enough for both to have some.
    while any(f'connections{{role="worker {n}"}} 0\n' in metrics(daemon)
              for n in range(2)):
        held.append(echo_held(ports[0]))
        held[-1]()
    daemon.reload(services(*ports), workers=1)
    for _ in range(2):
        daemon.again()
        assert daemon.serving() == workers
        assert re.search(r"^worker +1 +draining ", ctl(daemon, "status")[1],
                         re.M)
        for client in held:
            client()
        daemon.reload(services(*ports), workers=1)
    assert_kept(daemon, sockets=4, roles=3)
    daemon.reload(services(*ports), workers=2)
    assert daemon.serving() == workers
    assert "draining" not in ctl(daemon, "status")[1]
    daemon.reload(services(*ports), workers=1)
    for client in held:
        client()
    held.clear()
    del client              # a connection as well, perhaps the worker's last
    wait_until(lambda: len(daemon.serving()) == 1, "it ends with its last")
    assert_kept(daemon, sockets=4, roles=2)
    daemon.again()
    assert daemon.serving() == workers[:1]


def test_workers_serve_while_there_is_no_supervisor(kept):
    ports = three()
    daemon = kept(services(*ports), workers=1)
    daemon.process.kill()
    daemon.wait_exit()
    with Load(lambda: echo_once(ports[0]),
              lambda: run_cat(ports[2])) as load:
        load.flow(50)
    with udp(ports[0]) as sock:
        sock.send(b"datagram")
        assert sock.recv(100) == b"datagram"
    daemon.again()
    echo_once(ports[0])


def test_worker_that_dies_meanwhile_is_replaced(kept):
    ports = three()
    daemon = kept(services(*ports), workers=2)
    launcher = daemon.serving("launcher")
    before = daemon.serving("worker")
    daemon.process.kill()
    daemon.wait_exit()
    os.kill(before[0], signal.SIGKILL)
    daemon.again()
    after = daemon.serving("worker")
    assert len(after) == 2 and before[1] in after and before[0] not in after
    assert daemon.serving("launcher") == launcher
    run_cat(ports[2])
    assert_kept(daemon, sockets=4, roles=3)


@pytest.mark.parametrize("kind", ["worker", "launcher"])
def test_adopted_role_that_dies_is_replaced(kept, kind):
    ports = three()
    daemon = kept(services(*ports), workers=1)
    daemon.again()
    before = daemon.serving(kind)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: daemon.serving(kind) not in ([], before), "another one")
    echo_once(ports[0])
    run_cat(ports[2])
    assert_kept(daemon, sockets=4, roles=2)


def test_program_lives_on(kept):
    ports = three()
    daemon = kept(services(*ports), workers=1)
    with tcp(ports[2]) as sock:
        for step in (daemon.again, daemon.restart, daemon.again):
            sock.sendall(b"still there?\n")
            assert receive(sock, 13) == b"still there?\n"
            step()
        sock.sendall(b"yes")
        assert receive(sock, 3) == b"yes"
        assert len(daemon.serving("launcher")) == 2
    wait_until(lambda: len(daemon.serving("launcher")) == 1,
               "the old launcher ends with its last program")
    assert_kept(daemon, sockets=4, roles=2)


def test_counters_and_switches_survive_a_kill(kept):
    ports = three()
    daemon = kept(services(*ports), workers=1)
    for _ in range(7):
        echo_once(ports[0])
    accepted = re.compile(r'connections_accepted_total{.*"echo".*} 7$', re.M)
    assert accepted.search(metrics(daemon))
    assert ctl(daemon, "disable", "web")[0] == 0
    daemon.again()
    assert accepted.search(metrics(daemon))
    with pytest.raises(ConnectionRefusedError):
        tcp(ports[1])
    assert ctl(daemon, "enable", "web")[0] == 0
    http_kept(ports[1])()
    # Switching by hand lasts until the daemon is restarted.
    assert ctl(daemon, "disable", "web")[0] == 0
    daemon.restart()
    http_kept(ports[1])()


# ---------------------------------------------------------------- restarted

def two_fresh(daemon, old):
    fresh = set(daemon.serving("worker")) - old
    return fresh if len(fresh) == 2 else None


@pytest.mark.parametrize("other", [False, True], ids=["same", "upgrade"])
def test_restart_loses_nobody(kept, work, other):
    ports = three()
    daemon = kept(services(*ports), workers=2)
    binaries = [copy_of_binary(work), harness.BINARY] if other else [None]
    held = echo_held(ports[0])
    seen = set(daemon.serving("worker"))
    with Load(lambda: echo_once(ports[0]), held, http_kept(ports[1]),
              lambda: run_cat(ports[2])) as load:
        for turn in range(6):
            load.flow()
            daemon.restart(binary=binaries[turn % len(binaries)])
            # A leak checker at the end of an old one looks like another.
            seen |= wait_until(lambda old=frozenset(seen): two_fresh(
                daemon, old), "two new workers")
        load.flow()
    # The old ones end with their last connection: one is held.
    wait_until(lambda: len(daemon.serving("worker")) == 3, "old workers end")
    assert len(daemon.names("scoreboard")) == 1


def test_killed_and_upgraded(kept, work):
    """Nobody has said goodbye, but what runs is of another build."""
    ports = three()
    daemon = kept(services(*ports), workers=1)
    before = daemon.serving("worker")
    with Load(lambda: echo_once(ports[0]), http_kept(ports[1])) as load:
        daemon.again(binary=copy_of_binary(work))
        load.flow()
    wait_until(lambda: not set(before) & set(daemon.serving("worker")),
               "the old worker ends")
    assert "another build" in daemon.log()


def test_killed_between_restart_and_first_word(kept):
    """Again and again, at whatever moment: none is lost."""
    ports = three()
    daemon = kept(services(*ports), workers=1)
    with Load(lambda: echo_once(ports[0]), http_kept(ports[1]),
              lambda: run_cat(ports[2])) as load:
        for turn in range(12):
            daemon.again(wait=False,
                         tell=signal.SIGUSR2 if turn % 3 else signal.SIGKILL)
            time.sleep(turn * 0.01)
        daemon.again()
        load.flow()
    wait_until(lambda: len(daemon.serving("worker")) == 1, "one worker is left")
    wait_until(lambda: len(daemon.serving("launcher")) == 1, "one launcher")
    assert_kept(daemon, sockets=4, roles=2)


@pytest.mark.skipif(shutil.which("strace") is None,
                    reason="strace is not installed")
def test_restart_at_the_very_beginning(kept, work):
    """A signal before the supervisor can heed it waits until it can."""
    ports = three()
    daemon = kept(services(*ports), workers=1)
    started = work / "signalled"
    started.write_text(f"""#!/bin/sh
export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"
exec strace -D -qq -o /dev/null -e inject=close_range:signal=SIGUSR2:when=1 \\
    {harness.BINARY} "$@"
""")
    started.chmod(0o755)
    with Load(lambda: echo_once(ports[0])) as load:
        daemon.again(binary=started, wait=False)
        assert daemon.wait_exit() == 0
        daemon.again(binary=harness.BINARY)
        load.flow()
    assert_kept(daemon, sockets=4, roles=2)


# ---------------------------------------------------------------- configuration

def test_configuration_changed_meanwhile(kept):
    ports = three()
    daemon = kept(services(*ports), workers=1)
    other = free_port()
    daemon.write([{"name": "day", "listen": f"tcp://127.0.0.1:{other}",
                   "protocol": "daytime"}, services(*ports)[0]])
    with Load(lambda: echo_once(ports[0])):
        daemon.again()
        with tcp(other) as sock:
            assert sock.recv(100)
    with pytest.raises(ConnectionRefusedError):
        tcp(ports[1])
    assert_kept(daemon, sockets=3, roles=2)


@pytest.mark.parametrize("tell", [signal.SIGKILL, signal.SIGUSR2])
def test_broken_configuration_keeps_what_runs(kept, tell):
    ports = three()
    daemon = kept(services(*ports), workers=1)
    roles = daemon.serving()
    good = daemon.config.read_text()
    daemon.write(config="services = ( nonsense );\n")
    since = daemon.mark()
    with Load(lambda: echo_once(ports[0]), http_kept(ports[1])):
        daemon.again(tell=tell)
    assert daemon.serving() == roles
    assert str(daemon.config) in daemon.log()[since:]
    assert "CANNOT BE USED" in daemon.notes[-1]
    daemon.reload(config=good)
    assert "CANNOT BE USED" not in daemon.notes[-1]
    echo_once(ports[0])


def test_broken_configuration_and_another_build(kept, work):
    """Nothing that it wrote can be read: the daemon ends, and says why."""
    ports = three()
    daemon = kept(services(*ports), workers=1)
    daemon.write(config="services = ( nonsense );\n")
    daemon.again(binary=copy_of_binary(work), wait=False)
    assert daemon.wait_exit() == 78
    echo_once(ports[0])         # and systemd empties the store
    daemon.empty()
    wait_until(lambda: not daemon.leftovers(), "nobody is left")


def test_dropped_listener_leaves_the_store(kept):
    ports = three()
    daemon = kept(services(*ports), workers=1)
    daemon.reload(services(*ports)[1:])
    assert_kept(daemon, sockets=2, roles=2)
    daemon.reload(services(*ports))
    assert_kept(daemon, sockets=4, roles=2)
    daemon.again()
    echo_once(ports[0])


def test_port_and_unix_file_stay(kept, work):
    path = work / "day.sock"
    daemon = kept([{"name": "day", "listen": ["tcp://127.0.0.1:0",
                                              f"unix://{path}"],
                    "protocol": "daytime"}], workers=1)
    port, file = daemon.port_of("day"), path.stat().st_ino
    for tell in (signal.SIGKILL, signal.SIGUSR2):
        daemon.again(tell=tell)
        with tcp(port) as sock:
            assert sock.recv(100)
        with harness.unix_stream(path) as sock:
            assert sock.recv(100)
        assert path.stat().st_ino == file
    daemon.stop()
    assert not path.exists()


def test_restart_with_an_overlapping_address(kept):
    """The socket in the store and the new one cannot both be bound, but for us."""
    port = free_port()
    echo = {"name": "echo", "listen": f"tcp://*:{port}", "protocol": "echo"}
    daemon = kept([echo], workers=1)
    for host in ("127.0.0.1", "*"):
        echo["listen"] = f"tcp://{host}:{port}"
        daemon.write([echo])
        since = daemon.mark()
        with Load(lambda: echo_once(port)):
            daemon.restart()
            daemon.wait_log("old worker .* ended", since)


TAKER = """
import select, socket
listener = socket.socket(fileno=0)
while True:
    select.select([listener], [], [])
    try:
        conn, _ = listener.accept()
    except BlockingIOError:
        continue
    conn.sendall(b"taken")
    conn.close()
"""


@pytest.mark.parametrize("how", ["restart", "reload"])
@pytest.mark.parametrize("first", ["echo", "taker"])
def test_what_a_program_has_taken_is_dropped(kept, how, first):
    """It goes on with the socket, and with clients who come to it."""
    ports = three()
    taker_port = free_port()
    taker = {"name": "taker", "listen": f"tcp://127.0.0.1:{taker_port}",
             "exec": program(sys.executable, "-c", TAKER, wait=True),
             "timeouts": {"drain": "1h"}}
    echo = {**{k: v for k, v in taker.items() if k != "exec"},
            "protocol": "echo"}
    others = services(*ports)

    def taken():
        with tcp(taker_port) as sock:
            assert receive(sock, 5) == b"taken"

    daemon = kept([echo if first == "echo" else taker, *others], workers=1,
                  drain=0)
    daemon.reload([taker, *others])
    taken()
    # Workers take clients from it, too, until it is dropped.
    daemon.reload([echo, *others])
    since = daemon.mark()
    if how == "restart":
        daemon.write(others)
        daemon.restart()
        daemon.wait_log("old worker .* ended", since)
    else:
        daemon.reload(others)
    for _ in range(5):
        taken()
    echo_once(ports[0])


def test_restart_drops_a_socket_with_clients_in_its_queue(kept):
    """They had connected in time."""
    ports = three()
    daemon = kept(services(*ports), workers=1)
    worker, = daemon.serving()
    daemon.signal(signal.SIGUSR2)
    daemon.wait_exit()
    os.kill(worker, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(tcp(ports[0])) for _ in range(10)]
        for client in clients:
            client.sendall(b"hello")
        daemon.write(services(*ports)[1:])
        daemon.again()
        os.kill(worker, signal.SIGCONT)
        for client in clients:
            assert receive(client, 5) == b"hello"
    with pytest.raises(ConnectionRefusedError):
        tcp(ports[0])


def test_restart_with_a_port_of_somebody_else(kept):
    """As a reload would: what runs goes on."""
    ports = three()
    daemon = kept(services(*ports), workers=1)
    roles = daemon.serving()
    held = echo_held(ports[0])
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        day = {"name": "day", "protocol": "daytime",
               "listen": f"tcp://127.0.0.1:{other.getsockname()[1]}"}
        daemon.write([day, *services(*ports)])
        with Load(lambda: echo_once(ports[0]), held, http_kept(ports[1])):
            daemon.restart(wait=False)
            assert daemon.wait_exit() == 1
            daemon.again()
            assert "CANNOT BE USED" in daemon.notes[-1]
        assert daemon.serving() == roles
    daemon.reload([day, *services(*ports)])
    held()
    assert_kept(daemon, sockets=5, roles=2)


def test_restart_removes_the_file_of_a_dropped_socket(kept, work):
    path = work / "day.sock"
    day = {"name": "day", "listen": f"unix://{path}", "protocol": "daytime"}
    daemon = kept([*services(*three()), day], workers=1)
    assert path.is_socket()
    daemon.write(services(*three()))
    daemon.restart()
    assert not path.exists()


# ---------------------------------------------------------------- the store

def test_garbage_in_the_store(kept):
    """What is of no use is closed and taken out; nothing else changes."""
    ports = three()
    daemon = kept(services(*ports), workers=1)
    daemon.process.kill()
    daemon.wait_exit()
    daemon._drain_notes(0)
    stale = socket.socket()
    stale.bind(("127.0.0.1", 0))
    stale.listen()
    names = ["cabinetd-listener.1.2.0.0", "cabinetd-role.1.0.1",
             "cabinetd-role.ffffffffffffffff.ffffffff.1",
             "cabinetd-scoreboard.7", "cabinetd-state.ffffffffffff.1",
             "cabinetd-listener.5.6.0.0"]
    daemon.store.append((names[0], stale.detach()))
    daemon.store.extend((name, os.open("/dev/null", os.O_RDONLY))
                        for name in names[1:])
    with Load(lambda: echo_once(ports[0])):
        daemon.again()
    wait_until(lambda: not set(names) & set(daemon.names()),
               "names that are of no use leave")
    wait_until(lambda: len(daemon.serving()) == 1, "one worker")
    run_cat(ports[2])
    assert_kept(daemon, sockets=4, roles=2)


@pytest.mark.parametrize("lost", ["listener", "role", "scoreboard", "state"])
def test_part_of_the_store_is_gone(kept, lost):
    """It serves all that it should, whatever is missing."""
    ports = three()
    daemon = kept(services(*ports), workers=1)
    held = echo_held(ports[0])
    daemon.process.kill()
    daemon.wait_exit()
    for pair in [p for p in daemon.store if f"-{lost}" in p[0]]:
        daemon.store.remove(pair)
        os.close(pair[1])
    daemon.again(wait=False)
    if lost == "listener":
        # The workers have them: they are told to close them, then all is well.
        assert daemon.wait_exit() != 0
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                echo_once(ports[0])
        daemon.again(wait=False)
    daemon.wait_note("READY=1", len(daemon.notes))
    echo_once(ports[0])
    http_kept(ports[1])()
    run_cat(ports[2])
    if lost == "role":      # with the means to talk to it, it has ended
        wait_until(lambda: len(daemon.serving()) == 1, "one worker")
    else:
        held()


def test_no_room_in_the_store(kept):
    ports = three()
    daemon = kept(services(*ports), workers=1, room=3)
    daemon.wait_log("FileDescriptorStoreMax")
    echo_once(ports[0])


def test_a_program_from_before_has_the_socket(kept):
    """Switched off, its socket is nobody's for the next supervisor; it says so."""
    port = free_port()
    daemon = kept([datagrams(f"udp://127.0.0.1:{port}")], workers=1, drain=0)
    pid = who_answers(port)
    ask(daemon, "disable", "w")
    daemon.again()
    assert daemon.names("listener") == []
    reply = ask(daemon, "enable", "w", status=1)
    assert "a program of this service" in reply["findings"][0]["text"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "it has ended")
    ask(daemon, "enable", "w")
    assert who_answers(port) != pid


def test_passed_socket_is_not_stored(kept):
    """A .socket unit passes it each time."""
    passed = socket.socket()
    passed.bind(("127.0.0.1", 0))
    passed.listen()
    port = passed.getsockname()[1]
    daemon = kept([{"name": "echo", "listen": "systemd://mine",
                    "protocol": "echo"}], workers=1,
                  extra=[("mine", passed.fileno())])
    roles = daemon.serving()
    with Load(lambda: echo_once(port)) as load:
        for tell in (signal.SIGKILL, signal.SIGUSR2, signal.SIGKILL):
            load.flow()
            daemon.again(tell=tell)
    assert daemon.names("listener") == []
    assert daemon.serving() != roles
    passed.close()


def test_passed_and_stored(kept):
    """A socket of the same address twice: one is used, and it answers."""
    port = free_port()
    daemon = kept([{"name": "echo", "listen": f"tcp://127.0.0.1:{port}",
                    "protocol": "echo"}], workers=1)
    kept_fd = next(fd for name, fd in daemon.store if "listener" in name)
    daemon.extra = [("mine", os.dup(kept_fd))]
    with Load(lambda: echo_once(port)):
        daemon.again()
    daemon.wait_log('passed as "mine".*its clients wait')
    os.close(daemon.extra[0][1])


# ---------------------------------------------------------------- stopping

def test_stop_leaves_nobody(kept):
    ports = three()
    daemon = kept(services(*ports), workers=2, drain=1)
    with tcp(ports[0]) as one, tcp(ports[2]) as two:
        for sock in (one, two):
            sock.sendall(b"x")
            assert receive(sock, 1) == b"x"
        daemon.restart()
        daemon.again()
        assert len(daemon.serving("worker")) >= 3
        daemon.stop()
    assert daemon.store == []


def test_stop_while_taking_over(kept):
    """Not all have answered yet, but who is served has his time to finish."""
    ports = three()
    daemon = kept(services(*ports), workers=2, drain=20)
    with tcp(ports[2]) as sock:
        sock.sendall(b"x")
        assert receive(sock, 1) == b"x"
        daemon.process.kill()
        daemon.wait_exit()
        stopped(daemon.serving()[1])
        since = daemon.mark()
        daemon.again(wait=False)
        wait_until(lambda: "took worker 1 over" in daemon.log()[since:],
                   "it takes over")
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: "connections have 20.000 s" in daemon.log()[since:],
                   "it stops")
        sock.sendall(b"y")
        assert receive(sock, 1) == b"y"
    assert daemon.wait_exit() == 0
    wait_until(lambda: not daemon.leftovers(), "nobody is left")


def test_stopped_without_a_supervisor(kept):
    """systemd gives up on it and empties the store: everybody ends."""
    ports = three()
    daemon = kept(services(*ports), workers=2)
    with tcp(ports[2]) as sock:
        sock.sendall(b"x")
        assert receive(sock, 1) == b"x"
        daemon.process.kill()
        daemon.wait_exit()
        daemon._drain_notes(0)
        echo_once(ports[0])
        daemon.empty()
        wait_until(lambda: not daemon.leftovers(), "nobody is left")


# ---------------------------------------------------------------- hanging

def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_hanging_worker_is_replaced(kept):
    """Those who come meanwhile are served by the other one."""
    ports = three()
    daemon = kept(services(*ports), workers=2)
    pid = stopped(daemon.serving()[0])
    with Load(lambda: echo_once(ports[0]), lambda: run_cat(ports[2])):
        wait_until(lambda: pid not in daemon.serving()
                   and len(daemon.serving()) == 2, "another worker")
    daemon.wait_log(f"pid {pid}.* hangs: killing it")
    assert "cabinetd_role_hangs_total 1" in metrics(daemon)


def test_one_that_hangs_again_and_again_is_replaced_at_once(kept):
    """Its silence was pause enough: deaths in a row are for those that die."""
    ports = three()
    daemon = kept(services(*ports), workers=1)
    for _ in range(3):
        pid = stopped(daemon.serving()[0])
        wait_until(lambda: [p for p in daemon.serving() if p != pid],
                   "another worker", 20)
        echo_once(ports[0])
    log = daemon.log()
    assert log.count("hangs: killing it") == 3
    assert log.count("starting worker 0 again") == 3
    assert not re.search(r"starting worker 0 again in \d+ ms", log)


def test_hanging_launcher_is_replaced(kept):
    ports = three()
    daemon = kept(services(*ports), workers=1)
    pid = stopped(daemon.serving("launcher")[0])
    with Load(lambda: echo_once(ports[0])):
        wait_until(lambda: daemon.serving("launcher") not in ([], [pid]),
                   "another launcher", 30)
    run_cat(ports[2])


def test_hanging_supervisor_hurts_nobody(kept):
    ports = three()
    daemon = kept(services(*ports), workers=1)
    stopped(daemon.pid)
    with Load(lambda: echo_once(ports[0]), lambda: run_cat(ports[2])):
        daemon.again()
