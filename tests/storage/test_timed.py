"""A store whose every call ends in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from queuey.errors import Unavailable
from queuey.interfaces import Capabilities, IGroupStore, IStateStore, IStore, Outcome
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Terms
from queuey.model.messages.message import ANYWAY, Address, Content
from queuey.model.messages.once import Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Merge, Window
from queuey.model.timeid import LOWEST, Ticks
from queuey.storage.timed import TICK, TimedStore

QUEUE = Queue("a", "q", QueueSettings(), 1, "v", Ticks(0))
GROUP = Group(1, "g", bytes(16), bytes(32), GroupSettings(), LOWEST, Ticks(0), "")
TERMS = WriteTerms(Ack.ONE)
ONCE = Once(bytes(32), bytes(32), "note", 5)

READS: dict[str, Callable[[Any], Deferred[Any]]] = {
    "scan": lambda store: store.read_range(QUEUE, Window((1,)), Ack.ONE),
    "merge": lambda store: store.read_merged(QUEUE, Merge((1,)), Ack.ONE),
    "lookup": lambda store: store.lookup(QUEUE, (), Ack.ONE),
    "count": lambda store: store.count(QUEUE, Ack.ONE),
    "delayed": lambda store: store.delayed(QUEUE, 10, Ack.ONE),
    "measure": lambda store: store.measure(QUEUE, Ack.ONE),
    "names": lambda store: store.names("a", "", 1, ""),
    "describe": lambda store: store.describe("a", ("q",)),
    "read": lambda store: store.states.read("k"),
    "look": lambda store: store.groups.look(QUEUE, GROUP, 1),
}

WRITES: dict[str, Callable[[Any], Deferred[Any]]] = {
    "append": lambda store: store.append(QUEUE, (), TERMS),
    "append_once": lambda store: store.append_once(QUEUE, (), TERMS, ONCE),
    "put": lambda store: store.put(QUEUE, Address(1, LOWEST), Content(b"x"), 5, ANYWAY, TERMS),
    "replace": lambda store: store.replace(QUEUE, (), Content(b"x"), 5, TERMS),
    "restore": lambda store: store.restore(QUEUE, (), TERMS),
    "remove": lambda store: store.remove(QUEUE, (), Ack.ONE),
    "purge": lambda store: store.purge(QUEUE, LOWEST, Ack.ONE),
    "create": lambda store: store.create("a", "q", QueueSettings(), None),
    "update": lambda store: store.update(QUEUE, QueueSettings()),
    "forget": lambda store: store.forget(QUEUE),
    "run": lambda store: store.groups.run(QUEUE, GROUP, Terms(), ()),
    "end": lambda store: store.groups.end(1, bytes(8), 1),
}


class Silent:
    """A store that answers when the test says so."""

    capabilities = Capabilities("nothing", False)

    def __init__(self) -> None:
        self.states = self.groups = self
        self.answers: list[Deferred[Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
        def call(*arguments: object) -> Deferred[Any]:
            self.answers.append(Deferred())
            return self.answers[-1]

        return call


class TimedTests(SynchronousTestCase):
    """Every call, in time and late."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.silent = Silent()
        self.store = TimedStore(self.silent, self.clock, 10, 3)  # type: ignore[arg-type]

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([TICK] * int(seconds / TICK))

    def test_interfaces(self) -> None:
        """It has what the interfaces name."""
        self.assertTrue(verifyObject(IStore, self.store))
        self.assertTrue(verifyObject(IStateStore, self.store.states))
        self.assertTrue(verifyObject(IGroupStore, self.store.groups))

    def test_in_time(self) -> None:
        """What is answered in time is answered so, and leaves no timer for long."""
        for call in (*READS.values(), *WRITES.values()):
            answer = call(self.store)
            self.pass_time(9)
            self.silent.answers[-1].callback("result")
            self.assertEqual(self.successResultOf(answer), "result")
        self.pass_time(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """What is late fails: reads have done nothing, the outcome of writes is unknown; an answer that comes later is
        dropped."""
        for calls, applied in ((READS, "no"), (WRITES, "unknown")):
            for name, call in calls.items():
                answer = call(self.store)
                self.pass_time(9.5)
                self.assertNoResult(answer)
                self.pass_time(1)
                failure = self.failureResultOf(answer, Unavailable)
                self.assertEqual(failure.value.applied, applied, name)
                self.silent.answers[-1].callback("too late")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_each_in_its_time(self) -> None:
        """Calls that began later have their time too."""
        first = READS["count"](self.store)
        self.pass_time(5)
        second = READS["count"](self.store)
        self.pass_time(6)
        self.failureResultOf(first, Unavailable)
        self.assertNoResult(second)
        self.pass_time(5)
        self.failureResultOf(second, Unavailable)

    def test_one_late_caller_gives_up_another_late_call(self) -> None:
        """Cancel a call, which is late too, in the errback of a late one: the rest of the late ones still fail."""
        first, second, third = [READS["count"](self.store) for _ in range(3)]

        def give_up(failure: Failure) -> Failure:
            second.cancel()
            return failure

        first.addErrback(give_up)
        self.pass_time(10.5)
        self.failureResultOf(first, Unavailable)
        self.failureResultOf(second, CancelledError)
        self.failureResultOf(third, Unavailable)

    def test_one_timer(self) -> None:
        """A caller that asks again when its call is late sets no second timer."""
        first, second = [READS["count"](self.store) for _ in range(2)]
        first.addErrback(lambda _: READS["count"](self.store))
        second.addErrback(lambda _: None)
        self.pass_time(10.5)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.pass_time(10.5)
        self.failureResultOf(first, Unavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_compare_and_set(self) -> None:
        """One that is late is unknown."""
        answer = self.store.states.replace("k", None, b"x", "1")
        self.pass_time(10.5)
        self.assertIs(self.successResultOf(answer), Outcome.UNKNOWN)

    def test_ping(self) -> None:
        """The heartbeat has less time."""
        answer = self.store.ping()
        self.pass_time(3.5)
        self.failureResultOf(answer, Unavailable)

    def test_cancelled_by_its_caller(self) -> None:
        """That is passed on, and is no lateness."""
        answer = READS["scan"](self.store)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)

    def test_answered_at_once(self) -> None:
        """It costs no timer."""
        self.silent.describe = lambda *_: succeed((None,))  # type: ignore[attr-defined]
        self.store = TimedStore(self.silent, self.clock, 10, 3)  # type: ignore[arg-type]
        self.assertEqual(self.successResultOf(READS["describe"](self.store)), (None,))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_watch(self) -> None:
        """It is the store's own to tell what falls due."""
        told: list[int] = []
        self.silent.subscribe = lambda arrived: arrived(7) or 0.5  # type: ignore[attr-defined]
        self.assertEqual((self.store.subscribe(told.append), told), (0.5, [7]))

    def test_close(self) -> None:
        """It takes as long as it takes."""
        READS["scan"](self.store).addErrback(lambda _: None)
        closed = self.store.close()
        self.pass_time(60)
        self.assertNoResult(closed)
        self.silent.answers[-1].callback(None)
        self.assertIsNone(self.successResultOf(closed))
