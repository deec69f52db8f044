"""Metrics as text, made in small pieces: no piece keeps others waiting for long, however many applications there are.

The formats are those of https://prometheus.io/docs/instrumenting/exposition_formats/, and are written by
prometheus-client. What was counted between two pieces is in the later ones alone, as it would be with two metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

import attrs
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, exposition
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from queuey.model.telemetry.counts import Counter, Distribution, Gauge, Histogram, Labels, Metric

PIECE: Final = 100
"""Maximum number of label values whose lines are rendered at once; a histogram has many lines for each."""

_END: Final = b"# EOF\n"


@attrs.frozen
class Format:
    """A text format of metrics."""

    content_type: str
    write: Callable[[Collector], bytes] = attrs.field(repr=False)
    end: bytes


PLAIN: Final = Format(exposition.CONTENT_TYPE_PLAIN_0_0_4, exposition.generate_latest, b"")
OPENMETRICS: Final = Format(openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest, _END)


@attrs.frozen(eq=False)
class Counted(Collector):
    """Metrics in the form of the library: a metric with many values comes in several parts."""

    metric: Metric

    def describe(self) -> Iterable[Family]:
        """The metric without values, for the registry, which refuses a second one of the same name."""
        return [_family(self.metric)]

    def collect(self) -> Iterator[Family]:
        """The metric as it is now, part by part."""
        yield from _parts(self.metric)


@attrs.frozen(eq=False)
class _One(Collector):
    """A part of the metrics alone."""

    family: Family

    def collect(self) -> Iterable[Family]:
        """The part."""
        return [self.family]


def registry(metrics: Sequence[Metric]) -> CollectorRegistry:
    """Make a registry of these metrics, and of those that the library has of the process and of Python.

    :raise ValueError: two have the same name.
    """
    made = CollectorRegistry()
    for metric in metrics:
        made.register(Counted(metric))
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    GCCollector(registry=made)
    return made


def of_process(pid: int) -> dict[str, float]:
    """Return the library's metrics of another process, by their names; empty if it has ended."""
    families = ProcessCollector(pid=lambda: pid, registry=None).collect()
    return {sample.name: sample.value for family in families for sample in family.samples}


def pieces(metrics: CollectorRegistry, format: Format) -> Iterator[bytes]:
    """The metrics as they are now, as pieces of text."""
    before = ""
    for family in metrics.collect():
        text = format.write(_One(family)).removesuffix(format.end)
        yield _without_head(text) if family.name == before else text
        before = family.name
    yield format.end


def _without_head(text: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"# "))


def _family(metric: Metric) -> CounterMetricFamily | HistogramMetricFamily | GaugeMetricFamily:
    if isinstance(metric, Counter):
        return CounterMetricFamily(metric.name, metric.text, labels=metric.labels)
    if isinstance(metric, Gauge):
        return GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
    return HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)


def _parts(metric: Metric) -> Iterator[Family]:
    # A copy, since things are counted between two parts, and in other threads.
    read: Mapping[Labels, float | Distribution] = metric.read() if isinstance(metric, Gauge) else metric.values
    values = list(read.items())
    size = max(1, PIECE // (len(metric.bounds) + 3)) if isinstance(metric, Histogram) else PIECE
    for at in range(0, max(len(values), 1), size):
        family = _family(metric)
        for labels, value in values[at : at + size]:
            _add(family, metric, labels, value)
        yield family


def _add(family: Family, metric: Metric, labels: Labels, value: float | Distribution) -> None:
    if isinstance(family, HistogramMetricFamily) and isinstance(metric, Histogram) and isinstance(value, Distribution):
        bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
        family.add_metric(labels, list(zip(bounds, accumulate(value.counts), strict=True)), value.sum)
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily) and not isinstance(value, Distribution):
        family.add_metric(labels, value)
