"""Several partitions read as one log, with writes under way and undecided, and how much is read at once."""

from __future__ import annotations

from random import Random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.messages.once import Once
from queuey.model.messages.producer import PATIENCE
from queuey.model.queues.queue import Consistency, QueueSettings
from queuey.model.reading.window import OLDEST, Merge, MergeSlice, Messages, Position
from queuey.model.stable_time.stamps import Place
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, ticks_of
from queuey.storage.cassandra.messages.merging import place_of
from queuey.storage.cassandra.messages.undecided import MAX_KEYS
from tests.contracts.reading import TERMS, bodies, check_merged, foreign_id, rest_of
from tests.storage.cassandra.messages.message_support import MessagesSubject
from tests.storage.cassandra.messages.message_tables import Call
from tests.storage.cassandra.store.store_support import StoreSubject

ALL = Merge((1, 2, 3))
BACK = Merge((1, 2, 3), descending=True)


class MergeCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.subject = self.make_subject()
        self.store = self.subject.store
        self.queue, _ = self.successResultOf(self.store.create("app", "q", QueueSettings(partitions=200), None))

    def make_subject(self) -> MessagesSubject | StoreSubject:
        return MessagesSubject()

    def append(self, *bodies: bytes, partition: int = 1, delay: float = 0) -> Deferred[tuple[MessageId, ...]]:
        ticks = Ticks(round(delay * SECOND))
        new = [NewMessage(partition, Content(body), 3600, ticks) for body in bodies]
        return self.store.append(self.queue, new, TERMS)

    def add(self, *bodies: bytes, partition: int = 1) -> tuple[MessageId, ...]:
        return self.successResultOf(self.append(*bodies, partition=partition))

    def remove(self, partition: int, ids: tuple[MessageId, ...]) -> None:
        self.successResultOf(self.store.remove(self.queue, [Address(partition, id) for id in ids], Ack.MAJORITY))

    def first(self, merge: Merge) -> MergeSlice:
        piece = self.successResultOf(self.store.read_merged(self.queue, merge, Ack.MAJORITY))
        if not merge.fresh:
            check_merged(merge, piece)
        return piece

    def walk(self, merge: Merge) -> list[MergeSlice]:
        pieces = [self.first(merge)]
        while not pieces[-1].over:
            merge = rest_of(merge, pieces[-1])
            pieces.append(self.first(merge))
            self.assertLess(len(pieces), 500)
        return pieces

    def shown(self, merge: Merge) -> list[bytes]:
        return [body for piece in self.walk(merge) for body in bodies(piece.messages)]


class StableTests(MergeCase):
    subject: MessagesSubject

    def slow(self, partition: int) -> tuple[Deferred[tuple[MessageId, ...]], list[Any]]:
        """A write that is under way, and what lets it through."""
        self.subject.session.hold = True
        answer = self.append(b"slow", partition=partition)
        waiting, self.subject.session.waiting = self.subject.session.waiting, []
        self.subject.session.hold = False
        return answer, waiting

    def let_through(self, waiting: list[Any]) -> None:
        self.subject.session.waiting = waiting
        self.subject.session.turn()

    def test_the_log_ends_before_what_is_in_flight_in_any_partition(self) -> None:
        self.add(b"a")
        answer, waiting = self.slow(2)
        self.add(b"b")
        for asked, wanted in ((ALL, [b"a"]), (BACK, [b"a"])):
            piece = self.first(asked)
            self.assertEqual((bodies(piece.messages), piece.over), (wanted, True))
        position = self.first(ALL).position
        self.assertEqual(position, Position(self.first(ALL).stable))
        self.let_through(waiting)
        self.successResultOf(answer)
        self.assertEqual(self.shown(attrs.evolve(ALL, lower=position)), [b"slow", b"b"])

    def test_what_is_fresh_comes_again(self) -> None:
        self.add(b"a")
        answer, waiting = self.slow(2)
        self.add(b"b", b"c", partition=3)
        self.successResultOf(self.append(b"later", delay=5))
        self.successResultOf(self.subject.advance(1))
        for limit in (2, 3, 100):
            piece = self.first(attrs.evolve(ALL, fresh=True, limit=limit))
            self.assertEqual(bodies(piece.messages), [b"a", b"b", b"c"][:limit])
            self.assertEqual(piece.position, Position(piece.stable))
        (down,) = self.walk(attrs.evolve(BACK, fresh=True))
        self.assertEqual((bodies(down.messages), down.position), ([b"c", b"b", b"a"], OLDEST))
        self.let_through(waiting)
        self.successResultOf(answer)
        self.assertEqual(self.shown(attrs.evolve(ALL, lower=piece.position)), [b"slow", b"b", b"c"])

    def test_fresh_where_nothing_is_in_flight(self) -> None:
        self.add(b"a", b"b")
        for limit in (1, 5):
            asked = attrs.evolve(ALL, limit=limit)
            self.assertEqual(self.first(attrs.evolve(asked, fresh=True)), self.first(asked))

    def test_a_lower_end_above_the_stable_time(self) -> None:
        lower = Position(foreign_id(100), 2)
        for fresh in (False, True):
            piece = self.first(attrs.evolve(ALL, lower=lower, fresh=fresh))
            self.assertEqual((piece.messages, piece.position, piece.over), ((), lower, True))

    def test_of_no_partition_that_was_purged(self) -> None:
        """As in the other stores, the queue was purged up to there."""
        self.add(b"a")
        (last,) = self.add(b"b")
        self.successResultOf(self.store.purge(self.queue, last, Ack.MAJORITY))
        for partitions in ((1,), (2, 3), (), (250,), (250, 1)):
            piece = self.first(attrs.evolve(ALL, partitions=partitions))
            self.assertEqual(piece.purged, last, partitions)

    def test_a_queue_that_has_ended(self) -> None:
        self.add(b"a")
        self.successResultOf(self.store.forget(self.queue))
        piece = self.first(ALL)
        self.assertEqual((piece.messages, piece.over, piece.purged), ((), True, LOWEST))
        self.assertEqual(self.first(BACK).position, OLDEST)

    def test_the_stable_time_is_that_of_the_queue_as_it_is_now(self) -> None:
        """The caller that found the queue may have done so before its consistency was changed."""
        asked: list[tuple[bool, bool]] = []

        def stable(place: Place, slow: bool = False, weak: bool = False) -> MessageId:
            asked.append((slow, weak))
            return LOWEST

        self.patch(self.subject.times, "stable", stable)
        for consistency, wanted in ((Consistency.VERY_STRONG, (True, False)), (Consistency.WEAK, (False, True))):
            changed = attrs.evolve(self.queue.settings, consistency=consistency)
            (found,) = self.successResultOf(self.store.describe("app", ["q"]))
            assert found is not None
            self.successResultOf(self.store.update(found, changed))
            self.first(ALL)
            self.assertEqual(set(asked), {wanted})
            asked.clear()

    def test_no_partition(self) -> None:
        self.add(b"a")
        for merge in (Merge(()), Merge((-1, 0, 1 << 40))):
            self.assertEqual((self.first(merge).messages, self.first(merge).over), ((), True))


class EffortTests(MergeCase):
    subject: MessagesSubject

    def test_many_partitions_take_few_round_trips(self) -> None:
        for partition in range(1, 201):
            self.add(b"%d" % partition, partition=partition)
        self.subject.session.hold = True
        answer = self.store.read_merged(self.queue, Merge(tuple(range(1, 201)), limit=200), Ack.MAJORITY)
        rounds, most = 0, 0
        while not answer.called:
            most = max(most, self.subject.session.turn())
            rounds += 1
        self.assertEqual(len(self.successResultOf(answer).messages), 200)
        self.assertLess(rounds, 40)
        self.assertLessEqual(most, 64)

    def rows_asked(self) -> list[int]:
        calls: list[Call] = self.subject.session.calls
        return [call.values[-1] for call in calls if "FROM ks.messages " in call.text]

    def test_few_are_asked_for_where_few_are_wanted(self) -> None:
        for partition in range(1, 21):
            self.add(*[b"x"] * 50, partition=partition)
        self.subject.session.calls.clear()
        self.assertEqual(len(self.first(Merge(tuple(range(1, 21)), limit=20)).messages), 20)
        self.assertLess(sum(self.rows_asked()), 300)

    def test_few_of_large_messages_are_asked_for(self) -> None:
        for partition in range(1, 13):
            self.add(b"x" * 400_000, b"y", partition=partition)
        asked = Merge(tuple(range(1, 13)))
        self.first(asked)
        self.subject.session.calls.clear()
        self.assertEqual(len(self.first(asked).messages), 4)
        self.assertLessEqual(max(self.rows_asked()), 3)
        self.assertEqual(len(self.shown(asked)), 24)

    def test_what_has_gone_is_passed_over_and_a_slice_may_be_unfinished(self) -> None:
        for partition in range(1, 31):
            self.remove(partition, self.add(*[b"x"] * 300, partition=partition))
        for partition in range(30, 0, -1):
            self.add(b"%d" % partition, partition=partition)
        messages = self.subject.messages
        incarnation = self.successResultOf(messages._views.registry.current(self.queue))
        assert incarnation is not None
        messages._reads.sizes.seen(incarnation.key, 1, 1 << 20)  # so few are asked for at once
        asked = Merge(tuple(range(1, 31)), limit=1000)
        pieces = self.walk(asked)
        self.assertGreater(len(pieces), 1)
        self.assertEqual((pieces[0].messages, pieces[0].over), ((), False))
        texts = [body for piece in pieces for body in bodies(piece.messages)]
        self.assertEqual(texts, [b"%d" % partition for partition in range(30, 0, -1)])
        messages._reads.sizes.seen(incarnation.key, 1, 1 << 20)
        self.assertEqual(self.shown(attrs.evolve(asked, descending=True)), texts[::-1])

    def test_page_by_page_it_is_as_one(self) -> None:
        random = Random(5)
        for _ in range(400):
            (id,) = self.add(b"x" * random.choice((0, 1, 200)), partition=(partition := random.randint(1, 9)))
            if random.random() < 0.3:
                self.remove(partition, (id,))
            if random.random() < 0.1:
                # The same id in several partitions, and ids of other times.
                at = [Address(number, foreign_id(-random.randint(1, 9000))) for number in (2, 3)]
                self.successResultOf(self.store.replace(self.queue, at, Content(b"put"), 3600, TERMS))
            self.successResultOf(self.subject.advance(random.choice((0, 0, 60))))
        asked = Merge(tuple(range(1, 10)), limit=1000)
        (whole,) = self.walk(asked)
        places = [place_of(message) for message in whole.messages]
        self.assertEqual(places, sorted(set(places)))
        for limit in (1, 2, 7, 64):
            found = [m for piece in self.walk(attrs.evolve(asked, limit=limit)) for m in piece.messages]
            self.assertEqual(found, list(whole.messages))
            down = attrs.evolve(asked, limit=limit, descending=True)
            self.assertEqual([m for piece in self.walk(down) for m in piece.messages], found[::-1])

    def test_cancelled(self) -> None:
        self.add(b"a")
        self.subject.session.hold = True
        answer = self.store.read_merged(self.queue, ALL, Ack.MAJORITY)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.subject.session.turn()
        self.assertEqual(self.subject.session.waiting, [])


class DoubtTests(MergeCase):
    """A message that was written under an Idempotency-Key by somebody who went away before it was decided."""

    subject: StoreSubject

    def make_subject(self) -> StoreSubject:
        return StoreSubject()

    def leave(self) -> None:
        """A message in partition 2 that may count or not."""
        once = Once(bytes(32), bytes(32), "", 86_400)
        self.subject.session.rows.hold = True
        answer = self.store.append_once(self.queue, [NewMessage(2, Content(b"doubt"), 3600)], TERMS, once)
        answer.addErrback(lambda failure: failure.trap(Unavailable))
        self.subject.session.rows.turn()  # it is reserved and written, and its commit does not arrive
        self.subject.session.rows.waiting = []
        self.subject.session.rows.hold = False

    def messages(self, merge: Merge) -> Messages:
        return self.first(merge).messages

    def test_the_log_ends_before_it_until_it_is_decided(self) -> None:
        self.add(b"a", partition=1)
        self.leave()
        self.add(b"b", partition=3)
        piece = self.first(ALL)
        self.assertEqual((bodies(piece.messages), piece.over), ([b"a"], True))
        self.assertEqual(piece.position, Position(piece.stable))
        self.assertEqual(ticks_of(piece.stable), ticks_of(piece.messages[0].id) + 1)
        self.assertEqual(bodies(self.messages(BACK)), [b"b", b"a"])
        self.successResultOf(self.subject.advance(PATIENCE + 1))
        self.assertEqual(self.shown(attrs.evolve(ALL, lower=piece.position)), [b"b"])

    def test_what_is_fresh_is_shown_all_the_same_and_comes_again(self) -> None:
        self.add(b"a", partition=1)
        self.leave()
        self.add(b"b", partition=2)
        self.add(b"c", partition=3)
        piece = self.first(attrs.evolve(ALL, fresh=True))
        self.assertEqual((bodies(piece.messages), piece.over), ([b"a", b"b", b"c"], True))
        self.assertEqual(ticks_of(piece.position.id), ticks_of(piece.messages[0].id) + 1)
        self.successResultOf(self.subject.advance(PATIENCE + 1))
        self.assertEqual(self.shown(attrs.evolve(ALL, lower=piece.position)), [b"b", b"c"])

    def test_a_page_that_is_full_before_it(self) -> None:
        self.add(b"a", b"b", b"c")
        self.leave()
        piece = self.first(attrs.evolve(ALL, limit=2))
        self.assertEqual((bodies(piece.messages), piece.over), ([b"a", b"b"], False))

    def test_of_many_some_are_decided_at_a_time(self) -> None:
        """They were committed, and no mark on them says so: the first reader writes it, for all after it."""
        session = self.subject.session
        silent = Unavailable("silent", applied="unknown")
        session.messages.refuse = lambda call: silent if "SET live = true" in call.text else None
        wanted = [b"%d" % number for number in range(MAX_KEYS + 20)]
        for body in wanted:
            once = Once(body.rjust(32), bytes(32), "", 86_400)
            answer = self.store.append_once(self.queue, [NewMessage(2, Content(body), 3600)], TERMS, once)
            self.assertEqual(self.failureResultOf(answer, Unavailable).value.applied, "unknown")
        session.messages.refuse = lambda call: None
        session.rows.asked.clear()
        for _ in range(2):
            self.assertEqual(self.shown(Merge((2,), limit=1000)), wanted)
            self.assertEqual(self.keys_asked(), len(wanted))

    def keys_asked(self) -> int:
        """How many rows of keys were read."""
        return sum("dedupe" in text for text, _ in self.subject.session.rows.asked)


class StartTests(MergeCase):
    def test_times(self) -> None:
        """A bound that is a time has no partition, and cuts between all of two times."""
        for seconds in (-3, -2, -1):
            at = [Address(number, foreign_id(seconds)) for number in (1, 2, 3)]
            self.successResultOf(self.store.replace(self.queue, at, Content(b"%d" % seconds), 3600, TERMS))
        asked = Merge((1, 2, 3), Position(foreign_id(-2)), Position(foreign_id(-1)))
        self.assertEqual(self.shown(asked), [b"-2"] * 3)
        self.assertEqual(self.first(asked).position, asked.upper)
