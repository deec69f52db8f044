"""Exports spans to a collector over OTLP and HTTP, in a thread of the SDK that no request waits for."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, Final

import attrs
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey import __version__
from queuey.deferreds import bounded, deferred
from queuey.errors import Unavailable
from queuey.interfaces import ITraces
from queuey.logs import EventLog
from queuey.model.telemetry.served import MAX_CARRIED, Served
from queuey.tracing.spans import Spans

_EVERY: Final = 1000
"""Milliseconds after which spans are exported, though they are few."""

_BATCH: Final = 512
"""Spans of one export at the most, and so many of them are exported at once."""

_REASON: Final = 300
"""Maximal characters of the reason of a failed export in the log."""

_log = EventLog(Logger(namespace="queuey.tracing"))


@attrs.frozen
class Exporting:
    """Settings of the export of spans. Times are in seconds.

    :ivar endpoint: the collector's URL.
    :ivar headers: fields of each request to it.
    :ivar service: the name of the service that the spans are of.
    :ivar ratio: the share of traces begun here that are recorded.
    :ivar max_spans: that wait for their export, at most.
    :ivar timeout: of one export, retries included.
    :ivar flush: the time limit for what is left at the end.
    """

    endpoint: str
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    service: str
    ratio: float
    max_spans: int
    timeout: float
    flush: float


class Losses:
    """Counts spans that are lost, and says so once, until none is lost any more. Any thread may tell it.

    :ivar total: how many were lost.
    """

    def __init__(self) -> None:
        self.total = 0
        self._lock = Lock()
        self._told = False
        self._recent = False

    def lost(self, count: int, reason: str) -> None:
        """Count lost spans."""
        with self._lock:
            self.total += count
            self._recent = True
            first, self._told = not self._told, True
        if first:
            _log.warn("traces-lost", "spans are lost: {reason}", reason=reason)

    def exported(self) -> None:
        """Some were taken by the collector."""
        with self._lock:
            over = self._told and not self._recent
            self._recent = False
            if over:
                self._told = False
            total = self.total
        if over:
            _log.info("traces-back", "spans are exported again; {total} were lost so far", total=total)


class Reasons(logging.Handler):
    """Drops the SDK's own log lines about failures, since this module logs them in lines of its own."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        # That all retries are over is said last, and what they failed with before.
        self._said: deque[str] = deque(maxlen=2)

    @property
    def last(self) -> str:
        """The last error."""
        return " ".join(self._said) or "the collector does not take them"

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        with suppress(Exception):
            self._said.append(record.getMessage()[:_REASON])


class _Counted(SpanExporter):
    """An exporter that tells what became of spans."""

    def __init__(self, inner: SpanExporter, losses: Losses, reasons: Reasons) -> None:
        self.taken = 0
        self._inner = inner
        self._losses = losses
        self._reasons = reasons

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            self.taken += len(spans)
            if result is SpanExportResult.SUCCESS:
                self._losses.exported()
            else:
                self._losses.lost(len(spans), self._reasons.last)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class _Bounded(SpanProcessor):
    """Lets no more spans wait than there is room for: the SDK drops what is too much without counting it.

    Each number has one thread that changes it: the reactor's counts what is given, the SDK's what was taken.
    """

    def __init__(self, inner: SpanProcessor, exporter: _Counted, most: int, losses: Losses) -> None:
        self._inner = inner
        self._exporter = exporter
        self._most = most
        self._losses = losses
        self._given = 0

    @property
    def waiting(self) -> int:
        """Spans that were given, and neither exported nor given up."""
        return self._given - self._exporter.taken

    def on_end(self, span: ReadableSpan) -> None:
        if self.waiting >= self._most:
            self._losses.lost(1, f"more than {self._most} wait for their export")
            return
        self._given += 1
        self._inner.on_end(span)

    def shutdown(self) -> None:
        self._inner.shutdown()


@implementer(ITraces)
class Export:
    """Makes spans of requests, and has them exported."""

    def __init__(self, settings: Exporting, reactor: Any) -> None:
        """
        :param reactor: see :func:`queuey.tracing.make_traces`.
        """
        self.losses = Losses()
        self._settings = settings
        self._reactor = reactor
        self._reasons = Reasons()

    def start(self) -> None:
        """See :class:`~queuey.interfaces.ITraces`; the SDK's thread begins here, and would not outlive a fork."""
        told = self._settings
        sdk = logging.getLogger("opentelemetry")
        sdk.addHandler(self._reasons)
        sdk.propagate = False
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(told.ratio)),
            resource=Resource.create({SERVICE_NAME: told.service, SERVICE_VERSION: __version__}),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_links=MAX_CARRIED),
        )
        inner = OTLPSpanExporter(endpoint=told.endpoint, headers=dict(told.headers), timeout=told.timeout)
        exporter = _Counted(inner, self.losses, self._reasons)
        batches = BatchSpanProcessor(
            exporter,
            max_queue_size=told.max_spans,
            schedule_delay_millis=_EVERY,
            max_export_batch_size=min(_BATCH, told.max_spans),
        )
        self._bounded = _Bounded(batches, exporter, told.max_spans, self.losses)
        self._provider.add_span_processor(self._bounded)
        self._spans = Spans(self._provider.get_tracer("queuey", __version__), time.time_ns)

    def served(self, served: Served) -> str | None:
        """See :class:`~queuey.interfaces.ITraces`."""
        try:
            return self._spans.record(served)
        except Exception:
            _log.failure("trace-failed", "no span of request {id} could be made", Failure(), id=served.request_id)
            return None

    @deferred
    async def stop(self) -> None:
        """See :class:`~queuey.interfaces.ITraces`."""
        try:
            await bounded(self._flushed(), self._settings.flush, self._reactor, lambda: Unavailable("flush_timeout"))
        except Unavailable:
            left = self._bounded.waiting
            _log.warn(
                "traces-cut",
                "{left} spans were not exported within {limit} s, and are lost",
                left=left,
                limit=self._settings.flush,
            )
        logging.getLogger("opentelemetry").removeHandler(self._reasons)

    def _flushed(self) -> Deferred[None]:
        """Export what is left, in a thread that the end of the process does not wait for."""
        done: Deferred[None] = Deferred()

        def tell() -> None:
            if not done.called:
                done.callback(None)

        def work() -> None:
            with suppress(Exception):
                self._provider.shutdown()
            # The reactor may have ended meanwhile, if the stop did not wait so long.
            with suppress(Exception):
                self._reactor.callFromThread(tell)

        Thread(target=work, name="queuey-traces", daemon=True).start()
        return done
