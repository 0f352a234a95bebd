# SPDX-License-Identifier: GPL-2.0-or-later
"""
Who is measured: how each contender is configured and started, one function and
one line of CONTENDERS each. Everybody is configured as for use, with limits on
the number of connections, where there are any, raised or switched off.
"""

import os
import pwd
import re
from collections import namedtuple

from accounting import read
from servers import Booted, Server

MANY = 20000                    # what limits are raised to

# package: Debian's. services: what it can be asked for. idle: how many idle
# connections it is given. start(place, case) returns a context, the server.
Contender = namedtuple("Contender", "name package services idle start")


def is_root():
    return os.geteuid() == 0


def user_option(text):
    """For a line of configuration that only root may use."""
    return text if is_root() else ""


def run(place, case, command, **more):
    return Server(place, command, case.service, {place.bench.cpus[-1]}, **more)


# ---- ours -----------------------------------------------------------------------


def start_floor(place, case):
    path = re.search(r"--path /(\S+)", case.args)
    file = os.path.join(place.bench.www, path.group(1) if path else "ok")
    return run(place, case, [
        place.bench.path("bench/floor"), "--file", file, *case.floor.split(),
        place.address(case.service)])


def start_loops(place, case, count):
    """So many loops on one port."""
    return start_floor(place, case._replace(
        floor="--processes %d %s" % (count, case.floor)))


def start_guarded(place, case):
    return start_floor(place, case._replace(floor="program-guarded"))


def service_line(place, name, what, scheme="tcp"):
    return ('  { name = "%s"; listen = "%s://%s"; %s }'
            % (name, scheme, place.address(name), what))


def write_cabinetd(place, lines, workers=1):
    """Limits are raised, none is lifted; everything else is as shipped."""
    text = ('workers = %d;\n%scontrol = "%s";\n'
            'defaults = { limits = { connections = %d; per_source = %d; '
            'per_source_rate = "%d/s"; }; };\nservices = (\n%s\n);\n'
            % (workers, user_option('user = "nobody";\n'),
               place.path("control.sock"), MANY, MANY, 100000000,
               ",\n".join(lines)))
    return place.write("cabinetd.conf", text)


def start_cabinetd(place, case):
    """One configuration with every service."""
    if case.name == "memory":
        return start_demo(place, case)
    lines = (
        service_line(place, "echo", 'protocol = "echo";'),
        service_line(place, "daytime", 'protocol = "daytime";'),
        service_line(place, "http",
                     'protocol = "http"; http = { root = "%s"; routes = '
                     '( { path = "/ok"; status = 200; body = "ok\\n"; } ); };'
                     % place.bench.www),
        service_line(place, "udp-echo", 'protocol = "echo";', scheme="udp"),
        service_line(place, "program", 'exec = { program = "/bin/cat"; %s };'
                     % user_option('user = "nobody";')),
        service_line(place, "smtp",
                     'protocol = "smtp"; smtp = { mode = "sink"; '
                     'hostname = "bench.example"; };'))
    return run(place, case, [place.bench.cabinetd, "-c",
                             write_cabinetd(place, lines)])


def start_files(place, case, count):
    """So many workers."""
    return run(place, case, [place.bench.cabinetd, "-c", write_cabinetd(
        place, [service_line(place, "http",
                             'protocol = "http"; http = { root = "%s"; };'
                             % place.bench.www)], count)], notify=True)


def write_echoes(place, count):
    """So many echo services; the first is the one that is asked."""
    lines = [service_line(place, "many", 'protocol = "echo";')]
    for i in range(1, count):
        # At an address where nobody else takes ports.
        lines.append('  { name = "echo%d"; listen = "tcp://127.8.0.1:%d"; '
                     'protocol = "echo"; }' % (i, 20000 + i))
    return write_cabinetd(place, lines)


def start_one(place, case):
    return run(place, case, [place.bench.cabinetd, "-c",
                             write_echoes(place, 1)], notify=True)


def start_thousand(place, case):
    return run(place, case, [place.bench.cabinetd, "-c",
                             write_echoes(place, 1000)], notify=True)


def start_demo(place, case):
    """The configuration of tools/demo with two workers, on other ports."""
    base = place.ports[case.service] // 100 * 100
    text = read(os.path.join(place.bench.top, "tools/demo.conf"))
    text = re.sub(r':100(\d\d)"',
                  lambda m: ':%d"' % (base + int(m.group(1))), text)
    text = re.sub("^workers = .*", 'workers = 2;\ncontrol = "%s";'
                  % place.path("control.sock"), text, flags=re.M)
    if not re.search("^0{31}1 ", read("/proc/net/if_inet6"), re.M):
        text = re.sub(r', *"[a-z]*://\[::1\]:[0-9]*"', "", text)
    place.ports = {name: base + port for name, port in
                   (("echo", 7), ("discard", 9), ("daytime", 13), ("smtp", 25),
                    ("program", 70), ("http", 80))}
    return run(place, case, [place.bench.cabinetd, "-c",
                             place.write("demo.conf", text)])


# ---- super-servers --------------------------------------------------------------


def start_xinetd(place, case):
    user = "root" if is_root() else "current"
    text = ("defaults\n{\n\tinstances = UNLIMITED\n\tper_source = UNLIMITED\n"
            "\tcps = 0 0\n\tbind = 127.0.0.1\n}\n")

    def service(name, kind, user, more="", stream=True):
        protocol, of = ("tcp", "stream") if stream else ("udp", "dgram")
        return ("service %s\n{\n\tid = %s\n\ttype = %s\n\tsocket_type = %s\n"
                "\tprotocol = %s\n\tport = %d\n\twait = %s\n\tuser = %s\n%s}\n"
                % (name.split("-")[-1], name, kind, of, protocol,
                   place.ports[name], "no" if stream else "yes", user, more))

    text += service("echo", "INTERNAL UNLISTED", user)
    text += service("daytime", "INTERNAL UNLISTED", user)
    text += service("udp-echo", "INTERNAL UNLISTED", user, stream=False)
    text += service("program", "UNLISTED",
                    "nobody" if is_root() else user, "\tserver = /bin/cat\n")
    return run(place, case, [
        *place.bench.packages.command("usr/sbin/xinetd"), "-dontfork", "-f",
        place.write("xinetd.conf", text), "-pidfile", place.path("xinetd.pid")])


def start_inetd(place, case):
    """What is asked here are programs: its own echo is on port 7 only."""
    user = "nobody" if is_root() else pwd.getpwuid(os.geteuid()).pw_name
    text = ("127.0.0.1:%d stream tcp nowait.1000000 %s /bin/cat cat\n"
            % (place.ports["program"], user))
    return run(place, case, [
        *place.bench.packages.command("usr/sbin/inetd"), "-i",
        "-q", "4096", place.write("inetd.conf", text)])


def start_tcpserver(place, case):
    """-H -R -l 0: nothing is looked up about the peer."""
    nobody = pwd.getpwnam("nobody")
    user = ["-u", str(nobody.pw_uid), "-g", str(nobody.pw_gid)]
    return run(place, case, [
        *place.bench.packages.command("usr/bin/tcpserver"), "-q", "-H", "-R",
        "-l", "0", "-c", str(MANY), "-b", "4096", *(user if is_root() else ()),
        "127.0.0.1", str(place.ports["program"]), "/bin/cat"])


def start_socat(place, case):
    what = "EXEC:/bin/cat" if case.service == "program" else "PIPE"
    return run(place, case, [
        *place.bench.packages.command("usr/bin/socat"), "-b", "65536",
        "TCP-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork,backlog=4096"
        % place.ports[case.service], what])


def start_systemd(place, _case):
    """The limit on starts, which would end the service for good, is off."""
    return Booted(place, {
        "bench.socket": "[Socket]\nListenStream=127.0.0.1:%d\nAccept=yes\n"
                        "Backlog=4096\nMaxConnections=%d\n"
                        "TriggerLimitIntervalSec=0\n"
                        % (place.ports["program"], MANY),
        "bench@.service": "[Unit]\nCollectMode=inactive-or-failed\n"
                          "[Service]\nExecStart=/bin/cat\nUser=nobody\n"
                          "StandardInput=socket\n"}, {place.bench.cpus[-1]})


# ---- web and mail ---------------------------------------------------------------


def start_nginx(place, case):
    """Debian's sendfile and tcp_nopush; a log of errors as we have one."""
    temporary = "".join("%s_temp_path %s;\n" % (name, place.path(name))
                        for name in ("client_body", "proxy", "fastcgi",
                                     "uwsgi", "scgi"))
    text = ("daemon off;\n%sworker_processes %d;\npid %s;\n"
            "events { worker_connections %d; }\n"
            "http {\n%saccess_log off;\nsendfile on;\ntcp_nopush on;\n"
            "default_type text/plain;\nkeepalive_requests 1000000000;\n"
            "server {\nlisten %s backlog=4096;\nroot %s;\n"
            "location = /ok { return 200 \"ok\\n\"; }\n}\n}\n"
            % (user_option("user nobody nogroup;\n"),
               2 if case.name == "memory" else 1, place.path("nginx.pid"),
               MANY, temporary, place.address("http"), place.bench.www))
    return run(place, case, [
        *place.bench.packages.command("usr/sbin/nginx"), "-e", "stderr", "-p",
        place.directory, "-c", place.write("nginx.conf", text)])


def start_lighttpd(place, case):
    """Without a module, no fixed reply: /ok is a file as long as ours."""
    text = ('server.port = %d\nserver.bind = "127.0.0.1"\n%s'
            'server.document-root = "%s"\n'
            'server.max-connections = %d\nserver.max-fds = %d\n'
            'server.max-keep-alive-requests = 1000000000\n'
            'server.listen-backlog = 4096\n'
            'mimetype.assign = ( "" => "text/plain" )\n'
            % (place.ports["http"],
               user_option('server.username = "nobody"\n'
                           'server.groupname = "nogroup"\n'),
               place.bench.www, MANY, MANY))
    return run(place, case, [
        *place.bench.packages.command("usr/sbin/lighttpd"), "-D", "-m",
        place.bench.packages.path("usr/lib/lighttpd"), "-f",
        place.write("lighttpd.conf", text)])


def start_h2o(place, case):
    """As lighttpd, /ok is a file."""
    text = ("%snum-threads: 1\nmax-connections: %d\n"
            "hosts:\n  default:\n    listen:\n      host: 127.0.0.1\n"
            "      port: %d\n    paths:\n      /:\n        file.dir: %s\n"
            % (user_option("user: nobody\n"), MANY, place.ports["http"],
               place.bench.www))
    return run(place, case, [
        *place.bench.packages.command("usr/bin/h2o"), "-c",
        place.write("h2o.conf", text)])


def start_smtp_sink(place, case):
    user = ["-u", "nobody"] if is_root() else []
    return run(place, case, [
        *place.bench.packages.command("usr/sbin/smtp-sink"), *user,
        place.address("smtp"), "4096"])


OWN = (
    Contender("floor", None,
              {"echo", "daytime", "http", "udp-echo", "program", "smtp"},
              10000, start_floor),
    Contender("guarded", None, {"program"}, 0, start_guarded),
    Contender("cabinetd", None,
              {"echo", "daytime", "http", "udp-echo", "program", "smtp"},
              10000, start_cabinetd),
    # The daemon beside itself, in the case "many" only.
    Contender("one service", None, {"many"}, 0, start_one),
    Contender("1,000", None, {"many"}, 0, start_thousand),
)
PEERS = (
    Contender("xinetd", "xinetd", {"echo", "daytime", "udp-echo", "program"},
              1000, start_xinetd),
    Contender("openbsd-inetd", "openbsd-inetd", {"program"}, 0, start_inetd),
    Contender("tcpserver", "ucspi-tcp", {"program"}, 0, start_tcpserver),
    Contender("systemd", None, {"program"}, 0, start_systemd),
    Contender("socat", "socat", {"echo", "program"}, 1000, start_socat),
    Contender("nginx", "nginx", {"http"}, 0, start_nginx),
    Contender("lighttpd", "lighttpd", {"http"}, 0, start_lighttpd),
    Contender("h2o", "h2o", {"http"}, 0, start_h2o),
    Contender("smtp-sink", "postfix", {"smtp"}, 0, start_smtp_sink),
)
