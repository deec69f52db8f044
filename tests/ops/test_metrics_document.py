"""The page about metrics has every metric that a daemon shows, with its type, labels and meaning; and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from queuey import config
from queuey.logs import EventLog, open_log
from queuey.ops.metrics.text import OPENMETRICS, pieces, registry
from queuey.service.assembly import Assembly, assemble
from queuey.service.workers.counting import Sums
from queuey.service.workers.workers import Workers
from queuey.storage import make_store
from queuey.storage.shared import Hub
from tests.http.api_support import no_web
from tests.ops.test_documents import Row, rows

PAGE = Path(__file__).parents[2] / "docs" / "metrics.rst"
BACKENDS = ("memory", "sqlite", "cassandra", "cassandra\nfrontends = many")
SUFFIXES = {"counter": "_total", "info": "_info"}


class Reactor(Clock):
    """What a store that is not opened asks of a reactor."""

    def callFromThread(self, call: Callable[[], object]) -> None:
        raise AssertionError("no store is opened")


class MetricsPageTests(SynchronousTestCase):
    """docs/metrics.rst."""

    maxDiff = None

    def assembly(self, backend: str) -> Assembly:
        """A daemon with this backend, which is not opened."""
        clock, file = Reactor(), Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"[storage]\nbackend = {backend}\n")
        settings = config.load(file)
        store = make_store(settings.storage, clock, clock.seconds, settings.metrics.enabled)
        log = open_log(None, "text", "info", 2, clock.seconds)
        return assemble(settings, clock, clock.seconds, store, log, no_web)

    def shown(self, backend: str) -> dict[str, Row]:
        """What a daemon with this backend, and workers, shows, by name."""
        assembly = self.assembly(backend)
        workers = Workers(Clock(), Hub(assembly.store, Clock(), EventLog(Logger())), None)
        metrics = Sums((*assembly.metrics, *workers.metrics)).metrics
        labels = {metric.name: metric.labels for metric in metrics}
        text = b"".join(pieces(registry(metrics), OPENMETRICS)).decode()
        found: dict[str, Row] = {}
        for family in text_string_to_metric_families(text):
            name = family.name + SUFFIXES.get(family.type, "")
            own = labels.get(name, sorted({label for sample in family.samples for label in sample.labels}))
            found[name] = (
                f"``{name}``",
                family.type,
                ", ".join(f"``{label}``" for label in own) or "none",
                family.documentation,
            )
        return found

    def test_every_metric_stands_there_and_no_other(self) -> None:
        shown: dict[str, Row] = {}
        for backend in BACKENDS:
            shown.update(self.shown(backend))
        table = rows(PAGE.read_text(encoding="utf-8"), 4)
        self.assertEqual(sorted(table), sorted(shown.values()))

    def test_each_stands_there_once(self) -> None:
        names = [row[0] for row in rows(PAGE.read_text(encoding="utf-8"), 4)]
        self.assertEqual(sorted(set(names)), sorted(names))
