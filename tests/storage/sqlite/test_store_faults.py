"""Any error of the database in any statement: the caller gets an error of Queuey, not a defect.

HTTP answers these errors with 503, or with 507 to a write for which there is no room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import apsw
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import StorageFull, Unavailable
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import ANYWAY, Address, Content, NewMessage
from queuey.model.messages.once import Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Merge, Window
from queuey.model.timeid import HIGHEST, MessageId
from queuey.storage.shared import Hub
from tests.storage.quick import quick_directory
from tests.storage.shared.sharing import LOG, Instant, Worker
from tests.storage.subjects import HeldSubject

TERMS: Final = WriteTerms(Ack.ONE)
CONTENT: Final = Content(b"x")
NEW: Final = NewMessage(1, CONTENT, 60)
MOST: Final = 25
"""Statements that an operation takes at the most."""


def kinds(kind: type[apsw.Error] = apsw.Error) -> Iterator[type[apsw.Error]]:
    """Every class of error that the database has."""
    yield kind
    for below in kind.__subclasses__():
        yield from kinds(below)


class Broken:
    """Lets statements of a connection fail.

    :ivar asked: statements since ``begin``.
    """

    def __init__(self, connections: tuple[apsw.Connection, ...]) -> None:
        self.asked = 0
        self._error: Exception | None = None
        self._first = 0
        self._for_good = False
        for connection in connections:
            connection.exec_trace = self._trace

    def begin(self, first: int, error: Exception, *, for_good: bool) -> None:
        """Let one statement fail, counted from 0.

        :param for_good: whether all that follow fail too, ROLLBACK included.
        """
        self.asked, self._first, self._error, self._for_good = 0, first, error, for_good

    def end(self) -> None:
        """Let all succeed again."""
        self._error = None

    def _trace(self, cursor: apsw.Cursor, statement: str, bindings: object) -> bool:
        number, self.asked = self.asked, self.asked + 1
        if self._error is not None and (number == self._first or (self._for_good and number > self._first)):
            raise self._error
        return True


class FaultTests(SynchronousTestCase):
    """A store on disk, that another process reaches through its owner."""

    def setUp(self) -> None:
        self.subject = HeldSubject(quick_directory(self))
        owned: Any = self.subject.store
        instant = Instant()
        hub = Hub(owned, instant, LOG)
        self.addCleanup(self.subject.close)
        worker = Worker(hub, owned, instant, self.subject.told)
        self.store: IStore = worker.raw
        self.broken = Broken((owned._open.writer._connection, owned._open.reader.connection))
        self.queue, _ = self.successResultOf(self.store.create("a", "q", QueueSettings(), None))
        (self.stored,) = self.successResultOf(self.store.append(self.queue, [NEW], TERMS))
        self.number = 0

    def reads(self) -> dict[str, Callable[[], Deferred[Any]]]:
        store, queue = self.store, self.queue
        address = Address(1, self.stored)
        return {
            "scan": lambda: store.read_range(queue, Window((1, 2)), Ack.ONE),
            "scan one partition": lambda: store.read_range(queue, Window((1,), limit=20), Ack.ONE),
            "merge": lambda: store.read_merged(queue, Merge((1, 2), limit=20), Ack.ONE),
            "merge one partition": lambda: store.read_merged(queue, Merge((1,), limit=3), Ack.ONE),
            "merge one in bulk": lambda: store.read_merged(queue, Merge((1,), limit=20), Ack.ONE),
            "lookup": lambda: store.lookup(queue, (address,), Ack.ONE),
            "count": lambda: store.count(queue, Ack.ONE),
            "delayed": lambda: store.delayed(queue, 10, Ack.ONE),
            "measure": lambda: store.measure(queue, Ack.ONE),
            "names": lambda: store.names("a", "", 10, ""),
            "describe": lambda: store.describe("a", ("q",)),
            "read": lambda: store.states.read("k"),
        }

    def writes(self) -> dict[str, Callable[[], Deferred[Any]]]:
        store, queue = self.store, self.queue
        address = Address(1, self.stored)
        limited = WriteTerms(Ack.ONE, max_bytes=1 << 30, max_messages=1 << 20, max_queue_messages=1 << 20)
        return {
            "ping": lambda: store.ping(),  # it finds out whether something could be written
            "append": lambda: store.append(queue, [NEW], TERMS),
            "append several": lambda: store.append(queue, [NEW] * 3, limited),
            "append delayed": lambda: store.append(queue, [NewMessage(1, CONTENT, 60, 10**8)], TERMS),  # type: ignore[arg-type]
            "append_once": lambda: store.append_once(queue, [NEW], TERMS, self.once()),
            "replace": lambda: store.replace(queue, [address], CONTENT, 60, TERMS),
            "put": lambda: store.put(queue, address, CONTENT, 60, ANYWAY, TERMS),
            "remove": lambda: store.remove(queue, [Address(1, MessageId(bytes(16)))], Ack.ONE),
            "purge": lambda: store.purge(self.another(), HIGHEST, Ack.ONE),
            "create": lambda: store.create("a", self.fresh(), QueueSettings(), 1 << 20),
            "update": lambda: store.update(self.another(), QueueSettings(partitions=5)),
            "forget": lambda: store.forget(self.another()),
            "replace a state": lambda: store.states.replace(self.fresh(), None, b"v", "1"),
        }

    def fresh(self) -> str:
        self.number += 1
        return f"n{self.number}"

    def once(self) -> Once:
        return Once(self.fresh().encode().ljust(32), bytes(32), "note", 5)

    def another(self) -> Queue:
        """A queue with a message in it, made while nothing fails."""
        error, self.broken._error = self.broken._error, None
        queue, _ = self.successResultOf(self.store.create("a", self.fresh(), QueueSettings(), None))
        self.successResultOf(self.store.append(queue, [NEW], TERMS))
        self.broken._error, self.broken.asked = error, 0
        return queue

    def outcome(self, call: Callable[[], Deferred[Any]]) -> object:
        """What comes of a call: an error, or its result."""
        found: list[Any] = []
        call().addBoth(found.append)
        self.assertEqual(len(found), 1)
        return getattr(found[0], "value", found[0])

    def check(
        self, name: str, call: Callable[[], Deferred[Any]], first: int, error: apsw.Error, for_good: bool
    ) -> bool:
        """Let a statement of a call fail; whether there was such a statement."""
        self.broken.begin(first, error, for_good=for_good)
        result = self.outcome(call)
        met = self.broken.asked > first
        self.broken.end()
        where = f"{name}: {type(error).__name__} in statement {first}, for good: {for_good}: {result!r}"
        if isinstance(result, BaseException):
            wanted = (Unavailable,) if name in self.reads() else (Unavailable, StorageFull)
            self.assertIsInstance(result, wanted, where)
        self.assertEqual(self.flushLoggedErrors(), [], where)
        return met

    def test_every_statement(self) -> None:
        """Each statement of each operation fails, once and for good, in the ways in which a disk does."""
        errors = (apsw.FullError, apsw.IOError, apsw.BusyError, apsw.CorruptError)
        for name, call in {**self.reads(), **self.writes()}.items():
            for kind in errors:
                for for_good in (False, True):
                    met = [self.check(name, call, first, kind("no"), for_good) for first in range(MOST)]
                    self.assertTrue(met[0], name)
                    self.assertFalse(met[-1], name)
            self.assertFalse(isinstance(self.outcome(call), BaseException), name)

    def test_a_rollback_that_fails(self) -> None:
        """What is acknowledged after a transaction that could not be rolled back is committed, and nothing else is."""
        calls = {name: call for name, call in self.writes().items() if name != "purge"}
        for name, call in calls.items():
            for first in range(12):
                self.broken.begin(first, apsw.IOError("no"), for_good=True)
                refused = self.outcome(call)
                self.broken.end()
                before = self.successResultOf(self.store.count(self.queue, Ack.ONE))
                self.successResultOf(self.store.append(self.queue, [NEW], TERMS))
                after = self.successResultOf(self.store.count(self.queue, Ack.ONE))
                self.assertEqual(after, before + 1, f"{name}, statement {first}: {refused!r}")

    def test_every_error(self) -> None:
        """Each class of error, in the first statement of each operation."""
        for name, call in {**self.reads(), **self.writes()}.items():
            for kind in kinds():
                self.check(name, call, 0, kind("no"), False)
                self.check(name, call, 1, kind("no"), True)
