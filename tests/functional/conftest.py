# SPDX-License-Identifier: GPL-2.0-or-later
"""
Fixtures and hooks shared by every functional test: a bound in time for each
test, a traversable work directory, a factory of daemons that are stopped and
judged when the test ends, and the log of every live daemon with a failure.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

pytest.register_assert_rewrite("harness")

import harness  # noqa: E402

DEFAULT_BOUND = 60


class TestTookTooLong(Exception):
    __test__ = False


def pytest_configure(config):
    harness.become_subreaper()


def pytest_collection_modifyitems(session, config, items):
    if items and harness.find_binary() is None:
        raise pytest.UsageError(
            "no cabinetd binary: build one or set CABINETD=/path/to/cabinetd")


@contextlib.contextmanager
def _bounded(item):
    marker = item.get_closest_marker("bound")
    seconds = marker.args[0] if marker else DEFAULT_BOUND
    if harness.SANITIZED:
        seconds *= 2

    def ring(signum, frame):
        raise TestTookTooLong(f"over its bound of {seconds} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _bounded_hook(item):
    with _bounded(item):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    yield from _bounded_hook(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    yield from _bounded_hook(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    yield from _bounded_hook(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for daemon in list(harness.LIVE):
        report.sections.append(
            (f"log of {daemon.label} (tail)", daemon.log()[-6000:]))


@contextlib.contextmanager
def _work_directory():
    # Below /tmp and short: the unprivileged workers must be able to walk it
    # and a unix socket's path has 107 bytes.
    path = Path(tempfile.mkdtemp(prefix="cabt-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def work():
    with _work_directory() as path:
        yield path


@pytest.fixture(scope="module")
def module_work():
    with _work_directory() as path:
        yield path


@pytest.fixture
def daemon(work):
    """Factory: daemon(services=[...], workers=1, ...) -> a served Daemon."""
    with contextlib.ExitStack() as stack:
        def start(services=None, **kwargs):
            kwargs.setdefault("work", work)
            return stack.enter_context(
                harness.Daemon(services=services, **kwargs))
        yield start


@pytest.fixture
def check(work):
    """Function: check(config text) -> result of --check on that text."""
    def run(text, name="cabinetd.conf", mode=0o644, **kwargs):
        path = work / name
        if isinstance(text, str):
            text = text.encode()
        path.write_bytes(text)
        path.chmod(mode)
        return harness.run_check(path, **kwargs)
    return run
