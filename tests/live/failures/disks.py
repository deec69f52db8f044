"""Small disks of one's own, for tests that run as root; others are skipped and say so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from twisted.trial.unittest import SkipTest, SynchronousTestCase


class Case(Protocol):
    """A test, or other code that runs functions at its end."""

    def addCleanup(self, function: Callable[..., Any], /, *arguments: Any) -> Any: ...


class Disk:
    """A file system in memory, unmounted at the end of a test.

    :param size: as mount takes it, such as ``8m``.
    :raise SkipTest: this user, or this container, may not mount anything.
    """

    def __init__(self, case: Case, path: Path, size: str) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can mount the small disk of this test")
        path.mkdir()
        mounted = _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(path))
        if mounted.returncode:
            raise SkipTest(f"the small disk of this test cannot be mounted: {mounted.stderr.strip()}")
        self.path = path
        case.addCleanup(self._unmount)

    def change(self, options: str) -> None:
        """Mount it again with other options, such as ``size=1g`` or ``ro``."""
        changed = _run("mount", "-o", f"remount,{options}", str(self.path))
        assert changed.returncode == 0, changed.stderr

    def fill(self) -> None:
        """Leave no room at all."""
        with (self.path / "ballast").open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def _unmount(self) -> None:
        # Lazily, where something that a failed test left still has a file open.
        if _run("umount", str(self.path)).returncode:
            _run("umount", "--lazy", str(self.path))


def make_read_only(case: SynchronousTestCase, file: Path) -> None:
    """Let no process write to a file, root included, until the end of a test.

    :raise SkipTest: this user, or this container, may not mount anything.
    """
    if os.geteuid() != 0:
        file.chmod(0o400)
        return
    bound = _run("mount", "--bind", str(file), str(file))
    if bound.returncode:
        raise SkipTest(f"the file cannot be kept from root: {bound.stderr.strip()}")
    case.addCleanup(_run, "umount", str(file))
    changed = _run("mount", "-o", "remount,bind,ro", str(file))
    assert changed.returncode == 0, changed.stderr


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30)
