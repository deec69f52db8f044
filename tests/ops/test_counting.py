"""What several processes count is shown as one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.telemetry.counts import NONE, Counter, Gauge, Histogram, gauge
from queuey.service.workers.counting import GREATEST, SUMMED, Snapshot, Sums, past, snapshot
from queuey.service.workers.messages import packed, unpacked
from queuey.storage.shared.frames import encoded
from tests.http.api_support import ApiTestCase


class Process:
    """What one process counts."""

    def __init__(self, connections: int) -> None:
        self.requests = Counter("queuey_http_requests_total", "Requests.", ("route",))
        self.lines = Counter("queuey_log_lines_lost_total", "Lines.")
        self.times = Histogram("queuey_reactor_delay_seconds", "Delays.", (1.0, 2.0))
        self.metrics = (
            self.requests,
            self.lines,
            self.times,
            gauge("queuey_http_connections", "Connections.", lambda: connections),
            gauge("queuey_ready", "Ready.", lambda: 1),
        )


class EnginesTests(ApiTestCase):
    def test_gauges(self) -> None:
        """Pushes and schedules run in workers, so the daemon shows what the workers see of them, and not its own."""
        metrics = (*self.assembly.pushes.metrics, *self.assembly.schedules.counts.metrics)
        gauges = {metric.name for metric in metrics if isinstance(metric, Gauge)}
        self.assertEqual(len(gauges), 4)
        self.assertEqual(gauges - SUMMED - GREATEST, set())


class SumsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.own, self.other = Process(3), Process(4)
        self.sums = Sums(self.own.metrics)
        self.own.requests.add(("a",), 2)
        self.other.requests.add(("a",), 5)
        self.other.requests.add(("b",))
        self.other.lines.add()
        for process, value in ((self.own, 0.5), (self.other, 1.5), (self.other, 9.0)):
            process.times.observe(value)

    def shown(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for metric in self.sums.metrics:
            if isinstance(metric, Histogram):
                found[metric.name] = {labels: (each.counts, each.sum) for labels, each in metric.values.items()}
            else:
                found[metric.name] = dict(metric.values if isinstance(metric, Counter) else metric.read())
        return found

    def test_sums(self) -> None:
        """Each look begins its sums again; a gauge of the daemon's own is no sum."""
        for _ in range(2):
            self.sums.look([snapshot(self.other.metrics)])
            self.assertEqual(
                self.shown(),
                {
                    "queuey_http_requests_total": {("a",): 7, ("b",): 1},
                    "queuey_log_lines_lost_total": {NONE: 1},
                    "queuey_reactor_delay_seconds": {NONE: ([1, 1, 1], 11.0)},
                    "queuey_http_connections": {NONE: 7},
                    "queuey_ready": {NONE: 1},
                },
            )

    def test_one_process_is_not_changed_by_it(self) -> None:
        self.sums.look([snapshot(self.other.metrics)])
        self.assertEqual(self.own.requests.values, {("a",): 2})
        self.assertEqual(self.own.times.of(NONE).counts, [1, 0, 0])

    def test_what_has_ended_counts_on(self) -> None:
        """But for what was under way."""
        before = past(past(Snapshot(), snapshot(self.other.metrics)), snapshot(self.other.metrics))
        self.sums.look([before])
        shown = self.shown()
        self.assertEqual(shown["queuey_http_requests_total"], {("a",): 12, ("b",): 2})
        self.assertEqual(shown["queuey_reactor_delay_seconds"], {NONE: ([1, 2, 2], 21.5)})
        self.assertEqual(shown["queuey_http_connections"], {NONE: 3})


class OrderTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        counted = snapshot(Process(1).metrics)
        self.assertEqual(unpacked(encoded(packed(counted)), Snapshot), counted)

    def test_something_else(self) -> None:
        """What was not expected is no value."""
        self.assertRaises(TypeError, unpacked, encoded(packed("x")), Snapshot)
