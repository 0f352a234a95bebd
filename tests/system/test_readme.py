# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of README's chapter on operating work as they stand there."""

import re
import textwrap

from rig import REPO

CONFIG = """drain = "5s";
services = (
  { name = "mail"; listen = "tcp://*:25"; protocol = "smtp"; },
  METRICS
);
"""


def chapter():
    text = (REPO / "README").read_text(encoding="utf-8")
    return re.search(r"\nOperating it\n-+\n(.*?)\n\n\n", text, re.S).group(1)


def test_commands_of_the_readme(machine):
    commands = re.findall(r"(?m)^ +# (.+)$", chapter())
    assert len(commands) > 30
    metrics = re.search(r'(?s)\{ name = "metrics".*?\}; \}', chapter()).group(0)
    machine.put("/etc/cabinetd.conf", CONFIG.replace(
        "METRICS", textwrap.dedent(metrics)))
    try:
        for command in commands:
            done = machine.run("bash", "-c", command, check=False)
            assert done.status == 0, done
            assert machine.is_active("cabinetd.service") or \
                commands.index(command) < 5, command
    finally:
        machine.systemctl("disable", "cabinetd", check=False)
    # The drop-in is in force.
    assert machine.show("cabinetd.service", "ProtectHome") == "no"
