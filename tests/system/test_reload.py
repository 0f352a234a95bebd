# SPDX-License-Identifier: GPL-2.0-or-later
"""systemctl reload while clients are at work: nobody notices, or nothing changes."""

import random
import re

import pytest

from conftest import count
from rig import Load, wait_until

SERVICE = "cabinetd.service"
LOAD = ("http-keep:127.0.0.1:8080:6", "http-close:127.0.0.1:8080:4",
        "http-close:[::1]:8080:2", "echo:127.0.0.1:8007:4",
        "line:127.0.0.1:8013:2")


def config(turn):
    """
    What the load uses is always there, but its settings, its order and all
    that is around it change each time.
    """
    dice = random.Random(turn)
    services = [
        '{ name = "web"; listen = "tcp://*:8080"; protocol = "http"; '
        'http = { routes = ( { path = "/"; body = "turn %d\\n"; } ); }; '
        'timeouts = { idle = "%ds"; }; }' % (turn, 60 + turn % 7),
        '{ name = "echo"; listen = ( "tcp://127.0.0.1:8007", '
        '"udp://127.0.0.1:%d" ); protocol = "echo"; '
        'socket = { backlog = %d; }; }' % (9000 + turn % 10,
                                           1024 + turn % 3),
        '{ name = "day"; listen = "tcp://127.0.0.1:8013"; '
        'protocol = "daytime"; }',
    ]
    for number in dice.sample(range(20), 8):
        port = 8100 + number if dice.random() < .7 else 8200 + dice.randrange(9)
        if f":{port}\"" in "".join(services):
            continue
        what = dice.choice(['protocol = "discard"', 'protocol = "daytime"',
                            'exec = { program = "/bin/cat"; user = "nobody"; }'])
        services.append('{ name = "extra%d"; listen = "tcp://127.0.0.1:%d"; '
                        '%s; }' % (number, port, what))
    dice.shuffle(services)
    return "workers = 2;\nservices = (\n" + ",\n".join(services) + "\n);\n"


@pytest.mark.figures
@pytest.mark.bound(300)
def test_reloads_under_load(serve, figure):
    times = count(10, 100, "RELOADS")
    requests = count(20000, 1000000, "RELOAD_REQUESTS")
    machine = serve(config(0))
    begun = machine.cursor()
    with Load(machine, *LOAD) as load:
        for turn in range(1, times + 1):
            load.flow(requests // times // 2)
            machine.put("/etc/cabinetd.conf", config(turn))
            machine.systemctl("reload", SERVICE)
            # In force as soon as the command returns.
            assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out == \
                f"turn {turn}\n"
        while load.done < requests:
            load.flow(min(5000, requests - load.done))
        report = load.assert_clean()
    changed = re.findall(r"the configuration was changed",
                         machine.log(SERVICE, begun))
    assert len(changed) == times
    figure(f"{times} reloads: {report['failed']} failed of {report['ok']} "
           f"requests, slowest {report['worst_ms']} ms")


def broken(turn):
    """(text, the number of the line that is wrong)"""
    good = config(0).rstrip().removesuffix(");").rstrip()
    lines = good.count("\n") + 2
    end = "\n);\n"
    return [
        (f"{good},\n{{ nam = \"x\"; }}{end}", lines),
        (f"{good},\n{{ name = \"x\"; listen = 4294967376; "
         f"protocol = \"echo\"; }}{end}", lines),
        (f"{good},\n{{ name = \"web\"; listen = 8099; "
         f"protocol = \"echo\"; }}{end}", lines),
        (f"{good},\n{{ name = \"x\"; listen = 8099; protocol = \"ecko\"; }}"
         + end, lines),
        (f"{good},\n{{ name = \"x\"; listen = 8099; exec = {{ program = "
         f"\"/no/such\"; user = \"nobody\"; }}; }}{end}", lines),
        (f"{good},\n{{ name = \"x\"; listen = \"tcp://192.0.2.1:8099\"; "
         f"protocol = \"echo\"; }}{end}", lines),    # checked, cannot be bound
        (f"{good},\n{{ name = \"x\" listen{end}", lines),
        (f"{good},\n@include \"/etc\"{end}", lines),
    ][turn % 8]


@pytest.mark.figures
@pytest.mark.bound(300)
def test_broken_reloads_change_nothing(serve, figure):
    times = count(16, 1000, "BROKEN_RELOADS")
    machine = serve(config(0))
    before = machine.processes(SERVICE)
    with Load(machine, *LOAD) as load:
        for turn in range(times):
            text, line = broken(turn)
            machine.put("/etc/cabinetd.conf", text)
            where = rf"/etc/cabinetd\.conf:{line}: "
            begun = machine.cursor()
            done = machine.run("cabinetctl", "reload", check=False)
            assert done.status != 0, (text, done)
            assert re.search(where + "error: ", done.all), (text, done)
            assert re.search(where, machine.log(SERVICE, begun)), text
            assert machine.is_active(SERVICE)
        report = load.assert_clean()
    done = machine.systemctl("reload", SERVICE, check=False)
    assert done.status != 0, done
    assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out == "turn 0\n"
    # Neither a role nor the supervisor was replaced.
    assert set(machine.processes(SERVICE)) == set(before)
    figure(f"{times} broken reloads: {report['failed']} failed of "
           f"{report['ok']} requests, each reported with file and line")


def test_reload_prints_what_changed(serve):
    machine = serve(config(0))
    machine.put("/etc/cabinetd.conf", config(0).replace("turn 0", "turn x"))
    done = machine.run("cabinetctl", "reload")
    assert re.search(r"changed\W+(1\b|web)", done.out), done


def test_reload_storm(serve):
    """Many at once are one after the other, and none is forgotten."""
    machine = serve(config(0))
    with Load(machine, *LOAD) as load:
        load.flow(200)
        machine.put("/etc/cabinetd.conf", config(1))
        asked = [machine.start("cabinetctl", "reload") for _ in range(12)]
        for process in asked:
            assert process.wait(60) == 0
        assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out == \
            "turn 1\n"
        load.flow(200)
        load.assert_clean()
    assert len(machine.roles(SERVICE, "worker")) == 2


def test_connections_survive_a_reload(serve):
    """A long one goes on across reloads, also of its own service."""
    machine = serve(config(0))
    with Load(machine, "echo-long:127.0.0.1:8007:4") as load:
        for turn in range(1, 5):
            load.flow(500)
            machine.put("/etc/cabinetd.conf", config(turn))
            machine.systemctl("reload", SERVICE)
        load.flow(500)
        load.assert_clean()


def test_dropped_and_added_ports(serve):
    machine = serve(config(0))
    extra = ',{ name = "new"; listen = 8300; protocol = "daytime"; }\n);'
    shown = ("bash", "-c", "cat </dev/tcp/127.0.0.1/8300")
    assert machine.run(*shown, check=False).status != 0
    machine.put("/etc/cabinetd.conf", config(0).replace("\n);", extra))
    machine.systemctl("reload", SERVICE)
    assert machine.run(*shown).out
    machine.put("/etc/cabinetd.conf", config(0))
    machine.systemctl("reload", SERVICE)
    wait_until(lambda: machine.run(*shown, check=False).status != 0,
               "the dropped port is closed")
