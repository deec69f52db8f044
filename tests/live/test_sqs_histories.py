"""FIFO queues of SQS on SQLite, below which daemons and workers are killed and paused and the disk is filled."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import LONG, runs_in
from tests.histories.clients import new_seed
from tests.histories.groups.crew import ServerClock
from tests.histories.groups.daemons import OneDaemon
from tests.histories.groups.history import GroupHistory
from tests.live.aws.fifo import Field
from tests.live.aws.support import ALLOWED

ROUNDS = 12 if LONG else 3
"""How often each thing happens."""

CALM = 2.0
"""Seconds between two of them."""


class HistoryTests(SynchronousTestCase):
    """Order in each group, nothing lost, nothing twice, whatever happens to the daemon."""

    @runs_in("test")
    def test_killed(self) -> None:
        """Two workers, of which one is killed, and then the whole daemon."""
        self.run_history(2, 1, ("kill_worker", "kill"))

    def test_one_process(self) -> None:
        self.run_history(1, ROUNDS, ("kill", "pause", "kill", "fill"))

    def test_workers(self) -> None:
        self.run_history(2, ROUNDS, ("kill_worker", "pause", "kill", "fill"))

    def run_history(self, workers: int, rounds: int, faults: tuple[str, ...]) -> None:
        seed = new_seed()
        ends = ExitStack()
        self.addCleanup(ends.close)
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="queuey-test-")))
        daemon = OneDaemon(folder, seed, GroupHistory(), ServerClock(), ends, workers, ALLOWED)
        daemon.start()
        field = Field([daemon.proxy.port], seed)
        ends.callback(field.close)
        field.make_queue(daemon.port)
        with field.at_work():
            for _ in range(rounds):
                for fault in faults:
                    time.sleep(CALM)
                    getattr(daemon, fault)()
            time.sleep(CALM)
            daemon.proxy.calm()
        wrong = field.judge(daemon.port)
        daemon.stop()
        field.report()
        self.assertEqual([*wrong, *daemon.defects()], [])
        self.assertEqual(field.idle(), [])
