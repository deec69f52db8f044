"""Messages of several queues as they come, for ``queuey tail``: by one live read of all of them.

A server that has no reads of many queues is asked about each queue, by a thread each.
"""

from __future__ import annotations

import queue as queues
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType

from queuey_client.cli.failures import WRONG_ARGUMENTS, Failure
from queuey_client.cli.following.one_queue import Start, follow, newest_first
from queuey_client.cli.settings import Settings
from queuey_client.core.errors import Invalid, NotFound, QueueyError
from queuey_client.core.live_read import OWN_REFUSALS
from queuey_client.core.many_calls import follow_many, many_options, read_many
from queuey_client.core.reading import FollowOptions, ReadOptions
from queuey_client.core.values import Message, Page
from queuey_client.sync.transport import Hangup

MAX_QUEUES = 100
"""Queues that are followed by a thread and a connection each."""

LOOKED = 5.0
"""Seconds between two looks for new queues, if each is followed by itself."""

PENDING = 1000
"""Messages that wait to be printed."""

CLOCKS = timedelta(seconds=1)
"""A message that is older than the end of the log by this much does not come again after that."""


class _Older(Exception):
    """The server has no reads of many queues."""


class Several:
    """Follows several queues at once; a context manager.

    :param names: of queues; one that ends with ``*`` stands for all that begin so, also those that are made later.
    :ivar over: whether all queues are closed and have been read to their ends.
    """

    def __init__(self, settings: Settings, names: Iterable[str], start: Start) -> None:
        self.over = False
        self._settings = settings
        self._names = list(names)
        self._start = start
        self._arrived: queues.Queue[Message | BaseException | None] = queues.Queue(PENDING)
        self._begun = False
        self._each: EachQueue | None = None
        self._stopping = threading.Event()
        self._hangup = Hangup(settings.client._driver)

    def __enter__(self) -> Several:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        # The connection that is cut now is no failure that has to be reported.
        self._settings.stopping = True
        self._hangup.now()

    def next(self, seconds: float) -> Message | None:
        """Return the next message, or ``None`` if none came for so long or all queues have ended.

        :raise QueueyError: if a queue can no longer be read.
        """
        until = time.monotonic() + seconds
        if not self._begun:
            self._begun = True
            self.begin(self._follow_all, "tail")
        while not self.over:
            left = until - time.monotonic()
            try:
                found = self._arrived.get(timeout=max(0.01, left if self._each is None else self._each.look(left)))
            except queues.Empty:
                if time.monotonic() >= until:
                    return None
                continue
            if isinstance(found, _Older):
                self._each = EachQueue(self._settings, self._names, self._start, self)
            elif isinstance(found, BaseException):
                raise found
            elif found is None:
                self.over = self._each is None
            else:
                return found
        return None

    def messages(self, idle: float | None) -> Iterator[Message]:
        """Give messages, until none came for ``idle`` seconds."""
        while (found := self.next(LOOKED if idle is None else idle)) is not None or (idle is None and not self.over):
            if found is not None:
                yield found

    def begin(self, follow: Callable[[], Iterator[Message]], name: str) -> None:
        """Let a thread hand over what an iterator gives, and its end."""
        threading.Thread(target=self._hand_over, args=(follow,), name=name, daemon=True).start()

    def _hand_over(self, follow: Callable[[], Iterator[Message]]) -> None:
        found: Message | BaseException | None = None
        try:
            for message in follow():
                if not self._put(message):
                    return
        except BaseException as error:
            found = error
        self._put(found)

    def _put(self, found: Message | BaseException | None) -> bool:
        """Hand something over. :return: whether it is still wanted."""
        while not self._stopping.is_set():
            try:
                self._arrived.put(found, timeout=1)
                return True
            except queues.Full:
                continue
        return False

    def follow_one(self, name: str, start: Start) -> Iterator[Message]:
        """Follow one of the queues by itself."""
        return follow(self._settings, name, start, driver=self._hangup.driver)

    # All by one live read

    def _follow_all(self) -> Iterator[Message]:
        """Give the last messages of all queues, and those that come.

        :raise _Older: if the server has no reads of many queues.
        """
        start = self._start
        place: datetime | str = start.since or "newest"
        shown: set[tuple[str, str]] = set()
        if start.lines and start.since is None:
            end = self._end()
            place = end.next
            for message in self._last():
                yield message
                if message.timestamp >= end.stable_until - CLOCKS:
                    shown.add((message.queue, message.id))
        session, driver = self._settings.client._session, self._hangup.driver
        options = FollowOptions(ReadOptions(), place, on_gap=start.on_gap)
        asked = many_options(*self._choice(), options.read, "newest")
        begun = False
        try:
            for message in driver.iterate(follow_many(session, asked, options)):
                begun = True
                wanted = not start.partitions or message.partition in start.partitions
                if wanted and (message.queue, message.id) not in shown:
                    yield message
        except QueueyError as error:
            raise error if begun else _older(error) from error

    def _choice(self) -> tuple[list[str], list[str]]:
        """Return the names, and what further names begin with."""
        prefixes = [name[:-1] for name in self._names if name.endswith("*")]
        return list(dict.fromkeys(name for name in self._names if not name.endswith("*"))), prefixes

    def _end(self) -> Page:
        """Return an empty page at the end of all queues."""
        names, prefixes = self._choice()
        asked = many_options(names, prefixes, ReadOptions(), "newest")
        try:
            return self._hangup.driver.run(read_many(self._settings.client._session, asked))
        except QueueyError as error:
            raise _older(error) from error

    def _last(self) -> list[Message]:
        """Return the last messages of all queues, the oldest first."""
        client, (names, prefixes) = self._settings.client, self._choice()
        found = dict.fromkeys(names) | {each.name: None for prefix in prefixes for each in client.queues(prefix)}
        start = self._start
        messages = [
            message for name in found for message in newest_first(client.queue(name), start.lines, start.partitions)
        ]
        return sorted(messages, key=lambda message: (message.timestamp, message.id))


def _older(error: QueueyError) -> Exception:
    """Return what an error of the first request means."""
    unknown = isinstance(error, (NotFound, Invalid)) and error.status in (404, 405) and error.code not in OWN_REFUSALS
    return _Older() if unknown else error


class EachQueue:
    """Follows each of several queues by a thread, before a server that has no reads of many queues.

    :param several: whose threads it begins.
    """

    def __init__(self, settings: Settings, names: list[str], start: Start, several: Several) -> None:
        self._settings = settings
        self._names = names
        self._start = start
        self._several = several
        self._followed: set[str] = set()
        self._looked: float | None = None

    def look(self, left: float) -> float:
        """Begin to follow the queues that are not followed yet; one that is new, from its oldest message on.

        :return: the seconds until the next look, or ``left``.
        """
        now = time.monotonic()
        first = self._looked is None
        if self._looked is not None and now - self._looked < LOOKED:
            return min(left, self._looked + LOOKED - now)
        self._looked = now
        start = self._start if first else replace(self._start, lines=0, since=None, after="oldest")
        for pattern in self._names:
            if pattern.endswith("*"):
                found = [each.name for each in self._settings.client.queues(pattern[:-1])]
            else:
                found = [pattern] if first else []
            for name in found:
                if name not in self._followed:
                    self._follow(name, pattern, start)
        return min(left, LOOKED)

    def _follow(self, name: str, pattern: str, start: Start) -> None:
        if len(self._followed) >= MAX_QUEUES:
            text = f"{pattern}: more than {MAX_QUEUES} queues, and the server cannot read many in one request"
            raise Failure(text, status=WRONG_ARGUMENTS)
        self._followed.add(name)
        self._several.begin(lambda: self._several.follow_one(name, start), f"tail {name}")
