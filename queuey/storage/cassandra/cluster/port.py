"""The port to a cluster: the interface of a session, which hides the protocol (CQL or Thrift) from this package.

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
    """A write that may be repeated: a second one has no effect."""
    TRANSACTION = "lightweight transaction"
    """Never repeated blindly: if the outcome is unknown, the row is read at SERIAL."""
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

    metrics: Sequence[Metric] = Attribute("The metrics of the session; each has another name.")

    def connect() -> Deferred[None]:
        """Find the cluster, and open connections to it; may be called again after it failed.

        :return: fires once statements can be executed. Fails with ``Unavailable`` if no node answers now, or with
            :class:`AccessRefused` if another attempt would fail in the same way.
        """

    def nodes() -> Sequence[Node]:
        """Return the nodes that are up, as far as is known, and that the session has a connection to."""

    def execute(statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        """Execute a statement that is not a lightweight transaction.

        :return: fires with all rows: a statement that may find many has a LIMIT. May be cancelled.
        """

    def execute_on(node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        """Read local data of one node, such as its clock and settings, at level ONE, without a retry."""

    def batch(bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        """Execute writes as one batch.

        :param bound: each of :attr:`Kind.WRITE`.
        :param logged: whether the batch spans partitions; then all writes are done in the end, or none.
        """

    def transact(statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        """Execute a lightweight transaction: agreed at SERIAL, committed at QUORUM.

        :return: fires with its result. Fails with ``Unavailable``; if ``applied`` is unknown, the caller reads the row
            at :attr:`Level.SERIAL` and looks for a value that only the caller can have written.
        """

    def close() -> Deferred[None]:
        """End the session, with its threads and connections; pending statements fail with ``Unavailable``."""


class StatementRefused(Exception):
    """The cluster refuses a statement: it is malformed, or names a table or column that does not exist.

    :ivar text: the message of the cluster.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class TooLarge(StatementRefused):
    """The values of a statement or a batch are larger than a node accepts; mostly noticed before they are sent.

    :ivar size: size of all values in bytes, or 0 if only the cluster knows it.
    :ivar limit: the maximum in bytes, or 0 if only the cluster knows it.
    """

    def __init__(self, text: str, size: int, limit: int) -> None:
        super().__init__(text)
        self.size = size
        self.limit = limit


def check_size(size: int, limit: int) -> None:
    """Refuse values that are larger than a node accepts, before they are sent.

    :raise TooLarge: if they are.
    """
    if size > limit:
        text = f"The values have {size} bytes; Cassandra accepts at most {limit} at once."
        raise TooLarge(text, size, limit)


def check_values(text: str, values: Sequence[Any], wanted: int) -> None:
    """Refuse values that do not fit a statement.

    :param wanted: the number of values of the statement.
    :raise StatementRefused: if the number is another one, or a value is ``None``.
    """
    if len(values) != wanted or None in values:
        raise StatementRefused(f"{len(values)} values, of which none may be None, for {text}")


class AccessRefused(Exception):
    """The cluster refuses the connection for good: wrong password, wrong data centre, wrong protocol, bad TLS.

    :ivar text: one sentence for the operator.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def connection_gauge(read: Callable[[], Mapping[str, int]]) -> Gauge:
    """Return the metric for the number of connections of a session.

    :param read: returns the number of connections to each node, by address; 0 for nodes that it cannot connect to.
    """
    text = "Connections to a node of Cassandra."
    return Gauge(
        "queuey_cassandra_connections", text, ("node",), lambda: {(node,): count for node, count in read().items()}
    )
