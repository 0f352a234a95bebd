# SPDX-License-Identifier: GPL-2.0-or-later
"""
What is measured, how, and what is to be reached. A new case is one line of
CASES; one that no function here measures needs a function, too.
"""

import os
import subprocess
import time
from collections import namedtuple

from accounting import (descendants, processes, sample_cpu, sample_memory,
                        sample_processor, sockets_of, title)
from contenders import write_echoes
from servers import Failure, Load, Place, Server

SMALL = 1024                    # the small file
LARGE = 1 << 20                 # the large one
COUNTS = (1, 1000, 2000, 4000)    # of services

# service: what the contender is asked for. mode, args: of bench/load. floor:
# the mode of bench/floor. base: the contender that ratios are taken of.
# once: the figure does not change from round to round. goals: below.
Case = namedtuple("Case", "name service mode args floor base once measure "
                  "goals title")

# of: which figure of GOAL_FIGURES in report.py; what: how the table calls it.
Goal = namedtuple("Goal", "of relation limit what")

# ---- one measurement --------------------------------------------------------------


def measure_speed(bench, place, contender, case):
    more = ("--duration", str(bench.options.seconds),
            "--warmup", str(bench.options.warmup))
    with contender.start(place, case) as server, \
            Load(bench, server, case, place.address(case.service),
                 more) as load:
        load.wait("begin")
        busy = sample_processor(bench.cpus[-1])
        cpu, user = sample_cpu({load.pid})
        load.resume()
        load.wait("end")
        busy = sample_processor(bench.cpus[-1]) - busy
        cpu_end, user_end = sample_cpu({load.pid})
        memory = sample_memory({load.pid})
        load.resume()
        result = load.result()
        words = server.last_words()
    cpu, user = cpu_end - cpu, user_end - user
    ops = result["ops"]
    if not ops:
        raise Failure("nothing was served: %s, %s errors while warming up; %s"
                      % (result["errors"], result["warmup_errors"], words))
    return {
        "ops_per_s": result["ops_per_s"],
        "cpu_us": cpu * 1e6 / ops,
        "user_us": user * 1e6 / ops,
        "busy": cpu / result["seconds"],
        "others": max(0.0, busy - cpu) / result["seconds"],
        "p50": result["latency_us"]["p50"],
        "p99": result["latency_us"]["p99"],
        "p999": result["latency_us"]["p999"],
        "pss_kib": memory["pss"],
        "errors": result["errors_total"] + result["warmup_errors"],
        "error_kinds": result["errors"],
        "load_busy": result["load_cpu_us_per_op"] * result["ops_per_s"] / 1e6,
    }


def measure_idle(bench, place, contender, case):
    count = contender.idle
    with contender.start(place, case) as server:
        before = sample_memory()
        with Load(bench, server, case, place.address(case.service),
                  ("--connections", str(count))) as load:
            load.wait("ready")
            after = sample_memory({load.pid})
            load.resume()
            time.sleep(0.1)
            load.resume()
            result = load.result()
    if result["open"] != count:
        raise Failure("%d of %d connections stayed open: %s"
                      % (result["open"], count, result["errors"]))
    each = {name: max(0, after[name] - before[name]) * 1024 / count
            for name in after}
    return {"connections": count, "bytes_each": each["pss"],
            "private_each": each["private"],
            "anonymous_each": each["anonymous"], "pss_kib": after["pss"],
            "errors": result["errors_total"]}


def measure_memory(_bench, place, contender, case):
    """Everything that a server consists of, when each service was asked once."""
    service = "http" if contender.name == "nginx" else "echo"
    with contender.start(place, case._replace(service=service)) as server:
        ports = set(place.ports.values()) if contender.name == "cabinetd" \
            else {place.ports[service]}
        for port in ports:
            server.touch(port)
        time.sleep(0.5)
        server.check_running()
        memory = sample_memory()
        return {"pss_kib": memory["pss"], "private_kib": memory["private"],
                "errors": 0, "processes": processes()}


def measure_growth(bench, place, _contender, _case):
    """Start until READY=1, and a reload that adds one service, by number."""
    figures = {}
    for count in COUNTS:
        command = [bench.cabinetd, "-c", write_echoes(place, count)]
        begin = time.monotonic()
        with Server(place, command, "many", {bench.cpus[-1]}, notify=True):
            started = time.monotonic() - begin
            cpu_start = sample_cpu()[0]
            write_echoes(place, count + 1)
            begin = time.monotonic()
            done = subprocess.run(
                [bench.cabinetctl, "--socket", place.path("control.sock"),
                 "reload"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, timeout=60, check=False)
            reloaded = time.monotonic() - begin
            if done.returncode:
                raise Failure("reload: " + done.stdout.decode("utf-8",
                                                              "replace"))
            figures[str(count)] = {
                "start_ms": started * 1e3, "start_cpu_ms": cpu_start * 1e3,
                "reload_ms": reloaded * 1e3,
                "reload_cpu_ms": (sample_cpu()[0] - cpu_start) * 1e3}
        place.clear("notify")
    return {"growth": figures, "errors": 0}


def roles(kind):
    """Pids of the daemon's processes of one kind, in order of their titles."""
    return [pid for text, pid in sorted((title(pid), pid)
                                        for pid in descendants())
            if text.startswith("cabinetd: " + kind)]


def measure_workers(bench, place, _contender, case):
    """Connections on one listener: one worker alone, then two.

    With two processors, two workers leave none to the load client, so what they
    could do together is computed: the worker that holds more is the first to be
    busy all the time, and each operation costs what was measured.
    """
    alone = load_workers(bench, place, case, [bench.cpus[-1]])
    place.clear("notify")
    both = load_workers(bench, place, case, [bench.cpus[-1], bench.cpus[0]])
    spread = max(both["held"]) / sum(both["held"])
    return {"held": both["held"], "spread": spread,
            "cpu_one": alone["cpu_us"], "cpu_two": both["cpu_us"],
            "capacity": alone["cpu_us"] / (both["cpu_us"] * spread),
            "errors": alone["errors"] + both["errors"]}


def load_workers(bench, place, case, cpus):
    """As many workers as processors, each held on one.

    The client sleeps between connections: on the processor of one of them, it
    would keep that one from accepting.
    """
    command = [bench.cabinetd, "-c", write_echoes(place, 1, len(cpus))]
    more = ("--duration", str(bench.options.seconds),
            "--warmup", str(bench.options.warmup))
    with Server(place, command, "many", {cpus[0]}, notify=True) as server:
        pids = roles("worker")
        if len(pids) != len(cpus):
            raise Failure("%d workers run" % len(pids))
        for pid, number in zip(pids, cpus):
            os.sched_setaffinity(pid, {number})
        before = [sockets_of(pid) for pid in pids]
        with Load(bench, server, case, place.address("many"), more) as load:
            load.wait("begin")
            held = [sockets_of(pid) - n for pid, n in zip(pids, before)]
            used = sample_cpu({load.pid})[0]
            load.resume()
            load.wait("end")
            used = sample_cpu({load.pid})[0] - used
            load.resume()
            result = load.result()
    if not sum(held) or not result["ops"]:
        raise Failure("workers hold %s connections" % held)
    return {"held": held, "cpu_us": used * 1e6 / result["ops"],
            "errors": result["errors_total"] + result["warmup_errors"]}


def measure(bench, contender, case):
    with Place(bench) as place:
        return case.measure(bench, place, contender, case)


# ---- the list ---------------------------------------------------------------------


def speed(name, service, mode, args, floor, title_, *goals, base="floor"):
    return Case(name, service, mode, args, floor, base, False, measure_speed,
                goals, title_)


def cpu(limit, relation="<="):
    return Goal("cpu", relation, limit, "CPU / floor")


CASES = (
    speed("echo-64", "echo", "echo", "--connections 64 --size 64", "echo",
          "echo 64 B, 64 connections", cpu(1.05)),
    speed("echo-1000", "echo", "echo", "--connections 1000 --size 64", "echo",
          "echo 64 B, 1,000 connections", cpu(1.05),
          Goal("cpu-of-echo-64", "<=", 1.10, "CPU / that of 64 connections")),
    speed("daytime", "daytime", "daytime", "--connections 64", "daytime",
          "daytime, a connection each", cpu(1.05)),
    speed("http-route", "http", "http-keepalive",
          "--connections 64 --path /ok", "http-keepalive",
          "HTTP keep-alive, fixed route, 64 connections", cpu(1.10)),
    speed("http-file", "http", "http-keepalive",
          "--connections 64 --path /small.txt",
          "http-keepalive --body %d" % SMALL,
          "HTTP keep-alive, 1 KiB file, 64 connections", cpu(1.10)),
    speed("http-close", "http", "http-close", "--connections 64 --path /ok",
          "http-close", "HTTP, a connection each", cpu(0.90)),
    speed("http-1m", "http", "http-keepalive",
          "--connections 16 --path /large.bin", "http-file",
          "HTTP keep-alive, 1 MiB file, 16 connections", cpu(1.00),
          Goal("throughput", ">=", 0.95, "op/s / floor")),
    speed("smtp", "smtp", "smtp", "--connections 16 --size 1024", "smtp",
          "SMTP session with a 1 KiB message",
          Goal("cpu", "<=", 0.45, "CPU / smtp-sink"), base="smtp-sink"),
    speed("program", "program", "program", "--connections 8 --size 64",
          "program", "a program (/bin/cat) per connection", cpu(1.05)),
    speed("udp-echo", "udp-echo", "udp-echo",
          "--connections 4 --window 16 --size 64", "udp-echo",
          "UDP echo 64 B", cpu(1.10)),
    speed("bulk", "echo", "bulk",
          "--connections 1 --size %d --timeout 300" % (1 << 30), "bulk",
          "echo of 1 GiB through one connection", cpu(1.02)),
    speed("many", "many", "echo", "--connections 64 --size 64", None,
          "echo 64 B, one of 1,000 services",
          Goal("cpu", "<=", 1.05, "CPU / one service"), base="one service"),
    Case("growth", "many", None, "", None, None, False, measure_growth,
         (Goal("start-growth", "<=", 1.25, "start, linear"),
          Goal("reload-growth", "<=", 1.25, "reload, linear")),
         "start and reload by number of services"),
    Case("workers", "many", "echo",
         "--connections 64 --size 64 --pace 0.002", None, None, False,
         measure_workers,
         (Goal("spread", "<=", 0.55, "share of the fuller worker"),
          Goal("capacity", ">=", 1.8, "two workers / one, computed")),
         "64 connections over two workers"),
    Case("idle", "echo", "connect-idle", "--size 64 --duration 600", "echo",
         None, True, measure_idle,
         (Goal("bytes", "<=", 256, "bytes each"),),
         "idle connections, user memory of each"),
    Case("memory", None, None, "", None, None, True, measure_memory,
         (Goal("pss", "<=", 4.0, "MB PSS"),),
         "whole server at rest, 2 workers (cabinetd: the demo)"),
)

ALONE = {"growth": {"cabinetd"}, "workers": {"cabinetd"},
         "memory": {"cabinetd", "xinetd", "nginx"}}


def takes_part(contender, case):
    if case.name in ALONE:
        return contender.name in ALONE[case.name]
    if case.name == "idle" and not contender.idle:
        return False
    if contender.name == "floor" and not case.floor:
        return False
    if case.name == "echo-1000" and contender.name == "socat":
        return False
    return case.service in contender.services
