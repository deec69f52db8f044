"""The worker's end of the socket to the process that owns the store."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final, Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.errors import Unavailable
from queuey.logs import EventLog
from queuey.model.applications.policy import WriteTerms
from queuey.model.messages.message import Message, NewMessage
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId
from queuey.storage.caching import Name
from queuey.storage.shared.calls import CONTROL, ErrorRecord, FromOwner, FromWorker, StoreCall, error_of
from queuey.storage.shared.frames import Frames
from queuey.storage.shared.lease import Lease
from queuey.storage.shared.portions import whole

_TOGETHER: Final = 256
"""Messages that are appended by one call, at the most."""

_ENDED: Final = "The process that has the storage has ended."


class Defect(Exception):
    """Something went wrong at the owner that is no answer; its log has more."""


class Keeps(Protocol):
    """A cache of what was read, which another process may change."""

    def change_elsewhere(self, name: Name) -> None:
        """Invalidate a queue that is about to be changed, and do not cache it until ``changed_elsewhere``."""

    def changed_elsewhere(self, name: Name) -> None:
        """Learn that the change is over."""


class _Nothing:
    """A cache that is always empty."""

    def change_elsewhere(self, name: Name) -> None:
        """See Keeps."""

    def changed_elsewhere(self, name: Name) -> None:
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
    """A call that is not answered yet.

    :ivar messages: of the answer, as far as they have come before it.
    """

    __slots__ = ("answer", "call", "messages", "writes")

    def __init__(self, call: StoreCall, writes: bool, answer: Deferred[Any]) -> None:
        self.call = call
        self.writes = writes
        self.answer = answer
        self.messages: list[Message | None] | None = None


class Link(Frames):
    """The worker's end of the socket.

    :ivar keeps: the cache of what is read through it; set before ``join``.
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
        """Subscribe to the changes of others; call this before the first read."""
        self.send(0, FromWorker.JOIN, None)

    def _renew(self) -> None:
        self.send(0, FromWorker.RENEW, None)

    def ask(self, call: StoreCall, arguments: tuple[Any, ...], writes: bool) -> Deferred[Any]:
        """Make a call of the owner's store.

        :param writes: whether it changes something: its outcome is unknown if the socket is closed before the answer.
        """
        answer, number = self._asked(call, writes)
        if number:
            self.send(number, call.kind, arguments)
        return answer

    def append(self, call: StoreCall, queue: Queue, message: NewMessage, terms: WriteTerms) -> Deferred[Any]:
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

    def _asked(self, call: StoreCall, writes: bool) -> tuple[Deferred[Any], int]:
        """Return the Deferred of a call, and its number; 0 if no call can be made any more."""
        if self.lost or self._finishing is not None:
            return fail(Unavailable(_ENDED if self.lost else "The storage is closed.")), 0
        number = next(self._numbers)

        def cancel(answer: Deferred[Any]) -> None:
            self._pending.pop(number, None)
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
        pending = self._pending[number]
        if kind == FromOwner.PORTION:
            pending.messages = pending.messages or []
            pending.messages += _portion(body)
            return
        if kind == FromOwner.ANSWER:
            result = pending.call.result(body)
            if pending.messages is not None:
                result = whole(result, pending.messages)
        else:
            result = Failure(error_of(_told(body)) if kind == FromOwner.ERROR else Defect(_text(body)))
        self._pending.pop(number).answer.callback(result)
        self._finish()

    def defect(self, number: int, kind: int, failure: Failure) -> None:
        """See Frames: an answer that cannot be read fails its call; anything else is logged."""
        pending = self._pending.pop(number, None) if kind < CONTROL else None
        if pending is None:
            self._log.failure("store-defect", "a message of the owner of the store could not be read", failure)
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
        """Fail every call that waits for an answer.

        A caller that hears of it may cancel its other calls. So each stays pending until it fails itself.
        """
        self.lease.end()
        for number, pending in list(self._pending.items()):
            if self._pending.pop(number, None) is not None:
                applied = "unknown" if pending.writes else "no"
                pending.answer.errback(Unavailable(_ENDED, applied=applied))
        if self._finishing is not None:
            self._finishing.callback(None)
        self._ended()


_appended: Final = msgspec.msgpack.Decoder(tuple[tuple[int, ...], tuple[MessageId, ...]]).decode
_incarnations: Final = msgspec.msgpack.Decoder(list[int]).decode
_change: Final = msgspec.msgpack.Decoder(Name).decode
_portion: Final = msgspec.msgpack.Decoder(list[Message | None]).decode
_told: Final = msgspec.msgpack.Decoder(ErrorRecord).decode
_moment: Final = msgspec.msgpack.Decoder(float).decode
_text: Final = msgspec.msgpack.Decoder(str).decode


def _ignore(incarnation: int) -> None:
    pass


def _ignore_item(number: int, kind: int, body: msgspec.Raw) -> None:
    pass
