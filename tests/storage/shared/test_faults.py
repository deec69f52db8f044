"""What goes wrong on the way to a store that another process owns, and whose affair it is."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import KeyInUse, NoSuchQueue, StorageFull, Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import Ticks
from queuey.storage.shared import Hub
from queuey.storage.shared.client import STORE_CALLS
from queuey.storage.shared.frames import Frames
from queuey.storage.shared.link import Defect
from queuey.storage.shared.wire import connect
from tests.contracts.subject import Wall
from tests.storage.shared.sharing import LOG, Instant, Worker

QUEUE = Queue("a", "q", QueueSettings(), 1, "v", Ticks(0))


class Partial:
    """A store with some operations; the others are not called."""

    capabilities = None
    metrics = ()

    def __getattr__(self, name: str) -> object:
        return self


class Broken(Partial):
    """A store that fails as the test says."""

    capabilities = None
    metrics = ()

    def __init__(self, failure: Exception) -> None:
        self.states = self
        self._failure = failure

    def ping(self) -> Deferred[None]:
        raise self._failure

    def count(self, *arguments: object) -> Deferred[int]:
        answer: Deferred[int] = Deferred()
        answer.errback(self._failure)
        return answer


class Counting(Partial):
    """A store that counts, with the answers that the test says."""

    capabilities = None
    metrics = ()

    def __init__(self, answers: list[object]) -> None:
        self.states = self
        self._answers = answers

    def count(self, *arguments: object) -> Deferred[object]:
        return succeed(self._answers.pop(0))


class FailureTests(SynchronousTestCase):
    """An error of the owner reaches the caller as it is there."""

    def fails(self, failure: Exception, kind: type[Exception], method: str = "count") -> Exception:
        clock, store = Instant(), Broken(failure)
        worker = Worker(Hub(store, clock, LOG), store, clock, Wall())  # type: ignore[arg-type]
        arguments = (QUEUE, Ack.ONE) if method == "count" else ()
        error: Exception = self.failureResultOf(getattr(worker.raw, method)(*arguments), kind).value
        self.assertIs(type(error), kind)
        self.assertEqual(str(error), str(failure))
        return error

    def test_errors(self) -> None:
        for error in (
            Unavailable("away", applied="unknown", retry_after=7),
            StorageFull("full", limit="max_bytes"),
            KeyInUse("in use", retry_after=3),
            NoSuchQueue("none"),
        ):
            self.assertEqual(vars(self.fails(error, type(error))), vars(error))

    def test_a_call_that_cannot_be_read(self) -> None:
        """It fails alone: what comes in the same frame is answered."""
        self.both([QUEUE, b"no acknowledgement"], [QUEUE, Ack.ONE])
        self.assertEqual(len(self.flushLoggedErrors(msgspec.ValidationError)), 1)

    def test_an_answer_that_cannot_be_read(self) -> None:
        """The same holds for answers."""
        self.both([QUEUE, Ack.ONE], [QUEUE, Ack.ONE], "not a number")

    def both(self, first: object, second: object, answer: object = 1) -> None:
        """Let two calls go in one frame, the first of which fails; the first is answered so, the second by 1."""
        clock, store = Clock(), Counting([answer, 1])
        worker = Worker(Hub(store, clock, LOG), store, clock, Wall())  # type: ignore[arg-type]
        answers = [worker.link.ask(STORE_CALLS["count"], each, False) for each in (first, second)]  # type: ignore[arg-type]
        clock.pump([0] * 4)
        self.failureResultOf(answers[0])
        self.assertEqual(self.successResultOf(answers[1]), 1)
        self.assertFalse(worker.ended)

    def test_news_that_fail(self) -> None:
        """An answer that cannot be sent to one caller ends nothing else."""
        clock, store = Clock(), Counting([1])
        worker = Worker(Hub(store, clock, LOG), store, clock, Wall())  # type: ignore[arg-type]
        worker.link.arrived = lambda incarnation: divmod(1, 0)  # type: ignore[assignment]
        worker.end.arrived(7)
        answer = worker.link.ask(STORE_CALLS["count"], (QUEUE, Ack.ONE), False)
        clock.pump([0] * 4)
        self.assertEqual(self.successResultOf(answer), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_defects(self) -> None:
        for method in ("count", "ping"):
            self.fails(KeyError("surprise"), Defect, method)
            self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class Descriptors(Clock):
    """A reactor that knows what is to be read and written."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: list[Any] = []
        self.writing: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.reading.append(reader)

    def addWriter(self, writer: Any) -> None:
        if writer not in self.writing:
            self.writing.append(writer)

    def removeReader(self, reader: Any) -> None:
        self.reading.remove(reader)

    def removeWriter(self, writer: Any) -> None:
        if writer in self.writing:
            self.writing.remove(writer)


class FullSocketTests(SynchronousTestCase):
    """What is written once the socket takes no more."""

    def test_behind_and_in_time_again(self) -> None:
        """All is sent in its order, by the reactor for as long as something waits, and at once again after that."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        readers = Descriptors()
        connect(ours, Frames(Clock()), readers)
        (wire,) = readers.reading
        data, got = [bytes([65 + number]) * 200_000 for number in range(5)], b""
        for each in data:
            wire.write(each)
        self.assertEqual(readers.writing, [wire])
        theirs.setblocking(False)
        while readers.writing:
            got += theirs.recv(1 << 20)
            self.assertIsNone(wire.doWrite())
        wire.write(b"z")
        self.assertEqual(readers.writing, [])
        with contextlib.suppress(BlockingIOError):
            while more := theirs.recv(1 << 20):
                got += more
        self.assertEqual(got, b"".join(data) + b"z")
        wire.abortConnection()
        wire.write(b"late")
        self.assertRaises(BlockingIOError, theirs.recv, 1)
        ours.close()
