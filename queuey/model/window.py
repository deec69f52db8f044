"""What a read covers, and how it is cut into slices that fit in memory."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import attrs

from queuey.model.message import Address, Message
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, successor

SLICE_ROWS: Final = 1000
"""Messages in one slice, at the most."""

SLICE_BYTES: Final = 1 << 20
"""A slice ends with the message that brings its bodies to this size."""

Rest = TypeVar("Rest", covariant=True)


@attrs.frozen
class Window:
    """A range of ids, read in one or several partitions, one partition after another in the order given.

    :ivar lower: ids at or above it.
    :ivar upper: ids below it.
    :ivar limit: messages of each partition, at the most.
    :ivar first_limit: what is left of ``limit`` in the first partition, where a slice before has used some of it.
    :ivar resume: where the first partition goes on: a lower bound (descending: an upper bound) in place of the other.
    """

    partitions: tuple[int, ...]
    lower: MessageId = LOWEST
    upper: MessageId = HIGHEST
    descending: bool = False
    limit: int = 100
    first_limit: int | None = None
    resume: MessageId | None = None

    def first(self) -> tuple[MessageId, MessageId, int]:
        """The lower bound, the upper bound and the limit of the first partition."""
        lower, upper = self.lower, self.upper
        if self.resume is not None:
            lower, upper = (lower, self.resume) if self.descending else (self.resume, upper)
        return lower, upper, self.limit if self.first_limit is None else self.first_limit

    def next_partition(self) -> Window | None:
        """The window without its first partition; ``None`` if that was the last."""
        if len(self.partitions) == 1:
            return None
        return attrs.evolve(self, partitions=self.partitions[1:], first_limit=None, resume=None)

    def after(self, last: MessageId, taken: int) -> Window | None:
        """What is left once ``taken`` messages of the first partition, ending with ``last``, have been read."""
        left = self.first()[2] - taken
        if left <= 0:
            return self.next_partition()
        return attrs.evolve(self, first_limit=left, resume=last if self.descending else successor(last))


class Lasting:
    """The mark of a slice that is given again while nothing in it changes, and that lives as long as that.

    It is compared by identity. What somebody makes of such a slice may be kept by a weak reference to its mark.
    """

    __slots__ = ("__weakref__",)


@attrs.frozen
class Slice(Generic[Rest]):
    """A piece of an answer.

    :ivar messages: in the order asked for.
    :ivar rest: what to ask for next, or ``None`` where nothing is left.
    :ivar lasting: its mark, where whoever gave it keeps it.
    """

    messages: tuple[Message, ...]
    rest: Rest | None
    lasting: Lasting | None = attrs.field(default=None, eq=False, repr=False)


WindowSlice = Slice[Window]
LookupSlice = Slice[tuple[Address, ...]]
