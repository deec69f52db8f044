"""Moves of dead letters that end in the middle, or meet failures: each message is moved once."""

from __future__ import annotations

from functools import partial
from random import Random

from twisted.internet.defer import Deferred

from queuey.errors import KeyInUse, Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action, Outcome
from queuey.model.messages.dead_letter_headers import LETTER
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from tests import tried
from tests.again import again
from tests.core.groups.dead_letters.test_group_moves import EVERYTHING, Case, _unreliable, member
from tests.core.groups.group_fronts import Cut, Front, OnCassandra, OnSQLite, World
from tests.histories.groups.unreliable import Calls


class DyingTests(Case):
    """A process dies in the middle of a move: the next request finishes it; nothing is lost, or doubled."""

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
    """Several processes at once, whose calls take turns in any order, and fail, or are done with an unknown outcome."""

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
        """Each message is acked once, or the outcome of its ack is unknown."""
        for seed in range(tried(150, 3000)):
            acked = self.race(seed, broken=True)
            self.assertEqual({one[0] for one in acked}, {"0", "1", "2", "3"}, (seed, acked))
            for name in "0123":
                self.assertLessEqual(acked.count(name), 1, (seed, acked))


again(__name__, {"SQLite": OnSQLite, "Cassandra": OnCassandra}, (DyingTests,))
