"""Numbers with their nouns."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey_client.core.counted import counted


class CountedTests(SynchronousTestCase):
    def test_regular(self) -> None:
        """One is singular; none, several and what is only bounded below are plural."""
        for number, text in ((0, "0 queues"), (1, "1 queue"), (2, "2 queues"), ("1", "1 queue"), (">=1", ">=1 queues")):
            self.assertEqual(counted(number, "queue"), text)

    def test_verbs(self) -> None:
        """The verb follows its noun."""
        words = ("message was put", "messages were put")
        self.assertEqual([counted(number, *words) for number in (1, 3)], ["1 message was put", "3 messages were put"])
