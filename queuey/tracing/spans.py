"""Requests as spans, by the semantic conventions of OpenTelemetry for HTTP and for messaging.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/ and .../messaging/messaging-spans/. A request is a span of
kind server, below the client's own; what it did with messages is a span below that. A message's context is the one that
its producer gave it: no span here changes it, and each has a link to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from queuey.model.telemetry.served import RECEIVE, SEND, Served, Work
from queuey.model.telemetry.trace import TraceContext, own_context

_KINDS: Final[Mapping[str, SpanKind]] = {SEND: SpanKind.PRODUCER, RECEIVE: SpanKind.CONSUMER}
"""Kinds of spans. Links lead from a consumer to a producer; settling is neither."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_REFUSED: Final = 400
_FAILED: Final = 500

_SYSTEM: Final = "queuey"

Attributes = dict[str, str | int]


class Spans:
    """Makes spans of requests after they have ended, so an untraced request has no cost."""

    def __init__(self, tracer: Tracer, now: Callable[[], int]) -> None:
        """
        :param now: the wall clock, in nanoseconds since 1970.
        """
        self._tracer = tracer
        self._now = now

    def record(self, served: Served) -> str | None:
        """Make the spans of a request.

        :return: the id of their trace; ``None`` if it is not recorded.
        """
        ended = self._now()
        started = ended - round(served.seconds * 1e9)
        span = self._tracer.start_span(
            f"{_method(served)} {served.route}",
            context=_context(served.parent),
            kind=SpanKind.SERVER,
            attributes=_of_request(served),
            start_time=started,
        )
        if not span.is_recording():
            return None
        if served.work is not None:
            self._record_work(span, served, served.work, started)
        if served.status >= _FAILED:
            span.set_status(StatusCode.ERROR)
        span.end(end_time=ended)
        return f"{span.get_span_context().trace_id:032x}"

    def _record_work(self, parent: Span, served: Served, work: Work, started: int) -> None:
        span = self._tracer.start_span(
            f"{work.operation} {served.queue}",
            context=set_span_in_context(parent, Context()),
            kind=_KINDS.get(work.operation, SpanKind.INTERNAL),
            attributes=_of_work(served, work),
            links=list(_links(work)),
            start_time=started + round(work.began * 1e9),
        )
        if served.status >= _REFUSED:
            span.set_status(StatusCode.ERROR)
        span.end(end_time=started + round(work.ended * 1e9))


def _method(served: Served) -> str:
    return served.method if served.method in _METHODS else "HTTP"


def _context(parent: TraceContext | None) -> Context:
    """Return the parent of a span: the client's span, or none at the beginning of a trace."""
    return Context() if parent is None else set_span_in_context(NonRecordingSpan(_span_context(parent)), Context())


def _span_context(context: TraceContext) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else TraceState()
    trace_id, span_id = int(context.trace_id, 16), int(context.parent_id, 16)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(context.flags), trace_state=state)


def _of_request(served: Served) -> Attributes:
    found: Attributes = {
        "http.request.method": served.method if served.method in _METHODS else "_OTHER",
        "http.route": served.route,
        "http.response.status_code": served.status,
        "url.path": served.path,
        "url.scheme": served.scheme,
        "network.protocol.version": served.version,
        "client.address": served.client,
        "queuey.request.id": served.request_id,
    }
    if served.application is not None:
        found["queuey.application"] = served.application
    if served.status >= _FAILED:
        found["error.type"] = str(served.status)
    return found


def _of_work(served: Served, work: Work) -> Attributes:
    found: Attributes = {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": work.operation,
        "messaging.operation.type": work.operation,
        "messaging.destination.name": served.queue or "",
        "queuey.application": served.application or "",
    }
    if work.count is not None:
        found["messaging.batch.message_count"] = work.count
    elif work.carried:
        found["messaging.message.id"] = work.carried[0].id
    if work.group is not None:
        found["messaging.consumer.group.name"] = work.group
    if served.status >= _REFUSED:
        found["error.type"] = str(served.status)
    return found


def _links(work: Work) -> Iterator[Link]:
    """Return links to the contexts of messages; with several messages, each link names its message."""
    for carried in work.carried:
        context = own_context(carried.headers)
        if context is not None:
            yield Link(_span_context(context), {} if work.count is None else {"messaging.message.id": carried.id})
