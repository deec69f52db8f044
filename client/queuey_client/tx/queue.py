"""A queue, for Twisted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred

from queuey_client.awaiting.driver import AsyncItems
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
from queuey_client.tx.driver import Driver
from queuey_client.tx.group import Group
from queuey_client.tx.push import Push
from queuey_client.tx.schedule import Schedule
from queuey_client.tx.writer import Writer


class Queue:
    """The same as :class:`queuey_client.Queue`, for Twisted."""

    def __init__(self, driver: Driver, calls: QueueCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the queue."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    def close(self) -> Deferred[None]:
        """Close the connections of its client: for a queue of :meth:`Client.from_signed_url`, which has its own."""
        return self._driver.start(self._driver.coroutines.transport.close())

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
    ) -> Deferred[Stored]:
        """Store a message; returns once it is as durable as the store's settings say."""
        draft = make_draft(body, content_type, headers, key, partition, ttl, delay)
        return self._driver.run(self._calls.post(draft, idempotency_key))

    def post_all(self, drafts: Iterable[Draft | Body], *, idempotency_key: str | None = None) -> Deferred[Stored]:
        """Store up to 1000 messages, all or none."""
        return self._driver.run(self._calls.post_all(drafts, idempotency_key))

    def writer(
        self,
        *,
        linger: Seconds = 0.005,
        pending: int = 10_000,
        on_error: Callable[[Draft, QueueyError], object] | None = None,
    ) -> Writer:
        """Store messages as they come, many with each request, each under a key of its own: the quickest way."""
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
    ) -> Deferred[Page]:
        """Read one page."""
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

    def get(self, id: str) -> Deferred[Message]:
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
    ) -> Deferred[bool]:
        """Overwrite a message."""
        draft = make_draft(body, content_type, headers, ttl=ttl)
        return self._driver.run(self._calls.put(id, draft, if_match, if_none_match))

    def delete(self, id: str) -> Deferred[None]:
        """Delete a message."""
        return self._driver.run(self._calls.delete(id))

    def purge(self, before: datetime | str = "now") -> Deferred[None]:
        """Delete all messages before a time, an id, or ``now``."""
        return self._driver.run(self._calls.purge(before))

    def info(self, *, counts: bool = False) -> Deferred[QueueInfo]:
        """Return the settings of the queue; with ``counts``, also how many messages and bytes it holds."""
        return self._driver.run(self._calls.info(counts))

    def ensure(self, **settings: Any) -> Deferred[QueueInfo]:
        """Create the queue, or give it these settings and leave its others. Programs may call it when they start."""
        return self._driver.run(self._calls.ensure(settings))

    def remove(self) -> Deferred[None]:
        """Delete the queue with all its messages."""
        return self._driver.run(self._calls.remove())

    def group(self, name: str) -> Group:
        """Return a consumer group; the server is not asked yet."""
        return Group(self._driver, GroupCalls(self._calls.session, self.name, name))

    def groups(self) -> Deferred[Sequence[GroupInfo]]:
        """Return all consumer groups of the queue, by name."""
        return self._driver.run(self._calls.groups())

    def push(self, name: str) -> Push:
        """Return a push; the server is not asked yet."""
        return Push(self._driver, PushCalls(self._calls.session, self.name, name))

    def pushes(self) -> Deferred[Sequence[PushInfo]]:
        """Return all pushes of the queue, by name."""
        return self._driver.run(pushes_of(self._calls.session, self._calls.path))

    def schedule(self, name: str) -> Schedule:
        """Return a schedule; the server is not asked yet."""
        return Schedule(self._driver, ScheduleCalls(self._calls.session, self.name, name))

    def schedules(self) -> Deferred[Sequence[ScheduleInfo]]:
        """Return all schedules of the queue, by name."""
        return self._driver.run(schedules_of(self._calls.session, self._calls.path))

    def signed_url(
        self, operations: Sequence[str], seconds: Seconds, *, rate: int | None = None, path: str = "messages"
    ) -> str:
        """Return a URL that lets others do some operations for a while. The server is not asked."""
        return self._calls.signed_url(operations, seconds, rate, path)
