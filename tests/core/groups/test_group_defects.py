"""The store raises an unexpected error, at each of its calls in turn: one request fails, and service goes on.

No flag of claims, waits, states and lines stays set after it: what comes next is served as if it had not been.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import Claiming, Delivered, Settling
from queuey.core.groups.wait_queue import WaitQueues
from queuey.core.messages import MessageExchange
from queuey.core.policies import GivenPolicies
from queuey.core.rates import RateLimits
from queuey.core.waiting import Waits
from queuey.interfaces import IGroupStore, IPolicies, IStore
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Action, Outcome
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.start import Start
from queuey.model.reading.window import Merge, Position
from queuey.model.timeid import LOWEST, Ticks, from_seconds, lower_bound
from queuey.storage.cassandra.groups import CassandraGroups, GroupTables
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, begun
from tests.storage.cassandra.row_tables import RowTables

CALLS: Final = frozenset({
    "append", "append_once", "describe", "lookup", "read_merged", "remove", "read", "replace", "policy_for",
})  # fmt: skip
"""The calls of a store, of its states and of policies that groups make."""

MOST: Final = 600
"""Calls of one course at the most."""


class Defect(RuntimeError):
    """What no store promises to raise."""


class Defective:
    """A store, or its states, that raises an unexpected error at one of its calls.

    :ivar left: calls until that one, which is counted with those of the states; 0: it does not raise.
    :ivar at_once: whether it raises instead of returning a Deferred that fails.
    :ivar after: whether it fails once the call is done.
    """

    def __init__(self, inner: Any, counter: Defective | None = None) -> None:
        self._inner = inner
        self._counter = counter or self
        self.left = 0
        self.at_once = False
        self.after = False
        if counter is None:
            self.states = Defective(inner.states, self)
            self.groups: IGroupStore = inner.groups

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in CALLS:
            return method

        return lambda *arguments: self._counter.enter(lambda: cast(Deferred[Any], method(*arguments)))

    def enter(self, call: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """Make a call, or let it fail."""
        if self.at_once:
            self.count()
            return call()
        self.left -= 1
        if self.left:
            return call()
        if self.after:
            return call().addBoth(lambda _: fail(Defect()))
        return fail(Defect())

    def count(self) -> None:
        """Count a call that returns no Deferred."""
        self.left -= 1
        if not self.left:
            raise Defect


class DefectCase(GroupCase):
    """Courses of events, in each of which the store raises once; and what has to be so after each."""

    partitions = 2
    at_once = False
    after = False

    def setUp(self) -> None:
        super().setUp()
        self.defective = Defective(self.spied)
        given = Defective(GivenPolicies(lambda: self.policies), self.defective)
        store, policies = cast(IStore, self.defective), cast(IPolicies, given)

        def new_bytes(size: int) -> bytes:
            self.defective.count()
            return self.random.randbytes(size)

        self.random = Random(1)
        ticks, alone = lambda: from_seconds(self.under.wall()), self.waits.look_every is None
        tables = GroupTables(RowTables(self.under.wall), "ks", self.defective.enter)
        self.defective.groups = CassandraGroups(
            store,
            store.states,
            tables,
            lambda: 0 if alone else None,
            ticks,
            self.random.randbytes,
            lambda: succeed(None),
        )
        self.groups = GroupExchange(store, policies, self.waits, self.under.wall, new_bytes)
        rates = RateLimits(policies, self.clock)
        self.reading = MessageExchange(store, policies, lambda below: 0, self.waits, rates, settles=False)

    def each_call(self, course: Callable[[], object]) -> None:
        """Raise at the first call of a course, at the second and so on, until it makes no more."""
        for number in range(1, MOST):
            self.doCleanups()
            self.setUp()
            self.defective.at_once, self.defective.after = self.at_once, self.after
            self.defective.left = number
            course()
            over = self.defective.left > 0
            self.defective.left = 0
            self.goes_on()
            self.flushLoggedErrors(Defect)
            if over:
                self.assertGreater(number, 1)
                gc.collect()
                self.assertEqual(self.flushLoggedErrors(Defect), [], "logged when the collector came, not at once")
                return
        self.fail("there is no end of calls")

    def attempt(self, answer: Deferred[Any], seconds: float = 0) -> Any:
        """What became of a request: its result, or ``None`` if it failed as the store did. It has an end in any case.

        :param seconds: how long it may take.
        """
        for _ in range(int(seconds)):
            self.advance(1)
        results: list[Any] = []
        answer.addErrback(lambda failure: failure.trap(Exception) and None).addBoth(results.append)
        self.assertEqual(len(results), 1, "there is no answer")
        return results[0]

    def try_claim(self, **asked: Any) -> Delivered | None:
        return cast(Delivered | None, self.attempt(self.claiming(**asked)))

    def goes_on(self) -> None:
        """Everything is served: those that wait too, and nothing is lost."""
        self.advance(32)
        waiting = [self.claiming(wait=20, limit=1, partitions=(number,)) for number in (1, 2)]
        everywhere, reader = self.claiming(wait=20, limit=1), self.reader(20)
        self.advance(2)
        for number in (1, 2):
            self.post(b"new", b"new", b"new", partition=number)
        for _ in range(5):
            self.advance(1)
        found = [self.successResultOf(one) for one in (*waiting, everywhere)]
        self.assertGreater(len(self.successResultOf(reader).messages), 0)
        receipts = [each.receipt or "" for one in found for each in one.deliveries]
        self.assertEqual(len(receipts), 3)
        self.assertEqual(set(self.settle(Action.ACK, *receipts)), {Outcome.ACKED})
        self.post(b"end", partition=1)
        self.advance(40)
        bodies = []
        while given := self.claim(limit=100).deliveries:
            bodies += [each.message.content.body for each in given]
            self.settle(Action.ACK, *[each.receipt or "" for each in given])
            self.advance(2)
        self.assertIn(b"end", bodies)
        other = self.make_group("after", start=Start.OLDEST)
        self.assertGreater(len(self.claim(other).deliveries), 0)
        self.successResultOf(begun(self.groups.delete(self.queue, other, lambda _: None)))

    # Courses

    def claims(self) -> None:
        self.post_some()
        self.try_claim(limit=1)
        self.try_claim(limit=2, key=b"k" * 16)
        self.try_claim(limit=2, key=b"k" * 16)
        many = [self.claiming(limit=1) for _ in range(4)]
        for one in many:
            self.attempt(one)

    def claims_that_wait(self) -> None:
        waiting = [self.claiming(wait=5) for _ in range(6)] + [self.claiming(wait=5, key=b"k" * 16)]
        self.post_some()
        self.advance(1)
        waiting[0].cancel()
        self.post_some()
        for _ in range(6):
            self.advance(1)
        for one in waiting:
            self.attempt(one)

    def reader(self, wait: float) -> Deferred[Any]:
        """A reader of the newest messages, which may wait."""
        merge = Merge((1, 2), Position(lower_bound(from_seconds(self.under.wall()))), limit=10)
        return begun(self.reading.page(self.queue, merge, wait))

    def readers_that_wait(self) -> None:
        self.advance(3)
        waiting = [self.reader(5), self.reader(8)]
        for _ in range(3):
            self.advance(1)
        self.post_some()
        for _ in range(9):
            self.advance(1)
        for one in waiting:
            self.attempt(one)
        self.advance(1)
        again = self.reader(8)
        for _ in range(2):
            self.advance(1)
        self.post_some()
        for _ in range(4):
            self.advance(1)
        self.attempt(again)

    def leases_that_end(self) -> None:
        self.post_some()
        self.try_claim(lease=3)
        waiting = [self.claiming(wait=8, lease=3) for _ in range(3)]
        for _ in range(10):
            self.advance(1)
        for one in waiting:
            self.attempt(one)

    def settlements(self) -> None:
        self.post_some()
        given = self.try_claim(limit=10)
        receipts = [] if given is None else [each.receipt or "" for each in given.deliveries]
        for action, receipt in zip((Action.ACK, Action.RETRY, Action.EXTEND), receipts, strict=False):
            self.attempt(self.settling(action, receipt))
        if receipts:
            self.attempt(self.settling(Action.ACK, *receipts))

    def changes(self) -> None:
        def put(name: str) -> Deferred[Any]:
            return self.groups.put(self.queue, name, GroupChanges(lease=7), lambda _: None)

        for one in [put(f"n{number}") for number in range(3)]:
            self.attempt(one)
        made: tuple[Group, bool] | None = self.attempt(put("n1"))
        if made is not None:
            self.attempt(self.groups.change(self.queue, made[0], GroupChanges(lease=8), lambda _: None))
            self.attempt(begun(self.groups.delete(self.queue, made[0], lambda _: None)))
        self.attempt(self.groups.names(self.queue))
        self.attempt(begun(self.groups.seek(self.queue, self.group, Start.OLDEST, None)))
        self.attempt(self.groups.lag(self.queue, self.group))

    def settling(self, action: Action, *receipts: str) -> Deferred[Any]:
        return self.groups.settle(self.queue, self.group, [Settling(action, one) for one in receipts])

    def post_some(self) -> None:
        """Post without the store's raising: that is not what is looked at."""
        left, self.defective.left = self.defective.left, 0
        for number in (1, 2):
            self.post(b"1", b"2", partition=number)
        self.defective.left = left


class DefectTests(DefectCase):
    """On the memory store, which tells of what comes."""

    def test_readers(self) -> None:
        self.each_call(self.readers_that_wait)

    def test_claims(self) -> None:
        self.each_call(self.claims)

    def test_waits(self) -> None:
        self.each_call(self.claims_that_wait)

    def test_leases_that_end(self) -> None:
        self.each_call(self.leases_that_end)

    def test_settlements(self) -> None:
        self.each_call(self.settlements)

    def test_changes(self) -> None:
        self.each_call(self.changes)


class AtOnceTests(DefectTests):
    """It raises in place of returning a Deferred."""

    at_once = True


class AfterTests(DefectTests):
    """It fails once what was asked for is done."""

    after = True


class OnCassandraTests(DefectCase, CassandraGroupCase):
    """Where others may write too, so that states are read again, and waits look again and again."""

    def test_readers(self) -> None:
        self.each_call(self.readers_that_wait)

    def test_readers_at_once(self) -> None:
        self.at_once = True
        self.each_call(self.readers_that_wait)

    def test_claims(self) -> None:
        self.each_call(self.claims)

    def test_leases_that_end(self) -> None:
        self.each_call(self.leases_that_end)


class LineDefectTests(SynchronousTestCase):
    """An attempt of a claim that waits raises at once, which no attempt of the product does."""

    def test_a_line_is_served_again(self) -> None:
        """Claims that come later are served, and the one that was tried waits no longer than it asked for. What it was
        tried for is tried again with what comes next."""
        clock, given = Clock(), Delivered((cast(Any, "message"),))
        answers: list[Delivered | None] = [None, given]
        tried: list[tuple[int, ...]] = []

        def attempt(*asked: Any) -> Coroutine[Deferred[Any], Any, Delivered]:
            tried.append(asked[3])
            answer = answers.pop(0) if answers else Delivered(())
            if answer is None:
                raise Defect

            async def found() -> Delivered:
                return answer

            return found()

        lines = WaitQueues(Waits(clock, lambda arrived: None), lambda: Ticks(0), attempt)
        queue = Queue("a", "q", QueueSettings(), 1, "v", Ticks(0))
        group = Group(1, "g", b"g", b"s", GroupSettings(), LOWEST, Ticks(0), "v")
        with lines.join(queue, group, (1, 2)) as line:
            first = line.wait(Claiming(wait=20), line.news, Delivered(()))
            line.tell({1})
            clock.advance(0)
            gc.collect()
            self.assertEqual(len(self.flushLoggedErrors(Defect)), 1)
            second = line.wait(Claiming(wait=20), line.news, Delivered(()))
            line.tell({2})
            clock.advance(0)
            self.assertEqual((self.successResultOf(first), tried[:2]), (given, [(1,), (1, 2)]))
            clock.advance(21)
            self.assertEqual(self.successResultOf(second), Delivered(()))
