"""Messages of a queue as they come, for ``queuey tail``; ``many_queues.py`` follows several.

A queue is followed as ``Queue.follow`` of the client does it, by a live read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from urllib.parse import quote

from queuey_client.cli.contexts import state_path
from queuey_client.cli.settings import Settings
from queuey_client.core.cursors import FileCursors
from queuey_client.core.reading import FollowOptions, ReadOptions
from queuey_client.core.values import Message
from queuey_client.sync.queue import Queue
from queuey_client.sync.transport import Driver

PAGE = 1000
"""Messages of a page at the most."""


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
