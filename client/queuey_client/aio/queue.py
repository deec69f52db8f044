"""A queue, for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from queuey_client.aio.group import Group
from queuey_client.aio.push import Push
from queuey_client.aio.schedule import Schedule
from queuey_client.aio.writer import Writer
from queuey_client.awaiting.driver import AsyncDriver, AsyncItems
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


class Queue:
    """The same as :class:`queuey_client.Queue`, for asyncio."""

    def __init__(self, driver: AsyncDriver, calls: QueueCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the queue."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    async def close(self) -> None:
        """Close the connections of its client: for a queue of :meth:`Client.from_signed_url`, which has its own."""
        await self._driver.transport.close()

    async def post(
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
        """Store a message; returns once it is as durable as the store's settings say."""
        draft = make_draft(body, content_type, headers, key, partition, ttl, delay)
        return await self._driver.run(self._calls.post(draft, idempotency_key))

    async def post_all(self, drafts: Iterable[Draft | Body], *, idempotency_key: str | None = None) -> Stored:
        """Store up to 1000 messages, all or none."""
        return await self._driver.run(self._calls.post_all(drafts, idempotency_key))

    def writer(
        self,
        *,
        linger: Seconds = 0.005,
        pending: int = 10_000,
        on_error: Callable[[Draft, QueueyError], object] | None = None,
    ) -> Writer:
        """Store messages as they come, many with each request, each under a key of its own: the quickest way."""
        return Writer(self._driver, self._calls, linger, pending, on_error)

    async def read(
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
        """Read one page."""
        options = ReadOptions(after, since, until, order, limit, max_bytes, partitions, wait, fresh)
        return await self._driver.run(self._calls.read(options))

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
    ) -> AsyncItems[Message]:
        """Give all messages that are there now, page by page."""
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
    ) -> AsyncItems[Message]:
        """Give messages from a start on, and then those that come. It goes on by itself when a connection breaks."""
        options = FollowOptions(ReadOptions(partitions=partitions), start, reader, cursors, on_gap, idle)
        return self._driver.iterate(self._calls.follow(options))

    async def get(self, id: str) -> Message:
        """Read a message by its id; its ``etag`` is for :meth:`put`."""
        return await self._driver.run(self._calls.get(id))

    async def put(
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
        """Overwrite a message."""
        draft = make_draft(body, content_type, headers, ttl=ttl)
        return await self._driver.run(self._calls.put(id, draft, if_match, if_none_match))

    async def delete(self, id: str) -> None:
        """Delete a message."""
        await self._driver.run(self._calls.delete(id))

    async def purge(self, before: datetime | str = "now") -> None:
        """Delete all messages before a time, an id, or ``now``."""
        await self._driver.run(self._calls.purge(before))

    async def info(self, *, counts: bool = False) -> QueueInfo:
        """Return the settings of the queue; with ``counts``, also how many messages and bytes it holds."""
        return await self._driver.run(self._calls.info(counts))

    async def ensure(self, **settings: Any) -> QueueInfo:
        """Create the queue, or give it these settings and leave its others. Programs may call it when they start."""
        return await self._driver.run(self._calls.ensure(settings))

    async def remove(self) -> None:
        """Delete the queue with all its messages."""
        await self._driver.run(self._calls.remove())

    def group(self, name: str) -> Group:
        """Return a consumer group; the server is not asked yet."""
        return Group(self._driver, GroupCalls(self._calls.session, self.name, name))

    async def groups(self) -> Sequence[GroupInfo]:
        """Return all consumer groups of the queue, by name."""
        return await self._driver.run(self._calls.groups())

    def push(self, name: str) -> Push:
        """Return a push; the server is not asked yet."""
        return Push(self._driver, PushCalls(self._calls.session, self.name, name))

    async def pushes(self) -> Sequence[PushInfo]:
        """Return all pushes of the queue, by name."""
        return await self._driver.run(pushes_of(self._calls.session, self._calls.path))

    def schedule(self, name: str) -> Schedule:
        """Return a schedule; the server is not asked yet."""
        return Schedule(self._driver, ScheduleCalls(self._calls.session, self.name, name))

    async def schedules(self) -> Sequence[ScheduleInfo]:
        """Return all schedules of the queue, by name."""
        return await self._driver.run(schedules_of(self._calls.session, self._calls.path))

    def signed_url(
        self, operations: Sequence[str], seconds: Seconds, *, rate: int | None = None, path: str = "messages"
    ) -> str:
        """Return a URL that lets others do some operations for a while. The server is not asked."""
        return self._calls.signed_url(operations, seconds, rate, path)
