"""The store of which every call is counted: the contract, and the counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from queuey.errors import NoSuchQueue, StorageFull, Unavailable
from queuey.interfaces import Capabilities, IStateStore, IStore, Outcome
from queuey.model.queues.queue import QueueSettings
from queuey.model.telemetry.counts import Histogram, Metric, gauge
from queuey.storage.metered import PAUSE, MeteredStore
from tests.again import again
from tests.contracts import (
    closing,
    delays,
    groups,
    lives,
    merging,
    messages,
    once,
    putting,
    queues,
    replacing,
    states,
    timing,
)
from tests.contracts.reading import TERMS, new
from tests.contracts.subject import Contract
from tests.counted import counted, value
from tests.storage.subjects import HeldSubject, MemorySubject
from tests.storage.test_timed import READS, WRITES, Silent

CALLS = {**READS, **WRITES, "ping": lambda store: store.ping()}
OPERATIONS = "queuey_store_operations_total"
DURATIONS = "queuey_store_operation_duration_seconds"
UP = "queuey_store_up"


class MeteredMemorySubject(MemorySubject):
    """A memory store with its calls counted."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MeteredStore(self.store, self.clock)


class MeteredHeldSubject(HeldSubject):
    """A SQLite store with its calls counted, whose writes a test may let wait."""

    def _make(self) -> IStore:
        return MeteredStore(super()._make(), self.clock)


class MeteredCase(Contract):
    def make_subject(self) -> MeteredMemorySubject | MeteredHeldSubject:
        return MeteredMemorySubject()


class ArrivalTests(MeteredCase, timing.ArrivalContract):
    subject: MeteredMemorySubject


class OnDiskCase(Contract):
    def make_subject(self) -> MeteredHeldSubject:
        return MeteredHeldSubject(Path(self.mktemp()))


class Answering(Silent):
    """A store that answers when the test says so, and has a metric of its own."""

    metrics: tuple[Metric, ...] = (gauge("queuey_x", "X.", lambda: 7),)
    capabilities = Capabilities("nothing", False)

    def open(self) -> None:
        pass


class CountsTests(SynchronousTestCase):
    """What is counted, exactly."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = Answering()
        self.store = MeteredStore(self.inner, self.clock)  # type: ignore[arg-type]

    def counts(self) -> dict[tuple[str, ...], float]:
        return counted(self.store.metrics, OPERATIONS)

    def call(self, call: Callable[[Any], Deferred[Any]]) -> Deferred[Any]:
        return call(self.store).addErrback(lambda failure: None)

    def answer(self, result: Any) -> None:
        answer = self.inner.answers[-1]
        if isinstance(result, Exception):
            answer.errback(result)
        else:
            answer.callback(result)

    def test_interfaces(self) -> None:
        self.assertTrue(verifyObject(IStore, self.store))
        self.assertTrue(verifyObject(IStateStore, self.store.states))

    def test_each_operation_under_its_name(self) -> None:
        """Each call is counted once, when it is over, with the time it took."""
        names = {"read": "read_state", "look": "look_group", "run": "run_group", "end": "end_group"}
        for at, (name, call) in enumerate(CALLS.items(), 1):
            answer = call(self.store)
            before = self.counts()
            self.clock.advance(at / 4)
            self.answer(f"result {at}")
            self.assertEqual(self.successResultOf(answer), f"result {at}")
            operation = names.get(name, name)
            self.assertEqual(self.counts(), {**before, (operation, "ok"): 1})
            (durations,) = [metric for metric in self.store.metrics if isinstance(metric, Histogram)]
            self.assertEqual(durations.of((operation,)).sum, at / 4)
            self.assertEqual(sum(durations.of((operation,)).counts), 1)
        self.assertEqual(sum(counted(self.store.metrics, DURATIONS).values()), len(CALLS))

    def test_outcomes(self) -> None:
        """What was asked for and could not be had is counted apart from calls without an answer, and from defects."""
        ends: list[tuple[str, Any]] = [
            ("ok", None),
            ("unavailable", Unavailable("away")),
            ("unavailable", Unavailable("away", applied="unknown")),
            ("refused", NoSuchQueue("gone")),
            ("refused", StorageFull("full")),
            ("defect", ValueError("x")),
            ("cancelled", CancelledError()),
        ]
        for outcome, end in ends:
            before = self.counts().get(("append", outcome), 0)
            self.call(WRITES["append"])
            self.answer(end)
            self.assertEqual(self.counts()["append", outcome], before + 1, end)
        self.assertEqual(counted(self.store.metrics, DURATIONS), {("append",): len(ends)})

    def test_a_failure_is_passed_on(self) -> None:
        answer = WRITES["append"](self.store)
        self.answer(Unavailable("away"))
        self.failureResultOf(answer, Unavailable)

    def test_compare_and_set(self) -> None:
        """One that was not applied because others came first is no success, and one with an unknown outcome is no
        refusal."""
        for outcome, name in (
            (Outcome.APPLIED, "ok"),
            (Outcome.REFUSED, "refused"),
            (Outcome.UNKNOWN, "unavailable"),
        ):
            self.call(lambda store: store.states.replace("k", None, b"x", "v"))
            self.answer(outcome)
            self.assertEqual(self.counts()["replace_state", name], 1)

    def test_who_hangs_up(self) -> None:
        """The store hears of it."""
        answer = READS["scan"](self.store)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.counts(), {("scan", "cancelled"): 1})

    def test_the_metrics_of_the_store_itself(self) -> None:
        self.assertEqual(counted(self.store.metrics, "queuey_x"), {(): 7})


class UpTests(SynchronousTestCase):
    """Whether the store answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = Answering()
        self.inner.close = lambda: succeed(None)  # type: ignore[attr-defined]
        self.store = MeteredStore(self.inner, self.clock)  # type: ignore[arg-type]

    def up(self) -> float | None:
        return value(self.store.metrics, UP)

    def test_it_is_asked_again_and_again(self) -> None:
        self.assertEqual(self.up(), 0)
        self.store.open()
        self.assertEqual((self.up(), len(self.inner.answers)), (0, 1))
        self.inner.answers[-1].callback(None)
        self.assertEqual(self.up(), 1)
        self.clock.advance(PAUSE)
        self.assertEqual((self.up(), len(self.inner.answers)), (1, 2))
        self.clock.advance(3 * PAUSE)
        self.assertEqual(len(self.inner.answers), 2)
        self.inner.answers[-1].errback(Unavailable("away"))
        self.assertEqual(self.up(), 0)
        self.clock.advance(PAUSE)
        self.inner.answers[-1].callback(None)
        self.assertEqual((self.up(), len(self.inner.answers)), (1, 3))
        self.assertEqual(counted(self.store.metrics, OPERATIONS), {("ping", "ok"): 2, ("ping", "unavailable"): 1})

    def test_others_ask_too(self) -> None:
        """What they wake counts, but not that they did not wait for it."""
        self.store.open()
        self.inner.answers[-1].callback(None)
        asked = self.store.ping()
        asked.addErrback(lambda failure: None).cancel()
        self.assertEqual(self.up(), 1)
        asked = self.store.ping()
        self.inner.answers[-1].errback(Unavailable("away"))
        self.failureResultOf(asked, Unavailable)
        self.assertEqual(self.up(), 0)

    def test_closed(self) -> None:
        """It is not asked any more, and a late answer changes nothing."""
        self.store.open()
        self.inner.answers[-1].callback(None)
        self.clock.advance(PAUSE)
        self.store.close()
        self.inner.answers[-1].callback(None)
        self.assertEqual(self.up(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.store.open()
        self.inner.answers[-1].callback(None)
        self.store.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AgeTests(SynchronousTestCase):
    """The stable time of a memory store."""

    def test_a_clock_that_is_set_back(self) -> None:
        """It falls behind what was stored; otherwise everything shows at once, however long ago it was."""
        subject = MeteredMemorySubject()
        self.addCleanup(subject.close)
        queue, _ = self.successResultOf(subject.store.create("app", "q", QueueSettings(), None))
        self.successResultOf(subject.store.append(queue, [new(b"x")], TERMS))
        ages = []
        for seconds in (100, -130):
            subject.wall.seconds += seconds
            ages.append(round(value(subject.store.metrics, "queuey_stable_time_age_seconds") or 0, 3))
        self.assertEqual(ages, [0, -30])


again(
    __name__,
    {"": MeteredCase, "OnDisk": OnDiskCase},
    (
        states.StatesContract,
        messages.AppendContract,
        lives.LifeContract,
    ),
)


again(
    __name__,
    {"": MeteredCase},
    (
        queues.QueuesContract,
        groups.GroupsContract,
        messages.ScanContract,
        replacing.ReplaceContract,
        delays.DelayContract,
        merging.MergeContract,
        closing.ClosingContract,
        once.OnceContract,
        putting.PutContract,
    ),
)
