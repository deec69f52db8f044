"""Waiting claims: first come, first served; woken by any message that may be for them; answered at their deadlines."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.groups.values import Claiming, Delivered, Delivery
from queuey.core.groups.wait_queue import May, WaitQueue, WaitQueues
from queuey.core.waiting import Waits
from queuey.errors import NoSuchGroup, Unavailable
from queuey.model.groups.commands import After
from queuey.model.groups.entries import LEASED, MARKED, WAITING
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.messages.message import Content, Message, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, from_seconds

QUEUE = 7
NOTHING = Delivered(())
BLOCKED = Delivered((), blocked=True)


def some(number: int = 1) -> Delivered:
    message = Message(1, MessageId(number.to_bytes(16, "big")), Content(b"x"), Ticks(0))
    return Delivered((Delivery(message, "r", 1, 30, Ticks(0)),))


def group(gid: bytes = b"g" * 16) -> Group:
    return Group(QUEUE, "g", gid, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "v")


@attrs.define(eq=False)
class Tried:
    """One attempt, which the test answers."""

    claiming: Claiming
    partitions: tuple[int, ...]
    answer: Deferred[Delivered]


class LinesCase(SynchronousTestCase):
    """Lines whose attempts a test sees, and answers at once or later."""

    look_every: float | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.waits = Waits(self.clock, lambda arrived: self.look_every)
        self.wait_queues = WaitQueues(self.waits, self.now, self.attempt)
        self.tried: list[Tried] = []
        self.at_once: list[Delivered | Exception] = []
        self.later = False
        self.queue = Queue("a", "q", QueueSettings(), QUEUE, "v", Ticks(0))
        self.group = group()

    def now(self) -> Ticks:
        return from_seconds(self.clock.seconds())

    def after(self, seconds: float) -> Ticks:
        return from_seconds(self.clock.seconds() + seconds)

    async def attempt(
        self, queue: Queue, group: Group, claiming: Claiming, partitions: tuple[int, ...], may: May | None
    ) -> Delivered:
        self.used = queue, group
        tried = Tried(claiming, partitions, Deferred())
        self.tried.append(tried)
        if not self.later:
            answer = self.at_once.pop(0) if self.at_once else NOTHING
            if isinstance(answer, Exception):
                raise answer
            return answer
        return await tried.answer

    def wait(
        self,
        seconds: float = 20,
        partitions: tuple[int, ...] = (1,),
        key: bytes | None = None,
        limit: int = 10,
        pause: Callable[[], float] | None = None,
    ) -> Deferred[Delivered]:
        """A claim that got nothing at first, and waits."""
        return Deferred.fromCoroutine(
            self._wait(Claiming(limit, None, seconds, 1, None, key, look_pause=pause), partitions)
        )

    async def _wait(self, claiming: Claiming, partitions: tuple[int, ...]) -> Delivered:
        with self.wait_queues.join(self.queue, self.group, partitions) as line:
            return await line.wait(claiming, line.news, NOTHING)

    def due(self, *entries: tuple[float, int]) -> Ticks | None:
        """When the first of some messages is due, which are due in so many seconds, by their kinds."""
        return min((self.after(seconds) for seconds, kind in entries if kind != MARKED), default=None)

    def changed(self, partition: int, *entries: tuple[float, int]) -> None:
        """A partition has changed: messages are due in so many seconds, by their kinds."""
        self.wait_queues.changed(self.group, {partition: After(self.due(*entries), False)})

    def arrives(self, *partitions: int, delay: float = 0, queue: int = QUEUE) -> None:
        """Messages arrive, and everybody hears of it."""
        new = [NewMessage(number, Content(b"x"), 60, Ticks(int(delay * SECOND))) for number in partitions]
        self.waits.wake(queue, new)
        self.clock.advance(0)

    def limits(self) -> list[int]:
        """Those that were tried, by their limits."""
        return [tried.claiming.limit for tried in self.tried]

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.wait_queues._by_group, self.waits.listeners, self.waits.waiting), ({}, {}, 0))


class WakingTests(LinesCase):
    """What wakes those who wait."""

    def test_a_message(self) -> None:
        waiting = self.wait()
        self.assertEqual(self.tried, [])
        self.at_once = [some()]
        self.arrives(1)
        self.assertEqual(self.successResultOf(waiting), some())
        self.assert_nothing_left()

    def test_nothing_of_other_places(self) -> None:
        waiting = self.wait(partitions=(1, 3))
        self.arrives(2)
        self.arrives(1, queue=8)
        self.arrives(1, delay=5)
        self.waits.wake(QUEUE, only_fresh=True)
        self.wait_queues.tell(group(b"o" * 16))
        self.wait_queues.tell(self.group, {2})
        self.clock.advance(0)
        self.assertEqual(self.tried, [])
        self.at_once = [some()]
        self.arrives(2, 3)
        self.assertEqual((self.successResultOf(waiting), self.tried[0].partitions), (some(), (3,)))
        self.assert_nothing_left()

    def test_what_falls_due_anywhere(self) -> None:
        waiting = self.wait(partitions=(1, 2))
        self.at_once = [some()]
        self.waits.wake(QUEUE)
        self.assertNoResult(waiting)
        self.clock.advance(0)
        self.assertEqual((self.successResultOf(waiting), self.tried[0].partitions), (some(), (1, 2)))

    def test_a_settlement(self) -> None:
        waiting = self.wait(partitions=(1, 2))
        self.at_once = [some()]
        self.wait_queues.tell(self.group, {2})
        self.clock.advance(0)
        self.assertEqual((self.successResultOf(waiting), self.tried[0].partitions), (some(), (2,)))
        self.assert_nothing_left()

    def test_the_whole_group(self) -> None:
        waiting = [self.wait(partitions=(1, 2)), self.wait(partitions=(2,)), self.wait(partitions=(1,))]
        self.at_once = [some(), some(), some()]
        self.wait_queues.tell(self.group)
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(one) for one in waiting], [some()] * 3)
        self.assert_nothing_left()

    def test_a_lease_that_ends(self) -> None:
        waiting = self.wait()
        self.changed(1, (7, LEASED), (5, LEASED), (1, MARKED))
        self.clock.advance(4.99)
        self.assertEqual(self.tried, [])
        self.at_once = [some()]
        self.clock.advance(0.02)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting), some())
        self.assert_nothing_left()

    def test_a_retry_that_comes_sooner_than_was_known(self) -> None:
        waiting = self.wait()
        self.changed(1, (10, LEASED))
        self.clock.advance(1)
        self.changed(1, (2, WAITING))
        self.at_once = [some()]
        self.clock.advance(2)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting), some())

    def test_a_lease_that_is_extended(self) -> None:
        """The timer is called too early then, and nothing is tried before it is time."""
        self.wait()
        self.changed(1, (2, LEASED))
        self.changed(1, (6, LEASED))
        self.clock.pump([1] * 5)
        self.assertEqual(self.tried, [])
        self.clock.pump([1, 0])
        self.assertEqual(len(self.tried), 1)

    def test_what_is_settled_is_waited_for_no_more(self) -> None:
        self.wait()
        self.changed(1, (2, LEASED))
        self.changed(1)
        self.clock.pump([1] * 10)
        self.assertEqual(self.tried, [])

    def test_leases_of_several_partitions(self) -> None:
        self.wait(partitions=(1, 2, 3))
        for number in (1, 2, 3):
            self.changed(number, (number, LEASED))
        self.changed(4, (0.5, LEASED))
        for number in (1, 2, 3):
            self.clock.pump([1, 0])
            self.assertEqual([tried.partitions for tried in self.tried], [(each,) for each in range(1, number + 1)])

    def test_what_came_before_it_stood_in_line(self) -> None:
        """Between the first attempt and the wait nothing is missed."""
        with self.wait_queues.join(self.queue, self.group, (1,)) as line:
            news = line.news
            self.arrives(1)
            self.assertEqual(self.tried, [])
            self.at_once = [some()]
            waiting = line.wait(Claiming(wait=20), news, NOTHING)
            self.clock.advance(0)
            self.assertEqual(self.successResultOf(waiting), some())
        self.assert_nothing_left()

    def test_what_comes_while_one_tries(self) -> None:
        self.later = True
        waiting = self.wait()
        self.arrives(1)
        self.arrives(1)
        self.assertEqual(len(self.tried), 1)
        self.tried[0].answer.callback(NOTHING)
        self.assertEqual(len(self.tried), 2)
        self.tried[1].answer.callback(some())
        self.assertEqual(self.successResultOf(waiting), some())
        self.assert_nothing_left()


class OrderTests(LinesCase):
    """First come, first served; and no more are tried than is worth it."""

    def test_first_come_first_served(self) -> None:
        waiting = [self.wait(limit=limit) for limit in range(1, 7)]
        self.at_once = [some(1), some(2)]
        self.waits.wake(QUEUE)
        self.clock.advance(0)
        self.assertEqual([one.called for one in waiting], [True, True] + [False] * 4)
        self.assertEqual(self.limits(), [1, 2, 3, 4])
        self.at_once = [some(3)]
        self.arrives(1)
        self.assertEqual([one.called for one in waiting], [True] * 3 + [False] * 3)
        self.assertEqual(self.limits()[4:], [3, 4])

    def test_no_more_than_messages_that_have_come(self) -> None:
        """And one more at a time after those, since nothing may be left."""
        for limit in range(1, 10):
            self.wait(limit=limit)
        self.arrives(1)
        self.assertEqual(self.limits(), [1])
        self.wait_queues.tell(self.group, {1}, 1)
        self.arrives(1, 1)
        self.assertEqual(self.limits()[1:], [1, 2, 3])
        self.wait_queues.changed(self.group, {}, {1}, 2)
        self.clock.advance(0)
        self.assertEqual(self.limits()[4:], [1, 2])

    def test_one_after_another_as_long_as_there_is_something(self) -> None:
        """Whatever was known of it: a claim that waits does not miss a message."""
        waiting = [self.wait(limit=limit) for limit in range(1, 10)]
        self.at_once = [some()] * 7
        self.arrives(1)
        self.assertEqual([one.called for one in waiting], [True] * 7 + [False] * 2)

    def test_one_under_a_key_does_not_stand_before_others(self) -> None:
        """It may get nothing of what there is."""
        keyed, waiting = self.wait(limit=1, key=b"k" * 16), [self.wait(limit=limit) for limit in (2, 3)]
        self.at_once = [NOTHING, some(), NOTHING, some()]
        self.arrives(1)
        self.assertEqual(self.limits(), [1, 2, 1, 3, 1])
        self.assertEqual([one.called for one in (keyed, *waiting)], [False, True, True])

    def test_those_under_a_key_end(self) -> None:
        for _ in range(20):
            self.wait(key=b"k" * 16)
        self.arrives(1)
        self.assertEqual(len(self.tried), 16)

    def test_as_many_as_there_is_something_for(self) -> None:
        self.later = True
        waiting = [self.wait(limit=limit) for limit in range(1, 101)]
        self.arrives(*[1] * 50)
        rounds: list[int] = []
        while len(self.tried) > sum(rounds):
            first = sum(rounds)
            rounds.append(len(self.tried) - first)
            for tried in self.tried[first:]:
                tried.answer.callback(some() if tried.claiming.limit <= 50 else NOTHING)
        self.assertEqual(rounds, [4, 16, 16, 16])
        self.assertEqual([one.called for one in waiting], [True] * 50 + [False] * 50)

    def test_one_under_a_key_sees_all_partitions(self) -> None:
        self.wait(partitions=(1, 2), key=b"k" * 16)
        self.wait(partitions=(1, 2))
        self.arrives(2)
        self.assertEqual([tried.partitions for tried in self.tried], [(1, 2), (2,)])

    def test_a_failure_is_of_those_that_were_tried(self) -> None:
        waiting = [self.wait() for _ in range(6)]
        self.at_once = [Unavailable("It does not answer.")] * 4
        self.arrives(1, 1, 1, 1)
        for one in waiting[:4]:
            self.failureResultOf(one, Unavailable)
        self.assertEqual(([one.called for one in waiting[4:]], len(self.tried)), ([False] * 2, 4))

    def test_a_group_that_is_no_more(self) -> None:
        waiting = [self.wait() for _ in range(40)]
        self.at_once = [NoSuchGroup("It was deleted.")] * 40
        self.wait_queues.tell(self.group)
        self.clock.advance(0)
        for one in waiting:
            self.failureResultOf(one, NoSuchGroup)
        self.assert_nothing_left()

    def test_the_queue_and_the_group_as_they_are(self) -> None:
        """Who joined last knows them."""
        first = self.wait_queues.join(self.queue, self.group, (1,))
        queue, group = attrs.evolve(self.queue, version="w"), attrs.evolve(self.group, version="w")
        self.assertIs(self.wait_queues.join(queue, group, (1,)), first)
        with first as line:
            line.wait(Claiming(wait=20), line.news, NOTHING)
            self.arrives(1)
            self.assertEqual(self.used, (queue, group))


class QuietTests(LinesCase):
    """Who comes right after one that got nothing need not look."""

    def after_one(self, got: Delivered = NOTHING, key: bytes | None = None) -> WaitQueue:
        """The line in which one waits that has got nothing."""
        line = self.wait_queues.join(self.queue, self.group, (1, 2))
        line.__enter__()
        self.addCleanup(line.__exit__, None, None, None)
        self.assertIsNone(line.nothing())
        line.wait(Claiming(wait=20, key=key), line.news, got)
        return line

    def test_a_moment(self) -> None:
        line = self.after_one(BLOCKED)
        self.clock.advance(0.9)
        self.assertIs(line.nothing(), BLOCKED)
        self.clock.advance(0.1)
        self.assertIsNone(line.nothing())

    def test_it_is_not_made_longer_by_those_who_did_not_look(self) -> None:
        line = self.after_one()
        self.clock.advance(0.9)
        line.wait(Claiming(wait=20), line.news, line.nothing() or BLOCKED)
        self.clock.advance(0.2)
        self.assertIsNone(line.nothing())

    def test_until_something_comes(self) -> None:
        for news in (
            lambda: self.waits.wake(QUEUE),
            lambda: self.wait_queues.tell(self.group, {2}),
            lambda: self.wait_queues.tell(self.group),
        ):
            line = self.after_one()
            news()
            self.assertIsNone(line.nothing())
            self.doCleanups()

    def test_until_a_lease_ends(self) -> None:
        line = self.after_one()
        self.changed(1, (0.5, LEASED))
        self.clock.advance(0.4)
        self.assertIsNotNone(line.nothing())
        self.clock.advance(0.1)
        self.assertIsNone(line.nothing())

    def test_what_comes_while_one_looks(self) -> None:
        line = self.wait_queues.join(self.queue, self.group, (1,))
        with line:
            news = line.news
            self.arrives(1)
            line.wait(Claiming(wait=20), news, NOTHING)
            self.assertIsNone(line.nothing())

    def test_one_under_a_key_may_have_looked_at_one_partition(self) -> None:
        self.assertIsNone(self.after_one(key=b"k" * 16).nothing())
