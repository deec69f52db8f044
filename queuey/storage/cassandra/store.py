"""The store on a cluster as a whole: it waits for the cluster, finds out what it is like, and serves."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.deferreds import TurnQueue, deferred, shield
from queuey.errors import ConfigurationError, QueueyError, Unavailable
from queuey.interfaces import Capabilities, IGroupStore, IStateStore, IStore
from queuey.logs import EventLog
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.exports import MARK_KEY, refusal
from queuey.model.messages.message import Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.depth import Depth
from queuey.model.reading.many import Changes, ManyRange, ManySlice
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice
from queuey.model.telemetry.counts import Metric
from queuey.model.timeid import MessageId
from queuey.storage.cassandra.call_gate import CallGate, GuardedStates
from queuey.storage.cassandra.closing import close_queue
from queuey.storage.cassandra.cluster.facts import Facts, find_out, release_of
from queuey.storage.cassandra.cluster.port import AccessRefused, ICQLSession, Kind, Level, Statement
from queuey.storage.cassandra.groups import CassandraGroups, GroupTables
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.cassandra.queues.registry import Registry
from queuey.storage.cassandra.schema import Schema, SchemaSettings
from queuey.storage.cassandra.scripts import STATE_TABLE
from queuey.storage.cassandra.times.port import Times
from queuey.storage.cassandra.times.retrying import SHORTEST, Pace
from queuey.storage.cassandra.times.waiting import growing

T = TypeVar("T")

_LONGEST_WAIT: Final = 3.0
"""Seconds between two attempts to reach the cluster at the most."""

_LOOK: Final = 1.0
"""Seconds between two reads for waiting readers."""

_GETS_READY: Final = "Cassandra answers, and this front end gets ready"


@attrs.frozen
class Parts:
    """The parts of the store.

    :ivar metrics: the metrics of all these.
    """

    session: ICQLSession
    times: Times
    registry: Registry
    states: IStateStore
    messages: Messages
    metrics: Sequence[Metric] = ()


@implementer(IStore)
class CassandraStore:
    """Queues, messages and states in a keyspace of a cluster.

    ``open`` only begins: the cluster may be unreachable for any time.

    :param where: the cluster, as an operator knows it.
    :param make_schema: makes the schema, given a function that waits some seconds and one that reports waiting.
    :param timer: the clock of the waits.
    :param found: is called with the facts of the cluster, before anything is served.
    :param capabilities: those that are known before the cluster was asked.
    :param filling: whether to open it although it is an incomplete copy, to complete it.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(
        self,
        parts: Parts,
        settings: SchemaSettings,
        where: str,
        make_schema: Callable[[Callable[[float], Deferred[None]], Callable[[str], None]], Schema],
        timer: IReactorTime,
        found: Callable[[Facts], None],
        capabilities: Capabilities,
        filling: bool = False,
    ) -> None:
        self._parts = parts
        self._filling = filling
        self._keyspace = settings.keyspace
        self._where = where
        self._found = found
        self._gate = CallGate()
        self._pace = Pace(timer)
        self._schema = make_schema(self._pace.sleep, self._wait_for)
        self._ping = Statement(f"SELECT version FROM {self._keyspace}.{STATE_TABLE} WHERE k = 'version'", Kind.READ)
        self._told = ""
        self._connected = False
        self._times_started = False
        self._coming_up: Deferred[None] | None = None
        self._result: Failure | None = None
        self._waiters: list[Deferred[None]] = []
        self._end: Deferred[None] | None = None
        self.states: IStateStore = GuardedStates(parts.states, self._gate)
        self.groups: IGroupStore = CassandraGroups(
            self,
            self.states,
            GroupTables(parts.session, self._keyspace, self._gate.enter),
            self._alone,
            parts.times.now,
            os.urandom,
            TurnQueue(timer).next,
        )
        self.capabilities = capabilities
        self.metrics: Sequence[Metric] = parts.metrics

    def _alone(self) -> int | None:
        """The number of the period for which no other front end serves; ``None`` if others may."""
        times = self._parts.times
        return times.tenure if times.registry_age() is None and times.reason is None else None

    # The store as a whole

    def open(self) -> None:
        """See IStore."""
        self._gate.shut = f"Storage waits for Cassandra at {self._where}."
        self._coming_up = Deferred.fromCoroutine(self._come_up()).addBoth(self._came_up)

    def opened(self) -> Deferred[None]:
        """See IStore."""
        waiter: Deferred[None] = Deferred()
        if self._coming_up is not None and self._coming_up.called:
            waiter.callback(self._result)
        else:
            self._waiters.append(waiter)
        return waiter

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore: writes of other front ends, and delayed messages that become due, are not reported."""
        return _LOOK

    async def _come_up(self) -> None:
        facts = await self._until_it_answers()
        self._found(facts)
        found = facts.capabilities()
        self.capabilities = attrs.evolve(
            self.capabilities, durable=found.durable, survives_power_loss=found.survives_power_loss
        )
        self._wait_for(_GETS_READY)
        self._gate.shut = self._why_not_ready
        self._times_started = True
        await self._parts.times.start()
        self._gate.shut = None

    async def _until_it_answers(self) -> Facts:
        failures = 0
        while not self._pace.stopped:
            try:
                return await self._prepare()
            except Unavailable as error:
                self._wait_for(f"waiting for Cassandra at {self._where}: {error.text}")
                await self._pace.sleep(growing(SHORTEST, failures, _LONGEST_WAIT))
                failures += 1
            except AccessRefused as error:
                raise ConfigurationError((f"Cassandra at {self._where}: {error.text}",)) from None
        raise _closed()

    async def _prepare(self) -> Facts:
        session = self._parts.session
        if not self._connected:
            await session.connect()
            self._connected = True
        release = await release_of(session)
        await self._schema.ensure(release)
        await self._check_whole()
        facts = await find_out(session, release, self._keyspace)
        refusal = facts.refusal(self._keyspace)
        if refusal is not None:
            raise ConfigurationError((refusal,))
        return facts

    async def _check_whole(self) -> None:
        """Refuse a copy that is not whole yet, unless it is about to be completed."""
        mark = None if self._filling else await self._parts.states.read(MARK_KEY)
        why = refusal(None if mark is None else mark.value)
        if why is not None:
            raise ConfigurationError((f"The keyspace {self._keyspace} {why}.",))

    def _why_not_ready(self) -> str:
        """Return the reason why a front end that has reached the cluster is not ready: usually another front end."""
        return f"Storage is not ready: {self._parts.times.reason or _GETS_READY}"

    def _wait_for(self, text: str) -> None:
        """Tell clients and, once, the log what is waited for."""
        if self._pace.stopped:
            return
        self._gate.shut = f"Storage is not ready: {text.removesuffix('.')}."
        kind = text.split(":")[0]
        if kind != self._told:
            self._told = kind
            self._log.info("store-waits", "{text}", text=text)

    def _came_up(self, result: Failure | None) -> None:
        self._result = result
        if isinstance(result, Failure):
            why = str(result.value) if result.check(QueueyError) else "the log has a defect of Queuey"
            self._gate.shut = why if self._pace.stopped else f"Storage cannot be used: {why}"
        else:
            self._log.info("store-ready", "requests are served from Cassandra at {where}", where=self._where)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(result)

    def health_problems(self) -> Mapping[str, str]:
        """See IStore; before the cluster was found, its silence is all that is known."""
        return self._parts.times.health_problems() if self._times_started else {}

    def close(self) -> Deferred[None]:
        """See IStore; the cluster learns that this front end is gone, if it answers."""
        if self._end is None:
            self._end = self._close()
        return shield(self._end)

    @deferred
    async def _close(self) -> None:
        self._gate.shut = _closed().text
        self._pace.stop()
        await self._gate.emptied()
        if self._times_started:
            await self._parts.times.stop()
        await self._parts.session.close()
        if self._coming_up is not None:
            await self._coming_up

    def ping(self) -> Deferred[None]:
        """See IStore; a majority of the nodes has to answer, and this front end to be fit to serve."""
        return self._gate.enter(self._ask)

    @deferred
    async def _ask(self) -> None:
        reason = self._parts.times.reason
        if reason is not None:
            raise Unavailable(reason)
        await self._parts.session.execute(self._ping, (), Level.QUORUM)

    # Messages

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.append(queue, messages, terms))

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.append_once(queue, messages, terms, once))

    def close_queue(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once | None
    ) -> Deferred[Appended]:
        """See IMessageStore; messages of others may come between the last ones and the end."""
        parts = self._parts
        return self._gate.enter(
            lambda: close_queue(parts.messages, parts.registry, parts.times, queue, messages, terms, once)
        )

    def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.read_merged(queue, merge, ack))

    def read_many(self, queues: Sequence[Queue], asked: ManyRange, acks: Sequence[Ack]) -> Deferred[ManySlice]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.read_many(queues, asked, acks))

    def changes(self, mark: int | None) -> Deferred[Changes]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.changes(mark))

    def read_range(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.read_range(queue, window, ack))

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.lookup(queue, addresses, ack))

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.replace(queue, addresses, content, ttl, terms))

    def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """See IMessageStore; the condition and the write are one step within one front end only."""
        return self._gate.enter(lambda: self._parts.messages.put(queue, address, content, ttl, condition, terms))

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.restore(queue, messages, terms))

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.remove(queue, addresses, ack))

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.purge(queue, before, ack))

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.count(queue, ack))

    def delayed(self, queue: Queue, limit: int, ack: Ack) -> Deferred[tuple[Address, ...]]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.delayed(queue, limit, ack))

    def measure(self, queue: Queue, ack: Ack) -> Deferred[Depth]:
        """See IMessageStore."""
        return self._gate.enter(lambda: self._parts.messages.measure(queue, ack))

    # Queues

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore."""
        return self._gate.enter(lambda: self._parts.registry.create(application, name, settings, max_queues))

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore."""
        return self._gate.enter(lambda: self._parts.registry.update(queue, settings))

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore."""
        return self._gate.enter(lambda: self._parts.registry.forget(queue))

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """See IQueueStore."""
        return self._gate.enter(lambda: self._parts.registry.names(application, start, limit, prefix))

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore."""
        return self._gate.enter(lambda: self._parts.registry.describe(application, names))

    def cached(self, application: str, name: str) -> Queue | None:
        """See IQueueStore."""
        return None if self._gate.shut is not None else self._parts.registry.cached(application, name)


def _closed() -> Unavailable:
    return Unavailable("The store is closed.")
