"""Dead letters and messages that were set aside are returned to their group."""

from __future__ import annotations

import json
from typing import Any

from queuey.core.groups import redriving
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import Redriving
from queuey.errors import InvalidRequest, Unavailable
from queuey.model.groups.terms import Action, Outcome
from queuey.model.messages.dead_letter_headers import LETTER
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from queuey.model.timeid import Ticks, ticks_of
from tests.again import again
from tests.core.groups.dead_letters.test_group_moves import EVERYTHING, Case, member, seek, ticks_id
from tests.core.groups.group_fronts import OnCassandra, OnSQLite


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


again(
    __name__,
    {"SQLite": OnSQLite, "Cassandra": OnCassandra},
    (
        RedriveTests,
        AsideTests,
    ),
)
