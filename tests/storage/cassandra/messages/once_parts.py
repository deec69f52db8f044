"""Sessions, front ends and readers of tests in which calls of several processes take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.messages.once import Once
from queuey.model.reading.window import OLDEST, MergeSlice, Position
from queuey.model.stable_time.stable import Lateness, PeerFrontEnd
from queuey.model.stable_time.stamps import Flight, Place, StampRequest
from queuey.model.telemetry.counts import Metric
from queuey.model.timeid import MessageId
from queuey.storage.cassandra.cluster.port import (
    Bound,
    ICQLSession,
    Kind,
    Level,
    Node,
    Row,
    Statement,
    TransactionResult,
)
from queuey.storage.cassandra.messages.store import Messages
from tests.storage.cassandra.messages.message_support import SimpleTimes
from tests.storage.cassandra.messages.message_tables import MessageTables

TERMS = WriteTerms(Ack.MAJORITY)


BATCH = [NewMessage(1, Content(b"a"), 3600), NewMessage(2, Content(b"b"), 3600), NewMessage(1, Content(b"c"), 700_000)]


PARTITIONS = (1, 2)


def key(number: int) -> Once:
    """One of the keys."""
    return Once(b"%032d" % number, b"d" * 32, "note", 86_400)


class PeerTimes(SimpleTimes):
    """The times of one of many front ends, by the rules of queuey.model.stable_time.stable."""

    def __init__(self, wall: Callable[[], float], boot: Callable[[], float], bits: Callable[[int], int]) -> None:
        super().__init__(wall)
        self.age = Lateness().settle(False) / 2
        self.boot = boot
        self.front = PeerFrontEnd(Lateness(), bits)
        self.front.serve(1e12)

    def begin(self, wanted: Sequence[StampRequest], slow: bool, weak: bool = False) -> Flight:
        return self.front.begin(wanted, slow, self.boot(), self.now(), weak)

    def landed(self, flight: Flight) -> None:
        self.front.landed(flight, self.boot())

    def lost(self, flight: Flight, late: bool = False) -> None:
        self.front.lost(flight, self.boot())

    def stable(self, place: Place, slow: bool = False, weak: bool = False) -> MessageId:
        return self.front.stable(place, self.boot(), self.now(), slow, weak)


Answer = Callable[[], Deferred[Any]]


@attrs.define(eq=False)
class Asked:
    """A statement on its way to the cluster.

    :ivar run: does what it says.
    """

    run: Answer
    answer: Deferred[Any]
    read: bool
    transaction: bool

    def served(self) -> None:
        """All goes well."""
        self._tell(self.run())

    def lost(self) -> None:
        """The outcome is unknown, and it was not done."""
        self._tell(fail(Unavailable("lost", applied="unknown")))

    def refused(self) -> None:
        """It was not done, and that is known."""
        self._tell(fail(Unavailable("refused")))

    def unheard(self) -> None:
        """The outcome is unknown, and it was done."""
        self.run().addErrback(lambda failure: None)
        self.lost()

    def denied(self) -> None:
        """It was done, and a transaction is said to be refused: a node that completes it may leave that to another."""
        if self.transaction:
            self.run().addErrback(lambda failure: None)
            self._tell(succeed(TransactionResult(False, {})))
        else:
            self.unheard()

    def _tell(self, result: Deferred[Any]) -> None:
        if self.answer.called:
            result.addErrback(lambda failure: None)
        else:
            result.chainDeferred(self.answer)


@implementer(ICQLSession)
class HeldSession:
    """The session of one front end; what it is asked is held until the test says what becomes of it."""

    metrics: Sequence[Metric] = ()

    def __init__(self, tables: MessageTables) -> None:
        self._tables = tables
        self.held: list[Asked] = []
        self.free = False

    def connect(self) -> Deferred[None]:
        return succeed(None)

    def nodes(self) -> Sequence[Node]:
        return ()

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        return self._hold(lambda: self._tables.execute(statement, values, level), statement.kind)

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        raise NotImplementedError

    def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        return self._hold(lambda: self._tables.batch(bound, level, logged), Kind.WRITE)

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        return self._hold(lambda: self._tables.transact(statement, values), Kind.TRANSACTION)

    def close(self) -> Deferred[None]:
        return succeed(None)

    def _hold(self, run: Answer, kind: Kind) -> Deferred[Any]:
        if self.free:
            return run()
        asked = Asked(run, Deferred(), kind is Kind.READ, kind is Kind.TRANSACTION)
        self.held.append(asked)
        return asked.answer


@attrs.define(eq=False)
class FrontEnd:
    """One process; once it is dead its results go to no client.

    :ivar running: keyed calls that wait for it.
    """

    session: HeldSession
    messages: Messages
    dead: bool = False
    running: int = 0


@attrs.define(eq=False)
class Reader:
    """One that pages by cursor.

    :ivar cursor: where it goes on.
    :ivar shown: all that it was shown.
    :ivar keyed: what of it was stored under a key.
    :ivar front: whose page it waits for.
    """

    cursor: Position = OLDEST
    shown: list[Address] = attrs.Factory(list)
    keyed: set[Address] = attrs.Factory(set)
    front: FrontEnd | None = None


def keyed(page: MergeSlice) -> set[Address]:
    """What of a page was stored under a key."""
    return {Address(message.partition, message.id) for message in page.messages if message.content.body != b"plain"}
