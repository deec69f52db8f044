"""Spans of requests, exactly as the semantic conventions have them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.telemetry.served import RECEIVE, SEND, SETTLE, Served, TracedMessage, Work
from queuey.model.telemetry.trace import TraceContext
from queuey.tracing.spans import Spans

NOW = 1_700_000_000_000_000_000
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = TraceContext(TRACE, SPAN, 1, "congo=t61rcWkgMzE")
ROUTE = "/v2/{application}/queues/{queue}/messages"
SERVED = Served(
    "id-1", "POST", ROUTE, "/v2/app/queues/q/messages", "http", "1.1", "::1", 201, 0.5, "app", "q", PARENT, None
)
OF_REQUEST = {
    "http.request.method": "POST",
    "http.route": ROUTE,
    "http.response.status_code": 201,
    "url.path": "/v2/app/queues/q/messages",
    "url.scheme": "http",
    "network.protocol.version": "1.1",
    "client.address": "::1",
    "queuey.request.id": "id-1",
    "queuey.application": "app",
}
OF_WORK = {
    "messaging.system": "queuey",
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
    "messaging.destination.name": "q",
    "queuey.application": "app",
}


def headers(trace: int, **more: str) -> bytes:
    """The own headers of a message that was sent in a trace."""
    return json.dumps({"traceparent": f"00-{trace:032x}-{trace:016x}-01", **more}).encode()


class SpanTests(SynchronousTestCase):
    """What becomes of a request."""

    def setUp(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.spans = self.made(1)

    def made(self, ratio: float) -> Spans:
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        return Spans(provider.get_tracer("test"), lambda: NOW)

    def record(self, served: Served) -> list[ReadableSpan]:
        """The spans of a request, that of the request first."""
        self.exporter.clear()
        self.spans.record(served)
        return list(reversed(self.exporter.get_finished_spans()))

    def working(self, operation: str, count: int | None, *carried: TracedMessage, group: str | None = None) -> Served:
        return attrs.evolve(SERVED, work=Work(operation, 0.1, 0.4, count, group, carried))

    def told(self, span: ReadableSpan) -> Mapping[str, Any]:
        return dict(span.attributes or {})

    def test_a_request(self) -> None:
        """It is a span of kind server, below that of the client, and keeps its state."""
        (span,) = self.record(SERVED)
        self.assertEqual((span.name, span.kind), (f"POST {ROUTE}", SpanKind.SERVER))
        self.assertEqual(self.told(span), OF_REQUEST)
        self.assertEqual((span.start_time, span.end_time), (NOW - 500_000_000, NOW))
        self.assertEqual(span.status.status_code, StatusCode.UNSET)
        assert span.parent is not None
        self.assertEqual((f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}"), (TRACE, SPAN))
        self.assertTrue(span.parent.is_remote)
        self.assertEqual(span.context.trace_id, span.parent.trace_id)
        self.assertEqual(span.context.trace_state.to_header(), PARENT.state)

    def test_sampling(self) -> None:
        """What the client decided holds; without a client's decision, the ratio does."""
        root, unsampled = attrs.evolve(SERVED, parent=None), attrs.evolve(SERVED, parent=attrs.evolve(PARENT, flags=2))
        (span,) = self.record(root)
        self.assertIsNone(span.parent)
        self.assertEqual(self.spans.record(SERVED), TRACE)
        self.assertEqual(len(self.spans.record(root) or ""), 32)
        self.assertIsNone(self.spans.record(unsampled))
        self.spans = self.made(0)
        self.assertEqual(self.record(root), [])
        self.assertEqual(self.record(unsampled), [])
        self.assertEqual(len(self.record(SERVED)), 1)

    def test_statuses(self) -> None:
        """A failure here is an error; what is refused is one of what was to be done, not of the server."""
        for status, server, work in (
            (201, StatusCode.UNSET, StatusCode.UNSET),
            (409, StatusCode.UNSET, StatusCode.ERROR),
            (499, StatusCode.UNSET, StatusCode.ERROR),
            (503, StatusCode.ERROR, StatusCode.ERROR),
        ):
            spans = self.record(attrs.evolve(self.working(SEND, 2), status=status))
            self.assertEqual([span.status.status_code for span in spans], [server, work])
            errors = [self.told(span).get("error.type") for span in spans]
            self.assertEqual(errors, [str(status) if one is StatusCode.ERROR else None for one in (server, work)])

    def test_strange_methods(self) -> None:
        """They do not make names of spans."""
        (span,) = self.record(attrs.evolve(SERVED, method="BREW", application=None))
        self.assertEqual(span.name, f"HTTP {ROUTE}")
        expected = {**OF_REQUEST, "http.request.method": "_OTHER"}
        del expected["queuey.application"]
        self.assertEqual(self.told(span), expected)

    def test_one_message(self) -> None:
        """Its id, and a link to its context; no count."""
        server, span = self.record(self.working(SEND, None, TracedMessage("m-1", headers(7, tracestate="a=1"))))
        self.assertEqual((span.name, span.kind), ("send q", SpanKind.PRODUCER))
        self.assertEqual(self.told(span), {**OF_WORK, "messaging.message.id": "m-1"})
        assert span.parent is not None
        self.assertEqual((span.parent.span_id, span.context.trace_id), (server.context.span_id, int(TRACE, 16)))
        self.assertEqual((span.start_time, span.end_time), (NOW - 400_000_000, NOW - 100_000_000))
        (link,) = span.links
        self.assertEqual((link.context.trace_id, link.context.span_id, link.context.is_remote), (7, 7, True))
        self.assertEqual((link.context.trace_state.to_header(), dict(link.attributes or {})), ("a=1", {}))

    def test_several_messages(self) -> None:
        """Their number, and a link for each that has a context, which says of which message it is."""
        carried = (
            TracedMessage("a", headers(1)),
            TracedMessage("b", b'{"traceparent":"no"}'),
            TracedMessage("c", headers(2)),
        )
        _, span = self.record(self.working(RECEIVE, 10, *carried, group="g"))
        self.assertEqual((span.name, span.kind), ("receive q", SpanKind.CONSUMER))
        told = {"messaging.operation.name": "receive", "messaging.operation.type": "receive"}
        more = {"messaging.batch.message_count": 10, "messaging.consumer.group.name": "g"}
        self.assertEqual(self.told(span), {**OF_WORK, **told, **more})
        links = [(link.context.trace_id, dict(link.attributes or {})) for link in span.links]
        self.assertEqual(links, [(1, {"messaging.message.id": "a"}), (2, {"messaging.message.id": "c"})])

    def test_nothing_received(self) -> None:
        """That is reported too."""
        _, span = self.record(self.working(RECEIVE, 0))
        self.assertEqual((self.told(span)["messaging.batch.message_count"], span.links), (0, ()))

    def test_settlements(self) -> None:
        """They are neither of a producer nor of a consumer."""
        _, span = self.record(self.working(SETTLE, 3, group="g"))
        self.assertEqual((span.name, span.kind), ("settle q", SpanKind.INTERNAL))
        self.assertEqual(self.told(span)["messaging.batch.message_count"], 3)
