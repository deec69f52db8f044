"""Export of traces: the section ``[tracing]``."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from queuey.config import keys
from queuey.config.sections import Reader
from queuey.config.settings import TracingSettings

_LIBRARIES: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def tracing(reader: Reader) -> TracingSettings:
    """The section."""
    reader.refuse_unknown(tuple(key.name for key in keys.TRACING))
    found = TracingSettings(
        endpoint=reader.value(keys.TRACES),
        headers=reader.value(keys.TRACE_HEADERS),
        service_name=reader.value(keys.SERVICE_NAME),
        ratio=reader.value(keys.RATIO),
        max_spans=reader.value(keys.MAX_SPANS),
        export_timeout=reader.value(keys.EXPORT_TIMEOUT),
        flush_timeout=reader.value(keys.FLUSH_TIMEOUT),
    )
    if found.endpoint is not None and not all(_is_installed(name) for name in _LIBRARIES):
        what = "needs libraries that are not installed; pip install 'queuey[otel]' installs them"
        reader.report.problem(reader.place(keys.TRACES.name), what)
    return found


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
