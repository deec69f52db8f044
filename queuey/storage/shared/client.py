"""A store that another process owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.interfaces import MAX_STATE, Capabilities, IGroupStore, IStateStore, IStore, Outcome, State
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.groups.commands import Command, Ran, View
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Terms
from queuey.model.messages.message import Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.depth import Depth
from queuey.model.reading.many import Changes, ManyRange, ManySlice
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice
from queuey.model.telemetry.counts import Metric
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.shared.calls import CALLS, call
from queuey.storage.shared.link import Link

LOOK_EVERY: Final = 1.0
"""Seconds after which a waiting reader checks for itself: messages that others return to a group are not announced."""


@implementer(IStateStore)
class SharedStates:
    """The states of a store that another process owns."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self, key: str) -> Deferred[State | None]:
        """See IStateStore."""
        return self._link.ask(STATE_CALLS["read"], (key,), False)

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """See IStateStore."""
        if value is not None and len(value) > MAX_STATE:
            raise ValueError(f"a state has at most {MAX_STATE} bytes")
        answer = self._link.ask(STATE_CALLS["replace"], (key, version, value, fresh), True)

        def on_error(failure: Any) -> Any:
            failure.trap(Unavailable)
            return Outcome.UNKNOWN if failure.value.applied == "unknown" else failure

        return answer.addErrback(on_error)


@implementer(IGroupStore)
class SharedGroups:
    """The groups of a store that another process owns."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """See IGroupStore."""
        return self._link.ask(GROUP_CALLS["run"], (queue, group, terms, commands), True)

    def follow_writes(self) -> bool:
        """See IGroupStore; appends are sent at the end of a turn, and may come after the commands of that turn."""
        return False

    def look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """See IGroupStore."""
        return self._link.ask(GROUP_CALLS["look"], (queue, group, partition, ids), False)

    def end(self, incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """See IGroupStore."""
        return self._link.ask(GROUP_CALLS["end"], (incarnation, gid, partitions), True)


@implementer(IStore)
class SharedStore:
    """A store that another process owns; it lets several front-end processes share one store."""

    def __init__(self, link: Link, capabilities: Capabilities) -> None:
        """
        :param link: the socket, which is connected.
        :param capabilities: of the owner's store.
        """
        self._link = link
        self.capabilities: Capabilities = capabilities
        self.metrics: Sequence[Metric] = ()
        self.states: IStateStore = SharedStates(link)
        self.groups: IGroupStore = SharedGroups(link)

    def open(self) -> None:
        """See IStore; the owner's is open, or will be."""
        self._link.join()

    def opened(self) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore; writes of others are announced at once, but not messages that they return to a group."""
        self._link.arrived = arrived
        return LOOK_EVERY

    def close(self) -> Deferred[None]:
        """See IStore; pending calls are answered first."""
        return self._link.finish()

    def ping(self) -> Deferred[None]:
        """See IStore."""
        return self._read("ping")

    def health_problems(self) -> Mapping[str, str]:
        """See IStore; the owner knows."""
        return {}

    # Messages

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore."""
        if len(messages) == 1 and not terms.limited:
            return self._link.append(STORE_CALLS["append"], queue, messages[0], terms)
        return self._write("append", queue, tuple(messages), terms)

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        return self._write("append_once", queue, tuple(messages), terms, once)

    def close_queue(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once | None
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        return self._write("close_queue", queue, tuple(messages), terms, once)

    def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore."""
        return self._read("read_merged", queue, merge, ack)

    def read_many(self, queues: Sequence[Queue], asked: ManyRange, acks: Sequence[Ack]) -> Deferred[ManySlice]:
        """See IMessageStore; of the queues only what an embedded store looks at is sent: the incarnations."""
        sent = tuple([Queue("", "", _ANY, queue.incarnation, "", Ticks(0)) for queue in queues])
        return self._read("read_many", sent, asked, ())

    def changes(self, mark: int | None) -> Deferred[Changes]:
        """See IMessageStore."""
        return self._read("changes", mark)

    def read_range(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore."""
        return self._read("read_range", queue, window, ack)

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """See IMessageStore."""
        return self._read("lookup", queue, addresses, ack)

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """See IMessageStore."""
        return self._write("replace", queue, addresses, content, ttl, terms)

    def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """See IMessageStore."""
        return self._write("put", queue, address, content, ttl, condition, terms)

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """See IMessageStore."""
        return self._write("restore", queue, messages, terms)

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._write("remove", queue, addresses, ack)

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """See IMessageStore."""
        return self._write("purge", queue, before, ack)

    def delayed(self, queue: Queue, limit: int, ack: Ack) -> Deferred[tuple[Address, ...]]:
        """See IMessageStore."""
        return self._read("delayed", queue, limit, ack)

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._read("count", queue, ack)

    def measure(self, queue: Queue, ack: Ack) -> Deferred[Depth]:
        """See IMessageStore."""
        return self._read("measure", queue, ack)

    # Queues

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore."""
        return self._write("create", application, name, settings, max_queues)

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore."""
        return self._write("update", queue, settings)

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore."""
        return self._write("forget", queue)

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """See IQueueStore."""
        return self._read("names", application, start, limit, prefix)

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore."""
        return self._read("describe", application, names)

    def cached(self, application: str, name: str) -> Queue | None:
        """See IQueueStore; this store has no cache."""
        return None

    def _read(self, name: str, *arguments: Any) -> Deferred[Any]:
        return self._link.ask(STORE_CALLS[name], arguments, False)

    def _write(self, name: str, *arguments: Any) -> Deferred[Any]:
        return self._link.ask(STORE_CALLS[name], arguments, True)


_ANY: Final = QueueSettings()
_STORE: Final = (
    "append", "append_once", "read_merged", "read_range", "lookup", "replace", "put", "remove", "purge", "count",
    "create", "update", "forget", "names", "describe", "ping", "restore", "measure", "close_queue",
    "read_many", "changes", "delayed",
)  # fmt: skip
_STATES: Final = ("read", "replace")
_GROUPS: Final = ("run", "look", "end")

STORE_CALLS: Final = {
    name: call(name, kind, getattr(SharedStore, name)) for kind, name in enumerate(_STORE, start=CALLS)
}
"""The calls of an IStore."""

STATE_CALLS: Final = {
    name: call(name, kind, getattr(SharedStates, name)) for kind, name in enumerate(_STATES, start=CALLS + len(_STORE))
}
"""The calls of its states."""

GROUP_CALLS: Final = {
    name: call(name, kind, getattr(SharedGroups, name))
    for kind, name in enumerate(_GROUPS, start=CALLS + len(_STORE) + len(_STATES))
}
"""The calls of its groups."""
