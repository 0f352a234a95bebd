# SPDX-License-Identifier: GPL-2.0-or-later
"""
The config file: everything fails closed, the traps of libconfig 1.5 end in a
message, drop-ins answer for themselves, and every listen form serves.
"""

import ctypes
import os
import re
import shutil
import socket
import stat

import pytest

from harness import (ROOT, UNPRIVILEGED, Daemon, DaemonExited, config_text,
                     echoes, free_port, needs_root, program, receive, run_binary,
                     run_check, silent, tcp, udp, unix_name, unix_stream)
from test_ctl import ctl

FINDING = re.compile(r"^(?P<file>/\S+?):(?P<line>\d+): error: (?P<text>.+)$",
                     re.M)
USER = f'user = "{UNPRIVILEGED}";' if ROOT else ""


def service(inner='', name="a", listen='"tcp://127.0.0.1:0"',
            what='protocol = "echo";'):
    return (f'services = ( {{ name = "{name}"; listen = {listen}; {what}\n'
            f'{inner}\n}} );\n')


def findings(result):
    return [(int(m["line"]), m["text"]) for m in FINDING.finditer(result.all)]


# ---------------------------------------------------------------- fails closed

EXEC = 'exec = { program = "/bin/cat"; ' + USER + ' };'
HTTP = 'protocol = "http";'
SMTP = 'protocol = "smtp";'

# (id, text, line or None, words that the finding holds)
BAD = [
    # unknown keys
    ("unknown-top", "bogus = 1;\n" + service(), 1, ["bogus"]),
    ("unknown-service-key", service("bogus = 1;"), 2, ["bogus"]),
    ("unknown-limits-key", service("limits = { bogus = 1; };"), 2, ["bogus"]),
    ("unknown-timeouts-key", service("timeouts = { bogus = 1; };"), 2,
     ["bogus"]),
    ("unknown-access-key", service("access = { bogus = 1; };"), 2, ["bogus"]),
    ("unknown-log-key", "log = { bogus = 1; };\n" + service(), 1, ["bogus"]),
    ("unknown-defaults-key", "defaults = { bogus = 1; };\n" + service(), 1,
     ["bogus"]),
    ("unknown-defaults-limits-key",
     "defaults = { limits = { bogus = 1; }; };\n" + service(), 1, ["bogus"]),
    ("unknown-exec-key",
     service('exec = { program = "/bin/cat"; bogus = 1; ' + USER + ' };',
             what=""), 2, ["bogus"]),
    ("unknown-http-key", service("http = { bogus = 1; };", what=HTTP), 2,
     ["bogus"]),
    ("unknown-route-key", service(
        'http = { routes = ( { path = "/x"; status = 200; bogus = 1; } ); };',
        what=HTTP), 2, ["bogus"]),
    ("unknown-smtp-key", service("smtp = { bogus = 1; };", what=SMTP), 2,
     ["bogus"]),
    ("name-in-the-wrong-case", service("Limits = { connections = 1; };"), 2,
     ["Limits"]),

    # wrong types
    ("services-is-a-group", 'services = { name = "a"; };\n', 1, ["services"]),
    ("services-is-a-string", 'services = "a";\n', 1, ["services"]),
    ("service-is-a-number", "services = (\n 7 );\n", None, ["services"]),
    ("name-is-a-number",
     'services = (\n { name = 7; listen = "tcp://127.0.0.1:0";'
     ' protocol = "echo"; } );', 2, ["name"]),
    ("limits-is-a-number", service("limits = 5;"), 2, ["limits"]),
    ("limits-is-a-list", service("limits = ( );"), 2, ["limits"]),
    ("connections-is-a-string", service('limits = { connections = "many"; };'),
     2, ["connections"]),
    ("connections-is-a-float", service("limits = { connections = 5.5; };"), 2,
     ["connections"]),
    ("connections-is-a-bool", service("limits = { connections = true; };"), 2,
     ["connections"]),
    ("protocol-is-a-number", service(what="protocol = 7;"), 1, ["protocol"]),
    ("protocol-is-a-list", service(what='protocol = ( "echo", "discard" );'),
     1, ["protocol"]),
    ("allow-is-a-number", service("access = { allow = 10; };"), 2, ["allow"]),
    ("allow-holds-a-number",
     service('access = { allow = ( "10.0.0.0/8", 7 ); };'), 2, ["allow"]),
    ("args-holds-a-group", service(
        'exec = { program = "/bin/cat"; args = ( { } ); ' + USER + ' };',
        what=""), 2, ["args"]),
    ("wait-is-a-string", service(
        'exec = { program = "/bin/cat"; wait = "no"; ' + USER + ' };',
        what=""), 2, ["wait"]),
    ("exec-is-a-string", service('exec = "/bin/cat";', what=""), 2, ["exec"]),
    ("workers-is-a-string", 'workers = "two";\n' + service(), 1, ["workers"]),
    ("listen-is-a-group", service(listen="{ port = 7; }"), 1, ["listen"]),
    ("listen-is-a-bool", service(listen="true"), 1, ["listen"]),
    ("listen-is-a-float", service(listen="7.5"), 1, ["listen"]),

    # out of range
    ("workers-negative", "workers = -1;\n" + service(), 1, ["workers"]),
    ("workers-huge", "workers = 1000000;\n" + service(), 1, ["workers"]),
    ("connections-negative", service("limits = { connections = -1; };"), 2,
     ["connections"]),
    ("per-source-negative", service("limits = { per_source = -5; };"), 2,
     ["per_source"]),
    ("port-negative", service(listen="-7"), 1, ["listen"]),
    ("port-65536", service(listen="65536"), 1, ["65536"]),
    ("port-text-65536", service(listen='"tcp://127.0.0.1:65536"'), 1,
     ["65536"]),
    ("status-99", service('http = { routes = ( { path = "/x"; status = 99; }'
                          ' ); };', what=HTTP), 2, ["status"]),
    ("status-1000", service('http = { routes = ( { path = "/x";'
                            ' status = 1000; } ); };', what=HTTP), 2,
     ["status"]),
    ("idle-negative", service('timeouts = { idle = -3; };'), 2, ["idle"]),
    ("log-level-unknown", 'log = { level = "inof"; };\n' + service(), 1,
     ["level", "info"]),
    ("log-target-unknown", 'log = { target = "file"; };\n' + service(), 1,
     ["target"]),
    ("on-limit-unknown", service('limits = { on_limit = "qeue"; };'), 2,
     ["on_limit", "queue"]),
    ("mode-unknown", service('smtp = { mode = "snik"; };', what=SMTP), 2,
     ["mode", "sink"]),

    # lists of access
    ("allow-empty", service("access = { allow = ( ); };"), 2, ["allow"]),
    ("deny-empty", service("access = { deny = ( ); };"), 2, ["deny"]),
    ("allow-empty-string", service('access = { allow = ""; };'), 2, ["allow"]),
    ("cidr-33", service('access = { allow = ( "10.0.0.0/33" ); };'), 2,
     ["10.0.0.0/33"]),
    ("cidr-129", service('access = { allow = ( "::/129" ); };'), 2,
     ["::/129"]),
    ("cidr-negative", service('access = { allow = ( "10.0.0.0/-1" ); };'), 2,
     ["10.0.0.0/-1"]),
    ("cidr-no-length", service('access = { allow = ( "10.0.0.0/" ); };'), 2,
     ["10.0.0.0/"]),
    ("cidr-rubbish", service('access = { allow = ( "10.0.0.0/8x" ); };'), 2,
     ["10.0.0.0/8x"]),
    ("cidr-short", service('access = { allow = ( "10.0.0/8" ); };'), 2,
     ["10.0.0/8"]),
    ("cidr-octal", service('access = { allow = ( "010.0.0.0/8" ); };'), 2,
     ["010.0.0.0/8"]),
    ("cidr-256", service('access = { allow = ( "10.0.0.256" ); };'), 2,
     ["10.0.0.256"]),
    ("host-bits", service('access = { allow = ( "10.1.2.3/8" ); };'), 2,
     ["10.1.2.3/8"]),
    ("access-by-name", service('access = { allow = ( "localhost" ); };'), 2,
     ["localhost"]),
    ("netmask-form", service('access = { allow = ( "10.0.0.0/255.0.0.0" ); };'),
     2, ["10.0.0.0/255.0.0.0"]),

    # identity of services
    ("no-name", 'services = (\n { listen = 0; protocol = "echo"; } );\n', 2,
     ["name"]),
    ("empty-name", service(name=""), 1, ["name"]),
    ("name-with-newline", 'services = ( { name = "a\\nb"; listen = 0;'
     ' protocol = "echo"; } );\n', 1, ["name"]),
    ("duplicate-name", 'services = (\n'
     ' { name = "twin"; listen = "tcp://127.0.0.1:0"; protocol = "echo"; },\n'
     ' { name = "twin"; listen = "tcp://127.0.0.1:0"; protocol = "echo"; } );',
     3, ["twin"]),
    ("no-listen", 'services = (\n { name = "a"; protocol = "echo"; } );\n', 2,
     ["listen"]),
    ("empty-listen", service(listen="( )"), 1, ["listen"]),
    ("neither-protocol-nor-exec",
     'services = (\n { name = "a"; listen = "tcp://127.0.0.1:0"; } );\n', 2,
     ["protocol", "exec"]),
    ("both-protocol-and-exec", service(EXEC), None, ["protocol", "exec"]),
    ("protocol-unknown", service(what='protocol = "ecco";'), 1,
     ["ecco", "echo"]),
    ("protocol-empty", service(what='protocol = "";'), 1, ["protocol"]),
    ("protocol-wrong-case", service(what='protocol = "ECHO";'), 1, ["ECHO"]),
    ("options-of-another-protocol", service("smtp = { };", what=HTTP), 2,
     ["smtp"]),
    ("options-without-the-protocol",
     service('http = { };\n' + EXEC, what=""), 2, ["http"]),
    ("exec-not-a-group", service("exec = true;", what=""), 2, ["exec"]),
    ("program-for-datagrams-that-does-not-wait", service(
        'exec = { program = "/bin/cat"; ' + USER + ' };', what="",
        listen='"udp://127.0.0.1:0"'), None, ["wait"]),
    # Defect 2 of xinetd: two addresses where one belongs only warned, and the
    # service listened everywhere.
    ("two-addresses-in-one-string", service(
        listen='"tcp://127.0.0.1:7 tcp://127.0.0.2:7"'), 1, ["listen"]),
    ("protocol-without-datagrams",
     service(listen='"udp://127.0.0.1:0"', what=HTTP), 1, ["udp"]),

    # listeners
    ("duplicate-listener", 'services = (\n'
     ' { name = "a"; listen = "tcp://127.0.0.1:12345"; protocol = "echo"; },\n'
     ' { name = "b"; listen = "tcp://127.0.0.1:12345"; protocol = "echo"; }\n'
     ');', 3, ["127.0.0.1:12345"]),
    ("duplicate-listener-in-one-service", service(
        listen='( "tcp://127.0.0.1:12345", "tcp://127.0.0.1:12345" )'), 1,
     ["127.0.0.1:12345"]),
    ("duplicate-unix-listener", 'services = (\n'
     ' { name = "a"; listen = "unix:///run/x.sock"; protocol = "echo"; },\n'
     ' { name = "b"; listen = "unix:///run/x.sock"; protocol = "echo"; }\n'
     ');', 3, ["/run/x.sock"]),
    ("duplicate-by-spelling", 'services = (\n'
     ' { name = "a"; listen = "tcp://[::1]:12345"; protocol = "echo"; },\n'
     ' { name = "b"; listen = "tcp://[0:0:0:0:0:0:0:1]:12345";'
     ' protocol = "echo"; }\n);', 3, ["12345"]),
    ("duplicate-port-and-star", 'services = (\n'
     ' { name = "a"; listen = 12345; protocol = "echo"; },\n'
     ' { name = "b"; listen = "tcp://*:12345"; protocol = "echo"; }\n);', 3,
     ["12345"]),

    # programs
    ("program-missing", service(
        'exec = { program = "/no/such/program"; ' + USER + ' };', what=""), 2,
     ["/no/such/program"]),
    ("program-absent", service('exec = { args = ( "x" ); ' + USER + ' };',
                               what=""), 2, ["program"]),
    ("program-empty", service('exec = { program = ""; ' + USER + ' };',
                              what=""), 2, ["program"]),
    ("program-relative", service('exec = { program = "cat"; ' + USER + ' };',
                                 what=""), 2, ["cat"]),
    ("program-not-executable", service(
        'exec = { program = "/etc/passwd"; ' + USER + ' };', what=""), 2,
     ["/etc/passwd"]),
    ("program-is-a-directory", service(
        'exec = { program = "/usr/bin"; ' + USER + ' };', what=""), 2,
     ["/usr/bin"]),
    ("env-without-equals", service(
        'exec = { program = "/bin/cat"; env = ( "NOVALUE" ); ' + USER + ' };',
        what=""), 2, ["env"]),

    # units
    *[(f"time-{text or 'empty'}",
       service(f'timeouts = {{ idle = "{text}"; }};'), 2, ["idle"])
      for text in ("5 parsecs", "10x", "-5s", "", "5mm", "1e3s", "s", "ms5",
                   "0x10s", "5s5", "99999999999999999999h", "9e9h", "5 ",
                   "+5s", "1h30")],
    *[(f"size-{text or 'empty'}",
       service(f'smtp = {{ max_message = "{text}"; }};', what=SMTP), 2,
       ["max_message"])
      for text in ("10X", "-5K", "", "K", "10KK", "1.5M.", "0x10K",
                   "99999999999999999999", "99999999999G")],

    # http
    ("route-without-path", service(
        "http = { routes = ( { status = 200; } ); };", what=HTTP), 2,
     ["path"]),
    ("route-path-relative", service(
        'http = { routes = ( { path = "x"; status = 200; } ); };', what=HTTP),
     2, ["path"]),
    ("duplicate-route", service(
        'http = { routes = ( { path = "/x"; status = 200; },\n'
        ' { path = "/x"; status = 404; } ); };', what=HTTP), None, ["/x"]),
    ("root-missing", service('http = { root = "/no/such/directory"; };',
                             what=HTTP), 2, ["/no/such/directory"]),
    ("root-is-a-file", service('http = { root = "/etc/passwd"; };', what=HTTP),
     2, ["/etc/passwd"]),
    ("root-relative", service('http = { root = "srv"; };', what=HTTP), 2,
     ["root"]),
    ("hostname-with-a-space", service('smtp = { hostname = "a b"; };',
                                      what=SMTP), 2, ["hostname"]),
    ("hostname-with-a-line-break",
     service('smtp = { hostname = "a\\r\\n250 x"; };', what=SMTP), 2,
     ["hostname"]),
]


@pytest.mark.parametrize("text, line, words",
                         [entry[1:] for entry in BAD],
                         ids=[entry[0] for entry in BAD])
def test_fails_closed(check, text, line, words):
    result = check(text)
    assert result.returncode == 78, result.all
    told = findings(result)
    assert told, result.all
    about = [(at, words_) for at, words_ in told
             if all(word in words_ for word in words)]
    assert about, f"no finding holds {words}:\n{result.all}"
    if line is not None:
        assert line in [at for at, _ in about], result.all


BAD_ADDRESSES = [
    "", "7", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://:7",
    "tcp://127.0.0.1:x", "tcp://127.0.0.1:7x", "tcp://127.0.0.1:-1",
    "tcp://127.0.0.1:+7", "tcp://127.0.0.1: 7", " tcp://127.0.0.1:7",
    "tcp://127.0.0.1:7 ", "tcp://127.0.0.1:0x7", "tcp://127.0.0.256:7",
    "tcp://[::1:7", "tcp://::1:7", "tcp://[::1]7", "tcp://[::1]",
    "tcp://[::zz]:7", "tcp://[127.0.0.1]:7", "tcp://**:7", "TCP//*:7",
    "tcp:127.0.0.1:7", "tcp:/127.0.0.1:7", "ftp://127.0.0.1:7",
    "tpc://127.0.0.1:7", "sctp://127.0.0.1:7", "unix://", "unix://relative",
    "unix://@", "unixgram://", "unix:///" + "x" * 120, "unix://@" + "x" * 120,
    "tcp://no-such-host.invalid:7", "tcp://a b:7", "tcp://127.0.0.1:7/path",
    "tcp://user@127.0.0.1:7", "tcp://127.0.0.1,127.0.0.2:7",
    "tcp://127.0.0.1:4294967376", "tcp://127.0.0.1:18446744073709551623",
    "tcp://127.0.0.1:65543", "unix:///run/a\\x00b",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_bad_listen_address(check, address):
    result = check(service(listen=f'"{address}"'), timeout=60)
    assert result.returncode == 78, result.all
    assert any(line == 1 for line, _ in findings(result)), result.all


@pytest.mark.skipif(not ROOT, reason="only root switches users")
@pytest.mark.parametrize("text, word", [
    ('user = "no-such-user";\n' + service(), "no-such-user"),
    (service('exec = { program = "/bin/cat"; user = "no-such-user"; };',
             what=""), "no-such-user"),
    (service('exec = { program = "/bin/cat"; user = "nobody";'
             ' group = "no-such-group"; };', what=""), "no-such-group"),
    ('user = "";\n' + service(), "user"),
])
def test_missing_account(check, text, word):
    result = check(text)
    assert result.returncode == 78, result.all
    assert any(word in told for _, told in findings(result)), result.all


@needs_root
def test_a_program_never_runs_as_root_unasked(work):
    # Either the user has to be named, or the program runs without rights.
    port = free_port()
    path = work / "cabinetd.conf"
    path.write_text(
        f'user = "{UNPRIVILEGED}";\nservices = ( {{ name = "id";'
        f' listen = "tcp://127.0.0.1:{port}";'
        ' exec = { program = "/usr/bin/id"; args = ( "-u" ); }; } );\n')
    result = run_check(path)
    if result.returncode == 78:
        assert any("user" in told for _, told in findings(result))
        return
    with Daemon(config=path.read_text(), work=work):
        with tcp(port) as sock:
            assert sock.recv(100).strip() not in (b"", b"0")


def test_a_misspelt_access_key_never_opens(check):
    # Defect 3 of xinetd: a mistyped ACL name only warned.
    result = check(service('access = { only_from = ( "10.0.0.0/8" ); };'))
    assert result.returncode == 78


def test_defaults_reach_services_that_stand_before_them(daemon):
    # Defect 17 of xinetd: defaults placed after a service did not apply.
    port = free_port()
    user = f'user = "{UNPRIVILEGED}";' if ROOT else ""
    daemon(config=user + 'services = ( { name = "a"; listen ='
           f' "tcp://127.0.0.1:{port}"; protocol = "echo"; }} );\n'
           'defaults = { limits = { per_source = 1; }; };\n')
    with tcp(port) as first:
        assert echoes(first)
        with tcp(port) as second:
            assert second.recv(10) == b""


def test_a_service_overrides_single_defaults(daemon):
    one, two = free_port(), free_port()
    daemon(services=[
        {"name": "one", "listen": f"tcp://127.0.0.1:{one}",
         "protocol": "echo"},
        {"name": "two", "listen": f"tcp://127.0.0.1:{two}",
         "protocol": "echo", "limits": {"connections": 100, "per_source": 2}},
    ], defaults={"limits": {"per_source": 1, "connections": 1}})
    with tcp(one) as first:
        assert echoes(first)
        with tcp(one) as second:
            assert second.recv(10) == b""
    with tcp(two) as first, tcp(two) as second:
        assert echoes(first) and echoes(second)


# ---------------------------------------------------------------- libconfig's traps

WRAPPED = ["4294967376", "4294967297", "-4294967295", "0x100000050",
           "18446744073709551617", "99999999999999999999999999",
           "4294967376L", "9223372036854775808L"]


@pytest.mark.parametrize("number", WRAPPED)
@pytest.mark.parametrize("text", [
    "services = ( {{ name = \"a\"; listen = {}; protocol = \"echo\"; }} );\n",
    "workers = {};\nservices = ( );\n",
    'services = ( {{ name = "a"; listen = "tcp://127.0.0.1:0";'
    ' protocol = "echo"; limits = {{ connections = {}; }}; }} );\n',
], ids=["listen", "workers", "connections"])
def test_trap_wrapped_integers(check, text, number):
    result = check(text.format(number))
    assert result.returncode == 78, result.all
    assert any(line == 1 for line, _ in findings(result)), result.all


def test_numbers_inside_strings_and_comments_are_no_integers(check):
    # The guard against wrapped integers must know what a string is.
    result = check('// 4294967376\n# 4294967376\n/* 4294967376\n4294967376 */\n'
                   + service('http = { routes = ( { path = "/4294967376";'
                             ' status = 200; body = "a \\" 4294967376 // x";'
                             ' } ); };', what=HTTP))
    assert result.returncode == 0, result.all


def test_trap_include_of_a_directory(check, work):
    (work / "sub").mkdir()
    result = check('@include "sub"\n' + service())
    assert result.returncode == 78, result.all
    assert findings(result), result.all


def test_trap_include_of_a_fifo(check, work):
    os.mkfifo(work / "pipe")
    result = check('@include "pipe"\n' + service(), timeout=45)
    assert result.returncode == 78, result.all
    assert findings(result), result.all


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null", "/dev/tty",
                                    "/proc/self/mem", "/no/such/file", ""])
def test_trap_include_of_odd_files(check, target):
    result = check(f'@include "{target}"\n' + service(), timeout=45)
    assert result.returncode == 78, result.all
    assert findings(result), result.all


def test_trap_include_of_itself(check):
    result = check('@include "cabinetd.conf"\n' + service(), timeout=45)
    assert result.returncode == 78, result.all


def test_trap_include_of_a_socket(check, work):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(work / "sock"))
        assert check('@include "sock"\n' + service()).returncode == 78


def test_trap_include_of_a_link_to_a_fifo(check, work):
    os.mkfifo(work / "pipe")
    (work / "link.conf").symlink_to(work / "pipe")
    assert check('@include "link.conf"\n' + service(),
                 timeout=45).returncode == 78


def test_main_file_is_a_fifo(work):
    os.mkfifo(work / "cabinetd.conf")
    result = run_check(work / "cabinetd.conf", timeout=45)
    assert result.returncode == 78, result.all


def test_main_file_is_endless():
    result = run_check("/dev/zero", timeout=45)
    assert result.returncode == 78, result.all


BROKEN = {
    "syntax": ('services = (\n { name = ; }\n);\n', 2),
    "unterminated-string": ('workers = 1;\nservices = "abc\n', None),
    "unterminated-comment": ('workers = 1;\n/* abc\n', None),
    "unterminated-list": ('services = (\n', None),
    "missing-semicolon": ('log = { level = "info" target = "auto" };\n', 1),
    "stray-bracket": (service() + "}\n", 4),
    "rubbish": ("%&$!\n", 1),
    "duplicate-key": ("workers = 1;\nworkers = 2;\n", 2),
    "duplicate-group-key": (
        service("limits = { connections = 1; connections = 2; };"), 2),
    "lone-word": ("workers\n", None),
    "xml": ("<services/>\n", 1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_trap_broken_file(check, name):
    text, line = BROKEN[name]
    result = check(text)
    assert result.returncode == 78, result.all
    told = findings(result)
    assert told, result.all
    if line:
        assert line in [at for at, _ in told], result.all


@pytest.mark.parametrize("data", [
    b"\0", b"\0" * 100000, b"\xff\xfe" * 1000, os.urandom(20000),
    b"workers = 1;\0 bogus = 2;\n",
    b"(" * 200000, b"services = " + b"(" * 200000, b"a = { " * 50000,
    b"a = " + b"9" * 100000 + b";", b'a = "' + b"x" * 5000000 + b'";',
    b"x" * 300000 + b" = 1;", b"\\" * 1000, b'a = "\\x', b'@include', b'@',
    b'@include "' + b"x" * 100000 + b'"', b"a = [ 1, 2, \"x\" ];",
], ids=lambda data: repr(data[:16]))
def test_hostile_bytes_end_in_a_message(check, data):
    result = check(data, timeout=45)
    assert result.returncode == 78, result.all[:2000]
    assert result.all.strip()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.all)


def test_thousands_of_findings_are_bounded(check):
    text = "services = (\n" + ",\n".join(
        f'{{ name = "s{i}"; bogus = 1; }}' for i in range(5000)) + ");\n"
    result = check(text, timeout=60)
    assert result.returncode == 78
    assert len(result.all) < 2_000_000


def test_a_thousand_services(check):
    result = check(config_text([
        {"name": f"s{i}", "listen": f"tcp://127.0.0.1:{10000 + i}",
         "protocol": "discard"} for i in range(1000)]), timeout=60)
    assert result.returncode == 0, result.all[:2000]


def test_crlf_and_byte_order_are_no_trap(check):
    # An editor of another system: either it works or the message says where.
    result = check(config_text([{"name": "a", "listen": 0,
                                 "protocol": "echo"}]).replace("\n", "\r\n"))
    assert result.returncode in (0, 78)


def test_empty_file_never_hangs(check):
    assert check("", timeout=45).returncode in (0, 78)


# ---------------------------------------------------------------- drop-ins

def dropin(work, name, text, directory="cabinetd.conf.d"):
    folder = work / directory
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o644)
    return path


def entry(name, port, extra=""):
    return (f'services = (\n {{ name = "{name}"; '
            f'listen = "tcp://127.0.0.1:{port}"; protocol = "echo"; {extra} }}'
            ' );\n')


def test_default_drop_in_directory(daemon, work):
    one, two, three = free_port(), free_port(), free_port()
    dropin(work, "20-two.conf", entry("two", two))
    dropin(work, "10-one.conf", entry("one", one))
    dropin(work, "30-three.conf.off", entry("three", three))
    dropin(work, "README", "this is no config\n")
    dropin(work, ".hidden", "nor this\n")
    running = daemon(services=[], name="cabinetd.conf")
    for port in (one, two):
        with tcp(port) as sock:
            assert echoes(sock)
    with pytest.raises(ConnectionRefusedError):
        tcp(three)
    log = running.log()
    assert log.index(str(one)) < log.index(str(two)), "not in name order"


def test_explicit_include_directory(check, work):
    dropin(work, "one.conf", entry("one", 12345), "more")
    good = check(f'include = "{work}/more";\nservices = ( );\n')
    assert good.returncode == 0, good.all
    dropin(work, "two.conf", entry("two", 12346, "bogus = 1;"), "more")
    bad = check(f'include = "{work}/more";\nservices = ( );\n')
    assert bad.returncode == 78
    assert f"{work}/more/two.conf:2: error: " in bad.all
    # The default directory is not read when another is named.
    dropin(work, "three.conf", "nonsense\n")
    shutil.rmtree(work / "more")
    (work / "more").mkdir()
    assert check(f'include = "{work}/more";\nservices = ( );\n') \
        .returncode == 0


def test_missing_explicit_include_directory(check, work):
    result = check(f'include = "{work}/absent";\nservices = ( );\n')
    assert result.returncode == 78, result.all
    assert "absent" in result.all
    assert any(line == 1 for line, _ in findings(result)), result.all


def test_missing_default_directory_is_fine(check):
    assert check("services = ( );\n" + (
        f'user = "{UNPRIVILEGED}";\n' if ROOT else "")).returncode == 0


def test_one_broken_drop_in_has_its_own_place(check, work):
    dropin(work, "10-good.conf", entry("good", 12345))
    bad = dropin(work, "20-bad.conf", "services = (\n\n { name = ; } );\n")
    worse = dropin(work, "30-worse.conf", entry("worse", 12346, "bogus = 1;"))
    result = check("services = ( );\n")
    assert result.returncode == 78
    told = {(m["file"], int(m["line"])) for m in FINDING.finditer(result.all)}
    assert (str(bad), 3) in told, result.all
    assert (str(worse), 2) in told, result.all
    assert not any(file.endswith("10-good.conf") for file, _ in told)


def test_duplicate_over_two_files(check, work):
    dropin(work, "one.conf", entry("twin", 12345))
    two = dropin(work, "two.conf", entry("twin", 12346))
    result = check("services = ( );\n")
    assert result.returncode == 78
    assert f"{two}:2: error: " in result.all and "twin" in result.all
    two.write_text(entry("other", 12345))
    result = check("services = ( );\n")
    assert result.returncode == 78
    assert f"{two}:2: error: " in result.all and "12345" in result.all


@pytest.mark.parametrize("text", ["", "workers = 1;\n", "services = ( );\n"])
def test_no_service_at_all_is_a_warning(check, work, text):
    """What is left of a file that was cut off, for one."""
    result = check(text)
    assert result.returncode == 0
    assert f"{work}/cabinetd.conf: warning: no service is configured" in \
        result.all
    dropin(work, "one.conf", entry("one", 12345))
    assert "no service" not in check(text).all


@pytest.mark.parametrize("text", ["workers = 1;\n", 'user = "nobody";\n',
                                  "defaults = { };\n",
                                  'include = "/tmp";\n'])
def test_a_drop_in_holds_services_and_nothing_else(check, work, text):
    dropin(work, "one.conf", text + entry("one", 12345))
    result = check("services = ( );\n")
    assert result.returncode == 78, result.all
    assert f"{work}/cabinetd.conf.d/one.conf:1: error: " in result.all


def test_drop_in_traps(check, work):
    folder = work / "cabinetd.conf.d"
    folder.mkdir()
    os.mkfifo(folder / "pipe.conf")
    result = check("services = ( );\n", timeout=45)
    assert result.returncode == 78 and "pipe.conf" in result.all, result.all
    (folder / "pipe.conf").unlink()
    (folder / "dir.conf").mkdir()
    result = check("services = ( );\n", timeout=45)
    assert result.returncode == 78 and "dir.conf" in result.all, result.all
    (folder / "dir.conf").rmdir()
    (folder / "dangling.conf").symlink_to("nowhere")
    result = check("services = ( );\n", timeout=45)
    assert result.returncode == 78 and "dangling.conf" in result.all, \
        result.all
    (folder / "dangling.conf").unlink()
    dropin(work, "nested.conf", '@include "/dev/zero"\n')
    result = check("services = ( );\n", timeout=45)
    assert result.returncode == 78 and "nested.conf" in result.all, result.all


def test_drop_in_directory_is_a_file(check, work):
    (work / "cabinetd.conf.d").write_text("")
    assert check("services = ( );\n").returncode == 78


def test_drop_in_and_main_file_both_have_services(daemon, work):
    one, two = free_port(), free_port()
    dropin(work, "two.conf", entry("two", two))
    daemon(services=[{"name": "one", "listen": f"tcp://127.0.0.1:{one}",
                      "protocol": "echo"}], name="cabinetd.conf")
    for port in (one, two):
        with tcp(port) as sock:
            assert echoes(sock)


# ---------------------------------------------------------------- good values

@pytest.mark.parametrize("value", [
    '"250ms"', '"30s"', '"5min"', '"1h"', "30", '"30"'])
def test_time_units(check, value):
    result = check((f'user = "{UNPRIVILEGED}";\n' if ROOT else "")
                   + service(f"timeouts = {{ idle = {value}; }};"))
    assert result.returncode == 0, result.all


@pytest.mark.parametrize("value", ['"10M"', '"64K"', '"1G"', "65536",
                                   '"65536"'])
def test_size_units(check, value):
    result = check((f'user = "{UNPRIVILEGED}";\n' if ROOT else "")
                   + service(f"smtp = {{ max_message = {value}; }};",
                             what=SMTP))
    assert result.returncode == 0, result.all


def test_the_designs_own_example(check, work):
    # DESIGN, section 5, without what later issues bring.
    user = f'user = "{UNPRIVILEGED}";' if ROOT else ""
    result = check(f'''
workers  = 0;                         // 0: one per CPU
{user}
control  = "{work}/control.sock";
log      = {{ target = "auto"; level = "info"; }};
defaults = {{ limits = {{ connections = 1000; }}; timeouts = {{ idle = "5min"; }}; }};
services = (
  {{ name = "echo";    listen = ( "tcp://*:7", "udp://*:7" );        protocol = "echo"; }},
  {{ name = "daytime"; listen = 13;                                  protocol = "daytime"; }},
  {{ name = "web";     listen = "tcp://[::1]:8080";                  protocol = "http";
    http = {{ root = "{work}";
             routes = ( {{ path = "/healthz"; status = 200; body = "ok\\n"; }} ); }}; }},
  {{ name = "mail";    listen = "tcp://*:25";                        protocol = "smtp";
    smtp = {{ hostname = "mx.example.org"; mode = "sink"; max_message = "10M"; }};
    limits = {{ connections = 200; per_source = 5; rate = "20/min"; }};
    access = {{ allow = ( "10.0.0.0/8", "::1" ); }}; }},
  {{ name = "cat";     listen = 9418;
    exec = {{ program = "/bin/cat"; args = ( "-u" ); {user} }}; }}
);
''')
    assert result.returncode == 0, result.all


# ---------------------------------------------------------------- who may write

@needs_root
@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o620, 0o602])
def test_config_that_others_may_write(check, mode):
    result = check(config_text([{"name": "a", "listen": 0,
                                 "protocol": "echo"}]), mode=mode)
    assert result.returncode == 78, result.all
    assert re.search(r"writ", result.all), result.all


@needs_root
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400, 0o640])
def test_config_that_only_root_may_write(check, mode):
    assert check(config_text([{"name": "a", "listen": 0,
                               "protocol": "echo"}]),
                 mode=mode).returncode == 0


@needs_root
def test_config_of_another_owner(check, work):
    path = work / "cabinetd.conf"
    path.write_text(config_text([{"name": "a", "listen": 0,
                                  "protocol": "echo"}]))
    shutil.chown(path, UNPRIVILEGED)
    result = run_check(path)
    assert result.returncode == 78, result.all
    assert re.search(r"own|writ", result.all), result.all


@needs_root
def test_drop_in_that_others_may_write(check, work):
    path = dropin(work, "one.conf", entry("one", 12345))
    path.chmod(0o666)
    result = check("services = ( );\n")
    assert result.returncode == 78
    assert "one.conf" in result.all and re.search("writ", result.all)


@needs_root
def test_included_file_that_others_may_write(check, work):
    (work / "inc.cfg").write_text("workers = 1;\n")
    (work / "inc.cfg").chmod(0o666)
    result = check('@include "inc.cfg"\nservices = ( );\n')
    assert result.returncode == 78, result.all


@needs_root
def test_reload_of_a_config_that_others_may_write(daemon):
    port, other = free_port(), free_port()
    running = daemon(services=[
        {"name": "one", "listen": f"tcp://127.0.0.1:{port}",
         "protocol": "echo"}])
    running.write([{"name": "two", "listen": f"tcp://127.0.0.1:{other}",
                    "protocol": "echo"}])
    running.config.chmod(0o666)
    mark = running.mark()
    running.reload()
    running.wait_log("writ", mark)
    with tcp(port) as sock:
        assert echoes(sock)
    with pytest.raises(ConnectionRefusedError):
        tcp(other)


def test_plain_users_config_may_be_anyones(work):
    # Only root is at risk from a file that others may write.
    port = free_port()
    work.chmod(0o777)
    path = work / "mine.conf"
    path.write_text(f'services = ( {{ name = "a"; listen ='
                    f' "tcp://127.0.0.1:{port}"; protocol = "echo"; }} );\n')
    path.chmod(0o666)
    who = {"user": UNPRIVILEGED, "group": "nogroup", "extra_groups": []} \
        if ROOT else {}
    result = run_binary("-c", path, "--check", **who)
    assert result.returncode == 0, result.all


# ---------------------------------------------------------------- listen forms

def test_listen_port_number_means_both_families(daemon):
    port = free_port()
    daemon(services=[{"name": "n", "listen": port, "protocol": "echo"}])
    for host in ("127.0.0.1", "::1"):
        with tcp(port, host) as sock:
            assert echoes(sock)
    with udp(port, timeout=0.3) as sock:
        with pytest.raises(OSError):
            sock.send(b"x")
            sock.recv(10)


def test_listen_star(daemon):
    port = free_port()
    daemon(services=[{"name": "n", "protocol": "echo",
                      "listen": [f"tcp://*:{port}", f"udp://*:{port}"]}])
    for host in ("127.0.0.1", "127.0.0.77", "::1"):
        with tcp(port, host) as sock:
            assert echoes(sock)
        with udp(port, host) as sock:
            sock.send(b"datagram")
            assert sock.recv(100) == b"datagram"


def test_listen_one_address_only(daemon):
    port = free_port()
    daemon(services=[{"name": "n", "listen": f"tcp://127.0.0.1:{port}",
                      "protocol": "echo"}])
    with tcp(port) as sock:
        assert echoes(sock)
    for host in ("127.0.0.2", "::1"):
        with pytest.raises(ConnectionRefusedError):
            tcp(port, host)


def test_listen_ipv6_only(daemon):
    port = free_port()
    daemon(services=[{"name": "n", "listen": f"tcp://[::1]:{port}",
                      "protocol": "echo"}])
    with tcp(port, "::1") as sock:
        assert echoes(sock)
    with pytest.raises(ConnectionRefusedError):
        tcp(port)


def test_listen_ipv4_any_is_not_ipv6(daemon):
    port = free_port()
    daemon(services=[{"name": "n", "listen": f"tcp://0.0.0.0:{port}",
                      "protocol": "echo"}])
    with tcp(port) as sock:
        assert echoes(sock)
    with pytest.raises(ConnectionRefusedError):
        tcp(port, "::1")


def test_listen_host_name(daemon):
    port = free_port()
    daemon(services=[{"name": "n", "listen": f"tcp://localhost:{port}",
                      "protocol": "echo"}])
    for family, _, _, _, address in socket.getaddrinfo(
            "localhost", port, type=socket.SOCK_STREAM):
        with socket.socket(family) as sock:
            sock.settimeout(10)
            sock.connect(address)
            assert echoes(sock)


def test_listen_several(daemon, work):
    ports = [free_port() for _ in range(4)]
    daemon(services=[{"name": "n", "protocol": "echo", "listen": [
        ports[0], f"tcp://127.0.0.1:{ports[1]}", f"tcp://[::1]:{ports[2]}",
        f"udp://127.0.0.1:{ports[3]}", f"unix://{work}/sock"]}])
    for port, host in ((ports[0], "127.0.0.1"), (ports[1], "127.0.0.1"),
                       (ports[2], "::1")):
        with tcp(port, host) as sock:
            assert echoes(sock)
    with udp(ports[3]) as sock:
        sock.send(b"x")
        assert sock.recv(10) == b"x"
    with unix_stream(work / "sock") as sock:
        assert echoes(sock)


def test_same_port_tcp_and_udp_in_two_services(daemon):
    port = free_port()
    daemon(services=[
        {"name": "t", "listen": f"tcp://127.0.0.1:{port}",
         "protocol": "echo"},
        {"name": "u", "listen": f"udp://127.0.0.1:{port}",
         "protocol": "echo"}])
    with tcp(port) as sock:
        assert echoes(sock)
    with udp(port) as sock:
        sock.send(b"x")
        assert sock.recv(10) == b"x"


def test_same_port_on_two_addresses(daemon):
    port = free_port()
    daemon(services=[
        {"name": "one", "listen": f"tcp://127.0.0.1:{port}",
         "protocol": "echo"},
        {"name": "two", "listen": f"tcp://127.0.0.2:{port}",
         "protocol": "daytime"}])
    with tcp(port) as sock:
        assert echoes(sock)
    with tcp(port, "127.0.0.2") as sock:
        assert sock.recv(100).endswith(b"\r\n")


@pytest.mark.parametrize("scheme, host", [
    ("tcp", "127.0.0.1"), ("tcp", "[::1]"), ("udp", "127.0.0.1"),
    ("udp", "[::1]")])
def test_listen_port_0(daemon, scheme, host):
    running = daemon(services=[{"name": "any-port", "protocol": "echo",
                                "listen": f"{scheme}://{host}:0"}])
    port = running.port_of("any-port", scheme, host)
    assert port != 0
    if scheme == "tcp":
        with tcp(port, host.strip("[]")) as sock:
            assert echoes(sock)
    else:
        with udp(port, host.strip("[]")) as sock:
            sock.send(b"x")
            assert sock.recv(10) == b"x"


def test_two_services_on_port_0(daemon):
    running = daemon(services=[
        {"name": "first", "listen": "tcp://127.0.0.1:0", "protocol": "echo"},
        {"name": "second", "listen": "tcp://127.0.0.1:0",
         "protocol": "daytime"}])
    with tcp(running.port_of("first")) as sock:
        assert echoes(sock)
    with tcp(running.port_of("second")) as sock:
        assert sock.recv(100).endswith(b"\r\n")


def test_listen_unix(daemon, work):
    path = work / "echo.sock"
    daemon(services=[{"name": "n", "listen": f"unix://{path}",
                      "protocol": "echo"}])
    assert stat.S_ISSOCK(path.stat().st_mode)
    with unix_stream(path) as sock:
        assert echoes(sock)


def test_unix_socket_left_by_a_dead_daemon_is_replaced(daemon, work):
    path = work / "echo.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    daemon(services=[{"name": "n", "listen": f"unix://{path}",
                      "protocol": "echo"}])
    with unix_stream(path) as sock:
        assert echoes(sock)


def test_unix_socket_of_a_living_server_is_not_taken(work):
    path = work / "echo.sock"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        with pytest.raises(DaemonExited) as ended:
            Daemon(services=[{"name": "n", "listen": f"unix://{path}",
                              "protocol": "echo"}], work=work)
        assert ended.value.status == 1, ended.value.log
        with unix_stream(path):
            living.accept()[0].close()


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "symlink"])
def test_unix_path_that_is_no_socket_is_never_removed(work, kind):
    path = work / "precious"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        (work / "target").write_text("precious")
        path.symlink_to(work / "target")
    before = os.lstat(path)
    with pytest.raises(DaemonExited) as ended:
        Daemon(services=[{"name": "n", "listen": f"unix://{path}",
                          "protocol": "echo"}], work=work)
    assert ended.value.status in (1, 78), ended.value.log
    after = os.lstat(path)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)


def test_listen_abstract_unix(daemon):
    name = f"@cabinetd-test-{os.getpid()}-abstract"
    daemon(services=[{"name": "n", "listen": f"unix://{name}",
                      "protocol": "echo"}])
    with unix_stream(name) as sock:
        assert echoes(sock)


@pytest.mark.parametrize("abstract", [False, True])
def test_listen_unixgram(daemon, work, abstract):
    place = f"@cabinetd-test-{os.getpid()}-gram" if abstract \
        else f"{work}/gram.sock"
    daemon(services=[{"name": "n", "listen": f"unixgram://{place}",
                      "protocol": "echo"}])
    work.chmod(0o777)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        mine = f"{work}/client.sock"
        sock.bind(mine)
        os.chmod(mine, 0o777)
        sock.sendto(b"hello", unix_name(place))
        assert sock.recv(100) == b"hello"


def test_unix_socket_owner_and_mode(daemon, work):
    path = work / "echo.sock"
    options = {"mode": "0600"}
    if ROOT:
        options["owner"] = UNPRIVILEGED
    daemon(services=[{"name": "n", "listen": f"unix://{path}",
                      "protocol": "echo", "socket": options}])
    info = path.stat()
    assert stat.S_IMODE(info.st_mode) == 0o600
    if ROOT:
        import pwd
        assert info.st_uid == pwd.getpwnam(UNPRIVILEGED).pw_uid


def test_a_disabled_family_of_sockets_stays_quiet(daemon):
    # Nothing answers a service that was written for another transport.
    port = free_port()
    daemon(services=[{"name": "n", "listen": f"udp://127.0.0.1:{port}",
                      "protocol": "echo"}])
    with pytest.raises(ConnectionRefusedError):
        tcp(port)
    with udp(port) as sock:
        sock.send(b"")
        silent(sock, 0.2)
        sock.send(b"x")
        got = sock.recv(10)
        assert got in (b"", b"x")


def test_exec_over_port_0(daemon):
    running = daemon(services=[{"name": "prog", "listen": "tcp://127.0.0.1:0",
                                "exec": program("/bin/cat")}])
    with tcp(running.port_of("prog")) as sock:
        sock.sendall(b"meow")
        assert receive(sock, 4) == b"meow"


# ---------------------------------------------------------------- what the unit forbids

PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, CAP_NET_RAW = 38, 24, 13


def confined():
    """Started as by a unit that gives less than the configuration asks for."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0) == 0


@needs_root
def test_needs_that_the_unit_forbids_are_told_with_their_place(daemon):
    port, other = free_port(), free_port()

    def cat(name, port, **more):
        return {"name": name, "listen": f"tcp://127.0.0.1:{port}",
                "exec": program("/bin/cat", **more)}

    running = daemon(services=[
        cat("plain", port), cat("ping", other, capabilities="net_raw")],
        preexec=confined)
    found = running.wait_log(
        r'warning: (\S+):(\d+): service "ping": exec.capabilities: '
        r"it has no cap_net_raw: .*CapabilityBoundingSet=")
    assert found.group(1) == str(running.config) and int(found.group(2)) > 1
    assert 'service "plain"' not in running.log()
    # A reload tells whoever asked for it.
    running.write([cat("plain", port),
                   cat("su", other, no_new_privileges=False)])
    result = ctl(running, "reload")
    told = result.out + result.err
    assert re.search(r':\d+: warning: service "su": exec.no_new_privileges: .*'
                     r"dropins/setuid.conf", told), told
    with tcp(port) as sock:
        assert echoes(sock)
