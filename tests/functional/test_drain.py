# SPDX-License-Identifier: GPL-2.0-or-later
"""
What a reload and a stop do to what is open: a service that is as it was keeps
its connections and programs, one that was changed or dropped has until its
drain deadline, and nothing of it is held on to afterwards.
"""

import contextlib
import os
import signal
import threading

import pytest

from harness import (Http, Process, descendants, echoes, free_port, http,
                     in_parallel, needs_root, program, receive, receive_all, tcp, udp,
                     unix_stream, wait_until)
from test_ctl import ask, ctl
from test_survive import Load, echo_held, echo_once, run_cat

SHORT = {"drain": "200ms"}
LONG = {"drain": "1h"}


def echo(port, name, timeouts=SHORT, **more):
    return {"name": name, "listen": f"tcp://127.0.0.1:{port}",
            "protocol": "echo", "timeouts": timeouts, **more}


def cat(port, name, timeouts=SHORT, **more):
    return {"name": name, "listen": f"tcp://127.0.0.1:{port}",
            "exec": program("/bin/cat"), "timeouts": timeouts, **more}


def web(port, root, name="web", timeouts=SHORT, **more):
    return {"name": name, "listen": f"tcp://127.0.0.1:{port}",
            "protocol": "http", "timeouts": timeouts,
            "http": {"root": str(root),
                     "routes": [{"path": "/healthz", "status": 200,
                                 "body": "ok\n"}]}, **more}


def changed(service, turn=0):
    return {**service, "limits": {"connections": 500 + turn}}


def programs(running, path):
    return [p for p in descendants(running.pid)
            if p.title.startswith(path) and p.state not in "ZX"]


# ---------------------------------------------------------------- reloads

@pytest.mark.parametrize("make", [echo, cat])
@pytest.mark.parametrize("how", ["changed", "disabled", "dropped"])
def test_only_what_the_reload_touches_ends(daemon, make, how):
    one, two = free_port(), free_port()
    kept, touched = make(one, "kept"), make(two, "touched")
    after = {"changed": [changed(touched)],
             "disabled": [{**touched, "enabled": False}],
             "dropped": []}[how]
    running = daemon(services=[touched, kept], workers=2)
    with tcp(one) as stays, tcp(two) as goes:
        assert echoes(stays) and echoes(goes)
        running.reload(services=[kept, *after])
        assert receive_all(goes) == b""
        # What ended the other did not come near this one, nor do more reloads.
        for turn in range(5):
            running.reload(services=[
                echo(two, f"other{turn}"), changed(kept), kept][0::2])
            assert echoes(stays)
    if make is cat:
        running.wait_log("ended by signal 15.* because its service was changed")


@pytest.mark.parametrize("make", [echo, cat])
def test_a_deadline_lifted_by_the_reload_that_undoes_it(daemon, make):
    ports = [free_port(), free_port()]
    timeouts = {"drain": "3s"}
    back = make(ports[0], "back", timeouts)
    gone = make(ports[1], "gone", timeouts)
    running = daemon(services=[back, gone], workers=1)
    with tcp(ports[0]) as one, tcp(ports[1]) as two:
        assert echoes(one) and echoes(two)
        running.reload(services=[changed(back), changed(gone)])
        running.reload(services=[back, changed(gone)])
        # Both had the same deadline, and the second one's is over.
        assert receive_all(two) == b""
        assert echoes(one)


# ---------------------------------------------------------------- fewer workers

def crew(running):
    """What status shows of the workers: {slot: row}."""
    return {row["slot"]: row for row in ask(running, "status")["processes"]
            if row["role"] == "worker"}


def owner(running, sock):
    """The name of the process that has the connection."""
    host, port = sock.getsockname()[:2]
    return next((row["process"]
                 for row in ask(running, "connections")["connections"]
                 if row["peer"] == f"{host}:{port}"), None)


def held_by(running, name, connect, ready):
    """One connection that the process of this name holds, and others before it."""
    others = []
    for _ in range(256):
        sock = connect()
        assert ready(sock)
        if owner(running, sock) == name:
            return sock, others
        others.append(sock)
    raise AssertionError(f"{name} gets no client")


def test_fewer_workers_end_no_connection(daemon):
    port = free_port()
    service = echo(port, "a")
    running = daemon(services=[service], workers=3)
    before = crew(running)
    with contextlib.ExitStack() as stack:
        socks = []
        for slot in range(3):
            one, others = held_by(running, f"worker {slot}",
                                  lambda: tcp(port), echoes)
            socks += [stack.enter_context(sock) for sock in [one, *others]]
        running.reload(services=[service], workers=1)
        after = crew(running)
        assert [after[slot]["state"] for slot in range(3)] == \
            ["running", "draining", "draining"]
        assert [after[slot]["pid"] for slot in range(3)] == \
            [before[slot]["pid"] for slot in range(3)]
        assert ask(running, "status")["daemon"]["workers"] == 1
        # However often it is read again; and all new clients are the others'.
        for _ in range(3):
            running.reload()
        assert all(echoes(sock) for sock in socks)
        rows = ask(running, "connections")["connections"]
        assert len(rows) == len(socks)
        new = [stack.enter_context(tcp(port)) for _ in range(8)]
        assert all(echoes(sock) for sock in new)
        assert {owner(running, sock) for sock in new} == {"worker 0"}
        # By number they can be ended, as any other.
        victim = next(row for row in rows if row["process"] == "worker 2")
        ctl(running, "kill", victim["id"])
        wait_until(lambda: victim["id"] not in [
            row["id"] for row in ask(running, "connections")["connections"]],
            "the connection is ended")
    wait_until(lambda: list(crew(running)) == [0], "they end with their last")
    assert [p.pid for p in running.workers()] == [before[0]["pid"]]
    # Fresh ones in their slots have never been restarted.
    running.reload(services=[service], workers=3)
    again = crew(running)
    assert {row["restarts"] for row in again.values()} == {0}
    assert {row["state"] for row in again.values()} == {"running"}
    assert not {again[1]["pid"], again[2]["pid"]} & \
        {row["pid"] for row in before.values()}


def test_a_worker_that_drains_is_recalled(daemon):
    port = free_port()
    service = echo(port, "a")
    running = daemon(services=[service], workers=2)
    sock, others = held_by(running, "worker 1", lambda: tcp(port), echoes)
    before = crew(running)
    with contextlib.ExitStack() as stack:
        for other in [sock, *others]:
            stack.enter_context(other)
        running.reload(services=[service], workers=1)
        assert crew(running)[1]["state"] == "draining"
        running.reload(services=[service], workers=3)
        after = crew(running)
        assert [after[slot]["state"] for slot in range(3)] == ["running"] * 3
        assert after[1]["pid"] == before[1]["pid"]
        assert {row["restarts"] for row in after.values()} == {0}
        assert echoes(sock)
        new, more = held_by(running, "worker 1", lambda: tcp(port), echoes)
        for other in [new, *more]:
            stack.enter_context(other)
    wait_until(lambda: sum(row["connections"]
                           for row in crew(running).values()) == 0,
               "they have all gone")
    assert crew(running)[1]["pid"] == before[1]["pid"]


@pytest.mark.parametrize("how", ["changed", "dropped"])
def test_a_later_reload_ends_what_it_touches_there_too(daemon, how):
    one, two = free_port(), free_port()
    kept, touched = echo(one, "kept"), echo(two, "touched")
    running = daemon(services=[kept, touched], workers=2)
    stays, a = held_by(running, "worker 1", lambda: tcp(one), echoes)
    goes, b = held_by(running, "worker 1", lambda: tcp(two), echoes)
    with contextlib.ExitStack() as stack:
        for sock in [stays, goes, *a, *b]:
            stack.enter_context(sock)
        running.reload(services=[kept, touched], workers=1)
        assert echoes(stays) and echoes(goes)
        running.reload(services=[kept] if how == "dropped" else
                       [changed(touched), kept], workers=1)
        assert receive_all(goes) == b""
        assert echoes(stays)
        assert crew(running)[1]["state"] == "draining"
    wait_until(lambda: list(crew(running)) == [0], "it ends with its last")


def test_fewer_workers_in_the_middle_of_a_mail_and_a_download(daemon, work):
    size = 20_000_000
    (work / "www").mkdir()
    (work / "www/big").write_bytes(b"z" * size)
    mail_port, web_port = free_port(), free_port()
    mail = {"name": "mail", "listen": f"tcp://127.0.0.1:{mail_port}",
            "protocol": "smtp", "smtp": {"mode": "sink"}}
    services = [mail, web(web_port, work / "www")]
    running = daemon(services=services, workers=2, drain="1ms")

    def say(sock, line):
        sock.sendall(line + b"\r\n")
        return receive_line(sock)

    def receive_line(sock):
        line = b""
        while not line.endswith(b"\r\n"):
            line += receive(sock, 1)
        return line

    def healthy(sock):
        with contextlib.suppress(OSError):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            return b"ok" in sock.recv(1000)

    mailer, a = held_by(running, "worker 1", lambda: tcp(mail_port),
                        lambda s: receive_line(s).startswith(b"220"))
    getter, b = held_by(running, "worker 1", lambda: tcp(web_port), healthy)
    with contextlib.ExitStack() as stack:
        for sock in [mailer, getter, *a, *b]:
            stack.enter_context(sock)
        for line in [b"HELO a", b"MAIL FROM:<a@b.example>",
                     b"RCPT TO:<a@b.example>"]:
            assert say(mailer, line).startswith(b"250"), line
        assert say(mailer, b"DATA").startswith(b"354")
        mailer.sendall(b"Subject: x\r\n\r\nhalf")
        getter.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n"
                       b"Connection: close\r\n\r\n")
        assert receive(getter, 12) == b"HTTP/1.1 200"
        running.reload(services=services, workers=1, drain="1ms")
        assert crew(running)[1]["state"] == "draining"
        assert say(mailer, b" more\r\n.").startswith(b"250")
        body = receive_all(getter)
        assert len(body.split(b"\r\n\r\n", 1)[1]) == size


def test_one_that_hangs_while_it_drains_is_ended(daemon):
    port = free_port()
    services = [echo(port, "a")]
    running = daemon(services=services, workers=2)
    sock, others = held_by(running, "worker 1", lambda: tcp(port), echoes)
    with contextlib.ExitStack() as stack:
        for other in [sock, *others]:
            stack.enter_context(other)
        running.reload(services=services, workers=1)
        os.kill(crew(running)[1]["pid"], signal.SIGSTOP)
        # A reload does not wait for it.
        running.reload()
        assert receive_all(sock, reset_ok=True) == b""
        wait_until(lambda: list(crew(running)) == [0], "it is not replaced")
        assert all(echoes(other) for other in others)


def test_workers_come_and_go_under_load(daemon):
    """Whoever connects meanwhile is served, by one that stays or one that goes."""
    ports = free_port(), free_port()
    services = [echo(ports[0], "a"), cat(ports[1], "b")]
    running = daemon(services=services, workers=1)
    with Load(*[lambda: echo_once(ports[0])] * 3, echo_held(ports[0]),
              lambda: run_cat(ports[1])) as load:
        for workers in [3, 1, 2, 1, 4, 2] * 4:
            running.reload(services=services, workers=workers)
            load.flow()
    running.reload(services=services, workers=1)
    wait_until(lambda: list(crew(running)) == [0], "one is left")
    running.reload(services=services, workers=4)
    assert {row["restarts"] for row in crew(running).values()} == {0}


def test_a_stop_drains_such_workers_as_the_others(daemon):
    port = free_port()
    running = daemon(services=[echo(port, "a")], workers=2, drain="30s")
    sock, others = held_by(running, "worker 1", lambda: tcp(port), echoes)
    with contextlib.ExitStack() as stack:
        for other in [sock, *others]:
            stack.enter_context(other)
        running.reload(services=[echo(port, "a")], workers=1, drain="30s")
        running.signal(signal.SIGTERM)
        assert receive_all(sock) == b""
    running.finish()


def test_the_drain_is_the_one_the_connection_started_with(daemon):
    port, other = free_port(), free_port()
    running = daemon(services=[echo(port, "a", LONG), echo(other, "b", SHORT)])
    with tcp(port) as long, tcp(other) as short:
        assert echoes(long) and echoes(short)
        running.reload(services=[echo(port, "a", SHORT),
                                 echo(other, "b", LONG)])
        assert receive_all(short) == b""
        assert echoes(long)


def test_services_inherit_the_drain_of_the_daemon(daemon):
    port, other = free_port(), free_port()
    services = [echo(port, "a", {}), echo(other, "b", LONG)]
    running = daemon(services=services, drain="200ms")
    with tcp(port) as short, tcp(other) as long:
        assert echoes(long) and echoes(short)
        running.reload(services=[changed(s) for s in services], drain="200ms")
        assert receive_all(short) == b""
        assert echoes(long)


def test_no_drain_at_all(daemon):
    port = free_port()
    running = daemon(services=[echo(port, "a", {"drain": 0})])
    with tcp(port) as sock:
        assert echoes(sock)
        running.reload(services=[])
        assert receive_all(sock) == b""


def test_http_of_a_changed_service_closes_with_its_next_reply(daemon, work):
    ports = [free_port(), free_port()]
    root = work / "files"
    root.mkdir()
    same, other = web(ports[0], root, "same", LONG), \
        web(ports[1], root, "other", LONG)
    running = daemon(services=[same, other])
    with http(ports[0]) as stays, http(ports[1]) as goes:
        assert stays.open() and goes.open()
        running.reload(services=[same, changed(other)])
        reply = goes.ask("/healthz")
        assert reply.status == 200 and reply.get("Connection") == "close"
        assert goes.closed()
        reply = stays.ask("/healthz")
        assert reply.status == 200 and reply.get("Connection") is None
        assert stays.open()


def test_an_idle_http_connection_of_a_changed_service_ends(daemon, work):
    port = free_port()
    running = daemon(services=[web(port, work)])
    with tcp(port) as sock, Http(sock) as link:
        assert link.open()
        running.reload(services=[])
        assert link.closed()


def test_a_program_that_took_its_socket_over(daemon):
    port, other = free_port(), free_port()

    def serve(name, port, **more):
        # Answers datagrams for as long as it lives.
        script = ("import socket\n"
                  "s = socket.socket(fileno=0)\n"
                  "while True:\n"
                  "    data, peer = s.recvfrom(100)\n"
                  f"    s.sendto(b'{name} ' + data, peer)\n")
        return {"name": name, "listen": f"udp://127.0.0.1:{port}",
                "exec": program("/usr/bin/python3", "-c", script, wait=True,
                                **more), "timeouts": SHORT}

    def ask(port):
        with udp(port) as sock:
            sock.send(b"x")
            return sock.recv(100)

    running = daemon(services=[serve("kept", port), serve("touched", other)])
    assert ask(port) == b"kept x" and ask(other) == b"touched x"
    before = {p.pid for p in programs(running, "/usr/bin/python3")}
    assert len(before) == 2
    running.reload(services=[serve("kept", port),
                             serve("touched", other, nice=1)])
    wait_until(lambda: len(programs(running, "/usr/bin/python3")) == 1,
               "the program of the changed service has ended")
    assert ask(port) == b"kept x" and ask(other) == b"touched x"
    after = {p.pid for p in programs(running, "/usr/bin/python3")}
    assert len(before & after) == 1 and len(after) == 2


def test_a_stubborn_program_is_killed(daemon):
    port = free_port()
    stubborn = program("/bin/sh", "-c",
                       "trap '' TERM; while :; do read x; echo got; done")
    running = daemon(services=[
        {"name": "s", "listen": f"tcp://127.0.0.1:{port}", "exec": stubborn,
         "timeouts": SHORT}])
    with tcp(port) as sock:
        sock.sendall(b"x\n")
        assert sock.recv(4) == b"got\n"
        running.reload(services=[])
        assert receive_all(sock, reset_ok=True) == b""
    running.wait_log("signal 9 .KILL. because its service was changed or dropped")


# ---------------------------------------------------------------- what is held on to

def test_old_generations_hold_nothing_but_their_connections(daemon, work):
    """One connection stays of every configuration, and nothing else does."""
    ports = [free_port() for _ in range(3)]
    root = work / "files"
    root.mkdir()
    (root / "x").write_text("x")
    services = [echo(ports[0], "long", LONG), web(ports[1], root, timeouts=LONG)]
    other = echo(ports[2], "other", LONG)
    running = daemon(services=[*services, other], workers=1)
    roles = [Process(running.pid), *running.roles("worker|launcher")]

    def descriptors():
        return {p.title: p.descriptors() for p in roles}

    with contextlib.ExitStack() as stack:
        def turns(count):
            for turn in range(count):
                held = stack.enter_context(tcp(ports[0]))
                # The document root is in use while the reload happens.
                with http(ports[1]) as link:
                    assert echoes(held) and link.ask("/x").body == b"x"
                    running.reload(services=[*services, changed(other, turn)])
            return held

        turns(5)
        before = descriptors()
        before["cabinetd: worker 0"] += 30
        held = turns(30)
        wait_until(lambda: all(n <= before[t] for t, n in descriptors().items()),
                   f"descriptors as before: {before}, now {descriptors()}")
        assert echoes(held)
    running.check()


def test_hundreds_of_reloads_and_one_connection(daemon):
    port, other = free_port(), free_port()
    running = daemon(services=[echo(port, "long", LONG), cat(other, "cat", LONG)])
    with tcp(port) as one, tcp(other) as two:
        assert echoes(one) and echoes(two)
        for turn in range(200):
            running.reload(services=[
                echo(port, "long", LONG), cat(other, "cat", LONG),
                changed(echo(free_port(), "third"), turn)])
        assert echoes(one) and echoes(two)


def test_connections_of_many_generations(daemon):
    port, other = free_port(), free_port()
    running = daemon(services=[echo(port, "kept"), echo(other, "x")], workers=2)
    with contextlib.ExitStack() as stack:
        held = []
        for turn in range(20):
            held.append(stack.enter_context(tcp(port)))
            assert echoes(held[-1])
            running.reload(services=[echo(port, "kept"),
                                     changed(echo(other, "x"), turn)])
        assert all(echoes(sock) for sock in held)
        # One that changes the service at last ends them all.
        running.reload(services=[changed(echo(port, "kept"))])
        assert all(receive_all(sock) == b"" for sock in held)
        with tcp(port) as sock:
            assert echoes(sock)


# ---------------------------------------------------------------- by hand, and the end

def test_the_stop_waits_for_programs_until_the_drain_is_over(daemon):
    port = free_port()
    running = daemon(services=[cat(port, "cat", LONG)], drain="2s")
    with tcp(port) as sock:
        assert echoes(sock)
        running.family()
        running.signal(signal.SIGTERM)
        running.wait_note("STOPPING=1")
        # Serves on until its time is up.
        assert echoes(sock)
        assert receive_all(sock) == b""
    running.finish()
    assert "connections have 2.000 s" in running.log()


def test_the_stop_tells_systemd_how_long_it_may_take(daemon):
    running = daemon(services=[echo(free_port(), "a")], drain="5min")
    running.signal(signal.SIGTERM)
    running.wait_note("EXTEND_TIMEOUT_USEC=304000000")
    running.finish()


# ---------------------------------------------------------------- listeners that go

def queue_up(running, clients):
    """Clients that have connected while no worker looked; the list of their sockets."""
    stopped = running.workers()
    for worker in stopped:
        os.kill(worker.pid, signal.SIGSTOP)
    for process in stopped:
        wait_until(lambda p=process: Process(p.pid).state == "T", "it stopped")
    socks = [client() for client in clients]
    return stopped, socks


def reload_behind(running, stopped, services):
    """A reload that the stopped workers hear of before they look at a queue."""
    mark = free_port()
    running.write([*services, echo(mark, "mark")])
    running.signal(signal.SIGHUP)

    def opened():
        with contextlib.suppress(ConnectionRefusedError), tcp(mark):
            return True
    wait_until(opened, "the new configuration has its sockets")
    # Who is answered now is so after the messages have been sent.
    ctl(running, "status")
    for worker in stopped:
        os.kill(worker.pid, signal.SIGCONT)


@pytest.mark.parametrize("make", [echo, cat])
@pytest.mark.parametrize("how", ["moved", "dropped"])
def test_who_is_in_the_queue_of_a_listener_that_goes_is_served(daemon, make, how):
    port = free_port()
    service = make(port, "svc", LONG)
    running = daemon(services=[{**service, "listen": f"tcp://*:{port}"}],
                     workers=2)
    # More than a worker accepts in one go.
    stopped, socks = queue_up(running, [lambda: tcp(port)] * 50)
    reload_behind(running, stopped, [service] if how == "moved" else [])
    for sock in socks:
        assert echoes(sock)
        sock.close()


def test_where_clients_wait_for_places_they_are_told_at_the_end(daemon):
    port = free_port()
    running = daemon(services=[
        {"name": "mail", "listen": f"tcp://127.0.0.1:{port}",
         "protocol": "smtp", "timeouts": LONG,
         "limits": {"connections": 1, "on_limit": "queue"}}], workers=1)
    stopped, socks = queue_up(running, [lambda: tcp(port)] * 30)
    reload_behind(running, stopped, [])
    codes = sorted(receive(sock, 3) for sock in socks)
    assert codes == [b"220"] + [b"421"] * 29
    for sock in socks:
        sock.close()


def test_a_drain_by_hand_tells_who_waits_for_a_place(daemon):
    """Those before it in the queue, and those that come after it."""
    port = free_port()
    running = daemon(services=[
        {"name": "mail", "listen": f"tcp://127.0.0.1:{port}",
         "protocol": "smtp", "smtp": {"hostname": "mx.example.org"},
         "limits": {"connections": 1, "on_limit": "queue"}}], workers=1)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(tcp(port))
        assert first.recv(4) == b"220 "
        waiting = stack.enter_context(tcp(port))
        ctl(running, "drain", "mail")
        assert receive_all(waiting).startswith(b"421 ")
        assert receive_all(stack.enter_context(tcp(port))).startswith(b"421 ")
        first.sendall(b"QUIT\r\n")
        assert b"221 " in receive_all(first)


def test_a_unix_socket_that_goes_has_its_queue_served(daemon, work):
    path = work / "s.sock"
    service = {"name": "svc", "listen": f"unix://{path}", "protocol": "echo",
               "timeouts": LONG, "socket": {"mode": "0666"}}
    running = daemon(services=[service], workers=1)
    stopped, socks = queue_up(running, [lambda: unix_stream(path)] * 50)
    reload_behind(running, stopped, [])
    assert all(echoes(sock) for sock in socks)
    for sock in socks:
        sock.close()


def test_moving_a_listener_under_load_loses_nobody(daemon):
    port = free_port()
    running = daemon(services=[echo(port, "svc", LONG)], workers=2)
    places = [f"tcp://*:{port}", f"tcp://127.0.0.1:{port}"]
    done = threading.Event()

    def client():
        served = 0
        while not done.is_set() or served < 10:
            with tcp(port) as sock:
                assert echoes(sock)
                served += 1

    def reloads():
        try:
            for turn in range(30):
                running.reload(services=[
                    {**echo(port, "svc", LONG), "listen": places[turn % 2]}])
        finally:
            done.set()
    in_parallel([client, client, reloads], timeout=100)


@needs_root
def test_a_reload_that_fails_late_gives_the_dropped_listener_back(daemon):
    port, other, third = free_port(), free_port(), free_port()
    services = [echo(port, "svc"), cat(other, "cat")]
    running = daemon(services=services)
    with tcp(other) as sock:
        assert echoes(sock)
        # No launcher may start anew while a program runs, so it says no.
        more = cat(third, "more")
        more["exec"]["capabilities"] = "net_raw"
        since = running.mark()
        running.reload(services=[cat(other, "cat"), more])
        running.wait_log("the old one stays in force", since)
        with tcp(port) as client:
            assert echoes(client)
        assert echoes(sock)
