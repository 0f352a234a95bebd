# SPDX-License-Identifier: GPL-2.0-or-later
"""
Metrics: right values, the same from cabinetctl and over HTTP, and a text that
Prometheus takes to the letter.  The format is checked here by a strict reader
of our own, and by promtool where it is installed (Debian package prometheus;
CAB_PROMTOOL names one that is not in PATH).
"""

import math
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import harness
from harness import (echoes, free_port, http, is_refused, program, smtp, tcp,
                     unharmed, wait_until)
from test_ctl import ctl, port_of, service

PROMTOOL = os.environ.get("CAB_PROMTOOL") or shutil.which("promtool")
HERE = ("tcp://127.0.0.1:0",)

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
UNITS = ("_seconds", "_bytes", "_total", "_info")


def parse(text):
    """The exposition, read strictly: {name: {labels: value}}, {name: type}."""
    assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
    types, helps, samples, order = {}, {}, {}, []
    current = None
    for line in text[:-1].split("\n"):
        found = re.fullmatch(r"# (HELP|TYPE) (\S+) (.+)", line)
        if found:
            kind, name, rest = found.groups()
            assert NAME.fullmatch(name), line
            table = helps if kind == "HELP" else types
            assert name not in table, f"twice: {line}"
            table[name] = rest
            if kind == "TYPE":
                assert rest in ("counter", "gauge", "histogram"), line
                assert name in helps, f"no help before {line}"
            else:
                assert name not in order, f"not together: {line}"
                order.append(name)
                assert rest.endswith("."), f"help is a sentence: {line}"
            current = name
            continue
        assert not line.startswith("#"), line
        found = re.fullmatch(r"([^{ ]+)(?:\{(.*)\})? (\S+)", line)
        assert found and NAME.fullmatch(found.group(1)), line
        name, inside, number = found.groups()
        base = name
        if types.get(current) == "histogram":
            assert re.fullmatch(rf"{current}_(bucket|sum|count)", name), line
            base = current
        assert base == current, f"outside its family: {line}"
        labels, rest = [], inside or ""
        while rest:
            label = LABEL.match(rest)
            assert label, line
            labels.append(label.groups())
            rest = rest[label.end():]
            assert rest == "" or rest[0] == ",", line
            rest = rest[1:]
            assert rest or not inside.endswith(","), line
        assert len({k for k, _ in labels}) == len(labels), line
        assert re.fullmatch(r"\d+(\.\d+)?", number), line
        key = tuple(sorted(labels))
        assert key not in samples.setdefault(name, {}), f"twice: {line}"
        samples[name][key] = float(number)
    assert set(types) == set(helps)
    for name, kind in types.items():
        assert name.startswith("cabinetd_")
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|milliseconds|kb|minutes)\b", name), name
    for name in (n for n, k in types.items() if k == "histogram"):
        check_histogram(name, samples)
    return samples


def check_histogram(name, samples):
    series = {}
    for key, value in samples[name + "_bucket"].items():
        labels = dict(key)
        bound = labels.pop("le")
        series.setdefault(tuple(sorted(labels.items())), []).append(
            (math.inf if bound == "+Inf" else float(bound), value))
    assert set(series) == set(samples[name + "_count"]) \
        == set(samples[name + "_sum"])
    for key, buckets in series.items():
        assert buckets == sorted(buckets), key
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), key
        assert buckets[-1][0] == math.inf
        assert counts[-1] == samples[name + "_count"][key]


def metrics(daemon):
    return parse(ctl(daemon, "metrics").out)


def value(samples, metric, **labels):
    found = [v for key, v in samples.get(metric, {}).items()
             if labels.items() <= dict(key).items()]
    assert len(found) == 1, (metric, labels, found)
    return found[0]


def scrape(port):
    with http(port) as client:
        reply = client.ask("/metrics")
    assert reply.status == 200
    assert reply.get("Content-Type") == \
        "text/plain; version=0.0.4; charset=utf-8"
    return reply.body.decode()


WEB = {"name": "web", "listen": HERE, "protocol": "http",
       "http": {"routes": ({"path": "/metrics", "handler": "metrics"},
                           {"path": "/x", "body": "x"})}}
ECHO = {"name": "echo", "listen": HERE, "protocol": "echo"}
MAIL = {"name": "mail", "listen": HERE, "protocol": "smtp"}


def cat(*args, **more):
    return {"name": "cat", "listen": HERE,
            "exec": program("/bin/sh", "-c", *args, **more)}


# ---------------------------------------------------------------- values

def test_counts(daemon):
    d = daemon([{**ECHO, "listen": ("tcp://127.0.0.1:0",
                                    "udp://127.0.0.1:0")}, WEB], workers=2)
    for _ in range(3):
        with tcp(port_of(d, "echo")) as sock:
            assert echoes(sock, b"1234567")
    with harness.udp(port_of(d, "echo", "udp")) as sock:
        sock.send(b"123")
        assert sock.recv(10) == b"123"
    with tcp(port_of(d, "echo")) as sock:
        assert echoes(sock, b"12")
        wait_until(lambda: service(d, "echo")["active"] == 1, "others left")
        m = metrics(d)
        assert value(m, "cabinetd_connections_accepted_total",
                     service="echo") == 4
        assert value(m, "cabinetd_connections_active", service="echo") == 1
        for way in ("received", "sent"):
            assert value(m, f"cabinetd_{way}_bytes_total",
                         service="echo") == 3 * 7 + 3 + 2
            assert value(m, f"cabinetd_datagrams_{way}_total",
                         service="echo") == 1
        assert value(m, "cabinetd_connection_duration_seconds_count",
                     service="echo", protocol="echo") == 3
        assert value(m, "cabinetd_connections_accepted_total",
                     service="web") == 0
        assert not [k for k in m["cabinetd_datagrams_received_total"]
                    if ("service", "web") in k]
    wait_until(lambda: service(d, "echo")["active"] == 0, "it left")
    m = metrics(d)
    assert value(m, "cabinetd_connection_duration_seconds_count",
                 service="echo") == 4


def test_durations_add_up(daemon):
    d = daemon([ECHO], workers=1)
    start = time.monotonic()
    with tcp(port_of(d, "echo")) as sock:
        assert echoes(sock)
        time.sleep(0.3)
    wait_until(lambda: service(d, "echo")["active"] == 0, "it left")
    spent = time.monotonic() - start
    m = metrics(d)
    total = value(m, "cabinetd_connection_duration_seconds_sum",
                  service="echo")
    assert 0.2 < total <= spent + 0.1
    assert value(m, "cabinetd_connection_duration_seconds_bucket",
                 service="echo", le="0.1") == 0
    assert value(m, "cabinetd_connection_duration_seconds_bucket",
                 service="echo", le="3600") == 1


def test_short_exchanges_take_time_too(daemon):
    """Though hardly one of them lasts a millisecond."""
    port = free_port()
    d = daemon([{**ECHO, "listen": (f"tcp://127.0.0.1:{port}",),
                 "log": {"connections": True}}], workers=1)
    for _ in range(20):
        with tcp(port) as sock:
            assert echoes(sock)
    wait_until(lambda: d.log().count("connection finished") == 20,
               "all are logged")
    took = [int(us) for us in re.findall(r"DURATION_US=(\d+)", d.log())]
    assert len(took) == 20 and any(us % 1000 for us in took)
    m = metrics(d)
    total = value(m, "cabinetd_connection_duration_seconds_sum",
                  service="echo")
    assert round(total * 1000000) == sum(took)


def test_what_was_accepted_finishes_whatever_dies(daemon, work):
    broken = work / "broken"
    broken.write_text("#!/nonexistent/interpreter\n")
    broken.chmod(0o755)
    names = ("echo", "cat", "none")
    d = daemon([{**ECHO, "limits": {"per_source": 20}},
                cat("exec cat"),
                {"name": "none", "listen": HERE,
                 "exec": program(str(broken))}], workers=2)
    ports = {name: port_of(d, name) for name in names}
    held = []

    def clients(*names, count=4):
        for name in names:
            for _ in range(count):
                sock = tcp(ports[name], timeout=30)
                held.append(sock)
                if name == "none":
                    assert harness.receive_all(sock, reset_ok=True) == b""
                else:
                    assert echoes(sock)

    def end(role):
        os.kill(role.pid, signal.SIGKILL)
        wait_until(lambda: not role.alive(), "it is dead")

    clients(*names)
    # Some that nobody has adopted yet when the launcher ends.
    launcher = d.launcher()
    os.kill(launcher.pid, signal.SIGSTOP)
    accepted = service(d, "cat")["accepted"]
    late = [tcp(ports["cat"], timeout=30) for _ in range(3)]
    wait_until(lambda: service(d, "cat")["accepted"] == accepted + 3,
               "the workers have them")
    end(launcher)
    clients(*names)
    for worker in d.workers():
        end(worker)
        clients(*names)
    for sock in late + held:
        sock.close()
    wait_until(lambda: not any(service(d, n)["active"] for n in names),
               "all have gone")
    m = metrics(d)
    for name in names:
        assert value(m, "cabinetd_connections_accepted_total",
                     service=name) >= 16
        assert value(m, "cabinetd_connections_accepted_total",
                     service=name) == \
            value(m, "cabinetd_connection_duration_seconds_count",
                  service=name), name


def test_refusals_by_reason(daemon):
    d = daemon([{**ECHO, "name": "one", "limits": {"per_source": 1}},
                {**ECHO, "name": "two", "access": {"deny": "127.0.0.0/8"}},
                {**ECHO, "name": "three"}], workers=2)
    with tcp(port_of(d, "one")) as held:
        assert echoes(held)
        with tcp(port_of(d, "one")) as sock:
            assert is_refused(sock)
    for _ in range(3):
        with tcp(port_of(d, "two")) as sock:
            assert is_refused(sock)
    ctl(d, "drain", "three")
    with tcp(port_of(d, "three")) as sock:
        assert is_refused(sock)
    m = metrics(d)

    def refused(name, reason):
        return value(m, "cabinetd_connections_refused_total", service=name,
                     reason=reason)
    assert refused("one", "per_source") == 1
    assert refused("two", "access") == 3
    assert refused("three", "shutdown") == 1
    assert sum(m["cabinetd_connections_refused_total"].values()) == 5
    assert value(m, "cabinetd_service_up", service="three") == 0
    assert value(m, "cabinetd_service_up", service="one") == 1
    ctl(d, "disable", "one")
    assert value(metrics(d), "cabinetd_service_up", service="one") == 0


def test_errors_by_code(daemon):
    d = daemon([WEB, MAIL], workers=2)
    for _ in range(3):
        with http(port_of(d, "web")) as client:
            assert client.ask("/none").status == 404
    with http(port_of(d, "web")) as client:
        assert client.ask("/x", method="DELETE").status == 405
    with smtp(port_of(d, "mail")) as client:
        assert client.code("NONSENSE") == 500
    m = metrics(d)

    def errors(name, code):
        return value(m, "cabinetd_protocol_errors_total", service=name,
                     code=code)
    assert errors("web", "404") == 3
    assert errors("web", "405") == 1
    assert errors("mail", "500") == 1
    assert service(d, "web")["errors"] == 4


def test_programs(daemon):
    d = daemon([cat("exit 0"), {**cat("exit 3"), "name": "bad"}, ECHO],
               workers=2)
    for name, n in (("cat", 3), ("bad", 2)):
        for _ in range(n):
            with tcp(port_of(d, name)) as sock:
                assert harness.receive_all(sock, reset_ok=True) == b""
    wait_until(lambda: service(d, "bad")["active"] == 0, "all have ended")
    wait_until(lambda: service(d, "cat")["active"] == 0, "all have ended")
    m = metrics(d)
    for name, started, failed in (("cat", 3, 0), ("bad", 2, 2)):
        assert value(m, "cabinetd_programs_started_total",
                     service=name, protocol="exec") == started
        assert value(m, "cabinetd_programs_exited_total",
                     service=name) == started
        assert value(m, "cabinetd_programs_failed_total",
                     service=name) == failed
        assert value(m, "cabinetd_connection_duration_seconds_count",
                     service=name) == started
    assert not [k for k in m["cabinetd_programs_started_total"]
                if ("service", "echo") in k]


def test_the_daemon_itself(daemon):
    before = time.time()
    d = daemon([ECHO], workers=2)
    m = metrics(d)
    assert abs(value(m, "cabinetd_start_time_seconds") - before) < 60
    assert value(m, "cabinetd_build_info") == 1
    ctl(d, "reload")
    d.write(config="nonsense")
    ctl(d, "reload", status=1)
    os.kill(d.workers()[0].pid, signal.SIGKILL)
    wait_until(lambda: value(metrics(d), "cabinetd_role_restarts_total",
                             role="worker 0") == 1, "a restart is counted")
    m = metrics(d)
    assert value(m, "cabinetd_reloads_total", result="success") == 1
    assert value(m, "cabinetd_reloads_total", result="failure") == 1
    assert value(m, "cabinetd_role_restarts_total", role="worker 1") == 0
    assert value(m, "cabinetd_role_restarts_total", role="launcher") == 0
    assert value(m, "cabinetd_configuration_generation") >= 2
    for role in ("supervisor", "launcher", "worker 0", "worker 1"):
        assert value(m, "cabinetd_log_records_dropped_total", role=role) == 0


def test_queue_of_a_listener(daemon):
    d = daemon([{**ECHO, "limits": {"connections": 1, "on_limit": "queue"},
                 "socket": {"backlog": 17}}], workers=1)
    port = port_of(d, "echo")
    label = {"service": "echo", "listener": f"tcp://127.0.0.1:{port}"}
    assert value(metrics(d), "cabinetd_listener_queue_limit", **label) == 17
    with tcp(port) as one:
        assert echoes(one)
        with tcp(port), tcp(port):
            wait_until(lambda: value(
                metrics(d), "cabinetd_listener_queue_length",
                **label) == 2, "two wait")
    wait_until(lambda: value(metrics(d), "cabinetd_listener_queue_length",
                             **label) == 0, "nobody waits")


def test_a_service_that_is_replaced_counts_from_nothing(daemon):
    d = daemon([ECHO], workers=1)
    with tcp(port_of(d, "echo")) as sock:
        assert echoes(sock)
    wait_until(lambda: service(d, "echo")["active"] == 0, "it left")
    # Counts stay with the name as long as the service does.
    d.write([{**ECHO, "limits": {"connections": 5}}])
    ctl(d, "reload")
    assert service(d, "echo")["accepted"] == 1
    d.write([{**ECHO, "name": "other"}])
    ctl(d, "reload")
    m = metrics(d)
    assert value(m, "cabinetd_connections_accepted_total",
                 service="other") == 0
    assert 'service="echo"' not in ctl(d, "metrics").out


# ---------------------------------------------------------------- over HTTP

def steady(text):
    """Without what a scrape itself changes, and in one order."""
    return sorted(line for line in text.splitlines()
                  if 'service="web"' not in line
                  and "cabinetd_role_connections" not in line)


def test_http_says_the_same(daemon):
    d = daemon([WEB, ECHO, cat("cat"), {**MAIL, "enabled": False}],
               workers=2)
    with tcp(port_of(d, "echo")) as one, tcp(port_of(d, "cat")) as two:
        assert echoes(one) and echoes(two)
        over_http = scrape(port_of(d, "web"))
        parse(over_http)
        assert steady(over_http) == steady(ctl(d, "metrics").out)
        # Of all workers, whichever answers.
        for _ in range(10):
            m = parse(scrape(port_of(d, "web")))
            assert value(m, "cabinetd_connections_active",
                         service="echo") == 1
            assert value(m, "cabinetd_programs_started_total",
                         service="cat") == 1


def test_http_head_and_methods(daemon):
    d = daemon([WEB], workers=1)
    with http(port_of(d, "web")) as client:
        reply = client.ask("/metrics", method="HEAD")
        assert reply.status == 200 and int(reply.get("Content-Length")) > 1000
        assert client.ask("/metrics", method="POST").status == 405
        assert client.ask("/metrics").status == 200
        assert client.ask("/metrics?x=1").status == 200


def test_http_asked_for_over_and_over_in_one_go(daemon):
    """A text that takes long to make is no way to make a worker look stuck."""
    many = [{**ECHO, "name": f"echo{i}"} for i in range(100)]
    d = daemon([WEB, *many], workers=1)
    worker = d.workers()[0].pid
    count = 2000
    with tcp(port_of(d, "web")) as sock:
        sock.sendall(count * b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = b""
        while seen.count(b"HTTP/1.1 200 OK\r\n") < count:
            part = sock.recv(1 << 20)
            assert part
            seen += part
    assert value(metrics(d), "cabinetd_role_hangs_total") == 0
    assert d.workers()[0].pid == worker


def test_http_while_the_supervisor_is_stopped(daemon):
    d = daemon([WEB], workers=1)
    port = port_of(d, "web")
    d.signal(signal.SIGSTOP)
    try:
        parse(scrape(port))
    finally:
        d.signal(signal.SIGCONT)


def test_too_much_for_one_reply(daemon):
    d = daemon([WEB] + [{"name": f"{'s' * 50}{i}", "protocol": "echo",
                         "listen": f"unix://@cab-{os.getpid()}-{i}"}
                        for i in range(400)], workers=1)
    with unharmed(d), http(port_of(d, "web")) as client:
        assert client.ask("/metrics").status == 503
        assert client.ask("/x").body == b"x"
    assert len(metrics(d)["cabinetd_service_up"]) == 401


@pytest.mark.parametrize("route, word", [
    ({"path": "/m", "handler": "metrics", "body": "x"}, "body"),
    ({"path": "/m", "handler": "metrics", "status": 404}, "status"),
    ({"path": "/m", "handler": "metric"}, "metrics")])
def test_route_options(check, route, word):
    text = harness.config_text([
        {"name": "w", "listen": free_port(), "protocol": "http",
         "http": {"routes": (route,)}}])
    result = check(text)
    assert result.returncode == 78 and word in result.all


# ---------------------------------------------------------------- the format

def test_names_in_labels(daemon):
    d = daemon([{**ECHO, "name": "a.b-c_d"}], workers=1)
    assert value(metrics(d), "cabinetd_service_up", service="a.b-c_d") == 1


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed "
                    "(Debian package prometheus; CAB_PROMTOOL names one)")
def test_promtool(daemon):
    d = daemon([WEB, {**ECHO, "listen": ("tcp://127.0.0.1:0",
                                         "udp://127.0.0.1:0")}, MAIL,
                cat("cat")], workers=2)
    with smtp(port_of(d, "mail")) as client:
        client.code("NONSENSE")
    with tcp(port_of(d, "cat")) as sock:
        assert echoes(sock)
    for text in (ctl(d, "metrics").out, scrape(port_of(d, "web"))):
        done = subprocess.run([PROMTOOL, "check", "metrics"],
                              input=text.encode(), timeout=60,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert done.returncode == 0 and done.stdout == b"", done.stdout


@pytest.mark.parametrize("text", [
    "", "a 1", "cabinetd_a 1\n", "# TYPE cabinetd_a gauge\ncabinetd_a 1\n",
    "# HELP cabinetd_a A.\n# TYPE cabinetd_a counter\ncabinetd_a 1\n",
    "# HELP cabinetd_a A.\n# TYPE cabinetd_a gauge\ncabinetd_a 1\n"
    "cabinetd_a 2\n",
    "# HELP cabinetd_a A.\n# TYPE cabinetd_a gauge\ncabinetd_a{x=\"\\z\"} 1\n",
    "# HELP cabinetd_a A.\n# TYPE cabinetd_a gauge\ncabinetd_a{x=\"1\",} 1\n",
    "# HELP cabinetd_a A.\n# TYPE cabinetd_a gauge\ncabinetd_a{x=\"1\"y=\"2\"}"
    " 1\n",
    "# HELP cabinetd_a A.\n# TYPE cabinetd_a gauge\ncabinetd_a x\n"])
def test_the_reader_is_strict(text):
    with pytest.raises((AssertionError, KeyError)):
        parse(text)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_scrape_config_of_the_readme(work):
    text = (harness.REPO / "README").read_text(encoding="utf-8")
    example = re.search(r"(?m)^  scrape_configs:\n(?:    .*\n)+", text).group(0)
    (work / "prometheus.yml").write_text(example, encoding="utf-8")
    done = subprocess.run(
        [PROMTOOL, "check", "config", str(work / "prometheus.yml")],
        timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
