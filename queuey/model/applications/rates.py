"""Rates by token buckets, without I/O; the time is an argument.

A bucket holds at most ``burst`` tokens, begins full, and gains ``per_second`` of them every second. An action takes
tokens out; if there are too few, it is refused and none is taken. In any ``t`` seconds at most ``burst + per_second *
t`` are taken: the rule of token buckets in RFC 2215, section 3.6, computed as RFC 2697, section 3, does it, from what
is left and the time since.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Final

import msgspec

_GRAIN: Final = 1e-9
"""Tokens that may be missing, so that rounding does not refuse a client that waited exactly as long as the refusal
said."""


class Rate(msgspec.Struct, frozen=True, gc=False):
    """A rate limit.

    :ivar per_second: in the long run.
    :ivar burst: at once, after a rest.
    """

    per_second: float
    burst: int

    @property
    def window(self) -> float:
        """Seconds in which an empty bucket fills."""
        return self.burst / self.per_second


def rate(per_second: float | None, burst: int | None) -> Rate | None:
    """A rate as settings have it: without a burst it is what comes in a second, and at least one."""
    if per_second is None:
        return None
    return Rate(per_second, max(1, ceil(per_second)) if burst is None else burst)


class Rates(msgspec.Struct, frozen=True, gc=False):
    """The rates of an application, or of one of its queues; ``None`` is no limit.

    :ivar requests: of its requests.
    :ivar messages: of the messages that they bring.
    """

    requests: Rate | None
    messages: Rate | None


def rates(requests: Rate | None, messages: Rate | None) -> Rates | None:
    """Return both rates, or ``None`` if there is no limit at all."""
    return None if requests is None and messages is None else Rates(requests, messages)


class Bucket:
    """A bucket, which is full at first. Times are seconds of one clock.

    If the clock goes back, no tokens are gained.

    :ivar rate: the rate at which it is filled.
    """

    __slots__ = ("_at", "_level", "rate")

    def __init__(self, rate: Rate, now: float) -> None:
        self.rate = rate
        self._level: float = rate.burst
        self._at = now

    def level(self, now: float) -> float:
        """The tokens in it."""
        if now != self._at:
            if now > self._at:
                level, burst = self._level + (now - self._at) * self.rate.per_second, self.rate.burst
                self._level = level if level < burst else burst
            self._at = now
        return self._level

    def full(self, now: float) -> bool:
        """Whether it is as one that was never used, and may be forgotten."""
        return self.level(now) >= self.rate.burst

    def left(self, now: float) -> int:
        """Return the number of whole tokens in it."""
        return max(0, floor(self.level(now) + _GRAIN))

    def wait(self, count: int, now: float) -> float:
        """Return the seconds until this number of tokens can be taken; 0: now. The number may not exceed the burst."""
        missing = count - self.level(now)
        return 0.0 if missing <= _GRAIN else missing / self.rate.per_second

    def standing(self, now: float) -> tuple[int, float | None]:
        """Return the whole tokens in it, and the seconds until there is one more; ``None`` if it is full."""
        # What ``level`` does, and so in ``take_one``: this is done for every request, several times.
        level, rate = self._level, self.rate
        if now > self._at:
            level += (now - self._at) * rate.per_second
        self._at = now
        if level >= rate.burst:
            self._level = rate.burst
            return rate.burst, None
        self._level = level
        # No level is lower than the grain below zero.
        whole = int(level + _GRAIN)
        return whole, min(whole + 1 - level, rate.burst - level) / rate.per_second

    def take(self, count: int, now: float) -> None:
        """Take this number of tokens; call it only if ``wait`` has returned 0."""
        if now != self._at:
            self.level(now)
        self._level -= count

    def take_one(self, now: float) -> bool:
        """Take one if it is there; whether it was."""
        level, rate = self._level, self.rate
        if now > self._at:
            level += (now - self._at) * rate.per_second
            if level > rate.burst:
                level = rate.burst
        self._at = now
        if level < 1 - _GRAIN:
            self._level = level
            return False
        self._level = level - 1
        return True

    def give_back(self, count: int, now: float) -> None:
        """Put back what was taken for something that was not done after all."""
        self._level = min(self.rate.burst, self.level(now) + count)

    def follow(self, rate: Rate, now: float) -> None:
        """Change the rate. The bucket keeps its tokens, up to the new burst: a new limit does not fill it."""
        if rate is not self.rate:
            self._level = min(rate.burst, self.level(now))
            self.rate = rate

    def lower_to(self, level: float, now: float) -> None:
        """Hold no more than this."""
        self._level = min(self.level(now), level)
