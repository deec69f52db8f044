"""Groups are created, changed, listed and deleted, also by several processes at the same time and with crashes."""

from __future__ import annotations

from random import Random
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred

from queuey.core.contention import Retries
from queuey.core.groups import directory, names
from queuey.core.groups.directory import GroupDirectory
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.names import GroupNames
from queuey.core.groups.rows import GroupRows
from queuey.core.policies import GivenPolicies
from queuey.errors import (
    InvalidRequest,
    NoSuchGroup,
    NoSuchQueue,
    NotPromised,
    PreconditionFailed,
    QueueyError,
    StorageFull,
    Unavailable,
)
from queuey.interfaces import IStore
from queuey.model.groups.rows import group_key, groups_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Order
from queuey.model.queues.queue import Consistency, Guarantee, Queue
from queuey.model.timeid import LOWEST, Ticks
from tests.again import again
from tests.core.groups.group_fronts import Front, GroupCase, OnCassandra, OnSQLite, World, anyhow
from tests.histories.groups.unreliable import Calls, Kind, UnreliableStore

EVERYTHING = frozenset(attrs.fields_dict(GroupSettings))


def never(group: Group | None) -> None:
    """Take no group for what it is."""
    raise PreconditionFailed(f"It is {group and group.name}.")


class Case(GroupCase):
    """With a queue of two partitions."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.world.make(partitions=2)
        self.here = self.world.front().directory
        self.there = self.world.front().directory

    def put(self, name: str = "g", of: GroupDirectory | None = None, **changes: Any) -> tuple[Group, bool]:
        return self.successResultOf((of or self.here).put(self.queue, name, GroupChanges(**changes), anyhow))

    def find(self, name: str = "g", of: GroupDirectory | None = None) -> Group:
        return self.successResultOf((of or self.here).find(self.queue, name))

    def refused(self, kind: type[QueueyError], answer: Deferred[Any]) -> str:
        return str(self.failureResultOf(answer, kind).value)

    def names(self, of: GroupDirectory | None = None) -> list[str]:
        return [group.name for group in self.successResultOf((of or self.here).names(self.queue))]


class MakingTests(Case):
    """One process that makes, changes and ends groups."""

    def test_defaults(self) -> None:
        group, made = self.put()
        self.assertTrue(made)
        self.assertEqual(group.settings, GroupSettings())
        self.assertEqual((group.queue, group.name, group.place), (self.queue.incarnation, "g", LOWEST))
        self.assertEqual((len(group.gid), len(group.secret)), (16, 32))
        self.assertEqual(group.created, self.world.now())
        self.assertEqual((self.find(), self.find(of=self.there)), (group, group))

    def test_every_setting_is_kept(self) -> None:
        self.world.make("dead")
        wanted = GroupSettings(Ticks(self.world.now() - 5), 12, 3, "dead", Order.PARTITION, Guarantee.AT_MOST_ONCE)
        group, _ = self.put(**attrs.asdict(wanted, recurse=False))
        self.assertEqual(group.settings, wanted)
        self.assertEqual(self.find(of=self.there), group)

    def test_an_equal_one_changes_nothing(self) -> None:
        """What a group has from its queue or its application is equal to the same by name."""
        group, _ = self.put(lease=7)
        for changes in ({"lease": 7}, {"guarantee": Guarantee.AT_LEAST_ONCE}, {"order": Order.NONE}, {}):
            self.assertEqual(self.put(**changes), (group, False))

    def test_what_is_left_out_stays_or_goes_to_its_default(self) -> None:
        first, _ = self.put(lease=7, max_deliveries=4)
        second, made = self.put(max_deliveries=5)
        self.assertFalse(made)
        self.assertEqual((second.settings.lease, second.settings.max_deliveries), (7, 5))
        self.assertNotEqual(second.version, first.version)
        self.assertEqual((second.gid, second.secret, second.place), (first.gid, first.secret, first.place))
        third, _ = self.put(order=Order.PARTITION, reset=EVERYTHING)
        self.assertEqual(third.settings, GroupSettings(order=Order.PARTITION))
        changed = self.here.change(self.queue, third, GroupChanges(lease=9, reset=frozenset({"order"})), anyhow)
        self.assertEqual(self.successResultOf(changed).settings, GroupSettings(lease=9))

    def test_a_judge_ends_it(self) -> None:
        changes = GroupChanges(lease=5)
        self.assertEqual(
            self.refused(PreconditionFailed, self.here.put(self.queue, "g", changes, never)), "It is None."
        )
        self.assertEqual(self.names(), [])
        group, _ = self.put()
        for answer in (
            self.here.put(self.queue, "g", changes, never),
            self.here.change(self.queue, group, changes, never),
            self.here.delete(self.queue, group, never),
        ):
            self.assertEqual(self.refused(PreconditionFailed, answer), "It is g.")
        self.assertEqual(self.find(of=self.there), group)

    def test_names(self) -> None:
        for name in ("b", "a", "~", "A", "a.b"):
            self.put(name)
        self.assertEqual(self.names(), ["A", "a", "a.b", "b", "~"])
        self.successResultOf(self.here.delete(self.queue, self.find("a"), anyhow))
        self.assertEqual(self.names(), ["A", "a.b", "b", "~"])

    def test_an_end(self) -> None:
        group, _ = self.put()
        self.successResultOf(self.here.delete(self.queue, group, anyhow))
        for answer in (
            self.here.find(self.queue, "g"),
            self.there.find(self.queue, "g"),
            self.here.change(self.queue, group, GroupChanges(lease=5), anyhow),
            self.here.delete(self.queue, group, anyhow),
        ):
            self.refused(NoSuchGroup, answer)
        self.assertEqual(self.left(), [])

    def left(self) -> list[str]:
        """Which of the values of the queue's groups there are."""
        keys = [groups_key(self.queue.incarnation), group_key(self.queue.incarnation, "g")]
        return [key for key in keys if self.successResultOf(self.world.store.states.read(key)) is not None]

    def test_of_the_same_name(self) -> None:
        """It is another group, and a client with the first one cannot change it."""
        first, _ = self.put()
        self.successResultOf(self.here.delete(self.queue, first, anyhow))
        second, made = self.put()
        self.assertTrue(made)
        self.assertNotEqual((second.gid, second.secret), (first.gid, first.secret))
        self.refused(NoSuchGroup, self.here.change(self.queue, first, GroupChanges(lease=5), anyhow))
        self.refused(NoSuchGroup, self.here.delete(self.queue, first, anyhow))
        self.assertEqual(self.find(of=self.there), second)

    def test_of_another_queue(self) -> None:
        other = self.world.make("other")
        self.put()
        self.refused(NoSuchGroup, self.here.find(other, "g"))
        self.assertEqual(self.successResultOf(self.here.names(other)), ())

    def test_one_at_a_time(self) -> None:
        """Many changes at once of one process do not keep each other from it."""
        answers = [self.here.put(self.queue, "g", GroupChanges(lease=n), anyhow) for n in range(1, 31)]
        self.assertEqual([self.successResultOf(answer)[1] for answer in answers].count(True), 1)
        self.assertEqual(self.find(of=self.there).settings.lease, 30)


class RefusalTests(Case):
    """What a group cannot be."""

    def capabilities(self, **changes: Any) -> None:
        store = cast(Any, self.world.store)
        store.capabilities = attrs.evolve(store.capabilities, **changes)
        self.here = self.world.front().directory

    def refusal(self, kind: type[QueueyError], queue: Queue | None = None, **changes: Any) -> str:
        answer = self.here.put(queue or self.queue, "g", GroupChanges(**changes), anyhow)
        text = self.refused(kind, answer)
        self.assertEqual(self.names(), [])
        return text

    def test_no_groups(self) -> None:
        self.capabilities(no_groups="There are none here.")
        self.assertEqual(self.refusal(NotPromised), "There are none here.")

    def test_several_data_centres(self) -> None:
        self.capabilities(apart=True)
        self.assertIn("very_strong", self.refusal(NotPromised))
        queue = self.world.make("all", consistency=Consistency.VERY_STRONG)
        self.successResultOf(self.here.put(queue, "g", GroupChanges(), anyhow))

    def test_exactly_once(self) -> None:
        """Of its own, or of its queue, or of its application."""
        weak = self.world.make("weak", consistency=Consistency.WEAK)
        self.assertIn("weak", self.refusal(NotPromised, weak, guarantee=Guarantee.EXACTLY_ONCE))
        once = self.world.make("once", consistency=Consistency.WEAK, guarantee=Guarantee.EXACTLY_ONCE)
        self.refusal(NotPromised, once)
        self.world.policy = attrs.evolve(self.world.policy, guarantee=Guarantee.EXACTLY_ONCE)
        self.refusal(NotPromised, weak)
        self.successResultOf(self.here.put(weak, "g", GroupChanges(guarantee=Guarantee.AT_LEAST_ONCE), anyhow))
        self.capabilities(not_once="No transactions.")
        self.assertIn("No transactions.", self.refusal(NotPromised))

    def test_dead_letters(self) -> None:
        self.assertIn("come from", self.refusal(InvalidRequest, dead_letter="q"))
        answer = self.here.put(self.queue, "g", GroupChanges(dead_letter="nope"), anyhow)
        error = self.failureResultOf(answer, InvalidRequest).value
        self.assertEqual(list(error.problems), ["dead_letter"])
        self.world.make("weak", consistency=Consistency.WEAK)
        self.assertIn("weak", self.refusal(NotPromised, dead_letter="weak"))
        self.capabilities(not_once="No transactions.")
        self.world.make("dead")
        self.assertIn("No transactions.", self.refusal(NotPromised, dead_letter="dead"))

    def test_a_change_is_refused_as_a_whole(self) -> None:
        group, _ = self.put(lease=7)
        changes = GroupChanges(lease=8, dead_letter="nope")
        self.refused(InvalidRequest, self.here.change(self.queue, group, changes, anyhow))
        self.refused(InvalidRequest, self.here.put(self.queue, "g", changes, anyhow))
        self.assertEqual(self.find(of=self.there), group)

    def test_a_dead_letter_queue_that_is_gone_is_in_nobody_s_way(self) -> None:
        """A change of other settings is not refused for it."""
        dead = self.world.make("dead")
        group, _ = self.put(dead_letter="dead")
        self.successResultOf(self.world.store.forget(dead))
        changed = self.here.change(self.queue, group, GroupChanges(lease=5), anyhow)
        self.assertEqual(self.successResultOf(changed).settings, GroupSettings(lease=5, dead_letter="dead"))

    def test_as_many_as_there_may_be(self) -> None:
        """Names of deleted groups can be used again."""
        self.patch(names, "MAX_GROUPS", 3)
        listed = index_of(GroupRows(self.world.store.states, self.world.random, self.world.store.groups), self.world)
        for name in "xyz":
            self.successResultOf(listed.enlist(self.queue, name))
        for name in "abc":
            self.put(name)
        error = self.failureResultOf(self.here.put(self.queue, "d", GroupChanges(), anyhow), StorageFull).value
        self.assertEqual(error.limit, "max_groups")
        self.assertEqual(self.names(), ["a", "b", "c"])
        self.assertFalse(self.put("a", lease=5)[1])
        self.successResultOf(self.here.delete(self.queue, self.find("b"), anyhow))
        self.put("d")

    def test_a_queue_that_is_deleted_meanwhile(self) -> None:
        self.successResultOf(self.world.store.forget(self.queue))
        self.refused(NoSuchQueue, self.here.put(self.queue, "g", GroupChanges(), anyhow))
        self.assertEqual(self.names(), [])


def index_of(rows: GroupRows, world: World) -> GroupNames:
    """The indexes of a process."""
    return GroupNames(rows, Retries(world.clock, world.random), lambda queue, group: None)


class AtHandTests(Case):
    """What is known of a group without a look, and for how long."""

    def test_for_a_second(self) -> None:
        self.put()
        self.find(of=self.there)
        changed, _ = self.put(lease=5)
        self.assertEqual(self.find(), changed)
        self.world.advance(0.9)
        self.assertEqual(self.find(of=self.there).settings.lease, 30)
        self.world.advance(0.2)
        self.assertEqual(self.find(of=self.there), changed)

    def test_a_wall_clock_that_is_set(self) -> None:
        """That makes what is cached neither older nor newer."""
        for back in (100, -100):
            self.put(lease=30)
            self.assertEqual(self.find(of=self.there).settings.lease, 30)
            changed, _ = self.put(lease=5)
            self.world.subject.wall.seconds -= back
            self.world.clock.advance(0.9)
            self.assertEqual(self.find(of=self.there).settings.lease, 30)
            self.world.clock.advance(0.2)
            self.assertEqual(self.find(of=self.there), changed)
            self.world.clock.advance(1.1)

    def test_an_end_of_elsewhere(self) -> None:
        group, _ = self.put()
        self.find(of=self.there)
        self.successResultOf(self.here.delete(self.queue, group, anyhow))
        self.refused(NoSuchGroup, self.here.find(self.queue, "g"))
        self.world.advance(1.1)
        self.refused(NoSuchGroup, self.there.find(self.queue, "g"))

    def test_absence_is_not_kept(self) -> None:
        self.refused(NoSuchGroup, self.there.find(self.queue, "g"))
        group, _ = self.put()
        self.assertEqual(self.find(of=self.there), group)

    def test_a_read_that_is_overtaken_by_a_change(self) -> None:
        """What was read before is not taken for newer."""
        group, _ = self.put()
        calls = Calls(Random(1))
        calls.broken = False
        store = cast(IStore, UnreliableStore(lambda: self.world.store, calls, 0))
        policies = GivenPolicies(lambda: {"app": self.world.policy})
        slow = GroupDirectory(store, policies, self.world.clock, self.world.now, self.world.random)
        reading = slow.find(self.queue, "g")
        (held,) = calls._held
        early = held.begin()
        held.begin = lambda: early
        calls._held.clear()
        changing = slow.change(self.queue, group, GroupChanges(lease=5), anyhow)
        while calls:
            calls.release()
        changed = self.successResultOf(changing)
        early.addCallback(held.answer.callback)
        self.assertEqual(self.successResultOf(reading), group)
        self.assertEqual(self.successResultOf(slow.find(self.queue, "g")), changed)

    def alone(self, store: IStore) -> GroupDirectory:
        """The directory of a process that is the only one to change groups."""
        policies = GivenPolicies(lambda: {"app": self.world.policy})
        world = self.world
        return GroupDirectory(store, policies, world.clock, world.now, world.random, directory.CACHED_ALONE)

    def test_for_longer_if_no_other_process_changes_groups(self) -> None:
        calls = Calls(Random(1))
        calls.broken = False
        alone = self.alone(cast(IStore, UnreliableStore(lambda: self.world.store, calls, 0)))
        self.put()
        changing = alone.put(self.queue, "g", GroupChanges(lease=5), anyhow)
        while calls:
            calls.release()
        changed, _ = self.successResultOf(changing)
        self.world.clock.advance(20)
        self.assertEqual(self.find(of=alone), changed)
        self.assertFalse(calls, "the store was asked")

    def test_a_change_of_which_nothing_is_known(self) -> None:
        """Then the group is read again, since the change may be stored."""
        calls = Calls(Random(1))
        calls.broken = False
        alone = self.alone(cast(IStore, UnreliableStore(lambda: self.world.store, calls, 0)))
        group, _ = self.put()
        reading = alone.find(self.queue, "g")
        calls.release()
        self.assertEqual(self.successResultOf(reading), group)
        changing = alone.change(self.queue, group, GroupChanges(lease=5), anyhow)
        written = False
        while calls:
            (held,) = calls._held
            if held.kind is Kind.SWAP and not written:
                self.successResultOf(held.begin())
                written = True
            if written:
                calls._held.clear()
                held.answer.errback(Unavailable("It did not answer.", applied="unknown"))
            else:
                calls.release()
            self.world.clock.advance(1)
        self.failureResultOf(changing, Unavailable)
        reading = alone.find(self.queue, "g")
        calls.release()
        self.assertEqual(self.successResultOf(reading).settings.lease, 5)

    def test_no_more_than_so_many(self) -> None:
        self.patch(directory, "MAX_CACHED", 3)
        for name in "abcdef":
            self.put(name)
        self.assertEqual([name for _, name in self.here._cached], ["d", "e", "f"])


async def found(front: Front, queue: Queue, name: str) -> Group | None:
    """The group of that name, if there is one."""
    try:
        return await front.directory.find(queue, name)
    except NoSuchGroup:
        return None


again(__name__, {"SQLite": OnSQLite, "Cassandra": OnCassandra}, (MakingTests,))
