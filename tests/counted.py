"""What was counted, as tests compare it."""

from __future__ import annotations

from collections.abc import Sequence

from queuey.model.telemetry.counts import Distribution, Gauge, Labels, Metric


def counted(metrics: Sequence[Metric], name: str) -> dict[Labels, float]:
    """The values of one metric by those of its labels, nothing where it is 0; of a histogram, how many it has seen."""
    (metric,) = [one for one in metrics if one.name == name]
    values = metric.read() if isinstance(metric, Gauge) else metric.values
    found = {labels: sum(one.counts) if isinstance(one, Distribution) else one for labels, one in values.items()}
    return {labels: value for labels, value in found.items() if value}


def value(metrics: Sequence[Metric], name: str) -> float | None:
    """The value of a gauge without labels; ``None`` if it is unknown."""
    (metric,) = [one for one in metrics if one.name == name]
    assert isinstance(metric, Gauge)
    return metric.read().get(())
