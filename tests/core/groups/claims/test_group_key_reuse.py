"""An Idempotency-Key belongs to one claim: while its lease lives, another one under it is refused."""

from __future__ import annotations

from typing import Any

from queuey.errors import KeyReused
from queuey.model.groups.claims import home_of
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, bodies

FIRST, SECOND = b"k" * 8 + b"1" * 8, b"k" * 8 + b"2" * 8
"""Two claims under the same Idempotency-Key."""

OTHER = b"o" * 16


class KeyReuseTests(GroupCase):
    """With several partitions, so that a claim may be made elsewhere than its key says."""

    partitions = 6

    def setUp(self) -> None:
        super().setUp()
        self.home = home_of(FIRST, self.queue.settings.partitions)
        self.others = tuple(number for number in range(1, 7) if number != self.home)

    def refused(self, key: bytes = SECOND, **asked: Any) -> None:
        error = self.failureResultOf(self.claiming(key=key, **asked), KeyReused).value
        self.assertEqual(error.applied, "no")

    def test_at_home(self) -> None:
        self.post(b"1", b"2", partition=self.home)
        first = self.claim(limit=1, key=FIRST)
        self.refused(lease=1000)
        self.assertEqual(self.claim(limit=1, key=FIRST), first)
        self.assertEqual(self.bodies(key=OTHER), [b"2"])

    def test_elsewhere(self) -> None:
        """Where the first claim was made in another partition, and where the second one asks for other partitions."""
        self.post(b"1", b"2", partition=self.others[2])
        first = self.claim(limit=1, key=FIRST)
        self.refused()
        self.refused(partitions=self.others)
        self.refused(partitions=(self.home,))
        self.assertEqual(self.claim(limit=1, key=FIRST), first)
        self.assertEqual(self.bodies(key=OTHER), [b"2"])

    def test_at_the_same_time(self) -> None:
        """The first of two that come together is answered, and others of that moment too."""
        for partition in (self.home, self.others[1]):
            self.post(b"1", b"2", partition=partition)
            held = self.spied.states.held
            held.on = True
            first, second = self.claiming(limit=1, key=FIRST), self.claiming(limit=1, key=SECOND)
            other, bare = self.claiming(limit=1, key=OTHER), self.claiming(limit=1)
            for _ in range(40):
                if held.waiting:
                    held.release()
            held.on = False
            self.assertEqual(len(bodies(self.successResultOf(first))), 1)
            self.failureResultOf(second, KeyReused)
            for one in (other, bare):
                self.successResultOf(one)
            self.advance(31)
            while given := self.claim(limit=10).deliveries:
                self.advance(0.1)
            self.assertEqual(given, ())
            self.advance(31)

    def test_after_its_lease(self) -> None:
        """The key is free when the lease of its claim ends."""
        for partition in (self.home, self.others[0]):
            self.post(b"1", partition=partition)
            self.assertEqual(self.bodies(key=FIRST, lease=5), [b"1"])
            self.advance(4)
            self.refused()
            self.advance(1.1)
            self.assertEqual(self.bodies(key=SECOND, lease=5), [b"1"])
            self.refused(key=FIRST)
            self.advance(20)

    def test_one_that_waits(self) -> None:
        """A claim that waits has its key only once it was given something."""
        waiting = self.claiming(key=FIRST, wait=20)
        another = self.claiming(key=SECOND, wait=20)
        self.post(b"1", partition=self.others[0])
        self.advance(1)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])
        self.failureResultOf(another, KeyReused)


class KeyReuseOnCassandraTests(CassandraGroupCase, KeyReuseTests):
    """The same where others may write too."""
