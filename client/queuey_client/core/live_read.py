"""Live reads: one answer that brings messages as they come, and its resumption after each end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from queuey_client.core.encoding import LINES, Query, numbers, query, time_text
from queuey_client.core.errors import Invalid, NotFound, QueueyError, Unavailable, no_answer
from queuey_client.core.following import Idle, NoLiveReads, Start
from queuey_client.core.live_lines import Line, LineReader
from queuey_client.core.parsing import NO_TIME
from queuey_client.core.reading import ReadOptions
from queuey_client.core.session import Session
from queuey_client.core.steps import Answer, Call, Incoming, NoAnswer, NotStreaming, Opened, Receive, Sleep, Steps
from queuey_client.core.values import Message, Page

SILENCE = 60.0
"""Seconds without a byte after which a connection is given up: a server gives a sign of life each 15 seconds."""

PAUSE = 2.0
"""Seconds before the next connection, and up to twice as many, if the server has not said how many."""

MAX_BARREN = 2
"""Connections in a row that bring no line at all, after which pages are read: perhaps a proxy keeps the lines back."""

OWN_REFUSALS = ("no-such-queue", "no-such-application")
"""The codes of 404 with which a server that has live reads refuses one."""


def live_query(options: ReadOptions, start: Start) -> Query:
    """Return the query of a live read of one queue."""
    return query(
        ("after", start.after),
        ("since", None if start.since is None else time_text(start.since)),
        ("start", start.end if start.after is None and start.since is None else None),
        ("limit", None if options.limit is None else str(options.limit)),
        ("max_bytes", None if options.max_bytes is None else str(options.max_bytes)),
        ("fresh", "true" if options.fresh else None),
    ) + numbers(options.partitions)


class LiveRead:
    """Gives the messages of a live read as pages, and connects again whenever it ends.

    A place is passed when a whole line has come, so a break at any byte neither loses nor repeats a message.

    :param queue: whose messages it gives; ``None`` if each message names its queue.
    :param call_of: returns the request of a live read from a start.
    :param hands_gaps_over: whether it ends with ``NoLiveReads`` before a gap, so that pages tell of it.
    """

    def __init__(
        self,
        session: Session,
        queue: str | None,
        call_of: Callable[[Start], Call],
        start: Start,
        idle: Idle,
        *,
        hands_gaps_over: bool = False,
    ) -> None:
        self.start = start
        self._session = session
        self._queue = queue
        self._call_of = call_of
        self._hands_gaps_over = hands_gaps_over
        self._idle = idle
        self._page: Page | None = None
        self._closed = False
        self._was_caught_up = False
        # How the next connection is made.
        self._retry: float | None = None
        self._barren = 0
        self._failing_since: float | None = None
        # The connection that is open.
        self._incoming: Incoming | None = None
        self._reader = LineReader(queue)
        self._lines: deque[Line] = deque()
        self._begun = False
        self._caught_up = False
        self._ended = False

    def next(self) -> Steps[Page | None]:
        """See :class:`~queuey_client.core.following.Source`.

        :raise QueueyError: the server refuses the live read, or has failed for as long as requests are repeated.
        """
        if self._page is not None and self._page.messages:
            self._idle.heard()
        while True:
            self._page = self._next_page()
            if self._page is not None:
                return self._page
            if self._lines:
                yield from self._failed(self._lines[0])
            elif self._closed or (self._caught_up and self._idle.over):
                return None
            elif self._incoming is None:
                yield from self._connect()
            else:
                yield from self._receive(self._incoming)

    def close(self) -> None:
        """See :class:`~queuey_client.core.following.Source`."""
        incoming, self._incoming = self._incoming, None
        self._reader, self._caught_up, self._ended = LineReader(self._queue), False, False
        self._lines.clear()
        if incoming is not None:
            incoming.close()

    # Connections

    def _connect(self) -> Steps[None]:
        """Begin a live read where the one before has ended."""
        call = self._call_of(self.start)
        call = replace(call, headers={**call.headers, "Accept": LINES}, streams=True)
        try:
            answer: Answer = yield from self._session.exchange(call)
        except NotStreaming:
            raise NoLiveReads from None
        except (NotFound, Invalid) as error:
            # An older server does not know the path, and a proxy may not let it through.
            if error.status in (404, 405) and error.code not in OWN_REFUSALS:
                raise NoLiveReads from error
            raise
        if not isinstance(answer, Opened):
            raise NoLiveReads
        self._incoming, self._begun = answer.incoming, False
        if LINES not in answer.headers.get("content-type", ""):
            raise NoLiveReads

    def _receive(self, incoming: Incoming) -> Steps[None]:
        """Wait for the next lines. If none come, connect again, unless the reader ends then."""
        # The first line comes at once.
        silence = SILENCE if self._begun else self._session.timeout
        seconds = max(self._idle.within(silence), 0.001) if self._caught_up else silence
        try:
            piece: bytes | None = yield Receive(incoming, seconds)
            lines = self._reader.read(piece or b"")
        except NoAnswer as lost:
            yield from self._broken(no_answer(lost))
        except ValueError as error:
            yield from self._broken(_cut(f"what came is not Queuey's: {error}"))
        else:
            yield from self._received(piece, lines, silence if seconds == silence else None)

    def _received(self, piece: bytes | None, lines: list[Line], silence: float | None) -> Steps[None]:
        """
        :param silence: seconds for which something should have come; ``None`` if the reader ends before.
        """
        if piece:
            self._lines += lines
            if not lines:
                self._idle.heard()  # it is a part of a long message
        elif piece is None:
            if silence is None:
                self._idle.expire()
            else:
                yield from self._broken(_cut(f"nothing came for {silence:.0f} seconds"))
        elif self._ended:
            self.close()
            yield Sleep(self._pause())
        else:
            yield from self._broken(_cut("the live read was cut"))

    def _failed(self, line: Line) -> Steps[None]:
        """The server has ended the live read, and has said why.

        :raise QueueyError: if another one would end so, too.
        """
        credentials, error = self._session.credentials, line.problem
        assert error is not None
        renewed = error.status == 401 and credentials.renewable
        if renewed:
            credentials.forget()
        yield from self._broken(error, renewed)

    def _broken(self, error: QueueyError, renewed: bool = False) -> Steps[None]:
        """Give the connection up, and wait before the next one.

        :param renewed: whether the next one has other credentials.
        :raise QueueyError: if it has been failing for too long, or is not to be tried again.
        """
        self.close()
        self._barren = 0 if self._begun else self._barren + 1
        if self._barren >= MAX_BARREN:
            raise NoLiveReads from error
        retry, now = self._session.retry, self._session.clock()
        if self._failing_since is None:
            self._failing_since = now
        error.applied = "no"
        if not (renewed or retry.wanted(error, True)) or now - self._failing_since >= retry.deadline:
            raise error
        yield Sleep(self._pause())

    def _pause(self) -> float:
        return PAUSE * (1 + self._session.random()) if self._retry is None else self._retry

    # Lines

    def _next_page(self) -> Page | None:
        """Make a page of the lines that have come. A gap is a page of its own, and a problem is left."""
        messages: list[Message] = []
        taken, stable = False, NO_TIME
        while self._lines:
            line = self._lines[0]
            if line.problem is not None or (line.gap and taken):
                break
            self._lines.popleft()
            self._note(line)
            if line.gap and self._hands_gaps_over:
                raise NoLiveReads
            if line.gap:
                gaps = [] if self._queue is not None or line.of is None else [line.of]
                return Page([], self.start.after or "", True, stable, True, line.first, gaps)
            if line.message is not None:
                messages.append(line.message)
            stable = line.caught_up or stable
            taken = taken or line.next is not None
        if not taken:
            return None
        return Page(messages, self.start.after or "", not self._caught_up, stable, closed=self._closed)

    def _note(self, line: Line) -> None:
        """Keep what a line says of the live read itself."""
        if line.next is not None:
            self.start = Start(line.next)
        if line.retry is not None:
            self._retry = line.retry
            # The first line has a place too.
            self._ended = line.next is None
        if line.caught_up is not None:
            self._caught_up = True
            if not self._was_caught_up:
                self._was_caught_up = True
                self._idle.heard()
        self._closed = self._closed or line.closed
        if self._begun:
            self._failing_since = None
        self._begun = True


def _cut(detail: str) -> Unavailable:
    return Unavailable(detail, retryable=True)
