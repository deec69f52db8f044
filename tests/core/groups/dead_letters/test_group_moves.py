"""Messages that are given up are moved to the dead-letter queue once, also with crashes."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from queuey.core.groups.dead_letters import is_for_others
from queuey.core.groups.values import Redriving
from queuey.errors import KeyInUse, StorageFull, Unavailable
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack
from queuey.model.groups.entries import MARKED, WAITING
from queuey.model.groups.settings import Group
from queuey.model.groups.settlements import LEASE_ENDED
from queuey.model.groups.snapshot import GroupState
from queuey.model.groups.terms import Action, Outcome
from queuey.model.messages.dead_letter_headers import LETTER, ONLY, ORIGIN, letter_of
from queuey.model.messages.message import Address, Content, Message
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.timeid import SECOND, Ticks, ticks_of
from tests.again import again
from tests.core.groups.group_fronts import Front, GroupCase, OnCassandra, OnSQLite, World
from tests.histories.groups.unreliable import Calls, UnreliableStore

EVERYTHING = Redriving()


def member(message: Message, name: str) -> Any:
    """A member of a message's headers."""
    return json.loads(message.content.headers or b"{}").get(name)


def lifetime(message: Message) -> int:
    """Seconds for which it lives."""
    return round((message.expires - ticks_of(message.id)) / SECOND)


class Case(GroupCase):
    """With a queue, a group, and a queue for its dead letters."""

    def setUp(self) -> None:
        super().setUp()
        self.queue, self.dead, self.group = self.prepare(self.world)
        self.front = self.world.front()

    @staticmethod
    def prepare(world: World) -> tuple[Queue, Queue, Group]:
        queue, dead = world.make(partitions=2), world.make("dead", partitions=2, ttl=7200)
        return queue, dead, world.group(queue, dead_letter="dead")

    def reject(self, *bodies: bytes, reason: str = "", partition: int = 1, **posted: Any) -> None:
        """Post messages, claim them and mark them for the dead-letter queue."""
        self.world.post(self.queue, *bodies, partition=partition, **posted)
        self.mark(reason, partition)

    def mark(self, reason: str = "", partition: int = 1) -> None:
        run = self.world.run
        taken = run(self.front.claim(self.queue, self.group, partition, 100))
        outcomes = run(self.front.settle(self.queue, self.group, Action.REJECT, taken, partition, reason))
        self.assertEqual(set(outcomes), {Outcome.MOVING})

    def carry_out(self, front: Front | None = None, partition: int = 1) -> None:
        self.world.run((front or self.front).carry_out(self.queue, self.group, partition))

    def redrive(self, asked: Redriving = EVERYTHING, front: Front | None = None) -> int:
        return self.world.run((front or self.front).redrive(self.queue, self.group, asked))

    def claimed(self, partition: int = 1, group: Group | None = None) -> list[int]:
        """How often each of the messages was given that can be claimed now."""
        taken = self.world.run(self.front.claim(self.queue, group or self.group, partition, 100))
        return [one.deliveries for one in taken]

    def state(self, partition: int = 1) -> GroupState:
        return self.world.state(self.queue, self.group, partition)

    def remove(self, queue: Queue, message: Message) -> None:
        address = Address(message.partition, message.id)
        self.successResultOf(self.world.store.remove(queue, [address], Ack.MAJORITY))


class OutTests(Case):
    """To the dead-letter queue."""

    def test_what_a_dead_letter_is(self) -> None:
        self.reject(b"body", reason="It is bad.", partition=2, headers=b'{"own":"\xc3\xa9"}')
        self.carry_out(partition=2)
        (original,) = self.world.shown(self.queue)
        (letter,) = self.world.shown(self.dead)
        self.assertEqual((letter.content.body, letter.content.content_type), (b"body", "text/plain"))
        self.assertEqual(member(letter, "own"), "é")
        self.assertEqual(
            member(letter, LETTER),
            {
                "queue": "q",
                "id": f"{original.id.hex()}-2",
                "group": "g",
                "gid": self.group.gid.hex(),
                "deliveries": 1,
                "reason": "It is bad.",
            },
        )
        found = letter_of(letter.content)
        assert found is not None
        self.assertEqual((found.address, found.gid), (Address(2, original.id), self.group.gid))
        self.assertEqual(lifetime(letter), 7200)
        self.assertEqual((self.state(2).open, self.state(2).moves), ({}, {}))

    def test_its_time_to_live_is_that_of_its_application(self) -> None:
        plain = self.world.make("plain")
        self.group = self.world.group(self.queue, dead_letter="plain")
        self.reject(b"a")
        self.carry_out()
        (letter,) = self.world.shown(plain)
        self.assertEqual(lifetime(letter), 3600)

    def test_headers_that_are_none_of_ours(self) -> None:
        ours = b'{"queuey-only":"%b","queuey-dead-letter":7}' % self.group.gid.hex().encode()
        for headers in (b"{", b"[]", b'"x"', ours):
            self.reject(b"a", headers=headers)
            self.carry_out()
            letter = self.world.shown(self.dead)[-1]
            self.assertEqual(set(json.loads(letter.content.headers or b"")), {LETTER})

    def test_delivered_too_often(self) -> None:
        self.group = self.world.group(self.queue, max_deliveries=2)
        self.world.post(self.queue, b"a")
        for deliveries in (1, 2):
            self.assertEqual(self.claimed(), [deliveries])
            self.world.advance(31)
        self.assertEqual(self.claimed(), [])
        self.carry_out()
        (letter,) = self.world.shown(self.dead)
        self.assertEqual((member(letter, LETTER)["deliveries"], member(letter, LETTER)["reason"]), (2, LEASE_ENDED))

    def test_many_at_once(self) -> None:
        bodies = [b"%d" % number for number in range(50)]
        self.reject(*bodies)
        self.carry_out()
        self.world.advance(1)
        self.assertEqual(sorted(self.world.bodies(self.dead)), sorted(bodies))
        self.assertEqual(self.state().moves, {})

    def test_by_several_processes(self) -> None:
        """Also where one of them has read the state long before."""
        self.reject(b"a")
        late = self.world.front()
        self.world.get(late.groups.look(self.queue, self.group, 1))
        for front in (self.world.front(), self.front, late):
            self.carry_out(front)
        self.world.advance(1)
        self.assertEqual(self.world.bodies(self.dead), [b"a"])

    def test_what_was_taken_back_and_given_up_again(self) -> None:
        """Who knows of the first mark still writes it no second time, long after its key was forgotten."""
        self.reject(b"a", ttl=200_000)
        late = self.world.front()
        self.world.get(late.groups.look(self.queue, self.group, 1))
        self.carry_out()
        self.world.advance(1)
        self.assertEqual(self.redrive(), 1)
        self.world.advance(90_000)
        self.carry_out(late)
        self.assertEqual(self.world.bodies(self.dead), [])

    def test_the_message_is_gone(self) -> None:
        self.reject(b"a")
        self.remove(self.queue, self.world.shown(self.queue)[0])
        self.carry_out()
        self.assertEqual((self.world.bodies(self.dead), self.state().open), ([], {}))

    def test_the_queue_is_gone(self) -> None:
        """The message is left alone for longer and longer, and is given up once there is a queue."""
        self.reject(b"a")
        self.successResultOf(self.world.store.forget(self.dead))
        waits = []
        for _ in range(3):
            self.carry_out()
            (entry,) = self.state().open.values()
            self.assertEqual(entry.kind, WAITING)
            waits.append(round((entry.due - self.world.now()) / SECOND))
            self.assertEqual(self.claimed(), [])
            self.world.advance(waits[-1] + 0.1)
            self.mark()
        self.assertEqual(waits, [1, 2, 4])
        self.carry_out()
        anew = self.world.make("dead")
        self.world.advance(60)
        self.mark()
        self.carry_out()
        self.world.advance(1)
        self.assertEqual(self.world.bodies(anew), [b"a"])
        self.assertEqual(member(self.world.shown(anew)[0], LETTER)["deliveries"], 5)

    def test_the_queue_is_made_anew(self) -> None:
        """A move to the one before is not one to this one; the next is."""
        self.reject(b"a")
        self.successResultOf(self.world.store.forget(self.dead))
        anew = self.world.make("dead")
        self.carry_out()
        self.assertEqual(self.world.bodies(anew), [])
        self.world.advance(1.1)
        self.mark()
        self.carry_out()
        self.world.advance(1)
        self.assertEqual(self.world.bodies(anew), [b"a"])

    def test_it_cannot_be_written_there(self) -> None:
        """Where there is no room, or not now, the others go on; what is not known stays marked."""
        for error, kind in (
            (StorageFull("There is no room."), WAITING),
            (KeyInUse("Somebody is at it."), MARKED),
            (Unavailable("Nobody knows.", applied="unknown"), MARKED),
        ):
            self.reject(b"a", b"b", b"c")
            front = self.world.front()
            failing(front, error, 2)
            if kind is WAITING:
                self.carry_out(front)
            else:
                carried = Deferred.fromCoroutine(front.carry_out(self.queue, self.group))
                self.failureResultOf(carried, Unavailable)
            self.assertEqual([entry.kind for entry in self.state().open.values()], [kind])
            self.world.advance(2)
            if kind is WAITING:
                self.mark()
            self.carry_out()
            self.world.advance(1)
        self.assertEqual(sorted(self.world.bodies(self.dead)), sorted([b"a", b"b", b"c"] * 3))

    def test_what_is_not_found_is_asked_of_a_majority(self) -> None:
        """Of weak queues too: it is settled by that."""
        self.queue = self.world.make("weak", consistency=Consistency.WEAK)
        self.group = self.world.group(self.queue, dead_letter="dead")
        self.reject(b"a")
        asked: list[Ack] = []
        store = self.front.moves._store
        lookup = store.lookup

        def noted(queue: Queue, addresses: Any, ack: Ack) -> Any:
            asked.append(ack)
            return lookup(queue, addresses, ack)

        store.__dict__["lookup"] = noted
        self.carry_out()
        self.assertEqual(set(asked), {Ack.MAJORITY})
        self.world.advance(1)
        self.assertEqual(self.world.bodies(self.dead), [b"a"])

    def test_whoever_waits_for_dead_letters_is_told(self) -> None:
        woken: list[int] = []
        self.patch(self.front.waits, "wake", lambda incarnation, written: woken.append(incarnation))
        self.reject(b"a")
        self.carry_out()
        self.assertEqual(woken, [self.dead.incarnation])


class OutOnCassandraTests(OnCassandra, OutTests):
    """The same on a cluster."""

    def test_the_queue_becomes_weak(self) -> None:
        """It cannot keep dead letters from being doubled: the message waits until it can again."""
        self.reject(b"a")
        weak = attrs.evolve(self.dead.settings, consistency=Consistency.WEAK)
        self.dead = self.successResultOf(self.world.store.update(self.dead, weak))
        self.carry_out()
        (entry,) = self.world.state(self.queue, self.group).open.values()
        self.assertEqual((entry.kind, entry.setbacks), (WAITING, 1))
        self.assertEqual(self.world.bodies(self.dead), [])
        strong = attrs.evolve(weak, consistency=Consistency.STRONG)
        self.dead = self.successResultOf(self.world.store.update(self.dead, strong))
        self.world.advance(5)
        self.mark()
        self.carry_out()
        self.world.advance(1)
        self.assertEqual(self.world.bodies(self.dead), [b"a"])


def failing(front: Front, error: Exception, at: int) -> None:
    """Let the store fail at the append of that number."""
    store, calls = front.moves._store, 0
    append = store.append_once

    def append_once(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise error
        return append(*arguments)

    store.__dict__["append_once"] = append_once


def ticks_id(case: Case) -> Any:
    """An id that nothing has."""
    return case.world.post(case.world.make("elsewhere"), b"x")[0]


async def seek(front: Front, queue: Queue, group: Group, bound: Any) -> None:
    """Go to a place in the first partition."""
    await front.whole.seek(queue, group, {1: bound}, (1,))


class ExpiredTests(Case):
    """The original is no more when it is taken back: a copy is, for this group alone."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.world.group(self.queue, "other")

    def move_out(self, ttl: int = 60) -> None:
        self.reject(b"body", headers=b'{"own":1}', ttl=ttl)
        self.carry_out()
        self.world.advance(100)
        self.assertEqual((self.world.bodies(self.queue), len(self.world.bodies(self.dead))), ([], 1))

    def test_a_copy(self) -> None:
        self.move_out()
        origin = json.loads(self.world.shown(self.dead)[0].content.headers or b"")[LETTER]["id"]
        self.assertEqual((self.redrive(), self.redrive()), (1, 0))
        self.world.advance(1)
        (copy,) = self.world.shown(self.queue)
        self.assertEqual((copy.content.body, copy.content.content_type, copy.partition), (b"body", "text/plain", 1))
        ours = {ONLY: self.group.gid.hex(), ORIGIN: origin}
        self.assertEqual(json.loads(copy.content.headers or b""), {"own": 1, **ours})
        self.assertEqual(lifetime(copy), 3600)
        self.assertEqual((is_for_others(copy, self.group.gid), is_for_others(copy, self.other.gid)), (False, True))
        self.assertEqual((self.world.bodies(self.dead), self.claimed()), ([], [1]))

    def test_a_copy_that_is_given_up(self) -> None:
        """Its dead letter comes back as any other does."""
        self.move_out()
        self.redrive()
        self.world.advance(1)
        self.mark()
        self.carry_out()
        self.world.advance(1)
        (letter,) = self.world.shown(self.dead)
        self.assertEqual(set(json.loads(letter.content.headers or b"")), {"own", LETTER})
        self.assertEqual(self.redrive(), 1)
        self.assertEqual((len(self.world.bodies(self.queue)), self.claimed()), (1, [1]))

    def test_a_weak_queue(self) -> None:
        self.queue = self.world.make("weak", consistency=Consistency.WEAK)
        self.group = self.world.group(self.queue, dead_letter="dead")
        self.move_out()
        self.assertEqual((self.redrive(), self.redrive()), (1, 0))
        self.world.advance(1)
        self.assertEqual(self.world.bodies(self.queue), [b"body"])

    def test_who_is_for_whom(self) -> None:
        gid = self.group.gid
        for headers, expected in (
            (None, False),
            (b"{}", False),
            (b'{"other":"queuey-only"}', False),
            (b'{"queuey-only":7}', False),
            (b'{"queuey-only"', False),
            (b'{"queuey-only":"%s"}' % gid.hex().encode(), False),
            (b'{"queuey-only":"00"}', True),
        ):
            message = Message(1, self.world.post(self.queue, b"x")[0], Content(b"", None, headers), Ticks(0))
            self.assertEqual(is_for_others(message, gid), expected, headers)


def _unreliable(calls: Calls, number: int, store: IStore) -> UnreliableStore:
    """One front end's way to a store."""
    return UnreliableStore(lambda: store, calls, number)


again(__name__, {"SQLite": OnSQLite}, (OutTests,))


again(__name__, {"SQLite": OnSQLite, "Cassandra": OnCassandra}, (ExpiredTests,))
