"""The messages of a queue over v2: appended, read as one log, and purged."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from queuey.core.messages import MessageExchange
from queuey.core.pages import is_whole
from queuey.deferreds import CoroutineRunner, PendingRead
from queuey.http.authorized import AdmittedToQueue, Over, Plan, Route, Serving, awaited, permit
from queuey.http.traced import UNTRACED
from queuey.http.v2 import appends, pages, rendered, repeats
from queuey.http.v2.answers import answer_stored, stored_json
from queuey.http.v2.pages import Wanted
from queuey.http.v2.parameters import Query
from queuey.http.v2.queues import QUEUE
from queuey.http.v2.stream import V2Stream, is_stream
from queuey.http.wire import Request
from queuey.model.access import Operation
from queuey.model.message import Address, Content, Draft
from queuey.model.once import Appended
from queuey.model.served import RECEIVE, SEND
from queuey.model.text import shown
from queuey.model.timeid import HIGHEST, MessageId, Ticks, from_seconds, lower_bound, parse_time
from queuey.model.window import MergeSlice

MESSAGES: Final = f"{QUEUE}/messages"

_NOW: Final = "now"


@attrs.frozen
class V2Messages:
    """The handlers of a queue's messages.

    :ivar durable: whether what is stored survives the loss of power, as far as that is known by then.
    :ivar now: the wall clock, in seconds since 1970.
    """

    exchange: MessageExchange
    stream: V2Stream
    durable: Callable[[], bool]
    now: Callable[[], float]

    def routes(self) -> tuple[Route, ...]:
        """What there is."""
        return (
            Route("POST", MESSAGES, Operation.WRITE_MESSAGES, self.append, self.post),
            Route("GET", MESSAGES, Operation.READ_MESSAGES, self.read, self.get),
            Route("DELETE", MESSAGES, Operation.DELETE_MESSAGES, self.purge),
        )

    async def append(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Store one message, a batch of them, or a stream."""
        if is_stream(request):
            await self.stream.append(request, admitted)
        else:
            await awaited(self.post)(request, admitted)

    def post(self, request: Request, admitted: AdmittedToQueue, over: Over) -> Serving | None:
        """Store one message, or a batch of them."""
        plan: Plan | None = request.head.plan
        if plan is not None and plan.content is not None:
            drafts: Sequence[Draft] = [Draft(Content(request.body, *plan.content), admitted.ttl)]
            if plan.keyed:
                return self._post_once(request, admitted, drafts, over)
        elif is_stream(request):
            return None
        else:
            keyed = b"idempotency-key" in request.fields
            drafts = appends.drafts(request, admitted.queue.settings.partitions, admitted.ttl)
            if plan is not None and appends.is_plain(request):
                plan.content, plan.keyed = (drafts[0].content.content_type,), keyed
            if keyed:
                return self._post_once(request, admitted, drafts, over)
        if request.traced is not UNTRACED:
            request.traced.begin(SEND)
        told = partial(self._stored, request, admitted, drafts, over)
        return self.exchange.post(admitted.queue, drafts, admitted.policy, told, partial(over, request))

    def _stored(
        self, request: Request, admitted: AdmittedToQueue, drafts: Sequence[Draft], over: Over, at: Sequence[Address]
    ) -> None:
        stored = _known(request, admitted) or self._note(request, admitted)
        if request.traced is not UNTRACED:
            request.traced.sent(drafts, at, single=len(drafts) == 1)
        answer_stored(request, at, stored, duplicate=False)
        over(request, None)

    def _told_stored(self, admitted: AdmittedToQueue) -> str:
        """How messages are stored, as JSON."""
        return stored_json(admitted.queue.settings.consistency, self.durable())

    def _note(self, request: Request, admitted: AdmittedToQueue) -> str:
        """The same, and keep it for as long as the queue and the policy are what they are.

        What a store promises is known for good once it has stored something.
        """
        stored, plan = self._told_stored(admitted), request.head.plan
        if plan is not None:
            plan.stored = (admitted, stored)
        return stored

    def _post_once(self, request: Request, admitted: AdmittedToQueue, drafts: Sequence[Draft], over: Over) -> Serving:
        stored = _known(request, admitted) or self._told_stored(admitted)
        key = repeats.given_key(request)
        if request.traced is not UNTRACED:
            request.traced.begin(SEND)
        once = repeats.once(request, admitted.caller, key, stored, admitted.policy.idempotency_ttl)
        told = partial(self._stored_once, request, admitted, drafts, over)
        return self.exchange.post_once(admitted.queue, drafts, once, admitted.policy, told, partial(over, request))

    def _stored_once(
        self, request: Request, admitted: AdmittedToQueue, drafts: Sequence[Draft], over: Over, appended: Appended
    ) -> None:
        if _known(request, admitted) is None:
            self._note(request, admitted)
        if request.traced is not UNTRACED:
            request.traced.sent(drafts, appended.addresses, single=len(drafts) == 1)
        answer_stored(request, appended.addresses, appended.note, appended.duplicate)
        over(request, None)

    def get(self, request: Request, admitted: AdmittedToQueue, over: Over) -> Serving | None:
        """Read a page without a coroutine; return ``None`` if the request wants to wait for messages."""
        wanted, began = pages.wanted(request, admitted.queue), from_seconds(self.now())
        if wanted.wait:
            return None
        request.traced.begin(RECEIVE)
        told = partial(self._got, request, admitted, wanted, began, over)
        return PendingRead(
            self.exchange.first(admitted.queue, wanted.merge, admitted.policy), told, partial(over, request)
        )

    def _got(
        self, request: Request, admitted: AdmittedToQueue, wanted: Wanted, began: Ticks, over: Over, slice: MergeSlice
    ) -> CoroutineRunner | None:
        """Answer with a page from the slice that was read, or read on in a coroutine if the page needs more."""
        writing: Coroutine[Deferred[Any], Any, None] | None
        if not is_whole(wanted.merge, slice) or (wanted.everything and not self.exchange.is_as_it_was(admitted.queue)):
            writing = self._go_on(request, admitted, wanted, began, slice)
        else:
            writing = self._answer(request, admitted, wanted, began, slice)
        if writing is not None:
            return CoroutineRunner(writing, partial(over, request))
        over(request, None)
        return None

    async def _go_on(
        self, request: Request, admitted: AdmittedToQueue, wanted: Wanted, began: Ticks, slice: MergeSlice
    ) -> None:
        # Keep no reference to a slice here while the answer is written: a slow client may make that last long.
        filling = self.exchange.filled(admitted.queue, wanted.merge, admitted.policy, slice)
        del slice
        checking = self._check(request, admitted, wanted, began, await filling)
        await checking

    async def read(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Read a page; its partitions are one log."""
        queue = admitted.queue
        wanted, began = pages.wanted(request, queue), from_seconds(self.now())
        request.traced.begin(RECEIVE)
        if wanted.wait:
            with admitted.gate.ongoing.during(request, admitted, Operation.READ_MESSAGES):
                checking = self._check(
                    request, admitted, wanted, began, await self.exchange.page(queue, wanted.merge, wanted.wait)
                )
        else:
            checking = self._check(request, admitted, wanted, began, await self.exchange.page(queue, wanted.merge, 0))
        await checking

    async def _check(
        self, request: Request, admitted: AdmittedToQueue, wanted: Wanted, began: Ticks, slice: MergeSlice
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
                break
            # Partitions were added meanwhile, and what they have may be before the place where the page goes on.
            queue, wanted = now, pages.wanted(request, now)
            slice = await self.exchange.page(queue, wanted.merge, 0)
        writing = self._answer(request, admitted, wanted, began, slice)
        del slice
        if writing is not None:
            await writing

    def _answer(
        self, request: Request, admitted: AdmittedToQueue, wanted: Wanted, began: Ticks, slice: MergeSlice
    ) -> Coroutine[Deferred[Any], Any, None] | None:
        """Answer with a page; what is returned has to be done for a large one."""
        request.traced.received(slice.messages)
        read_again = partial(self.exchange.lookup, admitted.queue)
        return rendered.answer(request, pages.page(admitted, wanted, slice, began), read_again)

    async def purge(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Delete what is before a place in the log."""
        await self.exchange.purge(admitted.queue, _before(request))
        request.answer(204, (), b"")


def _known(request: Request, admitted: AdmittedToQueue) -> str | None:
    """How messages are stored, as JSON, where that was found out of such a head, for this queue and policy."""
    plan: Plan | None = request.head.plan
    known = None if plan is None else plan.stored
    return known[1] if known is not None and known[0] is admitted else None


def _before(request: Request) -> MessageId:
    """Where what a purge deletes ends.

    :raise Problem: if the request does not say.
    """
    query = Query(request, ("before",))
    raw = query.text("before")
    # A purge never goes beyond the stable time, so that "now" is all that any reader can have seen.
    bound = HIGHEST
    if raw is not None and raw != _NOW:
        address, time = pages.address_of(raw), parse_time(raw, up=True)
        if address is not None:
            bound = address.id
        elif time is not None:
            bound = lower_bound(time)
        else:
            query.wrong("before", f'"{shown(raw)}" is neither a time, nor the id of a message, nor {_NOW}')
    query.check()
    if raw is None:
        query.wrong("before", f"is missing; it is a time, the id of a message, or {_NOW}")
    query.check()
    if raw == _NOW:
        repeats.refuse_key(request, "purge before now")
    return bound
