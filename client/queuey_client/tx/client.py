"""The client of an application, for Twisted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

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
from queuey_client.tx.driver import Driver
from queuey_client.tx.queue import Queue
from queuey_client.tx.runtime import ReactorRuntime
from queuey_client.tx.transport import TreqTransport
from queuey_client.version import USER_AGENT

if TYPE_CHECKING:
    from typing_extensions import Self


class Client:
    """The same as :class:`queuey_client.Client`, for Twisted. Calls return Deferreds.

    .. code-block:: python

       shop = Client("https://queues.example.net", "shop", key=os.environ["SHOP_KEY"], reactor=reactor)
       d = shop.queue("orders").post({"pears": 3}, idempotency_key="order-4711")

    :param tls: an ``IPolicyForHTTPS``; without one, the certificates of the system are trusted.
    :param reactor: what it waits and connects by.
    :param treq: a client of treq to send requests with.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        application: str | None = None,
        *,
        reactor: Any,
        key: Secret | None = None,
        token: Secret | None = None,
        retry: Retry | None = None,
        timeout: Seconds = 10,
        connections: int = 10,
        tls: Any = None,
        transport: AsyncTransport | None = None,
        user_agent: str = USER_AGENT,
        treq: Any = None,
    ) -> None:
        self._begin(
            session_of(url, application, key, token, retry, timeout, user_agent),
            TreqTransport(reactor, connections, treq, tls) if transport is None else transport,
            reactor,
        )

    def _begin(self, session: Session, transport: AsyncTransport, reactor: Any) -> None:
        self._session = session
        session.clock = reactor.seconds
        self._driver = Driver(AsyncDriver(transport, ReactorRuntime(reactor)), reactor)

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

    def close(self) -> Deferred[None]:
        """Close all connections."""
        return self._driver.start(self._driver.coroutines.transport.close())

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

    def read_many(
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
    ) -> Deferred[Page]:
        """Read a page of many queues; see :meth:`follow`."""
        read = ReadOptions(after, since, limit=limit, max_bytes=max_bytes, wait=wait, fresh=fresh)
        return self._driver.run(read_many(self._session, many_options(queues, prefix, read, start)))

    def claim_many(
        self,
        groups: Sequence[tuple[str, str]],
        limit: int = 10,
        *,
        order: str = "strict",
        lease: Seconds | None = None,
        wait: Seconds = 20,
        max_bytes: int | None = None,
        ack: Sequence[Delivery] = (),
    ) -> Deferred[Sequence[Delivery]]:
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
        return self._driver.run(claim_many(self._session, groups, order, options, ack))

    def promises(self) -> Deferred[Mapping[str, Any]]:
        """Return what the application is promised, and its limits: ``GET /v2/{application}``, kept for a minute."""
        return self._driver.run(self._session.promises())

    @classmethod
    def from_signed_url(
        cls,
        url: str,
        *,
        reactor: Any,
        retry: Retry | None = None,
        timeout: Seconds = 10,
        transport: AsyncTransport | None = None,
    ) -> Queue:
        """Return the queue that a signed URL lets in to."""
        parsed = parse_signed_url(url)
        session = session_of(
            parsed.server, parsed.application, None, None, retry, timeout, USER_AGENT, signed=parsed.signed
        )
        client = cls.__new__(cls)
        client._begin(session, TreqTransport(reactor) if transport is None else transport, reactor)
        return client.queue(parsed.queue)
