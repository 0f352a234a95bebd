# SPDX-License-Identifier: GPL-2.0-or-later
"""cabinetd.service with sockets that systemd makes."""

import os
import re
import signal

import pytest

from rig import Load, wait_until

SERVICE = "cabinetd.service"
CONFIG = """services = (
  { name = "web"; listen = "systemd://web"; protocol = "http";
    http = { routes = ( { path = "/"; body = "hello\\n"; } ); }; },
  { name = "echo"; listen = "tcp://127.0.0.1:8007"; protocol = "echo"; }
);
"""
SOCKET = """[Socket]
ListenStream=127.0.0.1:8080
FileDescriptorName=web
Service=cabinetd.service
"""


def install(machine, name, text):
    machine.put(f"/etc/systemd/system/{name}.socket", text)
    machine.systemctl("daemon-reload")


def curl(machine, port=8080):
    return machine.run("curl", "-sS", "-m", "20",
                       f"http://127.0.0.1:{port}/").out


def test_first_client_starts_the_service(machine):
    machine.put("/etc/cabinetd.conf", CONFIG)
    install(machine, "test-web", SOCKET)
    machine.systemctl("start", "test-web.socket")
    assert not machine.is_active(SERVICE)
    assert curl(machine) == "hello\n"
    assert machine.is_active(SERVICE)


def test_socket_of_systemd_is_used_not_bound_again(machine):
    """By its address; a client that waits in its queue is served."""
    machine.put("/etc/cabinetd.conf", CONFIG.replace(
        "systemd://web", "tcp://127.0.0.1:8080"))
    install(machine, "test-web", SOCKET)
    machine.systemctl("start", "test-web.socket")
    machine.systemctl("start", SERVICE)
    assert curl(machine) == "hello\n"
    # The very same socket, held by systemd and by the daemon.
    out = machine.run("ss", "-Hltnp", "sport = :8080").out
    assert len(out.splitlines()) == 1 and "systemd" in out \
        and "cabinetd" in out, out


def test_missing_name_is_an_error(machine):
    """Never ready with a service that has no socket."""
    machine.put("/etc/cabinetd.conf", CONFIG)
    install(machine, "test-web", SOCKET.replace("=web", "=other"))
    machine.systemctl("start", "test-web.socket")
    assert machine.systemctl("start", SERVICE, check=False).status != 0
    said = machine.log(SERVICE, machine.begun)
    assert re.search(r"/etc/cabinetd\.conf:2: .*web.*other", said), said


def test_socket_nobody_wants_is_told_of(machine):
    machine.put("/etc/cabinetd.conf", CONFIG)
    install(machine, "test-web", SOCKET)
    install(machine, "test-extra", SOCKET.replace("8080", "8081")
            .replace("=web", "=extra"))
    machine.systemctl("start", "test-web.socket", "test-extra.socket")
    machine.systemctl("start", SERVICE)
    assert curl(machine) == "hello\n"
    assert re.search(r"extra.*clients wait",
                     machine.log(SERVICE, machine.begun))
    # Until somebody does.
    machine.put("/etc/cabinetd.conf", CONFIG.replace("//web", "//extra"))
    machine.systemctl("reload", SERVICE)
    assert curl(machine, 8081) == "hello\n"


def test_given_up_and_taken_back(machine):
    machine.put("/etc/cabinetd.conf", CONFIG)
    install(machine, "test-web", SOCKET)
    machine.systemctl("start", "test-web.socket", SERVICE)
    machine.run("cabinetctl", "disable", "web")
    machine.systemctl("kill", "-s", "KILL", "--kill-whom=main", SERVICE)
    wait_until(lambda: machine.run(
        "cabinetctl", "enable", "web", check=False).status == 0,
        "the next supervisor gives the service its socket back")
    assert curl(machine) == "hello\n"


def again(machine):
    machine.systemctl("restart", SERVICE)


def kill(machine):
    """The supervisor, which systemd starts again."""
    before = machine.show(SERVICE, "MainPID")
    os.kill(machine.outer(before), signal.SIGKILL)
    wait_until(lambda: machine.is_active(SERVICE)
               and machine.show(SERVICE, "MainPID") not in ("0", before),
               "it is back")


@pytest.mark.parametrize("how", [again, kill])
def test_new_supervisor_with_passed_sockets(machine, how):
    """It gets them once more beside what it had left in systemd's store."""
    machine.put("/etc/cabinetd.conf", CONFIG)
    install(machine, "test-web", SOCKET)
    machine.systemctl("start", "test-web.socket", SERVICE)
    with Load(machine, "http-close:127.0.0.1:8080:4",
              "http-keep:127.0.0.1:8080:2", "echo:127.0.0.1:8007:4") as load:
        for _ in range(4):
            load.flow(200)
            how(machine)
        load.flow(200)
        load.assert_clean()
    out = machine.run("ss", "-Hltnp", "sport = :8080").out
    assert len(out.splitlines()) == 1 and "systemd" in out, out
    machine.systemctl("stop", SERVICE)
    # The socket is systemd's: the next client starts the service again.
    assert curl(machine) == "hello\n"


def test_reload_keeps_passed_sockets(machine):
    machine.put("/etc/cabinetd.conf", CONFIG)
    install(machine, "test-web", SOCKET)
    machine.systemctl("start", "test-web.socket", SERVICE)
    with Load(machine, "http-keep:127.0.0.1:8080:4",
              "http-close:127.0.0.1:8080:4") as load:
        for turn in range(3):
            load.flow(200)
            machine.put("/etc/cabinetd.conf", CONFIG.replace(
                "hello", f"turn {turn}"))
            machine.systemctl("reload", SERVICE)
            assert curl(machine) == f"turn {turn}\n"
        load.flow(200)
        load.assert_clean()
