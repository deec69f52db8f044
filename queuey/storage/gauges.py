"""Gauges that every back end has under the same name."""

from __future__ import annotations

from collections.abc import Callable

from queuey.model.telemetry.counts import Gauge, gauge


def stable_time_age(read: Callable[[], float | None]) -> Gauge:
    """Make the gauge of the age of the stable time.

    :param read: seconds; ``None`` while it is not known.
    """
    text = "Seconds from the time up to which readers see everything to now; below 0 if the clock was set back."
    return gauge("queuey_stable_time_age_seconds", text, read)
