# SPDX-License-Identifier: GPL-2.0-or-later
"""
Sockets that systemd passes.  Its part is played by the tests: they keep every
socket open as a .socket unit does, and pass it again to each supervisor.
"""

import contextlib
import select
import signal
import socket
import subprocess

import pytest

import harness
from harness import BINARY, base_environment, receive, tcp
from test_ctl import ask, ctl, datagrams, service, who_answers
from test_survive import echo_once, kept


@pytest.mark.parametrize("variables, said", [
    ({"LISTEN_PID": "x", "LISTEN_FDS": "1"}, 'LISTEN_PID is "x", not a number'),
    ({"LISTEN_FDS": "one"}, 'LISTEN_FDS is "one", not a number'),
    ({"LISTEN_FDS": "0"}, 'LISTEN_FDS is "0", not a number from 1 on'),
    ({"LISTEN_FDS": "99999999999"}, 'LISTEN_FDS is "99999999999"'),
    ({"LISTEN_FDS": "2"}, "LISTEN_FDS is 2, so descriptors 3 to 4 should have "
                          "been passed, but 4 is not open"),
    ({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "a:b"},
     'LISTEN_FDNAMES is "a:b", which is not a list of 1 name with'),
])
def test_variables_that_do_not_fit(variables, said):
    result = subprocess.run(
        ["/bin/sh", "-c", 'export LISTEN_PID="${LISTEN_PID-$$}"; '
         'exec "$0" -c /nonexistent 3</dev/null 4<&-', str(BINARY)],
        env={**base_environment(), **variables}, stderr=subprocess.PIPE,
        text=True, timeout=30)
    assert result.returncode == 1
    assert f"cannot start: {said}" in result.stderr


@pytest.fixture
def passed(kept):
    """
    Starts the daemon with these sockets, and a store for descriptors or none:
    passed(services, {"web": socket}, room=0)
    """
    def start(services, sockets, room=0, **kwargs):
        return kept(services, workers=1, room=room, extra=[
            (name, sock.fileno()) for name, sock in sockets.items()], **kwargs)
    return start


@pytest.fixture
def sockets():
    """As systemd makes them, and keeps: two, and their ports."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                for _ in range(2)]
        yield made, [sock.getsockname()[1] for sock in made]


def echo(listen, name="a", **more):
    return {"name": name, "listen": listen, "protocol": "echo", **more}


def both(port):
    """The two ways to ask for the socket."""
    return "systemd://web", f"tcp://127.0.0.1:{port}"


def reload(daemon, *services, **kwargs):
    daemon.write(list(services))
    return ask(daemon, "reload", **kwargs)


def waits(port):
    """Sends a request that nobody reads yet."""
    sock = tcp(port)
    sock.sendall(b"early")
    return sock


@pytest.mark.parametrize("way", [0, 1])
def test_given_up_and_taken_back_by_hand(passed, sockets, way):
    (web, _), (port, _) = sockets
    daemon = passed([echo(both(port)[way])], {"web": web})
    for _ in range(3):
        echo_once(port)
        ctl(daemon, "disable", "a")
        with waits(port) as sock:
            # Nobody serves it, and nobody turns the client away.
            assert service(daemon, "a")["state"] == "disabled"
            assert not select.select([sock], [], [], 0)[0]
            assert ask(daemon, "enable", "a")["service"]["state"] == "serving"
            assert receive(sock, 5) == b"early"


@pytest.mark.parametrize("way", [0, 1])
def test_given_up_and_taken_back_by_a_reload(passed, sockets, way):
    (web, _), (port, _) = sockets
    listen = both(port)[way]
    daemon = passed([echo(listen)], {"web": web})
    for gone in ([], [echo(listen, enabled=False)]):
        reload(daemon, *gone)
        with waits(port) as sock:
            reload(daemon, echo(listen))
            assert receive(sock, 5) == b"early"
    # Under another name, for another protocol, and both at once.
    reload(daemon, echo(listen, name="b"))
    echo_once(port)


@pytest.mark.parametrize("way", [0, 1])
@pytest.mark.parametrize("first", ["disabled", "none"])
def test_used_later_than_passed(passed, sockets, way, first):
    (web, other), (port, used) = sockets
    listen = both(port)[way]
    services = [echo("systemd://other", name="o")]
    daemon = passed(
        services + [echo(listen, enabled=False)] * (first == "disabled"),
        {"web": web, "other": other})
    daemon.wait_log(r'passed as "web" .*its clients wait until one does')
    assert 'passed as "other"' not in daemon.log()
    with waits(port) as sock:
        reload(daemon, *services, echo(listen))
        assert receive(sock, 5) == b"early"
    echo_once(used)


def test_by_name_and_by_address_in_turn(passed, sockets):
    (web, _), (port, _) = sockets
    ways = both(port)
    daemon = passed([echo(ways[0])], {"web": web})
    for turn in (1, 0, 1, 0):
        with tcp(port) as held:
            reload(daemon, echo(ways[turn]))
            assert service(daemon, "a")["listeners"] == [ways[1]]
            echo_once(port)
            held.sendall(b"held")
            assert receive(held, 4) == b"held"


def test_one_socket_is_for_one_listener(passed, sockets):
    """Whichever has it, nobody is told to stop the program that has it."""
    (web, _), (port, _) = sockets
    ways = both(port)
    daemon = passed([echo(ways[0])], {"web": web})
    for way, why in ((0, 'passed as "web"'), (1, "by its address")):
        reload(daemon, echo(ways[way]))
        reply = reload(daemon, *map(echo, ways, "ab"), status=1)
        assert why in reply["findings"][0]["text"]
        assert "stop the program" not in reply["findings"][0]["text"]
        echo_once(port)


def test_an_address_that_overlaps(passed, sockets):
    """systemd's socket stays open, so that clients would wait there for ever."""
    (web, _), (port, _) = sockets
    daemon = passed([echo("systemd://web")], {"web": web})
    reply = reload(daemon, echo(f"tcp://0.0.0.0:{port}"), status=1)
    assert 'passed as "web" (127.0.0.1:' in reply["findings"][0]["text"]
    assert "change its address" in reply["findings"][0]["text"]
    echo_once(port)


def test_a_reload_that_fails_takes_nothing(passed, sockets):
    (web, _), (port, taken) = sockets
    daemon = passed([echo("systemd://web")], {"web": web})
    for listen in both(port):
        reply = reload(daemon, echo(listen, name="b"),
                       echo(f"tcp://127.0.0.1:{taken}", name="c"), status=1)
        assert str(taken) in reply["findings"][0]["text"]
        echo_once(port)
    ctl(daemon, "disable", "a")
    reload(daemon, echo(f"tcp://127.0.0.1:{port}", name="b"),
           echo(f"tcp://127.0.0.1:{taken}", name="c"), status=1)
    ctl(daemon, "enable", "a")
    echo_once(port)


@pytest.mark.parametrize("tell", [signal.SIGKILL, signal.SIGUSR2])
def test_taken_back_by_the_next_supervisor(passed, sockets, tell):
    """It is passed the socket again, as systemd does, though nobody used it."""
    (web, _), (port, _) = sockets
    daemon = passed([echo("systemd://web")], {"web": web}, room=512)
    ctl(daemon, "disable", "a")
    with waits(port) as sock:
        daemon.again(tell=tell)
        assert service(daemon, "a")["state"] == (
            "disabled" if tell == signal.SIGKILL else "serving")
        ctl(daemon, "enable", "a")
        assert receive(sock, 5) == b"early"
    reload(daemon)
    daemon.again(tell=tell)
    reload(daemon, echo(f"tcp://127.0.0.1:{port}"))
    echo_once(port)


def test_a_program_goes_on_with_a_passed_socket(passed):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        w = datagrams("systemd://dgram")
        daemon = passed([w], {"dgram": sock}, drain=0)
        pid = who_answers(port)
        ctl(daemon, "disable", "w")
        ctl(daemon, "enable", "w")
        assert who_answers(port) == pid
        reload(daemon)
        reload(daemon, {**w, "listen": f"udp://127.0.0.1:{port}"})
        assert who_answers(port)


def test_descriptors_do_not_pile_up(passed, sockets):
    (web, _), (port, _) = sockets
    ways = both(port)
    daemon = passed([echo(ways[0])], {"web": web})
    counts = []
    for _ in range(3):
        reload(daemon)
        reload(daemon, echo(ways[1]))
        reload(daemon, echo(ways[0]))
        echo_once(port)
        counts.append(harness.Process(daemon.pid).descriptors())
    assert len(set(counts)) == 1, counts
