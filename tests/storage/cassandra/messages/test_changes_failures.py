"""Changes of messages on Cassandra that fail, and their turns of the reactor."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from queuey.errors import (
    NoSuchQueue,
    Unavailable,
)
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address
from queuey.storage.cassandra.cluster.port import StatementRefused
from queuey.storage.cassandra.queues.turns import ManyTurns
from tests.storage.cassandra.messages.message_support import LIMIT
from tests.storage.cassandra.messages.message_tables import Call
from tests.storage.cassandra.messages.test_changes import ChangesCase


class FailureTests(ChangesCase):
    def fail_writes(self, applied: str) -> None:
        def refuse(call: Call) -> Exception | None:
            return None if call.text.startswith("SELECT") else Unavailable("away", applied=applied)

        self.session.refuse = refuse

    def flying(self) -> int:
        return len(self.subject.times._flights)

    def test_what_is_known_is_told(self) -> None:
        (id,) = self.added(b"a")
        for applied in ("no", "unknown"):
            self.fail_writes(applied)
            for answer in (self.append(b"b"), self.append(b"b", b"c"), self.replace(id), self.remove(id)):
                self.assertEqual(self.failureResultOf(answer, Unavailable).value.applied, applied)
        self.assertEqual(self.flying(), 0)

    def test_a_write_that_takes_too_long(self) -> None:
        self.session.hold = True
        answer = self.append(b"a")
        self.subject.clock.advance(LIMIT - 0.1)
        self.assertNoResult(answer)
        self.assertEqual(self.flying(), 1)
        self.subject.clock.advance(0.2)
        self.assertEqual(self.failureResultOf(answer, Unavailable).value.applied, "unknown")
        self.assertEqual(self.flying(), 0)
        self.session.turn()
        self.session.hold = False
        self.assertEqual(self.shown(), [b"a"])

    def test_an_acknowledgement_that_comes_too_late(self) -> None:
        self.subject.times.late = Unavailable("late", applied="unknown")
        self.failureResultOf(self.append(b"a"), Unavailable)

    def test_a_front_end_that_may_not_stamp(self) -> None:
        self.subject.times.refusal = Unavailable("no lease")
        self.failureResultOf(self.append(b"a"), Unavailable)
        self.assertEqual(self.session.calls, [])

    def test_a_defect_is_not_hidden_and_nothing_stays_in_flight(self) -> None:
        self.session.refuse = lambda call: StatementRefused("wrong")
        self.failureResultOf(self.append(b"a"), StatementRefused)
        self.assertEqual(self.flying(), 0)

    def test_of_several_buckets_some_are_removed(self) -> None:
        (a,) = self.added(b"a")
        (b,) = self.added(b"b", partition=2)
        where = [Address(1, a), Address(2, b)]

        def refuse(call: Call) -> Exception | None:
            return Unavailable("away") if call.text.startswith("UPDATE") and call.values[3] == 2 else None

        self.session.refuse = refuse
        answer = self.store.remove(self.queue, where, Ack.ONE)
        self.assertEqual(self.failureResultOf(answer, Unavailable).value.applied, "unknown")

    def test_a_cancelled_append_is_finished(self) -> None:
        self.session.hold = True
        answer = self.append(b"a")
        answer.addErrback(lambda failure: None)
        answer.cancel()
        self.session.turn()
        self.session.hold = False
        self.assertEqual(self.shown(), [b"a"])
        self.assertEqual(self.flying(), 0)

    def test_what_is_in_flight_is_not_shown_before_it_has_landed(self) -> None:
        self.session.hold = True
        slow = self.append(b"slow")
        waiting, self.session.waiting = self.session.waiting, []
        self.session.hold = False
        self.added(b"quick")
        self.assertEqual(self.shown(), [])
        self.session.waiting = waiting
        self.session.turn()
        self.successResultOf(slow)
        self.assertEqual(self.shown(), [b"slow", b"quick"])


class TurnTests(ChangesCase):
    def test_changes_of_one_message_take_turns(self) -> None:
        (id,) = self.added(b"a")
        self.session.hold = True
        answers = [self.remove(id), self.remove(id), self.remove(id)]
        rounds = 0
        while self.session.turn():
            rounds += 1
        self.assertEqual([self.successResultOf(answer) for answer in answers], [1, 0, 0])
        self.assertEqual(rounds, 4)

    def test_several_at_once(self) -> None:
        turns, log = ManyTurns(), []
        waits: dict[str, Deferred[None]] = {}

        def work(name: str) -> Deferred[None]:
            log.append(name)
            waits[name] = Deferred()
            return waits[name]

        answers = [
            turns.take(keys, lambda name=name: work(name))  # type: ignore[misc]
            for name, keys in (("ab", "ab"), ("bc", "bc"), ("c", "c"), ("d", "d"), ("a", "a"))
        ]
        self.assertEqual(log, ["ab", "d"])
        answers[1].addErrback(lambda failure: None)
        answers[1].cancel()
        self.assertEqual(log, ["ab", "d"])
        waits["ab"].errback(NoSuchQueue("gone"))
        self.failureResultOf(answers[0], NoSuchQueue)
        self.assertEqual(log, ["ab", "d", "bc", "a"])
        waits["bc"].callback(None)
        self.assertEqual(log, ["ab", "d", "bc", "a", "c"])
        for name in ("a", "c", "d"):
            waits[name].callback(None)
        self.assertEqual(turns._last, {})

    def test_a_queue_that_ended_meanwhile(self) -> None:
        (id,) = self.added(b"a")
        self.session.hold = True
        first, second = self.remove(id), self.replace(id)
        self.successResultOf(self.store.forget(self.queue))
        while self.session.turn():
            pass
        self.successResultOf(first)
        self.failureResultOf(second, NoSuchQueue)
