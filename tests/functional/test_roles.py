# SPDX-License-Identifier: GPL-2.0-or-later
"""
Processes: who they are and what they may, what happens when one dies, hangs
or is told to stop, and reloads that change what they should and nothing else.
"""

import contextlib
import os
import pwd
import random
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import (BINARY, PATIENCE, ROOT, SANITIZED, UNPRIVILEGED,
                     DaemonExited, Http, Process, Smtp, base_environment,
                     config_text, descendants, echoes, free_port, in_parallel,
                     needs_root, program, receive, receive_all, run_binary,
                     run_check, silent, tcp, udp, unix_stream, wait_until)


def echo(port, name="echo", **more):
    return {"name": name, "listen": f"tcp://127.0.0.1:{port}",
            "protocol": "echo", **more}


def cat(port, name="cat", **more):
    return {"name": name, "listen": f"tcp://127.0.0.1:{port}",
            "exec": program("/bin/cat"), **more}


def served(port):
    with tcp(port) as sock:
        return echoes(sock)


def kill(process, number=signal.SIGKILL):
    os.kill(process.pid, number)


# ---------------------------------------------------------------- who they are

def test_titles_and_tree(daemon):
    running = daemon(services=[echo(free_port()), cat(free_port())],
                     workers=3)
    family = [p for p in running.family() if p.state not in "ZX"]
    titles = sorted(p.title for p in family)
    assert [t for t in titles if t.startswith("cabinetd: worker")] == \
        [f"cabinetd: worker {n}" for n in range(3)]
    assert [t for t in titles if t.startswith("cabinetd: launcher")] == \
        ["cabinetd: launcher"]
    assert all(p.ppid == running.pid for p in family), family
    assert not [t for t in titles if "config" in t], "the config child stayed"
    # ps shows them too, by name.
    listing = subprocess.run(["ps", "-o", "args=", "--ppid",
                              str(running.pid)], capture_output=True,
                             text=True, timeout=10).stdout
    assert "cabinetd: worker 0" in listing


def test_one_worker_for_each_processor(daemon):
    running = daemon(services=[echo(free_port())])
    assert len(running.workers()) == len(os.sched_getaffinity(0))


@needs_root
def test_workers_have_no_rights(daemon):
    account = pwd.getpwnam(UNPRIVILEGED)
    running = daemon(services=[echo(free_port()), cat(free_port())],
                     workers=2)
    for worker in running.workers():
        status = worker.status()
        assert status["Uid"].split() == [str(account.pw_uid)] * 4
        assert status["Gid"].split() == [str(account.pw_gid)] * 4
        assert set(status["Groups"].split()) <= {
            str(g) for g in os.getgrouplist(UNPRIVILEGED, account.pw_gid)}
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[name], 16) == 0, (name, status[name])
        assert status["NoNewPrivs"] == "1"
        if not SANITIZED:   # whose run time needs more than a worker does
            assert status["Seccomp"] == "2"


def test_plain_users_daemon_is_the_users(daemon, work):
    work.chmod(0o777)
    port = free_port()
    running = daemon(services=[echo(port)], plain=True, user=None, workers=1)
    assert served(port)
    uid = str(pwd.getpwnam(UNPRIVILEGED).pw_uid if ROOT else os.getuid())
    for process in [Process(running.pid), *running.workers()]:
        assert process.status()["Uid"].split() == [uid] * 4


def test_every_role_is_single_threaded(daemon):
    running = daemon(services=[echo(free_port()), cat(free_port())],
                     workers=2)
    for process in [Process(running.pid), *running.roles("worker|launcher")]:
        assert process.status()["Threads"] == "1", process


def test_each_role_has_its_own_address_layout(daemon):
    if Process(os.getpid()).status().get("Seccomp") is None:
        pytest.skip("no /proc/PID/status")
    if open("/proc/sys/kernel/randomize_va_space").read().strip() == "0":
        pytest.skip("no address randomisation here")
    if not ROOT:
        pytest.skip("the maps of the workers are not ours to read")
    running = daemon(services=[echo(free_port())], workers=2)
    seen = set()
    for process in [Process(running.pid), *running.workers()]:
        with open(f"/proc/{process.pid}/maps") as maps:
            seen.add(next(line.split("-")[0] for line in maps
                          if line.rstrip().endswith(
                              os.path.basename(os.readlink(
                                  f"/proc/{process.pid}/exe")))))
    assert len(seen) == 3, "roles share one layout"


@needs_root     # to read the maps of a worker
def test_only_the_supervisor_has_libsystemd(daemon):
    """What peers can reach has neither it nor the libraries that it brings."""
    running = daemon(services=[echo(free_port()), cat(free_port())],
                     workers=1)

    def libraries(process):
        with open(f"/proc/{process.pid}/maps") as maps:
            return {os.path.basename(line.split()[-1]).split(".so")[0]
                    for line in maps if ".so" in line}
    assert "libsystemd" in libraries(running)
    for process in running.roles("worker|launcher"):
        found = libraries(process)
        assert "libconfig" in found and "libc" in found, process
        assert not found & {"libsystemd", "liblzma", "libzstd", "liblz4",
                            "libgcrypt"}, process


def test_libsystemd_that_cannot_be_loaded(work):
    (work / "libsystemd.so.0").write_text("not a library")
    (work / "c.conf").write_text(config_text([echo(free_port())]))
    env = {**base_environment(), "LD_LIBRARY_PATH": ":".join(
        filter(None, [str(work), os.environ.get("LD_LIBRARY_PATH")]))}
    result = run_binary("-c", work / "c.conf", env=env)
    assert result.returncode == 1
    assert re.fullmatch(r"cabinetd: err\w*: cannot use libsystemd "
                        r"\(Debian: libsystemd0\): .*libsystemd\.so\.0: .*\n",
                        result.err), result.err
    # Whoever only asks for something does not need it.
    assert run_check(work / "c.conf", env=env).returncode == 0


def test_no_secret_in_the_supervisors_command_line(daemon):
    running = daemon(services=[echo(free_port())], workers=1)
    with open(f"/proc/{running.pid}/cmdline", "rb") as text:
        words = text.read().split(b"\0")
    assert b"cabinetd" in words[0]
    assert str(running.config).encode() in words or \
        words[0].startswith(b"cabinetd: supervisor")


# ---------------------------------------------------------------- readiness, notes

def test_notifications(daemon):
    running = daemon(services=[echo(free_port())])
    assert running.notes.count("READY=1") == 1
    assert any(note.startswith("STATUS=") for note in running.notes)
    running.family()
    running.signal(signal.SIGTERM)
    running.finish()
    running._drain_notes(0.2)
    assert "STOPPING=1" in running.notes


def test_ready_means_served(daemon):
    for _ in range(5):
        port = free_port()
        running = daemon(services=[echo(port), cat(free_port())])
        assert served(port)
        running.stop()


# ---------------------------------------------------------------- a worker dies

class Load:
    """Clients that connect, echo once and go, for as long as it lasts."""

    def __init__(self, port, clients=4, request=b"hello", pause=0.0):
        self.port = port
        self.done = 0
        self.refused = []
        self.broken = []
        self.stop = threading.Event()
        self.request = request
        self.pause = pause
        self.threads = [threading.Thread(target=self.run, daemon=True)
                        for _ in range(clients)]

    def run(self):
        while not self.stop.is_set():
            try:
                sock = tcp(self.port, timeout=30)
            except OSError as fault:
                self.refused.append(repr(fault))
                continue
            with sock:
                try:
                    sock.sendall(self.request)
                    receive(sock, len(self.request))
                    self.done += 1
                except (OSError, AssertionError) as fault:
                    self.broken.append(repr(fault))
            if self.pause:
                time.sleep(self.pause)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *what):
        self.stop.set()
        for thread in self.threads:
            thread.join(40)
        assert not any(thread.is_alive() for thread in self.threads)


@pytest.mark.parametrize("kind", ["echo", "cat"])
def test_kill_9_of_a_worker_under_load(daemon, kind):
    port = free_port()
    service = echo(port) if kind == "echo" else cat(port)
    running = daemon(services=[service], workers=2)
    kills = 6
    clients = 4
    with Load(port, clients, pause=0.005) as load:
        wait_until(lambda: load.done > 20, "the load is on")
        for _ in range(kills):
            victim = random.choice(wait_until(
                lambda: len(running.workers()) == 2 and running.workers(),
                "two workers"))
            kill(victim)
            wait_until(lambda: not victim.alive(), "it is dead")
            before = load.done
            wait_until(lambda: load.done > before + 20, "the load goes on", 30)
    assert load.refused == [], load.refused[:3]
    # At most what the dead workers held: one connection of each client.
    assert len(load.broken) <= kills * clients, load.broken[:5]
    wait_until(lambda: len(running.workers()) == 2, "two workers again", 20)
    assert served(port)
    assert {p.title for p in running.workers()} == \
        {"cabinetd: worker 0", "cabinetd: worker 1"}


@pytest.mark.skipif(not ROOT, reason="the workers' sockets are not ours to see")
def test_connections_of_the_other_worker_live_on(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    crowd = []
    try:
        for _ in range(60):
            sock = tcp(port)
            crowd.append(sock)
            assert echoes(sock)
        inodes = {w.pid: socket_inodes(w.pid) for w in running.workers()}
        victim, survivor = sorted(inodes, key=lambda pid: len(inodes[pid]))
        os.kill(victim, signal.SIGKILL)
        time.sleep(0.3)
        alive = 0
        for sock in crowd:
            with contextlib.suppress(OSError, AssertionError):
                alive += echoes(sock)
        assert alive >= len(crowd) / 2, "more was lost than one worker held"
    finally:
        for sock in crowd:
            sock.close()


def socket_inodes(pid):
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def test_all_workers_die_at_once(daemon):
    """Nobody is left to accept: clients wait in the queue, none is refused."""
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    for worker in running.workers():
        kill(worker)
    crowd = [tcp(port, timeout=30) for _ in range(30)]
    for sock in crowd:
        assert echoes(sock)
        sock.close()
    assert running.process.poll() is None


def test_a_worker_that_keeps_dying_is_restarted_with_back_off(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=1)
    mark = running.mark()
    for _ in range(6):
        kill(wait_until(running.workers, "a worker", 30)[0])
        time.sleep(0.05)
    with tcp(port, timeout=30) as sock:
        assert echoes(sock)
    assert len(running.log()[mark:].splitlines()) < 100
    running.check()


def test_a_dead_worker_gives_its_places_back(daemon):
    port = free_port()
    running = daemon(services=[echo(port, limits={"connections": 6})],
                     workers=2)
    held = [tcp(port) for _ in range(6)]
    for sock in held:
        assert echoes(sock)
    for worker in running.workers():
        kill(worker)
    wait_until(lambda: len(running.workers()) == 2, "new workers", 30)

    def six():
        fresh = [tcp(port, timeout=5) for _ in range(6)]
        try:
            for sock in fresh:
                sock.sendall(b"x")
                if sock.recv(1) != b"x":
                    return False
            return True
        except OSError:
            return False
        finally:
            for sock in fresh:
                sock.close()
            time.sleep(0.05)
    wait_until(six, "six places again", 20)
    for sock in held:
        sock.close()
    # And the limit is still six, not more.
    wait_until(lambda: over_limit(port, 6), "the limit holds")


def over_limit(port, limit):
    held = [tcp(port) for _ in range(limit)]
    try:
        for sock in held:
            with contextlib.suppress(OSError):
                sock.sendall(b"x")
                sock.recv(1)
        with tcp(port) as one_more:
            with contextlib.suppress(OSError):
                one_more.sendall(b"x")
                return one_more.recv(1) == b""
            return True
    finally:
        for sock in held:
            sock.close()


def test_a_stopped_worker_does_not_hold_up_new_clients(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    assert served(port)
    stopped = running.workers()[0]
    kill(stopped, signal.SIGSTOP)
    wait_until(lambda: Process(stopped.pid).state == "T", "it has stopped")
    try:
        for _ in range(60):
            with tcp(port, timeout=20) as sock:
                assert echoes(sock)
    finally:
        with contextlib.suppress(ProcessLookupError):
            kill(stopped, signal.SIGCONT)
    assert served(port)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT,
                                    signal.SIGTERM])
def test_other_deaths_of_a_worker(daemon, number):
    port = free_port()
    running = daemon(services=[echo(port)], workers=1)
    victim = running.workers()[0]
    if SANITIZED and number in (signal.SIGSEGV, signal.SIGABRT):
        pytest.skip("the sanitizer reports such a signal as a defect")
    kill(victim, number)
    wait_until(lambda: not victim.alive(), "it ended", 20)
    with tcp(port, timeout=30) as sock:
        assert echoes(sock)


# ---------------------------------------------------------------- the launcher dies

def test_kill_9_of_the_launcher(daemon):
    port, other = free_port(), free_port()
    running = daemon(services=[cat(port), echo(other)], workers=2)
    for _ in range(3):
        assert served(port)
        victim = wait_until(lambda: running.roles("launcher"),
                            "a launcher", 20)[0]
        kill(victim)
        wait_until(lambda: not victim.alive(), "it is dead")
        # New clients wait for the new launcher; built-ins do not notice.
        assert served(other)
        with tcp(port, timeout=30) as sock:
            assert echoes(sock)
    wait_until(lambda: len(running.roles("launcher")) == 1, "one launcher")


def test_kill_9_of_the_launcher_under_load(daemon):
    port = free_port()
    running = daemon(services=[cat(port)], workers=2)
    clients = 3
    kills = 4
    with Load(port, clients, pause=0.01) as load:
        wait_until(lambda: load.done > 10, "the load is on")
        for _ in range(kills):
            kill(wait_until(lambda: running.roles("launcher"),
                            "a launcher", 20)[0])
            before = load.done
            wait_until(lambda: load.done > before + 10, "goes on", 30)
    assert load.refused == []
    assert len(load.broken) <= kills * clients, load.broken[:5]


def test_a_dead_launcher_gives_its_places_back(daemon):
    port = free_port()
    running = daemon(services=[cat(port, limits={"connections": 3})],
                     workers=2)
    held = [tcp(port) for _ in range(3)]
    for sock in held:
        assert echoes(sock)
    kill(running.launcher())
    for sock in held:
        sock.close()

    def three():
        fresh = [tcp(port, timeout=5) for _ in range(3)]
        try:
            for sock in fresh:
                sock.sendall(b"x")
                if sock.recv(1) != b"x":
                    return False
            return True
        except OSError:
            return False
        finally:
            for sock in fresh:
                sock.close()
            time.sleep(0.05)
    wait_until(three, "three places again", 20)


def test_a_stopped_launcher_holds_up_nobody_else(daemon):
    """Clients of programs wait for it; the built-in protocols go on."""
    port, other = free_port(), free_port()
    running = daemon(services=[cat(port, limits={"connections": 2000,
                                                 "per_source": 2000}),
                               echo(other)], workers=2)
    assert served(port)
    launcher = running.launcher()
    kill(launcher, signal.SIGSTOP)
    crowd = []
    try:
        for number in range(400):
            sock = tcp(port, timeout=30)
            crowd.append(sock)
            sock.sendall(b"%04d" % number)
            if number % 20 == 0:
                assert served(other)
        assert silent(crowd[0], 0.2)
        kill(launcher, signal.SIGCONT)
        for number, sock in enumerate(crowd):
            assert receive(sock, 4) == b"%04d" % number
    finally:
        with contextlib.suppress(ProcessLookupError):
            kill(launcher, signal.SIGCONT)
        for sock in crowd:
            sock.close()
    wait_until(lambda: not [p for p in running.family()
                            if p.title.startswith("/bin/cat")],
               "every program has ended")


# ---------------------------------------------------------------- the supervisor dies

def test_kill_9_of_the_supervisor_ends_all(daemon):
    # Without systemd the workers end with the supervisor.
    port = free_port()
    running = daemon(services=[echo(port), cat(free_port())], workers=2)
    assert served(port)
    assert len(running.family()) == 3
    running.process.kill()
    running.process.wait(PATIENCE)
    running.status = -9
    wait_until(lambda: not running.leftovers(),
               f"no role is left: {running.leftovers()}", 15)
    with pytest.raises(ConnectionRefusedError):
        tcp(port)


def test_a_stopped_supervisor_holds_up_nobody(daemon):
    port, other = free_port(), free_port()
    running = daemon(services=[echo(port), cat(other)], workers=2)
    running.signal(signal.SIGSTOP)
    try:
        for _ in range(50):
            assert served(port)
        for _ in range(20):
            assert served(other)
    finally:
        running.signal(signal.SIGCONT)
    running.reload()
    assert served(port) and served(other)


# ---------------------------------------------------------------- stopping

def test_sigterm_closes_idle_connections(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    crowd = [tcp(port) for _ in range(20)]
    for sock in crowd:
        assert echoes(sock)
    running.family()
    running.signal(signal.SIGTERM)
    for sock in crowd:
        assert receive_all(sock, reset_ok=True) == b""
    running.finish()


def test_sigterm_says_goodbye(daemon):
    mail, web = free_port(), free_port()
    running = daemon(services=[
        {"name": "mail", "listen": f"tcp://127.0.0.1:{mail}",
         "protocol": "smtp"},
        {"name": "web", "listen": f"tcp://127.0.0.1:{web}",
         "protocol": "http", "http": {"routes": [
             {"path": "/healthz", "status": 200, "body": "ok\n"}]}}])
    with Smtp(tcp(mail)) as client, Http(tcp(web)) as link:
        assert client.greeting[0] == 220
        assert link.open()
        running.family()
        running.signal(signal.SIGTERM)
        assert [code for code, _ in client.replies_to_end()] == [421]
        assert link.closed()
        running.finish()


def test_sigterm_lets_a_transfer_finish(daemon, work):
    root = work / "files"
    root.mkdir()
    (root / "big").write_bytes(b"x" * (12 << 20))
    port = free_port()
    running = daemon(services=[{"name": "web", "protocol": "http",
                                "listen": f"tcp://127.0.0.1:{port}",
                                "http": {"root": str(root)}}])
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", port))
    with Http(sock) as link:
        link.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        first = sock.recv(1000)
        running.family()
        running.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert running.process.poll() is None, "it did not drain"
        link.pending = first
        reply = link.reply()
        assert len(reply.body) == 12 << 20
        assert link.closed()
    running.finish()


def test_second_sigterm_ends_at_once(daemon, work):
    root = work / "files"
    root.mkdir()
    (root / "big").write_bytes(b"x" * (12 << 20))
    port = free_port()
    running = daemon(services=[{"name": "web", "protocol": "http",
                                "listen": f"tcp://127.0.0.1:{port}",
                                "http": {"root": str(root)}}])
    with tcp(port) as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(1000)
        running.family()
        running.signal(signal.SIGTERM)
        running.wait_note("STOPPING=1")
        time.sleep(0.3)
        assert running.process.poll() is None, "it did not drain"
        running.signal(signal.SIGTERM)
        running.finish(timeout=10)


def test_no_new_clients_while_stopping(daemon, work):
    root = work / "files"
    root.mkdir()
    (root / "big").write_bytes(b"x" * (12 << 20))
    port = free_port()
    running = daemon(services=[{"name": "web", "protocol": "http",
                                "listen": f"tcp://127.0.0.1:{port}",
                                "http": {"root": str(root)}}])
    with tcp(port) as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(1000)
        running.family()
        running.signal(signal.SIGTERM)

        def gone():
            try:
                with tcp(port, timeout=2) as late:
                    late.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    data = receive_all(late, reset_ok=True)
                    return data == b"" or b" 503 " in data
            except (ConnectionRefusedError, ConnectionResetError):
                return True
        wait_until(gone, "new clients are turned away")
        time.sleep(0.5)     # two signals at once may count as one
        running.signal(signal.SIGTERM)
        running.finish()


def test_stop_while_clients_storm(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    with Load(port, 4) as load:
        wait_until(lambda: load.done > 50, "the load is on")
        running.family()
        running.signal(signal.SIGTERM)
        running.finish()


def test_sigint_stops_too(daemon):
    running = daemon(services=[echo(free_port())])
    running.family()
    running.signal(signal.SIGINT)
    running.finish()


def test_start_stop_start_on_the_same_port(daemon):
    # SO_REUSEADDR: connections in TIME_WAIT do not hinder a restart.
    port = free_port()
    for _ in range(4):
        running = daemon(services=[
            {"name": "d", "listen": f"tcp://127.0.0.1:{port}",
             "protocol": "daytime"}])
        for _ in range(20):
            with tcp(port) as sock:
                receive_all(sock)
        running.stop()


# ---------------------------------------------------------------- reload

def test_reload_without_a_change_keeps_everything(daemon):
    port = free_port()
    services = [echo(port), cat(free_port())]
    running = daemon(services=services, workers=2)
    with tcp(port) as sock:
        assert echoes(sock)
        for _ in range(3):
            running.reload()
            assert echoes(sock)
        assert served(port)


def test_reload_adds_and_removes(daemon):
    one, two, three = free_port(), free_port(), free_port()
    running = daemon(services=[echo(one, "one"), echo(two, "two")])
    assert served(one) and served(two)
    running.reload(services=[echo(two, "two"), echo(three, "three")])
    assert served(two) and served(three)
    with pytest.raises(ConnectionRefusedError):
        tcp(one)
    running.reload(services=[])
    for port in (two, three):
        with pytest.raises(ConnectionRefusedError):
            tcp(port)
    running.reload(services=[echo(one, "one")])
    assert served(one)


def test_reload_keeps_live_connections(daemon):
    one, two = free_port(), free_port()
    running = daemon(services=[echo(one, "one"), echo(two, "two"),
                               cat(free_port(), "three")], workers=2)
    with tcp(one) as kept, tcp(two) as other:
        assert echoes(kept) and echoes(other)
        running.reload(services=[echo(one, "one",
                                      limits={"connections": 77}),
                                 echo(two, "two")])
        for _ in range(5):
            assert echoes(kept) and echoes(other)


def test_reload_of_a_port_change_keeps_live_sessions(daemon):
    # Defect 7 of xinetd: a port change killed the live sessions.
    old, new = free_port(), free_port()
    running = daemon(services=[cat(old)])
    with tcp(old) as kept:
        assert echoes(kept)
        running.reload(services=[cat(new)])
        assert served(new)
        with pytest.raises(ConnectionRefusedError):
            tcp(old)
        assert echoes(kept), "the live session was killed"


def test_reload_changes_options(daemon):
    port = free_port()

    def web(body):
        return {"name": "web", "listen": f"tcp://127.0.0.1:{port}",
                "protocol": "http", "http": {"routes": [
                    {"path": "/x", "status": 200, "body": body}]}}
    running = daemon(services=[web("one")], workers=2)
    with Http(tcp(port)) as before:
        assert before.ask("/x").body == b"one"
        running.reload(services=[web("two")])
        for _ in range(10):
            with Http(tcp(port)) as link:
                assert link.ask("/x").body == b"two"


def test_reload_changes_the_protocol_of_a_port(daemon):
    port = free_port()
    running = daemon(services=[echo(port)])
    assert served(port)
    running.reload(services=[{"name": "day", "protocol": "daytime",
                              "listen": f"tcp://127.0.0.1:{port}"}])
    with tcp(port) as sock:
        assert receive_all(sock).endswith(b"\r\n")


def test_reload_changes_access(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    assert served(port)
    running.reload(services=[echo(port, access={"deny": ["127.0.0.1"]})])
    for _ in range(6):
        with tcp(port) as sock:
            assert receive_all(sock, reset_ok=True) == b""
    running.reload(services=[echo(port)])
    assert served(port)


def test_reload_changes_the_number_of_workers_or_says_so(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=1)
    mark = running.mark()
    running.reload(services=[echo(port)], workers=3)
    assert served(port)
    if len(running.workers()) != 3:
        assert re.search(r"workers", running.log()[mark:]), \
            "neither done nor told"


def test_reload_of_a_disabled_service(daemon):
    one, two = free_port(), free_port()
    running = daemon(services=[echo(one, "one"), echo(two, "two")])
    running.reload(services=[echo(one, "one"),
                             echo(two, "two", enabled=False)])
    assert served(one)
    with pytest.raises(ConnectionRefusedError):
        tcp(two)


def test_reload_of_unix_and_udp_listeners(daemon, work):
    port = free_port()
    both = {"name": "both", "protocol": "echo",
            "listen": [f"unix://{work}/s.sock", f"udp://127.0.0.1:{port}"]}
    running = daemon(services=[both])
    with unix_stream(work / "s.sock") as kept:
        assert echoes(kept)
        for _ in range(3):
            running.reload()
        assert echoes(kept)
        with unix_stream(work / "s.sock") as sock:
            assert echoes(sock)
        with udp(port) as sock:
            sock.send(b"x")
            assert sock.recv(10) == b"x"
        running.reload(services=[])
        assert echoes(kept)
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        unix_stream(work / "s.sock")
    running.reload(services=[both])
    with unix_stream(work / "s.sock") as sock:
        assert echoes(sock)


BAD = {
    "unknown-key": ("services = (\n { name = \"x\"; bogus = 1; } );\n", 2),
    "syntax": ("services = (\n { name = ; } );\n", 2),
    "empty-allow": ('services = (\n { name = "x"; listen = 7;'
                    ' protocol = "echo"; access = { allow = ( ); }; } );\n',
                    2),
    "directory-include": ('@include "/tmp"\n', None),
    "wrapped-integer": ('services = (\n { name = "x"; listen = 4294967376;'
                        ' protocol = "echo"; } );\n', 2),
    "fifo-include": ('@include "pipe"\n', None),
    "zero-include": ('@include "/dev/zero"\n', None),
    "no-such-program": ('services = (\n { name = "x"; listen = 7; exec ='
                        ' { program = "/no/such"; }; } );\n', 2),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_config_on_reload_changes_nothing(daemon, work, name):
    # Defects 1 and 10: other super-servers exit on a typo.
    os.mkfifo(work / "pipe")
    text, line = BAD[name]
    port, other = free_port(), free_port()
    running = daemon(services=[echo(port), cat(other)], workers=2)
    roles = {p.pid for p in running.roles("worker|launcher")}
    mark = running.mark()
    with tcp(port) as kept, tcp(other) as kept_too:
        assert echoes(kept) and echoes(kept_too)
        running.reload(config=text)
        assert echoes(kept) and echoes(kept_too)
        assert served(port) and served(other)
    log = running.log()[mark:]
    where = re.escape(str(running.config)) + rf":{line or '[0-9]+'}: "
    assert re.search(where, log), log
    assert {p.pid for p in running.roles("worker|launcher")} == roles
    # And the next good one is taken.
    new = free_port()
    running.reload(services=[echo(port), echo(new, "new")])
    assert served(new) and served(port)


def test_missing_config_on_reload_changes_nothing(daemon):
    port = free_port()
    running = daemon(services=[echo(port)])
    text = running.config.read_text()
    running.config.unlink()
    mark = running.mark()
    running.reload()
    running.wait_log("no such file", mark)
    assert served(port)
    running.reload(config=text)
    assert served(port)


def test_broken_drop_in_on_reload_changes_nothing(daemon, work):
    port, other = free_port(), free_port()
    running = daemon(services=[echo(port)], name="cabinetd.conf")
    folder = work / "cabinetd.conf.d"
    folder.mkdir()
    (folder / "bad.conf").write_text("services = (\n\n { name = 7; } );\n")
    mark = running.mark()
    running.reload(services=[echo(port), echo(other, "other")])
    running.wait_log(r"bad\.conf:3: ", mark)
    assert served(port)
    with pytest.raises(ConnectionRefusedError):
        tcp(other)


def test_reload_that_cannot_bind_is_rolled_back_whole(daemon):
    port, new = free_port(), free_port()
    running = daemon(services=[echo(port)], workers=2)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        mark = running.mark()
        with tcp(port) as kept:
            assert echoes(kept)
            running.reload(services=[echo(new, "new"), echo(taken, "taken")])
            assert echoes(kept)
        assert served(port), "the old service went"
        with pytest.raises(ConnectionRefusedError):
            tcp(new)
        log = running.log()[mark:]
        assert "taken" in log and f"127.0.0.1:{taken}" in log \
            and re.search("in use", log, re.I), log
    running.reload()
    assert served(new) and served(taken)


def test_two_services_swap_their_ports(daemon):
    one, two = free_port(), free_port()

    def day(port):
        return {"name": "day", "listen": f"tcp://127.0.0.1:{port}",
                "protocol": "daytime"}
    running = daemon(services=[echo(one), day(two)], workers=2)
    running.reload(services=[echo(two), day(one)])
    assert served(two)
    with tcp(one) as sock:
        assert receive_all(sock).endswith(b"\r\n")


def test_reload_under_load_loses_nothing(daemon):
    port, other = free_port(), free_port()
    running = daemon(services=[echo(port)], workers=2)
    with Load(port, 4, pause=0.002) as load:
        wait_until(lambda: load.done > 20, "the load is on")
        for turn in range(15):
            extra = [echo(other, "other")] if turn % 2 else []
            running.reload(services=[
                echo(port, limits={"connections": 900 + turn}), *extra])
    assert load.refused == [] and load.broken == [], \
        (load.refused[:3], load.broken[:3])
    assert load.done > 100


def test_reload_storm(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    with tcp(port) as kept:
        for turn in range(60):
            running.signal(signal.SIGHUP)
            if turn % 10 == 0:
                assert echoes(kept)
        running.reload()
        assert echoes(kept)
        assert served(port)
    wait_until(lambda: len(running.workers()) == 2, "two workers, no more")


def test_reloads_leak_nothing(daemon):
    one, two = free_port(), free_port()
    running = daemon(services=[echo(one), cat(two)], workers=2)
    roles = [Process(running.pid), *running.roles("worker|launcher")]
    for turn in range(3):
        running.reload(services=[echo(one), cat(two)])
    before = {p.pid: p.descriptors() for p in roles}
    for turn in range(20):
        running.reload(services=[echo(one, limits={"connections": turn + 5}),
                                 cat(two)])
        running.reload(config="bogus = 1;\n")
    running.reload(services=[echo(one), cat(two)])

    def settled():
        return all(p.descriptors() <= before[p.pid] for p in roles)
    wait_until(settled, f"descriptors as before: {before}, now "
               f"{ {p.pid: p.descriptors() for p in roles} }")
    assert served(one) and served(two)


def test_reload_while_stopping(daemon):
    port = free_port()
    running = daemon(services=[echo(port)])
    running.family()
    running.signal(signal.SIGHUP)
    running.signal(signal.SIGTERM)
    running.finish()


def test_reload_while_a_worker_dies(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    for turn in range(5):
        for worker in running.workers()[:1]:
            kill(worker)
        running.reload(services=[echo(port,
                                      limits={"connections": 50 + turn})])
        with tcp(port, timeout=30) as sock:
            assert echoes(sock)
    wait_until(lambda: len(running.workers()) == 2, "two workers", 30)


def test_generations_stay_bounded(daemon):
    """Idle connections of old generations are served by live processes."""
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    pinned = []
    for turn in range(8):
        sock = tcp(port)
        assert echoes(sock)
        pinned.append(sock)
        running.reload(services=[echo(port,
                                      limits={"connections": 100 + turn})])
    assert len([p for p in running.family() if p.state not in "ZX"]) <= 12
    for sock in pinned:
        assert echoes(sock)
        sock.close()


IN_FLIGHT = """
import os, socket, sys
sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sender.setblocking(False)
sent = 0
try:
    while sent < 2000:
        socket.send_fds(sender, [b"x"], [0] * 20)
        sent += 20
except BlockingIOError:
    pass
print(sent, flush=True)
sys.stdin.read()
"""


def test_descriptors_in_flight_hinder_no_reload(daemon):
    """
    The kernel counts descriptors on their way between processes for each user
    and compares them with RLIMIT_NOFILE of whoever sends the next one: a flood
    of connections to a program must not keep the configuration from being read.
    """
    port, new = free_port(), free_port()
    running = daemon(services=[echo(port)], workers=1)
    who = {"user": UNPRIVILEGED, "group": "nogroup", "extra_groups": []} \
        if ROOT else {}
    holder = subprocess.Popen(["/usr/bin/python3", "-I", "-c", IN_FLIGHT],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              cwd="/", **who)
    try:
        assert int(holder.stdout.readline()) > 200
        running.reload(services=[echo(port), echo(new, "new")])
        assert served(new), running.tail()
        second = daemon(services=[echo(free_port())])
        second.stop()
    finally:
        holder.communicate(timeout=20)


# ---------------------------------------------------------------- signals

def test_signals_that_mean_nothing(daemon):
    port = free_port()
    running = daemon(services=[echo(port), cat(free_port())], workers=1)
    with tcp(port) as kept:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE,
                       signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG,
                       signal.SIGCONT):
            running.signal(number)
            for role in running.roles("worker|launcher"):
                if number in (signal.SIGPIPE, signal.SIGCHLD,
                              signal.SIGWINCH, signal.SIGURG,
                              signal.SIGCONT):
                    kill(role, number)
        time.sleep(0.3)
        assert echoes(kept)
    running.check()


def test_signal_storm(daemon):
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    order = random.Random(5)
    with Load(port, 2, pause=0.002) as load:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            running.signal(order.choice([signal.SIGHUP, signal.SIGCHLD,
                                         signal.SIGUSR1, signal.SIGUSR2]))
            time.sleep(0.003)
    assert load.refused == [] and load.broken == []
    running.reload()
    assert served(port)


def test_sighup_of_a_terminal_does_not_stop_workers(daemon):
    # A closed terminal sends SIGHUP to the whole group: that is a reload.
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    with tcp(port) as kept:
        assert echoes(kept)
        os.killpg(running.pid, signal.SIGHUP)
        time.sleep(0.5)
        assert served(port)
        assert echoes(kept)


def test_sigint_of_a_terminal_is_a_clean_stop(daemon):
    # Ctrl-C reaches every process of the foreground group.
    port = free_port()
    running = daemon(services=[echo(port), cat(free_port())], workers=2)
    assert served(port)
    running.family()
    os.killpg(running.pid, signal.SIGINT)
    running.finish()


# ---------------------------------------------------------------- logs that block

def test_a_log_that_nobody_reads_blocks_nobody(work, daemon):
    """stderr is a pipe that is full: records are dropped, clients served."""
    port = free_port()
    path = work / "cabinetd.conf"
    path.write_text(config_text([echo(port, log={"connections": True})]))
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    process = subprocess.Popen([str(BINARY), "-c", str(path)],
                               stdin=subprocess.DEVNULL, stdout=writer,
                               stderr=writer, start_new_session=True,
                               env=base_environment())
    os.close(writer)
    try:
        def up():
            with contextlib.suppress(OSError):
                with tcp(port) as sock:
                    return echoes(sock)
        wait_until(up, "it serves", 20)
        for _ in range(300):
            assert served(port)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert served(port)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
        os.close(reader)


def test_a_log_whose_reader_has_gone(work):
    port = free_port()
    path = work / "cabinetd.conf"
    path.write_text(config_text([echo(port, log={"connections": True})]))
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen([str(BINARY), "-c", str(path)],
                               stdin=subprocess.DEVNULL, stdout=writer,
                               stderr=writer, start_new_session=True,
                               env=base_environment())
    os.close(writer)
    try:
        def up():
            with contextlib.suppress(OSError):
                with tcp(port) as sock:
                    return echoes(sock)
        wait_until(up, "it serves", 20)
        for _ in range(50):
            assert served(port)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def test_log_lines_are_whole(daemon):
    # Many roles write one stderr: no line is torn or mixed with another.
    port = free_port()
    running = daemon(services=[echo(port, log={"connections": True})],
                     workers=2)
    in_parallel([lambda: [served(port) for _ in range(50)]] * 8)
    time.sleep(0.3)
    heads = [line.split(" ")[0] for line in running.log().splitlines()]
    assert len(set(heads)) < 20, sorted(set(heads))[:30]


# ---------------------------------------------------------------- rest

def test_idle_daemon_is_idle(daemon):
    port = free_port()
    running = daemon(services=[echo(port), cat(free_port())], workers=2)
    with tcp(port) as sock:
        assert echoes(sock)
        roles = [Process(running.pid), *running.roles("worker|launcher")]
        before = sum(Process(p.pid).ticks for p in roles)
        time.sleep(1.5)
        assert sum(Process(p.pid).ticks for p in roles) - before < 8


def memory(processes):
    """Resident memory of the processes, in KiB."""
    return sum(int(p.status()["VmRSS"].split()[0]) for p in processes)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps freed memory")
def test_memory_does_not_grow(daemon):
    port, web, other = free_port(), free_port(), free_port()
    running = daemon(services=[
        echo(port), cat(other),
        {"name": "web", "protocol": "http", "listen": f"tcp://127.0.0.1:{web}",
         "http": {"routes": [{"path": "/x", "status": 200, "body": "x"}]}}],
        workers=2)
    roles = [Process(running.pid), *running.roles("worker|launcher")]

    def work(turns):
        def job():
            for _ in range(turns):
                assert served(port)
                with Http(tcp(web)) as link:
                    assert link.ask("/x").status == 200
                    assert link.ask("/y").status == 404
        in_parallel([job] * 8, 40)
        for _ in range(turns // 4):
            assert served(other)
            running.reload()
    work(100)
    before = memory(roles)
    work(400)
    assert memory(roles) - before < 512, "6,400 connections left something"


@pytest.mark.skipif(SANITIZED, reason="a sanitizer makes memory dear")
@pytest.mark.parametrize("protocol", ["echo", "http", "smtp"])
def test_idle_connections_are_cheap(daemon, protocol):
    """At most 1 KiB of user memory for each."""
    port = free_port()
    running = daemon(services=[{
        "name": "svc", "protocol": protocol,
        "listen": f"tcp://127.0.0.1:{port}",
        "limits": {"connections": 0, "per_source": 0}}], workers=2)
    talk = {"echo": b"x", "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "smtp": b"EHLO x\r\n"}[protocol]
    number = 4000
    with contextlib.ExitStack() as stack:
        def crowd(size):
            found = []
            for _ in range(size):
                sock = stack.enter_context(tcp(port))
                sock.sendall(talk)
                assert sock.recv(2000)
                found.append(sock)
            return found
        crowd(100)
        before = memory(running.workers())
        some = crowd(number)
        grown = memory(running.workers()) - before
        assert grown <= number, f"{grown} KiB for {number} connections"
        for sock in some[::400]:
            sock.sendall(talk)
            assert sock.recv(2000)


def test_hundreds_of_services(daemon):
    ports = [free_port() for _ in range(300)]
    running = daemon(services=[echo(port, f"s{port}") for port in ports],
                     workers=2)
    for port in ports[::20]:
        assert served(port)
    running.reload(services=[echo(port, f"s{port}") for port in ports[::2]])
    for port in ports[::20]:
        assert served(port)
    with pytest.raises(ConnectionRefusedError):
        tcp(ports[1])
    kill(running.workers()[0])
    wait_until(lambda: len(running.workers()) == 2, "a new worker", 20)
    for port in ports[::20]:
        assert served(port)


def test_a_second_daemon_on_the_same_config_takes_nothing(daemon, work):
    port = free_port()
    services = [{"name": "svc", "protocol": "echo",
                 "listen": [f"unix://{work}/s.sock",
                            f"tcp://127.0.0.1:{port}"]}]
    daemon(services=services)
    with pytest.raises(DaemonExited) as ended:
        daemon(services=services)
    assert ended.value.status == 1, ended.value.log
    assert served(port)
    with unix_stream(work / "s.sock") as sock:
        assert echoes(sock)


def test_restart_after_kill_9_on_the_same_unix_socket(daemon, work):
    services = [{"name": "svc", "protocol": "echo",
                 "listen": f"unix://{work}/s.sock"}]
    first = daemon(services=services)
    first.family()
    first.process.kill()
    first.process.wait(PATIENCE)
    first.status = -9
    wait_until(lambda: not first.leftovers(), "no role is left", 15)
    daemon(services=services)
    with unix_stream(work / "s.sock") as sock:
        assert echoes(sock)


def held_by_each(running, before):
    return [p.descriptors() - before[p.pid] for p in running.workers()]


@pytest.mark.parametrize("workers", [2, 4])
def test_held_connections_are_spread_over_the_workers(daemon, workers):
    """
    Each is served before the next one comes, so that no chance decides which
    of the workers is awake.
    """
    port = free_port()
    running = daemon(services=[echo(port, limits={"connections": 0,
                                                  "per_source": 0})],
                     workers=workers)
    before = {p.pid: p.descriptors() for p in running.workers()}
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            assert echoes(stack.enter_context(tcp(port)))
        held = held_by_each(running, before)
        assert sum(held) == 400
        share = 400 / workers
        assert max(held) <= 1.3 * share and min(held) >= 0.7 * share, held


def test_connections_that_end_at_once_are_spread_over_the_workers(daemon):
    """
    One worker steps back after 64. Which connections the other one gets is
    chance where the machine is busy; that it gets none of many is not.
    """
    port = free_port()
    running = daemon(services=[echo(port)], workers=2)
    before = {p.pid: p.descriptors() for p in running.workers()}
    with contextlib.ExitStack() as stack:
        for held in range(1, 31):
            stack.enter_context(tcp(port)).sendall(b"x")
            # The others have ended, but a worker closes later, several at once.
            wait_until(lambda n=held: sum(held_by_each(running, before)) == n,
                       "it has been accepted")
            if min(held_by_each(running, before)) > 0:
                return
            for _ in range(50):
                assert served(port)
        pytest.fail("one worker has got all of them")


def test_a_stopped_worker_gets_no_share(daemon):
    """New connections go to those that run, and not to one of them alone."""
    port = free_port()
    running = daemon(services=[echo(port, limits={"connections": 0,
                                                  "per_source": 0})],
                     workers=4)
    before = {p.pid: p.descriptors() for p in running.workers()}
    stopped = running.workers()[0]
    kill(stopped, signal.SIGSTOP)
    wait_until(lambda: Process(stopped.pid).state == "T", "it has stopped")
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(90):
                assert echoes(stack.enter_context(tcp(port, timeout=20)))
            held = [p.descriptors() - before[p.pid] for p in running.workers()
                    if p.pid in before and p.pid != stopped.pid]
            assert min(held) >= 20, held
    finally:
        with contextlib.suppress(ProcessLookupError):
            kill(stopped, signal.SIGCONT)


def test_reports_nothing_of_others(daemon):
    """Two daemons side by side, the same service names, no quarrel."""
    one, two = free_port(), free_port()
    first = daemon(services=[echo(one)])
    second = daemon(services=[echo(two)])
    first.stop()
    assert served(two)
    second.check()


def test_silent_listener_while_nobody_is_there(daemon):
    port = free_port()
    daemon(services=[echo(port, timeouts={"first_byte": "1h"})])
    with tcp(port) as sock:
        assert silent(sock, 0.3)
        assert echoes(sock)


def test_no_stray_children(daemon):
    running = daemon(services=[echo(free_port())], workers=1)
    for _ in range(3):
        running.reload()
    wait_until(lambda: len(descendants(running.pid)) == 2,
               f"one worker, one launcher: {descendants(running.pid)}")


def test_a_wait_service_may_become_a_protocol(daemon):
    """Its program may leave the socket blocking; no worker may block on it."""
    port, other = free_port(), free_port()
    accept_one = ("import socket; s = socket.socket(fileno=0); s.setblocking(True);"
                  "c, _ = s.accept(); c.sendall(c.recv(9)); c.close()")
    taker = {"name": "taker", "listen": f"tcp://127.0.0.1:{port}",
             "exec": {"program": "/usr/bin/python3", "args": ["-c", accept_one],
                      "wait": True}}
    running = daemon(services=[taker, echo(other, "other")], workers=2)
    with tcp(port) as sock:
        sock.sendall(b"hello")
        assert sock.recv(5) == b"hello"
    running.reload(services=[echo(port, "taker"), echo(other, "other")])
    for _ in range(20):
        assert served(port)
        assert served(other)


def test_pipelined_files_hold_one_descriptor(daemon, work):
    """A peer that asks for a hundred files and reads none costs one each time."""
    if not ROOT:
        pytest.skip("the workers' descriptors are not ours to count")
    root = work / "www"
    root.mkdir()
    root.chmod(0o755)
    (root / "big").write_bytes(b"x" * (1 << 20))
    (root / "big").chmod(0o644)
    port = free_port()
    running = daemon(services=[{"name": "web", "protocol": "http",
                                "listen": f"tcp://127.0.0.1:{port}",
                                "http": {"root": str(root)}}], workers=1)
    worker, = running.workers()
    before = worker.descriptors()
    with tcp(port) as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        assert sock.recv(12) == b"HTTP/1.1 200"
        assert worker.descriptors() <= before + 3
