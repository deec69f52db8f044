"""Consumer groups before two front ends of one keyspace that are killed and paused, for about a minute.

``make histories STORE=cassandra`` goes on for longer, on three nodes that are broken too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.histories.clients import new_seed
from tests.histories.groups.field import Field, Load
from tests.histories.groups.frontends import TwoFrontEnds
from tests.live.cassandra.fronts import LEEWAY, LONG, SETTLE
from tests.live.cassandra.shared import cql_node

ROUNDS = 12 if LONG else 2
"""How often each thing happens."""

CALM = 2.0
"""Seconds between two of them."""

DUE = 2.0 + SETTLE + LEEWAY
"""Seconds after which no delay is left, and everything shows."""


class HistoryTests(SynchronousTestCase):
    """Producers, readers, workers, seekers and redrivers, who go to either front end."""

    def test_two_front_ends(self) -> None:
        """Nothing acknowledged is lost, nothing is given that should not be, and no lease that passed on holds."""
        seed = new_seed()
        host, port = cql_node()
        ends = ExitStack()
        self.addCleanup(ends.close)
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="queuey-test-")))
        field = Field([], seed, Load(pause=0.5, settles=DUE))
        both = TwoFrontEnds(folder, [host], port, seed, field.history, ends)
        both.start()
        field.targets = tuple(both.proxies)
        field.set_up(both.fronts[0])
        with field.at_work():
            for _ in range(ROUNDS):
                for happen in (both.kill, both.pause):
                    time.sleep(CALM)
                    happen()
            both.calm()
        wrong = field.judge(both.fronts[1])
        both.stop()
        for line in field.report():
            sys.stdout.write(f"{line}\n")
        wrong += both.defects()
        if wrong:
            self.fail("\n".join([*wrong, field.keep("cassandra", both.log())]))
        self.assertEqual(field.idle(), [])
