"""Appending messages that come one a line, in a stream of any length: they are stored while it arrives.

No more of a stream is kept than two batches. A client that does not read what became of its lines is not read from
either, unless it has asked for failures alone. Nor is one that sends more than the rates of its application let pass:
no line is refused for that, they wait.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred, succeed

from queuey.core.messages import MessageExchange
from queuey.deferreds import TurnQueue, deferred
from queuey.errors import BadCredentials, Forbidden, NoSuchApplication, NoSuchQueue, QueueClosed, QueueyError
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.errors import log_refused
from queuey.http.answers.problems import Problem, of, of_refusal
from queuey.http.v2.inputs import parameters
from queuey.http.v2.inputs.header_fields import bad_field, expect_type
from queuey.http.v2.inputs.items import Items
from queuey.http.v2.representations.addresses import ADDRESSES
from queuey.http.v2.streams.batches import Batches
from queuey.http.v2.streams.lines import PAUSE, SLICE_LINES, BrokenLine, Keys, Line, PlainLines, Reader
from queuey.http.v2.streams.results import NDJSON, Failures, Outcomes, Results
from queuey.http.wire import BrokenBody, Request
from queuey.model.applications.access import Operation
from queuey.model.messages.message import Draft
from queuey.model.queues.queue import Queue
from queuey.model.telemetry.served import SEND

_TYPE: Final = NDJSON.encode("ascii")

_ENDS: Final = (NoSuchQueue, QueueClosed, NoSuchApplication, BadCredentials, Forbidden)
"""After these no line can be stored any more."""

_MEMBERS_INSTEAD: Final = {"Idempotency-Key": "an idempotency_key", "Queuey-Headers": "headers"}
"""The fields that a single message may have, and what lines have instead."""


class ReportedResults(Enum):
    """Which lines are answered."""

    ALL = "all"
    FAILURES = "failures"


def is_stream(request: Request) -> bool:
    """Whether the body of a request is a stream of messages, as its type says."""
    types = request.fields.get(b"content-type", ())
    return len(types) == 1 and types[0].partition(b";")[0].strip(b" \t").lower() == _TYPE


def wants(request: Request) -> bool:
    """Whether a request is to be handled from the end of its head on; for :class:`queuey.http.wire.Site`."""
    path, plan = request.path, request.head.plan
    if plan is not None and plan.content is not None:
        return False  # a message was posted with that head before
    if request.method != b"POST" or not path.startswith(b"/v2/"):
        return False
    return path.endswith(b"/messages") and is_stream(request)


@attrs.frozen
class V2Stream:
    """The handler of streams.

    :ivar slices: gives out turns to lines that are read one by one.
    """

    exchange: MessageExchange
    slices: TurnQueue

    async def append(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Store the messages of a stream, and tell of each line what became of it."""
        results = (Failures if _wanted(request) is ReportedResults.FAILURES else Results)(request)
        policy, queue = admitted.policy, admitted.queue
        items = _items(queue, policy.ttl, request)
        reader = Reader(policy.max_body, items, Keys(admitted.caller, policy.idempotency_ttl))

        def again(now: Queue) -> Coroutine[Deferred[Any], Any, None]:
            return admitted.gate.look_again(request, admitted, Operation.WRITE_MESSAGES, now)

        stream = _Stream(self.exchange, self.slices, request, queue, policy.ttl, again, reader, results)
        with admitted.gate.ongoing.during(request, admitted, Operation.WRITE_MESSAGES, stream.end):
            await stream.run()


def _wanted(request: Request) -> ReportedResults:
    """Read the options of a stream, which hold for all its lines.

    :raise Problem: if it asks for what streams do not have.
    """
    expect_type(request, (NDJSON,))
    for name, member in _MEMBERS_INSTEAD.items():
        if name.lower().encode("ascii") in request.fields:
            raise bad_field(name, f"is not for streams; each line may have {member} of its own")
    query = parameters.Query(request, ("results",))
    wanted = query.choice("results", ReportedResults)
    query.check()
    return wanted or ReportedResults.ALL


class _Stream:
    """One stream on its way into a queue."""

    def __init__(
        self,
        exchange: MessageExchange,
        slices: TurnQueue,
        request: Request,
        queue: Queue,
        ttl: int,
        again: Callable[[Queue], Coroutine[Deferred[Any], Any, None]],
        reader: Reader,
        results: Results,
    ) -> None:
        """
        :param ttl: seconds that messages live where neither they nor the queue say otherwise.
        :param again: raises where the caller would not be let in to the queue, as it is now, any more.
        """
        self._exchange = exchange
        self._slices = slices
        self._request = request
        self._queue = queue
        self._ttl = ttl
        self._again = again
        self._reader = reader
        self._results = results
        self._batches = Batches(self._work, self._stop_waiting)
        self._piece = succeed(b"")
        self._allowing: Deferred[int] = succeed(0)
        self._waited = False
        self._lost = False
        self._ended: QueueyError | None = None

    def end(self, error: QueueyError) -> None:
        """Stop storing because of an error: end what the stream waits for, and report the error at the end of the
        answer."""
        if not self._batches.over:
            self._ended = error
            self._batches.stop()

    async def run(self) -> None:
        """Store all lines of the stream and answer it.

        A hang-up of the client ends the stream: writes that were started are finished, and no others are started.
        """
        self._request.traced.begin(SEND)
        try:
            problem, line = await self._store_all()
            if self._batches.over:
                # Lines before that one were dropped without a word: a later number would say that they are stored.
                problem, line = None if self._ended is None else of(self._ended), None
            if problem is not None and line is None:
                problem.applied = self._results.applied
            done = problem is None and not self._batches.over
        finally:
            self._batches.release()
        self._request.closing = self._request.closing or not done
        await self._results.end(done, problem, line)

    async def _store_all(self) -> tuple[Problem | None, int | None]:
        """Take the stream to its end, and finish what was begun; returns what ``_take_all`` does."""
        try:
            ended = await self._take_all()
            await self._batches.finish()
        except CancelledError:
            self._batches.stop()
            await self._batches.finish()
            raise
        return ended

    async def _take_all(self) -> tuple[Problem | None, int | None]:
        """Take the stream to its end.

        :return: why its end is not that of the body, and the number of the line that is the reason.
        """
        try:
            while piece := await self._next_piece():
                with suppress(QueueyError):  # which the next write meets as well
                    await self._look_again()
                await self._take(self._reader.feed(piece))
            await self._take(self._reader.end())
        except BrokenLine as broken:
            return broken.problem, broken.number
        except BrokenBody as broken:
            await self._batches.finish()
            if not self._results.count:
                raise
            return of_refusal(broken.refusal), None
        return None, None

    async def _take(self, portions: Iterable[Sequence[Line]]) -> None:
        for portion in portions:
            if portion is PAUSE:
                await self._slices.next()
            else:
                await self._batches.put(portion)

    async def _next_piece(self) -> bytes:
        """Return the next piece of the body; empty at its end, or if the stream is being stopped."""
        if self._batches.over:
            return b""
        self._piece = self._request.read_piece()
        try:
            return await self._piece
        except CancelledError:
            if self._batches.over:
                return b""
            raise

    def _stop_waiting(self) -> None:
        self._piece.cancel()
        self._allowing.cancel()

    @deferred
    async def _work(self, lines: Sequence[Line]) -> None:
        """Store a batch, as much of it at once as the rates let pass, and tell of it."""
        rest = lines
        while rest and not self._batches.over:
            some = rest
            outcomes: Outcomes
            try:
                await self._look_again()
                some = await self._allowed(rest)
                if self._waited:
                    await self._look_again()
            except QueueyError as error:
                problem = self._failed(error)
                outcomes = [line.problem or problem for line in some]
            else:
                outcomes = await self._store(some)
            if self._lost:
                self._batches.stop()
            await self._tell(some, outcomes)
            rest = rest[len(some) :]

    async def _tell(self, lines: Sequence[Line], outcomes: Outcomes) -> None:
        """Tell what became of lines; those with problems take turns with other streams."""
        if isinstance(outcomes, str) or not any(isinstance(outcome, Problem) for outcome in outcomes):
            await self._results.tell(lines, outcomes)
            return
        for at in range(0, len(lines), SLICE_LINES):
            if at:
                await self._slices.next()
            await self._results.tell(lines[at : at + SLICE_LINES], outcomes[at : at + SLICE_LINES])

    async def _store(self, lines: Sequence[Line]) -> Outcomes:
        if isinstance(lines, PlainLines):
            return await self._write(lines)
        writes = [self._write(written) for written in _apart(lines)]
        stored = iter([outcome for write in writes for outcome in await write])
        return [line.problem or next(stored) for line in lines]

    async def _allowed(self, lines: Sequence[Line]) -> Sequence[Line]:
        """The first lines, with as many messages among them as may be written now, once that is any."""
        messages: Sequence[int] = range(len(lines))
        if not isinstance(lines, PlainLines):
            messages = [place for place, line in enumerate(lines) if line.draft is not None]
        if not messages:
            return lines
        rates, queue = self._exchange.rates, self._queue
        self._allowing = Deferred.fromCoroutine(rates.some_messages(queue.application, queue.name, len(messages)))
        self._waited = not self._allowing.called
        try:
            count = await self._allowing
        except CancelledError:
            error, self._ended = self._ended, None
            if error is None:
                raise
            raise error from None
        return lines if count == len(messages) else lines[: messages[count]]

    async def _look_again(self) -> None:
        """Go by the queue as it is now, and by who may write to it: a stream may last for days, and what is promised of
        a write hangs on that; and a key may be revoked meanwhile."""
        now = await self._exchange.as_it_is(self._queue)
        await self._again(now)
        if now.settings != self._queue.settings:
            self._reader.follow(_items(now, self._ttl, self._request))
        self._queue = now

    @deferred
    async def _write(self, lines: Sequence[Line]) -> Outcomes:
        """Store lines by one write; what became of them."""
        plain = lines.drafts if isinstance(lines, PlainLines) else None
        drafts: Sequence[Draft] = plain or [line.draft for line in lines if line.draft is not None]
        once = lines[0].once
        try:
            if once is None:
                addresses = await self._exchange.append(self._queue, drafts, counted=True)
                self._request.traced.sent(drafts, addresses)
                return ADDRESSES.each(addresses) if plain is None else ADDRESSES.joined(addresses, "\n")
            appended = await self._exchange.append_once(self._queue, drafts, once, counted=True)
            self._request.traced.sent(drafts, appended.addresses)
        except QueueyError as error:
            return [self._failed(error)] * len(lines)
        duplicate = "true" if appended.duplicate else "false"
        return [f'{text[:-1]},"duplicate":{duplicate}}}' for text in ADDRESSES.each(appended.addresses)]

    def _failed(self, error: QueueyError) -> Problem:
        """Return the problem of all lines of a failed write."""
        problem = of(error)
        self._lost = self._lost or isinstance(error, _ENDS)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log_refused(self._request, problem.status, problem.detail, problem.applied)
        return problem


def _items(queue: Queue, ttl: int, request: Request) -> Items:
    return Items(queue.settings.partitions, queue.settings.ttl or ttl, keyed=True, trace=request.trace)


def _apart(lines: Sequence[Line]) -> list[list[Line]]:
    """The lines that are messages, by the writes that they become: those with a key are alone, the others together."""
    messages = [line for line in lines if line.draft is not None]
    if messages and not [line for line in messages if line.once is not None]:
        return [messages]
    found: list[list[Line]] = []
    joins = False
    for line in messages:
        if joins and line.once is None:
            found[-1].append(line)
        else:
            found.append([line])
        joins = line.once is None
    return found
