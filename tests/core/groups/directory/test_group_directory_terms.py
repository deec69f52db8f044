"""The terms of a group, where it starts, and what cannot be read of it."""

from __future__ import annotations

import attrs

from queuey.core.contention import Retries
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.rows import GroupRows
from queuey.core.policies import GivenPolicies
from queuey.core.queues import QueueDirectory
from queuey.errors import (
    NoSuchGroup,
    Unavailable,
)
from queuey.interfaces import Outcome, State
from queuey.model.groups.commands import Take
from queuey.model.groups.entries import Target
from queuey.model.groups.rows import encode_group, group_key, groups_key
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Order, Terms
from queuey.model.queues.queue import Guarantee, Queue
from queuey.model.reading.start import Start
from queuey.model.timeid import Ticks, lower_bound
from tests.again import again
from tests.core.groups.directory.test_group_directory import Case
from tests.core.groups.group_fronts import GroupCase, OnCassandra, OnSQLite, anyhow


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


class TermsTests(Case):
    """Everything that the rules receive of it."""

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
        """Cached groups do not count."""
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
            (row.replace(b'"format":1', b'"format":4'), "another version"),
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


again(
    __name__,
    {"SQLite": OnSQLite, "Cassandra": OnCassandra},
    (
        StartTests,
        QueueTests,
    ),
)
