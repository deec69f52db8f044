"""The checkers catch what they are for: each is shown a record in which that one thing is wrong."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.reading.window import Position
from queuey.model.timeid import MAX_TICKS, Ticks, make, ticks_of
from tests.histories.checkers import problems
from tests.histories.record import Page, Record, Send
from tests.live.cassandra.histories import Outcome, Spot, Stored


def message(number: int, partition: int = 1) -> Stored:
    """The message that was given this place in time."""
    return Stored(Spot("q", partition), make(Ticks(10**15 + number), 1, 2), f"m{number}")


def send(at: float, *messages: Stored, key: str = "", outcome: Outcome = Outcome.OK, **more: Any) -> Send:
    """One that was sent at that time and answered half a second later, as new where nothing else is said."""
    bodies = tuple(one.body for one in messages)
    good = outcome is Outcome.OK
    told: dict[str, Any] = {"duplicate": False, "replayed": False} if good else {}
    values = {"reuse": False, "status": 201 if good else 0, "stored": messages if good else (), **told, **more}
    return Send("a", "q", key or f"k{bodies[0]}", bodies, invoked=at, ended=at + 0.5, outcome=outcome, **values)


def again(at: float, *messages: Stored) -> Send:
    return send(at, *messages, duplicate=True, replayed=True)


def page(
    reader: str, at: float, *messages: Stored, upto: int | None = None, partitions: tuple[int, ...] = (1, 2)
) -> Page:
    """A page whose cursor is at its last message, or beyond."""
    position = Position(message(upto).id, 0) if upto is not None else _place(messages[-1])
    return Page(reader, "a", "q", partitions, at, at + 0.1, messages, position, False, MAX_TICKS)


def _place(one: Stored) -> Position:
    return Position(one.id, one.spot.partition)


ONE, TWO, THREE, FOUR, FIVE = (message(number, 1 + number % 2) for number in range(1, 6))


class CheckerTests(SynchronousTestCase):
    """One record in which all is well, and what becomes of it."""

    def setUp(self) -> None:
        self.record = Record()
        self.record.sends = [
            send(0, ONE, outcome=Outcome.UNKNOWN),
            again(1, ONE),
            send(2, TWO, THREE),
            again(3, TWO, THREE),
            send(4, message(99), key="km2", reuse=True, outcome=Outcome.FAILED, status=422),
            send(5, FOUR, status=200, replayed=None),
            send(6, FIVE, outcome=Outcome.FAILED, status=409),
            send(7, FIVE),
        ]
        self.record.pages = [
            page("r", 1, ONE),
            page("r", 2, upto=2),
            page("r", 3, TWO, THREE),
            page("r", 8, FOUR, FIVE, upto=9),
            page("s", 8, ONE, TWO, THREE, FOUR, upto=5),
            page("s", 9, FIVE, upto=9),
            page("t", 9, ONE, THREE, FIVE, upto=9, partitions=(2,)),
        ]
        self.found = [ONE, TWO, THREE, FOUR, FIVE]

    def problems(self) -> list[str]:
        return problems(self.record, self.found)

    def assert_caught(self, word: str, *also: str) -> None:
        """The checker reports that, and nothing else except what cannot be distinguished from it."""
        told = self.problems()
        self.assertTrue(any(word in line for line in told), (word, told))
        for line in told:
            self.assertTrue(any(one in line for one in (word, *also)), line)

    def change_send(self, index: int, **values: Any) -> None:
        self.record.sends[index] = attrs.evolve(self.record.sends[index], **values)

    def change_page(self, index: int, *messages: Stored) -> None:
        self.record.pages[index] = attrs.evolve(self.record.pages[index], found=messages)

    def test_nothing_wrong(self) -> None:
        """Retries, refusals, a line of a stream, and readers of other partitions."""
        self.assertEqual(self.problems(), [])
        self.assertEqual(self.record.saved(), 1)

    def test_several_ids_are_shown(self) -> None:
        """A retry was stored once more, and its first answer was lost: two messages, whose bodies are alike."""
        twin = attrs.evolve(message(6), body="m1")
        self.found.append(twin)
        self.assert_caught("several ids: m1")

    def test_several_ids_are_answered(self) -> None:
        """No reader was shown the other one."""
        self.change_send(3, stored=(attrs.evolve(message(6), body="m2"), THREE))
        self.assert_caught("several ids", "differing", "lost", "passed over", "disagree")

    def test_differing(self) -> None:
        """The same ids in another order, and another status."""
        self.change_send(3, status=200)
        self.assert_caught("differing answers: km2")
        self.change_send(3, status=201, stored=(THREE, TWO))
        self.assert_caught("differing answers: km2")

    def test_new_twice(self) -> None:
        """Two requests that were under way together were both new."""
        self.record.sends.append(attrs.evolve(send(7, FIVE), invoked=7.1, ended=7.4))
        self.assert_caught("answered as new 2 times")

    def test_new_after_its_answer(self) -> None:
        """A repeat that does not say so."""
        self.change_send(2, duplicate=True, replayed=True)
        self.assertEqual(self.problems(), [])
        self.change_send(3, duplicate=False, replayed=False)
        self.assert_caught("sent after its answer")

    def test_contradiction(self) -> None:
        """The head says one thing, and the body another."""
        self.change_send(3, replayed=False)
        self.assert_caught("Idempotency-Replayed False")

    def test_lost(self) -> None:
        """Acknowledged, and neither in the store nor shown, whichever client got the acknowledgement."""
        for index in (2, 3):
            self.change_page(index, *(one for one in self.record.pages[index].found if one != TWO))
        self.change_page(4, ONE, THREE, FOUR)
        self.found.remove(TWO)
        self.assert_caught("lost: m2", "passed over", "torn")

    def test_lost_after_it_was_shown(self) -> None:
        """Gone at the end."""
        self.found.remove(FOUR)
        self.assert_caught("lost: m4")

    def test_shown_twice(self) -> None:
        """The message of the page before comes again."""
        self.change_page(3, THREE, FOUR, FIVE)
        self.assert_caught("times to r", "out of order for r")

    def test_early(self) -> None:
        """The clock has not come to the time of a message yet."""
        for due, told in ((4, 1), (5, 0)):
            self.record.pages[5] = attrs.evolve(self.record.pages[5], clock=ticks_of(message(due).id))
            self.assertEqual(len(self.problems()), told)
        self.record.pages[5] = attrs.evolve(self.record.pages[5], clock=Ticks(ticks_of(FIVE.id) - 5_000_000))
        self.assert_caught("early: m5")
        self.assertIn("to s 0.500 s before", self.problems()[0])

    def test_passed_over(self) -> None:
        """A message appears below a cursor: its reader alone does not see it."""
        self.change_page(3, FIVE)
        self.assert_caught("passed over by r: m4", "readers disagree: m4")

    def test_left_behind(self) -> None:
        """A reader stands still."""
        self.record.pages[-1] = page("t", 9, ONE, THREE, upto=4, partitions=(2,))
        self.assert_caught("left behind: t did not come to m5")

    def test_unordered(self) -> None:
        """Within a page, over partitions too."""
        self.change_page(4, ONE, THREE, TWO, FOUR)
        self.assert_caught("out of order for s: m2")

    def test_beyond_the_cursor(self) -> None:
        """A page shows what its cursor has not come to."""
        self.record.pages[4] = page("s", 8, ONE, TWO, THREE, FOUR, upto=4)
        self.assert_caught("out of order for s: m4", "its cursor goes back")

    def test_cursor_goes_back(self) -> None:
        """An empty page whose cursor is before that of the page before."""
        self.record.pages.append(page("t", 10, upto=3, partitions=(2,)))
        self.assert_caught("its cursor goes back")

    def test_unexpected(self) -> None:
        """Messages that were refused because of their key, and messages that no client sent."""
        for number in (99, 98):
            self.found.append(message(number))
            self.assert_caught(f"unexpected: m{number}")
            self.found.pop()
        self.change_send(7, outcome=Outcome.FAILED, stored=(), status=409, duplicate=None, replayed=None)
        self.assert_caught("unexpected: m5")

    def test_torn(self) -> None:
        """Half a batch whose producer gave up."""
        self.record.sends.append(send(8, message(6), message(7), outcome=Outcome.UNKNOWN))
        self.found.append(message(6))
        self.assert_caught("torn: of km6")

    def test_disagreeing(self) -> None:
        """One reader is shown a message of a key without an answer, and another is not."""
        self.record.sends.append(send(8, message(6), outcome=Outcome.UNKNOWN))
        self.change_page(3, FOUR, FIVE, message(6))
        self.assert_caught("readers disagree: m6")

    def test_reuse_missed(self) -> None:
        """Another body under a known key is stored, or answered as if it were the first."""
        self.change_send(4, outcome=Outcome.OK, status=201)
        self.assert_caught("not refused: another body for km2 was answered 201")
        self.change_send(4, outcome=Outcome.FAILED, status=400)
        self.assert_caught("not refused: another body for km2 was answered 400")

    def test_answers(self) -> None:
        """What a client noted as wrong is reported."""
        self.record.wrong("503 without Retry-After")
        self.assert_caught("without Retry-After")

    def test_many_are_counted(self) -> None:
        """Some of each kind are reported."""
        self.found += [message(number) for number in range(50, 59)]
        self.assertEqual(self.problems()[-1], "unexpected: 9 in all")
        self.assertEqual(len(self.problems()), 6)


class RecordTests(SynchronousTestCase):
    """Figures of a record."""

    def test_summary(self) -> None:
        record = Record()
        record.add(send(0, ONE, outcome=Outcome.UNKNOWN), again(1, ONE), page("r", 2, ONE))
        record.answered("POST", 0)
        record.answered("POST", 201)
        record.answered("GET", 200)
        expected = (
            "1 keys, 1 messages acknowledged, 2 sends (1 ok, 1 unknown), 1 of them answered as duplicates, "
            "1 of which another message would have come, 0 with a key of something else; "
            "1 pages; answers: 1 of none, 1 of 200, 1 of 201"
        )
        self.assertEqual(record.summary(), expected)
