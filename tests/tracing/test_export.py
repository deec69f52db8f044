"""What becomes of spans that cannot be exported: they are counted, and it is said once."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from queuey.config import TracingSettings
from queuey.interfaces import ITraces
from queuey.tracing import make_traces
from queuey.tracing.export import Export, Exporting, Losses, Reasons, _Bounded, _Counted
from tests.logs.support import Events


class Exporter(SpanExporter):
    """Does with spans what the test says.

    :ivar result: what becomes of them; ``None``: it fails.
    """

    def __init__(self) -> None:
        self.result: SpanExportResult | None = SpanExportResult.SUCCESS
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.result is None:
            raise OSError("no")
        return self.result

    def shutdown(self) -> None:
        self.closed = True


class Keeping(SpanProcessor):
    """Keeps spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class ExportTests(SynchronousTestCase):
    """What the rest of the daemon sees of it."""

    def test_it_is_what_is_promised(self) -> None:
        """It has the methods of its interface, and shows no header field of the collector's."""
        settings = Exporting("http://127.0.0.1:4318/v1/traces", (("X-Key", "a-secret"),), "queuey", 1.0, 10, 1.0, 1.0)
        self.assertTrue(verifyObject(ITraces, Export(settings, Clock())))
        self.assertNotIn("a-secret", repr(settings))

    def test_only_where_it_is_asked_for(self) -> None:
        """Without an endpoint there is nothing."""
        self.assertIsNone(make_traces(TracingSettings(), Clock()))
        self.assertIsInstance(make_traces(TracingSettings(endpoint="http://127.0.0.1:1/t"), Clock()), Export)


class LossTests(SynchronousTestCase):
    """Words in the log."""

    def setUp(self) -> None:
        self.events = Events()
        globalLogPublisher.addObserver(self.events)
        self.addCleanup(globalLogPublisher.removeObserver, self.events)
        self.losses = Losses()

    def words(self) -> list[str]:
        """The event words since this was asked last."""
        found, self.events.all = [event["event"] for event in self.events.all if "event" in event], []
        return found

    def test_said_once(self) -> None:
        """Until none is lost from one export to the next."""
        self.losses.exported()
        self.assertEqual(self.words(), [])
        for _ in range(3):
            self.losses.lost(2, "away")
        self.assertEqual([event["reason"] for event in self.events.all], ["away"])
        self.assertEqual(self.words(), ["traces-lost"])
        self.losses.exported()
        self.assertEqual(self.words(), [])
        self.losses.lost(1, "away")
        self.losses.exported()
        self.assertEqual(self.words(), [])
        self.losses.exported()
        self.assertEqual([event["total"] for event in self.events.all], [7])
        self.assertEqual(self.words(), ["traces-back"])
        self.losses.exported()
        self.losses.lost(1, "away")
        self.assertEqual(self.words(), ["traces-lost"])
        self.assertEqual(self.losses.total, 8)

    def test_failed_exports(self) -> None:
        """What was not taken is lost, with what the SDK said of it."""
        inner, reasons = Exporter(), Reasons()
        counted = _Counted(inner, self.losses, reasons)
        spans = [ReadableSpan("a"), ReadableSpan("b")]
        self.assertEqual(counted.export(spans), SpanExportResult.SUCCESS)
        inner.result = SpanExportResult.FAILURE
        self.assertEqual(reasons.last, "the collector does not accept them")
        for text in ("Away.", "Refused.", "All is over: %s"):
            arguments = (503,) if "%" in text else ()
            reasons.handle(logging.makeLogRecord({"msg": text, "args": arguments, "levelno": logging.ERROR}))
        self.assertEqual(counted.export(spans), SpanExportResult.FAILURE)
        inner.result = None
        self.assertRaises(OSError, counted.export, spans)
        self.assertEqual((counted.taken, self.losses.total), (6, 4))
        self.assertEqual([event["reason"] for event in self.events.all], ["Refused. All is over: 503"])
        counted.shutdown()
        self.assertTrue(inner.closed)

    def test_no_more_wait_than_may(self) -> None:
        """What comes beyond is lost, until some were taken."""
        counted, keeping = _Counted(Exporter(), self.losses, Reasons()), Keeping()
        bounded = _Bounded(keeping, counted, 3, self.losses)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(bounded)
        tracer = provider.get_tracer("test")
        for _ in range(5):
            tracer.start_span("a").end()
        self.assertEqual((len(keeping.spans), bounded.waiting, self.losses.total), (3, 3, 2))
        counted.export(keeping.spans[:2])
        for _ in range(3):
            tracer.start_span("a").end()
        self.assertEqual((len(keeping.spans), bounded.waiting, self.losses.total), (5, 3, 3))
        self.assertEqual(self.words(), ["traces-lost"])
