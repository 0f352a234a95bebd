# SPDX-License-Identifier: GPL-2.0-or-later
"""The configurations that are shipped pass --check, and the demo's serves."""

import re
import socket

import pytest

from harness import (REPO, Daemon, Http, Smtp, echoes, receive_all, run_binary,
                     run_check, tcp, udp)

SHIPPED = sorted([*REPO.glob("tools/*.conf"), *REPO.glob("etc/*.conf"),
                  *REPO.glob("etc/examples/*.conf")])


def private_copy(path, work):
    """Readable by all and writable by root alone, whatever the checkout is."""
    copy = work / path.name
    copy.write_text(path.read_text())
    copy.chmod(0o644)
    return copy


def test_there_is_something_to_check():
    assert SHIPPED, "no shipped configuration was found"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.name))
def test_shipped_config_passes(path, work):
    result = run_check(private_copy(path, work))
    assert result.returncode == 0, result.all


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.name))
def test_shipped_config_prints(path, work):
    result = run_binary("-c", private_copy(path, work), "--print-config")
    assert result.returncode == 0, result.all
    assert re.search(rf"{re.escape(path.name)}:\d+", result.out)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.name))
def test_shipped_config_is_commented(path):
    assert re.search(r"^\s*(//|#)", path.read_text(), re.M)


DEMO = REPO / "tools" / "demo.conf"
DEMO_PORTS = {"echo": 10007, "discard": 10009, "daytime": 10013,
              "smtp": 10025, "http": 10080, "program": 10070}


def taken(port):
    for family, host in ((socket.AF_INET, "127.0.0.1"),
                         (socket.AF_INET6, "::1")):
        with socket.socket(family) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, port))
            except OSError:
                return True
    return False


@pytest.mark.skipif(not DEMO.exists(), reason="no tools/demo.conf")
def test_the_demo_serves_what_the_design_says(work):
    if any(taken(port) for port in DEMO_PORTS.values()):
        pytest.skip("a port of the demo is taken on this machine")
    with Daemon(config=DEMO.read_text(), work=work, name="demo.conf") as demo:
        for host in ("127.0.0.1", "::1"):
            with tcp(10007, host) as sock:
                assert echoes(sock)
            with tcp(10009, host) as sock:
                sock.sendall(b"x" * 1000)
                sock.shutdown(socket.SHUT_WR)
                assert receive_all(sock) == b""
            with tcp(10013, host) as sock:
                assert receive_all(sock).endswith(b"\r\n")
            with Smtp(tcp(10025, host)) as client:
                assert client.greeting[0] == 220
                assert client.code("EHLO client.example") == 250
            with Http(tcp(10080, host)) as link:
                assert 200 <= link.ask("/").status < 500
            with tcp(10070, host) as sock:
                assert echoes(sock)
            with udp(10007, host) as sock:
                sock.send(b"datagram")
                assert sock.recv(100) == b"datagram"
            with udp(10013, host) as sock:
                sock.send(b"")
                assert sock.recv(100).endswith(b"\r\n")
        # Loopback only: a demo opens nothing to the network.
        listening = set()
        for table in ("tcp", "tcp6"):
            with open(f"/proc/net/{table}") as text:
                for line in list(text)[1:]:
                    fields = line.split()
                    address, port = fields[1].rsplit(":", 1)
                    if fields[3] == "0A" and int(port, 16) in \
                            DEMO_PORTS.values():
                        listening.add(address)
        assert listening <= {"0100007F",
                             "00000000000000000000000001000000"}, listening
        assert demo.process.poll() is None
