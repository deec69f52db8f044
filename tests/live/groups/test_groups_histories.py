"""Consumer groups before a daemon that is killed, paused, set in time and left without room, for less than a minute.

``make histories`` goes on for longer.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.histories.clients import new_seed
from tests.histories.groups.daemons import FARTHEST, SETTLES, OneDaemon
from tests.histories.groups.field import Field, Load
from tests.histories.proxy import Cut
from tests.live.failures.faults import LONG
from tests.live.running import WORKERS

ROUNDS = 12 if LONG else 2
"""How often each thing happens."""

CALM = 2.0
"""Seconds between two of them."""


class HistoryTests(SynchronousTestCase):
    """Producers, readers, workers, seekers and redrivers, and everything that can happen to one daemon."""

    def test_one_daemon(self) -> None:
        """Nothing acknowledged is lost, nothing is given that should not be, and no lease that passed on holds."""
        self.run_history(WORKERS)

    def test_workers(self) -> None:
        """The same of a daemon of which several processes serve, and of which some are killed."""
        self.run_history(2)

    def run_history(self, workers: int) -> None:
        """Run one, and judge it."""
        seed = new_seed()
        ends = ExitStack()
        self.addCleanup(ends.close)
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="queuey-test-")))
        field = Field([], seed, Load(jumps=FARTHEST, settles=SETTLES))
        daemon = OneDaemon(folder, seed, field.history, field.clock, ends, workers)
        daemon.start()
        field.targets = (daemon.proxy,)
        field.set_up(daemon)
        own = daemon.set_clock if workers == 1 else daemon.kill_worker
        with field.at_work():
            for _ in range(ROUNDS):
                for happen in (daemon.kill, daemon.pause, own, daemon.fill):
                    time.sleep(CALM)
                    happen()
            daemon.set_clock(0.0)
            time.sleep(CALM)
        daemon.proxy.calm()
        wrong = field.judge(daemon)
        daemon.stop()
        for line in field.report():
            sys.stdout.write(f"{line}\n")
        sys.stdout.write(f"cut: {daemon.proxy.summary()}; {daemon.why_no_disk or 'the disk was filled'}\n")
        wrong += daemon.defects()
        if wrong:
            self.fail("\n".join([*wrong, field.keep("sqlite", daemon.log())]))
        self.assertEqual([cut for cut in Cut if not daemon.proxy.cuts[cut]], [])
        self.assertEqual(field.idle(), [])
