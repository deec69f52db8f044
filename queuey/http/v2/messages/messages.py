"""The messages of a queue over v2: appended, read as one log, and purged."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from queuey.core.messages import MessageExchange
from queuey.core.pages import is_whole
from queuey.deferreds import TurnQueue
from queuey.http.admission.gate import AdmittedToQueue, permit
from queuey.http.requests.traced import UNTRACED
from queuey.http.routes import Route
from queuey.http.v2.inputs import repeats
from queuey.http.v2.inputs.parameters import Query
from queuey.http.v2.messages import appends, pages, rendered
from queuey.http.v2.messages.pages import Form, RangeQuery
from queuey.http.v2.messages.whole import WholeRead
from queuey.http.v2.queues import QUEUE
from queuey.http.v2.representations.addresses import answer_stored, stored_json
from queuey.http.v2.streams.stream import V2Stream, is_stream
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.messages.message import Content, Draft
from queuey.model.queues.queue import Queue
from queuey.model.reading.start import STARTS, WORDS, Start
from queuey.model.reading.window import MergeSlice
from queuey.model.telemetry.served import RECEIVE, SEND
from queuey.model.text import shown
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks, from_seconds, lower_bound, parse_time

MESSAGES: Final = f"{QUEUE}/messages"


@attrs.frozen
class V2Messages:
    """The handlers of a queue's messages.

    :ivar turns: gives out turns of the reactor to reads that last.
    :ivar durable: whether stored messages survive a loss of power, as far as is known.
    :ivar now: the wall clock, in seconds since 1970.
    """

    exchange: MessageExchange
    stream: V2Stream
    turns: TurnQueue
    durable: Callable[[], bool]
    now: Callable[[], float]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("POST", MESSAGES, Operation.WRITE_MESSAGES, self.append),
            Route("GET", MESSAGES, Operation.READ_MESSAGES, self.read),
            Route("DELETE", MESSAGES, Operation.DELETE_MESSAGES, self.purge),
        )

    async def append(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Store one message, a batch of them, or a stream."""
        plan, last = request.head.plan, False
        if plan is not None and plan.content is not None:
            drafts: Sequence[Draft] = [Draft(Content(request.body, *plan.content), admitted.ttl)]
            keyed = plan.keyed
        elif is_stream(request):
            await self.stream.append(request, admitted)
            return
        else:
            keyed = b"idempotency-key" in request.fields
            drafts, last = appends.drafts(request, admitted.queue.settings.partitions, admitted.ttl)
            if plan is not None and appends.is_plain(request):
                plan.content, plan.keyed = (drafts[0].content.content_type,), keyed
        if last:
            await self._append_last(request, admitted, drafts)
            return
        if keyed:
            await self._append_once(request, admitted, drafts)
            return
        if request.traced is not UNTRACED:
            request.traced.begin(SEND)
        addresses = await self.exchange.post(admitted.queue, drafts, admitted.policy)
        stored = _known(request, admitted) or self._note(request, admitted)
        if request.traced is not UNTRACED:
            request.traced.sent(drafts, addresses, single=len(drafts) == 1)
        answer_stored(request, addresses, stored, duplicate=False)

    async def _append_once(self, request: Request, admitted: AdmittedToQueue, drafts: Sequence[Draft]) -> None:
        """Store messages unless an earlier request with the same Idempotency-Key has done so."""
        stored = _known(request, admitted) or self._stored_json(admitted)
        key = repeats.given_key(request)
        if request.traced is not UNTRACED:
            request.traced.begin(SEND)
        once = repeats.once(request, admitted.caller, key, stored, admitted.policy.idempotency_ttl)
        appended = await self.exchange.post_once(admitted.queue, drafts, once, admitted.policy)
        if _known(request, admitted) is None:
            self._note(request, admitted)
        if request.traced is not UNTRACED:
            request.traced.sent(drafts, appended.addresses, single=len(drafts) == 1)
        answer_stored(request, appended.addresses, appended.note, appended.duplicate)

    async def _append_last(self, request: Request, admitted: AdmittedToQueue, drafts: Sequence[Draft]) -> None:
        """Store the last messages of the queue, and close it; the caller has to be one that may change the queue."""
        permit(Operation.CHANGE_QUEUE, admitted.caller, admitted.queue.application, admitted.queue)
        stored, key = self._stored_json(admitted), repeats.key(request)
        ttl = admitted.policy.idempotency_ttl
        once = None if key is None else repeats.once(request, admitted.caller, key, stored, ttl)
        request.traced.begin(SEND)
        appended = await self.exchange.close(admitted.queue, drafts, once)
        request.traced.sent(drafts, appended.addresses, single=len(drafts) == 1)
        answer_stored(request, appended.addresses, appended.note or stored, appended.duplicate)

    def _stored_json(self, admitted: AdmittedToQueue) -> str:
        """Render how messages are stored."""
        return stored_json(admitted.queue.settings.consistency, self.durable())

    def _note(self, request: Request, admitted: AdmittedToQueue) -> str:
        """Render how messages are stored, and remember it for as long as the queue and the policy stay the same.

        What a store promises is known for good once it has stored something.
        """
        stored, plan = self._stored_json(admitted), request.head.plan
        decision = None if plan is None else plan.decision_for(admitted)
        if decision is not None:
            decision.stored = stored
        return stored

    async def read(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Read a page; its partitions are one log."""
        queue, exchange = admitted.queue, self.exchange
        wanted, began = pages.wanted(request, queue), from_seconds(self.now())
        form = pages.form_of(request, wanted)
        if wanted.all is not False and form.lines:
            wanted = wanted.whole()
        request.traced.begin(RECEIVE)
        if wanted.needs_end:
            wanted = wanted.with_end(await exchange.end(queue, admitted.policy))
        if wanted.wait:
            with admitted.gate.ongoing.during(request, admitted, Operation.READ_MESSAGES):
                slice = await exchange.page(queue, wanted.merge, wanted.wait)
        else:
            slice = await exchange.first(queue, wanted.merge, admitted.policy)
            if not (wanted.all or is_whole(wanted.merge, slice)):
                slice = await exchange.filled(queue, wanted.merge, admitted.policy, slice)
            elif not (wanted.everything and not exchange.is_as_it_was(queue)):
                writing = self._answer(request, admitted, wanted, form, began, slice, queue)
                del slice  # a slow client may make the answer last long
                if writing is not None:
                    await writing
                return
        checking = self._check(request, admitted, wanted, form, began, slice)
        del slice
        await checking

    async def _check(
        self,
        request: Request,
        admitted: AdmittedToQueue,
        wanted: RangeQuery,
        form: Form,
        began: Ticks,
        slice: MergeSlice,
    ) -> None:
        """Answer with a page, if its caller may still have it, and its queue has no more partitions by now."""
        queue = admitted.queue
        while wanted.everything or wanted.wait:
            now = await self.exchange.as_it_is(queue)
            if wanted.wait:
                await admitted.gate.look_again(request, admitted, Operation.READ_MESSAGES, now)
            else:
                permit(Operation.READ_MESSAGES, admitted.caller, now.application, now)
            if not wanted.everything or now.settings.partitions <= queue.settings.partitions:
                queue = now
                break
            # Partitions were added meanwhile, and what they have may be before the place where the page goes on.
            queue, wanted = now, wanted.of_all(now)
            slice = await self.exchange.page(queue, wanted.merge, 0)
        writing = self._answer(request, admitted, wanted, form, began, slice, queue)
        del slice
        if writing is not None:
            await writing

    def _answer(
        self,
        request: Request,
        admitted: AdmittedToQueue,
        wanted: RangeQuery,
        form: Form,
        began: Ticks,
        slice: MergeSlice,
        queue: Queue,
    ) -> Coroutine[Deferred[Any], Any, None] | None:
        """Answer with a page, or return the coroutine that writes a large one, or all that follows it too."""
        request.traced.received(slice.messages)
        if wanted.all and not slice.over:
            return WholeRead(self.exchange, self.turns, request, admitted, wanted, form, began).answer(slice)
        read_again = partial(self.exchange.lookup, admitted.queue)
        return rendered.answer(request, pages.page(admitted, wanted, slice, began, queue), form, read_again)

    async def purge(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Delete the messages before a place in the log."""
        await self.exchange.purge(admitted.queue, _before(request))
        request.answer(204, (), b"")


def _known(request: Request, admitted: AdmittedToQueue) -> str | None:
    """Return how messages are stored, as JSON, if that is remembered for this queue and policy."""
    plan = request.head.plan
    decision = None if plan is None else plan.decision
    return decision.stored if decision is not None and decision.admitted is admitted else None


def _before(request: Request) -> MessageId:
    """Where what a purge deletes ends.

    :raise Problem: if the request does not say.
    """
    query = Query(request, ("before",))
    raw = query.text("before")
    # A purge never goes beyond the stable time, so that the end of the log is all that any reader can have seen.
    bound = HIGHEST
    if raw is not None and raw not in STARTS:
        address, time = pages.address_of(raw), parse_time(raw, up=True)
        if address is not None:
            bound = address.id
        elif time is not None:
            bound = lower_bound(time)
        else:
            query.wrong("before", f'"{shown(raw)}" is neither a time, nor the id of a message, nor one of {WORDS}')
    query.check()
    if raw is None:
        query.wrong("before", f"is missing; it is a time, the id of a message, or one of {WORDS}")
    query.check()
    start = STARTS.get(raw or "")
    if start is Start.NEWEST:
        repeats.refuse_key(request, f"purge before {raw}")
    return LOWEST if start is Start.OLDEST else bound
