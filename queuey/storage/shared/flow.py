"""Back-pressure between the owner of a store and a worker: calls whose answers have messages begin one after another.

The answers of many large reads, and of many large claims, would be in memory at the same time otherwise: in the store's
threads, in the frames on the way, and in what the worker has received.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from queuey.model.groups.commands import Command, Take
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.many import ManyRange
from queuey.model.reading.window import SLICE_BYTES, LookupSlice, Merge, MergeSlice, Window, WindowSlice

ROOM: Final = 4 << 20
"""Bytes of answers that may be under way to one worker."""

_READ: Final = 128 << 10
"""Bytes that each read counts at least: what it finds may be larger than what was found in its queue before."""

_CLAIM: Final = 4 << 10
"""The same for a claim. Claims wait for the disk, and have to share its commits, hundreds of them if they are small."""

_QUEUES: Final = 1024
"""Queues whose messages' size is known, at most."""


class Sizes:
    """Approximate sizes of the messages of queues, learnt from recent reads."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def of(self, queue: Queue) -> int:
        """Return the expected size of a body in bytes; that of a whole slice for a queue not read yet."""
        return self._known.get(queue.incarnation, SLICE_BYTES)

    def note(self, queue: Queue, messages: Sequence[Message | None], size: int) -> None:
        """Update the estimate after a read. It falls slowly after large messages, because more of them may follow small
        ones.

        :param messages: empty if there is no message to read now.
        :param size: bytes of the bodies.
        """
        known, mean = self._known.get(queue.incarnation), size // len(messages) if messages else 0
        if known is not None and known > mean:
            mean = max(mean, known * 3 // 4)
        if known != mean:
            self._known[queue.incarnation] = mean
            if len(self._known) > _QUEUES:
                del self._known[next(iter(self._known))]


class Flow:
    """Says which calls of one worker may begin.

    Small answers are all let through as long as they have room together. A claim that may be larger than a slice waits
    until no other such claim is under way, its answer included.

    :param begin: begins a call that has waited, by what ``enter`` was given.
    :param unsent: how many bytes wait in the socket's buffer.
    """

    def __init__(self, begin: Callable[..., None], unsent: Callable[[], int]) -> None:
        self._begin = begin
        self._unsent = unsent
        self._under_way: dict[int, int] = {}
        self._size = 0
        self._large: int | None = None
        self._waiting: deque[tuple[int, int, tuple[Any, ...]]] = deque()
        self._waiting_large: deque[tuple[int, tuple[Any, ...]]] = deque()
        self._going = False

    def enter(self, number: int, size: int, *call: Any) -> bool:
        """Ask whether a call may begin at once. If not, ``begin`` is called with ``call`` later.

        :param number: of the call; see ``leave``.
        :param size: bytes that its answer may have.
        """
        if size > SLICE_BYTES:
            if self._large is not None:
                self._waiting_large.append((number, call))
                return False
            self._large = number
            return True
        if self._waiting or not self._has_room(size):
            self._waiting.append((number, size, call))
            return False
        self._add(number, size)
        return True

    def leave(self, number: int) -> None:
        """Learn that the answer to a call was handed to the socket, or that there will be none."""
        if number == self._large:
            self._large = None
        else:
            self._size -= self._under_way.pop(number, 0)
        self.go_on()

    def forget(self, number: int) -> None:
        """Let a call that waits never begin."""
        self._waiting = deque([each for each in self._waiting if each[0] != number])
        self._waiting_large = deque([each for each in self._waiting_large if each[0] != number])

    def clear(self) -> None:
        """Let no call begin that waits: the worker is gone."""
        self._waiting.clear()
        self._waiting_large.clear()

    def go_on(self) -> None:
        """Begin calls that there is room for now."""
        if self._going:
            return
        self._going = True
        try:
            while self._large is None and self._waiting_large:
                self._large, call = self._waiting_large.popleft()
                self._begin(*call)
            while self._waiting and self._has_room(self._waiting[0][1]):
                number, size, arguments = self._waiting.popleft()
                self._add(number, size)
                self._begin(*arguments)
        finally:
            self._going = False

    def _has_room(self, size: int) -> bool:
        return self._size + self._unsent() + size <= ROOM

    def _add(self, number: int, size: int) -> None:
        self._under_way[number] = size
        self._size += size


def is_over(read: MergeSlice | WindowSlice | LookupSlice) -> bool:
    """Whether a read is complete; a slice may be empty because the next message did not fit into it."""
    return read.over if isinstance(read, MergeSlice) else read.rest is None


def _of_merge(sizes: Sizes, queue: Queue, merge: Merge, *_: object) -> int:
    return max(_READ, min(SLICE_BYTES, merge.max_bytes, merge.limit * sizes.of(queue)))


def _of_many(sizes: Sizes, queues: Sequence[Queue], asked: ManyRange, *_: object) -> int:
    """Many queues are as a rule read with few messages of each, whose sizes are not known."""
    return max(_READ, min(SLICE_BYTES, asked.max_bytes))


def _of_scan(sizes: Sizes, queue: Queue, window: Window, *_: object) -> int:
    return max(_READ, min(SLICE_BYTES, window.limit * len(window.partitions) * sizes.of(queue)))


def _of_lookup(sizes: Sizes, queue: Queue, addresses: Sequence[Address], *_: object) -> int:
    return max(_READ, min(SLICE_BYTES, len(addresses) * sizes.of(queue)))


def _of_run(sizes: Sizes, queue: Queue, group: object, terms: object, commands: Sequence[Command]) -> int:
    takes = [command for command in commands if isinstance(command, Take)]
    if not takes:
        return 0
    return max(_CLAIM, sum([min(take.max_bytes, take.limit * sizes.of(queue)) for take in takes]))


EXPECTED: Final[Mapping[str, Callable[..., int]]] = {
    "read_merged": _of_merge,
    "read_range": _of_scan,
    "read_many": _of_many,
    "lookup": _of_lookup,
    "run": _of_run,
}
"""By the name of a call: the bytes that its answer may have, by what is known of its queue, and its arguments."""
