"""The client of an application, for asyncio."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from queuey_client.aio.queue import Queue
from queuey_client.aio.runtime import AsyncioRuntime
from queuey_client.aio.transport import AiohttpTransport
from queuey_client.awaiting.driver import AsyncDriver, AsyncItems
from queuey_client.awaiting.runtime import AsyncTransport
from queuey_client.core.cursors import Cursors
from queuey_client.core.group_calls import ClaimOptions
from queuey_client.core.many_calls import claim_many, follow_many, many_options, read_many
from queuey_client.core.queue_calls import QueueCalls, listed
from queuey_client.core.reading import FollowOptions, ReadOptions
from queuey_client.core.retry import Retry, Seconds
from queuey_client.core.session import Secret, Session
from queuey_client.core.settings import session_of
from queuey_client.core.signing import parse_signed_url
from queuey_client.core.values import Delivery, Message, Page, Place, QueueInfo
from queuey_client.version import USER_AGENT

if TYPE_CHECKING:
    from typing_extensions import Self


class Client:
    """The same as :class:`queuey_client.Client`, for asyncio. It belongs to the loop that it is first used in.

    .. code-block:: python

       async with Client("https://queues.example.net", "shop", key=os.environ["SHOP_KEY"]) as shop:
           await shop.queue("orders").post({"pears": 3}, idempotency_key="order-4711")

    :param connections: that are open at once for each server, besides those on which it waits for messages.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        application: str | None = None,
        *,
        key: Secret | None = None,
        token: Secret | None = None,
        retry: Retry | None = None,
        timeout: Seconds = 10,
        connections: int = 10,
        tls: ssl.SSLContext | None = None,
        transport: AsyncTransport | None = None,
        user_agent: str = USER_AGENT,
    ) -> None:
        self._begin(
            session_of(url, application, key, token, retry, timeout, user_agent),
            AiohttpTransport(connections, tls) if transport is None else transport,
        )

    def _begin(self, session: Session, transport: AsyncTransport) -> None:
        self._session = session
        self._driver = AsyncDriver(transport, AsyncioRuntime())

    @property
    def application(self) -> str:
        """The name of the application."""
        return self._session.application

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._driver.transport.close()

    def queue(self, name: str) -> Queue:
        """Return a queue; the server is not asked yet."""
        return Queue(self._driver, QueueCalls(self._session, name))

    def queues(self, prefix: str = "", *, counts: bool = False) -> AsyncItems[QueueInfo]:
        """Give all queues whose names begin so, by name; they are fetched page by page."""
        return self._driver.iterate(listed(self._session, prefix, counts))

    def follow(
        self,
        queues: Sequence[str] = (),
        *,
        prefix: str | Sequence[str] = (),
        start: datetime | Place = "newest",
        reader: str | None = None,
        cursors: Cursors | None = None,
        on_gap: str = "raise",
        idle: Seconds | None = None,
    ) -> AsyncItems[Message]:
        """Give messages of many queues from a start on, in one order, and then those that come."""
        options = FollowOptions(ReadOptions(), start, reader, cursors, on_gap, idle)
        asked = many_options(queues, prefix, options.read, "newest")
        return self._driver.iterate(follow_many(self._session, asked, options))

    async def read_many(
        self,
        queues: Sequence[str] = (),
        *,
        prefix: str | Sequence[str] = (),
        after: Place | None = None,
        since: datetime | None = None,
        start: str = "newest",
        limit: int = 100,
        max_bytes: int = 1 << 20,
        wait: Seconds = 0,
        fresh: bool = False,
    ) -> Page:
        """Read a page of many queues; see :meth:`follow`."""
        read = ReadOptions(after, since, limit=limit, max_bytes=max_bytes, wait=wait, fresh=fresh)
        return await self._driver.run(read_many(self._session, many_options(queues, prefix, read, start)))

    async def claim_many(
        self,
        groups: Sequence[tuple[str, str]],
        limit: int = 10,
        *,
        order: str = "strict",
        lease: Seconds | None = None,
        wait: Seconds = 20,
        max_bytes: int | None = None,
        ack: Sequence[Delivery] = (),
    ) -> Sequence[Delivery]:
        """Take messages under a lease from the first of several groups that has some. Each names its queue and its
        group, and is settled there.

        .. code-block:: python

           done = []
           while True:
               done = await shop.claim_many([("urgent", "workers"), ("orders", "workers")], ack=done)
               for delivery in done:
                   work(delivery)

        :param groups: the names of the queue and of the group of each.
        :param order: ``strict``: an earlier group goes before a later one; ``fair``: each has its turns.
        :param wait: seconds to wait for a message, up to 20, if there is none.
        :param ack: messages of these groups that are done; the same request acks them, before it takes others. If
            another worker has one of them meanwhile, its ``lost`` is true afterwards.
        """
        options = ClaimOptions(limit, lease, wait, max_bytes)
        return await self._driver.run(claim_many(self._session, groups, order, options, ack))

    async def promises(self) -> Mapping[str, Any]:
        """Return what the application is promised, and its limits: ``GET /v2/{application}``, kept for a minute."""
        return await self._driver.run(self._session.promises())

    @classmethod
    def from_signed_url(
        cls, url: str, *, retry: Retry | None = None, timeout: Seconds = 10, transport: AsyncTransport | None = None
    ) -> Queue:
        """Return the queue that a signed URL lets in to."""
        parsed = parse_signed_url(url)
        session = session_of(
            parsed.server, parsed.application, None, None, retry, timeout, USER_AGENT, signed=parsed.signed
        )
        client = cls.__new__(cls)
        client._begin(session, AiohttpTransport() if transport is None else transport)
        return client.queue(parsed.queue)
