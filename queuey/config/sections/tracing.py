"""Export of traces: the section ``[tracing]``."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from queuey.config.declarations.declared import keys_of
from queuey.config.declarations.observed import TracingSettings
from queuey.config.sections.reader import Reader

_LIBRARIES: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def tracing(reader: Reader) -> TracingSettings:
    """The section."""
    reader.refuse_unknown(tuple(key.name for key in keys_of(TracingSettings)))
    found = reader.section(TracingSettings)
    if found.endpoint is not None and not all(_is_installed(name) for name in _LIBRARIES):
        what = "needs libraries that are not installed; pip install 'queuey[otel]' installs them"
        reader.report.problem(reader.place("endpoint"), what)
    return found


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
