# SPDX-License-Identifier: GPL-2.0-or-later
"""
Programs, one process per connection: what they get (descriptors, environment,
signals, session, user), what the log says of them, and what they cannot harm.
"""

import contextlib
import grp
import json
import os
import pwd
import re
import shutil
import socket
import time
from types import SimpleNamespace

import pytest

from harness import (PATIENCE, ROOT, UNPRIVILEGED, Daemon, descendants, echoes,
                     free_port, in_parallel, needs_root, program, push,
                     receive, receive_all, reset, silent, tcp, unharmed,
                     unix_stream, wait_until)

PYTHON = "/usr/bin/python3"

# Prints what a program finds, as JSON, to the client.
PROBE = r'''
import json, os, signal, stat, sys, fcntl
found = {"env": dict(os.environ), "argv": sys.argv, "pid": os.getpid(),
         "sid": os.getsid(0), "pgid": os.getpgid(0), "cwd": os.getcwd(),
         "uid": os.getresuid(), "gid": os.getresgid(),
         "groups": os.getgroups()}
fds = {}
for fd in range(1024):
    try:
        info = os.fstat(fd)
    except OSError:
        continue
    kind = "socket" if stat.S_ISSOCK(info.st_mode) else \
        "pipe" if stat.S_ISFIFO(info.st_mode) else "other"
    fds[fd] = [kind, info.st_ino, fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK]
found["fds"] = fds
with open("/proc/self/status") as status:
    for line in status:
        key, _, value = line.partition(":")
        found["status " + key] = value.strip()
with open("/proc/self/stat") as text:
    found["tty"] = text.read().rpartition(")")[2].split()[4]
mask = os.umask(0)
os.umask(mask)
found["umask"] = mask
print(json.dumps(found), flush=True)
'''

TOOLS = {
    "cat": ("/bin/cat",),
    "env": ("/usr/bin/env",),
    "probe": (PYTHON, "-I", "-S", "-c", PROBE),
    "sh": ("/bin/sh", "-s"),
    "status7": ("/bin/sh", "-c", "echo out; exit 7"),
    "killed": ("/bin/sh", "-c", "echo out; kill -9 $$"),
    "segv": ("/bin/sh", "-c", "kill -SEGV $$"),
    "complain": ("/bin/sh", "-c",
                 'echo to-the-client; echo to-the-log-1 >&2;'
                 ' printf "evil \\033[31m \\007 bytes\\n" >&2;'
                 ' printf "no line end" >&2'),
    "big": ("/bin/sh", "-c", "yes 0123456789abcdef | head -c 20000000"),
    "false": ("/bin/false",),
    "deaf": ("/bin/sleep", "1000"),
    "closer": ("/bin/sh", "-c", "exec <&- >&-; sleep 2"),
    "background": ("/bin/sh", "-c", "sleep 2 <&- >&- 2>&- & echo started"),
}


@pytest.fixture(scope="module")
def shop(module_work):
    ports = {name: free_port() for name in TOOLS}
    services = [
        {"name": f"prog-{name}",
         "listen": [f"tcp://*:{port}", f"unix://{module_work}/{name}.sock"],
         "exec": program(*TOOLS[name]),
         "limits": {"connections": 500, "per_source": 500}}
        for name, port in ports.items()]
    with Daemon(services=services, work=module_work, workers=2,
                env={"CANARY": "from the daemon", "LD_BIND_NOW": "1",
                     "WATCHDOG_USEC": "60000000", "LISTEN_FDNAMES": "x",
                     "HOME": "/daemon/home"}) as daemon:
        yield SimpleNamespace(daemon=daemon, work=module_work, **ports)


@pytest.fixture
def tools(shop):
    with unharmed(shop.daemon):
        yield shop


def ask(tools, name, host="127.0.0.1", **kwargs):
    with tcp(getattr(tools, name.replace("-", "_")), host, **kwargs) as sock:
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock, reset_ok=True)


def probe(tools, host="127.0.0.1", **kwargs):
    return json.loads(ask(tools, "probe", host, **kwargs))


# ---------------------------------------------------------------- the connection

def test_cat(tools):
    for host in ("127.0.0.1", "::1"):
        with tcp(tools.cat, host) as sock:
            for text in (b"a", b"hello\n", b"x" * 5000):
                assert echoes(sock, text)
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b""


def test_cat_over_unix(tools):
    with unix_stream(tools.work / "cat.sock") as sock:
        assert echoes(sock, b"hello\n" * 100)
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b""


def test_half_close_reaches_the_program(tools):
    data = os.urandom(300_000)
    with tcp(tools.cat) as sock:
        writer = push(sock, data)
        got = receive(sock, 150_000)
        writer.join(PATIENCE)
        sock.shutdown(socket.SHUT_WR)
        assert got + receive_all(sock) == data


def test_bytes_sent_at_once_are_the_programs(tools):
    # The daemon reads nothing of what belongs to the program.
    for _ in range(30):
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        with sock:
            sock.connect(("127.0.0.1", tools.cat))
            sock.sendall(b"first bytes\n" * 50)
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b"first bytes\n" * 50


def test_shell_dialogue(tools):
    with tcp(tools.sh) as sock:
        sock.sendall(b"echo one\necho $((6 * 7))\nexit\n")
        assert receive_all(sock, reset_ok=True) == b"one\n42\n"


def test_big_output_to_a_slow_reader(tools):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", tools.big))
    with sock:
        time.sleep(0.5)
        data = receive_all(sock)
    assert len(data) == 20_000_000
    assert data == (b"0123456789abcdef\n" * (20_000_000 // 17 + 1))[:len(data)]


def test_the_end_of_the_program_ends_the_connection(tools):
    # No role keeps a copy of the socket: the client sees the end at once.
    with tcp(tools.status7) as sock:
        assert receive_all(sock, reset_ok=True) == b"out\n"
    with tcp(tools.closer) as sock:
        assert receive_all(sock, reset_ok=True) == b""


def test_a_background_child_does_not_hold_the_connection(tools):
    with tcp(tools.background) as sock:
        assert receive_all(sock, reset_ok=True) == b"started\n"


# ---------------------------------------------------------------- what it gets

ALWAYS = {"PATH"}
PEER = {"TCPREMOTEIP", "TCPREMOTEPORT", "TCPLOCALIP", "TCPLOCALPORT", "PROTO",
        "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT"}
# What a login would set from the account, and our own names.
ALLOWED = re.compile(r"HOME|USER|LOGNAME|SHELL|CABINETD_[A-Z_]+|SERVER_ADDR"
                     r"|SERVER_PORT|LC_CTYPE|REMOTE_(UID|GID|PID)")


def parse_env(data):
    text = data.decode()
    pairs = [line.partition("=") for line in text.splitlines()]
    assert all(sep for _, sep, _ in pairs), text
    names = [name for name, _, _ in pairs]
    assert len(names) == len(set(names)), f"a name twice: {names}"
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_environment(tools, host):
    with tcp(tools.env, host) as sock:
        port = sock.getsockname()[1]
        sock.shutdown(socket.SHUT_WR)
        env = parse_env(receive_all(sock, reset_ok=True))
    assert env["TCPREMOTEIP"] == env["REMOTE_ADDR"] == env["REMOTE_HOST"] \
        == host
    assert env["TCPREMOTEPORT"] == env["REMOTE_PORT"] == str(port)
    assert env["TCPLOCALIP"] == host
    assert env["TCPLOCALPORT"] == str(tools.env)
    assert env["PROTO"] == "TCP"
    assert "/usr/bin" in env["PATH"].split(":")
    assert all(part.startswith("/") for part in env["PATH"].split(":"))
    surplus = {name for name in set(env) - ALWAYS - PEER
               if not ALLOWED.fullmatch(name)}
    assert not surplus, f"variables that nobody asked for: {surplus}"
    if ROOT and "HOME" in env:
        assert env["HOME"] == pwd.getpwnam(UNPRIVILEGED).pw_dir


def test_environment_over_unix(tools):
    with unix_stream(tools.work / "env.sock") as sock:
        sock.shutdown(socket.SHUT_WR)
        env = parse_env(receive_all(sock, reset_ok=True))
    assert "TCPREMOTEIP" not in env and "TCPREMOTEPORT" not in env
    assert env.get("PROTO") == "UNIX"
    assert env.get("REMOTE_UID", str(os.getuid())) == str(os.getuid())
    assert env.get("REMOTE_PID", str(os.getpid())) == str(os.getpid())
    surplus = {name for name in set(env) - ALWAYS - PEER
               if not ALLOWED.fullmatch(name) and not name.startswith("UNIX")}
    assert not surplus


def test_the_daemons_environment_stays_out(tools):
    env = probe(tools)["env"]
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID",
                 "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID", "CANARY",
                 "LD_BIND_NOW", "LD_PRELOAD", "ASAN_OPTIONS", "TZ",
                 "INVOCATION_ID", "JOURNAL_STREAM"):
        assert name not in env, name
    assert env.get("HOME") != "/daemon/home"


def test_env_and_pass_env(daemon):
    port = free_port()
    daemon(services=[{
        "name": "env", "listen": f"tcp://127.0.0.1:{port}",
        "exec": program("/usr/bin/env",
                        env=["GREETING=hello world", "EMPTY=", "EQ=a=b=c",
                             "PATH=/only/this"],
                        pass_env=["CANARY", "ABSENT"])}],
        env={"CANARY": "sings", "OTHER": "silent"})
    with tcp(port) as sock:
        sock.shutdown(socket.SHUT_WR)
        env = parse_env(receive_all(sock, reset_ok=True))
    assert env["GREETING"] == "hello world"
    assert env["EMPTY"] == "" and env["EQ"] == "a=b=c"
    assert env["PATH"] == "/only/this"
    assert env["CANARY"] == "sings"
    assert "ABSENT" not in env and "OTHER" not in env


def test_a_variable_cannot_pose_as_the_peer(daemon, work):
    # What the administrator writes may win or be refused; what the daemon's
    # caller has set may never replace the peer's address.
    port = free_port()
    daemon(services=[{"name": "env", "listen": f"tcp://127.0.0.1:{port}",
                      "exec": program("/usr/bin/env",
                                      pass_env=["CANARY"])}],
           env={"TCPREMOTEIP": "6.6.6.6", "REMOTE_ADDR": "6.6.6.6"})
    with tcp(port) as sock:
        sock.shutdown(socket.SHUT_WR)
        env = parse_env(receive_all(sock, reset_ok=True))
    assert env["TCPREMOTEIP"] == env["REMOTE_ADDR"] == "127.0.0.1"


def test_arguments(daemon):
    port = free_port()
    args = ["-I", "-S", "-c", "import sys, json; print(json.dumps(sys.argv[1:]))",
            "", "two words", "a'b\"c\\d", "$HOME", "%s", "*", "ä", "line\nbreak"]
    daemon(services=[{"name": "args", "listen": f"tcp://127.0.0.1:{port}",
                      "exec": program(PYTHON, *args)}])
    with tcp(port) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert json.loads(receive_all(sock, reset_ok=True)) == args[4:]


def test_descriptors_are_0_1_2_and_no_other(tools):
    fds = probe(tools)["fds"]
    assert set(fds) == {"0", "1", "2"}, fds
    assert fds["0"][0] == fds["1"][0] == "socket"
    assert fds["0"][1] == fds["1"][1]
    assert fds["2"][1] != fds["0"][1], "stderr goes to the client"


def test_what_the_daemon_inherited_goes_no_further(daemon):
    # CVE-2002-0871: xinetd handed its own signal pipe on.
    port = free_port()
    reader, writer = os.pipe()
    try:
        daemon(services=[{"name": "probe", "listen": f"tcp://127.0.0.1:{port}",
                          "exec": program(PYTHON, "-I", "-S", "-c", PROBE)}],
               pass_fds=(reader, writer))
        with tcp(port) as sock:
            found = json.loads(receive_all(sock, reset_ok=True))
        assert set(found["fds"]) == {"0", "1", "2"}, found["fds"]
    finally:
        os.close(reader)
        os.close(writer)


def test_the_socket_blocks(tools):
    fds = probe(tools)["fds"]
    assert fds["0"][2] == 0 and fds["1"][2] == 0


def test_signals_are_at_their_defaults(tools):
    found = probe(tools)
    assert int(found["status SigBlk"], 16) == 0
    # Python itself ignores SIGPIPE and SIGXFSZ; look with a shell.
    with tcp(tools.sh) as sock:
        sock.sendall(b"grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status\nexit\n")
        text = receive_all(sock, reset_ok=True).decode()
    masks = dict(re.findall(r"^(Sig\w+):\s*(\w+)", text, re.M))
    assert int(masks["SigIgn"], 16) == 0, text
    assert int(masks["SigBlk"], 16) == 0, text


def test_own_session_without_terminal(tools):
    found = probe(tools)
    assert found["sid"] == found["pid"] == found["pgid"]
    assert found["tty"] == "0"
    assert found["cwd"] == "/" or not ROOT or \
        found["cwd"] == pwd.getpwnam(UNPRIVILEGED).pw_dir


def test_two_programs_have_two_sessions(tools):
    assert probe(tools)["sid"] != probe(tools)["sid"]


@needs_root
def test_user_and_group(tools):
    account = pwd.getpwnam(UNPRIVILEGED)
    found = probe(tools)
    assert found["uid"] == [account.pw_uid] * 3
    assert found["gid"] == [account.pw_gid] * 3
    assert set(found["groups"]) <= set(os.getgrouplist(UNPRIVILEGED,
                                                       account.pw_gid))
    assert 0 not in found["groups"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(found[f"status {name}"], 16) == 0, name


@needs_root
def test_another_user_and_group(daemon):
    users = [entry for entry in pwd.getpwall()
             if entry.pw_uid not in (0, 65534) and entry.pw_uid < 1000]
    account = users[0]
    group = grp.getgrnam("nogroup")
    port = free_port()
    daemon(services=[{
        "name": "probe", "listen": f"tcp://127.0.0.1:{port}",
        "exec": {"program": PYTHON, "args": ["-I", "-S", "-c", PROBE],
                 "user": account.pw_name, "group": "nogroup"}}])
    with tcp(port) as sock:
        found = json.loads(receive_all(sock, reset_ok=True))
    assert found["uid"] == [account.pw_uid] * 3
    assert found["gid"] == [group.gr_gid] * 3


@needs_root
@pytest.mark.parametrize("alone", [True, False])
def test_no_program_has_the_bounding_set_of_another(daemon, alone):
    """What the launcher keeps for one service is no part of the next one's."""
    raw = 1 << 13
    account = {"user": UNPRIVILEGED}
    kinds = {"plain": account,
             "raw": {"capabilities": ["net_raw"], **account}}
    if not alone:
        kinds["sudo"] = {"no_new_privileges": False, **account}
    ports = {name: free_port() for name in kinds}
    daemon(services=[{
        "name": name, "listen": f"tcp://127.0.0.1:{ports[name]}",
        "exec": {"program": PYTHON, "args": ["-I", "-S", "-c", PROBE], **more}}
        for name, more in kinds.items()])
    found = {}
    for name in kinds:
        with tcp(ports[name]) as sock:
            found[name] = json.loads(receive_all(sock, reset_ok=True))
    bits = {name: {key: int(found[name]["status Cap" + key], 16)
                   for key in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
            for name in kinds}
    assert set(bits["plain"].values()) == {0}
    assert set(bits["raw"].values()) == {raw}
    if not alone:
        with open("/proc/self/status", encoding="ascii") as status:
            own = re.search(r"^CapBnd:\s*(\w+)", status.read(), re.M).group(1)
        assert bits["sudo"] == {"Inh": 0, "Prm": 0, "Eff": 0,
                                "Bnd": int(own, 16), "Amb": 0}


@needs_root
def test_root_only_where_it_was_asked_for(daemon):
    port = free_port()
    daemon(services=[{"name": "probe", "listen": f"tcp://127.0.0.1:{port}",
                      "exec": {"program": PYTHON, "user": "root",
                               "args": ["-I", "-S", "-c", PROBE]}}])
    with tcp(port) as sock:
        found = json.loads(receive_all(sock, reset_ok=True))
    assert found["uid"] == [0] * 3


def test_directory_umask_and_rlimits(daemon, work):
    port = free_port()
    place = work / "place"
    place.mkdir()
    daemon(services=[{
        "name": "probe", "listen": f"tcp://127.0.0.1:{port}",
        "exec": program("/bin/sh", "-c",
                        "pwd; umask; ulimit -n; ulimit -t; nice",
                        directory=str(place), umask="0027", nice=5,
                        rlimits={"files": 64, "cpu": 7})}])
    with tcp(port) as sock:
        lines = receive_all(sock, reset_ok=True).decode().split()
    # As nice(1) has it: on top of what the daemon was started with.
    assert lines == [str(place), "0027", "64", "7", str(min(os.nice(0) + 5, 19))]


def test_plain_user_runs_programs(work):
    port = free_port()
    work.chmod(0o777)
    text = ('services = ( { name = "p"; listen = "tcp://127.0.0.1:%d";'
            ' exec = { program = "/usr/bin/id"; args = ( "-u" ); }; } );\n')
    with Daemon(config=text % port, work=work, plain=True):
        with tcp(port) as sock:
            uid = int(receive_all(sock, reset_ok=True))
    assert uid == (pwd.getpwnam(UNPRIVILEGED).pw_uid if ROOT
                   else os.getuid())


# ---------------------------------------------------------------- the log

def test_stderr_goes_to_the_log_and_never_to_the_client(tools):
    mark = tools.daemon.mark()
    data = ask(tools, "complain")
    assert data == b"to-the-client\n"
    tools.daemon.wait_log(r"prog-complain.*to-the-log-1", mark)
    tools.daemon.wait_log(r"prog-complain.*evil .* bytes", mark)
    tools.daemon.wait_log(r"prog-complain.*no line end", mark)
    tools.daemon.judge_log()


def records(daemon, name, mark):
    """Lines of the log that tell how a program of this service ended."""
    return [line for line in daemon.log()[mark:].splitlines()
            if f"prog-{name}" in line
            and re.search(r"exit|status|signal|killed", line, re.I)]


@pytest.mark.parametrize("name, words", [
    ("status7", r"(status|code|exit)\D*7\b"),
    ("killed", r"signal\D*9\b|SIGKILL|\bKILL\b"),
    ("segv", r"signal\D*11\b|SIGSEGV|\bSEGV\b"),
    ("false", r"(status|code|exit)\D*1\b"),
])
def test_one_record_tells_how_a_program_ended(tools, name, words):
    mark = tools.daemon.mark()
    with tcp(getattr(tools, name), source="127.0.0.31") as sock:
        peer = sock.getsockname()[1]
        receive_all(sock, reset_ok=True)
    line = wait_until(lambda: records(tools.daemon, name, mark),
                      f"a record of {name}")[0]
    time.sleep(0.2)
    assert len(records(tools.daemon, name, mark)) == 1
    assert re.search(words, line), line
    assert "127.0.0.31" in line, f"no peer: {line}"
    assert re.search(rf"\b{peer}\b", line), f"no port of the peer: {line}"
    assert "::ffff:" not in line
    assert re.search(r"\d ?(ms|us|s)\b|duration|cpu", line, re.I), \
        f"no duration: {line}"


def test_a_record_for_a_success_too(daemon):
    port = free_port()
    running = daemon(services=[{"name": "prog-true",
                                "listen": f"tcp://127.0.0.1:{port}",
                                "exec": program("/bin/true")}],
                     log={"level": "info"})
    mark = running.mark()
    with tcp(port) as sock:
        receive_all(sock, reset_ok=True)
    line = wait_until(lambda: records(running, "true", mark), "a record")[0]
    assert re.search(r"(status|code|exit)\D*0\b", line), line


def test_a_flood_on_stderr_is_bounded(daemon):
    port = free_port()
    running = daemon(services=[
        {"name": "noisy", "listen": f"tcp://127.0.0.1:{port}",
         "exec": program("/bin/sh", "-c",
                         "yes complaint | head -c 30000000 >&2; echo done")}])
    with tcp(port, timeout=30) as sock:
        assert receive_all(sock, reset_ok=True) == b"done\n"
    assert len(running.log()) < 10_000_000


def test_a_line_without_end_on_stderr(daemon):
    port, other = free_port(), free_port()
    running = daemon(services=[
        {"name": "noisy", "listen": f"tcp://127.0.0.1:{port}",
         "exec": program("/bin/sh", "-c",
                         "head -c 5000000 /dev/zero >&2; echo done")},
        {"name": "cat", "listen": f"tcp://127.0.0.1:{other}",
         "exec": program("/bin/cat")}])
    with tcp(port, timeout=30) as sock:
        assert receive_all(sock, reset_ok=True) == b"done\n"
    with tcp(other) as sock:
        assert echoes(sock)
    running.judge_log()


def test_stderr_null(daemon):
    port = free_port()
    running = daemon(services=[
        {"name": "quiet", "listen": f"tcp://127.0.0.1:{port}",
         "exec": program("/bin/sh", "-c", "echo hidden >&2; echo shown",
                         stderr="null")}])
    with tcp(port) as sock:
        assert receive_all(sock, reset_ok=True) == b"shown\n"
    time.sleep(0.3)
    assert "hidden" not in running.log()


# ---------------------------------------------------------------- many, and bad ones

def no_zombies(daemon):
    def clean():
        return not [p for p in descendants(daemon.pid) if p.state == "Z"]
    wait_until(clean, "no zombie is left")


def test_two_hundred_in_a_row(tools):
    for number in range(200):
        with tcp(tools.cat) as sock:
            assert echoes(sock, str(number).encode())
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b""
    no_zombies(tools.daemon)


def test_fifty_at_once(tools):
    def job():
        with tcp(tools.cat, timeout=30) as sock:
            for turn in range(5):
                assert echoes(sock, b"turn %d" % turn)
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b""
    in_parallel([job] * 50, 60)
    no_zombies(tools.daemon)
    wait_until(lambda: not [p for p in tools.daemon.family()
                            if p.title.startswith("/bin/cat")],
               "every cat has ended")


def test_descriptors_of_the_launcher_come_back(tools):
    launcher = tools.daemon.launcher()
    for _ in range(3):
        ask(tools, "complain")
    time.sleep(0.3)
    before = launcher.descriptors()
    for _ in range(60):
        ask(tools, "complain")
    wait_until(lambda: launcher.descriptors() <= before,
               f"{before} descriptors again, now {launcher.descriptors()}")


def test_a_program_that_does_not_read(tools):
    with tcp(tools.deaf) as sock:
        sock.sendall(b"is anybody there\n")
        assert silent(sock, 0.3)
        with tcp(tools.cat) as other:
            assert echoes(other)
    # sleep does not notice that its client has gone: end it ourselves, as the
    # service has no timeout that would.
    for process in tools.daemon.family():
        if process.title.startswith("/bin/sleep 1000"):
            os.kill(process.pid, 15)
    no_zombies(tools.daemon)


def test_clients_that_vanish(tools):
    for _ in range(30):
        sock = tcp(tools.cat)
        sock.sendall(b"x")
        reset(sock)
    with tcp(tools.cat) as sock:
        assert echoes(sock)
    wait_until(lambda: len([p for p in tools.daemon.family()
                            if p.title.startswith("/bin/cat")]) <= 1,
               "programs of vanished clients end")
    no_zombies(tools.daemon)


def test_crashing_programs_never_switch_the_service_off(tools):
    for _ in range(150):
        with tcp(tools.segv) as sock:
            assert receive_all(sock, reset_ok=True) == b""
    with tcp(tools.cat) as sock:
        assert echoes(sock)
    no_zombies(tools.daemon)


def test_orphans_are_reaped(tools):
    for _ in range(10):
        ask(tools, "background")
    with tcp(tools.cat) as sock:
        assert echoes(sock)
    time.sleep(2.5)
    no_zombies(tools.daemon)


def test_program_disappears_while_the_daemon_runs(daemon, work):
    path = work / "tool"
    shutil.copy("/bin/cat", path)
    path.chmod(0o755)
    port, other = free_port(), free_port()
    running = daemon(services=[
        {"name": "gone", "listen": f"tcp://127.0.0.1:{port}",
         "exec": program(str(path))},
        {"name": "cat", "listen": f"tcp://127.0.0.1:{other}",
         "exec": program("/bin/cat")}])
    with tcp(port) as sock:
        assert echoes(sock)
    path.unlink()
    mark = running.mark()
    with tcp(port) as sock:
        assert receive_all(sock, reset_ok=True) == b""
    running.wait_log(r"gone.*no such file", mark)
    with tcp(other) as sock:
        assert echoes(sock)
    # And back again.
    shutil.copy("/bin/cat", path)
    path.chmod(0o755)

    def back():
        with tcp(port) as sock, contextlib.suppress(OSError, AssertionError):
            return echoes(sock)
    wait_until(back, "the program runs again")


def test_program_that_is_no_program(daemon, work):
    path = work / "text"
    path.write_text("this is no program\n")
    path.chmod(0o755)
    port = free_port()
    running = daemon(services=[{"name": "bad", "exec": program(str(path)),
                                "listen": f"tcp://127.0.0.1:{port}"}])
    mark = running.mark()
    with tcp(port) as sock:
        assert receive_all(sock, reset_ok=True) == b""
    running.wait_log(r"bad.*(format|exec)", mark)
    running.check()


def test_script_with_interpreter(daemon, work):
    path = work / "script"
    path.write_text("#!/bin/sh\necho script $1 $REMOTE_ADDR\n")
    path.chmod(0o755)
    port = free_port()
    daemon(services=[{"name": "script", "exec": program(str(path), "arg"),
                      "listen": f"tcp://127.0.0.1:{port}"}])
    with tcp(port) as sock:
        assert receive_all(sock, reset_ok=True) == b"script arg 127.0.0.1\n"


def test_total_timeout_ends_the_program(daemon):
    port = free_port()
    running = daemon(services=[{"name": "slow",
                                "listen": f"tcp://127.0.0.1:{port}",
                                "exec": program("/bin/sleep", "1000"),
                                "timeouts": {"total": "700ms"}}])
    with tcp(port) as sock:
        assert receive_all(sock, reset_ok=True) == b""
    wait_until(lambda: not [p for p in running.family()
                            if p.title.startswith("/bin/sleep")],
               "the program is ended")


def test_stop_ends_programs(daemon):
    port = free_port()
    running = daemon(services=[{"name": "slow",
                                "listen": f"tcp://127.0.0.1:{port}",
                                "exec": program("/bin/sh", "-c",
                                                "trap '' HUP; echo up;"
                                                " sleep 1000 & wait")}])
    import signal
    with tcp(port) as sock:
        assert receive(sock, 3) == b"up\n"
        assert len([p for p in running.family() if "sleep" in p.title]) >= 1
        running.signal(signal.SIGTERM)
        time.sleep(0.3)
        if running.process.poll() is None:
            running.signal(signal.SIGTERM)      # the second ends at once
        running.finish()
