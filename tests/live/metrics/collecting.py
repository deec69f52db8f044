"""A collector of traces for tests: it takes OTLP over HTTP as the official messages have it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import attrs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS: Final = {
    Span.SPAN_KIND_SERVER: "server",
    Span.SPAN_KIND_PRODUCER: "producer",
    Span.SPAN_KIND_CONSUMER: "consumer",
    Span.SPAN_KIND_INTERNAL: "internal",
}


@attrs.frozen
class Told:
    """A span as it was sent; ids are hexadecimal, times are in nanoseconds.

    :ivar links: the context of each as a traceparent without flags, and its attributes.
    """

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: tuple[tuple[str, dict[str, Any]], ...]
    resource: dict[str, Any]


class Collector:
    """Listens on a port of loopback until it is closed.

    :ivar headers: those of the last request.
    """

    def __init__(self, port: int = 0, *, hangs: bool = False) -> None:
        """:param hangs: whether it takes requests without answering them."""
        self.headers: dict[str, str] = {}
        self._spans: list[Told] = []
        self._lock = threading.Lock()
        self._hangs = hangs
        self.asked = threading.Event()
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._take(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = False
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it takes traces."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    @property
    def spans(self) -> list[Told]:
        """All that it was given, in the order of their ends."""
        with self._lock:
            return sorted(self._spans, key=lambda span: span.end)

    def close(self) -> None:
        """Listen no more."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.asked.set()
        if self._hangs:
            self._closing.wait()
            request.close_connection = True
            return
        message = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            self.headers = {name.lower(): value for name, value in request.headers.items()}
            for some in message.resource_spans:
                for scope in some.scope_spans:
                    self._spans.extend(_told(span, _attributes(some.resource.attributes)) for span in scope.spans)
        answer = ExportTraceServiceResponse().SerializeToString()
        request.send_response(200)
        request.send_header("Content-Type", "application/x-protobuf")
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)


def _told(span: Span, resource: dict[str, Any]) -> Told:
    links = tuple((f"{link.trace_id.hex()}-{link.span_id.hex()}", _attributes(link.attributes)) for link in span.links)
    return Told(
        span.name,
        KINDS[span.kind],
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span.attributes),
        links,
        resource,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind)
    return found
