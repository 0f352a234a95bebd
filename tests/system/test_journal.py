# SPDX-License-Identifier: GPL-2.0-or-later
"""A log that takes nothing costs records, counted, and never a client."""

import os
import re
import signal
from pathlib import Path

import pytest

from conftest import count
from rig import Load, status_of, wait_until

SERVICE = "cabinetd.service"
EVENTS = dict(re.findall(
    r'#define EVENT_(\w+)\s+"([0-9a-f]{32})"',
    (Path(__file__).parents[2] / "src/base/event.h").read_text()))
CONFIG = """workers = 2;
log = { target = "TARGET"; };
defaults = { log = { connections = true; }; };
services = (
  { name = "web"; listen = "tcp://127.0.0.1:8080"; protocol = "http";
    http = { routes = ( { path = "/"; body = "hello\\n"; } ); }; },
  { name = "echo"; listen = "tcp://127.0.0.1:8007"; protocol = "echo"; },
  { name = "yes"; listen = "tcp://127.0.0.1:8071";
    exec = { program = "/bin/echo"; args = ( "yes" ); user = "nobody"; }; }
);
"""
LOAD = ("http-keep:127.0.0.1:8080:4", "http-close:127.0.0.1:8080:4",
        "echo:127.0.0.1:8007:4", "line:127.0.0.1:8071:1")
JOURNALD = ("systemd-journald.socket", "systemd-journald-dev-log.socket",
            "systemd-journald-audit.socket", "systemd-journald.service")


def dropped(machine):
    """Records that the log could not take, as the daemon counts them."""
    text = machine.run("cabinetctl", "metrics").out
    found = re.findall(r"(?m)^cabinetd_log_records_dropped_total(?:\{.*\})? "
                       r"(\d+)", text)
    assert found, text
    return sum(map(int, found))


def through(machine, load):
    """Requests go on, and a reload with a change goes through, without a log."""
    requests = count(10000, 100000, "LOG_REQUESTS")
    goal = load.done + requests
    machine.put("/etc/cabinetd.conf", machine.get("/etc/cabinetd.conf")
                .decode().replace("hello", "again"))
    machine.run("cabinetctl", "reload")
    while load.done < goal:
        load.flow(min(2000, goal - load.done))


def stopped(machine):
    """journald and its sockets are gone: a record has nowhere to go."""
    machine.systemctl("stop", *JOURNALD)

    def again():
        machine.systemctl("start", "systemd-journald.socket",
                          "systemd-journald-dev-log.socket",
                          "systemd-journald.service")
    return again


def hanging(machine):
    """journald reads nothing any more: its queue fills."""
    pid = machine.supervisor("systemd-journald.service")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: status_of(pid)["State"][0] == "T", "it stops", 5)
    return lambda: os.kill(pid, signal.SIGCONT)


@pytest.mark.row("journal")
@pytest.mark.bound(240)
@pytest.mark.parametrize("how", [stopped, hanging], ids=lambda f: f.__name__)
def test_journald(machine, how, figure):
    # Otherwise systemd ends it, which would be the other case.
    machine.put("/run/systemd/system/systemd-journald.service.d/rig.conf",
                "[Service]\nWatchdogSec=0\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "systemd-journald.service")
    machine.put("/etc/cabinetd.conf", CONFIG.replace("TARGET", "auto"))
    machine.systemctl("start", SERVICE)
    before = dropped(machine)
    with Load(machine, *LOAD) as load:
        load.flow(200)
        again = how(machine)
        try:
            through(machine, load)
            lost = dropped(machine) - before
        finally:
            again()
        load.flow(500)
        report = load.stop()
    figure(f"journald {how.__name__}: {lost} records dropped and counted",
           report, dropped=lost)
    load.assert_clean()
    assert lost > 0
    # And it is written again, with a word about what is missing.
    wait_until(lambda: any(
        re.search(r"\d+ .*record", r.get("MESSAGE", "")) and
        r.get("SYSLOG_IDENTIFIER") == "cabinetd"
        for r in machine.records(match="SYSLOG_IDENTIFIER=cabinetd")),
        lambda: machine.log(SERVICE)[-3000:])


@pytest.mark.row("journal")
@pytest.mark.bound(240)
def test_full_disk(machine, figure):
    machine.run("mkdir", "-p", "/run/cabinetd-full")
    machine.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs",
                "/run/cabinetd-full")
    try:
        machine.put("/etc/systemd/system/cabinetd.service.d/full.conf",
                    "[Service]\nStandardError=append:/run/cabinetd-full/log\n"
                    "ReadWritePaths=/run/cabinetd-full\n")
        machine.systemctl("daemon-reload")
        machine.put("/etc/cabinetd.conf", CONFIG.replace("TARGET", "stderr"))
        machine.systemctl("start", SERVICE)
        with Load(machine, *LOAD) as load:
            wait_until(lambda: dropped(machine) > 0, "the file is full", 60)
            before = dropped(machine)
            through(machine, load)
            lost = dropped(machine) - before
            report = load.stop()
        figure(f"the log's disk full: {lost} records dropped and counted",
               report, dropped=lost)
        load.assert_clean()
        assert lost > 0
        machine.systemctl("stop", SERVICE)
    finally:
        machine.systemctl("stop", SERVICE, check=False)
        machine.run("umount", "/run/cabinetd-full")


def test_explained(machine, serve):
    """journalctl -x says what has happened, of every kind of event."""
    started = machine.cursor()
    serve("""services = (
      { name = "day"; listen = "tcp://127.0.0.1:13"; protocol = "daytime";
        log = { connections = true; }; },
      { name = "deny"; listen = "tcp://127.0.0.1:7"; protocol = "echo";
        access = { deny = "127.0.0.0/8"; }; } );\n""")
    # What a package does after its files are there.
    machine.run("journalctl", "--update-catalog")
    known = machine.run("journalctl", "--list-catalog").out
    assert EVENTS and not [name for name, number in EVENTS.items()
                           if number not in known]
    machine.run("bash", "-c", "cat </dev/tcp/127.0.0.1/13")
    for _ in range(9):
        machine.run("bash", "-c", "cat </dev/tcp/127.0.0.1/7", check=False)

    def explained():
        machine.run("journalctl", "--sync")
        text = machine.run("journalctl", "-x", "-q", "--no-pager", "-u",
                           SERVICE, f"--after-cursor={started}").out
        return "127.0.0.0/24 is over" in text and text
    text = wait_until(explained, "the flood's end is explained", 30)
    for line in ("Subject: cabinetd serves",
                 "Subject: A connection of service day has finished",
                 "Subject: Service deny refused a connection",
                 "Subject: A flood of refused connections from 127.0.0.0/24 "
                 "is over", "service deny: 4 refused from 127.0.0.0/24 in "):
        assert line in text, text
    assert "@CABINETD_" not in text
    records = machine.records(started)
    found = [r for r in records if r.get("CABINETD_VERDICT") == "refused"]
    assert [r["CABINETD_SERVICE"] for r in found] == ["deny"] * 6
    assert found[0]["CABINETD_PEER_ADDRESS"] == "127.0.0.1"
    assert found[0]["CABINETD_LOCAL_PORT"] == "7"
    assert found[5]["CABINETD_COUNT"] == "4"
    record, = (r for r in records
               if r.get("MESSAGE_ID") == EVENTS["FINISHED"])
    assert record["CABINETD_VERDICT"] == "served"
    assert int(record["CABINETD_BYTES_OUT"]) > 10
