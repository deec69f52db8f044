"""The checkers of histories catch what they are for: each is shown a history in which that one thing is wrong."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.timeid import LOWEST, MessageId, make, successor
from tests.live.cassandra.histories import History, Outcome, Poll, Post, Spot, Stored, problems, quantile

run_in = "test"

SPOT = Spot("q", 1)
DELAY = 2.5


def message(number: int) -> Stored:
    """The message that was given this place in time."""
    return Stored(SPOT, make(10**15 + number, 1, 2), f"m{number}")  # type: ignore[arg-type]


def post(at: float, *numbers: int, process: str = "a", outcome: Outcome = Outcome.OK) -> Post:
    """A POST that was sent at that time, and answered half a second later."""
    stored = tuple(message(number) for number in numbers)
    known = stored if outcome is Outcome.OK else ()
    return Post(process, "q", tuple(one.body for one in stored), at, at + 0.5, outcome, known)


def poll(at: float, lower: MessageId, *numbers: int, full: bool = False) -> Poll:
    found = tuple(message(number) for number in numbers)
    return Poll("r", "b", SPOT, lower, at, at + 0.1, found, full)


def after(number: int) -> MessageId:
    return successor(message(number).id)


class CheckerTests(SynchronousTestCase):
    """One history in which all is well, and what becomes of it."""

    def setUp(self) -> None:
        self.history = History()
        self.history.posts = [
            post(0, 1),
            post(1, 2, 3, process="b"),
            post(2, 4, 5, outcome=Outcome.UNKNOWN),
            post(2, 6, outcome=Outcome.UNKNOWN),
            post(3, 7),
            post(3, 8, outcome=Outcome.FAILED),
        ]
        self.history.polls = [
            poll(1.2, LOWEST, 1, full=True),
            poll(3.2, after(1)),
            poll(5.9, after(1), 2, 3, 4, full=False),
            poll(9.2, after(4), 5, 7),
        ]
        self.found = [message(number) for number in (1, 2, 3, 4, 5, 7)]

    def problems(self, sole: bool = False) -> list[str]:
        return problems(self.history, self.found, sole=sole, delays={"q": DELAY})

    def assert_caught(self, word: str, *also: str) -> None:
        """The checker reports that, and nothing else except what cannot be distinguished from it."""
        told = self.problems()
        self.assertTrue(any(word in line for line in told), (word, told))
        for line in told:
            self.assertTrue(any(one in line for one in (word, *also)), line)

    def change_post(self, index: int, **values: Any) -> None:
        self.history.posts[index] = attrs.evolve(self.history.posts[index], **values)

    def test_nothing_wrong(self) -> None:
        """What is unknown may be there or not, whole; a message may show later than it was acknowledged."""
        self.assertEqual(self.problems(), [])
        self.found = [one for one in self.found if one.body != "m7"]
        self.assertIn("lost: m7", self.problems()[0])

    def test_lost(self) -> None:
        """One that no reader was shown either."""
        self.history.posts.append(post(20, 9))
        self.assert_caught("lost: m9")

    def test_lost_elsewhere(self) -> None:
        """Not where it was said to be."""
        self.found[-1] = attrs.evolve(self.found[-1], spot=Spot("q", 2))
        self.assert_caught("lost: m7", "shown, and gone: m7")

    def test_doubled(self) -> None:
        """One message under two ids, or one id twice."""
        self.found.append(attrs.evolve(message(10), body="m1"))
        self.assert_caught("2 times: m1")
        self.found[-1] = message(1)
        self.assert_caught("2 times")

    def test_unexpected(self) -> None:
        """One that was refused, and one that was never sent."""
        for number in (8, 99):
            self.found.append(message(number))
            self.assert_caught(f"unexpected: m{number}")
            self.found.pop()

    def test_torn(self) -> None:
        """Half a batch with an unknown outcome."""
        self.history.polls[3] = poll(9.2, after(4), 7)
        self.found.remove(message(5))
        self.assert_caught("torn (unknown): 1 of 2")

    def test_vanished(self) -> None:
        """Shown once, and never acknowledged."""
        self.history.polls.append(poll(12, after(7), 6))
        self.history.polls[-1] = attrs.evolve(self.history.polls[-1], lower=LOWEST, reader="other", full=True)
        self.assertEqual([line[:20] for line in self.problems() if "gone" in line], ["shown, and gone: m6 "])

    def test_passed_over(self) -> None:
        """A message appears below what a reader has read up to; no other reader knows that it was withheld."""
        self.history.polls[2] = poll(3.3, after(1), 3, 4)
        self.assert_caught("passed over by r: m2")

    def test_withheld(self) -> None:
        """A message does not show when it must."""
        self.history.polls[1] = poll(4.2, after(1))
        self.assert_caught("withheld from r at b, 0.200 s late: m2", "late: m3")

    def test_withheld_alone(self) -> None:
        """One front end shows at once what was acknowledged, unless another write may still be below it."""
        self.history.polls[1:3] = [poll(1.55, after(1)), poll(2.5, after(1)), poll(4.7, after(1), 2, 3, 4)]
        self.assertEqual(self.problems(), [])
        self.assertEqual([line[:36] for line in self.problems(sole=True)], ["withheld from r at b, 0.050 s late: "] * 2)
        self.change_post(2, invoked=1.5)
        self.assertEqual(self.problems(sole=True), [])

    def test_withheld_is_not_behind_the_page(self) -> None:
        """A full page says nothing of what is behind its end."""
        self.history.polls[0] = poll(8, LOWEST, 1, full=True)
        self.history.polls[1:] = []
        self.assertEqual(self.problems(), [])
        self.history.polls[0] = poll(8, LOWEST, 1, full=False)
        self.assertIn("withheld", self.problems()[0])

    def test_unordered(self) -> None:
        """Within a page, and from one page to the next."""
        self.history.polls[3] = poll(9.2, after(4), 7, 5)
        self.assert_caught("out of order for r")
        self.history.polls[3] = poll(9.2, after(4), 3, 5, 7)
        self.assert_caught("out of order for r")

    def test_altered(self) -> None:
        """Another body under the same id."""
        self.found[0] = attrs.evolve(self.found[0], body="m99")
        self.history.posts.append(post(9, 99, outcome=Outcome.UNKNOWN))
        self.assert_caught("is ['m1', 'm99']", "lost: m1", "shown, and gone: m1")

    def test_falling(self) -> None:
        """An id that is below one that was answered before: of one process, or of all where one at a time serves."""
        self.change_post(4, process="b", invoked=0.8)
        self.assertEqual(self.problems(sole=False), [])
        self.change_post(0, stored=(message(9),), bodies=("m9",))
        self.history.polls[0] = poll(1.2, LOWEST)
        self.history.polls[1] = poll(1.3, LOWEST)
        self.history.polls[2] = poll(1.4, LOWEST)
        self.history.polls[3] = poll(9.2, LOWEST, 2, 3, 4, 5, 7, 9)
        self.found = [message(number) for number in (2, 3, 4, 5, 7, 9)]
        self.assertEqual(self.problems(sole=False), [])
        self.assertTrue(all("not above" in line for line in self.problems(sole=True)))
        self.assertEqual(len(self.problems(sole=True)), 2)

    def test_falling_within_one(self) -> None:
        """The messages of a batch have rising ids."""
        turned = (message(3), message(2))
        self.change_post(1, stored=turned, bodies=("m3", "m2"))
        self.assert_caught("within one POST ids do not rise")

    def test_answers(self) -> None:
        """What a client noted as wrong is reported."""
        self.history.wrong("503 without Retry-After")
        self.assert_caught("without Retry-After")

    def test_many_are_counted(self) -> None:
        """Some of each kind are reported."""
        self.history.posts += [post(20 + number, 20 + number) for number in range(9)]
        self.assertEqual(self.problems()[-1], "lost: 9 in all")
        self.assertEqual(len(self.problems()), 6)


class SummaryTests(SynchronousTestCase):
    """Figures of a history."""

    def test_quantile(self) -> None:
        self.assertEqual(quantile([], 0.5), 0.0)
        self.assertEqual(quantile([3.0, 1.0, 2.0], 0.5), 2.0)
        self.assertEqual(quantile(map(float, range(100)), 0.99), 99.0)

    def test_summary(self) -> None:
        history = History()
        history.add(post(0, 1, 2))
        history.add(poll(0, LOWEST))
        history.answered("a", 201)
        history.answered("b", 201)
        history.answered("b", 0)
        expected = "1 POSTs (1 ok), 2 messages acknowledged, 1 polls; answers: 1 of none, 2 of 201"
        self.assertEqual(history.summary(), expected)
