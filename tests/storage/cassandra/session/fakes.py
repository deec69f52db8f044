"""A session without a cluster: it keeps what it is asked, and a test says what becomes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.model.telemetry.counts import Metric
from queuey.storage.cassandra.cluster.port import Bound, ICQLSession, Level, Node, Row, Statement, TransactionResult

NODE = Node("127.0.0.1", "datacenter1")


@attrs.frozen
class Asked:
    """One call of a session.

    :ivar call: the name of the method.
    :ivar what: the statement's text, or those of a batch.
    :ivar level: ``None`` for a transaction.
    """

    call: str
    what: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    level: Level | None
    logged: bool = False


@implementer(ICQLSession)
class FakeSession:
    """Answers with what the test has given, call after call; without an answer it waits until the test gives one.

    :ivar script: what comes of the next calls: an exception, or what the Deferred fires with.
    :ivar asked: all calls so far.
    :ivar waiting: the Deferreds of those that are not answered yet, first come first.
    :ivar cancelled: how many of those were cancelled.
    :ivar closed: whether its end was asked for.
    """

    metrics: Sequence[Metric] = ()

    def __init__(self, *script: Any) -> None:
        self.script = deque(script)
        self.asked: list[Asked] = []
        self.waiting: list[Deferred[Any]] = []
        self.cancelled = 0
        self.closed = False

    def answer(self, result: Any) -> None:
        """Answer the first call that waits."""
        waiting = self.waiting.pop(0)
        if isinstance(result, Exception):
            waiting.errback(result)
        else:
            waiting.callback(result)

    def connect(self) -> Deferred[None]:
        return succeed(None)

    def nodes(self) -> Sequence[Node]:
        return () if self.closed else (NODE,)

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        return self._ask(Asked("execute", (statement.text,), (tuple(values),), level))

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        return self._ask(Asked("execute_on", (statement.text,), (tuple(values),), Level.ONE))

    def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        texts = tuple(one.statement.text for one in bound)
        return self._ask(Asked("batch", texts, tuple(tuple(one.values) for one in bound), level, logged))

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        return self._ask(Asked("transact", (statement.text,), (tuple(values),), None))

    def close(self) -> Deferred[None]:
        self.closed = True
        while self.waiting:
            self.answer(Unavailable("closed", applied="unknown"))
        return succeed(None)

    def _ask(self, asked: Asked) -> Deferred[Any]:
        self.asked.append(asked)
        if self.script:
            result = self.script.popleft()
            return fail(result) if isinstance(result, Exception) else succeed(result)
        waiting: Deferred[Any] = Deferred(self._cancel)
        self.waiting.append(waiting)
        return waiting

    def _cancel(self, waiting: Deferred[Any]) -> None:
        self.cancelled += 1
        self.waiting.remove(waiting)
