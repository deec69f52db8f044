"""Which metrics there are: the table in ``docs/metrics.rst`` has each of them, and a test compares the two."""

from __future__ import annotations

from queuey import __version__
from queuey.http.wire import Site
from queuey.model.counts import Gauge, Labels, Metric, gauge
from queuey.ops.draining import Draining


def of_the_daemon(draining: Draining) -> tuple[Metric, ...]:
    """What there is to tell of the daemon as a whole."""
    version: dict[Labels, float] = {(__version__,): 1}
    return (
        Gauge("queuey_build_info", "The version that runs; its value is always 1.", ("version",), lambda: version),
        gauge("queuey_draining", "Whether the heartbeat asks to leave this front end out.", lambda: draining.on),
    )


def of_the_door(site: Site) -> tuple[Metric, ...]:
    """What there is to tell of connections and requests."""
    return (
        gauge("queuey_http_connections", "Open connections.", lambda: site.connections),
        gauge("queuey_http_requests_in_progress", "Requests that have begun and are not over.", lambda: site.busy),
    )
