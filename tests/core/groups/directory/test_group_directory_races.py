"""Changes of groups at the same time, crashes between their steps, and outcomes that are unknown."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from queuey.core.contention import PATIENCE
from queuey.core.groups import names
from queuey.core.groups.directory import GroupDirectory
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.names import GroupNames
from queuey.core.groups.rows import GroupRows
from queuey.core.policies import GivenPolicies
from queuey.errors import (
    NoSuchGroup,
    StorageFull,
    Unavailable,
)
from queuey.interfaces import IStateStore, IStore, Outcome, State
from queuey.model.groups.commands import Seek
from queuey.model.groups.rows import group_key, state_key
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Terms
from queuey.model.queues.queue import Queue
from queuey.model.timeid import LOWEST
from queuey.storage.cassandra.groups.tables import ENDED, GroupTables
from tests.again import again
from tests.core.groups.directory.test_group_directory import Case, found, index_of
from tests.core.groups.group_fronts import Front, GroupCase, OnCassandra, OnSQLite, World, anyhow
from tests.histories.groups.unreliable import Calls, UnreliableStore
from tests.storage.cassandra.row_tables import RowTables


class Vague:
    """States of which the outcome of a change is sometimes unknown.

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
    """Changes with an unknown outcome: late (l), not done (n), done (d), or known after all (k)."""

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
        """A client that asks for the group gets an error that there is none; the next one finishes the deletion."""
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
    """A process dies in the middle: the next request finds nothing half done, or finishes it."""

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
        """Either it is there as it was, or it is deleted, and the next request for it clears away what is left."""

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
        """A request that makes a group of that name finishes the deletion of the other first."""

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
        """Of several requests that make the same group, one learns that it made it; the others change it."""
        for seed in range(150):
            results = self.race(seed, self.put("g", 1), self.put("g", 2), self.put("h", 3))
            self.assertEqual([made for _, made in results[:2]].count(True), 1, seed)
            self.assertEqual(len({group.gid for group, _ in results[:2]}), 1)
            self.assertEqual(self.rest(), ["g", "h"])
            self.clear()

    def test_making_in_place_of_what_is_no_more(self) -> None:
        """A request that removes names without rows from the index may remove one whose row is not written yet."""
        self.patch(names, "MAX_GROUPS", 2)
        listed = index_of(GroupRows(self.world.store.states, self.world.random, self.world.store.groups), self.world)
        for seed in range(100):
            self.successResultOf(listed.enlist(self.queue, "dead"))
            results = self.race(seed, self.put("g", 1), self.put("h", 2))
            self.assertEqual([made for _, made in results], [True, True], seed)
            self.assertEqual(self.rest(), ["g", "h"])
            self.clear()

    def test_making_more_than_there_may_be(self) -> None:
        """A refused request has made nothing, and there are never too many groups."""
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


again(__name__, {"SQLite": OnSQLite, "Cassandra": OnCassandra}, (DyingTests,))
