"""What ``make cassandra`` sets up is run with the words of the first version's README, and writes where it says."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.cassandra.nodes import LIMIT, ROOT, STOP_LIMIT, answers_cql, changed, free_ports, needs
from tests.live.cassandra.session.wire import Wire
from tests.live.running import answers, free_port

SETTINGS = """\
[server]
http = tcp:{port}:interface=127.0.0.1

[storage]
backend = memory
"""


def alive(pid: int) -> bool:
    """Whether a process runs that is no child of this one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class CheckoutTestCase(SynchronousTestCase):
    """A folder like a checkout, with a server on ports of its own."""

    def setUp(self) -> None:
        needs()
        self.root = Path(tempfile.mkdtemp(prefix="queuey-checkout-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.port, storage, storage_tls, self.jmx = free_ports(["127.0.0.1"], 4)
        etc = self.root / "etc" / "cassandra"
        shutil.copytree(ROOT / "etc" / "cassandra", etc)
        yaml, options = etc / "cassandra.yaml", etc / "jvm.options"
        ports = {"native_transport_port": self.port, "storage_port": storage, "ssl_storage_port": storage_tls}
        yaml.write_text(changed(yaml.read_text(encoding="utf-8"), ports), encoding="utf-8")
        options.write_text(options.read_text(encoding="utf-8").replace("7199", str(self.jmx)), encoding="utf-8")
        home = self.root / "bin" / "cassandra"
        home.mkdir(parents=True)
        # As a set-up before this one has left it: nothing is fetched again.
        (home / "lib").symlink_to(ROOT / "bin" / "cassandra" / "lib")
        shutil.copy(etc / "pom.xml", home)
        # Whatever is written to the home folder or the one for temporary files would show there.
        self.elsewhere = self.root / "elsewhere"
        self.elsewhere.mkdir()
        self.addCleanup(self.kill_server)

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Type this into a shell in the checkout, one that ignores SIGINT as those of scripts may."""
        environment = {**os.environ, "HOME": str(self.elsewhere), "TMPDIR": str(self.elsewhere)}
        command = ["sh", "-c", f"trap '' INT; {script}"]
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            stdin=subprocess.DEVNULL,
        )

    def set_up(self) -> None:
        """As ``make cassandra`` does."""
        done = self.shell("sh etc/cassandra/setup.sh cassandra")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def pid(self) -> int:
        """The server's process."""
        return int((self.root / "cassandra.pid").read_text(encoding="ascii"))

    def kill_server(self) -> None:
        """End what a test that failed has left."""
        with contextlib.suppress(OSError, ValueError):
            if alive(self.pid()):
                os.kill(self.pid(), signal.SIGKILL)

    def wait(self, what: Callable[[], bool], limit: float = LIMIT) -> None:
        """Return once it is so."""
        deadline = time.monotonic() + limit
        while not what():
            self.assertLess(time.monotonic(), deadline, self.output())
            time.sleep(0.1)

    def serves(self) -> bool:
        """Whether the server answers; it has not ended."""
        file = self.root / "cassandra.pid"
        if file.exists() and not alive(self.pid()):
            self.fail(self.output())
        return answers_cql("127.0.0.1", self.port)

    def output(self) -> str:
        """What the server has printed."""
        file = self.root / "cassandra" / "logs" / "output"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else "nothing printed"


class ReadmeTests(CheckoutTestCase):
    """The commands, and what they leave."""

    def start(self) -> int:
        """Start it in the background.

        :return: its process.
        """
        began = time.monotonic()
        done = self.shell("./bin/cassandra/bin/cassandra -p cassandra.pid")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertLess(time.monotonic() - began, 5)
        self.wait(self.serves)
        return self.pid()

    def stop(self, pid: int) -> None:
        """Stop it."""
        self.assertEqual(self.shell("kill -2 $(cat cassandra.pid)").returncode, 0)
        self.wait(lambda: not alive(pid), STOP_LIMIT)

    def test_all(self) -> None:
        """Start, ask, refuse to start twice, stop, start again."""
        self.set_up()
        pid = self.start()
        done = self.shell(f"./bin/cassandra/bin/nodetool -p {self.jmx} status")
        self.assertRegex(done.stdout, r"(?m)^UN +127\.0\.0\.1 ")
        done = self.shell("./bin/cassandra/bin/cassandra -p cassandra.pid")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rf"^cassandra: it runs already, as process {pid} of .*\n$")
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        with Wire.connect("127.0.0.1", self.port) as wire:
            wire.query(f"CREATE KEYSPACE k WITH replication = {replication}")
        self.stop(pid)
        self.assertEqual(sorted(self.left()), ["bin", "cassandra", "elsewhere", "etc"])
        self.assertEqual(list(self.elsewhere.iterdir()), [])
        self.assertEqual(self.shell("rm -rf ./cassandra").returncode, 0)
        again = self.start()
        with Wire.connect("127.0.0.1", self.port) as wire:
            self.assertRaises(ValueError, wire.query, "USE k")
        self.stop(again)

    def left(self) -> list[str]:
        """What is in the checkout."""
        return [path.name for path in self.root.iterdir()]

    def test_usage(self) -> None:
        """Other arguments are refused with those that there are."""
        self.set_up()
        done = self.shell("./bin/cassandra/bin/cassandra --port 1")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"^cassandra: usage: cassandra \[-f\].*\n$")
        self.assertEqual(self.shell("./bin/cassandra/bin/cassandra -p").returncode, 2)
        self.assertEqual(self.shell("sh bin/cassandra/bin/trio").returncode, 2)


class SetUpTests(CheckoutTestCase):
    """What is said where something is missing."""

    def test_without_maven(self) -> None:
        """One line that says what to install."""
        tools = self.root / "tools"
        tools.mkdir()
        for name in ("sh", "dirname"):
            (tools / name).symlink_to(str(shutil.which(name)))
        done = self.shell(f"PATH='{tools}'; export PATH; sh etc/cassandra/setup.sh cassandra")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"^Cassandra needs (Java 17 and )?Maven: install it \(.*maven\)\n$")


class RunTests(CheckoutTestCase):
    """``make run-cassandra``, which serves Queuey and a server together."""

    def end(self, child: subprocess.Popen[bytes]) -> None:
        """Have it end what it has started, which no other process could find."""
        child.terminate()
        child.wait(LIMIT)

    def run_both(self, port: int) -> subprocess.Popen[bytes]:
        """Start both, with Queuey on a port; what they print goes to the file ``output``."""
        self.set_up()
        (self.root / "etc" / "queuey-cassandra.ini").write_text(SETTINGS.format(port=port), encoding="utf-8")
        twistd = Path(sys.executable).parent / "twistd"
        with (self.root / "output").open("wb") as stream:
            child = subprocess.Popen(
                ["sh", "etc/cassandra/run.sh", str(twistd)], cwd=self.root, stdout=stream, stderr=subprocess.STDOUT
            )
        self.addCleanup(self.end, child)
        return child

    def printed(self) -> str:
        """Return what they have printed."""
        return (self.root / "output").read_text(encoding="utf-8")

    def test_stops_both(self) -> None:
        """A signal is enough."""
        http = free_port()
        child = self.run_both(http)
        self.wait(lambda: answers(f"http://127.0.0.1:{http}/__heartbeat__"))
        self.wait(self.serves)
        pid = self.pid()
        child.terminate()
        child.wait(LIMIT)
        self.assertFalse(alive(pid))
        self.assertFalse(answers(f"http://127.0.0.1:{http}/__heartbeat__"))
        self.assertIn("queuey", self.printed())
        self.assertRegex(self.printed(), r"(?m)^stopping cassandra$")

    def test_ends_with_cassandra(self) -> None:
        """Queuey does not wait for a server that has ended."""
        child = self.run_both(free_port())
        self.wait(lambda: "queuey" in self.printed())
        os.kill(self.pid(), signal.SIGKILL)
        self.assertEqual(child.wait(LIMIT), 1)
        self.assertRegex(self.printed(), r"(?m)^cassandra ended, so queuey is stopped; \S+/system\.log may tell why$")
