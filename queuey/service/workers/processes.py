"""Resources that the worker processes use, as the kernel reports them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from queuey.model.telemetry.counts import Counter, Gauge, Labels, Metric
from queuey.ops.metrics.text import of_process

_LABELS: Final = ("worker",)

_GAUGES: Final = (
    ("queuey_worker_resident_memory_bytes", "Memory that a worker has, in bytes.", "process_resident_memory_bytes"),
    ("queuey_worker_open_fds", "Descriptors that a worker has open.", "process_open_fds"),
    ("queuey_worker_max_fds", "Descriptors that a worker may have open.", "process_max_fds"),
)


class Processes:
    """Metrics of the resources of each worker, because a sum would hide one that is short of them.

    :param pids: those that run now, by the number of the worker.
    :ivar metrics: as they were found by the last look.
    """

    def __init__(self, pids: Callable[[], Mapping[int, int]]) -> None:
        self._pids = pids
        self._found: dict[Labels, Mapping[str, float]] = {}
        self._time = Counter("queuey_worker_cpu_seconds_total", "Processor time of a worker, in seconds.", _LABELS)
        gauges = (Gauge(name, text, _LABELS, partial(self._read, column)) for name, text, column in _GAUGES)
        self.metrics: tuple[Metric, ...] = (self._time, *gauges)

    def look(self) -> None:
        """Update the figures; a process that has just ended has none."""
        self._found = {(str(number),): of_process(pid) for number, pid in self._pids().items()}
        self._time.values.clear()
        self._time.values.update(self._read("process_cpu_seconds_total"))

    def _read(self, name: str) -> Mapping[Labels, float]:
        return {labels: found[name] for labels, found in self._found.items() if name in found}
