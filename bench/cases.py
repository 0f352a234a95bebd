# SPDX-License-Identifier: GPL-2.0-or-later
"""
What is measured, how, and what is to be reached. A new case is one line of
CASES; one that no function here measures needs a function, too.
"""

import contextlib
import os
import random
import statistics
import subprocess
import time
from collections import Counter, namedtuple

from accounting import (family, processes, sample_cpu, sample_memory,
                        sample_processor, sockets_of, title)
from contenders import start_files, start_loops, write_echoes
from packages import Unavailable
from servers import Failure, Load, Place, Server, end_strays

SMALL = 1024                    # the small file
MIDDLE = 64 << 10               # the one that no cache has
LARGE = 1 << 20                 # the large one
COUNTS = (1, 1000, 2000, 4000)    # of services
RELOADS = 5                     # with each of these, one more service each time
WORKERS_WINDOW = 0.5            # seconds
WARMUP = 0.4                    # of a window, before it

# service: what the contender is asked for. mode, args: of bench/load. floor:
# the mode of bench/floor. base: the contender that ratios are taken of.
# once: the figure does not change from round to round. window: seconds of one.
# goals: below.
Case = namedtuple("Case", "name service mode args floor base once window "
                  "measure goals title")

# of: which figure of GOAL_FIGURES in report.py; what: how the table calls it.
Goal = namedtuple("Goal", "of relation limit what")

# ---- one measurement --------------------------------------------------------------


@contextlib.contextmanager
def failing(results, name):
    """What cannot be measured is a result, too."""
    try:
        yield
    except (Failure, Unavailable, OSError, ValueError,
            subprocess.SubprocessError) as failure:
        results[name] = {"failure": str(failure)}


def measure_window(bench, server, case, last):
    """One moment of load; memory only where it is the last, as that takes long."""
    def sample():
        return (sample_processor(bench.cpus[-1]), *sample_cpu(server.pid),
                sample_memory(server.pid) if last else None)

    address = server.place.address(case.service)
    more = ("--duration", str(min(case.window, bench.options.seconds)),
            "--warmup", str(case.window * WARMUP))
    with Load(bench, server, case, address, more) as load:
        begin, end, result = load.window(sample)
    if not result["ops"]:
        raise Failure("nothing was served: %s, %s errors while warming up; %s"
                      % (result["errors"], result["warmup_errors"],
                         server.last_words()))
    busy, cpu, user = (after - before
                       for before, after in zip(begin[:3], end[:3]))
    return dict(result, cpu=cpu, user=user, others=busy - cpu, memory=end[3])


def add_up(windows):
    """What a contender did in the windows of a round."""
    def total(key):
        return sum(window[key] for window in windows)

    kinds = Counter()
    for window in windows:
        kinds.update(window["errors"])
    ops, seconds = total("ops"), total("seconds")
    each = [{"ops_per_s": w["ops_per_s"], "cpu_us": w["cpu"] * 1e6 / w["ops"]}
            for w in windows]
    return {
        "windows": each,
        "ops_per_s": statistics.median(w["ops_per_s"] for w in each),
        "cpu_us": statistics.median(w["cpu_us"] for w in each),
        "user_us": total("user") * 1e6 / ops,
        "busy": total("cpu") / seconds,
        "others": max(0.0, total("others")) / seconds,
        **{key: statistics.median(w["latency_us"][key] for w in windows)
           for key in ("p50", "p99", "p999")},
        "pss_kib": windows[-1]["memory"]["pss"],
        "errors": total("errors_total") + total("warmup_errors"),
        "error_kinds": dict(kinds),
        "load_busy": sum(w["load_cpu_us_per_op"] * w["ops"] for w in windows)
        / 1e6 / seconds,
    }


def settle(server, resting):
    """Waits for a server that works off the connections of the last window."""
    end = time.monotonic() + 5
    while len(family(server.pid)) > resting and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.05)


def measure_speed(bench, contenders, case):
    """One round: all are up, and one after the other gets a short window, in
    another order each time, so that what else happens meets all alike."""
    results, running = {}, {}
    passes = max(1, round(bench.options.seconds / case.window))
    with contextlib.ExitStack() as stack:
        for contender in contenders:
            with failing(results, contender.name):
                place = stack.enter_context(Place(bench))
                running[contender.name] = stack.enter_context(
                    contender.start(place, case))
        time.sleep(0.5)         # what they start themselves is there, too
        resting = {name: len(family(server.pid))
                   for name, server in running.items()}
        windows = {name: [] for name in running}
        for number in range(passes):
            for name in random.sample(sorted(windows), len(windows)):
                with failing(results, name):
                    windows[name].append(measure_window(
                        bench, running[name], case, number == passes - 1))
                if name in results:
                    del windows[name]
                settle(running[name], resting[name])
    end_strays()
    results.update((name, add_up(made)) for name, made in windows.items())
    return results


def measure_idle(bench, place, contender, case):
    count = contender.idle
    with contender.start(place, case) as server:
        before = sample_memory(server.pid)
        with Load(bench, server, case, place.address(case.service),
                  ("--connections", str(count))) as load:
            load.wait("ready")
            after = sample_memory(server.pid)
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
        memory = sample_memory(server.pid)
        return {"pss_kib": memory["pss"], "private_kib": memory["private"],
                "errors": 0, "processes": processes(server.pid)}


def reload_with(bench, place, count):
    """Seconds until cabinetctl returns."""
    write_echoes(place, count)
    begin = time.monotonic()
    done = subprocess.run(
        [bench.cabinetctl, "--socket", place.path("control.sock"), "reload"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, timeout=60, check=False)
    if done.returncode:
        raise Failure("reload: " + done.stdout.decode("utf-8", "replace"))
    return time.monotonic() - begin


def measure_growth(bench, place, _contender, _case):
    """Start until READY=1, and a reload that adds one service, by number."""
    figures = {}
    for count in COUNTS:
        command = [bench.cabinetd, "-c", write_echoes(place, count)]
        begin = time.monotonic()
        with Server(place, command, "many", {bench.cpus[-1]},
                    notify=True) as server:
            started = time.monotonic() - begin
            cpu_start = sample_cpu(server.pid)[0]
            reloaded = [reload_with(bench, place, count + 1 + i)
                        for i in range(RELOADS)]
            cpu_reload = sample_cpu(server.pid)[0] - cpu_start
            figures[str(count)] = {
                "start_ms": started * 1e3, "start_cpu_ms": cpu_start * 1e3,
                "reload_ms": statistics.median(reloaded) * 1e3,
                "reload_cpu_ms": cpu_reload / RELOADS * 1e3}
        place.clear("notify")
    return {"growth": figures, "errors": 0}


def roles(server, kind):
    """Pids of the daemon's processes of one kind, in order of their titles."""
    return [pid for text, pid in sorted((title(pid), pid)
                                        for pid in family(server.pid))
            if text.startswith("cabinetd: " + kind)]


def measure_workers(bench, _place, contender, case):
    """Connections on one port: each of two workers, or loops, alone, then both.

    With two processors, two workers leave none to the load client, so what they
    could do together is computed, from what the whole machine, the client
    included, spends for an operation: two workers that are busy all the time do
    twice what one does, as far as that stays the same.
    """
    sets = {"one": bench.cpus[-1:], "other": bench.cpus[:1],
            "both": [bench.cpus[-1], bench.cpus[0]]}
    windows = {name: [] for name in sets}
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(
            workers_running(bench, contender, case, cpus))
            for name, cpus in sets.items()}
        for _ in range(max(1, round(bench.options.seconds / WORKERS_WINDOW))):
            for name in random.sample(sorted(sets), len(sets)):
                windows[name].append(
                    load_workers(bench, running[name], case))

    def total(key, *names):
        return sum(w[key] for name in names for w in windows[name])

    def cost(*names):
        return total("cpu", *names) * 1e6 / total("ops", *names)

    # Each alone counts the same, whatever it got done.
    alone_cost = (cost("one") + cost("other")) / 2
    return {"held": windows["both"][0]["held"],
            "spread": statistics.median(max(w["held"]) / sum(w["held"])
                                        for w in windows["both"]),
            "cpu_one": alone_cost, "cpu_two": cost("both"),
            "capacity": 2 * alone_cost / cost("both"),
            "errors": total("errors", *sets)}


def workers_of(server, contender):
    """Pids of the processes that serve."""
    return family(server.pid) if contender.name == "floor" else \
        roles(server, "worker")


@contextlib.contextmanager
def workers_running(bench, contender, case, cpus):
    """As many workers as processors, each held on one: server and pids."""
    start = start_loops if contender.name == "floor" else start_files
    with Place(bench) as place, start(
            place, case._replace(service="http"), len(cpus)) as server:
        pids = workers_of(server, contender)
        if len(pids) != len(cpus):
            raise Failure("%d workers run" % len(pids))
        for pid, number in zip(pids, cpus):
            os.sched_setaffinity(pid, {number})
        yield server, pids


def load_workers(bench, running, case):
    """The client sleeps between connections: on the processor of one of two
    workers, it would keep that one from accepting."""
    more = ("--duration", str(min(WORKERS_WINDOW, bench.options.seconds)),
            "--warmup", str(WORKERS_WINDOW * WARMUP))
    processors = (bench.cpus[0], bench.cpus[-1])
    server, pids = running
    before = [sockets_of(pid) for pid in pids]
    with Load(bench, server, case, server.place.address("http"),
              more) as load:
        begin, end, result = load.window(lambda: (
            sum(sample_processor(number) for number in processors),
            [sockets_of(pid) for pid in pids]))
    held = [now - n for now, n in zip(begin[1], before)]
    if not sum(held) or not result["ops"]:
        raise Failure("workers hold %s connections" % held)
    time.sleep(0.05)        # they see that the client has gone
    return {"held": held, "cpu": end[0] - begin[0], "ops": result["ops"],
            "errors": result["errors_total"] + result["warmup_errors"]}


def one_by_one(measure_one):
    """A measurement that has the machine to itself."""
    def measure(bench, contenders, case):
        results = {}
        for contender in contenders:
            with failing(results, contender.name), Place(bench) as place:
                results[contender.name] = measure_one(
                    bench, place, contender, case)
            end_strays()
        return results
    return measure


# ---- the list ---------------------------------------------------------------------


def speed(name, service, mode, args, floor, title_, *goals, base="floor",
          window=0.25):
    return Case(name, service, mode, args, floor, base, False, window,
                measure_speed, goals, title_)


def alone(name, service, mode, args, floor, measure, title_, *goals,
          once=False):
    return Case(name, service, mode, args, floor, None, once, None,
                one_by_one(measure), goals, title_)


def cpu(limit, relation="<="):
    return Goal("cpu", relation, limit, "CPU / floor")


CASES = (
    speed("echo-64", "echo", "echo", "--connections 64 --size 64", "echo",
          "echo 64 B, 64 connections", cpu(1.05)),
    speed("echo-1000", "echo", "echo", "--connections 1000 --size 64", "echo",
          "echo 64 B, 1,000 connections", cpu(1.05),
          Goal("cpu-of-echo-64", "<=", 1.10, "CPU / that of 64 connections"),
          window=1),
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
    speed("http-64k", "http", "http-keepalive",
          "--connections 16 --path /middle.bin", "http-file",
          "HTTP keep-alive, 64 KiB file, 16 connections", window=0.5),
    speed("http-1m", "http", "http-keepalive",
          "--connections 16 --path /large.bin", "http-file",
          "HTTP keep-alive, 1 MiB file, 16 connections", cpu(1.00),
          Goal("throughput", ">=", 0.95, "op/s / floor"), window=0.5),
    speed("smtp", "smtp", "smtp", "--connections 16 --size 1024", "smtp",
          "SMTP session with a 1 KiB message",
          Goal("cpu", "<=", 0.45, "CPU / smtp-sink"), base="smtp-sink",
          window=0.5),
    speed("program", "program", "program", "--connections 8 --size 64",
          "program", "a program (/bin/cat) per connection", cpu(1.05),
          window=1),      # programs that have ended are counted in ticks
    speed("udp-echo", "udp-echo", "udp-echo",
          "--connections 4 --window 16 --size 64", "udp-echo",
          "UDP echo 64 B", cpu(1.10), window=1),     # xinetd takes its time
    speed("bulk", "echo", "bulk",
          "--connections 1 --size %d --timeout 300" % (1 << 30), "bulk",
          "echo of 1 GiB through one connection", cpu(1.02),
          window=1),
    speed("many", "many", "echo", "--connections 64 --size 64", None,
          "echo 64 B, one of 1,000 services",
          Goal("cpu", "<=", 1.05, "CPU / one service"), base="one service"),
    alone("growth", "many", None, "", None, measure_growth,
          "start and reload by number of services",
          Goal("start-growth", "<=", 1.25, "start, linear"),
          Goal("reload-growth", "<=", 1.25, "reload, linear")),
    alone("workers", "many", "http-keepalive",
          "--connections 32 --path /large.bin --pace 0.002", "http-file",
          measure_workers, "1 MiB file, 32 connections over two workers",
          Goal("spread", "<=", 0.55, "share of the fuller worker"),
          Goal("capacity", ">=", 1.8, "two workers / one, computed")),
    alone("idle", "echo", "connect-idle", "--size 64 --duration 600", "echo",
          measure_idle, "idle connections, user memory of each",
          Goal("bytes", "<=", 256, "bytes each"), once=True),
    alone("memory", None, None, "", None, measure_memory,
          "whole server at rest, 2 workers (cabinetd: the demo)",
          Goal("pss", "<=", 4.0, "MB PSS"), once=True),
)

# A process for each; and its pipe back, once full, stops it for good.
NOT_SOCAT = ("echo-1000", "bulk")
ALONE = {"growth": {"cabinetd"}, "workers": {"cabinetd", "floor"},
         "memory": {"cabinetd", "xinetd", "nginx"}}


def takes_part(contender, case):
    if case.name in ALONE:
        return contender.name in ALONE[case.name]
    if case.name == "idle" and not contender.idle:
        return False
    if contender.name == "floor" and not case.floor:
        return False
    if case.name in NOT_SOCAT and contender.name == "socat":
        return False
    return case.service in contender.services
