"""The package as others get it: built, looked into, installed into an empty environment, and served from there."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.cli.samples import SAMPLES
from tests.live.running import Daemon, free_port, write_settings

run_in = "test"

ROOT = Path(__file__).parents[3]
SOURCES = (
    "setup.py",
    "pyproject.toml",
    "LICENSE",
    "MANIFEST.in",
    "README.rst",
    "CHANGES.rst",
    "constraints.txt",
    "queuey",
    "twisted",
    "tests",
)
#: What of the environment would let the checkout be found again.
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dropin.cache", "node_modules", "vendor")
ELSEWHERE = {"PYTHONPATH": "", "VIRTUAL_ENV": ""}


def run(*command: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    :raise AssertionError: where it fails, with all that it printed.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **ELSEWHERE, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise AssertionError(f"{command} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


@attrs.frozen
class Installed:
    """An empty environment with the wheel in it."""

    folder: Path
    wheel: Path

    @property
    def bin(self) -> Path:
        """Where its programs are."""
        return self.folder / "env" / "bin"


def build(folder: Path) -> Path:
    """Build a source distribution from a copy of the checkout, and the wheel from that.

    From a copy, since a build leaves folders behind that get into the next one.
    """
    copy = folder / "copy"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            # The packages of npm below tests/ are thousands of files, and the archive leaves them out anyway.
            shutil.copytree(source, copy / name, ignore=LEFT_OUT)
        else:
            shutil.copy(source, copy / name)
    run(sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", folder, folder=copy)
    (archive,) = folder.glob("queuey-*.tar.gz")
    build_wheel = ("wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(sys.executable, "-m", "pip", *build_wheel, "--wheel-dir", folder, archive, folder=folder)
    (wheel,) = folder.glob("queuey-*.whl")
    return wheel


@cache
def client_wheel() -> tuple[Path, Path]:
    """A folder, and the wheel of the Python client in it, built from a copy of the source."""
    folder = Path(tempfile.mkdtemp(prefix="queuey-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(ROOT / "client", folder / "copy", ignore=LEFT_OUT)
    build_wheel = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--use-pep517", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", *build_wheel, folder / "copy", folder=folder)
    (found,) = folder.glob("queuey_client-*.whl")
    return folder, found


def empty_environment(home: Path) -> tuple[str | Path, ...]:
    """Make an environment with nothing in it. Return the command of the pip that is here, for that environment: it
    takes seconds to install another pip into each of them."""
    run(sys.executable, "-m", "venv", "--without-pip", home, folder=home.parent)
    return (sys.executable, "-m", "pip", "--python", home / "bin" / "python")


@cache
def installed() -> Installed:
    """The environment, made once for all tests of this module."""
    folder = Path(tempfile.mkdtemp(prefix="queuey-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    wheel = build(folder)
    install = ("install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt")
    run(*empty_environment(folder / "env"), *install, wheel, client_wheel()[1], folder=folder)
    return Installed(folder, wheel)


class WheelTests(SynchronousTestCase):
    """The wheel, and twistd beside it."""

    def folder(self) -> Path:
        """A folder of this test's own."""
        folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def test_holds_what_is_ours_and_no_more(self) -> None:
        """A twisted/__init__.py in it would overwrite Twisted's own."""
        names = set(zipfile.ZipFile(installed().wheel).namelist())
        top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
        self.assertEqual(top, {"queuey", "twisted"})
        self.assertEqual({name for name in names if name.startswith("twisted/")}, {"twisted/plugins/queuey_plugin.py"})
        self.assertLessEqual({"queuey/__init__.py", "queuey/py.typed", "queuey/http/v2/openapi.json"}, names)
        page = (ROOT / "queuey" / "dashboard").iterdir()
        self.assertLessEqual({f"queuey/dashboard/{file.name}" for file in page}, names)

    def test_holds_every_module(self) -> None:
        """A folder without an __init__.py is one that setuptools passes over."""
        names = zipfile.ZipFile(installed().wheel).namelist()
        modules = {str(path.relative_to(ROOT)) for path in (ROOT / "queuey").rglob("*.py")}
        self.assertEqual({name for name in names if name.startswith("queuey/") and name.endswith(".py")}, modules)

    def test_twistd_lists_the_command_without_importing_it(self) -> None:
        """``twistd --help`` stays quick, and works however broken the settings or the dependencies are."""
        where = installed()
        told = run(where.bin / "python", "-X", "importtime", where.bin / "twistd", "--help", folder=self.folder())
        self.assertRegex(told.stdout, r"(?m)^ +queuey +\S")
        imported = re.findall(r"(?m)^import time:.*\| +(\S+)$", told.stderr)
        self.assertIn("twisted.plugins.queuey_plugin", imported)
        self.assertEqual([name for name in imported if name.split(".")[0] == "queuey"], [])

    def test_queuey_says_its_version(self) -> None:
        """The console script is there and works."""
        where = installed()
        told = run(where.bin / "queuey", "--version", folder=self.folder())
        self.assertIn(where.wheel.name.split("-")[1], told.stdout)

    def test_queuey_has_the_commands_of_both_packages(self) -> None:
        """Those of the client, and those of the daemon, which join it."""
        where = installed()
        told = run(where.bin / "queuey", "--help", folder=self.folder())
        names = {line.split()[0] for line in told.stdout.splitlines() if line.startswith("  ")}
        self.assertLessEqual({"post", "claim", "check", "config", "keys", "backup", "restore-queue", "copy"}, names)
        self.assertIn("[server]", run(where.bin / "queuey", "config", folder=self.folder()).stdout)

    def test_samples(self) -> None:
        """The wheel has each file of etc/ that operators need; ``queuey config`` prints them, with paths that fit."""
        where, folder = installed(), self.folder()
        wheel = zipfile.ZipFile(where.wheel)
        for sample in SAMPLES:
            self.assertEqual(wheel.read(f"queuey/samples/{sample.file}"), (ROOT / "etc" / sample.file).read_bytes())
        unit = (ROOT / "etc" / "systemd" / "queuey.service").read_text(encoding="utf-8")
        expected = unit.replace("/opt/queuey", str(where.folder / "env"))
        self.assertEqual(run(where.bin / "queuey", "config", "--systemd", folder=folder).stdout, expected)
        (folder / "queuey.ini").write_text(run(where.bin / "queuey", "config", folder=folder).stdout)
        run(where.bin / "queuey", "check", "--settings-only", "queuey.ini", folder=folder)

    def test_metadata(self) -> None:
        """The licence, and the Pythons that it was tested on."""
        wheel = zipfile.ZipFile(installed().wheel)
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = wheel.read(name).decode("utf-8")
        for line in ("License-Expression: MIT", "Author: The Queuey developers", "License-File: LICENSE"):
            self.assertIn(f"\n{line}\n", metadata)
        (requires,) = re.findall(r"(?m)^Requires-Python: (.*)$", metadata)
        self.assertEqual(set(requires.replace(" ", "").split(",")), {">=3.11", "<3.14"})
        self.assertTrue(any(name.endswith("/licenses/LICENSE") for name in wheel.namelist()))

    def test_serves_and_stops(self) -> None:
        """``twistd queuey --config FILE`` answers from an installation alone, and SIGTERM ends it in order."""
        folder, port = self.folder(), free_port()
        arguments = ["--config", str(write_settings(folder, port))]
        daemon = Daemon(installed().bin / "twistd", arguments, folder, ELSEWHERE)
        self.addCleanup(daemon.kill)
        daemon.wait_until_it_serves(port)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0, daemon.output())
