"""How busy each queue is: messages stored, given and acknowledged in the last ten minutes.

Each process counts in ``QueueCounts``. The daemon takes these counts, and those that its workers send, into the
``Activity`` of all of them. Both keep the busiest queues only, so neither grows with the number of queues.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from heapq import nlargest
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

LIMIT: Final = 1000
"""Queues that are kept. There may be twice as many for a while, so that the quietest are not sought at each new one."""

SPAN: Final = 10
"""Seconds of one entry of a history."""

ENTRIES: Final = 60
"""Entries of a history, besides the one that is under way."""

RECENT: Final = 6
"""Entries, besides the one that is under way, whose mean is the present rate."""

_LOOK: Final = 1.0
"""Seconds between two looks at what was counted."""

_DECAY: Final = 0.9
"""By which the weight of what was counted is multiplied for each ``SPAN``: after a minute it is about a half."""

_SLOTS: Final = ENTRIES + 1

STORED: Final = 0
GIVEN: Final = 1
ACKED: Final = 2
_KINDS: Final = (STORED, GIVEN, ACKED)

Name = tuple[str, str]
"""An application, and the name of a queue of it."""

OTHERS: Final[Name] = ("", "")
"""Stands for queues that were dropped before they were taken: what was counted for them is in the total alone."""

Counted = list[int]
"""Messages stored, given and acknowledged: at ``STORED``, ``GIVEN`` and ``ACKED``."""


class QueueCounts:
    """What was counted for each queue since it was last taken.

    :ivar lines: the counts. Where each request counts, it adds to a line that is there without a call, as with metrics.
    """

    def __init__(self) -> None:
        self.lines: dict[Name, Counted] = {}

    def count(self, name: Name, kind: int, number: int) -> None:
        """Count messages of a queue.

        :param kind: ``STORED``, ``GIVEN`` or ``ACKED``.
        """
        lines = self.lines
        if name not in lines:
            if len(lines) >= 2 * LIMIT:
                self._drop()
                lines = self.lines
            lines[name] = [0, 0, 0]
        lines[name][kind] += number

    def _drop(self) -> None:
        """Keep the busiest queues; what was counted for the others goes to ``OTHERS``."""
        kept = dict(nlargest(LIMIT, self.lines.items(), key=lambda item: sum(item[1])))
        dropped = [numbers for name, numbers in self.lines.items() if name not in kept]
        others = kept.pop(OTHERS, [0, 0, 0])
        kept[OTHERS] = [sum(numbers) for numbers in zip(others, *dropped, strict=True)]
        self.lines = kept

    def take(self) -> dict[Name, Counted]:
        """Return what was counted, and begin again at 0."""
        found, self.lines = self.lines, {}
        return found


@attrs.frozen
class Rates:
    """How busy a queue is, in messages a second over the last minute."""

    stored: float
    given: float
    acked: float


class _Line:
    """The history of one queue.

    :ivar last: the number of the last entry that was written to.
    :ivar weight: by which the quietest queues are found: what was counted, with what is long ago counting less.
    """

    __slots__ = ("_cells", "last", "weight")

    def __init__(self, entry: int, weight: float) -> None:
        self._cells = tuple([array("Q", bytes(8 * _SLOTS)) for _ in _KINDS])
        self.last = entry
        self.weight = weight

    def add(self, entry: int, counted: Counted) -> None:
        """Add to an entry, which is the last one or a later one."""
        for skipped in range(max(self.last + 1, entry - ENTRIES), entry + 1):
            for cells in self._cells:
                cells[skipped % _SLOTS] = 0
        self.last = entry
        for cells, number in zip(self._cells, counted, strict=True):
            cells[entry % _SLOTS] += number
        self.weight += sum(counted)

    def entries(self, kind: int, first: int, end: int) -> list[int]:
        """Return entries from one to before another, of which none is older than the oldest that is kept."""
        cells, last = self._cells[kind], self.last
        return [cells[entry % _SLOTS] if last - ENTRIES <= entry <= last else 0 for entry in range(first, end)]


class Activity:
    """How busy the busiest queues are, and have been.

    Which queues are kept is decided as by the algorithm "Space-Saving" of Metwally, Agrawal and El Abbadi: a queue
    that is new begins with the weight of the busiest one that was dropped. So a queue with more than its share of all
    messages comes in, and stays, however many others pass by.

    :param clock: of this machine, the same for its workers; it is never set back.
    :param counts: what is counted in this process.
    """

    def __init__(self, clock: IReactorTime, counts: QueueCounts) -> None:
        self._clock = clock
        self._counts = counts
        self._lines: dict[Name, _Line] = {}
        self._entry = int(clock.seconds() // SPAN)
        self._total = _Line(self._entry, 0.0)
        self._since = clock.seconds()
        self._dropped = 0.0
        self._loop = LoopingCall(self.look)
        self._loop.clock = clock

    def start(self) -> None:
        """Look every second from now on, so that what is counted comes into the right entry."""
        self._loop.start(_LOOK, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def look(self) -> None:
        """Take what was counted in this process."""
        self.add(self._counts.take())

    def add(self, counted: Mapping[Name, Counted]) -> None:
        """Add what was counted since a moment ago, here or in a worker."""
        self._turn()
        lines, entry = self._lines, self._entry
        for name, numbers in counted.items():
            self._total.add(entry, numbers)
            if name == OTHERS:
                continue
            line = lines.get(name)
            if line is None:
                line = lines[name] = _Line(entry, self._dropped)
            line.add(entry, numbers)
        if len(lines) > 2 * LIMIT:
            self._drop()

    def _turn(self) -> None:
        """Begin the present entry; forget queues whose history is empty, and drop the quietest."""
        entry = int(self._clock.seconds() // SPAN)
        if entry == self._entry:
            return
        decay = _DECAY ** (entry - self._entry)
        self._entry = entry
        self._dropped *= decay
        self._lines = {name: line for name, line in self._lines.items() if line.last >= entry - ENTRIES}
        for line in self._lines.values():
            line.weight *= decay
        if len(self._lines) > LIMIT:
            self._drop()

    def _drop(self) -> None:
        ordered = sorted(self._lines.items(), key=lambda item: item[1].weight, reverse=True)
        self._dropped = ordered[LIMIT][1].weight
        self._lines = dict(ordered[:LIMIT])

    # What is shown

    @property
    def kept(self) -> int:
        """Number of queues whose rates are known."""
        return len(self._lines)

    @property
    def ends(self) -> float:
        """Seconds since the last complete entry ended."""
        return self._clock.seconds() % SPAN

    def rates(self, name: Name | None) -> Rates | None:
        """Return how busy a queue is, or all of them together are (``None``).

        :return: ``None`` if the queue is not among those that are kept, and so is nearly idle.
        """
        line = self._line(name)
        return None if line is None else Rates(*(self._rate(line, kind) for kind in _KINDS))

    def history(self, name: Name | None, kind: int) -> list[int] | None:
        """Return the messages of each of the last ``ENTRIES`` complete entries, the oldest first; the rest as for
        ``rates``."""
        line = self._line(name)
        entry = int(self._clock.seconds() // SPAN)
        return None if line is None else line.entries(kind, entry - ENTRIES, entry)

    def busiest(self, kind: int, wanted: Callable[[Name], bool]) -> list[Name]:
        """Return the names of the queues that are kept, the busiest first; those that are alike by their names.

        :param wanted: which of them.
        """
        found = [(-self._rate(line, kind), name) for name, line in self._lines.items() if wanted(name)]
        return [name for _, name in sorted(found)]

    def _line(self, name: Name | None) -> _Line | None:
        return self._total if name is None else self._lines.get(name)

    def _rate(self, line: _Line, kind: int) -> float:
        seconds = self._clock.seconds()
        entry = int(seconds // SPAN)
        first = entry - RECENT
        # A daemon that has just begun has not had a minute yet, but a burst in its first second is not its rate.
        lasted = max(float(SPAN), min(seconds - first * SPAN, seconds - self._since))
        return sum(line.entries(kind, first, entry + 1)) / lasted
