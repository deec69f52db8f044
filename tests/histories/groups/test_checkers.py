"""The checkers catch what they are for: each is shown a history in which that one thing is wrong."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups.receipts import Receipt, Receipts
from queuey.model.groups.settings import GroupSettings
from queuey.model.groups.terms import Order
from queuey.model.queues.queue import Guarantee
from queuey.model.timeid import Ticks, make
from tests.histories.groups.checkers import CHECKERS, judge, problems
from tests.histories.groups.history import (
    Asked,
    Claimed,
    End,
    Fault,
    Given,
    GroupHistory,
    Letter,
    Plan,
    Redriven,
    Settled,
    Sought,
    forged,
    given,
    read_receipt,
)
from tests.histories.groups.view import DRAIN, View
from tests.histories.record import Send
from tests.live.cassandra.histories import Outcome, Spot, Stored

PLANS = (
    Plan("g", GroupSettings()),
    Plan("dead", GroupSettings(max_deliveries=3, dead_letter="dead")),
    Plan("aside", GroupSettings(max_deliveries=2), rejects=True),
    Plan("row", GroupSettings(order=Order.PARTITION)),
    Plan("keys", GroupSettings(order=Order.KEY)),
    Plan("once", GroupSettings(guarantee=Guarantee.AT_MOST_ONCE)),
    Plan("sought", GroupSettings(), seeks=True),
)
ONE = b"1" * 8
TWO = b"2" * 8
LEASE = 10
RECEIPTS = Receipts(b"k" * 16)


def message(number: int) -> Stored:
    """The message that was given this place in time."""
    return Stored(Spot("q", 1), make(Ticks(10**15 + number), 1, 2), f"m{number}")


def text(number: int, lease: int, generation: bytes = ONE) -> str:
    return RECEIPTS.text(Receipt(1, generation, 1, message(number).id, lease))


def gave(number: int, lease: int, at: float, deliveries: int = 1, generation: bytes = ONE) -> Given:
    """A message with a lease that begins when it is answered, by a clock that agrees with the operations'."""
    return given(message(number), text(number, lease, generation), deliveries, LEASE, at + LEASE)


def claim(group: str, at: float, *gifts: Given, **more: Any) -> Claimed:
    """A claim that was sent then, and answered half a second later."""
    values: dict[str, Any] = {"client": "w", "key": None, "limit": 3, "outcome": Outcome.OK, "clock": at + 0.5, **more}
    return Claimed(process="a", group=group, invoked=at, ended=at + 0.5, given=gifts, **values)


def settled(group: str, at: float, *asked: Asked, outcome: Outcome = Outcome.OK) -> Settled:
    return Settled("w", "a", group, at, at + 0.5, outcome, asked)


def ack(one: Given, outcome: str | None = "acked", **more: Any) -> Asked:
    return Asked("ack", one, outcome=outcome, **more)


def told(number: int) -> Asked:
    """An ack of a message's first lease, whose number is the message's."""
    return ack(gave(number, number, 0))


class CheckerCase(SynchronousTestCase):
    """A history of two messages in which all is well; every group was emptied, and has acked both one by one."""

    def setUp(self) -> None:
        self.history = GroupHistory()
        self.messages = [message(1), message(2)]
        for number in (1, 2):
            one = message(number)
            self.history.add(
                Send("a", "q", f"k{number}", (one.body,), False, number, number + 0.5, Outcome.OK, 201, (one,))
            )
        for plan in PLANS:
            self.history.add(*self.worked_off(plan))
        self.end = End(tuple(self.messages))

    def worked_off(self, plan: Plan) -> list[Any]:
        """What empties a group."""
        if plan.at_most_once:
            return [claim(plan.name, 10, *map(Given, self.messages), client=DRAIN)]
        first, second = gave(1, 1, 10.5), gave(2, 2, 20.5)
        return [
            claim(plan.name, 10, first, client=DRAIN),
            settled(plan.name, 11, ack(first)),
            claim(plan.name, 20, second, client=DRAIN),
            settled(plan.name, 21, ack(second)),
        ]

    def problems(self) -> list[str]:
        return problems(View(self.history, self.end, PLANS))

    def assert_caught(self, word: str, *also: str) -> None:
        """The checker reports that, and nothing else except what cannot be distinguished from it."""
        lines = self.problems()
        self.assertTrue(any(word in line for line in lines), (word, lines))
        for line in lines:
            self.assertTrue(any(one in line for one in (word, *also)), line)

    def drop(self, group: str, wrong: Callable[[Any], bool]) -> None:
        """Nothing of this kind was done to a group."""
        operations = self.history.operations
        self.history.operations = [one for one in operations if one.group != group or not wrong(one)]

    def redo(self, group: str, *operations: Any) -> None:
        """This, and nothing else, was done to a group."""
        self.drop(group, lambda _: True)
        self.history.add(*operations)

    def end_with(self, **values: Any) -> None:
        self.end = attrs.evolve(self.end, **values)


class LostTests(CheckerCase):
    """Messages that are gone."""

    def test_nothing_wrong(self) -> None:
        """Every checker has looked at something but those of what did not happen here."""
        self.assertEqual(self.problems(), [])
        idle = {verdict.checker for verdict in judge(View(self.history, self.end, PLANS)) if not verdict.looked}
        self.assertLessEqual(idle, {"together", "repeats", "deliveries", "forgeries"})

    def test_never_given(self) -> None:
        """It was given to no worker."""
        self.redo("g", claim("g", 10, gave(1, 1, 10.5), client=DRAIN), settled("g", 11, told(1)))
        self.assert_caught("lost in g: m2")

    def test_given_and_never_again(self) -> None:
        """The worker that had it gave up, or got the answer that its ack did not count."""
        self.redo("g", *self.worked_off(PLANS[0])[:3])
        self.assert_caught("lost in g: m2")
        self.history.add(settled("g", 21, ack(gave(2, 2, 0), "stale")))
        self.assert_caught("lost in g: m2")

    def test_an_ack_of_which_nothing_is_known(self) -> None:
        """It may have been done."""
        *most, last = self.worked_off(PLANS[0])
        gift = last.asked[0].given
        self.redo("g", *most, settled("g", 21, ack(gift, None), outcome=Outcome.UNKNOWN))
        self.assertEqual(self.problems(), [])
        self.redo("g", *most, settled("g", 21, ack(gift, None), outcome=Outcome.FAILED))
        self.assert_caught("lost in g: m2")

    def test_dead_letters(self) -> None:
        """They are somewhere else; and gone where they are not."""
        one = gave(2, 2, 0)
        rejected = settled("dead", 21, Asked("reject", one, outcome="dead-lettered"))
        self.redo("dead", *self.worked_off(PLANS[1])[:3], rejected)
        self.assert_caught("lost in dead: m2")
        self.end_with(letters=[Letter("dead", "q", f"{message(2).id.hex()}-1", "m2", 1)])
        self.assertEqual(self.problems(), [])

    def test_set_aside(self) -> None:
        """As many as were set aside are missing, and not more."""
        self.redo("aside", claim("aside", 10, client=DRAIN))
        self.end_with(aside={"aside": 2})
        self.assertEqual(self.problems(), [])
        self.end_with(aside={"aside": 1})
        self.assert_caught("lost in aside: m2")

    def test_after_a_seek(self) -> None:
        """An ack of before it does not count."""
        self.history.add(
            Sought("s", "a", "sought", "oldest", 30, 31, Outcome.OK),
            claim("sought", 40, gave(1, 3, 40.5, 1, TWO), client=DRAIN),
            settled("sought", 41, ack(gave(1, 3, 0, 1, TWO))),
        )
        self.assert_caught("lost in sought: m2")

    def test_at_most_once(self) -> None:
        """What lost answers may have taken may be missing."""
        self.redo("once", claim("once", 10, Given(message(1)), client=DRAIN))
        self.assert_caught("lost in once: 1 were not given, and 0 can be lost; the first of them: m2")
        self.history.add(claim("once", 9, outcome=Outcome.UNKNOWN, limit=1))
        self.assertEqual(self.problems(), [])


class TwiceTests(CheckerCase):
    """Messages that are there twice."""

    def test_at_most_once(self) -> None:
        """Two claims are given one; a seek in between is a reason."""
        self.redo("once", claim("once", 10, Given(message(1)), Given(message(2)), client=DRAIN))
        self.history.add(claim("once", 20, Given(message(2))))
        self.assert_caught("given again by once: m2", "out of order")
        self.history.add(Sought("s", "a", "once", "oldest", 12, 13, Outcome.UNKNOWN))
        self.assertFalse([line for line in self.problems() if "again" in line])

    def test_in_one_answer(self) -> None:
        self.redo("once", claim("once", 10, *map(Given, [message(1), message(2), message(2)]), client=DRAIN))
        self.assert_caught("twice in one answer", "given again", "out of order")

    def test_two_acks(self) -> None:
        """Both are new; a redrive in between is a reason."""
        self.redo(
            "g",
            *self.worked_off(PLANS[0]),
            claim("g", 40, gave(2, 3, 40.5, 2)),
            settled("g", 41, ack(gave(2, 3, 0))),
        )
        self.assert_caught("acked again in g: m2")
        self.history.add(Redriven("r", "a", "g", 30, 31, Outcome.FAILED))
        self.assert_caught("acked again in g: m2")
        self.history.add(Redriven("r", "a", "g", 30, 31, Outcome.OK, 1))
        self.assertEqual(self.problems(), [])

    def test_two_ids(self) -> None:
        """A key's message was stored again; some claim was given the other one."""
        twin = attrs.evolve(message(3), body="m2")
        self.redo("once", claim("once", 10, *map(Given, [message(1), message(2), twin]), client=DRAIN))
        self.assert_caught("several ids: m2")

    def test_two_dead_letters(self) -> None:
        letter = Letter("dead", "q", f"{message(2).id.hex()}-1", "m2", 3)
        self.redo("dead", *self.worked_off(PLANS[1])[:3])
        self.end_with(letters=[letter, letter])
        self.assert_caught("buried twice by dead")

    def test_acked_and_buried(self) -> None:
        self.end_with(letters=[Letter("dead", "q", f"{message(2).id.hex()}-1", "m2", 3)])
        self.assert_caught("buried by dead, and acked")


class UnexpectedTests(CheckerCase):
    """Messages that should not be there."""

    def test_refused(self) -> None:
        """Its POST was answered 4xx; another one, that was not answered, is a reason."""
        one = message(3)
        values = ("a", "q", "k3", (one.body,), False, 3, 3.5)
        self.history.add(Send(*values, Outcome.FAILED, 409))
        self.redo("once", claim("once", 10, *map(Given, [*self.messages, one]), client=DRAIN))
        self.assert_caught("unexpected in once: m3")
        self.history.add(Send(*values, Outcome.UNKNOWN, 503))
        self.assertEqual(self.problems(), [])

    def test_never_posted(self) -> None:
        """As a message, and as a dead letter."""
        self.redo("once", claim("once", 10, *map(Given, [*self.messages, message(9)]), client=DRAIN))
        self.assert_caught("unexpected in once: m9")
        self.end_with(letters=[Letter("dead", "q", f"{message(9).id.hex()}-1", "m9", 1)])
        self.assertIn("unexpected dead letter of dead: m9", self.problems())

    def test_altered(self) -> None:
        """Another body, and a dead letter that names another message."""
        self.redo("once", claim("once", 10, Given(message(1)), Given(attrs.evolve(message(2), body="m1"))))
        self.assertIn("given by once as m1", " ".join(self.problems()))
        self.end_with(letters=[Letter("dead", "q", f"{message(1).id.hex()}-1", "m2", 1)])
        self.assertIn("names", " ".join(line for line in self.problems() if "dead letter" in line))


class HistoryTests(CheckerCase):
    """What a history tells and keeps."""

    def test_problems_are_counted(self) -> None:
        """Some of each kind, after what clients noted."""
        self.history.wrong("503 without Retry-After")
        self.end_with(letters=[Letter("dead", "q", f"x{number}", "m2", 3) for number in range(9)])
        lines = self.problems()
        self.assertEqual(lines[0], "503 without Retry-After")
        self.assertEqual(lines[-1], "altered: 9 in all")

    def test_every_checker_has_a_name(self) -> None:
        """The names of the verdicts."""
        self.assertEqual(len({checker.__name__ for checker in CHECKERS}), len(CHECKERS))

    def test_lines(self) -> None:
        self.redo("g", claim("g", 1, outcome=Outcome.UNKNOWN), settled("g", 2, told(1), outcome=Outcome.OK))
        self.history.broken(Fault("kill", 3, 4))
        for plan in PLANS[1:]:
            self.redo(plan.name)
        self.assertEqual(
            list(self.history.lines()),
            ["claim: 1 unknown", "settle: 1 ok", "post: 2 ok", "outcomes of settlements: 1 acked", "faults: 1 kill"],
        )

    def test_saved(self) -> None:
        """Each operation as it began and as it ended, in the order of time, and the faults."""
        self.history.broken(Fault("kill", 15, 16))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "history")
            self.history.save(path)
            events = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual([event["at"] for event in events], sorted(event["at"] for event in events))
        self.assertEqual(len(events), 2 * (len(self.history.sends) + len(self.history.operations)) + 1)
        (fault,) = (event for event in events if event["event"] == "fault")
        self.assertEqual((fault["at"], fault["kind"]), (15, "kill"))
        first = next(event for event in events if event["event"] == "ok" and event["what"] == "claim")
        self.assertEqual(first["given"][0]["message"]["id"], message(1).id.hex())

    def test_receipts(self) -> None:
        """They are read as they were made; a forged one has another number, and is not taken for one."""
        one = text(2, 7)
        self.assertEqual(read_receipt(one), (ONE.hex(), 1, message(2).id, 7))
        self.assertEqual(read_receipt(forged(one, 1)), (ONE.hex(), 1, message(2).id, 8))
        self.assertEqual(RECEIPTS.parse((forged(one, 1),), 1), [None])
        self.assertRaises(ValueError, given, message(3), one, 1, 1, 1.0)
