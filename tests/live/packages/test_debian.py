"""The Debian package and the image, as far as they can be tried without one: both in a fresh Debian in a folder."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.live.clients import ask
from tests.live.packages.debian import LIMIT, Debian, why_not
from tests.live.running import Daemon, free_port

ROOT = Path(__file__).parents[3]
DATA, SETTINGS = Path("var/lib/queuey"), Path("etc/queuey/queuey.ini")
IMAGE_PATH = "/opt/queuey/bin:/usr/local/bin:/usr/bin:/bin"
Instruction = tuple[str, str]


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Containerfile, each on one line."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


class DebianTestCase(SynchronousTestCase):
    """A fresh Debian, and a daemon in it."""

    def debian(self) -> Debian:
        if why := why_not():
            raise SkipTest(why)
        found = Debian()
        self.addCleanup(found.remove)
        return found

    def post_and_read(self, debian: Debian, program: str, user: str, path: str = "") -> None:
        """Start the daemon as its user, make an application through the operators' port, and use it."""
        port = free_port()
        options = ["--config", "/etc/queuey/queuey.ini", "--http", f"tcp:{port}:interface=127.0.0.1"]
        daemon = Daemon(debian.command(program, user=user, path=path), options, debian.folder, {})
        self.addCleanup(daemon.kill)
        daemon.wait_until_it_serves(port)
        ops = ("queuey", "ops", "--json", "--config", "/etc/queuey/queuey.ini")
        debian.run(*ops, "applications.set", "name=shop", path=path)
        key = json.loads(debian.run(*ops, "keys.add", "application=shop", user=user, path=path))["key"]
        headers = {"Authorization": f"Application {key}", "Content-Type": "text/plain"}
        queue = "/v2/shop/queues/orders"
        self.assertEqual(ask(port, "PUT", queue, None, **headers)[0], 201)
        self.assertEqual(ask(port, "POST", f"{queue}/messages", b"a pear", **headers)[0], 201)
        status, body = ask(port, "GET", f"{queue}/messages", None, **headers)
        self.assertEqual(status, 200)
        self.assertIn("a pear", str(body))
        self.assertEqual(daemon.signal(signal.SIGTERM), 0, daemon.output())


class PackageTests(DebianTestCase):
    """``make deb``."""

    def build(self) -> Path:
        """Build the package."""
        folder = Path(self.mktemp()).absolute()
        command = ["sh", str(ROOT / "etc" / "debian" / "build.sh"), str(folder)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        (package,) = folder.glob("queuey_*.deb")
        return package

    def test_install_serve_and_remove(self) -> None:
        """It brings the user, folders, settings and the unit; a purge leaves the messages alone."""
        debian = self.debian()
        root = debian.root
        shutil.copy(self.build(), root / "queuey.deb")
        debian.install("/queuey.deb")
        self.assertEqual(debian.run("stat", "-c", "%U:%G %a", f"/{DATA}"), "queuey:queuey 700\n")
        self.assertEqual(debian.run("stat", "-c", "%U:%G %a", f"/{SETTINGS}"), "root:queuey 640\n")
        unit = (root / "lib/systemd/system/queuey.service").read_text()
        self.assertIn("ExecStart=/usr/lib/queuey/bin/twistd ", unit)
        self.assertNotIn("/opt/", unit.partition("[Service]")[2])
        debian.run("queuey", "check", "/etc/queuey/queuey.ini", user="queuey")
        self.post_and_read(debian, "/usr/lib/queuey/bin/twistd", "queuey")
        self.assertEqual(debian.run("dpkg", "--verify", "queuey"), "")
        debian.run("dpkg", "--remove", "queuey")
        self.assertFalse((root / "usr/lib/queuey").exists())
        self.assertTrue((root / SETTINGS).exists())
        said = debian.run("dpkg", "--purge", "queuey")
        self.assertIn("The messages are left in /var/lib/queuey", said)
        self.assertFalse((root / SETTINGS).exists() or (root / "var/log/queuey").exists())
        self.assertTrue((root / DATA / "queuey.sqlite").exists())


class PinsTests(DebianTestCase):
    """``constraints.txt``."""

    def test_fit_the_python_of_debian(self) -> None:
        """Each version can be installed: the Python of a release of Debian is not the newest of its minor version."""
        debian = self.debian()
        debian.install("ca-certificates", "python3-venv")
        shutil.copy(ROOT / "constraints.txt", debian.root / "constraints.txt")
        debian.run("python3", "-m", "venv", "/env")
        options = ("--quiet", "--dry-run", "--no-deps", "-r", "/constraints.txt")
        debian.run("/env/bin/pip", "install", *options)


class ContainerfileTests(DebianTestCase):
    """The instructions of the Containerfile, carried out in a fresh Debian for each stage; no image is built."""

    def test_run_lines(self) -> None:
        """After these instructions the daemon serves, as its user, with the settings of the image."""
        stages: dict[str, Debian] = {}
        debian, user = None, "root"
        for word, rest in instructions((ROOT / "Containerfile").read_text()):
            words = shlex.split(rest)
            if word == "FROM":
                debian = stages[words[2] if len(words) > 2 else ""] = self.debian()
                continue
            assert debian is not None
            if word == "RUN":
                debian.run("sh", "-c", rest)
            elif word == "COPY":
                self.copy(words, debian, stages)
            elif word == "USER":
                user = words[0]
        assert debian is not None
        self.post_and_read(debian, "twistd", user, IMAGE_PATH)
        debian.run("twistd", "--version", user=user, path=IMAGE_PATH)

    def copy(self, words: list[str], debian: Debian, stages: dict[str, Debian]) -> None:
        """Carry out ``COPY``: files into a folder, or the content of a folder."""
        source = ROOT
        if words[0].startswith("--from="):
            source = stages[words.pop(0).removeprefix("--from=")].root
        *names, target = words
        goal = debian.root / target.lstrip("/")
        for name in names:
            found = source / name.lstrip("/")
            if found.is_dir():
                shutil.copytree(found, goal, symlinks=name.startswith("/"), dirs_exist_ok=True)
            else:
                goal.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, goal)
