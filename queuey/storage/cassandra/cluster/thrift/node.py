"""One Thrift node: its connections, and the statements that are prepared on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from queuey.deferreds import SingleFlight
from queuey.storage.cassandra.cluster.port import Node
from queuey.storage.cassandra.cluster.thrift.calls import prepare
from queuey.storage.cassandra.cluster.thrift.wire import Wire
from queuey.storage.cassandra.times.waiting import growing

PREPARED: Final = 1000
"""Statements whose numbers are kept for each node; the oldest ones make room."""

_LONGEST: Final = 4.0
"""Maximum pause in seconds between two attempts to reach a node."""

_LASTED: Final = 5.0
"""Seconds after which a connection was no failure, when it ends."""


def delay(failures: int) -> float:
    """Return the pause in seconds before the next attempt to reach a node, after this number of failures in a row."""
    return growing(0.1, failures, _LONGEST)


@attrs.frozen
class Prepared:
    """A statement that one node knows.

    :ivar number: by which it knows it.
    :ivar types: of the values, in the words of Cassandra.
    """

    number: int
    types: tuple[str, ...]


class ThriftNode:
    """One node: its connections, and the statements that it has prepared.

    Connections are opened one after another; after a failure, again after a delay that grows.

    :param dial: opens one.
    :param connections: how many.
    :param changed: is called with ``True`` when the first connection is open, and with ``False`` when the last one is
        gone.
    """

    def __init__(
        self,
        node: Node,
        dial: Callable[[Callable[[Wire], None]], Deferred[tuple[Wire, str]]],
        connections: int,
        clock: Any,
        changed: Callable[[Node, bool], None],
    ) -> None:
        self.node = node
        self.wires: list[Wire] = []
        self._dial = dial
        self._connections = connections
        self._clock = clock
        self._changed = changed
        self._failures = 0
        self._made: dict[Wire, float] = {}
        self._busy = False
        self._stopped = False
        self._timer: IDelayedCall | None = None
        self._first: Deferred[None] | None = None
        self._prepared: dict[str, Prepared] = {}
        self._preparing: dict[str, SingleFlight[Prepared]] = {}

    # Connections

    def start(self) -> Deferred[None]:
        """Begin to connect.

        :return: fires once there is a connection; fails as the first attempt does, after which others follow.
        """
        first: Deferred[None] = Deferred()
        self._first = first
        self._fill()
        return first

    def stop(self) -> None:
        """End all connections, and open no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for wire in list(self.wires):
            wire.end()

    def _fill(self) -> None:
        self._timer = None
        if self._stopped or self._busy or len(self.wires) >= self._connections:
            return
        self._busy = True
        self._dial(self._lost).addCallbacks(self._connected, self._not_connected)

    def _connected(self, found: tuple[Wire, str]) -> None:
        wire = found[0]
        self._busy = False
        if self._stopped:
            wire.end()
        elif wire.is_open:
            self._made[wire] = self._clock.seconds()
            self.wires.append(wire)
            if len(self.wires) == 1:
                self._changed(self.node, True)
            self._tell(None)
            self._fill()
        else:
            self._later()

    def _not_connected(self, failure: Failure) -> None:
        self._busy = False
        self._failures += 1
        self._tell(failure)
        self._later()

    def _lost(self, wire: Wire) -> None:
        made = self._made.pop(wire, None)
        if made is None:
            return
        self.wires.remove(wire)
        self._failures = 0 if self._clock.seconds() - made > _LASTED else self._failures + 1
        if not self.wires:
            # It may be another server that comes back.
            self._prepared.clear()
            if not self._stopped:
                self._changed(self.node, False)
        self._later()

    def _later(self) -> None:
        if not self._stopped and self._timer is None:
            self._timer = self._clock.callLater(delay(self._failures), self._fill)

    def _tell(self, result: Failure | None) -> None:
        first, self._first = self._first, None
        if first is not None:
            first.callback(result)

    # Prepared statements

    def prepared(self, text: str, wire: Wire, seconds: float) -> Deferred[Prepared]:
        """Return this node's id of a prepared statement; concurrent callers share one request.

        :param wire: the connection that it is prepared on, if the node does not know it yet.
        """
        found = self._prepared.get(text)
        if found is not None:
            return succeed(found)
        question = self._preparing.get(text)
        if question is not None:
            return question.join()
        question = self._preparing[text] = SingleFlight()
        answer = question.join()
        wire.ask(prepare(text), seconds).addBoth(self._answered, text)
        return answer

    def forget(self, text: str, prepared: Prepared) -> None:
        """The node has forgotten a statement; others may have found that too, and have prepared it since."""
        if self._prepared.get(text) is prepared:
            del self._prepared[text]

    def _answered(self, result: Any, text: str) -> None:
        if not isinstance(result, Failure):
            result = Prepared(result.itemId, tuple(result.variable_types or ()))
            while len(self._prepared) >= PREPARED:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[text] = result
        self._preparing.pop(text).answered(result)
