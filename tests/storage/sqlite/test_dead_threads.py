"""A thread of the embedded store that ends by an exception: all that waits for it fails, and the daemon says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.groups.commands import Take, TakeAnswer
from queuey.model.groups.rows import encode_group, group_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Terms
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Window
from queuey.model.timeid import LOWEST, SECOND, Ticks
from queuey.ops.health import Finding
from queuey.service.parts.health import liveness
from queuey.service.parts.reactor_lag import Pulse
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from queuey.storage.sqlite.group_commit import BROKEN, GroupCommit, Threads
from tests.contracts.reading import TERMS, bodies, new
from tests.contracts.subject import Wall
from tests.storage.quick import quick_directory
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits, versions

TAKE = Take((1,), 10, Ticks(30 * SECOND), 1 << 20)


class Ended(BaseException):
    """Not an ``Exception``: no handler of the store expects it."""


class DeadThreadCase(SynchronousTestCase):
    """A store whose threads the test calls, and whose reactor is a list of calls.

    :ivar threads: those that were started, and wait for the test; the first one writes, and the second one reads.
    """

    def setUp(self) -> None:
        self.directory = quick_directory(self)
        self.wall = Wall()
        self.open()
        self.queue: Queue = self.get(self.store.create("app", "q", QueueSettings(), None))[0]
        self.group = Group(self.queue.incarnation, "g", b"g" * 16, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "")
        key = group_key(self.queue.incarnation, "g")
        self.get(self.store.states.replace(key, None, encode_group(self.group), "v"))
        self.get(self.append(b"1"))

    def open(self) -> None:
        self.clock = Clock()
        self.threads: list[Callable[[], None]] = []
        self.calls: list[tuple[Any, ...]] = []
        runner = Threads(self.threads.append, lambda *call: self.calls.append(call), self.clock.callLater)
        settings = SQLiteSettings(cache_bytes=1 << 20)
        arguments = (self.clock, self.wall, runner, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        self.store = SQLiteStore(self.directory, settings, *arguments)
        self.store.open()
        self.store._upkeep.stop()
        self.store._rooms.stop()

    def turn(self) -> None:
        """Let the threads do what waits, as far as they are there, and the reactor hear of it."""
        for _ in range(10):
            self.clock.advance(0.01)
            for batch in (self.store._writing, self.store._reading):
                self.take_all(batch)
            self.hear()

    def take_all(self, batch: GroupCommit[Any]) -> None:
        while not batch.broken and not batch._waiting.empty():
            batch._take(batch._waiting.get())

    def hear(self) -> None:
        calls, self.calls[:] = list(self.calls), []
        for function, *arguments in calls:
            function(*arguments)

    def get(self, waiting: Deferred[Any]) -> Any:
        self.turn()
        return self.successResultOf(waiting)

    def append(self, *texts: bytes) -> Deferred[Any]:
        return self.store.append(self.queue, [new(text) for text in texts], TERMS)

    def claim(self) -> Deferred[Any]:
        return self.store.groups.run(self.queue, self.group, Terms(), (TAKE,))

    def die(self) -> None:
        """Let the writing thread end by the batch that waits, and the reactor hear of it."""

        def end(*_: Any) -> None:
            raise Ended

        self.patch(self.writer, "_commit", end)
        self.threads[0]()
        self.hear()
        self.assertEqual(len(self.flushLoggedErrors(Ended)), 1)

    @property
    def writer(self) -> Any:
        assert self.store._open is not None
        return self.store._open.writer


class WritingTests(DeadThreadCase):
    """The one that writes."""

    def setUp(self) -> None:
        super().setUp()
        claim, append = self.claim(), self.append(b"2")
        self.clock.advance(0)
        self.under_way = [claim, append]
        self.store._writing.hand_over()
        self.later = [self.claim(), self.append(b"3")]
        self.die()
        for waiting in (*self.under_way, *self.later):
            self.addCleanup(waiting.addErrback, lambda _: None)

    def test_what_was_under_way_is_not_known(self) -> None:
        for waiting in self.under_way:
            error = self.failureResultOf(waiting, Unavailable).value
            self.assertEqual((str(error), error.applied), (BROKEN, "unknown"))

    def test_what_waited_was_not_done(self) -> None:
        for waiting in (*self.later, self.claim(), self.append(b"4"), self.store.states.replace("k", None, b"", "v")):
            error = self.failureResultOf(waiting, Unavailable).value
            self.assertEqual((str(error), error.applied), (BROKEN, "no"))
        self.assertEqual(self.store._writing.waiting, 0)

    def test_health(self) -> None:
        pulse = Pulse(self.clock)
        found = self.successResultOf(liveness(pulse, self.clock, self.store).look())
        self.assertEqual([one for one in found if not one.ok], [Finding("threads", False, BROKEN)])
        error = self.failureResultOf(self.store.ping(), Unavailable).value
        self.assertEqual(str(error), BROKEN, "which /ready tells of the store")

    def test_reads_go_on_and_nothing_is_half_done(self) -> None:
        piece = self.get(self.store.read_range(self.queue, Window((1,)), Ack.ONE))
        self.assertEqual(bodies(piece.messages), [b"1"])

    def test_the_next_process_goes_on(self) -> None:
        closed = self.store.close()
        self.turn()
        self.assertEqual(len(self.threads), 3, "another thread closes the database")
        self.threads[2]()
        self.hear()
        self.successResultOf(closed)
        self.successResultOf(self.store.close())
        self.open()
        (answer,) = self.get(self.claim()).answers
        assert isinstance(answer, TakeAnswer)
        self.assertEqual([message.content.body for message in answer.shares[0].messages if message], [b"1"])


class EndingTests(DeadThreadCase):
    """While the store is being closed."""

    def test_it_is_closed_all_the_same(self) -> None:
        claim = self.claim()
        closed = self.store._writing.close(lambda: None)
        self.clock.advance(0)
        self.die()
        self.failureResultOf(claim, Unavailable)
        self.assertEqual(len(self.threads), 3)
        self.threads[2]()
        self.hear()
        self.successResultOf(closed)
