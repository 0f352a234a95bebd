# SPDX-License-Identifier: GPL-2.0-or-later
"""
The peers and gnuplot, as Debian ships them, without installing anything.

Packages are downloaded and unpacked below the build directory: to install some
of them would start a server on this machine, and two of them exclude each
other. Needs apt-get and dpkg-deb, no privilege.
"""

import glob
import os
import shutil
import subprocess

APT = ["apt-get", "-q", "-o", "Debug::NoLocking=1"]


class Unavailable(Exception):
    """A package that cannot be had; the text says why."""


class Packages:
    """The tree that packages are unpacked to, and the programs in it."""

    def __init__(self, directory):
        self.root = os.path.join(directory, "root")
        self.records = os.path.join(directory, "versions")
        self.debs = os.path.join(directory, "debs")
        self.log = os.path.join(directory, "log")
        for path in self.root, self.records, self.debs:
            os.makedirs(path, exist_ok=True)

    def path(self, name):
        return os.path.join(self.root, name)

    def version(self, package):
        try:
            with open(os.path.join(self.records, package),
                      encoding="ascii") as file:
                return file.read().strip()
        except FileNotFoundError:
            return None

    def get(self, package):
        """Unpacks a package and what it needs that is not installed here."""
        if self.version(package):
            return
        for tool in "apt-get", "dpkg-deb":
            if not shutil.which(tool):
                raise Unavailable("there is no " + tool)
        self.run(APT + ["download", *self.needed(package), package])
        found = sorted(glob.glob(os.path.join(self.debs, "*.deb")))
        for deb in found:
            self.run(["dpkg-deb", "-x", deb, self.root])
        for deb in found:
            name, version = self.run(
                ["dpkg-deb", "-f", deb, "Package"]), self.run(
                ["dpkg-deb", "-f", deb, "Version"])
            if name == package:
                with open(os.path.join(self.records, package), "w",
                          encoding="ascii") as file:
                    file.write(version + "\n")
            os.unlink(deb)

    def needed(self, package):
        """Its dependencies as apt sees them; newer ones of installed: no."""
        text = self.run(APT + ["-s", "--no-install-recommends", "install",
                               package])
        lines = [line.split() for line in text.splitlines()
                 if line.startswith("Inst ")]
        return [words[1] for words in lines
                if words[1] != package and not words[2].startswith("[")]

    def run(self, command):
        with open(self.log, "ab") as log:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log,
                                  stdin=subprocess.DEVNULL, cwd=self.debs,
                                  check=False)
        if done.returncode:
            raise Unavailable("%s failed; see %s" % (" ".join(command[:6]),
                                                     self.log))
        return done.stdout.decode("utf-8", "replace").strip()

    def command(self, name):
        """How to start a program of the tree: the first words of a command.

        The loader is told where the libraries are. LD_LIBRARY_PATH would reach
        every program that a server starts, and make starting it dearer.
        """
        program = self.path(name)
        if not os.path.exists(program):
            raise Unavailable("no %s in the package" % name)
        libraries = glob.glob(self.path("usr/lib/*-linux-gnu*"))
        libraries += [self.path("usr/lib/postfix")]
        return ["ld.so", "--library-path", ":".join(libraries),
                "--argv0", os.path.basename(name), program]
