"""Settlements: an outcome for each receipt in the order of the request, and one change for each partition."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from twisted.internet.defer import CancelledError

from queuey.core.groups import settling
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import Settling
from queuey.errors import NoSuchGroup, QueueyError, StorageFull, Unavailable
from queuey.interfaces import Outcome as Swapped
from queuey.model.groups.entries import MAX_MOVES
from queuey.model.groups.receipts import Receipts
from queuey.model.groups.terms import Action, Outcome
from queuey.model.messages.dead_letter_headers import letter_of
from queuey.model.messages.message import Address, Content, Draft
from queuey.model.reading.start import Start
from tests.again import again
from tests.core.groups.group_support import (
    CassandraGroupCase,
    GroupCase,
    SQLiteGroupCase,
    away,
    begun,
    bodies,
    receipts,
)

ACKED, STALE, INVALID = Outcome.ACKED, Outcome.STALE, Outcome.INVALID


class SettleTests(GroupCase):
    def setUp(self) -> None:
        super().setUp()
        self.post(*[b"%d" % number for number in range(1, 7)])
        self.given = self.claim()
        self.receipts = receipts(self.given)

    def mixed(self, *asked: tuple[Action, str]) -> list[Outcome]:
        settling = self.groups.settle(self.queue, self.group, [Settling(*one) for one in asked])
        outcomes = self.successResultOf(settling)
        return list(outcomes)

    def test_each_kind_in_the_order_asked(self) -> None:
        one, two, three, four, five, _ = self.receipts
        asked = (
            (Action.REJECT, four), (Action.ACK, "nonsense"), (Action.ACK, one), (Action.EXTEND, three),
            (Action.RETRY, two), (Action.ACK, one), (Action.RETRY, one), (Action.ACK, five),
        )  # fmt: skip
        replaces = self.spied.states.replaces
        outcomes = self.mixed(*asked)
        self.assertEqual(
            outcomes,
            [
                Outcome.SET_ASIDE, INVALID, ACKED, Outcome.EXTENDED, Outcome.RETRYING, Outcome.ALREADY_ACKED,
                Outcome.ALREADY_ACKED, ACKED,
            ],
        )  # fmt: skip
        self.assertEqual(self.spied.states.replaces, replaces + 1)
        self.assertEqual(self.bodies(), [b"2"])

    def test_repeats_do_no_harm(self) -> None:
        one, two = self.receipts[:2]
        self.mixed((Action.ACK, one), (Action.REJECT, two))
        replaces = self.spied.states.replaces
        for action in Action:
            self.assertEqual(self.mixed((action, one), (action, two)), [Outcome.ALREADY_ACKED, STALE])
        self.assertEqual(self.spied.states.replaces, replaces)

    def test_a_lease_that_passed_on(self) -> None:
        self.advance(30)
        again = receipts(self.claim(limit=1))
        self.assertEqual(self.mixed((Action.ACK, self.receipts[0]), (Action.ACK, self.receipts[1])), [STALE, ACKED])
        self.assertEqual(self.mixed((Action.ACK, again[0])), [ACKED])
        self.assertEqual(self.mixed((Action.ACK, self.receipts[0])), [STALE])

    def test_past_the_deadline_it_holds_if_nobody_claimed(self) -> None:
        self.advance(3600)
        self.assertEqual(self.mixed((Action.ACK, self.receipts[0])), [ACKED])

    def test_spans(self) -> None:
        self.settle(Action.RETRY, self.receipts[0], span=2.5)
        self.settle(Action.EXTEND, self.receipts[1], span=10)
        self.settle(Action.EXTEND, self.receipts[2])
        self.settle(Action.ACK, *self.receipts[3:])
        self.advance(2.4)
        self.assertEqual(self.bodies(lease=1000), [])
        self.advance(0.1)
        self.assertEqual(self.bodies(lease=1000), [b"1"])
        self.advance(7.5)
        self.assertEqual(self.bodies(lease=1000), [b"2"])
        self.advance(20)
        self.assertEqual(self.bodies(), [b"3"])

    def test_a_message_that_was_deleted(self) -> None:
        gone = Address(1, self.given.deliveries[0].message.id)
        self.successResultOf(self.messages.remove(self.queue, [gone]))
        self.assertEqual(self.mixed((Action.ACK, self.receipts[0])), [ACKED])

    def test_a_thousand(self) -> None:
        drafts = [Draft(Content(b"x"), 600, 1) for _ in range(900)]
        self.successResultOf(self.messages.append(self.queue, drafts))
        some = receipts(self.claim(limit=900))
        self.settle(Action.ACK, *some[:100])
        asked = [*some, *self.receipts, *["x" * 88] * 94]
        reads, replaces = self.spied.states.reads, self.spied.states.replaces
        outcomes = self.settle(Action.ACK, *asked)
        wanted = [Outcome.ALREADY_ACKED] * 100 + [ACKED] * 806 + [INVALID] * 94
        self.assertEqual(list(outcomes), wanted)
        self.assertEqual((self.spied.states.reads, self.spied.states.replaces), (reads, replaces + 1))
        self.assertEqual(set(self.settle(Action.ACK, *some[200:])), {Outcome.ALREADY_ACKED})

    def test_whoever_hangs_up_has_settled(self) -> None:
        self.spied.states.held.on = True
        waiting = self.groups.settle(self.queue, self.group, [Settling(Action.ACK, self.receipts[0])])
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.spied.states.held.let_all_go()
        self.assertEqual(self.mixed((Action.ACK, self.receipts[0])), [Outcome.ALREADY_ACKED])

    def test_nothing_is_asked(self) -> None:
        self.assertEqual(self.mixed(), [])


class ReceiptTests(GroupCase):
    """Receipts that are none."""

    def setUp(self) -> None:
        super().setUp()
        self.post(b"1", b"2")
        self.receipts = receipts(self.claim())

    def outcomes(self, *texts: str) -> set[Outcome]:
        reads, replaces = self.spied.states.reads, self.spied.states.replaces
        found = set(self.settle(Action.ACK, *texts))
        self.assertEqual((self.spied.states.reads, self.spied.states.replaces), (reads, replaces))
        return found

    def test_truncated_or_changed(self) -> None:
        whole = self.receipts[0]
        changed = []
        for at in range(66):
            data = bytearray(urlsafe_b64decode(whole))
            data[at] ^= 1
            changed.append(urlsafe_b64encode(bytes(data)).decode())
        self.assertEqual(self.outcomes(*changed, whole[:-4], whole[:-1], whole + "AAAA", "", "ü" * 88), {INVALID})
        self.assertEqual(self.settle(Action.ACK, whole), (ACKED,))

    def test_forged(self) -> None:
        (receipt,) = Receipts(self.group.secret).parse(self.receipts[:1], self.queue.incarnation)
        assert receipt is not None
        self.assertEqual(self.outcomes(Receipts(b"x" * 32).text(receipt)), {INVALID})

    def test_of_another_group(self) -> None:
        other = receipts(self.claim(self.make_group("other")))
        self.assertEqual(self.outcomes(*other), {INVALID})

    def test_of_another_queue(self) -> None:
        queue = self.make_queue("q2")
        group, _ = self.successResultOf(self.groups.put(queue, "g", GroupChanges(), lambda _: None))
        outcomes = self.successResultOf(
            self.groups.settle(queue, group, [Settling(Action.ACK, text) for text in self.receipts])
        )
        self.assertEqual(set(outcomes), {INVALID})

    def test_of_another_life_of_the_group(self) -> None:
        self.successResultOf(begun(self.groups.delete(self.queue, self.group, lambda _: None)))
        self.group = self.make_group()
        self.assertEqual(self.bodies(), [b"1", b"2"])
        self.assertEqual(self.outcomes(*self.receipts), {INVALID})

    def test_of_before_a_seek(self) -> None:
        self.successResultOf(begun(self.groups.seek(self.queue, self.group, Start.OLDEST, None)))
        self.assertEqual(self.outcomes(*self.receipts), {INVALID})
        self.assertEqual(self.bodies(), [b"1", b"2"])

    def test_of_a_group_that_was_deleted(self) -> None:
        self.successResultOf(begun(self.groups.delete(self.queue, self.group, lambda _: None)))
        asked = [Settling(Action.ACK, self.receipts[0])]
        self.failureResultOf(self.groups.settle(self.queue, self.group, asked), NoSuchGroup)


class PartitionsTests(GroupCase):
    """Receipts of several partitions in one request."""

    partitions = 3

    def setUp(self) -> None:
        super().setUp()
        for number in (1, 2, 3, 1, 2, 3):
            self.post(b"%d" % number, partition=number)
        self.receipts = receipts(self.claim())

    def failed(self) -> str:
        asked = [Settling(Action.ACK, text) for text in self.receipts]
        error = self.failureResultOf(self.groups.settle(self.queue, self.group, asked), QueueyError).value
        assert isinstance(error, QueueyError)
        return error.applied

    def test_all_at_once(self) -> None:
        replaces = self.spied.states.replaces
        self.spied.states.held.on = True
        asked = [Settling(Action.ACK, text) for text in self.receipts]
        waiting = self.groups.settle(self.queue, self.group, asked)
        self.assertEqual(self.spied.states.replaces, replaces + 3)
        self.spied.states.held.let_all_go()
        self.assertEqual(self.successResultOf(waiting), (ACKED,) * 6)

    def test_outcomes_go_with_their_receipts(self) -> None:
        self.settle(Action.ACK, self.receipts[1], self.receipts[4])
        again = Outcome.ALREADY_ACKED
        self.assertEqual(self.settle(Action.ACK, *self.receipts), (ACKED, again, ACKED, ACKED, again, ACKED))

    def test_what_is_known_where_some_fail(self) -> None:
        self.spied.states.failing = [away()]
        self.assertEqual(self.failed(), "partly")
        self.assertEqual(self.settle(Action.ACK, *self.receipts).count(ACKED), 2)

    def test_what_is_known_where_all_fail(self) -> None:
        self.spied.states.failing = [away(), StorageFull("There is no room."), away()]
        self.assertEqual(self.failed(), "no")
        self.assertEqual(self.settle(Action.ACK, *self.receipts), (ACKED,) * 6)

    def test_what_is_known_where_one_is_unknown(self) -> None:
        def unreadable(outcome: Swapped) -> Swapped:
            self.spied.states.unreadable = 1
            return Swapped.UNKNOWN

        self.spied.states.changes = [unreadable]
        self.assertEqual(self.failed(), "unknown")


class DeadLetterTests(GroupCase):
    """Messages that are given up."""

    def setUp(self) -> None:
        super().setUp()
        self.dead = self.make_queue("dead")
        self.group = self.make_group(dead_letter="dead")
        self.post(b"1", b"2")
        self.given = self.claim()
        self.receipts = receipts(self.given)

    def test_it_is_rejected(self) -> None:
        self.assertEqual(self.settle(Action.REJECT, self.receipts[1], reason="why"), (Outcome.DEAD_LETTERED,))
        (letter,) = self.read(self.dead)
        told = letter_of(letter.content)
        assert told is not None
        self.assertEqual((letter.content.body, told.reason, told.deliveries, told.group), (b"2", "why", 1, "g"))
        self.assertEqual(self.settle(Action.REJECT, self.receipts[1]), (STALE,))
        self.assertEqual(len(self.read(self.dead)), 1)

    def test_one_retry_too_many(self) -> None:
        self.group = self.make_group(dead_letter="dead", max_deliveries=1)
        self.assertEqual(self.settle(Action.RETRY, self.receipts[0]), (Outcome.DEAD_LETTERED,))
        self.assertEqual([message.content.body for message in self.read(self.dead)], [b"1"])

    def test_the_queue_is_missing(self) -> None:
        self.successResultOf(self.queues.delete(self.dead))
        self.assertEqual(self.settle(Action.REJECT, *self.receipts), (Outcome.RETRYING,) * 2)
        self.advance(1)
        self.assertEqual(self.bodies(), [b"1", b"2"])

    def test_more_than_can_be_on_their_way(self) -> None:
        drafts = [Draft(Content(b"x"), 600, 1) for _ in range(2 * MAX_MOVES)]
        self.successResultOf(self.messages.append(self.queue, drafts))
        some = [*self.receipts, *receipts(self.claim(limit=1000))]
        self.assertEqual(self.settle(Action.REJECT, *some), (Outcome.DEAD_LETTERED,) * len(some))
        self.assertEqual(len(self.read(self.dead)), len(some))

    def test_it_cannot_be_written_to(self) -> None:
        """The move is under way: the next request finishes it, and the message is there once."""
        broken = [True]
        write = self.spied._store.append_once

        def append_once(*asked: object) -> object:
            if broken:
                raise away()
            return write(*asked)  # type: ignore[arg-type]

        self.spied.append_once = append_once  # type: ignore[attr-defined]
        asked = [Settling(Action.ACK, self.receipts[1]), Settling(Action.REJECT, self.receipts[0])]
        error = self.failureResultOf(self.groups.settle(self.queue, self.group, asked), Unavailable).value
        self.assertEqual(error.applied, "partly")
        self.assertEqual((self.bodies(), self.read(self.dead)), ([], []))
        broken.clear()
        self.assertEqual(self.bodies(), [])
        self.assertEqual([message.content.body for message in self.read(self.dead)], [b"1"])
        self.assertEqual(self.settle(Action.ACK, *self.receipts), (STALE, Outcome.ALREADY_ACKED))

    def test_there_is_no_end_of_what_is_on_its_way(self) -> None:
        """Others mark as many as are finished; what was settled before that is said to be."""
        drafts = [Draft(Content(b"x"), 600, 1) for _ in range(MAX_MOVES)]
        self.successResultOf(self.messages.append(self.queue, drafts))
        some = [*self.receipts, *receipts(self.claim(limit=1000))]
        self.patch(settling, "_PASSES", 1)
        asked = [Settling(Action.REJECT, text) for text in some]
        error = self.failureResultOf(self.groups.settle(self.queue, self.group, asked), Unavailable).value
        self.assertEqual((error.applied, len(self.read(self.dead))), ("partly", MAX_MOVES))
        self.assertEqual(self.settle(Action.REJECT, *some).count(Outcome.DEAD_LETTERED), 2)

    def test_a_claim_finishes_what_was_begun(self) -> None:
        self.group = self.make_group(dead_letter="dead", max_deliveries=1)
        self.post(b"3")
        self.advance(31)
        self.assertEqual(bodies(self.claim()), [b"3"])
        self.assertEqual([message.content.body for message in self.read(self.dead)], [b"1", b"2"])


again(
    __name__,
    {"SQLite": SQLiteGroupCase, "Cassandra": CassandraGroupCase},
    (
        SettleTests,
        DeadLetterTests,
    ),
)


again(
    __name__,
    {"SQLite": SQLiteGroupCase},
    (
        ReceiptTests,
        PartitionsTests,
    ),
)
