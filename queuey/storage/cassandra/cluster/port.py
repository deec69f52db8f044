"""The port to a cluster: what the rest of this room asks of a session, whichever protocol it speaks.

Values go in and come out as plain Python values: ``int``, ``str``, ``bytes``, ``bool``, ``uuid.UUID`` and ``dict``.
``None`` is never bound: it would be a tombstone over CQL, and cannot be sent over Thrift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from queuey.model.telemetry.counts import Gauge, Metric
from queuey.model.values import frozen

Row = tuple[Any, ...]


class Level(Enum):
    """Consistency levels, by the names of CQL."""

    ONE = "ONE"
    LOCAL_ONE = "LOCAL_ONE"
    QUORUM = "QUORUM"
    LOCAL_QUORUM = "LOCAL_QUORUM"
    EACH_QUORUM = "EACH_QUORUM"
    SERIAL = "SERIAL"


class Kind(Enum):
    """The kind of a statement, which decides whether and how it may be retried."""

    READ = "read"
    WRITE = "write"
    """Return whether it is a write that may be repeated: the same values again change nothing."""
    TRANSACTION = "lightweight transaction"
    """Never repeated blindly: what is not known is read back at SERIAL."""
    DEFINITION = "definition of schema"
    """Sent as text, never prepared, and given much more time."""


@attrs.frozen
class Statement:
    """One statement of CQL, with ``?`` for each value; keyspaces are written out."""

    text: str
    kind: Kind


@frozen
class Bound:
    """A statement and its values."""

    statement: Statement
    values: tuple[Any, ...]


@attrs.frozen
class TransactionResult:
    """The result of a lightweight transaction.

    :ivar applied: whether its condition held.
    :ivar found: if it did not, what is stored instead, by column; empty if there is no row.
    """

    applied: bool
    found: Mapping[str, Any]

    @classmethod
    def of(cls, names: Sequence[str], row: Row) -> TransactionResult:
        """Return the result in its one row; a refusal without an existing row has ``[applied]`` only."""
        found = dict(zip(names, row, strict=True))
        applied = found.pop("[applied]")
        return cls(applied, {} if applied else found)


@attrs.frozen
class Node:
    """One node of the cluster.

    :ivar address: the address for clients.
    """

    address: str
    data_centre: str


class ICQLSession(Interface):
    """A session with a cluster.

    Everything fails with :class:`queuey.errors.Unavailable`, whose ``applied`` is ``"no"`` if it is certain that
    nothing was changed and ``"unknown"`` otherwise. A statement that the cluster refuses as wrong fails with
    :class:`StatementRefused`, which is a defect of this package, and one whose values are too large with
    :class:`TooLarge`. If the cluster revokes our rights, any call may fail with :class:`AccessRefused`.
    """

    metrics: Sequence[Metric] = Attribute("What is counted of it, each under a name of its own.")

    def connect() -> Deferred[None]:
        """Find the cluster, and open connections to it; may be called again after it failed.

        :return: fires once statements can be executed. Fails with ``Unavailable`` if no node answers now, or with
            :class:`AccessRefused` if it is of no use to try again.
        """

    def nodes() -> Sequence[Node]:
        """The nodes that are up and that we have a connection to, as far as is known."""

    def execute(statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        """Execute a statement that is no lightweight transaction.

        :return: fires with all rows: a statement that may find many has a LIMIT. May be cancelled.
        """

    def execute_on(node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        """Read what one node itself knows, as its clock and its settings, at level ONE, without a second try."""

    def batch(bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        """Execute writes as one batch.

        :param bound: each of :attr:`Kind.WRITE`.
        :param logged: whether they span partitions, and are to be all done or none in the end.
        """

    def transact(statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        """Execute a lightweight transaction: agreed at SERIAL, committed at QUORUM.

        :return: fires with its verdict. Fails with ``Unavailable``; where ``applied`` is unknown the caller reads back
            at :attr:`Level.SERIAL` and looks for a value that only it can have written.
        """

    def close() -> Deferred[None]:
        """End the session: what is pending fails with ``Unavailable``; no thread and no connection is left."""


class StatementRefused(Exception):
    """The cluster does not take a statement: it is malformed, or names what is not there.

    :ivar text: what the cluster says of it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class TooLarge(StatementRefused):
    """The values of a statement or of a batch are more than a node takes at once; mostly noticed before it is sent.

    :ivar size: bytes of all values, or 0 if only the cluster knows.
    :ivar limit: bytes that it may have, or 0 if only the cluster knows.
    """

    def __init__(self, text: str, size: int, limit: int) -> None:
        super().__init__(text)
        self.size = size
        self.limit = limit


def check_size(size: int, limit: int) -> None:
    """Refuse values that are more than a node takes at once, before they are sent.

    :raise TooLarge: saying so.
    """
    if size > limit:
        text = f"These are {size} bytes, and {limit} are the most that Cassandra takes at once."
        raise TooLarge(text, size, limit)


def check_values(text: str, values: Sequence[Any], wanted: int) -> None:
    """Refuse values that are not those of a statement.

    :param wanted: how many it has.
    :raise StatementRefused: saying so.
    """
    if len(values) != wanted or None in values:
        raise StatementRefused(f"{len(values)} values, of which none may be None, for {text}")


class AccessRefused(Exception):
    """The cluster will not have us, however often we ask: wrong password, wrong data centre, wrong protocol, bad TLS.

    :ivar text: one sentence for the operator.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def connection_gauge(read: Callable[[], Mapping[str, int]]) -> Gauge:
    """Return the metric for the number of connections of a session.

    :param read: how many to each node, by its address; 0 to those that it has none to and would have.
    """
    text = "Connections to a node of Cassandra."
    return Gauge(
        "queuey_cassandra_connections", text, ("node",), lambda: {(node,): count for node, count in read().items()}
    )
