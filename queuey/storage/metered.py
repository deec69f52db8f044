"""A store of which every call is counted: what was asked, what came of it, and how long that took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.errors import QueueyError, Unavailable
from queuey.interfaces import IGroupStore, IStateStore, IStore, Outcome, Promises, State
from queuey.model.counts import SECONDS, Counter, Distribution, Histogram, Metric, gauge
from queuey.model.group_settings import Group
from queuey.model.groups.commands import Command, Ran, View
from queuey.model.groups.terms import Terms
from queuey.model.message import Address, Condition, Content, Message, NewMessage
from queuey.model.once import Appended, Once
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import MessageId
from queuey.model.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice

PING: Final = 5.0
"""Seconds from one answer to whether the store answers to the next question."""

T = TypeVar("T")


class Meter:
    """Counts the calls of one operation.

    It is made once for each, so that a call costs a callback and two looks at the clock.

    :param seconds: a clock of which only differences matter.
    """

    def __init__(self, name: str, operations: Counter, durations: Histogram, seconds: Callable[[], float]) -> None:
        self._name = name
        self._ok = (name, "ok")
        self._add, self._counted = operations.add, operations.values
        self._durations = durations
        self._distribution: Distribution | None = None
        self._seconds = seconds

    def __call__(self, answer: Deferred[T]) -> Deferred[T]:
        """Count a call that was just made, once it is over."""
        began = self._seconds()
        if answer.called and not answer.paused and not isinstance(answer.result, Failure):
            # Answered from memory, as most looks at a queue are: a callback would cost more than the call.
            self._succeeded(answer.result, began)
            return answer
        times = (began,)
        return answer.addCallbacks(self._succeeded, self._failed, times, {}, times)

    def _succeeded(self, result: T, began: float) -> T:
        distribution, labels = self._distribution, self._ok
        if distribution is None or isinstance(result, Outcome) or labels not in self._counted:
            self._observe(began)
            self._add((self._name, _OUTCOMES[result]) if isinstance(result, Outcome) else labels)
            return result
        # As most calls are: without a call more.
        distribution.observe(self._seconds() - began)
        self._counted[labels] += 1
        return result

    def _failed(self, failure: Failure, began: float) -> Failure:
        self._observe(began)
        self._add((self._name, _outcome(failure.value)))
        return failure

    def _observe(self, began: float) -> None:
        distribution = self._distribution
        if distribution is None:
            # What was never asked for is not shown.
            distribution = self._distribution = self._durations.of((self._name,))
        distribution.observe(self._seconds() - began)


_OUTCOMES: Final = {Outcome.APPLIED: "ok", Outcome.REFUSED: "refused", Outcome.UNKNOWN: "unavailable"}


def _outcome(error: BaseException | None) -> str:
    if isinstance(error, Unavailable):
        return "unavailable"
    if isinstance(error, QueueyError):
        return "refused"
    return "cancelled" if isinstance(error, CancelledError) else "defect"


@implementer(IStateStore)
class MeteredStates:
    """States of which every call is counted."""

    def __init__(self, states: IStateStore, meter: Callable[[str], Meter]) -> None:
        self._states = states
        self._read = meter("read_state")
        self._replace = meter("replace_state")

    def read(self, key: str) -> Deferred[State | None]:
        """See IStateStore."""
        return self._read(self._states.read(key))

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """See IStateStore."""
        return self._replace(self._states.replace(key, version, value, fresh))


@implementer(IGroupStore)
class MeteredGroups:
    """Groups of which every call is counted."""

    def __init__(self, groups: IGroupStore, meter: Callable[[str], Meter]) -> None:
        self._groups = groups
        self._run = meter("run_group")
        self._look = meter("look_group")
        self._end = meter("end_group")

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """See IGroupStore."""
        return self._run(self._groups.run(queue, group, terms, commands))

    def look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """See IGroupStore."""
        return self._look(self._groups.look(queue, group, partition, ids))

    def end(self, incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """See IGroupStore."""
        return self._end(self._groups.end(incarnation, gid, partitions))


@implementer(IStore)
class MeteredStore:
    """Any store, with its calls counted; while it is open it is asked every so often whether it answers.

    :param clock: whose timers those questions go by, and by which calls are timed.
    """

    def __init__(self, store: IStore, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._open = False
        self._up = False
        self._operations = Counter(
            "queuey_store_operations_total",
            "What was asked of the store, and what came of it.",
            ("operation", "outcome"),
        )
        self._durations = Histogram(
            "queuey_store_operation_duration_seconds",
            "Seconds from asking the store for something until what came of it was known.",
            SECONDS,
            ("operation",),
        )
        self.metrics: Sequence[Metric] = (
            self._operations,
            self._durations,
            gauge("queuey_store_up", "Whether the store answered when it was last asked.", lambda: self._up),
            *store.metrics,
        )
        self.states: IStateStore = MeteredStates(store.states, self._meter)
        self.groups: IGroupStore = MeteredGroups(store.groups, self._meter)
        self.at_hand = store.at_hand
        self._append = self._meter("append")
        self._append_once = self._meter("append_once")
        self._merge = self._meter("merge")
        self._scan = self._meter("scan")
        self._lookup = self._meter("lookup")
        self._replace = self._meter("replace")
        self._restore = self._meter("restore")
        self._put = self._meter("put")
        self._remove = self._meter("remove")
        self._purge = self._meter("purge")
        self._count = self._meter("count")
        self._create = self._meter("create")
        self._update = self._meter("update")
        self._forget = self._meter("forget")
        self._names = self._meter("names")
        self._describe = self._meter("describe")
        self._ping = self._meter("ping")

    def _meter(self, name: str) -> Meter:
        return Meter(name, self._operations, self._durations, self._clock.seconds)

    @property
    def promises(self) -> Promises:
        """See IStore."""
        return self._store.promises

    def open(self) -> None:
        """See IStore."""
        self._store.open()
        self._open = True
        self._look()

    def opened(self) -> Deferred[None]:
        """See IStore."""
        return self._store.opened()

    def watch(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore."""
        return self._store.watch(arrived)

    def troubles(self) -> Mapping[str, str]:
        """See IStore."""
        return self._store.troubles()

    def close(self) -> Deferred[None]:
        """See IStore."""
        self._open = self._up = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self._store.close()

    def ping(self) -> Deferred[None]:
        """See IStore."""
        return self._ping(self._store.ping()).addBoth(self._answered)

    def _answered(self, result: T) -> T:
        if not (isinstance(result, Failure) and result.check(CancelledError)):
            self._up = self._open and not isinstance(result, Failure)
        return result

    def _look(self) -> None:
        """Ask whether the store answers, and again some time after that is known."""
        self._timer = None
        self.ping().addBoth(self._looked)

    def _looked(self, result: Any) -> None:
        if self._open:
            self._timer = self._clock.callLater(PING, self._look)

    # Messages

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore."""
        return self._append(self._store.append(queue, messages, terms))

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        return self._append_once(self._store.append_once(queue, messages, terms, once))

    def merge(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore."""
        return self._merge(self._store.merge(queue, merge, ack))

    def scan(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore."""
        return self._scan(self._store.scan(queue, window, ack))

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """See IMessageStore."""
        return self._lookup(self._store.lookup(queue, addresses, ack))

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """See IMessageStore."""
        return self._replace(self._store.replace(queue, addresses, content, ttl, terms))

    def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """See IMessageStore."""
        return self._put(self._store.put(queue, address, content, ttl, condition, terms))

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """See IMessageStore."""
        return self._restore(self._store.restore(queue, messages, terms))

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._remove(self._store.remove(queue, addresses, ack))

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """See IMessageStore."""
        return self._purge(self._store.purge(queue, before, ack))

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._count(self._store.count(queue, ack))

    # Queues

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore."""
        return self._create(self._store.create(application, name, settings, max_queues))

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore."""
        return self._update(self._store.update(queue, settings))

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore."""
        return self._forget(self._store.forget(queue))

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """See IQueueStore."""
        return self._names(self._store.names(application, start, limit, prefix))

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore."""
        return self._describe(self._store.describe(application, names))
