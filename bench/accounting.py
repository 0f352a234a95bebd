# SPDX-License-Identifier: GPL-2.0-or-later
"""
What the processes of a server cost: CPU time and memory, read from /proc.

A server is the process that was started and everything below it. Nothing here
starts or ends a process.
"""

import ctypes
import os
import re

TICK = os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("latin-1")
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return ""


def become_subreaper():
    """Servers that put themselves into the background stay below us."""
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


def family(root):
    """A process, and those below it."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = read("/proc/%s/stat" % name).rpartition(")")[2].split()
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found


def descendants():
    return family(os.getpid())[1:]


def run_time(pid):
    """Seconds that the threads of a process ran, counted in nanoseconds."""
    total = 0
    try:
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return 0.0
    for thread in threads:
        exact = read("/proc/%d/task/%s/schedstat" % (pid, thread)).split()
        total += int(exact[0]) if exact else 0
    return total / 1e9


def cpu_of(pid):
    """Seconds of CPU: (all, user part), children that have ended included.

    The kernel adds up an ended child's time in nanoseconds when its parent
    waits for it, and shows the sum in ticks. A child that nobody has waited for
    yet is still there to be read like any other process.
    """
    fields = read("/proc/%d/stat" % pid).rpartition(")")[2].split()
    if not fields:
        return 0.0, 0.0
    utime, stime, cutime, cstime = (int(field) / TICK
                                    for field in fields[11:15])
    # Threads that have ended are in the ticks only.
    own = max(run_time(pid), utime + stime)
    return own + cutime + cstime, utime + cutime


def sample_cpu(root):
    """All processes of the server together."""
    total = [cpu_of(pid) for pid in family(root)]
    return sum(all for all, user in total), sum(user for all, user in total)


def sample_memory(root):
    """KiB of the server's processes together: Pss, private, anonymous."""
    sums = {"pss": 0, "private": 0, "anonymous": 0}
    fields = {"Pss": "pss", "Private_Clean": "private",
              "Private_Dirty": "private", "Anonymous": "anonymous"}
    for pid in family(root):
        for line in read("/proc/%d/smaps_rollup" % pid).splitlines():
            name, _, rest = line.partition(":")
            if name in fields:
                sums[fields[name]] += int(rest.split()[0])
    return sums


def sample_processor(number):
    """Seconds that a processor worked; what the host took away is not among them."""
    for line in read("/proc/stat").splitlines():
        fields = line.split()
        if fields[0] == "cpu%d" % number:
            busy = [int(field) for field in fields[1:8]]
            return (sum(busy) - busy[3] - busy[4]) / TICK
    return 0.0


def title(pid):
    return read("/proc/%d/cmdline" % pid).replace("\0", " ").strip()


def processes(root):
    """The title and the Pss of each."""
    found = []
    for pid in family(root):
        pss = re.search(r"^Pss: *(\d+)", read("/proc/%d/smaps_rollup" % pid),
                        re.M)
        # Without directories, which say nothing elsewhere.
        found.append({"title": re.sub(r"/\S*/", "", title(pid)),
                      "pss_kib": int(pss.group(1)) if pss else 0})
    return found


def sockets_of(pid):
    """How many sockets a process has open."""
    count = 0
    directory = "/proc/%d/fd" % pid
    try:
        names = os.listdir(directory)
    except OSError:
        return 0
    for name in names:
        try:
            count += os.readlink(directory + "/" + name).startswith("socket:")
        except OSError:
            pass
    return count
