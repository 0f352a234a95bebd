# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers and the launcher killed by force: what is lost is what they held."""

import os
import random
import signal

import pytest

from conftest import count
from rig import Load, freeze_and_kill, unexplained, wait_until

SERVICE = "cabinetd.service"
CONFIG = """workers = 16;
services = (
  { name = "web"; listen = "tcp://127.0.0.1:8080"; protocol = "http";
    http = { routes = ( { path = "/"; body = "hello\\n"; } ); }; },
  { name = "echo"; listen = "tcp://127.0.0.1:8007"; protocol = "echo"; },
  { name = "day"; listen = "tcp://127.0.0.1:8013"; protocol = "daytime"; },
  { name = "yes"; listen = "tcp://127.0.0.1:8071";
    exec = { program = "/bin/echo"; args = ( "yes" ); user = "nobody"; }; }
);
"""
LOAD = ("http-keep:127.0.0.1:8080:8", "http-close:127.0.0.1:8080:4",
        "echo:127.0.0.1:8007:6", "echo-long:127.0.0.1:8007:4",
        "line:127.0.0.1:8013:2")


@pytest.mark.row("worker-kill")
@pytest.mark.bound(240)
def test_killed_workers_lose_only_their_own(serve, figure):
    times = count(20, 1000, "WORKER_KILLS")
    machine = serve(CONFIG)
    dice = random.Random(3)
    kills = []

    def several():
        """Those that run, unless the pause before a restart left but one."""
        found = machine.roles(SERVICE, "worker")
        return found if len(found) > 1 else None
    with Load(machine, *LOAD) as load:
        for _ in range(times):
            load.flow(50)
            workers = wait_until(several, "workers run again", pause=0.01)
            kills.append(freeze_and_kill(dice.choice(workers)))
        load.flow(500)
        report = load.stop()
    held = sum(len(peers) for _, peers in kills)
    figure(f"{times} workers killed, which held {held} connections", report,
           allowed=held, held=held)
    assert unexplained(load.failures, kills) == []
    assert {f["kind"] for f in load.failures} <= {"reset", "eof", "short"}
    # The kills met connections, or nothing has been tested.
    assert report["failed"] > 0
    wait_until(lambda: len(machine.roles(SERVICE, "worker")) == 16,
               "all workers run again")


def test_killed_launcher(serve):
    """Programs start again; built-in protocols do not notice at all."""
    machine = serve(CONFIG)
    with Load(machine, *LOAD) as load:
        for _ in range(5):
            load.flow(100)
            launcher = wait_until(lambda: machine.roles(SERVICE, "launcher"),
                                  "the launcher runs")[0]
            os.kill(launcher, signal.SIGKILL)
            assert machine.run("bash", "-c", "timeout 20 cat "
                               "</dev/tcp/127.0.0.1/8071",
                               check=False).status == 0
        load.flow(200)
        load.assert_clean()

    def answers():
        return machine.run("bash", "-c", "timeout 20 cat "
                           "</dev/tcp/127.0.0.1/8071",
                           check=False).out == "yes\n"
    wait_until(answers, "programs are started again")


def test_all_workers_at_once(serve):
    """New connections wait in the queue; none is refused."""
    machine = serve(CONFIG)
    with Load(machine, "http-close:127.0.0.1:8080:8",
              "echo-long:127.0.0.1:8007:4") as load:
        load.flow(200)
        kills = [freeze_and_kill(pid)
                 for pid in machine.roles(SERVICE, "worker")]
        load.flow(2000)
        load.stop()
    assert unexplained(load.failures, kills) == []
    assert "refused" not in {f["kind"] for f in load.failures}
