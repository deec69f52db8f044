"""Traces of OpenTelemetry, if ``opentelemetry-api`` is installed; no tracing without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

try:
    from opentelemetry import propagate, trace
except ImportError:  # pragma: no cover - depends on what is installed
    propagate = None  # type: ignore[assignment]
    trace = None  # type: ignore[assignment]


def trace_headers() -> dict[str, str]:
    """Return ``traceparent`` and ``tracestate`` of the current span; none without one."""
    carrier: dict[str, str] = {}
    if propagate is not None and trace.get_current_span().get_span_context().is_valid:
        propagate.inject(carrier)
    return {name: value for name, value in carrier.items() if name in ("traceparent", "tracestate")}


@contextmanager
def handling(queue: str, group: str, headers: Mapping[str, Any], tracer: Any | None = None) -> Iterator[None]:
    """Run the body in a span that is linked to the span of the message's producer."""
    if trace is None:
        yield
        return
    # Without a configured SDK the tracer makes spans that cost little and are not exported.
    tracer = tracer or trace.get_tracer("queuey_client")
    names = {name: headers[name] for name in ("traceparent", "tracestate") if isinstance(headers.get(name), str)}
    producer = trace.get_current_span(propagate.extract(names)).get_span_context()
    links = [trace.Link(producer)] if producer.is_valid else []
    attributes = {
        "messaging.system": "queuey",
        "messaging.destination.name": queue,
        "messaging.consumer.group.name": group,
    }
    with tracer.start_as_current_span(
        f"process {queue}", kind=trace.SpanKind.CONSUMER, links=links, attributes=attributes
    ):
        yield
