"""A fresh Debian in a folder, made by ``mmdebstrap``, in which packages are installed and programs run."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

LIMIT = 1800.0
"""Seconds that one command may take; downloads are among them."""

_MACHINES_OWN = ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf", "etc/resolv.conf")
"""How this machine reaches package indexes; an image has that of its own network."""


def why_not() -> str:
    """Return why there can be no such Debian here; empty if there can."""
    if _release("ID") != "debian":
        return "only Debian makes a fresh Debian from its own sources of packages"
    if os.getuid() != 0:
        return "only root can install packages in a folder"
    return "" if shutil.which("mmdebstrap") else "there is no mmdebstrap; make debian-root installs it"


def _release(name: str) -> str:
    file = Path("/etc/os-release")
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        key, _, value = line.partition("=")
        if key == name:
            return shlex.split(value)[0]
    return ""


@cache
def _fresh() -> Path:
    """Make a minimal system, once for all tests of a process."""
    folder = Path(tempfile.mkdtemp(prefix="queuey-debian-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root = folder / "root"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", _release("VERSION_CODENAME"), str(root)]
    subprocess.run(command, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL, capture_output=True)
    return root


class Debian:
    """A system of its own, in a folder that is removed by :meth:`remove`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-debian-"))
        self.root = self.folder / "root"
        subprocess.run(["cp", "-a", _fresh(), self.root], check=True, timeout=LIMIT)
        self._let_reach_packages()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *command: str, user: str = "root", path: str = "") -> list[str]:
        """Return the command that runs another one in this system, as one of its users."""
        found = path or "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = [f"PATH={found}", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        inside = ["/usr/bin/env", *environment, *command]
        return [shutil.which("chroot") or "/usr/sbin/chroot", f"--userspec={user}:{user}", str(self.root), *inside]

    def run(self, *command: str, user: str = "root", path: str = "") -> str:
        """Run a command to its end.

        :return: what it printed.
        :raise AssertionError: it failed.
        """
        done = subprocess.run(
            self.command(*command, user=user, path=path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode:
            raise AssertionError(f"{command} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
        self._let_reach_packages()
        return done.stdout

    def install(self, *packages: str) -> None:
        """Install packages, or files of packages."""
        self.run("apt-get", "-qq", "update")
        self.run("apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages)

    def _let_reach_packages(self) -> None:
        for name in _MACHINES_OWN:
            source, target = Path("/", name), self.root / name
            if source.exists() and target.parent.exists():
                shutil.copyfile(source, target)
