"""Counters, histograms and gauges: plain numbers that are updated where things happen, and exported as metrics
elsewhere.

Kinds, names and labels are those of Prometheus (https://prometheus.io/docs/concepts/data_model/). Counting costs one
dictionary lookup. Only one thread adds to a count; another one may read it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs

Labels = tuple[str, ...]
"""The values of labels, in the order of their names."""

NONE: Final[Labels] = ()

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for how long things take."""


@attrs.frozen(eq=False)
class Counter:
    """A metric that only grows.

    :ivar name: as it is shown; it ends in ``_total``.
    :ivar text: the description of the metric, a sentence.
    :ivar labels: the names of labels.
    :ivar values: what was counted, by the values of labels. One without labels begins with 0.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()
    values: dict[Labels, float] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        if not self.labels:
            self.values[NONE] = 0

    def add(self, labels: Labels = NONE, amount: float = 1) -> None:
        """Count something."""
        try:
            self.values[labels] += amount
        except KeyError:
            self.values[labels] = amount


class Distribution:
    """Numbers of observed values up to each of some bounds.

    :ivar counts: for each bound, how many values were up to it and above the one before; and how many above them all.
    :ivar sum: of all values.
    """

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Take a value in."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


@attrs.frozen(eq=False)
class Histogram:
    """A metric that counts observed values by bounds.

    :ivar bounds: what values are compared with, rising.
    :ivar values: what was observed, by the values of labels.

    The rest is as with :class:`Counter`.
    """

    name: str
    text: str
    bounds: tuple[float, ...]
    labels: tuple[str, ...] = ()
    values: dict[Labels, Distribution] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        if not self.labels:
            self.of(NONE)

    def of(self, labels: Labels) -> Distribution:
        """Return the distribution of the values with these labels."""
        found = self.values.get(labels)
        if found is None:
            found = self.values[labels] = Distribution(self.bounds)
        return found

    def observe(self, value: float, labels: Labels = NONE) -> None:
        """Take a value in."""
        self.of(labels).observe(value)


@attrs.frozen(eq=False)
class Gauge:
    """A value that goes up and down, and is computed when it is exported.

    :ivar read: returns the current values, by the values of labels, without those that are unknown. It must be quick
        and must not fail.

    The rest is as with :class:`Counter`.
    """

    name: str
    text: str
    labels: tuple[str, ...]
    read: Callable[[], Mapping[Labels, float]]


def gauge(name: str, text: str, read: Callable[[], float | None]) -> Gauge:
    """A gauge without labels.

    :param read: returns its current value; ``None`` if it is unknown.
    """

    def values() -> Mapping[Labels, float]:
        value = read()
        return {} if value is None else {NONE: value}

    return Gauge(name, text, (), values)


Metric = Counter | Histogram | Gauge


def forget(metrics: Iterable[Metric], label: str, kept: Callable[[str], bool]) -> None:
    """Let go of what was counted for things that are no more.

    :param label: the name of the label that names the thing.
    :param kept: says of a value of it whether to keep what has it.
    """
    for metric in metrics:
        if isinstance(metric, Gauge) or label not in metric.labels:
            continue
        at = metric.labels.index(label)
        for labels in [labels for labels in metric.values if not kept(labels[at])]:
            del metric.values[labels]
