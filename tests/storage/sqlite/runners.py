"""Who runs write batches in tests: the caller at once, or the test when it says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from queuey.storage.sqlite.group_commit import GroupCommit, Job


class Inline:
    """Each write batch is taken as soon as something is on it, one after another, by the thread that put it there."""

    def __init__(self) -> None:
        self._woken: deque[GroupCommit[Any]] = deque()
        self._busy = False

    def start(self, batch: GroupCommit[Any]) -> None:
        pass

    def left(self, batch: GroupCommit[Any]) -> None:
        self.gathered(batch)

    def gathered(self, batch: GroupCommit[Any]) -> None:
        self._woken.append(batch)
        if self._busy:
            return
        self._busy = True
        try:
            while self._woken:
                self._woken.popleft().take()
        finally:
            self._busy = False

    def answer(self, function: Callable[[Sequence[Job[Any]]], None], jobs: Sequence[Job[Any]]) -> None:
        function(jobs)


class Manual(Inline):
    """Write batches are taken when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.held = False

    def gathered(self, batch: GroupCommit[Any]) -> None:
        if self.held:
            self._woken.append(batch)
        else:
            super().gathered(batch)

    def take(self) -> None:
        """Take everything that waits, write batch after write batch."""
        self.held = False
        while self._woken:
            super().gathered(self._woken.popleft())
