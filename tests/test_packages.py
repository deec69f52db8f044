"""The script that installs packages, as far as it installs none."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

SCRIPT = Path(__file__).parent / "packages.sh"


class PackagesTests(SynchronousTestCase):
    """``tests/packages.sh`` with a PATH of its own."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def program(self, name: str, says: str = "") -> None:
        """A program that says something."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\necho {says}\n")
        path.chmod(0o755)

    def run_script(self, *pairs: str) -> tuple[int, str]:
        """What it says."""
        shell = shutil.which("sh")
        assert shell is not None
        environment = {**os.environ, "PATH": str(self.folder)}
        command = [shell, str(SCRIPT), "the test", *pairs]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def test_all_is_there(self) -> None:
        self.program("queuey-one")
        (self.folder / "module").touch()
        self.assertEqual(self.run_script("queuey-one=one", f"{self.folder / 'module'}=module"), (0, ""))

    def test_no_apt_get(self) -> None:
        """What is missing is named, and what is there is not."""
        self.program("queuey-one")
        said = self.run_script("queuey-one=one", "queuey-two=two", f"{self.folder / 'module'}=three")
        self.assertEqual(said, (0, "the test lacks what Debian has as: two three\n"))

    def test_not_root(self) -> None:
        """On Debian it says what root has to type; elsewhere it names the packages."""
        self.program("apt-get", "must not be called")
        self.program("id", "1000")
        status, said = self.run_script("queuey-two=two")
        release = Path("/etc/os-release")
        debian = release.exists() and "\nID=debian\n" in f"\n{release.read_text(encoding='utf-8')}"
        wanted = "only root can install: apt-get install two" if debian else "Debian has as: two"
        self.assertEqual((status, said), (0, f"the test lacks what {wanted}\n"))
