# SPDX-License-Identifier: GPL-2.0-or-later
"""
The supervisor killed, hanging, restarted or replaced by another build while
clients are at work: nobody notices.
"""

import json
import os
import re
import signal
import time

import pytest

from conftest import count
from rig import (Held, Load, freeze, other_build, status_of, unexplained,
                 wait_until)

SERVICE = "cabinetd.service"
PROGRAM = "/usr/sbin/cabinetd"
CONFIG = """workers = 2;
services = (
  { name = "web"; listen = "tcp://*:8080"; protocol = "http";
    http = { routes = ( { path = "/"; body = "hello\\n"; } ); }; },
  { name = "echo"; listen = ( "tcp://127.0.0.1:8007", "udp://127.0.0.1:8007" );
    protocol = "echo"; limits = { per_source_rate = 0; }; },
  { name = "day"; listen = "tcp://127.0.0.1:8013"; protocol = "daytime"; },
  { name = "yes"; listen = "tcp://127.0.0.1:8071";
    exec = { program = "/bin/echo"; args = ( "yes" ); user = "nobody"; }; },
  { name = "cat"; listen = "tcp://127.0.0.1:8070";
    exec = { program = "/bin/cat"; user = "nobody"; }; }
);
"""
# Connections that end by themselves, or where HTTP says beforehand that they do.
LOAD = ("http-keep:127.0.0.1:8080:6", "http-close:127.0.0.1:8080:4",
        "http-close:[::1]:8080:2", "echo:127.0.0.1:8007:4",
        "echo-udp:127.0.0.1:8007:2", "line:127.0.0.1:8013:2",
        "line:127.0.0.1:8071:1")
# Those that never do: a worker keeps them, but not one that is replaced.
LONG = ("echo-long:127.0.0.1:8007:4",)


def roles(machine):
    """Pids, as seen here, of workers and launcher."""
    return machine.roles(SERVICE, "worker") + machine.roles(SERVICE, "launcher")


def kill_supervisor(machine):
    """By SIGKILL; returns when systemd has started the next one."""
    before = machine.show(SERVICE, "MainPID", "NRestarts")
    os.kill(machine.outer(before["MainPID"]), signal.SIGKILL)
    wait_back(machine, before)


def wait_back(machine, before, pause=0.05):
    """Until another supervisor is ready than the one that was."""
    def back():
        now = machine.show(SERVICE, "MainPID", "NRestarts", "ActiveState")
        return now["NRestarts"] != before["NRestarts"] and \
            now["MainPID"] not in ("0", before["MainPID"]) and \
            now["ActiveState"] == "active"
    wait_until(back, lambda: "it is back:\n" + machine.log(SERVICE)[-3000:],
               pause=pause)


def reload_works(machine, text="again"):
    machine.put("/etc/cabinetd.conf", CONFIG.replace("hello", text))
    machine.systemctl("reload", SERVICE)
    assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out == \
        text + "\n"


def services(machine):
    """{name: object} as cabinetctl --json services has them."""
    text = machine.run("cabinetctl", "--json", "services").out
    return {s["name"]: s for s in json.loads(text)["services"]}


def listening(machine, port):
    return machine.run("ss", "-Hltn", f"sport = :{port}").out != ""


# ---------------------------------------------------------------- killed

@pytest.mark.row("supervisor-kill")
@pytest.mark.bound(240)
def test_killed_supervisor_is_not_noticed(serve, figure):
    times = count(8, 100, "SUPERVISOR_KILLS")
    requests = count(20000, 1000000, "SUPERVISOR_KILL_REQUESTS")
    machine = serve(CONFIG)
    before = roles(machine)
    with Load(machine, *LOAD, *LONG) as load:
        for _ in range(times):
            load.flow(requests // times // 2)
            kill_supervisor(machine)
        while load.done < requests:
            load.flow(min(5000, requests - load.done))
        report = load.stop()
    figure(f"{times} times kill -9 of the supervisor", report)
    load.assert_clean()
    # The very same workers and launcher, taken over each time.
    assert roles(machine) == before
    assert machine.show(SERVICE, "NRestarts") == str(times)
    reload_works(machine)


def test_killed_while_it_reloads(serve):
    """Whatever it was about to do: one configuration is in force, whole."""
    machine = serve(CONFIG)
    with Load(machine, *LOAD, *LONG) as load:
        for turn in range(count(8, 40, "SUPERVISOR_KILLS_IN_RELOADS")):
            load.flow(100)
            port = 8300 + turn
            machine.put("/etc/cabinetd.conf", CONFIG.replace(
                "hello", f"turn {turn}").replace(
                    '"tcp://127.0.0.1:8013"',
                    f'( "tcp://127.0.0.1:8013", "tcp://127.0.0.1:{port}" )'))
            before = machine.show(SERVICE, "MainPID", "NRestarts")
            pid = machine.outer(before["MainPID"])
            asked = machine.start("cabinetctl", "reload")
            time.sleep(turn * 0.004)
            os.kill(pid, signal.SIGKILL)
            asked.wait(30)
            wait_back(machine, before)
            # The new one has read the new file.
            assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out \
                == f"turn {turn}\n"
            assert listening(machine, port)
            assert not listening(machine, port - 1)
        load.assert_clean()
    assert len(roles(machine)) == 3


@pytest.mark.parametrize("kind", ["worker", "launcher"])
def test_killed_together_with_a_role(serve, kind):
    """What died while nobody looked is started again by the next one."""
    machine = serve(CONFIG)
    with Load(machine, "http-close:127.0.0.1:8080:4",
              "line:127.0.0.1:8013:2") as load:
        load.flow(200)
        before = machine.show(SERVICE, "MainPID", "NRestarts")
        victim = machine.roles(SERVICE, kind)[0]
        os.kill(machine.outer(before["MainPID"]), signal.SIGSTOP)
        killed = []
        if kind == "worker":
            killed.append(freeze(victim))
        os.kill(victim, signal.SIGKILL)
        os.kill(machine.outer(before["MainPID"]), signal.SIGKILL)
        wait_back(machine, before)
        wait_until(lambda: len(roles(machine)) == 3
                   and victim not in roles(machine), "it is replaced")
        load.flow(500)
        load.stop()
    assert unexplained(load.failures, killed) == []
    assert machine.run("bash", "-c", "timeout 20 cat </dev/tcp/127.0.0.1/8071"
                       ).out == "yes\n"
    reload_works(machine)


def test_broken_file_at_a_crash(serve):
    """The next supervisor keeps what ran, and says what is wrong."""
    machine = serve(CONFIG)
    with Load(machine, *LOAD, *LONG) as load:
        load.flow(200)
        machine.put("/etc/cabinetd.conf", CONFIG.replace("echo", "ecko", 2))
        begun = machine.cursor()
        kill_supervisor(machine)
        load.flow(200)
        kill_supervisor(machine)
        load.flow(200)
        load.assert_clean()
    assert re.search(r"/etc/cabinetd\.conf:\d+: .*ecko",
                     machine.log(SERVICE, begun))
    reload_works(machine)


def test_everything_killed(serve):
    """Connections are lost, but no client is refused and nothing is left over."""
    machine = serve(CONFIG)
    with Load(machine, "http-close:127.0.0.1:8080:4") as load:
        load.flow(200)
        # Not by "systemctl kill", which may fail where processes end meanwhile.
        main = machine.outer(machine.show(SERVICE, "MainPID"))
        for pid in [main, *roles(machine)]:
            os.kill(pid, signal.SIGKILL)
        load.flow(500)
        load.stop()
    assert {f["kind"] for f in load.failures} <= {"reset", "eof", "short"}
    assert len(load.failures) <= 4
    wait_until(lambda: len(roles(machine)) == 3, "all of it runs")


def test_programs_outlive_the_supervisor(serve):
    """They go on, are seen, are counted, and can be ended."""
    machine = serve(CONFIG)
    with Held(machine, 8070) as one, Held(machine, 8070) as two:
        assert one.say("first") == "first" and two.say("first") == "first"
        kill_supervisor(machine)
        assert one.say("second") == "second" and two.say("second") == "second"
        assert services(machine)["cat"]["active"] == 2
        shown = json.loads(machine.run("cabinetctl", "--json", "connections",
                                       "cat").out)["connections"]
        assert len(shown) == 2 and all(c["program"] for c in shown), shown
        machine.run("cabinetctl", "kill", shown[0]["id"])
        wait_until(lambda: one.ended() or two.ended(), "one ends")
        assert not (one.ended() and two.ended())
    wait_until(lambda: services(machine)["cat"]["active"] == 0,
               "their places are free again")


def test_switches_outlive_the_supervisor(serve):
    """What was disabled or drained by hand stays so."""
    machine = serve(CONFIG)
    machine.run("cabinetctl", "disable", "day")
    machine.run("cabinetctl", "drain", "echo")
    kill_supervisor(machine)
    states = {name: s["state"] for name, s in services(machine).items()}
    assert states["day"] == "disabled" and states["echo"] == "draining", states
    assert states["web"] == "serving"
    assert not listening(machine, 8013)
    machine.run("cabinetctl", "enable", "day")
    machine.run("cabinetctl", "enable", "echo")
    assert machine.run("bash", "-c", "cat </dev/tcp/127.0.0.1/8013").out
    with Held(machine, 8007) as held:
        assert held.say("on again") == "on again"


def test_counters_outlive_the_supervisor(serve):
    machine = serve(CONFIG)
    for _ in range(5):
        machine.run("bash", "-c", "cat </dev/tcp/127.0.0.1/8013")
    assert services(machine)["day"]["accepted"] == 5
    kill_supervisor(machine)
    machine.run("bash", "-c", "cat </dev/tcp/127.0.0.1/8013")
    assert services(machine)["day"]["accepted"] == 6


def test_stop_after_a_crash_leaves_nothing(serve):
    """Although the roles are not the stopping supervisor's children."""
    machine = serve(CONFIG)
    with Held(machine, 8070) as held:
        assert held.say("here") == "here"
        kill_supervisor(machine)
        before = machine.processes(SERVICE)
        assert any("/bin/cat" in title for title in before.values())
        machine.systemctl("stop", SERVICE)
    assert machine.show(SERVICE, "ActiveState", "Result") == \
        {"ActiveState": "inactive", "Result": "success"}
    assert_gone(machine, before)


def test_killed_while_it_stops(serve):
    """Whoever kills it while it drains does not leave the rest running."""
    machine = serve(CONFIG)
    before = machine.processes(SERVICE)
    with Held(machine, 8070) as held:
        assert held.say("here") == "here"
        pid = machine.supervisor(SERVICE)
        stop = machine.start("systemctl", "stop", SERVICE)
        wait_until(lambda: machine.show(SERVICE, "ActiveState")
                   == "deactivating", "it drains")
        os.kill(pid, signal.SIGKILL)
        assert stop.wait(60) == 0
        assert held.line() == ""
    wait_until(lambda: not machine.processes(SERVICE),
               lambda: str(machine.processes(SERVICE)))
    assert_gone(machine, before)


def test_stop_while_it_is_down_leaves_nothing(serve):
    """The supervisor is dead, the next one not yet started, and that is it."""
    machine = serve(CONFIG)
    before = machine.processes(SERVICE)
    os.kill(machine.supervisor(SERVICE), signal.SIGKILL)
    machine.systemctl("stop", SERVICE)
    wait_until(lambda: machine.show(SERVICE, "ActiveState") == "inactive",
               "it is stopped")
    assert_gone(machine, before)
    assert not listening(machine, 8080)


def assert_gone(machine, before):
    left = [pid for pid in before if os.path.exists(f"/proc/{pid}")
            and status_of(pid)["State"][0] not in "ZX"]
    assert left == [], [before[pid] for pid in left]
    assert not machine.processes(SERVICE)


# ---------------------------------------------------------------- hanging

@pytest.mark.row("worker-stop")
@pytest.mark.bound(240)
def test_stopped_worker_is_replaced(serve, figure):
    times = count(1, 10, "WORKER_STOPS")
    machine = serve(CONFIG)
    stops, longest = [], 0
    with Load(machine, *LOAD, *LONG) as load:
        for turn in range(times):
            load.flow(500)
            workers = wait_until(lambda: both(machine), "both workers run")
            victim = workers[turn % 2]
            begun = time.monotonic()
            stops.append(freeze(victim))
            load.flow(200)
            wait_until(lambda: victim not in machine.roles(SERVICE, "worker")
                       and both(machine), "it is replaced", pause=0.01)
            longest = max(longest, time.monotonic() - begun)
        load.flow(500)
        report = load.stop()
    held = sum(len(peers) for _, peers in stops)
    figure(f"{times} times one of two workers stopped, which held {held} "
           "connections", report, allowed=held, held=held, took=longest,
           within=4, worst=f"{longest:.2f} s to replace")
    assert unexplained(load.failures, stops) == []


def both(machine):
    found = machine.roles(SERVICE, "worker")
    return found if len(found) == 2 else None


@pytest.mark.row("supervisor-stop")
@pytest.mark.bound(240)
def test_stopped_supervisor_is_replaced(machine, serve, figure):
    times = count(1, 10, "SUPERVISOR_STOPS")
    machine.put("/etc/systemd/system/cabinetd.service.d/watchdog.conf",
                "[Service]\nWatchdogSec=2\n")
    machine.systemctl("daemon-reload")
    serve(CONFIG)
    workers, longest = roles(machine), 0
    with Load(machine, *LOAD, *LONG) as load:
        for _ in range(times):
            load.flow(500)
            before = machine.show(SERVICE, "MainPID", "NRestarts")
            begun = time.monotonic()
            os.kill(machine.outer(before["MainPID"]), signal.SIGSTOP)
            wait_back(machine, before, pause=0.01)
            longest = max(longest, time.monotonic() - begun)
        load.flow(500)
        report = load.stop()
    figure(f"{times} times the supervisor stopped, WatchdogSec=2", report,
           took=longest, within=3, worst=f"{longest:.2f} s until it is back")
    load.assert_clean()
    assert roles(machine) == workers
    reload_works(machine)


def test_watchdog_is_fed(machine, serve):
    """Not only right after the start: with nothing to do, and with much."""
    machine.put("/etc/systemd/system/cabinetd.service.d/watchdog.conf",
                "[Service]\nWatchdogSec=1\n")
    machine.systemctl("daemon-reload")
    serve(CONFIG)
    before = machine.supervisor(SERVICE)
    time.sleep(2.5)
    with Load(machine, *LOAD, seconds=3) as load:
        wait_until(lambda: not load.running(), "the load ends")
        load.assert_clean()
    assert machine.supervisor(SERVICE) == before
    assert machine.show(SERVICE, "NRestarts") == "0"


# ---------------------------------------------------------------- restarted

@pytest.fixture
def builds(machine):
    """[(version, program)]: what is installed, then two other builds."""
    def version(text):
        return re.search(r"cabinetd (\S+)", text).group(1)
    installed = machine.get(PROGRAM)
    found = [(version(machine.run(PROGRAM, "--version").out), installed)]
    for name, edits in (
            ("next", {}),
            # A scoreboard that the workers of the others cannot use.
            ("other", {"src/stats/board.h": (r"(BOARD_CODES +)16", r"\g<1>24")})
    ):
        tree = other_build(machine.build, name, edits)
        found.append((found[0][0] + "+" + name, (tree / "cabinetd").read_bytes()))
    yield found
    machine.systemctl("stop", SERVICE, check=False)
    machine.put(PROGRAM, installed, 0o755)


@pytest.mark.row("restart")
@pytest.mark.bound(300)
def test_restarts_under_load(serve, builds, figure):
    times = count(9, 50, "RESTARTS")
    upgrades = count(5, 20, "UPGRADES")
    machine = serve(CONFIG)
    version, turns, longest = builds[0][0], 0, 0
    with Load(machine, *LOAD) as load:
        for turn in range(times):
            load.flow(400)
            if (turn + 1) * upgrades // times > turn * upgrades // times:
                turns += 1
                version, program = builds[turns % len(builds)]
                machine.put(PROGRAM, program, 0o755)
            begun = time.monotonic()
            machine.systemctl("restart", SERVICE)
            longest = max(longest, time.monotonic() - begun)
            shown = machine.run("cabinetctl", "--json", "status").out
            assert json.loads(shown)["daemon"]["version"] == version
        load.flow(400)
        report = load.stop()
    assert turns == upgrades
    figure(f"{times} restarts, {upgrades} of them to another build", report,
           longest_restart_s=longest)
    load.assert_clean()
    assert len(roles(machine)) == 3
    reload_works(machine)


def test_held_connection_across_a_restart(serve, builds):
    """
    The worker that holds it serves on until it ends; other clients have the
    new program at once, and a stop leaves neither.
    """
    machine = serve(CONFIG)
    old = machine.roles(SERVICE, "worker")
    with Held(machine, 8007) as held, Held(machine, 8070) as program:
        assert held.say("one") == "one" and program.say("one") == "one"
        for version, binary in builds[1:]:
            machine.put(PROGRAM, binary, 0o755)
            machine.systemctl("restart", SERVICE)
            shown = machine.run("cabinetctl", "--json", "status").out
            assert json.loads(shown)["daemon"]["version"] == version
            assert held.say(version) == version
            assert program.say(version) == version
        # Only the one that holds a connection is still there.
        wait_until(lambda: len(set(old) & set(machine.roles(
            SERVICE, "worker"))) == 1, "the idle ones have gone")
    wait_until(lambda: len(roles(machine)) == 3,
               lambda: str(machine.processes(SERVICE)))
    with Held(machine, 8007) as held, Held(machine, 8070) as program:
        assert held.say("two") == "two" and program.say("two") == "two"
        machine.systemctl("restart", SERVICE)
        before = machine.processes(SERVICE)
        assert len(before) > 5, before
        machine.systemctl("stop", SERVICE)
        assert_gone(machine, before)


def test_restart_with_a_broken_file(serve):
    """Nobody loses anything, and the old configuration can be put right."""
    machine = serve(CONFIG)
    with Load(machine, *LOAD) as load:
        load.flow(200)
        machine.put("/etc/cabinetd.conf", CONFIG.replace("echo", "ecko", 2))
        begun = machine.cursor()
        machine.systemctl("restart", SERVICE)
        load.flow(500)
        load.assert_clean()
    assert re.search(r"/etc/cabinetd\.conf:\d+: .*ecko",
                     machine.log(SERVICE, begun))
    reload_works(machine)


def test_restart_with_other_workers_and_many_sockets(serve):
    many = ", ".join(f'"tcp://127.0.0.1:{9000 + i}"' for i in range(250))
    text = CONFIG.replace('"tcp://127.0.0.1:8013"', f"( {many} )")
    machine = serve(text)
    for workers in (5, 1):
        machine.put("/etc/cabinetd.conf", text.replace(
            "workers = 2", f"workers = {workers}"))
        with Load(machine, "line:127.0.0.1:9000:2", "line:127.0.0.1:9249:2",
                  "http-close:127.0.0.1:8080:2") as load:
            load.flow(200)
            machine.systemctl("restart", SERVICE)
            load.flow(200)
            kill_supervisor(machine)
            load.flow(200)
            load.assert_clean()
        wait_until(lambda n=workers: len(roles(machine)) == n + 1,
                   lambda: str(machine.processes(SERVICE)))


def test_killed_after_an_upgrade(serve, builds):
    """
    The program was replaced on disk and then the supervisor died: the next one
    is another build, and takes over from workers of the old one.
    """
    machine = serve(CONFIG)
    with Load(machine, *LOAD) as load:
        for version, program in builds[1:] + builds[:1]:
            load.flow(400)
            machine.put(PROGRAM, program, 0o755)
            kill_supervisor(machine)
            shown = machine.run("cabinetctl", "--json", "status").out
            assert json.loads(shown)["daemon"]["version"] == version
            reload_works(machine, version)
        load.flow(400)
        load.assert_clean()
    wait_until(lambda: len(roles(machine)) == 3,
               lambda: str(machine.processes(SERVICE)))


def test_role_restarts_although_its_file_is_gone(serve, builds):
    """A package manager has replaced the program of a daemon that runs."""
    machine = serve(CONFIG)
    machine.put(PROGRAM, builds[1][1], 0o755)
    for pid in roles(machine):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda gone=pid: gone not in roles(machine)
                   and len(roles(machine)) == 3, "it is started again")
    assert machine.run("bash", "-c", "timeout 20 cat </dev/tcp/127.0.0.1/8071"
                       ).out == "yes\n"
    shown = json.loads(machine.run("cabinetctl", "--json", "status").out)
    assert shown["daemon"]["version"] == builds[0][0]


def test_restart_after_a_dropped_port(serve):
    """A socket that is not wanted any more does not come back from the store."""
    machine = serve(CONFIG.replace("tcp://127.0.0.1:8013", "tcp://127.0.0.1:8014"))
    machine.put("/etc/cabinetd.conf", CONFIG)
    machine.systemctl("reload", SERVICE)
    assert listening(machine, 8013) and not listening(machine, 8014)
    machine.systemctl("restart", SERVICE)
    assert listening(machine, 8013) and not listening(machine, 8014)
    # And one that is dropped by the file that the next one reads.
    machine.put("/etc/cabinetd.conf", CONFIG.replace(
        "tcp://127.0.0.1:8013", "tcp://127.0.0.1:8015"))
    machine.systemctl("restart", SERVICE)
    assert listening(machine, 8015) and not listening(machine, 8013)
