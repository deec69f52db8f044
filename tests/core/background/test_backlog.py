"""Whether the backlog of a queue grows, as its history tells."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from queuey.core.activity import ENTRIES
from queuey.core.backlog import grows


class BacklogTests(SynchronousTestCase):
    def test_slow_growth(self) -> None:
        """Half a message a second more than is acknowledged, with ups and downs, is seen."""
        random = Random(1)
        stored = [100 + random.randint(-20, 20) for _ in range(ENTRIES)]
        acked = [one - 5 + random.randint(-4, 4) for one in stored]
        self.assertTrue(grows(stored, acked, 1, sum(stored) - sum(acked)))

    def test_no_growth(self) -> None:
        """Consumers that keep up, bursts that are worked off, and a queue that was filled just now do not count."""
        steady, nothing = [100] * ENTRIES, [0] * ENTRIES
        random = Random(2)
        late = [0, *[100 + random.randint(-3, 3) for _ in range(ENTRIES - 1)]]
        self.assertFalse(grows(steady, steady, 1, 500))
        self.assertFalse(grows(steady, late, 1, 150))
        self.assertFalse(grows([*nothing[:30], 900, *nothing[31:]], [*nothing[:31], *[20] * 29], 1, 320))
        self.assertFalse(grows([*nothing[:-3], 300, 300, 300], nothing, 1, 900))
        self.assertFalse(grows(nothing, nothing, 1, 900))

    def test_groups(self) -> None:
        """Each group acknowledges each message; without groups nothing is behind."""
        steady, double, leak = [100] * ENTRIES, [200] * ENTRIES, [199] * ENTRIES
        self.assertFalse(grows(steady, double, 2, 100))
        self.assertTrue(grows(steady, leak, 2, 60))
        self.assertFalse(grows(steady, [0] * ENTRIES, 0, 0))

    def test_messages_that_go_in_other_ways(self) -> None:
        """What expired, was rejected or was purged is no backlog."""
        self.assertFalse(grows([100] * ENTRIES, [95] * ENTRIES, 1, 20))

    def test_few(self) -> None:
        """A few messages more may be in work."""
        self.assertFalse(grows([1] * ENTRIES, [*[1] * 30, *[1, 1, 1, 1, 0] * 6], 1, 9))
