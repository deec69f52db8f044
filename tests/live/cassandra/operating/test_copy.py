"""A store grows from SQLite to Cassandra: the keyspace keeps what it is given, and takes over while clients go on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, ClassVar, cast

import attrs
from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from queuey import config
from queuey.config import CassandraStorage
from queuey.interfaces import IStore
from queuey.storage.cassandra.assembly import make_import_target
from queuey.storage.cassandra.import_target import CassandraImportTarget
from tests.contracts import keeping
from tests.contracts.subject import Contract, Wall
from tests.histories.clients import new_seed
from tests.histories.groups.daemons import OneDaemon
from tests.histories.groups.field import Field, Load
from tests.live.cassandra.fronts import LONG, ROOT, Front
from tests.live.cassandra.shared import cql_node, new_keyspace
from tests.live.operating.copies import BIN, ENDS, Copy, before, killed_again_and_again, problems_after
from tests.live.running import Daemon, free_port, write_settings
from tests.manual import commands

reactor: Any = _reactor

KILLS = 20 if LONG else 2
"""How often the copy is killed before it is let come to its end."""

STARTS = 120.0
"""Seconds that a front end may take to serve, with everything else on the same machine."""


def storage(keyspace: str) -> CassandraStorage:
    """The settings of a keyspace on the shared node."""
    host, port = cql_node()
    built_in = cast(CassandraStorage, config.defaults("cassandra"))
    return attrs.evolve(built_in, hosts=((host, port),), keyspace=keyspace)


class TargetSubject:
    """A target under test, and the store that it fills."""

    keeps = True
    counts_bytes = False
    clock_goes_back = False
    forgets_in_time = False
    stamps_all = False

    def __init__(self, keyspace: str) -> None:
        self.wall = Wall()
        self.wall.seconds = time.time()
        self.target = make_import_target(storage(keyspace), reactor, time.time)
        self.store: IStore = self.target._store

    def advance(self, seconds: float) -> Deferred[None]:
        raise NotImplementedError

    def reopen(self) -> Deferred[None]:
        raise NotImplementedError

    def close(self) -> Deferred[None]:
        return self.target.close()


class ImportTargetTests(TestCase, keeping.ImportTargetContract):
    """The contract on a real node; each test has an application, lives and keys of its own in one keyspace."""

    timeout = 120
    keyspace: ClassVar[str] = new_keyspace()
    numbers: ClassVar[count[int]] = count(1)
    subject: TargetSubject

    async def setUp(self) -> None:  # type: ignore[override]
        self.apart(next(self.numbers))
        Contract.setUp(self)
        await self.subject.target.opened()

    def make_subject(self) -> TargetSubject:
        return TargetSubject(self.keyspace)

    def drive(self, steps: Coroutine[Deferred[Any], Any, None]) -> object:
        return Deferred.fromCoroutine(steps)

    @property
    def target(self) -> CassandraImportTarget:
        return self.subject.target


class MovingCase(SynchronousTestCase):
    """A folder, and a place for the settings of a front end on a keyspace of its own."""

    def setUp(self) -> None:
        host, port = cql_node()
        self.ends = ExitStack()
        self.addCleanup(self.ends.close)
        self.folder = Path(self.ends.enter_context(tempfile.TemporaryDirectory(prefix="queuey-test-")))
        settings: dict[str, object] = {"host": f"{host}:{port}", "database": new_keyspace(), "frontends": "one"}
        self.front = Front("to", self.folder / "to", settings)
        self.target = self.front.folder / "queuey.ini"
        (self.folder / "from").mkdir()

    def serve(self) -> None:
        """Serve from the copy."""
        self.front.start()
        self.ends.callback(self.front.kill)
        self.front.wait_until_it_serves(STARTS)


class MoveTests(MovingCase):
    """One move, by the commands of docs/growing.rst as they stand there."""

    def type(self, command: str, pid: int) -> None:
        """Carry out a command on a machine that is a folder, and where systemd is the daemon's pid."""
        for written, here in (
            ("/opt/queuey/bin", str(BIN)),
            ("/etc/queuey/", f"{self.folder}/from/"),
            ("runuser -u queuey -- ", ""),
            ("systemctl stop queuey.service", f"kill {pid}"),
        ):
            command = command.replace(written, here)
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=ENDS)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_what_clients_have_in_their_hands(self) -> None:
        """Cursors, receipts, keys and tags hold after the move; no daemon serves from half a copy."""
        typed = commands((ROOT / "docs" / "growing.rst").read_text(encoding="utf-8"))
        port = free_port()
        old = write_settings(self.folder / "from", port)
        daemon = Daemon(BIN / "twistd", ["--config", str(old)], self.folder / "from", {})
        self.ends.callback(daemon.kill)
        daemon.wait_until_it_serves(port)
        had = before(port)
        self.type(typed[0], daemon.pid)
        shutil.copy(self.target, self.folder / "from" / "cassandra.ini")
        for command in typed[1:3]:
            self.type(command, daemon.pid)
        self.front.start()
        self.ends.callback(self.front.kill)
        self.assertEqual(self.front.daemon.wait(), 1)
        self.assertIn("is an unfinished copy of the store in", self.front.log())
        self.type("\n".join(typed[3:-1]), daemon.pid)
        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(
            sorted(path.name for path in (self.folder / "from").glob("*.ini")), ["queuey.ini", "sqlite.ini"]
        )
        self.assertEqual(old.read_bytes(), self.target.read_bytes())
        self.serve()
        self.assertEqual(problems_after(self.front.port, had), [])
        copy = Copy(self.target, self.folder / "from" / "sqlite.ini")
        self.assertEqual(copy.wait(), 1)
        self.assertIn("a cluster cannot be the source of a copy", copy.output())
        self.front.stop()


class HistoryTests(MovingCase):
    """SQLite to Cassandra, with everything that clients do."""

    def test_moved_under_load(self) -> None:
        """Nothing acknowledged is lost or doubled; cursors go on, keys are remembered, receipts from before hold."""
        seed = new_seed()
        field = Field([], seed, Load(pause=0.5))
        daemon = OneDaemon(self.folder / "from", seed, field.history, field.clock, self.ends)
        daemon.start()
        field.targets = (daemon.proxy,)
        field.set_up(daemon)
        source = self.folder / "from" / "queuey.ini"
        with field.at_work():
            time.sleep(2)
            killed = killed_again_and_again(source, self.target, KILLS, Random(seed), 1.0)
            copy = Copy(source, self.target, "--finish")
            self.ends.callback(copy.end)
            copy.wait_until_it_says("the copy follows")
            time.sleep(2)
            stopped = time.monotonic()
            daemon.stop()
            self.assertEqual(copy.wait(), 0, copy.output())
            self.serve()
            daemon.proxy.point(self.front.port)
            gap = time.monotonic() - stopped
            time.sleep(4)
        daemon.proxy.calm()
        wrong = field.judge(daemon.proxy)
        self.front.stop()
        for line in (*field.report(), f"{killed} copies killed; nobody served for {gap:.1f} s", copy.output()):
            sys.stdout.write(f"{line}\n")
        if wrong:
            self.fail("\n".join([*wrong, field.keep("grown", daemon.log() + copy.output() + self.front.log())]))
        self.assertNotIn("Traceback", copy.output() + self.front.log())
        self.assertIn("are the same on both sides", copy.output())
        self.assertGreater(killed, 0)
        idle = set(field.idle())
        self.assertFalse(idle & {"claim", "settle", "post", "read", "acked", "already-acked", "stale"}, idle)


class AwayTests(MovingCase):
    """A cluster that does not answer."""

    def test_nobody_is_there(self) -> None:
        """It is waited for, and in the end one line says so."""
        port = free_port()
        source = write_settings(self.folder / "from", port)
        daemon = Daemon(BIN / "twistd", ["--config", str(source)], self.folder / "from", {})
        self.ends.callback(daemon.kill)
        daemon.wait_until_it_serves(port)
        self.front.configure({"host": f"127.0.0.1:{free_port()}", "request_timeout": 1})
        copy = Copy(source, self.target, "--wait", "5")
        self.assertEqual(copy.wait(), 1)
        self.assertRegex(copy.output(), r"\A[^\n]*waiting for Cassandra at 127.0.0.1:\d+[^\n]*\n\Z")
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
