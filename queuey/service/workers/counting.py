"""Sums of the metrics of several processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from queuey.model.telemetry.counts import Counter, Gauge, Histogram, Labels, Metric

SUMMED: Final = frozenset(
    {
        "queuey_http_connections",
        "queuey_http_requests_in_progress",
        "queuey_waiting_reads",
        "queuey_waiting_claims",
        "queuey_live_streams",
        "queuey_pushes",
        "queuey_push_requests",
        "queuey_pushes_failing",
    }
)
"""Gauges that are the sum over all processes; the others, besides those of ``GREATEST``, are the daemon's own."""

GREATEST: Final = frozenset({"queuey_live_behind_seconds", "queuey_schedules"})
"""Gauges that are the greatest value of all processes. Each process that serves counts all schedules."""

_OF_ALL: Final = SUMMED | GREATEST


@attrs.frozen
class Snapshot:
    """The metrics of a process at one time, by the names of metrics and the values of labels.

    :ivar histograms: the counts of each distribution, and the sum.
    """

    counters: Mapping[str, Mapping[Labels, float]] = {}
    histograms: Mapping[str, Mapping[Labels, tuple[list[int], float]]] = {}
    gauges: Mapping[str, Mapping[Labels, float]] = {}


def snapshot(metrics: Iterable[Metric]) -> Snapshot:
    """Read the current values of metrics."""
    counters, histograms, gauges = {}, {}, {}
    for metric in metrics:
        if isinstance(metric, Counter):
            counters[metric.name] = dict(metric.values)
        elif isinstance(metric, Histogram):
            histograms[metric.name] = {
                labels: (list(found.counts), found.sum) for labels, found in metric.values.items()
            }
        elif metric.name in _OF_ALL:
            gauges[metric.name] = dict(metric.read())
    return Snapshot(counters, histograms, gauges)


class Sums:
    """The same metrics, each as the sum of what this process and others had counted at the last look.

    :param own: those of this process.
    :ivar metrics: the sums.
    """

    def __init__(self, own: Sequence[Metric]) -> None:
        self._own = own
        self._gauges: dict[str, dict[Labels, float]] = {name: {} for name in _OF_ALL}
        self.metrics: tuple[Metric, ...] = tuple(self._sum_of(metric) for metric in own)

    def _sum_of(self, metric: Metric) -> Metric:
        if isinstance(metric, Counter):
            return Counter(metric.name, metric.text, metric.labels)
        if isinstance(metric, Histogram):
            return Histogram(metric.name, metric.text, metric.bounds, metric.labels)
        if metric.name not in _OF_ALL:
            return metric
        values = self._gauges[metric.name]
        return Gauge(metric.name, metric.text, metric.labels, lambda: values)

    def look(self, others: Iterable[Snapshot]) -> None:
        """Add up what was counted by now.

        :param others: what the others had counted.
        """
        total = added((snapshot(self._own), *others))
        for metric in self.metrics:
            if isinstance(metric, Counter):
                _replace(metric.values, total.counters.get(metric.name, {}))
            elif isinstance(metric, Histogram):
                metric.values.clear()
                for labels, (counts, sum_of_all) in total.histograms.get(metric.name, {}).items():
                    found = metric.of(labels)
                    found.counts, found.sum = counts, sum_of_all
            elif metric.name in _OF_ALL:
                _replace(self._gauges[metric.name], total.gauges.get(metric.name, {}))


def _replace(values: dict[Labels, float], by: Mapping[Labels, float]) -> None:
    values.clear()
    values.update(by)


def added(parts: Iterable[Snapshot]) -> Snapshot:
    """Return the sums of the metrics of several processes."""
    counters: dict[str, dict[Labels, float]] = {}
    gauges: dict[str, dict[Labels, float]] = {}
    histograms: dict[str, dict[Labels, tuple[list[int], float]]] = {}
    for part in parts:
        for sums, counted in ((counters, part.counters), (gauges, part.gauges)):
            for name, values in counted.items():
                kept = sums.setdefault(name, {})
                for labels, value in values.items():
                    before = kept.get(labels, 0)
                    kept[labels] = max(before, value) if name in GREATEST else before + value
        for name, found in part.histograms.items():
            distributions = histograms.setdefault(name, {})
            for labels, (counts, total) in found.items():
                earlier, so_far = distributions.get(labels, ([0] * len(counts), 0.0))
                both = [one + other for one, other in zip(earlier, counts, strict=True)]
                distributions[labels] = (both, so_far + total)
    return Snapshot(counters, histograms, gauges)


def past(earlier: Snapshot, ended: Snapshot) -> Snapshot:
    """Add the counters and histograms of a process that has ended to those of earlier ones, without its gauges."""
    return added((earlier, Snapshot(ended.counters, ended.histograms)))
