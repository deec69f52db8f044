"""A queue, for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from queuey_client.core.cursors import Cursors
from queuey_client.core.encoding import Body
from queuey_client.core.errors import QueueyError
from queuey_client.core.group_calls import GroupCalls
from queuey_client.core.push_calls import PushCalls, pushes_of
from queuey_client.core.push_values import PushInfo
from queuey_client.core.queue_calls import QueueCalls
from queuey_client.core.reading import FollowOptions, ReadOptions
from queuey_client.core.retry import Seconds
from queuey_client.core.schedule_calls import ScheduleCalls, schedules_of
from queuey_client.core.schedule_values import ScheduleInfo
from queuey_client.core.values import Draft, GroupInfo, Message, Page, Place, QueueInfo, Stored, make_draft
from queuey_client.sync.group import Group
from queuey_client.sync.push import Push
from queuey_client.sync.schedule import Schedule
from queuey_client.sync.transport import Driver
from queuey_client.sync.writer import Writer


class Queue:
    """A queue of an application. Every method may raise :class:`QueueyError`."""

    def __init__(self, driver: Driver, calls: QueueCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the queue."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    def close(self) -> None:
        """Close the connections of its client: for a queue of :meth:`Client.from_signed_url`, which has its own."""
        self._driver.transport.close()

    def post(
        self,
        body: Body | Draft,
        *,
        content_type: str | None = None,
        headers: Mapping[str, Any] | None = None,
        key: str | None = None,
        partition: int | None = None,
        ttl: Seconds | None = None,
        delay: Seconds | None = None,
        idempotency_key: str | None = None,
    ) -> Stored:
        """Store a message; returns once it is as durable as the store's settings say.

        .. code-block:: python

           orders.post({"pears": 3}, idempotency_key="order-4711")
           orders.post("water the tree", delay=3600)

        :param body: bytes and text are sent as they are, any other value as JSON; a :class:`Draft` has its options.
        :param headers: your own, which readers get with the message.
        :param key: messages of one key keep one partition, and with it their order.
        :param ttl: seconds to live.
        :param delay: seconds until it is due.
        :param idempotency_key: your own, such as the number of the order, if the program itself may run twice. Without
            one, a key is made for the attempts of this call, except in queues that take none; ``""`` is none at all.
        """
        draft = make_draft(body, content_type, headers, key, partition, ttl, delay)
        return self._driver.run(self._calls.post(draft, idempotency_key))

    def post_all(self, drafts: Iterable[Draft | Body], *, idempotency_key: str | None = None) -> Stored:
        """Store up to 1000 messages, all or none.

        .. code-block:: python

           orders.post_all(["a pear", Draft("a plum", key="customer-7")])
        """
        return self._driver.run(self._calls.post_all(drafts, idempotency_key))

    def writer(
        self,
        *,
        linger: Seconds = 0.005,
        pending: int = 10_000,
        on_error: Callable[[Draft, QueueyError], object] | None = None,
    ) -> Writer:
        """Store messages as they come, many with each request, each under a key of its own: the quickest way.

        .. code-block:: python

           with orders.writer() as writer:
               for line in sys.stdin:
                   writer.post(line)

        :param linger: seconds that a message waits for others, to be sent with them.
        :param pending: maximum number of messages that are not stored yet; at this number ``post`` waits.
        :param on_error: is called, in the writer's own thread, with each message that is refused, and why. Without it,
            the first refusal is raised by the next call.
        """
        return Writer(self._driver, self._calls, linger, pending, on_error)

    def read(
        self,
        *,
        after: Place | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        order: str = "asc",
        limit: int | None = None,
        max_bytes: int | None = None,
        partitions: Sequence[int] = (),
        wait: Seconds = 0,
        fresh: bool = False,
    ) -> Page:
        """Read one page.

        .. code-block:: python

           page = orders.read(limit=10)
           next_page = orders.read(after=page.next, wait=20)

        :param after: where to go on: a cursor, or an id.
        :param order: ``asc`` from the oldest on, ``desc`` from the newest on.
        :param limit: messages at the most, up to 1000; 100.
        :param max_bytes: bytes of bodies at the most; 1 MiB.
        :param wait: seconds to wait for a message, up to 20, if there is none.
        :param fresh: whether to show what is not stable yet; it comes again then.
        """
        options = ReadOptions(after, since, until, order, limit, max_bytes, partitions, wait, fresh)
        return self._driver.run(self._calls.read(options))

    def messages(
        self,
        *,
        after: Place | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        order: str = "asc",
        partitions: Sequence[int] = (),
        reader: str | None = None,
        cursors: Cursors | None = None,
        on_gap: str = "raise",
    ) -> Iterator[Message]:
        """Give all messages that are there now, page by page.

        .. code-block:: python

           for message in orders.messages(reader="report", cursors=FileCursors("places")):
               print(message.text)

        :param reader: with ``cursors``: goes on where the reader of this name was, and keeps its place.
        :param on_gap: what to do if messages that the reader had not come to are gone: ``raise`` :class:`Gap`,
            ``warn`` and go on, or ``ignore`` it.
        """
        read = ReadOptions(after, since, until, order, partitions=partitions)
        options = FollowOptions(read, reader=reader, cursors=cursors, on_gap=on_gap)
        return self._driver.iterate(self._calls.messages(options))

    def follow(
        self,
        *,
        start: datetime | Place = "newest",
        partitions: Sequence[int] = (),
        reader: str | None = None,
        cursors: Cursors | None = None,
        on_gap: str = "raise",
        idle: Seconds | None = None,
    ) -> Iterator[Message]:
        """Give messages from a start on, and then those that come. It goes on by itself when a connection breaks.

        .. code-block:: python

           for message in orders.follow(start="oldest"):
               print(message.text)

        :param start: ``newest``: what comes from now on; ``oldest``; a time, or a place. A reader that has a place goes
            on there instead.
        :param idle: seconds without a message after which it ends; ``None``: never.
        """
        options = FollowOptions(ReadOptions(partitions=partitions), start, reader, cursors, on_gap, idle)
        return self._driver.iterate(self._calls.follow(options))

    def get(self, id: str) -> Message:
        """Read a message by its id; its ``etag`` is for :meth:`put`."""
        return self._driver.run(self._calls.get(id))

    def put(
        self,
        id: str,
        body: Body | Draft,
        *,
        content_type: str | None = None,
        headers: Mapping[str, Any] | None = None,
        ttl: Seconds | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> bool:
        """Overwrite a message.

        .. code-block:: python

           old = orders.get(id)
           orders.put(id, old.text.upper(), if_match=old.etag)

        :param if_match: the ``etag`` that was read: raises :class:`Changed` if another client was quicker.
        :param if_none_match: ``"*"`` makes a new message only.
        :return: whether it is a new message.
        """
        draft = make_draft(body, content_type, headers, ttl=ttl)
        return self._driver.run(self._calls.put(id, draft, if_match, if_none_match))

    def delete(self, id: str) -> None:
        """Delete a message."""
        self._driver.run(self._calls.delete(id))

    def purge(self, before: datetime | str = "now") -> None:
        """Delete all messages before a time, an id, or ``now``."""
        self._driver.run(self._calls.purge(before))

    def info(self, *, counts: bool = False) -> QueueInfo:
        """Return the settings of the queue; with ``counts``, also how many messages and bytes it holds."""
        return self._driver.run(self._calls.info(counts))

    def ensure(self, **settings: Any) -> QueueInfo:
        """Create the queue, or give it these settings and leave its others. Programs may call it when they start.

        .. code-block:: python

           orders.ensure(partitions=4, ttl=86400)
        """
        return self._driver.run(self._calls.ensure(settings))

    def remove(self) -> None:
        """Delete the queue with all its messages."""
        self._driver.run(self._calls.remove())

    def group(self, name: str) -> Group:
        """Return a consumer group; the server is not asked yet."""
        return Group(self._driver, GroupCalls(self._calls.session, self.name, name))

    def groups(self) -> Sequence[GroupInfo]:
        """Return all consumer groups of the queue, by name."""
        return self._driver.run(self._calls.groups())

    def push(self, name: str) -> Push:
        """Return a push; the server is not asked yet."""
        return Push(self._driver, PushCalls(self._calls.session, self.name, name))

    def pushes(self) -> Sequence[PushInfo]:
        """Return all pushes of the queue, by name."""
        return self._driver.run(pushes_of(self._calls.session, self._calls.path))

    def schedule(self, name: str) -> Schedule:
        """Return a schedule; the server is not asked yet."""
        return Schedule(self._driver, ScheduleCalls(self._calls.session, self.name, name))

    def schedules(self) -> Sequence[ScheduleInfo]:
        """Return all schedules of the queue, by name."""
        return self._driver.run(schedules_of(self._calls.session, self._calls.path))

    def signed_url(
        self, operations: Sequence[str], seconds: Seconds, *, rate: int | None = None, path: str = "messages"
    ) -> str:
        """Return a URL that lets others do some operations for a while. The server is not asked.

        .. code-block:: python

           url = orders.signed_url(["read"], 600)

        :param operations: some of ``claim``, ``delete``, ``read`` and ``write``.
        :param rate: requests a second at the most.
        :param path: ``messages``, or ``events`` for the live read that an EventSource of a page follows.
        """
        return self._calls.signed_url(operations, seconds, rate, path)
