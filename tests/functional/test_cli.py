# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: options, --check, --print-config, start errors, exit codes."""

import re
import signal
import socket
import subprocess

import pytest

from harness import (BINARY, ROOT, UNPRIVILEGED, Daemon, DaemonExited,
                     config_text, echoes, free_port, run_binary, run_check,
                     tcp)

FINDING = re.compile(r"^(?P<file>/\S+?):(?P<line>\d+): error: (?P<text>.+)$",
                     re.M)


def echo_service(port, name="echo"):
    return {"name": name, "listen": f"tcp://127.0.0.1:{port}",
            "protocol": "echo"}


# ---------------------------------------------------------------- plain options

def test_version():
    result = run_binary("--version")
    assert result.returncode == 0
    assert re.search(r"\bcabinetd\b.*\d+\.\d+", result.out)
    assert result.err == ""


def test_help_names_every_option():
    result = run_binary("--help")
    assert result.returncode == 0
    for option in ("-c", "--check", "--print-config", "--version", "--help"):
        assert option in result.out, option
    assert result.err == ""


@pytest.mark.parametrize("args", [
    ["--no-such-option"], ["-Z"], ["--chek"], ["-c"], ["--check=yes"],
    ["surplus"], ["--check", "surplus"],
])
def test_bad_usage_is_an_error_with_a_message(args):
    result = run_binary(*args)
    assert result.returncode not in (0, 78), result.all
    assert result.returncode > 0, "killed by a signal"
    assert result.err.strip(), "no message"


def test_bad_usage_never_starts(work):
    # A surplus argument must not be taken for "start with defaults".
    path = work / "cabinetd.conf"
    path.write_text(config_text([echo_service(free_port())]))
    result = run_binary("-c", path, "surplus")
    assert result.returncode not in (0, 78)
    assert "surplus" in result.err


def test_version_wins_over_a_broken_config(work):
    path = work / "cabinetd.conf"
    path.write_text("nonsense")
    assert run_binary("-c", path, "--version").returncode == 0


# ---------------------------------------------------------------- --check

def test_check_of_a_good_config(check):
    result = check(config_text([echo_service(free_port())]))
    assert result.returncode == 0, result.all
    assert "error" not in result.all
    assert len(result.all.splitlines()) <= 3


def test_check_does_not_bind(check):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert check(config_text([echo_service(port)])).returncode == 0


def test_check_reports_every_finding_in_one_run(check, work):
    lines = [
        "workers = 1;",                                                  # 1
        "colour = 3;",                                                   # 2
        "services = (",                                                  # 3
        '  { name = "a"; listen = "tcp://127.0.0.1:0"; protocol = "ecko"; },',
        '  { name = "b"; listen = "tcp://127.0.0.1:70000"; protocol = "echo"; },',
        '  { name = "c"; listen = "tcp://127.0.0.1:0"; protocol = "echo";',
        '    limits = { conections = 5; }; },',                          # 7
        '  { name = "d"; protocol = "echo"; },',                         # 8
        '  { name = "e"; listen = "tcp://127.0.0.1:0"; },',              # 9
        '  { name = "f"; listen = "tcp://127.0.0.1:0"; protocol = "echo";',
        '    timeouts = { idle = "5 parsecs"; };',                       # 11
        '    access = { allow = ( ); }; }',                              # 12
        ");",
    ]
    result = check("\n".join(lines) + "\n")
    assert result.returncode == 78, result.all
    found = {int(m["line"]): m["text"] for m in FINDING.finditer(result.all)}
    assert {2, 4, 5, 7, 8, 9, 11, 12} <= set(found), result.all
    assert all(m["file"] == str(work / "cabinetd.conf")
               for m in FINDING.finditer(result.all))
    assert "colour" in found[2]
    assert "ecko" in found[4] and re.search(r"\becho\b", found[4])
    assert "70000" in found[5]
    assert "conections" in found[7] and "connections" in found[7]
    assert "listen" in found[8]
    assert "protocol" in found[9] and "exec" in found[9]
    assert "idle" in found[11]
    assert "allow" in found[12]


@pytest.mark.parametrize("wrong, right, text", [
    ("protocl", "protocol", '{ name = "a"; listen = 0; protocl = "echo"; }'),
    ("lissen", "listen", '{ name = "a"; lissen = 0; protocol = "echo"; }'),
    ("limit", "limits",
     '{ name = "a"; listen = 0; protocol = "echo"; limit = { }; }'),
    ("per_sorce", "per_source", '{ name = "a"; listen = 0; protocol = "echo";'
     ' limits = { per_sorce = 1; }; }'),
    ("first_bite", "first_byte", '{ name = "a"; listen = 0; protocol = "echo";'
     ' timeouts = { first_bite = 1; }; }'),
    ("alow", "allow", '{ name = "a"; listen = 0; protocol = "echo";'
     ' access = { alow = "::1"; }; }'),
    ("daytme", "daytime", '{ name = "a"; listen = 0; protocol = "daytme"; }'),
    ("htpp", "http", '{ name = "a"; listen = 0; protocol = "htpp"; }'),
    ("hostnam", "hostname", '{ name = "a"; listen = 0; protocol = "smtp";'
     ' smtp = { hostnam = "x.example"; }; }'),
    ("progam", "program", '{ name = "a"; listen = 0;'
     ' exec = { progam = "/bin/cat"; }; }'),
])
def test_nearest_known_name(check, wrong, right, text):
    result = check(f"services = (\n{text}\n);\n")
    assert result.returncode == 78, result.all
    told = [m["text"] for m in FINDING.finditer(result.all)
            if wrong in m["text"]]
    assert told, result.all
    # The nearest one, before any list of all that are known.
    assert re.search(rf"\b{right}\b", told[0].split("known here")[0]), told


def test_check_of_a_missing_file(work):
    result = run_check(work / "absent.conf")
    assert result.returncode == 78, result.all
    assert "absent.conf" in result.all
    assert re.search(r"no such file", result.all, re.I)


def test_check_of_a_directory(work):
    result = run_check(work)
    assert result.returncode == 78, result.all
    assert str(work) in result.all


def test_findings_escape_what_the_file_holds(check):
    result = check(b'services = ( { name = "a"; listen = 0;'
                   b' protocol = "ec\x1b[31mho"; } );\n')
    assert result.returncode == 78
    assert "\x1b" not in result.all


def test_a_bad_config_does_not_start(work):
    with pytest.raises(DaemonExited) as ended:
        Daemon(config="services = (\n { name = 1; } );\n", work=work)
    assert ended.value.status == 78
    assert FINDING.search(ended.value.log)
    assert ":2:" in ended.value.log


def test_a_missing_config_does_not_start(work):
    result = run_binary("-c", work / "absent.conf")
    assert result.returncode == 78
    assert "absent.conf" in result.err


# ---------------------------------------------------------------- --print-config

def test_print_config_tells_values_and_origins(work):
    path = work / "cabinetd.conf"
    path.write_text('services = (\n'
                    ' { name = "one";\n'
                    '   listen = "tcp://127.0.0.1:12345";\n'
                    '   protocol = "echo";\n'
                    '   limits = {\n'
                    '     connections = 77;\n'
                    '   }; } );\n')
    result = run_binary("-c", path, "--print-config")
    assert result.returncode == 0, result.all
    lines = result.out.splitlines()
    assert any("connections" in line and "77" in line
               and re.search(r"cabinetd\.conf:6\b", line) for line in lines), \
        result.out
    assert any("12345" in line and re.search(r"cabinetd\.conf:3\b", line)
               for line in lines), result.out
    assert any("idle" in line and "default" in line for line in lines), \
        result.out


def test_print_config_names_the_drop_in_and_the_defaults_group(work):
    path = work / "cabinetd.conf"
    path.write_text('defaults = {\n limits = { per_source = 9; };\n};\n'
                    'services = ( );\n')
    extra = work / "cabinetd.conf.d"
    extra.mkdir()
    (extra / "one.conf").write_text(
        'services = (\n { name = "one"; listen = "tcp://127.0.0.1:12345";\n'
        '   protocol = "echo"; } );\n')
    result = run_binary("-c", path, "--print-config")
    assert result.returncode == 0, result.all
    assert re.search(r"one\.conf:3\b", result.out), result.out
    assert any("per_source" in line and "9" in line
               and re.search(r"cabinetd\.conf:2\b", line)
               for line in result.out.splitlines()), result.out


def test_print_config_is_itself_a_config(work):
    path = work / "cabinetd.conf"
    path.write_text(config_text([
        echo_service(12345),
        {"name": "web", "listen": ["tcp://*:12346", "unix:///run/x.sock"],
         "protocol": "http",
         "http": {"routes": [{"path": "/healthz", "status": 200,
                              "body": 'o"k\\\n'}]}},
        {"name": "mail", "listen": "tcp://[::1]:12347", "protocol": "smtp",
         "smtp": {"hostname": "mx.example.org", "mode": "sink",
                  "max_message": "10M"},
         "access": {"allow": ["10.0.0.0/8", "::1"]}},
        {"name": "cat", "listen": "tcp://127.0.0.1:12348",
         "exec": {"program": "/bin/cat", "args": ["-u"],
                  **({"user": UNPRIVILEGED} if ROOT else {})}},
    ]))
    first = run_binary("-c", path, "--print-config")
    assert first.returncode == 0, first.all
    second = work / "printed.conf"
    second.write_text(first.out)
    result = run_check(second)
    assert result.returncode == 0, result.all + "\n" + first.out
    # A fixed point: it prints itself again, origins aside.
    again = run_binary("-c", second, "--print-config")
    strip = re.compile(r"\s*(//|#|/\*).*$", re.M)
    assert strip.sub("", again.out) == strip.sub("", first.out)


def test_print_config_of_a_bad_config(work):
    path = work / "cabinetd.conf"
    path.write_text("colour = 3;\n")
    result = run_binary("-c", path, "--print-config")
    assert result.returncode == 78
    assert FINDING.search(result.all)


# ---------------------------------------------------------------- start errors

def one_error(log, name, address):
    lines = [line for line in log.splitlines() if address in line
             and "listening on" not in line]
    assert len(lines) == 1, f"expected one error about {address}:\n{log}"
    assert name in lines[0], log
    return lines[0]


def test_port_taken(work):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = free_port()
        holder.bind(("127.0.0.1", port))
        holder.listen()
        with pytest.raises(DaemonExited) as ended:
            Daemon(services=[echo_service(free_port(), "fine"),
                             echo_service(port, "taken-one")], work=work)
    assert ended.value.status == 1, ended.value.log
    line = one_error(ended.value.log, "taken-one", f"127.0.0.1:{port}")
    assert re.search(r"in use", line, re.I), line
    assert re.search(r"stop|other|another|free|choose|change|pick|ss -", line,
                     re.I), f"no remedy: {line}"


def test_every_taken_port_is_reported_or_the_first_alone(work):
    with socket.socket() as one, socket.socket() as two:
        ports = []
        for holder in (one, two):
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            ports.append(holder.getsockname()[1])
        with pytest.raises(DaemonExited) as ended:
            Daemon(services=[echo_service(p, f"s{p}") for p in ports],
                   work=work)
    assert ended.value.status == 1
    one_error(ended.value.log, f"s{ports[0]}", f"127.0.0.1:{ports[0]}")


def test_udp_port_taken(work):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with pytest.raises(DaemonExited) as ended:
            Daemon(services=[{"name": "dgrams", "protocol": "echo",
                              "listen": f"udp://127.0.0.1:{port}"}], work=work)
    assert ended.value.status == 1
    assert "in use" in one_error(ended.value.log, "dgrams",
                                 f"127.0.0.1:{port}").lower()


def test_address_not_of_this_host(work):
    with pytest.raises(DaemonExited) as ended:
        Daemon(services=[{"name": "far", "listen": "tcp://198.51.100.9:12345",
                          "protocol": "echo"}], work=work)
    assert ended.value.status == 1, ended.value.log
    one_error(ended.value.log, "far", "198.51.100.9:12345")


def test_privileged_port_as_plain_user(work):
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as limit:
        if int(limit.read()) <= 97:
            pytest.skip("this host lets anyone bind low ports")
    work.chmod(0o777)
    with pytest.raises(DaemonExited) as ended:
        Daemon(services=[{"name": "low", "listen": "tcp://127.0.0.1:97",
                          "protocol": "echo"}], work=work, plain=True)
    assert ended.value.status == 1, ended.value.log
    line = one_error(ended.value.log, "low", "127.0.0.1:97")
    assert re.search(r"permission|privilege|not permitted", line, re.I), line
    assert re.search(r"root|CAP_NET_BIND_SERVICE|1024|1023", line), \
        f"no remedy: {line}"


def test_unix_socket_in_a_missing_directory(work):
    path = work / "absent" / "sock"
    with pytest.raises(DaemonExited) as ended:
        Daemon(services=[{"name": "local", "listen": f"unix://{path}",
                          "protocol": "echo"}], work=work)
    assert ended.value.status in (1, 78), ended.value.log
    assert "local" in one_error(ended.value.log, "local", str(path))


def test_a_failed_start_leaves_nothing(work):
    held = free_port()
    other = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", held))
        holder.listen()
        with pytest.raises(DaemonExited):
            Daemon(services=[
                {"name": "u", "listen": f"unix://{work}/u.sock",
                 "protocol": "echo"},
                echo_service(other, "o"), echo_service(held, "h")], work=work)
    with socket.socket() as again:
        again.bind(("127.0.0.1", other))
    # The same config starts once the port is free.
    with Daemon(services=[
            {"name": "u", "listen": f"unix://{work}/u.sock",
             "protocol": "echo"},
            echo_service(other, "o"), echo_service(held, "h")], work=work):
        with tcp(other) as sock:
            assert echoes(sock)


# ---------------------------------------------------------------- starting

def test_plain_user_serves(work):
    port = free_port()
    work.chmod(0o777)
    with Daemon(services=[echo_service(port)], work=work,
                plain=True) as daemon:
        with tcp(port) as sock:
            assert echoes(sock)
        for worker in daemon.workers():
            assert worker.status()["Uid"] == \
                daemon_uid(daemon), "another user's worker"


def daemon_uid(daemon):
    with open(f"/proc/{daemon.pid}/status") as status:
        return re.search(r"^Uid:\t(.*)$", status.read(), re.M).group(1)


def test_relative_config_path(work):
    port = free_port()
    (work / "rel.conf").write_text(config_text([echo_service(port)]))
    process = subprocess.Popen([str(BINARY), "-c", "rel.conf"], cwd=work,
                               stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    try:
        for line in process.stderr:
            if b"listening on" in line:
                break
        # Defect 20 of xinetd: a relative path works at start, not on reload.
        process.send_signal(signal.SIGHUP)
        with tcp(port) as sock:
            assert echoes(sock)
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 0, rest
    assert "no such file" not in rest.lower(), rest


def test_closed_standard_descriptors(work):
    # A daemon started with 0, 1 and 2 closed must not hand a socket's number
    # to them and then write its log into a connection.
    port = free_port()
    path = work / "cabinetd.conf"
    path.write_text(config_text([echo_service(port)]))
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', str(BINARY),
         str(path)], start_new_session=True)
    try:
        for _ in range(500):
            try:
                sock = tcp(port)
                break
            except ConnectionRefusedError:
                assert process.poll() is None, "ended at once"
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    pass
        else:
            pytest.fail("never served")
        with sock:
            assert echoes(sock)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b""
    finally:
        process.terminate()
        process.wait(30)
    assert process.returncode == 0
