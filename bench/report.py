# SPDX-License-Identifier: GPL-2.0-or-later
"""
What was measured, as a table, as JSON and as a chart.

Ratios are taken of windows of one pass, and are medians over a round; what is
shown is the median of the rounds, and the lowest and highest.
"""

import os
import platform
import re
import statistics
import subprocess
import time

from accounting import read
from cases import COUNTS

# ---- figures ----------------------------------------------------------------------


def by_round(results, case, contender, key):
    return {r["round"]: r[key] for r in results.get((case, contender), ())
            if r.get(key)}


def paired(of, to):
    """Sorted ratios of what two series have in the same rounds."""
    return sorted(of[n] / to[n] for n in of if n in to)


def ratio(results, case, contender, key="cpu_us"):
    mine = by_round(results, case.name, contender, "windows")
    base = by_round(results, case.name, case.base, "windows")
    return sorted(statistics.median(a[key] / b[key]
                                    for a, b in zip(mine[n], base[n]) if b[key])
                  for n in mine if n in base)


def best(results, case, contender):
    """The cheapest window over the cheapest of the base's."""
    def cheapest(name):
        return min(window["cpu_us"] for windows in by_round(
            results, case.name, name, "windows").values()
                   for window in windows)

    return cheapest(contender) / cheapest(case.base)


def of_echo_64(results, case, contender):
    return paired(by_round(results, case.name, contender, "cpu_us"),
                  by_round(results, "echo-64", contender, "cpu_us"))


def plain(key, scale=1.0):
    def values(results, case, contender):
        return sorted(value * scale for value in
                      by_round(results, case.name, contender, key).values())
    return values


def growth(key):
    """What each service past the half adds, over what each before it added.

    1: linear. The time with one service is left out of both.
    """
    first, half, whole = COUNTS[0], COUNTS[-2], COUNTS[-1]

    def values(results, case, contender):
        found = []
        for figures in by_round(results, case.name, contender,
                                "growth").values():
            at = {count: figures[str(count)][key] for count in COUNTS}
            found.append((at[whole] - at[half]) / (whole - half) /
                         ((at[half] - at[first]) / (half - first)))
        return sorted(found)
    return values


GOAL_FIGURES = {
    "cpu": ratio,
    "cpu-of-echo-64": of_echo_64,
    "throughput": lambda *key: ratio(*key, "ops_per_s"),
    "bytes": plain("bytes_each"),
    "pss": plain("pss_kib", 1 / 1024),
    "spread": plain("spread"),
    "capacity": plain("capacity"),
    "start-growth": growth("start_cpu_ms"),
    "reload-growth": growth("reload_cpu_ms"),
}


def judge(bench, case):
    """Each goal of a case: what it is, what was measured, whether it holds."""
    found = []
    subject = "1,000" if case.name == "many" else "cabinetd"
    for goal in case.goals:
        values = GOAL_FIGURES[goal.of](bench.results, case, subject)
        entry = {"case": case.name, "what": goal.what,
                 "relation": goal.relation, "limit": goal.limit}
        spoilt = [r for name in (subject, case.base)
                  for r in bench.results.get((case.name, name), ())
                  if r.get("failure") or r.get("errors")]
        if spoilt:
            entry["why"] = "not judged, there were errors"
        elif values:
            median = statistics.median(values)
            entry.update(
                value=median, min=values[0], max=values[-1],
                reached=median <= goal.limit if goal.relation == "<="
                else median >= goal.limit)
        found.append(entry)
    return found


def summarise(bench):
    """One entry for each case and contender: medians over the rounds."""
    lines = []
    for case in bench.cases:
        for contender in bench.contenders:
            rounds = bench.results.get((case.name, contender.name))
            if not rounds:
                continue
            good = [r for r in rounds if "failure" not in r]
            line = {"case": case.name, "title": case.title,
                    "contender": contender.name, "rounds": rounds,
                    "errors": sum(r["errors"] for r in good),
                    "failures": len(rounds) - len(good),
                    "median": {key: statistics.median(r[key] for r in good)
                               for key in (good[0] if good else ())
                               if isinstance(good[0][key], (int, float))
                               and key != "round"}}
            ratios = ratio(bench.results, case, contender.name)
            if ratios:
                line.update(ratio=statistics.median(ratios),
                            ratio_min=ratios[0], ratio_max=ratios[-1],
                            best=best(bench.results, case, contender.name))
            lines.append(line)
    return lines


def machine():
    model = re.search(r"^model name\s*: (.*)", read("/proc/cpuinfo"), re.M)
    return {"kernel": platform.release().partition("-")[0], "processors": os.cpu_count(),
            "model": model.group(1) if model else platform.machine(),
            "congestion": read("/proc/sys/net/ipv4/tcp_congestion_control")
            .strip(),
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


# ---- the table ----------------------------------------------------------------------

COLUMNS = ("contender", "op/s", "CPU us/op", "/ floor", "(min-max)", "best",
           "user us", "p50 us", "p99 us", "p99.9 us", "busy", "load", "noise",
           "PSS MB", "errors")
# Where processes live shorter than a tick, or one operation lasts for all of the
# time, ticks say nothing of user time.
WITHOUT_USER = ("program", "bulk")
FORMAT = ("  %-13s %8s %9s %7s %11s %5s %7s %7s %7s %8s %5s %5s %5s %6s %6s")


def heading(bench):
    found = machine()
    return ("%(date)s, %(model)s, %(processors)d processors, Linux %(kernel)s, "
            "TCP %(congestion)s" % found + ", %d rounds of %g s\n%s" % (
                bench.options.rounds, bench.options.seconds,
                bench.subject()))


def table(bench, lines):
    out = [heading(bench)] + ["%s: %s" % pair
                              for pair in sorted(bench.versions().items())]
    for case in bench.cases:
        mine = [line for line in lines if line["case"] == case.name]
        if not mine:
            continue
        out += ["", "%s  [%s]" % (case.title, case.name)]
        if any("cpu_us" in line["median"] for line in mine):
            base = "/ floor" if case.base == "floor" else "/ base"
            out.append(FORMAT % tuple(base if name == "/ floor" else name
                                      for name in COLUMNS))
            if case.base not in ("floor", None):
                out[-2] += "  base: %s" % case.base
        out += [table_line(line) for line in mine]
        out += [goal_line(goal) for goal in judge(bench, case)]
    return "\n".join(out)


def goal_line(goal):
    text = "  %s %s %g: " % (goal["what"], goal["relation"], goal["limit"])
    if "value" not in goal:
        return text + goal.get("why", "not measured")
    return text + "%s, %.3g (%.3g-%.3g)" % (
        "reached" if goal["reached"] else "MISSED", goal["value"],
        goal["min"], goal["max"])


def table_line(line):
    m = line["median"]
    good = [r for r in line["rounds"] if "failure" not in r]
    if not good:
        return "  %-13s failed: %s" % (line["contender"],
                                       line["rounds"][0]["failure"])
    if "bytes_each" in m:
        return "  %-13s %.0f B (private %.0f B), %d connections" % (
            line["contender"], m["bytes_each"], m["private_each"],
            m["connections"])
    if "growth" in good[0]:
        return growth_lines(good)
    if "spread" in m:
        return ("  %-13s %s; CPU us/op of the whole machine with one "
                "worker %.0f, with two %.0f"
                % (line["contender"], ", ".join(
                    "%d + %d" % tuple(r["held"]) for r in good),
                   m["cpu_one"], m["cpu_two"]))
    if "cpu_us" not in m:
        return "  %-13s %.2f MB PSS" % (line["contender"], m["pss_kib"] / 1024)
    errors = str(line["errors"])
    if line["failures"]:
        errors += " (%d rounds failed)" % line["failures"]
    return FORMAT % (
        line["contender"], "%.0f" % m["ops_per_s"], "%.2f" % m["cpu_us"],
        "%.2f" % line["ratio"] if "ratio" in line else "-",
        "%.2f-%.2f" % (line["ratio_min"], line["ratio_max"])
        if "ratio" in line else "-",
        "%.2f" % line["best"] if "ratio" in line else "-",
        "-" if line["case"] in WITHOUT_USER else "%.2f" % m["user_us"],
        "%.0f" % m["p50"], "%.0f" % m["p99"],
        "%.0f" % m["p999"], "%.0f%%" % (100 * m["busy"]),
        "%.0f%%" % (100 * m["load_busy"]), "%.0f%%" % (100 * m["others"]),
        "%.1f" % (m["pss_kib"] / 1024), errors)


def growth_lines(good):
    out = ["  services    start ms  (CPU)   reload ms  (CPU)"]
    for count in COUNTS:
        at = [r["growth"][str(count)] for r in good]
        out.append("  %8d %11.1f %6.1f %11.1f %6.1f" % (count, *(
            statistics.median(r[key] for r in at)
            for key in ("start_ms", "start_cpu_ms", "reload_ms",
                        "reload_cpu_ms"))))
    return "\n".join(out)


def short(result):
    """One measurement, for whoever watches."""
    if "failure" in result:
        return "FAILED: " + result["failure"]
    if "cpu_us" in result:
        text = "%9.0f op/s  %8.2f us CPU/op  busy %3.0f %%  noise %.0f %%" % (
            result["ops_per_s"], result["cpu_us"], 100 * result["busy"],
            100 * result["others"])
    elif "bytes_each" in result:
        text = "%.0f B each of %d" % (result["bytes_each"],
                                      result["connections"])
    elif "growth" in result:
        text = "start %.0f ms, reload %.0f ms with %d" % (
            result["growth"][str(COUNTS[-1])]["start_ms"],
            result["growth"][str(COUNTS[-1])]["reload_ms"], COUNTS[-1])
    elif "spread" in result:
        text = "%d + %d connections, two workers can do %.2f of one" % (
            *result["held"], result["capacity"])
    else:
        text = "%.1f MB PSS" % (result["pss_kib"] / 1024)
    if result["errors"]:
        text += "  %d errors %s" % (result["errors"],
                                    result.get("error_kinds", ""))
    return text
