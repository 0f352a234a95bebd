# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs the real daemon for the functional tests and talks to it.

Daemon starts the program in the foreground, waits until it has told its
notify socket that it serves, and when it ends judges it: exit status 0, no
process left, no sanitizer report and no raw control byte in its log.  The rest
are small clients and probes of /proc.  Everything has a bound in time; nothing
leaves the loopback.
"""

import atexit
import contextlib
import ctypes
import errno
import itertools
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

ROOT = os.geteuid() == 0
REPO = Path(__file__).resolve().parents[2]
UNPRIVILEGED = "nobody"
PATIENCE = 10           # seconds a client waits for an answer before it fails
LIVE = []               # daemons running now, for failure reports

SANITIZER_MARKS = ("ERROR: AddressSanitizer", "runtime error:",
                   "LeakSanitizer", "ERROR: MemorySanitizer",
                   "AddressSanitizer:DEADLYSIGNAL", "ThreadSanitizer")

needs_root = pytest.mark.skipif(
    not ROOT, reason="only root may do this (bind low ports, switch users)")


def find_binary():
    named = os.environ.get("CABINETD")
    if named:
        return Path(named).resolve() if os.access(named, os.X_OK) else None
    for place in ("build/test/sanitized/cabinetd", "build/test/cabinetd",
                  "build/cabinetd", "cabinetd"):
        path = REPO / place
        if path.is_file() and os.access(path, os.X_OK):
            return path.resolve()
    return None


def remove_own(place, owner):
    """A forked child that ends early must not take it from the tests."""
    if os.getpid() == owner:
        shutil.rmtree(place, ignore_errors=True)


def reachable(binary):
    """The programs where a plain user can run them, which is not below /root."""
    if binary is None or os.getuid() != 0 or all(
            parent.stat().st_mode & 0o001 for parent in binary.parents):
        return binary
    place = Path(tempfile.mkdtemp(prefix="cabb-"))
    atexit.register(remove_own, place, os.getpid())
    place.chmod(0o755)
    for name in ("cabinetctl", binary.name):
        if (binary.parent / name).exists():
            shutil.copy(binary.parent / name, place / name)
    return place / binary.name


BINARY = reachable(find_binary())
SANITIZED = BINARY is not None and b"__asan_init" in BINARY.read_bytes()


def become_subreaper():
    """Orphans of a daemon come to us, where they can be seen and ended."""
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None,
                              reason=f"{program} is not installed")


def wait_until(probe, what, timeout=PATIENCE, pause=0.02):
    """Calls probe until it returns something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(pause)


# ---------------------------------------------------------------- ports

def _port_is_free(port):
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6,
                                     socket.IPV6_V6ONLY, 1)
                try:
                    probe.bind((host, port))
                except OSError:
                    return False
    return True


# Below the range that outgoing connections take their ports from.
_candidates = itertools.cycle(
    random.SystemRandom().sample(range(20000, 32000), 12000))


def free_port():
    for port in itertools.islice(_candidates, 2000):
        if _port_is_free(port):
            return port
    raise AssertionError("no free port")


# ---------------------------------------------------------------- config text

class Raw(str):
    """Text that goes into the config as it stands."""


def lc(value):
    """A Python value as libconfig text."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (str, Path)):
        text = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return '"' + text.replace("\n", "\\n").replace("\t", "\\t") \
            .replace("\r", "\\r") + '"'
    if isinstance(value, dict):
        return "{ " + " ".join(f"{k} = {lc(v)};" for k, v in value.items()) \
            + " }"
    return "( " + ", ".join(lc(item) for item in value) + " )"


def config_text(services, top=None):
    """A whole config file.  Each service stands on one line of its own."""
    lines = []
    top = dict(top or {})
    if ROOT:
        top.setdefault("user", UNPRIVILEGED)
    for key, value in top.items():
        if value is not None:
            lines.append(f"{key} = {lc(value)};")
    lines.append("services = (")
    lines.append(",\n".join("  " + lc(service) for service in services))
    lines.append(");")
    return "\n".join(lines) + "\n"


def program(path, *args, **more):
    """The exec group of a service, with the user that root has to name."""
    group = {"program": path}
    if args:
        group["args"] = list(args)
    if ROOT:
        group["user"] = UNPRIVILEGED
    group.update(more)
    return group


def base_environment():
    keep = ("PATH", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
            "LLVM_PROFILE_FILE", "LD_LIBRARY_PATH")
    env = {k: os.environ[k] for k in keep if k in os.environ}
    env.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    env["TZ"] = "UTC"
    return env


def run_binary(*args, timeout=30, env=None, **kwargs):
    """Runs the binary to its end; output of both streams as text."""
    result = subprocess.run(
        [str(BINARY), *map(str, args)], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
        env=env or base_environment(), **kwargs)
    result.out = result.stdout.decode("utf-8", "replace")
    result.err = result.stderr.decode("utf-8", "replace")
    result.all = result.out + result.err
    for mark in SANITIZER_MARKS:
        assert mark not in result.all, result.all
    return result


def run_check(path, **kwargs):
    return run_binary("-c", path, "--check", **kwargs)


# ---------------------------------------------------------------- processes

class Process:
    """One process as /proc shows it; pid and start time name it for good."""

    def __init__(self, pid):
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        fields = stat[stat.rindex(b")") + 2:].split()
        self.pid = pid
        self.state = fields[0].decode()
        self.ppid = int(fields[1])
        self.session = int(fields[3])
        self.ticks = int(fields[11]) + int(fields[12])
        self.started = int(fields[19])
        self.title = Path(f"/proc/{pid}/cmdline").read_bytes() \
            .replace(b"\0", b" ").decode("utf-8", "replace").strip()

    def __repr__(self):
        return f"<{self.pid} {self.state} ppid={self.ppid} {self.title!r}>"

    def alive(self):
        try:
            now = Process(self.pid)
        except (OSError, ValueError):
            return False
        return now.started == self.started and now.state not in "ZX"

    def status(self):
        text = Path(f"/proc/{self.pid}/status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines()
                    if ":\t" in line)

    def descriptors(self):
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        except PermissionError:
            pytest.skip("the role's descriptors are not ours to count")


def all_processes():
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found.append(Process(int(entry)))
            except (OSError, ValueError):
                pass
    return found


def descendants(pid):
    """Every process below pid, zombies included."""
    children = {}
    for process in all_processes():
        children.setdefault(process.ppid, []).append(process)
    found, queue = [], [pid]
    while queue:
        for child in children.get(queue.pop(), ()):
            found.append(child)
            queue.append(child.pid)
    return found


# ---------------------------------------------------------------- daemon

class DaemonExited(AssertionError):
    """The daemon ended before it served."""

    def __init__(self, status, log):
        super().__init__(f"ended with {status} before READY=1:\n{log}")
        self.status = status
        self.log = log


class Daemon:
    """
    The daemon under test.

    services, top   the config as Python values (see config_text), or
    config          the config as text
    files           more files below the work directory: {name: text}
    plain           start it as an unprivileged user although we are root
    env             variables to add
    wait            False: do not wait until it serves
    """

    _serial = itertools.count()

    def __init__(self, services=None, config=None, work=None, files=None,
                 plain=False, env=None, preexec=None, pass_fds=(), args=(),
                 wait=True, name=None, timeout=30, **top):
        self.work = Path(work)
        self.plain = plain
        serial = next(Daemon._serial)
        self.label = f"daemon {serial}"
        self.config = self.work / (name or f"cabinetd{serial}.conf")
        self.timeout = timeout
        self.notes = []
        self._hearing = threading.Lock()
        self.seen = {}
        self.status = None
        # Never the place of a daemon that serves this machine.
        self.control = self.work / f"control{serial}.sock"
        self._top = {"control": None if plain else self.control, **top}
        for extra, text in (files or {}).items():
            path = self.work / extra
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o644)
        self.write(services, config)
        self.log_path = self.work / f"log{serial}"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify_name = f"cabinetd-test-{os.getpid()}-{serial}"
        self._notify.bind("\0" + notify_name)
        environment = base_environment()
        environment["NOTIFY_SOCKET"] = "@" + notify_name
        environment.update(env or {})
        who = {}
        if plain and ROOT:
            who = {"user": UNPRIVILEGED, "group": "nogroup",
                   "extra_groups": []}
        self._start([str(BINARY), "-c", str(self.config), *args],
                    env=environment, preexec_fn=preexec, pass_fds=pass_fds,
                    **who)
        LIVE.append(self)
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self.destroy()
                raise

    def _start(self, command, **more):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd="/", **more)
        self.pid = self.process.pid

    # -- config

    def write(self, services=None, config=None, **top):
        """Writes the config file, by rename as an editor would."""
        if config is None:
            config = config_text(services, {**self._top, **top})
        fresh = self.config.with_suffix(".new")
        fresh.write_text(config)
        fresh.chmod(0o644)
        fresh.rename(self.config)

    # -- readiness and notes

    def _drain_notes(self, wait):
        ready, _, _ = select.select([self._notify], [], [], wait)
        while ready:
            text = self._notify.recv(65536).decode("utf-8", "replace")
            self.notes.extend(text.splitlines())
            ready, _, _ = select.select([self._notify], [], [], 0)

    def hear(self):
        """Takes what it has to say: as systemd would, lest it has to wait."""
        with self._hearing:
            self._drain_notes(0)

    def wait_note(self, start, since=0, timeout=None):
        """Waits for a notify line that begins so; returns its index + 1."""
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            for index in range(since, len(self.notes)):
                if self.notes[index].startswith(start):
                    return index + 1
            if self.process.poll() is not None:
                self._drain_notes(0)
                if any(n.startswith(start) for n in self.notes[since:]):
                    continue
                self.status = self.process.returncode
                raise DaemonExited(self.status, self.log())
            if time.monotonic() > end:
                raise AssertionError(
                    f"no {start} in time; notes {self.notes}\n{self.tail()}")
            self._drain_notes(0.1)

    def wait_ready(self):
        self.wait_note("READY=1")

    def wait_exit(self, timeout=None):
        self.status = self.process.wait(timeout or self.timeout)
        return self.status

    # -- log

    def log(self):
        try:
            return self.log_path.read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])

    def mark(self):
        return len(self.log())

    def wait_log(self, pattern, since=0, timeout=PATIENCE):
        """Waits until a line of the log matches; returns the match."""
        expression = re.compile(pattern, re.I | re.M)
        return wait_until(lambda: expression.search(self.log(), since),
                          f"log line {pattern!r} in\n{self.log()[since:][-4000:]}",
                          timeout)

    def port_of(self, service, scheme="tcp", host=None):
        """The port that a listener of the service was given."""
        place = re.escape(host) if host else r"(?:\[[^\]]*\]|[^\s:\[\]]+)"
        expression = re.compile(rf"listening on {scheme}://{place}:(\d+)")

        def probe():
            for line in self.log().splitlines():
                found = expression.search(line)
                if found and service in line:
                    return int(found.group(1))
            return None
        return wait_until(probe, f"listening line of {service} {scheme} in\n"
                          + self.log())

    # -- processes

    def family(self):
        found = descendants(self.pid)
        for process in found:
            self.seen[(process.pid, process.started)] = process
        return found

    def roles(self, kind):
        """Live role processes of one kind: worker, launcher, config."""
        return [p for p in self.family()
                if re.match(rf"cabinetd: {kind}\b", p.title)
                and p.state not in "ZX"]

    def workers(self):
        return sorted(self.roles("worker"), key=lambda p: p.title)

    def launcher(self):
        found = self.roles("launcher")
        assert len(found) == 1, found
        return found[0]

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, services=None, config=None, **top):
        """Writes a config if one is given, reloads, waits for the verdict."""
        if services is not None or config is not None:
            self.write(services, config, **top)
        since = len(self.notes)
        self._drain_notes(0)
        since = len(self.notes)
        self.signal(signal.SIGHUP)
        since = self.wait_note("RELOADING=1", since)
        return self.wait_note("READY=1", since)

    # -- the end

    def check(self):
        """The daemon is up and no sanitizer has complained."""
        assert self.process.poll() is None, \
            f"{self.label} ended with {self.process.returncode}:\n{self.tail()}"
        self.judge_log()

    def judge_log(self):
        text = self.log()
        for mark in SANITIZER_MARKS:
            if mark in text:
                at = max(0, text.index(mark) - 500)
                raise AssertionError(
                    f"a sanitizer complains:\n{text[at:at + 8000]}")
        raw = self.log_path.read_bytes()
        wild = re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", raw)
        assert wild is None, \
            f"raw control byte in the log: {raw[max(0, wild.start() - 80):wild.end() + 80]!r}"

    def leftovers(self):
        """Processes of ours that still run."""
        found = {(p.pid, p.started): p for p in all_processes()
                 if p.session == self.pid and p.state not in "ZX"
                 and p.pid != self.pid}
        for key, process in self.seen.items():
            if process.alive():
                found[key] = process
        return list(found.values())

    def finish(self, status=0, timeout=None):
        """After the daemon was told to end: exit status, leftovers, log."""
        try:
            code = self.wait_exit(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.label} does not end; family {self.family()}\n"
                + self.tail()) from None
        self.judge_log()
        if status is not None:
            assert code == status, f"exit status {code}:\n{self.tail()}"
        wait_until(lambda: not self.leftovers(),
                   f"no process left of {self.seen.values()}", 5)

    def stop(self, status=0):
        if self.process.poll() is None:
            self.family()
            self.signal(signal.SIGTERM)
        self.finish(status)
        self.destroy()

    def destroy(self):
        """Ends everything by force, judging nothing."""
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.family()
            self.process.kill()
            self.process.wait(10)
        for process in self.leftovers():
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
        for process in self.seen.values():
            with contextlib.suppress(OSError):
                os.waitpid(process.pid, os.WNOHANG)
        self._notify.close()
        if self in LIVE:
            LIVE.remove(self)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self not in LIVE:
            return
        try:
            if kind is None and self.status is None:
                self.stop()
        finally:
            self.destroy()


@contextlib.contextmanager
def unharmed(daemon):
    """No worker and no launcher of the daemon dies inside this block."""
    before = {p.pid for p in daemon.roles("worker|launcher")}
    yield daemon
    daemon.check()
    after = {p.pid for p in daemon.roles("worker|launcher")}
    assert before <= after, \
        f"role processes died: {before - after}\n{daemon.log()[-4000:]}"


# ---------------------------------------------------------------- clients

def tcp(port, host="127.0.0.1", source=None, timeout=PATIENCE):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        if source is not None:
            address = source if isinstance(source, tuple) else (source, 0)
            if address[1]:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # bind, no port yet
            sock.bind(address)
        sock.connect((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def unix_stream(path, timeout=PATIENCE):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(unix_name(path))
    except BaseException:
        sock.close()
        raise
    return sock


def unix_name(path):
    text = str(path)
    return "\0" + text[1:] if text.startswith("@") else text


def udp(port, host="127.0.0.1", source=None, timeout=PATIENCE):
    """A connected datagram socket: it takes answers of that address only."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    try:
        if source is not None:
            address = source if isinstance(source, tuple) else (source, 0)
            sock.bind(address)
        sock.connect((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def receive(sock, size):
    """Exactly size bytes."""
    parts, missing = [], size
    while missing:
        part = sock.recv(min(missing, 1 << 20))
        if not part:
            raise AssertionError(
                f"end of stream after {size - missing} of {size} bytes")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def receive_all(sock, reset_ok=False):
    """Everything up to the end of the stream; a time-out is a failure."""
    parts = []
    while True:
        try:
            part = sock.recv(1 << 16)
        except TimeoutError:
            raise AssertionError(
                f"peer did not close; so far {b''.join(parts)[:2000]!r}") \
                from None
        except ConnectionResetError:
            if reset_ok:
                return b"".join(parts)
            raise AssertionError(
                f"reset after {b''.join(parts)[:2000]!r}") from None
        if not part:
            return b"".join(parts)
        parts.append(part)


def is_refused(sock):
    """The daemon closes this connection without a byte."""
    return receive_all(sock, reset_ok=True) == b""


def silent(sock, seconds=0.5):
    """Nothing arrives, not even an end of stream, for so long."""
    ready, _, _ = select.select([sock], [], [], seconds)
    return not ready


def reset(sock):
    """Closes with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


def echoes(sock, text=b"ping"):
    """The echo service at the other end answers."""
    sock.sendall(text)
    return receive(sock, len(text)) == text


def push(sock, data):
    """Sends in the background; returns the thread."""
    def run():
        with contextlib.suppress(OSError):
            sock.sendall(data)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def in_parallel(jobs, timeout=PATIENCE * 3):
    """Runs callables in threads of their own; re-raises the first failure."""
    faults = []

    def guard(job):
        try:
            job()
        except BaseException as fault:  # noqa: B902 - handed to the test
            faults.append(fault)
    threads = [threading.Thread(target=guard, args=(job,), daemon=True)
               for job in jobs]
    for thread in threads:
        thread.start()
    end = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.01, end - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), "a job hangs"
    if faults:
        raise faults[0]


def is_transient(fault):
    """A fault that a client sees when the other end drops its connection."""
    return isinstance(fault, (ConnectionResetError, BrokenPipeError)) or \
        getattr(fault, "errno", None) in (errno.ECONNRESET, errno.EPIPE)


# ---------------------------------------------------------------- HTTP

class Reply:
    """One HTTP response."""

    def __init__(self, status, reason, headers, body, version):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.version = version

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands twice: {self.headers}"
        return values[0] if values else default


class Http:
    """A client that sends what it is given and reads strictly."""

    def __init__(self, sock):
        self.sock = sock
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        part = self.sock.recv(1 << 16)
        if not part:
            raise EOFError(f"end of stream after {self.pending[:500]!r}")
        self.pending += part

    def reply(self, method="GET"):
        """Reads one response, framing checked to the letter."""
        while b"\r\n\r\n" not in self.pending:
            self._more()
        head, _, self.pending = self.pending.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/(1\.[01]) (\d{3})(?: ([\t -~]*))?",
                             lines[0])
        assert found, f"status line {lines[0]!r}"
        headers = []
        for line in lines[1:]:
            assert "\n" not in line and "\r" not in line, f"bare CR, LF {line!r}"
            named = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)"
                                 r"[ \t]*", line)
            assert named, f"header line {line!r}"
            headers.append((named.group(1), named.group(2)))
        reply = Reply(int(found.group(2)), found.group(3), headers, b"",
                      found.group(1))
        if method == "HEAD" or reply.status in (204, 304) \
                or 100 <= reply.status < 200:
            return reply
        coding = reply.get("Transfer-Encoding")
        length = reply.get("Content-Length")
        assert coding is None, f"chunked reply to a plain file: {reply}"
        if length is None:
            assert "close" in (reply.get("Connection") or "").lower() \
                or reply.version == "1.0", f"no framing: {reply}"
            while True:
                try:
                    self._more()
                except EOFError:
                    break
            reply.body, self.pending = self.pending, b""
            return reply
        assert re.fullmatch(r"\d+", length), length
        size = int(length)
        missing = size - len(self.pending)
        if missing > 0:
            self.pending += receive(self.sock, missing)
        reply.body, self.pending = self.pending[:size], self.pending[size:]
        return reply

    def ask(self, target="/", method="GET", headers=(), host="test",
            version="1.1", body=b""):
        text = f"{method} {target} HTTP/{version}\r\n"
        if host is not None:
            text += f"Host: {host}\r\n"
        for key, value in headers:
            text += f"{key}: {value}\r\n"
        self.send(text.encode("latin-1") + b"\r\n" + body)
        return self.reply(method)

    def closed(self):
        """The server ends the stream and sends nothing more."""
        rest = self.pending + receive_all(self.sock, reset_ok=True)
        assert rest == b"", f"more after the last reply: {rest[:500]!r}"
        return True

    def open(self):
        """The connection still answers."""
        return self.ask("/healthz").status == 200


def http(port, **kwargs):
    return Http(tcp(port, **kwargs))


# ---------------------------------------------------------------- SMTP

class Smtp:
    """A client that sends what it is given and reads replies strictly."""

    def __init__(self, sock, greet=True):
        self.sock = sock
        self.pending = b""
        if greet:
            self.greeting = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        while b"\n" not in self.pending:
            part = self.sock.recv(1 << 16)
            if not part:
                raise EOFError(f"end of stream after {self.pending!r}")
            self.pending += part
        line, _, self.pending = self.pending.partition(b"\n")
        assert line.endswith(b"\r"), f"line not ended by CRLF: {line!r}"
        assert len(line) <= 511, f"reply line over 512 octets: {line!r}"
        return line[:-1]

    def reply(self):
        """One reply: (code, [text of each line])."""
        texts, code = [], None
        while True:
            line = self.line()
            found = re.fullmatch(rb"([2-5][0-5][0-9])([- ]|$)(.*)", line)
            assert found, f"not a reply line: {line!r}"
            assert code in (None, int(found.group(1))), "codes differ"
            code = int(found.group(1))
            texts.append(found.group(3).decode("utf-8"))
            if found.group(2) != b"-":
                return code, texts

    def ask(self, line):
        if isinstance(line, str):
            line = line.encode("utf-8")
        self.send(line + b"\r\n")
        return self.reply()

    def code(self, line):
        return self.ask(line)[0]

    def closed(self):
        rest = self.pending + receive_all(self.sock, reset_ok=True)
        assert rest == b"", f"more after the last reply: {rest[:500]!r}"
        return True

    def replies_to_end(self):
        """Every reply up to the end of the stream."""
        found = []
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                found.append(self.reply())
        assert self.pending == b"", f"half a reply: {self.pending!r}"
        return found


def smtp(port, greet=True, **kwargs):
    return Smtp(tcp(port, **kwargs), greet)
