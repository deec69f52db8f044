"""The v1 API: what every client of the first Queuey relies on. Each handler reads, calls the core, and writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from queuey.core.messages import MessageExchange
from queuey.core.queues import DESCRIBED_AT_ONCE, Listing, QueueDirectory
from queuey.http.admission.gate import Admitted, AdmittedToQueue
from queuey.http.answers import writing
from queuey.http.answers.writing import Piece, Rest
from queuey.http.inputs import reading
from queuey.http.requests.traced import UNTRACED
from queuey.http.routes import Route
from queuey.http.wire import Request
from queuey.model.access import Operation
from queuey.model.message import Content, Draft
from queuey.model.served import RECEIVE, SEND
from queuey.model.window import Slice, Window

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
        query = reading.list_query(request)
        application, left = admitted.policy.application, query.limit

        async def page(start: str) -> writing.Piece[str]:
            nonlocal left
            most = DESCRIBED_AT_ONCE if query.details or query.counts else _NAMES_A_PAGE
            limit = most if left is None else min(left, most)
            listing: Listing = await self.directory.listing(application, start, limit, query.details, query.counts)
            if left is not None:
                left -= limit
            return writing.Piece(writing.listed_json(listing.queues), None if left == 0 else listing.next)

        await writing.stream(request, "queues", await page(query.start), page)

    async def create_queue(self, request: Request, admitted: Admitted) -> None:
        """Make a queue, or change the one of that name."""
        name, wanted = reading.new_queue(request)
        queue, _ = await self.directory.create(admitted.policy.application, name or self.new_name(), wanted)
        writing.ok(request, 201, **writing.created_queue(queue))

    async def change_queue(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Change a queue's settings; what is omitted keeps its value."""
        queue = await self.directory.change(admitted.queue, reading.queue_changes(request))
        writing.ok(request, **writing.changed_queue(queue))

    async def delete_queue(self, request: Request, admitted: AdmittedToQueue) -> None:
        """End a queue and its messages."""
        await self.directory.delete(admitted.queue)
        writing.ok(request)

    async def append(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Store one message, or a batch of them."""
        queue, plan = admitted.queue, request.head.plan
        if plan is not None and plan.content is not None and request.body and request.body.isascii():
            drafts: Sequence[Draft] = [Draft(Content(request.body, *plan.content), admitted.ttl)]
        else:
            drafts = reading.drafts(request, queue.settings.partitions, admitted.ttl)
            if plan is not None and reading.is_plain(request):
                plan.content = (drafts[0].content.content_type,)
        if request.traced is not UNTRACED:
            request.traced.begin(SEND)
        addresses = await self.exchange.post(queue, drafts, admitted.policy)
        if request.traced is not UNTRACED:
            request.traced.sent(drafts, addresses, single=len(drafts) == 1)
        writing.stored(request, addresses)

    async def read(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Read a range, partition by partition."""
        queue = admitted.queue
        window = reading.window(request, queue.settings.partitions)
        if window is None:
            writing.whole(request, "messages", Piece([], None))
            return
        request.traced.begin(RECEIVE)
        first = self._piece(await self.exchange.read_range(queue, window, admitted.policy), request)
        if first.rest is None:
            writing.whole(request, "messages", first)
            return

        async def page(window: Window) -> Piece[Window]:
            return self._piece(await self.exchange.read(queue, window), request)

        streaming = writing.stream(request, "messages", first, page)
        del first  # while a slow client takes it, only the code that sends a piece keeps its texts
        await streaming

    async def lookup(self, request: Request, admitted: AdmittedToQueue, ids: str) -> None:
        """Read messages by id, in the order asked."""
        queue, addresses = admitted.queue, reading.addresses(ids)
        request.traced.begin(RECEIVE)
        await writing.stream(
            request,
            "messages",
            self._piece(await self.exchange.lookup(queue, addresses), request),
            lambda rest: self.exchange.lookup(queue, rest).addCallback(self._piece, request),
        )

    async def replace(self, request: Request, admitted: AdmittedToQueue, ids: str) -> None:
        """Overwrite messages, or create them under these ids."""
        queue = admitted.queue
        addresses = reading.addresses(ids)
        content, ttl = reading.replacement(request, addresses, queue.settings.partitions, admitted.ttl)
        await self.exchange.replace(queue, addresses, content, ttl)
        writing.ok(request)

    async def remove(self, request: Request, admitted: AdmittedToQueue, ids: str) -> None:
        """Delete messages by id."""
        queue = admitted.queue
        await self.exchange.remove(queue, reading.addresses(ids))
        writing.ok(request)

    def _piece(self, slice: Slice[Rest], request: Request) -> Piece[Rest]:
        request.traced.received(slice.messages)
        return writing.messages_piece(slice)
