"""Traces: requests as spans. The OpenTelemetry SDK is imported only if traces are asked for."""

from __future__ import annotations

from typing import Any

from queuey.config import TracingSettings
from queuey.interfaces import ITraces


def make_traces(settings: TracingSettings, reactor: Any) -> ITraces | None:
    """Make the exporter of traces; ``None`` if the settings name no collector.

    :param reactor: has the timers, and gets the results of the SDK's threads.
    """
    if settings.endpoint is None:
        return None
    from queuey.tracing.export import Export, Exporting

    exporting = Exporting(
        endpoint=settings.endpoint,
        headers=settings.headers,
        service=settings.service_name,
        ratio=settings.ratio,
        max_spans=settings.max_spans,
        timeout=settings.export_timeout,
        flush=settings.flush_timeout,
    )
    return Export(exporting, reactor)
