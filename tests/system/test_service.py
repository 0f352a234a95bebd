# SPDX-License-Identifier: GPL-2.0-or-later
"""cabinetd.service: started, asked, looked at and stopped by systemd."""

import pytest

SERVICE = "cabinetd.service"
CONFIG = """services = (
  { name = "web"; listen = "tcp://127.0.0.1:8080"; protocol = "http";
    http = { routes = ( { path = "/"; body = "hello\\n"; } ); }; },
  { name = "echo"; listen = "tcp://*:7"; protocol = "echo"; }
);
"""


def test_starts_and_serves(serve):
    machine = serve(CONFIG)
    shown = machine.show(SERVICE, "ActiveState", "Type", "StatusText")
    assert shown["ActiveState"] == "active" and shown["Type"] == "notify"
    assert shown["StatusText"].startswith("Serving 2 services on ")
    assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out == "hello\n"
