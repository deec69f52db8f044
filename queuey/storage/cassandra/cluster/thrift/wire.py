"""One connection to a node that speaks Thrift: framed calls, many under way, answered in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from queuey.storage.cassandra.cluster.thrift.calls import Garbled, ThriftCall, decode, encode

_NUMBERS: Final = 1 << 31
"""After this number, the numbers of calls start again."""


class Lost(Exception):
    """There is no answer, and there will be none.

    :ivar sent: whether the call had been sent, so that a node may have executed it.
    :ivar cause: what the connection ended with, if it did.
    """

    def __init__(self, text: str, sent: bool, cause: BaseException | None = None) -> None:
        super().__init__(text)
        self.sent = sent
        self.cause = cause


class _Due:
    """A call whose answer is due."""

    __slots__ = ("answer", "call", "end", "number", "sent", "timer")

    def __init__(self, call: ThriftCall, number: int, sent: float, end: float) -> None:
        self.call = call
        self.number = number
        self.sent = sent
        self.end = end
        self.timer: Any = None
        self.answer: Deferred[Any] | None = Deferred(self._give_up)

    def take(self) -> Deferred[Any] | None:
        """The Deferred to fire; ``None`` from then on, or if the caller has gone."""
        answer, self.answer = self.answer, None
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        return answer

    def _give_up(self, answer: Deferred[Any]) -> None:
        # The node cannot be informed. Its answer will come, and has to be counted.
        self.take()


class Wire(Int32StringReceiver):
    """A connection.

    A node answers one call after the other, so a call may wait for those before it. If a peer sends no byte for as long
    as the oldest call may take, the connection is closed.

    :param clock: measures the time.
    :param ended: is called once no more calls can be made.
    :ivar heard: when the last byte came.
    :ivar gone: fires once the connection is closed.
    """

    MAX_LENGTH = 256 * 1024 * 1024

    def __init__(self, clock: IReactorTime, ended: Callable[[Wire], None]) -> None:
        self._clock = clock
        self._ended = ended
        self._due: deque[_Due] = deque()
        self._number = 0
        self._open = True
        self.heard = clock.seconds()
        self.gone: Deferred[None] = Deferred()

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._open

    @property
    def load(self) -> int:
        """Answers that are due, including those whose caller has gone."""
        return len(self._due)

    def ask(self, call: ThriftCall, seconds: float) -> Deferred[Any]:
        """Call the node.

        :param seconds: how long to wait for the answer.
        :return: fires with what came of it; fails with the exception that was answered, or :class:`Lost`, or
            :class:`Garbled`. When it is cancelled the answer is dropped, and the call may be done all the same.
        """
        if not self._open:
            return fail(Lost("the connection has ended", False))
        now = self._clock.seconds()
        self._number = (self._number + 1) % _NUMBERS
        due = _Due(call, self._number, now, now + seconds)
        frame = encode(call, due.number)
        answer = due.answer
        assert answer is not None
        due.timer = self._clock.callLater(seconds, self._expire, due)
        self._due.append(due)
        self.sendString(frame)
        return answer

    def end(self) -> None:
        """Abort the connection; pending calls fail at once."""
        self._end(Lost("the connection was closed", True))

    # What the transport says

    def connectionMade(self) -> None:
        """See Protocol."""
        transport = cast(ITCPTransport, self.transport)
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)

    def stringReceived(self, string: bytes) -> None:
        """See Int32StringReceiver: one answer."""
        self.heard = self._clock.seconds()
        if not self._due:
            self._end(Garbled("an answer to no request"))
            return
        due = self._due[0]
        try:
            result = decode(string, due.call.name, due.number)
        except Garbled as error:
            self._end(error)
            return
        self._due.popleft()
        answer = due.take()
        if answer is None:
            return
        if isinstance(result, Exception):
            answer.errback(result)
        else:
            answer.callback(result)

    def lengthLimitExceeded(self, length: int) -> None:
        """See Int32StringReceiver: this is not Thrift, or not framed."""
        self._end(Garbled(f"this is no answer of Thrift: a frame of {length} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See Protocol."""
        self._end(Lost(f"the connection ended: {reason.getErrorMessage()}", True, reason.value))
        self.gone.callback(None)

    # The end

    def _expire(self, due: _Due) -> None:
        answer = due.take()
        oldest = self._due[0]
        silent = self.heard <= due.sent and oldest.end <= self._clock.seconds()
        if answer is not None:
            answer.errback(Lost("no answer in time", True))
        if silent:
            self._end(Lost("the node is silent", True))

    def _end(self, error: Exception) -> None:
        if not self._open:
            return
        self._open = False
        # This comes first, so that a caller that tries again at once is not sent to this connection.
        self._ended(self)
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()
        while self._due:
            answer = self._due.popleft().take()
            if answer is not None:
                answer.errback(error)
