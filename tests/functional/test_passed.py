# SPDX-License-Identifier: GPL-2.0-or-later
"""
Sockets that systemd passes.  Its part is played by the tests: they keep every
socket open as a .socket unit does, and pass it again to each supervisor.
"""

import subprocess

import pytest

from harness import BINARY, base_environment


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
