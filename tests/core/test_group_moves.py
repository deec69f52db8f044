"""Messages that are given up go to the dead-letter queue, and come back from there, once, whoever dies at it."""

from __future__ import annotations

import json
from functools import partial
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from queuey.core.groups import redriving
from queuey.core.groups.dead_letters import is_for_others
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import Redriving
from queuey.errors import InvalidRequest, KeyInUse, StorageFull, Unavailable
from queuey.interfaces import IStore
from queuey.model.dead_letter_headers import LETTER, ONLY, ORIGIN, letter_of
from queuey.model.group_settings import Group
from queuey.model.groups.entries import MARKED, WAITING
from queuey.model.groups.settlements import LEASE_ENDED
from queuey.model.groups.snapshot import GroupState
from queuey.model.groups.terms import Action, Outcome
from queuey.model.message import Address, Content, Message
from queuey.model.policy import Ack
from queuey.model.queue import Consistency, Queue
from queuey.model.timeid import SECOND, Ticks, ticks_of
from tests import tried
from tests.again import again
from tests.core.group_fronts import Cut, Front, GroupCase, OnCassandra, OnSQLite, World
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


class RedriveTests(Case):
    """And back."""

    def move_out(self, *bodies: bytes, partition: int = 1, **posted: Any) -> None:
        self.reject(*bodies, partition=partition, **posted)
        self.carry_out(partition=partition)
        self.world.advance(1)

    def test_all(self) -> None:
        self.move_out(b"a", b"b")
        self.move_out(b"c", partition=2)
        self.assertEqual(self.redrive(), 3)
        self.assertEqual(self.world.bodies(self.dead), [])
        self.assertEqual((self.claimed(), self.claimed(2)), ([1, 1], [1]))
        self.assertEqual(self.redrive(), 0)

    def test_nothing(self) -> None:
        self.assertEqual(self.redrive(), 0)
        self.world.post(self.dead, b"no dead letter")
        self.world.post(self.dead, b"nor this", headers=b'{"queuey-dead-letter":{"gid":7}}')
        self.assertEqual(self.redrive(), 0)
        self.assertEqual(len(self.world.bodies(self.dead)), 2)

    def test_what_is_made_up(self) -> None:
        """A dead letter of a place that the queue lacks stays where it is."""
        told: dict[str, Any] = {
            "queue": "q",
            "group": "g",
            "gid": self.group.gid.hex(),
            "deliveries": 1,
            "reason": "",
        }
        for id in ("00" * 16 + "-9", "00" * 15 + "-1", "x-1", "00" * 16, "00" * 16 + "-0", 5):
            self.world.post(self.dead, b"x", headers=json.dumps({LETTER: {**told, "id": id}}).encode())
        self.assertEqual(self.redrive(), 0)
        self.assertEqual(len(self.world.bodies(self.dead)), 6)

    def test_those_of_other_groups_stay(self) -> None:
        other = self.world.group(self.queue, "other", dead_letter="dead")
        self.move_out(b"a")
        self.group, ours = other, self.group
        self.mark()
        self.carry_out()
        self.world.advance(1)
        self.group = ours
        self.assertEqual(self.redrive(), 1)
        (letter,) = self.world.shown(self.dead)
        self.assertEqual(member(letter, LETTER)["group"], "other")
        self.assertEqual((self.claimed(), self.claimed(group=other)), ([1], []))

    def test_those_of_a_group_of_before_stay(self) -> None:
        self.move_out(b"a")
        self.successResultOf(self.front.directory.delete(self.queue, self.group, lambda group: None))
        self.group = self.world.group(self.queue, dead_letter="dead")
        self.assertEqual((self.redrive(), self.world.bodies(self.dead)), (0, [b"a"]))

    def test_by_address(self) -> None:
        self.move_out(b"a", b"b", b"c")
        first, _, last = [Address(letter.partition, letter.id) for letter in self.world.shown(self.dead)]
        asked = Redriving((first, last, last, Address(9, first.id), Address(1, ticks_id(self))))
        self.assertEqual((self.redrive(asked), self.redrive(asked)), (2, 0))
        self.assertEqual(len(self.world.bodies(self.dead)), 1)
        self.assertEqual(self.claimed(), [1, 1])

    def test_by_time(self) -> None:
        """The time at which they became dead letters: from the first on, and before the second."""
        self.world.post(self.queue, b"a", b"b", b"c")
        for one in range(3):
            self.world.advance(10)
            taken = self.world.run(self.front.claim(self.queue, self.group, limit=1))
            self.world.run(self.front.settle(self.queue, self.group, Action.REJECT, taken))
            self.carry_out()
            self.assertEqual(len(taken), 1, one)
        self.world.advance(1)
        times = [ticks_of(letter.id) for letter in self.world.shown(self.dead)]
        asked = Redriving(since=times[1], until=times[2])
        self.assertEqual((self.redrive(asked), self.redrive(asked)), (1, 0))
        self.assertEqual(self.world.bodies(self.dead), [b"a", b"c"])
        self.assertEqual(self.redrive(Redriving(until=times[1])), 1)
        self.assertEqual(self.redrive(Redriving(since=Ticks(times[2] + 1))), 0)
        self.assertEqual(self.redrive(Redriving(since=times[2])), 1)

    def test_more_than_one_call_takes_back(self) -> None:
        self.move_out(*[b"%d" % number for number in range(8)])
        self.move_out(b"8", b"9", partition=2)
        told = []
        asked = Redriving(limit=3)
        while True:
            redriven = self.successResultOf(self.front.redrives.redrive(self.queue, self.group, asked))
            told.append(redriven.moved)
            if redriven.next is None:
                break
            asked = Redriving(after=redriven.next, limit=3)
        self.assertEqual((sum(told), max(told)), (10, 3))
        self.assertEqual((len(self.claimed()), len(self.claimed(2)), self.world.bodies(self.dead)), (8, 2, []))

    def test_more_addresses_than_one_call_takes_back(self) -> None:
        self.move_out(*[b"%d" % number for number in range(8)])
        addresses = tuple(Address(letter.partition, letter.id) for letter in self.world.shown(self.dead))
        asked = Redriving(addresses, limit=3)
        first = self.successResultOf(self.front.redrives.redrive(self.queue, self.group, asked))
        self.assertEqual(first.moved, 3)
        self.assertEqual(self.redrive(Redriving(addresses, after=first.next)), 5)

    def test_where_to_go_on(self) -> None:
        """Only from where an earlier call with the same choice has ended."""
        for after in ("", "x", "aside-", "ids-1", "letters-00-1", "aside-1 ", "aside-1\n", "aside--1"):
            answer = self.front.redrives.redrive(self.queue, self.group, Redriving(after=after))
            self.assertEqual(list(self.failureResultOf(answer, InvalidRequest).value.problems), ["after"])
        answer = self.front.redrives.redrive(self.queue, self.group, Redriving((), after="aside-1"))
        self.failureResultOf(answer, InvalidRequest)

    def test_too_much_in_flight(self) -> None:
        """It goes on where there is room again."""
        self.move_out(b"a", b"b", b"c")
        self.group = self.world.group(self.queue, max_in_flight=2)
        first = self.successResultOf(self.front.redrives.redrive(self.queue, self.group, EVERYTHING))
        self.assertEqual((first.moved, len(self.world.bodies(self.dead))), (2, 1))
        assert first.next is not None
        again = self.successResultOf(self.front.redrives.redrive(self.queue, self.group, Redriving(after=first.next)))
        self.assertEqual((again.moved, again.next), (0, first.next))
        taken = self.world.run(self.front.claim(self.queue, self.group))
        self.world.run(self.front.settle(self.queue, self.group, Action.ACK, taken))
        self.assertEqual(self.redrive(Redriving(after=again.next)), 1)
        self.assertEqual(self.claimed(), [1])

    def test_a_message_that_is_to_be_given_anyway(self) -> None:
        """Its dead letter is only removed."""
        self.move_out(b"a", b"b")
        bound = self.world.shown(self.queue)[0].id
        self.world.run(seek(self.front, self.queue, self.group, bound))
        taken = self.world.run(self.front.claim(self.queue, self.group, limit=1))
        self.assertEqual(self.redrive(), 2)
        self.assertEqual((self.world.bodies(self.dead), list(self.state().open)), ([], [taken[0].id]))
        self.assertEqual(self.claimed(), [1])

    def test_two_dead_letters_of_one_message(self) -> None:
        """It is taken back once."""
        self.move_out(b"a")
        bound = self.world.shown(self.queue)[0].id
        self.world.run(seek(self.front, self.queue, self.group, bound))
        self.mark()
        self.carry_out()
        self.world.advance(1)
        self.assertEqual(len(self.world.bodies(self.dead)), 2)
        self.assertEqual(self.redrive(), 2)
        self.assertEqual((self.world.bodies(self.dead), self.claimed()), ([], [1]))

    def test_an_ack_in_between(self) -> None:
        """Another process takes the message back, and it is acked, after this one has seen its dead letter."""
        self.move_out(b"a")
        find, busy = self.front.moves.find, self.world.front()

        async def found(queue: Queue, addresses: Any) -> Any:
            seen = await find(queue, addresses)
            if queue == self.queue and seen:
                self.front.moves.find = find  # type: ignore[method-assign]
                self.assertEqual(await busy.redrive(self.queue, self.group, EVERYTHING), 1)
                taken = await busy.claim(self.queue, self.group)
                await busy.settle(self.queue, self.group, Action.ACK, taken)
            return seen

        self.front.moves.find = found  # type: ignore[method-assign]
        self.assertEqual(self.redrive(), 0)
        self.world.advance(100)
        self.assertEqual(self.claimed(), [])

    def test_while_others_are_busy(self) -> None:
        """Each time that the dead letters are looked up, another message is claimed and acked meanwhile."""
        self.move_out(b"a")
        find, busy, left = self.front.moves.find, self.world.front(), [20]
        self.world.post(self.queue, *[b"%d" % number for number in range(left[0])])

        async def found(queue: Queue, addresses: Any) -> Any:
            seen = await find(queue, addresses)
            if queue == self.dead and left[0]:
                left[0] -= 1
                taken = await busy.claim(self.queue, self.group, limit=1)
                await busy.settle(self.queue, self.group, Action.ACK, taken)
            return seen

        self.front.moves.find = found  # type: ignore[method-assign]
        self.assertEqual((self.redrive(), left), (1, [0]))
        self.assertEqual(self.claimed(), [1])

    def test_while_others_are_too_busy(self) -> None:
        """It says so, and nothing is done."""
        self.move_out(b"a")
        self.patch(redriving, "_LOOKS", 3)
        find, busy = self.front.moves.find, self.world.front()

        async def found(queue: Queue, addresses: Any) -> Any:
            seen = await find(queue, addresses)
            self.world.post(self.queue, b"x")
            await busy.claim(self.queue, self.group)
            return seen

        self.front.moves.find = found  # type: ignore[method-assign]
        answer = self.front.redrives.redrive(self.queue, self.group, EVERYTHING)
        self.assertEqual(self.failureResultOf(answer, Unavailable).value.applied, "unknown")
        self.assertEqual((self.world.bodies(self.dead), self.state().moves), ([b"a"], {}))

    def test_the_queue_is_gone(self) -> None:
        self.move_out(b"a")
        self.successResultOf(self.world.store.forget(self.dead))
        self.assertEqual(self.redrive(), 0)

    def test_the_queue_goes_while_a_message_comes_back(self) -> None:
        self.move_out(b"a")
        self.mark_in()
        self.successResultOf(self.world.store.forget(self.dead))
        self.world.make("dead")
        self.carry_out()
        self.assertEqual(self.claimed(), [1])

    def mark_in(self) -> None:
        """Mark all dead letters to come back, and die."""
        for at in range(1, 50):
            front = self.world.front(at)
            begun = front.redrives.redrive(self.queue, self.group, EVERYTHING)
            begun.addErrback(lambda failure: None)
            if self.state().moves:
                return
        raise AssertionError("nothing was marked")


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


class AsideTests(Case):
    """What was set aside, as there was no dead-letter queue."""

    def setUp(self) -> None:
        super().setUp()
        self.group = self.world.group(self.queue, "plain")

    def aside(self, *bodies: bytes, partition: int = 1, **posted: Any) -> list[Address]:
        ids = self.world.post(self.queue, *bodies, partition=partition, **posted)
        taken = self.world.run(self.front.claim(self.queue, self.group, partition, 100))
        outcomes = self.world.run(self.front.settle(self.queue, self.group, Action.REJECT, taken, partition))
        self.assertEqual(set(outcomes), {Outcome.SET_ASIDE})
        return [Address(partition, id) for id in ids]

    def test_all(self) -> None:
        self.aside(b"a", b"b")
        self.aside(b"c", partition=2)
        self.assertEqual((self.redrive(), self.redrive()), (3, 0))
        self.assertEqual((self.claimed(), self.claimed(2)), ([1, 1], [1]))

    def test_with_dead_letters(self) -> None:
        self.aside(b"a")
        put = self.front.directory.change(self.queue, self.group, GroupChanges(dead_letter="dead"), lambda group: None)
        self.group = self.successResultOf(put)
        self.reject(b"b")
        self.carry_out()
        self.world.advance(1)
        self.assertEqual((self.redrive(), self.redrive()), (2, 0))
        self.assertEqual(self.claimed(), [1, 1])

    def test_by_address(self) -> None:
        first, _, last = self.aside(b"a", b"b", b"c")
        asked = Redriving((first, last, Address(2, first.id)))
        self.assertEqual((self.redrive(asked), self.redrive(asked)), (2, 0))
        self.assertEqual((self.claimed(), self.state().set_aside), ([1, 1], 1))

    def test_by_time(self) -> None:
        """The time at which they were posted."""
        found = []
        for body in (b"a", b"b", b"c"):
            found += self.aside(body)
            self.world.advance(10)
        times = [ticks_of(address.id) for address in found]
        self.assertEqual(self.redrive(Redriving(since=times[1], until=times[2])), 1)
        self.assertEqual(list(self.state().open), [found[1].id])

    def test_one_that_is_no_more(self) -> None:
        self.aside(b"a", ttl=5)
        self.aside(b"b")
        self.world.advance(10)
        self.assertEqual((self.redrive(), self.state().aside, self.state().set_aside), (1, (), 0))
        self.assertEqual(self.claimed(), [1])

    def test_more_than_one_call_takes_back(self) -> None:
        self.aside(b"a", b"b", b"c")
        self.aside(b"d", partition=2)
        places: list[str | None] = [None]
        for moved, next in ((2, "aside-1"), (2, None)):
            asked = Redriving(after=places[-1], limit=2)
            redriven = self.successResultOf(self.front.redrives.redrive(self.queue, self.group, asked))
            self.assertEqual((redriven.moved, redriven.next), (moved, next))
            places.append(redriven.next)

    def test_too_much_in_flight(self) -> None:
        self.aside(b"a", b"b", b"c")
        self.group = self.world.group(self.queue, "plain", max_in_flight=2)
        first = self.successResultOf(self.front.redrives.redrive(self.queue, self.group, EVERYTHING))
        self.assertEqual((first.moved, first.next), (2, "aside-1"))
        again = self.successResultOf(self.front.redrives.redrive(self.queue, self.group, EVERYTHING))
        self.assertEqual((again.moved, again.next), (0, "aside-1"))


class DyingTests(Case):
    """A process dies in the middle of a move: whoever comes next brings it to its end; nothing is lost, or doubled."""

    def marked(self, world: World) -> tuple[Queue, Queue, Group]:
        """Two messages on their way out."""
        queue, dead, group = self.prepare(world)
        front = world.front()
        world.post(queue, b"a", b"b")
        taken = world.run(front.claim(queue, group))
        world.run(front.settle(queue, group, Action.REJECT, taken))
        return queue, dead, group

    def moved(self, world: World) -> tuple[Queue, Queue, Group]:
        """Two dead letters."""
        queue, dead, group = self.marked(world)
        world.run(world.front().carry_out(queue, group))
        world.advance(1)
        return queue, dead, group

    def expired(self, world: World) -> tuple[Queue, Queue, Group]:
        """Two dead letters, one of which is of a message that is no more."""
        queue, dead, group = self.moved(world)
        first = world.shown(queue)[0]
        world.get(world.store.remove(queue, [Address(1, first.id)], Ack.MAJORITY))
        return queue, dead, group

    async def carry(self, front: Front, queue: Queue, dead: Queue, group: Group) -> None:
        await front.carry_out(queue, group)

    async def take_back(self, front: Front, queue: Queue, dead: Queue, group: Group) -> None:
        await front.redrive(queue, group, EVERYTHING)

    def test_out(self) -> None:
        def check(world: World, queue: Queue, dead: Queue, group: Group) -> None:
            world.advance(20)
            world.run(world.front().carry_out(queue, group))
            world.advance(1)
            self.assertEqual(sorted(world.bodies(dead)), [b"a", b"b"])
            state = world.state(queue, group)
            self.assertEqual((state.open, state.moves), ({}, {}))

        self.each_cut(self.marked, self.carry, check)

    def test_out_and_the_message_goes(self) -> None:
        """It has no dead letter, or one."""

        def check(world: World, queue: Queue, dead: Queue, group: Group) -> None:
            for message in world.shown(queue):
                world.get(world.store.remove(queue, [Address(1, message.id)], Ack.MAJORITY))
            world.advance(20)
            world.run(world.front().carry_out(queue, group))
            world.advance(1)
            self.assertLessEqual(len(world.bodies(dead)), 2)
            self.assertEqual(world.state(queue, group).open, {})

        self.each_cut(self.marked, self.carry, check)

    def test_out_and_the_queue_is_made_anew(self) -> None:
        """Nothing that was meant for the one before is in it, until the message is given up once more."""

        def check(world: World, queue: Queue, dead: Queue, group: Group) -> None:
            world.get(world.store.forget(dead))
            anew = world.make("dead")
            world.advance(20)
            front = world.front()
            world.run(front.carry_out(queue, group))
            self.assertEqual(world.bodies(anew), [])
            world.advance(2)
            left = len(world.state(queue, group).open)
            taken = world.run(front.claim(queue, group))
            world.run(front.settle(queue, group, Action.REJECT, taken))
            world.run(front.carry_out(queue, group))
            world.advance(1)
            self.assertEqual((len(taken), len(world.bodies(anew))), (left, left))

        self.each_cut(self.marked, self.carry, check)

    def come_back(self, world: World, queue: Queue, dead: Queue, group: Group) -> None:
        """Each of the two messages can be claimed once more, and only once."""
        world.advance(20)
        front = world.front()
        world.run(front.redrive(queue, group, EVERYTHING))
        world.run(front.carry_out(queue, group))
        world.advance(1)
        self.assertEqual(world.bodies(dead), [])
        taken = world.run(front.claim(queue, group))
        self.assertEqual([one.deliveries for one in taken], [1, 1])
        found = world.run(front.moves.find(queue, [Address(1, one.id) for one in taken]))
        self.assertEqual(sorted(message.content.body for message in found.values()), [b"a", b"b"])
        self.assertEqual(set(world.run(front.settle(queue, group, Action.ACK, taken))), {Outcome.ACKED})
        world.run(front.redrive(queue, group, EVERYTHING))
        world.advance(100)
        self.assertEqual(world.run(front.claim(queue, group)), ())

    def test_back(self) -> None:
        self.each_cut(self.moved, self.take_back, self.come_back)

    def test_back_where_one_is_no_more(self) -> None:
        self.each_cut(self.expired, self.take_back, self.come_back)

    def test_back_and_one_goes_meanwhile(self) -> None:
        """What was marked while its message was there, and is carried out when it is no more, comes as a copy, unless
        its dead letter was removed by then."""

        def check(world: World, queue: Queue, dead: Queue, group: Group) -> None:
            first = world.shown(queue)[0]
            letters = [member(letter, LETTER)["id"] for letter in world.shown(dead)]
            world.get(world.store.remove(queue, [Address(1, first.id)], Ack.MAJORITY))
            world.advance(20)
            front = world.front()
            world.run(front.carry_out(queue, group))
            world.run(front.redrive(queue, group, EVERYTHING))
            world.advance(1)
            self.assertEqual(world.bodies(dead), [])
            expected = [b"b"] + [b"a"] * (f"{first.id.hex()}-1" in letters)
            self.assertEqual(sorted(world.bodies(queue)), sorted(expected))
            taken = world.run(front.claim(queue, group))
            self.assertEqual(len(taken), len(expected))

        self.each_cut(self.moved, self.take_back, check)

    def test_what_was_set_aside(self) -> None:
        def prepare(world: World) -> tuple[Queue, Queue, Group]:
            queue, dead, _ = self.prepare(world)
            group = world.group(queue, "plain")
            world.post(queue, b"a", b"b")
            front = world.front()
            taken = world.run(front.claim(queue, group))
            world.run(front.settle(queue, group, Action.REJECT, taken))
            return queue, dead, group

        self.each_cut(prepare, self.take_back, self.come_back)


class RacingTests(Case):
    """Several processes at once, whose calls take turns in any order, and fail, or are done though nobody knows."""

    def race(self, seed: int, broken: bool) -> list[str]:
        """What was acked, by its body: one process carries out what is marked, three take back all there is, and three
        claim and ack; then one does all that until nothing is left."""
        world = self.new_world()
        queue, dead, group = self.prepare(world)
        front = world.front()
        bodies = [b"%d" % number for number in range(4)]
        world.post(queue, *bodies)
        taken = world.run(front.claim(queue, group))
        world.run(front.settle(queue, group, Action.REJECT, taken))
        calls, acked = Calls(Random(seed)), list[str]()
        calls.broken = broken
        names = {one.id: body.decode() for one, body in zip(taken, bodies, strict=True)}

        async def carry(front: Front) -> None:
            for _ in range(2):
                await front.carry_out(queue, group)

        async def back(front: Front) -> None:
            for _ in range(3):
                await front.redrive(queue, group, EVERYTHING)

        async def work(front: Front) -> None:
            for _ in range(12):
                taken = await front.claim(queue, group)
                try:
                    outcomes = await front.settle(queue, group, Action.ACK, taken)
                except Unavailable as error:
                    acked.extend(f"{names[one.id]}?" for one in taken if error.applied != "no")
                    raise
                acked.extend(
                    names[one.id] for one, outcome in zip(taken, outcomes, strict=True) if outcome is Outcome.ACKED
                )

        for number, act in enumerate((carry, back, back, back, work, work, work)):
            front = Front(world, Cut(), partial(_unreliable, calls, number))
            Deferred.fromCoroutine(act(front)).addErrback(lambda failure: failure.trap(Unavailable, KeyInUse))
        while calls:
            calls.release()
            if calls:
                world.advance(0.01)
        calls.calm()
        front = world.front()
        for _ in range(3):
            world.advance(60)
            world.run(front.carry_out(queue, group))
            world.run(front.redrive(queue, group, EVERYTHING))
            world.run(work(front))
        self.assertEqual((world.bodies(dead), world.state(queue, group).open), ([], {}), seed)
        return sorted(acked)

    def test_all_goes_well(self) -> None:
        """Each message is acked, and once."""
        for seed in range(tried(100, 2000)):
            self.assertEqual(self.race(seed, broken=False), ["0", "1", "2", "3"], seed)

    def test_much_goes_wrong(self) -> None:
        """Each message is acked once, or nobody knows."""
        for seed in range(tried(150, 3000)):
            acked = self.race(seed, broken=True)
            self.assertEqual({one[0] for one in acked}, {"0", "1", "2", "3"}, (seed, acked))
            for name in "0123":
                self.assertLessEqual(acked.count(name), 1, (seed, acked))


def _unreliable(calls: Calls, number: int, store: IStore) -> UnreliableStore:
    """One front end's way to a store."""
    return UnreliableStore(lambda: store, calls, number)


again(__name__, {"SQLite": OnSQLite}, (OutTests,))


again(__name__, {"SQLite": OnSQLite, "Cassandra": OnCassandra}, (RedriveTests, ExpiredTests, AsideTests, DyingTests))
