"""Traces: what requests were about, as spans. The SDK of OpenTelemetry is imported where that is asked for."""

from __future__ import annotations

from typing import Any

from queuey.config import TracingSettings
from queuey.interfaces import ITraces


def make_traces(settings: TracingSettings, reactor: Any) -> ITraces | None:
    """What tells of requests; nothing where the settings name nobody who is to be told.

    :param reactor: whose timers it uses, and in which it learns what its threads have done.
    """
    if settings.endpoint is None:
        return None
    from queuey.tracing.export import Export, Exporting

    told = Exporting(
        endpoint=settings.endpoint,
        headers=settings.headers,
        service=settings.service_name,
        ratio=settings.ratio,
        max_spans=settings.max_spans,
        timeout=settings.export_timeout,
        flush=settings.flush_timeout,
    )
    return Export(told, reactor)
