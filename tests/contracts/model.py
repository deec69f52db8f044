"""A store as a few lists: what the state machine holds a store against."""

from __future__ import annotations

import attrs

from queuey.interfaces import State
from queuey.model.messages.message import Address, Content, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge, Position, Window
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, from_seconds, ticks_of, upper_bound

NEVER = Ticks(0)


@attrs.frozen
class Kept:
    """What was answered to a write that is done once."""

    digest: bytes
    addresses: tuple[Address, ...]
    note: str
    expires: Ticks


@attrs.define
class Life:
    """One life of a queue and what is in it."""

    queue: Queue
    messages: dict[Address, Message] = attrs.field(factory=dict)
    keys: dict[bytes, Kept] = attrs.field(factory=dict)
    purged: MessageId = LOWEST

    @property
    def bytes(self) -> int:
        return sum(message.content.size for message in self.messages.values())


@attrs.define
class Model:
    """Everything that a store should hold.

    The stable time is known up to a range: whether the id of a message that is gone still raises it when it falls due
    is left open.

    :ivar low: the stable time is this at least.
    :ivar high: and this at the most.
    :ivar unswept: messages that have expired, and may be there until they are swept.
    :ivar ghosts: their bytes.
    :ivar foreseen: the times of all ids that were of the future when they were put.
    """

    clock: Ticks
    lives: list[Life] = attrs.field(factory=list)
    dead: list[Queue] = attrs.field(factory=list)
    states: dict[str, State] = attrs.field(factory=dict)
    versions: set[str] = attrs.field(factory=set)
    low: Ticks = NEVER
    high: Ticks = NEVER
    last_id: MessageId = LOWEST
    unswept: int = 0
    ghosts: int = 0
    foreseen: set[Ticks] = attrs.field(factory=set)

    def set_clock(self, seconds: float) -> None:
        self.clock = from_seconds(seconds)

    def leap(self) -> None:
        """The clock was set forwards, and nothing had the time to run: expired messages may not be swept yet."""
        for life in self.lives:
            for address, message in list(life.messages.items()):
                if message.expires <= self.clock:
                    del life.messages[address]
                    self.unswept += 1
                    self.ghosts += message.content.size
            self.unswept += sum(kept.expires <= self.clock for kept in life.keys.values())
        self.high = max([self.high, *(ticks for ticks in self.foreseen if ticks <= self.clock)])

    def pass_time(self) -> None:
        """What a store does by itself once time has passed."""
        self.leap()
        self.unswept = self.ghosts = 0
        for life in self.lives:
            life.keys = {key: kept for key, kept in life.keys.items() if kept.expires > self.clock}
            for message in life.messages.values():
                if ticks_of(message.id) <= self.clock:
                    self.low = max(self.low, ticks_of(message.id))
        due = [ticks for ticks in self.foreseen if ticks <= self.clock]
        self.high = max([self.high, self.low, *due])
        self.foreseen.difference_update(due)

    def find(self, application: str, name: str) -> Life | None:
        for life in self.lives:
            if (life.queue.application, life.queue.name) == (application, name):
                return life
        return None

    def of(self, queue: Queue) -> Life | None:
        for life in self.lives:
            if life.queue.incarnation == queue.incarnation:
                return life
        return None

    def used(self, application: str) -> int:
        return sum(life.bytes for life in self.lives if life.queue.application == application)

    def is_over(self, application: str, more: int, limit: int | None) -> bool | None:
        """Whether a write goes over a limit; ``None`` where that hangs on what is not swept yet."""
        if limit is None:
            return False
        used = self.used(application)
        if more <= 0 or used + self.ghosts + more <= limit:
            return False
        return True if more > self.ghosts and used + more - self.ghosts > limit else None

    def names(self, application: str) -> list[str]:
        return sorted(life.queue.name for life in self.lives if life.queue.application == application)

    def appended(self, life: Life, id: MessageId, partition: int, content: Content, ttl: int) -> None:
        self.low = self.high = ticks_of(id)
        self.last_id = id
        self._put(life, Address(partition, id), content, ttl)

    def delayed(self, life: Life, id: MessageId, partition: int, content: Content, ttl: int) -> None:
        self.foreseen.add(ticks_of(id))
        expires = Ticks(ticks_of(id) + ttl * SECOND)
        life.messages[Address(partition, id)] = Message(partition, id, content, expires)

    def stamped(self, count: int) -> None:
        """So many ids of now may have been made without being returned."""
        self.high = Ticks(max(self.high, self.clock) + count) if count else self.high

    def purge(self, life: Life, bound: MessageId, stable: Ticks) -> None:
        """Delete what is below a bound and below the stable time."""
        bound = min(bound, upper_bound(stable))
        life.messages = {a: message for a, message in life.messages.items() if a.id >= bound}
        life.purged = max(life.purged, bound)

    def kept(self, life: Life, key: bytes) -> Kept | None:
        """What is remembered under a key."""
        kept = life.keys.get(key)
        return kept if kept is not None and kept.expires > self.clock else None

    def replaced(self, life: Life, address: Address, content: Content, ttl: int) -> None:
        ticks = ticks_of(address.id)
        if ticks <= max(self.low, self.clock):
            self.low, self.high = max(self.low, ticks), max(self.high, ticks)
        elif ticks > self.high:
            self.foreseen.add(ticks)
        self._put(life, address, content, ttl)

    def _put(self, life: Life, address: Address, content: Content, ttl: int) -> None:
        expires = Ticks(self.clock + ttl * SECOND)
        life.messages[address] = Message(address.partition, address.id, content, expires)

    def is_certain(self, life: Life) -> bool:
        """Whether it is known which of the messages show."""
        return not any(self.low < ticks_of(address.id) <= self.high for address in life.messages)

    def shown(self, life: Life, window: Window) -> list[Message]:
        """What a scan shows, where that is certain."""
        found: list[Message] = []
        for partition in window.partitions:
            some = sorted(
                (
                    message
                    for message in life.messages.values()
                    if message.partition == partition
                    and window.lower <= message.id < window.upper
                    and ticks_of(message.id) <= self.low
                ),
                key=lambda message: message.id,
                reverse=window.descending,
            )
            found += some[: window.limit]
        return found

    def merged(self, life: Life, merge: Merge) -> list[Message]:
        """What a merged range shows, where that is certain."""
        places = {
            Position(message.id, message.partition): message
            for message in life.messages.values()
            if message.partition in merge.partitions and ticks_of(message.id) <= self.low
        }
        some = sorted((each for each in places if merge.lower < each < merge.upper), reverse=merge.descending)
        return [places[each] for each in some]
