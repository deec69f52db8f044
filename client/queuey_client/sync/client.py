"""The client of an application, for threads."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

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
from queuey_client.sync.queue import Queue
from queuey_client.sync.transport import Driver, Transport, Urllib3Transport
from queuey_client.version import USER_AGENT

if TYPE_CHECKING:
    from typing_extensions import Self


class Client:
    """An application of a deployment. Threads may share it; it keeps up to ``connections`` open for each server.

    .. code-block:: python

       with Client("https://queues.example.net", "shop", key=os.environ["SHOP_KEY"]) as shop:
           shop.queue("orders").post({"pears": 3}, idempotency_key="order-4711")

    What is left out comes from ``QUEUEY_URL``, ``QUEUEY_APPLICATION``, and ``QUEUEY_KEY`` or ``QUEUEY_KEY_FILE``.

    :param url: of the server; of several front ends, each request takes the next one that did not fail lately.
    :param application: its name.
    :param key: of the application; a function is called once, and again after a 401, so that keys can be rotated.
    :param token: of a user, from an issuer that the server trusts; or a function that returns one.
    :param retry: when a request is sent again.
    :param timeout: seconds for a connection, and seconds without a byte of the answer, of one attempt.
    :param connections: that are kept open for each server.
    :param tls: which certificates are trusted.
    :param transport: brings requests to the server instead of urllib3.
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
        transport: Transport | None = None,
        user_agent: str = USER_AGENT,
    ) -> None:
        self._begin(
            session_of(url, application, key, token, retry, timeout, user_agent),
            Urllib3Transport(connections, tls) if transport is None else transport,
        )

    def _begin(self, session: Session, transport: Transport) -> None:
        self._session = session
        self._driver = Driver(transport, time.sleep)

    @property
    def application(self) -> str:
        """The name of the application."""
        return self._session.application

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._driver.transport.close()

    def queue(self, name: str) -> Queue:
        """Return a queue; the server is not asked yet."""
        return Queue(self._driver, QueueCalls(self._session, name))

    def queues(self, prefix: str = "", *, counts: bool = False) -> Iterator[QueueInfo]:
        """Give all queues whose names begin so, by name; they are fetched page by page.

        .. code-block:: python

           for each in shop.queues("orders-"):
               print(each.name, each.partitions)
        """
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
    ) -> Iterator[Message]:
        """Give messages of many queues from a start on, in one order, and then those that come, also of queues that are
        created meanwhile.

        .. code-block:: python

           for message in shop.follow(["orders"], prefix="room-"):
               print(message.queue, message.text)

        :param prefix: what names of queues begin with; one, or several.
        :param start: ``newest``: what comes from now on; ``oldest``; a time, or the ``place`` of a message. A reader
            that has a place goes on there instead.
        :param idle: seconds without a message after which it ends; ``None``: never.
        """
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
    ) -> Page:
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
    ) -> Sequence[Delivery]:
        """Take messages under a lease from the first of several groups that has some. Each names its queue and its
        group, and is settled there.

        .. code-block:: python

           done = []
           while True:
               done = shop.claim_many([("urgent", "workers"), ("orders", "workers")], ack=done)
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

    def promises(self) -> Mapping[str, Any]:
        """Return what the application is promised, and its limits: ``GET /v2/{application}``, kept for a minute."""
        return self._driver.run(self._session.promises())

    @classmethod
    def from_signed_url(
        cls, url: str, *, retry: Retry | None = None, timeout: Seconds = 10, transport: Transport | None = None
    ) -> Queue:
        """Return the queue that a signed URL lets in to.

        .. code-block:: python

           Client.from_signed_url(url).post("from a device")
        """
        parsed = parse_signed_url(url)
        session = session_of(
            parsed.server, parsed.application, None, None, retry, timeout, USER_AGENT, signed=parsed.signed
        )
        client = cls.__new__(cls)
        client._begin(session, Urllib3Transport() if transport is None else transport)
        return client.queue(parsed.queue)
