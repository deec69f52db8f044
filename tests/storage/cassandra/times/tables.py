"""A cluster in memory that has no more than the tables of front ends and of the lease, and a clock in each node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.model.telemetry.counts import Metric
from queuey.model.timeid import Ticks, from_seconds
from queuey.storage.cassandra.cluster.port import Bound, ICQLSession, Level, Node, Row, Statement, TransactionResult

ROW_LIFE = 30.0
"""Seconds that a row of ``frontends`` lives."""


def now_uuid(seconds: float) -> UUID:
    """What ``now()`` gives on a node whose clock shows these seconds since 1970."""
    ticks = from_seconds(seconds)
    return UUID(fields=(ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0xFFF | 0x1000, 0x80, 0, 1))


class Tables:
    """What the cluster holds.

    :ivar lease: owner, host, beat and ceiling.
    :ivar wall: the true time at the start, in seconds since 1970.
    """

    def __init__(self, timer: IReactorTime, wall: float) -> None:
        self.timer = timer
        self.wall = wall
        self.lease: tuple[UUID, str, int, Ticks] | None = None
        self.frontends: dict[UUID, tuple[float, Row]] = {}

    def living(self) -> list[Row]:
        """The rows of front ends that have not expired."""
        now = self.timer.seconds()
        return [row for written, row in self.frontends.values() if now - written < ROW_LIFE]

    def run(self, text: str, values: Sequence[Any]) -> list[Row]:
        """A statement that is no transaction."""
        if text.startswith("INSERT INTO queuey.frontends"):
            _, id, *_ = values
            self.frontends[id] = self.timer.seconds(), tuple(values[1:])
        elif text.startswith("DELETE FROM queuey.frontends"):
            self.frontends.pop(values[1], None)
        elif text.startswith("SELECT id, host, mode, clock FROM queuey.frontends"):
            return [row[:4] for row in self.living()]
        elif text.startswith("SELECT owner, host, beat, ceiling FROM queuey.lease"):
            return [self.lease] if self.lease else []
        else:
            raise AssertionError(text)
        return []

    def agree(self, text: str, values: Sequence[Any]) -> TransactionResult:
        """A lightweight transaction on the lease."""
        if text.startswith("INSERT INTO queuey.lease") and text.endswith("IF NOT EXISTS"):
            new, fits = tuple(values[1:5]), self.lease is None
        else:
            assert text.startswith("UPDATE queuey.lease"), text
            assert text.endswith("IF owner = ? AND beat = ?"), text
            new = tuple(values[:4])
            fits = self.lease is not None and (self.lease[0], self.lease[2]) == tuple(values[5:])
        if fits:
            self.lease = UUID(int=new[0].int), str(new[1]), int(new[2]), Ticks(new[3])
            return TransactionResult(True, {})
        return TransactionResult(False, {"owner": self.lease[0], "beat": self.lease[2]} if self.lease else {})


Answer = Callable[[], Deferred[Any]]


@attrs.frozen
class Held:
    """A statement that waits for the test.

    :ivar run: does what it says, now; gives its answer.
    """

    text: str
    run: Callable[[], Any]
    answer: Deferred[Any]

    def arrive(self) -> None:
        """It is done, and answered; an answer whose caller has given up is dropped."""
        result = self.run()
        if not self.answer.called:
            self.answer.callback(result)


@implementer(ICQLSession)
class TableSession:
    """A session of one front end with :class:`Tables`.

    :ivar away: nothing reaches the cluster, which is known at once.
    :ivar deaf: statements reach the cluster, whose answers do not reach us, which is known at once.
    :ivar hold: statements wait in ``held`` for the test to let them through.
    :ivar skews: seconds by which the clock of each node is ahead of the true time.
    :ivar round_trip: seconds that a question for a node's clock takes.
    """

    metrics: Sequence[Metric] = ()

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.away = False
        self.deaf = False
        self.hold = False
        self.held: list[Held] = []
        self.asked: list[str] = []
        self.skews = {"10.0.0.1": 0.0}
        self.round_trip = 0.0

    def connect(self) -> Deferred[None]:
        return succeed(None)

    def nodes(self) -> Sequence[Node]:
        return [Node(address, "dc1") for address in self.skews]

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        serial = "FROM queuey.lease" in statement.text
        assert level is (Level.SERIAL if serial else Level.QUORUM), level
        return self._ask(statement, lambda: self.tables.run(statement.text, values))

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        assert statement.text == "SELECT now() FROM system.local", statement.text
        if self.away:
            return fail(Unavailable("No node answers."))
        timer, half = self.tables.timer, self.round_trip / 2

        def ask() -> Sequence[Row]:
            return [(now_uuid(self.tables.wall + timer.seconds() + self.skews[node.address]),)]

        if not half:
            return succeed(ask())
        answer: Deferred[Sequence[Row]] = deferLater(timer, half, ask)
        return answer.addCallback(lambda rows: deferLater(timer, half, lambda: rows))

    def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        raise NotImplementedError

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        return self._ask(statement, lambda: self.tables.agree(statement.text, values))

    def close(self) -> Deferred[None]:
        return succeed(None)

    def let_through(self) -> None:
        """What waits reaches the cluster, and so does what comes later."""
        self.hold = False
        held, self.held = self.held, []
        for one in held:
            one.arrive()

    def _ask(self, statement: Statement, run: Callable[[], Any]) -> Deferred[Any]:
        self.asked.append(statement.text)
        if self.away:
            return fail(Unavailable("No node answers."))
        if self.hold:
            answer: Deferred[Any] = Deferred()
            self.held.append(Held(statement.text, run, answer))
            return answer
        if self.deaf:
            run()
            return fail(Unavailable("The answer was lost.", applied="unknown"))
        return maybeDeferred(run)
