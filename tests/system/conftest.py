# SPDX-License-Identifier: GPL-2.0-or-later
"""
Fixtures of the system tests: one machine for all of them, booted at the first
test that wants it; a bound in time for each test; the journal with a failure.

Environment:
  CABINETD_SYSTEM_BUILD  a build tree configured with --prefix=/usr
                         --sysconfdir=/etc --localstatedir=/var and made
                         (all, tests/system/client); default build/test/gcc
  CABINETD_SYSTEM        "require": what would be skipped fails instead
  CABINETD_SYSTEM_FULL   "1": the counts of tests/system/full

The rows of the table that tests/system/full prints are the tests marked with
row(NAME); options --row NAME and --figures-json FILE are its.
"""

import contextlib
import json
import os
import shutil
import subprocess
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

pytest.register_assert_rewrite("rig")

import rig  # noqa: E402

DEFAULT_BOUND = 120
FULL = os.environ.get("CABINETD_SYSTEM_FULL") == "1"
SERVICE = "cabinetd.service"


class TestTookTooLong(Exception):
    __test__ = False


def give_up(why):
    if os.environ.get("CABINETD_SYSTEM") == "require":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@contextlib.contextmanager
def _bounded(item, default):
    marker = item.get_closest_marker("bound")
    seconds = marker.args[0] if marker else default
    if FULL:
        seconds = max(seconds, 7200)

    def ring(signum, frame):
        raise TestTookTooLong(f"over its bound of {seconds} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    with _bounded(item, 400):       # the first one installs and boots
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    with _bounded(item, DEFAULT_BOUND):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if item.get_closest_marker("row") and (call.when == "call"
                                           or not report.passed):
        _keep_row(item, report)
    here = getattr(item, "funcargs", {}).get("machine")
    if not report.failed or here is None or here.leader is None:
        return
    with contextlib.suppress(Exception):
        log = here.log("cabinetd*", here.begun)
        report.sections.append(("journal (tail)", log[-6000:]))


def _build_tree():
    named = os.environ.get("CABINETD_SYSTEM_BUILD")
    tree = Path(named) if named else rig.REPO / "build/test/gcc"
    if not (tree / "tests/system/client").exists() or \
            not (tree / "cabinetd").exists():
        give_up(f"no build in {tree}: tools/test makes one")
    return tree


@pytest.fixture(scope="session")
def whole_machine():
    if os.geteuid() != 0:
        give_up("only root can boot a machine")
    for program in ("systemd-nspawn", "unshare", "nsenter"):
        if shutil.which(program) is None:
            give_up(f"{program} is not installed (Debian: systemd-container, "
                    "util-linux)")
    if not Path("/run/systemd/system").is_dir() and \
            not Path("/sys/fs/cgroup").is_mount():
        give_up("no control groups are mounted on /sys/fs/cgroup")
    if subprocess.run(["unshare", "--user", "true"], check=False,
                      stderr=subprocess.DEVNULL).returncode:
        give_up("no user namespaces can be made here, as below chroot(2), "
                "and the units need some")
    machine = rig.Machine(_build_tree())
    try:
        machine.__enter__()
    except rig.Refused as why:
        give_up(f"no machine can be booted here: {why}")
    try:
        yield machine
    finally:
        machine.__exit__(None, None, None)


@pytest.fixture
def machine(whole_machine):
    """The machine, as it was just after its boot once the test has ended."""
    here = whole_machine
    here.begun = here.cursor()
    yield here
    here.systemctl("stop", "cabinetd*", "test-*", check=False)
    for path in ("/etc/cabinetd.conf.d", "/etc/cabinetd-builtins.conf.d",
                 "/etc/systemd/system/cabinetd.service.d",
                 "/etc/systemd/system/cabinetd-builtins.service.d",
                 "/etc/systemd/system/cabinetd-builtins.socket.d"):
        here.remove(path)
    for path in list(Path(f"/proc/{here.leader}/root/etc/systemd/system")
                     .glob("test-*")):
        path.unlink()
    here.systemctl("daemon-reload")
    here.systemctl("reset-failed", check=False)


@pytest.fixture
def serve(machine):
    """Function: serve(config text) starts cabinetd.service with that text."""
    def start(text, name="/etc/cabinetd.conf"):
        machine.put(name, text)
        begun = machine.cursor()
        done = machine.systemctl("start", SERVICE, check=False)
        assert done.status == 0, \
            f"{done}\n{machine.log(SERVICE, begun)[-4000:]}"
        return machine
    return start


# ---------------------------------------------------------------- the table

ROWS = []       # in the order in which they were run
COLUMNS = (("row", "row"), ("events", "what was done"),
           ("requests", "requests"), ("failed", "failed"),
           ("worst", "worst"), ("verdict", "verdict"))


def pytest_addoption(parser):
    parser.addoption("--row", action="append", metavar="NAME",
                     help="only this row of the table of figures")
    parser.addoption("--figures-json", metavar="FILE",
                     help="write the table of figures to this file, too")


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--row")
    if not wanted:
        return
    names = {item: item.get_closest_marker("row").args[0] for item in items
             if item.get_closest_marker("row")}
    strange = set(wanted) - set(names.values())
    if strange:
        raise pytest.UsageError(
            f"no row {', '.join(sorted(strange))}; there are: "
            + ", ".join(sorted(set(names.values()))))
    config.hook.pytest_deselected(
        items=[item for item in items if names.get(item) not in wanted])
    items[:] = [item for item in items if names.get(item) in wanted]


@pytest.fixture
def figure(request):
    """
    Function: figure(events, report) keeps what a row has measured: what was
    done and the load client's report.  To be called before the row's last
    assertions, so that a row that misses its figure shows by how much.

    allowed   failures that the row allows (and has explained)
    worst     what took longest, in words; else the slowest reply
    took, within  seconds; over them is a miss, in the full form only: the
              short one runs on machines that are busy with other things
    more      anything else worth knowing, for the JSON
    """
    request.node.measured = {}

    def keep(events, report, allowed=0, worst=None, took=None, within=None,
             **more):
        request.node.measured.update(
            more, events=events, requests=report["ok"] + report["failed"],
            failed=report["failed"], allowed=allowed,
            worst=worst or f"{report['worst_ms']:.0f} ms reply",
            worst_reply_ms=report["worst_ms"], took_s=took, within_s=within)
        assert report["failed"] <= allowed, report
        if FULL and within is not None:
            assert took <= within, f"took {took:.2f} s, not {within} s"
    return keep


def _keep_row(item, report):
    row = {"row": item.get_closest_marker("row").args[0],
           "test": item.name, "seconds": round(report.duration, 1)}
    row.update(getattr(item, "measured", {}))
    row["verdict"] = "reached" if report.passed else report.outcome
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        row["why"] = crash.message if crash else str(report.longrepr)
    ROWS.append(row)


def _cells(row):
    return [str(row.get(key, "-")) for key, _ in COLUMNS]


def pytest_terminal_summary(terminalreporter, config):
    if not ROWS:
        return
    lines = [[title for _, title in COLUMNS]] + [_cells(row) for row in ROWS]
    widths = [max(map(len, column)) for column in zip(*lines)]
    terminalreporter.section("figures, " + (
        "full" if FULL else "short form"))
    for line in lines:
        terminalreporter.write_line("  ".join(
            cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    if config.getoption("--figures-json"):
        Path(config.getoption("--figures-json")).write_text(
            json.dumps({"full": FULL, "rows": ROWS}, indent=2) + "\n",
            encoding="utf-8")


def count(short, full, name):
    """How often: the short form's number, the full one's, or the variable's."""
    return int(os.environ.get(f"CABINETD_{name}", full if FULL else short))
