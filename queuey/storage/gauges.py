"""What every back end tells of itself under the same name."""

from __future__ import annotations

from collections.abc import Callable

from queuey.model.counts import Gauge, gauge


def stable_time_age(read: Callable[[], float | None]) -> Gauge:
    """How old the stable time is.

    :param read: seconds; ``None`` while nobody knows.
    """
    text = "Seconds from the time up to which readers see everything to now; below 0 where the clock was set back."
    return gauge("queuey_stable_time_age_seconds", text, read)
