# SPDX-License-Identifier: GPL-2.0-or-later
"""
A machine to test on: real systemd, booted by systemd-nspawn from an overlay of
this machine's root directory, with its own network that has a loopback only.

Machine installs the daemon there, boots, and runs commands inside.  Load runs
the load client of this folder inside and reads what it counts.  The rest are
small helpers around systemctl and journalctl.  Everything has a bound in time.
Nothing outside the machine is changed, and nothing of it stays (see keeper).
"""

import contextlib
import ctypes
import json
import os
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
PATIENCE = 30
MIRROR = "/run/cabinetd-test"       # files of the tests, inside the machine


class Refused(Exception):
    """This computer cannot run such a machine; the text says why."""


def wait_until(probe, what, timeout=PATIENCE, pause=0.05):
    """Calls probe until it returns something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {timeout} s: {text}")
        time.sleep(pause)


def status_of(pid):
    text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    return dict(line.split(":\t", 1) for line in text.splitlines()
                if ":\t" in line)


class Result:
    """What a command did: exit status, output and error output as text."""

    def __init__(self, done, command):
        self.command = command
        self.status = done.returncode
        self.out = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")
        self.all = self.out + self.err

    def __repr__(self):
        return f"{' '.join(self.command)}: {self.status}\n{self.all[-4000:]}"


class Machine:
    """The booted machine; a context manager."""

    def __init__(self, build):
        self.build = Path(build)
        self.leader = None
        self._keeper = None
        self._directory = None

    # -- life

    def __enter__(self):
        try:
            self._mount()
            self._prepare()
            self._install()
            self._boot()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        if self._keeper is None:
            return
        with contextlib.suppress(OSError):
            self._keeper.stdin.close()
        try:
            self._keeper.wait(60)
        except subprocess.TimeoutExpired:
            # unshare takes process 1 of the namespace, and all of it, along.
            self._keeper.kill()
            self._keeper.wait(10)
        self._keeper.stdout.close()
        with contextlib.suppress(OSError):
            os.rmdir(self._directory)
        self._keeper = self.leader = None

    def _say(self, timeout):
        ready, _, _ = select.select([self._keeper.stdout], [], [], timeout)
        line = self._keeper.stdout.readline().strip() if ready else ""
        if line.startswith("refused "):
            raise Refused(line[8:])
        assert line, "the keeper says nothing"
        return line

    def _mount(self):
        self._directory = tempfile.mkdtemp(prefix="cabinetd-system-")
        os.chmod(self._directory, 0o755)
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "--pid",
             "--fork", "--kill-child", "--mount-proc",
             "/usr/bin/python3", str(HERE / "keeper"), self._directory],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True, text=True, cwd="/")
        try:
            self._say(PATIENCE)
        except AssertionError:
            raise Refused("no namespaces can be made here (unshare)") from None
        children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}"
                        "/children").read_text().split()
        self._init = int(children[0])
        # Seen from here, without entering the namespace.
        self.root = Path(f"/proc/{self._init}/root{self._directory}/root")

    def _prepare(self):
        etc = self.root / "etc"
        (etc / "machine-id").write_text(secrets.token_hex(16) + "\n")
        (etc / "hostname").write_text("cabinetd-test\n")
        (etc / "fstab").write_text("")
        self._write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        for path in list(etc.glob("cabinetd*")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name in ("passwd", "group", "shadow", "gshadow"):
            path = etc / name
            if path.exists():
                lines = path.read_text().splitlines(keepends=True)
                path.write_text("".join(line for line in lines
                                        if not line.startswith("cabinetd:")))
        # Nothing that this machine has switched on starts in the other one.
        units = etc / "systemd/system"
        for pattern in ("*.wants", "*.requires", "*.d", "cabinetd*"):
            for path in list(units.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name in ("systemd-firstboot", "systemd-timesyncd",
                     "systemd-pstore", "systemd-resolved", "systemd-hwdb-update",
                     "systemd-journal-catalog-update", "ldconfig"):
            link = units / f"{name}.service"
            with contextlib.suppress(FileNotFoundError):
                link.unlink()
            link.symlink_to("/dev/null")
        self._write("/etc/systemd/system/rig.target",
                    "[Unit]\nDescription=Machine under test\n"
                    "Requires=sysinit.target\nAfter=sysinit.target\n"
                    "AllowIsolate=yes\n")
        self._write("/etc/systemd/journald.conf.d/rig.conf",
                    "[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n"
                    "RuntimeMaxUse=512M\nForwardToSyslog=no\n")
        self._write("/etc/cabinetd.conf", "services = ( );\n")

    def _install(self):
        done = subprocess.run(
            ["nsenter", f"--target={self._init}", "--mount", "--pid", "--",
             "make", "-C", str(self.build), "-s", "install",
             f"DESTDIR={self._directory}/root"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=600, check=False)
        text = done.stdout.decode("utf-8", "replace")
        assert done.returncode == 0, f"make install failed:\n{text[-6000:]}"
        self.put("/usr/local/bin/cabinetd-load",
                 (self.build / "tests/system/client").read_bytes(), 0o755)

    def _boot(self):
        self._keeper.stdin.write("boot\n")
        self._keeper.stdin.flush()
        word, inner = self._say(PATIENCE).split()
        assert word == "booting", word
        self.leader = wait_until(
            lambda: self._find_leader(int(inner)),
            lambda: "the machine starts:\n" + self.console())
        wait_until(lambda: self.run("systemctl", "is-active", "rig.target",
                                    check=False).out.strip() == "active",
                   lambda: "the machine boots:\n" + self.console()[-4000:],
                   timeout=120, pause=0.2)

    def _find_leader(self, nspawn):
        """The machine's process 1 as we see it: three namespaces deep."""
        gone = True
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                status = status_of(entry)
            except (OSError, ValueError):
                continue
            inside = status["NSpid"].split()[1:]
            if inside == [str(nspawn)] and "nspawn" in status["Name"]:
                gone = False
            if len(inside) == 2 and inside[1] == "1" and \
                    status["Name"] == "systemd" and \
                    self._is_ours(int(status["PPid"])):
                return int(entry)
        if gone:
            raise Refused("systemd-nspawn ends: " + self.console()[-300:])
        return None

    def _is_ours(self, pid):
        while pid > 1:
            if pid == self._init:
                return True
            pid = int(status_of(pid)["PPid"])
        return False

    def console(self):
        """What systemd and systemd-nspawn have said."""
        path = Path(f"/proc/{self._init}/root{self._directory}/console")
        return path.read_text("utf-8", "replace")

    # -- inside

    def _command(self, command):
        return ["nsenter", f"--target={self.leader}", "--all", "--wd=/",
                "--", "env", "-i", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
                "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                *map(str, command)]

    def run(self, *command, check=True, timeout=PATIENCE * 2, stdin=None):
        """Runs a command inside to its end; without check, any status does."""
        done = subprocess.run(
            self._command(command), input=stdin or b"", timeout=timeout,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        result = Result(done, [str(word) for word in command])
        if check:
            assert result.status == 0, result
        return result

    def start(self, *command, **kwargs):
        """Starts a command inside, which ends with the Popen returned."""
        # What is killed is nsenter; the command is its child.
        return subprocess.Popen(
            self._command(["setpriv", "--pdeathsig", "KILL", *command]),
            **kwargs)

    def put(self, path, data, mode=0o644):
        """Writes a file inside, by rename as an editor would."""
        self._write(path, data, mode)

    def _write(self, path, data, mode=0o644):
        # The machine has mounts of its own; before it boots there is the tree.
        base = f"/proc/{self.leader}/root" if self.leader else str(self.root)
        target = Path(base + str(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.new")
        fresh.write_bytes(data if isinstance(data, bytes) else data.encode())
        fresh.chmod(mode)
        fresh.rename(target)

    def get(self, path):
        return Path(f"/proc/{self.leader}/root{path}").read_bytes()

    def remove(self, path):
        target = Path(f"/proc/{self.leader}/root{path}")
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    # -- systemd

    def systemctl(self, *words, check=True, timeout=120):
        return self.run("systemctl", *words, check=check, timeout=timeout)

    def show(self, unit, *names):
        """Properties of a unit; one name gives its text, several a dict."""
        text = self.systemctl("show", unit, "--property=" + ",".join(names)).out
        found = dict(line.split("=", 1) for line in text.splitlines() if line)
        return found.get(names[0], "") if len(names) == 1 else found

    def is_active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def processes(self, unit):
        """{pid as seen here: title} of everything in the unit's cgroup."""
        group = self.show(unit, "ControlGroup")
        found = {}
        if not group:
            return found
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                lines = Path(f"/proc/{entry}/cgroup").read_text()
                title = Path(f"/proc/{entry}/cmdline").read_bytes()
                state = status_of(entry)["State"][0]
            except (OSError, KeyError):
                continue
            if re.search(re.escape(group) + r"(/|$)", lines, re.M) and \
                    self._inside(entry) and state not in "ZX":
                found[int(entry)] = title.replace(b"\0", b" ") \
                    .decode("utf-8", "replace").strip()
        return found

    def _inside(self, pid):
        """True for a process of this machine, false for another one's."""
        try:
            return os.readlink(f"/proc/{pid}/ns/cgroup") == \
                os.readlink(f"/proc/{self.leader}/ns/cgroup")
        except OSError:
            return False

    def roles(self, unit, kind):
        """Pids, as seen here, of the unit's workers, launcher, supervisor."""
        return sorted(pid for pid, title in self.processes(unit).items()
                      if re.match(rf"cabinetd: {kind}\b", title))

    def supervisor(self, unit):
        """The main process of the unit, as seen here."""
        inner = self.show(unit, "MainPID")
        assert inner != "0", f"{unit} does not run"
        return self.outer(inner)

    def outer(self, inner):
        """The pid that we see for one that the machine sees."""
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    numbers = status_of(entry)["NSpid"].split()
                    if len(numbers) == 3 and numbers[2] == str(inner) and \
                            self._inside(entry):
                        return int(entry)
                except (OSError, KeyError):
                    pass
        raise AssertionError(f"no process {inner} inside")

    # -- journal

    def cursor(self):
        """A place in the journal, to look at what comes after it."""
        self.run("journalctl", "--sync")
        out = self.run("journalctl", "-n", "0", "--show-cursor", "-q").out
        return out.strip().removeprefix("-- cursor: ")

    def records(self, since=None, match=None):
        """
        The journal's records as dicts, oldest first.  Not both at once:
        journalctl skips the first match after a cursor that does not match.
        """
        assert since is None or match is None
        self.run("journalctl", "--sync")
        words = ["journalctl", "-q", "-o", "json", "--all", "--no-pager"]
        if since:
            words.append(f"--after-cursor={since}")
        if match:
            words.append(match)
        out = self.run(*words, timeout=120).out
        return [json.loads(line) for line in out.splitlines()]

    def log(self, unit, since=None):
        """The messages of a unit and what systemd says about it, as text."""
        words = ["journalctl", "-q", "--no-pager", "-o", "short-monotonic"]
        if since:
            words.append(f"--after-cursor={since}")
        self.run("journalctl", "--sync", check=False)
        return self.run(*words, "-u", unit, timeout=120).out

    def wait_message(self, unit, pattern, since=None, timeout=PATIENCE):
        expression = re.compile(pattern, re.M)
        return wait_until(lambda: expression.search(self.log(unit, since)),
                          lambda: f"{pattern!r} in the journal:\n"
                          + self.log(unit, since)[-4000:], timeout, 0.2)


def other_build(build, name, edits):
    """
    Builds the daemon of another version, from this source with some edits
    (file: (pattern, replacement)); the directory with its programs.  It is kept
    beside the build it is derived from, so that only changes are made anew.
    """
    home = Path(build) / "tests/system/other" / name
    source, tree = home / "source", home / "build"
    edits = {"configure": (r"(PACKAGE_VERSION='[^']+)'", rf"\1+{name}'"),
             **edits}
    for folder, folders, files in os.walk(REPO):
        here = Path(folder).relative_to(REPO)
        folders[:] = [f for f in folders if not f.startswith(".")
                      and f not in ("build", "autom4te.cache")]
        (source / here).mkdir(parents=True, exist_ok=True)
        for file in files:
            _update(REPO / here / file, source / here / file,
                    edits.get(str(here / file)))
    config = subprocess.run([Path(build) / "config.status", "--config"],
                            stdout=subprocess.PIPE, check=True, text=True)
    tree.mkdir(exist_ok=True)
    done = subprocess.run(
        ["sh", "-c", f'[ -e Makefile ] || {source}/configure -q '
         f'{config.stdout.strip()} && make -s -j"$(nproc)" cabinetd'],
        cwd=tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    return tree


def _update(source, target, edit):
    """Copies a file, edited, unless the copy is there and the same."""
    data = source.read_bytes()
    if edit:
        text, n = re.subn(edit[0], edit[1], data.decode())
        assert n, f"{source}: no {edit[0]}"
        data = text.encode()
    if not target.exists() or target.read_bytes() != data:
        target.write_bytes(data)
        shutil.copystat(source, target)
        if edit:
            os.utime(target)


class Load:
    """
    The load client, at work inside the machine.

    targets   words MODE:ADDRESS:PORT:CONNECTIONS, see client.c
    Use as a context manager; stop() ends it and returns the report.
    """

    def __init__(self, machine, *targets, requests=0, seconds=0, sources=1):
        self.machine = machine
        self.done = 0               # requests answered so far
        self.failed = 0
        self.report = None
        self.failures = []          # one dict each, the first few thousand
        self._text = []
        words = ["cabinetd-load", f"--sources={sources}"]
        if requests:
            words.append(f"--requests={requests}")
        if seconds:
            words.append(f"--seconds={seconds}")
        self._process = machine.start(*words, *targets, text=True,
                                      stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._process.stdout:
            try:
                found = json.loads(line)
            except ValueError:
                self._text.append(line)
                continue
            if "kind" in found:
                self.failures.append(found)
            elif "final" in found:
                self.report = found
            self.done = found.get("ok", self.done)
            self.failed = found.get("failed", self.failed)

    def __enter__(self):
        self.flow(1)
        return self

    def __exit__(self, kind, value, trace):
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        self._thread.join(10)

    def flow(self, more=200, timeout=PATIENCE):
        """Waits until so many more requests have been answered or failed."""
        goal = self.done + self.failed + more

        def enough():
            if self._process.poll() is not None:
                assert self._process.returncode == 0, "".join(self._text)
                return True
            return self.done + self.failed >= goal
        wait_until(enough, lambda: f"{more} more requests; {self.done} done, "
                   f"{self.failed} failed {self.failures[:5]} {self._text}",
                   timeout, 0.01)

    def running(self):
        return self._process.poll() is None

    def stop(self):
        """Lets exchanges under way finish; the totals."""
        self.__exit__(None, None, None)
        assert self.report is not None, \
            f"no report from the load client: {self._text}"
        return self.report

    def assert_clean(self):
        """Stops, and demands that not one request has failed."""
        report = self.stop()
        assert report["ok"] > 0, report
        assert report["failed"] == 0, f"{report}\n{self.failures[:20]}"
        return report


def inside(machine, what):
    """Calls what in a thread that is in the machine's network; its result."""
    found = []

    def enter():
        with open(f"/proc/{machine.leader}/ns/net", "rb") as net:
            if ctypes.CDLL(None, use_errno=True).setns(net.fileno(), 0) == 0:
                found.append(what())
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found, os.strerror(ctypes.get_errno())
    return found[0]


class Held:
    """
    One TCP connection from inside the machine, open until it is closed.

    say() sends a line and returns the one that comes back, "" if the server
    has closed instead.
    """

    def __init__(self, machine, port, address="127.0.0.1"):
        self._socket = inside(machine, lambda: socket.create_connection(
            (address, port), PATIENCE))
        self._stream = self._socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self._stream.close()
        self._socket.close()

    def send(self, text):
        self._socket.sendall(text.encode() + b"\n")

    def line(self):
        with contextlib.suppress(ConnectionResetError):
            return self._stream.readline().decode().rstrip("\n")
        return ""

    def say(self, text):
        try:
            self.send(text)
        except (BrokenPipeError, ConnectionResetError):
            return ""
        return self.line()

    def ended(self):
        """True once the server has closed, for one that says nothing else."""
        ready, _, _ = select.select([self._socket], [], [], 0)
        try:
            return bool(ready) and self._socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True


def freeze(pid):
    """
    Stops a process (SIGSTOP); returns when, and the ports of the clients whose
    connections it holds.  A stopped process accepts none, so the list is exact.
    """
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: status_of(pid)["State"][0] == "T", "it stops", 5, 0.0005)
    at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return at, peers_of(pid)


PIDFD_GETFD = 438       # the number of the call, on every architecture


def peers_of(pid):
    """
    The peers' ports of a process's TCP connections.  Each of its sockets is
    asked: a list of all that the machine has misses some while others end.
    """
    peers = set()
    pidfd = os.pidfd_open(pid)
    for name in os.listdir(f"/proc/{pid}/fd"):
        fd = -1
        if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
            fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, pidfd, int(name), 0)
        if fd < 0:
            continue
        with socket.socket(fileno=fd) as copy, contextlib.suppress(OSError):
            if copy.family != socket.AF_UNIX:
                peers.add(copy.getpeername()[1])
    os.close(pidfd)
    return peers


def freeze_and_kill(pid):
    """Kills a process by SIGKILL; returns what freeze does."""
    held = freeze(pid)
    os.kill(pid, signal.SIGKILL)
    return held


def unexplained(failures, held):
    """Failures on connections that no process held as freeze told."""
    return [f for f in failures if not any(
        f["port"] in peers and f["opened"] <= at <= f["at"]
        for at, peers in held)]
