"""Live reads over v2: messages of a queue as they come, as Server-Sent Events or as lines of JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from queuey.core.live.one_queue import QueueSource
from queuey.core.live.reads import LiveReads
from queuey.core.live.stream import LiveStream
from queuey.core.messages import MessageExchange
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.problems import Problem, document, is_v2
from queuey.http.routes import Route
from queuey.http.v2.live.frames import EVENTS, LINES, Format
from queuey.http.v2.live.guard import LiveGuard
from queuey.http.v2.live.query import LiveQuery, live_query
from queuey.http.v2.messages.pages import prefers_lines
from queuey.http.v2.queues import QUEUE
from queuey.http.v2.representations.fields import NO_STORE
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.reading.window import Position
from queuey.model.telemetry.served import RECEIVE
from queuey.model.timeid import Ticks, ticks_of

PATH: Final = f"{QUEUE}/events"

_MAY_PASS: Final = frozenset({408, 429, 503})
"""The statuses of refusals that are answered as events on request: the others stay what they are."""

_ASKED: Final = b"errors=events"
_UNBUFFERED: Final = (b"X-Accel-Buffering", b"no")


@attrs.frozen
class V2Events:
    """The handler of live reads of one queue.

    :ivar now: the wall clock, in seconds since 1970.
    """

    exchange: MessageExchange
    reads: LiveReads
    now: Callable[[], float]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (Route("GET", PATH, Operation.READ_MESSAGES, self.follow),)

    async def follow(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Begin a live read. It goes on when this has ended: a coroutine takes much memory, and there may be ten
        thousand live reads."""
        queue, query = admitted.queue, live_query(request, admitted.queue)
        if request.method == b"HEAD":
            answer_head(request, query.format)
            return
        # Where every message is stable at once, readers of unstable messages are readers like all others.
        fresh = query.fresh and self.exchange.settles
        source = QueueSource(self.exchange, queue, self.now, query.partitions, fresh=fresh)
        position, seen = query.position, None
        if position is None:
            position, seen = await source.newest()
        if query.again and queue.closed is not None and await self._is_over(source, position):
            request.answer(204, (NO_STORE,), b"")
        elif not request.gone:
            self._begin(request, admitted, query, source, position, seen)

    async def _is_over(self, source: QueueSource, position: Position) -> bool:
        """Return whether no message follows a position and none will come: an EventSource that is answered 204
        stays away."""
        page = await source.read_from(position)
        return page.closed and not page.messages

    def _begin(
        self,
        request: Request,
        admitted: AdmittedToQueue,
        query: LiveQuery,
        source: QueueSource,
        position: Position,
        seen: Ticks | None,
    ) -> None:
        """Begin a live read at a position; ``seen`` is the time at which that was the end of the log."""
        queue, reads = admitted.queue, self.reads
        reads.limits.enter(admitted.policy, queue.name)
        request.traced.begin(RECEIVE)
        request.begin(200, fields_of(query.format))
        guard = LiveGuard(request, admitted, self.now)
        stream = LiveStream(
            reads,
            reads.tail(source),
            request,
            query.format,
            guard,
            source.place(position),
            queue,
            (query.limit, query.max_bytes),
            (queue.application, queue.name),
            resumed=query.resumed,
            stops=query.end,
        )
        guard.watch(stream.refuse)
        request.serving, request.lasts = stream, True
        stream.begin(None if seen is None else (ticks_of(position.id), seen))


def fields_of(format: Format) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header fields of a live read."""
    return ((b"Content-Type", format.media_type.encode("ascii")), NO_STORE, _UNBUFFERED)


def answer_head(request: Request, format: Format) -> None:
    """Answer HEAD at the path of live reads: with the fields of a live read, which has no Content-Length."""
    request.begin(200, fields_of(format))
    request.finish()


@attrs.frozen
class EventsForErrors:
    """Answers refusals that may pass with an event and status 200, for clients that ask for it (``errors=events``).

    An EventSource never comes back after another status than 200.

    :ivar random: returns a number between two.
    """

    random: Callable[[float, float], float]

    def answer(self, request: Request, problem: Problem) -> bool:
        """Answer a problem; see :class:`queuey.http.answers.errors.ErrorAnswers`."""
        if problem.status not in _MAY_PASS or not (request.path.endswith(b"/events") and is_v2(request.path)):
            return False
        if _ASKED not in request.line.query.split(b"&"):
            return False
        format = LINES if prefers_lines(request, EVENTS.media_type) else EVENTS
        seconds = next((int(value) for name, value in problem.headers if name == b"Retry-After"), 1)
        retry = round(self.random(seconds, 2 * seconds + 1) * 1000)
        data = format.end(retry) + format.refusal(document(problem, request.request_id))
        request.answer(200, fields_of(format), data)
        return True
