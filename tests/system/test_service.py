# SPDX-License-Identifier: GPL-2.0-or-later
"""cabinetd.service: started, asked, looked at and stopped by systemd."""

import os
import re

import pytest

from rig import Held, Load, status_of, wait_until

SERVICE = "cabinetd.service"
CONFIG = """services = (
  { name = "web"; listen = "tcp://127.0.0.1:8080"; protocol = "http";
    http = { routes = ( { path = "/"; body = "hello\\n"; } ); }; },
  { name = "echo"; listen = "tcp://*:7"; protocol = "echo"; },
  { name = "ids"; listen = 71;
    exec = { program = "/usr/bin/id"; user = "nobody"; }; }
);
"""


def ask(machine, port, text="", host="127.0.0.1"):
    """What a service answers until it closes."""
    done = machine.run("bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}; "
                       f"printf '%b' '{text}' >&3; timeout 10 cat <&3")
    return done.out


def test_starts_and_serves(serve):
    machine = serve(CONFIG)
    shown = machine.show(SERVICE, "ActiveState", "Type", "StatusText")
    assert shown["ActiveState"] == "active" and shown["Type"] == "notify"
    assert shown["StatusText"].startswith("Serving 3 services on ")
    assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out == "hello\n"
    # A port below 1024, both families.
    for host in ("127.0.0.1", "::1"):
        done = machine.run("bash", "-c", f"exec 3<>/dev/tcp/{host}/7; "
                           "echo ping >&3; head -n 1 <&3")
        assert done.out == "ping\n"
    assert not machine.run("systemctl", "--failed", "-q", "--plain").out


def test_not_ready_before_it_serves(machine):
    """systemctl start returns when clients can connect, never before."""
    machine.put("/etc/cabinetd.conf", CONFIG)
    for _ in range(5):
        done = machine.run("bash", "-c", "systemctl start cabinetd && "
                           "curl -sS http://127.0.0.1:8080/; "
                           "systemctl stop cabinetd")
        assert done.out == "hello\n", done


def test_broken_config_is_reported_and_not_retried(machine):
    machine.put("/etc/cabinetd.conf", "services = (\n { nam = \"x\"; } );\n")
    begun = machine.cursor()
    assert machine.systemctl("start", SERVICE, check=False).status != 0
    shown = machine.show(SERVICE, "ActiveState", "ExecMainStatus", "NRestarts")
    assert shown == {"ActiveState": "failed", "ExecMainStatus": "78",
                     "NRestarts": "0"}
    assert re.search(r"/etc/cabinetd\.conf:2: .*\"name\"",
                     machine.log(SERVICE, begun))


def test_sandbox_as_promised(machine):
    units = [machine.show(unit, "FragmentPath") for unit in
             (SERVICE, "cabinetd-builtins.service", "cabinetd-builtins.socket")]
    assert all(units), units
    done = machine.run("systemd-analyze", "verify", "--man=no",
                       "--recursive-errors=no", *units)
    assert done.all == "", done
    for unit, most in zip(units[:2], (23, 2)):
        machine.run("systemd-analyze", "security", "--offline=true",
                    "--no-pager", f"--threshold={most}", unit)
        # The gate itself can fail.
        assert machine.run("systemd-analyze", "security", "--offline=true",
                           "--no-pager", f"--threshold={most - 1}", unit,
                           check=False).status != 0


def test_roles_are_confined(serve):
    machine = serve(CONFIG)
    user = machine.run("id", "-u", "cabinetd").out.strip()
    workers = machine.roles(SERVICE, "worker")
    assert workers
    for pid in workers:
        status = status_of(pid)
        assert status["Uid"].split() == [user] * 4
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    main = status_of(machine.supervisor(SERVICE))
    # NET_BIND_SERVICE, SETUID, SETGID, KILL and nothing else.
    assert int(main["CapBnd"], 16) == 1 << 10 | 1 << 7 | 1 << 6 | 1 << 5
    assert main["NoNewPrivs"] == "1" and main["Seccomp"] == "2"


def test_installed_user_and_directory(machine):
    entry = machine.run("getent", "passwd", "cabinetd").out.split(":")
    assert entry[6].strip().endswith("nologin")
    # There from boot on, and gone with the unit's RuntimeDirectory=.
    machine.run("systemd-tmpfiles", "--create", "cabinetd.conf")
    assert machine.run("stat", "-c", "%U %a", "/run/cabinetd").out == \
        "root 755\n"


def test_program_in_the_sandbox(serve):
    """As its user, seeing only what the unit shows."""
    machine = serve("""services = (
      { name = "ids"; listen = 71;
        exec = { program = "/usr/bin/id"; user = "nobody"; }; },
      { name = "look"; listen = 72;
        exec = { program = "/bin/sh"; user = "root"; args = ( "-c",
          "cat /proc/self/status /proc/self/cgroup; touch /etc/x /var/x; "
          "test -e /proc/loadavg || echo no loadavg" ); }; } );\n""")
    assert ask(machine, 71).startswith("uid=65534(nobody) gid=65534(nogroup)")
    seen = ask(machine, 72)
    assert "NoNewPrivs:\t1" in seen and "Seccomp:\t2" in seen
    # A program of root's has no more than the unit leaves.
    powers = int(re.search(r"CapBnd:\s+(\w+)", seen).group(1), 16)
    assert powers & ~(1 << 10 | 1 << 7 | 1 << 6 | 1 << 5) == 0
    assert "cabinetd.service" in seen and "no loadavg" in seen
    assert not machine.run("ls", "/etc/x", check=False).status == 0
    assert not machine.run("ls", "/var/x", check=False).status == 0


def test_journal_has_fields(serve):
    machine = serve("""services = (
      { name = "echo"; listen = "tcp://127.0.0.1:7"; protocol = "echo";
        log = { connections = true; }; } );\n""")
    begun = machine.cursor()
    machine.run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7; echo hi >&3; "
                "head -n 1 <&3")

    def finished():
        return [r for r in machine.records(begun)
                if r.get("CABINETD_SERVICE") == "echo"
                and "CABINETD_CONN" in r]
    record = wait_until(finished, "a record of the connection")[0]
    assert record["_SYSTEMD_UNIT"] == SERVICE
    assert record["CABINETD_PEER"].startswith("127.0.0.1")
    assert record["CABINETD_ROLE"].startswith("worker")
    # Found again by field, as an administrator would.
    assert len(machine.records(match="CABINETD_CONN="
                               + record["CABINETD_CONN"])) == 1
    assert machine.records(match="CABINETD_SERVICE=none") == []


def test_stop_leaves_nothing(serve):
    """Under load, with idle connections and with programs that run."""
    machine = serve(CONFIG.replace("services = (", """services = (
      { name = "slow"; listen = 73; exec = { program = "/bin/sleep";
        args = ( "1000" ); user = "nobody"; }; },"""))
    held = machine.start("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/73 "
                         "4<>/dev/tcp/127.0.0.1/7; exec sleep 1000")
    try:
        wait_until(lambda: any("sleep" in title for title
                               in machine.processes(SERVICE).values()),
                   "the program runs")
        before = machine.processes(SERVICE)
        with Load(machine, "http-keep:127.0.0.1:8080:8") as load:
            load.flow(100)
            begun = machine.cursor()
            machine.systemctl("stop", SERVICE)
    finally:
        held.kill()
        held.wait()
    assert machine.show(SERVICE, "ActiveState", "Result") == \
        {"ActiveState": "inactive", "Result": "success"}
    said = machine.log(SERVICE, begun)
    assert "Deactivated successfully" in said, said
    for bad in ("Killing process", "timed out", "left-over", "exited, code",
                "Failed with"):
        assert bad not in said, said
    left = [pid for pid in before if os.path.exists(f"/proc/{pid}")
            and status_of(pid)["State"][0] not in "ZX"]
    assert left == [], [before[pid] for pid in left]
    assert not machine.processes(SERVICE)


SLOW = """services = (
  { name = "slow"; listen = "tcp://127.0.0.1:8072";
    exec = { program = "/bin/sh"; user = "nobody";
             args = ( "-c", "read x; echo on; sleep 2; echo $x" ); }; },
  { name = "echo"; listen = "tcp://127.0.0.1:8007"; protocol = "echo"; }
);
"""


def test_stop_lets_exchanges_finish(serve):
    machine = serve(SLOW)
    with Held(machine, 8072) as held:
        assert held.say("my answer") == "on"
        machine.systemctl("stop", SERVICE)
        assert held.line() == "my answer"
        assert held.line() == ""
    assert not machine.processes(SERVICE)


def test_stop_ends_what_does_not_finish(serve):
    """At the daemon's deadline, before systemd would use force."""
    machine = serve(SLOW.replace("sleep 2", "sleep 1000"))
    with Held(machine, 8072) as program, Held(machine, 8007) as idle:
        assert program.say("my answer") == "on"
        assert idle.say("hello") == "hello"
        begun = machine.cursor()
        machine.systemctl("stop", SERVICE)
        assert program.line() == "" and idle.line() == ""
    said = machine.log(SERVICE, begun)
    assert "timed out" not in said and "Killing" not in said, said
    assert not machine.processes(SERVICE)


def test_stop_and_start_begins_anew(serve):
    """No socket and no switch survives a stop."""
    machine = serve(CONFIG)
    machine.run("cabinetctl", "disable", "web")
    machine.systemctl("stop", SERVICE)
    assert machine.run("ss", "-Hltn", "sport = :7").out == ""
    machine.systemctl("start", SERVICE)
    assert machine.run("curl", "-sS", "http://127.0.0.1:8080/").out == "hello\n"


# ---------------------------------------------------------------- drop-ins

def dropin(machine, name):
    """Links a drop-in as cabinetd(8) says."""
    machine.run("mkdir", "-p", "/etc/systemd/system/cabinetd.service.d")
    machine.run("ln", "-s", f"/usr/share/cabinetd/dropins/{name}.conf",
                "/etc/systemd/system/cabinetd.service.d/")
    machine.systemctl("daemon-reload")


PYTHON = "/usr/bin/python3"


def script(text, user="nobody", more=""):
    return ('services = ( { name = "probe"; listen = 74; exec = { program = '
            f'"{PYTHON}"; user = "{user}"; {more} args = ( "-c", "{text}" ); '
            '}; } );\n')


PROBES = {
    "jit": (script("import mmap\\ntry: mmap.mmap(-1, 4096, prot=7)\\n"
                   "except OSError: print('no')\\nelse: print('yes')"),
            None),
    "home": (script("try: open('/home/probe/file', 'w').write('x')\\n"
                    "except OSError: print('no')\\nelse: print('yes')"),
             "install -d -o nobody /home/probe"),
    "monitoring": (script(
        "import os, socket\\ntry: s = socket.socket(16, 3, 0)\\n"
        "except OSError: print('no')\\nelse: print('yes' if os.path.exists("
        "'/proc/loadavg') and os.path.exists('/proc/1/cmdline') else 'no')"),
        None),
    "namespaces": (script(
        "import subprocess\\nr = subprocess.run(['unshare', '-Un', 'true'], "
        "stderr=subprocess.DEVNULL)\\nprint('no' if r.returncode else 'yes')"),
        None),
    "setuid": (script(
        "import subprocess\\nr = subprocess.run(['/usr/local/bin/suid-id', "
        "'-u'], stdout=subprocess.PIPE)\\n"
        "print('yes' if r.stdout == b'0\\\\n' else 'no')",
        more="no_new_privileges = false;"),
        "install -m 4755 /usr/bin/id /usr/local/bin/suid-id"),
}


@pytest.mark.parametrize("name", sorted(PROBES))
def test_dropin(serve, machine, name):
    """The unit forbids it, and with the drop-in it works."""
    text, prepare = PROBES[name]
    if prepare:
        machine.run(*prepare.split())
    serve(text)
    assert ask(machine, 74) == "no\n"
    machine.systemctl("stop", SERVICE)
    dropin(machine, name)
    serve(text)
    assert ask(machine, 74) == "yes\n", machine.log(SERVICE)[-3000:]
