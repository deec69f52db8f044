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
"""Milliseconds after which spans are exported, even if there are fewer than a batch."""

_BATCH: Final = 512
"""Maximum number of spans of one export. With this number waiting, they are exported without a pause."""

_REASON: Final = 300
"""Maximum number of characters that the log shows of the reason of a failed export."""

_log = EventLog(Logger(namespace="queuey.tracing"))


@attrs.frozen
class Exporting:
    """Settings of the export of spans. Times are in seconds.

    :ivar endpoint: the collector's URL.
    :ivar headers: fields of each request to it.
    :ivar service: the name of the service in the spans (``service.name``).
    :ivar ratio: the share of the traces that begin here that is recorded, from 0 to 1.
    :ivar max_spans: maximum number of spans that wait for their export.
    :ivar timeout: of one export, retries included.
    :ivar flush: time limit of the last export, when the daemon stops.
    """

    endpoint: str
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    service: str
    ratio: float
    max_spans: int
    timeout: float
    flush: float


class Losses:
    """Counts lost spans. Logs the first loss, and the first export without a loss after it. Any thread may call it.

    :ivar total: number of lost spans.
    """

    def __init__(self) -> None:
        self.total = 0
        self._lock = Lock()
        self._logged = False
        self._recent = False

    def lost(self, count: int, reason: str) -> None:
        """Count lost spans."""
        with self._lock:
            self.total += count
            self._recent = True
            first, self._logged = not self._logged, True
        if first:
            _log.warn("traces-lost", "spans are lost: {reason}", reason=reason)

    def exported(self) -> None:
        """Note that the collector has accepted a batch."""
        with self._lock:
            over = self._logged and not self._recent
            self._recent = False
            if over:
                self._logged = False
            total = self.total
        if over:
            _log.info("traces-back", "spans are exported again; {total} were lost so far", total=total)


class Reasons(logging.Handler):
    """Drops the SDK's own log lines about failures, since this module logs them in lines of its own."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        # The SDK logs the error of the last retry first, and then that it gave up: keep both.
        self._messages: deque[str] = deque(maxlen=2)

    @property
    def last(self) -> str:
        """The reason of the last failed export."""
        return " ".join(self._messages) or "the collector does not accept them"

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a log line."""
        with suppress(Exception):
            self._messages.append(record.getMessage()[:_REASON])


class _Counted(SpanExporter):
    """An exporter that counts the exported and the lost spans.

    :ivar taken: number of spans that it has exported or lost.
    """

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
    """Limits the number of waiting spans, and counts those above it; the SDK would drop them without counting.

    Each counter is changed by one thread: ``_given`` by the reactor's, ``taken`` of the exporter by the SDK's.
    """

    def __init__(self, inner: SpanProcessor, exporter: _Counted, most: int, losses: Losses) -> None:
        self._inner = inner
        self._exporter = exporter
        self._most = most
        self._losses = losses
        self._given = 0

    @property
    def waiting(self) -> int:
        """Number of spans that were added, and neither exported nor lost."""
        return self._given - self._exporter.taken

    def on_end(self, span: ReadableSpan) -> None:
        if self.waiting >= self._most:
            self._losses.lost(1, f"more than {self._most} spans wait for their export")
            return
        self._given += 1
        self._inner.on_end(span)

    def shutdown(self) -> None:
        self._inner.shutdown()


@implementer(ITraces)
class Export:
    """Makes spans of requests, and exports them in batches."""

    def __init__(self, settings: Exporting, reactor: Any) -> None:
        """
        :param reactor: see :func:`queuey.tracing.make_traces`.
        """
        self.losses = Losses()
        self._settings = settings
        self._reactor = reactor
        self._reasons = Reasons()

    def start(self) -> None:
        """See :class:`~queuey.interfaces.ITraces`; the SDK's thread starts here, as a fork would end it."""
        settings = self._settings
        sdk = logging.getLogger("opentelemetry")
        sdk.addHandler(self._reasons)
        sdk.propagate = False
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.ratio)),
            resource=Resource.create({SERVICE_NAME: settings.service, SERVICE_VERSION: __version__}),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_links=MAX_CARRIED),
        )
        inner = OTLPSpanExporter(endpoint=settings.endpoint, headers=dict(settings.headers), timeout=settings.timeout)
        exporter = _Counted(inner, self.losses, self._reasons)
        batches = BatchSpanProcessor(
            exporter,
            max_queue_size=settings.max_spans,
            schedule_delay_millis=_EVERY,
            max_export_batch_size=min(_BATCH, settings.max_spans),
        )
        self._bounded = _Bounded(batches, exporter, settings.max_spans, self.losses)
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
        """Export the waiting spans, in a daemon thread: if the collector hangs, the process can end all the same."""
        done: Deferred[None] = Deferred()

        def fire() -> None:
            if not done.called:
                done.callback(None)

        def work() -> None:
            with suppress(Exception):
                self._provider.shutdown()
            # If ``stop`` gave up waiting, the reactor may have ended in the meantime.
            with suppress(Exception):
                self._reactor.callFromThread(fire)

        Thread(target=work, name="queuey-traces", daemon=True).start()
        return done
