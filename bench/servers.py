# SPDX-License-Identifier: GPL-2.0-or-later
"""
One contender, running: the place where it lives, its processes, and the load
client at work on it. All of it is on loopback and gone when its context ends.
"""

import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from accounting import descendants, family, read

PORTS = range(20000, 32000)     # below the ports that the kernel gives to clients
SERVICES = ("echo", "daytime", "http", "udp-echo", "program", "smtp", "many")


class Failure(Exception):
    """A measurement that could not be made; the text says why."""


def end_child(pid):
    """Kills and reaps a process that was left to us."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
    except (ProcessLookupError, ChildProcessError):
        pass


def end_strays():
    """Whatever servers that have ended left behind."""
    for pid in descendants():
        end_child(pid)


class Place:
    """Where one server runs: a directory, ports."""

    def __init__(self, bench):
        self.bench = bench
        self.directory = tempfile.mkdtemp(prefix="cabinetd-bench-")
        os.chmod(self.directory, 0o755)
        self.ports = {}
        for service in SERVICES:
            self.ports[service] = self.free_port()

    def free_port(self):
        for _ in range(200):
            port = random.choice(PORTS)
            if port in self.ports.values():
                continue
            try:
                for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.setsockopt(socket.SOL_SOCKET,
                                         socket.SO_REUSEADDR, 1)
                        probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
        raise Failure("no free port")

    def address(self, service):
        return "127.0.0.1:%d" % self.ports[service]

    def path(self, name):
        return os.path.join(self.directory, name)

    def clear(self, name):
        os.unlink(self.path(name))

    def write(self, name, text):
        path = self.path(name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, 0o644)
        return path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory, ignore_errors=True)


class Server:
    """The command runs on the given processors, then is gone.

    notify: it says READY=1 as systemd wants it, and is waited for that way.
    """

    prefix = ()                 # what the load client is started through

    def __init__(self, place, command, service, cpus, notify=False):
        self.place, self.command, self.service = place, command, service
        self.cpus, self.notify = cpus, notify

    def __enter__(self):
        environment = dict(os.environ)
        self.log = open(self.place.path("log"), "wb")
        self.mailbox = None
        if self.notify:
            self.mailbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.mailbox.bind(self.place.path("notify"))
            environment["NOTIFY_SOCKET"] = self.place.path("notify")
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, start_new_session=True, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, self.cpus))
        self.pid = self.process.pid
        try:
            if self.notify:
                self.wait_notified()
            else:
                self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_notified(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.check_running()
            if select.select([self.mailbox], [], [], 0.5)[0] and \
                    b"READY=1" in self.mailbox.recv(4096).split(b"\n"):
                return
        raise Failure("is never ready: %s" % self.last_words())

    def wait_ready(self):
        end = time.monotonic() + 15
        while not self.answers():
            self.check_running()
            if time.monotonic() > end:
                raise Failure("does not answer: %s" % self.last_words())
            time.sleep(0.02)

    def check_running(self):
        if self.process.poll() is not None:
            raise Failure("ended at once with %d: %s"
                          % (self.process.returncode, self.last_words()))

    def answers(self):
        udp = self.service == "udp-echo"
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.settimeout(0.5)
            try:
                probe.connect(("127.0.0.1", self.place.ports[self.service]))
                if udp:
                    probe.send(b"ready?")
                    return probe.recv(100) == b"ready?"
                return True
            except OSError:
                return False

    @staticmethod
    def touch(port):
        with socket.create_connection(("127.0.0.1", port), 5):
            pass

    def last_words(self):
        text = read(self.place.path("log"))
        return " | ".join(text.strip().splitlines()[-3:]) or "(no message)"

    def __exit__(self, *_):
        """Ends what was started here, politely, then at once."""
        mine = set(family(self.pid))
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # Orphans come to us, see become_subreaper.
        for _ in range(100):
            left = mine.intersection(descendants())
            if not left:
                break
            for pid in left:
                end_child(pid)
            time.sleep(0.05)
        self.log.close()
        if self.mailbox:
            self.mailbox.close()


class Booted:
    """A systemd with units of ours, on the machine of the system tests.

    The machine has a network of its own, so the load client is started in that.
    """

    def __init__(self, place, units, cpus):
        self.place, self.units, self.cpus = place, units, cpus

    def __enter__(self):
        rig = self.place.bench.system_rig()

        class Bare(rig.Machine):
            """Without the daemon."""

            def _install(self):
                pass

        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.cpus)
        try:
            self.machine = Bare(self.place.bench.build)
            self.machine.__enter__()
        except (rig.Refused, AssertionError) as refused:
            raise Failure(str(refused)) from None
        finally:
            os.sched_setaffinity(0, before)
        try:
            for name, text in self.units.items():
                self.machine.put("/etc/systemd/system/" + name, text)
            self.machine.systemctl("daemon-reload")
            for name in self.units:
                if name.endswith(".socket"):
                    self.machine.systemctl("start", name)
        except BaseException as error:
            self.__exit__()
            if isinstance(error, AssertionError):
                raise Failure(str(error)) from None
            raise
        self.pid = self.machine.leader
        self.prefix = ("nsenter", "--target=%d" % self.pid, "--net")
        return self

    def last_words(self):
        return self.machine.console()[-300:]

    def __exit__(self, *_):
        self.machine.__exit__(None, None, None)


class Load:
    """The load client, which stops at both edges of the measured window."""

    def __init__(self, bench, server, case, address, more=()):
        self.process = subprocess.Popen(
            [*server.prefix, bench.path("bench/load"), "--cpu",
             str(bench.cpus[0]), "--sync", *case.args.split(), *more,
             case.mode, address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            raise Failure("load client: expected %s, got %r" % (word, line))
        time.sleep(0.03)        # what is on its way arrives

    def resume(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self):
        text = self.process.stdout.readline()
        if not text:
            raise Failure("load client: no result")
        return json.loads(text)

    def window(self, sample):
        """What sample() says at the beginning and at the end, and the result."""
        self.wait("begin")
        begin = sample()
        self.resume()
        self.wait("end")
        end = sample()
        self.resume()
        return begin, end, self.result()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def say(text):
    print(text, file=sys.stderr, flush=True)
