"""The queues of one choice as they are known: who may read them, and which may have unread messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import attrs
from twisted.internet.defer import DeferredLock

from queuey.model.applications.access import Operation, allowed
from queuey.model.queues.choice import QueueChoice
from queuey.model.queues.queue import Queue
from queuey.model.reading.many import ChangedQueue
from queuey.model.timeid import HIGHEST, MessageId, Ticks, upper_bound

MAX_VIEWS: Final = 16
"""Callers whose views of a choice are cached."""

MAX_CHANGES: Final = 1000
"""Changes of its queues that a choice keeps, for live reads that have not sent them yet."""


@attrs.frozen
class View:
    """A choice as one caller may read it.

    :ivar readable: incarnations; ``None``: all of the choice.
    :ivar count: number of queues that the caller may read.
    :ivar forbidden: names that were chosen, and that the caller may not read.
    :ivar missing: names that were chosen, and for which there is no queue.
    :ivar left_out: number of queues with a chosen prefix that the caller may not read.
    """

    readable: frozenset[int] | None
    count: int
    forbidden: tuple[str, ...]
    missing: tuple[str, ...]
    left_out: int


@attrs.frozen
class QueueChange:
    """A queue of a choice as it was, and as it is; ``None`` if there was none, or is none."""

    before: Queue | None
    after: Queue | None


@attrs.frozen
class Unread:
    """A queue that may have messages after a place.

    :ivar known: a bound above all messages that it had at the last look.
    """

    queue: Queue
    known: MessageId


class _Member:
    """A queue of a choice.

    :ivar known: a bound above all messages of the queue that were stored before the last look.
    """

    __slots__ = ("known", "queue")

    def __init__(self, queue: Queue, known: MessageId) -> None:
        self.queue = queue
        self.known = known


class ChosenQueues:
    """The queues of one choice.

    Those that were changed last stand at the end, so ``known`` rises from the first to the last. A reader looks from
    the end, and stops at the first queue that has no message after its place.

    :ivar uses: requests that use it now.
    :ivar stale: whether all queues have to be looked up.
    :ivar outdated: names of queues that have to be looked up.
    :ivar lock: one request looks them up at a time.
    :ivar looked_up: when all of them were looked up the last time, on a store that does not know its changes.
    :ivar complete: whether all of them were looked up once. From then on changes are noted, and ``changed`` counts
        these.
    """

    def __init__(self, choice: QueueChoice) -> None:
        self.choice = choice
        self.uses = 0
        self.stale = True
        self.outdated: set[str] = set()
        self.lock = DeferredLock()
        self.looked_up = Ticks(0)
        self.complete = False
        self.changed = 0
        self._changes: deque[QueueChange] = deque(maxlen=MAX_CHANGES)
        self._end: tuple[int, MessageId] | None = None
        self._members: dict[int, _Member] = {}
        self._by_name: dict[str, int] = {}
        self._generation = 0
        self._views: dict[frozenset[str], tuple[int, View]] = {}

    def __len__(self) -> int:
        return len(self._members)

    @property
    def incarnations(self) -> Iterable[int]:
        """The incarnations of the queues."""
        return self._members.keys()

    @property
    def grows(self) -> bool:
        """Return whether further queues may join it."""
        return bool(self.choice.prefixes) or len(self._by_name) < len(self.choice.names)

    def note(self, changed: ChangedQueue, known: MessageId) -> bool:
        """Note that something may have come to a queue.

        :param known: a bound above all messages that were stored by then.
        :return: whether the queue has to be looked up: it is new, or its settings were changed.
        """
        member = self._members.pop(changed.incarnation, None)
        if member is not None:
            self._members[changed.incarnation] = member
            member.known = known
            if member.queue.version == changed.version:
                return False
        self.outdated.add(changed.name)
        return True

    def put(self, queue: Queue, known: MessageId) -> None:
        """Add a queue, or replace what is known of it."""
        member = self._members.pop(queue.incarnation, None)
        self._by_name[queue.name] = queue.incarnation
        self._members[queue.incarnation] = _Member(queue, known)
        before = None if member is None else member.queue
        if before != queue:
            self._change(before, queue)

    def drop(self, incarnation: int) -> bool:
        """Remove a queue that was deleted; return whether it was here."""
        member = self._members.pop(incarnation, None)
        if member is None:
            return False
        if self._by_name.get(member.queue.name) == incarnation:
            del self._by_name[member.queue.name]
        self._change(member.queue, None)
        return True

    def _change(self, before: Queue | None, after: Queue | None) -> None:
        self._generation += 1
        if self.complete:
            self.changed += 1
            self._changes.append(QueueChange(before, after))

    def changes_since(self, number: int) -> tuple[QueueChange, ...] | None:
        """Return the changes after the first ``number``; ``None`` if not all of them are kept."""
        new = self.changed - number
        if not new:
            return ()
        kept = self._changes
        return None if new > len(kept) else tuple([kept[at] for at in range(len(kept) - new, len(kept))])

    def is_read_to_its_end(self, stable: MessageId) -> bool:
        """Return whether a reader of all queues that has read everything below a bound has read all that ever comes."""
        if self.grows or not self._members:
            return False
        if self._end is None or self._end[0] != self._generation:
            closed = [member.queue.closed for member in self._members.values()]
            last = HIGHEST if None in closed else max([upper_bound(at) for at in closed if at is not None])
            self._end = self._generation, last
        return self._end[1] <= stable and self._end[1] != HIGHEST

    def named(self, name: str) -> int | None:
        """Return the incarnation of a queue of the choice."""
        return self._by_name.get(name)

    def queue(self, incarnation: int) -> Queue:
        """Return a queue of the choice."""
        return self._members[incarnation].queue

    def all(self) -> list[Queue]:
        """Return all queues of the choice."""
        return [member.queue for member in self._members.values()]

    def least_ttl(self, default: int | None) -> int | None:
        """Return the least number of seconds that messages of one of the queues live unless they say otherwise.

        :param default: of queues without a ttl of their own; ``None``: it is not known.
        """
        found = [member.queue.settings.ttl or default for member in self._members.values()]
        return min([ttl for ttl in found if ttl is not None], default=default)

    def unread(self, place: MessageId, view: View) -> list[Unread]:
        """Return the queues that a caller may read and that may have messages at a place or after it."""
        found, readable = [], view.readable
        for incarnation in reversed(self._members):
            member = self._members[incarnation]
            if member.known <= place:
                break
            if readable is None or incarnation in readable:
                found.append(Unread(member.queue, member.known))
        return found

    def view(self, caller: frozenset[str]) -> View:
        """Return the choice as a caller may read it."""
        generation, view = self._views.get(caller, (-1, None))
        if view is None or generation != self._generation:
            view = self._view(caller)
            self._views.pop(caller, None)
            self._views[caller] = self._generation, view
            if len(self._views) > MAX_VIEWS:
                del self._views[next(iter(self._views))]
        return view

    def _view(self, caller: frozenset[str]) -> View:
        choice = self.choice
        readable, forbidden = list[int](), list[str]()
        left_out, names = 0, frozenset(choice.names)
        for incarnation, member in self._members.items():
            queue = member.queue
            if allowed(Operation.READ_MESSAGES, caller, choice.application, queue):
                readable.append(incarnation)
            elif queue.name in names:
                forbidden.append(queue.name)
            else:
                left_out += 1
        every = len(readable) == len(self._members)
        missing = self._missing(choice.names)
        some = None if every else frozenset(readable)
        return View(some, len(readable), tuple(sorted(forbidden)), missing, left_out)

    def _missing(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple([name for name in names if name not in self._by_name])
