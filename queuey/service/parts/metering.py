"""Which metrics there are: the table in ``docs/metrics.rst`` has each of them, and a test compares the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from queuey import __version__
from queuey.config import MetricsSettings
from queuey.core.live.reads import LiveReads
from queuey.core.many.watching import ManyWatch
from queuey.core.waiting import Waits
from queuey.deferreds import deferred, shield
from queuey.http.wire import Site
from queuey.model.telemetry.counts import Gauge, Labels, Metric, gauge
from queuey.model.timeid import to_seconds
from queuey.ops.draining import Draining
from queuey.ops.health import Health
from queuey.ops.metrics.statsd import Lines, Statsd, place_of
from queuey.service.parts.operators import in_thread


class Readiness:
    """Whether this front end is ready, as it was found to be by the last look."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._found: bool | None = None
        self.metric = gauge("queuey_ready", "Whether /ready of the operators' port answers 200.", lambda: self._found)

    @deferred
    async def look(self) -> None:
        """Update the counts.

        :return: fires when that is done; never fails.
        """
        self._found = all(finding.ok for finding in await shield(self._health.look()))


def of_the_daemon(draining: Draining) -> tuple[Metric, ...]:
    """Return the metrics of the daemon as a whole."""
    version: dict[Labels, float] = {(__version__,): 1}
    return (
        Gauge("queuey_build_info", "The version that runs; its value is always 1.", ("version",), lambda: version),
        gauge("queuey_draining", "Whether this front end is drained.", lambda: draining.on),
    )


def of_the_http_server(site: Site, waits: Waits, watch: ManyWatch) -> tuple[Metric, ...]:
    """Return the metrics of open connections and of requests in progress."""

    def reads() -> int:
        return waits.reading + watch.waiting

    return (
        gauge("queuey_http_connections", "Open connections.", lambda: site.connections),
        gauge("queuey_http_requests_in_progress", "Requests that have begun and not ended.", lambda: site.busy),
        gauge(
            "queuey_waiting_reads",
            "Reads that wait for messages; live reads that share a look count as one.",
            reads,
        ),
        gauge("queuey_waiting_claims", "Claims that wait.", lambda: waits.waiting - reads()),
        gauge("queuey_many_choices", "Choices of queues that reads of many use, or have used.", lambda: watch.choices),
        gauge("queuey_many_queues", "Queues in these choices, each counted once.", lambda: watch.queues),
    )


def of_live_reads(live: LiveReads, now: Callable[[], float]) -> tuple[Metric, ...]:
    """Return the metrics of live reads."""

    def streams() -> dict[Labels, float]:
        found: dict[Labels, float] = {("sse",): 0, ("ndjson",): 0}
        for stream in live.streams:
            found[stream.kind,] += 1
        return found

    def behind() -> float:
        places = [place for stream in live.streams if (place := stream.behind) is not None]
        return max(0.0, now() - to_seconds(min(places))) if places else 0.0

    return (
        Gauge("queuey_live_streams", "Live reads.", ("kind",), streams),
        live.events,
        live.ends,
        gauge("queuey_live_behind_seconds", "How old the place of the live read is that is behind most.", behind),
    )


def statsd_of(
    settings: MetricsSettings, metrics: tuple[Metric, ...], reactor: Any, before: Callable[[], Deferred[None]]
) -> Statsd | None:
    """Return the service that sends the metrics to a statsd server, if the settings name one.

    :param before: is called each time, and waited for.
    """
    address = settings.statsd
    if address is None:
        return None
    lines = Lines(metrics, settings.prefix)
    return Statsd(lines, lambda: in_thread(reactor, lambda: place_of(address)), settings.every, reactor, before)
