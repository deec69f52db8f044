"""The clock of a front end compared with those of others: pure rules, which get every time as an argument."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

import attrs

from queuey.model.timeid import Ticks, from_seconds

RATE: Final = 0.0005
"""Seconds in each second by which a clock is slewed."""

DRIFT: Final = 0.001
"""Seconds in each second by which two clocks may drift apart, each being slewed by 500 ppm at the most."""

MEMORY: Final = 60.0
"""Seconds for which a sighting of a clock is used."""

SIGHTINGS: Final = 12
"""Sightings of each clock that are kept."""


class SteadyClock:
    """CLOCK_BOOTTIME plus an offset that is slewed, so that setting the machine's clock does no harm.

    :param boot: CLOCK_BOOTTIME in seconds.
    :param wall: seconds since 1970 at that moment.
    """

    def __init__(self, boot: float, wall: float) -> None:
        self._base = self._wanted = wall - boot
        self._since = boot

    def offset(self, boot: float) -> float:
        """Return the seconds to add to CLOCK_BOOTTIME."""
        reach = RATE * max(0.0, boot - self._since)
        return self._base + min(max(self._wanted - self._base, -reach), reach)

    def read(self, boot: float) -> Ticks:
        """The time."""
        return from_seconds(boot + self.offset(boot))

    def follow(self, boot: float, wall: float, step: bool) -> float:
        """Follow the clock of the machine from now on.

        :param step: whether to jump to it at once, which is safe before this clock is in use.
        :return: by how many seconds it is ahead of us.
        """
        wanted = wall - boot
        self._base = wanted if step else self.offset(boot)
        self._since, self._wanted = boot, wanted
        return wanted - self._base


@attrs.frozen
class Sighting:
    """A measurement of another clock: the seconds by which it is ahead of CLOCK_BOOTTIME, between two bounds.

    :ivar boot: when.
    """

    low: float
    high: float
    boot: float


@attrs.frozen
class ClockComparison:
    """Result of a comparison of clocks.

    :ivar right: whether our clock is surely close enough to the middle of the others.
    :ivar text: one sentence that says so, or what is wrong.
    :ivar off: the other clocks that are surely too far from the middle, with the seconds by which they are ahead of it.
    :ivar ahead: seconds by which our clock is ahead of the middle; ``None`` if that is not known closely enough.
    :ivar others: the other clocks, with the seconds by which each is ahead of ours, at the least.
    """

    right: bool
    text: str
    off: tuple[tuple[str, float], ...]
    ahead: float | None = None
    others: tuple[tuple[str, float], ...] = ()


class OtherClocks:
    """Measurements of other clocks.

    A clock that showed ``c`` at a moment between our ``a`` and ``b`` is ahead of us by ``c - b`` at the least and by
    ``c - a`` at the most: half of a round trip is allowed for on either side. Several sightings of one clock leave
    what they have in common.

    :param skew: seconds that two clocks may be apart; each may be half of it from their middle.
    """

    def __init__(self, skew: float) -> None:
        self._skew = skew
        self._seen: dict[str, list[Sighting]] = {}

    def saw(self, name: str, shown: float, after: float, before: float) -> None:
        """Another clock was seen.

        :param name: whose it is, for people.
        :param shown: the seconds since 1970 that it showed.
        :param after: CLOCK_BOOTTIME before that, and ``before`` when it was over.
        """
        sightings = self._seen.setdefault(name, [])
        sightings.append(Sighting(shown - before, shown - after, before))
        del sightings[:-SIGHTINGS]

    def compare(self, boot: float, offset: float) -> ClockComparison:
        """Hold our clock, which is CLOCK_BOOTTIME plus ``offset`` now, against the others."""
        known = {name: bounds for name in list(self._seen) if (bounds := self._bounds(name, boot, offset))}
        others = tuple((name, min(max(bounds[0], 0.0), bounds[1])) for name, bounds in sorted(known.items()))
        close = [bounds for bounds in known.values() if bounds[1] - bounds[0] <= self._skew]
        if not close:
            return ClockComparison(False, "No clock could be compared closely enough with ours.", (), None, others)
        low, high = median(bounds[0] for bounds in close), median(bounds[1] for bounds in close)
        allowed = self._skew / 2
        off = tuple(
            (name, (bounds[0] + bounds[1] - low - high) / 2)
            for name, bounds in sorted(known.items())
            if bounds[0] - high > allowed or low - bounds[1] > allowed
        )
        right = low >= -allowed and high <= allowed
        text = self._text(right, (low + high) / 2, (high - low) / 2, close, off)
        return ClockComparison(right, text, off, -(low + high) / 2, others)

    def _bounds(self, name: str, boot: float, offset: float) -> tuple[float, float] | None:
        """By how many seconds a clock is ahead of ours."""
        fresh = [sighting for sighting in self._seen[name] if boot - sighting.boot <= MEMORY]
        if not fresh:
            del self._seen[name]
            return None
        self._seen[name] = fresh
        low = max(sighting.low - DRIFT * (boot - sighting.boot) for sighting in fresh)
        high = min(sighting.high + DRIFT * (boot - sighting.boot) for sighting in fresh)
        if low > high:  # that clock was set in between: only the last one counts
            del fresh[:-1]
            low, high = fresh[0].low, fresh[0].high
        return low - offset, high - offset

    def _text(
        self,
        right: bool,
        middle: float,
        error: float,
        close: Sequence[tuple[float, float]],
        off: Sequence[tuple[str, float]],
    ) -> str:
        way = "behind" if middle > 0 else "ahead of"
        text = f"The clock of this front end is {abs(middle):.3f} s {way} the middle of {len(close)} others"
        if not right:
            text += f", known to {error:.3f} s, where {self._skew / 2:g} s are allowed"
        if off:
            text += "; off that middle: " + ", ".join(f"{name} by {seconds:+.3f} s" for name, seconds in off)
        return text + "."
