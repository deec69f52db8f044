"""A store is copied while producers, readers and workers use it; the copy is killed, goes on, and takes its place."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests import runs_in
from tests.histories.clients import new_seed
from tests.histories.groups.daemons import OneDaemon
from tests.histories.groups.field import Field, Load
from tests.live.clients import ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase
from tests.live.failures.faults import LONG
from tests.live.operating.copies import BIN, Copy, before, killed_again_and_again, problems_after
from tests.live.running import LIMIT, Daemon, free_port, write_settings

KILLS = 20 if LONG else 3
"""How often the copy is killed before it is let come to its end."""

JSON = {"Content-Type": "application/json"}


class HistoryTests(SynchronousTestCase):
    """SQLite to SQLite, with everything that clients do."""

    def test_moved_under_load(self) -> None:
        """Nothing acknowledged is lost or doubled; cursors go on, keys are remembered, receipts from before hold."""
        seed = new_seed()
        ends = ExitStack()
        self.addCleanup(ends.close)
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="queuey-test-")))
        field = Field([], seed, Load())
        (folder / "from").mkdir()
        daemon = OneDaemon(folder / "from", seed, field.history, field.clock, ends)
        daemon.start()
        field.targets = (daemon.proxy,)
        field.set_up(daemon)
        (folder / "to").mkdir()
        port = free_port()
        source, target = folder / "from" / "queuey.ini", write_settings(folder / "to", port)
        with field.at_work():
            time.sleep(2)
            killed = killed_again_and_again(source, target, KILLS, Random(seed), 0.4)
            copy = Copy(source, target, "--finish")
            ends.callback(copy.end)
            copy.wait_until_it_says("the copy follows")
            time.sleep(2)
            stopped = time.monotonic()
            daemon.stop()
            self.assertEqual(copy.wait(), 0, copy.output())
            moved = Daemon(BIN / "twistd", ["--config", str(target)], folder / "to", {})
            ends.callback(moved.kill)
            moved.wait_until_it_serves(port)
            daemon.proxy.point(port)
            gap = time.monotonic() - stopped
            time.sleep(4)
        daemon.proxy.calm()
        wrong = field.judge(daemon.proxy)
        self.assertEqual(moved.signal(signal.SIGTERM), 0)
        for line in (*field.report(), f"{killed} copies killed; nobody served for {gap:.1f} s", copy.output()):
            sys.stdout.write(f"{line}\n")
        if wrong:
            self.fail("\n".join([*wrong, field.keep("copy", daemon.log() + copy.output() + moved.output())]))
        self.assertNotIn("Traceback", copy.output() + moved.output())
        self.assertIn("are the same on both sides", copy.output())
        self.assertGreater(killed, 0)
        idle = set(field.idle())
        self.assertFalse(idle & {"claim", "settle", "post", "read", "acked", "already-acked", "stale"}, idle)


class CommandTests(LiveTestCase):
    """What the command says, and what it refuses."""

    def setUp(self) -> None:
        super().setUp()
        self.to = self.folder / "to"
        self.to.mkdir()
        self.port_of_target = free_port()
        self.target = write_settings(self.to, self.port_of_target)

    def copy(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "queuey"), "copy", *map(str, arguments or (self.settings, self.target))]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)

    def refused(self, done: subprocess.CompletedProcess[str], *words: str) -> None:
        """It failed in one line with these words."""
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.stderr, r"\A[^\n]+\n\Z")
        for word in words:
            self.assertIn(word, done.stderr)

    @runs_in("test")
    def test_what_clients_have_in_their_hands(self) -> None:
        """Cursors, receipts, keys and tags hold after the move; no daemon serves from half a copy."""
        daemon = self.serve()
        had = before(self.port)
        done = self.copy()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("pass 1: 1 queue, 8 messages looked at, 8 copied", done.stdout)
        self.assertIn(f"queuey copy --finish {self.settings} {self.target}", done.stdout)
        early = Daemon(BIN / "twistd", ["--config", str(self.target)], self.to, {})
        self.addCleanup(early.kill)
        self.assertEqual(early.wait(), 1)
        self.assertIn("is an unfinished copy of the store in", early.output())
        self.assertNotIn("Traceback", early.output())
        self.refused(self.copy(self.target, self.settings), "in use by process")
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertEqual(self.copy("--finish", self.settings, self.target).returncode, 0)
        self.refused(self.copy(), "was completed")
        moved = Daemon(BIN / "twistd", ["--config", str(self.target)], self.to, {})
        self.addCleanup(moved.kill)
        moved.wait_until_it_serves(self.port_of_target)
        self.assertEqual(problems_after(self.port_of_target, had), [])
        self.assertEqual(moved.signal(signal.SIGTERM), 0)

    def test_what_is_refused_at_once(self) -> None:
        memory = self.folder / "memory.ini"
        memory.write_text("[storage]\nbackend = memory\n")
        self.refused(self.copy(memory, self.target), "memory.ini", "kept in memory is known to its own daemon alone")
        self.refused(self.copy(self.target, memory), "memory.ini", "neither copied nor copied to")
        self.refused(self.copy(self.target, self.target), "names the same store")
        self.refused(self.copy(), "is no store of Queuey")
        self.refused(self.copy(self.folder / "none.ini", self.target), "none.ini")

    def test_it_is_interrupted_politely(self) -> None:
        self.assertEqual(self.serve_something().signal(signal.SIGTERM), 0)
        copy = Copy(self.settings, self.target)
        self.assertIn(copy.end(signal.SIGTERM), (0, 130, -signal.SIGTERM))
        self.assertNotIn("Traceback", copy.output())
        self.assertEqual(self.copy("--finish", self.settings, self.target).returncode, 0)

    def serve_something(self) -> Daemon:
        daemon = self.serve()
        make_queue(self.port, "q")
        batch = json.dumps({"messages": [{"body": "x" * 1000}] * 200}).encode()
        for _ in range(20):
            self.assertEqual(ask(self.port, "POST", "/v1/queuey/q", batch, **JSON)[0], 201)
        return daemon
