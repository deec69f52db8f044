"""The script that chooses the Python of the virtual environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

SCRIPT = Path(__file__).parent / "pythons.sh"


class PythonsTests(SynchronousTestCase):
    """``tests/pythons.sh`` with a PATH and a home of its own."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.versions = self.folder / ".pyenv" / "versions"

    def python(self, path: Path, version: str = "", profiled: str = "no") -> Path:
        """A program that answers as a Python does, or as one that fails."""
        path.parent.mkdir(parents=True, exist_ok=True)
        short = version.rpartition(".")[0]
        path.write_text("#!/bin/sh\n" + (f"echo {short} {version} {profiled} {path}\n" if version else "exit 1\n"))
        path.chmod(0o755)
        return path

    def choose(self, *versions: str) -> tuple[str, str]:
        """What is chosen, and what is said of it."""
        environment = {"PATH": f"{self.folder / 'a'}:{self.folder / 'b c'}", "HOME": str(self.folder)}
        shell = shutil.which("sh")
        assert shell is not None
        done = subprocess.run([shell, SCRIPT, *versions], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0 if done.stdout else 1, done.stderr)
        return done.stdout.strip(), done.stderr.strip()

    def test_none(self) -> None:
        self.python(self.folder / "a" / "python3.11")
        self.python(self.folder / "a" / "python3", "3.10.1", "yes")
        self.assertEqual(self.choose("3.11"), ("", ""))

    def test_the_first(self) -> None:
        """Among equals: on PATH in the order of the versions, then those of pyenv."""
        self.python(self.versions / "3.11.9" / "bin" / "python3", "3.11.9")
        self.python(self.folder / "a" / "python3.11")
        later = self.python(self.folder / "b c" / "python3.12", "3.12.1")
        self.assertEqual(
            self.choose("3.11", "3.12"), (str(later), f"{later}: Python 3.12.1, built without optimisations")
        )
        first = self.python(self.folder / "b c" / "python3.11", "3.11.2")
        self.assertEqual(self.choose("3.11", "3.12")[0], str(first))

    def test_one_with_optimisations(self) -> None:
        """It is preferred wherever it is, unless its version was not asked for."""
        plain = self.python(self.folder / "a" / "python3.11", "3.11.2")
        found = self.python(self.versions / "3.13.1" / "bin" / "python3", "3.13.1", "yes")
        self.assertEqual(self.choose("3.11", "3.13"), (str(found), f"{found}: Python 3.13.1, built with optimisations"))
        self.assertEqual(self.choose("3.11", "3.12")[0], str(plain))

    def test_a_real_one(self) -> None:
        """The Python of these tests answers what the script asks for."""
        real = self.folder / "a" / "python3"
        real.parent.mkdir()
        real.symlink_to(os.path.realpath(sys.executable))
        chosen, said = self.choose(f"{sys.version_info.major}.{sys.version_info.minor}")
        self.assertEqual(Path(chosen).resolve(), Path(sys.executable).resolve())
        self.assertRegex(said, r": Python 3\.\d+\.\S+, built with(out)? optimisations\Z")
