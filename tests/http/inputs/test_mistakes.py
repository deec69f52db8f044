"""The list of mistakes in an error is bounded, however many there are."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.inputs.mistakes import MAX_NAMED, MAX_NAMED_BYTES, Mistakes


class MistakesTests(SynchronousTestCase):
    """Which are named."""

    def test_none(self) -> None:
        self.assertFalse(Mistakes())

    def test_few(self) -> None:
        mistakes = Mistakes()
        for number in range(MAX_NAMED):
            mistakes.add(str(number), "is wrong")
        self.assertTrue(mistakes)
        self.assertEqual(mistakes.named, [(str(number), "is wrong") for number in range(MAX_NAMED)])
        self.assertEqual((mistakes.count, mistakes.unnamed), (MAX_NAMED, 0))

    def test_many(self) -> None:
        """The first are named, all are counted."""
        mistakes = Mistakes()
        for number in range(524_000):
            mistakes.add(str(number), "is wrong")
        self.assertEqual((mistakes.count, len(mistakes.named)), (524_000, MAX_NAMED))
        self.assertEqual(mistakes.in_all, "There are 524000 mistakes, of which the first 100 are named.")

    def test_large(self) -> None:
        """What JSON makes of them counts, in which one character may be twelve."""
        mistakes = Mistakes()
        for number in range(200):
            mistakes.add(f"/{number}/" + "\U0001f600" * 50, "x" * 50)
        self.assertLess(len(json.dumps(dict(mistakes.named))), MAX_NAMED_BYTES)
        self.assertGreater(len(json.dumps(dict(mistakes.named))), MAX_NAMED_BYTES // 2)
        self.assertEqual(mistakes.count, 200)

    def test_in_order(self) -> None:
        """After one that has no room none is named: those that are named are the first."""
        mistakes = Mistakes(room=200)
        for text in ("x" * 100, "y" * 100, "z"):
            mistakes.add("a", text)
        self.assertEqual(mistakes.named, [("a", "x" * 100)])

    def test_the_first_always(self) -> None:
        mistakes = Mistakes(room=1)
        mistakes.add("a", "x" * 100)
        mistakes.add("b", "y")
        self.assertEqual((mistakes.named, mistakes.count), ([("a", "x" * 100)], 2))
