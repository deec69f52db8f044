"""Messages of queues as they come, for ``queuey tail``.

Nothing else in the command follows queues. One queue is followed as ``Queue.follow`` of the client does it, by a live
read. Several are followed by a thread each, which does the same.
"""

from __future__ import annotations

import queue as queues
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from types import TracebackType
from urllib.parse import quote

from queuey_client.cli.contexts import state_path
from queuey_client.cli.failures import WRONG_ARGUMENTS, Failure
from queuey_client.cli.settings import Settings
from queuey_client.core.cursors import FileCursors
from queuey_client.core.reading import FollowOptions, ReadOptions
from queuey_client.core.values import Message
from queuey_client.sync.queue import Queue
from queuey_client.sync.transport import Driver, Hangup

PAGE = 1000
"""Messages of a page at the most."""

MAX_QUEUES = 100
"""Queues that are followed at once: each takes a connection."""

LOOKED = 5.0
"""Seconds between two looks for new queues."""

PENDING = 1000
"""Messages that wait to be printed."""


@dataclass(frozen=True)
class Start:
    """Where to begin, and how to go on.

    :ivar lines: how many of the last messages come first, if no other place is given.
    :ivar reader: the name under which the place is kept between two runs.
    """

    lines: int
    since: datetime | None = None
    after: str | None = None
    reader: str | None = None
    partitions: tuple[int, ...] = ()
    on_gap: str = "warn"


def last(settings: Settings, name: str, start: Start) -> list[Message]:
    """Return the last messages of a queue, the oldest first."""
    return newest_first(settings.client.queue(name), start.lines, start.partitions)[::-1]


def newest_first(queue: Queue, count: int, partitions: tuple[int, ...]) -> list[Message]:
    """Return the last messages of a queue, the newest first."""
    if not count:
        return []
    options = ReadOptions(order="desc", limit=min(PAGE, count), partitions=partitions)
    return list(islice(queue._driver.iterate(queue._calls.messages(FollowOptions(options))), count))


def follow(
    settings: Settings, name: str, start: Start, idle: float | None = None, driver: Driver | None = None
) -> Iterator[Message]:
    """Give the last messages of a queue, and those that come.

    :param idle: seconds without a message after which it ends; ``None``: it never ends.
    :param driver: sends the requests; ``None`` is the one of the client.
    """
    queue = settings.client.queue(name)
    place: datetime | str = start.since or start.after or "newest"
    if start.lines and start.reader is None and start.since is None and start.after is None:
        found = last(settings, name, start)
        yield from found
        place = found[-1].place if found else "oldest"
    options = FollowOptions(
        ReadOptions(partitions=start.partitions),
        place,
        start.reader,
        reader_places(settings, name, start.reader),
        start.on_gap,
        idle,
    )
    yield from (driver or queue._driver).iterate(queue._calls.follow(options))


def reader_places(settings: Settings, queue: str, reader: str | None) -> FileCursors | None:
    """Return where a reader of a queue keeps its place: a folder for each server, application and queue."""
    if reader is None:
        return None
    parts = [quote(each, safe="")[:200] for each in (settings.url, settings.application, queue)]
    return FileCursors(state_path(settings.environment).joinpath("readers", *parts))


class Several:
    """Follows several queues at once, each in a thread; a context manager.

    :param names: of queues; one that ends with ``*`` stands for all that begin so, also those that are made later.
    """

    def __init__(self, settings: Settings, names: Iterable[str], start: Start) -> None:
        self._settings = settings
        self._names = list(names)
        self._start = start
        self._arrived: queues.Queue[Message | BaseException] = queues.Queue(PENDING)
        self._followed: set[str] = set()
        self._stopping = threading.Event()
        self._looked: float | None = None
        self._hangup = Hangup(settings.client._driver)

    def __enter__(self) -> Several:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._hangup.now()

    def next(self, seconds: float) -> Message | None:
        """Return the next message, or ``None`` if none came for so long.

        :raise QueueyError: if a queue can no longer be read.
        """
        until = time.monotonic() + seconds
        while True:
            self._look()
            assert self._looked is not None
            now = time.monotonic()
            try:
                found = self._arrived.get(timeout=max(0.01, min(until, self._looked + LOOKED) - now))
            except queues.Empty:
                if time.monotonic() >= until:
                    return None
                continue
            if isinstance(found, BaseException):
                raise found
            return found

    def messages(self, idle: float | None) -> Iterator[Message]:
        """Give messages, until none came for ``idle`` seconds."""
        while (found := self.next(LOOKED if idle is None else idle)) is not None or idle is None:
            if found is not None:
                yield found

    def _look(self) -> None:
        """Begin to follow the queues that are not followed yet; one that is new, from its oldest message on."""
        now = time.monotonic()
        first = self._looked is None
        if self._looked is not None and now - self._looked < LOOKED:
            return
        self._looked = now
        start = self._start if first else replace(self._start, lines=0, since=None, after="oldest")
        for pattern in self._names:
            if pattern.endswith("*"):
                found = [each.name for each in self._settings.client.queues(pattern[:-1])]
            else:
                found = [pattern] if first else []
            for name in found:
                if name in self._followed:
                    continue
                if len(self._followed) >= MAX_QUEUES:
                    raise Failure(f"{pattern}: more than {MAX_QUEUES} queues", status=WRONG_ARGUMENTS)
                self._followed.add(name)
                threading.Thread(target=self._follow, args=(name, start), name=f"tail {name}", daemon=True).start()

    def _follow(self, name: str, start: Start) -> None:
        try:
            for message in follow(self._settings, name, start, driver=self._hangup.driver):
                if not self._put(message):
                    return
        except BaseException as error:
            self._put(error)

    def _put(self, found: Message | BaseException) -> bool:
        """Hand something over. :return: whether it is still wanted."""
        while not self._stopping.is_set():
            try:
                self._arrived.put(found, timeout=1)
                return True
            except queues.Full:
                continue
        return False
