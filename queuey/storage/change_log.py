"""The queues that were changed last, in the order of the changes; two threads may use it without a lock.

Readers of many queues ask a store which of them have changed. They must not depend on wake-ups for that: a snapshot may
show a message before the reactor has heard of it, and a reader that passed its place would miss it for ever. So the
writing thread notes a change before it commits, and the reading thread looks here after its snapshot has begun:
everything that the snapshot shows is noted by then. What is noted may still be uncommitted, though, and not be shown.
So the next mark is the number of changes that were committed before the snapshot began, and later ones are returned
once more.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

KEPT: Final = 1 << 16
"""Changes that are kept; who comes later has to look at all queues."""

MAX_PART: Final = 4096
"""Changes that one call returns, at most: more than one commit has."""


class ChangeLog:
    """A ring of incarnations; a mark is the number of changes before it.

    :param kept: changes that are kept.
    :ivar committed: number of changes that are committed.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._slots = array("q")
        self._count = 0
        self.committed = 0

    def add(self, incarnations: Iterable[int]) -> None:
        """Note that queues are about to be changed; called by the writing thread alone."""
        for incarnation in incarnations:
            if len(self._slots) < self._kept:
                self._slots.append(incarnation)
            else:
                self._slots[self._count % self._kept] = incarnation
            self._count += 1

    def commit(self) -> None:
        """Note that all changes so far are committed; called by the writing thread alone."""
        self.committed = self._count

    def since(self, mark: int | None, committed: int) -> tuple[int, set[int] | None, bool]:
        """Return the next mark, the queues that were changed since a mark, and whether these are all.

        :param mark: ``None``: there is none yet.
        :param committed: the value of ``committed`` before the snapshot of the caller began.
        :return: ``None`` in place of the queues if they are not known any more.
        """
        count = self._count
        if mark is None or mark > count:
            return committed, None, True
        end = min(count, mark + MAX_PART)
        try:
            found = {self._slots[number % self._kept] for number in range(mark, end)}
        except IndexError:  # the mark is of another log
            return committed, None, True
        # What was overwritten meanwhile cannot be distinguished from what was asked for.
        if self._count - mark >= self._kept:
            return committed, None, True
        return max(mark, min(end, committed)), found, end == count
