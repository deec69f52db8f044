"""The v1 API: what every client of the first Queuey relies on. Each handler reads, calls the core, and writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from queuey.core.messages import MessageExchange
from queuey.core.queues import DESCRIBED_AT_ONCE, Listing, QueueDirectory
from queuey.http.admission.gate import Admitted, AdmittedToQueue
from queuey.http.requests.traced import UNTRACED
from queuey.http.routes import Route
from queuey.http.v1 import inputs, representations
from queuey.http.v1.representations import ListPart, Rest, answer_list, answer_part, ok
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.messages.message import Content, Draft
from queuey.model.reading.window import Slice, Window
from queuey.model.telemetry.served import RECEIVE, SEND

APPLICATION: Final = "/v1/<application>"
QUEUE: Final = "/v1/<application>/<queue>"
MESSAGES: Final = "/v1/<application>/<queue>/<ids>"

_NAMES_A_PAGE: Final = 1000
"""Names of queues that are read and written as one piece of a listing."""


@attrs.frozen
class V1:
    """The handlers of the v1 API.

    :ivar new_name: makes the name of a queue whose maker gave none.
    """

    directory: QueueDirectory
    exchange: MessageExchange
    new_name: Callable[[], str]

    def routes(self) -> tuple[Route, ...]:
        """The API at a glance."""
        return (
            Route("GET", APPLICATION, Operation.LIST_QUEUES, self.list_queues),
            Route("POST", APPLICATION, Operation.CREATE_QUEUE, self.create_queue),
            Route("PUT", QUEUE, Operation.CHANGE_QUEUE, self.change_queue),
            Route("DELETE", QUEUE, Operation.DELETE_QUEUE, self.delete_queue),
            Route("POST", QUEUE, Operation.WRITE_MESSAGES, self.append),
            Route("GET", QUEUE, Operation.READ_MESSAGES, self.read),
            Route("GET", MESSAGES, Operation.READ_MESSAGES, self.lookup),
            Route("PUT", MESSAGES, Operation.WRITE_MESSAGES, self.replace),
            Route("DELETE", MESSAGES, Operation.DELETE_MESSAGES, self.remove),
        )

    async def list_queues(self, request: Request, admitted: Admitted) -> None:
        """List the application's queues, all of them unless a limit was given."""
        query = inputs.list_query(request)
        application, left = admitted.policy.application, query.limit

        async def page(start: str) -> ListPart[str]:
            nonlocal left
            most = DESCRIBED_AT_ONCE if query.details or query.counts else _NAMES_A_PAGE
            limit = most if left is None else min(left, most)
            listing: Listing = await self.directory.listing(application, start, limit, query.details, query.counts)
            if left is not None:
                left -= limit
            return ListPart(representations.listed_json(listing.queues), None if left == 0 else listing.next)

        await answer_list(request, "queues", await page(query.start), page)

    async def create_queue(self, request: Request, admitted: Admitted) -> None:
        """Make a queue, or change the one of that name."""
        name, wanted = inputs.new_queue(request)
        queue, _ = await self.directory.create(admitted.policy.application, name or self.new_name(), wanted)
        ok(request, 201, **representations.created_queue(queue))

    async def change_queue(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Change a queue's settings; omitted ones keep their values."""
        queue = await self.directory.change(admitted.queue, inputs.queue_changes(request))
        ok(request, **representations.changed_queue(queue))

    async def delete_queue(self, request: Request, admitted: AdmittedToQueue) -> None:
        """End a queue and its messages."""
        await self.directory.delete(admitted.queue)
        ok(request)

    async def append(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Store one message, or a batch of them."""
        queue, plan = admitted.queue, request.head.plan
        if plan is not None and plan.content is not None and request.body and request.body.isascii():
            drafts: Sequence[Draft] = [Draft(Content(request.body, *plan.content), admitted.ttl)]
        else:
            drafts = inputs.drafts(request, queue.settings.partitions, admitted.ttl)
            if plan is not None and inputs.is_plain(request):
                plan.content = (drafts[0].content.content_type,)
        if request.traced is not UNTRACED:
            request.traced.begin(SEND)
        addresses = await self.exchange.post(queue, drafts, admitted.policy)
        if request.traced is not UNTRACED:
            request.traced.sent(drafts, addresses, single=len(drafts) == 1)
        representations.stored(request, addresses)

    async def read(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Read a range, partition by partition."""
        queue = admitted.queue
        window = inputs.window(request, queue.settings.partitions)
        if window is None:
            answer_part(request, "messages", ListPart([], None))
            return
        request.traced.begin(RECEIVE)
        first = self._part(await self.exchange.read_range(queue, window, admitted.policy), request)
        if first.rest is None:
            answer_part(request, "messages", first)
            return

        async def page(window: Window) -> ListPart[Window]:
            return self._part(await self.exchange.read(queue, window), request)

        answering = answer_list(request, "messages", first, page)
        del first  # while a slow client takes it, only the code that sends a piece refers to its texts
        await answering

    async def lookup(self, request: Request, admitted: AdmittedToQueue, ids: str) -> None:
        """Read messages by id, in the order asked."""
        queue, addresses = admitted.queue, inputs.addresses(ids)
        request.traced.begin(RECEIVE)
        await answer_list(
            request,
            "messages",
            self._part(await self.exchange.lookup(queue, addresses), request),
            lambda rest: self.exchange.lookup(queue, rest).addCallback(self._part, request),
        )

    async def replace(self, request: Request, admitted: AdmittedToQueue, ids: str) -> None:
        """Overwrite messages, or create them under these ids."""
        queue = admitted.queue
        addresses = inputs.addresses(ids)
        content, ttl = inputs.replacement(request, addresses, queue.settings.partitions, admitted.ttl)
        await self.exchange.replace(queue, addresses, content, ttl)
        ok(request)

    async def remove(self, request: Request, admitted: AdmittedToQueue, ids: str) -> None:
        """Delete messages by id."""
        queue = admitted.queue
        await self.exchange.remove(queue, inputs.addresses(ids))
        ok(request)

    def _part(self, slice: Slice[Rest], request: Request) -> ListPart[Rest]:
        request.traced.received(slice.messages)
        return representations.messages_part(slice)
