# SPDX-License-Identifier: GPL-2.0-or-later
"""cabinetd-builtins.service and its socket: no rights, and yet it serves."""

import os
import re
import signal

import pytest

from rig import Load, status_of, wait_until

SERVICE = "cabinetd-builtins.service"
SOCKET = "cabinetd-builtins.socket"
HEALTH = "http://127.0.0.1:8080/healthz"
CONFIG = "/etc/cabinetd-builtins.conf"
SHIPPED = []


@pytest.fixture
def builtins(machine):
    """The machine, with both units as they are installed."""
    if not SHIPPED:
        SHIPPED.append(machine.get(CONFIG).decode())
    machine.put(CONFIG, SHIPPED[0])
    yield machine
    machine.systemctl("stop", SOCKET, SERVICE, check=False)
    machine.put(CONFIG, SHIPPED[0])


def get(machine, *words):
    return machine.run("curl", "-sS", "-m", "10", *words).out


def test_starts_and_serves(builtins):
    builtins.systemctl("start", SERVICE)
    assert builtins.is_active(SOCKET)
    assert get(builtins, HEALTH) == "ok\n"
    assert get(builtins, "http://[::1]:8080/healthz") == "ok\n"
    said = builtins.log(SERVICE, builtins.begun)
    assert not re.search(r"error|warning|cannot|denied", said), said


def test_started_by_its_first_client(builtins):
    builtins.systemctl("start", SOCKET)
    assert not builtins.is_active(SERVICE)
    assert get(builtins, HEALTH) == "ok\n"
    assert builtins.is_active(SERVICE)


def test_has_no_rights(builtins):
    builtins.systemctl("start", SERVICE)
    processes = builtins.processes(SERVICE)
    assert len(processes) >= 3, processes
    own = os.readlink(f"/proc/{builtins.leader}/ns/net")
    for pid, title in processes.items():
        status = status_of(pid)
        for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, (title, name)
        uids = set(status["Uid"].split())
        assert len(uids) == 1 and 61184 <= int(uids.pop()) <= 65519, title
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        # A network without a way out, although the sockets serve the other.
        assert os.readlink(f"/proc/{pid}/ns/net") != own
        assert os.readlink(f"/proc/{pid}/ns/user") != \
            os.readlink(f"/proc/{builtins.leader}/ns/user")


def test_no_program_can_be_started(builtins):
    """What the unit promises is tried in a unit with the same directives."""
    unit = builtins.get(builtins.show(SERVICE, "FragmentPath")).decode()
    assert "\nNoExecPaths=/\n" in unit
    unit = re.sub(r"(?m)^(ExecReload|Restart|Type|NotifyAccess|Requires|After|"
                  r"RuntimeDirectory)=.*\n", "", unit)
    for program, works in (("/bin/sh -c true", False),
                           ("/usr/sbin/cabinetd --version", True)):
        builtins.put("/etc/systemd/system/test-exec.service", re.sub(
            r"(?m)^ExecStart=.*$", f"Type=oneshot\nExecStart={program}", unit))
        builtins.systemctl("daemon-reload")
        done = builtins.systemctl("start", "test-exec.service", check=False)
        assert (done.status == 0) == works, (program, done)


def test_refuses_to_bind_itself(builtins):
    """An address that systemd did not pass is an error, not an empty promise."""
    builtins.put(CONFIG, SHIPPED[0].replace("systemd://web",
                                            "tcp://127.0.0.1:8081"))
    builtins.systemctl("start", SOCKET)
    assert builtins.systemctl("start", SERVICE, check=False).status != 0
    assert "8081" in builtins.log(SERVICE, builtins.begun)


def test_sockets_by_name_and_by_address(builtins):
    """A second .socket unit, as the first one's comment says, and drop-ins."""
    builtins.put("/etc/systemd/system/test-names.socket",
                 "[Socket]\nListenStream=127.0.0.1:7\n"
                 "ListenDatagram=127.0.0.1:7\nFileDescriptorName=echo\n"
                 f"Service={SERVICE}\n")
    builtins.put(f"/etc/systemd/system/{SOCKET}.d/more.conf",
                 "[Socket]\nListenStream=127.0.0.1:8082\n")
    builtins.systemctl("daemon-reload")
    builtins.put(CONFIG, SHIPPED[0].replace('"systemd://web"',
                                            '"tcp://[::]:8080"').replace(
        "services = (", 'services = ( { name = "echo"; protocol = "echo"; '
        'listen = "systemd://echo"; }, { name = "by-address"; '
        'protocol = "daytime"; listen = "tcp://127.0.0.1:8082"; },'))
    builtins.systemctl("start", "test-names.socket", SERVICE)
    assert get(builtins, HEALTH) == "ok\n"
    out = builtins.run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7; "
                       "echo ping >&3; head -n 1 <&3; "
                       "timeout 10 cat </dev/tcp/127.0.0.1/8082").out
    assert re.fullmatch(r"ping\n\w{3} \w{3} .*\d{4}\r?\n", out), out
    assert len(re.findall(r"listening on (?:tcp|udp)://127.0.0.1:7\b",
                          builtins.log(SERVICE, builtins.begun))) == 2


def test_reload_under_load(builtins):
    """Each reload takes effect, and costs nobody anything."""
    builtins.systemctl("start", SERVICE)
    config = SHIPPED[0].replace('"/healthz"; body = "ok\\n"; }',
                                '"/"; body = "BODY\\n"; }')
    assert "BODY" in config, config
    builtins.put(CONFIG, config.replace("BODY", "one"))
    builtins.systemctl("reload", SERVICE)
    with Load(builtins, "http-close:127.0.0.1:8080:8",
              "http-keep:127.0.0.1:8080:8") as load:
        for text in ("two", "three"):
            load.flow(200)
            builtins.put(CONFIG, config.replace("BODY", text))
            builtins.systemctl("reload", SERVICE)
            assert get(builtins, "http://127.0.0.1:8080/") == text + "\n"
        load.flow(200)
        load.assert_clean()


def test_new_supervisor_under_load(builtins):
    """Killed, then restarted: with no right at all nobody notices either."""
    builtins.put(CONFIG, SHIPPED[0].replace("/healthz", "/"))
    builtins.systemctl("start", SERVICE)
    with Load(builtins, "http-close:127.0.0.1:8080:4",
              "http-close:[::1]:8080:2") as load:
        for turn in range(6):
            load.flow(200)
            before = builtins.show(SERVICE, "MainPID")
            if turn % 2:
                builtins.systemctl("restart", SERVICE)
            else:
                os.kill(builtins.outer(before), signal.SIGKILL)
            wait_until(lambda old=before: builtins.is_active(SERVICE) and
                       builtins.show(SERVICE, "MainPID") not in ("0", old),
                       "it is back")
        load.flow(200)
        load.assert_clean()


def test_broken_reload_is_refused(builtins):
    builtins.systemctl("start", SERVICE)
    builtins.put(CONFIG, "services = (\n  { nam = 1; } );\n")
    assert builtins.systemctl("reload", SERVICE, check=False).status != 0
    assert re.search(re.escape(CONFIG) + r":2: ",
                     builtins.log(SERVICE, builtins.begun))
    assert get(builtins, HEALTH) == "ok\n"


def test_stop_leaves_nothing(builtins):
    builtins.systemctl("start", SERVICE)
    before = builtins.processes(SERVICE)
    builtins.systemctl("stop", SERVICE)
    assert builtins.show(SERVICE, "Result") == "success"
    wait_until(lambda: not [pid for pid in before
                            if os.path.exists(f"/proc/{pid}")], "all are gone")
    # What it was a link to is gone; the link is systemd's.
    assert builtins.run("test", "-e", "/run/cabinetd-builtins",
                        check=False).status != 0
