"""Sends a whole range of a queue in one answer: lines, read in parts as fast as the client takes them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred

from queuey.core.messages import MessageExchange
from queuey.core.pages import Progress
from queuey.deferreds import TurnQueue
from queuey.errors import QueueyError
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import Field, encoded
from queuey.http.answers.errors import log_refused
from queuey.http.answers.pieces import begin_pieces, portions
from queuey.http.answers.problems import Problem, document, of
from queuey.http.v2.inputs.conditions import is_known
from queuey.http.v2.messages.pages import NDJSON, Form, Page, RangeQuery, page, part
from queuey.http.v2.representations.fields import NO_STORE
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.messages.columns import body_bytes
from queuey.model.reading.window import NEWEST, Merge, MergeSlice, Messages, Position
from queuey.model.timeid import Ticks, lower_bound, ticks_of, to_rfc3339

T = TypeVar("T")

_FIELDS: Final[tuple[Field, ...]] = ((b"Content-Type", NDJSON.encode("ascii")), NO_STORE)


class WholeRead:
    """One read of a range to its end, where that was when the read began.

    Of what was read, no more than one part waits for the client, as text. The last line has a cursor, and says whether
    the end was reached; an error after the first part stands there too, so that the reader can go on from the cursor.
    An answer without that line was cut.
    """

    def __init__(
        self,
        exchange: MessageExchange,
        turns: TurnQueue,
        request: Request,
        admitted: AdmittedToQueue,
        wanted: RangeQuery,
        form: Form,
        began: Ticks,
    ) -> None:
        """
        :param turns: gives out turns of the reactor to all reads that last.
        :param began: the time when it was asked for.
        """
        self._exchange = exchange
        self._turns = turns
        self._request = request
        self._admitted = admitted
        self._queue = admitted.queue
        self._wanted = wanted
        self._form = form
        self._began = began
        self._waiting: Deferred[Any] | None = None
        self._ended: QueueyError | None = None
        self._first_left: str | None = None

    async def answer(self, slice: MergeSlice) -> None:
        """Write the answer.

        :param slice: the first part, after which more follows.
        """
        request = self._request
        if is_known(request, "page", None):
            request.answer(304, (NO_STORE,), b"", ())
            return
        if not await begin_pieces(request, _FIELDS):
            return
        stable = slice.stable
        self._note_gap(page(self._admitted, self._wanted, slice, self._began, self._queue))
        progress, parts = Progress(self._bounded(slice), slice), [slice]
        del slice
        with self._admitted.gate.ongoing.during(request, self._admitted, Operation.READ_MESSAGES, self._end):
            problem = await self._send_all(progress, parts)
        over = progress.over and problem is None
        members = {
            "next": self._wanted.cursor(progress.position),
            "more": not over,
            "stable_until": to_rfc3339(ticks_of(stable if over else min(stable, progress.position.id))),
            "resume": "exact" if self._first_left is None else "truncated",
        }
        if self._first_left is not None:
            members["first"] = self._first_left
        merge = self._wanted.merge
        to_the_end = over and not merge.descending and merge.upper == NEWEST
        if to_the_end and self._queue.is_read_to_its_end(stable):
            members["closed"] = True
        if problem is not None:
            members["problem"] = document(problem, request.request_id)
            request.closing = True
        await request.send(encoded(members) + b"\n")

    def _bounded(self, slice: MergeSlice) -> Merge:
        """Return the range up to where the log ends now: a queue that is written to would have no end otherwise."""
        merge = self._wanted.merge
        if merge.descending:
            return merge
        end = max(slice.stable, lower_bound(self._began)) if merge.fresh else slice.stable
        return attrs.evolve(merge, upper=min(merge.upper, Position(end)))

    def _end(self, error: QueueyError) -> None:
        """Stop reading because the caller has lost its access."""
        self._ended = error
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self, waiting: Deferred[T]) -> T:
        """Wait for something, until the read is ended.

        :raise QueueyError: why it was ended.
        """
        self._waiting = waiting
        try:
            found = await waiting
        except CancelledError:
            if self._ended is None:
                raise
        finally:
            self._waiting = None
        if self._ended is not None:
            raise self._ended
        return found

    async def _send_all(self, progress: Progress, parts: list[MergeSlice]) -> Problem | None:
        """Send all parts; return why there is an end before the end.

        :param parts: the first one; it is taken out, so that its memory is free once it is sent.
        """
        try:
            while True:
                await self._send(parts.pop().messages)
                rest = progress.rest()
                if rest is None:
                    return None
                await self._wait(self._turns.next())
                parts.append(await self._read(rest))
                progress.add(parts[0])
        except QueueyError as error:
            return self._failed(error)

    async def _send(self, messages: Messages) -> None:
        """Send a part to its end, since the cursor of the last line stands behind it.

        :raise QueueyError: why the read was ended meanwhile.
        """
        for some in portions(messages):
            count, size = len(some), body_bytes(some)
            sending = self._request.send(self._form.joined(some, begun=False))
            # While the client takes its time, no more is kept than what waits to be sent.
            del some
            with suppress(QueueyError):
                await self._wait(sending)
            self._request.count_messages(count, size)
        if self._ended is not None:
            raise self._ended

    async def _read(self, rest: Merge) -> MergeSlice:
        """Read the next part, from all partitions that the queue has by then."""
        while True:
            rest = attrs.evolve(rest, partitions=self._wanted.merge.partitions)
            found = await self._wait(self._exchange.first(self._queue, rest, self._admitted.policy))
            now = await self._wait(self._exchange.as_it_is(self._queue))
            if now is self._queue:
                break
            await self._admitted.gate.look_again(self._request, self._admitted, Operation.READ_MESSAGES, now)
            more = now.settings.partitions > self._queue.settings.partitions
            self._queue = now
            if not (more and self._wanted.everything):
                break
            # Partitions were added meanwhile, and what they have may be before the end of this part.
            self._wanted = self._wanted.of_all(now)
        self._request.traced.received(found.messages)
        self._note_gap(part(self._wanted, rest, found, self._queue))
        return found

    def _note_gap(self, page: Page) -> None:
        """Remember the first place where messages are gone that the reader has not seen."""
        if page.truncated and self._first_left is None:
            self._first_left = page.first()

    def _failed(self, error: QueueyError) -> Problem:
        problem = of(error)
        if problem.status >= 500:
            log_refused(self._request, problem.status, problem.detail, problem.applied)
        self._request.count_refused(problem.code)
        return problem
