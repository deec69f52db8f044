"""Counts as lines of StatsD: the growth of each counter since the last time, and gauges as they are now.

The format is that of https://github.com/statsd/statsd/blob/master/docs/metric_types.md, which has no labels: the values
of labels are parts of names. Datagrams may get lost without a notice.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from queuey.deferreds import TurnQueue, deferred
from queuey.model.telemetry.counts import Gauge, Histogram, Labels, Metric

MAX_BYTES: Final = 1400
"""Maximum size in bytes of a datagram: it fits into a packet of Ethernet."""

_AT_ONCE: Final = 20
"""Datagrams that are made and sent before others are served."""

_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9_-]+")

Place = tuple[socket.AddressFamily, Any]
"""The address of datagrams, as the socket module has it."""


class Lines:
    """Makes lines of metrics.

    :param prefix: what each name begins with.
    """

    def __init__(self, metrics: Sequence[Metric], prefix: str) -> None:
        self._metrics = metrics
        self._prefix = prefix
        self._sent: dict[str, float] = {}

    def make(self) -> Iterator[str]:
        """Return the lines to send now; the caller must send all of them."""
        values: dict[str, float] = {}
        for name, value in self._counted():
            values[name] = value
            before = self._sent.get(name, 0)
            # A counter that was dropped and begins again is below its last value.
            more = value - before if value >= before else value
            if more:
                yield f"{name}:{_number(more)}|c"
        self._sent = values
        for metric in self._metrics:
            if isinstance(metric, Gauge):
                for labels, value in list(metric.read().items()):
                    yield from _gauge(self._name(metric, labels), value)

    def _counted(self) -> Iterator[tuple[str, float]]:
        for metric in self._metrics:
            if isinstance(metric, Gauge):
                continue
            if isinstance(metric, Histogram):
                for labels, found in list(metric.values.items()):
                    name = self._name(metric, labels)
                    yield f"{name}.count", sum(found.counts)
                    yield f"{name}.sum", found.sum
            else:
                for labels, value in list(metric.values.items()):
                    yield self._name(metric, labels), value

    def _name(self, metric: Metric, labels: Labels) -> str:
        name = metric.name.removeprefix("queuey_").removesuffix("_total")
        return ".".join([self._prefix, name, *map(_part, labels)])


def _part(value: str) -> str:
    """The value of a label as a part of a name."""
    return _NOT_PLAIN.sub("_", value).strip("_") or "_"


def _gauge(name: str, value: float) -> Iterator[str]:
    if value < 0:
        # With a sign it would be a change of the value before.
        yield f"{name}:0|g"
    yield f"{name}:{_number(value)}|g"


def _number(value: float) -> str:
    return f"{value:.15g}"


def datagrams(lines: Iterable[str]) -> Iterator[bytes]:
    """Lines in as few datagrams as there can be."""
    waiting, size = list[str](), 0
    for line in lines:
        if waiting and size + len(line) > MAX_BYTES:
            yield "\n".join(waiting).encode("ascii")
            waiting, size = [], 0
        waiting.append(line)
        size += len(line) + 1
    if waiting:
        yield "\n".join(waiting).encode("ascii")


def place_of(address: tuple[str, int] | Path) -> Place:
    """Return where datagrams to an address go; a name is looked up, which may block.

    :raise OSError: it is not known.
    """
    if isinstance(address, Path):
        return socket.AF_UNIX, str(address)
    host, port = address
    family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    return family, found


class Statsd:
    """Sends lines at an interval, without waiting for a receiver.

    :param find: finds the address, each time; its Deferred fails with ``OSError`` if it is not known.
    :param every: seconds between two times.
    :param before: is called each time, and waited for.
    """

    def __init__(
        self,
        lines: Lines,
        find: Callable[[], Deferred[Place]],
        every: float,
        clock: IReactorTime,
        before: Callable[[], Deferred[None]],
    ) -> None:
        self._lines = lines
        self._find = find
        self._every = every
        self._turns = TurnQueue(clock)
        self._before = before
        self._loop = LoopingCall(self.send)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin; the first lines leave after the first pause."""
        self._loop.start(self._every, now=False)

    def stop(self) -> None:
        """Stop sending."""
        if self._loop.running:
            self._loop.stop()

    @deferred
    async def send(self) -> None:
        """Send the lines now.

        :return: fires when that is done; never fails.
        """
        await self._before()
        try:
            family, place = await self._find()
            sender = socket.socket(family, socket.SOCK_DGRAM)
        except OSError:
            return
        with sender:
            sender.setblocking(False)
            for number, datagram in enumerate(datagrams(self._lines.make()), 1):
                with suppress(OSError):
                    sender.sendto(datagram, place)
                if number % _AT_ONCE == 0:
                    await self._turns.next()
