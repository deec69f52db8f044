"""How many requests wait and read live, by application, and which live read is behind most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from queuey.core.live.reads import LiveReads
from queuey.core.wait_limits import WaitLimits
from queuey.model.timeid import Ticks


@attrs.frozen
class Waiting:
    """The requests of one application that wait or read live.

    :ivar reads: reads that wait for messages, those of many queues among them; ``claims``: claims that wait.
    :ivar streams: live reads; ``blocked``: those of them whose client does not read now.
    :ivar behind: the time up to which the live read that is behind most was sent everything; ``None`` if none is.
    :ivar slowest: the name of the queue that it reads; ``None`` if it reads many.
    """

    reads: int = 0
    claims: int = 0
    streams: int = 0
    blocked: int = 0
    behind: Ticks | None = None
    slowest: str | None = None

    def __add__(self, other: Waiting) -> Waiting:
        first = min((self, other), key=lambda one: (one.behind is None, one.behind))
        return Waiting(
            self.reads + other.reads,
            self.claims + other.claims,
            self.streams + other.streams,
            self.blocked + other.blocked,
            first.behind,
            first.slowest,
        )


def waiting_here(seats: WaitLimits, live: LiveReads) -> dict[str, Waiting]:
    """Return what waits and reads live in this process, by application."""
    found: dict[str, Waiting] = {}
    for application, number in seats.numbers().items():
        claims = seats.claims[application]
        found[application] = Waiting(number - claims, claims)
    for application, number in live.limits.numbers().items():
        found[application] = found.get(application, Waiting()) + Waiting(streams=number)
    for stream in live.streams:
        behind = stream.behind
        if behind is not None:
            blocked = int(stream.blocked_for > 0)
            one = Waiting(blocked=blocked, behind=behind, slowest=stream.queue)
            found[stream.application] = found.get(stream.application, Waiting()) + one
    return found


def waiting_in_all(parts: Iterable[Mapping[str, Waiting]]) -> dict[str, Waiting]:
    """Return the sums of several processes."""
    found: dict[str, Waiting] = {}
    for part in parts:
        for application, one in part.items():
            found[application] = found.get(application, Waiting()) + one
    return found
