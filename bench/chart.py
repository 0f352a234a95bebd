# SPDX-License-Identifier: GPL-2.0-or-later
"""
The chart: for each case where a floor, or what stands for one, was measured,
the ratio of each contender to it, on a logarithmic axis.
"""

import os
import subprocess

from report import machine

# A mark of its own for each, so that grey prints and colour-blind eyes do.
STYLES = {
    "cabinetd": (7, "#0b5fa5", 1.0), "1,000": (7, "#0b5fa5", 1.0),
    "xinetd": (5, "#d1495b", 0.7), "openbsd-inetd": (9, "#8f2d56", 0.8),
    "tcpserver": (11, "#e08e0b", 0.8), "systemd": (13, "#6b7280", 0.8),
    "socat": (4, "#7c3aed", 0.8), "nginx": (6, "#15803d", 0.8),
    "lighttpd": (8, "#a16207", 0.8), "h2o": (10, "#0e7490", 0.8),
    "guarded": (12, "#374151", 0.8), "floor": (2, "#374151", 0.9),
}
SCRIPT = """set terminal svg size 1000,%(height)d dynamic enhanced \
font 'sans-serif,13' background '#ffffff'
set output %(output)s
set title "CPU time of the server per operation, divided by the floor's or what is named\\n\
{/*0.8 logarithmic; median of %(rounds)d rounds, bars from the lowest to the \
highest; Linux %(kernel)s, %(date)s}"
set logscale x
set xrange [%(left)g:%(right)g]
set xtics (0.1,0.2,0.3,0.5,0.7,1,1.4,2,3,5,7,10,15,20,30) nomirror
set yrange [-0.7:%(top)g]
set ytics (%(tics)s) nomirror
set grid x lc rgb '#e5e7eb' lt 1
set border 1
set key outside right top samplen 1
set arrow from 1,-0.7 to 1,%(top)g nohead lc rgb '#374151' lw 1.5
set lmargin 42
set bmargin 3
%(data)s
plot %(plots)s
"""


def draw(bench, lines, path):
    """Writes the SVG; without anything to draw, none."""
    cases = [case for case in bench.cases
             if any("ratio" in line for line in lines
                    if line["case"] == case.name)]
    if not cases:
        return
    place = {case.name: len(cases) - 1 - i for i, case in enumerate(cases)}
    series, lowest, highest = {}, 0.36, 2.0
    for line in lines:
        case = next(c for c in bench.cases if c.name == line["case"])
        if "ratio" not in line or line["contender"] == case.base:
            continue
        series.setdefault(line["contender"], []).append(
            (line["ratio"], place[case.name] + lane(line["contender"]),
             line["ratio_min"], line["ratio_max"]))
        lowest = min(lowest, line["ratio_min"])
        highest = max(highest, line["ratio_max"])
    goals = [(goal.limit, place[case.name]) for case in cases
             for goal in case.goals if goal.of == "cpu"]
    script = SCRIPT % {
        "height": 130 + 46 * len(cases), "output": quoted(path),
        "rounds": bench.options.rounds, "kernel": machine()["kernel"],
        "date": machine()["date"][:10], "right": highest * 1.2,
        "left": lowest / 1.2,
        "top": len(cases) - 0.3,
        "tics": ", ".join("%s %d" % (
            quoted(case.title if case.base == "floor"
                   else "%s / %s" % (case.title, case.base)),
            place[case.name]) for case in cases),
        "data": blocks(series, goals), "plots": ", ".join(plots(series))}
    subprocess.run(
        bench.packages.command("usr/bin/gnuplot-nox"), input=script, text=True,
        check=True, env=dict(os.environ, LC_ALL="C.UTF-8"))


def lane(contender):
    """A little above or below the line, so that marks do not hide marks."""
    number = list(STYLES).index(contender) if contender in STYLES else 0
    return 0 if number < 2 else (0.18, -0.18, 0.3, -0.3)[number % 4]


def quoted(text):
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


def blocks(series, goals):
    out = []
    for i, points in enumerate(series.values()):
        out.append("$s%d << EOD" % i)
        out += ["%g %g %g %g" % point for point in points]
        out.append("EOD")
    out.append("$goals << EOD")
    out += ["%g %g %g" % (limit, y - 0.35, 0.7) for limit, y in goals]
    return "\n".join(out + ["EOD"])


def plots(series):
    yield ("$goals using 1:2:(0):3 with vectors nohead lc rgb '#0b5fa5' lw 3 "
           "title 'to reach'")
    for i, name in enumerate(series):
        point, colour, size = STYLES.get(name, (1, "#000000", 0.8))
        title = "notitle" if name == "1,000" and "cabinetd" in series \
            else "title " + quoted(name)
        yield ("$s%d using 1:2:3:4 with xerrorbars pt %d ps %g lw 1.3 "
               "lc rgb '%s' %s" % (i, point, size, colour, title))
