"""Groups are found, made, changed, listed and ended, whoever does so at the same time, and whoever dies at it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from queuey.core.contention import PATIENCE, Retries
from queuey.core.groups import directory, names
from queuey.core.groups.directory import GroupDirectory
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.names import GroupNames
from queuey.core.groups.rows import GroupRows
from queuey.core.policies import GivenPolicies
from queuey.core.queues import QueueDirectory
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
from queuey.interfaces import IStateStore, IStore, Outcome, State
from queuey.model.group_rows import encode_group, group_key, groups_key, state_key
from queuey.model.group_settings import Group, GroupSettings
from queuey.model.groups.commands import Seek, Take
from queuey.model.groups.entries import Target
from queuey.model.groups.terms import Order, Terms
from queuey.model.queue import Consistency, Guarantee, Queue
from queuey.model.start import Start
from queuey.model.timeid import LOWEST, Ticks, lower_bound
from queuey.storage.cassandra.groups.tables import ENDED, GroupTables
from tests.again import again
from tests.core.group_fronts import Front, GroupCase, OnCassandra, OnSQLite, World, anyhow
from tests.histories.groups.unreliable import Calls, Kind, UnreliableStore
from tests.storage.cassandra.row_tables import RowTables

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
        """It is another group, and whoever has the first one cannot change it."""
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


class StartTests(Case):
    """Where groups begin."""

    def places(self, start: Start | Ticks) -> list[bool]:
        """Whether messages of before and after its making are at or above the place of a group."""
        ids = self.world.post(self.queue, b"a") + self.world.post(self.queue, b"b", partition=2)
        group, _ = self.put(f"g{self.world.now()}", start=start)
        ids += self.world.post(self.queue, b"c") + self.world.post(self.queue, b"d", partition=2)
        return [id >= group.place for id in ids]

    def test_oldest(self) -> None:
        self.assertEqual(self.places(Start.OLDEST), [True] * 4)

    def test_newest(self) -> None:
        self.assertEqual(self.places(Start.NEWEST), [False, False, True, True])

    def test_newest_of_an_empty_queue(self) -> None:
        group, _ = self.put(start=Start.NEWEST)
        self.world.advance(1)
        (id,) = self.world.post(self.queue, b"a")
        self.assertGreaterEqual(id, group.place)

    def test_a_time(self) -> None:
        self.world.post(self.queue, b"a")
        self.world.advance(5)
        time = self.world.now()
        self.world.advance(5)
        (later,) = self.world.post(self.queue, b"b")
        group, _ = self.put(start=time)
        self.assertEqual(group.place, lower_bound(time))
        self.assertGreater(later, group.place)

    def test_it_matters_at_creation_only(self) -> None:
        group, _ = self.put(start=Start.NEWEST)
        self.world.post(self.queue, b"a")
        again, _ = self.put(start=Start.OLDEST)
        self.assertEqual((again.place, again.settings.start), (group.place, Start.OLDEST))


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
        """Whoever changes something else is not told of it."""
        dead = self.world.make("dead")
        group, _ = self.put(dead_letter="dead")
        self.successResultOf(self.world.store.forget(dead))
        changed = self.here.change(self.queue, group, GroupChanges(lease=5), anyhow)
        self.assertEqual(self.successResultOf(changed).settings, GroupSettings(lease=5, dead_letter="dead"))

    def test_as_many_as_there_may_be(self) -> None:
        """Names of groups that are no more are in nobody's way."""
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


class TermsTests(Case):
    """What of it all the rules are told."""

    def terms(self, queue: Queue, group: Group) -> Terms:
        return self.world.run(self.here.terms(queue, group))

    def test_guarantees(self) -> None:
        """Of the group, else of its queue, else of its application."""
        found = []
        for policy in (Guarantee.AT_LEAST_ONCE, Guarantee.AT_MOST_ONCE):
            self.world.policy = attrs.evolve(self.world.policy, guarantee=policy)
            for number, (of_queue, of_group) in enumerate(
                [
                    (None, None),
                    (Guarantee.AT_MOST_ONCE, None),
                    (Guarantee.AT_LEAST_ONCE, None),
                    (Guarantee.AT_MOST_ONCE, Guarantee.EXACTLY_ONCE),
                    (None, Guarantee.AT_MOST_ONCE),
                ]
            ):
                queue = self.world.make(f"{policy.name}{number}", guarantee=of_queue)
                group = self.world.group(queue, guarantee=of_group)
                found.append(self.terms(queue, group).at_most_once)
        self.assertEqual(found, [False, True, False, False, True, True, True, False, False, True])

    def test_settings(self) -> None:
        group, _ = self.put(order=Order.PARTITION, max_deliveries=7)
        self.assertEqual(self.terms(self.queue, group), Terms(Order.PARTITION, 7))

    def test_dead_letters(self) -> None:
        """The queue for them is the one that has the name now."""
        dead = self.world.make("dead")
        group, _ = self.put(dead_letter="dead")
        self.assertEqual(self.terms(self.queue, group).dead_letter, Target("dead", dead.incarnation))
        self.successResultOf(self.world.store.forget(dead))
        self.assertEqual(self.terms(self.queue, group).dead_letter, Target("dead", 0))
        anew = self.world.make("dead")
        self.assertEqual(self.terms(self.queue, group).dead_letter, Target("dead", anew.incarnation))


class SourceTests(Case):
    """Where states come from."""

    def test_the_first(self) -> None:
        group, _ = self.put(start=Start.NEWEST)
        for partition in (1, 2):
            lag = self.successResultOf(self.world.store.groups.look(self.queue, group, partition)).lag
            self.assertEqual((lag.reach, lag.oldest), (group.place, None))

    def test_after_the_end(self) -> None:
        """What is at hand does not count."""
        group, _ = self.put()
        self.find(of=self.there)
        self.successResultOf(self.here.delete(self.queue, group, anyhow))
        self.refused(NoSuchGroup, self.world.store.groups.look(self.queue, group, 1))
        self.put()
        self.refused(NoSuchGroup, self.world.store.groups.look(self.queue, group, 1))
        take = Take((1,), 1, Ticks(1), 1)
        self.refused(NoSuchGroup, self.world.store.groups.run(self.queue, group, Terms(), (take,)))


class UnreadableTests(Case):
    """What cannot be read is said, and left as it is."""

    def test_rows(self) -> None:
        group, _ = self.put()
        key = group_key(self.queue.incarnation, "g")
        row = encode_group(group)
        for value, text in (
            (row.replace(b'"format":1', b'"format":3'), "another version"),
            (row.replace(b'"format":1', b'"format":"x"'), "no number"),
            (row.replace(b'"lease"', b'"release"'), "lease"),
            (row.replace(group.gid.hex().encode(), b"x"), "damaged"),
            (row.replace(b'"oldest"', b'"eldest"'), "eldest"),
            (row[:-1], "no JSON"),
            (b"[]", "no JSON"),
            (b"\xff", "no JSON"),
        ):
            self.set(key, value)
            for answer in (
                self.there.find(self.queue, "g"),
                self.there.names(self.queue),
                self.there.put(self.queue, "g", GroupChanges(lease=5), anyhow),
                self.there.delete(self.queue, group, anyhow),
            ):
                self.assertIn(text, self.refused(Unavailable, answer))
            self.assertEqual(self.kept(key).value, value)

    def test_the_index(self) -> None:
        self.put()
        key = groups_key(self.queue.incarnation)
        for value, text in ((b"2\ng", "another version"), (b"x", "damaged"), (b"1\n\xff", "damaged")):
            self.set(key, value)
            for answer in (
                self.there.names(self.queue),
                self.there.put(self.queue, "h", GroupChanges(), anyhow),
            ):
                self.assertIn(text, self.refused(Unavailable, answer))
            self.assertEqual(self.kept(key).value, value)

    def kept(self, key: str) -> State:
        state = self.successResultOf(self.world.store.states.read(key))
        assert state is not None
        return state

    def set(self, key: str, value: bytes) -> None:
        version = self.kept(key).version
        outcome = self.world.store.states.replace(key, version, value, self.world.random(16).hex())
        self.assertIs(self.successResultOf(outcome), Outcome.APPLIED)


class Vague:
    """States of which nobody knows at times what became of a change.

    :param script: of each change whether it is known, carried out, or carried out when the next one is asked for.
    """

    def __init__(self, states: IStateStore, script: str) -> None:
        self._states = states
        self._script = list(script)
        self._late: Callable[[], Deferred[Outcome]] | None = None

    def read(self, key: str) -> Deferred[State | None]:
        return self._states.read(key)

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        if self._late is not None:
            self._late()
        self._late = None
        what = self._script.pop(0) if self._script else "known"
        if what == "l":
            self._late = lambda: self._states.replace(key, version, value, fresh)
        elif what == "n":
            pass
        elif what == "f":
            return fail(Unavailable("Not now."))
        else:
            outcome = self._states.replace(key, version, value, fresh)
            if what != "d":
                return outcome
        return succeed(Outcome.UNKNOWN)


class UnknownTests(Case):
    """Changes of which nobody knows whether they were carried out: late (l), not (n), done (d), or known (k)."""

    def rows(self, script: str) -> GroupRows:
        return GroupRows(
            cast(IStateStore, Vague(self.world.store.states, script)), self.world.random, self.world.store.groups
        )

    def index(self, script: str) -> GroupNames:
        return index_of(self.rows(script), self.world)

    def test_found_out(self) -> None:
        for number, script in enumerate(("d", "n", "l", "nnl", "lld", "nld")):
            name = f"g{number}"
            group = attrs.evolve(self.put(f"of {number}")[0], name=name, version="")
            made = self.successResultOf(self.rows(script).write(group))
            assert made is not None
            self.assertEqual(self.find(name, self.there), made)
            changed = self.successResultOf(self.rows(script).write(attrs.evolve(made, ended=True)))
            assert changed is not None
            self.assertIsNone(self.successResultOf(self.rows(script).write(made)))
            self.successResultOf(self.index("k" + script).remove(changed, 2))
            self.assertIsNone(self.successResultOf(self.rows("").read(self.queue.incarnation, name)))

    def test_never_found_out(self) -> None:
        group = attrs.evolve(self.put("other")[0], name="g", version="")
        error = self.failureResultOf(self.rows("n" * 50).write(group), Unavailable).value
        self.assertEqual(error.applied, "unknown")

    def test_refused_for_certain(self) -> None:
        group = attrs.evolve(self.put("other")[0], name="g", version="")
        error = self.failureResultOf(self.rows("f").write(group), Unavailable).value
        self.assertEqual(error.applied, "no")


def index_of(rows: GroupRows, world: World) -> GroupNames:
    """The indexes of a process."""
    return GroupNames(rows, Retries(world.clock, world.random), lambda queue, group: None)


class ContendedTests(Case):
    """Others come in between again and again."""

    def given_up(self, *answers: Deferred[Any]) -> None:
        """Changes are tried for some time, and then refused; nothing was stored."""
        self.world.clock.pump([0.25] * int(4 * PATIENCE - 1))
        for answer in answers:
            self.assertNoResult(answer)
        self.world.clock.pump([0.25] * 4)
        for answer in answers:
            error = self.failureResultOf(answer, Unavailable).value
            self.assertIn("by other requests", str(error))
            self.assertEqual(error.applied, "no")

    def test_changes_of_rows(self) -> None:
        group, _ = self.put()
        self.patch(GroupRows, "write", lambda rows, group: succeed(None))
        changes = GroupChanges(lease=5)
        self.given_up(
            self.here.put(self.queue, "other", changes, anyhow),
            self.here.put(self.queue, "g", changes, anyhow),
            self.there.change(self.queue, group, changes, anyhow),
            self.world.front().directory.delete(self.queue, group, anyhow),
        )
        rows = GroupRows(self.world.store.states, self.world.random, self.world.store.groups)
        self.assertIn("by other requests", self.refused(Unavailable, rows.remove_all(self.queue)))

    def test_changes_of_all_else(self) -> None:
        """Of the index, and of states."""
        group, _ = self.put()
        self.world.post(self.queue, b"x")
        self.world.run(self.world.front().claim(self.queue, group))

        async def never(*_: object) -> None:
            """Somebody else was first."""

        self.patch(GroupRows, "_swap", never)
        found = index_of(GroupRows(self.world.store.states, self.world.random, self.world.store.groups), self.world)
        self.given_up(found.enlist(self.queue, "h"), found.remove(group, 0), found.remove(group, 2))

    def test_an_end_that_cannot_be_finished_yet(self) -> None:
        """Whoever asks for the group is told that there is none; the next one finishes it."""
        group, _ = self.put()
        rows = GroupRows(self.world.store.states, self.world.random, self.world.store.groups)
        self.successResultOf(rows.write(attrs.evolve(group, ended=True)))
        states = Vague(self.world.store.states, "fk")
        vague = GroupRows(cast(IStateStore, states), self.world.random, self.world.store.groups)
        self.patch(self.there, "_index", index_of(vague, self.world))
        self.refused(NoSuchGroup, self.there.find(self.queue, "g"))
        self.assertIsNotNone(self.successResultOf(rows.read(self.queue.incarnation, "g")))
        self.refused(NoSuchGroup, self.there.find(self.queue, "g"))
        self.assertIsNone(self.successResultOf(rows.read(self.queue.incarnation, "g")))

    def test_an_end_that_is_being_finished(self) -> None:
        """It is not begun a second time by the same process."""
        group, _ = self.put()
        rows = GroupRows(self.world.store.states, self.world.random, self.world.store.groups)
        self.successResultOf(rows.write(attrs.evolve(group, ended=True)))
        begun: list[Deferred[None]] = []

        def remove(*_: object) -> Deferred[None]:
            begun.append(Deferred())
            return begun[-1]

        self.patch(GroupNames, "remove", remove)
        for _ in range(3):
            self.refused(NoSuchGroup, self.there.find(self.queue, "g"))
        self.assertEqual(len(begun), 1)
        begun[0].callback(None)
        self.refused(NoSuchGroup, self.there.find(self.queue, "g"))
        self.assertEqual(len(begun), 2)


class DyingTests(GroupCase):
    """A process dies in the middle: whoever comes next finds nothing half done, or finishes it."""

    def prepare(self, world: World) -> tuple[Any, ...]:
        queue = world.make(partitions=2)
        return queue, world.group(queue, "other")

    def names(self, world: World, queue: Queue) -> list[str]:
        return [group.name for group in world.get(world.front().directory.names(queue))]

    def test_making(self) -> None:
        async def make(front: Front, queue: Queue, other: Group) -> Group:
            return (await front.directory.put(queue, "g", GroupChanges(lease=5), anyhow))[0]

        def check(world: World, queue: Queue, other: Group) -> None:
            front = world.front()
            listed = self.names(world, queue)
            there = world.run(found(front, queue, "g"))
            self.assertEqual("g" in listed, there is not None)
            group, made = world.get(front.directory.put(queue, "g", GroupChanges(lease=5), anyhow))
            self.assertEqual(made, there is None)
            self.assertEqual(group.gid, group.gid if there is None else there.gid)
            self.assertEqual(self.names(world, queue), ["g", "other"])

        self.each_cut(self.prepare, make, check)

    def prepare_states(self, world: World) -> tuple[Any, ...]:
        queue, other = self.prepare(world)
        group, front = world.group(queue), world.front()
        for partition in (1, 2):
            world.post(queue, b"x", partition=partition)
            for one in (group, other):
                world.run(front.claim(queue, one, partition))
        return queue, other, group

    def left(self, world: World, queue: Queue, group: Group) -> list[str]:
        """What is there of a group."""
        key = group_key(queue.incarnation, group.name)
        states = [str(number) for number in (1, 2) if world.stored(queue, group, number) is not None]
        return states if world.get(world.store.states.read(key)) is None else [key, *states]

    async def delete(self, front: Front, queue: Queue, other: Group, group: Group) -> None:
        await front.directory.delete(queue, group, anyhow)

    def test_ending(self) -> None:
        """Either it is there as it was, or it is no more, and whoever asks for it clears away what is left."""

        def check(world: World, queue: Queue, other: Group, group: Group) -> None:
            front = world.front()
            there = world.run(found(front, queue, "g"))
            listed = self.names(world, queue)
            if there is None:
                self.assertEqual(listed, ["other"])
                self.assertEqual(self.left(world, queue, group), [])
            else:
                self.assertEqual(listed, ["g", "other"])
                self.assertEqual((there, len(self.left(world, queue, group))), (group, 3))
            self.assertEqual(len(self.left(world, queue, other)), 3)

        self.each_cut(self.prepare_states, self.delete, check)

    def test_ending_and_making_anew(self) -> None:
        """Whoever makes a group of that name finishes the end of the other first."""

        def check(world: World, queue: Queue, other: Group, group: Group) -> None:
            front = world.front()
            anew, made = world.get(front.directory.put(queue, "g", GroupChanges(), anyhow))
            self.assertEqual(made, anew.gid != group.gid)
            if made:
                self.assertEqual(self.left(world, queue, group), [group_key(queue.incarnation, "g")])
                self.assertEqual(len(world.run(front.claim(queue, anew))), 1)
            self.assertEqual(self.names(world, queue), ["g", "other"])

        self.each_cut(self.prepare_states, self.delete, check)

    def test_ending_all_groups_of_a_queue(self) -> None:
        async def forget(front: Front, queue: Queue, other: Group, group: Group) -> None:
            await front.directory._rows.remove_all(queue)

        def check(world: World, queue: Queue, other: Group, group: Group) -> None:
            world.get(GroupRows(world.store.states, world.random, world.store.groups).remove_all(queue))
            front = world.front()
            self.assertEqual(self.names(world, queue), [])
            for one in (group, other):
                self.assertIsNone(world.run(found(front, queue, one.name)))
                self.failureResultOf(world.store.groups.look(queue, one, 1), NoSuchGroup)

        self.each_cut(self.prepare_states, forget, check)


async def found(front: Front, queue: Queue, name: str) -> Group | None:
    """The group of that name, if there is one."""
    try:
        return await front.directory.find(queue, name)
    except NoSuchGroup:
        return None


class RacingTests(GroupCase):
    """Several processes at once, whose calls take turns in any order."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.world.make(partitions=2)
        self.policies = GivenPolicies(lambda: {"app": self.world.policy})
        self.tables = RowTables(self.world.subject.wall)

    def race(self, seed: int, *steps: Callable[[GroupDirectory, IStore], Deferred[Any]]) -> list[Any]:
        """What each of several processes comes to."""
        calls = Calls(Random(seed))
        calls.broken = False
        results: list[list[Any]] = [[] for _ in steps]
        for number, (step, result) in enumerate(zip(steps, results, strict=True)):
            tables, now = self.tables, self.world.now
            store = cast(IStore, UnreliableStore(lambda: self.world.store, calls, number, tables, now, seed))
            process = GroupDirectory(store, self.policies, self.world.clock, self.world.now, self.world.random)
            step(process, store).addErrback(lambda failure: failure.value).addBoth(result.append)
        while not all(results):
            if calls:
                calls.release()
            else:
                self.world.clock.advance(1)  # some rest before they try again
        while calls:
            calls.release()
        return [result[0] for result in results]

    def rest(self) -> list[str]:
        """The names of groups, each of which is listed if and only if it can be found."""
        directory = self.world.front().directory
        listed = [group.name for group in self.successResultOf(directory.names(self.queue))]
        there = [name for name in "ghi" if self.world.run(found(self.world.front(), self.queue, name))]
        self.assertEqual(listed, there)
        return listed

    def put(self, name: str, lease: int) -> Callable[[GroupDirectory, IStore], Deferred[Any]]:
        return lambda process, _: process.put(self.queue, name, GroupChanges(lease=lease), anyhow)

    def test_making(self) -> None:
        """Of several that make the same group one is told so; the others change it."""
        for seed in range(150):
            results = self.race(seed, self.put("g", 1), self.put("g", 2), self.put("h", 3))
            self.assertEqual([made for _, made in results[:2]].count(True), 1, seed)
            self.assertEqual(len({group.gid for group, _ in results[:2]}), 1)
            self.assertEqual(self.rest(), ["g", "h"])
            self.clear()

    def test_making_in_place_of_what_is_no_more(self) -> None:
        """Whoever makes room in the index by what has no row may take out what has none yet."""
        self.patch(names, "MAX_GROUPS", 2)
        listed = index_of(GroupRows(self.world.store.states, self.world.random, self.world.store.groups), self.world)
        for seed in range(100):
            self.successResultOf(listed.enlist(self.queue, "dead"))
            results = self.race(seed, self.put("g", 1), self.put("h", 2))
            self.assertEqual([made for _, made in results], [True, True], seed)
            self.assertEqual(self.rest(), ["g", "h"])
            self.clear()

    def test_making_more_than_there_may_be(self) -> None:
        """Whoever is refused has made nothing, and there are never too many."""
        self.patch(names, "MAX_GROUPS", 2)
        listed = index_of(GroupRows(self.world.store.states, self.world.random, self.world.store.groups), self.world)
        for seed in range(150):
            self.successResultOf(listed.enlist(self.queue, "dead"))
            results = self.race(seed, self.put("g", 1), self.put("h", 2), self.put("i", 3))
            made = [name for name, result in zip("ghi", results, strict=True) if isinstance(result, tuple)]
            self.assertTrue(all(isinstance(one, tuple | StorageFull) for one in results), (seed, results))
            self.assertEqual((self.rest(), len(made) <= 2), (made, True), seed)
            self.clear()

    def clear(self) -> None:
        self.successResultOf(
            GroupRows(self.world.store.states, self.world.random, self.world.store.groups).remove_all(self.queue)
        )

    def test_ending_and_making(self) -> None:
        """What was made in the end is there, and listed, whatever came before."""
        for seed in range(300):
            group = self.world.group(self.queue)

            def delete(process: GroupDirectory, store: IStore, group: Group = group) -> Deferred[None]:
                return process.delete(self.queue, group, anyhow)

            *ends, put, other = self.race(seed, delete, delete, self.put("g", 2), self.put("h", 3))
            self.assertTrue(all(one is None or isinstance(one, NoSuchGroup) for one in ends), (seed, ends))
            self.assertTrue(other[1])
            there = self.rest()
            self.assertEqual(there, ["g", "h"] if put[0].gid != group.gid else ["h"], seed)
            self.clear()

    def test_ending_and_claiming(self) -> None:
        """A state that is made at the same time as its group ends is not left behind."""
        made = 0
        for seed in range(300):
            group = self.world.group(self.queue)

            def delete(process: GroupDirectory, store: IStore, group: Group = group) -> Deferred[None]:
                return process.delete(self.queue, group, anyhow)

            def claim(process: GroupDirectory, store: IStore, group: Group = group) -> Deferred[Any]:
                touch = Seek(1, LOWEST, self.world.random(8))
                return store.groups.run(self.queue, group, Terms(), (touch,)).addCallback(lambda _: "touched")

            results = self.race(seed, delete, claim, claim)
            self.assertIsNone(results[0])
            made += results[1:].count("touched")
            key = state_key(self.queue.incarnation, group.gid, 1)
            head = self.successResultOf(GroupTables(self.tables, "ks").newest(key)).head
            self.assertTrue(head is None or head.version == ENDED, seed)
            self.assertEqual(self.tables._rows("group_events"), [])
            for result in results[1:]:
                self.assertTrue(result == "touched" or isinstance(result, NoSuchGroup | Unavailable), result)
        self.assertGreater(made, 20)
        self.assertEqual(self.rest(), [])


class QueueTests(GroupCase):
    """Groups end with their queue."""

    def test_they_end(self) -> None:
        policies = GivenPolicies(lambda: {"app": self.world.policy})
        groups = GroupRows(self.world.store.states, self.world.random, self.world.store.groups)
        queues = QueueDirectory(self.world.store, policies, groups, Retries(self.world.clock, self.world.random))
        queue, other = self.world.make(partitions=2), self.world.make("other")
        front = self.world.front()
        ended, stays = self.world.group(queue), self.world.group(other)
        for one, group in ((queue, ended), (other, stays)):
            self.world.post(one, b"x")
            self.world.run(front.claim(one, group))
        self.successResultOf(queues.delete(queue))
        anew = self.world.make(partitions=2)
        self.failureResultOf(front.directory.find(anew, "g"), NoSuchGroup)
        self.world.advance(2)
        for key in (groups_key(queue.incarnation), group_key(queue.incarnation, "g")):
            self.assertIsNone(self.successResultOf(self.world.store.states.read(key)))
        self.assertIsNone(self.world.stored(queue, ended))
        self.assertEqual(self.successResultOf(front.directory.find(other, "g")), stays)
        self.assertEqual(len(self.world.state(other, stays).open), 1)


again(__name__, {"SQLite": OnSQLite, "Cassandra": OnCassandra}, (MakingTests, StartTests, DyingTests, QueueTests))
