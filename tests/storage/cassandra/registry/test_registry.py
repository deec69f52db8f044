"""The registry of queues where transactions get lost, and with many front ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Conflict, NoSuchQueue, StorageFull, Unavailable
from queuey.model.queues.queue import Guarantee, Queue, QueueSettings
from queuey.storage.cassandra.cluster.port import Kind, Level, Statement
from queuey.storage.cassandra.queues.listing import Listing
from queuey.storage.cassandra.queues.registry import Registry, merged
from queuey.storage.cassandra.queues.rows import SHARDS, Statements
from tests.contracts.subject import Wall
from tests.storage.cassandra.row_tables import Cell, RowTables
from tests.storage.cassandra.store.store_support import FakeTimes, incarnations
from tests.storage.subjects import versions

PLAIN, OTHER = QueueSettings(), QueueSettings(partitions=7)
AGE = 1.25
LOW, MIDDLE, HIGH = bytes([1] * 16), bytes([2] * 16), bytes([3] * 16)


class FrontEnd:
    """A front end on tables that others may share."""

    def __init__(self, wall: Wall, clock: Clock, data: dict[str, Any], mark: str, age: float | None) -> None:
        self.session = RowTables(wall, data)
        self.times = FakeTimes(wall)
        self.times.age = age
        fresh, incarnation = versions(), incarnations()
        self.registry = Registry(
            self.session, self.times, "ks", clock, lambda: mark + fresh(), lambda: mark.encode() + incarnation()[1:]
        )


class RegistryCase(SynchronousTestCase):
    age: float | None = None

    def setUp(self) -> None:
        self.wall, self.clock = Wall(), Clock()
        self.data: dict[str, Any] = {}
        self.here, self.there = self.front("a"), self.front("b")
        self.session, self.registry = self.here.session, self.here.registry

    def front(self, mark: str) -> FrontEnd:
        return FrontEnd(self.wall, self.clock, self.data, mark, self.age)

    def pass_time(self, seconds: float) -> None:
        self.wall.seconds += seconds
        self.clock.advance(seconds)

    def make(self, name: str = "queue", most: int | None = None) -> Queue:
        queue, made = self.successResultOf(self.registry.create("app", name, PLAIN, most))
        self.assertTrue(made)
        return queue

    def described(self, front: FrontEnd, name: str = "queue") -> Queue | None:
        (queue,) = self.successResultOf(front.registry.describe("app", [name]))
        return queue

    def failed(self, answer: Deferred[Any], applied: str) -> None:
        error = self.failureResultOf(answer, Unavailable).value
        self.assertEqual(error.applied, applied)

    def silence(self, level: Level | None = None) -> None:
        """Let reads fail, all or those of a level."""

        def refuse(statement: Statement, asked: Level) -> Exception | None:
            return Unavailable("silent") if level in (None, asked) else None

        self.session.refuse = refuse

    def speak(self) -> None:
        self.session.refuse = lambda statement, level: None


class SettingsTests(RegistryCase):
    """What owners choose stands in the row, also what only newer versions of the tables have."""

    chosen = QueueSettings(guarantee=Guarantee.EXACTLY_ONCE, ttl=60)

    def test_what_queues_say_of_their_messages(self) -> None:
        queue = self.make()
        for settings in (self.chosen, QueueSettings(ttl=5), PLAIN, QueueSettings(guarantee=Guarantee.AT_MOST_ONCE)):
            queue = self.successResultOf(self.registry.update(queue, settings))
            self.assertEqual(self.described(self.front("c")), queue)
            self.assertEqual(queue.settings, settings)
        other, _ = self.successResultOf(self.registry.create("app", "other", self.chosen, None))
        self.assertEqual(self.described(self.there, "other"), other)
        both = self.successResultOf(self.there.registry.describe("app", ["other", "queue"]))
        self.assertEqual([queue and queue.settings for queue in both], [self.chosen, queue.settings])

    def test_a_row_of_an_older_version(self) -> None:
        self.make()
        for row in self.data["queues"].values():
            del row["guarantee"], row["ttl"]
        found = self.described(self.there)
        self.assertEqual(found and found.settings, PLAIN)

    def test_nothing_of_it_outlives_the_queue(self) -> None:
        queue, _ = self.successResultOf(self.registry.create("app", "queue", self.chosen, None))
        self.successResultOf(self.registry.forget(queue))
        self.assertEqual(self.make().settings, PLAIN)


class LostTests(RegistryCase):
    """What is not known of a transaction is read at SERIAL."""

    def test_create(self) -> None:
        for number, fault in enumerate(("before", "after", "denied")):
            self.session.faults = [fault]
            queue = self.make(f"{number}")
            self.assertEqual(self.described(self.there, f"{number}"), queue)
        self.assertEqual([level for text, level in self.session.asked if level], [Level.SERIAL] * 3)

    def test_create_that_was_changed_by_another_before_it_was_read(self) -> None:
        self.session.faults = ["after"]
        self.session.hold = True
        making = self.registry.create("app", "queue", PLAIN, None)
        self.session.turn()
        found = self.described(self.there)
        assert found is not None
        self.successResultOf(self.there.registry.update(found, OTHER))
        self.session.turn()
        queue, made = self.successResultOf(making)
        self.assertEqual((queue.incarnation, made), (found.incarnation, True))

    def test_update(self) -> None:
        queue = self.make()
        for fault in ("before", "after", "denied"):
            self.session.faults = [fault]
            queue = self.successResultOf(self.registry.update(queue, OTHER))
            self.assertEqual(self.described(self.there), queue)
            self.there = self.front("c")

    def test_update_of_what_another_changed_or_ended(self) -> None:
        queue = self.make()
        changed = self.successResultOf(self.there.registry.update(queue, OTHER))
        self.session.faults = ["before"]
        self.failureResultOf(self.registry.update(queue, OTHER), Conflict)
        self.successResultOf(self.there.registry.forget(changed))
        self.session.faults = ["before"]
        self.failureResultOf(self.registry.update(changed, OTHER), NoSuchQueue)

    def test_forget(self) -> None:
        for faults in (["before"], ["after"], ["denied"], ["before", "denied"]):
            queue = self.make()
            self.session.faults = faults
            self.assertTrue(self.successResultOf(self.registry.forget(queue)))
            self.assertIsNone(self.described(self.there))
            self.assertFalse(self.successResultOf(self.registry.forget(queue)))

    def test_a_mark_that_was_not_swept_goes_by_itself(self) -> None:
        self.session.faults = ["", "", "before"]
        self.assertTrue(self.successResultOf(self.registry.forget(self.make())))
        self.assertEqual(self.successResultOf(self.registry.names("app", "", 10, "")), ())
        self.assertTrue(self.session._rows("queues"))
        self.pass_time(61)
        self.assertEqual(self.session._rows("queues"), [])

    def test_a_name_with_a_mark_is_made_anew(self) -> None:
        self.session.faults = ["", "", "before"]
        self.successResultOf(self.registry.forget(self.make()))
        queue = self.make()
        self.pass_time(1000)
        self.assertEqual(self.described(self.there), queue)

    def test_set_purged(self) -> None:
        queue = self.make()
        for at, fault in enumerate(("before", "after", "denied")):
            self.session.faults = [fault]
            self.assertTrue(self.successResultOf(self.registry.set_purged(queue, {1: MIDDLE}, at)))
            incarnation = self.successResultOf(self.front("c").registry.current(queue))
            assert incarnation is not None
            self.assertEqual(incarnation.purged, {1: (MIDDLE, at)})

    def test_refused_for_certain(self) -> None:
        self.session.faults = ["no"]
        self.failed(self.registry.create("app", "queue", PLAIN, None), "no")
        queue = self.make()
        for change in (
            lambda: self.registry.update(queue, OTHER),
            lambda: self.registry.forget(queue),
            lambda: self.registry.set_purged(queue, {1: LOW}, 1),
        ):
            self.session.faults = ["no"]
            self.failed(change(), "no")

    def test_unknown_for_good(self) -> None:
        self.session.faults = ["after"]
        self.silence(Level.SERIAL)
        self.failed(self.registry.create("app", "queue", PLAIN, None), "unknown")
        # It may still be under way: what is remembered for ever must come from a read that ends it.
        self.failed(self.registry.describe("app", ["queue"]), "no")
        self.speak()
        self.assertIsNotNone(self.described(self.here))
        self.assertEqual(self.session.asked[-1][1], Level.SERIAL)
        self.described(self.here, "other")
        self.assertEqual(self.session.asked[-1][1], Level.QUORUM)


class RememberedTests(RegistryCase):
    def test_one_front_end_remembers_for_as_long_as_it_serves(self) -> None:
        queue = self.make()
        self.assertEqual(self.described(self.here), queue)
        self.silence()
        self.pass_time(1e6)
        self.assertEqual(self.described(self.here), queue)
        self.here.times.tenure += 1
        self.failed(self.registry.describe("app", ["queue"]), "no")

    def test_absence_is_not_remembered(self) -> None:
        self.assertIsNone(self.described(self.here))
        queue, _ = self.successResultOf(self.there.registry.create("app", "queue", PLAIN, None))
        self.assertEqual(self.described(self.here), queue)

    def test_an_answer_from_before_a_change_is_not_remembered(self) -> None:
        queue = self.make()
        self.session.hold = True
        asking = self.registry.describe("app", ["queue"])
        read, self.session.waiting = self.session.waiting, []
        for do in read:
            do()
        changing = self.registry.update(queue, OTHER)
        self.session.turn()
        new = self.successResultOf(changing)
        self.assertEqual(self.successResultOf(asking), (queue,))
        self.session.hold = False
        self.assertEqual(self.described(self.here), new)

    def test_an_answer_from_amid_a_change_is_not_remembered(self) -> None:
        queue = self.make()
        self.session.hold = True
        changing = self.registry.update(queue, OTHER)
        asking = self.registry.describe("app", ["queue"])
        change, read = self.session.waiting
        read()
        self.assertEqual(self.successResultOf(asking), (queue,))
        change()
        self.session.hold = False
        self.assertEqual(self.described(self.here), self.successResultOf(changing))

    def test_who_asks_the_same_waits_for_one_answer(self) -> None:
        queue = self.make()
        self.session.hold = True
        asked = len(self.session.asked)
        told: list[int] = []
        answers = [self.registry.current(queue) for _ in range(5)]
        for number, answer in enumerate(answers):
            answer.addBoth(lambda _, number: told.append(number), number)
        answers[2].cancel()
        self.session.turn()
        self.assertEqual(len(self.session.asked) - asked, 1)
        self.assertEqual(told, [2, 0, 1, 3, 4])

    def test_who_asks_after_a_change_does_not_wait_for_an_answer_from_before(self) -> None:
        queue = self.make()
        self.session.hold = True
        early = self.registry.current(queue)
        changing = self.registry.forget(queue)
        late = self.registry.current(queue)
        for _ in range(4):
            self.session.turn()
        self.successResultOf(changing)
        self.assertIsNotNone(self.successResultOf(early))
        self.assertIsNone(self.successResultOf(late))

    def test_the_current_life(self) -> None:
        old = self.make()
        self.successResultOf(self.registry.forget(old))
        self.assertIsNone(self.successResultOf(self.registry.current(old)))
        new = self.make()
        self.assertIsNone(self.successResultOf(self.registry.current(old)))
        incarnation = self.successResultOf(self.registry.current(new))
        assert incarnation is not None
        self.assertEqual((incarnation.queue, int.from_bytes(incarnation.key, "big")), (new, new.incarnation))
        self.assertFalse(self.successResultOf(self.registry.set_purged(old, {1: LOW}, 1)))

    def test_the_number_of_queues_is_counted_once(self) -> None:
        self.make("a", 3)
        self.make("b", 3)
        self.successResultOf(self.registry.forget(self.make("c", 3)))
        self.make("d", 3)
        self.failureResultOf(self.registry.create("app", "e", PLAIN, 3), StorageFull)
        counts = [text for text, _ in self.session.asked if "count(" in text]
        self.assertEqual(len(counts), SHARDS)

    def test_the_number_of_queues_is_that_of_the_tenure(self) -> None:
        self.make("a", 2)
        self.here.times.tenure += 1
        self.successResultOf(self.there.registry.create("app", "b", PLAIN, None))
        self.failureResultOf(self.registry.create("app", "c", PLAIN, 2), StorageFull)

    def test_marks_are_not_counted(self) -> None:
        self.session.faults = ["", "", "before"]
        self.successResultOf(self.registry.forget(self.make("a")))
        self.make("b", 1)


class ListingTests(RegistryCase):
    def page(self, start: str, limit: int, prefix: str = "") -> tuple[str, ...]:
        self.session.asked.clear()
        return self.successResultOf(self.registry.names("app", start, limit, prefix))

    def test_a_page_asks_each_shard_about_once_for_little(self) -> None:
        names = [f"{number:05d}" for number in range(1000)]
        for name in names:
            self.make(name)
        for start in range(0, 1000, 100):
            self.assertEqual(list(self.page(names[start], 100)), names[start : start + 100])
            self.assertLessEqual(len(self.session.asked), SHARDS + 3)
        self.assertEqual(list(self.page("", 5000)), names)
        self.assertEqual(list(self.page("", 7, "0012")), names[120:127])
        self.assertEqual(self.page("", 0), ())

    def test_shards_that_have_more_than_their_share(self) -> None:
        say = Statements.of("ks")
        table = self.data.setdefault("queues", {})
        names = [f"{number:05d}" for number in range(500)]
        for name in names:
            table["app", 3, name] = {"version": Cell("x", None), "ended": Cell(1 if name.endswith("7") else None, None)}
        listing = Listing(self.session, say)
        found = self.successResultOf(Deferred.fromCoroutine(listing.page("app", "", 100, "")))
        self.assertEqual(list(found), [name for name in names if not name.endswith("7")][:100])

    def test_many_are_described_shard_by_shard(self) -> None:
        names = [f"{number}" for number in range(100)]
        queues = [self.make(name) for name in names]
        self.session.asked.clear()
        found = self.successResultOf(self.registry.describe("app", [*names, "none", "5"]))
        self.assertEqual(found, (*queues, None, queues[5]))
        self.assertLessEqual(len(self.session.asked), SHARDS)

    def test_what_fails_of_several(self) -> None:
        self.silence()
        self.failed(self.registry.names("app", "", 10, ""), "no")
        self.failed(self.registry.describe("app", ["a", "b"]), "no")


class MergedTests(SynchronousTestCase):
    def test_the_higher_bound_stays(self) -> None:
        old = {1: (MIDDLE, 10), 2: (LOW, 3)}
        self.assertEqual(merged(old, {1: LOW, 2: HIGH}, 12), {1: (MIDDLE, 10), 2: (HIGH, 12)})
        self.assertEqual(merged(old, {1: MIDDLE}, 4), old)
        self.assertEqual(merged({}, {7: LOW}, 4), {7: (LOW, 4)})


class KindTests(SynchronousTestCase):
    def test_writes_are_transactions(self) -> None:
        say = Statements.of("ks")
        for name in ("create", "replace", "update", "end", "sweep", "purge", "purge_first"):
            self.assertIs(getattr(say, name).kind, Kind.TRANSACTION)
