"""The Python client's three faces before a real daemon, with faults between.

A producer with each of them loses nothing and stores nothing twice, workers that are killed, paused and stopped leave
nothing behind, and a reader takes no more memory for many messages than for few.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random

from queuey_client import Client, Group
from tests import runs_in
from tests.histories.proxy import Proxy
from tests.live.client.client_programs import LEASE, bodies
from tests.live.clients import KEY
from tests.live.daemon.test_daemon import wait_until
from tests.live.failures.faults import LONG, FaultTestCase
from tests.live.running import Daemon, free_port, write_settings

run_in = "test"

ROOT = Path(__file__).parents[3]
FACES = ("sync", "aio", "tx")
TRIED = FACES if LONG else (Random().choice(FACES),)
"""Those whose worker is tried alone. What the faces share is tested without processes, for each of them."""
POSTED, STREAMED = (10_000, 100_000) if LONG else (400, 4_000)
WORKED = 10_000 if LONG else 200
READ = 1_000_000 if LONG else 10_000
KILLS = 20 if LONG else 2
GROWTH = 16 * 1024
"""KiB by which a reader may grow: a few pages, and what the allocator keeps of them."""
LIMIT = 1800.0 if LONG else 240.0


PROGRAMS = (sys.executable, "-m", "tests.live.client.client_programs")


class Program:
    """A process of :mod:`tests.live.client.client_programs`, or of another command."""

    def __init__(self, output: Path, *arguments: object, command: Sequence[str] = PROGRAMS) -> None:
        self._output = output
        with output.open("wb") as stream:
            self.process = subprocess.Popen(
                [*command, *map(str, arguments)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT / "client")},
            )

    def output(self) -> str:
        """What it has said."""
        return self._output.read_text(errors="replace")

    def wait(self) -> int:
        """Its exit status."""
        return self.process.wait(LIMIT)

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


class ClientTestCase(FaultTestCase):
    """A daemon, and programs."""

    def begin_program(self, what: str, face: str, url: str, *arguments: object) -> Program:
        """Start one."""
        program = Program(self.folder / f"{what}-{face}", what, face, url, *arguments)
        self.addCleanup(program.kill)
        return program

    def client(self) -> Client:
        """A client of the daemon itself."""
        client = Client(f"http://127.0.0.1:{self.port}", "queuey", key=KEY)
        self.addCleanup(client.close)
        return client


class ProducerTests(ClientTestCase):
    """All three at once, through a proxy that cuts, before a daemon that is killed and started."""

    def test_nothing_is_lost_and_nothing_comes_twice(self) -> None:
        random = Random(20)
        daemon = self.serve()
        self.client().queue("q").ensure(partitions=2)
        proxy = Proxy("daemon", self.port, random, most=30)
        self.addCleanup(proxy.close)
        url = f"http://127.0.0.1:{proxy.port}"
        programs = [self.begin_program("produce", face, url, "q", POSTED, STREAMED) for face in FACES]
        for _ in range(KILLS):
            time.sleep(random.uniform(1, 2))
            daemon = self.kill_and_start(daemon, proxy)
        for face, program in zip(FACES, programs, strict=True):
            self.assertEqual(program.wait(), 0, f"{face}: {program.output()[-3000:]}")
        found = Counter(message.text for message in self.client().queue("q").messages())
        wanted = {body for face in FACES for body in bodies(face, "post", POSTED) + bodies(face, "line", STREAMED)}
        lost, twice = wanted - set(found), [body for body, times in found.items() if times > 1]
        self.say(f"{len(wanted)} posted, {len(lost)} lost, {len(twice)} twice; cuts: {proxy.summary()}; kills: {KILLS}")
        self.assertEqual((sorted(lost)[:5], twice[:5], len(found)), ([], [], len(wanted)))
        self.assertGreater(sum(proxy.cuts.values()), 10)
        self.stop(daemon)

    def kill_and_start(self, daemon: Daemon, proxy: Proxy) -> Daemon:
        """Kill it in the middle of its work."""
        self.assertEqual(daemon.signal(signal.SIGKILL), -signal.SIGKILL)
        self.port = free_port()
        write_settings(self.folder, self.port)
        proxy.point(self.port)
        return self.serve()


class WorkerTests(ClientTestCase):
    """A worker with each face, in one group."""

    def setUp(self) -> None:
        super().setUp()
        self.database = self.folder / "effects.sqlite"
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE handled (message TEXT PRIMARY KEY)")
            database.execute("CREATE TABLE effects (count INTEGER)")
            database.execute("INSERT INTO effects VALUES (0)")

    def effects(self) -> tuple[int, int]:
        """How many messages were handled, and how often something has happened."""
        with closing(sqlite3.connect(self.database, timeout=30)) as database:
            handled = database.execute("SELECT count(*) FROM handled").fetchone()[0]
            return handled, database.execute("SELECT count FROM effects").fetchone()[0]

    def worker(self, face: str, pause: float, group: str = "g") -> Program:
        """Start one, and wait until it works."""
        url = f"http://127.0.0.1:{self.port}"
        program = self.begin_program("work", face, url, "q", group, self.database, pause)
        wait_until(lambda: "ready" in program.output(), f"{face} does not begin: {program.output()}")
        return program

    def fill(self, count: int) -> None:
        """Post so many messages."""
        self.client().queue("q").ensure(partitions=2)
        with self.client().queue("q").writer() as writer:
            for number in range(count):
                writer.post(str(number))

    def test_killed_paused_and_stopped(self) -> None:
        """Every message is handled, and its effect happens once."""
        daemon = self.serve()
        self.fill(WORKED)
        fates = [FACES, FACES[1:] + FACES[:1], FACES[2:] + FACES[:2]]
        for paused, killed, stopped in fates if LONG else [Random().choice(fates)]:
            programs = {face: self.worker(face, 0.02) for face in FACES}
            time.sleep(0.5)
            programs[paused].process.send_signal(signal.SIGSTOP)
            programs[killed].process.kill()
            programs[stopped].process.send_signal(signal.SIGTERM)
            self.assertEqual(programs[stopped].wait(), 0, programs[stopped].output()[-3000:])
            self.assertIn("stopped", programs[stopped].output())
            time.sleep(LEASE)
            programs[paused].process.send_signal(signal.SIGCONT)
            programs[paused].process.send_signal(signal.SIGTERM)
            self.assertEqual(programs[paused].wait(), 0, programs[paused].output()[-3000:])
        last = [self.worker(face, 0.0) for face in FACES]
        wait_until(lambda: self.effects()[0] == WORKED, "not all messages are handled")
        wait_until(lambda: all(each.behind == 0 for each in self.group().info().lag), "not all messages are acked")
        for program in last:
            program.process.send_signal(signal.SIGTERM)
            self.assertEqual(program.wait(), 0, program.output()[-3000:])
        self.assertEqual(self.effects(), (WORKED, WORKED))
        self.stop(daemon)

    def group(self) -> Group:
        """The group that they share."""
        return self.client().queue("q").group("g")

    def test_a_lost_lease_is_told(self) -> None:
        """A worker that was paused for longer than its lease hears that others have its messages."""
        daemon = self.serve()
        self.fill(4)
        for face in TRIED:
            group = self.client().queue("q").group(face)
            group.ensure()
            program = self.worker(face, 0.7, face)
            wait_until(lambda face=face, program=program: "claimed" in program.output(), f"{face} claims nothing")  # type: ignore[misc]
            program.process.send_signal(signal.SIGSTOP)
            taken: list[object] = []
            deadline = time.monotonic() + 60
            while len(taken) < 4 and time.monotonic() < deadline:
                taken += group.claim(10, lease=60, wait=1)
            self.assertEqual(len(taken), 4, face)
            program.process.send_signal(signal.SIGCONT)
            wait_until(lambda program=program: "lost" in program.output(), f"{face} hears nothing")  # type: ignore[misc]
            program.process.send_signal(signal.SIGTERM)
            self.assertEqual(program.wait(), 0, program.output()[-3000:])
        self.stop(daemon)

    def test_a_buffer_is_given_back(self) -> None:
        """After SIGTERM what waits is claimable at once; what is worked on is finished, and leases live meanwhile."""
        daemon = self.serve()
        self.fill(40)
        for face in TRIED:
            group = self.client().queue("q").group(face)
            group.ensure()
            program = self.worker(face, LEASE * 1.5, face)
            wait_until(lambda face=face, program=program: "claimed" in program.output(), f"{face} claims nothing")  # type: ignore[misc]
            time.sleep(0.2)
            program.process.send_signal(signal.SIGTERM)
            wait_until(lambda program=program: "stopping" in program.output(), f"{face} does not stop")  # type: ignore[misc]
            began = time.monotonic()
            rest: set[str] = set()
            while len(rest) < 36 and time.monotonic() < began + LEASE:
                rest |= {delivery.id for delivery in group.claim(1000, lease=60, wait=1)}
            self.assertEqual(len(rest), 36, face)
            self.assertEqual(program.wait(), 0, program.output()[-3000:])
            self.assertEqual(len(re.findall("(?m)^handled", program.output())), 4, face)
            (lag,) = [sum(each.behind for each in group.info().lag)]
            self.assertEqual(lag, 36, face)
        self.stop(daemon)


class ReaderTests(ClientTestCase):
    """Readers of many messages."""

    @runs_in("test-long")
    def test_memory_is_flat(self) -> None:
        """A page at a time, however many pages there are."""
        self.read_by(*FACES)

    def test_memory_of_one_face_is_flat(self) -> None:
        """The same for the face that needs no framework."""
        self.read_by("sync")

    def read_by(self, *faces: str) -> None:
        """Read all messages of a queue by these faces, each in a process of its own, and compare its memory."""
        daemon = self.serve()
        queue = self.client().queue("q")
        queue.ensure()
        with queue.writer() as writer:
            for _ in range(READ):
                writer.post(b"x" * 100)
        for face in faces:
            program = self.begin_program("read", face, f"http://127.0.0.1:{self.port}", "q", READ)
            self.assertEqual(program.wait(), 0, program.output()[-3000:])
            found = re.search(r"seen (\d+) grew (-?\d+)", program.output())
            assert found is not None, program.output()
            self.say(f"{face}: {found[1]} messages, {found[2]} KiB more")
            self.assertEqual(int(found[1]), READ)
            self.assertLess(int(found[2]), GROWTH)
        self.stop(daemon)
