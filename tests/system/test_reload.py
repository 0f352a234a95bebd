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
        "echo-udp:127.0.0.1:8007:2", "line:127.0.0.1:8013:2")


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
        '"udp://127.0.0.1:8007", "udp://127.0.0.1:%d" ); protocol = "echo"; '
        'limits = { per_source_rate = 0; }; '
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


@pytest.mark.row("reload")
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
        report = load.stop()
    figure(f"{times} reloads, ports and services changed", report)
    load.assert_clean()
    changed = re.findall(r"the configuration was changed",
                         machine.log(SERVICE, begun))
    assert len(changed) == times


# What can be wrong with one more service, or with the line where it stands.
BREAKAGE = (
    '{ nam = "x"; }',
    '{ name = "x"; listen = 4294967376; protocol = "echo"; }',
    '{ name = "x"; listen = 0x50000; protocol = "echo"; }',
    '{ name = "x"; listen = "tcp://127.0.0.1:http-alt"; protocol = "echo"; }',
    '{ name = "web"; listen = 8099; protocol = "echo"; }',
    '{ name = "x"; listen = "tcp://*:8080"; protocol = "echo"; }',
    '{ name = "x"; listen = 8099; protocol = "ecko"; }',
    '{ name = "x"; listen = 8099; }',
    '{ name = "x"; listen = 8099; protocol = "echo"; exec = { program = '
    '"/bin/cat"; user = "nobody"; }; }',
    '{ name = "x"; listen = 8099; protocol = "echo"; '
    'timeouts = { idle = "soon"; }; }',
    '{ name = "x"; listen = 8099; protocol = "echo"; '
    'limits = { connections = -1; }; }',
    '{ name = "x"; listen = 8099; protocol = "echo"; '
    'access = { allow = ( "10.0.0.0/33" ); }; }',
    '{ name = "x"; listen = 8099; protocol = "http"; '
    'http = { root = "/no/such/directory"; }; }',
    '{ name = "x"; listen = 8099; exec = { program = "/no/such"; '
    'user = "nobody"; }; }',
    '{ name = "x"; listen = 8099; exec = { program = "/bin/cat"; '
    'user = "no-such-user"; }; }',
    # Right, but it cannot be bound.
    '{ name = "x"; listen = "tcp://192.0.2.1:8099"; protocol = "echo"; }',
    # Not even the syntax of the file.
    '{ name = "x" listen',
    '{ name = "x; listen = 8099; protocol = "echo"; }',
    '@include "/etc"',
    '@include "/no/such/file"',
)
DROPIN = "/etc/cabinetd.conf.d/more.conf"


def break_config(machine, turn):
    """Writes a broken configuration; the (file, line) of what is wrong."""
    wrong = BREAKAGE[turn % len(BREAKAGE)]
    if turn // len(BREAKAGE) % 2:
        machine.put("/etc/cabinetd.conf", config(turn))
        machine.put(DROPIN, f"// a file of its own\nservices = (\n{wrong}\n);\n")
        return DROPIN, 3
    machine.remove(DROPIN)
    good = config(turn).rstrip().removesuffix(");").rstrip()
    machine.put("/etc/cabinetd.conf", f"{good},\n{wrong}\n);\n")
    return "/etc/cabinetd.conf", good.count("\n") + 2


@pytest.mark.row("broken-reload")
@pytest.mark.bound(300)
def test_broken_reloads_change_nothing(serve, figure):
    times = count(40, 1000, "BROKEN_RELOADS")
    machine = serve(config(0))
    before = machine.processes(SERVICE)
    with Load(machine, *LOAD) as load:
        for turn in range(times):
            file, line = break_config(machine, turn)
            where = f"{re.escape(file)}:{line}: "
            begun = machine.cursor()
            done = machine.run("cabinetctl", "reload", check=False)
            assert done.status == 1, (turn, done)
            assert re.search(f"^{where}error: ", done.err, re.M), (turn, done)
            assert re.search(where, machine.log(SERVICE, begun)), turn
        report = load.stop()
    figure(f"{times} reloads of {len(BREAKAGE)} kinds of broken files", report)
    load.assert_clean()
    assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out == "turn 0\n"
    # Neither a role nor the supervisor was replaced.
    assert set(machine.processes(SERVICE)) == set(before)


def test_systemctl_reload_tells_what_is_wrong(serve):
    """By its exit status, and in the journal, where systemctl says to look."""
    machine = serve(config(0))
    file, line = break_config(machine, 0)
    begun = machine.cursor()
    done = machine.systemctl("reload", SERVICE, check=False)
    assert done.status == 1 and "journalctl -xeu cabinetd" in done.err, done
    said = [r["MESSAGE"] for r in machine.records(begun)
            if r.get("_COMM") == "cabinetctl"]
    assert any(m.startswith(f"{file}:{line}: error: ") for m in said), said
    assert machine.is_active(SERVICE)
    assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out == "turn 0\n"


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
