"""A store that another process owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final, Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.interfaces import MAX_STATE, IStateStore, IStore, Outcome, Promises, State
from queuey.logs import EventLog
from queuey.model.counts import Metric
from queuey.model.message import Address, Condition, Content, Message, NewMessage
from queuey.model.once import Appended, Once
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import MessageId
from queuey.model.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice
from queuey.storage.caching import Change
from queuey.storage.shared.calls import CALLS, CONTROL, Call, FromOwner, FromWorker, Told, call, told
from queuey.storage.shared.frames import Frames
from queuey.storage.shared.lease import Lease

LOOK_EVERY: Final = 1.0
"""Seconds after which whoever waits looks for himself: what others give back to a group, nobody tells."""

_TOGETHER: Final = 256
"""Messages that are appended by one call, at the most."""

_ENDED: Final = "The process that has the storage has ended."


class Defect(Exception):
    """Something went wrong at the owner that is no answer; its log has more."""


class Keeps(Protocol):
    """Whoever keeps what was read, and has to let it go when another process changes it."""

    def change_elsewhere(self, change: Change) -> None:
        """Let go of what is about to be changed, and keep none of it until ``changed_elsewhere``."""

    def changed_elsewhere(self, change: Change) -> None:
        """Learn that the change is over."""


class _Nothing:
    """Keeps nothing."""

    def change_elsewhere(self, change: Change) -> None:
        """See Keeps."""

    def changed_elsewhere(self, change: Change) -> None:
        """See Keeps."""


@attrs.frozen
class _Lone:
    """Messages that come alone, for one queue and on the same terms; they are one call for the owner.

    :ivar numbers: of the calls that they are here.
    """

    queue: Queue
    terms: WriteTerms
    numbers: list[int] = attrs.field(factory=list)
    messages: list[NewMessage] = attrs.field(factory=list)


class _Pending:
    """A call that is not answered yet."""

    __slots__ = ("answer", "call", "writes")

    def __init__(self, call: Call, writes: bool, answer: Deferred[Any]) -> None:
        self.call = call
        self.writes = writes
        self.answer = answer


class Link(Frames):
    """The worker's end of the socket.

    :ivar keeps: whoever keeps at hand what is read through it; set before ``join``.
    :ivar lease: for how long that may be used.
    :ivar other: takes what has to do with no store, whose kinds are from ``CONTROL`` on, and below ``CALLS``.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(self, clock: IReactorTime, ended: Callable[[], None]) -> None:
        """
        :param clock: the reactor.
        :param ended: is called once the owner is gone.
        """
        super().__init__(clock)
        self.keeps: Keeps = _Nothing()
        self.lease = Lease(clock.seconds, self._renew)
        self.arrived: Callable[[int], None] = _ignore
        self.other: Callable[[int, int, msgspec.Raw], None] = _ignore_item
        self._ended = ended
        self._numbers = count(1)
        self._pending: dict[int, _Pending] = {}
        self._lone: _Lone | None = None
        self._finishing: Deferred[None] | None = None

    def join(self) -> None:
        """Be told of what others change, from now on; called before anything is read."""
        self.send(0, FromWorker.JOIN, None)

    def _renew(self) -> None:
        self.send(0, FromWorker.RENEW, None)

    def ask(self, call: Call, arguments: tuple[Any, ...], writes: bool) -> Deferred[Any]:
        """Make a call of the owner's store.

        :param writes: whether it changes something, so that nobody knows what became of it once the socket is closed.
        """
        answer, number = self._asked(call, writes)
        if number:
            self.send(number, call.kind, arguments)
        return answer

    def append(self, call: Call, queue: Queue, message: NewMessage, terms: WriteTerms) -> Deferred[Any]:
        """Append one message, together with others of this turn that go to the same queue, as most do under load.

        :param terms: without limits, so that one is not refused for another.
        """
        answer, number = self._asked(call, True)
        if number:
            lone = self._lone
            if lone is None or lone.queue is not queue or lone.terms != terms or len(lone.numbers) == _TOGETHER:
                self._send_lone()
                lone = self._lone = _Lone(queue, terms)
            lone.numbers.append(number)
            lone.messages.append(message)
            self._send_soon()
        return answer

    def _asked(self, call: Call, writes: bool) -> tuple[Deferred[Any], int]:
        """What comes of a call, and its number; 0 where none can be made any more."""
        if self.lost or self._finishing is not None:
            return fail(Unavailable(_ENDED if self.lost else "The storage is closed.")), 0
        number = next(self._numbers)

        def cancel(answer: Deferred[Any]) -> None:
            del self._pending[number]
            self.send(number, FromWorker.CANCEL, None)
            self._finish()

        answer: Deferred[Any] = Deferred(cancel)
        self._pending[number] = _Pending(call, writes, answer)
        return answer, number

    def send(self, number: int, kind: int, body: Any) -> None:
        """See Frames; what was asked before is sent before."""
        self._send_lone()
        super().send(number, kind, body)

    def _send_lone(self) -> None:
        lone, self._lone = self._lone, None
        if lone is not None:
            super().send(0, FromWorker.APPEND, (lone.queue, lone.terms, lone.numbers, lone.messages))

    def _flush(self) -> None:
        self._send_lone()
        super()._flush()

    def received(self, number: int, kind: int, body: msgspec.Raw) -> None:
        """Take an answer, or news."""
        if kind == FromOwner.APPENDED:
            for each, id in zip(*_appended(body), strict=True):
                if (appended := self._pending.pop(each, None)) is not None:
                    appended.answer.callback((id,))
            self._finish()
        elif kind == FromOwner.ARRIVED:
            for incarnation in _incarnations(body):
                self.arrived(incarnation)
        elif kind == FromOwner.CHANGING:
            self.keeps.change_elsewhere(_change(body))
            self.send(number, FromWorker.READY, None)
        elif kind == FromOwner.CHANGED:
            self.keeps.changed_elsewhere(_change(body))
        elif kind == FromOwner.LEASE:
            self.lease.granted(_moment(body))
        elif kind >= CONTROL:
            self.other(number, kind, body)
        elif number in self._pending:
            self._answered(number, kind, body)

    def _answered(self, number: int, kind: int, body: msgspec.Raw) -> None:
        if kind == FromOwner.ANSWER:
            result = self._pending[number].call.result(body)
        else:
            result = Failure(told(_told(body)) if kind == FromOwner.ERROR else Defect(_text(body)))
        self._pending.pop(number).answer.callback(result)
        self._finish()

    def defect(self, number: int, kind: int, failure: Failure) -> None:
        """See Frames: an answer that cannot be read fails its call; anything else is logged."""
        pending = self._pending.pop(number, None) if kind < CONTROL else None
        if pending is None:
            self._log.failure("store-defect", "what the owner of the store sent could not be taken", failure)
            return
        pending.answer.errback(failure)
        self._finish()

    def finish(self) -> Deferred[None]:
        """Ask no more, and close the socket once everything is answered; fires when it is closed, however that came."""
        if self.lost:
            return succeed(None)
        self._finishing = Deferred()
        self._finish()
        return self._finishing

    def _finish(self) -> None:
        if self._finishing is not None and not self._pending:
            self.close()

    def ended(self) -> None:
        """Fail whatever waits for an answer."""
        self.lease.end()
        pending, self._pending = self._pending, {}
        for each in pending.values():
            applied = "unknown" if each.writes else "no"
            each.answer.errback(Unavailable(_ENDED, applied=applied))
        if self._finishing is not None:
            self._finishing.callback(None)
        self._ended()


_appended: Final = msgspec.msgpack.Decoder(tuple[tuple[int, ...], tuple[MessageId, ...]]).decode
_incarnations: Final = msgspec.msgpack.Decoder(list[int]).decode
_change: Final = msgspec.msgpack.Decoder(Change).decode
_told: Final = msgspec.msgpack.Decoder(Told).decode
_moment: Final = msgspec.msgpack.Decoder(float).decode
_text: Final = msgspec.msgpack.Decoder(str).decode


def _ignore(incarnation: int) -> None:
    pass


def _ignore_item(number: int, kind: int, body: msgspec.Raw) -> None:
    pass


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

        def failed(failure: Any) -> Any:
            failure.trap(Unavailable)
            return Outcome.UNKNOWN if failure.value.applied == "unknown" else failure

        return answer.addErrback(failed)


@implementer(IStore)
class SharedStore:
    """A store that another process owns; whoever has several such processes has several front ends."""

    def __init__(self, link: Link, promises: Promises) -> None:
        """
        :param link: the socket, which is connected.
        :param promises: what the owner's store promises.
        """
        self._link = link
        self.promises: Promises = promises
        self.metrics: Sequence[Metric] = ()
        self.states: IStateStore = SharedStates(link)

    def open(self) -> None:
        """See IStore; the owner's is open, or will be."""
        self._link.join()

    def opened(self) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def watch(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore; what others write is told at once, and what they give back to a group is not."""
        self._link.arrived = arrived
        return LOOK_EVERY

    def close(self) -> Deferred[None]:
        """See IStore; what was asked before is answered first."""
        return self._link.finish()

    def ping(self) -> Deferred[None]:
        """See IStore."""
        return self._read("ping")

    def troubles(self) -> Mapping[str, str]:
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

    def merge(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore."""
        return self._read("merge", queue, merge, ack)

    def scan(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore."""
        return self._read("scan", queue, window, ack)

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

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._read("count", queue, ack)

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

    def at_hand(self, application: str, name: str) -> Queue | None:
        """See IQueueStore; nothing is kept here."""
        return None

    def _read(self, name: str, *arguments: Any) -> Deferred[Any]:
        return self._link.ask(STORE_CALLS[name], arguments, False)

    def _write(self, name: str, *arguments: Any) -> Deferred[Any]:
        return self._link.ask(STORE_CALLS[name], arguments, True)


_STORE: Final = (
    "append", "append_once", "merge", "scan", "lookup", "replace", "put", "remove", "purge", "count",
    "create", "update", "forget", "names", "describe", "ping", "restore",
)  # fmt: skip
_STATES: Final = ("read", "replace")

STORE_CALLS: Final = {
    name: call(name, kind, getattr(SharedStore, name)) for kind, name in enumerate(_STORE, start=CALLS)
}
"""The calls of an IStore."""

STATE_CALLS: Final = {
    name: call(name, kind, getattr(SharedStates, name)) for kind, name in enumerate(_STATES, start=CALLS + len(_STORE))
}
"""The calls of its states."""
